/*
 * group.h - how a group hands out messages: which is next, leases and their ends.
 *
 * Pure as the ring is: no system call, no lock, no sleep; it is told the time.  Every
 * function wants C, the group's side.
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
    struct sq_lease doomed; /* SQ_PICK_DOOMED: what there is to bury, */
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
 * *gone_ns, which may be NULL: when that has expired, SQ_NEVER if it does not. */
int sq_group_look(const struct sq_ring *ring, int64_t now_ns, int64_t *gone_ns);

/* End what is over: leases, delays.  0 or -EBADMSG. */
int sq_group_settle(const struct sq_ring *ring, int64_t now_ns);

/* Lease what was picked until `until_ns`.  0, -EAGAIN the table is full (not after a pick
 * to lease). */
int sq_group_lease(const struct sq_ring *ring, const struct sq_pick *pick, uint32_t owner,
                   int64_t until_ns, struct sq_lease *lease);

/* Hand out for good what was picked. */
int sq_group_finish(const struct sq_ring *ring, const struct sq_pick *pick);

/* --- the ends of a lease: 0; -ECANCELED it had ended before; -EBADMSG -------- */

int sq_group_check_lease(const struct sq_ring *ring, const struct sq_lease *lease);
int sq_group_ack(const struct sq_ring *ring, const struct sq_lease *lease);

/* Back to wait, from `due_ns` on; 0: at once. */
int sq_group_nack(const struct sq_ring *ring, const struct sq_lease *lease, int64_t due_ns,
                  bool to_back);

/* 1: the lease's holder now makes it a dead letter (DYING, the lease goes on with
 * another word); 0: parked. */
int sq_group_reject(const struct sq_ring *ring, struct sq_lease *lease, uint32_t reason,
                    int64_t now_ns);

/* A dying one is sent, or could not be and is parked. */
int sq_group_buried(const struct sq_ring *ring, const struct sq_lease *lease, bool sent,
                    int64_t now_ns);

int sq_group_touch(const struct sq_ring *ring, const struct sq_lease *lease, int64_t until_ns);

/*
 * The next lease of `owner` with an id up to `id`, in the order in which they end: from
 * *place on, at first pending.lease_first, which then is behind it.  0 or -ENOENT.
 */
int sq_group_next_lease(const struct sq_ring *ring, uint32_t *place, uint32_t owner, uint64_t id,
                        struct sq_lease *lease);

/* End the leases whose owner is gone.  How many, or -EBADMSG. */
int sq_group_return_lost(const struct sq_ring *ring, bool (*gone)(const void *arg, uint32_t owner),
                         const void *arg, int64_t now_ns);

/* --- all of it --------------------------------------------------------------- */

/* Forget what waits, is delayed or parked, and go to the tail.  How many, or -EBADMSG
 * (nothing was done). */
int64_t sq_group_purge(const struct sq_ring *ring);

/* Let what is parked wait again, all or message `id`.  How many, or -EBADMSG. */
int64_t sq_group_revive(const struct sq_ring *ring, uint64_t id);

/*
 * P too: finish the group's oldest messages, leased ones excepted, until its place is
 * beyond `pos` and its depth below `depth`.  0; -EAGAIN leased ones are in the way.
 */
int sq_group_drop(const struct sq_ring *ring, uint64_t pos, uint64_t depth);

/* Whether the record passes the group's filter. */
bool sq_group_wants(const struct sq_group_shm *group, const struct sq_view *view);

int sq_group_rebuild(const struct sq_ring *ring);

/* The same where the group's place, and how many were removed from there on, are right. */
int sq_group_derive(const struct sq_ring *ring);

static inline const struct shmq_policy *sq_policy_of(const struct sq_group_shm *g)
{
    return &g->delivery.policies[sq_load_acquire(&g->delivery.policy_at) & 1];
}

void sq_group_set_policy(const struct sq_ring *ring, const struct shmq_policy *policy);

/* Make it a group that has nothing yet, at the cursor it has.  Nobody sees it. */
void sq_group_begin(const struct sq_ring *ring, const char *name, const struct shmq_policy *policy);

/* Anybody: messages not finished; those that wait. */
uint64_t sq_group_backlog(const struct sq_ring *ring);
uint64_t sq_group_waiting(const struct sq_ring *ring);

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

/* A lease's time is over, or its owner gone: 0 or -EBADMSG. */
int sq_group_end_lease(const struct sq_ring *ring, uint32_t e, int64_t now_ns);

/* 1: entry `e` has had all its tries, and was doomed or parked; 0; -EBADMSG. */
int sq_group_out_of_tries(const struct sq_ring *ring, uint32_t e, int64_t now_ns);

/* The cursor is about to pass a removed message. */
static inline void sq_group_pass_gone(const struct sq_ring *ring)
{
    _Atomic uint64_t *gone = &ring->group->gone_count;

    sq_store(gone, sq_load(gone) - 1);
}

/* The cursor passes what is removed, up to the first that is not.  0 or -EBADMSG. */
int sq_group_pass_removed(const struct sq_ring *ring);

void sq_group_count_dead(const struct sq_ring *ring, uint32_t reason);
void sq_group_release_key(const struct sq_ring *ring, const struct sq_view *view);
void sq_group_release_key_of(const struct sq_ring *ring, uint32_t e);

/* Entry `e` is finished, whatever it was. */
int sq_group_finish_entry(const struct sq_ring *ring, uint32_t e);

#endif
