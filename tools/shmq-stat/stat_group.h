/*
 * stat_group.h - what shmq-stat says of the groups of a queue.
 */
#ifndef SHMQ_STAT_GROUP_H
#define SHMQ_STAT_GROUP_H

#include "common/text.h"
#include "shmq-stat/stat_watch.h"

/*
 * A line for each group of a topic; of another queue one, if anything of it is or was
 * leased, delayed or dead.  How many lines.
 */
unsigned stat_group_lines(struct text *out, const struct watched *one);

/* A member `groups` of a JSON object, which is not its first one. */
void stat_group_json(struct text *out, const struct watched *one);

void stat_group_prometheus(struct text *out, const struct watch *w);

#endif
