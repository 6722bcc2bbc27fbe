/*
 * check_report.c - how shmq-check tells what it found, see check.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "group/pending.h"
#include "shmq-check/check.h"

enum { ABOUT_WIDTH = 9 };

void check_line(struct text *out, const char *about, const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    text_format(out, "%-*s ", ABOUT_WIDTH, about);
    text_excerpt(out, line, strlen(line), sizeof(line));
    text_add(out, "\n");
}

const char *check_kind(uint32_t kind)
{
    static const char *const names[SQ_FRAME_KINDS] = {
        "?", "session", "queue", "group", "entries", "ungroup", "records", "mark", "base",
    };

    return kind < SQ_FRAME_KINDS ? names[kind] : names[0];
}

struct figure check_time(int64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / 1000000000);
    struct figure f = {"?"};
    struct tm tm;

    if (gmtime_r(&seconds, &tm) != NULL)
        strftime(f.s, sizeof(f.s), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return f;
}

/* --- counting ------------------------------------------------------------------ */

static void count_entries(const struct sq_image *image, const struct sq_image_group *g,
                          struct check_group *counts, unsigned char *needed)
{
    for (uint32_t e = 0; e < g->item_count; e++) {
        uint32_t state = g->items[e].word & 0xff;
        const struct sq_image_message *m = sq_image_find(image, g->items[e].id);
        if (state == SQ_FREE || state >= SQ_ENTRY_STATES || m == NULL || m->record == NULL)
            continue;
        counts->states[state]++;
        needed[m - image->messages] = 1;
    }
}

static void count_group(const struct sq_image *image, uint32_t index, struct check_group *counts,
                        unsigned char *needed)
{
    const struct sq_image_group *g = &image->groups[index];

    *counts = (struct check_group){.there = true, .finished_id = g->attr.finished_id};
    memcpy(counts->name, g->attr.name, sizeof(counts->name) - 1);
    count_entries(image, g, counts, needed);
    for (size_t i = image->message_count; i-- > 0 && image->messages[i].id > counts->finished_id;)
        if (image->messages[i].record != NULL) {
            counts->fresh++;
            needed[i] = 1;
        }
}

int check_count(const struct sq_image *image, struct check_counts *counts)
{
    unsigned char *needed = calloc(image->message_count + 1, 1);
    uint64_t row = image->queue.next_id;

    memset(counts, 0, sizeof(*counts));
    if (needed == NULL)
        return sq_fail(-ENOMEM, "no memory for %zu messages", image->message_count);
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++) {
        if (!image->groups[i].there)
            continue;
        count_group(image, i, &counts->groups[i], needed);
        if (counts->groups[i].finished_id < row)
            row = counts->groups[i].finished_id + 1;
    }
    for (size_t i = 0; i < image->message_count; i++)
        counts->messages += needed[i];
    /* What is before the row, as long as no id is missing. */
    for (size_t i = image->message_count; (image->header->kind & SHMQ_TOPIC) != 0 && i-- > 0;) {
        if (image->messages[i].id < row && image->messages[i].id != row - 1)
            break;
        row = image->messages[i].id < row ? row - 1 : row;
        counts->history += image->messages[i].record != NULL && needed[i] == 0;
    }
    free(needed);
    return 0;
}

/* --- showing --------------------------------------------------------------------- */

static void show_group(struct text *out, const struct check_group *g)
{
    const uint64_t *n = g->states;

    check_line(out, "group",
               "%s%s%llu fresh, %llu waiting, %llu delayed, %llu leased, %llu parked, "
               "%llu to be buried; place %llu",
               g->name, g->name[0] != '\0' ? ": " : "", (unsigned long long)g->fresh,
               (unsigned long long)n[SQ_WAITING], (unsigned long long)n[SQ_DELAYED],
               (unsigned long long)n[SQ_LEASED], (unsigned long long)n[SQ_PARKED],
               (unsigned long long)(n[SQ_DYING] + n[SQ_DOOMED]),
               (unsigned long long)g->finished_id);
}

static void show_group_json(struct text *out, const struct check_group *g)
{
    const uint64_t *n = g->states;

    text_add(out, "{\"name\":");
    text_json_string(out, g->name, strlen(g->name));
    text_format(out,
                ",\"fresh\":%llu,\"waiting\":%llu,\"delayed\":%llu,\"leased\":%llu,\"parked\":%llu,"
                "\"to_be_buried\":%llu,\"place\":%llu}",
                (unsigned long long)g->fresh, (unsigned long long)n[SQ_WAITING],
                (unsigned long long)n[SQ_DELAYED], (unsigned long long)n[SQ_LEASED],
                (unsigned long long)n[SQ_PARKED], (unsigned long long)(n[SQ_DYING] + n[SQ_DOOMED]),
                (unsigned long long)g->finished_id);
}

void check_show_counts(struct text *out, bool json, const struct check_counts *counts)
{
    const char *comma = "";

    if (json)
        text_format(out, ",\"messages\":%llu,\"history\":%llu,\"groups\":[",
                    (unsigned long long)counts->messages, (unsigned long long)counts->history);
    else if (counts->history > 0)
        check_line(out, "messages", "%llu not finished, %llu to go back to",
                   (unsigned long long)counts->messages, (unsigned long long)counts->history);
    else
        check_line(out, "messages", "%llu not finished", (unsigned long long)counts->messages);
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++) {
        if (!counts->groups[i].there)
            continue;
        if (json) {
            text_add(out, comma);
            show_group_json(out, &counts->groups[i]);
            comma = ",";
        } else {
            show_group(out, &counts->groups[i]);
        }
    }
    if (json)
        text_add(out, "]");
}

static const char *order_name(uint32_t order)
{
    static const char *const names[] = {"fifo", "lifo", "priority"};

    return order < sizeof(names) / sizeof(names[0]) ? names[order] : "?";
}

void check_show_queue(struct text *out, bool json, const struct sq_file_header *h)
{
    bool topic = (h->kind & SHMQ_TOPIC) != 0, unique = (h->kind & SHMQ_UNIQUE) != 0;

    if (!json) {
        check_line(out, "queue", "%.*s: %s%s%s, %s, %u entries%s; made %s",
                   (int)strnlen(h->queue, sizeof(h->queue)), h->queue, order_name(h->queue_order),
                   topic ? " topic" : "", unique ? ", unique" : "",
                   figure_bytes((double)h->capacity_bytes).s, h->entry_count,
                   topic ? " a group" : "", check_time(h->created_ns).s);
        return;
    }
    text_add(out, ",\"queue\":");
    text_json_string(out, h->queue, strnlen(h->queue, sizeof(h->queue)));
    text_format(out,
                ",\"order\":\"%s\",\"topic\":%s,\"unique\":%s,\"capacity_bytes\":%llu,"
                "\"max_messages\":%llu,\"max_message_bytes\":%llu,\"max_groups\":%u,"
                "\"pending_count\":%u,\"created\":",
                order_name(h->queue_order), topic ? "true" : "false", unique ? "true" : "false",
                (unsigned long long)h->capacity_bytes, (unsigned long long)h->max_messages,
                (unsigned long long)h->max_message_bytes, h->group_count, h->entry_count);
    text_json_time(out, h->created_ns);
}
