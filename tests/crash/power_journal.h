/*
 * power_journal.h - power cuts while a journal is written and rewritten: what the parts share.
 *
 *     power_journal.c         options, configurations, the states and what became of them
 *     power_journal_ledger.c    what is in the queue after each deed
 *     power_journal_run.c     the run that is recorded: processes that take turns, and a saver
 *     power_journal_ops.c   how each deed is done
 *     power_journal_check.c   whether a queue that was made of a state is as the book says
 *     power_journal_flood.c   another run, in which many put and acknowledge at once
 *
 * A run is a row of deeds, each of which has returned before the next one begins, by one
 * process or the other; meanwhile a third one rewrites the journal.  All deeds are written
 * down, with what came of them, in memory that the run shares with who looks at the states
 * afterwards, and keeps the same book of them.
 *
 * A state must be as the book was after some number of deeds: not fewer than had been
 * promised, and not more than had been begun.
 */
#ifndef POWER_JOURNAL_H
#define POWER_JOURNAL_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "disk/place.h"
#include "disk/states.h"
#include "shmq.h"

enum {
    BOOK_IDS = 2048,
    BOOK_GROUPS = 3,
    BOOK_WORKERS = 2,
    BOOK_MAX = 2500, /* payload */
    BOOK_KEYS = 60,
    DEEDS_MAX = 1500,
    DEED_IDS = 6, /* messages in one deed */
};

#define BOOK_LATER_NS SHMQ_SEC(3600) /* delays, lives: longer than all of this takes */

struct journal_config {
    const char *name;
    uint32_t journal, order;
    int flags; /* SHMQ_TOPIC, SHMQ_UNIQUE */
    uint64_t capacity_bytes;
    uint32_t max_attempts;
};

/* --- deeds ------------------------------------------------------------------------- */

enum deed_kind {
    DEED_PUT,
    DEED_PUT_MANY,
    DEED_COMMIT,
    DEED_SEND,
    DEED_SEND_MANY,
    DEED_GET,
    DEED_GET_MANY,
    DEED_RECEIVE,
    DEED_NEXT, /* acknowledges `id` */
    DEED_ACK,
    DEED_NACK,
    DEED_REJECT,
    DEED_TOUCH,
    DEED_REDRIVE,
    DEED_PURGE,
    DEED_UPDATE,
    DEED_REMOVE,
    DEED_SUBSCRIBE,
    DEED_UNSUBSCRIBE,
    DEED_SEEK,
    DEED_PAUSE,
    DEED_POLICY,
    DEED_PART,
    DEED_SYNC,
    DEED_KINDS,
};

struct deed {
    uint8_t kind, group, worker;
    uint8_t count;          /* of messages: asked for, and then how many there were */
    int32_t rc;             /* what the call returned, if negative; else 0 */
    int64_t arg;            /* delay, reason, start, whether to pause, ... */
    bool to_back;           /* DEED_NACK */
    uint64_t id;            /* of one message; the first of those put; where a group starts */
    uint64_t ids[DEED_IDS]; /* of several */
};

/* What a run shares. */
struct journal_shared {
    sem_t turn[BOOK_WORKERS], done, save;
    _Atomic uint32_t returned; /* deeds */
    _Atomic uint32_t saving, saves;
    _Atomic uint32_t meanwhile; /* deeds that returned while a save went on */
    _Atomic uint32_t ending;
    uint32_t count; /* of deeds that were begun */
    struct deed deeds[DEEDS_MAX];
};

/* --- the book ------------------------------------------------------------------------ */

/* A message in a group. */
enum book_state {
    BOOK_GONE = 0, /* finished, or not put yet */
    BOOK_WAITING,
    BOOK_DELAYED,
    BOOK_LEASED,
    BOOK_DEAD,
};

struct book_part {
    uint8_t state;
    uint8_t owner;     /* LEASED: the worker */
    uint16_t attempts; /* deliveries, ... */
    uint16_t written;  /* ... and how many are in the file, at least */
    uint32_t reason;   /* DEAD */
    uint64_t seq;      /* among equals */
};

struct book_group {
    bool there, paused;
    uint32_t life; /* how often it was made */
    int64_t lease_ns;
    uint64_t back; /* the last sequence at the back */
};

struct book_message {
    bool plain, removed;
    uint16_t version;
};

struct book {
    const struct journal_config *config;
    uint64_t next_id;
    uint32_t deeds; /* that are in it */
    struct book_group groups[BOOK_GROUPS];
    struct book_message messages[BOOK_IDS];
    struct book_part parts[BOOK_GROUPS][BOOK_IDS];
};

void book_begin(struct book *b, const struct journal_config *config);

/* Add what a deed did.  NULL, or what cannot be. */
const char *book_add(struct book *b, const struct deed *deed);

/* The message that a group hands out next; 0: none. */
uint64_t book_next(const struct book *b, unsigned group);
bool book_comes_before(const struct book *b, unsigned group, uint64_t one, uint64_t other);

/* Whether a message that is not finished, and not parked, has the key of message `id`. */
bool book_has_key(const struct book *b, uint64_t id);

/* What is to be said to an update or a removal: 0, -ENOENT, -EBUSY. */
int book_changeable(const struct book *b, uint64_t id);

/* Its time to live is over as soon as it is put: it may be there or not. */
bool book_is_mortal(const struct book *b, uint64_t id);

/* A message as it is sent: all of it follows from its id. */
struct book_bytes {
    unsigned char payload[BOOK_MAX];
    char key[24], value[24];
    struct shmq_header headers[2];
};

void book_describe(const struct journal_config *config, uint64_t id, bool plain, uint16_t version,
                   struct shmq_msg *msg, struct book_bytes *bytes);

/* --- the others ------------------------------------------------------------------------ */

extern const char *const journal_group_names[BOOK_GROUPS];

/* Say what is wrong, and end. */
void journal_must(bool good, const char *what, long long figure);
uint64_t journal_random(uint64_t *state, uint64_t below);

/* The run; its exit status. */
int journal_run(const struct disk_place *place, const struct journal_config *config,
                const char *queue, uint64_t seed, unsigned deeds);

/* In a worker: do this deed, and write down what came of it. */
struct journal_worker;
struct journal_worker *journal_attach(const struct journal_config *config, const char *queue,
                                      unsigned number);
void journal_do(struct journal_worker *w, struct deed *deed, uint32_t life);
void journal_detach(struct journal_worker *w);

/* What is in a queue. */
struct found_part {
    uint8_t state; /* enum book_state; never LEASED */
    uint16_t attempts, version;
    uint32_t reason;
};

struct found {
    uint64_t next_id;
    struct {
        bool there, paused;
        int64_t lease_ns;
        struct found_part parts[BOOK_IDS];
        uint16_t order[BOOK_IDS]; /* in which they came, ... */
        unsigned count;           /* ... so many */
    } groups[BOOK_GROUPS];
};

/* Look at all of it; `last`: the book with all that was ever put.  NULL, or what is wrong. */
const char *journal_find(shmq_t *q, const struct book *last, struct found *found);

/* After that: take all that is to be had, and put another.  NULL, or what is wrong. */
const char *journal_drain(shmq_t *q, const struct book *last, struct found *found);

/* Whether what was found is what the book says; or else why not. */
bool journal_same(const struct book *b, const struct found *found, const char **why);

/* Crash_journal_flood.c: the run, and all its states. */
int flood_run(const struct disk_place *place, const char *queue, uint64_t seed);
void flood_check(const struct disk_place *place, const char *queue, uint64_t seed, uint64_t most);

#endif
