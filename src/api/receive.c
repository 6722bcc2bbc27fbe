/*
 * receive.c - taking messages on lease.
 *
 * As get.c, but the message stays in the ring, and the caller reads it there: its
 * entry says whose it is and until when (group/pending.c), and pins its record.
 */
#include <stdlib.h>

#include "api/consumer.h"
#include "api/dead_letter.h"
#include "group/fast_path.h"
#include "group/group_lease.h"
#include "handle/wait.h"
#include "persist/journal_sync.h"

/* Tell the caller of a leased message.  Field by field: clearing it first would take
 * as long as all else. */
SQ_HOT void describe(struct shmq_msg *msg, const struct sq_view *view, uint32_t attempts)
{
    msg->data = view->payload;
    msg->length = view->payload_bytes;
    msg->id = view->id;
    msg->type = view->type;
    msg->priority = view->priority;
    msg->delay_ns = msg->due_ns = 0;
    msg->ttl_ns = 0;
    if (view->expiry_ns != 0) {
        int64_t left_ns = view->expiry_ns - sq_clock_ns(); /* not coarse: no more than there was */
        msg->ttl_ns = left_ns > 0 ? left_ns : 1;
    }
    msg->key = view->key;
    msg->key_length = view->key_bytes;
    msg->headers = NULL;
    msg->header_count = 0;
    msg->correlation = view->correlation;
    msg->header_block = view->headers;
    msg->header_bytes = view->header_bytes;
    msg->put_ns = view->put_ns;
    msg->attempts = attempts;
    msg->state = SHMQ_LEASED;
    msg->reason = msg->reserved = 0;
    msg->since_ns = 0;
}

/* C: whether the group has nothing to do before the fast path. */
SQ_HOT bool may_take_fast_path(const struct shmq *q)
{
    sq_assert_held(&q->segment.ring.group->lock);
    return sq_likely(!sq_consumer_is_stale(q) &&
                     q->segment.ring.group->pending.departures_seen ==
                         sq_load_acquire(&q->segment.control->departures));
}

SQ_HOT int64_t lease_end(const struct sq_ring *ring, int64_t now_ns)
{
    return sq_tick_end(now_ns, sq_policy_of(ring->group)->lease_ns);
}

/* C: tell the caller of what was leased on the fast path. */
SQ_HOT void hand_over(const struct sq_ring *ring, struct shmq_msg *msg,
                      const struct sq_fast_lease *taken)
{
    const struct sq_view view = {
        .id = taken->lease.id,
        .put_ns = taken->record->put_ns,
        .payload = sq_record_payload(taken->record),
        .payload_bytes = taken->length,
    };

    describe(msg, &view, 1);
    sq_msg_hold(msg, &taken->lease, false);
    if (sq_unlikely((taken->record->tag & SQ_RECORD_SAMPLED) != 0))
        sq_ring_sample(ring, sq_elapsed_ns(sq_clock_ns(), msg->put_ns));
}

/* C: receive one on the fast path.  0, -EAGAIN, SQ_SLOW_PATH. */
SQ_HOT int receive_fast(struct shmq *q, struct shmq_msg *msg, int64_t now_ns)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_fast_lease taken;

    if (!may_take_fast_path(q))
        return SQ_SLOW_PATH;
    int rc = sq_fast_path_lease(ring, now_ns, lease_end(ring, now_ns), q->attachment.owner, &taken);
    if (sq_likely(rc == 0))
        hand_over(ring, msg, &taken);
    return rc;
}

