/*
 * crash_main.c - see crash_main.h.
 *
 *     PROGRAM [--every N | --sample COUNT] [--op NAME] [--seed N] [--point K]
 *         [--steps | --calls] [--list]
 *
 * NAME may also be a class of operations.  --every N tries each Nth kill point, 1 by
 * default.  --sample tries COUNT of them, spread evenly over all operations and by
 * chance within each; the same seed finds the same points.  --point K tries but the one
 * after K steps.  --steps never runs freely up to near the kill point.  --calls counts
 * system calls, their beginnings and ends, in place of steps.
 */
#include "crash/crash_main.h"

#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/helper.h"
#include "support/message.h"

struct choice {
    const struct crash_suite *suite;
    unsigned every;
    unsigned sample; /* 0: every */
    const char *only;
    uint64_t seed;
    enum crash_manner manner;
    int64_t point; /* -1: not just one */
};

struct tally {
    unsigned points, failed, happened, recoveries, astray;
};

/* One scene, one death. */
static struct crash_result try_once(unsigned op, unsigned point, const struct choice *choice,
                                    struct tally *tally)
{
    struct crash_result r = choice->suite->attempt(op, point, choice->manner);

    for (int tries = 0; r.steps == CRASH_ASTRAY; tries++) {
        r = choice->suite->attempt(op, point, tries == 0 ? choice->manner : CRASH_STEPS);
        tally->astray += tries == 0;
    }
    return r;
}

/* The steps taken, or -1. */
static int64_t try_point(unsigned op, unsigned point, const struct choice *choice,
                         struct tally *tally)
{
    struct crash_result r = try_once(op, point, choice, tally);

    tally->points++;
    tally->failed += r.failed;
    tally->happened += r.happened;
    tally->recoveries += r.recoveries;
    return r.steps;
}

/* In long operations most steps are within the C library, where nothing becomes true but by
 * system calls, or loops that clear or sum up memory of the process's own: of the library's
 * own places two rounds, and else one step in a while, will do. */
static bool worth_trying(unsigned point, int64_t steps, const struct choice *choice)
{
    enum { ROUNDS = 2, RARELY = 1024 };

    return choice->suite->long_steps == 0 || steps <= choice->suite->long_steps ||
           crash_is_early(point, ROUNDS) || point % RARELY == 0;
}

/* Up to the operation's end, and at least as far as it went the first time. */
static void try_every(unsigned op, int64_t least, const struct choice *choice, struct tally *tally)
{
    unsigned stride = choice->suite->stride == NULL ? 1 : choice->suite->stride(op);

    for (unsigned point = 0;; point += choice->every * stride)
        if (worth_trying(point, least, choice) &&
            try_point(op, point, choice, tally) < (int64_t)point && (int64_t)point >= least)
            return;
}

/* One point in each of `count` equal parts of the operation. */
static void try_sample(unsigned op, unsigned count, int64_t steps, struct choice *choice,
                       struct tally *tally)
{
    for (unsigned i = 0; i < count; i++) {
        int64_t low = steps * i / count, high = steps * (i + 1) / count;
        int64_t within = high > low ? message_random(&choice->seed) % (high - low) : 0;
        try_point(op, (unsigned)(low + within), choice, tally);
    }
}

