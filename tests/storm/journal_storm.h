/*
 * journal_storm.h - a queue with a journal, all of whose processes are killed at once, again
 * and again, and what is known of its messages.
 *
 *     journal_storm.c        rounds: work, death of all, the queue made of its file anew
 *     journal_storm_work.c   what producers, consumers and who saves do
 *     journal_storm_check.c  whether all is there that was promised; which moments were hit
 *
 * Each producer that is started is a new generation with numbers from 0.  Before a put it
 * says that it begins, and afterwards that it has returned; and so does a consumer of an
 * acknowledgement.  Once all are dead and the queue is there again the parent finds out what
 * has become of what was under way, and that holds from then on.
 */
#ifndef JOURNAL_STORM_H
#define JOURNAL_STORM_H

#include <stdatomic.h>

#include "support/epochs.h"

enum {
    STORM_PRODUCERS = 3,
    STORM_CONSUMERS = 2,
    STORM_SAVER = STORM_PRODUCERS + STORM_CONSUMERS,
    STORM_WORKERS,
    STORM_NUMBERS = 2048, /* of a generation */
    STORM_GENERATIONS = 1 << 16,
    STORM_PAYLOAD = 1500,
};

enum storm_ack {
    STORM_NOT_ACKED = 0,
    STORM_ACKING,
    STORM_ACKED,
};

struct storm_board {
    _Atomic uint32_t wrong;
    char what[256]; /* is wrong, first */
    _Atomic uint32_t saves, puts, acks;
    struct {
        _Atomic uint32_t begun, returned; /* numbers below may be, are put */
    } generation[STORM_GENERATIONS];
    _Atomic uint8_t ack[STORM_GENERATIONS][STORM_NUMBERS]; /* enum storm_ack */
};

struct storm_variant {
    const char *name;
    const char *folder; /* where the file is */
    uint32_t journal, order;
    uint64_t capacity_bytes;
    bool saves; /* somebody rewrites the journal all the time, and saves to another file */
    bool many;  /* all workers make the queue of the file, who is first does */
};

/* How often all were killed, and where: more than one may be true. */
struct storm_moments {
    uint64_t kills;
    uint64_t no_queue;           /* while it was being made of the file */
    uint64_t lock, sync, saver;  /* somebody had that lock of the file's, ... */
    uint64_t producer, consumer; /* ... or that side */
    uint64_t unput;              /* a frame was written, of what was not put */
    uint64_t beyond;             /* a whole frame stood behind the end that held */
    uint64_t torn;               /* one that was not whole */
    uint64_t replaced;           /* the file was another, and the segment did not know */
    uint64_t unsynced;           /* the folder had not been synced since */
    uint64_t temporary;          /* a file was left beside */
    uint64_t put_held, put_lost; /* puts under way that held, and did not */
    uint64_t ack_held, ack_lost; /* likewise acknowledgements */
};

struct storm_epoch {
    const struct storm_variant *variant;
    char folder[96], file[128], other[128]; /* its file, and another one that is saved to */
    char name[64];
    pid_t worker[STORM_WORKERS];
    uint32_t first, generations; /* of this epoch, and up to now */
    uint64_t seed;
    struct storm_moments *moments;
};

extern struct storm_board *storm_board;

/* Note the first thing that is wrong; counts.  From any process. */
void storm_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Open the queue, which is made of its file if it is not there. */
int storm_open(const struct storm_epoch *e, shmq_t **q);

/* --- journal_storm_work.c: until killed --- */
void storm_produce(shmq_t *q, uint32_t generation, uint64_t seed);
void storm_consume(shmq_t *q, uint64_t seed);
void storm_save(shmq_t *q, const char *other);

/* --- journal_storm_check.c --- */

/* All are dead: how it was just then.  `q` was opened read-only before; NULL: there was none. */
void storm_note_moment(struct storm_epoch *e, shmq_t *q);

/* The queue is there again: all is in it that must be, and nothing else. */
void storm_check(struct storm_epoch *e, shmq_t *q);

#endif
