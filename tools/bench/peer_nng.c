/*
 * peer_nng.c - nng, push to pull over ipc://, in the same shape as ZeroMQ: each
 * consumer listens, each producer dials all of them.
 */
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/bench.h"

struct nng_side {
    nng_socket socket;
};

static void path_of(const struct channel *channel, unsigned consumer, char path[100])
{
    snprintf(path, 100, "/tmp/%s.%u", channel->name, consumer);
}

/* nng's error numbers as errno values, as far as the workloads care. */
static int as_errno(int error)
{
    if (error == 0)
        return 0;
    return error == NNG_ETIMEDOUT ? -ETIMEDOUT : -EIO;
}

static int side_create(struct channel *channel)
{
    channel->state = calloc(1, sizeof(struct nng_side));
    return channel->state ? 0 : -ENOMEM;
}

static int side_open(struct channel *channel, enum side side)
{
    struct nng_side *mine = channel->state;
    char path[100], address[110];
    int error =
        side == SIDE_PRODUCER ? nng_push0_open(&mine->socket) : nng_pull0_open(&mine->socket);
    if (error)
        return as_errno(error);
    size_t slots = channel_slots(channel, 16);
    int depth = slots > 8192 ? 8192 : (int)slots; /* nng takes no more */
    /* Not every protocol of every version has both: those it lacks stay default. */
    (void)nng_socket_set_int(mine->socket, NNG_OPT_SENDBUF, depth);
    (void)nng_socket_set_int(mine->socket, NNG_OPT_RECVBUF, depth);
    (void)nng_socket_set_ms(mine->socket, NNG_OPT_RECVTIMEO, 100);
    (void)nng_socket_set_ms(mine->socket, NNG_OPT_RECONNMINT, 1);
    if (side == SIDE_CONSUMER) {
        path_of(channel, channel->number, path);
        snprintf(address, sizeof address, "ipc://%s", path);
        return as_errno(nng_listen(mine->socket, address, NULL, 0));
    }
    for (unsigned i = 0; i < channel->consumers; i++) {
        path_of(channel, i, path);
        snprintf(address, sizeof address, "ipc://%s", path);
        error = nng_dial(mine->socket, address, NULL, NNG_FLAG_NONBLOCK);
        if (error)
            return as_errno(error);
    }
    return 0;
}

static void side_close(struct channel *channel, enum side side)
{
    struct nng_side *mine = channel->state;
    (void)side;
    nng_close(mine->socket);
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
    const struct nng_side *mine = channel->state;
    /* The flag is 0, so nng only reads the buffer. */
    return as_errno(nng_send(mine->socket, (void *)(uintptr_t)message, channel->size, 0));
}

static int side_receive(struct channel *channel, void *message)
{
    const struct nng_side *mine = channel->state;
    size_t length = channel->size;
    int error = nng_recv(mine->socket, message, &length, 0);
    if (error)
        return as_errno(error);
    return length == channel->size ? 0 : -EBADMSG;
}

const struct transport transport_nng = {
    .name = "nng",
    .traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_MANY | TRAIT_SPREAD | TRAIT_PEER,
    .version = nng_version,
    .create = side_create,
    .open = side_open,
    .close = side_close,
    .destroy = side_destroy,
    .send = side_send,
    .receive = side_receive,
};
