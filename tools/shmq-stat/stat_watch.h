/*
 * stat_watch.h - the queues that shmq-stat watches: which they are, and their
 * counters now and at the report before.
 */
#ifndef SHMQ_STAT_WATCH_H
#define SHMQ_STAT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shmq-stat/stat_dead.h"
#include "shmq-stat/stat_priority.h"
#include "shmq.h"

/* One queue, from when it is first heard of until it is gone. */
struct watched {
    char *name;
    shmq_t *q;       /* NULL: not open */
    bool named;      /* on the command line */
    bool complained; /* about its error, so that it is said once */
    bool fresh;      /* `now` is of the report being made */
    bool has_before; /* and `before` is of the one before it */
    struct shmq_stats now;
    struct shmq_stats before;
    int64_t now_ns; /* when it was read */
    int64_t before_ns;
    struct shmq_process *processes; /* attached; only where asked for */
    unsigned process_count;
    struct shmq_group_stats *groups; /* as of `now` */
    unsigned group_count;
    struct shmq_file_stats file; /* as of `now`; its path "": none */
    struct dead_letters *dead;   /* those in it; only where asked for */
    unsigned dead_count;
    struct priority_count *priorities; /* likewise */
    unsigned priority_count, priority_room;
};

struct watch {
    struct watched *list; /* sorted by name, unless they were named */
    size_t count;
    bool all; /* every queue there is */
    bool want_processes;
    bool want_dead;
    bool want_priorities;
    int status; /* enum cli_status: the worst so far */
};

/* Watch the queue `name` too, unless it is already.  0 or -ENOMEM. */
int watch_add(struct watch *w, const char *name);

/*
 * Read the counters of every queue, opening those that are new.  What cannot be
 * read is complained about once, noted in w->status and left out.
 */
void watch_sample(struct watch *w);

/* Is there a queue left to wait for? */
bool watch_goes_on(const struct watch *w);

void watch_free(struct watch *w);

#endif
