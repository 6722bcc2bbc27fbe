/*
 * producer.c - see producer.h: what is done when there is no room.
 *
 * In turn: look where the groups are now; pass what has expired; slide together what they
 * hold (group/ring_compact.h); drop the oldest of those groups that are to lose messages rather
 * than hold producers back; wait.  For those between the groups' sides are entered, after the
 * producer's.
 */
#include "api/producer.h"

#include "api/consumer.h"
#include "base/error.h"
#include "group/group_bulk.h"
#include "group/ring_compact.h"
#include "group/table.h"
#include "handle/handle_groups.h"
#include "handle/poll_pipe.h"
#include "handle/wait.h"
#include "persist/journal.h"
#include "persist/pin.h"

int sq_producer_too_long(const struct shmq *q, size_t length)
{
    return sq_fail(-EMSGSIZE, "the message has %zu bytes; this queue takes up to %llu", length,
                   (unsigned long long)q->segment.attr.max_message_bytes);
}

uint64_t sq_producer_rebuild_id(const struct sq_ring *ring)
{
    uint64_t id = SQ_ID_MAX;

    sq_assert_held(&ring->producer->lock);
    if (sq_ring_rebuild_producer(ring) == 0)
        id = sq_load(&ring->producer->next_id);
    /* Where that cannot be: an id that is one, and not 0. */
    return id < SQ_ID_MAX ? id : (sq_load(&ring->producer->next_id) | 1) & (SQ_ID_MAX - 1);
}

/* Leases that are over, or whose owner is dead, pin the ring, and perhaps nobody receives
 * who would end them. */
static bool leases_seem_over(struct shmq *q)
{
    const struct sq_ring *ring = &q->segment.ring;
    int64_t now_ns = sq_clock_ns();
    bool over = false;

    for (uint64_t bits = sq_ring_groups(ring); bits != 0 && !over; bits &= bits - 1) {
        const struct sq_pending_shm *p = &ring->groups[__builtin_ctzll(bits)].pending;
        if (sq_load(&p->leased) == 0)
            continue;
        sq_attach_sweep(&q->segment, &q->attachment, now_ns, SQ_SWEEP_EVERY_NS);
        over = p->departures_seen != sq_load_acquire(&q->segment.control->departures) ||
               sq_load(&p->next_due_ns) <= now_ns;
    }
    return over;
}

/* Groups pass what has expired before them: perhaps nobody comes to receive it. */
static int pass_expired(struct shmq *q, struct sq_need need, struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    int64_t now_ns = sq_clock_ns();
    bool passed = false;

    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1) {
        struct sq_promise promise = {0};
        struct sq_ring other = *ring;
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        sq_ring_read_as(&other, i);
        if (!sq_group_meets_expired(&other, now_ns))
            continue;
        int rc = sq_enter_group(q, i, deadline);
        if (rc < 0)
            return rc == -EBUSY ? -EAGAIN : rc; /* a sole consumer sees to it itself */
        sq_group_look(&other, now_ns, NULL);
        if (sq_journal_writes(q)) /* as when the oldest are dropped */
            rc = sq_journal_group(q, &other, &promise);
        sq_leave_group(q, i);
        if (rc < 0)
            return rc;
        passed = true;
    }
    return passed ? sq_ring_look_room(ring, need.bytes, need.count) : -EAGAIN;
}

static int compact(struct shmq *q, struct sq_deadline *deadline)
{
    uint64_t entered;
    int rc = sq_enter_groups(q, &entered, deadline);

    if (rc < 0)
        return rc == -EBUSY ? 0 : rc; /* a sole consumer does it itself */
    for (uint64_t bits = entered; bits != 0; bits &= bits - 1) {
        struct sq_ring one = q->segment.ring;
        sq_ring_read_as(&one, (uint32_t)__builtin_ctzll(bits));
        sq_consumer_end_overdue(q, &one);
    }
    if (sq_ring_compact_wanted(&q->segment.ring, sq_clock_tick_ns()))
        sq_ring_compact(&q->segment.ring, entered, sq_clock_tick_ns());
    sq_leave_groups(q, entered);
    return 0;
}

/* What is derived may be damaged: derive it anew, for all groups. */
static int rebuild_all(struct shmq *q, struct sq_need need, struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    uint64_t entered;
    int rc = sq_enter_groups(q, &entered, deadline);

    if (rc < 0)
        return rc == -EBUSY ? -EBADMSG : rc;
    for (uint64_t bits = entered; bits != 0 && rc == 0; bits &= bits - 1) {
        struct sq_ring one = *ring;
        sq_ring_read_as(&one, (uint32_t)__builtin_ctzll(bits));
        rc = sq_group_rebuild(&one);
    }
    if (rc == 0)
        rc = sq_ring_rebuild_producer(ring);
    sq_leave_groups(q, entered);
    return rc < 0 ? rc : sq_ring_look_room(ring, need.bytes, need.count);
}

