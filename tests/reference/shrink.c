/*
 * shrink.c - see shrink.h.
 */
#include "reference/shrink.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct attempt {
    shrink_fails fails;
    void *arg;
    time_t end;
    struct step *trial;
};

static bool fails(const struct attempt *a, const struct step *steps, unsigned count)
{
    return time(NULL) < a->end && a->fails(a->arg, steps, count);
}

/* Leave out pieces of `piece` steps wherever that still fails. */
static unsigned leave_out(const struct attempt *a, struct step *steps, unsigned count,
                          unsigned piece)
{
    unsigned from = count; /* from the end: what comes last depends on what was before */

    while (from > 0) {
        unsigned begin = from > piece ? from - piece : 0;
        memcpy(a->trial, steps, begin * sizeof(*steps));
        memcpy(a->trial + begin, steps + from, (count - from) * sizeof(*steps));
        if (fails(a, a->trial, count - (from - begin))) {
            count -= from - begin;
            memcpy(steps, a->trial, count * sizeof(*steps));
        }
        from = begin;
    }
    return count;
}

/* Numbers towards 0.  Whether any became smaller. */
static bool simplify(const struct attempt *a, struct step *steps, unsigned count)
{
    bool any = false;

    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < STEP_ARGS; j++) {
            const uint32_t old = steps[i].args[j];
            const uint32_t tries[] = {0, 1, old % 8, old % 64, old % 1024, old / 2};
            for (unsigned t = 0; t < sizeof(tries) / sizeof(tries[0]); t++) {
                if (tries[t] >= old)
                    continue;
                steps[i].args[j] = tries[t];
                if (fails(a, steps, count)) {
                    any = true;
                    break;
                }
                steps[i].args[j] = old;
            }
        }
    return any;
}

unsigned shrink(struct step *steps, unsigned count, shrink_fails test, void *arg, unsigned seconds)
{
    struct attempt a = {test, arg, time(NULL) + (time_t)seconds, malloc(count * sizeof(*steps))};
    unsigned before;

    if (a.trial == NULL)
        return count;
    do {
        before = count;
        for (unsigned piece = count / 2 + 1; piece > 0; piece /= 2)
            count = leave_out(&a, steps, count, piece);
    } while (count < before || simplify(&a, steps, count));
    free(a.trial);
    return count;
}
