/*
 * peer_rte.c - DPDK's rte_ring in shared memory, with elements of the message's
 * size: as a ring for one producer and one consumer, and in HTS mode for many.
 * Batches are its bulk calls.  It has no wait: full or empty, it stands off as
 * the bare ring does.
 *
 * The element size is a constant wherever it is a usual one, as it would be in a
 * program that knows its messages.
 */
#include <errno.h>
#include <rte_ring.h>
#include <rte_version.h>

#include "bench/bench.h"

enum { RING_PAUSES = 40 };

static int ring_create(struct channel *channel, unsigned flags)
{
    unsigned count = (unsigned)channel_slots_pow2(channel);
    ssize_t bytes = rte_ring_get_memsize_elem((unsigned)channel->size, count);
    if (bytes < 0)
        return (int)bytes;
    struct rte_ring *ring = shared_map((size_t)bytes);
    if (!ring)
        return -ENOMEM;
    int error = rte_ring_init(ring, "shmq-bench", count, flags);
    if (error) {
        shared_unmap(ring, (size_t)bytes);
        return error;
    }
    channel->state = ring;
    return 0;
}

static int sp_create(struct channel *channel)
{
    return ring_create(channel, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static int hts_create(struct channel *channel)
{
    return ring_create(channel, RING_F_MP_HTS_ENQ | RING_F_MC_HTS_DEQ);
}

static int ring_open(struct channel *channel, enum side side)
{
    (void)channel;
    (void)side;
    return 0;
}

static void ring_destroy(struct channel *channel)
{
    if (channel->state)
        shared_unmap(channel->state,
                     (size_t)rte_ring_get_memsize_elem((unsigned)channel->size,
                                                       rte_ring_get_size(channel->state)));
}

/* All of `count` or none; the modes differ only in the call. */
static inline unsigned put_sized(struct rte_ring *ring, const void *messages, unsigned size,
                                 unsigned count, bool hts)
{
    if (hts)
        return rte_ring_mp_hts_enqueue_bulk_elem(ring, messages, size, count, NULL);
    return rte_ring_sp_enqueue_bulk_elem(ring, messages, size, count, NULL);
}

/* Up to `count`. */
static inline unsigned get_sized(struct rte_ring *ring, void *messages, unsigned size,
                                 unsigned count, bool hts)
{
    if (hts)
        return rte_ring_mc_hts_dequeue_burst_elem(ring, messages, size, count, NULL);
    return rte_ring_sc_dequeue_burst_elem(ring, messages, size, count, NULL);
}

static inline unsigned put(struct channel *channel, const void *messages, unsigned count, bool hts)
{
    switch (channel->size) {
    case 8:
        return put_sized(channel->state, messages, 8, count, hts);
    case 64:
        return put_sized(channel->state, messages, 64, count, hts);
    case 256:
        return put_sized(channel->state, messages, 256, count, hts);
    case 1024:
        return put_sized(channel->state, messages, 1024, count, hts);
    default:
        return put_sized(channel->state, messages, (unsigned)channel->size, count, hts);
    }
}

static inline unsigned get(struct channel *channel, void *messages, unsigned count, bool hts)
{
    switch (channel->size) {
    case 8:
        return get_sized(channel->state, messages, 8, count, hts);
    case 64:
        return get_sized(channel->state, messages, 64, count, hts);
    case 256:
        return get_sized(channel->state, messages, 256, count, hts);
    case 1024:
        return get_sized(channel->state, messages, 1024, count, hts);
    default:
        return get_sized(channel->state, messages, (unsigned)channel->size, count, hts);
    }
}

static int sp_try_send(struct channel *channel, const void *message)
{
    return put(channel, message, 1, false) ? 0 : -EAGAIN;
}

static int sp_try_receive(struct channel *channel, void *message)
{
    return get(channel, message, 1, false) ? 0 : -EAGAIN;
}

static int sp_send(struct channel *channel, const void *message)
{
    for (unsigned tries = 0; !put(channel, message, 1, false); tries++)
        ring_backoff(tries, RING_PAUSES);
    return 0;
}

static int sp_receive(struct channel *channel, void *message)
{
    for (unsigned tries = 0; !get(channel, message, 1, false); tries++)
        ring_backoff(tries, RING_PAUSES);
    return 0;
}

static int sp_send_batch(struct channel *channel, const void *messages, unsigned count)
{
    for (unsigned tries = 0; !put(channel, messages, count, false); tries++)
        ring_backoff(tries, RING_PAUSES);
    return (int)count;
}

static int sp_receive_batch(struct channel *channel, void *messages, unsigned count)
{
    for (unsigned tries = 0;; tries++) {
        unsigned got = get(channel, messages, count, false);
        if (got)
            return (int)got;
        ring_backoff(tries, RING_PAUSES);
    }
}

static int hts_send(struct channel *channel, const void *message)
{
    for (unsigned tries = 0; !put(channel, message, 1, true); tries++)
        ring_backoff(tries, RING_PAUSES);
    return 0;
}

static int hts_receive(struct channel *channel, void *message)
{
    for (unsigned tries = 0; !get(channel, message, 1, true); tries++)
        ring_backoff(tries, RING_PAUSES);
    return 0;
}

static int hts_send_batch(struct channel *channel, const void *messages, unsigned count)
{
    for (unsigned tries = 0; !put(channel, messages, count, true); tries++)
        ring_backoff(tries, RING_PAUSES);
    return (int)count;
}

static int hts_receive_batch(struct channel *channel, void *messages, unsigned count)
{
    for (unsigned tries = 0;; tries++) {
        unsigned got = get(channel, messages, count, true);
        if (got)
            return (int)got;
        ring_backoff(tries, RING_PAUSES);
    }
}

const struct transport transport_rte_sp = {
    .name = "rte-ring-sp/sc",
    .traits = TRAIT_STREAM | TRAIT_POLLS | TRAIT_BATCH | TRAIT_PEER,
    .version = rte_version,
    .create = sp_create,
    .open = ring_open,
    .destroy = ring_destroy,
    .send = sp_send,
    .receive = sp_receive,
    .try_send = sp_try_send,
    .try_receive = sp_try_receive,
    .send_batch = sp_send_batch,
    .receive_batch = sp_receive_batch,
};

const struct transport transport_rte_hts = {
    .name = "rte-ring-hts",
    .traits = TRAIT_STREAM | TRAIT_BATCH | TRAIT_MANY | TRAIT_PEER,
    .version = rte_version,
    .create = hts_create,
    .open = ring_open,
    .destroy = ring_destroy,
    .send = hts_send,
    .receive = hts_receive,
    .send_batch = hts_send_batch,
    .receive_batch = hts_receive_batch,
};
