/*
 * peer_beanstalkd.c - beanstalkd, a work queue daemon: put, reserve, delete.
 *
 * As its clients do, each call is a request that waits for its answer.  The
 * pipelined transport writes 32 requests at a time and then reads 32 answers.
 * The server keeps nothing on disk but for beanstalkd-sync, where it syncs its log
 * with each job (-b DIR -f0).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/disk.h"
#include "bench/server.h"

struct beanstalkd {
    struct server server; /* the parent's */
    bool keeps;           /* what is put, on the disk */
    struct wire wire;     /* a child's */
};

static const char *beanstalkd_version(void)
{
    static char line[64];
    if (!line[0])
        server_version("beanstalkd -v 2>/dev/null", line, sizeof line);
    return line[0] ? line : "not in PATH";
}

static const char *beanstalkd_refuses(size_t size, unsigned consumers)
{
    (void)size;
    (void)consumers;
    return server_there("beanstalkd") ? NULL : "beanstalkd is not in PATH";
}

static int beanstalkd_start(struct channel *channel)
{
    struct beanstalkd *b = channel->state;
    int error = server_prepare(&b->server, channel->name);
    if (error)
        return error;
    char address[128], limit[32], log[DISK_PATH];
    snprintf(address, sizeof address, "unix:%s", b->server.socket);
    snprintf(limit, sizeof limit, "%d", MAX_MESSAGE);
    disk_path(channel, "", log, sizeof log);
    char *const argv[] = {"beanstalkd", "-l", address, "-z", limit, b->keeps ? "-f0" : NULL,
                          "-b",         log,  NULL};
    return server_start(&b->server, argv);
}

static int beanstalkd_create(struct channel *channel)
{
    struct beanstalkd *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    channel->state = b;
    return beanstalkd_start(channel);
}

static int beanstalkd_create_sync(struct channel *channel)
{
    struct beanstalkd *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    channel->state = b;
    b->keeps = true;
    int error = disk_prepare(channel);
    return error ? error : beanstalkd_start(channel);
}

static void beanstalkd_destroy(struct channel *channel)
{
    struct beanstalkd *b = channel->state;
    if (b)
        server_stop(&b->server);
    if (b && b->keeps)
        disk_remove(channel);
    free(b);
}

static int beanstalkd_open(struct channel *channel, enum side side)
{
    (void)side;
    struct beanstalkd *b = channel->state;
    return wire_open(&b->wire, &b->server, (channel->size + 128) * BATCH);
}

static void beanstalkd_close(struct channel *channel, enum side side)
{
    (void)side;
    struct beanstalkd *b = channel->state;
    wire_close(&b->wire);
}

/* Reads one line, which must begin as `word` does. */
static int expect(struct wire *wire, const char *word)
{
    char *line;
    int error = wire_line(wire, &line);
    if (error)
        return error;
    return strncmp(line, word, strlen(word)) == 0 ? 0 : -EPROTO;
}

static int beanstalkd_send_batch(struct channel *channel, const void *messages, unsigned count)
{
    struct beanstalkd *b = channel->state;
    for (unsigned i = 0; i < count; i++) {
        wire_print(&b->wire, "put 1024 0 60 %zu\r\n", channel->size);
        wire_add(&b->wire, (const char *)messages + i * channel->size, channel->size);
        wire_add(&b->wire, "\r\n", 2);
    }
    int error = wire_flush(&b->wire);
    for (unsigned i = 0; !error && i < count; i++)
        error = expect(&b->wire, "INSERTED ");
    return error ? error : (int)count;
}

static int beanstalkd_send(struct channel *channel, const void *message)
{
    int count = beanstalkd_send_batch(channel, message, 1);
    return count < 0 ? count : 0;
}

/* The answer to a reserve: 1 and the job, or 0 if there was none in time. */
static int reserved(struct channel *channel, void *message, unsigned long long *id)
{
    struct beanstalkd *b = channel->state;
    char *line;
    size_t length;
    int error = wire_line(&b->wire, &line);
    if (error)
        return error;
    if (strcmp(line, "TIMED_OUT") == 0)
        return 0;
    if (sscanf(line, "RESERVED %llu %zu", id, &length) != 2 || length != channel->size)
        return -EPROTO;
    error = wire_block(&b->wire, message, length);
    return error ? error : 1;
}

