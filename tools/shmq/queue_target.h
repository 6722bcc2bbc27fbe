/*
 * queue_target.h - what a command works on: a queue, and where it says so one of its
 * groups.
 */
#ifndef SHMQ_QUEUE_TARGET_H
#define SHMQ_QUEUE_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "shmq.h"

/* A topic has at most so many groups. */
enum { GROUPS_MAX = 64 };

struct target {
    const char *command; /* for complaints */
    const char *name;    /* of the queue */
    const char *group;   /* NULL: the queue's own */
    shmq_t *q;
    shmq_t *g; /* reads as the group; the same as q if there is none */
};

/* What a command wants of the group. */
enum target_need {
    TARGET_ALONE, /* the queue; whatever the group is, it is not looked at */
    TARGET_QUEUE, /* the group, or if none is named the queue as such */
    TARGET_GROUP, /* the group, or the queue's own; so of a topic one must be named */
};

/*
 * Open it.  The group must exist: looking at one must not make it.  `flags` as in
 * shmq_open().  CLI_DONE, or an exit code after complaining; nothing is open then.
 */
int target_open(struct target *t, int flags, enum target_need need);
void target_close(struct target *t);

/* Complain that `error` befell it, and return the exit code. */
int target_failure(const struct target *t, int error);

/* Complain that there is no message of this id: CLI_NOTHING. */
int target_no_message(const struct target *t, uint64_t id);

/* Complain that there is no such group: CLI_FAILURE. */
int target_no_group(const struct target *t);

/* 1 if the queue is a topic, 0 if not, or a negative errno. */
int target_is_topic(shmq_t *q);

/* Is there a group of this name?  1, 0 or a negative errno. */
int target_has_group(shmq_t *q, const char *group);

/*
 * Read a command line of NAME, and of up to `most` arguments more that are stored in
 * `more`, with no option but --help.  `needed` says so in words.  -1 or an exit code.
 */
int target_arguments(struct target *t, int argc, char **argv, const char *help, int least, int most,
                     const char **more, const char *needed);

/*
 * A start in a topic: latest, earliest, part, an id, a point of time as in ISO 8601,
 * or a time ago such as 10m.  False when `text` is none of them.
 */
bool target_parse_start(const char *text, uint32_t *start, uint64_t *at);

#define START_ADVICE "latest, earliest, part, an id, or a time such as 10m (ago)"

#endif
