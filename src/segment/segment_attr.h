/*
 * segment_attr.h - what a queue is called, and created with.
 */
#ifndef SQ_SEGMENT_ATTR_H
#define SQ_SEGMENT_ATTR_H

#include "segment/segment.h"

/* Check a queue's name and build its path.  0 or -EINVAL. */
int sq_segment_path(const char *name, struct sq_path *path);

/* The queue's name, from its path. */
const char *sq_segment_name(const struct sq_path *path);

/* Check attributes and fill in the defaults.  0 or -EINVAL with both culprits named. */
int sq_segment_attr(const struct shmq_attr *given, int flags, struct shmq_attr *attr);

/* Check a policy, the dead-letter queue's name included, and fill in the defaults. */
int sq_segment_policy(const struct sq_policy_shm *given, struct sq_policy_shm *policy);

/* The same for a caller's policy, in place. */
int sq_segment_given_policy(struct shmq_policy *policy);

#endif