/* Waits for the first job, takes those that are there too, and deletes all. */
static int beanstalkd_receive_batch(struct channel *channel, void *messages, unsigned count)
{
    struct beanstalkd *b = channel->state;
    unsigned long long id[BATCH];
    int got = 0;
    wire_print(&b->wire, "reserve\r\n");
    for (unsigned i = 1; i < count; i++)
        wire_print(&b->wire, "reserve-with-timeout 0\r\n");
    int error = wire_flush(&b->wire);
    for (unsigned i = 0; !error && i < count; i++) {
        int n = reserved(channel, (char *)messages + (size_t)got * channel->size, &id[got]);
        error = n < 0 ? n : 0;
        got += n == 1;
    }
    for (int i = 0; !error && i < got; i++)
        wire_print(&b->wire, "delete %llu\r\n", id[i]);
    if (!error)
        error = wire_flush(&b->wire);
    for (int i = 0; !error && i < got; i++)
        error = expect(&b->wire, "DELETED");
    return error ? error : got;
}

static int beanstalkd_receive(struct channel *channel, void *message)
{
    int count = beanstalkd_receive_batch(channel, message, 1);
    return count < 0 ? count : 0;
}

/* Another server, with the log that the first one left. */
static int beanstalkd_kept(struct channel *channel, uint64_t *count)
{
    struct beanstalkd *b = channel->state;
    char *line = NULL, stats[8192] = "";
    unsigned long long ready = 0;
    size_t length;
    server_stop(&b->server);
    int error = beanstalkd_start(channel);
    if (!error)
        error = beanstalkd_open(channel, SIDE_CONSUMER);
    if (error)
        return error;
    wire_print(&b->wire, "stats\r\n");
    error = wire_flush(&b->wire);
    if (!error)
        error = wire_line(&b->wire, &line);
    if (!error && (sscanf(line, "OK %zu", &length) != 1 || length >= sizeof stats))
        error = -EPROTO;
    if (!error)
        error = wire_block(&b->wire, stats, length);
    const char *figure = strstr(stats, "current-jobs-ready: ");
    if (!error && (!figure || sscanf(figure, "current-jobs-ready: %llu", &ready) != 1))
        error = -EPROTO;
    *count = ready;
    beanstalkd_close(channel, SIDE_CONSUMER);
    return error;
}

const struct transport transport_beanstalkd = {
    .name = "beanstalkd",
    .traits = TRAIT_LEASE | TRAIT_PEER,
    .version = beanstalkd_version,
    .refuses = beanstalkd_refuses,
    .create = beanstalkd_create,
    .open = beanstalkd_open,
    .close = beanstalkd_close,
    .destroy = beanstalkd_destroy,
    .send = beanstalkd_send,
    .receive = beanstalkd_receive,
};

const struct transport transport_beanstalkd_piped = {
    .name = "beanstalkd-piped",
    .traits = TRAIT_LEASE | TRAIT_IN_BATCHES | TRAIT_PEER,
    .version = beanstalkd_version,
    .refuses = beanstalkd_refuses,
    .create = beanstalkd_create,
    .open = beanstalkd_open,
    .close = beanstalkd_close,
    .destroy = beanstalkd_destroy,
    .send = beanstalkd_send,
    .receive = beanstalkd_receive,
    .send_batch = beanstalkd_send_batch,
    .receive_batch = beanstalkd_receive_batch,
};

const struct transport transport_beanstalkd_sync = {
    .name = "beanstalkd-sync",
    .traits = TRAIT_DURABLE | TRAIT_PEER,
    .version = beanstalkd_version,
    .refuses = beanstalkd_refuses,
    .create = beanstalkd_create_sync,
    .open = beanstalkd_open,
    .close = beanstalkd_close,
    .destroy = beanstalkd_destroy,
    .send = beanstalkd_send,
    .kept = beanstalkd_kept,
};
