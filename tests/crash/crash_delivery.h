/*
 * crash_delivery.h - dying at every instruction of delivery: what the parts share.
 *
 *     crash_delivery.c         one scene, one death; crash_main.c has the options
 *     crash_delivery_scene.c   the queue around a victim, built from letters
 *     crash_delivery_dead.c  who died before the victim comes
 *     crash_delivery_ops.c     the operations a victim performs
 *     crash_delivery_check.c   what must hold once it is dead
 *     crash_delivery_drain.c   and that the queue works on
 *
 * Each operation says in letters where every message is before it and after it, in the
 * order of ids, for each group:
 *
 *     F  waits, beyond the cursor          d  the same, sent with a delay
 *     u  the same, and was updated         x  the same, but its time to live is over
 *     R  waits, returned by a consumer     D  returned, with a delay
 *     U  the same, and was updated         X  returned, but its time to live is over
 *     L  leased by the victim              S  leased by the survivor
 *     P  parked                            Q  in the dead-letter queue, and not here
 *     g  waited, and was removed           G  was returned, and then removed
 *     .  finished, or not yet put
 *
 * "-" in place of all that: there is no such group.  Letters F, d, u, x and g come last.
 *
 * A scene may have a file under it (`crash_file`).
 */
#ifndef CRASH_DELIVERY_H
#define CRASH_DELIVERY_H

#include "crash/crash_main.h"
#include "handle/handle.h"
#include "support/helper.h"
#include "support/message.h"

enum {
    DELIVERY_CAPACITY = 4096,
    DELIVERY_MESSAGES = 40,
    DELIVERY_FILL = 32,   /* messages that fill the ring to the byte, if of DELIVERY_BYTES */
    DELIVERY_BYTES = 128, /* of ring */
    DELIVERY_ENTRIES = 16,
    DELIVERY_GROUPS = 2,
    DELIVERY_BATCH = 3,
};

/* Sources of messages. */
enum {
    FROM_SEED,
    FROM_VICTIM,
    FROM_CORPSE,
    FROM_UPDATE,
    FROM_PROBE,
};

enum delivery_trait {
    BY_EACH = 1 << 0,   /* may have happened to some messages and not to others */
    TOPIC = 1 << 1,     /* a topic, also with one group */
    UNIQUE = 1 << 2,    /* each message has a key of its own */
    PRIORITY = 1 << 3,  /* the order; delivery_priority() */
    LIFO = 1 << 4,      /* likewise */
    FILLS = 1 << 5,     /* messages have DELIVERY_BYTES */
    DROPS = 1 << 6,     /* full=drop */
    FORGETS = 1 << 7,   /* attempts begin anew */
    TO_BACK = 1 << 8,   /* what is returned has lost its place */
    SOLE = 1 << 9,      /* the victim is the sole consumer */
    BARE = 1 << 10,     /* the victim has a handle on the queue, and on no group */
    LETTERS = 1 << 11,  /* there is a dead-letter queue before */
    RELEASED = 1 << 12, /* the victim sleeps until the survivor acknowledges */
};

/* Who died before, and how. */
enum delivery_corpse {
    NOBODY,
    DEAD_INSIDE, /* with all sides' locks, having garbled what is derived */
    DEAD_GROUPS, /* making a group: with the lock for that */
    DEAD_BURIER, /* having sent a dead letter, before it finished the message */
    DEAD_SAME,   /* somewhere in this very operation */
};

struct delivery_scene;

struct delivery_op {
    const char *name;
    void (*act)(struct delivery_scene *s); /* in the victim */
    int64_t rc;
    const char *before[DELIVERY_GROUPS], *after[DELIVERY_GROUPS];
    unsigned traits;
    const struct shmq_policy *policy;
    char lost; /* what a message that the dead had leased becomes; 0: it waits */
    enum delivery_corpse corpse;
    /* What letters do not say: whether it is as before, or as after.  `due`: as after. */
    bool (*verify)(struct delivery_scene *s, shmq_t *g, bool due);
};

/* Handles on a queue and its groups; without a topic group[0] is the queue's. */
struct delivery_handles {
    shmq_t *queue, *group[DELIVERY_GROUPS];
};

/* What the victim tells: shared memory. */
struct delivery_page {
    _Atomic uint32_t done;
    int64_t rc;
    unsigned got_count;
    uint64_t got_ids[DELIVERY_BATCH];
    size_t got_length;
    unsigned char got[DELIVERY_CAPACITY];
    _Atomic uint32_t corpse_done;
};

/* A message as it is found. */
struct delivery_found {
    char letter; /* '.': not there */
    unsigned times;
    uint32_t attempts;
    uint32_t source; /* of its payload */
};

/* How the queue is kept. */
struct delivery_file {
    char path[96];      /* "": not at all */
    bool other;         /* not its own: it is saved to it */
    bool saved_at_once; /* there it is saved when it is made */
    bool save_at_end;
    unsigned journal;                        /* enum shmq_journal */
    bool (*ready)(struct delivery_scene *s); /* when the scene is built; or NULL */
};

