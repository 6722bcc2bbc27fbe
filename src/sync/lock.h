/*
 * lock.h - the locks in the segment: a word that names its owner.
 *
 * The word is 0 while the lock is free.  Otherwise it holds the owner's attach slot and that
 * slot's generation.  A process that waits for long asks the kernel whether the owner lives, by
 * the OFD lock on its slot's byte (segment/attach.h), and takes a dead owner's lock over
 * (handle/handle.c).
 *
 * This is not a robust pthread mutex.  There the kernel compares thread ids as the dying
 * thread's PID namespace has them.  The main threads of two containers are both number 1, so a
 * death in the middle of a trylock can free a lock that a living process holds.  Also libc
 * follows pointers and types inside the mutex, which damage can bend.
 */
#ifndef SQ_LOCK_H
#define SQ_LOCK_H

#include <errno.h>

#include "base/base.h"
#include "base/clock.h"
#include "sync/lock_rank.h"

struct sq_lock_shm {
    _Atomic uint32_t owner; /* whoever takes, frees or takes over */
};

enum {
    SQ_OWNER_SLOT_BITS = 12, /* slot number + 1; the generation above */
};

/* The word for a slot in its `generation`; it comes again after 2^20 others. */
static inline uint32_t sq_lock_word(uint32_t slot, uint32_t generation)
{
    return generation << SQ_OWNER_SLOT_BITS | (slot + 1);
}

/* Segments are shared only by libraries with the same lock. */
#define SQ_LOCK_STAMP 2u

/* 0 or -EBUSY. */
SQ_HOT int sq_lock_try(struct sq_lock_shm *lock, uint32_t me)
{
    uint32_t free = 0;

    return sq_likely(atomic_compare_exchange_strong_explicit(
               &lock->owner, &free, me, memory_order_acquire, memory_order_relaxed))
               ? 0
               : -EBUSY;
}

/* Take it from `dead`, unless somebody else was faster: 0 or -EBUSY.  What it
 * protects is as the dead one left it. */
static inline int sq_lock_take_over(struct sq_lock_shm *lock, uint32_t dead, uint32_t me)
{
    return atomic_compare_exchange_strong(&lock->owner, &dead, me) ? 0 : -EBUSY;
}

/* A swap rather than a store: on x86 it is the full barrier that the look for
 * sleepers needs; elsewhere sq_fence_after_unlock() is. */
SQ_HOT void sq_lock_free(struct sq_lock_shm *lock)
{
    sq_lock_freed(lock);
    atomic_exchange(&lock->owner, 0);
}

/* After sq_lock_free() and before looking for sleepers; pairs with the full
 * barrier in sq_cond_prepare(). */
SQ_HOT void sq_fence_after_unlock(void)
{
#if defined(__x86_64__) || defined(__i386__)
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* How somebody waits for what another holds for some nanoseconds only. */
struct sq_patience {
    unsigned tries;
    int64_t end_ns; /* 0: not yet known */
    int64_t nap_ns;
};

/* Whether it has been so long that the other may not be running, or not live. */
static inline bool sq_patience_is_long(const struct sq_patience *patience)
{
    return patience->end_ns != 0;
}

/*
 * Wait a little, longer each time: 0 try again, -ETIMEDOUT, -EINTR.  With
 * SHMQ_NOWAIT the other is given 10 ms, which it needs only when it was just
 * preempted.
 */
int sq_patience_wait(struct sq_patience *patience, struct sq_deadline *deadline);

#endif
