/*
 * crash.c - die at every instruction.
 *
 * Each operation of the library is run by a process of its own, step by step,
 * and killed after k steps, for every k until its end; after each death the rest
 * must carry on as if nothing had been (crash_check.c says what that means).
 *
 *     crash [--every N | --sample COUNT] [--op NAME] [--seed N] [--point K] [--steps] [--list]
 *
 * NAME may be "waking" for all operations that wake a sleeper (each wake that dies
 * takes a second to heal) and "other" for all that do not.
 *
 * --every N tries each Nth kill point, 1 by default.  --sample tries COUNT of
 * them, spread evenly over all operations and by chance within each; the same
 * seed finds the same points.  --point K tries but the one after K steps.  --steps never runs
 * freely up to near the kill point.
 */
#include "crash.h"

#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    TO_END = INT_MAX,
    LATE_TRIES = 3,
};

struct choice {
    unsigned every;
    unsigned sample; /* 0: every */
    const char *only;
    uint64_t seed;
    bool only_steps;
    int64_t point; /* -1: not just one */
};

struct tally {
    unsigned points, failed, happened, recoveries, astray, late;
};

static struct crash_page *page;

static int64_t live_and_die(struct crash_scene *s)
{
    int64_t steps = -1;

    if (crash_scene_begin(s))
        steps = s->point == TO_END ? crash_trace(s) : crash_step(s);
    if (steps >= 0) {
        s->point = s->point == TO_END ? (unsigned)steps : s->point;
        crash_check(s);
    }
    crash_scene_end(s);
    return steps;
}

/* One scene, one death.  The steps taken, or -1. */
static int64_t try_point(const struct crash_op *op, unsigned point, const struct choice *choice,
                         struct tally *tally)
{
    struct crash_scene s = {.op = op, .page = page, .point = point};

    s.only_steps = choice->only_steps;
    int64_t steps = live_and_die(&s);
    if (steps == CRASH_ASTRAY) {
        s = (struct crash_scene){.op = op, .page = page, .point = point, .only_steps = true};
        steps = live_and_die(&s);
        tally->astray++;
    }
    /* A machine is slow now and then; a wake that is lost is lost each time. */
    for (int again = 0; s.late_ms != 0 && s.failures == 0 && again < LATE_TRIES; again++) {
        s = (struct crash_scene){.op = op, .page = page, .point = point, .only_steps = true};
        steps = live_and_die(&s);
        tally->late++;
    }
    if (s.late_ms != 0)
        crash_fail(&s, "the sleeper went on after %lld ms", (long long)s.late_ms);
    tally->points++;
    tally->failed += s.failures > 0;
    tally->happened += s.happened;
    tally->recoveries += s.recoveries;
    return steps;
}

/* Up to the operation's end, and at least as far as it went the first time. */
static void try_every(const struct crash_op *op, int64_t least, const struct choice *choice,
                      struct tally *tally)
{
    for (unsigned point = 0;; point += choice->every)
        if (try_point(op, point, choice, tally) < (int64_t)point && (int64_t)point >= least)
            return;
}

/* One point in each of `count` equal parts of the operation. */
static void try_sample(const struct crash_op *op, unsigned count, int64_t steps,
                       struct choice *choice, struct tally *tally)
{
    for (unsigned i = 0; i < count; i++) {
        int64_t low = steps * i / count, high = steps * (i + 1) / count;
        int64_t within = high > low ? message_random(&choice->seed) % (high - low) : 0;
        try_point(op, (unsigned)(low + within), choice, tally);
    }
}

static void try_op(const struct crash_op *op, struct choice *choice, struct tally *all)
{
    struct tally tally = {0};
    int64_t begun_ns = helper_now_ns();

    helper_setup(NULL);
    int64_t steps = try_point(op, TO_END, choice, &tally);
    if (steps < 0) {
        tally.failed = 1;
    } else if (choice->point >= 0) {
        try_point(op, (unsigned)choice->point, choice, &tally);
    } else if (choice->sample > 0) {
        unsigned share = choice->sample / (choice->only != NULL ? 1 : crash_op_count);
        try_sample(op, share > 0 ? share : 1, steps, choice, &tally);
    } else {
        try_every(op, steps, choice, &tally);
    }
    if (helper_teardown(NULL) != 0)
        tally.failed++;
    printf("%-17s %6lld steps %6u kill points %6u happened %6u repairs %5u astray %6.1f s  %u "
           "failed\n",
           op->name, (long long)steps, tally.points, tally.happened, tally.recoveries, tally.astray,
           (double)(helper_now_ns() - begun_ns) / 1e9, tally.failed);
    fflush(stdout);
    all->points += tally.points;
    all->failed += tally.failed;
    all->happened += tally.happened;
    all->recoveries += tally.recoveries;
    all->late += tally.late;
}

static bool chosen(const struct crash_op *op, const char *only)
{
    if (only == NULL)
        return true;
    if (strcmp(only, "waking") == 0 || strcmp(only, "other") == 0)
        return (only[0] == 'w') == (op->sleeper >= 0);
    return strcmp(only, op->name) == 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: crash [--every N | --sample COUNT] [--op NAME] [--seed N]\n"
                    "             [--point K] [--steps] [--list]\n");
    return 2;
}

static int list(void)
{
    for (unsigned i = 0; i < crash_op_count; i++)
        puts(crash_ops[i].name);
    return 0;
}

static bool parse(int argc, char **argv, struct choice *choice, bool *only_list)
{
    static const struct option options[] = {
        {"every", required_argument, NULL, 'e'}, {"sample", required_argument, NULL, 's'},
        {"op", required_argument, NULL, 'o'},    {"seed", required_argument, NULL, 'r'},
        {"list", no_argument, NULL, 'l'},        {"steps", no_argument, NULL, 't'},
        {"point", required_argument, NULL, 'p'}, {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'e')
            choice->every = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 's')
            choice->sample = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'o')
            choice->only = optarg;
        else if (c == 'r')
            choice->seed = strtoull(optarg, NULL, 10);
        else if (c == 'p')
            choice->point = strtol(optarg, NULL, 10);
        else if (c == 't')
            choice->only_steps = true;
        else if (c == 'l')
            *only_list = true;
        else
            return false;
    }
    return optind == argc && choice->every > 0;
}

/* On one CPU a step costs a tenth of what it does between two. */
static void stay_here(void)
{
    cpu_set_t here;

    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    sched_setaffinity(0, sizeof(here), &here);
}

int main(int argc, char **argv)
{
    struct choice choice = {.every = 1, .seed = 1, .point = -1};
    struct tally all = {0};
    bool only_list = false, found = false;

    if (!parse(argc, argv, &choice, &only_list))
        return usage();
    if (only_list)
        return list();
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return 3;
    stay_here();
    if (choice.sample > 0)
        printf("%u kill points by seed %llu\n", choice.sample, (unsigned long long)choice.seed);
    for (unsigned i = 0; i < crash_op_count; i++) {
        if (!chosen(&crash_ops[i], choice.only))
            continue;
        found = true;
        try_op(&crash_ops[i], &choice, &all);
    }
    if (!found)
        return usage();
    printf("%u deaths, in %u the operation had happened, %u repairs by survivors, %u tried again "
           "for being slow\n",
           all.points, all.happened, all.recoveries, all.late);
    printf("%u passed, %u failed\n", all.points - all.failed, all.failed);
    return all.failed == 0 ? 0 : 1;
}
