/*
 * get.c - taking messages: one, many, or all for nothing.
 *
 * A get enters the consumer's side, copies the record at the cursor, moves the
 * cursor with one store (from then on the message is handed out), leaves, and
 * wakes: a producer, for the room it made, and the next consumer, for what it
 * left behind.
 */
#include "api/consumer.h"
#include "api/dead_letter.h"
#include "base/error.h"
#include "group/group_bulk.h"
#include "group/group_lease.h"
#include "group/key_index.h"
#include "group/pending_rebuild.h"
#include "handle/wait.h"
#include "message/compress.h"
#include "persist/journal_sync.h"

SQ_HOT void sample_wait(const struct sq_ring *ring, const struct sq_record_shm *record)
{
    if (sq_unlikely((record->tag & SQ_RECORD_SAMPLED) != 0))
        sq_ring_sample(ring->home, sq_elapsed_ns(sq_clock_ns(), record->put_ns));
}

/* What was found at the cursor is not just the next record: look closer. */
enum { TAKE_CLOSELY = -ENOMSG };

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

/* C: take one.  Length, -EAGAIN, -EMSGSIZE, TAKE_CLOSELY. */
SQ_HOT ssize_t take_one(struct shmq *q, const struct sq_ring *ring, void *buffer, size_t size,
                        struct shmq_info *info)
{
    struct sq_record_shm *record;
    struct sq_walk walk;
    uint32_t length;

    sq_assert_held(&ring->group->lock);
    if (sq_unlikely(sq_load(&ring->group->mode) != 0)) {
        sq_consumer_make_room(q);
        if (!sq_consumer_is_plain(q))
            return TAKE_CLOSELY;
    }
    int rc = sq_ring_begin_take(ring, &walk);
    if (sq_unlikely(rc < 0))
        return rc == -EAGAIN ? rc : TAKE_CLOSELY;
    record = sq_walk_step(ring, &walk, &length);
    if (sq_unlikely(record == NULL))
        return TAKE_CLOSELY;
    return take(ring, &walk, record, length, buffer, size, info);
}

/* C: what the group has to give, of whatever kind.  Length, -EAGAIN, -EMSGSIZE, -EBADMSG,
 * -ESTALE; or SQ_PICK_DOOMED in *doomed, and the caller makes pick a dead letter. */
static ssize_t take_closely(struct shmq *q, void *buffer, size_t size, struct shmq_info *info,
                            struct sq_pick *pick, bool *doomed)
{
    int rc = sq_consumer_pick(q, false, pick);
    const struct sq_view *view = &pick->view;

    *doomed = rc == SQ_PICK_DOOMED;
    if (rc != 0)
        return rc;
    if (info != NULL)
        *info = (struct shmq_info){view->id, view->put_ns, view->plain_bytes, 0};
    if (view->plain_bytes > size)
        return sq_fail(-EMSGSIZE, "the message has %u bytes, the buffer %zu", view->plain_bytes,
                       size);
    if ((view->flags & SQ_EXTENSION_COMPRESSED) != 0)
        rc = sq_decompress_to(view, buffer);
    else
        sq_copy(buffer, view->payload, view->payload_bytes);
    if (rc < 0)
        return rc;
    if ((view->tag & SQ_RECORD_SAMPLED) != 0)
        sq_ring_sample(&q->segment.ring, sq_elapsed_ns(sq_clock_ns(), view->put_ns));
    rc = sq_group_finish(&q->segment.ring, pick);
    return rc < 0 ? rc : (ssize_t)view->plain_bytes;
}

/*
 * After a get has left.  The baton to the next consumer goes on even if nothing
 * was taken (a buffer too small, a time-out after being woken).
 */
SQ_HOT void wake_after_get(struct shmq *q, unsigned taken)
{
    if (taken > 0)
        sq_wake(q, SQ_ROLE_PRODUCER, taken);
    if (sq_unlikely(sq_cond_has_sleepers(sq_side_cond(q, SQ_ROLE_CONSUMER))))
        sq_wake_consumer(q);
}

/* One try, on the fast path or the slow one.  -EAGAIN also after a dead letter was
 * made; *again then. */
static ssize_t try_get(struct shmq *q, void *buffer, size_t size, struct shmq_info *info,
                       struct sq_deadline *deadline, bool *again)
{
    struct sq_promise promise = {0};
    struct sq_pick pick;
    ssize_t rc = sq_enter(q, SQ_ROLE_CONSUMER, deadline);

    *again = false;
    if (rc < 0)
        return rc;
    rc = take_one(q, &q->segment.ring, buffer, size, info);
    bool closely = rc == TAKE_CLOSELY;
    if (closely) {
        rc = take_closely(q, buffer, size, info, &pick, again);
        sq_consumer_make_room(q);
        /* The message is the caller's, whatever becomes of that. */
        sq_journal_note_changes(q, 0, &promise);
    }
    sq_leave(q, SQ_ROLE_CONSUMER);
    if (*again)
        sq_dead_letter_make_picked(q, &pick);
    if (closely) {
        sq_consumer_wake(q, rc >= 0);
        sq_consumer_sweep(q);
    }
    sq_journal_sync_promise(q, &promise);
    return rc;
}

/* The queue is empty, or not just the next message is to be had. */
static ssize_t get_waiting(struct shmq *q, void *buffer, size_t size, struct shmq_info *info,
                           struct sq_deadline *deadline, bool empty)
{
    struct sq_need none = {0};

