/*
 * futex.c - see futex.h.  Raw system calls: libc wraps none of futex and
 * membarrier, and syscall() is no cancellation point.
 */
#include "sync/futex.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

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

int sq_futex_wait_any(_Atomic uint32_t *const *words, const uint32_t *expected, unsigned count,
                      int64_t until_ns)
{
    /* <linux/futex.h> since Linux 5.16: struct futex_waitv, and its system call's number,
     * which is the same on all machines. */
    enum { FUTEX_32 = 2, WORDS_MAX = 128, NUMBER_OF_FUTEX_WAITV = 449 };
    struct {
        uint64_t value, address;
        uint32_t flags, reserved;
    } waits[WORDS_MAX];
    struct timespec until = sq_timespec(until_ns);

    for (unsigned i = 0; i < count && i < WORDS_MAX; i++) {
        waits[i].value = expected[i];
        waits[i].address = (uintptr_t)words[i];
        waits[i].flags = FUTEX_32;
        waits[i].reserved = 0;
    }
    if (syscall(NUMBER_OF_FUTEX_WAITV, waits, count, 0, &until, CLOCK_MONOTONIC) >= 0 ||
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
