/*
 * cond_futex.c - the condition variable as one word and a futex.
 *
 * Invariants:
 *  1. Whoever is asleep in the futex either finds S set, or a waker cleared S
 *     and woke somebody who sets it again before it sleeps or takes.
 *  2. The counter changes with every wake, so a sleeper that announced itself
 *     before the wake does not fall asleep after it.
 *
 * Crash rule: the word is never wrong.  A sleeper that dies leaves S set, which
 * costs one futile wake; a woken one that dies before it looks leaves S clear
 * while others sleep, and they look for themselves within SQ_SLEEP_MAX_NS.
 */
#include "sync/cond.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>

#include "base/clock.h"
#include "sync/futex.h"
#include "sync/lock_rank.h"

enum {
    SLEEPERS = 1, /* S */
    COUNT_ONE = 2,
};

uint32_t sq_cond_stamp(void)
{
    return 0;
}

int sq_cond_init(struct sq_cond_shm *cond)
{
    atomic_init(&cond->word, 0);
    atomic_init(&cond->waker_cpu, 0);
    return 0;
}

uint32_t sq_cond_prepare(struct sq_cond_shm *cond)
{
    uint32_t ticket = atomic_fetch_or(&cond->word, SLEEPERS) | SLEEPERS;

    /* The caller's look at the queue must not come before: on some machines the
     * read-modify-write alone does not see to that. */
    atomic_thread_fence(memory_order_seq_cst);
    return ticket;
}

void sq_cond_cancel(struct sq_cond_shm *cond)
{
    (void)cond; /* S may stay: others may sleep, and a futile wake hurts nobody */
}

int sq_cond_sleep(struct sq_cond_shm *cond, uint32_t ticket, int64_t until_ns)
{
    sq_assert_none_held(SQ_RANK_SAVER);
    int rc = sq_futex_wait(&cond->word, ticket, until_ns);

    /* The waker cleared S for everybody but woke only some: others may sleep. */
    atomic_fetch_or(&cond->word, SLEEPERS);
    return rc;
}

void sq_cond_wake(struct sq_cond_shm *cond, unsigned count)
{
    uint32_t word = sq_load(&cond->word);

    do {
        if ((word & SLEEPERS) == 0)
            return; /* another waker was faster, and its sleeper passes it on */
    } while (!atomic_compare_exchange_weak(&cond->word, &word, (word + COUNT_ONE) & ~1u));
    sq_store(&cond->waker_cpu, (uint32_t)sched_getcpu() + 1);
    sq_futex_wake(&cond->word, count > INT_MAX ? INT_MAX : count);
}

int sq_cond_sleep_any(struct sq_cond_shm *const *conds, const uint32_t *tickets, unsigned count,
                      int64_t until_ns)
{
    enum { WORDS_MAX = 128, NAP_NS = 1000 * 1000 };
    _Atomic uint32_t *words[WORDS_MAX] = {NULL};

    sq_assert_none_held(SQ_RANK_SAVER);
    for (unsigned i = 0; i < count && i < WORDS_MAX; i++)
        words[i] = &conds[i]->word;
    int rc = sq_futex_wait_any(words, tickets, count, until_ns);
    if (rc == -ENOSYS || rc == -EPERM || rc == -EINVAL) {
        /* Not with this kernel (or its sandbox): look every millisecond. */
        int64_t now_ns = sq_clock_ns();
        rc = sq_nap(until_ns < now_ns + NAP_NS ? until_ns : now_ns + NAP_NS);
    }
    for (unsigned i = 0; i < count; i++)
        atomic_fetch_or(&conds[i]->word, SLEEPERS); /* as in sq_cond_sleep() */
    return rc;
}

void sq_cond_announce_poller(struct sq_cond_shm *cond)
{
    sq_cond_prepare(cond);
}
