/*
 * storm_check.c - whether every message was handed out once, whole and in order.
 *
 * Ids count the messages of a queue from 1, so an id that nobody logged is a
 * message that is missing.  It may have been in the hand of a killed consumer,
 * or dropped where the queue is to drop; otherwise it is lost.
 */
#include <stdlib.h>

#include "storm/storm.h"

struct seen {
    uint32_t next; /* the highest number seen, plus one */
    uint32_t count;
};

/* Walk the log: the number of ids that nobody got. */
static uint64_t walk(uint64_t last_id, uint32_t generations, struct seen *seen)
{
    uint64_t missing = 0;

    for (uint64_t id = 1; id <= last_id; id++) {
        uint64_t entry = storm_board->log[id - 1];
        uint32_t generation = (uint32_t)(entry >> 32), seq = (uint32_t)entry - 1;
        if (entry == 0) {
            missing++;
            continue;
        }
        if (generation >= generations) {
            storm_wrong("generation %u has never been", generation);
            continue;
        }
        struct seen *s = &seen[generation];
        if (seq < s->next)
            storm_wrong("generation %u: number %u has a later id than %u", generation, seq,
                        s->next - 1);
        s->next = seq + 1;
        s->count++;
    }
    return missing;
}

void storm_check(uint64_t last_id, uint32_t generations, uint64_t allowed, uint64_t dropped,
                 struct storm_totals *totals)
{
    struct seen *seen = calloc(generations, sizeof(*seen));
    uint64_t gaps = 0, unsure = 0, puts = 0;

    if (seen == NULL)
        abort();
    uint64_t missing = walk(last_id, generations, seen);
    for (uint32_t i = 0; i < generations; i++) {
        uint32_t begun = storm_board->generation[i].begun;
        uint32_t returned = storm_board->generation[i].returned;
        uint32_t reached = returned > seen[i].next ? returned : seen[i].next;
        if (seen[i].next > begun)
            storm_wrong("generation %u: number %u was never put", i, seen[i].next - 1);
        else
            unsure += begun - reached;
        gaps += reached - seen[i].count;
        puts += reached;
    }
    /* Each gap in the numbers is an id that is missing; an id too many may be of
     * a put that was cut short and then lost in a hand. */
    if (gaps > missing)
        storm_wrong("%llu messages were put and have no id", (unsigned long long)(gaps - missing));
    if (missing > gaps + unsure)
        storm_wrong("%llu ids were never put", (unsigned long long)(missing - gaps - unsure));
    if (missing > allowed + dropped)
        storm_wrong("%llu messages are lost, %llu can have been in a dead hand, %llu dropped",
                    (unsigned long long)missing, (unsigned long long)allowed,
                    (unsigned long long)dropped);
    totals->puts += puts;
    totals->gets += last_id - missing;
    totals->allowed += allowed;
    totals->dropped += dropped;
    totals->lost += missing > dropped ? missing - dropped : 0;
    free(seen);
}
