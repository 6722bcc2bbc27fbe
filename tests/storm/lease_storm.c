/*
 * lease_storm.c - a storm of the dead: producers and consumers by leases, killed at any
 * moment, stopped and continued, replaced.  Every message is acknowledged once by each
 * group, or becomes a dead letter once; what the dead had in hand is handed out again
 * within about a second, and what they had acknowledged never.
 *
 *     lease_storm [SECONDS] [--seed N]
 *
 * The time is spent in epochs, each with a new queue and checked at its end: two groups
 * of a topic, the same in a tight ring with much held back, short leases, a unique
 * queue, and priorities with delays, retries and dead letters.
 */
#include "storm/lease_storm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/message.h"

#define EPOCH_NS SHMQ_MS(4000)

static const struct lease_variant variants[] = {
    {"groups", 1 << 20, 2, SHMQ_FIFO, 0, SHMQ_SEC(30)},
    {"tight", 64 << 10, 2, SHMQ_FIFO, LEASE_NACKS, SHMQ_SEC(30)},
    {"letters", 1 << 20, 1, SHMQ_PRIORITY, LEASE_NACKS | LEASE_LETTERS, SHMQ_SEC(30)},
    {"unique", 256 << 10, 1, SHMQ_FIFO, LEASE_UNIQUE, SHMQ_SEC(30)},
    {"short leases", 256 << 10, 2, SHMQ_FIFO, LEASE_NACKS | LEASE_EXPIRES, SHMQ_MS(10)},
    {"last first", 256 << 10, 1, SHMQ_LIFO, LEASE_NACKS | LEASE_LETTERS, SHMQ_SEC(30)},
};

static const char *const group_names[LEASE_GROUPS] = {"one", "two"};

struct lease_board *lease_board;
static uint64_t log_used; /* by the epoch before */

/* --- workers ------------------------------------------------------------------------ */

static bool is_producer(int worker)
{
    return worker < LEASE_PRODUCERS;
}

/* The group of a consumer, by its number. */
static unsigned group_of(const struct lease_epoch *e, int worker)
{
    return (unsigned)(worker - LEASE_PRODUCERS) / (LEASE_CONSUMERS / e->variant->groups);
}

