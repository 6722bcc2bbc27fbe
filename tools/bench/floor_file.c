/*
 * floor_file.c - what the file system and its disk allow: bare writes, with and without
 * a sync after each, and a whole file written and read.
 *
 * write-sync makes its file longer with each message; write-sync-ahead writes over zeros
 * that are there already, which spares the disk the file's new size.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/disk.h"

enum { BLOCK_BYTES = 1 << 20, AHEAD_BLOCKS = 16 };

struct plain {
    int fd;
    uint64_t off, end; /* where the next one goes, and where it begins anew */
    unsigned char *block;
};

static int plain_create(struct channel *channel)
{
    channel->state = calloc(1, sizeof(struct plain));
    return channel->state ? disk_prepare(channel) : -ENOMEM;
}

static void plain_destroy(struct channel *channel)
{
    free(channel->state);
    disk_remove(channel);
}

static int plain_file(const struct channel *channel, int flags)
{
    char path[DISK_PATH];
    disk_path(channel, "file", path, sizeof path);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

static int plain_open(struct channel *channel, enum side side)
{
    (void)side;
    struct plain *plain = channel->state;
    plain->block = malloc(BLOCK_BYTES);
    plain->fd = plain_file(channel, O_RDWR | O_CREAT);
    plain->end = UINT64_MAX;
    if (!plain->block)
        return -ENOMEM;
    memset(plain->block, 0x55, BLOCK_BYTES);
    return plain->fd < 0 ? plain->fd : 0;
}

static int plain_open_ahead(struct channel *channel, enum side side)
{
    struct plain *plain = channel->state;
    int error = plain_open(channel, side);
    if (error)
        return error;
    memset(plain->block, 0, BLOCK_BYTES);
    for (int i = 0; i < AHEAD_BLOCKS; i++)
        if (write(plain->fd, plain->block, BLOCK_BYTES) != BLOCK_BYTES)
            return -EIO;
    plain->end = (uint64_t)BLOCK_BYTES * AHEAD_BLOCKS / channel->size * channel->size;
    return fsync(plain->fd) < 0 ? -errno : 0;
}

static void plain_close(struct channel *channel, enum side side)
{
    (void)side;
    struct plain *plain = channel->state;
    close(plain->fd);
    free(plain->block);
}

static int plain_send_batch(struct channel *channel, const void *messages, unsigned count)
{
    struct plain *plain = channel->state;
    size_t bytes = channel->size * count;
    ssize_t n = pwrite(plain->fd, messages, bytes, (off_t)plain->off);
    if (n != (ssize_t)bytes)
        return n < 0 ? -errno : -EIO;
    plain->off += bytes;
    if (plain->off >= plain->end)
        plain->off = 0;
    return (int)count;
}

static int plain_send(struct channel *channel, const void *message)
{
    int count = plain_send_batch(channel, message, 1);
    return count < 0 ? count : 0;
}

static int plain_send_sync(struct channel *channel, const void *message)
{
    const struct plain *plain = channel->state;
    int error = plain_send(channel, message);
    return error ? error : fdatasync(plain->fd) < 0 ? -errno : 0;
}

/* Nothing is taken out of a file. */
static int plain_receive_batch(struct channel *channel, void *messages, unsigned count)
{
    (void)channel;
    (void)messages;
    return (int)count;
}

static int plain_kept(struct channel *channel, uint64_t *count)
{
    struct stat st;
    char path[DISK_PATH];
    disk_path(channel, "file", path, sizeof path);
    if (stat(path, &st) < 0)
        return -errno;
    *count = (uint64_t)st.st_size / channel->size;
    return 0;
}

/* --- whole files ------------------------------------------------------------------ */

static int nothing_sent(struct channel *channel, const void *message)
{
    (void)channel;
    (void)message;
    return 0;
}

static int plain_save(struct channel *channel)
{
    const struct plain *plain = channel->state;
    int fd = plain_file(channel, O_WRONLY | O_CREAT | O_TRUNC), error = 0;
    if (fd < 0)
        return fd;
    for (size_t i = 0; !error && i < channel->capacity_bytes / BLOCK_BYTES; i++)
        error = write(fd, plain->block, BLOCK_BYTES) == BLOCK_BYTES ? 0 : -EIO;
    if (!error && fsync(fd) < 0)
        error = -errno;
    close(fd);
    return error;
}

static int plain_load(struct channel *channel)
{
    const struct plain *plain = channel->state;
    int fd = plain_file(channel, O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t n;
    while ((n = read(fd, plain->block, BLOCK_BYTES)) > 0)
        ;
    close(fd);
    return n < 0 ? -errno : 0;
}

const struct transport transport_write_sync = {
    .name = "write-sync",
    .traits = TRAIT_DURABLE | TRAIT_FLOOR,
    .create = plain_create,
    .open = plain_open,
    .close = plain_close,
    .destroy = plain_destroy,
    .send = plain_send_sync,
    .kept = plain_kept,
};

const struct transport transport_write_ahead = {
    .name = "write-sync-ahead",
    .traits = TRAIT_DURABLE | TRAIT_FLOOR,
    .create = plain_create,
    .open = plain_open_ahead,
    .close = plain_close,
    .destroy = plain_destroy,
    .send = plain_send_sync,
};

const struct transport transport_write = {
    .name = "write",
    .traits = TRAIT_WRITTEN | TRAIT_FLOOR,
    .create = plain_create,
    .open = plain_open,
    .close = plain_close,
    .destroy = plain_destroy,
    .send = plain_send,
    .send_batch = plain_send_batch,
    .receive_batch = plain_receive_batch,
};

const struct transport transport_plain_file = {
    .name = "plain-file",
    .traits = TRAIT_FILED | TRAIT_FLOOR,
    .create = plain_create,
    .open = plain_open,
    .close = plain_close,
    .destroy = plain_destroy,
    .send = nothing_sent,
    .save = plain_save,
    .load = plain_load,
};
