/*
 * peer_zmq.c - ZeroMQ, PUSH to PULL over ipc://.  Each consumer binds a socket
 * of its own and each producer connects to all; PUSH deals the messages out.
 * Contexts have threads, so they are made after the fork.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#include "bench/bench.h"

struct zmq_side {
    void *context;
    void *socket;
};

static const char *version(void)
{
    static char text[32];
    int major, minor, patch;
    zmq_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

static void path_of(const struct channel *channel, unsigned consumer, char path[100])
{
    snprintf(path, 100, "/tmp/%s.%u", channel->name, consumer);
}

static int side_create(struct channel *channel)
{
    channel->state = calloc(1, sizeof(struct zmq_side));
    return channel->state ? 0 : -ENOMEM;
}

static int side_attach(const struct channel *channel, struct zmq_side *mine, enum side side)
{
    char path[100], address[110];
    if (side == SIDE_CONSUMER) {
        path_of(channel, channel->number, path);
        snprintf(address, sizeof address, "ipc://%s", path);
        return zmq_bind(mine->socket, address) < 0 ? -zmq_errno() : 0;
    }
    for (unsigned i = 0; i < channel->consumers; i++) {
        path_of(channel, i, path);
        snprintf(address, sizeof address, "ipc://%s", path);
        if (zmq_connect(mine->socket, address) < 0)
            return -zmq_errno();
    }
    return 0;
}

static int side_open(struct channel *channel, enum side side)
{
    struct zmq_side *mine = channel->state;
    mine->context = zmq_ctx_new();
    mine->socket = mine->context
                       ? zmq_socket(mine->context, side == SIDE_PRODUCER ? ZMQ_PUSH : ZMQ_PULL)
                       : NULL;
    if (!mine->socket)
        return -zmq_errno();
    /* Half of the buffer at either end. */
    int mark = (int)(channel_slots(channel, 16) / 2), linger = 2000, patience = 100, retry = 1;
    zmq_setsockopt(mine->socket, ZMQ_SNDHWM, &mark, sizeof mark);
    zmq_setsockopt(mine->socket, ZMQ_RCVHWM, &mark, sizeof mark);
    zmq_setsockopt(mine->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(mine->socket, ZMQ_RECONNECT_IVL, &retry, sizeof retry);
    zmq_setsockopt(mine->socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    return side_attach(channel, mine, side);
}

static void side_close(struct channel *channel, enum side side)
{
    struct zmq_side *mine = channel->state;
    (void)side;
    zmq_close(mine->socket);
    zmq_ctx_term(mine->context);
}

static void side_destroy(struct channel *channel)
{
    for (unsigned i = 0; i < channel->consumers; i++) {
        char path[100];
        path_of(channel, i, path);
        unlink(path);
    }
    free(channel->state);
}

static int side_send(struct channel *channel, const void *message)
{
    const struct zmq_side *mine = channel->state;
    return zmq_send(mine->socket, message, channel->size, 0) < 0 ? -zmq_errno() : 0;
}

static int side_receive(struct channel *channel, void *message)
{
    const struct zmq_side *mine = channel->state;
    int n = zmq_recv(mine->socket, message, channel->size, 0);
    if (n < 0)
        return zmq_errno() == EAGAIN ? -ETIMEDOUT : -zmq_errno();
    return (size_t)n == channel->size ? 0 : -EBADMSG;
}

const struct transport transport_zmq = {
    .name = "zeromq",
    .traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_MANY | TRAIT_SPREAD | TRAIT_PEER,
    .version = version,
    .create = side_create,
    .open = side_open,
    .close = side_close,
    .destroy = side_destroy,
    .send = side_send,
    .receive = side_receive,
};
