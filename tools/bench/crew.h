/*
 * crew.h - the processes of a round: forked, pinned, released together, watched
 * and reaped, and the memory they share with the parent.
 */
#ifndef CREW_H
#define CREW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/channel.h"

enum { MAX_CREW = 1100, MAX_SIDE = 64, ANY_CPU = -1 };

/* What a consumer has received.  One line each, so that counting costs nothing. */
struct tally {
    _Alignas(128) _Atomic uint64_t count;
};

/* Shared by all processes of a round. */
struct control {
    _Alignas(128) _Atomic uint32_t go; /* parent: start */
    _Atomic uint32_t stop;             /* parent: producers finish */
    _Alignas(128) _Atomic uint32_t ready;
    _Atomic uint32_t producers_done;
    _Atomic uint32_t consumers_done;
    char error[160]; /* first failure of a child */
    _Atomic uint32_t failed;
    struct tally received[MAX_SIDE];       /* by consumer */
    _Alignas(128) uint64_t sent[MAX_SIDE]; /* by producer, at its end */
    _Atomic uint64_t got_count[MAX_SIDE];  /* by producer, at the consumers' end */
    _Atomic uint64_t got_sum[MAX_SIDE];
    double figure[2];      /* what a child measured, where that is a number or two */
    uint32_t sample_count; /* ping-pong: round trips in ticks */
    uint32_t samples[1 << 20];
};

struct crew {
    struct control *control;
    unsigned count;
    pid_t pid[MAX_CREW];
};

/* One child's work; returns 0 or a negative errno, said with child_fail(). */
typedef int child_fn(struct control *control, struct channel *channel, void *arg);

int crew_begin(struct crew *crew);
/* Forks a child that runs `work` on `cpu` (or ANY_CPU); it exits afterwards. */
int crew_add(struct crew *crew, int cpu, child_fn *work, struct channel *channel, void *arg);
/* Waits until all have called child_ready(), and lets them go. */
int crew_release(struct crew *crew);
/* Sleeps; a child that failed or a signal ends it early with an error. */
int crew_sleep(struct crew *crew, double seconds);
/* Lets them go; millions of messages a second, as they count them in received[0..count),
   in a window of so many seconds; then tells them to stop. */
int crew_measure(struct crew *crew, unsigned count, double seconds, double *rate);
/* Reaps all; those still there after `seconds` are killed, which is a failure. */
int crew_join(struct crew *crew, double seconds);
/* Kills and reaps what is left, frees the shared memory. */
void crew_end(struct crew *crew);
/* A crew of one, on `cpu`, that ends by itself within `seconds`; what it measured. */
int crew_alone(int cpu, struct channel *channel, child_fn *work, void *arg, double seconds,
               double figure[2]);

/* In a child: reports that it is set up, and waits for the start. */
void child_ready(struct control *control);
/* In a child: notes the first failure; returns `error`. */
int child_fail(struct control *control, int error, const char *what);
/* In a child: waits (2 s at most) until all consumers are done. */
void child_linger(struct control *control, unsigned consumers);

/* Why the last round failed. */
const char *round_error(void);
int round_fail(int error, const char *what);

/* Set by SIGINT and SIGTERM; rounds end early with -EINTR. */
bool interrupted(void);
void catch_signals(void);

double now_seconds(void);
/* How long this process has run: for one that never sleeps, on a shared machine. */
double cpu_seconds(void);
/* The cheapest clock there is, and how many of its ticks make a nanosecond. */
uint64_t ticks(void);
double ticks_per_ns(void);

/* Fills in a channel and creates it; `other` as in struct channel.  It is all 0
   before, but for capacity_bytes, if that is to be another than usual, and folder. */
int channel_make(struct channel *channel, const struct transport *transport, size_t size,
                 unsigned producers, unsigned consumers, struct channel *other);
void channel_drop(struct channel *channel);

#endif
