/*
 * get.c - taking messages: one, many, or all for nothing.
 *
 * A get enters the consumer's side, copies the record at the cursor, moves the
 * cursor with one store (from then on the message is handed out), leaves, and
 * wakes: a producer, for the room it made, and the next consumer, for what it
 * left behind.
 */
#include "error.h"
#include "queue.h"

SQ_HOT void sample_wait(const struct sq_ring *ring, const struct sq_record_shm *record)
{
    if (sq_unlikely((record->tag & SQ_RECORD_SAMPLED) != 0))
        sq_ring_sample(ring->home, sq_elapsed_ns(sq_clock_ns(), record->put_ns));
}

/*
 * C: a record that is not what it must be.  Perhaps only the derived id was
 * damaged: rebuild, which checks every record.  0: begin again.
 */
static int second_look(const struct sq_ring *ring, const struct sq_walk *walk)
{
    if (sq_ring_rebuild_consumer(ring) == 0 &&
        (sq_load(&ring->group->finished_id) + 1 != walk->id ||
         ring->group->known_tail_pos != walk->end))
        return 0;
    return sq_fail(-EBADMSG, "the record at position %llu is damaged",
                   (unsigned long long)walk->pos);
}

/* C: take the record that walk->pos is beyond. */
SQ_HOT ssize_t take(const struct sq_ring *ring, const struct sq_walk *walk,
                    struct sq_record_shm *record, uint32_t length, void *buffer, size_t size,
                    struct shmq_info *info)
{
    if (info != NULL)
        *info = (struct shmq_info){walk->id - 1, record->put_ns, length, 0};
    if (sq_unlikely(length > size))
        return sq_fail(-EMSGSIZE, "the message has %u bytes, the buffer %zu", length, size);
    sq_copy(buffer, sq_record_payload(record), length);
    sample_wait(ring, record);
    sq_ring_end_take(ring, walk, length);
    return (ssize_t)length;
}

/* C: take one, although something was found wrong.  As take_one(). */
static ssize_t take_mended(const struct sq_ring *ring, void *buffer, size_t size,
                           struct shmq_info *info)
{
    struct sq_record_shm *record = NULL;
    struct sq_walk walk;
    uint32_t length;
    int rc = 0;

    for (int looks = 0; record == NULL; looks++) {
        rc = looks == 0 ? 0 : second_look(ring, &walk);
        if (rc < 0)
            return rc;
        rc = sq_ring_begin_take(ring, &walk);
        if (rc == -EAGAIN)
            return rc;
        if (rc == 0)
            record = sq_walk_step(ring, &walk, &length);
    }
    return take(ring, &walk, record, length, buffer, size, info);
}

/* C: take one.  Length, -EAGAIN, -EMSGSIZE, -EBADMSG. */
SQ_HOT ssize_t take_one(const struct sq_ring *ring, void *buffer, size_t size,
                        struct shmq_info *info)
{
    struct sq_record_shm *record;
    struct sq_walk walk;
    uint32_t length;
    int rc = sq_ring_begin_take(ring, &walk);

    if (sq_unlikely(rc < 0))
        return rc == -EAGAIN ? rc : take_mended(ring->home, buffer, size, info);
    record = sq_walk_step(ring, &walk, &length);
    if (sq_unlikely(record == NULL))
        return take_mended(ring->home, buffer, size, info);
    return take(ring, &walk, record, length, buffer, size, info);
}

/*
 * After a get has left.  The baton to the next consumer goes on even if nothing
 * was taken (a buffer too small, a time-out after being woken).
 */
SQ_HOT void wake_after_get(struct shmq *q, unsigned taken)
{
    if (taken > 0)
        sq_wake(q, SQ_ROLE_PRODUCER, taken);
    if (sq_unlikely(sq_cond_has_sleepers(sq_side_cond(q, SQ_ROLE_CONSUMER))) &&
        sq_ring_has_items(&q->segment.ring))
        sq_wake(q, SQ_ROLE_CONSUMER, 1);
}

/* An empty queue without a name stays empty. */
static int if_empty(const struct shmq *q, const struct sq_deadline *deadline)
{
    if (sq_segment_marked_gone(&q->segment))
        return sq_fail(-ESTALE, "the queue's name was removed");
    return deadline->timeout_ns == SHMQ_NOWAIT ? sq_fail_plainly(-EAGAIN) : 0;
}

/* The queue is empty: wait and try again. */
static ssize_t get_waiting(struct shmq *q, void *buffer, size_t size, struct shmq_info *info,
                           struct sq_deadline *deadline)
{
    struct sq_need none = {0};

    deadline->cancellable = true;
    for (;;) {
        ssize_t rc = if_empty(q, deadline);
        if (rc == 0)
            rc = sq_wait(q, SQ_ROLE_CONSUMER, none, deadline);
        if (rc == 0)
            rc = sq_enter(q, SQ_ROLE_CONSUMER, deadline);
        if (rc < 0)
            return rc;
        rc = take_one(&q->segment.ring, buffer, size, info);
        sq_leave(q, SQ_ROLE_CONSUMER);
        if (rc != -EAGAIN)
            return rc;
    }
}

ssize_t shmq_get(shmq_t *q, void *buffer, size_t size, struct shmq_info *info, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    const struct sq_ring ring = q->segment.ring; /* a copy, as in shmq_put() */

    if (sq_unlikely(timeout_ns < SHMQ_FOREVER))
        return sq_check_timeout(timeout_ns);
    ssize_t rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);
    if (sq_likely(rc == 0)) {
        rc = take_one(&ring, buffer, size, info);
        sq_leave(q, SQ_ROLE_CONSUMER);
    }
    if (sq_unlikely(rc == -EAGAIN))
        rc = get_waiting(q, buffer, size, info, &deadline);
    wake_after_get(q, rc >= 0);
    return rc;
}

