/*
 * crash_delivery.c - die at every instruction of delivery: leases and their ends, dead
 * letters, groups, messages by id, compaction.
 *
 * As `crash`, whose scenes are of plain puts and gets.  Options are told in
 * crash_main.c.  Classes of operations: "dead", those that come after another's death,
 * and "alive", all others.
 */
#include "crash/crash_delivery.h"

#include <string.h>

enum {
    LONG_STEPS = 6000, /* making a queue, and the like */
};

static struct delivery_page *page;

static struct crash_result attempt(unsigned op, unsigned point, enum crash_manner manner)
{
    struct delivery_scene s = {
        .op = &delivery_ops[op],
        .page = page,
        .victim = {.point = point, .manner = manner},
    };
    struct crash_result r = {.steps = -1};

    if (delivery_begin(&s))
        r.steps = point == CRASH_TO_END ? crash_trace(&s.victim) : crash_step(&s.victim);
    if (r.steps == -1 && s.victim.wrong[0] != '\0')
        delivery_fail(&s, "%s", s.victim.wrong);
    if (r.steps >= 0) {
        if (point == CRASH_TO_END)
            s.victim.point = (unsigned)r.steps;
        delivery_check(&s);
    }
    delivery_end(&s);
    r.failed = s.failures > 0;
    r.happened = s.happened;
    r.recoveries = s.recoveries;
    return r;
}

static const char *name_of(unsigned op)
{
    return delivery_ops[op].name;
}

/* Where the one before dies somewhere else each time, each point stands for many. */
static unsigned stride_of(unsigned op)
{
    return delivery_ops[op].corpse == DEAD_SAME ? 11 : 1;
}

static bool is_of(unsigned op, const char *word)
{
    return (strcmp(word, "dead") == 0 && delivery_ops[op].corpse != NOBODY) ||
           (strcmp(word, "alive") == 0 && delivery_ops[op].corpse == NOBODY);
}

int main(int argc, char **argv)
{
    struct crash_suite suite = {
        "crash_delivery", delivery_op_count, LONG_STEPS, name_of, stride_of, is_of, NULL, attempt};

    page = helper_shared(sizeof(*page));
    return crash_main(&suite, argc, argv);
}
