/*
 * shrink.h - recorded steps of a random test: the shortest list of them that still fails.
 *
 * Delta debugging (A. Zeller): leave out ever smaller pieces as long as it fails without
 * them, then make the numbers smaller.  A step's numbers are interpreted by whoever runs
 * it, modulo what there is, so that any list of steps means something.
 */
#ifndef SHRINK_H
#define SHRINK_H

#include <stdbool.h>
#include <stdint.h>

enum { STEP_ARGS = 8 };

struct step {
    uint32_t kind;
    uint32_t args[STEP_ARGS];
};

/* Whether running the steps from the start fails. */
typedef bool (*shrink_fails)(void *arg, const struct step *steps, unsigned count);

/* Shorten the steps, which fail, in place; how many are left.  Gives up after so many
 * seconds, with what it has. */
unsigned shrink(struct step *steps, unsigned count, shrink_fails fails, void *arg,
                unsigned seconds);

#endif
