/*
 * transport_topic.c - shmq topics: what is put is there for each of the channel's
 * consumers, which are groups of one process.  channel->number says which of them
 * receives.  In shmq-topic-drop nobody receives; the puts drop for all groups.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/transport_shmq.h"

struct topic {
    shmq_t *queue;
    shmq_t *group[MAX_GROUPS];
};

static int topic_create(struct channel *channel)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    return queue_create_as(channel, SHMQ_TOPIC, &attr);
}

static int dropping_create(struct channel *channel)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    attr.full = SHMQ_FULL_DROP;
    return queue_create_as(channel, SHMQ_TOPIC, &attr);
}

static int topic_open(struct channel *channel, enum side side)
{
    struct topic *topic = calloc(1, sizeof *topic);
    int error = topic ? queue_open(channel, side) : -ENOMEM;
    if (error)
        return error;
    topic->queue = channel->state;
    channel->state = topic;
    for (unsigned i = 0; !error && i < channel->consumers; i++) {
        char name[16];
        snprintf(name, sizeof name, "g%u", i);
        error =
            i < MAX_GROUPS ? shmq_subscribe(topic->queue, name, NULL, &topic->group[i]) : -E2BIG;
    }
    return error;
}

static void topic_close(struct channel *channel, enum side side)
{
    struct topic *topic = channel->state;
    for (unsigned i = 0; i < channel->consumers; i++)
        shmq_close(topic->group[i]);
    channel->state = topic->queue;
    queue_close(channel, side);
    free(topic);
}

static int topic_send(struct channel *channel, const void *message)
{
    const struct topic *topic = channel->state;
    return shmq_put(topic->queue, message, channel->size, SHMQ_NOWAIT);
}

static int topic_receive_batch(struct channel *channel, void *messages, unsigned count)
{
    const struct topic *topic = channel->state;
    struct shmq_info infos[BATCH];
    return shmq_get_many(topic->group[channel->number], messages, count * channel->size, infos,
                         count, SHMQ_NOWAIT, SHMQ_NOWAIT);
}

static int dropping_receive_batch(struct channel *channel, void *messages, unsigned count)
{
    (void)channel;
    (void)messages;
    return (int)count;
}

const struct transport transport_topic = {
    .name = "shmq-topic",
    .traits = TRAIT_TOPIC,
    .version = shmq_version,
    .create = topic_create,
    .open = topic_open,
    .close = topic_close,
    .destroy = queue_destroy,
    .send = topic_send,
    .receive_batch = topic_receive_batch,
};

const struct transport transport_topic_drop = {
    .name = "shmq-topic-drop",
    .traits = TRAIT_TOPIC,
    .version = shmq_version,
    .create = dropping_create,
    .open = topic_open,
    .close = topic_close,
    .destroy = queue_destroy,
    .send = topic_send,
    .receive_batch = dropping_receive_batch,
};
