/*
 * seek.h - where in the ring a group starts, or is moved to.
 *
 * A target is a record's position, or the tail, and the id there.  Looking for one wants P,
 * since a topic's history is the producers' to let go of.
 */
#ifndef SQ_SEEK_H
#define SQ_SEEK_H

#include "group/group.h"

struct sq_seek {
    uint64_t pos, id;
};

/*
 * P: the first message that is still there and is where such a start is (enum shmq_start);
 * the tail if there is none.  `ring` reads as the group; of a topic all of the
 * history is looked at, of another queue what is before the group.  0 or -EBADMSG.
 */
int sq_seek_find(const struct sq_ring *ring, int start, uint64_t at, struct sq_seek *target);

/* C: have the group stand there.  Removed messages before it are still to be
 * counted (sq_ring_rebuild_consumer()). */
void sq_seek_set(struct sq_group_shm *group, const struct sq_seek *target);

/* Make it a group that has nothing, at that position.  Nobody sees it. */
void sq_seek_begin(const struct sq_ring *ring, const char *name, const struct sq_policy_shm *policy,
                   const struct sq_seek *target);

/* P: have the producers' side see a group that was made: what it saw last, it goes by. */
void sq_seek_seen(const struct sq_ring *ring);

/* P and C: move the group; all it had held back is forgotten.  0; -EBUSY messages are
 * leased; -EBADMSG. */
int sq_seek_move(const struct sq_ring *ring, int start, uint64_t at);

#endif
