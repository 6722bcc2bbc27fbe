/*
 * group_json.h - the figures of a group, as JSON, for shmq and shmq-stat.
 */
#ifndef SHMQ_GROUP_JSON_H
#define SHMQ_GROUP_JSON_H

#include "common/text.h"
#include "shmq.h"

enum { GROUP_REASONS = 8 };

/* The name of an enum shmq_reason, or application for a number beyond. */
const char *group_reason(uint32_t reason);

/* All figures as one JSON object. */
void group_add_json(struct text *out, const struct shmq_group_stats *g);

#endif
