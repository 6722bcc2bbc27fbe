/*
 * ack.c - the ends of a lease, and waiting until everything is finished.
 *
 * Each enters the group's side, changes the message's entry by its word, leaves and
 * wakes: producers for room, consumers for what came back.
 */
#include <stdlib.h>

#include "api/consumer.h"
#include "api/dead_letter.h"
#include "group/fast_path.h"
#include "group/group_bulk.h"
#include "group/group_lease.h"
#include "group/policy.h"
#include "persist/journal_sync.h"
#include "segment/segment_reopen.h"

/* Enter with a message's lease in hand.  Refused because the group is no more, a message is
 * to be forgotten, but by shmq_touch(). */
SQ_HOT int begin(struct shmq *q, struct shmq_msg *msg, struct sq_lease *lease)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    int rc = sq_consumer_lease_of(q, msg, lease);

    if (rc == 0)
        rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);
    if (rc < 0)
        return rc;
    if (sq_likely(!sq_consumer_is_stale(q)))
        return 0;
    sq_leave(q, SQ_ROLE_CONSUMER);
    return sq_consumer_check_group(q);
}

static int refused(struct shmq *q, struct shmq_msg *msg, int rc)
{
    if (sq_consumer_is_over(rc))
        sq_msg_forget(msg, &q->unpacks);
    return rc;
}

/* Leave again.  Whatever became of it, a lease that is no more is forgotten. */
SQ_HOT int end(struct shmq *q, struct shmq_msg *msg, int rc, unsigned finished)
{
    struct sq_promise promise = {0};
    int error = sq_journal_note_changes(q, 0, &promise);

    if (rc >= 0)
        sq_consumer_make_room(q);
    sq_leave(q, SQ_ROLE_CONSUMER);
    if (rc >= 0 || sq_consumer_is_over(rc))
        sq_msg_forget(msg, &q->unpacks);
    sq_consumer_wake(q, finished);
    if (sq_likely(promise.off == 0 && error == 0) || rc < 0)
        return sq_consumer_ended(rc);
    error = error < 0 ? error : sq_journal_sync_promise(q, &promise);
    return error < 0 ? error : rc;
}

int shmq_ack(shmq_t *q, struct shmq_msg *msg)
{
    struct sq_lease lease;
    int rc = begin(q, msg, &lease);

    if (sq_unlikely(rc < 0))
        return refused(q, msg, rc);
    rc = sq_fast_path_ack(&q->segment.ring, &lease);
    if (sq_unlikely(rc == SQ_SLOW_PATH))
        rc = sq_group_ack(&q->segment.ring, &lease);
    return end(q, msg, rc, 1);
}

/* C: leave after `acked` acknowledgements.  0, or what the journal said. */
static int leave_acked(struct shmq *q, int acked)
{
    struct sq_promise promise = {0};
    int error = sq_journal_note_changes(q, 0, &promise);

    sq_assert_held(&q->segment.ring.group->lock);
    sq_consumer_make_room(q);
    sq_leave(q, SQ_ROLE_CONSUMER);
    sq_consumer_wake(q, (unsigned)acked);
    return error < 0 ? error : sq_journal_sync_promise(q, &promise);
}

int shmq_ack_many(shmq_t *q, struct shmq_msg *msgs, unsigned count)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    int acked = 0, first_error = 0, rc = 0;
    struct sq_lease lease;

    if (count == 0)
        return 0;
    rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);
    if (rc < 0)
        return rc;
    rc = sq_consumer_check_group(q);
    for (unsigned i = 0; i < count; i++) {
        int one = sq_consumer_lease_of(q, &msgs[i], &lease);
        if (one == 0) {
            one = rc < 0 ? rc : sq_fast_path_ack(&q->segment.ring, &lease);
            if (one == SQ_SLOW_PATH)
                one = sq_group_ack(&q->segment.ring, &lease);
            if (one == 0 || sq_consumer_is_over(one))
                sq_msg_forget(&msgs[i], &q->unpacks);
        }
        acked += one == 0;
        if (one < 0 && first_error == 0)
            first_error = one;
    }
    int error = leave_acked(q, acked);
    if (error < 0 && rc >= 0)
        return error;
    return rc < 0 ? rc : acked > 0 ? acked : sq_consumer_ended(first_error);
}

