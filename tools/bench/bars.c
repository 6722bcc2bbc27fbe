/*
 * bars.c - the figures that shmq is to reach, judged from the results of a run.
 *
 * Every ratio is taken within each repeat, where all transports ran one after the
 * other, and the median of the repeats counts.  Against several peers, that is
 * done with each of them and the one that does best beside shmq is judged.
 */
#include <string.h>

#include "bench/bench.h"

/* Kinds of peers, by name. */
static const char *const kernel_and_brokers[] = {
    "pipe", "unix-seqpacket", "unix-stream", "posix-mq", "sysv-mq", "zeromq", "nng", "libqb", NULL};
static const char *const polled_rings[] = {"rte-ring-sp/sc", "rte-ring-hts", "ck-ring-spsc",
                                           "ck-ring-mpmc", NULL};
static const char *const bulk_rings[] = {"rte-ring-sp/sc", "rte-ring-hts", NULL};
static const char *const boost_only[] = {"boost-mq", NULL};
static const char *const bare_only[] = {"bare-ring", NULL};
static const char *const line_only[] = {"cache-line", NULL};
static const char *const mq_and_pipe[] = {"posix-mq", "pipe", NULL};
static const char *const plain_only[] = {"shmq", NULL};
static const char *const beanstalkd_only[] = {"beanstalkd", NULL};
static const char *const bare_sync[] = {"write-sync", NULL};
static const char *const bare_write[] = {"write", NULL};
static const char *const bare_file[] = {"plain-file", NULL};
static const char *const every_peer[] = {
    "pipe",         "unix-seqpacket", "unix-stream",  "posix-mq", "sysv-mq",
    "boost-mq",     "zeromq",         "nng",          "libqb",    "rte-ring-sp/sc",
    "rte-ring-hts", "ck-ring-spsc",   "ck-ring-mpmc", NULL};

/* What one bar compares. */
struct comparison {
    const struct workload *workload;
    size_t size;
    const char *mine;
    const char *const *theirs;
    int figure;
    bool lower_is_better;
};

struct outcome {
    double mine; /* medians */
    double theirs;
    double ratio;    /* mine to theirs, median of the repeats */
    const char *who; /* the peer that does best; NULL: not measured */
};

static struct outcome compare(const struct results *all, const struct comparison *c)
{
    struct outcome outcome = {0};
    const struct result *mine = result_find(all, c->workload, c->size, c->mine);
    if (!mine)
        return outcome;
    outcome.mine = median(mine->value[c->figure], mine->rounds);
    for (const char *const *name = c->theirs; *name; name++) {
        const struct result *r = result_find(all, c->workload, c->size, *name);
        if (!r || r->rounds != mine->rounds)
            continue;
        double ratio = median_ratio(mine->value[c->figure], r->value[c->figure], r->rounds);
        if (outcome.who && (c->lower_is_better ? ratio <= outcome.ratio : ratio >= outcome.ratio))
            continue;
        outcome.who = *name;
        outcome.ratio = ratio;
        outcome.theirs = median(r->value[c->figure], r->rounds);
    }
    return outcome;
}

struct sheet {
    struct bar *bars;
    unsigned count;
    const struct results *all;
};

static struct bar *bar_add(struct sheet *sheet, const char *what, size_t size, const char *rule)
{
    static struct bar spare;
    struct bar *bar = sheet->count < MAX_BARS ? &sheet->bars[sheet->count++] : &spare;
    if (size)
        snprintf(bar->what, sizeof bar->what, "%s, %zu B", what, size);
    else
        snprintf(bar->what, sizeof bar->what, "%s", what);
    snprintf(bar->rule, sizeof bar->rule, "%s", rule);
    snprintf(bar->figure, sizeof bar->figure, "-");
    bar->verdict = "not measured";
    return bar;
}

static void bar_ratio(struct sheet *sheet, const char *what, const char *rule,
                      const struct comparison *c, double limit)
{
    struct bar *bar = bar_add(sheet, what, c->size, rule);
    struct outcome o = compare(sheet->all, c);
    if (!o.who)
        return;
    snprintf(bar->figure, sizeof bar->figure, "%.3g x (%.4g to %s's %.4g %s)", o.ratio, o.mine,
             o.who, o.theirs, c->workload->unit);
    bool good = c->lower_is_better ? o.ratio <= limit : o.ratio >= limit;
    bar->verdict = good ? "pass" : "short";
}

