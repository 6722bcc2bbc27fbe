/*
 * storm.h - many producers and consumers, and what is known of their messages.
 *
 *     storm.c          epochs, killing and replacing, the end
 *     storm_threads.c  the same without deaths, among threads
 *     storm_work.c     what a producer and a consumer do
 *     storm_check.c    whether every message was handed out once, in order
 *
 * Each producer that is started is a new generation with numbers from 0.  Before
 * a put it says how far it may come (`begun`), afterwards how far it has come
 * (`returned`).  A consumer that gets a message enters generation and number in
 * the log, at the message's id.  While it is in a get, `in_hand` says how many
 * messages may be lost with it.
 */
#ifndef STORM_H
#define STORM_H

#include <stdatomic.h>

#include "support/epochs.h"

enum {
    STORM_SIDE = 8,              /* producers, and consumers */
    STORM_GENERATIONS = 1 << 16, /* in an epoch */
    STORM_LOG = 8 << 20,         /* messages in an epoch */
    STORM_LOG_SPARE = 1 << 20,
    STORM_BATCH = 5,
    STORM_PAYLOAD = 2000,
    STORM_LENGTH = STORM_PAYLOAD + 16,
};

enum {
    STORM_RUN,
    STORM_PRODUCERS_END,
    STORM_CONSUMERS_END,
};

struct storm_generation {
    _Atomic uint32_t begun;    /* numbers below it may be in the queue */
    _Atomic uint32_t returned; /* numbers below it are */
};

struct storm_board {
    _Atomic uint32_t phase;
    _Atomic uint32_t wrong;
    char what[256]; /* is wrong, first */
    _Atomic uint32_t in_hand[STORM_SIDE];
    struct storm_generation generation[STORM_GENERATIONS]; /* 0 is the parent */
    _Atomic uint64_t log[STORM_LOG];                       /* by id - 1 */
};

struct storm_totals {
    uint64_t puts, gets, kills, stops, recoveries, dropped, allowed, lost;
    int64_t longest_gap_ns;
    unsigned passed, failed;
};

struct storm_variant {
    const char *name;
    uint64_t capacity_bytes;
    uint32_t full;
    int producer_flags, consumer_flags;
    int side; /* producers, and consumers */
};

struct storm_epoch {
    const struct storm_variant *variant;
    char name[64];
    shmq_t *monitor;
    struct epochs_worker worker[2][STORM_SIDE]; /* producers, consumers */
    uint32_t generations;
    uint64_t allowed, seed;
    struct epochs_progress progress;
    struct storm_totals *totals;
};

extern struct storm_board *storm_board;

/* Note the first thing that is wrong; counts.  From any process. */
void storm_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Until the phase is over.  Used by processes and threads. */
void storm_produce(shmq_t *q, uint32_t generation, uint64_t seed);
void storm_consume(shmq_t *q, int number, uint64_t seed);

/* Put one message as generation 0; log one that was got. */
bool storm_put_one(shmq_t *q);
void storm_log(const void *bytes, const struct shmq_info *info);

/*
 * After an epoch: the messages with ids up to last_id are all logged or among
 * `allowed` that may be missing; adds to totals.
 */
void storm_check(uint64_t last_id, uint32_t generations, uint64_t allowed, uint64_t dropped,
                 struct storm_totals *totals);

/* Begin an epoch with a new queue; see that it makes progress; whether it is to go on (until
 * until_ns, and then until there is progress again if there was none for a second); end it
 * and print how it went. */
void storm_open(struct storm_epoch *e);
void storm_watch(struct storm_epoch *e, int64_t now_ns);
bool storm_goes_on(const struct storm_epoch *e, int64_t now_ns, int64_t until_ns);
void storm_settle(struct storm_epoch *e);
void storm_close(struct storm_epoch *e, int64_t begun_ns);

void storm_run_threads(const struct storm_variant *variant, int64_t length_ns, uint64_t seed,
                       struct storm_totals *totals);

#endif
