/*
 * browse.c - looking without taking: no lock, no system call, read-only handles too.
 */
#include "api/consumer.h"
#include "base/error.h"
#include "group/group_bulk.h"
#include "group/table.h"
#include "ring/ring_browse.h"

ssize_t shmq_browse(shmq_t *q, uint64_t *walk, void *buffer, size_t size, struct shmq_info *info)
{
    struct shmq_info own;
    struct shmq_info *about = info != NULL ? info : &own;

    if (q->groupless)
        return sq_fail(-EINVAL, "a topic is read by a group: shmq_subscribe() gives a handle");
    ssize_t rc = sq_consumer_check_group(q);
    if (rc == 0)
        rc = sq_ring_browse(&q->segment.ring, walk, buffer, size, about);
    if (rc == -EMSGSIZE)
        return sq_fail(-EMSGSIZE, "the message has %zu bytes, the buffer %zu", about->length, size);
    if (rc == -EBADMSG)
        return sq_fail(-EBADMSG, "the record at position %llu is damaged",
                       (unsigned long long)*walk);
    return rc == -EAGAIN ? sq_fail_plainly(-EAGAIN) : rc;
}

ssize_t shmq_peek(shmq_t *q, void *buffer, size_t size, struct shmq_info *info)
{
    uint64_t walk = sq_load(&q->segment.ring.group->cursor_pos);

    return shmq_browse(q, &walk, buffer, size, info);
}

/* Between its two readings more may go through than the ring holds, but not always. */
static int64_t depth_of(const struct sq_ring *ring)
{
    for (int tries = 0; tries < 100; tries++) {
        uint64_t depth = sq_group_waiting(ring);
        if (depth <= ring->capacity_bytes / SQ_RECORD_HEADER_BYTES + ring->entry_count)
            return (int64_t)depth;
    }
    return sq_fail(-EBADMSG, "the message ids of the ring are damaged");
}

int64_t shmq_depth(shmq_t *q)
{
    int64_t deepest = 0;

    if (!q->groupless) {
        int rc = sq_consumer_check_group(q);
        return rc < 0 ? rc : depth_of(&q->segment.ring);
    }
    for (uint64_t bits = sq_ring_groups(&q->segment.ring); bits != 0; bits &= bits - 1) {
        struct sq_ring one = q->segment.ring;
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        sq_ring_read_as(&one, i);
        int64_t depth = depth_of(&one);
        if (depth < 0)
            return depth;
        if (depth > deepest)
            deepest = depth;
    }
    return deepest;
}

const char *shmq_header_value(const struct shmq_msg *msg, const char *name)
{
    return sq_headers_find(msg->header_block, msg->header_bytes, name);
}

int shmq_header_next(const struct shmq_msg *msg, size_t *walk, struct shmq_header *header)
{
    int rc =
        sq_headers_next(msg->header_block, msg->header_bytes, walk, &header->name, &header->value);

    return rc < 0 ? sq_fail(rc, "the message's headers are damaged") : rc;
}
