/*
 * peer_pipe.c - a pipe, grown to the buffer the others have.  Messages up to
 * PIPE_BUF are written in one piece, so several processes can share its ends;
 * longer ones only with one at each end.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/bench.h"

struct pipe_ends {
    int fd[2];
};

static const char *pipe_refuses(size_t size, unsigned consumers)
{
    return size > PIPE_BUF && consumers > 1 ? "longer than PIPE_BUF" : NULL;
}

static int pipe_create(struct channel *channel)
{
    struct pipe_ends *ends = calloc(1, sizeof *ends);
    if (!ends)
        return -ENOMEM;
    if (pipe2(ends->fd, O_CLOEXEC) < 0) {
        free(ends);
        return -errno;
    }
    /* Refused beyond fs.pipe-max-size: then as large as it goes. */
    for (size_t size = channel->capacity_bytes; size >= 65536; size /= 2)
        if (fcntl(ends->fd[1], F_SETPIPE_SZ, (int)size) >= 0)
            break;
    channel->state = ends;
    return 0;
}

static int pipe_open(struct channel *channel, enum side side)
{
    const struct pipe_ends *ends = channel->state;
    close(ends->fd[side == SIDE_PRODUCER ? 0 : 1]);
    return 0;
}

static void pipe_destroy(struct channel *channel)
{
    struct pipe_ends *ends = channel->state;
    if (!ends)
        return;
    close(ends->fd[0]);
    close(ends->fd[1]);
    free(ends);
}

static int pipe_send(struct channel *channel, const void *message)
{
    const struct pipe_ends *ends = channel->state;
    for (size_t done = 0; done < channel->size;) {
        ssize_t n = write(ends->fd[1], (const char *)message + done, channel->size - done);
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

static int pipe_receive(struct channel *channel, void *message)
{
    const struct pipe_ends *ends = channel->state;
    for (size_t done = 0; done < channel->size;) {
        ssize_t n = read(ends->fd[0], (char *)message + done, channel->size - done);
        if (n <= 0)
            return n < 0 ? -errno : -EPIPE;
        done += (size_t)n;
    }
    return 0;
}

const struct transport transport_pipe = {
    .name = "pipe",
    .traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_MANY | TRAIT_PEER,
    .refuses = pipe_refuses,
    .create = pipe_create,
    .open = pipe_open,
    .destroy = pipe_destroy,
    .send = pipe_send,
    .receive = pipe_receive,
};