static void try_op(unsigned op, struct choice *choice, struct tally *all)
{
    enum crash_manner manner = choice->manner;
    struct tally tally = {0};
    int64_t begun_ns = helper_now_ns();

    if (choice->sample > 0 && choice->suite->takes_long != NULL && choice->suite->takes_long(op))
        choice->manner = CRASH_CALLS;
    helper_setup(NULL);
    int64_t steps = try_point(op, CRASH_TO_END, choice, &tally);
    if (steps < 0) {
        tally.failed = 1;
    } else if (choice->point >= 0) {
        try_point(op, (unsigned)choice->point, choice, &tally);
    } else if (choice->sample > 0) {
        unsigned share = choice->sample / (choice->only != NULL ? 1 : choice->suite->count);
        try_sample(op, share > 0 ? share : 1, steps, choice, &tally);
    } else {
        try_every(op, steps, choice, &tally);
    }
    if (helper_teardown(NULL) != 0)
        tally.failed++;
    printf("%-26s %6lld %s %6u kill points %6u happened %6u repairs %5u astray %6.1f s  %u "
           "failed\n",
           choice->suite->name(op), (long long)steps,
           choice->manner == CRASH_CALLS ? "calls" : "steps", tally.points, tally.happened,
           tally.recoveries, tally.astray, (double)(helper_now_ns() - begun_ns) / 1e9,
           tally.failed);
    fflush(stdout);
    choice->manner = manner;
    all->points += tally.points;
    all->failed += tally.failed;
    all->happened += tally.happened;
    all->recoveries += tally.recoveries;
}

static bool chosen(unsigned op, const struct choice *choice)
{
    return choice->only == NULL || strcmp(choice->only, choice->suite->name(op)) == 0 ||
           choice->suite->is_of(op, choice->only);
}

void crash_complain(unsigned *failures, const char *op, unsigned point, bool returned,
                    const char *format, va_list args)
{
    enum { SHOWN = 10 };

    if (++*failures > SHOWN)
        return;
    fprintf(stderr, "  %s killed after %u steps%s: ", op, point, returned ? " (had returned)" : "");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

static int usage(const struct crash_suite *suite)
{
    fprintf(stderr,
            "usage: %s [--every N | --sample COUNT] [--op NAME] [--seed N] [--point K]\n"
            "           [--steps | --calls] [--list]\n",
            suite->program);
    return 2;
}

static int list(const struct crash_suite *suite)
{
    for (unsigned i = 0; i < suite->count; i++)
        puts(suite->name(i));
    return 0;
}

static bool parse(int argc, char **argv, struct choice *choice, bool *only_list)
{
    static const struct option options[] = {
        {"every", required_argument, NULL, 'e'},
        {"sample", required_argument, NULL, 's'},
        {"op", required_argument, NULL, 'o'},
        {"seed", required_argument, NULL, 'r'},
        {"list", no_argument, NULL, 'l'},
        {"steps", no_argument, NULL, 't'},
        {"point", required_argument, NULL, 'p'},
        {"calls", no_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
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
            choice->manner = CRASH_STEPS;
        else if (c == 'c')
            choice->manner = CRASH_CALLS;
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

/* A C library clears and copies what is large by instructions that repeat themselves, and
 * each time is a step.  Loops are passed over (worth_trying()), and faster, too. */
static void have_no_repeats(char **argv)
{
    if (getenv("GLIBC_TUNABLES") != NULL)
        return;
    setenv("GLIBC_TUNABLES",
           "glibc.cpu.x86_rep_stosb_threshold=100000000:"
           "glibc.cpu.x86_rep_movsb_threshold=100000000",
           1);
    execv("/proc/self/exe", argv);
}

int crash_main(const struct crash_suite *suite, int argc, char **argv)
{
    struct choice choice = {.suite = suite, .every = 1, .seed = 1, .point = -1};
    struct tally all = {0};
    bool only_list = false, found = false;

    if (!parse(argc, argv, &choice, &only_list))
        return usage(suite);
    if (only_list)
        return list(suite);
    have_no_repeats(argv);
    stay_here();
    if (choice.sample > 0)
        printf("%u kill points by seed %llu\n", choice.sample, (unsigned long long)choice.seed);
    for (unsigned i = 0; i < suite->count; i++) {
        if (!chosen(i, &choice))
            continue;
        found = true;
        try_op(i, &choice, &all);
    }
    if (!found)
        return usage(suite);
    printf("%u deaths, in %u the operation had happened, %u repairs by survivors\n", all.points,
           all.happened, all.recoveries);
    printf("%u passed, %u failed\n", all.points - all.failed, all.failed);
    return all.failed == 0 ? 0 : 1;
}
