/*
 * cond.h - a condition variable in shared memory that outlives its waiters.
 *
 * This is not pthread_cond_t: with glibc before 2.41 a waiter that is killed can leave it in a
 * state where a later signal hangs for ever.  There are two bodies with the same behaviour,
 * cond_futex.c and cond_posix.c; one of them is built in.
 *
 * The protocol (modelled in tests/spin/cond.pml):
 *
 *     sleeper                               waker
 *     ticket = prepare()                    publish what the sleeper waits for
 *     look again at the queue               sq_cond_has_sleepers()?
 *     sleep(ticket, until)                    wake(n)
 *     (on waking: others may still sleep)
 *
 * The baton: a caller that was woken, or took a message, and leaves something to do for others,
 * wakes the next.  A woken process can be killed before it does so; therefore nobody sleeps
 * longer than SQ_SLEEP_MAX_NS without looking.
 */
#ifndef SQ_COND_H
#define SQ_COND_H

#include "base/base.h"

#ifdef SQ_SYNC_POSIX
#include <semaphore.h>
#endif

#define SQ_SLEEP_MAX_NS ((int64_t)1000000000)

struct sq_cond_shm {
#ifdef SQ_SYNC_POSIX
    _Atomic uint32_t waiters; /* who announced itself; sleepers add, wakers take */
    sem_t tokens;             /* a token for each that a waker took off */
#else
    /*
     * A counter in the upper 31 bits, and in the lowest one S, "somebody may
     * sleep".  Sleepers set S; a waker clears it and counts up in one step.
     */
    _Atomic uint32_t word;
#endif
    /* The CPU the last waker ran on, plus one (0: unknown).  A hint: spinning
     * on that very CPU only keeps the waker from running. */
    _Atomic uint32_t waker_cpu;
};

/* Which body this library has; queues are shared only by equals. */
uint32_t sq_cond_stamp(void);

int sq_cond_init(struct sq_cond_shm *cond);

/*
 * Announce a sleeper, and return a ticket for sq_cond_sleep().  What was
 * published before a waker found nobody announced is visible afterwards, if the
 * waker had a full barrier between publishing and looking.  One that frees a
 * lock there has it (sq_fence_after_unlock()); for one that takes no lock the
 * sleeper calls sq_membarrier() next (handle/wait.c).
 */
uint32_t sq_cond_prepare(struct sq_cond_shm *cond);

/* Take the announcement back instead of sleeping. */
void sq_cond_cancel(struct sq_cond_shm *cond);

/* Sleep until woken (0), until_ns (-ETIMEDOUT) or a signal handler ran (-EINTR);
 * or not at all, because what to sleep on is damaged (-EBADMSG). */
int sq_cond_sleep(struct sq_cond_shm *cond, uint32_t ticket, int64_t until_ns);

/* Sleep on several, up to 128, all prepared.  As sq_cond_sleep(), and nothing has to be
 * cancelled. */
int sq_cond_sleep_any(struct sq_cond_shm *const *conds, const uint32_t *tickets, unsigned count,
                      int64_t until_ns);

/* Announce a poller: a sleeper that is none, for whom whoever wakes does some work of its own
 * (handle/poll_pipe.h).  As sq_cond_prepare(). */
void sq_cond_announce_poller(struct sq_cond_shm *cond);

static inline bool sq_cond_has_sleepers(const struct sq_cond_shm *cond)
{
#ifdef SQ_SYNC_POSIX
    return sq_load(&cond->waiters) != 0;
#else
    return (sq_load(&cond->word) & 1) != 0;
#endif
}

/* Wake up to `count` sleepers. */
void sq_cond_wake(struct sq_cond_shm *cond, unsigned count);

#endif
