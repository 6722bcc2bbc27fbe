/*
 * test_worker.c - threads that receive and call a handler.
 */
#include "support/moment.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGES_MAX = 4096 };

/* What the handlers of a test saw, and what they are to say. */
struct scene {
    _Atomic unsigned handled;
    _Atomic unsigned inside, inside_most;
    _Atomic unsigned times[MESSAGES_MAX]; /* by id */
    _Atomic unsigned attempts;            /* of the last one */
    _Atomic int64_t at_ns;                /* when that came */
    int verdicts[8];                      /* by attempt, from 1; from 0 on: the last one */
    int64_t takes_ns;
    struct shmq_outcome outcome;
    _Atomic bool gate_shut; /* handlers wait while it is */
    _Atomic unsigned errors;
    _Atomic int error;           /* that on_error was told */
    _Atomic int64_t error_bytes; /* of the message that it was shown */
    int instead;
    struct shmq_outcome outcome_instead;
};

static void nap(int64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

    nanosleep(&t, NULL);
}

static int handle(shmq_t *q, const struct shmq_msg *msg, struct shmq_outcome *outcome, void *arg)
{
    struct scene *s = arg;
    unsigned inside = atomic_fetch_add(&s->inside, 1) + 1, most = s->inside_most;

    (void)q;
    while (inside > most && !atomic_compare_exchange_weak(&s->inside_most, &most, inside))
        ;
    if (msg->id < MESSAGES_MAX)
        atomic_fetch_add(&s->times[msg->id], 1);
    s->attempts = msg->attempts;
    s->at_ns = helper_now_ns();
    atomic_fetch_add(&s->handled, 1);
    if (s->takes_ns > 0)
        nap(s->takes_ns);
    while (s->gate_shut)
        nap(200000);
    *outcome = s->outcome;
    atomic_fetch_sub(&s->inside, 1);
    return s->verdicts[msg->attempts < 8 ? msg->attempts : 7];
}

static int know_better(shmq_t *q, const struct shmq_msg *msg, int verdict,
                       struct shmq_outcome *outcome, void *arg)
{
    struct scene *s = arg;

    (void)q;
    s->error = verdict;
    s->error_bytes = msg->data == NULL ? -1 : (int64_t)msg->length;
    atomic_fetch_add(&s->errors, 1);
    *outcome = s->outcome_instead;
    return s->instead;
}

static struct scene *make_scene(void)
{
    return calloc(1, sizeof(struct scene));
}

static shmq_worker_t *start(shmq_t *q, struct scene *s, unsigned threads, int64_t limit_ns,
                            shmq_error_handler on_error)
{
    struct shmq_worker_attr attr = {sizeof(attr), threads, limit_ns, on_error, s};
    shmq_worker_t *worker;

    assert_int_equal(shmq_worker_start(q, handle, &attr, &worker), 0);
    return worker;
}

static struct shmq_group_stats figures(shmq_t *q)
{
    struct shmq_group_stats stats;

    assert_int_equal(shmq_group_stats(q, &stats), 0);
    return stats;
}

/* Not by the figures: a message that goes from one state to another may be missed there. */
static bool all_finished(void *q)
{
    return shmq_join(q, SHMQ_NOWAIT) == 0;
}

static bool is_parked(void *q)
{
    return figures(q).dead == 1;
}

static bool runs(void *scene)
{
    return ((struct scene *)scene)->inside > 0;
}

static bool handled_twice(void *scene)
{
    return ((struct scene *)scene)->handled >= 2;
}

static bool was_in_error(void *scene)
{
    return ((struct scene *)scene)->errors > 0;
}

static shmq_t *create(const struct shmq_policy *policy)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    if (policy != NULL)
        attr.policy = *policy;
    return helper_create(&attr);
}

/* --- what it is for ---------------------------------------------------------- */

static void each_message_once(void **state)
{
    enum { COUNT = 2000 };
    shmq_t *q = create(NULL);
    struct scene *s = make_scene();
    shmq_worker_t *worker = start(q, s, 4, 0, NULL);

    (void)state;
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(shmq_put(q, &i, sizeof(i), HELPER_LATE_NS), 0);
    assert_int_equal(shmq_join(q, HELPER_LATE_NS), 0);
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    assert_int_equal(s->handled, COUNT);
    for (unsigned id = 1; id <= COUNT; id++)
        assert_int_equal(s->times[id], 1);
    assert_int_equal(figures(q).acked_count, COUNT);
    free(s);
    helper_finish(q);
}

