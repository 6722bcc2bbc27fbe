/*
 * stat_dead.h - the dead letters that a queue has, by reason and age: those that were
 * sent to it, and those that are parked in it.
 */
#ifndef SHMQ_STAT_DEAD_H
#define SHMQ_STAT_DEAD_H

#include <stddef.h>
#include <stdint.h>

#include "common/text.h"
#include "shmq.h"

struct watch;
struct watched;

/* How long they have been dead: up to 1 h, 6 h, 24 h, and longer. */
enum { DEAD_AGES = 4 };

/* Those of one reason. */
struct dead_letters {
    char reason[32];
    uint64_t counts[DEAD_AGES];
};

/* Count the message, if it is one.  0 or -ENOMEM. */
int stat_dead_note(struct watched *one, const struct shmq_msg *msg);

void stat_dead_table(struct text *out, const struct watch *w);

/* A member `dead_letters` of a JSON object, which is not its first one. */
void stat_dead_json(struct text *out, const struct watched *one);

void stat_dead_prometheus(struct text *out, const struct watch *w);

#endif
