/*
 * group_control.c - how a group treats its messages, and whether it hands out any.
 */
#include "api/consumer.h"
#include "api/group_stats.h"
#include "base/error.h"
#include "group/group_bulk.h"
#include "group/policy.h"
#include "persist/journal_sync.h"
#include "segment/segment_attr.h"

int shmq_policy_of(shmq_t *q, struct shmq_policy *policy)
{
    if (q->groupless) {
        *policy = q->segment.attr.policy;
        return 0;
    }
    int rc = sq_consumer_enter(q);
    if (rc < 0)
        return rc;
    *policy = sq_policy_out(sq_policy_of(q->segment.ring.group));
    sq_leave(q, SQ_ROLE_CONSUMER);
    return 0;
}

int shmq_policy_set(shmq_t *q, const struct shmq_policy *given)
{
    struct sq_policy_shm policy = sq_policy_in(given);
    int rc = sq_segment_policy(&policy, &policy);

    if (rc == 0)
        rc = sq_consumer_enter(q);
    if (rc < 0)
        return rc;
    struct sq_promise promise = {0};
    /* By what it says of expired messages the others are told from those handed out. */
    uint64_t got = sq_group_got(&q->segment.ring);
    sq_group_set_policy(&q->segment.ring, &policy);
    sq_group_set_got(&q->segment.ring, got);
    if (sq_journal_writes(q))
        rc = sq_journal_about(q, &q->segment.ring, true, &promise);
    sq_leave(q, SQ_ROLE_CONSUMER);
    return rc < 0 ? rc : sq_journal_sync_promise(q, &promise);
}

static int set_paused(struct shmq *q, bool paused)
{
    struct sq_group_shm *g = q->segment.ring.group;
    int rc = sq_consumer_enter(q);

    if (rc < 0)
        return rc;
    uint32_t mode = sq_load(&g->mode) & ~(uint32_t)SQ_GROUP_PAUSED;
    sq_store(&g->mode, paused ? mode | SQ_GROUP_PAUSED : mode);
    struct sq_promise promise = {0};
    if (sq_journal_writes(q))
        rc = sq_journal_about(q, &q->segment.ring, true, &promise);
    sq_leave(q, SQ_ROLE_CONSUMER);
    sq_wake(q, SQ_ROLE_CONSUMER, UINT32_MAX);
    return rc < 0 ? rc : sq_journal_sync_promise(q, &promise);
}

int shmq_pause(shmq_t *q)
{
    return set_paused(q, true);
}

int shmq_resume(shmq_t *q)
{
    return set_paused(q, false);
}
