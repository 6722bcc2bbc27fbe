/*
 * transport_order.c - shmq queues that hand out in another order than they were
 * filled: by priority and last first, and past messages that are not due yet.
 *
 * shmq-priority draws each priority from 0 to 1000.  As gets take the highest,
 * what waits sinks lower and lower, and soon most puts are got at once.
 * shmq-prio-turns draws it from 0 to 1000 below the priority got last, so that
 * what waits stays as mixed as it was: the model that heaps are usually measured
 * with, and the harder one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/transport_shmq.h"

enum { HIGHEST = 1000, DELAYED = 1000 };

#define DELAYED_MARK (UINT64_MAX - 1)

struct order {
    shmq_t *queue;
    struct shmq_msg msg;
    uint64_t random;
    int64_t put; /* what was put last: its priority, or its number */
    int64_t got;
    unsigned char *message;
};

static int order_create(struct channel *channel, uint32_t order)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    attr.order = order;
    /* The workload gives at least 256 bytes of ring for each that is to wait. */
    attr.pending_count = (uint32_t)(channel->capacity_bytes / 128);
    return queue_create_as(channel, 0, &attr);
}

static int priority_create(struct channel *channel)
{
    return order_create(channel, SHMQ_PRIORITY);
}

static int lifo_create(struct channel *channel)
{
    return order_create(channel, SHMQ_LIFO);
}

static int order_open(struct channel *channel, enum side side)
{
    struct order *order = calloc(1, sizeof *order);
    if (!order)
        return -ENOMEM;
    order->message = malloc(channel->size);
    int error = order->message ? queue_open(channel, side) : -ENOMEM;
    if (error)
        return error;
    order->queue = channel->state;
    order->msg = (struct shmq_msg)SHMQ_MSG_INIT;
    order->random = 0x9e3779b97f4a7c15u;
    channel->state = order;
    return 0;
}

static void order_close(struct channel *channel, enum side side)
{
    struct order *order = channel->state;
    channel->state = order->queue;
    queue_close(channel, side);
    free(order->message);
    free(order);
}

static int32_t draw(struct order *order)
{
    order->random ^= order->random << 13;
    order->random ^= order->random >> 7;
    order->random ^= order->random << 17;
    return (int32_t)((order->random >> 32) % (HIGHEST + 1));
}

/* The message says itself what its priority is, since a get does not tell. */
static int priority_put(struct channel *channel, const void *message, int32_t priority)
{
    struct order *order = channel->state;
    order->put = priority;
    memcpy(order->message, message, channel->size);
    memcpy(order->message, &order->put, sizeof order->put);
    order->msg.data = order->message;
    order->msg.length = channel->size;
    order->msg.priority = priority;
    return shmq_send(order->queue, &order->msg, SHMQ_NOWAIT);
}

static int priority_send(struct channel *channel, const void *message)
{
    return priority_put(channel, message, draw(channel->state));
}

static int turns_send(struct channel *channel, const void *message)
{
    struct order *order = channel->state;
    return priority_put(channel, message, (int32_t)order->got - draw(order));
}

static int order_get(struct channel *channel, void *message)
{
    struct order *order = channel->state;
    ssize_t length = shmq_get(order->queue, message, channel->size, NULL, SHMQ_NOWAIT);
    if (length < 0)
        return (int)length;
    memcpy(&order->got, message, sizeof order->got);
    return (size_t)length == channel->size ? 0 : -EBADMSG;
}

static int priority_receive(struct channel *channel, void *message)
{
    const struct order *order = channel->state;
    int error = order_get(channel, message);
    return error || order->got >= order->put ? error : -EBADMSG;
}

/* Whatever is put is at most what was got before, so these only ever sink. */
static int turns_receive(struct channel *channel, void *message)
{
    const struct order *order = channel->state;
    int64_t before = order->got;
    int error = priority_receive(channel, message);
    return error || before == 0 || order->got <= before ? error : -EBADMSG;
}

static int lifo_send(struct channel *channel, const void *message)
{
    struct order *order = channel->state;
    order->put++;
    memcpy(order->message, message, channel->size);
    memcpy(order->message, &order->put, sizeof order->put);
    return shmq_put(order->queue, order->message, channel->size, SHMQ_NOWAIT);
}

static int lifo_receive(struct channel *channel, void *message)
{
    const struct order *order = channel->state;
    int error = order_get(channel, message);
    return error || order->got == order->put ? error : -EBADMSG;
}

/* The i-th message is due after first_ns + i * step_ns. */
static int delayed_create(struct channel *channel, int64_t first_ns, int64_t step_ns)
{
    unsigned char *message = calloc(1, channel->size);
    uint64_t mark = DELAYED_MARK;
    int error = message ? queue_create(channel) : -ENOMEM;
    if (!error)
        error = queue_open(channel, SIDE_PRODUCER);
    if (!error)
        memcpy(message, &mark, sizeof mark);
    for (int i = 0; !error && i < DELAYED; i++) {
        struct shmq_msg msg = SHMQ_MSG_INIT;
        msg.data = message;
        msg.length = channel->size;
        msg.delay_ns = first_ns + i * step_ns;
        error = shmq_send(channel->state, &msg, SHMQ_NOWAIT);
    }
    if (channel->state)
        queue_close(channel, SIDE_PRODUCER);
    free(message);
    return error;
}

static int far_create(struct channel *channel)
{
    return delayed_create(channel, SHMQ_SEC(3600), 0);
}

static int falling_create(struct channel *channel)
{
    return delayed_create(channel, 0, SHMQ_MS(1) / 2);
}

/* What falls due meanwhile is received, but it is not the stream's. */
static int falling_receive(struct channel *channel, void *message)
{
    uint64_t word;
    int error;
    do {
        error = queue_receive(channel, message);
        memcpy(&word, message, sizeof word);
    } while (!error && word == DELAYED_MARK);
    return error;
}

const struct transport transport_priority = {
    .name = "shmq-priority",
    .traits = TRAIT_WAITING,
    .version = shmq_version,
    .create = priority_create,
    .open = order_open,
    .close = order_close,
    .destroy = queue_destroy,
    .send = priority_send,
    .receive = priority_receive,
};

const struct transport transport_priority_turns = {
    .name = "shmq-prio-turns",
    .traits = TRAIT_WAITING,
    .version = shmq_version,
    .create = priority_create,
    .open = order_open,
    .close = order_close,
    .destroy = queue_destroy,
    .send = turns_send,
    .receive = turns_receive,
};

const struct transport transport_lifo = {
    .name = "shmq-lifo",
    .traits = TRAIT_WAITING,
    .version = shmq_version,
    .create = lifo_create,
    .open = order_open,
    .close = order_close,
    .destroy = queue_destroy,
    .send = lifo_send,
    .receive = lifo_receive,
};

const struct transport transport_delayed = {
    .name = "shmq-delayed",
    .traits = TRAIT_DELAY,
    .version = shmq_version,
    .create = far_create,
    .open = queue_open,
    .close = queue_close,
    .destroy = queue_destroy,
    .send = queue_send,
    .receive = queue_receive,
};

const struct transport transport_falling_due = {
    .name = "shmq-falling-due",
    .traits = TRAIT_DELAY,
    .version = shmq_version,
    .create = falling_create,
    .open = queue_open,
    .close = queue_close,
    .destroy = queue_destroy,
    .send = queue_send,
    .receive = falling_receive,
};
