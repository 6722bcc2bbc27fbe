/*
 * wait.c - how a call waits for a message, or for room (wait.h).
 *
 * A call first spins, if that has helped before and the other side can be running on another
 * CPU.  Then it sleeps on its side's condition variable (sync/cond.h), for at most a second at a
 * time.  When the second is over it looks for dead processes and a removed name.  So a wake that
 * died with the process it was meant for delays the others by no more than that.
 *
 * A spinning consumer must not run on the producer's heels: each look at the tail takes the
 * cache line from a producer that is about to write it again.  When messages come faster than a
 * line travels, it is better to look away for some microseconds and then find many messages:
 * that doubles the throughput.  In a ping-pong, where each message answers one of ours, looking
 * away would double the round trip.  What the looks find distinguishes the two: a stream brings
 * messages at once, and several.
 */
#include "handle/wait.h"

#include <limits.h>
#include <sched.h>

#include "base/error.h"
#include "group/ring_compact.h"
#include "group/table.h"
#include "handle/handle.h"
#include "handle/poll_pipe.h"
#include "segment/segment_reopen.h"
#include "sync/futex.h"

enum {
    SPIN_MIN_NS = 1000,
    SPIN_MAX_NS = 40000,
    LOOKS_PER_CLOCK = 16,
    AWAY_NS = 10000, /* how long a look away lasts */
    AWAY_PAUSES = 8,
    HEELS_NEAR_LOOKS = 2,       /* found within so many looks: close behind */
    HEELS_TIMES = 3,            /* so often in a row: a stream */
    HEELS_LEAST_COUNT = 32,     /* found fewer after looking away, and less: too slow a */
    HEELS_MIN_BYTES = 32 << 10, /* stream to gain by it */
    YIELDS = 4,
    YIELD_MAX_NS = 200000, /* longer: a third process has this CPU */
    YIELD_PAUSE = 64,      /* waits without, after yielding was in vain */
};

bool sq_seems_ready(const struct shmq *q, int64_t now_ns)
{
    const struct sq_ring *ring = &q->segment.ring;
    const struct sq_group_shm *g = ring->group;
    uint32_t mode = sq_load(&g->mode);

    if (sq_likely(mode == 0))
        return sq_ring_has_items(ring);
    if (sq_group_seems_ready(ring) || sq_consumer_is_stale(q))
        return true;
    if ((mode & SQ_GROUP_PAUSED) != 0)
        return false;
    return (now_ns != 0 && sq_load(&g->pending.next_due_ns) <= now_ns) ||
           (sq_load(&g->pending.leased) != 0 &&
            g->pending.departures_seen != sq_load(&q->segment.control->departures));
}

static bool seems_ready(const struct shmq *q, enum sq_role role, struct sq_need need)
{
    const struct sq_ring *ring = &q->segment.ring;

    if (role == SQ_ROLE_CONSUMER)
        return sq_seems_ready(q, 0);
    return sq_ring_seems_roomy(ring, need.bytes, need.count) ||
           (sq_load(&ring->group->sole) == 0 && sq_ring_compact_wanted(ring, sq_clock_tick_ns()));
}

static void pause_times(int n)
{
    while (n-- > 0)
        sq_pause();
}

/* Whether we run on the producer's heels, also from what the last wait brought. */
static bool on_heels(const struct shmq *q, struct sq_habit *habit)
{
    uint64_t id = sq_load(&q->segment.ring.group->finished_id);
    uint64_t pos = sq_load(&q->segment.ring.group->cursor_pos);
    uint64_t count = id - sq_load(&habit->last_id), bytes = pos - sq_load(&habit->last_pos);

    sq_store(&habit->last_id, id);
    sq_store(&habit->last_pos, pos);
    if (sq_load(&habit->heels) < HEELS_TIMES)
        return false;
    if (count >= HEELS_LEAST_COUNT || bytes >= HEELS_MIN_BYTES)
        return true;
    sq_store(&habit->heels, 0);
    return false;
}

