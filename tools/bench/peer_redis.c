/*
 * peer_redis.c - Redis as a reliable queue: LPUSH, BLMOVE to a list of what is in
 * hand, LREM from that when it is dealt with.
 *
 * Each call is a request that waits for its answer; the pipelined transport
 * writes 32 requests at a time.  The server keeps nothing on disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/server.h"

struct redis {
    struct server server; /* the parent's */
    struct wire wire;     /* a child's */
};

static const char *redis_version(void)
{
    static char line[128];
    char *rest;
    if (!line[0])
        server_version("redis-server --version 2>/dev/null", line, sizeof line);
    if ((rest = strstr(line, " sha=")))
        *rest = '\0';
    return line[0] ? line : "not in PATH";
}

static const char *redis_refuses(size_t size, unsigned consumers)
{
    (void)size;
    (void)consumers;
    return server_there("redis-server") ? NULL : "redis-server is not in PATH";
}

static int redis_create(struct channel *channel)
{
    struct redis *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    channel->state = r;
    int error = server_prepare(&r->server, channel->name);
    if (error)
        return error;
    char *const argv[] = {"redis-server",
                          "--port",
                          "0",
                          "--unixsocket",
                          r->server.socket,
                          "--dir",
                          r->server.folder,
                          "--save",
                          "",
                          "--appendonly",
                          "no",
                          NULL};
    return server_start(&r->server, argv);
}

static void redis_destroy(struct channel *channel)
{
    struct redis *r = channel->state;
    if (r)
        server_stop(&r->server);
    free(r);
}

static int redis_open(struct channel *channel, enum side side)
{
    (void)side;
    struct redis *r = channel->state;
    return wire_open(&r->wire, &r->server, (channel->size + 128) * BATCH);
}

static void redis_close(struct channel *channel, enum side side)
{
    (void)side;
    struct redis *r = channel->state;
    wire_close(&r->wire);
}

static void add_message(struct wire *wire, const void *message, size_t size)
{
    wire_print(wire, "$%zu\r\n", size);
    wire_add(wire, message, size);
    wire_add(wire, "\r\n", 2);
}

/* The answer to LPUSH or LREM: a number; -EPROTO if it is 0 or an error. */
static int expect_number(struct wire *wire)
{
    char *line;
    int error = wire_line(wire, &line);
    if (error)
        return error;
    return line[0] == ':' && atol(line + 1) > 0 ? 0 : -EPROTO;
}

static int redis_send_batch(struct channel *channel, const void *messages, unsigned count)
{
    struct redis *r = channel->state;
    for (unsigned i = 0; i < count; i++) {
        wire_print(&r->wire, "*3\r\n$5\r\nLPUSH\r\n$4\r\njobs\r\n");
        add_message(&r->wire, (const char *)messages + i * channel->size, channel->size);
    }
    int error = wire_flush(&r->wire);
    for (unsigned i = 0; !error && i < count; i++)
        error = expect_number(&r->wire);
    return error ? error : (int)count;
}

static int redis_send(struct channel *channel, const void *message)
{
    int count = redis_send_batch(channel, message, 1);
    return count < 0 ? count : 0;
}

/* The answer to a move: 1 and the message, or 0 if there was none. */
static int moved(struct channel *channel, void *message)
{
    struct redis *r = channel->state;
    char *line;
    int error = wire_line(&r->wire, &line);
    if (error)
        return error;
    if (strcmp(line, "$-1") == 0)
        return 0;
    if (line[0] != '$' || strtoul(line + 1, NULL, 10) != channel->size)
        return -EPROTO;
    error = wire_block(&r->wire, message, channel->size);
    return error ? error : 1;
}

/* Waits for the first message, takes those that are there too, and removes all. */
static int redis_receive_batch(struct channel *channel, void *messages, unsigned count)
{
    static const char wait[] = "*6\r\n$6\r\nBLMOVE\r\n$4\r\njobs\r\n$4\r\nhand\r\n"
                               "$5\r\nRIGHT\r\n$4\r\nLEFT\r\n$1\r\n0\r\n";
    static const char look[] = "*5\r\n$5\r\nLMOVE\r\n$4\r\njobs\r\n$4\r\nhand\r\n"
                               "$5\r\nRIGHT\r\n$4\r\nLEFT\r\n";
    struct redis *r = channel->state;
    int got = 0;
    wire_add(&r->wire, wait, sizeof wait - 1);
    for (unsigned i = 1; i < count; i++)
        wire_add(&r->wire, look, sizeof look - 1);
    int error = wire_flush(&r->wire);
    for (unsigned i = 0; !error && i < count; i++) {
        int n = moved(channel, (char *)messages + (size_t)got * channel->size);
        error = n < 0 ? n : 0;
        got += n == 1;
    }
    /* From the tail, where the oldest is: the first that LREM looks at. */
    for (int i = 0; !error && i < got; i++) {
        wire_print(&r->wire, "*4\r\n$4\r\nLREM\r\n$4\r\nhand\r\n$2\r\n-1\r\n");
        add_message(&r->wire, (char *)messages + (size_t)i * channel->size, channel->size);
    }
    if (!error)
        error = wire_flush(&r->wire);
    for (int i = 0; !error && i < got; i++)
        error = expect_number(&r->wire);
    return error ? error : got;
}

static int redis_receive(struct channel *channel, void *message)
{
    int count = redis_receive_batch(channel, message, 1);
    return count < 0 ? count : 0;
}

const struct transport transport_redis = {
    .name = "redis",
    .traits = TRAIT_LEASE | TRAIT_PEER,
    .version = redis_version,
    .refuses = redis_refuses,
    .create = redis_create,
    .open = redis_open,
    .close = redis_close,
    .destroy = redis_destroy,
    .send = redis_send,
    .receive = redis_receive,
};

const struct transport transport_redis_piped = {
    .name = "redis-piped",
    .traits = TRAIT_LEASE | TRAIT_IN_BATCHES | TRAIT_PEER,
    .version = redis_version,
    .refuses = redis_refuses,
    .create = redis_create,
    .open = redis_open,
    .close = redis_close,
    .destroy = redis_destroy,
    .send = redis_send,
    .receive = redis_receive,
    .send_batch = redis_send_batch,
    .receive_batch = redis_receive_batch,
};
