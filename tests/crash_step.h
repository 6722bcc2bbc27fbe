/*
 * crash_step.h - a victim: forked, single-stepped up to a point, killed there.
 */
#ifndef CRASH_STEP_H
#define CRASH_STEP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    CRASH_ASTRAY = -2, /* it took another way than the one learned */
};

/* Who is to die, and where.  The functions get `arg`. */
struct crash_victim {
    const void *operation;      /* what is learned of one holds for the next of the same */
    void *arg;                  /* of all that follows */
    bool (*prepare)(void *arg); /* in the victim: all that comes before the steps */
    void (*act)(void *arg);     /* in the victim: what is stepped */
    bool (*begin)(void *arg);   /* in the parent, when the victim is prepared; or NULL */
    bool (*release)(void *arg); /* in the parent: give the sleeping victim what it waits
                                   for; NULL: it never sleeps */
    _Atomic uint32_t *done;     /* in shared memory: the operation has returned */
    unsigned point;             /* steps before the kill */
    bool only_steps;            /* do not run freely to near the kill point */
    pid_t pid;
    int64_t killed_ns;
    bool released;
    char wrong[96]; /* why crash_step() failed, unless a function did */
};

/*
 * Fork the victim, let it take `point` steps of its operation and kill it.
 * Returns the steps taken, fewer when the operation ended before; -1 if that
 * failed; CRASH_ASTRAY, so that the same must be tried with only_steps.
 */
int64_t crash_step(struct crash_victim *v);

/* The same to the operation's end, learning its way for the next ones. */
int64_t crash_trace(struct crash_victim *v);

/* How often the operation last traced had been at the place of this step before. */
unsigned crash_visits(unsigned point);

#endif
