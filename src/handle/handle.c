/*
 * handle.c - entering a side, and repairing what a dead owner left there (handle.h).
 *
 * Crash rule.  An owner that dies in a side leaves the truth of that side whole (ring/ring.c,
 * group/pending.c), and what is derived from it perhaps out of date.  The next owner learns of
 * the death from the lock that it takes over, or from the `sole` mark of a role that it could
 * claim.  It then rebuilds what is derived: here, in repair(), and nowhere else.
 */
#include "handle/handle.h"

#include "base/error.h"
#include "group/group_bulk.h"
#include "group/group_lease.h"
#include "group/table.h"
#include "handle/hooks.h"
#include "handle/poll_pipe.h"
#include "sync/futex.h"

uint64_t sq_thread(void)
{
    static _Atomic uint64_t last;
    static _Thread_local uint64_t own;

    if (own == 0)
        own = atomic_fetch_add(&last, 1) + 1;
    return own;
}

int sq_check_timeout(int64_t timeout_ns)
{
    if (timeout_ns < SHMQ_FOREVER)
        return sq_fail(-EINVAL, "timeout %lld is negative and not SHMQ_FOREVER",
                       (long long)timeout_ns);
    return 0;
}

/* In a forked child: nothing that the parent had is ours. */
static void forget_parent(struct sq_forkable *forkable)
{
    struct shmq *q = (struct shmq *)((char *)forkable - offsetof(struct shmq, forkable));

    pthread_mutex_init(&q->claim_lock, NULL);
    sq_unpack_init(&q->unpacks);
    sq_store(&q->state, 0);
    q->attachment = (struct sq_attachment){-1, 0};
    for (int role = 0; role < 2; role++)
        sq_store(&q->guard[role].taken, false);
    sq_store(&q->visitor, 0);
    q->visits = 0;
    sq_store(&q->reservation.thread, 0);
    sq_hooks_inherit(q);
}

void sq_handle_init(struct shmq *q)
{
    enum { SPIN_FIRST_NS = 10000 };

    pthread_mutex_init(&q->claim_lock, NULL);
    sq_unpack_init(&q->unpacks);
    q->attachment.slot = -1;
    q->forkable.segment = &q->segment;
    q->forkable.in_child = forget_parent;
    for (int role = 0; role < 2; role++)
        sq_store(&q->habit[role].spin_ns, SPIN_FIRST_NS);
}

/* The side is had, after an owner that died: make its derived fields right.  `ring`
 * reads as the group whose side it is. */
static void repair(struct shmq *q, const struct sq_ring *ring, enum sq_role role)
{
    sq_assert_held(role == SQ_ROLE_PRODUCER ? &ring->producer->lock : &ring->group->lock);
    /* Where the truth itself is damaged the calls find out for themselves. */
    if (role == SQ_ROLE_PRODUCER) {
        sq_ring_rebuild_producer(ring);
        ring->producer->sleeper_bytes = ring->producer->sleeper_count = 0;
        ring->producer->passed_pos = UINT64_MAX; /* no cursor is: the dead may not have woken */
        sq_store(&q->segment.file->journal.queue_frame_due, 1);
    } else {
        sq_group_rebuild(ring);
    }
    atomic_fetch_add(&q->segment.control->recovery_count, 1);
    /* The dead may have published and not woken. */
    sq_wake(q, SQ_ROLE_PRODUCER, 1);
    if (sq_cond_has_sleepers(&ring->group->items))
        sq_cond_wake(&ring->group->items, 1);
    if (sq_cond_has_sleepers(&ring->group->done))
        sq_cond_wake(&ring->group->done, UINT32_MAX);
}

static const char *side_name(enum sq_role role)
{
    return role == SQ_ROLE_PRODUCER ? "putting" : "getting";
}

bool sq_hold_from_dead(struct shmq *q, struct sq_lock_shm *lock)
{
    uint32_t owner = sq_load(&lock->owner);

    return owner != 0 && !sq_attach_owner_lives(&q->segment, &q->attachment, owner) &&
           sq_lock_take_over(lock, owner, q->attachment.owner) == 0;
}

