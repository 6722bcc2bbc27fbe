/*
 * handle.h - a handle, and how it enters and leaves the two sides of its queue.
 *
 * A side is had by lock (shared handles), or without one by the handle that is
 * alone there (SHMQ_SOLE_...).  Either way the caller between sq_enter() and
 * sq_leave() is the "P" or "C" that layout.h speaks of.
 */
#ifndef SQ_HANDLE_H
#define SQ_HANDLE_H

#include <pthread.h>

#include "message/unpack.h"
#include "segment/attach.h"
#include "segment/fork.h"
#include "segment/segment_lock.h"
#include "sync/mutex.h"

/*
 * Keeps the threads of a process apart where a handle takes no shared lock.
 * Private to the process, so death needs no thought; free of cost in a process
 * that has one thread.
 */
struct sq_guard {
    _Atomic bool taken;
};

/* What a handle has learned about waiting on one side (wait.c). */
struct sq_habit {
    _Atomic uint32_t spin_ns;  /* how long to spin before sleeping */
    _Atomic uint32_t heels;    /* how close behind the producer we run */
    _Atomic uint32_t no_yield; /* for so many waits do not yield */
    _Atomic uint64_t last_id;  /* finished_id when we last waited */
    _Atomic uint64_t last_pos; /* cursor_pos then */
};

/* An open shmq_reserve(). */
struct sq_reservation {
    _Atomic uint64_t thread; /* whose, sq_thread(); 0: none */
    uint64_t tail_pos;
    uint64_t length;
    struct shmq *next; /* of the same thread */
    bool listed;       /* in the list of the thread that made it */
};

/*
 * What higher layers hang on a handle, opaque here.  Closing the handle closes it, in this
 * order.  In a forked child all that hung there is `inherited`: its threads and locks are the
 * parent's, and it is only let go of.
 */
enum sq_hook_name {
    SQ_HOOK_MESSAGE_FD,
    SQ_HOOK_DEAD_LETTER,
    SQ_HOOK_REPLIES,
    SQ_HOOK_SAVER,
    SQ_HOOKS
};

typedef void sq_hook_close(struct shmq *q, void *state, bool inherited);

struct sq_hook {
    _Atomic(void *) state, inherited; /* NULL: nothing */
    sq_hook_close *close;
};

/* How far a handle is; the last two by role, to be shifted left by it. */
enum sq_handle_state {
    SQ_ATTACHED = 1,
    SQ_READY = 2, /* the side is claimed */
    SQ_ALONE = 8, /* and nobody else has it: no lock */
};

struct shmq {
    struct sq_segment segment;
    struct sq_attachment attachment;
    struct sq_forkable forkable;
    uint32_t flags;         /* as given to shmq_open() */
    _Atomic uint32_t state; /* enum sq_handle_state; 0 again in a forked child */
    pthread_mutex_t claim_lock;
    _Atomic uint64_t visitor; /* sq_thread() that holds claim_lock for visits; 0: none */
    unsigned visits;          /* how many it has open */
    struct sq_guard guard[2];
    struct sq_habit habit[2];
    struct sq_reservation reservation;
    bool groupless;                          /* a topic's handle that reads as no group */
    uint32_t generation;                     /* of the group it reads as */
    _Atomic int poll_pipe_fd[SQ_GROUPS_MAX]; /* one more than the descriptor, 0: none */
    struct sq_unpacks unpacks;
    struct sq_hook hooks[SQ_HOOKS];
    struct sq_own_file *own_file; /* of a queue with a file; opaque here (persist/own_file.h) */
};

/* Calls that are no cancellation points use some that are: between these two
 * a cancellation waits. */
