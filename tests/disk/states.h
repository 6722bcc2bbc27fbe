/*
 * states.h - the states in which a power cut could have left a folder, built from a log
 * that record.so has made.
 *
 * After each prefix of the log: what was synced is there.  Of each file, what was written or
 * resized since its last sync is there, or not, or, a write, in some of its sectors of 512
 * bytes.  Of what was done to names since the folder's last sync any part is there.  Two
 * states of each prefix are the extremes, all and nothing; others are chosen at random.
 * Where all is synced there is but one.
 *
 * STATE="PREFIX VARIANT" in the environment: only that one is made and checked.
 */
#ifndef DISK_STATES_H
#define DISK_STATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_state {
    const char *folder; /* where it is */
    uint64_t number;    /* of the state, from 0 */
    uint64_t prefix;    /* entries of the log that had been made */
    unsigned variant;   /* 0: nothing that was not synced, 1: all, others: at random */
    uint64_t seed;      /* that it was chosen with */
    uint64_t notes;     /* how many notes were in the prefix, ... */
    const char *note;   /* ... and the last one; "" */
};

struct disk_plan {
    const char *log;
    const char *folder; /* an empty one, in which the states are made one by one */
    uint64_t seed;
    unsigned variants; /* of each prefix, at least 2 */
    uint64_t most;     /* states, about: prefixes are left out evenly, but not the last, and of
                          those that end with a note the state with nothing else; 0: all */
    /* Anything but 0 ends it. */
    int (*check)(const struct disk_state *state, void *arg);
    void (*note)(const char *text, void *arg); /* each note, before states that have it; or NULL */
    void *arg;
};

/* How many states were checked, or what `check` returned (made negative), or -errno. */
int64_t disk_states(const struct disk_plan *plan);

/* Whether STATE is set. */
bool disk_is_one(void);

#endif
