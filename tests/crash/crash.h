/*
 * crash.h - dying at every instruction: what the parts of `crash` share.
 *
 *     crash.c        one scene, one death; crash_main.c has the options and the count
 *     crash_scene.c  the queue around it, and what of it is known
 *     crash_ops.c    the operations a victim performs
 *     crash_check.c  what must hold once it is dead
 */
#ifndef CRASH_H
#define CRASH_H

#include "crash/crash_step.h"
#include "handle/handle.h"
#include "support/helper.h"
#include "support/message.h"

enum {
    CRASH_CAPACITY = 4096,
    CRASH_BATCH = 3,
    CRASH_NO_HANDLE = 8,
    CRASH_FILL = 32,    /* messages of CRASH_LENGTH that fill the ring to the byte */
    CRASH_LENGTH = 104, /* with the record's header an eighth of 1 KiB */
};

/* Sources of messages. */
enum {
    FROM_SEED,
    FROM_VICTIM,
    FROM_PROBE,
    FROM_WAKER,
    FROM_SLEEPER,
    FROM_CORPSE,
};

enum crash_kind {
    PLAIN,
    CRASH_CREATE, /* there is no queue before */
    CRASH_UNLINK, /* there may be none after */
};

struct crash_scene;

/* An operation, and the scene it needs. */
struct crash_op {
    const char *name;
    void (*act)(struct crash_scene *scene); /* in the victim */
    enum crash_kind kind;
    uint32_t full; /* enum shmq_full */
    unsigned seeds;
    int flags;            /* SHMQ_SOLE_...: what the victim has, or takes, alone */
    unsigned ready;       /* roles it has claimed before, as bits, or CRASH_NO_HANDLE */
    unsigned takes, puts; /* messages the operation moves */
    bool hands_out;       /* those it takes are the victim's afterwards */
    int sleeper;          /* role of a process that sleeps meanwhile, or -1 */
    int waits;            /* role in which the victim itself sleeps, or -1 */
    int corpse;           /* role on which somebody died before, or -1 */
};

/* What the victim and the sleeper tell: shared memory. */
struct crash_page {
    _Atomic uint32_t done; /* the victim's operation has returned */
    int64_t rc;
    struct shmq_info infos[CRASH_BATCH];
    unsigned char got[CRASH_CAPACITY];
    _Atomic uint32_t sleeper_done;
    int64_t sleeper_rc;
    struct shmq_info sleeper_info;
    unsigned char sleeper_got[CRASH_LENGTH * 4];
};

struct crash_item {
    uint32_t source, seq;
};

struct crash_scene {
    const struct crash_op *op;
    struct crash_page *page;
    char name[64];
    struct crash_victim victim;
    shmq_t *survivor;
    shmq_t *putter[2], *getter[2]; /* after the kill: one from before, one fresh */
    shmq_t *fresh;
    shmq_t *handle; /* in the victim */
    pid_t sleeper;
    uint64_t tail_before, cursor_before;
    unsigned takes, puts;                     /* what of the victim's is not yet known */
    struct crash_item items[CRASH_FILL + 16]; /* what is in the queue, as far as known */
    unsigned item_count;
    uint64_t first_id;
    uint32_t probes;
    bool happened; /* the victim's operation took place */
    unsigned failures;
    unsigned recoveries;
};

/* --- crash_ops.c --- */
extern const struct crash_op crash_ops[];
extern const unsigned crash_op_count;

/* Build what the victim is going to put. */
void crash_prepare_messages(const struct crash_op *op);

/* --- crash_scene.c --- */

/* Build the scene: the queue, its seeds, corpse and sleeper.  False: it failed. */
bool crash_scene_begin(struct crash_scene *s);

/* Take away all that is left of it. */
void crash_scene_end(struct crash_scene *s);

/* Say what is wrong; counts.  Always false. */
bool crash_fail(struct crash_scene *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How long message `seq` of a source is in this scene. */
size_t crash_length(const struct crash_op *op, uint32_t seq);

void crash_push(struct crash_scene *s, uint32_t source, uint32_t seq);
void crash_pop(struct crash_scene *s);

/* Whether these bytes are items[index], with the right id. */
bool crash_is_item(struct crash_scene *s, unsigned index, const void *bytes, ssize_t length,
                   const struct shmq_info *info, const char *who);

/* Put a probe, or take what is first: in time, and as it must be. */
bool crash_give(struct crash_scene *s, shmq_t *q, uint32_t source, uint32_t seq);
bool crash_take(struct crash_scene *s, shmq_t *q);

/* --- crash_check.c --- */
void crash_check(struct crash_scene *s);

#endif
