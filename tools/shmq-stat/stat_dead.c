/*
 * stat_dead.c - the dead letters that a queue has, see stat_dead.h.
 *
 * A dead letter that was sent to the queue says in its headers why and when; one that
 * is parked is in the state dead.
 */
#include "shmq-stat/stat_dead.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/group_json.h"
#include "shmq-stat/stat_watch.h"

enum { NAME_WIDTH = 16, REASON_WIDTH = 14 };

static const char *const age_names[DEAD_AGES] = {"1h", "6h", "24h", "older"};

/* --- counting ---------------------------------------------------------------- */

static int age_of(int64_t age_ns)
{
    static const int64_t hours[] = {1, 6, 24};
    int i = 0;

    while (i < DEAD_AGES - 1 && age_ns >= hours[i] * 3600 * 1000000000)
        i++;
    return i;
}

/* The entry for a reason, which is made if it is not there. */
static struct dead_letters *entry_of(struct watched *one, const char *reason)
{
    struct dead_letters *list;

    for (unsigned i = 0; i < one->dead_count; i++)
        if (strcmp(one->dead[i].reason, reason) == 0)
            return &one->dead[i];
    list = realloc(one->dead, (one->dead_count + 1) * sizeof(*list));
    if (!list)
        return NULL;
    one->dead = list;
    list[one->dead_count] = (struct dead_letters){.counts = {0}};
    snprintf(list[one->dead_count].reason, sizeof(list->reason), "%s", reason);
    return &list[one->dead_count++];
}

/* The reason by its name; a header has it as a number. */
static void reason_of(const struct shmq_msg *msg, char *reason, size_t size)
{
    const char *value = shmq_header_value(msg, "shmq-reason");
    uint64_t number = msg->reason;

    if (msg->state != SHMQ_DEAD && value && !cli_parse_count(value, &number))
        snprintf(reason, size, "%s", value);
    else if (number < GROUP_REASONS - 1)
        snprintf(reason, size, "%s", group_reason((uint32_t)number));
    else
        snprintf(reason, size, "%llu", (unsigned long long)number);
    for (; *reason; reason++)
        if ((unsigned char)*reason <= ' ' || *reason == '"' || *reason == '\\' ||
            (unsigned char)*reason >= 0x7f)
            *reason = '?';
}

/* For how long it has been dead, or a message at least. */
static int64_t dead_for_ns(const struct shmq_msg *msg)
{
    const char *since = shmq_header_value(msg, "shmq-dead-at");
    uint64_t at;

    if (msg->state == SHMQ_DEAD)
        return cli_now_ns() - msg->since_ns;
    if (since && cli_parse_count(since, &at))
        return cli_wall_ns() - (int64_t)at;
    return cli_now_ns() - msg->put_ns;
}

int stat_dead_note(struct watched *one, const struct shmq_msg *msg)
{
    struct dead_letters *entry;
    char reason[sizeof(entry->reason)];

    if (msg->state != SHMQ_DEAD && !shmq_header_value(msg, "shmq-reason"))
        return 0;
    reason_of(msg, reason, sizeof(reason));
    entry = entry_of(one, reason);
    if (!entry)
        return -ENOMEM;
    entry->counts[age_of(dead_for_ns(msg))]++;
    return 0;
}

/* --- printing -------------------------------------------------------------- */

static uint64_t total_of(const struct dead_letters *d)
{
    uint64_t total = 0;

    for (int i = 0; i < DEAD_AGES; i++)
        total += d->counts[i];
    return total;
}

void stat_dead_table(struct text *out, const struct watch *w)
{
    text_format(out, "%-*s %-*s %7s %7s %7s %7s %7s\n", NAME_WIDTH, "QUEUE", REASON_WIDTH, "REASON",
                "TOTAL", "<1H", "<6H", "<24H", "OLDER");
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *one = &w->list[i];

        for (unsigned k = 0; one->fresh && k < one->dead_count; k++) {
            const struct dead_letters *d = &one->dead[k];

            text_format(out, "%-*s %-*s %7s", NAME_WIDTH, one->name, REASON_WIDTH, d->reason,
                        figure_count((double)total_of(d)).s);
            for (int age = 0; age < DEAD_AGES; age++)
                text_format(out, " %7s", figure_count((double)d->counts[age]).s);
            text_add(out, "\n");
        }
    }
}

void stat_dead_json(struct text *out, const struct watched *one)
{
    text_add(out, ",\"dead_letters\":[");
    for (unsigned k = 0; k < one->dead_count; k++) {
        const struct dead_letters *d = &one->dead[k];

        text_format(out, "%s{\"reason\":", k ? "," : "");
        text_json_string(out, d->reason, strlen(d->reason));
        text_format(out, ",\"count\":%llu", (unsigned long long)total_of(d));
        for (int age = 0; age < DEAD_AGES; age++)
            text_format(out, ",\"%s%s\":%llu", age < DEAD_AGES - 1 ? "under_" : "", age_names[age],
                        (unsigned long long)d->counts[age]);
        text_add(out, "}");
    }
    text_add(out, "]");
}

void stat_dead_prometheus(struct text *out, const struct watch *w)
{
    text_add(out, "# HELP shmq_dead_letters Dead letters in the queue, by how long they are dead.\n"
                  "# TYPE shmq_dead_letters gauge\n");
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *one = &w->list[i];

        for (unsigned k = 0; one->fresh && k < one->dead_count; k++)
            for (int age = 0; age < DEAD_AGES; age++)
                text_format(out, "shmq_dead_letters{queue=\"%s\",reason=\"%s\",age=\"%s\"} %llu\n",
                            one->name, one->dead[k].reason, age_names[age],
                            (unsigned long long)one->dead[k].counts[age]);
    }
}
