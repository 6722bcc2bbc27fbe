/*
 * group_bulk.h - a group as a whole: counted, emptied, dropped from, and derived again.
 */
#ifndef SQ_GROUP_BULK_H
#define SQ_GROUP_BULK_H

#include "group/group.h"

/* Forget what waits, is delayed or parked, and go to the tail.  How many, or -EBADMSG
 * (nothing was done). */
int64_t sq_group_purge(const struct sq_ring *ring);

/* Let what is parked wait again, all or message `id`.  How many, or -EBADMSG. */
int64_t sq_group_revive(const struct sq_ring *ring, uint64_t id);

/*
 * P too: finish the group's oldest messages, leased ones excepted, until they begin
 * beyond `pos` and its depth below `depth`.  0; -EAGAIN leased ones are in the way.
 */
int sq_group_drop(const struct sq_ring *ring, uint64_t pos, uint64_t depth);

int sq_group_rebuild(const struct sq_ring *ring);

/* The same where the group's cursor, and how many were removed from there on, are right. */
int sq_group_derive(const struct sq_ring *ring);

void sq_group_set_policy(const struct sq_ring *ring, const struct sq_policy_shm *policy);

/* Make it a group that has nothing yet, at the cursor it has.  Nobody sees it yet. */
void sq_group_begin(const struct sq_ring *ring, const char *name,
                    const struct sq_policy_shm *policy);

/* Anybody: messages not finished; those that wait. */
uint64_t sq_group_backlog(const struct sq_ring *ring);
uint64_t sq_group_waiting(const struct sq_ring *ring);

#endif
