/*
 * test_wait.c - waiting: not shorter than asked and not for ever, ended by a
 * message, room, a signal or a cancellation, and not held up by a stopped process.
 */
#include "support/moment.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static shmq_t *create_small(uint64_t max_messages)
{
    struct shmq_attr attr = helper_attr(4096);

    attr.max_messages = max_messages;
    return helper_create(&attr);
}

static int64_t begun_ns;

static void begin(void)
{
    begun_ns = helper_now_ns();
}

static void took(int64_t least_ns)
{
    int64_t took_ns = helper_now_ns() - begun_ns;

    if (took_ns < least_ns || took_ns > HELPER_LATE_NS)
        fail_msg("%lld us, and not at least %lld", (long long)took_ns / 1000,
                 (long long)least_ns / 1000);
}

static void timeouts(void **state)
{
    static const int64_t timeouts_ns[] = {1, 1000, SHMQ_MS(1), SHMQ_MS(30), SHMQ_MS(1150)};
    shmq_t *q = create_small(1);
    struct shmq_buf one = {"x", 1};
    struct shmq_info info;
    char buffer[8];
    void *data;

    (void)state;
    for (size_t i = 0; i < sizeof(timeouts_ns) / sizeof(timeouts_ns[0]); i++) {
        int64_t t = timeouts_ns[i];
        begin();
        assert_int_equal(shmq_get(q, buffer, 8, NULL, t), -ETIMEDOUT);
        took(t);
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
        begin();
        assert_int_equal(shmq_put(q, "x", 1, t), -ETIMEDOUT);
        took(t);
        if (t < SHMQ_SEC(1)) {
            begin();
            assert_int_equal(shmq_put_many(q, &one, 1, t), -ETIMEDOUT);
            assert_int_equal(shmq_reserve(q, 1, &data, t), -ETIMEDOUT);
            took(2 * t);
        }
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
        begin();
        assert_int_equal(shmq_get_many(q, buffer, 8, &info, 1, SHMQ_NOWAIT, t), -ETIMEDOUT);
        took(t);
    }
    helper_finish(q);
}

/* --- threads that wait -------------------------------------------------------- */

struct waiter {
    pthread_t thread;
    shmq_t *q;
    int64_t timeout_ns;
    ssize_t rc;
};

static void *wait_in_get(void *arg)
{
    struct waiter *w = arg;
    char buffer[8];

    w->rc = shmq_get(w->q, buffer, 8, NULL, w->timeout_ns);
    return NULL;
}

static void *wait_in_put(void *arg)
{
    struct waiter *w = arg;

    w->rc = shmq_put(w->q, "y", 1, w->timeout_ns);
    return NULL;
}

/* Only a wake ends the sleep of these. */
static void *get_when_woken(void *arg)
{
    moment_no_looks(true);
    return wait_in_get(arg);
}

static void *put_when_woken(void *arg)
{
    moment_no_looks(true);
    return wait_in_put(arg);
}

static void start(struct waiter *w, shmq_t *q, void *(*body)(void *), int64_t timeout_ns)
{
    *w = (struct waiter){.q = q, .timeout_ns = timeout_ns};
    assert_int_equal(pthread_create(&w->thread, NULL, body, w), 0);
}

static struct {
    shmq_t *q;
    uint32_t producers, consumers;
} goal;

static bool sleep_as_many(void *arg)
{
    struct shmq_stats stats = helper_stats(goal.q);

    (void)arg;
    return stats.sleeping_producers == goal.producers && stats.sleeping_consumers == goal.consumers;
}

static void await_sleepers(shmq_t *q, uint32_t producers, uint32_t consumers)
{
    goal.q = q;
    goal.producers = producers;
    goal.consumers = consumers;
    assert_true(helper_await(sleep_as_many, NULL));
}

