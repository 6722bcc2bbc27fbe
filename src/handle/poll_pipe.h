/*
 * poll_pipe.h - the pipes that say to poll() whether a group has something.
 *
 * A named pipe beside the queue, "/dev/shm/shmq.NAME%INODE.GROUP", holds a byte exactly
 * while a receive from the group would succeed.  It is there once somebody has called
 * shmq_fd(); from then on every process that puts or gets keeps it so, as part of
 * waking (poll_pipe.c).
 */
#ifndef SQ_POLL_PIPE_H
#define SQ_POLL_PIPE_H

#include "handle/handle.h"

/* Open the group's pipe, which is made with `make` (-ESTALE: the queue was removed).  Its
 * descriptor or a negative errno. */
int sq_poll_pipe_open(struct shmq *q, uint32_t group, bool make);

/* Without a side: see to the pipe of group number `group`, if anybody polls it. */
void sq_poll_pipe_update_polled(struct shmq *q, uint32_t group);

static inline void sq_poll_pipe_update(struct shmq *q, uint32_t group)
{
    if (sq_unlikely((sq_load(&q->segment.control->notices) & SQ_NOTICE_POLLED) != 0))
        sq_poll_pipe_update_polled(q, group);
}

/* When somebody is to see to it again: something is due, or has expired. */
static inline int64_t sq_poll_pipe_due_ns(const struct sq_pending_shm *p)
{
    int64_t due_ns = sq_load(&p->next_due_ns), expiry_ns = sq_load(&p->found_expiry_ns);

    return expiry_ns < due_ns ? expiry_ns : due_ns;
}

/* Close what was opened. */
void sq_poll_pipe_close(struct shmq *q);

/* Remove the pipes of a queue whose path this was. */
void sq_poll_pipe_unlink(const struct sq_path *path, const struct sq_segment *segment);

#endif
