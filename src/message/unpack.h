/*
 * unpack.h - payloads that were compressed, as those who received them read them.
 *
 * The memory is the handle's, which has it in a list, by the lease.  What a message says
 * of it is but a hint: there may be copies of the message, or none any more when its lease
 * is ended by shmq_ack_upto() or with the handle.
 */
#ifndef SQ_UNPACK_H
#define SQ_UNPACK_H

#include <pthread.h>

#include "group/group.h"

struct sq_unpacked {
    struct sq_unpacked *next;
    struct sq_lease lease; /* whose it is */
    unsigned char bytes[];
};

struct sq_unpacks {
    pthread_mutex_t lock;
    _Atomic(struct sq_unpacked *) first;
};

void sq_unpack_init(struct sq_unpacks *list);

/* Decompress a payload into memory that nobody has yet.  0, -ENOTSUP, -ENOMEM, -EBADMSG. */
int sq_unpack(const struct sq_view *view, struct sq_unpacked **unpacked);

/* From now on it is this lease's. */
void sq_unpack_keep(struct sq_unpacks *list, struct sq_unpacked *unpacked,
                    const struct sq_lease *lease);

/* Free what is this lease's, if anything is. */
void sq_unpack_drop(struct sq_unpacks *list, const struct sq_lease *lease);

/* Free all; the list is not used any more. */
void sq_unpack_end(struct sq_unpacks *list);

#endif