/* Look away, and then once: whether it is ready. */
static bool look_away(const struct shmq *q, enum sq_role role, struct sq_need need,
                      int64_t until_ns)
{
    do
        pause_times(AWAY_PAUSES);
    while (sq_clock_ns() < until_ns);
    return seems_ready(q, role, need);
}

/* Look again and again: whether it is ready in time, and how close we were. */
static bool keep_looking(const struct shmq *q, enum sq_role role, struct sq_need need,
                         struct sq_habit *habit, int64_t until_ns)
{
    for (unsigned looks = 1;; looks++) {
        pause_times(1);
        if (seems_ready(q, role, need)) {
            sq_store(&habit->heels, looks <= HEELS_NEAR_LOOKS ? sq_load(&habit->heels) + 1 : 0);
            return true;
        }
        if (looks % LOOKS_PER_CLOCK == 0 && sq_clock_ns() >= until_ns)
            return false;
    }
}

/* Spin for a while, but not beyond end_ns; whether that helped. */
static bool spin(const struct shmq *q, enum sq_role role, struct sq_need need,
                 struct sq_habit *habit, int64_t now_ns, int64_t end_ns)
{
    int64_t spin_ns = sq_load(&habit->spin_ns);
    int64_t until_ns = spin_ns < end_ns - now_ns ? now_ns + spin_ns : end_ns;

    if (role == SQ_ROLE_CONSUMER && !on_heels(q, habit))
        return keep_looking(q, role, need, habit, until_ns);
    /* At least one look away is had whole, where the time allows. */
    for (int64_t at_ns = now_ns + AWAY_NS; at_ns < until_ns + AWAY_NS; at_ns += AWAY_NS)
        if (look_away(q, role, need, at_ns < end_ns ? at_ns : end_ns))
            return true;
    return false;
}

/*
 * The other side ran on this very CPU: while we spin, it cannot.  Letting it run
 * at once is half the cost of sleeping and being woken.
 */
static bool yield_adaptively(const struct shmq *q, enum sq_role role, struct sq_need need,
                             struct sq_habit *habit, int64_t now_ns)
{
    uint32_t pause = sq_load(&habit->no_yield);
    bool helped = false;

    if (pause > 0) {
        sq_store(&habit->no_yield, pause - 1);
        return false;
    }
    for (int i = 0; i < YIELDS && !helped; i++) {
        sched_yield();
        helped = seems_ready(q, role, need);
    }
    if (!helped || sq_clock_ns() - now_ns > YIELD_MAX_NS)
        sq_store(&habit->no_yield, YIELD_PAUSE);
    return helped;
}

static bool spin_adaptively(struct shmq *q, enum sq_role role, struct sq_need need, int64_t now_ns,
                            int64_t end_ns)
{
    struct sq_habit *habit = &q->habit[role];
    uint32_t waker_cpu = sq_load(&sq_side_cond(q, role)->waker_cpu);
    uint32_t spin_ns = sq_load(&habit->spin_ns);

    if (waker_cpu == (uint32_t)sched_getcpu() + 1)
        return yield_adaptively(q, role, need, habit, now_ns);
    bool helped = spin(q, role, need, habit, now_ns, end_ns);
    spin_ns = helped ? spin_ns * 2 : spin_ns / 2;
    spin_ns = spin_ns > SPIN_MAX_NS ? SPIN_MAX_NS : spin_ns;
    sq_store(&habit->spin_ns, spin_ns < SPIN_MIN_NS ? SPIN_MIN_NS : spin_ns);
    return helped;
}

/* The other side's mark of being had alone, and so without barriers. */
static bool waker_unfenced(const struct shmq *q, enum sq_role role)
{
    const struct sq_ring *ring = &q->segment.ring;

    return sq_load_acquire(role == SQ_ROLE_CONSUMER ? &ring->producer->sole : &ring->group->sole) !=
           0;
}

