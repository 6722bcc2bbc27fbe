/*
 * ring.c - see ring.h.
 *
 *      cursor_pos                      tail_pos
 *          v                              v
 *     .....[record][record]...[record]....|..... capacity bytes, then again
 *
 * Invariants, for whoever holds both sides:
 *  1. cursor <= tail <= cursor + capacity, both multiples of 8.
 *  2. From cursor to tail there are whole records, their ids consecutive.
 *  3. next_id is the last record's id plus one; finished_id the first's minus
 *     one.  Without records, finished_id == next_id - 1.
 *  4. low_pos <= cursor and known_tail_pos <= tail.
 *
 * Crash rule.  A put writes its records beyond the tail, stores the tail, then
 * next_id.  A get stores finished_id, then the cursor.  So when P has died,
 * next_id may be too low, and when C has died, finished_id too high; the truth,
 * tail and cursor, is right at every instruction.  Rebuilding sets both from the
 * records' own ids.  With no record left, every message of P was finished by C,
 * whose finished_id is then exact or, after C died before it stored its cursor,
 * belongs to a record that is still there: so the larger of both is right.
 *
 * P may read the record at the cursor although C may pass it at any time: only P
 * overwrites.  A reader without a side copies first and then looks whether the
 * cursor has passed what it copied.
 */
#include "ring.h"

/* P: the cursor as it is now, and the id there. */
static int look_low(const struct sq_ring *ring)
{
    struct sq_producer_shm *p = ring->producer;
    uint64_t tail = sq_load(&p->tail_pos);
    /* Pairs with the release in sq_ring_end_take(). */
    uint64_t cursor = sq_load_acquire(&ring->group->cursor_pos);
    uint64_t next_id = sq_load(&p->next_id);

    if (!sq_ring_spans(ring, cursor, tail))
        return -EBADMSG;
    p->low_pos = cursor;
    p->low_id = cursor == tail ? next_id : sq_record_at(ring, cursor)->id;
    /* A record takes at least its header: more ids than that is damage. */
    if ((next_id - p->low_id) > (tail - cursor) / SQ_RECORD_HEADER_BYTES)
        return -EBADMSG;
    return 0;
}

int sq_ring_look_room(const struct sq_ring *ring, uint64_t bytes, uint64_t count)
{
    const struct sq_producer_shm *p = ring->producer;
    int rc = look_low(ring);

    if (rc < 0)
        return rc;
    if (bytes > ring->capacity_bytes - (sq_load(&p->tail_pos) - p->low_pos))
        return -EAGAIN;
    if (ring->max_messages != 0 && sq_load(&p->next_id) + count - p->low_id > ring->max_messages)
        return -EAGAIN;
    return 0;
}

bool sq_ring_seems_roomy(const struct sq_ring *ring, uint64_t bytes, uint64_t count)
{
    uint64_t cursor = sq_load_acquire(&ring->group->cursor_pos);
    /* Pairs with the release in sq_ring_publish(): the record is there. */
    uint64_t tail = sq_load_acquire(&ring->producer->tail_pos);

    if (!sq_ring_spans(ring, cursor, tail))
        return true;
    if (bytes > ring->capacity_bytes - (tail - cursor))
        return false;
    if (ring->max_messages == 0 || cursor == tail)
        return true;
    /* By the record, as look_low() does: finished_id may run ahead, for long when
     * the consumer has died.  Good if the cursor has not passed it since. */
    uint64_t id = sq_load((_Atomic uint64_t *)&sq_record_at(ring, cursor)->id);
    atomic_thread_fence(memory_order_acquire);
    return sq_load(&ring->group->cursor_pos) != cursor ||
           sq_load(&ring->producer->next_id) + count - id <= ring->max_messages;
}

/*
 * next_id - low_id has passed the peak, but low_id may be old.  Looking costs
 * two lines of the consumer's; when that was in vain twice within a few puts
 * (the consumer keeps up), do without for a while.  So the peak may miss 32.
 */
void sq_ring_look_peak(const struct sq_ring *ring)
{
    enum { OFTEN = 8, PAUSE = 32 };
    struct sq_producer_shm *p = ring->producer;
    uint64_t next_id = sq_load(&p->next_id);

    if (next_id - p->peak_futile_id > PAUSE)
        p->peak_pause = 0;
    if (p->peak_pause != 0 || look_low(ring) < 0)
        return;
    if (next_id - p->low_id > sq_load(&p->peak_depth)) {
        sq_store(&p->peak_depth, next_id - p->low_id);
        return;
    }
    p->peak_pause = next_id - p->peak_futile_id <= OFTEN;
    p->peak_futile_id = next_id;
}