static bool are_four_inside(void *scene)
{
    return ((struct scene *)scene)->inside == 4;
}

/* Four at a time, although only one thread waits for messages at a time. */
static void threads_work_side_by_side(void **state)
{
    shmq_t *q = create(NULL);
    struct scene *s = make_scene();

    (void)state;
    s->gate_shut = true;
    shmq_worker_t *worker = start(q, s, 4, 0, NULL);
    for (int i = 0; i < 12; i++)
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_true(helper_await(are_four_inside, s));
    s->gate_shut = false;
    assert_int_equal(shmq_join(q, HELPER_LATE_NS), 0);
    assert_int_equal(s->inside_most, 4);
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    free(s);
    helper_finish(q);
}

static void works_for_a_group(void **state)
{
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL | SHMQ_TOPIC, NULL);
    struct scene *s = make_scene();
    shmq_worker_t *worker;
    shmq_t *g;

    (void)state;
    assert_int_equal(shmq_worker_start(q, handle, NULL, &worker), -EINVAL);
    assert_null(worker);
    assert_int_equal(shmq_subscribe(q, "workers", NULL, &g), 0);
    worker = start(g, s, 2, 0, NULL);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_join(g, HELPER_LATE_NS), 0);
    assert_int_equal(s->handled, 1);
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    shmq_close(g);
    free(s);
    helper_finish(q);
}

/* --- verdicts ------------------------------------------------------------------- */

/* One message until it is finished. */
static struct shmq_group_stats run_one(struct scene *s, const struct shmq_policy *policy,
                                       int64_t limit_ns, shmq_error_handler on_error)
{
    shmq_t *q = create(policy);
    shmq_worker_t *worker = start(q, s, 2, limit_ns, on_error);

    assert_int_equal(shmq_put(q, "five!", 5, SHMQ_NOWAIT), 0);
    assert_true(helper_await(all_finished, q));
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    struct shmq_group_stats stats = figures(q);
    helper_finish(q);
    return stats;
}

static void retried_until_done(void **state)
{
    struct scene *s = make_scene();

    (void)state;
    s->verdicts[1] = SHMQ_RETRY;
    s->verdicts[2] = -EIO; /* what is no verdict is a failure */
    struct shmq_group_stats stats = run_one(s, NULL, 0, NULL);
    assert_int_equal(s->handled, 3);
    assert_int_equal(s->attempts, 3);
    assert_int_equal(stats.nacked_count, 2);
    assert_int_equal(stats.acked_count, 1);
    free(s);
}

static void retried_as_often_as_allowed(void **state)
{
    struct shmq_policy policy = {.max_attempts = 2};
    struct scene *s = make_scene();

    (void)state;
    s->verdicts[1] = s->verdicts[2] = SHMQ_RETRY;
    struct shmq_group_stats stats = run_one(s, &policy, 0, NULL);
    assert_int_equal(s->handled, 2);
    assert_int_equal(stats.dead, 1);
    assert_int_equal(stats.dead_by_reason[SHMQ_REASON_ATTEMPTS], 1);
    free(s);
}

static void rejected_with_reason_and_text(void **state)
{
    struct scene *s = make_scene();
    shmq_t *q = create(NULL);
    shmq_worker_t *worker = start(q, s, 1, 0, NULL);

    (void)state;
    s->verdicts[1] = SHMQ_REJECT;
    s->outcome.reason = SHMQ_REASON_VALIDATION;
    memset(s->outcome.text, 'x', sizeof(s->outcome.text)); /* not even ended */
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_true(helper_await(is_parked, q));
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    assert_int_equal(figures(q).dead_by_reason[SHMQ_REASON_VALIDATION], 1);
    free(s);
    helper_finish(q);
}

