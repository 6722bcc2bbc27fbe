/*
 * open.c - opening, closing and removing queues.
 */
#include "api/open.h"

#include <stdlib.h>
#include <unistd.h>

#include "api/put.h"
#include "base/error.h"
#include "handle/hooks.h"
#include "handle/poll_pipe.h"
#include "message/compress.h"
#include "persist/save_thread.h"
#include "segment/segment_attr.h"
#include "segment/segment_reopen.h"

static int check_flags(int flags)
{
    const int known = SHMQ_CREATE | SHMQ_EXCL | SHMQ_RDONLY | SHMQ_SOLE_PRODUCER |
                      SHMQ_SOLE_CONSUMER | SHMQ_TOPIC | SHMQ_UNIQUE;

    if ((flags & ~known) != 0)
        return sq_fail(-EINVAL, "unknown flags %#x", flags & ~known);
    if ((flags & SHMQ_EXCL) && !(flags & SHMQ_CREATE))
        return sq_fail(-EINVAL, "SHMQ_EXCL means nothing without SHMQ_CREATE");
    if ((flags & (SHMQ_TOPIC | SHMQ_UNIQUE)) && !(flags & SHMQ_CREATE))
        return sq_fail(-EINVAL, "SHMQ_TOPIC and SHMQ_UNIQUE mean nothing without SHMQ_CREATE");
    if ((flags & SHMQ_RDONLY) && (flags & ~SHMQ_RDONLY))
        return sq_fail(-EINVAL, "SHMQ_RDONLY contradicts %s",
                       flags & SHMQ_CREATE          ? "SHMQ_CREATE"
                       : flags & SHMQ_SOLE_PRODUCER ? "SHMQ_SOLE_PRODUCER"
                                                    : "SHMQ_SOLE_CONSUMER");
    return 0;
}

/* What a sole consumer cannot have: others that enter its side. */
static int check_sole(int flags, const struct shmq_attr *attr)
{
    if (!(flags & SHMQ_SOLE_CONSUMER))
        return 0;
    if (attr->full == SHMQ_FULL_DROP || attr->policy.lag == SHMQ_LAG_DROP)
        return sq_fail(-EINVAL, "SHMQ_SOLE_CONSUMER contradicts the queue's full=drop, for which "
                                "producers must take messages off");
    if (attr->kind != 0)
        return sq_fail(-EINVAL, "SHMQ_SOLE_CONSUMER contradicts %s",
                       (attr->kind & SHMQ_TOPIC) != 0
                           ? "SHMQ_TOPIC, which is read by groups"
                           : "SHMQ_UNIQUE, for which producers look up keys");
    return 0;
}

/* Attach, and claim what is to be had alone. */
static int enter_queue(struct shmq *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    int rc = sq_queue_file_begin(q); /* before an attached handle may be closed, and save */

    if (rc == 0)
        rc = sq_attach(&q->segment, &q->attachment, q->flags);
    if (rc < 0)
        return rc;
    sq_store(&q->state, q->segment.readable_only ? 0 : SQ_ATTACHED);
    sq_note_group(q);
    rc = check_sole((int)q->flags, &q->segment.attr);
    if (rc < 0)
        return rc;
    if (q->flags & SHMQ_SOLE_PRODUCER)
        rc = sq_make_ready(q, SQ_ROLE_PRODUCER, &deadline);
    if (rc == 0 && (q->flags & SHMQ_SOLE_CONSUMER))
        rc = sq_make_ready(q, SQ_ROLE_CONSUMER, &deadline);
    if (rc < 0)
        return rc;
    sq_queue_file_attach(q);
    return sq_save_thread_start(q);
}

static int open_forkable(struct shmq *q, const struct shmq_attr *attr)
{
    if (attr->snapshot != NULL && (q->flags & SHMQ_CREATE) != 0)
        return sq_queue_file_open(q, attr);
    int rc = sq_fork_hold();

    if (rc < 0)
        return rc;
    rc = sq_segment_open(&q->segment, &q->forkable.path, (int)q->flags, attr);
    if (rc == 0)
        sq_fork_add(&q->forkable);
    sq_fork_release();
    return rc;
}

static struct shmq *new_handle(int flags)
{
    struct shmq *q = aligned_alloc(SQ_SEPARATE, sq_align_up(sizeof(*q), SQ_SEPARATE));

    if (q != NULL) {
        memset(q, 0, sizeof(*q));
        sq_handle_init(q);
        q->flags = (uint32_t)flags;
    }
    return q;
}

