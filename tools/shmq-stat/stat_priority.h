/*
 * stat_priority.h - how many messages of each priority a queue has, by state.
 */
#ifndef SHMQ_STAT_PRIORITY_H
#define SHMQ_STAT_PRIORITY_H

#include <stdint.h>

#include "common/text.h"
#include "shmq.h"

struct watch;
struct watched;

enum { PRIORITY_STATES = 4 }; /* waiting, delayed, leased, dead */

/* Those of one priority in a group. */
struct priority_count {
    unsigned group; /* its number among those of the queue */
    int32_t priority;
    uint64_t counts[PRIORITY_STATES];
};

/* Note a message of the group; 0 or -ENOMEM.  And when all are noted: sum them up. */
int stat_priority_note(struct watched *one, unsigned group, const struct shmq_msg *msg);
void stat_priority_sum(struct watched *one);

void stat_priority_table(struct text *out, const struct watch *w);

/* A member `priorities` of a JSON object, which is not its first one. */
void stat_priority_json(struct text *out, const struct watched *one);

void stat_priority_prometheus(struct text *out, const struct watch *w);

#endif