void sq_ring_sample(const struct sq_ring *ring, int64_t waited_ns)
{
    unsigned bucket = waited_ns < 2 ? 0 : 63 - (unsigned)__builtin_clzll((uint64_t)waited_ns);

    if (bucket >= SHMQ_HISTOGRAM_BUCKETS)
        bucket = SHMQ_HISTOGRAM_BUCKETS - 1;
    _Atomic uint64_t *n = &ring->group->waited[bucket];
    sq_store(n, sq_load(n) + 1);
}

/* --- dropping ---------------------------------------------------------- */

int sq_ring_drop_oldest(const struct sq_ring *ring, uint64_t bytes, uint64_t count)
{
    struct sq_group_shm *g = ring->group;
    uint64_t dropped = 0;
    uint32_t length;
    struct sq_walk walk;
    int rc = sq_ring_look_room(ring, bytes, count);

    if (rc != -EAGAIN)
        return rc;
    g->known_tail_pos = sq_load(&ring->producer->tail_pos);
    rc = sq_ring_begin_take(ring, &walk);
    if (rc < 0)
        return -EBADMSG; /* "empty" and "no room" cannot both be */
    uint64_t next_id = sq_load(&ring->producer->next_id);
    while (bytes > ring->capacity_bytes - (walk.end - walk.pos) ||
           (ring->max_messages != 0 && next_id + count - walk.id > ring->max_messages)) {
        if (walk.pos == walk.end || sq_walk_step(ring, &walk, &length) == NULL)
            return -EBADMSG;
        dropped++;
    }
    sq_store(&g->dropped_count, sq_load(&g->dropped_count) + dropped);
    sq_ring_end_take(ring, &walk, 0);
    return sq_ring_look_room(ring, bytes, count);
}

int64_t sq_ring_purge(const struct sq_ring *ring)
{
    struct sq_group_shm *g = ring->group;
    struct sq_walk walk;
    uint32_t length;

    g->known_tail_pos = sq_load_acquire(&ring->producer->tail_pos);
    int rc = sq_ring_begin_take(ring, &walk);
    if (rc < 0)
        return rc == -EAGAIN ? 0 : rc;
    uint64_t first_id = walk.id;
    while (walk.pos != walk.end)
        if (sq_walk_step(ring, &walk, &length) == NULL)
            return -EBADMSG;
    sq_store(&g->purged_count, sq_load(&g->purged_count) + (walk.id - first_id));
    sq_ring_end_take(ring, &walk, 0);
    return (int64_t)(walk.id - first_id);
}

int64_t sq_ring_reset(const struct sq_ring *ring)
{
    struct sq_producer_shm *p = ring->producer;
    struct sq_group_shm *g = ring->group;
    uint64_t next_id = sq_load(&p->next_id), finished = sq_load(&g->finished_id);
    uint64_t tail = sq_load(&p->tail_pos) & ~(uint64_t)(SQ_RECORD_ALIGN - 1);

    /* Ids must not repeat; of two counters, of which one may be damaged, the
     * larger is safe unless it is absurd. */
    if (next_id <= finished && finished < UINT64_MAX / 2)
        next_id = finished + 1;
    if (next_id == 0 || next_id > UINT64_MAX / 2)
        next_id = finished < UINT64_MAX / 2 ? finished + 1 + ring->capacity_bytes : 1;
    uint64_t lost = finished < next_id ? next_id - 1 - finished : 0;
    if (lost > ring->capacity_bytes / SQ_RECORD_HEADER_BYTES)
        lost = 0; /* no one can tell */
    sq_store(&g->purged_count, sq_load(&g->purged_count) + lost);
    sq_store(&g->finished_id, next_id - 1);
    sq_store(&p->tail_pos, tail);
    sq_store_release(&g->cursor_pos, tail);
    sq_store(&p->next_id, next_id);
    p->low_pos = g->known_tail_pos = tail;
    p->low_id = next_id;
    return (int64_t)lost;
}

/* --- without a lock ---------------------------------------------------- */