static void forever_is_ended_by_the_other_side(void **state)
{
    shmq_t *q = create_small(1);
    struct waiter w;
    char buffer[8];

    (void)state;
    start(&w, q, wait_in_get, SHMQ_FOREVER);
    await_sleepers(q, 0, 1);
    helper_expect_wake(q, HELPER_CONSUMERS);
    begin();
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_true(helper_has_woken(q, HELPER_CONSUMERS));
    pthread_join(w.thread, NULL);
    assert_int_equal(w.rc, 1);
    took(0);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    start(&w, q, wait_in_put, SHMQ_FOREVER);
    await_sleepers(q, 1, 0);
    helper_expect_wake(q, HELPER_PRODUCERS);
    begin();
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
    assert_true(helper_has_woken(q, HELPER_PRODUCERS));
    pthread_join(w.thread, NULL);
    assert_int_equal(w.rc, 0);
    took(0);
    await_sleepers(q, 0, 0);
    helper_finish(q);
}

/* One message, one sleeper; n messages, n sleepers. */
static void a_message_for_each(void **state)
{
    enum { N = 64, BATCH = 20 };
    shmq_t *q = helper_create(NULL);
    struct shmq_buf batch[N];
    struct waiter w[N];

    (void)state;
    for (int i = 0; i < N; i++)
        batch[i] = (struct shmq_buf){"x", 1};
    for (int i = 0; i < N; i++)
        start(&w[i], q, get_when_woken, SHMQ_FOREVER);
    await_sleepers(q, 0, N);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    await_sleepers(q, 0, N - 1);
    assert_int_equal(shmq_put_many(q, batch, BATCH, SHMQ_NOWAIT), BATCH);
    await_sleepers(q, 0, N - 1 - BATCH);
    assert_int_equal(shmq_depth(q), 0);
    assert_int_equal(shmq_put_many(q, batch, N - 1 - BATCH, SHMQ_NOWAIT), N - 1 - BATCH);
    for (int i = 0; i < N; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].rc, 1);
    }
    helper_finish(q);
}

static void room_for_each(void **state)
{
    enum { N = 16 };
    shmq_t *q = create_small(N);
    struct waiter w[N];
    char buffer[8];

    (void)state;
    for (int i = 0; i < N; i++)
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    for (int i = 0; i < N; i++)
        start(&w[i], q, put_when_woken, SHMQ_FOREVER);
    await_sleepers(q, N, 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
    for (int i = 0; i < N; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].rc, 0);
    }
    assert_int_equal(shmq_depth(q), N);
    helper_finish(q);
}

/* --- signals ------------------------------------------------------------------- */

static void signals_end_a_wait(void **state)
{
    static const int flags[] = {0, SA_RESTART};
    shmq_t *q = create_small(1);
    struct shmq_info info;
    char buffer[8];

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sigaction action = {.sa_handler = helper_on_signal, .sa_flags = flags[i]}, old;
        sigaction(SIGALRM, &action, &old);
        ualarm(20000, 20000);
        begin();
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_FOREVER), -EINTR);
        assert_int_equal(shmq_get(q, buffer, 8, NULL, HELPER_LATE_NS), -EINTR);
        assert_int_equal(shmq_get_many(q, buffer, 8, &info, 1, SHMQ_NOWAIT, HELPER_LATE_NS),
                         -EINTR);
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_FOREVER), -EINTR);
        assert_int_equal(shmq_put(q, "x", 1, HELPER_LATE_NS), -EINTR);
        ualarm(0, 0);
        took(0);
        assert_int_equal(shmq_depth(q), 1);
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
        sigaction(SIGALRM, &old, NULL);
    }
    helper_finish(q);
}

/* Stopped and continued, with no handler: nothing to interrupt a wait for. */
static int wait_for_five(void *arg)
{
    char buffer[8];

    return shmq_get(arg, buffer, 8, NULL, HELPER_LATE_NS) == 5 ? 0 : 1;
}

