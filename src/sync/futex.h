/*
 * futex.h - the two system calls under the condition variable.
 */
#ifndef SQ_FUTEX_H
#define SQ_FUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Sleep while *word == expected, until woken or CLOCK_MONOTONIC reaches
 * until_ns.  0 woken or *word had changed; -ETIMEDOUT; -EINTR a signal handler
 * ran (whatever SA_RESTART says, since the sleep has an end).
 * A sleeper that was chosen by a wake always gets 0: no wake is lost to a signal.
 */
int sq_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t until_ns);

/* The same for several words at once, up to 128.  -ENOSYS: not with this kernel. */
int sq_futex_wait_any(_Atomic uint32_t *const *words, const uint32_t *expected, unsigned count,
                      int64_t until_ns);

/* Wake up to `count` sleepers. */
void sq_futex_wake(_Atomic uint32_t *word, unsigned count);

/*
 * Let every running thread of the processes that registered pass a full memory
 * barrier.  False where the kernel refuses.
 */
bool sq_membarrier_register(void);
bool sq_membarrier(void);

/* Sleep until until_ns.  0, or -EINTR.  Unlike clock_nanosleep() no cancellation point. */
int sq_nap(int64_t until_ns);

#endif
