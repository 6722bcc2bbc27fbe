/*
 * clock.h - monotonic time in nanoseconds, and deadlines.
 */
#ifndef SQ_CLOCK_H
#define SQ_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "shmq.h"

static inline int64_t sq_clock_read(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Precise, some 25 ns. */
static inline int64_t sq_clock_ns(void)
{
    return sq_clock_read(CLOCK_MONOTONIC);
}

/* The last tick of the same clock (1 to 10 ms behind it), some 5 ns. */
static inline int64_t sq_clock_tick_ns(void)
{
    return sq_clock_read(CLOCK_MONOTONIC_COARSE);
}

/*
 * CLOCK_REALTIME less CLOCK_MONOTONIC.  Who is interrupted between reading the one and the
 * other would be told something else than the time: the closest of a few pairs counts.
 */
static inline int64_t sq_clock_offset_ns(void)
{
    enum { PAIRS = 8, CLOSE_NS = 2000 };
    int64_t offset_ns = 0, least_ns = INT64_MAX;

    for (int i = 0; i < PAIRS && least_ns > CLOSE_NS; i++) {
        int64_t before_ns = sq_clock_ns(), wall_ns = sq_clock_read(CLOCK_REALTIME);
        int64_t apart_ns = sq_clock_ns() - before_ns;
        if (apart_ns < least_ns) {
            least_ns = apart_ns;
            offset_ns = wall_ns - (before_ns + apart_ns / 2);
        }
    }
    return offset_ns;
}

/* `length_ns` from a tick on: not earlier than that from now on. */
static inline int64_t sq_tick_end(int64_t tick_ns, int64_t length_ns)
{
    enum { TICK_MAX_NS = 10000000 };

    return length_ns > INT64_MAX - 1 - TICK_MAX_NS - tick_ns ? INT64_MAX - 1
                                                             : tick_ns + TICK_MAX_NS + length_ns;
}

/* How long ago; `then_ns` comes from the segment and may be anything. */
static inline int64_t sq_elapsed_ns(int64_t now_ns, int64_t then_ns)
{
    return (int64_t)((uint64_t)now_ns - (uint64_t)then_ns);
}

static inline struct timespec sq_timespec(int64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

    return t;
}

/*
 * The end of a call's time.  The clock is first read when something has to be
 * waited for, so a call that need not wait never pays for it.
 */
struct sq_deadline {
    int64_t timeout_ns; /* as the caller gave it */
    int64_t at_ns;      /* absolute; 0: not yet known */
    bool cancellable;   /* waiting for it is a cancellation point */
};

#define SQ_NEVER INT64_MAX

static inline struct sq_deadline sq_deadline_in(int64_t timeout_ns)
{
    struct sq_deadline d = {timeout_ns, 0, false};

    return d;
}

/* The absolute end; the first call starts the time running. */
static inline int64_t sq_deadline_at(struct sq_deadline *d, int64_t now_ns)
{
    if (d->at_ns == 0)
        d->at_ns = d->timeout_ns < 0 || d->timeout_ns > SQ_NEVER - now_ns ? SQ_NEVER
                                                                          : now_ns + d->timeout_ns;
    return d->at_ns;
}

#endif
