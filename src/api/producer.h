/*
 * producer.h - what all kinds of putting share: the producer's side with room there, the
 * time stamp, waking afterwards.
 */
#ifndef SQ_PRODUCER_H
#define SQ_PRODUCER_H

#include "handle/handle.h"
#include "handle/wait.h"

/* The message is too long: say so.  -EMSGSIZE. */
int sq_producer_too_long(const struct shmq *q, size_t length);

/* P: the id in next_id is none: derive it anew.  It. */
uint64_t sq_producer_rebuild_id(const struct sq_ring *ring);

/*
 * P: the next message's id, put time and tag.  The time is precise, for the wait
 * histogram, at the first message of a tick and at every 64th.  An id that is none is
 * found by the same comparison.
 */
SQ_HOT int64_t sq_producer_stamp(const struct sq_ring *ring, uint64_t *id, uint32_t *tag)
{
    enum { SAMPLE_EVERY = 64 };
    const uint64_t none = ~(SQ_ID_MAX - 1);
    struct sq_producer_shm *p = ring->producer;
    int64_t tick_ns = sq_clock_tick_ns();

    sq_assert_held(&ring->producer->lock);
    *id = sq_load(&p->next_id);
    if (sq_likely(tick_ns == p->tick_ns &&
                  (*id & (none | (SAMPLE_EVERY - 1))) - 1 < SAMPLE_EVERY - 1)) {
        *tag = 0;
        return tick_ns;
    }
    if ((*id & none) != 0)
        *id = sq_producer_rebuild_id(ring->home);
    p->tick_ns = tick_ns;
    *tag = SQ_RECORD_SAMPLED;
    return sq_clock_ns();
}

/* The side is entered but there seems to be no room: see to it, or leave. */
int sq_producer_make_room(struct shmq *q, struct sq_need need, struct sq_deadline *deadline);

/* Enter the producer's side with room there.  0, or it is not entered. */
SQ_HOT int sq_producer_enter(struct shmq *q, const struct sq_ring *ring, struct sq_need need,
                             struct sq_deadline *deadline)
{
    int rc = sq_enter(q, SQ_ROLE_PRODUCER, deadline);

    if (sq_unlikely(rc < 0))
        return rc;
    if (sq_likely(sq_ring_has_room(ring, need.bytes, need.count) &&
                  !sq_segment_marked_unlinked(&q->segment)))
        return 0;
    return sq_producer_make_room(q, need, deadline);
}

/* Wake up to `count` consumers of each of a topic's groups. */
void sq_producer_wake_groups(struct shmq *q, unsigned count);

/*
 * After the producer's side was left: wake consumers for what was put, and pass
 * the baton to another producer if any room is left.
 */
SQ_HOT void sq_producer_wake_plain(struct shmq *q, unsigned count)
{
    if (count > 0)
        sq_wake(q, SQ_ROLE_CONSUMER, count);
    if (sq_unlikely(sq_cond_has_sleepers(sq_side_cond(q, SQ_ROLE_PRODUCER))) &&
        sq_ring_seems_roomy(&q->segment.ring, SQ_RECORD_HEADER_BYTES, 1))
        sq_wake(q, SQ_ROLE_PRODUCER, 1);
}

/* The same for queues of all kinds. */
static inline void sq_producer_wake(struct shmq *q, unsigned count)
{
    bool topic = (q->segment.ring.kind & SHMQ_TOPIC) != 0;

    if (topic)
        sq_producer_wake_groups(q, count);
    sq_producer_wake_plain(q, topic ? 0 : count);
}

#endif