/* C: receive one.  0, -EAGAIN, SQ_PICK_DOOMED, -ENOMEM, -ENOTSUP, -EBADMSG, -ESTALE. */
static int receive_one(struct shmq *q, struct shmq_msg *msg, struct sq_pick *pick)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_unpacked *plain = NULL;
    struct sq_lease lease;
    int rc = sq_consumer_pick(q, true, pick);

    if (rc != 0)
        return rc;
    if (sq_unlikely((pick->view.flags & SQ_EXTENSION_COMPRESSED) != 0)) {
        rc = sq_unpack(&pick->view, &plain);
        if (rc < 0)
            return rc;
    }
    int64_t until_ns = lease_end(ring, sq_clock_tick_ns());
    rc = sq_group_lease(ring, pick, q->attachment.owner, until_ns, &lease);
    if (rc < 0) {
        free(plain);
        return rc;
    }
    describe(msg, &pick->view, sq_word_attempts(lease.word));
    sq_msg_hold(msg, &lease, plain != NULL);
    if (plain != NULL) {
        sq_unpack_keep(&q->unpacks, plain, &lease);
        msg->data = plain->bytes;
        msg->length = pick->view.plain_bytes;
    }
    if ((pick->view.tag & SQ_RECORD_SAMPLED) != 0 && pick->attempts == 0)
        sq_ring_sample(ring, sq_elapsed_ns(sq_clock_ns(), pick->view.put_ns));
    return 0;
}

/* A consumer that never sleeps looks for the dead, too. */
SQ_HOT void look_for_dead(struct shmq *q, int64_t now_ns)
{
    if (sq_unlikely(sq_attach_sweep_due(&q->segment, now_ns, SQ_SWEEP_EVERY_NS)))
        sq_attach_sweep(&q->segment, &q->attachment, now_ns, SQ_SWEEP_EVERY_NS);
}

/* One round: as many as are there, up to `count`.  How many, or why none; 0: a dead
 * letter was made, try again. */
static int receive_round(struct shmq *q, struct shmq_msg *msgs, unsigned count,
                         struct sq_deadline *deadline)
{
    unsigned received = 0;
    struct sq_pick pick;
    bool doomed = false;
    int rc = sq_enter(q, SQ_ROLE_CONSUMER, deadline);

    if (sq_unlikely(rc < 0))
        return rc;
    int64_t now_ns = sq_clock_tick_ns(); /* not before: that may have taken long */
    do {
        rc = receive_fast(q, &msgs[received], now_ns);
        if (sq_unlikely(rc == SQ_SLOW_PATH)) {
            rc = receive_one(q, &msgs[received], &pick);
            doomed = rc == SQ_PICK_DOOMED;
        }
        received += rc == 0;
    } while (rc == 0 && received < count);
    /* What it passed over need not wait for an acknowledgement, that may never come. */
    struct sq_promise promise;
    if (received == 0)
        sq_journal_note_changes(q, 0, &promise);
    sq_consumer_make_room(q);
    sq_leave(q, SQ_ROLE_CONSUMER);
    if (sq_unlikely(doomed))
        sq_dead_letter_make_picked(q, &pick);
    look_for_dead(q, now_ns);
    return received > 0 ? (int)received : rc == SQ_PICK_DOOMED ? 0 : rc;
}

static int check(const struct shmq_msg *msgs, unsigned count, int64_t linger_ns, int64_t timeout_ns)
{
    int rc = sq_check_timeout(timeout_ns);

    if (rc == 0)
        rc = sq_check_timeout(linger_ns);
    if (rc == 0 && count > INT32_MAX)
        rc = sq_fail(-EINVAL, "count %u is too large", count);
    for (unsigned i = 0; rc == 0 && i < count; i++)
        if (msgs[i].size < sizeof(msgs[i]))
            rc = sq_fail(-EINVAL, "msgs[%u].size is %zu; use SHMQ_MSG_INIT", i, msgs[i].size);
    return rc;
}

/* Rounds until all are there, or the time is over.  `rc`: what a first round said. */
static int receive_rounds(struct shmq *q, struct shmq_msg *msgs, unsigned count, int64_t linger_ns,
                          struct sq_deadline *deadline, int rc)
{
    struct sq_need none = {0};
    unsigned received = 0;