/*
 * A producer has announced itself: look again with the side entered, and note
 * what it needs, for look_for_others().  1 there is room, 0 there is not.
 */
static int note_need(struct shmq *q, struct sq_need need, struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_producer_shm *p = ring->producer;
    int rc = sq_enter(q, SQ_ROLE_PRODUCER, deadline);

    if (rc < 0)
        return rc;
    rc = sq_ring_look_room(ring, need.bytes, need.count);
    if (rc == -EAGAIN) {
        if (need.bytes < p->sleeper_bytes)
            p->sleeper_bytes = need.bytes;
        if (need.count < p->sleeper_count)
            p->sleeper_count = need.count;
    }
    sq_leave(q, SQ_ROLE_PRODUCER);
    if (rc == -EBADMSG)
        return sq_fail(rc, "the positions of the ring are damaged");
    return rc == 0;
}

/*
 * A producer was woken, but its own message does not fit.  If there seems to be
 * room for the least that a sleeper needs, wake them all and let them note their
 * needs anew.  Passing the wake on to one would not do: to a large one, which
 * passes it back, for ever; and not passing it would leave a small one asleep
 * beside its room.  Once for each position where the groups' messages begin, since only with that
 * does room grow, and the least bytes and the least count may be of two sleepers
 * neither of whom fits.  Never when all messages are of one size.
 */
static int look_for_others(struct shmq *q, struct sq_deadline *deadline)
{
    struct sq_producer_shm *p = q->segment.ring.producer;
    int rc = sq_enter(q, SQ_ROLE_PRODUCER, deadline);

    if (rc < 0)
        return rc;
    bool room = p->sleeper_bytes != UINT64_MAX &&
                sq_ring_look_room(&q->segment.ring, p->sleeper_bytes, p->sleeper_count) == 0 &&
                p->passed_pos != p->least_pos;
    if (room) {
        p->passed_pos = p->least_pos;
        p->sleeper_bytes = p->sleeper_count = UINT64_MAX;
    }
    sq_leave(q, SQ_ROLE_PRODUCER);
    if (room)
        sq_wake(q, SQ_ROLE_PRODUCER, UINT32_MAX);
    return 0;
}

/*
 * Until when a consumer that has announced itself is to sleep: one of those who sleep
 * watches over what is due next, the others only look around now and then.
 */
static int64_t watch_due(struct shmq *q, int64_t until_ns, int64_t now_ns)
{
    struct sq_pending_shm *p = &q->segment.ring.group->pending;
    int64_t due_ns = sq_load(&p->next_due_ns), watch_ns = sq_load(&p->watch_ns);

    /* What is due in a paused group is not seen to before it goes on. */
    uint32_t mode = sq_load(&q->segment.ring.group->mode);
    if (mode == 0 || (mode & SQ_GROUP_PAUSED) != 0 || due_ns == SQ_NEVER ||
        (watch_ns > now_ns && watch_ns <= due_ns))
        return until_ns;
    if (due_ns < until_ns)
        until_ns = due_ns > now_ns ? due_ns : now_ns;
    sq_store(&p->watch_ns, until_ns);
    return until_ns;
}

/* Awake again: if it was we who watched, nobody does now. */
static void unwatch(struct shmq *q, int64_t until_ns)
{
    _Atomic int64_t *watch_ns = &q->segment.ring.group->pending.watch_ns;

    if (sq_load(watch_ns) == until_ns)
        atomic_compare_exchange_strong(watch_ns, &until_ns, 0);
}

void sq_wake_consumer(struct shmq *q)
{
    struct sq_pending_shm *p = &q->segment.ring.group->pending;

    if (sq_likely(!sq_cond_has_sleepers(sq_side_cond(q, SQ_ROLE_CONSUMER))))
        return;
    int64_t now_ns = sq_clock_ns(), due_ns = sq_load(&p->next_due_ns);
    int64_t watch_ns = sq_load(&p->watch_ns);
    uint32_t mode = sq_load(&q->segment.ring.group->mode);
    bool timed = mode != 0 && (mode & SQ_GROUP_PAUSED) == 0 && due_ns != SQ_NEVER;
    if (sq_seems_ready(q, now_ns) || (timed && !(watch_ns > now_ns && watch_ns <= due_ns)))
        sq_wake(q, SQ_ROLE_CONSUMER, 1);
    else
        sq_poll_pipe_update(q, sq_ring_group_index(&q->segment.ring)); /* it may be empty now */
}

