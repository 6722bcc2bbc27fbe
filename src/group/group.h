/*
 * group.h - how a group hands out messages: which is next, leases and their ends.
 *
 * Pure as the ring is: no system call, no lock, no sleep; it is told the time.  Every
 * function wants C, the group's side, unless it says that anybody may call it.
 */
#ifndef SQ_GROUP_H
#define SQ_GROUP_H

#include "group/pending.h"

/* A lease: what the holder of a message shows to prove it. */
struct sq_lease {
    uint32_t entry;
    uint64_t word; /* of the entry */
    uint64_t id;
};

/* The next message of a group, not yet taken. */
struct sq_pick {
    uint32_t entry;         /* its entry, or SQ_NONE: it is the first after the cursor */
    uint32_t attempts;      /* deliveries so far */
    struct sq_walk after;   /* without entry: the cursor once it is taken */
    struct sq_lease doomed; /* SQ_PICK_DOOMED: what to make a dead letter, */
    uint32_t last_owner;    /* and who had it last */
    struct sq_view view;
};

enum { SQ_PICK_DOOMED = 1 };

/*
 * Find the next message.  0; -EAGAIN none now (pending.next_due_ns says when to look
 * again); -EBADMSG.  SQ_PICK_DOOMED: pick->entry is to be made a dead letter; it is now
 * DYING, by `owner`.  Ends leases and delays whose time is over, and moves the cursor
 * over what is not for the group.
 *
 * `to_lease`: it is to be leased, and so, when the table is full, one of those that are
 * in it already is next.
 */
int sq_group_pick(const struct sq_ring *ring, int64_t now_ns, uint32_t owner, bool to_lease,
                  struct sq_pick *pick);

/* Whether sq_group_pick() would find something to lease, or doomed; it does all else.
 * *expiry_ns, which may be NULL: when that has expired, SQ_NEVER if it does not. */
int sq_group_look(const struct sq_ring *ring, int64_t now_ns, int64_t *expiry_ns);

/* End what is over: leases, delays.  0 or -EBADMSG. */
int sq_group_end_overdue(const struct sq_ring *ring, int64_t now_ns);

/* --- the ends of a lease: 0; -ECANCELED it had ended before; -EBADMSG -------- */

/* --- all of it --------------------------------------------------------------- */

/* Anybody: whether the record passes the group's filter, which stays as it was made. */
bool sq_group_wants(const struct sq_group_shm *group, const struct sq_view *view);

/* Anybody. */
static inline const struct sq_policy_shm *sq_policy_of(const struct sq_group_shm *g)
{
    return &g->delivery.policies[sq_load_acquire(&g->delivery.policy_at) & 1];
}

/* Anybody: whether there seems to be something to pick, apart from what time brings. */
static inline bool sq_group_seems_ready(const struct sq_ring *ring)
{
    const struct sq_group_shm *g = ring->group;
    uint64_t cursor = sq_load(&g->cursor_pos);

    if ((sq_load(&g->mode) & SQ_GROUP_PAUSED) != 0)
        return false;
    return (sq_load_acquire(&ring->producer->tail_pos) != cursor &&
            sq_load(&g->pending.stalled_pos) != cursor) ||
           sq_load(&g->pending.waiting) != 0;
}

/* Anybody: whether it seems to come to an expired message next. */
bool sq_group_meets_expired(const struct sq_ring *ring, int64_t now_ns);

/* --- between group.c and group_lease.c --------------------------------------------- */

/* A lease's time is over, or its owner has left: 0 or -EBADMSG. */
int sq_group_end_lease(const struct sq_ring *ring, uint32_t e, int64_t now_ns);

/* 1: entry `e` has had all its attempts, and was doomed or parked; 0; -EBADMSG. */
int sq_group_out_of_attempts(const struct sq_ring *ring, uint32_t e, int64_t now_ns);

/* The cursor is about to pass a removed message. */
static inline void sq_group_pass_gone(const struct sq_ring *ring)
{
    _Atomic uint64_t *gone = &ring->group->gone_count;

    sq_assert_held(&ring->group->lock);
    sq_store(gone, sq_load(gone) - 1);
}

/* The cursor passes what is removed, up to the first that is not.  0 or -EBADMSG. */
int sq_group_pass_removed(const struct sq_ring *ring);

#endif