/* Acknowledge up to `most` of this handle's leases with ids up to `id`. */
static int ack_owned(struct shmq *q, uint64_t id, int most)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_lease lease;
    int acked = 0;
    int rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);

    if (rc < 0)
        return rc;
    uint32_t next = ring->group->pending.lease_first;
    rc = sq_consumer_check_group(q);
    while (rc == 0 && acked < most) {
        rc = sq_group_next_lease(ring, &next, q->attachment.owner, id, &lease);
        if (rc == 0)
            rc = sq_group_ack(ring, &lease);
        if (rc < 0)
            break;
        sq_unpack_drop(&q->unpacks, &lease);
        acked++;
    }
    int error = leave_acked(q, acked);
    if (error < 0 && rc >= 0)
        return error;
    return rc == 0 || rc == -ENOENT ? acked : sq_consumer_ended(rc);
}

int shmq_ack_upto(shmq_t *q, uint64_t id)
{
    return ack_owned(q, id, INT32_MAX);
}

int shmq_task_done(shmq_t *q)
{
    int rc = ack_owned(q, UINT64_MAX, 1);

    if (rc == 0)
        return sq_fail(-EINVAL, "this handle has no message that is not acknowledged");
    return rc < 0 ? rc : 0;
}

/* --- giving back ------------------------------------------------------------ */

/* C: the message becomes a dead letter.  Leaves; to be called last. */
static int make_dead_letter(struct shmq *q, struct shmq_msg *msg, struct sq_lease *lease,
                            uint32_t reason, const char *text)
{
    int rc = sq_group_reject(&q->segment.ring, lease, reason, sq_clock_ns());
    bool is_dying = rc == 1;

    if (!is_dying)
        return end(q, msg, rc, 0);
    sq_leave(q, SQ_ROLE_CONSUMER);
    rc = sq_dead_letter_make(q, lease, sq_word_owner(lease->word), text);
    sq_msg_forget(msg, &q->unpacks);
    sq_consumer_wake(q, 1);
    return sq_consumer_ended(rc);
}

int shmq_nack(shmq_t *q, struct shmq_msg *msg, int64_t delay_ns, int flags)
{
    return shmq_fail(q, msg, delay_ns, flags, NULL);
}

int shmq_fail(shmq_t *q, struct shmq_msg *msg, int64_t delay_ns, int flags, const char *text)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_lease lease;

    if (delay_ns < SHMQ_BY_POLICY || (flags & ~SHMQ_TO_BACK) != 0)
        return sq_fail(-EINVAL, "delay %lld or flags %#x make no sense", (long long)delay_ns,
                       (unsigned)flags);
    int rc = begin(q, msg, &lease);
    if (rc < 0)
        return refused(q, msg, rc);
    const struct sq_policy_shm *policy = sq_policy_of(ring->group);
    uint32_t attempts = sq_word_attempts(lease.word);
    if (policy->max_attempts != 0 && attempts >= policy->max_attempts)
        return make_dead_letter(q, msg, &lease, SHMQ_REASON_ATTEMPTS, text);
    if (delay_ns == SHMQ_BY_POLICY)
        delay_ns = sq_policy_delay_ns(policy, attempts, &ring->group->pending.random);
    int64_t now_ns = delay_ns > 0 ? sq_clock_ns() : 0;
    int64_t due_ns = delay_ns > SQ_NEVER - 1 - now_ns ? SQ_NEVER - 1 : now_ns + delay_ns;
    rc = sq_group_nack(ring, &lease, delay_ns > 0 ? due_ns : 0, (flags & SHMQ_TO_BACK) != 0);
    return end(q, msg, rc, 1); /* what is no longer leased may be slid, or dropped */
}

int shmq_reject(shmq_t *q, struct shmq_msg *msg, uint32_t reason, const char *text)
{
    struct sq_lease lease;

    if ((reason & SQ_REASON_AGAIN) != 0)
        return sq_fail(-EINVAL, "reason %u is too large", reason);
    int rc = begin(q, msg, &lease);
    return rc < 0 ? refused(q, msg, rc) : make_dead_letter(q, msg, &lease, reason, text);
}

