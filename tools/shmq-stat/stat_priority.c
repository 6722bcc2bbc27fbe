/*
 * stat_priority.c - messages by priority, see stat_priority.h.
 *
 * Each message is noted as a count of one; when there is no more room for such, they are
 * sorted and those of one priority become one.  So it takes no more memory than there are
 * priorities, and no longer than sorting does.
 */
#include "shmq-stat/stat_priority.h"

#include <errno.h>
#include <stdlib.h>

#include "shmq-stat/stat_watch.h"

enum { NAME_WIDTH = 16, ROOM_MIN = 1024 };

static const char *const state_names[PRIORITY_STATES] = {"waiting", "delayed", "leased", "dead"};

/* --- counting ---------------------------------------------------------------- */

/* By group; the higher priority first. */
static int compare(const void *a, const void *b)
{
    const struct priority_count *x = a, *y = b;

    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->priority == y->priority ? 0 : x->priority > y->priority ? -1 : 1;
}

void stat_priority_sum(struct watched *one)
{
    struct priority_count *list = one->priorities;
    unsigned last = 0;

    if (one->priority_count == 0)
        return;
    qsort(list, one->priority_count, sizeof(*list), compare);
    for (unsigned i = 1; i < one->priority_count; i++) {
        if (compare(&list[last], &list[i]) != 0) {
            list[++last] = list[i];
            continue;
        }
        for (int k = 0; k < PRIORITY_STATES; k++)
            list[last].counts[k] += list[i].counts[k];
    }
    one->priority_count = last + 1;
}

/* Room for one more, so much that it lasts for as many again. */
static int make_room(struct watched *one)
{
    struct priority_count *list;
    unsigned room;

    stat_priority_sum(one);
    if (one->priority_count < one->priority_room / 2)
        return 0;
    room = one->priority_room < ROOM_MIN ? ROOM_MIN : one->priority_room * 2;
    list = realloc(one->priorities, room * sizeof(*list));
    if (!list)
        return -ENOMEM;
    one->priorities = list;
    one->priority_room = room;
    return 0;
}

int stat_priority_note(struct watched *one, unsigned group, const struct shmq_msg *msg)
{
    static const unsigned states[PRIORITY_STATES] = {SHMQ_WAITING, SHMQ_DELAYED, SHMQ_LEASED,
                                                     SHMQ_DEAD};
    struct priority_count count = {.group = group, .priority = msg->priority};

    if (one->priority_count == one->priority_room) {
        int error = make_room(one);

        if (error)
            return error;
    }
    for (int k = 0; k < PRIORITY_STATES; k++)
        count.counts[k] = msg->state == states[k];
    one->priorities[one->priority_count++] = count;
    return 0;
}

/* --- printing ---------------------------------------------------------------- */

static const char *group_name(const struct watched *one, const struct priority_count *p)
{
    return one->groups[p->group].name;
}

void stat_priority_table(struct text *out, const struct watch *w)
{
    text_format(out, "%-*s %-*s %11s %7s %7s %7s %7s\n", NAME_WIDTH, "QUEUE", NAME_WIDTH, "GROUP",
                "PRIORITY", "WAITING", "DELAYED", "LEASED", "DEAD");
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *one = &w->list[i];

        for (unsigned k = 0; one->fresh && k < one->priority_count; k++) {
            const struct priority_count *p = &one->priorities[k];
            const char *group = group_name(one, p);

            text_format(out, "%-*s %-*s %11d", NAME_WIDTH, one->name, NAME_WIDTH,
                        group[0] ? group : "-", p->priority);
            for (int state = 0; state < PRIORITY_STATES; state++)
                text_format(out, " %7s", figure_count((double)p->counts[state]).s);
            text_add(out, "\n");
        }
    }
}

void stat_priority_json(struct text *out, const struct watched *one)
{
    text_add(out, ",\"priorities\":[");
    for (unsigned k = 0; k < one->priority_count; k++) {
        const struct priority_count *p = &one->priorities[k];

        text_format(out, "%s{\"group\":\"%s\",\"priority\":%d", k ? "," : "", group_name(one, p),
                    p->priority);
        for (int state = 0; state < PRIORITY_STATES; state++)
            text_format(out, ",\"%s\":%llu", state_names[state],
                        (unsigned long long)p->counts[state]);
        text_add(out, "}");
    }
    text_add(out, "]");
}

void stat_priority_prometheus(struct text *out, const struct watch *w)
{
    text_add(out, "# HELP shmq_priority_messages Messages of a priority, by state.\n"
                  "# TYPE shmq_priority_messages gauge\n");
    for (size_t i = 0; i < w->count; i++) {
        const struct watched *one = &w->list[i];

        for (unsigned k = 0; one->fresh && k < one->priority_count; k++)
            for (int state = 0; state < PRIORITY_STATES; state++)
                text_format(out,
                            "shmq_priority_messages{queue=\"%s\",group=\"%s\",priority=\"%d\","
                            "state=\"%s\"} %llu\n",
                            one->name, group_name(one, &one->priorities[k]),
                            one->priorities[k].priority, state_names[state],
                            (unsigned long long)one->priorities[k].counts[state]);
    }
}
