/*
 * policy.h - a message's delay before its next attempt, and what a policy may say.
 */
#ifndef SQ_POLICY_H
#define SQ_POLICY_H

#include "layout.h"

/* Check a policy and fill in the defaults.  0 or -EINVAL with the culprit named. */
int sq_policy_check(const struct sq_policy_shm *given, struct sq_policy_shm *policy);

/* A policy on its way into the segment or a file, and out of them: all fields. */
struct sq_policy_shm sq_policy_in(const struct shmq_policy *policy);
struct shmq_policy sq_policy_out(const struct sq_policy_shm *policy);

/*
 * The delay after `attempts` deliveries, at least 0 and at most the policy's cap,
 * whatever the policy's bytes are.  *random is the state of the jitter's numbers.
 */
int64_t sq_policy_delay_ns(const struct sq_policy_shm *policy, uint32_t attempts, uint64_t *random);

#endif
