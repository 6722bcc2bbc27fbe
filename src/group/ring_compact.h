/*
 * ring_compact.h - the room that finished messages take while older ones are held.
 *
 * A message delayed for an hour would pin all that was put after it.  So what the
 * groups hold is slid forward, over what is finished, until it lies
 * close behind the lowest cursor (ring_compact.c).
 */
#ifndef SQ_RING_COMPACT_H
#define SQ_RING_COMPACT_H

#include "group/pending.h"

/*
 * Whether sliding might free a sixteenth of the ring, going by what happened since it was last
 * done: something, and that much, or a while ago.  Anybody: without P, or C of a queue's only
 * group, it is a guess.
 */
bool sq_ring_compact_wanted(const struct sq_ring *ring, int64_t now_ns);

/*
 * Slide what can be.  The caller has the sides of all these groups (as bits), which are
 * all there are but for one that was made meanwhile, at the tail; and for a topic P.
 * How many bytes that freed.
 */
uint64_t sq_ring_compact(const struct sq_ring *ring, uint64_t groups, int64_t now_ns);

#endif
