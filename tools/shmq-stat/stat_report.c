/*
 * stat_report.c - the forms in which shmq-stat prints what it has read: a
 * table, JSON, the Prometheus text format, attached processes, a histogram.
 */
#include "shmq-stat/stat_report.h"

#include <stdio.h>
#include <string.h>

#include "common/cli.h"
#include "shmq-stat/stat_file.h"
#include "shmq-stat/stat_group.h"

enum { ROWS_PER_HEADER = 20, NAME_WIDTH = 12, BAR_WIDTH = 40 };

/* --- fields ---------------------------------------------------------------- */

enum kind { KIND_U64, KIND_U32, KIND_NS };

/* Every figure of shmq_stats, as JSON and Prometheus call it. */
static const struct field {
    const char *name;
    size_t offset;
    enum kind kind;
    const char *metric;
    const char *help;
} fields[] = {
    {"put_count", offsetof(struct shmq_stats, put_count), KIND_U64, "put_messages_total",
     "Messages put"},
    {"put_bytes", offsetof(struct shmq_stats, put_bytes), KIND_U64, "put_bytes_total",
     "Payload bytes put"},
    {"got_count", offsetof(struct shmq_stats, got_count), KIND_U64, "got_messages_total",
     "Messages handed out"},
    {"got_bytes", offsetof(struct shmq_stats, got_bytes), KIND_U64, "got_bytes_total",
     "Payload bytes handed out"},
    {"dropped_count", offsetof(struct shmq_stats, dropped_count), KIND_U64,
     "dropped_messages_total", "Messages dropped because the queue was full"},
    {"purged_count", offsetof(struct shmq_stats, purged_count), KIND_U64, "purged_messages_total",
     "Messages purged"},
    {"depth", offsetof(struct shmq_stats, depth), KIND_U64, "depth_messages", "Messages waiting"},
    {"peak_depth", offsetof(struct shmq_stats, peak_depth), KIND_U64, "peak_depth_messages",
     "The most messages that ever waited"},
    {"used_bytes", offsetof(struct shmq_stats, used_bytes), KIND_U64, "used_bytes",
     "Bytes of the ring in use, headers included"},
    {"capacity_bytes", offsetof(struct shmq_stats, capacity_bytes), KIND_U64, "capacity_bytes",
     "Bytes of the ring"},
    {"max_messages", offsetof(struct shmq_stats, max_messages), KIND_U64, "max_messages",
     "Limit of waiting messages, 0 for none"},
    {"oldest_age_ns", offsetof(struct shmq_stats, oldest_age_ns), KIND_NS, "oldest_age_seconds",
     "Age of the oldest message, 0 when empty"},
    {"full_wait_count", offsetof(struct shmq_stats, full_wait_count), KIND_U64, "full_waits_total",
     "Times a put slept for room"},
    {"full_wait_ns", offsetof(struct shmq_stats, full_wait_ns), KIND_NS, "full_wait_seconds_total",
     "Time that puts slept for room"},
    {"empty_wait_count", offsetof(struct shmq_stats, empty_wait_count), KIND_U64,
     "empty_waits_total", "Times a get slept for a message"},
    {"empty_wait_ns", offsetof(struct shmq_stats, empty_wait_ns), KIND_NS,
     "empty_wait_seconds_total", "Time that gets slept for a message"},
    {"sleeping_producers", offsetof(struct shmq_stats, sleeping_producers), KIND_U32,
     "sleeping_producers", "Puts asleep now"},
    {"sleeping_consumers", offsetof(struct shmq_stats, sleeping_consumers), KIND_U32,
     "sleeping_consumers", "Gets asleep now"},
    {"attached", offsetof(struct shmq_stats, attached), KIND_U32, "attached_handles",
     "Handles attached"},
    {"sole_producer", offsetof(struct shmq_stats, sole_producer), KIND_U32, "sole_producer",
     "1 while a sole producer has the queue"},
    {"sole_consumer", offsetof(struct shmq_stats, sole_consumer), KIND_U32, "sole_consumer",
     "1 while a sole consumer has the queue"},
    {"unlinked", offsetof(struct shmq_stats, unlinked), KIND_U32, NULL, NULL},
    {"recoveries", offsetof(struct shmq_stats, recoveries), KIND_U64, "recoveries_total",
     "Dead owners of a lock or role cleaned up after"},
    {"dead_count", offsetof(struct shmq_stats, dead_count), KIND_U64, "dead_processes_total",
     "Attached processes found dead"},
};

enum { FIELD_COUNT = sizeof(fields) / sizeof(fields[0]) };

