/*
 * lock.c - how to wait for a taken lock; see lock.h for the lock itself.
 *
 * It is tried again and again rather than slept on.  An owner holds it for some
 * tens of nanoseconds, so that waiting longer means that the owner does not run,
 * and then a nap is as good as any sleep.  In return freeing a lock never costs a
 * system call, and a nap ends when a signal handler has run.
 */
#include "sync/lock.h"

#include <sched.h>

#include "sync/futex.h"

enum {
    PAUSES_BETWEEN_TRIES = 20, /* some 0.5 us: let the owner run a burst */
    SPIN_TRIES = 40,
    YIELD_TRIES = 8,
    NAP_FIRST_NS = 50 * 1000,
    NAP_MAX_NS = 1000 * 1000,
    NOWAIT_GRACE_NS = 10 * 1000 * 1000,
};

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
    if (p->nap_ns < NAP_MAX_NS)
        p->nap_ns *= 2;
    return rc == -EINTR ? -EINTR : 0;
}