/* What went wrong the last time is told by the dead letter. */
static void the_last_error_is_told(void **state)
{
    struct shmq_policy policy = {.max_attempts = 2};
    struct scene *s = make_scene();
    struct shmq_msg letter = SHMQ_MSG_INIT;
    shmq_t *letters;

    (void)state;
    snprintf(policy.dead_letter, sizeof(policy.dead_letter), "%s", helper_name("dead"));
    s->verdicts[1] = SHMQ_LATER;
    s->verdicts[2] = SHMQ_RETRY;
    strcpy(s->outcome.text, "no ink");
    assert_int_equal(run_one(s, &policy, 0, NULL).dead_count, 1);
    letters = helper_open(helper_name("dead"), 0, NULL);
    assert_int_equal(shmq_receive(letters, &letter, SHMQ_NOWAIT), 0);
    assert_string_equal(shmq_header_value(&letter, "shmq-error"), "no ink");
    assert_string_equal(shmq_header_value(&letter, "shmq-attempts"), "2");
    assert_int_equal(shmq_close(letters), 0);
    assert_int_equal(shmq_unlink(helper_name("dead")), 0);
    free(s);
}

static void later_means_later(void **state)
{
    struct scene *s = make_scene();
    shmq_t *q = create(NULL);

    (void)state;
    s->verdicts[1] = SHMQ_LATER;
    s->outcome.delay_ns = SHMQ_MS(150);
    shmq_worker_t *worker = start(q, s, 1, 0, NULL);
    int64_t before_ns = helper_now_ns();
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_true(helper_await(all_finished, q));
    assert_int_equal(s->handled, 2);
    assert_int_equal(s->attempts, 2);
    assert_cmp(s->at_ns - before_ns, >=, SHMQ_MS(150));
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    free(s);
    helper_finish(q);
}

static void error_handler_decides(void **state)
{
    struct scene *s = make_scene();

    (void)state;
    s->verdicts[1] = SHMQ_RETRY;
    s->instead = SHMQ_REJECT;
    s->outcome_instead.reason = SHMQ_REASON_DEPENDENCY;
    struct shmq_group_stats stats = run_one(s, NULL, 0, know_better);
    assert_int_equal(s->handled, 1);
    assert_int_equal(s->errors, 1);
    assert_int_equal(s->error, SHMQ_RETRY);
    assert_int_equal(s->error_bytes, 5);
    assert_int_equal(stats.dead_by_reason[SHMQ_REASON_DEPENDENCY], 1);
    /* It may call it done, too; and is not asked about what is. */
    memset(s, 0, sizeof(*s));
    s->verdicts[1] = SHMQ_REJECT;
    s->instead = SHMQ_DONE;
    stats = run_one(s, NULL, 0, know_better);
    assert_int_equal(stats.acked_count, 1);
    assert_int_equal(stats.dead, 0);
    memset(s, 0, sizeof(*s));
    s->instead = SHMQ_REJECT;
    stats = run_one(s, NULL, 0, know_better);
    assert_int_equal(stats.acked_count, 1);
    assert_int_equal(s->errors, 0);
    free(s);
}

/* --- time ------------------------------------------------------------------------- */

/* Nobody else has taken the message: the error handler decides, and sees it. */
static void too_late_to_count(void **state)
{
    struct scene *s = make_scene();
    shmq_t *q = create(NULL);

    (void)state;
    s->takes_ns = SHMQ_MS(60);
    s->instead = SHMQ_REJECT;
    s->outcome_instead.reason = SHMQ_REASON_TIMEOUT;
    shmq_worker_t *worker = start(q, s, 1, SHMQ_MS(20), know_better);
    assert_int_equal(shmq_put(q, "five!", 5, SHMQ_NOWAIT), 0);
    assert_true(helper_await(is_parked, q));
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    assert_int_equal(s->handled, 1);
    assert_int_equal(s->error, -ETIMEDOUT);
    assert_int_equal(s->error_bytes, 5);
    assert_int_equal(figures(q).acked_count, 0);
    assert_int_equal(figures(q).dead_by_reason[SHMQ_REASON_TIMEOUT], 1);
    free(s);
    helper_finish(q);
}

/* Another thread takes it when the limit is over; the first one's verdict is nothing. */
static void lease_ends_at_the_limit(void **state)
{
    struct scene *s = make_scene();
    shmq_t *q = create(NULL);

    (void)state;
    s->verdicts[1] = SHMQ_REJECT; /* does not count */
    s->gate_shut = true;
    s->instead = SHMQ_REJECT; /* nor does this, with nothing in hand */
    shmq_worker_t *worker = start(q, s, 2, SHMQ_MS(50), know_better);
    assert_int_equal(shmq_put(q, "five!", 5, SHMQ_NOWAIT), 0);
    assert_true(helper_await(handled_twice, s));
    assert_int_equal(s->inside, 2);
    s->gate_shut = false; /* the second one is in time, unless it takes 50 ms to see this */
    assert_true(helper_await(was_in_error, s));
    assert_int_equal(s->error, -ETIMEDOUT);
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    assert_cmp(figures(q).lost_lease_count, >=, 1);
    free(s);
    helper_finish(q);
}