static int open_queue(shmq_t **handle, const char *name, int flags, const struct shmq_attr *given)
{
    struct shmq_attr attr;
    struct shmq *q;

    *handle = NULL;
    int rc = check_flags(flags);
    if (rc == 0)
        rc = sq_segment_attr(given, flags, &attr);
    if (rc == 0 && (flags & SHMQ_CREATE)) /* before there is a queue to leave behind */
        rc = check_sole(flags, &attr);
    if (rc < 0)
        return rc;
    if (attr.compress_bytes != 0)
        rc = sq_compress_supported();
    if (rc < 0)
        return rc;
    q = new_handle(flags);
    if (q == NULL)
        return sq_fail(-ENOMEM, "no memory for a handle");
    rc = sq_segment_path(name, &q->forkable.path);
    if (rc == 0)
        rc = open_forkable(q, &attr);
    if (rc < 0) {
        free(q);
        return rc;
    }
    q->groupless = (q->segment.ring.kind & SHMQ_TOPIC) != 0;
    rc = enter_queue(q);
    if (rc < 0) {
        shmq_close(q);
        return rc;
    }
    *handle = q;
    return 0;
}

int sq_open_again(shmq_t **handle, const shmq_t *other)
{
    struct shmq *q = new_handle(0);

    *handle = NULL;
    if (q == NULL)
        return sq_fail(-ENOMEM, "no memory for a handle");
    q->forkable.path = other->forkable.path;
    q->groupless = true;
    int rc = sq_fork_hold();
    if (rc == 0) {
        rc = sq_segment_open_again(&q->segment, &other->segment, &q->forkable.path);
        if (rc == 0)
            sq_fork_add(&q->forkable);
        sq_fork_release();
    }
    if (rc < 0) {
        free(q);
        return rc;
    }
    rc = enter_queue(q);
    if (rc < 0) {
        shmq_close(q);
        return rc;
    }
    *handle = q;
    return 0;
}

int shmq_open(shmq_t **handle, const char *name, int flags, const struct shmq_attr *given)
{
    int cancel = sq_cancel_hold();
    int rc = open_queue(handle, name, flags, given);

    sq_cancel_release(cancel);
    return rc;
}

/* Give up what the handle has, in the order in which others may see it go. */
int shmq_close(shmq_t *q)
{
    if (q == NULL)
        return 0;
    uint64_t reserver = sq_load(&q->reservation.thread);
    if (reserver == sq_thread())
        shmq_abort(q);
    else if (reserver != 0)
        return sq_fail(-EBUSY, "another thread has a reservation open on this handle");
    int cancel = sq_cancel_hold();
    sq_hooks_close(q);
    sq_poll_pipe_close(q);
    sq_save_thread_at_close(q);
    /* Everything is in order, so a successor need not repair.  The fence: who sees
     * the mark gone, and so makes no barrier for us, sees all we published. */
    atomic_thread_fence(memory_order_seq_cst);
    if (sq_alone(q, SQ_ROLE_PRODUCER))
        sq_store_release(&q->segment.ring.producer->sole, 0);
    if (sq_alone(q, SQ_ROLE_CONSUMER))
        sq_store_release(&q->segment.ring.group->sole, 0);
    sq_detach(&q->segment, &q->attachment);
    sq_fork_hold();
    sq_fork_remove(&q->forkable);
    sq_segment_close(&q->segment); /* with the descriptor go slot and roles */
    sq_queue_file_close(q);
    sq_fork_release();
    if (q->reservation.listed) /* by the parent, before this process was forked */
        sq_forget_reservation(q);
    sq_unpack_end(&q->unpacks);
    pthread_mutex_destroy(&q->claim_lock);
    free(q);
    sq_cancel_release(cancel);
    return 0;
}

static void wake_all(const struct sq_segment *segment)
{
    const struct sq_ring *ring = &segment->ring;

    sq_cond_wake(&ring->producer->room, UINT32_MAX);
    for (uint32_t i = 0; i < ring->group_count; i++) {
        sq_cond_wake(&ring->groups[i].items, UINT32_MAX);
        sq_cond_wake(&ring->groups[i].done, UINT32_MAX);
    }
}

int shmq_unlink(const char *name)
{
    struct sq_segment segment;
    struct sq_path path;
    int rc = sq_segment_path(name, &path);

    if (rc < 0)
        return rc;
    int cancel = sq_cancel_hold();
    /* To tell those who are attached; what cannot be opened can still be removed. */
    bool opened = sq_segment_open(&segment, &path, 0, NULL) == 0;
    if (unlink(path.text) != 0)
        rc = sq_fail(-errno, "cannot remove %s", path.text);
    if (opened) {
        if (rc == 0 && sq_segment_is_unlinked(&segment))
            wake_all(&segment);
        if (rc == 0)
            sq_poll_pipe_unlink(&path, &segment);
        sq_segment_close(&segment);
    }
    sq_cancel_release(cancel);
    return rc;
}

int shmq_attr_of(shmq_t *q, struct shmq_attr *attr)
{
    size_t size = attr->size;

    if (size < sizeof(size))
        return sq_fail(-EINVAL, "attr->size is %zu; use SHMQ_ATTR_INIT", size);
    memset(attr, 0, size);
    struct shmq_attr all = q->segment.attr;
    if (q->segment.file_path.text[0] != '\0')
        all.snapshot = q->segment.file_path.text;
    memcpy(attr, &all, size < sizeof(*attr) ? size : sizeof(*attr));
    attr->size = size;
    return 0;
}