uint64_t sq_ring_depth(const struct sq_ring *ring)
{
    uint64_t finished = sq_load_acquire(&ring->group->finished_id);
    uint64_t next_id = sq_load(&ring->producer->next_id);

    /* Next_id lags behind a put that a get has already seen. */
    return next_id > finished ? next_id - 1 - finished : 0;
}

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

/* Copy the record at `pos`, which is within [cursor, tail). */
static ssize_t browse_one(const struct sq_ring *ring, uint64_t *pos, uint64_t tail, void *buffer,
                          size_t size, struct shmq_info *info)
{
    struct sq_record_shm head;
    uint64_t left = tail - *pos;

    if (left < SQ_RECORD_HEADER_BYTES)
        return -EBADMSG;
    const unsigned char *from = (const unsigned char *)sq_record_at(ring, *pos);
    copy_racing(&head, from, sizeof(head));
    if (sq_record_bytes(head.length) > left || head.length > ring->max_message_bytes ||
        head.id == 0 || (head.tag & ~(uint32_t)SQ_RECORD_TAG_KNOWN) != 0)
        return -EBADMSG;
    if (info != NULL)
        *info = (struct shmq_info){.id = head.id, .put_ns = head.put_ns, .length = head.length};
    if (head.length > size)
        return -EMSGSIZE;
    copy_racing(buffer, from + SQ_RECORD_HEADER_BYTES, head.length);
    *pos += sq_record_bytes(head.length);
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
        return rc;
    }
    return -EAGAIN;
}

/* --- derived from the truth -------------------------------------------- */

/* The ids from cursor to tail; *first and *next stay 0 when there is none. */
static int walk_all(const struct sq_ring *ring, uint64_t cursor, uint64_t tail, uint64_t *first,
                    uint64_t *next)
{
    struct sq_walk walk = {cursor, tail, 0};
    uint32_t length;

    *first = *next = 0;
    if (!sq_ring_spans(ring, cursor, tail))
        return -EBADMSG;
    while (walk.pos != walk.end) {
        if (sq_walk_step(ring, &walk, &length) == NULL)
            return -EBADMSG;
        if (*first == 0)
            *first = walk.id - 1;
    }
    *next = walk.id;
    return 0;
}

int sq_ring_rebuild_producer(const struct sq_ring *ring)
{
    struct sq_producer_shm *p = ring->producer;
    uint64_t cursor = sq_load_acquire(&ring->group->cursor_pos);
    uint64_t tail = sq_load(&p->tail_pos), first, next;
    int rc = walk_all(ring, cursor, tail, &first, &next);

    if (rc < 0)
        return rc;
    if (next == 0) {
        /* Empty: see the crash rule above. */
        uint64_t finished = sq_load(&ring->group->finished_id);
        next = sq_load(&p->next_id);
        if (next <= finished)
            next = finished + 1;
        first = next;
    }
    sq_store(&p->next_id, next);
    p->low_pos = cursor;
    p->low_id = first;
    return 0;
}

int sq_ring_rebuild_consumer(const struct sq_ring *ring)
{
    struct sq_group_shm *g = ring->group;
    uint64_t cursor = sq_load(&g->cursor_pos);
    uint64_t tail = sq_load_acquire(&ring->producer->tail_pos), first, next;
    int rc = walk_all(ring, cursor, tail, &first, &next);

    if (rc < 0)
        return rc;
    g->known_tail_pos = tail;
    if (next != 0)
        sq_store(&g->finished_id, first - 1);
    return 0;
}

const char *sq_ring_valid(const struct sq_ring *ring)
{
    const struct sq_producer_shm *p = ring->producer;
    const struct sq_group_shm *g = ring->group;
    uint64_t cursor = sq_load(&g->cursor_pos), tail = sq_load(&p->tail_pos), first, next;

    if (walk_all(ring, cursor, tail, &first, &next) < 0)
        return "the records between cursor and tail are damaged";
    if (next == 0)
        first = next = sq_load(&p->next_id);
    if (sq_load(&p->next_id) != next)
        return "next_id is not the last id plus one";
    if (sq_load(&g->finished_id) != first - 1)
        return "finished_id is not the first id minus one";
    if (tail - p->low_pos > ring->capacity_bytes || cursor - p->low_pos > ring->capacity_bytes)
        return "low_pos is not behind the cursor";
    if (tail - g->known_tail_pos > tail - cursor)
        return "known_tail_pos is not between cursor and tail";
    return NULL;
}