/* The only lease there is. */
static bool lasts_two_hours_more(void *q)
{
    return figures(q).next_due_ns > 2 * MOMENT_HOUR_NS;
}

/* The worker renews it when a third of it is over. */
static void lease_is_renewed(void **state)
{
    struct shmq_policy policy = {.lease_ns = 3 * MOMENT_HOUR_NS - SHMQ_SEC(60)};
    shmq_t *q = create(&policy);
    struct scene *s = make_scene();

    (void)state;
    s->gate_shut = true;
    shmq_worker_t *worker = start(q, s, 2, 0, NULL);
    assert_int_equal(shmq_put(q, "five!", 5, SHMQ_NOWAIT), 0);
    assert_true(helper_await(runs, s));
    assert_true(lasts_two_hours_more(q));
    moment_pass(MOMENT_HOUR_NS);
    assert_true(helper_await(lasts_two_hours_more, q));
    s->gate_shut = false;
    assert_true(helper_await(all_finished, q));
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    assert_int_equal(s->handled, 1);
    assert_int_equal(figures(q).lost_lease_count, 0);
    free(s);
    helper_finish(q);
}

/* --- stopping ---------------------------------------------------------------------- */

static void idle_worker_stops_soon(void **state)
{
    shmq_t *q = create(NULL);
    struct scene *s = make_scene();
    shmq_worker_t *worker = start(q, s, 8, 0, NULL);

    (void)state;
    assert_true(helper_await(helper_consumer_sleeps, q));
    assert_int_equal(helper_stats(q).sleeping_consumers, 1);
    int64_t before_ns = helper_now_ns();
    assert_int_equal(shmq_worker_stop(worker, SHMQ_NOWAIT), 0);
    assert_cmp(helper_now_ns() - before_ns, <, HELPER_LATE_NS);
    free(s);
    helper_finish(q);
}

static bool are_fewer_threads(void *count)
{
    return helper_entries("/proc/self/task") < *(unsigned *)count;
}

static void stop_waits_for_handlers(void **state)
{
    shmq_t *q = create(NULL);
    struct scene *s = make_scene();
    shmq_worker_t *worker = start(q, s, 2, 0, NULL);

    (void)state;
    s->gate_shut = true;
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_true(helper_await(runs, s));
    assert_int_equal(shmq_worker_stop(worker, -2), -EINVAL);
    unsigned threads = helper_entries("/proc/self/task");
    int64_t before_ns = helper_now_ns();
    assert_int_equal(shmq_worker_stop(worker, SHMQ_MS(50)), -ETIMEDOUT);
    assert_cmp(helper_now_ns() - before_ns, >=, SHMQ_MS(50));
    assert_cmp(helper_now_ns() - before_ns, <, HELPER_LATE_NS);
    assert_true(helper_await(are_fewer_threads, &threads)); /* the other was receiving still */
    assert_int_equal(shmq_put(q, "y", 1, SHMQ_NOWAIT), 0);
    nap(SHMQ_MS(50));
    assert_int_equal(s->handled, 1); /* nothing more is received */
    s->gate_shut = false;
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    assert_int_equal(figures(q).acked_count, 1);
    assert_int_equal(figures(q).waiting, 1);
    free(s);
    helper_finish(q);
}

static void what_is_in_hand_is_returned(void **state)
{
    shmq_t *q = create(NULL);
    struct scene *s = make_scene();
    shmq_worker_t *worker = start(q, s, 2, 0, know_better);

    (void)state;
    s->gate_shut = true;
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_true(helper_await(runs, s));
    assert_int_equal(shmq_worker_stop(worker, SHMQ_NOWAIT), -ETIMEDOUT);
    s->gate_shut = false;
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    assert_int_equal(s->handled, 1);
    assert_int_equal(s->errors, 0);
    assert_int_equal(figures(q).acked_count, 0);
    assert_int_equal(figures(q).waiting, 1);
    free(s);
    helper_finish(q);
}

