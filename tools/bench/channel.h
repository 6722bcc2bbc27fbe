/*
 * channel.h - the interface between the workloads and the transports.
 *
 * The life of a channel: the parent fills in what is wanted and calls create(),
 * forks, and each child calls open() for the side it plays and then only calls
 * of that side; the parent calls destroy() when all children are gone, killed
 * ones included.  Functions return 0 or a negative errno value.
 *
 * C++ transports include this header too, so it holds nothing but plain C.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum trait {
    TRAIT_STREAM = 1 << 0, /* carries a stream of messages */
    TRAIT_BLOCKS = 1 << 1, /* its receive sleeps in the kernel */
    TRAIT_POLLS = 1 << 2,  /* has try_send and try_receive */
    TRAIT_BATCH = 1 << 3,  /* has send_batch and receive_batch */
    TRAIT_MANY = 1 << 4,   /* several producers and consumers at once */
    TRAIT_CROWD = 1 << 5,  /* a shmq queue with shared handles */
    TRAIT_SPREAD = 1 << 6, /* no single order: what is sent last may come first.
                              receive() gives up after a while, -ETIMEDOUT */
    TRAIT_PEER = 1 << 7,   /* somebody else's: only with --peers */
    TRAIT_FLOOR = 1 << 8,  /* not a queue, but what the hardware allows */
    /* These take part in one workload each; plain shmq does too, to compare with. */
    TRAIT_LEASE = 1 << 9,       /* what is received is acknowledged */
    TRAIT_IN_BATCHES = 1 << 10, /* and that with the calls for batches */
    TRAIT_WAITING = 1 << 11,    /* gets choose from many that wait */
    TRAIT_TOPIC = 1 << 12,      /* each put is for several groups */
    TRAIT_DELAY = 1 << 13,      /* some of what is there is not due yet */
    /* In files: these too take part in a workload or two each. */
    TRAIT_DURABLE = 1 << 14, /* what was sent is on the disk; many producers at once */
    TRAIT_WRITTEN = 1 << 15, /* what was sent is in a file; with batches */
    TRAIT_JOURNAL = 1 << 16, /* and so is that it was received */
    TRAIT_FILED = 1 << 17,   /* has save() and load() */
    TRAIT_SAVED = 1 << 18    /* and may be saved while it is in use */
};

enum side { SIDE_PRODUCER, SIDE_CONSUMER };

struct channel {
    const struct transport *transport;
    size_t size;           /* payload bytes of each message, a multiple of 8 */
    size_t capacity_bytes; /* how much it should buffer */
    const char *folder;    /* for what is kept in files (disk.h) */
    unsigned producers;
    unsigned consumers;
    unsigned number;       /* of this process among those of its side */
    struct channel *other; /* the other direction of a ping-pong, made first */
    char name[64];         /* for named objects; no two channels share it */
    void *state;           /* the transport's own */
};

struct transport {
    const char *name; /* as in tables and for --transports */
    unsigned traits;
    const char *missing;          /* why it is not built; NULL: it is */
    const char *(*version)(void); /* NULL: the kernel's */
    /* NULL if it can carry messages of `size` bytes, else the reason; may be NULL. */
    const char *(*refuses)(size_t size, unsigned consumers);
    int (*create)(struct channel *channel);
    int (*open)(struct channel *channel, enum side side);
    void (*close)(struct channel *channel, enum side side); /* in the child; may be NULL */
    void (*destroy)(struct channel *channel);
    int (*send)(struct channel *channel, const void *message);
    int (*receive)(struct channel *channel, void *message);
    int (*try_send)(struct channel *channel, const void *message); /* -EAGAIN */
    int (*try_receive)(struct channel *channel, void *message);    /* -EAGAIN */
    /* Messages lie one after another.  Both return how many, at least 1. */
    int (*send_batch)(struct channel *channel, const void *messages, unsigned count);
    int (*receive_batch)(struct channel *channel, void *messages, unsigned count);
    /* All there is into a file and onto the disk, by a consumer; and read from there. */
    int (*save)(struct channel *channel);
    int (*load)(struct channel *channel);
    /* How many messages there are by what is in the files alone, when all the children
     * are gone (of what was loaded: before destroy()). */
    int (*kept)(struct channel *channel, uint64_t *count);
};

static inline void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/*
 * What a ring without a wait of its own does when it is found full or empty, the
 * `tries`th time in a row.  Standing off for about a microsecond lets the other
 * side run ahead instead of bouncing each line; yielding lets it run at all
 * when both share a core.
 */
static inline void ring_backoff(unsigned tries, unsigned pauses)
{
    for (unsigned i = 0; i < pauses; i++)
        cpu_pause();
    if (tries > 200)
        sched_yield();
}

/* How many messages fit, at least `least`; rings: a power of two. */
static inline size_t channel_slots(const struct channel *channel, size_t least)
{
    size_t count = channel->capacity_bytes / channel->size;
    return count < least ? least : count;
}

static inline size_t channel_slots_pow2(const struct channel *channel)
{
    size_t count = 8;
    while (count * 2 * channel->size <= channel->capacity_bytes)
        count *= 2;
    return count;
}

/* Shared by this process and those it forks, zeroed; NULL when there is no memory. */
void *shared_map(size_t size);
void shared_unmap(void *memory, size_t size);

#ifdef __cplusplus
}
#endif

#endif
