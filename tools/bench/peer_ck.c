/*
 * peer_ck.c - Concurrency Kit's ck_ring in shared memory, with slots of the
 * message's size: for one producer and one consumer, and for many.  Its slot
 * types are fixed when it is compiled, so only the sizes below exist.  It has no
 * wait: full or empty, it stands off as the bare ring does.
 */
#include <errno.h>
#include <ck_ring.h>

#include "bench/bench.h"

enum { RING_PAUSES = 40 };

struct slot8 {
    unsigned char bytes[8];
};
struct slot64 {
    unsigned char bytes[64];
};
struct slot256 {
    unsigned char bytes[256];
};
struct slot1024 {
    unsigned char bytes[1024];
};
struct slot4096 {
    unsigned char bytes[4096];
};
struct slot65536 {
    unsigned char bytes[65536];
};

CK_RING_PROTOTYPE(slot8, slot8)
CK_RING_PROTOTYPE(slot64, slot64)
CK_RING_PROTOTYPE(slot256, slot256)
CK_RING_PROTOTYPE(slot1024, slot1024)
CK_RING_PROTOTYPE(slot4096, slot4096)
CK_RING_PROTOTYPE(slot65536, slot65536)

struct ring_and_slots {
    _Alignas(128) struct ck_ring ring;
    size_t map_size;
    _Alignas(128) unsigned char slots[];
};

static const char *ring_refuses(size_t size, unsigned consumers)
{
    (void)consumers;
    switch (size) {
    case 8:
    case 64:
    case 256:
    case 1024:
    case 4096:
    case 65536:
        return NULL;
    default:
        return "built for 8, 64, 256, 1024, 4096 and 65536 bytes";
    }
}

static int ring_create(struct channel *channel)
{
    size_t count = channel_slots_pow2(channel);
    size_t bytes = sizeof(struct ring_and_slots) + count * channel->size;
    struct ring_and_slots *shared = shared_map(bytes);
    if (!shared)
        return -ENOMEM;
    ck_ring_init(&shared->ring, (unsigned)count);
    shared->map_size = bytes;
    channel->state = shared;
    return 0;
}

static int ring_open(struct channel *channel, enum side side)
{
    (void)channel;
    (void)side;
    return 0;
}

static void ring_destroy(struct channel *channel)
{
    struct ring_and_slots *shared = channel->state;
    if (shared)
        shared_unmap(shared, shared->map_size);
}

static int spsc_try_send(struct channel *channel, const void *message)
{
    struct ring_and_slots *shared = channel->state;
    /* ck_ring's typed calls only read it, but do not say so. */
    void *from = (void *)(uintptr_t)message, *slots = shared->slots;
    bool done = false;
    switch (channel->size) {
    case 8:
        done = ck_ring_enqueue_spsc_slot8(&shared->ring, slots, from);
        break;
    case 64:
        done = ck_ring_enqueue_spsc_slot64(&shared->ring, slots, from);
        break;
    case 256:
        done = ck_ring_enqueue_spsc_slot256(&shared->ring, slots, from);
        break;
    case 1024:
        done = ck_ring_enqueue_spsc_slot1024(&shared->ring, slots, from);
        break;
    case 4096:
        done = ck_ring_enqueue_spsc_slot4096(&shared->ring, slots, from);
        break;
    case 65536:
        done = ck_ring_enqueue_spsc_slot65536(&shared->ring, slots, from);
        break;
    }
    return done ? 0 : -EAGAIN;
}

static int spsc_try_receive(struct channel *channel, void *message)
{
    struct ring_and_slots *shared = channel->state;
    void *slots = shared->slots;
    bool done = false;
    switch (channel->size) {
    case 8:
        done = ck_ring_dequeue_spsc_slot8(&shared->ring, slots, message);
        break;
    case 64:
        done = ck_ring_dequeue_spsc_slot64(&shared->ring, slots, message);
        break;
    case 256:
        done = ck_ring_dequeue_spsc_slot256(&shared->ring, slots, message);
        break;
    case 1024:
        done = ck_ring_dequeue_spsc_slot1024(&shared->ring, slots, message);
        break;
    case 4096:
        done = ck_ring_dequeue_spsc_slot4096(&shared->ring, slots, message);
        break;
    case 65536:
        done = ck_ring_dequeue_spsc_slot65536(&shared->ring, slots, message);
        break;
    }
    return done ? 0 : -EAGAIN;
}

static int mpmc_try_send(struct channel *channel, const void *message)
{
    struct ring_and_slots *shared = channel->state;
    void *from = (void *)(uintptr_t)message, *slots = shared->slots;
    bool done = channel->size == 64 ? ck_ring_enqueue_mpmc_slot64(&shared->ring, slots, from)
                                    : ck_ring_enqueue_mpmc_slot256(&shared->ring, slots, from);
    return done ? 0 : -EAGAIN;
}

static int mpmc_try_receive(struct channel *channel, void *message)
{
    struct ring_and_slots *shared = channel->state;
    void *slots = shared->slots;
    bool done = channel->size == 64 ? ck_ring_dequeue_mpmc_slot64(&shared->ring, slots, message)
                                    : ck_ring_dequeue_mpmc_slot256(&shared->ring, slots, message);
    return done ? 0 : -EAGAIN;
}

static const char *mpmc_refuses(size_t size, unsigned consumers)
{
    (void)consumers;
    return size == 64 || size == 256 ? NULL : "built for 64 and 256 bytes";
}

static int spsc_send(struct channel *channel, const void *message)
{
    for (unsigned tries = 0; spsc_try_send(channel, message); tries++)
        ring_backoff(tries, RING_PAUSES);
    return 0;
}

static int spsc_receive(struct channel *channel, void *message)
{
    for (unsigned tries = 0; spsc_try_receive(channel, message); tries++)
        ring_backoff(tries, RING_PAUSES);
    return 0;
}

static int mpmc_send(struct channel *channel, const void *message)
{
    for (unsigned tries = 0; mpmc_try_send(channel, message); tries++)
        ring_backoff(tries, RING_PAUSES);
    return 0;
}

static int mpmc_receive(struct channel *channel, void *message)
{
    for (unsigned tries = 0; mpmc_try_receive(channel, message); tries++)
        ring_backoff(tries, RING_PAUSES);
    return 0;
}

const struct transport transport_ck_spsc = {
    .name = "ck-ring-spsc",
    .traits = TRAIT_STREAM | TRAIT_POLLS | TRAIT_PEER,
    .refuses = ring_refuses,
    .create = ring_create,
    .open = ring_open,
    .destroy = ring_destroy,
    .send = spsc_send,
    .receive = spsc_receive,
    .try_send = spsc_try_send,
    .try_receive = spsc_try_receive,
};

const struct transport transport_ck_mpmc = {
    .name = "ck-ring-mpmc",
    .traits = TRAIT_STREAM | TRAIT_MANY | TRAIT_PEER,
    .refuses = mpmc_refuses,
    .create = ring_create,
    .open = ring_open,
    .destroy = ring_destroy,
    .send = mpmc_send,
    .receive = mpmc_receive,
};
