/*
 * storm.c - producers and consumers in a storm: killed at any moment, stopped and
 * continued, replaced; no message may be lost, doubled, torn or out of order.
 *
 *     storm [SECONDS] [--threads] [--seed N]
 *
 * The time is spent in epochs, each with a new queue and checked at its end:
 * roomy, tight, with sole producers and consumers that succeed one another, and
 * dropping.  --threads: no deaths, but threads that share two handles.
 */
#include "storm/storm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "handle/handle.h"
#include "support/message.h"

#define EPOCH_NS SHMQ_MS(2500)

static const struct storm_variant variants[] = {
    {"roomy", 1 << 20, SHMQ_FULL_BLOCK, 0, 0, STORM_SIDE},
    {"tight", 64 << 10, SHMQ_FULL_BLOCK, 0, 0, STORM_SIDE},
    {"sole", 64 << 10, SHMQ_FULL_BLOCK, SHMQ_SOLE_PRODUCER, SHMQ_SOLE_CONSUMER, 3},
    {"drop", 64 << 10, SHMQ_FULL_DROP, 0, 0, STORM_SIDE},
    {"sole producer", 64 << 10, SHMQ_FULL_BLOCK, SHMQ_SOLE_PRODUCER, 0, 4},
    {"sole consumer", 64 << 10, SHMQ_FULL_BLOCK, 0, SHMQ_SOLE_CONSUMER, 4},
};

struct storm_board *storm_board;
static uint64_t log_used; /* by the epoch before */

/* --- workers ------------------------------------------------------------------ */

/* Attach; where a side is for one alone, when it is free.  NULL: too late. */
static shmq_t *attach(const struct storm_epoch *e, int flags)
{
    shmq_t *q;
    int rc;

    do {
        rc = shmq_open(&q, e->name, flags, NULL);
        sched_yield();
    } while (rc == -EBUSY && storm_board->phase == STORM_RUN);
    if (rc != 0 && rc != -EBUSY)
        storm_wrong("a worker cannot attach: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
    return rc == 0 ? q : NULL;
}

static void start(struct storm_epoch *e, enum sq_role role, int number)
{
    const struct storm_variant *v = e->variant;
    int flags = role == SQ_ROLE_PRODUCER ? v->producer_flags : v->consumer_flags;
    uint32_t generation = role == SQ_ROLE_PRODUCER ? e->generations++ : 0;
    uint64_t seed = message_random(&e->seed);
    bool inherit = flags == 0 && seed % 2 == 0;
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        shmq_t *q = inherit ? e->monitor : attach(e, flags);
        if (q != NULL && role == SQ_ROLE_PRODUCER)
            storm_produce(q, generation, seed);
        else if (q != NULL)
            storm_consume(q, number, seed);
        _exit(0);
    }
    e->worker[role][number] = (struct epochs_worker){.pid = child};
}

static void kill_one(struct storm_epoch *e, enum sq_role role, int number)
{
    struct epochs_worker *w = &e->worker[role][number];

    helper_kill(w->pid);
    e->totals->kills++;
    if (role == SQ_ROLE_CONSUMER)
        e->allowed += atomic_exchange(&storm_board->in_hand[number], 0);
    start(e, role, number);
}

/* A death, or a stop for some milliseconds. */
static void strike(struct storm_epoch *e, int64_t now_ns)
{
    enum sq_role role = message_random(&e->seed) % 2 == 0 ? SQ_ROLE_PRODUCER : SQ_ROLE_CONSUMER;
    int number = (int)(message_random(&e->seed) % (uint32_t)e->variant->side);
    struct epochs_worker *w = &e->worker[role][number];

    if (message_random(&e->seed) % 5 != 0) {
        kill_one(e, role, number);
    } else if (w->continue_at_ns == 0) {
        epochs_stop(w, now_ns + SHMQ_MS(1 + message_random(&e->seed) % 30));
        e->totals->stops++;
    }
}

/* --- an epoch -------------------------------------------------------------------- */