static void stop_and_go_does_not(void **state)
{
    shmq_t *q = create_small(0);
    pid_t child = helper_fork(wait_for_five, q);

    (void)state;
    await_sleepers(q, 0, 1);
    kill(child, SIGSTOP);
    assert_true(helper_await(helper_is_stopped, &child));
    kill(child, SIGCONT);
    assert_int_equal(shmq_put(q, "hello", 5, SHMQ_NOWAIT), 0);
    int status = helper_wait(child);
    /* The kernel may show a stop as an interruption, which is an error, not a loss. */
    if (status == 1)
        assert_int_equal(shmq_depth(q), 1);
    else
        assert_int_equal(status, 0);
    helper_finish(q);
}

/* --- a holder that stands still ---------------------------------------------------- */

static int reserve_and_stop(void *arg)
{
    void *data;

    if (shmq_reserve(arg, 100, &data, SHMQ_NOWAIT) != 0)
        return 1;
    raise(SIGSTOP);
    memcpy(data, "finally", 7);
    return shmq_commit(arg, 7) == 0 ? 0 : 2;
}

static void a_stopped_holder(void **state)
{
    shmq_t *q = create_small(0);
    struct shmq_buf one = {"x", 1};
    struct shmq_info info;
    char buffer[8];
    void *data;

    (void)state;
    assert_int_equal(shmq_put(q, "before", 6, SHMQ_NOWAIT), 0);
    pid_t child = helper_fork_stopped(reserve_and_stop, q);
    begin();
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), -ETIMEDOUT);
    took(SHMQ_MS(9));
    begin();
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_MS(50)), -ETIMEDOUT);
    assert_int_equal(shmq_put_many(q, &one, 1, SHMQ_MS(50)), -ETIMEDOUT);
    assert_int_equal(shmq_reserve(q, 1, &data, SHMQ_MS(50)), -ETIMEDOUT);
    took(SHMQ_MS(150));
    begin();
    assert_int_equal(shmq_get(q, buffer, 8, &info, SHMQ_NOWAIT), 6);
    assert_int_equal(shmq_get(q, buffer, 8, &info, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_peek(q, buffer, 8, &info), -EAGAIN);
    assert_int_equal(helper_stats(q).attached, 2);
    assert_int_equal(shmq_attached(q, NULL, 0), 2);
    assert_int_equal(shmq_purge(q), 0);
    shmq_t *other = helper_open(helper_name("a"), 0, NULL);
    assert_int_equal(shmq_close(other), 0);
    took(0);
    kill(child, SIGCONT);
    assert_int_equal(shmq_put(q, "after", 5, HELPER_LATE_NS), 0);
    assert_int_equal(helper_wait(child), 0);
    assert_int_equal(shmq_get(q, buffer, 8, &info, SHMQ_NOWAIT), 7);
    assert_int_equal(shmq_get(q, buffer, 8, &info, SHMQ_NOWAIT), 5);
    assert_int_equal(helper_stats(q).recoveries, 0);
    helper_finish(q);
}

static void a_killed_holder(void **state)
{
    shmq_t *q = create_small(0);
    char buffer[8];

    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        pid_t child = helper_fork_stopped(reserve_and_stop, q);
        helper_kill(child);
        begin();
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
        took(0);
        assert_int_equal(helper_stats(q).recoveries, i);
        assert_int_equal(shmq_depth(q), 1);
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
    }
    helper_finish(q);
}

/* --- system calls -------------------------------------------------------------------- */

/* Between two getppid(): nothing else must be seen. */
static int put_and_get_traced(void *arg)
{
    char buffer[64];

    /* Each side's first call claims it, and the clock's page is mapped. */
    shmq_put(arg, "x", 1, SHMQ_NOWAIT);
    shmq_get(arg, buffer, 64, NULL, SHMQ_NOWAIT);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    getppid();
    for (int i = 0; i < 1000; i++)
        if (shmq_put(arg, "hello", 5, SHMQ_FOREVER) != 0 ||
            shmq_get(arg, buffer, 64, NULL, SHMQ_FOREVER) != 5 ||
            shmq_get(arg, buffer, 64, NULL, SHMQ_NOWAIT) != -EAGAIN)
            _exit(1);
    getppid();
    return 0;
}