struct delivery_scene {
    const struct delivery_op *op;
    struct delivery_page *page;
    struct crash_victim victim;
    char name[64], letters[64]; /* of the queue, and of the one for dead letters */
    struct delivery_file file;
    char before[DELIVERY_GROUPS][DELIVERY_MESSAGES + 1];
    char after[DELIVERY_GROUPS][DELIVERY_MESSAGES + 1];
    unsigned group_count; /* in `before` or `after` */
    uint32_t attempts[DELIVERY_GROUPS][DELIVERY_MESSAGES];
    struct shmq_msg held[DELIVERY_GROUPS][DELIVERY_MESSAGES]; /* by the survivor */
    struct delivery_handles survivor, fresh, own;             /* own: the victim's */
    struct shmq_msg leased[DELIVERY_MESSAGES];                /* by the victim, of group 0 */
    unsigned leased_count;
    struct delivery_found found[DELIVERY_GROUPS][DELIVERY_MESSAGES];
    bool is_there[DELIVERY_GROUPS]; /* the group */
    unsigned message_count;         /* that were put, as far as found */
    bool happened;
    unsigned failures;
    unsigned recoveries;
};

/* --- crash_delivery_ops.c --- */
extern const struct delivery_op delivery_ops[];
extern const unsigned delivery_op_count;
extern const char *const delivery_group_names[DELIVERY_GROUPS];

/* Build what the victim is going to put, DELIVERY_BATCH of them; and they. */
void delivery_prepare_messages(const struct delivery_scene *s);
const struct shmq_msg *delivery_outgoing(void);

/* --- crash_delivery_scene.c --- */
bool delivery_begin(struct delivery_scene *s);
void delivery_end(struct delivery_scene *s);

/* The first part of delivery_begin(): names, letters, the victim; and no queue. */
void delivery_init(struct delivery_scene *s);

/* Open the queue with SHMQ_CREATE, as the operation wants it. */
int delivery_create(const struct delivery_scene *s, int flags, shmq_t **q);

/* Say what is wrong; counts.  Always false. */
bool delivery_fail(struct delivery_scene *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

bool delivery_is_topic(const struct delivery_op *op);

/* Handles on the queue, and on those groups that are there.  0 or an error. */
int delivery_open(struct delivery_scene *s, struct delivery_handles *h, const bool *groups);
void delivery_close(struct delivery_handles *h);

/* Message number `i`: its payload's length, its priority and its key. */
size_t delivery_length(const struct delivery_op *op, unsigned i);
int32_t delivery_priority(const struct delivery_op *op, unsigned i);
const char *delivery_key(unsigned i);

/* Fill *msg with message number `i`, whose payload is written to `bytes`. */
void delivery_message(const struct delivery_op *op, unsigned i, uint32_t source, void *bytes,
                      struct shmq_msg *msg);

/* The survivor puts number `i`, which is the next, as this letter. */
bool delivery_put(struct delivery_scene *s, unsigned i, char letter);

/* In the victim: all that comes before its operation; and that.  Of the scene. */
bool delivery_prepare(void *scene);
void delivery_act(void *scene);

/* --- crash_delivery_dead.c --- */
bool delivery_make_corpse(struct delivery_scene *s);

/* --- crash_delivery_check.c --- */
void delivery_check(struct delivery_scene *s);

/* Its parts.  What the victim reported; who comes first after the death, and opens
 * s->fresh; what is in the queue, through one of the handles; and that it works on. */
bool delivery_check_report(struct delivery_scene *s);
bool delivery_come(struct delivery_scene *s);
bool delivery_judge(struct delivery_scene *s, const struct delivery_handles *h, bool due);
bool delivery_carry_on(struct delivery_scene *s);

/* Handles that all of the groups have which are there. */
const struct delivery_handles *delivery_some_handles(const struct delivery_scene *s);

/* Which groups are there: fills is_there[]. */
void delivery_see_groups(struct delivery_scene *s);

/* Let time-outs, leases of the dead and dead letters be seen to. */
bool delivery_settle(struct delivery_scene *s, const struct delivery_handles *h);

/* All that is in a group: fills found[group].  And in all of them.  False: it failed. */
bool delivery_inspect(struct delivery_scene *s, shmq_t *g, unsigned group);
bool delivery_inspect_all(struct delivery_scene *s, const struct delivery_handles *h);

/* As what message `i` of a group is found, once the operation has happened. */
char delivery_letter_after(const struct delivery_scene *s, unsigned group, unsigned i);

/* Whether something took less than HELPER_LATE_NS; if not, that is a failure. */
bool delivery_in_time(struct delivery_scene *s, int64_t begun_ns, const char *what);

/* --- crash_delivery_drain.c --- */
bool delivery_drain(struct delivery_scene *s);
bool delivery_work_on(struct delivery_scene *s);

#endif
