/*
 * transport_shmq.c - shmq itself: with shared handles, and with a sole producer
 * and a sole consumer.  The parent makes the queue and lets go of it; each child
 * opens its own handle by name.
 */
#include <errno.h>
#include <string.h>

#include "bench/transport_shmq.h"

int queue_create_as(struct channel *channel, int flags, struct shmq_attr *attr)
{
    attr->capacity_bytes = channel->capacity_bytes;
    shmq_t *queue;
    int error = shmq_open(&queue, channel->name, SHMQ_CREATE | SHMQ_EXCL | flags, attr);
    if (error)
        return error;
    return shmq_close(queue);
}

int queue_create(struct channel *channel)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    return queue_create_as(channel, 0, &attr);
}

int queue_open(struct channel *channel, enum side side)
{
    (void)side;
    shmq_t *queue;
    int error = shmq_open(&queue, channel->name, 0, NULL);
    channel->state = error ? NULL : queue;
    return error;
}

int queue_open_sole(struct channel *channel, enum side side)
{
    shmq_t *queue;
    int flags = side == SIDE_PRODUCER ? SHMQ_SOLE_PRODUCER : SHMQ_SOLE_CONSUMER;
    int error = shmq_open(&queue, channel->name, flags, NULL);
    channel->state = error ? NULL : queue;
    return error;
}

void queue_close(struct channel *channel, enum side side)
{
    (void)side;
    shmq_close(channel->state);
    channel->state = NULL;
}

void queue_destroy(struct channel *channel)
{
    shmq_unlink(channel->name);
}

int queue_send(struct channel *channel, const void *message)
{
    return shmq_put(channel->state, message, channel->size, SHMQ_FOREVER);
}

static int length_check(const struct channel *channel, ssize_t length)
{
    if (length < 0)
        return (int)length;
    return (size_t)length == channel->size ? 0 : -EBADMSG;
}

int queue_receive(struct channel *channel, void *message)
{
    return length_check(channel,
                        shmq_get(channel->state, message, channel->size, NULL, SHMQ_FOREVER));
}

static int queue_try_send(struct channel *channel, const void *message)
{
    return shmq_put(channel->state, message, channel->size, SHMQ_NOWAIT);
}

static int queue_try_receive(struct channel *channel, void *message)
{
    return length_check(channel,
                        shmq_get(channel->state, message, channel->size, NULL, SHMQ_NOWAIT));
}

int queue_send_batch(struct channel *channel, const void *messages, unsigned count)
{
    struct shmq_buf list[BATCH];
    for (unsigned i = 0; i < count; i++) {
        list[i].data = (const char *)messages + i * channel->size;
        list[i].length = channel->size;
    }
    return shmq_put_many(channel->state, list, count, SHMQ_FOREVER);
}

int queue_receive_batch(struct channel *channel, void *messages, unsigned count)
{
    struct shmq_info infos[BATCH];
    int got = shmq_get_many(channel->state, messages, count * channel->size, infos, count,
                            SHMQ_NOWAIT, SHMQ_FOREVER);
    for (int i = 0; i < got; i++)
        if (infos[i].length != channel->size || infos[i].offset != (size_t)i * channel->size)
            return -EBADMSG;
    return got;
}

const struct transport transport_shmq = {
    .name = "shmq",
    .traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_POLLS | TRAIT_BATCH | TRAIT_MANY | TRAIT_CROWD |
              TRAIT_LEASE | TRAIT_WAITING | TRAIT_DELAY,
    .version = shmq_version,
    .create = queue_create,
    .open = queue_open,
    .close = queue_close,
    .destroy = queue_destroy,
    .send = queue_send,
    .receive = queue_receive,
    .try_send = queue_try_send,
    .try_receive = queue_try_receive,
    .send_batch = queue_send_batch,
    .receive_batch = queue_receive_batch,
};

const struct transport transport_shmq_sole = {
    .name = "shmq-sole",
    .traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_POLLS | TRAIT_BATCH | TRAIT_LEASE,
    .version = shmq_version,
    .create = queue_create,
    .open = queue_open_sole,
    .close = queue_close,
    .destroy = queue_destroy,
    .send = queue_send,
    .receive = queue_receive,
    .try_send = queue_try_send,
    .try_receive = queue_try_receive,
    .send_batch = queue_send_batch,
    .receive_batch = queue_receive_batch,
};
