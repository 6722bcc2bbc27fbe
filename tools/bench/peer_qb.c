/*
 * peer_qb.c - libqb's ring buffer, shared between processes, with its semaphore,
 * which is what lets a reader sleep.  It serves one writer and one reader, and a
 * writer that finds it full has to try again.
 */
#include <errno.h>
#include <qb/qbrb.h>

#include "bench/bench.h"

enum { RING_PAUSES = 40 };

static int ring_create(struct channel *channel)
{
    uint32_t flags = QB_RB_FLAG_CREATE | QB_RB_FLAG_SHARED_PROCESS;
    channel->state = qb_rb_open(channel->name, channel->capacity_bytes, flags, 0);
    return channel->state ? 0 : -errno;
}

/* The mapping is inherited by fork. */
static int ring_open(struct channel *channel, enum side side)
{
    (void)channel;
    (void)side;
    return 0;
}

static void ring_destroy(struct channel *channel)
{
    if (channel->state)
        qb_rb_close(channel->state);
}

static int ring_send(struct channel *channel, const void *message)
{
    for (unsigned tries = 0;; tries++) {
        ssize_t n = qb_rb_chunk_write(channel->state, message, channel->size);
        if (n == (ssize_t)channel->size)
            return 0;
        if (n != -EAGAIN)
            return n < 0 ? (int)n : -EIO;
        ring_backoff(tries, RING_PAUSES);
    }
}

static int ring_receive(struct channel *channel, void *message)
{
    ssize_t n = qb_rb_chunk_read(channel->state, message, channel->size, -1);
    if (n < 0)
        return (int)n;
    return (size_t)n == channel->size ? 0 : -EBADMSG;
}

const struct transport transport_qb = {
    .name = "libqb",
    .traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_PEER,
    .create = ring_create,
    .open = ring_open,
    .destroy = ring_destroy,
    .send = ring_send,
    .receive = ring_receive,
};
