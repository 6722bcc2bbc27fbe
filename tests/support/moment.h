/*
 * moment.h - a test's control over time: hours that pass at once, sleeps that only a wake
 * ends, and a moment that nobody may sleep past.
 *
 * Programs that use it are linked with WRAP (Makefile): the library's calls of
 * clock_gettime(), sq_nap() and sq_cond_sleep() come here first.
 */
#ifndef MOMENT_H
#define MOMENT_H

#include "support/helper.h"

/* For a delay that must not end while the test checks something; and when it has ended. */
#define MOMENT_HOUR_NS  SHMQ_SEC(3600)
#define MOMENT_AFTER_NS SHMQ_SEC(3601)

/*
 * Move forward all clocks that this process reads.  Calls still wait for as long as they
 * should, and a thread that is asleep is not woken.  (The timed waits of a worker's threads
 * and of a saver are not corrected: those that begin after this last that much longer.)
 */
void moment_pass(int64_t ns);

/*
 * Keep this thread, and processes that it forks, from looking around each second while they
 * sleep.  If nobody wakes such a sleeper within HELPER_LATE_NS, the test fails.
 */
void moment_no_looks(bool none);

/*
 * Something falls due between `from_ns` and `to_ns`, on this process's clock.  If a thread of
 * this process or of its children sleeps past that, from before it and without being woken,
 * the test fails.
 */
void moment_is_due(int64_t from_ns, int64_t to_ns);

/* The same for a message sent after `sent_ns` with this delay.  The library's clock is coarse. */
static inline void moment_is_due_after(int64_t sent_ns, int64_t delay_ns)
{
    moment_is_due(sent_ns + delay_ns, helper_now_ns() + delay_ns + SHMQ_MS(20));
}

/* How many sleeps failed either check. */
unsigned moment_overslept(void);

/* Setup and teardown of a test; the teardown resets the clocks. */
int moment_setup(void **state);
int moment_teardown(void **state);

#define MOMENT_TEST(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, moment_setup, moment_teardown)

#endif
