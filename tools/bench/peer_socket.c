/*
 * peer_socket.c - Unix socket pairs: seqpacket, which keeps messages apart, and
 * stream, which does not and so serves one process at each end.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench.h"

struct socket_ends {
    int fd[2];
};

static void grow(int fd, int force, int plain, size_t bytes)
{
    int value = (int)bytes;
    if (setsockopt(fd, SOL_SOCKET, force, &value, sizeof value) < 0)
        (void)setsockopt(fd, SOL_SOCKET, plain, &value, sizeof value);
}

static int socket_create(struct channel *channel, int type)
{
    struct socket_ends *ends = calloc(1, sizeof *ends);
    if (!ends)
        return -ENOMEM;
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends->fd) < 0) {
        free(ends);
        return -errno;
    }
    grow(ends->fd[0], SO_SNDBUFFORCE, SO_SNDBUF, channel->capacity_bytes);
    grow(ends->fd[1], SO_RCVBUFFORCE, SO_RCVBUF, channel->capacity_bytes);
    channel->state = ends;
    return 0;
}

static int seqpacket_create(struct channel *channel)
{
    return socket_create(channel, SOCK_SEQPACKET);
}

static int stream_create(struct channel *channel)
{
    return socket_create(channel, SOCK_STREAM);
}

static int socket_open(struct channel *channel, enum side side)
{
    const struct socket_ends *ends = channel->state;
    close(ends->fd[side == SIDE_PRODUCER ? 1 : 0]);
    return 0;
}

static void socket_destroy(struct channel *channel)
{
    struct socket_ends *ends = channel->state;
    if (!ends)
        return;
    close(ends->fd[0]);
    close(ends->fd[1]);
    free(ends);
}

static int socket_send(struct channel *channel, const void *message)
{
    const struct socket_ends *ends = channel->state;
    for (size_t done = 0; done < channel->size;) {
        ssize_t n = send(ends->fd[0], (const char *)message + done, channel->size - done, 0);
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

static int seqpacket_receive(struct channel *channel, void *message)
{
    const struct socket_ends *ends = channel->state;
    ssize_t n = recv(ends->fd[1], message, channel->size, 0);
    if (n < 0)
        return -errno;
    return (size_t)n == channel->size ? 0 : -EBADMSG;
}

static int stream_receive(struct channel *channel, void *message)
{
    const struct socket_ends *ends = channel->state;
    for (size_t done = 0; done < channel->size;) {
        ssize_t n = recv(ends->fd[1], (char *)message + done, channel->size - done, 0);
        if (n <= 0)
            return n < 0 ? -errno : -EPIPE;
        done += (size_t)n;
    }
    return 0;
}

const struct transport transport_seqpacket = {
    .name = "unix-seqpacket",
    .traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_MANY | TRAIT_PEER,
    .create = seqpacket_create,
    .open = socket_open,
    .destroy = socket_destroy,
    .send = socket_send,
    .receive = seqpacket_receive,
};

const struct transport transport_unix_stream = {
    .name = "unix-stream",
    .traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_PEER,
    .create = stream_create,
    .open = socket_open,
    .destroy = socket_destroy,
    .send = socket_send,
    .receive = stream_receive,
};