    deadline->cancellable = true;
    for (;;) {
        bool again = false;
        ssize_t rc = empty ? sq_consumer_if_empty(q, deadline) : 0;
        if (rc == 0 && empty)
            rc = sq_wait(q, SQ_ROLE_CONSUMER, none, deadline);
        if (rc == 0)
            rc = try_get(q, buffer, size, info, deadline, &again);
        if (rc != -EAGAIN && !again)
            return rc;
        if (rc == -EAGAIN && deadline->timeout_ns == SHMQ_NOWAIT)
            return sq_consumer_if_empty(q, deadline);
        empty = !again;
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
        rc = take_one(q, &ring, buffer, size, info);
        sq_leave(q, SQ_ROLE_CONSUMER);
    }
    if (sq_unlikely(rc < 0) && (rc == -EAGAIN || rc == TAKE_CLOSELY))
        rc = get_waiting(q, buffer, size, info, &deadline, rc == -EAGAIN);
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
    sq_assert_held(&home->group->lock);
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

/* C: as take_run(), on the slow path, one at a time.  Doomed: the caller makes a dead letter. */
static unsigned take_run_closely(struct shmq *q, struct sq_harvest *h, struct sq_pick *pick,
                                 bool *doomed, int *rc)
{
    unsigned taken = 0;

    *doomed = false;
    *rc = 0;
    while (h->taken < h->count && *rc == 0 && !*doomed) {
        size_t used = h->used < h->size ? h->used : h->size;
        struct shmq_info *info = &h->infos[h->taken];
        ssize_t n = take_closely(q, h->buffer + used, h->size - used, info, pick, doomed);
        info->offset = used;
        if (n < 0 || *doomed) {
            *rc = n < 0 ? (int)n : 0;
            break;
        }
        h->used = used + (size_t)sq_align_up((uint64_t)n, 8);
        h->taken++;
        taken++;
    }
    return taken;
}

/* C: take what is there and fits.  How many, -EAGAIN, -EMSGSIZE, -EBADMSG, -ESTALE. */
static int take_many(struct shmq *q, struct sq_harvest *h, struct sq_pick *pick, bool *doomed)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_walk walk;
    unsigned taken = 0;
    int rc = 0;

    *doomed = false;
    if (sq_load(&ring->group->mode) == 0 || sq_consumer_is_plain(q)) {
        rc = sq_ring_begin_take(ring, &walk);
        if (rc == -EAGAIN)
            return rc;
        if (rc == 0)
            taken = take_run(ring, &walk, h, &rc);
    } else {
        rc = -EBADMSG;
    }
    if (rc == -EBADMSG && h->taken < h->count) { /* or what is removed, delayed, ... */
        taken += take_run_closely(q, h, pick, doomed, &rc);
        sq_consumer_make_room(q);
    }
    if (taken == 0)
        return rc;
    /* The next one did not fit: the caller has enough for now. */
    if (rc == -EMSGSIZE)
        h->count = h->taken;
    return (int)taken;
}

/* One round of shmq_get_many(): as take_many(), and leaves. */
static int harvest(struct shmq *q, struct sq_harvest *h, struct sq_deadline *deadline)
{
    struct sq_promise promise = {0};
    unsigned before = h->taken;
    struct sq_pick pick;
    bool doomed = false;
    int rc = sq_enter(q, SQ_ROLE_CONSUMER, deadline);

    if (rc == 0) {
        rc = take_many(q, h, &pick, &doomed);
        sq_journal_note_changes(q, 0, &promise);
        sq_leave(q, SQ_ROLE_CONSUMER);
    }
    if (doomed)
        sq_dead_letter_make_picked(q, &pick);
    if (sq_load(&q->segment.ring.group->mode) != 0) {
        sq_consumer_wake(q, h->taken - before);
        sq_consumer_sweep(q);
    } else {
        wake_after_get(q, h->taken - before);
    }
    sq_journal_sync_promise(q, &promise);
    return doomed && rc == -EAGAIN ? 0 : rc;
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
        rc = harvest(q, &h, &deadline);
        /* The first has come: from now on the linger time counts. */
        if (before == 0 && h.taken > 0)
            deadline = sq_deadline_in(linger_ns);
        if (rc == 0)
            continue; /* after a dead letter */
        if (rc == -EAGAIN || (rc > 0 && h.taken < h.count))
            rc = sq_consumer_if_empty(q, &deadline);
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
    int64_t rc = sq_visit(q, SQ_ROLE_PRODUCER, deadline);

    if (rc < 0)
        return rc;
    rc = sq_enter(q, SQ_ROLE_CONSUMER, deadline);
    if (rc == 0) {
        rc = sq_group_purge(&q->segment.ring); /* another may have rebuilt it meanwhile */
        if (rc == -EBADMSG) {
            rc = sq_ring_reset(&q->segment.ring);
            sq_pending_reset(&q->segment.ring);
            sq_group_rebuild(&q->segment.ring); /* its mode too may be damaged */
        }
        sq_leave(q, SQ_ROLE_CONSUMER);
    }
    sq_end_visit(q, SQ_ROLE_PRODUCER);
    return rc;
}

int64_t shmq_purge(shmq_t *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    int64_t rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);

    if (rc < 0)
        return rc;
    rc = sq_consumer_check_group(q);
    struct sq_promise promise = {0};
    int error = 0;
    if (rc == 0) {
        sq_consumer_end_overdue(q,
                                &q->segment.ring); /* what was leased and is no longer, goes, too */
        rc = sq_group_purge(&q->segment.ring);
    }
    if (rc >= 0)
        error = sq_journal_note_changes(q, 0, &promise);
    sq_leave(q, SQ_ROLE_CONSUMER);
    if (error == 0)
        error = sq_journal_sync_promise(q, &promise);
    if (rc == -EBADMSG)
        rc = reset(q, &deadline);
    if (rc >= 0)
        sq_wake(q, SQ_ROLE_PRODUCER, UINT32_MAX);
    sq_consumer_wake(q, 0);
    return rc >= 0 && error < 0 ? error : rc;
}
