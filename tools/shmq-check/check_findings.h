/*
 * check_findings.h - what is wrong with a live queue.
 *
 * Truth (records, cursors, entries) is right at every instruction of whoever uses the queue,
 * so what is wrong there in several looks is damage.  What is derived from it is in order
 * only while nobody is in a side, so it is compared only in looks that are still.
 */
#ifndef SHMQ_CHECK_FINDINGS_H
#define SHMQ_CHECK_FINDINGS_H

#include "shmq-check/check.h"
#include "shmq-check/queue_view.h"

struct finding {
    bool derived;
    char text[200];
};

struct findings {
    struct finding *list;
    size_t count, room;
    bool failed; /* no memory */
};

/* Examine a look: what is wrong, and the counts.  It is still after that if what is derived was
 * compared, and nothing has moved meanwhile.  0 or -ENOMEM. */
int exam_look(struct look *look, struct findings *found, struct check_counts *counts);

/* Keep those of the kind that are in both.  All of the other kind stay. */
void exam_keep_common(struct findings *found, const struct findings *again, bool derived);

/* Add those of `from` that are of the kind. */
void exam_add(struct findings *found, const struct findings *from, bool derived);
size_t exam_count(const struct findings *found, bool derived);
void exam_free(struct findings *found);

/* "group NAME", or "the queue" of one that is no topic. */
const char *exam_group_name(const struct sq_ring *ring, char *buffer, size_t size);

#endif