void storm_watch(struct storm_epoch *e, int64_t now_ns)
{
    const struct sq_ring *ring = &e->monitor->segment.ring;
    uint64_t progress = sq_load(&ring->producer->tail_pos) + sq_load(&ring->group->cursor_pos);
    int64_t gap_ns = epochs_note(&e->progress, progress, now_ns);

    if (e->progress.longest_gap_ns > e->totals->longest_gap_ns)
        e->totals->longest_gap_ns = e->progress.longest_gap_ns;
    if (gap_ns > HELPER_LATE_NS)
        storm_wrong("no progress for %lld ms", (long long)(gap_ns / 1000000));
}

static bool is_log_near_full(const struct storm_epoch *e)
{
    return sq_load(&e->monitor->segment.ring.producer->next_id) > STORM_LOG - STORM_LOG_SPARE ||
           e->generations >= STORM_GENERATIONS;
}

bool storm_goes_on(const struct storm_epoch *e, int64_t now_ns, int64_t until_ns)
{
    return epochs_goes_on(&e->progress, now_ns, until_ns) && storm_board->wrong == 0 &&
           !is_log_near_full(e);
}

static void rage(struct storm_epoch *e, int64_t until_ns)
{
    int64_t now_ns = helper_now_ns(), strike_ns = now_ns;
    struct timespec beat = {0, 500000};

    e->progress.at_ns = now_ns;
    while (storm_goes_on(e, now_ns, until_ns)) {
        nanosleep(&beat, NULL);
        now_ns = helper_now_ns();
        storm_watch(e, now_ns);
        epochs_continue(e->worker[0], 2 * STORM_SIDE, now_ns);
        if (now_ns < strike_ns)
            continue;
        strike(e, now_ns);
        strike_ns = now_ns + SHMQ_MS(1) + message_random(&e->seed) % SHMQ_MS(4);
    }
}

static bool ended(struct storm_epoch *e, enum sq_role role)
{
    return epochs_ended(e->worker[role], STORM_SIDE, storm_wrong);
}

static void take_rest(struct storm_epoch *e)
{
    unsigned char bytes[STORM_LENGTH];
    struct shmq_info info;
    ssize_t rc;

    while ((rc = shmq_get(e->monitor, bytes, sizeof(bytes), &info, SHMQ_NOWAIT)) >= 0)
        storm_log(bytes, &info);
    if (rc != -EAGAIN)
        storm_wrong("draining: %s (%s)", shmq_strerror((int)rc), shmq_last_error_detail());
}

/* Let all come to their end: the producers, then the consumers. */
static void calm(struct storm_epoch *e)
{
    int64_t until_ns = helper_now_ns() + HELPER_LATE_NS;
    struct timespec beat = {0, 500000};

    storm_board->phase = STORM_PRODUCERS_END;
    epochs_continue(e->worker[0], 2 * STORM_SIDE, INT64_MAX);
    while (!ended(e, SQ_ROLE_PRODUCER) && helper_now_ns() < until_ns)
        nanosleep(&beat, NULL);
    storm_board->phase = STORM_CONSUMERS_END;
    until_ns = helper_now_ns() + HELPER_LATE_NS;
    while (!ended(e, SQ_ROLE_CONSUMER) && helper_now_ns() < until_ns) {
        /* For those who wait for ever. */
        if (shmq_depth(e->monitor) == 0 && !storm_put_one(e->monitor))
            storm_wrong("a put at the end: %s", shmq_last_error_detail());
        nanosleep(&beat, NULL);
    }
    for (int i = 0; i < 2 * STORM_SIDE; i++)
        if (e->worker[i % 2][i / 2].pid != 0) {
            storm_wrong("a %s does not end", i % 2 == 0 ? "producer" : "consumer");
            helper_kill(e->worker[i % 2][i / 2].pid);
        }
}

