/*
 * futex.c - see futex.h.  Raw system calls: libc wraps none of futex and
 * membarrier, and syscall() is no cancellation point.
 */
#include "futex.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"

/* The kernel's interface, in <linux/futex.h> and <linux/membarrier.h>, which a
 * libc other than the system's own may not find. */
enum {
    FUTEX_WAKE = 1,
    FUTEX_WAIT_BITSET = 9, /* as FUTEX_WAIT, with an absolute time */
    MEMBARRIER_CMD_GLOBAL_EXPEDITED = 1 << 1,
    MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 1 << 2,
};
#define FUTEX_BITSET_MATCH_ANY 0xffffffffu

int sq_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t until_ns)
{
    struct timespec until = sq_timespec(until_ns);

    /* Not FUTEX_PRIVATE_FLAG: the word is shared by processes. */
    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, &until, NULL,
                FUTEX_BITSET_MATCH_ANY) == 0 ||
        errno == EAGAIN)
        return 0;
    return -errno;
}

void sq_futex_wake(_Atomic uint32_t *word, unsigned count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

bool sq_membarrier_register(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool sq_membarrier(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}

int sq_nap(int64_t until_ns)
{
    struct timespec until = sq_timespec(until_ns);

    if (syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0)
        return 0;
    return -errno;
}
