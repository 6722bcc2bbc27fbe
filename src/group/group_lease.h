/*
 * group_lease.h - a lease and its ends.
 */
#ifndef SQ_GROUP_LEASE_H
#define SQ_GROUP_LEASE_H

#include "group/group.h"

/* Lease what was picked until `until_ns`.  0, -EAGAIN the table is full (not after a pick
 * to lease). */
int sq_group_lease(const struct sq_ring *ring, const struct sq_pick *pick, uint32_t owner,
                   int64_t until_ns, struct sq_lease *lease);

/* Hand out for good what was picked. */
int sq_group_finish(const struct sq_ring *ring, const struct sq_pick *pick);

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
int sq_group_dead_letter_made(const struct sq_ring *ring, const struct sq_lease *lease, bool sent,
                              int64_t now_ns);

int sq_group_touch(const struct sq_ring *ring, const struct sq_lease *lease, int64_t until_ns);

/*
 * The next lease of `owner` with an id up to `id`, in the order in which they end: from
 * *next on, at first pending.lease_first, which then is behind it.  0 or -ENOENT.
 */
int sq_group_next_lease(const struct sq_ring *ring, uint32_t *next, uint32_t owner, uint64_t id,
                        struct sq_lease *lease);

/* End the leases whose owner has left.  How many, or -EBADMSG. */
int sq_group_return_lost(const struct sq_ring *ring,
                         bool (*has_left)(const void *arg, uint32_t owner), const void *arg,
                         int64_t now_ns);

void sq_group_count_dead(const struct sq_ring *ring, uint32_t reason);
void sq_group_release_key(const struct sq_ring *ring, const struct sq_view *view);
void sq_group_release_key_of(const struct sq_ring *ring, uint32_t e);

/* Entry `e` is finished, whatever it was. */
int sq_group_finish_entry(const struct sq_ring *ring, uint32_t e);

#endif