/* A handle of its own, on a group or on none. */
static shmq_t *attach(const struct lease_epoch *e, const char *group)
{
    shmq_t *q, *g = NULL;
    int rc = shmq_open(&q, e->name, 0, NULL);

    if (rc == 0 && group != NULL && e->variant->groups > 1) {
        rc = shmq_subscribe(q, group, NULL, &g);
        shmq_close(q);
        q = g;
    }
    if (rc != 0)
        lease_wrong("a worker cannot attach: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
    return q;
}

static void be_worker(struct lease_epoch *e, int worker, uint32_t generation, uint64_t seed)
{
    bool inherit = seed % 2 == 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (is_producer(worker)) {
        shmq_t *q = inherit ? e->queue : attach(e, NULL);
        if (q != NULL)
            lease_produce(e->variant, q, generation, seed);
        return;
    }
    unsigned group = group_of(e, worker);
    shmq_t *g = inherit ? e->group[group] : attach(e, group_names[group]);
    if (g != NULL)
        lease_consume(e->variant, g, group, worker - LEASE_PRODUCERS, seed);
}

static void start(struct lease_epoch *e, int worker)
{
    uint32_t generation = is_producer(worker) ? e->generations++ : 0;
    uint64_t seed = message_random(&e->seed);
    pid_t child = fork();

    if (child == 0) {
        be_worker(e, worker, generation, seed);
        _exit(0);
    }
    e->worker[worker] = (struct epochs_worker){.pid = child};
}

static void kill_one(struct lease_epoch *e, int worker)
{
    helper_kill(e->worker[worker].pid);
    e->totals->kills++;
    if (!is_producer(worker))
        lease_note_killed(group_of(e, worker), worker - LEASE_PRODUCERS);
    start(e, worker);
}

/* A death, or a stop for some milliseconds. */
static void strike(struct lease_epoch *e, int64_t now_ns)
{
    int worker = (int)(message_random(&e->seed) % LEASE_WORKERS);
    struct epochs_worker *w = &e->worker[worker];

    if (message_random(&e->seed) % 6 != 0) {
        kill_one(e, worker);
    } else if (w->continue_at_ns == 0) {
        epochs_stop(w, now_ns + SHMQ_MS(1 + message_random(&e->seed) % 30));
        e->totals->stops++;
    }
}

/* --- an epoch --------------------------------------------------------------------------- */

static uint64_t progress_of(const struct lease_epoch *e)
{
    uint64_t sum = sq_load(&e->queue->segment.ring.producer->tail_pos);

    for (unsigned g = 0; g < e->variant->groups; g++)
        sum += sq_load(&e->group[g]->segment.ring.group->delivery.acked_count);
    return sum;
}

static void watch(struct lease_epoch *e, int64_t now_ns)
{
    int64_t gap_ns = epochs_note(&e->progress, progress_of(e), now_ns);

    if (gap_ns > HELPER_LATE_NS)
        lease_wrong("no progress for %lld ms", (long long)(gap_ns / 1000000));
}

static bool is_near_full(const struct lease_epoch *e)
{
    return sq_load(&e->queue->segment.ring.producer->next_id) > LEASE_LOG - LEASE_LOG_SPARE ||
           e->generations >= LEASE_GENERATIONS;
}

static bool goes_on(const struct lease_epoch *e, int64_t now_ns, int64_t until_ns)
{
    return epochs_goes_on(&e->progress, now_ns, until_ns) && lease_board->wrong == 0 &&
           !is_near_full(e);
}

static void rage(struct lease_epoch *e, int64_t until_ns)
{
    int64_t now_ns = helper_now_ns(), strike_ns = now_ns;
    struct timespec beat = {0, 500000};

    e->progress.at_ns = now_ns;
    while (goes_on(e, now_ns, until_ns)) {
        nanosleep(&beat, NULL);
        now_ns = helper_now_ns();
        watch(e, now_ns);
        epochs_continue(e->worker, LEASE_WORKERS, now_ns);
        if (now_ns < strike_ns)
            continue;
        strike(e, now_ns);
        strike_ns = now_ns + SHMQ_MS(2) + message_random(&e->seed) % SHMQ_MS(10);
    }
}

static bool ended(struct lease_epoch *e, bool producers)
{
    return producers ? epochs_ended(e->worker, LEASE_PRODUCERS, lease_wrong)
                     : epochs_ended(e->worker + LEASE_PRODUCERS, LEASE_WORKERS - LEASE_PRODUCERS,
                                    lease_wrong);
}

static bool all_finished(const struct lease_epoch *e)
{
    for (unsigned g = 0; g < e->variant->groups; g++) {
        struct shmq_group_stats stats;
        if (shmq_group_stats(e->group[g], &stats) != 0 || stats.backlog != 0)
            return false;
    }
    return true;
}

/* Producers end, consumers finish what there is, then they end as well. */
static void calm(struct lease_epoch *e)
{
    int64_t until_ns = helper_now_ns() + HELPER_LATE_NS;
    struct timespec beat = {0, 500000};

    lease_board->phase = LEASE_PRODUCERS_END;
    epochs_continue(e->worker, LEASE_WORKERS, INT64_MAX);
    while (!ended(e, true) && helper_now_ns() < until_ns)
        nanosleep(&beat, NULL);
    e->progress.at_ns = helper_now_ns();
    while (!all_finished(e) && lease_board->wrong == 0) {
        nanosleep(&beat, NULL);
        watch(e, helper_now_ns());
    }
    lease_board->phase = LEASE_CONSUMERS_END;
    until_ns = helper_now_ns() + HELPER_LATE_NS;
    while (!ended(e, false) && helper_now_ns() < until_ns)
        nanosleep(&beat, NULL);
    for (int i = 0; i < LEASE_WORKERS; i++)
        if (e->worker[i].pid != 0) {
            lease_wrong("a %s does not end", is_producer(i) ? "producer" : "consumer");
            helper_kill(e->worker[i].pid);
        }
}

/* Both sides are entered by a living process, so that all is repaired. */
static void enter_all(struct lease_epoch *e)
{
    struct sq_deadline deadline = sq_deadline_in(HELPER_LATE_NS);

    if (sq_enter(e->queue, SQ_ROLE_PRODUCER, &deadline) == 0)
        sq_leave(e->queue, SQ_ROLE_PRODUCER);
    for (unsigned g = 0; g < e->variant->groups; g++)
        if (sq_enter(e->group[g], SQ_ROLE_CONSUMER, &deadline) == 0)
            sq_leave(e->group[g], SQ_ROLE_CONSUMER);
}

static void open_epoch(struct lease_epoch *e)
{
    const struct lease_variant *v = e->variant;
    struct shmq_attr attr = helper_attr(v->capacity_bytes);
    int flags = SHMQ_CREATE | SHMQ_EXCL;

    snprintf(e->name, sizeof(e->name), "%s", helper_name("lease-storm"));
    snprintf(e->letters, sizeof(e->letters), "%s", helper_name("lease-letters"));
    attr.order = v->order;
    attr.pending_count = 4096;
    attr.policy.lease_ns = v->lease_ns;
    attr.policy.retry = SHMQ_RETRY_EXPONENTIAL;
    attr.policy.retry_first_ns = SHMQ_MS(1);
    attr.policy.retry_greatest_ns = SHMQ_MS(20);
    attr.policy.retry_jitter = 0.3;
    if ((v->traits & LEASE_LETTERS) != 0) {
        attr.policy.max_attempts = 5;
        attr.policy.dead_letter_expired = 1;
        strcpy(attr.policy.dead_letter, e->letters);
    }
    if (v->groups > 1)
        flags |= SHMQ_TOPIC;
    if ((v->traits & LEASE_UNIQUE) != 0)
        flags |= SHMQ_UNIQUE;
    e->queue = e->group[0] = helper_open(e->name, flags, &attr);
    for (unsigned g = 0; v->groups > 1 && g < v->groups; g++)
        if (shmq_subscribe(e->queue, group_names[g], NULL, &e->group[g]) != 0)
            lease_wrong("subscribe: %s", shmq_last_error_detail());
    e->generations = 0;
    memset(lease_board, 0, offsetof(struct lease_board, content));
    memset((void *)lease_board->content, 0, log_used * sizeof(lease_board->content[0]));
    for (int g = 0; g < LEASE_GROUPS; g++)
        memset(lease_board->note[g], 0, log_used * sizeof(lease_board->note[g][0]));
}

static void close_epoch(struct lease_epoch *e, int64_t begun_ns)
{
    uint64_t used = sq_load(&e->queue->segment.ring.producer->next_id);

    log_used = used < LEASE_LOG ? used : LEASE_LOG;
    for (unsigned g = 0; e->variant->groups > 1 && g < e->variant->groups; g++)
        shmq_close(e->group[g]);
    shmq_close(e->queue);
    shmq_unlink(e->name);
    shmq_unlink(e->letters);
    if (lease_board->wrong != 0)
        printf("  %s: %s (%u in all)\n", e->variant->name, lease_board->what,
               (unsigned)lease_board->wrong);
    e->totals->failed += lease_board->wrong != 0;
    e->totals->passed += lease_board->wrong == 0;
    if (e->progress.longest_gap_ns > e->totals->longest_gap_ns)
        e->totals->longest_gap_ns = e->progress.longest_gap_ns;
    printf("%-14s %9llu messages %6u generations %5.1f s, up to %lld ms without progress\n",
           e->variant->name, (unsigned long long)used - 1, e->generations,
           (double)(helper_now_ns() - begun_ns) / 1e9,
           (long long)(e->progress.longest_gap_ns / 1000000));
    lease_report_times(e->variant->name);
    fflush(stdout);
}

static bool run_epoch(void *arg, unsigned variant, int64_t length_ns, uint64_t seed)
{
    struct lease_epoch e = {.variant = &variants[variant], .seed = seed, .totals = arg};
    int64_t begun_ns = helper_now_ns();

    open_epoch(&e);
    for (int i = 0; i < LEASE_WORKERS; i++)
        start(&e, i);
    rage(&e, begun_ns + length_ns);
    calm(&e);
    enter_all(&e);
    lease_check(&e);
    close_epoch(&e, begun_ns);
    return lease_board->wrong == 0;
}

/* --- main -------------------------------------------------------------------------------- */

static void report(const struct lease_totals *t)
{
    printf("%llu messages, %llu acks, %llu dead letters, %llu redeliveries, %llu kills, %llu "
           "stops, %llu recoveries\n",
           (unsigned long long)t->messages, (unsigned long long)t->acks,
           (unsigned long long)t->letters, (unsigned long long)t->redelivered,
           (unsigned long long)t->kills, (unsigned long long)t->stops,
           (unsigned long long)t->recoveries);
    printf("killed while acknowledging: %llu, of which had happened: %llu; longest time without "
           "progress %lld ms\n",
           (unsigned long long)t->unsure, (unsigned long long)t->unsure_missing,
           (long long)(t->longest_gap_ns / 1000000));
    printf("%u passed, %u failed\n", t->passed, t->failed);
}

int main(int argc, char **argv)
{
    struct epochs_args args = epochs_begin(argc, argv, false);
    struct lease_totals totals = {0};

    lease_board = epochs_board(sizeof(*lease_board));
    unsigned failed =
        epochs_run(&args, sizeof(variants) / sizeof(variants[0]), EPOCH_NS, run_epoch, &totals);
    totals.failed = failed;
    report(&totals);
    return failed == 0 ? 0 : 1;
}
