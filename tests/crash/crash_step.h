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
    CRASH_THREADS = 8,
};

/* How a victim comes to its kill point. */
enum crash_manner {
    CRASH_FREELY, /* runs to near it, where that is known, and is stepped from there */
    CRASH_STEPS,  /* is stepped all the way */
    CRASH_CALLS,  /* is let go from one system call to the next: points are their beginnings
                     and ends.  Far quicker, where not its every place matters */
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
    void (*last)(void *arg);    /* in the parent, before the kill; or NULL */
    _Atomic uint32_t *done;     /* in shared memory: the operation has returned */
    unsigned point;             /* steps before the kill */
    enum crash_manner manner;
    pid_t pid;
    pid_t threads[CRASH_THREADS]; /* that it has started */
    unsigned thread_count;
    int64_t killed_ns;
    bool released;
    char wrong[96]; /* why crash_step() failed, unless a function did */
};

/*
 * Fork the victim, let it take `point` steps of its operation (or calls) and kill it.
 * Returns the steps taken, fewer when the operation ended before; -1 if that
 * failed; CRASH_ASTRAY, so that the same must be tried with CRASH_STEPS.
 */
int64_t crash_step(struct crash_victim *v);

/* The same to the operation's end, step by step, learning its way for the next ones. */
int64_t crash_trace(struct crash_victim *v);

/* Whether the operation last traced is there at a place of the library, for one of the first
 * so many times. */
bool crash_is_early(unsigned point, unsigned times);

#endif
