/*
 * transport_lease.c - shmq as a work queue: each message is received on lease and
 * acknowledged when it has been read; one by one, with two calls or with one, or 32 with
 * each call.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/transport_shmq.h"

struct lease {
    shmq_t *queue;
    struct shmq_msg msgs[BATCH];
};

static int lease_wrap(struct channel *channel, int error)
{
    if (error)
        return error;
    struct lease *lease = calloc(1, sizeof *lease);
    if (!lease)
        return -ENOMEM;
    lease->queue = channel->state;
    for (unsigned i = 0; i < BATCH; i++)
        lease->msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
    channel->state = lease;
    return 0;
}

static int lease_open(struct channel *channel, enum side side)
{
    return lease_wrap(channel, queue_open(channel, side));
}

static int lease_open_sole(struct channel *channel, enum side side)
{
    return lease_wrap(channel, queue_open_sole(channel, side));
}

static void lease_close(struct channel *channel, enum side side)
{
    struct lease *lease = channel->state;
    channel->state = lease->queue;
    queue_close(channel, side);
    free(lease);
}

static int lease_send(struct channel *channel, const void *message)
{
    const struct lease *lease = channel->state;
    return shmq_put(lease->queue, message, channel->size, SHMQ_FOREVER);
}

static int lease_receive(struct channel *channel, void *message)
{
    struct lease *lease = channel->state;
    int error = shmq_receive(lease->queue, &lease->msgs[0], SHMQ_FOREVER);
    if (error)
        return error;
    if (lease->msgs[0].length != channel->size)
        return -EBADMSG;
    memcpy(message, lease->msgs[0].data, channel->size);
    return shmq_ack(lease->queue, &lease->msgs[0]);
}

/* The one read before is acknowledged with the call that brings the next. */
static int lease_next(struct channel *channel, void *message)
{
    struct lease *lease = channel->state;
    int error = shmq_next(lease->queue, &lease->msgs[0], SHMQ_FOREVER);
    if (error)
        return error;
    if (lease->msgs[0].length != channel->size)
        return -EBADMSG;
    memcpy(message, lease->msgs[0].data, channel->size);
    return 0;
}

static int lease_send_batch(struct channel *channel, const void *messages, unsigned count)
{
    const struct lease *lease = channel->state;
    struct shmq_buf list[BATCH];
    for (unsigned i = 0; i < count; i++) {
        list[i].data = (const char *)messages + i * channel->size;
        list[i].length = channel->size;
    }
    return shmq_put_many(lease->queue, list, count, SHMQ_FOREVER);
}

static int lease_receive_batch(struct channel *channel, void *messages, unsigned count)
{
    struct lease *lease = channel->state;
    int got = shmq_receive_many(lease->queue, lease->msgs, count, SHMQ_NOWAIT, SHMQ_FOREVER);
    for (int i = 0; i < got; i++) {
        if (lease->msgs[i].length != channel->size)
            return -EBADMSG;
        memcpy((char *)messages + (size_t)i * channel->size, lease->msgs[i].data, channel->size);
    }
    if (got <= 0)
        return got;
    int acked = shmq_ack_many(lease->queue, lease->msgs, (unsigned)got);
    return acked < 0 || acked == got ? acked : -EBADMSG;
}

const struct transport transport_lease = {
    .name = "shmq-lease",
    .traits = TRAIT_LEASE,
    .version = shmq_version,
    .create = queue_create,
    .open = lease_open,
    .close = lease_close,
    .destroy = queue_destroy,
    .send = lease_send,
    .receive = lease_receive,
};

const struct transport transport_next = {
    .name = "shmq-next",
    .traits = TRAIT_LEASE,
    .version = shmq_version,
    .create = queue_create,
    .open = lease_open,
    .close = lease_close,
    .destroy = queue_destroy,
    .send = lease_send,
    .receive = lease_next,
};

const struct transport transport_lease_sole = {
    .name = "shmq-lease-sole",
    .traits = TRAIT_LEASE,
    .version = shmq_version,
    .create = queue_create,
    .open = lease_open_sole,
    .close = lease_close,
    .destroy = queue_destroy,
    .send = lease_send,
    .receive = lease_receive,
};

const struct transport transport_lease_many = {
    .name = "shmq-lease-many",
    .traits = TRAIT_LEASE | TRAIT_IN_BATCHES | TRAIT_BATCH,
    .version = shmq_version,
    .create = queue_create,
    .open = lease_open,
    .close = lease_close,
    .destroy = queue_destroy,
    .send = lease_send,
    .receive = lease_receive,
    .send_batch = lease_send_batch,
    .receive_batch = lease_receive_batch,
};