void storm_settle(struct storm_epoch *e)
{
    struct shmq_stats stats = {.size = sizeof(stats)};

    if (!storm_put_one(e->monitor))
        storm_wrong("the last put: %s", shmq_last_error_detail());
    take_rest(e);
    const char *invalid = sq_ring_valid(&e->monitor->segment.ring);
    if (invalid != NULL)
        storm_wrong("%s", invalid);
    shmq_stats(e->monitor, &stats);
    e->totals->recoveries += stats.recoveries;
    if (stats.put_count > STORM_LOG)
        storm_wrong("the log is full");
    else
        storm_check(stats.put_count, e->generations, e->allowed, stats.dropped_count, e->totals);
}

void storm_open(struct storm_epoch *e)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    attr.capacity_bytes = e->variant->capacity_bytes;
    attr.full = e->variant->full;
    snprintf(e->name, sizeof(e->name), "%s", helper_name("storm"));
    e->monitor = helper_open(e->name, SHMQ_CREATE | SHMQ_EXCL, &attr);
    e->generations = 1;
    memset(storm_board, 0, offsetof(struct storm_board, log));
    memset((void *)storm_board->log, 0, log_used * sizeof(storm_board->log[0]));
}

void storm_close(struct storm_epoch *e, int64_t begun_ns)
{
    uint64_t used = sq_load(&e->monitor->segment.ring.producer->next_id);

    log_used = used < STORM_LOG ? used : STORM_LOG;
    shmq_close(e->monitor);
    shmq_unlink(e->name);
    if (storm_board->wrong != 0)
        printf("  %s: %s (%u in all)\n", e->variant->name, storm_board->what,
               (unsigned)storm_board->wrong);
    e->totals->failed += storm_board->wrong != 0;
    e->totals->passed += storm_board->wrong == 0;
    printf("%-14s %9llu messages %6u generations %5.1f s\n", e->variant->name,
           (unsigned long long)used - 1, e->generations,
           (double)(helper_now_ns() - begun_ns) / 1e9);
    fflush(stdout);
}

static void run_processes(const struct storm_variant *variant, int64_t length_ns, uint64_t seed,
                          struct storm_totals *totals)
{
    struct storm_epoch e = {.variant = variant, .seed = seed, .totals = totals};
    int64_t begun_ns = helper_now_ns();

    storm_open(&e);
    for (int i = 0; i < variant->side; i++) {
        start(&e, SQ_ROLE_PRODUCER, i);
        start(&e, SQ_ROLE_CONSUMER, i);
    }
    rage(&e, begun_ns + length_ns);
    calm(&e);
    storm_settle(&e);
    storm_close(&e, begun_ns);
}

/* --- main --------------------------------------------------------------------------- */

static void report(const struct storm_totals *t)
{
    printf("%llu puts, %llu gets, %llu kills, %llu stops, %llu recoveries, %llu dropped\n",
           (unsigned long long)t->puts, (unsigned long long)t->gets, (unsigned long long)t->kills,
           (unsigned long long)t->stops, (unsigned long long)t->recoveries,
           (unsigned long long)t->dropped);
    printf("in the hands of killed consumers: %llu seen, %llu possible; "
           "longest time without progress %lld ms\n",
           (unsigned long long)t->lost, (unsigned long long)t->allowed,
           (long long)(t->longest_gap_ns / 1000000));
    printf("%u passed, %u failed\n", t->passed, t->failed);
}

struct run {
    bool threads;
    struct storm_totals totals;
};

static bool run_epoch(void *arg, unsigned variant, int64_t length_ns, uint64_t seed)
{
    struct run *run = arg;

    if (run->threads)
        storm_run_threads(&variants[variant], length_ns, seed, &run->totals);
    else
        run_processes(&variants[variant], length_ns, seed, &run->totals);
    return run->totals.failed == 0;
}

int main(int argc, char **argv)
{
    struct epochs_args args = epochs_begin(argc, argv, true);
    struct run run = {.threads = args.threads};
    /* Threads run the first two variants only. */
    unsigned count = args.threads ? 2 : sizeof(variants) / sizeof(variants[0]);

    storm_board = epochs_board(sizeof(*storm_board));
    unsigned failed = epochs_run(&args, count, EPOCH_NS, run_epoch, &run);
    run.totals.failed = failed;
    report(&run.totals);
    return failed == 0 ? 0 : 1;
}
