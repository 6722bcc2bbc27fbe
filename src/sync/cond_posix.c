/*
 * cond_posix.c - the condition variable as a count of waiters and a semaphore.
 *
 * For systems without futexes.  A waker takes waiters off the count and posts a
 * token for each; tokens are addressed to nobody.
 *
 * Crash rule: a waiter that dies leaves the count one too high, and so one token
 * too many some day: a later sleeper wakes for nothing, looks, and sleeps on.
 * Nobody's wake is lost by it.
 *
 * libc aborts on a semaphore of which all but the value is damaged, and so much as
 * a damaged count would have a waker post for minutes: both are looked at first.
 */
#include "sync/cond.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/clock.h"
#include "sync/futex.h"
#include "sync/lock_rank.h"

enum {
    TOKENS_ENOUGH = 64,
    WAITERS_MAX = 1 << 16, /* more than that is damage */
};

uint32_t sq_cond_stamp(void)
{
    return 1;
}

int sq_cond_init(struct sq_cond_shm *cond)
{
    atomic_init(&cond->waiters, 0);
    atomic_init(&cond->waker_cpu, 0);
    return sem_init(&cond->tokens, 1, 0) == 0 ? 0 : -errno;
}

uint32_t sq_cond_prepare(struct sq_cond_shm *cond)
{
    atomic_fetch_add(&cond->waiters, 1);
    atomic_thread_fence(memory_order_seq_cst); /* as in cond_futex.c */
    return 0;
}

/*
 * Take one waiter off the count; false when a waker took the last.  A damaged
 * count begins again at 0: who sleeps looks for itself within a second.
 */
static bool take_waiter(struct sq_cond_shm *cond)
{
    uint32_t n = sq_load(&cond->waiters);

    while (n != 0)
        if (atomic_compare_exchange_weak(&cond->waiters, &n, n > WAITERS_MAX ? 0 : n - 1))
            return n <= WAITERS_MAX;
    return false;
}

/* Whether the semaphore is what sem_init() made, but for its value and the
 * number of sleepers: glibc and musl have these in the first 8 bytes. */
static bool tokens_intact(const struct sq_cond_shm *cond)
{
    enum { CHANGING_BYTES = 8 };
    sem_t made;

    memset(&made, 0, sizeof(made));
    sem_init(&made, 1, 0);
    return memcmp((const char *)&cond->tokens + CHANGING_BYTES,
                  (const char *)&made + CHANGING_BYTES, sizeof(made) - CHANGING_BYTES) == 0;
}

void sq_cond_cancel(struct sq_cond_shm *cond)
{
    /* If a waker has counted us off already, its token is ours to swallow, or,
     * not yet posted, somebody's needless look later. */
    if (!take_waiter(cond) && tokens_intact(cond))
        sem_trywait(&cond->tokens);
}

#if defined(__GLIBC__)
static int wait_token(sem_t *tokens, int64_t until_ns)
{
    struct timespec until = sq_timespec(until_ns);

    return sem_clockwait(tokens, CLOCK_MONOTONIC, &until) == 0 ? 0 : -errno;
}
#else
/* Only sem_timedwait() here, on the real-time clock.  That clock may jump, so
 * look at the monotonic one every 100 ms at least. */
static int wait_token(sem_t *tokens, int64_t until_ns)
{
    for (;;) {
        int64_t left_ns = until_ns - sq_clock_ns();
        if (left_ns <= 0)
            return -ETIMEDOUT;
        if (left_ns > 100000000)
            left_ns = 100000000;
        struct timespec until = sq_timespec(sq_clock_read(CLOCK_REALTIME) + left_ns);
        if (sem_timedwait(tokens, &until) == 0)
            return 0;
        if (errno != ETIMEDOUT)
            return -errno;
    }
}
#endif

int sq_cond_sleep(struct sq_cond_shm *cond, uint32_t ticket, int64_t until_ns)
{
    int cancel, held;

    sq_assert_none_held(SQ_RANK_SAVER);
    (void)ticket;
    if (!tokens_intact(cond))
        return -EBADMSG;
    /* Waiting for a semaphore is a cancellation point; whoever sleeps here has
     * announced itself, and so ends elsewhere (handle/wait.c). */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    int rc = wait_token(&cond->tokens, until_ns);
    pthread_setcancelstate(cancel, &held);
    if (rc != 0 && !take_waiter(cond) && sem_trywait(&cond->tokens) == 0)
        rc = 0; /* a waker had chosen us meanwhile */
    return rc;
}

void sq_cond_wake(struct sq_cond_shm *cond, unsigned count)
{
    sq_store(&cond->waker_cpu, (uint32_t)sched_getcpu() + 1);
    if (!tokens_intact(cond))
        return;
    /* With a sleeper that is none (sq_cond_announce_poller()) tokens may be left over; so many are
     * enough for any number of wakes at once. */
    int left = 0;
    while (count-- > 0 && sem_getvalue(&cond->tokens, &left) == 0 && take_waiter(cond))
        if (left < TOKENS_ENOUGH)
            sem_post(&cond->tokens);
}

int sq_cond_sleep_any(struct sq_cond_shm *const *conds, const uint32_t *tickets, unsigned count,
                      int64_t until_ns)
{
    enum { NAP_NS = 1000 * 1000 };
    int64_t now_ns = sq_clock_ns();

    sq_assert_none_held(SQ_RANK_SAVER);
    (void)tickets;
    /* Semaphores cannot be waited for together: look every millisecond. */
    int rc = sq_nap(until_ns < now_ns + NAP_NS ? until_ns : now_ns + NAP_NS);
    for (unsigned i = 0; i < count; i++)
        sq_cond_cancel(conds[i]);
    return rc;
}

void sq_cond_announce_poller(struct sq_cond_shm *cond)
{
    uint32_t none = 0;

    atomic_compare_exchange_strong(&cond->waiters, &none, 1);
    atomic_thread_fence(memory_order_seq_cst);
}
