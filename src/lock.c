/*
 * lock.c - see lock.h.
 *
 * A taken lock is tried again and again rather than slept on in libc, for three
 * reasons.  An owner holds it for some tens of nanoseconds, so that sleeping is
 * right only when the owner itself does not run.  No waiter mark is ever set in
 * the mutex, so freeing it never costs a system call.  And a nap ends when a
 * signal handler has run, which pthread_mutex_clocklock() hides.  A dead owner is
 * seen by the next try: the kernel marks the mutex as the owner dies.
 */
#include "lock.h"

#include <sched.h>

#include "futex.h"

enum {
    PAUSES_BETWEEN_TRIES = 20, /* some 0.5 us: let the owner run a burst */
    SPIN_TRIES = 40,
    YIELD_TRIES = 8,
    NAP_FIRST_NS = 50 * 1000,
    NAP_LONGEST_NS = 1000 * 1000,
    NOWAIT_GRACE_NS = 10 * 1000 * 1000,
};

uint32_t sq_lock_stamp(void)
{
#if defined(__GLIBC__)
    uint32_t libc = 1;
#else
    uint32_t libc = 2;
#endif
    return libc << 16 | (uint32_t)sizeof(struct sq_lock_shm);
}

int sq_lock_init(struct sq_lock_shm *lock)
{
    pthread_mutexattr_t attr;
    int rc = pthread_mutexattr_init(&attr);

    if (rc == 0)
        rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (rc == 0)
        rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (rc == 0)
        rc = pthread_mutex_init(&lock->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    if (rc == 0 && !sq_lock_intact(lock))
        rc = ENOTSUP; /* a libc we do not know */
    return -rc;
}

void sq_lock_consistent(struct sq_lock_shm *lock)
{
    pthread_mutex_consistent(&lock->mutex);
}

int sq_patience_wait(struct sq_patience *p, struct sq_deadline *deadline)
{
    if (p->tries++ < SPIN_TRIES) {
        for (int i = 0; i < PAUSES_BETWEEN_TRIES; i++)
            sq_pause();
        return 0;
    }
    int64_t now_ns = sq_clock_ns();
    if (p->end_ns == 0)
        p->end_ns = deadline->timeout_ns == SHMQ_NOWAIT ? now_ns + NOWAIT_GRACE_NS
                                                        : sq_deadline_at(deadline, now_ns);
    if (now_ns >= p->end_ns)
        return -ETIMEDOUT;
    if (p->tries <= SPIN_TRIES + YIELD_TRIES) {
        sched_yield();
        return 0;
    }
    if (p->nap_ns == 0)
        p->nap_ns = NAP_FIRST_NS;
    int64_t left_ns = p->end_ns - now_ns;
    int rc = sq_nap(now_ns + (p->nap_ns < left_ns ? p->nap_ns : left_ns));
    if (p->nap_ns < NAP_LONGEST_NS)
        p->nap_ns *= 2;
    return rc == -EINTR ? -EINTR : 0;
}

int sq_lock_take(struct sq_lock_shm *lock, struct sq_deadline *deadline)
{
    struct sq_patience patience = {0};

    for (;;) {
        int rc = sq_lock_try(lock);
        if (sq_likely(rc != -EBUSY))
            return rc;
        rc = sq_patience_wait(&patience, deadline);
        if (rc < 0)
            return rc;
    }
}