int shmq_touch(shmq_t *q, struct shmq_msg *msg, int64_t lease_ns)
{
    const struct sq_ring *ring = &q->segment.ring;
    int64_t now_ns = sq_clock_ns();
    struct sq_lease lease;

    if (lease_ns < 0)
        return sq_fail(-EINVAL, "lease_ns %lld is negative", (long long)lease_ns);
    int rc = begin(q, msg, &lease);
    if (rc < 0)
        return rc;
    if (lease_ns == 0)
        lease_ns = sq_policy_of(ring->group)->lease_ns;
    rc = sq_group_touch(ring, &lease, lease_ns > SQ_NEVER - now_ns ? SQ_NEVER : now_ns + lease_ns);
    sq_leave(q, SQ_ROLE_CONSUMER);
    /* Even of a lease that is lost the payload's memory stays: another thread may be
     * reading there, for which this one renews the lease. */
    sq_consumer_wake(q, 0);
    return sq_consumer_ended(rc);
}

/* --- waiting for the end ------------------------------------------------------- */

enum { ALL_DONE = 1 };

/* Have whoever finishes the last message wake us; or it is finished. */
static int announce(struct shmq *q, struct sq_deadline *deadline, uint32_t *ticket)
{
    struct sq_group_shm *g = q->segment.ring.group;
    int rc = sq_enter(q, SQ_ROLE_CONSUMER, deadline);

    if (rc < 0)
        return rc;
    rc = sq_consumer_check_group(q);
    /* Looked at with the side held: while a message goes from one state to another it is
     * counted in neither. */
    if (rc == 0 && sq_group_backlog(&q->segment.ring) == 0) {
        rc = ALL_DONE;
    } else if (rc == 0) {
        sq_store(&g->mode, sq_load(&g->mode) | SQ_GROUP_DONE_AWAITED);
        *ticket = sq_cond_prepare(&g->done);
    }
    sq_leave(q, SQ_ROLE_CONSUMER);
    return rc;
}

/* Take the announcement back, so that consumers need not look closely for our sake.  Others
 * who wait are woken, and announce themselves again. */
static void withdraw(struct shmq *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_NOWAIT);
    struct sq_group_shm *g = q->segment.ring.group;

    if ((sq_load(&g->mode) & SQ_GROUP_DONE_AWAITED) == 0 ||
        sq_enter(q, SQ_ROLE_CONSUMER, &deadline) < 0)
        return;
    sq_store(&g->mode, sq_load(&g->mode) & ~(uint32_t)SQ_GROUP_DONE_AWAITED);
    sq_leave(q, SQ_ROLE_CONSUMER);
    sq_cond_wake(&g->done, UINT32_MAX);
}

static int wait_done(struct shmq *q, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    struct sq_group_shm *g = q->segment.ring.group;
    uint32_t ticket = 0;
    int rc = 0;

    while (rc == 0) {
        int64_t now_ns = sq_clock_ns(), end_ns = sq_deadline_at(&deadline, now_ns);
        int64_t until_ns = now_ns + SQ_SLEEP_MAX_NS;
        rc = announce(q, &deadline, &ticket);
        if (rc != 0)
            break;
        if (now_ns >= end_ns)
            rc = sq_fail_plainly(-ETIMEDOUT);
        else if (sq_segment_is_unlinked(&q->segment))
            rc = sq_fail(-ESTALE, "the queue's name was removed");
        if (rc < 0) {
            sq_cond_cancel(&g->done);
            break;
        }
        /* It may have become finished before whoever did it saw us. */
        if (sq_group_backlog(&q->segment.ring) == 0) {
            sq_cond_cancel(&g->done);
            continue;
        }
        rc = sq_cond_sleep(&g->done, ticket, until_ns < end_ns ? until_ns : end_ns);
        if (rc == -ETIMEDOUT)
            rc = 0;
        else if (rc == -EINTR || rc == -EBADMSG)
            sq_fail_plainly(rc);
    }
    return rc == ALL_DONE ? 0 : rc;
}

int shmq_join(shmq_t *q, int64_t timeout_ns)
{
    int rc = sq_check_timeout(timeout_ns);

    if (rc == 0 && q->groupless)
        rc = sq_fail(-EINVAL, "a topic's groups finish by themselves: join one of them");
    if (rc == 0)
        rc = sq_consumer_check_group(q);
    if (rc == 0) {
        rc = wait_done(q, timeout_ns);
        withdraw(q);
    }
    return rc;
}
