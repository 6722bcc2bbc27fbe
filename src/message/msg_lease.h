/*
 * msg_lease.h - a received message's hold on its lease: what struct shmq_msg keeps in
 * `lease`.
 */
#ifndef SQ_MSG_LEASE_H
#define SQ_MSG_LEASE_H

#include "message/unpack.h"

enum { LEASE_ENTRY, LEASE_WORD, LEASE_ID, LEASE_UNPACKED };

static inline struct sq_lease sq_msg_lease(const struct shmq_msg *msg)
{
    return (struct sq_lease){(uint32_t)msg->lease[LEASE_ENTRY], msg->lease[LEASE_WORD],
                             msg->lease[LEASE_ID]};
}

static inline void sq_msg_hold(struct shmq_msg *msg, const struct sq_lease *lease, bool unpacked)
{
    msg->lease[LEASE_ENTRY] = lease->entry;
    msg->lease[LEASE_WORD] = lease->word;
    msg->lease[LEASE_ID] = lease->id;
    msg->lease[LEASE_UNPACKED] = unpacked;
}

/* The lease is over, and so is the memory for a payload that was compressed. */
static inline void sq_msg_forget(struct shmq_msg *msg, struct sq_unpacks *unpacks)
{
    if (sq_unlikely(msg->lease[LEASE_UNPACKED] != 0)) {
        struct sq_lease lease = sq_msg_lease(msg);
        sq_unpack_drop(unpacks, &lease);
    }
    msg->lease[LEASE_WORD] = msg->lease[LEASE_UNPACKED] = 0;
}

#endif
