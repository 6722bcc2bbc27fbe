/*
 * moment.h - time in a test's own hand: hours that pass at once, sleepers that are woken
 * or sleep on, and a moment that nobody sleeps past.
 *
 * Programs that use it are linked so that the library's calls of the clocks and of
 * sq_cond_sleep() come here first (WRAP in the Makefile).
 */
#ifndef MOMENT_H
#define MOMENT_H

#include "support/helper.h"

/* For what is not to be over while a test looks, and when it is. */
#define MOMENT_HOUR_NS  SHMQ_SEC(3600)
#define MOMENT_AFTER_NS SHMQ_SEC(3601)

/*
 * Let so much time pass at once, by all clocks that this process reads.  Calls wait no
 * longer for that, and who sleeps already sleeps on.  (A worker's threads and a saver
 * rest in another way: those who begin to rest afterwards do so for as much longer.)
 */
void moment_pass(int64_t ns);

/*
 * Whether this thread, and what it forks, sleeps until it is woken, and does not look
 * around each second.  Who is not woken before it is late fails the test.
 */
void moment_no_looks(bool none);

/*
 * Something is due, by this process's clock not before `from_ns` and not after `to_ns`: a
 * thread of it, or of what it forks, that sleeps past that by itself fails the test.
 */
void moment_is_due(int64_t from_ns, int64_t to_ns);

/* The same of what was sent since `sent_ns`, to be due after so long: coarse clocks tell. */
static inline void moment_is_due_after(int64_t sent_ns, int64_t delay_ns)
{
    moment_is_due(sent_ns + delay_ns, helper_now_ns() + delay_ns + SHMQ_MS(20));
}

/* How many have slept too long, in one way or the other. */
unsigned moment_overslept(void);

/* Setup and teardown of a test: then time is as it was. */
int moment_setup(void **state);
int moment_teardown(void **state);

#define MOMENT_TEST(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, moment_setup, moment_teardown)

#endif
