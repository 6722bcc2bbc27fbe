/*
 * helper.h - what the tests share: names of their own, child processes, waiting
 * for a condition, and the check that a test leaves nothing behind.
 *
 * The rule for clocks.  A busy machine delays every process, and no test may fail for that:
 *
 *  - A test counts wherever it can: wakes, sleeps, system calls, records walked.
 *  - A test may fail by the clock only at ten times what is promised, or later.  For all
 *    that is promised at once, or within a second or two, that is HELPER_LATE_NS.
 *  - If something must hold before a delay, a lease or a time to live ends, the test gives
 *    that hours, and moves the clocks when they are to end: moment_pass() (moment.h).
 *  - If something comes later, the test awaits it; it does not sleep.
 *  - Processes that depend on one another are not told to stop at the same moment: the
 *    producers stop first and are waited for, then the consumers.
 *  - A call with SHMQ_NOWAIT gives up after 10 ms if the process that holds the lock does
 *    not run.  Where other processes work on the same side, a test passes a timeout.
 */
#ifndef HELPER_H
#define HELPER_H

#include <sys/types.h>

#include "shmq.h"
#include "support/assertions.h"

/* A queue name of this process and test: "t-PID-suffix".  In a static buffer. */
const char *helper_name(const char *suffix);

/*
 * cmocka setup and teardown of each test: the teardown fails the test if it
 * left a child, a descriptor or a queue of helper_name() behind (and removes it).
 */
int helper_setup(void **state);
int helper_teardown(void **state);

/* A test between the two above. */
#define HELPER_TEST(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, helper_setup, helper_teardown)

/*
 * For main(): run all tests of the array, or the one that the argument names, or list them.
 * Returns the exit status.
 *     test_lease [--list | NAME]
 */
#define helper_run(argc, argv, tests)                                                              \
    helper_run_tests(argc, argv, tests, sizeof(tests) / sizeof((tests)[0]))
int helper_run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t count);

/* Fork a child that runs `body(arg)` and exits with what it returns; an assertion that fails
 * aborts it. */
pid_t helper_fork(int (*body)(void *arg), void *arg);

/* Likewise, and await that it has stopped itself. */
pid_t helper_fork_stopped(int (*body)(void *arg), void *arg);

/* A child that has received a message of `q` and stopped with it in hand; it closes `q` if it
 * goes on. */
pid_t helper_holder(shmq_t *q);

/* Fork `count` children that begin at the same time; each must exit with 0. */
void helper_at_once(unsigned count, int (*body)(void *arg), void *arg);

/* Wait for a child: its exit status, or 1000 + the signal that killed it. */
int helper_wait(pid_t child);

/* SIGKILL a child and reap it. */
void helper_kill(pid_t child);

/* Ten times what is promised within a second or two. */
#define HELPER_LATE_NS SHMQ_SEC(20)

/* Poll until `condition(arg)`, for HELPER_LATE_NS at most: false if it never came. */
bool helper_await(bool (*condition)(void *arg), void *arg);

/* A signal handler that does nothing: the signal interrupts, and that is all. */
void helper_on_signal(int signal);

/* CLOCK_MONOTONIC. */
int64_t helper_now_ns(void);
/* CLOCK_REALTIME. */
int64_t helper_wall_ns(void);
/* CPU time of this process, which other load does not increase. */
int64_t helper_cpu_ns(void);

/* Conditions for helper_await(). */
bool helper_consumer_sleeps(void *queue); /* a get sleeps on this shmq_t */
bool helper_producer_sleeps(void *queue);
bool helper_is_stopped(void *pid); /* a pid_t *: the process is stopped */
bool helper_is_asleep(void *pid);  /* in the kernel, and not only about to be */

/*
 * Whether an operation wakes those who sleep, told by the wake itself and not by how
 * soon they go on: they look around each second anyway, and a busy machine is late.
 * The first awaits a sleeper, or one about to be, and forgets earlier wakes.
 */
enum helper_sleepers { HELPER_CONSUMERS, HELPER_PRODUCERS, HELPER_JOINERS };
void helper_expect_wake(shmq_t *q, enum helper_sleepers who);
bool helper_has_woken(shmq_t *q, enum helper_sleepers who);

/* Open or fail the test. */
shmq_t *helper_open(const char *name, int flags, const struct shmq_attr *attr);

/* Create the queue helper_name("a"), or fail the test; close and remove it. */
shmq_t *helper_create(const struct shmq_attr *attr);
void helper_finish(shmq_t *q);

/* Attributes for a ring of so many bytes and all else default. */
struct shmq_attr helper_attr(uint64_t capacity_bytes);

/* A reading of the counters, or fail the test. */
struct shmq_stats helper_stats(shmq_t *q);
struct shmq_file_stats helper_file_stats(shmq_t *q);

/* --- messages --------------------------------------------------------------- */

/* Send a text with nothing more to it: its id.  Or fail the test. */
uint64_t helper_send(shmq_t *q, const char *text);

/* Receive a message within HELPER_LATE_NS, or fail the test. */
struct shmq_msg helper_receive(shmq_t *q);

/* Whether the message is this text. */
bool helper_is(const struct shmq_msg *msg, const char *text);

/* Receive and acknowledge: whether it was this text; NULL: whether nothing is there. */
bool helper_takes(shmq_t *q, const char *text);

/* The figures of the handle's group, or fail the test. */
struct shmq_group_stats helper_group(shmq_t *q);

/* Wait for a moment to pass, when that is what is tested. */
void helper_pass(int64_t ns);

/* Memory that children share, zeroed. */
void *helper_shared(size_t bytes);

/* Random numbers from a seed: $SEED, or the time; it is printed, to repeat a failure. */
struct helper_random {
    uint64_t state;
};
struct helper_random helper_seed(void);
uint64_t helper_random(struct helper_random *random);

/* How many entries a folder has; hidden ones do not count. */
unsigned helper_entries(const char *folder);

/* Whether the last failure's detail has both words in it. */
bool helper_detail_names(const char *one, const char *other);

#endif
