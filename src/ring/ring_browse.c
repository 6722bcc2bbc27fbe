/*
 * ring_browse.c - reading the ring without a side (ring.h).
 *
 * P may overwrite what the cursor has passed while we read it.  So everything is
 * copied first and then it is looked whether the cursor has passed it.
 */
#include "ring/ring_browse.h"

#include "ring/record.h"

/* memcpy() from bytes that may change under us; the caller checks afterwards.
 * By words: the ring is aligned and its padding belongs to the record. */
static void copy_racing(void *to, const unsigned char *from, size_t n)
{
    unsigned char *t = to;
    const _Atomic uint64_t *f = (const _Atomic uint64_t *)(const void *)from;

    for (; n >= 8; n -= 8, t += 8) {
        uint64_t word = sq_load(f++);
        memcpy(t, &word, 8);
    }
    if (n > 0) {
        uint64_t word = sq_load(f);
        memcpy(t, &word, n);
    }
}

/* Copy the head of the record at `pos`, and of its extension; where its payload begins. */
static int browse_head(const struct sq_ring *ring, uint64_t pos, uint64_t tail,
                       struct sq_record_shm *head, const unsigned char **payload)
{
    uint64_t left = tail - pos;
    uint32_t extension = 0;

    if (left < SQ_RECORD_HEADER_BYTES || left > ring->capacity_bytes)
        return -EBADMSG;
    const unsigned char *from = (const unsigned char *)sq_record_at(ring, pos);
    copy_racing(head, from, sizeof(*head));
    if (sq_record_bytes(head->length) > left || (head->tag & ~(uint32_t)SQ_RECORD_TAG_KNOWN) != 0)
        return -EBADMSG;
    from += SQ_RECORD_HEADER_BYTES;
    if ((head->tag & SQ_RECORD_EXTENDED) != 0) {
        if (head->length < SQ_EXTENSION_BYTES)
            return -EBADMSG;
        copy_racing(&extension, from, sizeof(extension));
        if (extension > head->length || extension % SQ_RECORD_ALIGN != 0)
            return -EBADMSG;
    }
    *payload = from + extension;
    head->length -= extension;
    return 0;
}

/* Copy the message whose record is at *pos, which is within [cursor, tail).  -ENOENT:
 * there is none, it is passed. */
static ssize_t browse_one(const struct sq_ring *ring, uint64_t *pos, uint64_t tail, void *buffer,
                          size_t size, struct shmq_info *info)
{
    const unsigned char *payload;
    struct sq_record_shm head;
    uint64_t at = *pos;

    if (browse_head(ring, at, tail, &head, &payload) < 0)
        return -EBADMSG;
    uint64_t next =
        at + (uint64_t)(payload - (const unsigned char *)sq_record_at(ring, at)) + head.length;
    next = sq_align_up(next, SQ_RECORD_ALIGN);
    if ((head.tag & SQ_RECORD_COPY) != 0 || (sq_load(&head.id) & SQ_ID_GONE) != 0) {
        *pos = next;
        return -ENOENT;
    }
    for (uint64_t id; ((id = sq_load(&head.id)) & SQ_ID_MOVED) != 0;) {
        uint64_t step = id & ~SQ_ID_MOVED;
        if (step == 0 || step >= tail - at)
            return -EBADMSG;
        at += step;
        if (browse_head(ring, at, tail, &head, &payload) < 0)
            return -EBADMSG;
    }
    uint64_t id = sq_load(&head.id);
    if (id == 0 || id >= SQ_ID_MAX)
        return -EBADMSG;
    if (info != NULL)
        *info = (struct shmq_info){.id = id, .put_ns = head.put_ns, .length = head.length};
    if (head.length > size)
        return -EMSGSIZE;
    copy_racing(buffer, payload, head.length);
    *pos = next;
    return (ssize_t)head.length;
}

ssize_t sq_ring_browse(const struct sq_ring *ring, uint64_t *pos, void *buffer, size_t size,
                       struct shmq_info *info)
{
    /* A ring that is emptied faster than it can be copied shows nothing. */
    for (int tries = 0; tries < 1000; tries++) {
        uint64_t cursor = sq_load_acquire(&ring->group->cursor_pos);
        uint64_t tail = sq_load_acquire(&ring->producer->tail_pos);
        uint64_t at = *pos;
        ssize_t rc = -EAGAIN;

        /* Behind the cursor, or (a first call, a reset ring) nowhere near it. */
        if (at - cursor > tail - cursor || at % SQ_RECORD_ALIGN != 0)
            at = cursor;
        uint64_t next = at;
        if (!sq_ring_spans(ring, cursor, tail))
            rc = -EBADMSG; /* or the tail ran on after the cursor was read */
        else if (at != tail)
            rc = browse_one(ring, &next, tail, buffer, size, info);
        /* What was read is good if the cursor has not passed it since.  Pairs
         * with P's acquire of the cursor before it overwrites. */
        atomic_thread_fence(memory_order_acquire);
        uint64_t after = sq_load(&ring->group->cursor_pos);
        if (at - after > ring->capacity_bytes || (rc == -EBADMSG && after != cursor))
            continue;
        *pos = next;
        if (rc == -ENOENT) {
            tries--;
            continue;
        }
        return rc;
    }
    return -EAGAIN;
}
