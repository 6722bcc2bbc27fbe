/*
 * crash.c - die at every instruction.
 *
 * Each operation of the library is run by a process of its own, step by step,
 * and killed after k steps, for every k until its end; after each death the rest
 * must carry on as if nothing had been (crash_check.c says what that means).
 *
 * Options are told in crash_main.c.  Classes of operations: "waking", all that wake a
 * sleeper (each wake that dies takes a second to heal), and "other", all that do not.
 */
#include "crash/crash.h"

#include <string.h>

#include "crash/crash_main.h"

static struct crash_page *page;

/* One scene, one death. */
static int64_t live_and_die(struct crash_scene *s)
{
    int64_t steps = -1;

    if (crash_scene_begin(s))
        steps = s->victim.point == CRASH_TO_END ? crash_trace(&s->victim) : crash_step(&s->victim);
    if (steps == -1 && s->victim.wrong[0] != '\0')
        crash_fail(s, "%s", s->victim.wrong);
    if (steps >= 0) {
        if (s->victim.point == CRASH_TO_END)
            s->victim.point = (unsigned)steps;
        crash_check(s);
    }
    crash_scene_end(s);
    return steps;
}

static struct crash_scene scene_of(unsigned op, unsigned point, enum crash_manner manner)
{
    return (struct crash_scene){
        .op = &crash_ops[op],
        .page = page,
        .victim = {.point = point, .manner = manner},
    };
}

static struct crash_result attempt(unsigned op, unsigned point, enum crash_manner manner)
{
    struct crash_scene s = scene_of(op, point, manner);
    struct crash_result r = {0};

    r.steps = live_and_die(&s);
    r.failed = s.failures > 0;
    r.happened = s.happened;
    r.recoveries = s.recoveries;
    return r;
}

static const char *name_of(unsigned op)
{
    return crash_ops[op].name;
}

static bool is_of(unsigned op, const char *word)
{
    return (strcmp(word, "waking") == 0 && crash_ops[op].sleeper >= 0) ||
           (strcmp(word, "other") == 0 && crash_ops[op].sleeper < 0);
}

int main(int argc, char **argv)
{
    struct crash_suite suite = {"crash", crash_op_count, 0, name_of, NULL, is_of, NULL, attempt};

    page = helper_shared(sizeof(*page));
    return crash_main(&suite, argc, argv);
}
