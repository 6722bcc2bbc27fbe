/*
 * lease_storm.h - producers and consumers by leases, killed at any moment, and what is
 * known of their messages.
 *
 *     lease_storm.c        epochs, killing and replacing, the end
 *     lease_storm_work.c   what a producer and a consumer do
 *     lease_storm_check.c  whether every message was acknowledged once by each group
 *
 * Ids count the messages of a queue from 1, so that all there is to know of a message is
 * noted under its id.  A consumer says what it has in hand, and before it acknowledges
 * a message that it is about to: if it is killed then, nobody can tell whether that
 * has happened, and such a message, one a kill, is the only kind that may be missing
 * from the log.
 */
#ifndef LEASE_STORM_H
#define LEASE_STORM_H

#include <stdatomic.h>

#include "handle/handle.h"
#include "support/epochs.h"

enum {
    LEASE_GROUPS = 2,
    LEASE_PRODUCERS = 3,
    LEASE_CONSUMERS = 6, /* the first half of them of the first group, where there are two */
    LEASE_WORKERS = LEASE_PRODUCERS + LEASE_CONSUMERS,
    LEASE_HAND = 4,
    LEASE_LOG = 1 << 20, /* messages in an epoch */
    LEASE_LOG_SPARE = 1 << 14,
    LEASE_GENERATIONS = 1 << 14,
    LEASE_TIMES = 1 << 16,
    LEASE_KEYS = 64,
    LEASE_PAYLOAD = 1200,
};

enum {
    LEASE_RUN,
    LEASE_PRODUCERS_END,
    LEASE_CONSUMERS_END,
};

/* In a hand: it is about to be acknowledged. */
#define LEASE_ACKING ((uint64_t)1 << 63)

/* What is known of a message in a group. */
struct lease_note {
    _Atomic uint32_t delivered, attempts; /* how often, and the most it said */
    _Atomic uint32_t acked, acked_with;   /* how often, and at which attempt */
    _Atomic uint32_t unsure;              /* who was about to acknowledge it was killed */
    _Atomic int64_t lost_ns;              /* when its holder was killed; 0: none was */
    _Atomic uint32_t dead_letters;        /* times it is a dead letter */
};

struct lease_board {
    _Atomic uint32_t phase;
    _Atomic uint32_t wrong;
    char what[256]; /* is wrong, first */
    _Atomic uint64_t hand[LEASE_CONSUMERS][LEASE_HAND];
    struct {
        _Atomic uint32_t begun, returned; /* numbers below may be, are in the queue */
    } generation[LEASE_GENERATIONS];
    _Atomic uint32_t times;              /* redeliveries after a kill */
    uint32_t times_us[LEASE_TIMES];      /* how long each took */
    _Atomic uint64_t content[LEASE_LOG]; /* by id - 1: generation << 32 | number + 1 */
    struct lease_note note[LEASE_GROUPS][LEASE_LOG];
};

enum lease_trait {
    LEASE_NACKS = 1,   /* some messages are given back, some for a while */
    LEASE_LETTERS = 2, /* some are rejected, attempts are limited; with a dead-letter queue */
    LEASE_EXPIRES = 4, /* leases do end by themselves */
    LEASE_UNIQUE = 8,
};

struct lease_variant {
    const char *name;
    uint64_t capacity_bytes;
    unsigned groups; /* 1: a plain queue */
    uint32_t order;
    unsigned traits;
    int64_t lease_ns;
};

struct lease_totals {
    uint64_t messages, acks, unsure, unsure_missing, letters, redelivered, kills, stops, recoveries;
    int64_t longest_gap_ns;
    unsigned passed, failed;
};

struct lease_epoch {
    const struct lease_variant *variant;
    char name[64], letters[64];
    shmq_t *queue, *group[LEASE_GROUPS];
    struct epochs_worker worker[LEASE_WORKERS]; /* producers first */
    uint32_t generations;
    uint64_t seed;
    struct epochs_progress progress;
    struct lease_totals *totals;
};

extern struct lease_board *lease_board;

/* Note the first thing that is wrong; counts.  From any process. */
void lease_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- lease_storm_work.c: until the phase is over --- */
void lease_produce(const struct lease_variant *v, shmq_t *q, uint32_t generation, uint64_t seed);
void lease_consume(const struct lease_variant *v, shmq_t *g, unsigned group, int worker,
                   uint64_t seed);

/* --- lease_storm_check.c --- */

/* A consumer of this group, with so much in hand, was killed. */
void lease_note_killed(unsigned group, int worker);

/* When all has come to its end: see that nothing is missing; adds to totals. */
void lease_check(struct lease_epoch *e);

/* Print how long redeliveries took, and forget that. */
void lease_report_times(const char *name);

#endif
