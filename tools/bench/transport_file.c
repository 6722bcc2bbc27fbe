/*
 * transport_file.c - shmq with a file: journals that are on the disk, or in the file,
 * when a put returns, and snapshots.
 */
#include <errno.h>
#include <stdio.h>

#include "bench/disk.h"
#include "bench/transport_shmq.h"

static int journal_open(struct channel *channel, uint32_t journal)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    char path[DISK_PATH];
    disk_path(channel, "file", path, sizeof path);
    attr.snapshot = path;
    attr.journal = journal;
    return queue_create_as(channel, 0, &attr);
}

static int journal_create(struct channel *channel, uint32_t journal)
{
    int error = disk_prepare(channel);
    return error ? error : journal_open(channel, journal);
}

static int always_create(struct channel *channel)
{
    return journal_create(channel, SHMQ_JOURNAL_ALWAYS);
}

static int os_create(struct channel *channel)
{
    return journal_create(channel, SHMQ_JOURNAL_OS);
}

static void file_destroy(struct channel *channel)
{
    queue_destroy(channel);
    disk_remove(channel);
}

/* Nobody receives: a full queue is an error. */
static int file_send(struct channel *channel, const void *message)
{
    return shmq_put(channel->state, message, channel->size, SHMQ_NOWAIT);
}

static int depth_of(const char *name, uint64_t *count)
{
    shmq_t *queue;
    int error = shmq_open(&queue, name, 0, NULL);
    if (error)
        return error;
    int64_t depth = shmq_depth(queue);
    *count = depth < 0 ? 0 : (uint64_t)depth;
    error = shmq_close(queue);
    return depth < 0 ? (int)depth : error;
}

/* The queue is gone; another is made of the file. */
static int always_kept(struct channel *channel, uint64_t *count)
{
    int error = shmq_unlink(channel->name);
    if (!error)
        error = journal_open(channel, SHMQ_JOURNAL_ALWAYS);
    return error ? error : depth_of(channel->name, count);
}

/* --- snapshots ------------------------------------------------------------------- */

static int snapshot_create(struct channel *channel)
{
    int error = disk_prepare(channel);
    return error ? error : queue_create(channel);
}

static void loaded_name(const struct channel *channel, char *name, size_t size)
{
    snprintf(name, size, "%s.load", channel->name);
}

static int snapshot_save(struct channel *channel)
{
    char path[DISK_PATH];
    disk_path(channel, "file", path, sizeof path);
    return shmq_save(channel->state, path);
}

static int snapshot_load(struct channel *channel)
{
    char path[DISK_PATH], name[96];
    disk_path(channel, "file", path, sizeof path);
    loaded_name(channel, name, sizeof name);
    return shmq_load(name, path);
}

static int snapshot_kept(struct channel *channel, uint64_t *count)
{
    char name[96];
    loaded_name(channel, name, sizeof name);
    return depth_of(name, count);
}

static void snapshot_destroy(struct channel *channel)
{
    char name[96];
    loaded_name(channel, name, sizeof name);
    shmq_unlink(name); /* if it was loaded */
    file_destroy(channel);
}

const struct transport transport_always = {
    .name = "shmq-always",
    .traits = TRAIT_DURABLE,
    .version = shmq_version,
    .create = always_create,
    .open = queue_open,
    .close = queue_close,
    .destroy = file_destroy,
    .send = file_send,
    .kept = always_kept,
};

const struct transport transport_os = {
    .name = "shmq-os",
    .traits = TRAIT_WRITTEN | TRAIT_JOURNAL,
    .version = shmq_version,
    .create = os_create,
    .open = queue_open,
    .close = queue_close,
    .destroy = file_destroy,
    .send = queue_send,
    .receive = queue_receive,
    .send_batch = queue_send_batch,
    .receive_batch = queue_receive_batch,
};

const struct transport transport_snapshot = {
    .name = "shmq-save",
    .traits = TRAIT_FILED | TRAIT_SAVED,
    .version = shmq_version,
    .create = snapshot_create,
    .open = queue_open,
    .close = queue_close,
    .destroy = snapshot_destroy,
    .send = queue_send,
    .receive = queue_receive,
    .save = snapshot_save,
    .load = snapshot_load,
    .kept = snapshot_kept,
};