/* Sleep once, unless there is reason not to.  1 it is ready; 0 look again;
 * -ETIMEDOUT, -EINTR, and what entering the side said. */
static int sleep_once(struct shmq *q, enum sq_role role, struct sq_need need,
                      struct sq_deadline *deadline, int64_t until_ns)
{
    struct sq_cond_shm *cond = sq_side_cond(q, role);
    struct sq_slot_shm *slot = sq_attach_slot(&q->segment, &q->attachment);
    _Atomic uint32_t *sleeping =
        role == SQ_ROLE_PRODUCER ? &slot->sleeping_producers : &slot->sleeping_consumers;
    uint32_t ticket = sq_cond_prepare(cond);
    int rc;

    SQ_BUG_ON(slot == NULL);
    if (waker_unfenced(q, role) && !sq_membarrier())
        atomic_fetch_or(&q->segment.control->notices, SQ_NOTICE_FENCE);
    rc = role == SQ_ROLE_PRODUCER ? note_need(q, need, deadline) : sq_seems_ready(q, sq_clock_ns());
    if (rc != 0 || sq_segment_marked_unlinked(&q->segment)) {
        sq_cond_cancel(cond);
        return rc;
    }
    if (role == SQ_ROLE_CONSUMER)
        until_ns = watch_due(q, until_ns, sq_clock_ns());
    atomic_fetch_add(sleeping, 1);
    rc = sq_cond_sleep(cond, ticket, until_ns);
    atomic_fetch_sub(sleeping, 1);
    if (role == SQ_ROLE_CONSUMER)
        unwatch(q, until_ns);
    if (rc == -EINTR)
        return sq_fail_plainly(rc);
    if (rc == -EBADMSG)
        return sq_fail(rc, "what callers sleep on is damaged");
    if (rc == 0 && role == SQ_ROLE_PRODUCER && !seems_ready(q, role, need))
        rc = look_for_others(q, deadline);
    return rc;
}

static void account(struct shmq *q, enum sq_role role, int64_t slept_ns)
{
    struct sq_waits_shm *waits =
        role == SQ_ROLE_PRODUCER ? &q->segment.ring.producer->waits : &q->segment.ring.group->waits;

    atomic_fetch_add_explicit(&waits->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&waits->total_ns, slept_ns, memory_order_relaxed);
}

/*
 * When a sleeper looks for itself: within SQ_SLEEP_MAX_NS, and at one of a
 * few moments that many share.  A thousand sleepers cost the machine some wakes
 * of an idle processor a second, not a thousand.
 */
static int64_t next_look(int64_t now_ns, int slot)
{
    enum { MOMENTS = 8 };
    int64_t phase_ns = slot % MOMENTS * (SQ_SLEEP_MAX_NS / MOMENTS);

    return now_ns - (now_ns - phase_ns) % SQ_SLEEP_MAX_NS + SQ_SLEEP_MAX_NS;
}

/* At the end of a long sleep nothing is held: a good moment for a cancelled
 * thread to end, and for a look at what nobody may have told us. */
static void look_around(struct shmq *q, bool cancellable, int64_t now_ns)
{
    if (cancellable)
        pthread_testcancel();
    sq_segment_is_unlinked(&q->segment);
    sq_attach_sweep(&q->segment, &q->attachment, now_ns, SQ_SWEEP_ASLEEP_NS);
}

static uint32_t mode_of(const struct shmq *q)
{
    return sq_load(&q->segment.ring.group->mode);
}

