/*
 * group_stats.h - figures of a group that several readings share.
 */
#ifndef SQ_GROUP_STATS_H
#define SQ_GROUP_STATS_H

#include "handle/handle.h"

/* Messages handed out for good; and have that be so many still, when the group was moved or
 * its policy changed. */
uint64_t sq_group_got(const struct sq_ring *ring);
void sq_group_set_got(const struct sq_ring *ring, uint64_t got);

/* The age of the oldest that is not finished; 0: none. */
int64_t sq_group_oldest_ns(const struct sq_ring *ring, int64_t now_ns);

#endif
