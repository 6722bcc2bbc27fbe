/*
 * floor.c - what the hardware allows: a bare ring and a bouncing cache line.
 *
 * The bare ring has slots of the message's size, no lock, no wait, no checks, no
 * header; each side keeps a copy of the other's position and reads the real one
 * only when it seems full or empty, and stands off a little when it is.  Sizes
 * that the benchmark uses by itself are known to the compiler.
 *
 * The cache line is one word in shared memory that two processes write by turns,
 * odd values one way and even values the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

/* Pauses when full or empty: of 0, 40 and 100, those with none move a third fewer messages. */
enum { RING_PAUSES = 40 };

struct bare {
    _Alignas(128) _Atomic uint64_t tail; /* producer */
    uint64_t head_seen;
    _Alignas(128) _Atomic uint64_t head; /* consumer */
    uint64_t tail_seen;
    _Alignas(128) uint64_t mask;
    size_t map_size;
    _Alignas(128) unsigned char slots[];
};

static int bare_create(struct channel *channel)
{
    size_t count = channel_slots_pow2(channel);
    size_t bytes = sizeof(struct bare) + count * channel->size;
    struct bare *ring = shared_map(bytes);
    if (!ring)
        return -ENOMEM;
    ring->mask = count - 1;
    ring->map_size = bytes;
    channel->state = ring;
    return 0;
}

static int nothing_to_open(struct channel *channel, enum side side)
{
    (void)channel;
    (void)side;
    return 0;
}

static void bare_destroy(struct channel *channel)
{
    struct bare *ring = channel->state;
    if (ring)
        shared_unmap(ring, ring->map_size);
}

/* memcpy with a length the compiler knows, where it is a usual one. */
static inline void copy(void *to, const void *from, size_t size)
{
    switch (size) {
    case 8:
        memcpy(to, from, 8);
        break;
    case 64:
        memcpy(to, from, 64);
        break;
    case 256:
        memcpy(to, from, 256);
        break;
    default:
        memcpy(to, from, size);
    }
}

static int bare_try_send(struct channel *channel, const void *message)
{
    struct bare *ring = channel->state;
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - ring->head_seen > ring->mask) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (tail - ring->head_seen > ring->mask)
            return -EAGAIN;
    }
    copy(ring->slots + (tail & ring->mask) * channel->size, message, channel->size);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return 0;
}

static int bare_try_receive(struct channel *channel, void *message)
{
    struct bare *ring = channel->state;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == ring->tail_seen) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == ring->tail_seen)
            return -EAGAIN;
    }
    copy(message, ring->slots + (head & ring->mask) * channel->size, channel->size);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return 0;
}

static int bare_send(struct channel *channel, const void *message)
{
    for (unsigned tries = 0; bare_try_send(channel, message); tries++)
        ring_backoff(tries, RING_PAUSES);
    return 0;
}

static int bare_receive(struct channel *channel, void *message)
{
    for (unsigned tries = 0; bare_try_receive(channel, message); tries++)
        ring_backoff(tries, RING_PAUSES);
    return 0;
}

const struct transport transport_bare = {
    .name = "bare-ring",
    .traits = TRAIT_STREAM | TRAIT_POLLS | TRAIT_FLOOR,
    .create = bare_create,
    .open = nothing_to_open,
    .destroy = bare_destroy,
    .send = bare_send,
    .receive = bare_receive,
    .try_send = bare_try_send,
    .try_receive = bare_try_receive,
};

struct line {
    _Alignas(128) _Atomic uint64_t word;
};

static int line_create(struct channel *channel)
{
    channel->state = channel->other ? channel->other->state : shared_map(sizeof(struct line));
    return channel->state ? 0 : -ENOMEM;
}

static void line_destroy(struct channel *channel)
{
    if (!channel->other)
        shared_unmap(channel->state, sizeof(struct line));
}

/* The way there writes odd values, the way back even ones. */
static int line_try_send(struct channel *channel, const void *message)
{
    struct line *line = channel->state;
    uint64_t word;
    memcpy(&word, message, sizeof word);
    atomic_store_explicit(&line->word, (word + 1) << 1 | !channel->other, memory_order_release);
    return 0;
}

static int line_try_receive(struct channel *channel, void *message)
{
    struct line *line = channel->state;
    uint64_t word = atomic_load_explicit(&line->word, memory_order_acquire);
    if (word == 0 || (word & 1) != !channel->other)
        return -EAGAIN;
    word = (word >> 1) - 1;
    memcpy(message, &word, sizeof word);
    memcpy((char *)message + channel->size - 8, &word, sizeof word);
    return 0;
}

const struct transport transport_line = {
    .name = "cache-line",
    .traits = TRAIT_POLLS | TRAIT_FLOOR,
    .create = line_create,
    .open = nothing_to_open,
    .destroy = line_destroy,
    .try_send = line_try_send,
    .try_receive = line_try_receive,
};
