/*
 * consumer.c - see consumer.h.
 */
#include "api/consumer.h"

#include "base/error.h"
#include "group/group_bulk.h"
#include "group/ring_compact.h"
#include "handle/wait.h"

/* More than the coarse clock may be behind. */
enum { DUE_SOON_NS = 20 * 1000 * 1000 };

int sq_consumer_check_group(const struct shmq *q)
{
    if (sq_unlikely(sq_consumer_is_stale(q)))
        return sq_fail(-ESTALE, "the group was removed");
    return 0;
}

bool sq_consumer_is_plain(const struct shmq *q)
{
    const struct sq_group_shm *g = q->segment.ring.group;
    const struct sq_pending_shm *p = &g->pending;
    int64_t now_ns = sq_clock_tick_ns();

    sq_assert_held(&q->segment.ring.group->lock);
    return (sq_load(&g->mode) & ~(uint32_t)(SQ_GROUP_HOLDS | SQ_GROUP_NAMED)) == 0 &&
           (p->ready_count | sq_load(&p->waiting)) == 0 && !sq_consumer_is_stale(q) &&
           p->departures_seen == sq_load_acquire(&q->segment.control->departures) &&
           sq_load(&p->next_due_ns) > now_ns + DUE_SOON_NS &&
           !sq_attach_sweep_due(&q->segment, now_ns, SQ_SWEEP_EVERY_NS);
}

/* The coarse clock will do, unless something is due within its next tick or so. */
static int64_t time_for(const struct sq_pending_shm *p)
{
    int64_t now_ns = sq_clock_tick_ns();

    return sq_likely(sq_load(&p->next_due_ns) > now_ns + DUE_SOON_NS) ? now_ns : sq_clock_ns();
}

int sq_consumer_pick(struct shmq *q, bool to_lease, struct sq_pick *pick)
{
    const struct sq_ring *ring = &q->segment.ring;
    int64_t now_ns = time_for(&ring->group->pending);
    int rc = sq_consumer_check_group(q);

    sq_assert_held(&ring->group->lock);
    if (rc < 0)
        return rc;
    rc = sq_return_lost(q, ring, now_ns);
    if (rc >= 0)
        rc = sq_group_pick(ring, now_ns, q->attachment.owner, to_lease, pick);
    /* What waits is found, or the count of it is damaged. */
    bool miscounted = rc == -EAGAIN && sq_load(&ring->group->pending.waiting) != 0 &&
                      (sq_load(&ring->group->mode) & SQ_GROUP_PAUSED) == 0;
    if (sq_likely(rc != -EBADMSG && !miscounted))
        return rc;
    /* Perhaps only what is derived was damaged. */
    rc = sq_group_rebuild(ring);
    if (rc == 0)
        rc = sq_group_pick(ring, now_ns, q->attachment.owner, to_lease, pick);
    if (rc == -EBADMSG)
        return sq_fail(rc, "a record or a pending entry after position %llu is damaged",
                       (unsigned long long)sq_load(&ring->group->cursor_pos));
    return rc;
}

void sq_consumer_end_overdue(struct shmq *q, const struct sq_ring *ring)
{
    int64_t now_ns = sq_clock_ns();

    sq_assert_held(&ring->group->lock);
    sq_attach_sweep(&q->segment, &q->attachment, now_ns, SQ_SWEEP_EVERY_NS);
    if (sq_return_lost(q, ring, now_ns) < 0 || sq_group_end_overdue(ring, now_ns) < 0)
        sq_group_rebuild(ring);
    else
        sq_pending_note_due(ring);
}

int sq_consumer_if_empty(const struct shmq *q, const struct sq_deadline *deadline)
{
    if (sq_segment_marked_unlinked(&q->segment))
        return sq_fail(-ESTALE, "the queue's name was removed");
    return deadline->timeout_ns == SHMQ_NOWAIT ? sq_fail_plainly(-EAGAIN) : 0;
}

void sq_consumer_compact(struct shmq *q)
{
    int64_t now_ns = sq_clock_tick_ns();

    sq_assert_held(&q->segment.ring.group->lock);
    if (sq_ring_compact_wanted(&q->segment.ring, now_ns))
        sq_ring_compact(&q->segment.ring, 1, now_ns);
}

void sq_consumer_wake_them(struct shmq *q, unsigned finished)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_group_shm *g = ring->group;

    if (sq_unlikely(sq_cond_has_sleepers(&ring->producer->room)) &&
        (finished > 0 || sq_ring_seems_roomy(ring, SQ_RECORD_HEADER_BYTES, 1) ||
         sq_ring_compact_wanted(ring, sq_clock_tick_ns())))
        sq_wake(q, SQ_ROLE_PRODUCER, finished > 0 ? finished : 1);
    if (sq_unlikely((sq_load(&g->mode) & SQ_GROUP_DONE_AWAITED) != 0) &&
        sq_cond_has_sleepers(&g->done) && sq_group_backlog(ring) == 0)
        sq_cond_wake(&g->done, UINT32_MAX);
    sq_wake_consumer(q);
}

int sq_consumer_ended(int rc)
{
    if (rc == -ECANCELED)
        return sq_fail(rc, "the lease had ended, and the message is handed out again");
    if (rc == -EBADMSG)
        return sq_fail(rc, "the group's pending table is damaged");
    return rc;
}

int sq_consumer_enter(struct shmq *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    int rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);

    if (rc < 0)
        return rc;
    rc = sq_consumer_check_group(q);
    if (rc < 0)
        sq_leave(q, SQ_ROLE_CONSUMER);
    return rc;
}
