/*
 * crash_main.h - what programs that die at every instruction share: their options, which
 * kill points are tried, the count.
 */
#ifndef CRASH_MAIN_H
#define CRASH_MAIN_H

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "crash/crash_step.h"

enum {
    CRASH_TO_END = INT_MAX, /* a kill point: after the operation */
};

/* What became of one scene and one death. */
struct crash_result {
    int64_t steps; /* taken; -1: the scene failed; or CRASH_ASTRAY */
    bool failed, happened;
    unsigned recoveries;
};

struct crash_suite {
    const char *program;
    unsigned count; /* of operations */
    /* Of operations with more steps than this those kill points are passed over that come
     * in the course of long loops; 0: none. */
    unsigned long_steps;
    const char *(*name)(unsigned op);
    unsigned (*stride)(unsigned op); /* only each so many-th kill point, of one that takes
                                        long; NULL: all */
    /* Whether operation `op` is of the class that is named; classes are listed in the
     * program's own comment. */
    bool (*is_of)(unsigned op, const char *word);
    /* Whether a sample has it killed at system calls, since it takes so many steps; NULL:
     * none. */
    bool (*takes_long)(unsigned op);
    struct crash_result (*attempt)(unsigned op, unsigned point, enum crash_manner manner);
};

/* Count what is wrong after a death, and print the first few.  `returned`: the victim's
 * operation had returned. */
void crash_complain(unsigned *failures, const char *op, unsigned point, bool returned,
                    const char *format, va_list args) __attribute__((format(printf, 5, 0)));

int crash_main(const struct crash_suite *suite, int argc, char **argv);

#endif