int sq_hold(struct shmq *q, struct sq_lock_shm *lock, struct sq_deadline *deadline)
{
    struct sq_patience patience = {0};

    sq_lock_wanted(lock, sq_segment_lock_rank(&q->segment, lock));
    while (sq_lock_try(lock, q->attachment.owner) != 0) {
        if (sq_patience_is_long(&patience) && sq_hold_from_dead(q, lock)) {
            sq_lock_taken(lock, sq_segment_lock_rank(&q->segment, lock));
            return 1;
        }
        int rc = sq_patience_wait(&patience, deadline);
        if (rc < 0)
            return rc;
    }
    sq_lock_taken(lock, sq_segment_lock_rank(&q->segment, lock));
    return 0;
}

/* Take the lock, from a dead owner if need be, and then repair. */
static int take_lock(struct shmq *q, const struct sq_ring *ring, enum sq_role role,
                     struct sq_deadline *deadline)
{
    int rc =
        sq_hold(q, role == SQ_ROLE_PRODUCER ? &ring->producer->lock : &ring->group->lock, deadline);

    if (rc == -ETIMEDOUT)
        return sq_fail(rc,
                       "the lock of the %s side was not to be had in time; its holder may "
                       "be stopped",
                       side_name(role));
    if (rc < 0)
        return sq_fail_plainly(rc);
    if (rc > 0)
        repair(q, ring, role);
    return 0;
}

/* The side is held by this thread, or by another for some nanoseconds. */
static int check_own_reservation(const struct shmq *q, enum sq_role role)
{
    if (role == SQ_ROLE_PRODUCER && sq_load(&q->reservation.thread) == sq_thread())
        return sq_fail(-EBUSY, "this thread has a reservation open on this handle");
    return 0;
}

int sq_enter_slow(struct shmq *q, enum sq_role role, struct sq_deadline *deadline)
{
    int rc = check_own_reservation(q, role);

    return rc < 0 ? rc : take_lock(q, &q->segment.ring, role, deadline);
}

int sq_enter_guard(struct shmq *q, enum sq_role role, struct sq_deadline *deadline)
{
    struct sq_guard *guard = &q->guard[role];
    struct sq_patience patience = {0};
    int rc = check_own_reservation(q, role);

    if (rc == 0)
        sq_lock_wanted(sq_side_lock(q, role), sq_side_rank(q, role));
    while (rc == 0 && atomic_exchange_explicit(&guard->taken, true, memory_order_acquire))
        rc = sq_patience_wait(&patience, deadline);
    if (rc == 0)
        sq_lock_taken(sq_side_lock(q, role), sq_side_rank(q, role));
    return rc == -ETIMEDOUT || rc == -EINTR ? sq_fail_plainly(rc) : rc;
}

static bool owner_left(const void *q, uint32_t owner)
{
    return sq_attach_owner_left(&((const struct shmq *)q)->segment, owner);
}

int sq_return_lost(struct shmq *q, const struct sq_ring *ring, int64_t now_ns)
{
    struct sq_pending_shm *p = &ring->group->pending;
    uint64_t departures = sq_load_acquire(&q->segment.control->departures);

    sq_assert_held(&ring->group->lock);
    if (sq_likely(p->departures_seen == departures))
        return 0;
    p->departures_seen = departures; /* before: who leaves meanwhile is counted anew */
    return sq_group_return_lost(ring, owner_left, q, now_ns);
}

void sq_wake_them(struct shmq *q, enum sq_role role, unsigned count)
{
    sq_cond_wake(sq_side_cond(q, role), count);
    if (role == SQ_ROLE_CONSUMER)
        sq_poll_pipe_update(q, sq_ring_group_index(&q->segment.ring));
}

/* --- other groups' sides -------------------------------------------------- */

/* Whether there may ever be a sole consumer (api/open.c): else a claim is in nobody's way, and
 * a visit for each put would cost much. */
static bool can_be_sole(const struct shmq *q)
{
    const struct shmq_attr *attr = &q->segment.attr;

    return attr->full != SHMQ_FULL_DROP && attr->policy.lag != SHMQ_LAG_DROP && attr->kind == 0;
}

int sq_enter_group(struct shmq *q, uint32_t index, struct sq_deadline *deadline)
{
    struct sq_ring other = q->segment.ring;

    /* A topic's groups have no sole consumers, and so no roles to claim. */
    if ((other.kind & SHMQ_TOPIC) == 0)
        return can_be_sole(q) ? sq_visit(q, SQ_ROLE_CONSUMER, deadline)
                              : sq_enter(q, SQ_ROLE_CONSUMER, deadline);
    sq_ring_read_as(&other, index);
    return take_lock(q, &other, SQ_ROLE_CONSUMER, deadline);
}

