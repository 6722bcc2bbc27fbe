/*
 * policy.h - a message's delay before its next attempt, and what a policy may say.
 */
#ifndef SQ_POLICY_H
#define SQ_POLICY_H

#include "base/base.h"
#include "shmq.h"

/* Check a policy and fill in the defaults.  0 or -EINVAL with the culprit named. */
int sq_policy_check(const struct shmq_policy *given, struct shmq_policy *policy);

/*
 * The delay after `attempts` deliveries, at least 0 and at most the policy's cap,
 * whatever the policy's bytes are.  *random is the state of the jitter's numbers.
 */
int64_t sq_policy_delay_ns(const struct shmq_policy *policy, uint32_t attempts, uint64_t *random);

#endif