static int64_t field_value(const struct shmq_stats *stats, const struct field *f)
{
    const char *at = (const char *)stats + f->offset;
    uint64_t wide;
    uint32_t narrow;

    if (f->kind == KIND_U32) {
        memcpy(&narrow, at, sizeof(narrow));
        return (int64_t)narrow;
    }
    memcpy(&wide, at, sizeof(wide));
    return (int64_t)wide;
}

/* Events since the report before, a second. */
static double rate(const struct watched *one, uint64_t now, uint64_t before)
{
    int64_t elapsed = one->now_ns - one->before_ns;

    return elapsed > 0 ? (double)(int64_t)(now - before) * 1e9 / (double)elapsed : 0;
}

/* --- how long messages waited ---------------------------------------------- */

struct histogram {
    uint64_t counts[SHMQ_HISTOGRAM_BUCKETS];
    uint64_t total;
};

static double bucket_from(int i)
{
    return i == 0 ? 0 : (double)((uint64_t)1 << i);
}

/* Of the interval, or since creation in the first report. */
static struct histogram histogram_of(const struct watched *one)
{
    struct histogram h = {.total = 0};

    for (int i = 0; i < SHMQ_HISTOGRAM_BUCKETS; i++) {
        h.counts[i] = one->now.wait_histogram[i];
        if (one->has_before)
            h.counts[i] -= one->before.wait_histogram[i];
        h.total += h.counts[i];
    }
    return h;
}

/* The wait that `share` of the messages stayed below, taken as even in a bucket. */
static double quantile(const struct histogram *h, double share)
{
    double left = share * (double)h->total;
    int last = SHMQ_HISTOGRAM_BUCKETS - 1;

    for (int i = 0; i < last; i++) {
        double count = (double)h->counts[i];

        if (count > 0 && left <= count)
            return bucket_from(i) + (bucket_from(i + 1) - bucket_from(i)) * left / count;
        left -= count;
    }
    return bucket_from(last);
}

/* --- table ----------------------------------------------------------------- */

static void table_header(struct text *out, struct table *table, const struct watch *w, bool rates)
{
    const char *per = rates ? "/s" : "";
    char heads[5][8];
    static const char *const names[] = {"PUT", "GOT", "IN", "OUT", "DROP"};

    table->name_width = NAME_WIDTH;
    for (size_t i = 0; i < w->count; i++)
        if (strlen(w->list[i].name) > (size_t)table->name_width)
            table->name_width = (int)strlen(w->list[i].name);
    for (size_t i = 0; i < 5; i++)
        snprintf(heads[i], sizeof(heads[i]), "%s%s", names[i], per);
    text_format(out, "%-*s %7s %5s %7s %7s %7s %7s %7s %7s %5s %5s %6s %5s\n", table->name_width,
                "QUEUE", "DEPTH", "FULL%", heads[0], heads[1], heads[2], heads[3], heads[4],
                "OLDEST", "PWAIT", "CWAIT", "ATTACH", "RECOV");
    table->rows = 0;
    table->rates = rates;
}

/* Of the ring or of the limit of messages, whichever is nearer. */
static double fill_percent(const struct shmq_stats *s)
{
    double bytes =
        s->capacity_bytes ? 100.0 * (double)s->used_bytes / (double)s->capacity_bytes : 0;
    double messages = s->max_messages ? 100.0 * (double)s->depth / (double)s->max_messages : 0;

    return bytes > messages ? bytes : messages;
}

static void table_row(struct text *out, const struct table *table, const struct watched *one)
{
    const struct shmq_stats *s = &one->now, *b = &one->before;
    const uint64_t now[] = {s->put_count, s->got_count, s->put_bytes, s->got_bytes,
                            s->dropped_count};
    const uint64_t before[] = {b->put_count, b->got_count, b->put_bytes, b->got_bytes,
                               b->dropped_count};

    text_format(out, "%-*s %7s %5.1f", table->name_width, one->name,
                figure_count((double)s->depth).s, fill_percent(s));
    for (int i = 0; i < 5; i++) {
        bool bytes = i == 2 || i == 3;
        double value = table->rates ? rate(one, now[i], before[i]) : (double)now[i];

        /* One that is new has no interval behind it. */
        if (table->rates && !one->has_before)
            text_format(out, " %7s", "-");
        else
            text_format(out, " %7s", bytes ? figure_bytes(value).s : figure_count(value).s);
    }
    text_format(out, " %7s %5u %5u %6u %5s\n",
                s->depth ? figure_duration((double)s->oldest_age_ns).s : "-", s->sleeping_producers,
                s->sleeping_consumers, s->attached, figure_count((double)s->recoveries).s);
}

