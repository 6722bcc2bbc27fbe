/*
 * salvage_queue.h - what can be read of a live queue, as salvage.h has it of a file.
 *
 * Records are copied, since they may be written over.  Cursors are read first, then entries,
 * then records up to the tail: so a message that is not finished is seen in one of them,
 * and one that is taken meanwhile perhaps, too.
 */
#ifndef SHMQ_SALVAGE_QUEUE_H
#define SHMQ_SALVAGE_QUEUE_H

#include "shmq-check/queue_view.h"
#include "shmq-check/salvage.h"

/* Records that were copied. */
struct salvage_copies {
    void **list;
    size_t count, room;
};

/* A salvage that goes on. */
struct salvaging {
    struct salvage *s;
    struct look *look;
    struct salvage_copies *copies;
    uint64_t start, end;   /* of the records in a row */
    uint64_t located;      /* groups whose cursor is known, a bit each; and those by the */
    uint64_t last_located; /* last record */
    uint64_t last_pos;     /* of that, its id, and the id before */
    uint64_t last_id, before_id;
    uint64_t *missing; /* ids of entries' messages that are not where they should be */
    size_t missing_count, missing_room;
};

/* Read all, from a look that was just taken and is put right where it makes no sense.  As
 * salvage_read(); both to be freed whatever is returned. */
int salvage_queue(struct salvage *s, struct look *look, const char *name,
                  struct salvage_copies *copies);
void salvage_copies_free(struct salvage_copies *copies);

/* --- between salvage_queue.c and salvage_ring.c ---------------------------------- */

/* Copy the record of `view`.  0; -ENOMEM; -EBADMSG it is not what it was. */
int salvage_copy(const struct sq_ring *ring, const struct sq_view *view,
                 struct sq_record_shm **copy);

/* Keep a copy, which is ours from now on. */
int salvage_add(struct salvaging *v, struct sq_record_shm *copy);

/* Find where the records begin and end; take them all, and the groups' cursors. */
void salvage_find_row(struct salvaging *v);
int salvage_row(struct salvaging *v);

#endif