static int stop_own(shmq_t *q, const struct shmq_msg *msg, struct shmq_outcome *outcome, void *arg)
{
    (void)q, (void)msg, (void)outcome;
    shmq_worker_t *worker;
    while ((worker = *(shmq_worker_t * _Atomic *)arg) == NULL)
        nap(100000);
    return shmq_worker_stop(worker, SHMQ_FOREVER) == -EINVAL ? SHMQ_DONE : SHMQ_REJECT;
}

static void handler_cannot_stop_its_worker(void **state)
{
    shmq_t *q = create(NULL);
    shmq_worker_t *_Atomic shown = NULL;
    struct shmq_worker_attr attr = {.size = sizeof(attr), .arg = &shown};
    shmq_worker_t *worker;

    (void)state;
    assert_int_equal(shmq_worker_start(q, stop_own, &attr, &worker), 0);
    shown = worker;
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_true(helper_await(all_finished, q));
    assert_int_equal(figures(q).acked_count, 1);
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    helper_finish(q);
}

/* --- trouble ------------------------------------------------------------------------ */

/* A queue that is gone says so at each call; the worker does not ask as fast as it can. */
static void removed_queue_is_no_spin(void **state)
{
    shmq_t *q = create(NULL);
    struct scene *s = make_scene();
    shmq_worker_t *worker = start(q, s, 4, 0, NULL);

    (void)state;
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
    int64_t before_ns = helper_cpu_ns();
    nap(SHMQ_MS(500));
    assert_cmp(helper_cpu_ns() - before_ns, <, SHMQ_MS(100));
    before_ns = helper_now_ns();
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    assert_cmp(helper_now_ns() - before_ns, <, HELPER_LATE_NS);
    assert_int_equal(shmq_close(q), 0);
    free(s);
}

static char works_on[128];

static int work_for_ever(void *scene)
{
    start(helper_open(works_on, 0, NULL), scene, 1, 0, NULL);
    return pause();
}

static void killed_worker_loses_nothing(void **state)
{
    struct scene *s = make_scene(), *its = helper_shared(sizeof(*its));
    shmq_t *q = create(NULL);

    (void)state;
    strcpy(works_on, helper_name("a"));
    its->gate_shut = true;
    pid_t child = helper_fork(work_for_ever, its);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_true(helper_await(runs, its)); /* a lease that is still being made is no attempt */
    helper_kill(child);
    munmap(its, sizeof(*its));
    shmq_worker_t *worker = start(q, s, 2, 0, NULL);
    assert_true(helper_await(all_finished, q));
    assert_int_equal(s->attempts, 2);
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    free(s);
    helper_finish(q);
}

/* --- a lease that is lost while the handler reads ------------------------------------ */

enum { LONG_BYTES = 10000 };

/* Ends the process after a sign, with whether the payload was whole then. */
static int read_late(shmq_t *q, const struct shmq_msg *msg, struct shmq_outcome *outcome, void *arg)
{
    const char *bytes = msg->data;
    shmq_t *sign = arg;
    char c;

    (void)q, (void)outcome;
    shmq_get(sign, &c, 1, NULL, SHMQ_FOREVER);
    nap(SHMQ_MS(200)); /* for the renewer to find that the lease is lost */
    for (size_t i = 0; i < LONG_BYTES; i++)
        if (bytes[i] != 'x')
            _exit(2);
    _exit(0);
}

static int work_and_read_late(void *name)
{
    char sign_name[160];
    shmq_worker_t *worker;

    snprintf(sign_name, sizeof(sign_name), "%s-sign", (char *)name);
    struct shmq_worker_attr attr = {.size = sizeof(attr), .arg = helper_open(sign_name, 0, NULL)};
    shmq_worker_start(helper_open(name, 0, NULL), read_late, &attr, &worker);
    return pause();
}