void sq_leave_group(struct shmq *q, uint32_t index)
{
    if ((q->segment.ring.kind & SHMQ_TOPIC) == 0) {
        sq_end_visit(q, SQ_ROLE_CONSUMER);
    } else {
        sq_lock_free(&q->segment.ring.groups[index].lock);
        sq_fence_after_unlock();
    }
}

/* --- becoming ready ----------------------------------------------------- */

static _Atomic uint32_t *sole_mark(const struct shmq *q, enum sq_role role)
{
    return role == SQ_ROLE_PRODUCER ? &q->segment.ring.producer->sole
                                    : &q->segment.ring.group->sole;
}

/*
 * The side is claimed.  Whoever had it alone, or its lock, and died there has
 * left a mark, or the lock; take both over.
 */
static int take_over(struct shmq *q, enum sq_role role, struct sq_deadline *deadline)
{
    int rc = take_lock(q, &q->segment.ring, role, deadline);

    if (rc < 0)
        return rc;
    if (sq_load(sole_mark(q, role)) != 0) {
        repair(q, &q->segment.ring, role);
        sq_store(sole_mark(q, role), 0);
    }
    sq_lock_free(sq_side_lock(q, role));
    return 0;
}

/* Claimed alone: the mark says so to sleepers, and should we die to our successor. */
static void begin_sole(struct shmq *q, enum sq_role role)
{
    SQ_BUG_ON(sq_alone(q, role));
    sq_store(sole_mark(q, role), 1);
    if (!sq_membarrier_register())
        atomic_fetch_or(&q->segment.control->notices, SQ_NOTICE_FENCE);
    /* Whoever announced itself as a sleeper without seeing the mark is seen by
     * our first put or get. */
    atomic_thread_fence(memory_order_seq_cst);
    atomic_fetch_or(&q->state, SQ_ALONE << role);
}

static int attach_again(struct shmq *q)
{
    if (q->segment.fd < 0)
        return sq_fail(-ESTALE, "the child could not open the queue again after fork()");
    int rc = sq_attach(&q->segment, &q->attachment, q->flags);
    if (rc == 0)
        sq_note_group(q);
    return rc;
}

void sq_note_group(struct shmq *q)
{
    struct sq_slot_shm *slot = sq_attach_slot(&q->segment, &q->attachment);

    if (slot != NULL)
        slot->group = q->groupless ? SQ_GROUPS_MAX : sq_ring_group_index(&q->segment.ring);
}

static int claim(struct shmq *q, enum sq_role role, struct sq_deadline *deadline)
{
    bool sole =
        (q->flags & (role == SQ_ROLE_PRODUCER ? SHMQ_SOLE_PRODUCER : SHMQ_SOLE_CONSUMER)) != 0;
    struct sq_deadline grace = sq_deadline_in(SHMQ_NOWAIT);
    struct sq_patience patience = {0};
    int rc;

    /* One that is there for a visit only is gone at once. */
    do
        rc = sq_role_claim(&q->segment, role, sole);
    while (rc == -EBUSY && sole && sq_patience_wait(&patience, &grace) == 0);

    /* A dead owner of the lock is found by the next who takes it; a sole owner
     * takes it only here. */
    if (rc == 0 && (sole || sq_load(sole_mark(q, role)) != 0))
        rc = take_over(q, role, deadline);
    if (rc == 0 && sole)
        begin_sole(q, role);
    return rc;
}

/* Claiming is short, but a stopped process may hold the lock that it needs. */
static int hold_claims(struct shmq *q, struct sq_deadline *deadline)
{
    struct sq_patience patience = {0};
    int rc = 0;

    sq_lock_wanted(&q->claim_lock, sq_claims_rank(q));
    while (rc == 0 && pthread_mutex_trylock(&q->claim_lock) != 0)
        rc = sq_patience_wait(&patience, deadline);
    if (rc == 0)
        sq_lock_taken(&q->claim_lock, sq_claims_rank(q));
    return rc < 0 ? sq_fail_plainly(rc) : 0;
}

/* Hold the claims, once for all the visits of a thread, and what it claims meanwhile. */
static int begin_visit(struct shmq *q, struct sq_deadline *deadline)
{
    int rc = sq_load(&q->visitor) == sq_thread() ? 0 : hold_claims(q, deadline);

    if (rc == 0) {
        sq_store(&q->visitor, sq_thread());
        q->visits++;
    }
    return rc;
}

