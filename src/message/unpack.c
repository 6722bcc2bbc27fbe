/*
 * unpack.c - see unpack.h.
 *
 * The list's links are stored in an order in which it is whole at any time: a forked child
 * has a copy of it, and of the memory, as they were at that moment.
 */
#include "message/unpack.h"

#include <stdlib.h>

#include "base/error.h"
#include "message/compress.h"
#include "sync/mutex.h"

void sq_unpack_init(struct sq_unpacks *list)
{
    pthread_mutex_init(&list->lock, NULL);
}

int sq_unpack(const struct sq_view *view, struct sq_unpacked **unpacked)
{
    *unpacked = NULL;
    /* Never more than LZ4 can make of so many. */
    if (view->plain_bytes / 255 > view->payload_bytes)
        return sq_fail(-EBADMSG, "a compressed payload has senseless lengths");
    struct sq_unpacked *u = malloc(sizeof(*u) + view->plain_bytes);
    if (u == NULL)
        return sq_fail(-ENOMEM, "no memory for a message of %u bytes", view->plain_bytes);
    int rc = sq_decompress_to(view, u->bytes);
    if (rc < 0)
        free(u);
    else
        *unpacked = u;
    return rc;
}

void sq_unpack_keep(struct sq_unpacks *list, struct sq_unpacked *unpacked,
                    const struct sq_lease *lease)
{
    unpacked->lease = *lease;
    sq_mutex_lock(&list->lock, SQ_RANK_LEAF);
    unpacked->next = sq_load(&list->first);
    sq_store_release(&list->first, unpacked);
    sq_mutex_unlock(&list->lock);
}

void sq_unpack_drop(struct sq_unpacks *list, const struct sq_lease *lease)
{
    struct sq_unpacked *before = NULL, *u;

    if (sq_load(&list->first) == NULL)
        return;
    sq_mutex_lock(&list->lock, SQ_RANK_LEAF);
    for (u = sq_load(&list->first); u != NULL; before = u, u = u->next)
        if (u->lease.word == lease->word && u->lease.id == lease->id &&
            u->lease.entry == lease->entry)
            break;
    if (u != NULL && before == NULL)
        sq_store(&list->first, u->next);
    else if (u != NULL)
        before->next = u->next;
    sq_mutex_unlock(&list->lock);
    free(u);
}

void sq_unpack_end(struct sq_unpacks *list)
{
    struct sq_unpacked *u = sq_load(&list->first), *next;

    for (; u != NULL; u = next) {
        next = u->next;
        free(u);
    }
    pthread_mutex_destroy(&list->lock);
}