/* The bytes of a compressed message are of the reader's own, and stay his. */
static void lost_message_can_still_be_read(void **state)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    struct shmq_msg msg = SHMQ_MSG_INIT, got = SHMQ_MSG_INIT;
    char name[128], sign_name[160], bytes[LONG_BYTES];
    shmq_t *q;

    (void)state;
    strcpy(name, helper_name("a"));
    attr.compress_bytes = 64;
    attr.policy.lease_ns = SHMQ_MS(120);
    if (shmq_open(&q, name, SHMQ_CREATE | SHMQ_EXCL, &attr) == -ENOTSUP)
        skip();
    snprintf(sign_name, sizeof(sign_name), "%s-sign", name);
    shmq_t *sign = helper_open(sign_name, SHMQ_CREATE | SHMQ_EXCL, NULL);
    pid_t child = helper_fork(work_and_read_late, name);
    memset(bytes, 'x', sizeof(bytes));
    msg.data = bytes;
    msg.length = sizeof(bytes);
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_true(helper_await(helper_consumer_sleeps, sign));
    kill(child, SIGSTOP);
    assert_true(helper_await(helper_is_stopped, &child));
    attr.policy.lease_ns = MOMENT_HOUR_NS;
    assert_int_equal(shmq_policy_set(q, &attr.policy), 0);
    assert_int_equal(shmq_receive(q, &got, HELPER_LATE_NS), 0);
    assert_int_equal(got.attempts, 2);
    assert_int_equal(shmq_ack(q, &got), 0);
    kill(child, SIGCONT);
    assert_int_equal(shmq_put(sign, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(helper_wait(child), 0);
    assert_int_equal(shmq_close(sign), 0);
    assert_int_equal(shmq_unlink(sign_name), 0);
    helper_finish(q);
}

static int stop_parents(void *worker)
{
    return shmq_worker_stop(worker, SHMQ_FOREVER);
}

static void forked_child_has_no_threads(void **state)
{
    shmq_t *q = create(NULL);
    struct scene *s = make_scene();
    shmq_worker_t *worker = start(q, s, 2, 0, NULL);

    (void)state;
    assert_int_equal(helper_wait(helper_fork(stop_parents, worker)), 0);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_true(helper_await(all_finished, q));
    assert_int_equal(s->handled, 1);
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    free(s);
    helper_finish(q);
}

static void wrong_arguments(void **state)
{
    shmq_t *q = create(NULL);
    struct {
        struct shmq_worker_attr attr;
        char more[8];
    } newer = {.attr = {.size = sizeof(newer)}};
    shmq_worker_t *worker;

    (void)state;
    assert_int_equal(shmq_worker_start(q, NULL, NULL, &worker), -EINVAL);
    assert_null(worker);
    newer.more[3] = 1;
    assert_int_equal(shmq_worker_start(q, handle, &newer.attr, &worker), -EINVAL);
    newer.more[3] = 0;
    newer.attr.time_limit_ns = -1;
    assert_int_equal(shmq_worker_start(q, handle, &newer.attr, &worker), -EINVAL);
    newer.attr.time_limit_ns = 0;
    newer.attr.threads = 1000000;
    assert_int_equal(shmq_worker_start(q, handle, &newer.attr, &worker), -EINVAL);
    newer.attr.threads = 0;
    assert_int_equal(shmq_worker_start(q, handle, &newer.attr, &worker), 0);
    assert_int_equal(shmq_worker_stop(worker, SHMQ_FOREVER), 0);
    newer.attr.size = 0;
    assert_int_equal(shmq_worker_start(q, handle, &newer.attr, &worker), -EINVAL);
    shmq_t *r = helper_open(helper_name("a"), SHMQ_RDONLY, NULL);
    assert_int_equal(shmq_worker_start(r, handle, NULL, &worker), -EACCES);
    assert_int_equal(shmq_close(r), 0);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(each_message_once),
        HELPER_TEST(threads_work_side_by_side),
        HELPER_TEST(works_for_a_group),
        HELPER_TEST(retried_until_done),
        HELPER_TEST(retried_as_often_as_allowed),
        HELPER_TEST(rejected_with_reason_and_text),
        HELPER_TEST(the_last_error_is_told),
        HELPER_TEST(later_means_later),
        HELPER_TEST(error_handler_decides),
        HELPER_TEST(too_late_to_count),
        HELPER_TEST(lease_ends_at_the_limit),
        MOMENT_TEST(lease_is_renewed),
        HELPER_TEST(idle_worker_stops_soon),
        HELPER_TEST(stop_waits_for_handlers),
        HELPER_TEST(what_is_in_hand_is_returned),
        HELPER_TEST(handler_cannot_stop_its_worker),
        HELPER_TEST(removed_queue_is_no_spin),
        HELPER_TEST(killed_worker_loses_nothing),
        HELPER_TEST(lost_message_can_still_be_read),
        HELPER_TEST(forked_child_has_no_threads),
        HELPER_TEST(wrong_arguments),
    };

    return helper_run(argc, argv, tests);
}