/* How many stops at system calls (two each) until the child ends; -1: no tracing. */
static int count_stops(pid_t child)
{
    int status, stops = 0;

    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        return -1;
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, child, NULL, NULL) != 0)
            return -1;
        if (waitpid(child, &status, 0) != child)
            return -1;
        if (WIFEXITED(status))
            return WEXITSTATUS(status) == 0 ? stops : -1;
        stops++;
    }
}

static void no_system_call_when_nobody_sleeps(void **state)
{
    static const int flags[] = {0, SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER};

    (void)state;
    if (SANITIZED)
        skip();
    for (int i = 0; i < 2; i++) {
        shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL, NULL);
        shmq_t *claimed = helper_open(helper_name("a"), 0, NULL);
        (void)claimed;
        shmq_close(claimed);
        /* Opened in the child, so that roles can be its own. */
        pid_t child = fork();
        if (child == 0) {
            shmq_t *own;
            char name[64];
            snprintf(name, sizeof(name), "t-%d-a", (int)getppid());
            if (shmq_open(&own, name, flags[i], NULL) != 0)
                _exit(2);
            _exit(put_and_get_traced(own));
        }
        int stops = count_stops(child);
        if (stops < 0) {
            waitpid(child, NULL, 0);
            print_message("no ptrace() here\n");
            helper_finish(q);
            skip();
        }
        /* Two for each getppid(), one at the entry of exit_group(), at most. */
        assert_in_range(stops, 3, 5);
        helper_finish(q);
    }
}

/* --- threads on one handle ------------------------------------------------------------- */

enum { EACH = 5000, THREADS = 3 };

struct crowd {
    shmq_t *q;
    _Atomic uint64_t put_sum, got_sum;
    _Atomic int got;
};

static void *crowd_put(void *arg)
{
    struct crowd *c = arg;

    for (uint64_t i = 1; i <= EACH; i++) {
        int rc;
        if (i % 3 == 0) {
            void *data;
            rc = shmq_reserve(c->q, 8, &data, HELPER_LATE_NS);
            if (rc == 0) {
                memcpy(data, &i, 8);
                rc = shmq_commit(c->q, 8);
            }
        } else {
            rc = shmq_put(c->q, &i, 8, HELPER_LATE_NS);
        }
        if (rc != 0)
            return arg;
        atomic_fetch_add(&c->put_sum, i);
    }
    return NULL;
}

static void *crowd_get(void *arg)
{
    struct crowd *c = arg;
    uint64_t value;

    while (atomic_load(&c->got) < EACH * THREADS) {
        ssize_t n = shmq_get(c->q, &value, 8, NULL, SHMQ_MS(100));
        if (n != 8 && n != -ETIMEDOUT)
            return arg;
        if (n == 8) {
            atomic_fetch_add(&c->got_sum, value);
            atomic_fetch_add(&c->got, 1);
        }
    }
    return NULL;
}

static void threads_share_a_handle(void **state)
{
    static const int flags[] = {0, SHMQ_SOLE_PRODUCER, SHMQ_SOLE_CONSUMER,
                                SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER};
    struct shmq_attr attr = helper_attr(4096);

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct crowd crowd = {
            .q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL | flags[i], &attr)};
        pthread_t threads[2 * THREADS];
        for (int t = 0; t < 2 * THREADS; t++)
            assert_int_equal(
                pthread_create(&threads[t], NULL, t % 2 ? crowd_put : crowd_get, &crowd), 0);
        for (int t = 0; t < 2 * THREADS; t++) {
            void *failed;
            pthread_join(threads[t], &failed);
            assert_null(failed);
        }
        assert_int_equal(crowd.put_sum, crowd.got_sum);
        assert_int_equal(helper_stats(crowd.q).got_count, EACH * THREADS);
        helper_finish(crowd.q);
    }
}