    for (;; rc = receive_round(q, msgs + received, count - received, deadline)) {
        if (rc > 0) {
            /* The first has come: from now on the linger time counts. */
            if (received == 0)
                *deadline = sq_deadline_in(linger_ns);
            received += (unsigned)rc;
            if (received == count)
                break;
        }
        if (rc == 0)
            continue;
        if (rc > 0 || rc == -EAGAIN)
            rc = sq_consumer_if_empty(q, deadline);
        if (rc == 0)
            rc = sq_wait(q, SQ_ROLE_CONSUMER, none, deadline);
        if (rc < 0)
            break;
    }
    sq_consumer_wake(q, 0);
    return received > 0 ? (int)received : rc;
}

int shmq_receive_many(shmq_t *q, struct shmq_msg *msgs, unsigned count, int64_t linger_ns,
                      int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    int rc = check(msgs, count, linger_ns, timeout_ns);

    if (rc < 0 || count == 0)
        return rc;
    rc = receive_round(q, msgs, count, &deadline);
    return receive_rounds(q, msgs, count, linger_ns, &deadline, rc);
}

int shmq_receive(shmq_t *q, struct shmq_msg *msg, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);

    if (sq_unlikely(msg->size < sizeof(*msg) || timeout_ns < SHMQ_FOREVER))
        return check(msg, 1, SHMQ_NOWAIT, timeout_ns);
    int rc = receive_round(q, msg, 1, &deadline);
    if (sq_likely(rc == 1)) {
        sq_consumer_wake(q, 0);
        return 0;
    }
    /* Not at once: wait, or say why not. */
    rc = receive_rounds(q, msg, 1, SHMQ_NOWAIT, &deadline, rc);
    return rc < 0 ? rc : 0;
}

/* --- the next, for one that is finished ---------------------------------------- */

/* Acknowledge `lease`, which is msg's, and receive another if one is there.  0: received;
 * 1: acknowledged, and nothing was there; or why it was not acknowledged. */
static int exchange(struct shmq *q, struct shmq_msg *msg, const struct sq_lease *lease)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    int64_t now_ns = sq_clock_tick_ns();
    struct sq_fast_lease taken;
    int rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);

    if (sq_unlikely(rc < 0))
        return rc;
    rc = may_take_fast_path(q) && msg->lease[LEASE_UNPACKED] == 0
             ? sq_fast_path_next(ring, lease, now_ns, lease_end(ring, now_ns), q->attachment.owner,
                                 &taken)
             : SQ_SLOW_PATH;
    bool received = rc == 0;
    if (sq_likely(received)) {
        hand_over(ring, msg, &taken);
    } else {
        rc = sq_consumer_check_group(q);
        if (rc == 0)
            rc = sq_group_ack(ring, lease);
        if (rc == 0 || sq_consumer_is_over(rc))
            sq_msg_forget(msg, &q->unpacks);
    }
    struct sq_promise promise = {0};
    int error = sq_journal_note_changes(q, 0, &promise);
    sq_consumer_make_room(q);
    sq_leave(q, SQ_ROLE_CONSUMER);
    sq_consumer_wake(q, rc == 0);
    look_for_dead(q, now_ns);
    error = error < 0 ? error : sq_journal_sync_promise(q, &promise);
    if (error < 0 && rc == 0 && !received)
        return error;
    return received ? 0 : rc < 0 ? sq_consumer_ended(rc) : 1;
}

int shmq_next(shmq_t *q, struct shmq_msg *msg, int64_t timeout_ns)
{
    struct sq_lease lease;

    if (sq_unlikely(timeout_ns < SHMQ_FOREVER))
        return sq_check_timeout(timeout_ns);
    if (msg->size < sizeof(*msg) || msg->lease[LEASE_WORD] == 0)
        return shmq_receive(q, msg, timeout_ns);
    int rc = sq_consumer_lease_of(q, msg, &lease);
    if (sq_likely(rc == 0))
        rc = exchange(q, msg, &lease);
    return rc > 0 ? shmq_receive(q, msg, timeout_ns) : rc;
}
