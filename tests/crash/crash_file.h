/*
 * crash_file.h - dying at every instruction of what touches a queue's file: what the parts
 * share.
 *
 *     crash_file.c         one scene, one death; crash_main.c has the options
 *     crash_file_ops.c     the operations a victim performs
 *     crash_file_scene.c   the file, who died before, who comes beside
 *     crash_file_check.c   what must hold once the victim is dead
 *     crash_file_image.c    and of the file: what a queue made of it has
 *
 * Scenes are those of `crash_delivery`, in letters (crash_delivery.h), with a file under
 * them; many of its operations are performed as they are, with a journal.
 */
#ifndef CRASH_FILE_H
#define CRASH_FILE_H

#include "crash/crash_delivery.h"

/* What the operation is to the file, if that is no journal.  One that is has all. */
enum keep_kind {
    KEEP_NOTHING,      /* it stays as it is: as it was when the queue was made */
    KEEP_SAVES,        /* the queue is saved to it */
    KEEP_SAVES_AT_END, /* likewise, by the last handle that is closed */
    KEEP_SAVES_OTHER,  /* the queue, which has none, is saved to a file that is not there */
    KEEP_SAVES_OVER,   /* and to one that is */
    KEEP_CREATES,      /* there is neither file nor queue before */
    KEEP_RESTORES,     /* there is no queue before */
    KEEP_LOADS,        /* likewise, and the queue does not keep the file */
};

/* Who died before, and how. */
enum keep_corpse {
    KEEP_NOBODY,
    KEEP_DEAD_SAVER,    /* having pinned all, with a file half written */
    KEEP_DEAD_APPENDER, /* with the journal's lock, having written half a frame */
    KEEP_DEAD_SYNCER,   /* with the lock for that */
    KEEP_DEAD_PUTTER,   /* its message in the journal, and not in the ring */
    KEEP_DEAD_SAVING,   /* at any system call of saving */
};

/* Who comes while the victim is stopped at its last place, and has to get on after the
 * death. */
enum keep_beside {
    KEEP_ALONE,
    KEEP_OPENS_BESIDE,
    KEEP_SYNCS_BESIDE,
};

enum keep_journals {
    KEEP_OS = 1 << SHMQ_JOURNAL_OS,
    KEEP_ALWAYS = 1 << SHMQ_JOURNAL_ALWAYS,
    KEEP_BOTH = KEEP_OS | KEEP_ALWAYS,
    KEEP_SNAPSHOT = 1 << SHMQ_JOURNAL_NONE,
};

/* An operation, as told in crash_file_ops.c. */
struct keep_plan {
    const char *like;              /* one of crash_delivery's; or NULL: */
    const struct delivery_op *own; /* this */
    unsigned journals;             /* enum keep_journals: one operation with each */
    enum keep_kind kind;
    enum keep_corpse corpse;
    enum keep_beside beside;
    unsigned built; /* KEEP_RESTORES, KEEP_LOADS: enum shmq_journal of the file before */
    /* A death may leave the file as after the operation and the queue as before it, until
     * the file is rewritten. */
    bool ahead;
    bool takes_long; /* more than some thousand steps */
    bool alike;      /* much as another */
};

/* One of those, with a journal or without. */
struct keep_op {
    char name[48];
    const struct keep_plan *plan;
    struct delivery_op delivery, of_file; /* as the scene, and what is made of the file, want it */
    unsigned journal;
};

struct keep_scene {
    struct delivery_scene live; /* the queue; first, since functions get that */
    struct delivery_scene made; /* another, made of the file */
    const struct keep_op *op;
    char folder[80], copy[96]; /* of the file; of what it was at a time */
    bool was_there;            /* the file, then */
    pid_t beside;
};

/* --- crash_file_ops.c --- */
unsigned keep_op_count(void);
const struct keep_op *keep_op_at(unsigned i);

/* --- crash_file_scene.c --- */

/* The scene, up to where the victim begins; and taking away all that is left of it. */
bool keep_begin(struct keep_scene *k);
void keep_end(struct keep_scene *k);

bool keep_fail(struct keep_scene *k, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether the queue itself keeps the file; and saving to it. */
bool keep_has_own(const struct keep_scene *k);
int keep_save(struct keep_scene *k, shmq_t *q);

/* Wait for who came beside. */
bool keep_await_beside(struct keep_scene *k);

/* --- crash_file_check.c --- */
void keep_check(struct keep_scene *k);

/* --- crash_file_image.c --- */

/* Put the file aside, as it is now. */
bool keep_copy(struct keep_scene *k);

/* What is in the copy is as it was before the operation, or as after it. */
bool keep_check_copy(struct keep_scene *k, bool due);

/* What is in the file now is what is in the queue, which was inspected.  `has_put`: and
 * something was put into that. */
bool keep_check_same(struct keep_scene *k, bool has_put);

#endif
