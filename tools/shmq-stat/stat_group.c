/*
 * stat_group.c - what shmq-stat says of the groups of a queue, see stat_group.h.
 */
#include "shmq-stat/stat_group.h"

#include <string.h>

#include "common/group_json.h"

/* --- table ----------------------------------------------------------------- */

/* How many became dead letters, by reason: `; dead letters: attempts 3, expired 1`. */
static void add_reasons(struct text *out, const struct shmq_group_stats *g)
{
    const char *before = "; dead letters: ";

    for (uint32_t i = 0; i < GROUP_REASONS; i++) {
        if (g->dead_by_reason[i] == 0)
            continue;
        text_format(out, "%s%s %s", before, group_reason(i),
                    figure_count((double)g->dead_by_reason[i]).s);
        before = ", ";
    }
}

static void add_line(struct text *out, const struct shmq_group_stats *g)
{
    if (g->name[0])
        text_format(out, "  group %s:", g->name);
    else
        text_add(out, "  delivery:");
    text_format(out, " backlog %s, leased %s", figure_count((double)g->backlog).s,
                figure_count((double)g->leased).s);
    text_format(out, ", delayed %s, dead %s", figure_count((double)g->delayed).s,
                figure_count((double)g->dead).s);
    text_format(out, ", redelivered %s", figure_count((double)g->redelivered_count).s);
    text_format(out, ", oldest %s, members %u%s",
                g->backlog ? figure_duration((double)g->oldest_age_ns).s : "-", g->members,
                g->paused ? ", paused" : "");
    add_reasons(out, g);
    text_add(out, "\n");
}

/* Is there more to the only group of a queue than the queue's own figures say? */
static bool has_more(const struct shmq_group_stats *g)
{
    return g->leased || g->delayed || g->dead || g->redelivered_count || g->dead_count || g->paused;
}

unsigned stat_group_lines(struct text *out, const struct watched *one)
{
    unsigned lines = 0;

    for (unsigned i = 0; i < one->group_count; i++) {
        const struct shmq_group_stats *g = &one->groups[i];

        if (!g->name[0] && !has_more(g))
            continue;
        add_line(out, g);
        lines++;
    }
    return lines;
}

/* --- JSON ------------------------------------------------------------------ */

void stat_group_json(struct text *out, const struct watched *one)
{
    text_add(out, ",\"groups\":[");
    for (unsigned i = 0; i < one->group_count; i++) {
        text_add(out, i ? "," : "");
        group_add_json(out, &one->groups[i]);
    }
    text_add(out, "]");
}

/* --- Prometheus ------------------------------------------------------------ */

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_TIME, KIND_FLAG };

static const struct field {
    size_t offset;
    enum kind kind;
    const char *metric;
    const char *help;
} fields[] = {
    {offsetof(struct shmq_group_stats, backlog), KIND_GAUGE, "backlog_messages",
     "Messages not finished"},
    {offsetof(struct shmq_group_stats, waiting), KIND_GAUGE, "waiting_messages",
     "Messages to be had now"},
    {offsetof(struct shmq_group_stats, delayed), KIND_GAUGE, "delayed_messages",
     "Messages not due yet"},
    {offsetof(struct shmq_group_stats, leased), KIND_GAUGE, "leased_messages",
     "Messages in the hands of consumers"},
    {offsetof(struct shmq_group_stats, dead), KIND_GAUGE, "parked_messages",
     "Dead letters parked in the group"},
    {offsetof(struct shmq_group_stats, delivered_count), KIND_COUNTER, "delivered_messages_total",
     "Messages handed out, on lease or not"},
    {offsetof(struct shmq_group_stats, redelivered_count), KIND_COUNTER,
     "redelivered_messages_total", "Messages handed out not for the first time"},
    {offsetof(struct shmq_group_stats, acked_count), KIND_COUNTER, "acked_messages_total",
     "Messages acknowledged"},
    {offsetof(struct shmq_group_stats, nacked_count), KIND_COUNTER, "nacked_messages_total",
     "Messages given back"},
    {offsetof(struct shmq_group_stats, lost_lease_count), KIND_COUNTER, "lost_leases_total",
     "Leases ended by time or death"},
    {offsetof(struct shmq_group_stats, expired_count), KIND_COUNTER, "expired_messages_total",
     "Messages whose time to live was over"},
    {offsetof(struct shmq_group_stats, dropped_count), KIND_COUNTER, "dropped_messages_total",
     "Messages lost because the group did not keep up"},
    {offsetof(struct shmq_group_stats, filtered_count), KIND_COUNTER, "filtered_messages_total",
     "Messages passed over by the filter"},
    {offsetof(struct shmq_group_stats, oldest_age_ns), KIND_TIME, "oldest_age_seconds",
     "Age of the oldest message not finished, 0 for none"},
    {offsetof(struct shmq_group_stats, members), KIND_FLAG, "members",
     "Attached handles that read as the group"},
    {offsetof(struct shmq_group_stats, paused), KIND_FLAG, "paused", "1 while it is paused"},
};

static void add_value(struct text *out, const struct field *f, const struct shmq_group_stats *g)
{
    const char *at = (const char *)g + f->offset;
    uint64_t wide;
    uint32_t narrow;

    if (f->kind == KIND_FLAG) {
        memcpy(&narrow, at, sizeof(narrow));
        text_format(out, "%u\n", narrow);
        return;
    }
    memcpy(&wide, at, sizeof(wide));
    if (f->kind == KIND_TIME)
        text_format(out, "%.9f\n", (double)(int64_t)wide / 1e9);
    else
        text_format(out, "%llu\n", (unsigned long long)wide);
}

/* Names of queues and groups have no character that a label would have to escape. */
static void add_field(struct text *out, const struct field *f, const struct watch *w)
{
    text_format(out, "# HELP shmq_group_%s %s.\n# TYPE shmq_group_%s %s\n", f->metric, f->help,
                f->metric, f->kind == KIND_COUNTER ? "counter" : "gauge");
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *one = &w->list[i];

        for (unsigned k = 0; one->fresh && k < one->group_count; k++) {
            text_format(out, "shmq_group_%s{queue=\"%s\",group=\"%s\"} ", f->metric, one->name,
                        one->groups[k].name);
            add_value(out, f, &one->groups[k]);
        }
    }
}

static void add_dead(struct text *out, const struct watch *w)
{
    text_add(out, "# HELP shmq_group_dead_letters_total Messages that became dead letters.\n"
                  "# TYPE shmq_group_dead_letters_total counter\n");
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *one = &w->list[i];

        for (unsigned k = 0; one->fresh && k < one->group_count; k++)
            for (uint32_t reason = 0; reason < GROUP_REASONS; reason++)
                text_format(out,
                            "shmq_group_dead_letters_total{queue=\"%s\",group=\"%s\","
                            "reason=\"%s\"} %llu\n",
                            one->name, one->groups[k].name, group_reason(reason),
                            (unsigned long long)one->groups[k].dead_by_reason[reason]);
    }
}

void stat_group_prometheus(struct text *out, const struct watch *w)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        add_field(out, &fields[i], w);
    add_dead(out, w);
}