/* --- cancellation ------------------------------------------------------------------------ */

static void cancel(struct waiter *w)
{
    void *result;

    begin();
    assert_int_equal(pthread_cancel(w->thread), 0);
    pthread_join(w->thread, &result);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    took(0);
}

static void a_cancelled_wait(void **state)
{
    static const int flags[] = {0, SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER};
    struct shmq_attr attr = helper_attr(4096);
    char buffer[8];

    (void)state;
    attr.max_messages = 1;
    for (int i = 0; i < 2; i++) {
        shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL | flags[i], &attr);
        struct waiter w;
        start(&w, q, wait_in_get, SHMQ_FOREVER);
        await_sleepers(q, 0, 1);
        cancel(&w);
        await_sleepers(q, 0, 0); /* it holds nothing, not even its place among them */
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
        start(&w, q, wait_in_put, SHMQ_FOREVER);
        await_sleepers(q, 1, 0);
        cancel(&w);
        await_sleepers(q, 0, 0);
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), -EAGAIN);
        assert_int_equal(helper_stats(q).recoveries, 0);
        helper_finish(q);
    }
}

/* No other call is a cancellation point: one that is pending waits. */
static void *pending(void *arg)
{
    struct waiter *w = arg;
    struct shmq_buf two[2] = {{"x", 1}, {"y", 1}};
    struct shmq_info infos[2];
    struct shmq_stats stats = {.size = sizeof(stats)};
    char buffer[32], name[64];
    shmq_t *other = NULL;
    uint64_t place = 0;
    void *data;

    snprintf(name, sizeof(name), "%s", helper_name("a"));
    pthread_cancel(pthread_self());
    w->rc = 1;
    int rc = shmq_open(&other, name, 0, NULL);
    w->rc += rc == 0;
    w->rc += shmq_stats(other, &stats) == 0;
    w->rc += shmq_attached(other, NULL, 0) == 2;
    w->rc += shmq_put_many(other, two, 2, SHMQ_MS(1100)) == 1; /* there is room for one */
    w->rc += shmq_unlink("t-no-such-queue") == -ENOENT;
    w->rc += shmq_reserve(other, 1, &data, SHMQ_MS(1100)) == -ETIMEDOUT;
    w->rc += shmq_peek(other, buffer, 32, NULL) == 1;
    w->rc += shmq_browse(other, &place, buffer, 32, NULL) == 1;
    w->rc += shmq_get_many(other, buffer, 32, infos, 2, SHMQ_MS(1100), SHMQ_NOWAIT) == 1;
    w->rc += shmq_get_many(other, buffer, 32, infos, 2, SHMQ_NOWAIT, SHMQ_MS(1100)) == -ETIMEDOUT;
    w->rc += shmq_purge(other) == 0;
    w->rc += shmq_close(other) == 0;
    pthread_testcancel();
    return NULL;
}

static void others_are_no_cancellation_points(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    struct waiter w;
    void *result;

    (void)state;
    attr.max_messages = 1;
    shmq_t *q = helper_create(&attr);
    start(&w, q, pending, 0);
    pthread_join(w.thread, &result);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_int_equal(w.rc, 13);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(timeouts),
        HELPER_TEST(forever_is_ended_by_the_other_side),
        MOMENT_TEST(a_message_for_each),
        MOMENT_TEST(room_for_each),
        HELPER_TEST(signals_end_a_wait),
        HELPER_TEST(stop_and_go_does_not),
        HELPER_TEST(a_stopped_holder),
        HELPER_TEST(a_killed_holder),
        HELPER_TEST(no_system_call_when_nobody_sleeps),
        HELPER_TEST(threads_share_a_handle),
        HELPER_TEST(a_cancelled_wait),
        HELPER_TEST(others_are_no_cancellation_points),
    };

    return helper_run(argc, argv, tests);
}
