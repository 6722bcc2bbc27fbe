/*
 * look.c - looking without taking: no lock, no system call, read-only handles too.
 */
#include "error.h"
#include "queue.h"

ssize_t shmq_browse(shmq_t *q, uint64_t *place, void *buffer, size_t size, struct shmq_info *info)
{
    struct shmq_info own;
    struct shmq_info *about = info != NULL ? info : &own;
    ssize_t rc = sq_ring_browse(&q->segment.ring, place, buffer, size, about);

    if (rc == -EMSGSIZE)
        return sq_fail(-EMSGSIZE, "the message has %zu bytes, the buffer %zu", about->length, size);
    if (rc == -EBADMSG)
        return sq_fail(-EBADMSG, "the record at position %llu is damaged",
                       (unsigned long long)*place);
    return rc == -EAGAIN ? sq_fail_plainly(-EAGAIN) : rc;
}

ssize_t shmq_peek(shmq_t *q, void *buffer, size_t size, struct shmq_info *info)
{
    uint64_t place = sq_load(&q->segment.ring.group->cursor_pos);

    return shmq_browse(q, &place, buffer, size, info);
}

int64_t shmq_depth(shmq_t *q)
{
    const struct sq_ring *ring = &q->segment.ring;

    /* Between its two readings more may go through than the ring holds, but not always. */
    for (int tries = 0; tries < 100; tries++) {
        uint64_t depth = sq_ring_depth(ring);
        if (depth <= ring->capacity_bytes / SQ_RECORD_HEADER_BYTES)
            return (int64_t)depth;
    }
    return sq_fail(-EBADMSG, "the message ids of the ring are damaged");
}
