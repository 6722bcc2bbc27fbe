/*
 * segment_lock.h - which lock of a segment has which rank (sync/lock_rank.h).
 */
#ifndef SQ_SEGMENT_LOCK_H
#define SQ_SEGMENT_LOCK_H

#include "segment/segment.h"
#include "sync/lock_rank.h"

static_assert(SQ_RANK_JOURNAL - SQ_RANK_GROUP == SQ_GROUPS_MAX, "a rank for each group's side");

static inline unsigned sq_segment_lock_rank(const struct sq_segment *s,
                                            const struct sq_lock_shm *lock)
{
    if (lock == &s->control->redrive_lock)
        return SQ_RANK_REDRIVE;
    if (lock == &s->file->saver)
        return SQ_RANK_SAVER;
    if (lock == &s->control->groups_lock)
        return SQ_RANK_GROUPS;
    if (lock == &s->file->sync)
        return SQ_RANK_SYNC;
    if (lock == &s->ring.producer->lock)
        return SQ_RANK_PRODUCER;
    if (lock == &s->file->lock)
        return SQ_RANK_JOURNAL;
    uint32_t group = 0;
    while (group < s->ring.group_count && lock != &s->ring.groups[group].lock)
        group++;
    SQ_BUG_ON(group == s->ring.group_count); /* a lock that has no rank here */
    return SQ_RANK_GROUP + group;
}

#endif
