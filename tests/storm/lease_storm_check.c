/*
 * lease_storm_check.c - whether every message was acknowledged once by each group, or is
 * a dead letter once.
 */
#include "storm/lease_storm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group/pending.h"
#include "group/pending_rebuild.h"
#include "support/message.h"

void lease_note_killed(unsigned group, int worker)
{
    int64_t now_ns = helper_now_ns();

    for (int i = 0; i < LEASE_HAND; i++) {
        uint64_t held = atomic_exchange(&lease_board->hand[worker][i], 0);
        if (held == 0)
            continue;
        struct lease_note *note = &lease_board->note[group][(held & ~LEASE_ACKING) - 1];
        if (note->acked != 0)
            continue;
        if ((held & LEASE_ACKING) != 0)
            note->unsure = 1;
        note->lost_ns = now_ns;
    }
}

/* --- dead letters ---------------------------------------------------------------------- */

static void note_letter(struct lease_epoch *e, const char *id, const char *where)
{
    uint64_t n = id == NULL ? 0 : strtoull(id, NULL, 10);

    if (n == 0 || n > LEASE_LOG) {
        lease_wrong("a dead letter of message %s", id == NULL ? "none" : id);
        return;
    }
    struct lease_note *note = &lease_board->note[0][n - 1];
    if (note->dead_letters++ != 0)
        lease_wrong("message %llu is a dead letter twice (%s)", (unsigned long long)n, where);
    if (note->acked != 0)
        lease_wrong("message %llu was acknowledged and is a dead letter (%s)",
                    (unsigned long long)n, where);
    e->totals->letters++;
}

/* All that is in the dead-letter queue, and what is parked in the queue itself. */
static void note_letters(struct lease_epoch *e)
{
    static char bytes[1 << 16];
    struct shmq_msg msg = SHMQ_MSG_INIT;
    uint64_t place = 0;
    shmq_t *letters;
    char text[24];

    if ((e->variant->traits & LEASE_LETTERS) == 0)
        return;
    while (shmq_inspect(e->queue, SHMQ_DEAD, &place, &msg, bytes, sizeof(bytes)) >= 0) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)msg.id);
        note_letter(e, text, "parked");
    }
    if (shmq_open(&letters, e->letters, 0, NULL) != 0)
        return;
    place = 0;
    while (shmq_inspect(letters, SHMQ_WAITING, &place, &msg, bytes, sizeof(bytes)) >= 0)
        note_letter(e, shmq_header_value(&msg, "shmq-id"), "sent");
    shmq_close(letters);
}

/* --- the log ------------------------------------------------------------------------------ */

/* Each message of a group is finished in exactly one way. */
static void check_group(struct lease_epoch *e, unsigned group, uint64_t last_id)
{
    uint64_t missing = 0, first = 0;

    for (uint64_t id = 1; id <= last_id; id++) {
        const struct lease_note *note = &lease_board->note[group][id - 1];
        if (note->acked > note->delivered)
            lease_wrong("message %llu was acknowledged %u times and handed out %u times",
                        (unsigned long long)id, note->acked, note->delivered);
        e->totals->acks += note->acked;
        e->totals->unsure += note->unsure;
        e->totals->redelivered += note->delivered > 1 ? note->delivered - 1 : 0;
        if (note->acked != 0 || note->dead_letters != 0)
            continue;
        if (note->unsure != 0) {
            e->totals->unsure_missing++;
            continue;
        }
        if (missing++ == 0)
            first = id;
    }
    if (missing > 0)
        lease_wrong("%llu messages are missing in group %u, the first is %llu, handed out %u times",
                    (unsigned long long)missing, group, (unsigned long long)first,
                    lease_board->note[group][first - 1].delivered);
}

struct seen {
    uint32_t next, count;
};

/* What a producer was told is put is there, in its order. */
static void check_producers(const struct lease_epoch *e, uint64_t last_id)
{
    struct seen *seen = calloc(e->generations, sizeof(*seen));
    uint64_t unknown = 0, gaps = 0;

    if (seen == NULL)
        abort();
    for (uint64_t id = 1; id <= last_id; id++) {
        uint64_t content = lease_board->content[id - 1];
        uint32_t generation = (uint32_t)(content >> 32), seq = (uint32_t)content - 1;
        if (content == 0) { /* never handed out: expired, or lost with its consumer */
            unknown++;
            continue;
        }
        if (generation >= e->generations) {
            lease_wrong("generation %u has never been", generation);
            continue;
        }
        if (seq < seen[generation].next)
            lease_wrong("generation %u: number %u has a later id than %u", generation, seq,
                        seen[generation].next - 1);
        seen[generation].next = seq + 1;
        seen[generation].count++;
    }
    for (uint32_t i = 0; i < e->generations; i++) {
        uint32_t returned = lease_board->generation[i].returned, next = seen[i].next;
        gaps += (returned > next ? returned : next) - seen[i].count;
        if (next > lease_board->generation[i].begun)
            lease_wrong("generation %u: number %u was never put", i, next - 1);
    }
    if (gaps > unknown)
        lease_wrong("%llu messages were put and have no id", (unsigned long long)(gaps - unknown));
    free(seen);
}

/* --- what is left ---------------------------------------------------------------------------- */

static void check_derived(const struct lease_epoch *e)
{
    for (unsigned g = 0; g < e->variant->groups; g++) {
        const struct sq_ring *ring = &e->group[g]->segment.ring;
        const char *wrong = sq_ring_valid(ring);
        if (wrong == NULL)
            wrong = sq_pending_valid(ring);
        if (wrong != NULL)
            lease_wrong("group %u: %s", g, wrong);
        if (sq_load(&ring->group->held_count) != sq_load(&ring->group->pending.parked))
            lease_wrong("group %u holds %llu messages", g,
                        (unsigned long long)sq_load(&ring->group->held_count));
        for (uint32_t i = 0; i < ring->key_count; i++)
            if (ring->keys[i].id != 0)
                lease_wrong("the key of message %llu is left",
                            (unsigned long long)ring->keys[i].id);
    }
}

void lease_check(struct lease_epoch *e)
{
    struct shmq_stats stats = {.size = sizeof(stats)};

    shmq_stats(e->queue, &stats);
    e->totals->messages += stats.put_count;
    e->totals->recoveries += stats.recoveries;
    if (stats.put_count > LEASE_LOG) {
        lease_wrong("the log is full");
        return;
    }
    check_derived(e);
    note_letters(e);
    for (unsigned g = 0; g < e->variant->groups; g++)
        check_group(e, g, stats.put_count);
    check_producers(e, stats.put_count);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

void lease_report_times(const char *name)
{
    uint32_t n = lease_board->times < LEASE_TIMES ? lease_board->times : LEASE_TIMES;
    uint32_t *t = lease_board->times_us;

    if (n == 0)
        return;
    qsort(t, n, sizeof(t[0]), compare);
    printf("%-14s %6u messages of the killed handed out again: p50 %u ms, p99 %u ms, max %u ms\n",
           name, n, t[n / 2] / 1000, t[(uint64_t)n * 99 / 100] / 1000, t[n - 1] / 1000);
}