/* Whether producers may take room from a group. */
static bool some_group_drops(const struct shmq *q)
{
    const struct sq_ring *ring = &q->segment.ring;

    if (q->segment.attr.full == SHMQ_FULL_DROP)
        return true;
    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1)
        if (sq_policy_of(&ring->groups[__builtin_ctzll(bits)])->lag == SHMQ_LAG_DROP)
            return true;
    return false;
}

/* A sole consumer has nothing to do: so that producers find room, it slides together what
 * it holds.  Nobody else can. */
static void slide_while_idle(struct shmq *q, struct sq_deadline *deadline)
{
    if (!sq_alone(q, SQ_ROLE_CONSUMER) ||
        !sq_ring_compact_wanted(&q->segment.ring, sq_clock_tick_ns()) ||
        sq_enter(q, SQ_ROLE_CONSUMER, deadline) < 0)
        return;
    sq_ring_compact(&q->segment.ring, 1, sq_clock_tick_ns());
    sq_leave(q, SQ_ROLE_CONSUMER);
    sq_wake(q, SQ_ROLE_PRODUCER, UINT32_MAX);
}

/* Whether the ring is held by what may have come to an end by itself: leases, messages
 * that expire, a saver who may be dead. */
static bool is_held(const struct sq_ring *ring, int64_t now_ns)
{
    if (sq_ring_is_pinned(ring))
        return true;
    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1) {
        struct sq_ring one = *ring;
        sq_ring_read_as(&one, (uint32_t)__builtin_ctzll(bits));
        if (sq_load(&one.group->pending.leased) != 0 || sq_group_meets_expired(&one, now_ns))
            return true;
    }
    return false;
}

int sq_wait(struct shmq *q, enum sq_role role, struct sq_need need, struct sq_deadline *deadline)
{
    int64_t now_ns = sq_clock_ns(), begun_ns = now_ns;
    int64_t end_ns = sq_deadline_at(deadline, now_ns);
    int rc = 0;

    sq_assert_none_held(SQ_RANK_CALLER); /* redrive_lock may be */
    /* Also ends a caller that keeps finding nothing where there seems something. */
    if (now_ns >= end_ns)
        return sq_fail_plainly(-ETIMEDOUT);
    if (spin_adaptively(q, role, need, now_ns, end_ns) || seems_ready(q, role, need))
        return 0;
    if (role == SQ_ROLE_CONSUMER)
        slide_while_idle(q, deadline);
    do {
        if (sq_segment_marked_unlinked(&q->segment)) {
            rc = sq_fail(-ESTALE, "the queue's name was removed");
            break;
        }
        if (now_ns >= end_ns) {
            rc = sq_fail_plainly(-ETIMEDOUT);
            break;
        }
        int64_t until_ns = next_look(now_ns, q->attachment.slot);
        rc = sleep_once(q, role, need, deadline, until_ns < end_ns ? until_ns : end_ns);
        now_ns = sq_clock_ns();
        bool looked = rc == -ETIMEDOUT && until_ns < end_ns && now_ns >= until_ns;
        if (looked)
            look_around(q, deadline->cancellable, now_ns);
        /* Woken, or at a look around: what a producer waits for may be to be had in ways
         * that seems_ready() does not know (api/producer.c), and likewise what a consumer does. */
        bool look = rc == 0 && role == SQ_ROLE_CONSUMER && mode_of(q) != 0;
        look |= role == SQ_ROLE_PRODUCER && some_group_drops(q);
        if (rc == -ETIMEDOUT)
            rc = 0;
        if (look || (looked && role == SQ_ROLE_PRODUCER && is_held(&q->segment.ring, now_ns)))
            break; /* the caller sees to it */
    } while (rc == 0 &&
             !(role == SQ_ROLE_CONSUMER ? sq_seems_ready(q, now_ns) : seems_ready(q, role, need)));
    account(q, role, now_ns - begun_ns);
    return rc < 0 ? rc : 0;
}
