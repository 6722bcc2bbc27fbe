/*
 * consumer.h - what getting and receiving share, around group/group.h: rebuilding after damage,
 * lost leases returned, dead letters sent, others woken.
 */
#ifndef SQ_CONSUMER_H
#define SQ_CONSUMER_H

#include "base/error.h"
#include "handle/handle.h"
#include "message/msg_lease.h"

/* The lease that a message stands for, if it is this handle's and goes on. */
SQ_HOT int sq_consumer_lease_of(const struct shmq *q, const struct shmq_msg *msg,
                                struct sq_lease *lease)
{
    if (sq_unlikely(msg->size < sizeof(*msg)))
        return sq_fail(-EINVAL, "msg->size is %zu; use SHMQ_MSG_INIT", msg->size);
    *lease = sq_msg_lease(msg);
    if (sq_unlikely(lease->word == 0))
        return sq_fail(-EINVAL, "the message is not leased, or its lease was ended before");
    if (sq_unlikely(sq_word_owner(lease->word) != q->attachment.owner))
        return sq_fail(-EINVAL, "the message was not received by this handle");
    return 0;
}

/* What the end of a lease said, explained; and whether the lease is no more then. */
int sq_consumer_ended(int rc);

static inline bool sq_consumer_is_over(int rc)
{
    return rc == -ECANCELED || rc == -ESTALE;
}

/* C: as sq_group_pick(), with leases returned whose owners left.  What the pick
 * dooms is this handle's to make a dead letter.  -ESTALE: the group was removed. */
int sq_consumer_pick(struct shmq *q, bool to_lease, struct sq_pick *pick);

/*
 * C: whether the next message is simply the one at the cursor, although the group holds
 * some: all of them are leased, delayed or parked, and nothing is due.
 */
bool sq_consumer_is_plain(const struct shmq *q);

/*
 * C of the group that `ring` reads as: end what is over, and what the dead had.  Whoever is
 * to find a message as it is does so first: nobody else may have come for long.
 */
void sq_consumer_end_overdue(struct shmq *q, const struct sq_ring *ring);

/* Anybody: 0, or -ESTALE.  It stays so while the caller holds C. */
int sq_consumer_check_group(const struct shmq *q);

/* Enter the group's side, which must still be the handle's, within a second. */
int sq_consumer_enter(struct shmq *q);

/* Nothing is there: 0 wait, -EAGAIN, or -ESTALE, since it stays so. */
int sq_consumer_if_empty(const struct shmq *q, const struct sq_deadline *deadline);

/* C: before it is left.  A sole consumer makes the room that producers wait for. */
void sq_consumer_compact(struct shmq *q);

SQ_HOT void sq_consumer_make_room(struct shmq *q)
{
    if (sq_unlikely(sq_alone(q, SQ_ROLE_CONSUMER) &&
                    sq_cond_has_sleepers(&q->segment.ring.producer->room)))
        sq_consumer_compact(q);
}

/* A consumer that never sleeps looks for the dead, who may have leases, too. */
static inline void sq_consumer_sweep(struct shmq *q)
{
    if (sq_load(&q->segment.ring.group->pending.leased) == 0)
        return;
    int64_t now_ns = sq_clock_tick_ns();
    if (sq_unlikely(sq_attach_sweep_due(&q->segment, now_ns, SQ_SWEEP_EVERY_NS)))
        sq_attach_sweep(&q->segment, &q->attachment, now_ns, SQ_SWEEP_EVERY_NS);
}

/* C is left: wake producers if `finished` messages made room, those who wait for
 * everything to be finished, and the next consumer. */
void sq_consumer_wake_them(struct shmq *q, unsigned finished);

SQ_HOT void sq_consumer_wake(struct shmq *q, unsigned finished)
{
    const struct sq_ring *ring = &q->segment.ring;

    if (sq_unlikely(sq_cond_has_sleepers(&ring->producer->room) ||
                    sq_cond_has_sleepers(&ring->group->items) ||
                    (sq_load(&ring->group->mode) & SQ_GROUP_DONE_AWAITED) != 0))
        sq_consumer_wake_them(q, finished);
}

#endif