static bool may_drop(const struct shmq *q, const struct sq_group_shm *g)
{
    uint32_t lag = sq_policy_of(g)->lag;

    return lag == SHMQ_LAG_DROP ||
           (lag == SHMQ_LAG_DEFAULT && q->segment.attr.full == SHMQ_FULL_DROP);
}

/* Whether a group is in the way of room that begins at `pos`, or deeper than `depth`. */
static bool in_the_way(const struct sq_ring *ring, uint64_t pos, uint64_t depth)
{
    uint64_t cursor = sq_load_acquire(&ring->group->cursor_pos);
    uint64_t held = sq_load_acquire(&ring->group->held_pos);

    return (int64_t)(pos - cursor) > 0 || (held != UINT64_MAX && (int64_t)(pos - held) > 0) ||
           sq_ring_depth(ring) + sq_load(&ring->group->held_count) > depth;
}

/* Make room at the cost of groups that may lose messages; but not where another group
 * is in the way all the same. */
static int drop_oldest(struct shmq *q, struct sq_need need, struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    uint64_t pos = sq_load(&ring->producer->tail_pos) + need.bytes - ring->capacity_bytes;
    uint64_t depth = ring->max_messages == 0 ? UINT64_MAX : ring->max_messages - need.count;

    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1) {
        struct sq_ring other = *ring;
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        sq_ring_read_as(&other, i);
        if (!may_drop(q, other.group) && in_the_way(&other, pos, depth))
            return -EAGAIN;
    }
    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1) {
        struct sq_ring other = *ring;
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        sq_ring_read_as(&other, i);
        if (!may_drop(q, other.group) || !in_the_way(&other, pos, depth))
            continue;
        int rc = sq_enter_group(q, i, deadline);
        if (rc < 0)
            return rc;
        rc = sq_group_drop(&other, pos, depth);
        /* Else the file would have more, some day, than the ring holds. */
        struct sq_promise promise = {0};
        if (rc == 0 && sq_journal_writes(q))
            rc = sq_journal_group(q, &other, &promise);
        sq_leave_group(q, i);
        if (rc < 0)
            return rc;
    }
    return sq_ring_look_room(ring, need.bytes, need.count);
}

int sq_producer_make_room(struct shmq *q, struct sq_need need, struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;

    sq_assert_held(&ring->producer->lock);
    SQ_BUG_ON(need.bytes > ring->capacity_bytes);
    for (;;) {
        int rc = sq_ring_look_room(ring, need.bytes, need.count);
        if (rc == -EBADMSG)
            rc = rebuild_all(q, need, deadline);
        if (rc == -EAGAIN && sq_pin_lift_lost(q))
            rc = sq_ring_look_room(ring, need.bytes, need.count);
        if (rc == -EAGAIN)
            rc = pass_expired(q, need, deadline);
        if (rc == -EAGAIN &&
            (leases_seem_over(q) || sq_ring_compact_wanted(ring, sq_clock_tick_ns()))) {
            rc = compact(q, deadline);
            rc = rc < 0 ? rc : sq_ring_look_room(ring, need.bytes, need.count);
        }
        if (rc == -EAGAIN)
            rc = drop_oldest(q, need, deadline);
        if (sq_segment_marked_unlinked(&q->segment))
            rc = sq_fail(-ESTALE, "the queue's name was removed");
        if (rc == 0)
            return 0;
        sq_leave(q, SQ_ROLE_PRODUCER);
        if (rc == -EBADMSG)
            return sq_fail(rc, "the positions of the ring are damaged");
        if (rc != -EAGAIN)
            return rc;
        if (q->segment.attr.full == SHMQ_FULL_FAIL || deadline->timeout_ns == SHMQ_NOWAIT)
            return sq_fail_plainly(-EAGAIN);
        rc = sq_wait(q, SQ_ROLE_PRODUCER, need, deadline);
        if (rc == 0)
            rc = sq_enter(q, SQ_ROLE_PRODUCER, deadline);
        if (rc < 0) {
            sq_producer_wake(q, 0); /* perhaps a wake had been ours */
            return rc;
        }
    }
}

void sq_producer_wake_groups(struct shmq *q, unsigned count)
{
    const struct sq_ring *ring = &q->segment.ring;

    if (count == 0)
        return;
    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        if (sq_cond_has_sleepers(&ring->groups[i].items)) {
            sq_cond_wake(&ring->groups[i].items, count);
            sq_poll_pipe_update(q, i);
        }
    }
}
