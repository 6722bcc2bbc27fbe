/*
 * handle_groups.c - see handle.h: having several groups' sides, and keeping groups as they are.
 */
#include "handle/handle_groups.h"

#include "base/error.h"
#include "handle/handle.h"

int sq_hold_groups(struct shmq *q, struct sq_deadline *deadline)
{
    int rc = sq_hold(q, &q->segment.control->groups_lock, deadline);

    if (rc < 0)
        return sq_fail(rc, "somebody else makes or removes a group, and does not end");
    /* A dead owner leaves nothing to repair: a group is there when its bit is. */
    return 0;
}

void sq_release_groups(struct shmq *q)
{
    sq_lock_free(&q->segment.control->groups_lock);
}

int sq_enter_groups(struct shmq *q, uint64_t *entered, struct sq_deadline *deadline)
{
    uint64_t bits = sq_ring_groups(&q->segment.ring);

    *entered = 0;
    for (; bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        int rc = sq_enter_group(q, i, deadline);
        if (rc < 0) {
            sq_leave_groups(q, *entered);
            return rc;
        }
        *entered |= (uint64_t)1 << i;
    }
    return 0;
}

void sq_leave_groups(struct shmq *q, uint64_t entered)
{
    for (; entered != 0; entered &= entered - 1)
        sq_leave_group(q, (uint32_t)__builtin_ctzll(entered));
}