void report_table(struct text *out, struct table *table, const struct watch *w)
{
    bool rates = table->rates;

    for (size_t i = 0; i < w->count; i++)
        rates = rates || (w->list[i].fresh && w->list[i].has_before);
    if (table->name_width == 0 || table->rows >= ROWS_PER_HEADER || rates != table->rates)
        table_header(out, table, w, rates);
    for (size_t i = 0; i < w->count; i++) {
        if (!w->list[i].fresh)
            continue;
        table_row(out, table, &w->list[i]);
        table->rows += 1 + stat_group_lines(out, &w->list[i]) + stat_file_lines(out, &w->list[i]);
    }
}

/* --- JSON ------------------------------------------------------------------ */

static void json_rates(struct text *out, const struct watched *one)
{
    const struct shmq_stats *s = &one->now, *b = &one->before;

    if (!one->has_before) {
        text_add(out, ",\"interval_ns\":null,\"rates\":null");
        return;
    }
    text_format(out, ",\"interval_ns\":%lld", (long long)(one->now_ns - one->before_ns));
    text_format(out,
                ",\"rates\":{\"put_count\":%.3f,\"got_count\":%.3f,\"put_bytes\":%.3f,"
                "\"got_bytes\":%.3f,\"dropped_count\":%.3f}",
                rate(one, s->put_count, b->put_count), rate(one, s->got_count, b->got_count),
                rate(one, s->put_bytes, b->put_bytes), rate(one, s->got_bytes, b->got_bytes),
                rate(one, s->dropped_count, b->dropped_count));
}

static void json_histogram(struct text *out, const struct watched *one)
{
    struct histogram h = histogram_of(one);
    const char *comma = "";

    if (h.total > 0)
        text_format(out, ",\"wait_p50_ns\":%.0f,\"wait_p99_ns\":%.0f", quantile(&h, 0.50),
                    quantile(&h, 0.99));
    else
        text_add(out, ",\"wait_p50_ns\":null,\"wait_p99_ns\":null");
    text_add(out, ",\"wait_histogram\":[");
    for (int i = 0; i < SHMQ_HISTOGRAM_BUCKETS; i++) {
        if (one->now.wait_histogram[i] == 0)
            continue;
        text_format(out, "%s[%.0f,%llu]", comma, bucket_from(i),
                    (unsigned long long)one->now.wait_histogram[i]);
        comma = ",";
    }
    text_add(out, "]");
}

static void json_processes(struct text *out, const struct watched *one)
{
    text_add(out, ",\"processes\":[");
    for (unsigned i = 0; i < one->process_count; i++) {
        const struct shmq_process *p = &one->processes[i];

        text_format(out, "%s{\"pid\":%d,\"command\":", i ? "," : "", p->pid);
        text_json_string(out, p->command, strnlen(p->command, sizeof(p->command)));
        text_format(out,
                    ",\"sole_producer\":%s,\"sole_consumer\":%s,\"sleeping_producers\":%u,"
                    "\"sleeping_consumers\":%u,\"attached_for_ns\":%lld}",
                    p->flags & SHMQ_SOLE_PRODUCER ? "true" : "false",
                    p->flags & SHMQ_SOLE_CONSUMER ? "true" : "false", p->sleeping_producers,
                    p->sleeping_consumers, (long long)(one->now_ns - p->attached_ns));
    }
    text_add(out, "]");
}

void report_json(struct text *out, const struct watch *w)
{
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *one = &w->list[i];

        if (!one->fresh)
            continue;
        text_add(out, "{\"queue\":");
        text_json_string(out, one->name, strlen(one->name));
        for (size_t k = 0; k < FIELD_COUNT; k++)
            text_format(out, ",\"%s\":%lld", fields[k].name,
                        (long long)field_value(&one->now, &fields[k]));
        json_rates(out, one);
        json_histogram(out, one);
        json_processes(out, one);
        stat_group_json(out, one);
        stat_file_json(out, one);
        if (w->want_dead)
            stat_dead_json(out, one);
        if (w->want_priorities)
            stat_priority_json(out, one);
        text_add(out, "}\n");
    }
}

/* --- Prometheus ------------------------------------------------------------ */

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* A name of a queue has no character that a label would have to escape. */
static void prometheus_field(struct text *out, const struct field *f, const struct watch *w)
{
    text_format(out, "# HELP shmq_%s %s.\n# TYPE shmq_%s %s\n", f->metric, f->help, f->metric,
                ends_in(f->metric, "_total") ? "counter" : "gauge");
    for (size_t i = 0; i < w->count; i++) {
        int64_t value = field_value(&w->list[i].now, f);

        if (!w->list[i].fresh)
            continue;
        text_format(out, "shmq_%s{queue=\"%s\"} ", f->metric, w->list[i].name);
        if (f->kind == KIND_NS)
            text_format(out, "%.9f\n", (double)value / 1e9);
        else
            text_format(out, "%lld\n", (long long)value);
    }
}