static void leave_visit(struct shmq *q)
{
    SQ_BUG_ON(q->visits == 0 || sq_load(&q->visitor) != sq_thread());
    if (--q->visits == 0) {
        sq_store(&q->visitor, 0);
        sq_mutex_unlock(&q->claim_lock);
    }
}

/* The claims are held: have a slot. */
static int be_attached(struct shmq *q)
{
    if ((sq_load(&q->state) & SQ_ATTACHED) != 0)
        return 0;
    int rc = attach_again(q);
    if (rc == 0)
        atomic_fetch_or(&q->state, SQ_ATTACHED);
    return rc;
}

int sq_make_ready_attached(struct shmq *q, struct sq_deadline *deadline)
{
    if (q->segment.readable_only)
        return sq_fail(-EACCES, "the handle was opened with SHMQ_RDONLY");
    int cancel = sq_cancel_hold();
    int rc = hold_claims(q, deadline);
    if (rc == 0) {
        rc = be_attached(q);
        sq_mutex_unlock(&q->claim_lock);
    }
    sq_cancel_release(cancel);
    return rc;
}

int sq_make_ready(struct shmq *q, enum sq_role role, struct sq_deadline *deadline)
{
    if (q->segment.readable_only)
        return sq_fail(-EACCES, "the handle was opened with SHMQ_RDONLY");
    if (role == SQ_ROLE_CONSUMER && q->groupless)
        return sq_fail(-EINVAL, "a topic is read by a group: shmq_subscribe() gives a handle");
    int cancel = sq_cancel_hold();
    int rc = begin_visit(q, deadline);
    if (rc == 0) {
        rc = be_attached(q);
        if (rc == 0 && (sq_load(&q->state) & (uint32_t)SQ_READY << role) == 0) {
            rc = claim(q, role, deadline);
            if (rc == 0)
                atomic_fetch_or(&q->state, (uint32_t)SQ_READY << role);
        }
        leave_visit(q);
    }
    sq_cancel_release(cancel);
    return rc;
}

/* --- visits ----------------------------------------------------------------- */

static bool is_ready(const struct shmq *q, enum sq_role role)
{
    return (sq_load_acquire(&q->state) & (uint32_t)SQ_READY << role) != 0;
}

/* The claims are held, and the side is not claimed: claim it and take its lock. */
static int take_side(struct shmq *q, enum sq_role role, struct sq_deadline *deadline)
{
    int rc = be_attached(q);

    if (rc == 0)
        rc = claim(q, role, deadline);
    if (rc < 0)
        return rc;
    rc = take_lock(q, &q->segment.ring, role, deadline);
    if (rc < 0)
        sq_role_release(&q->segment, role);
    return rc;
}

int sq_visit(struct shmq *q, enum sq_role role, struct sq_deadline *deadline)
{
    uint32_t sole = role == SQ_ROLE_PRODUCER ? SHMQ_SOLE_PRODUCER : SHMQ_SOLE_CONSUMER;

    /* What refuses the handle, and what it claims for good anyway, is not for here. */
    if (is_ready(q, role) || (q->flags & sole) != 0 || q->segment.readable_only ||
        (role == SQ_ROLE_CONSUMER && q->groupless))
        return sq_enter(q, role, deadline);
    int cancel = sq_cancel_hold();
    int rc = begin_visit(q, deadline);
    if (rc == 0 && is_ready(q, role)) { /* another thread was faster */
        leave_visit(q);
        rc = sq_enter(q, role, deadline);
    } else if (rc == 0) {
        rc = take_side(q, role, deadline);
        if (rc < 0)
            leave_visit(q);
    }
    sq_cancel_release(cancel);
    return rc;
}

void sq_end_visit(struct shmq *q, enum sq_role role)
{
    /* Nobody can have claimed the side meanwhile, nor given it up. */
    bool visited = !is_ready(q, role);

    sq_leave(q, role);
    if (visited) {
        sq_role_release(&q->segment, role);
        leave_visit(q);
    }
}

int sq_enter_first(struct shmq *q, enum sq_role role, struct sq_deadline *deadline)
{
    int rc = sq_make_ready(q, role, deadline);

    return rc < 0 ? rc : sq_enter(q, role, deadline);
}