/* --- many --------------------------------------------------------------- */

/* What a get_many has of its caller's space. */
struct sq_harvest {
    unsigned char *buffer;
    size_t size, used;
    struct shmq_info *infos;
    unsigned count, taken;
};

/*
 * C: take what is there and fits, from `walk` on.  How many; *rc is 0, -EMSGSIZE
 * or -EBADMSG after what stopped it.
 */
static unsigned take_run(const struct sq_ring *home, struct sq_walk *walk, struct sq_harvest *h,
                         int *rc)
{
    /* In registers: the copies may, for all the compiler knows, write to *h. */
    const struct sq_ring ring_copy = *home, *ring = &ring_copy;
    struct sq_walk at = *walk;
    unsigned char *buffer = h->buffer;
    size_t used = h->used, size = h->size;
    struct shmq_info *info = h->infos + h->taken;
    unsigned left = h->count - h->taken, taken = 0;
    uint64_t payload_bytes = 0;

    *rc = 0;
    while (taken < left && at.pos != at.end) {
        struct sq_walk next = at;
        uint32_t length;
        struct sq_record_shm *record = sq_walk_step(ring, &next, &length);
        if (sq_unlikely(record == NULL)) {
            *rc = -EBADMSG;
            break;
        }
        *info = (struct shmq_info){next.id - 1, record->put_ns, length, used};
        if (sq_unlikely(used > size || length > size - used)) {
            *rc = -EMSGSIZE;
            break;
        }
        sq_copy(buffer + used, sq_record_payload(record), length);
        sample_wait(ring, record);
        used += (size_t)sq_align_up(length, 8);
        payload_bytes += length;
        info++;
        taken++;
        at = next;
    }
    h->used = used;
    h->taken += taken;
    *walk = at;
    if (taken > 0)
        sq_ring_end_take(ring, walk, payload_bytes);
    return taken;
}

/* C: take what is there and fits.  How many, -EAGAIN, -EMSGSIZE, -EBADMSG. */
static int take_many(const struct sq_ring *ring, struct sq_harvest *h)
{
    unsigned taken = 0;
    int rc;

    do {
        struct sq_walk walk;
        rc = sq_ring_begin_take(ring, &walk);
        if (rc == -EAGAIN)
            return rc;
        if (rc == 0)
            taken = take_run(ring, &walk, h, &rc);
        if (rc == -EBADMSG && taken == 0 && second_look(ring, &walk) < 0)
            return rc;
    } while (rc == -EBADMSG && taken == 0);
    if (taken == 0)
        return rc;
    /* The next one did not fit, or is damaged: the caller has enough for now. */
    if (rc < 0)
        h->count = h->taken;
    return (int)taken;
}

int shmq_get_many(shmq_t *q, void *buffer, size_t size, struct shmq_info *infos, unsigned count,
                  int64_t linger_ns, int64_t timeout_ns)
{
    struct sq_harvest h = {buffer, size, 0, infos, count, 0};
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    struct sq_need none = {0};
    int rc = sq_check_timeout(timeout_ns);

    if (rc == 0)
        rc = sq_check_timeout(linger_ns);
    if (rc == 0 && count > INT32_MAX)
        rc = sq_fail(-EINVAL, "count %u is too large", count);
    if (rc < 0 || count == 0)
        return rc;
    while (h.taken < h.count) {
        unsigned before = h.taken;
        rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);
        if (rc == 0) {
            rc = take_many(&q->segment.ring, &h);
            sq_leave(q, SQ_ROLE_CONSUMER);
        }
        wake_after_get(q, h.taken - before);
        /* The first has come: from now on the linger time counts. */
        if (before == 0 && h.taken > 0)
            deadline = sq_deadline_in(linger_ns);
        if (rc == -EAGAIN || (rc > 0 && h.taken < h.count))
            rc = if_empty(q, &deadline);
        if (rc == 0)
            rc = sq_wait(q, SQ_ROLE_CONSUMER, none, &deadline);
        if (rc < 0)
            break;
    }
    if (h.taken > 0)
        return (int)h.taken;
    wake_after_get(q, 0);
    if (rc == -EMSGSIZE)
        sq_fail(rc, "the message has %zu bytes, the buffer %zu", infos[0].length, size);
    return rc;
}

/* --- all ------------------------------------------------------------------ */

/* Both sides, to empty a damaged ring. */
static int64_t reset(struct shmq *q, struct sq_deadline *deadline)
{
    int64_t rc = sq_enter(q, SQ_ROLE_PRODUCER, deadline);

    if (rc < 0)
        return rc;
    rc = sq_enter(q, SQ_ROLE_CONSUMER, deadline);
    if (rc == 0) {
        rc = sq_ring_purge(&q->segment.ring); /* another may have mended it meanwhile */
        if (rc == -EBADMSG)
            rc = sq_ring_reset(&q->segment.ring);
        sq_leave(q, SQ_ROLE_CONSUMER);
    }
    sq_leave(q, SQ_ROLE_PRODUCER);
    return rc;
}

int64_t shmq_purge(shmq_t *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    int64_t rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);

    if (rc < 0)
        return rc;
    rc = sq_ring_purge(&q->segment.ring);
    sq_leave(q, SQ_ROLE_CONSUMER);
    if (rc == -EBADMSG)
        rc = reset(q, &deadline);
    if (rc >= 0)
        sq_wake(q, SQ_ROLE_PRODUCER, UINT32_MAX);
    return rc;
}