static void throughput_bars(struct sheet *sheet)
{
    static const size_t small[] = {8, 64, 256, 1024}, large[] = {4096, 65536};
    struct comparison c = {&work_one_to_one, 64, "shmq", boost_only, 0, false};
    bar_ratio(sheet, "one to one, shared", "at least 5 x boost's message_queue", &c, 5);
    c.theirs = kernel_and_brokers;
    bar_ratio(sheet, "one to one, shared", "at least 5 x the fastest of kernel, brokers, libqb", &c,
              5);
    c.mine = "shmq-sole";
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        c.size = small[i];
        c.theirs = polled_rings;
        bar_ratio(sheet, "one to one, sole", "at least 1.2 x the faster of rte_ring and ck_ring",
                  &c, 1.2);
        c.theirs = bare_only;
        bar_ratio(sheet, "one to one, sole", "at least 0.5 x the bare ring", &c, 0.5);
    }
    c.theirs = every_peer;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        c.size = large[i];
        c.mine = "shmq";
        bar_ratio(sheet, "one to one, shared", "ahead of every peer", &c, 1.0);
        c.mine = "shmq-sole";
        bar_ratio(sheet, "one to one, sole", "ahead of every peer", &c, 1.0);
    }
    c = (struct comparison){&work_batch, 64, "shmq", bulk_rings, 0, false};
    bar_ratio(sheet, "batches of 32, shared", "at least 1.2 x rte_ring's bulk calls", &c, 1.2);
}

/* Peers slower than boost when several share them have collapsed: left out. */
static void many_bars(struct sheet *sheet)
{
    const char *standing[MAX_TRANSPORTS];
    unsigned count = 0;
    struct comparison c = {&work_many, 64, "shmq", boost_only, 0, false};
    bar_ratio(sheet, "4 x 4 processes", "at least 5 x boost's message_queue", &c, 5);
    const struct result *boost = result_find(sheet->all, c.workload, c.size, "boost-mq");
    for (const char *const *name = every_peer; *name; name++) {
        const struct result *r = result_find(sheet->all, c.workload, c.size, *name);
        if (r && r != boost &&
            (!boost || median(r->value[0], r->rounds) >= median(boost->value[0], boost->rounds)))
            standing[count++] = *name;
    }
    standing[count] = NULL;
    c.theirs = standing;
    bar_ratio(sheet, "4 x 4 processes", "at least 3 x every peer not below boost", &c, 3);
    if (count || !boost)
        return;
    /* Close calls should show: the best of the fallen is named all the same. */
    static const char *const fallen[] = {"pipe",         "posix-mq",     "zeromq",
                                         "rte-ring-hts", "ck-ring-mpmc", NULL};
    struct bar *bar = &sheet->bars[sheet->count - 1];
    c.theirs = fallen;
    struct outcome o = compare(sheet->all, &c);
    snprintf(bar->figure, sizeof bar->figure,
             "none is; the best of them, %s: %.3g x (%.4g to %.4g)", o.who ? o.who : "-", o.ratio,
             o.mine, o.theirs);
    bar->verdict = "pass";
}

static void latency_bars(struct sheet *sheet)
{
    struct comparison c = {&work_pingpong, 64, "shmq", mq_and_pipe, 0, true};
    bar_ratio(sheet, "ping-pong, two cores, p50", "at most 1/10 of POSIX mq's and the pipe's", &c,
              0.1);
    c.figure = 1;
    bar_ratio(sheet, "ping-pong, two cores, p99", "below POSIX mq's and the pipe's", &c, 1.0);
    c.workload = &work_one_core;
    c.figure = 0;
    bar_ratio(sheet, "ping-pong, one core, p50", "at most 1.05 x the better of POSIX mq and pipe",
              &c, 1.05);
    c.figure = 1;
    bar_ratio(sheet, "ping-pong, one core, p99", "at most 1.05 x the better of POSIX mq and pipe",
              &c, 1.05);
    c = (struct comparison){&work_poll, 64, "shmq-sole", line_only, 0, true};
    bar_ratio(sheet, "ping-pong, polling, sole, p50", "at most 2 x a cache line's round trip", &c,
              2.0);
}

/* A figure of shmq's against a limit that is no other figure; what a floor does, if there
 * is one, is said beside it. */
static void bar_least(struct sheet *sheet, const char *what, const char *rule,
                      const struct comparison *c, double limit)
{
    struct bar *bar = bar_add(sheet, what, c->size, rule);
    const struct result *r = result_find(sheet->all, c->workload, c->size, c->mine);
    if (!r)
        return;
    double value = median(r->value[c->figure], r->rounds);
    int n = snprintf(bar->figure, sizeof bar->figure, "%.4g %s", value, c->workload->unit);
    struct outcome floor = c->theirs ? compare(sheet->all, c) : (struct outcome){0};
    if (floor.who)
        snprintf(bar->figure + n, sizeof bar->figure - (size_t)n, " (%s: %.4g)", floor.who,
                 floor.theirs);
    bar->verdict = value >= limit ? "pass" : "short";
}

