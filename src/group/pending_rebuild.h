/*
 * pending_rebuild.h - deriving what keeps a group's entries in order.
 */
#ifndef SQ_PENDING_REBUILD_H
#define SQ_PENDING_REBUILD_H

#include "group/pending.h"

/* Derive everything from the entries' words. */
void sq_pending_rebuild(const struct sq_ring *ring, enum sq_beyond beyond);

/* Derive what follows from there being no entry. */
void sq_pending_clear(const struct sq_ring *ring);

/* Forget all entries, whatever they are. */
void sq_pending_reset(const struct sq_ring *ring);

/* Nobody changes the group meanwhile: NULL, or what is wrong. */
const char *sq_pending_valid(const struct sq_ring *ring);

#endif