/* No sum goes with it: only the buckets are known. */
static void prometheus_histogram(struct text *out, const struct watched *one)
{
    uint64_t below = 0;

    for (int i = 0; i < SHMQ_HISTOGRAM_BUCKETS - 1; i++) {
        below += one->now.wait_histogram[i];
        text_format(out, "shmq_wait_seconds_bucket{queue=\"%s\",le=\"%.15g\"} %llu\n", one->name,
                    bucket_from(i + 1) / 1e9, (unsigned long long)below);
    }
    below += one->now.wait_histogram[SHMQ_HISTOGRAM_BUCKETS - 1];
    text_format(out, "shmq_wait_seconds_bucket{queue=\"%s\",le=\"+Inf\"} %llu\n", one->name,
                (unsigned long long)below);
    text_format(out, "shmq_wait_seconds_count{queue=\"%s\"} %llu\n", one->name,
                (unsigned long long)below);
}

void report_prometheus(struct text *out, const struct watch *w)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].metric)
            prometheus_field(out, &fields[i], w);
    stat_group_prometheus(out, w);
    stat_file_prometheus(out, w);
    if (w->want_dead)
        stat_dead_prometheus(out, w);
    if (w->want_priorities)
        stat_priority_prometheus(out, w);
    text_add(out, "# HELP shmq_wait_seconds How long messages waited, of a sample.\n"
                  "# TYPE shmq_wait_seconds histogram\n");
    for (size_t i = 0; i < w->count; i++)
        if (w->list[i].fresh)
            prometheus_histogram(out, &w->list[i]);
}

/* --- processes ------------------------------------------------------------- */

/* The command is whatever its process says; keep control characters out. */
static void printable_command(char *command, size_t size, const struct shmq_process *p)
{
    snprintf(command, size, "%.*s", (int)sizeof(p->command), p->command);
    for (; *command; command++)
        if ((unsigned char)*command < 0x20 || *command == 0x7f)
            *command = '?';
}

static const char *role_of(const struct shmq_process *p)
{
    static const char *const roles[] = {"-", "sole-producer", "sole-consumer", "sole-both"};

    return roles[(p->flags & SHMQ_SOLE_PRODUCER ? 1 : 0) + (p->flags & SHMQ_SOLE_CONSUMER ? 2 : 0)];
}

void report_processes(struct text *out, const struct watch *w)
{
    text_format(out, "%-*s %8s %-15s %-13s %5s %5s %8s\n", NAME_WIDTH, "QUEUE", "PID", "COMMAND",
                "ROLE", "PWAIT", "CWAIT", "SINCE");
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *one = &w->list[i];

        for (unsigned k = 0; one->fresh && k < one->process_count; k++) {
            const struct shmq_process *p = &one->processes[k];
            char command[sizeof(p->command) + 1];

            printable_command(command, sizeof(command), p);
            text_format(out, "%-*s %8d %-15s %-13s %5u %5u %8s\n", NAME_WIDTH, one->name, p->pid,
                        command, role_of(p), p->sleeping_producers, p->sleeping_consumers,
                        figure_duration((double)(one->now_ns - p->attached_ns)).s);
        }
    }
}

/* --- histogram ------------------------------------------------------------- */

static void histogram_bars(struct text *out, const struct histogram *h)
{
    static const char bar[BAR_WIDTH + 1] = "########################################";
    int first = 0, last = SHMQ_HISTOGRAM_BUCKETS - 1;
    uint64_t most = 0;

    while (first < last && h->counts[first] == 0)
        first++;
    while (last > first && h->counts[last] == 0)
        last--;
    for (int i = first; i <= last; i++)
        most = h->counts[i] > most ? h->counts[i] : most;
    for (int i = first; i <= last; i++) {
        double share = (double)h->counts[i] / (double)most;
        int length = (int)(share * BAR_WIDTH + 0.5);
        bool endless = i == SHMQ_HISTOGRAM_BUCKETS - 1;

        if (length == 0 && h->counts[i] > 0)
            length = 1;
        text_format(out, "  %7s to %7s %7s  %.*s\n", figure_duration(bucket_from(i)).s,
                    endless ? "any" : figure_duration(bucket_from(i + 1)).s,
                    figure_count((double)h->counts[i]).s, length, bar);
    }
}

void report_histogram(struct text *out, const struct watch *w)
{
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *one = &w->list[i];
        struct histogram h;

        if (!one->fresh)
            continue;
        h = histogram_of(one);
        text_format(out, "%s: ", one->name);
        if (h.total == 0) {
            text_add(out, "no waits sampled\n");
            continue;
        }
        text_format(out, "%s waits sampled, half below %s, 99%% below %s\n",
                    figure_count((double)h.total).s, figure_duration(quantile(&h, 0.50)).s,
                    figure_duration(quantile(&h, 0.99)).s);
        histogram_bars(out, &h);
    }
}