/* Two figures of one result: the second to the first. */
static void bar_second(struct sheet *sheet, const char *what, const char *rule,
                       const struct comparison *c, double limit)
{
    struct bar *bar = bar_add(sheet, what, c->size, rule);
    const struct result *r = result_find(sheet->all, c->workload, c->size, c->mine);
    if (!r)
        return;
    double ratio = median_ratio(r->value[1], r->value[0], r->rounds);
    snprintf(bar->figure, sizeof bar->figure, "%.3g x (%.4g to %.4g %s)", ratio,
             median(r->value[1], r->rounds), median(r->value[0], r->rounds), c->workload->unit);
    bool good = c->lower_is_better ? ratio <= limit : ratio >= limit;
    bar->verdict = good ? "pass" : "short";
}

static void crowd_bars(struct sheet *sheet)
{
    struct bar *bar = bar_add(sheet, "a thousand sleeping consumers", 0, "below 2% of one core");
    const struct result *r = result_find(sheet->all, &work_idle, 64, "shmq");
    if (r) {
        double share = median(r->value[0], r->rounds);
        snprintf(bar->figure, sizeof bar->figure, "%.3g%%", share);
        bar->verdict = share < 2 ? "pass" : "short";
    }
    const struct comparison c = {&work_producers, 64, "shmq", NULL, 1, false};
    bar_second(sheet, "64 producers", "at least 0.7 x the throughput of 4", &c, 0.7);
    bar = bar_add(sheet, "64 attached idle processes", 64, "a put costs the same within noise");
    r = result_find(sheet->all, &work_attached, 64, "shmq");
    if (r) {
        /* Noise: the spread of the puts without them, and 3% at least. */
        double alone = median(r->value[0], r->rounds);
        double noise = greatest(r->value[0], r->rounds) / alone;
        double ratio = median_ratio(r->value[1], r->value[0], r->rounds);
        double limit = noise > 1.03 ? noise : 1.03;
        snprintf(bar->figure, sizeof bar->figure, "%.3g x (%.4g to %.4g ns), noise %.3g x", ratio,
                 median(r->value[1], r->rounds), alone, limit);
        bar->verdict = ratio <= limit ? "pass" : "short";
    }
}

static void delivery_bars(struct sheet *sheet)
{
    struct comparison c = {&work_lease, 64, "shmq-next", plain_only, 0, false};
    bar_ratio(sheet, "receive and ack, in one call", "at least 0.6 x plain put and get", &c, 0.6);
    c.mine = "shmq-lease";
    c.theirs = beanstalkd_only;
    bar_ratio(sheet, "receive and ack, shared", "at least 50 x beanstalkd's put, reserve, delete",
              &c, 50);
    c = (struct comparison){&work_priority, 64, "shmq-priority", NULL, 2, false};
    bar_least(sheet, "priority, 100,000 waiting", "at least 1.5 M pairs of put and get a second",
              &c, 1.5);
    c.mine = "shmq-prio-turns";
    bar_least(sheet, "priority, 100,000 waiting, by turns",
              "at least 1.5 M pairs of put and get a second", &c, 1.5);
    c = (struct comparison){&work_topic, 64, "shmq-topic", NULL, 1, true};
    bar_second(sheet, "a put to 8 groups", "at most 2 x a put to one group", &c, 2);
}

static void file_bars(struct sheet *sheet)
{
    static const size_t sizes[] = {64, 1024};
    struct comparison c = {&work_durable, 64, "shmq-always", bare_sync, 0, false};
    bar_ratio(sheet, "on the disk, 1 producer", "at least 0.8 x a bare write and sync", &c, 0.8);
    c.figure = 1;
    bar_ratio(sheet, "on the disk, 8 producers", "at least 4 x a bare write and sync", &c, 4);
    c = (struct comparison){&work_journal, 64, "shmq-os", bare_write, 0, false};
    bar_least(sheet, "in a file, one a call", "at least 1.5 M/s", &c, 1.5);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        c = (struct comparison){&work_file, sizes[i], "shmq-save", bare_file, 0, false};
        bar_ratio(sheet, "saving 256 MiB", "at least 0.6 x writing and syncing as much", &c, 0.6);
        c.figure = 1;
        bar_least(sheet, "loading 256 MiB", "at least 1 GB/s", &c, 1000);
    }
    c = (struct comparison){&work_beside, 64, "shmq-save", NULL, 1, true};
    bar_second(sheet, "p99.9 of a put while that is saved", "at most 2 x as without", &c, 2);
}

unsigned bars_judge(const struct results *all, struct bar bars[MAX_BARS])
{
    struct sheet sheet = {.bars = bars, .all = all};
    throughput_bars(&sheet);
    many_bars(&sheet);
    latency_bars(&sheet);
    crowd_bars(&sheet);
    delivery_bars(&sheet);
    file_bars(&sheet);
    return sheet.count;
}
