/*
 * moment.c - see moment.h.
 */
#include "support/moment.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "sync/cond.h"

struct watch {
    _Atomic unsigned overslept;
    _Atomic int64_t from_ns, to_ns; /* when something is due */
};

static struct watch unused;            /* outside of such tests */
static struct watch *shared = &unused; /* with children */
static _Atomic int64_t passed_ns;
static _Thread_local bool no_looks;

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __real_sq_nap(int64_t until_ns);
int __wrap_sq_nap(int64_t until_ns);
int __real_sq_cond_sleep(struct sq_cond_shm *cond, uint32_t ticket, int64_t until_ns);
int __wrap_sq_cond_sleep(struct sq_cond_shm *cond, uint32_t ticket, int64_t until_ns);
int __real_sq_cond_sleep_any(struct sq_cond_shm *const *conds, const uint32_t *tickets,
                             unsigned count, int64_t until_ns);
int __wrap_sq_cond_sleep_any(struct sq_cond_shm *const *conds, const uint32_t *tickets,
                             unsigned count, int64_t until_ns);

/* --- the clocks -------------------------------------------------------------- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = __real_clock_gettime(clock, t);
    int64_t ns = atomic_load(&passed_ns);

    if (ns == 0 ||
        (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE && clock != CLOCK_REALTIME))
        return rc;
    ns += t->tv_nsec;
    t->tv_sec += (time_t)(ns / 1000000000);
    t->tv_nsec = (long)(ns % 1000000000);
    return rc;
}

void moment_pass(int64_t ns)
{
    atomic_fetch_add(&passed_ns, ns);
}

/* By the kernel's clock. */
static int64_t real_ns(int64_t until_ns)
{
    return until_ns - atomic_load(&passed_ns);
}

/* --- sleeps ------------------------------------------------------------------- */

static int64_t end_of_sleep(int64_t until_ns)
{
    return real_ns(until_ns) + (no_looks ? HELPER_LATE_NS : 0);
}

static int check_sleep(int rc, int64_t begun_ns, int64_t until_ns)
{
    bool unwoken = rc == -ETIMEDOUT && no_looks;
    bool past_due = rc == -ETIMEDOUT && begun_ns < atomic_load(&shared->from_ns) &&
                    until_ns > atomic_load(&shared->to_ns);

    if ((unwoken || past_due) && atomic_fetch_add(&shared->overslept, 1) == 0)
        print_error("a thread slept %s\n",
                    unwoken ? "on, and nobody woke it" : "past what was due");
    return rc;
}

int __wrap_sq_nap(int64_t until_ns)
{
    return __real_sq_nap(real_ns(until_ns));
}

int __wrap_sq_cond_sleep(struct sq_cond_shm *cond, uint32_t ticket, int64_t until_ns)
{
    int64_t begun_ns = helper_now_ns();
    int rc = __real_sq_cond_sleep(cond, ticket, end_of_sleep(until_ns));

    return check_sleep(rc, begun_ns, until_ns);
}

int __wrap_sq_cond_sleep_any(struct sq_cond_shm *const *conds, const uint32_t *tickets,
                             unsigned count, int64_t until_ns)
{
    int64_t begun_ns = helper_now_ns();
    int rc = __real_sq_cond_sleep_any(conds, tickets, count, end_of_sleep(until_ns));

    return check_sleep(rc, begun_ns, until_ns);
}

void moment_no_looks(bool none)
{
    no_looks = none;
}

void moment_is_due(int64_t from_ns, int64_t to_ns)
{
    atomic_store(&shared->to_ns,
                 to_ns); /* first, or a sleep that ends in between would be blamed */
    atomic_store(&shared->from_ns, from_ns);
}

unsigned moment_overslept(void)
{
    return atomic_load(&shared->overslept);
}

/* --- tests ---------------------------------------------------------------------- */

int moment_setup(void **state)
{
    shared = helper_shared(sizeof(*shared));
    return helper_setup(state);
}

int moment_teardown(void **state)
{
    int rc = helper_teardown(state);
    bool good = moment_overslept() == 0;

    shared = &unused;
    atomic_store(&passed_ns, 0);
    no_looks = false;
    return rc == 0 && good ? 0 : -1;
}