static inline int sq_cancel_hold(void)
{
    int state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

static inline void sq_cancel_release(int state)
{
    int held;

    pthread_setcancelstate(state, &held);
}

/* Numbers the calling thread within its process.  Never again the same: not an
 * address, since a thread's successor may live at the same ones. */
uint64_t sq_thread(void);

void sq_handle_init(struct shmq *q);

/* Write into our slot as which group we read. */
void sq_note_group(struct shmq *q);

/* Attach again after a fork, claim the side, repair after a dead sole owner. */
int sq_make_ready(struct shmq *q, enum sq_role role, struct sq_deadline *deadline);

/*
 * Have the side for something that is not the handle's business there (a consumer's that
 * is to seek, a producer's that slides): 0, or as sq_enter().  Where the handle had not
 * claimed the side before, it will not have after sq_end_visit(), so that somebody may
 * have it alone; until then claim_lock is held.
 */
int sq_visit(struct shmq *q, enum sq_role role, struct sq_deadline *deadline);
void sq_end_visit(struct shmq *q, enum sq_role role);

/* Attach again after a fork, no more. */
int sq_make_ready_attached(struct shmq *q, struct sq_deadline *deadline);

/* Have the side: 0, or a negative errno and it is not had. */
int sq_enter_first(struct shmq *q, enum sq_role role, struct sq_deadline *deadline);
int sq_enter_slow(struct shmq *q, enum sq_role role, struct sq_deadline *deadline);
int sq_enter_guard(struct shmq *q, enum sq_role role, struct sq_deadline *deadline);

static inline struct sq_lock_shm *sq_side_lock(const struct shmq *q, enum sq_role role)
{
    return role == SQ_ROLE_PRODUCER ? &q->segment.ring.producer->lock
                                    : &q->segment.ring.group->lock;
}

#if defined(__GLIBC__)
#include <sys/single_threaded.h>
#define sq_single_threaded() (__libc_single_threaded != 0)
#else
#define sq_single_threaded() false
#endif

#ifdef SQ_CHECK
/* Ranks (sync/lock_rank.h): a side's, and claim_lock's, which a holder of P takes for the
 * consumer's side alone. */
static inline unsigned sq_side_rank(const struct shmq *q, enum sq_role role)
{
    return sq_segment_lock_rank(&q->segment, sq_side_lock(q, role));
}

static inline unsigned sq_claims_rank(const struct shmq *q)
{
    return sq_lock_is_held(&q->segment.ring.producer->lock) ? SQ_RANK_CLAIMS_WITHIN
                                                            : SQ_RANK_CLAIMS;
}

/* The side was entered: note it.  0. */
static inline int sq_entered(const struct shmq *q, enum sq_role role)
{
    sq_lock_taken(sq_side_lock(q, role), sq_side_rank(q, role));
    return 0;
}
#else
#define sq_entered(q, role) 0
#endif

SQ_HOT bool sq_alone(const struct shmq *q, enum sq_role role)
{
    return (sq_load(&q->state) & (uint32_t)SQ_ALONE << role) != 0;
}

SQ_HOT int sq_enter(struct shmq *q, enum sq_role role, struct sq_deadline *deadline)
{
    uint32_t state = sq_load_acquire(&q->state);

    if (sq_unlikely((state & (uint32_t)SQ_READY << role) == 0))
        return sq_enter_first(q, role, deadline);
    if ((state & (uint32_t)SQ_ALONE << role) != 0)
        return sq_likely(sq_single_threaded() && !sq_load(&q->guard[role].taken))
                   ? sq_entered(q, role)
                   : sq_enter_guard(q, role, deadline);
    return sq_likely(sq_lock_try(sq_side_lock(q, role), q->attachment.owner) == 0)
               ? sq_entered(q, role)
               : sq_enter_slow(q, role, deadline);
}

/* Leave the side.  What was published is ordered before what is read next. */
SQ_HOT void sq_leave(struct shmq *q, enum sq_role role)
{
    if (!sq_alone(q, role)) {
        sq_lock_free(sq_side_lock(q, role));
        sq_fence_after_unlock();
        return;
    }
    sq_lock_freed(sq_side_lock(q, role));
    /* A swap, hence a barrier; not needed where it was entered without. */
    if (sq_unlikely(sq_load(&q->guard[role].taken)))
        atomic_exchange(&q->guard[role].taken, false);
    /* Sleepers make up for the missing barrier, where they can. */
    if (sq_unlikely((sq_load(&q->segment.control->notices) & SQ_NOTICE_FENCE) != 0))
        atomic_thread_fence(memory_order_seq_cst);
    else
        sq_program_order();
}

/*
 * Have a lock of the segment, from a dead owner if need be.  0; 1 it was a dead one's, and
 * what it guards is as that left it; -ETIMEDOUT, -EINTR, without a detail.
 */
int sq_hold(struct shmq *q, struct sq_lock_shm *lock, struct sq_deadline *deadline);

/* Whether its owner was dead, and it is ours now; the caller notes that (sync/lock_rank.h). */
bool sq_hold_from_dead(struct shmq *q, struct sq_lock_shm *lock);

/* Have group number `index`'s side, within P or without, and leave it again. */
int sq_enter_group(struct shmq *q, uint32_t index, struct sq_deadline *deadline);
void sq_leave_group(struct shmq *q, uint32_t index);

/* Where those sleep who wait on a side. */
static inline struct sq_cond_shm *sq_side_cond(const struct shmq *q, enum sq_role role)
{
    return role == SQ_ROLE_PRODUCER ? &q->segment.ring.producer->room
                                    : &q->segment.ring.group->items;
}

/* C of the group that `ring` reads as: if somebody left since this was last done, return
 * what they had leased. */
int sq_return_lost(struct shmq *q, const struct sq_ring *ring, int64_t now_ns);

/* There are sleepers on `role`'s side, or those who poll (poll_pipe.h). */
void sq_wake_them(struct shmq *q, enum sq_role role, unsigned count);

/* After sq_leave(): wake up to `count` of those who wait on `role`'s side. */
SQ_HOT void sq_wake(struct shmq *q, enum sq_role role, unsigned count)
{
    struct sq_cond_shm *cond = sq_side_cond(q, role);

    if (sq_unlikely(sq_cond_has_sleepers(cond)))
        sq_wake_them(q, role, count);
}

/* Whether the handle's group was removed. */
static inline bool sq_consumer_is_stale(const struct shmq *q)
{
    return (q->segment.ring.kind & SHMQ_TOPIC) != 0 &&
           sq_load(&q->segment.ring.group->generation) != q->generation;
}

/* 0 or -EINVAL. */
int sq_check_timeout(int64_t timeout_ns);

#endif
