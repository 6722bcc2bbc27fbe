/*
 * lock.h - the locks in the segment: robust, process-shared, timed.
 *
 * A robust pthread mutex of normal type.  (Recursive, error-checking and
 * priority-inheriting ones compare thread ids, which two PID namespaces may
 * share.)  The kernel hands a dead owner's lock to the next taker, who learns of
 * it as SQ_LOCK_OWNER_DIED, must repair what the lock protects and then call
 * sq_lock_consistent().
 */
#ifndef SQ_LOCK_H
#define SQ_LOCK_H

#include <errno.h>
#include <pthread.h>

#include "base.h"
#include "clock.h"

/* In the order in which they may be taken: never a lower one after a higher. */
enum sq_rank {
    SQ_RANK_PRODUCER = 1,
    SQ_RANK_GROUP = 2,
    SQ_RANK_KEYS = 3,
};

struct sq_lock_shm {
    pthread_mutex_t mutex; /* written by whoever takes or frees it, and the kernel */
};

enum {
    SQ_LOCK_OWNER_DIED = 1,
};

/* What glibc and musl keep as the type of a robust, process-shared, normal mutex;
 * sq_lock_init() makes sure of it. */
#if defined(__GLIBC__)
#define SQ_LOCK_KIND 0x90
#else
#define SQ_LOCK_KIND 0x84
#endif

/* Which libc's mutex this is and how large: segments are shared only by equals. */
uint32_t sq_lock_stamp(void);

int sq_lock_init(struct sq_lock_shm *lock);

/*
 * Whether the type word of the mutex is what sq_lock_init() wrote.  libc trusts
 * that word; a damaged one could send it anywhere.
 */
static inline bool sq_lock_intact(const struct sq_lock_shm *lock)
{
#if defined(__GLIBC__)
    return lock->mutex.__data.__kind == SQ_LOCK_KIND;
#else
    return *(const int *)(const void *)&lock->mutex == SQ_LOCK_KIND;
#endif
}

/* 0, SQ_LOCK_OWNER_DIED, -EBUSY, or -EBADMSG when the lock itself is damaged. */
static inline int sq_lock_try(struct sq_lock_shm *lock)
{
    if (sq_unlikely(!sq_lock_intact(lock)))
        return -EBADMSG;
    int rc = pthread_mutex_trylock(&lock->mutex);
    if (sq_likely(rc == 0))
        return 0;
    if (rc == EOWNERDEAD)
        return SQ_LOCK_OWNER_DIED;
    return rc == EBUSY ? -EBUSY : -EBADMSG;
}

/*
 * Take the lock by the deadline: spin, yield, then nap.  As sq_lock_try(), with
 * -ETIMEDOUT and -EINTR in place of -EBUSY.  With SHMQ_NOWAIT the owner is given
 * 10 ms to get off the lock, which it needs only when it was just preempted.
 */
int sq_lock_take(struct sq_lock_shm *lock, struct sq_deadline *deadline);

/* How somebody waits for what another holds for some nanoseconds only. */
struct sq_patience {
    unsigned tries;
    int64_t end_ns; /* 0: not yet known */
    int64_t nap_ns;
};

/* Wait a little, longer each time: 0 try again, -ETIMEDOUT, -EINTR. */
int sq_patience_wait(struct sq_patience *patience, struct sq_deadline *deadline);

void sq_lock_consistent(struct sq_lock_shm *lock);

static inline void sq_lock_free(struct sq_lock_shm *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

/*
 * Freeing a lock swaps a word with a locked instruction on x86, a full barrier.
 * Elsewhere it need not be one.  Called after sq_lock_free() and before looking
 * for sleepers; pairs with the full barrier in sq_cond_prepare().
 */
static inline void sq_fence_after_unlock(void)
{
#if defined(__x86_64__) || defined(__i386__)
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

#endif
