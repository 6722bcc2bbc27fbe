/*
 * segment_reopen.h - opening the same object again, and whether it is unlinked.
 */
#ifndef SQ_SEGMENT_REOPEN_H
#define SQ_SEGMENT_REOPEN_H

#include "segment/segment.h"

/* Whether the descriptor is still the one we opened. */
bool sq_segment_has_fd(const struct sq_segment *segment);

/* Whether the queue is unlinked, asking the file system; marks the segment so. */
bool sq_segment_is_unlinked(struct sq_segment *segment);

/* A descriptor of its own for the same object (for the child after a fork).
 * Async-signal-safe.  The new descriptor or a negative errno. */
int sq_segment_reopen(const struct sq_segment *segment, const struct sq_path *path);

#endif
