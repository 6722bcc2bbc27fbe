/*
 * test_cond.c - the condition variable alone, whichever body is built in.
 */
#include "support/helper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sync/cond.h"

enum { SLEEPERS = 8 };

struct shared {
    struct sq_cond_shm cond;
    _Atomic int announced, woken;
};

static struct shared *make(void)
{
    struct shared *s = helper_shared(sizeof(*s));

    assert_int_equal(sq_cond_init(&s->cond), 0);
    return s;
}

static int sleep_for(struct shared *s, int64_t timeout_ns)
{
    uint32_t ticket = sq_cond_prepare(&s->cond);

    atomic_fetch_add(&s->announced, 1);
    return sq_cond_sleep(&s->cond, ticket, helper_now_ns() + timeout_ns);
}

/* A wake between announcing and sleeping is not lost. */
static void wake_before_sleep(void **state)
{
    struct shared *s = make();

    (void)state;
    for (int i = 0; i < 100; i++) {
        uint32_t ticket = sq_cond_prepare(&s->cond);
        assert_true(sq_cond_has_sleepers(&s->cond));
        sq_cond_wake(&s->cond, 1);
        int64_t until_ns = helper_now_ns() + HELPER_LATE_NS;
        assert_int_equal(sq_cond_sleep(&s->cond, ticket, until_ns), 0);
    }
    munmap(s, sizeof(*s));
}

static void nobody_to_wake(void **state)
{
    struct shared *s = make();

    (void)state;
    assert_false(sq_cond_has_sleepers(&s->cond));
    sq_cond_wake(&s->cond, 1);
    sq_cond_wake(&s->cond, UINT32_MAX);
    /* That must not be stored up for a later sleeper. */
    assert_int_equal(sleep_for(s, SHMQ_MS(20)), -ETIMEDOUT);
    munmap(s, sizeof(*s));
}

static void a_cancelled_one(void **state)
{
    struct shared *s = make();

    (void)state;
    sq_cond_prepare(&s->cond);
    sq_cond_cancel(&s->cond);
    assert_int_equal(sleep_for(s, SHMQ_MS(20)), -ETIMEDOUT);
    sq_cond_prepare(&s->cond);
    sq_cond_wake(&s->cond, 1);
    sq_cond_cancel(&s->cond);
    assert_int_equal(sleep_for(s, SHMQ_MS(20)), -ETIMEDOUT);
    munmap(s, sizeof(*s));
}

static void in_its_time(void **state)
{
    static const int64_t timeouts_ns[] = {-SHMQ_SEC(1), 0, 1, SHMQ_MS(1), SHMQ_MS(30)};
    struct shared *s = make();

    (void)state;
    for (size_t i = 0; i < sizeof(timeouts_ns) / sizeof(timeouts_ns[0]); i++) {
        int64_t begun_ns = helper_now_ns();
        assert_int_equal(sleep_for(s, timeouts_ns[i]), -ETIMEDOUT);
        int64_t took_ns = helper_now_ns() - begun_ns;
        assert_cmp(took_ns, >=, timeouts_ns[i]);
        assert_cmp(took_ns, <, HELPER_LATE_NS);
    }
    munmap(s, sizeof(*s));
}

static void a_signal_ends_it(void **state)
{
    struct sigaction action = {.sa_handler = helper_on_signal, .sa_flags = SA_RESTART}, old;
    struct shared *s = make();

    (void)state;
    sigaction(SIGALRM, &action, &old);
    ualarm(20000, 20000);
    assert_int_equal(sleep_for(s, HELPER_LATE_NS), -EINTR);
    ualarm(0, 0);
    sigaction(SIGALRM, &old, NULL);
    munmap(s, sizeof(*s));
}

static void *sleep_once(void *arg)
{
    struct shared *s = arg;

    if (sleep_for(s, HELPER_LATE_NS) == 0)
        atomic_fetch_add(&s->woken, 1);
    return NULL;
}

static struct {
    struct shared *s;
    int announced, woken;
} goal;

static bool is_reached(void *arg)
{
    (void)arg;
    return atomic_load(&goal.s->announced) >= goal.announced &&
           atomic_load(&goal.s->woken) >= goal.woken;
}

/* The sleeper that was woken has also announced the others again, as a wake requires. */
static bool can_go_on(void *arg)
{
    return is_reached(arg) && sq_cond_has_sleepers(&goal.s->cond);
}

/* n wakes of one wake n, a wake of n wakes n, and of a wake of all nobody is left. */
static void n_wakes(void **state)
{
    struct shared *s = make();
    pthread_t threads[SLEEPERS];

    (void)state;
    goal.s = s;
    goal.announced = SLEEPERS;
    goal.woken = 0;
    for (int i = 0; i < SLEEPERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sleep_once, s), 0);
    assert_true(helper_await(is_reached, NULL));
    for (int want = 1; want <= 2; want++) {
        sq_cond_wake(&s->cond, 1);
        goal.woken = want;
        assert_true(helper_await(can_go_on, NULL));
    }
    sq_cond_wake(&s->cond, 3);
    goal.woken = 5;
    assert_true(helper_await(can_go_on, NULL));
    sq_cond_wake(&s->cond, UINT32_MAX);
    for (int i = 0; i < SLEEPERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&s->woken), SLEEPERS);
    munmap(s, sizeof(*s));
}

static int sleep_for_ever(void *arg)
{
    while (sleep_for(arg, SHMQ_SEC(60)) != -EBADMSG)
        continue;
    return 1;
}

/* Dead sleepers: wakes do not hang, and whoever lives is woken by one more at most. */
static void sleepers_die(void **state)
{
    struct shared *s = make();
    pthread_t thread;

    (void)state;
    goal.s = s;
    goal.woken = 0;
    for (int i = 1; i <= SLEEPERS; i++) {
        goal.announced = i;
        pid_t child = helper_fork(sleep_for_ever, s);
        assert_true(helper_await(is_reached, NULL));
        helper_kill(child);
    }
    goal.announced++;
    assert_int_equal(pthread_create(&thread, NULL, sleep_once, s), 0);
    assert_true(helper_await(is_reached, NULL));
    for (int i = 0; i <= SLEEPERS; i++)
        sq_cond_wake(&s->cond, 1);
    goal.woken = 1;
    assert_true(helper_await(is_reached, NULL));
    pthread_join(thread, NULL);
    munmap(s, sizeof(*s));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(wake_before_sleep), HELPER_TEST(nobody_to_wake),   HELPER_TEST(a_cancelled_one),
        HELPER_TEST(in_its_time),       HELPER_TEST(a_signal_ends_it), HELPER_TEST(n_wakes),
        HELPER_TEST(sleepers_die),
    };

    return helper_run(argc, argv, tests);
}
