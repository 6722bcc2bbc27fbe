/*
 * capture.h - what there is of a queue at a time, but for the records: in memory of our
 * own.
 *
 * The caller saves (pin.h).  Each group's side is entered for as long as it takes to copy
 * its entries; nobody else waits.  Records are pinned from then on, and can be read.
 */
#ifndef SQ_CAPTURE_H
#define SQ_CAPTURE_H

#include "file/format.h"
#include "persist/pin.h"

/* A group, as it was. */
struct sq_captured {
    struct sq_frame_group about;
    uint64_t cursor_pos;
    struct sq_frame_item *items; /* its entries, */
    uint64_t *positions;         /* and where their records are */
    uint32_t count, room;
};

struct sq_capture {
    struct sq_captured groups[SQ_GROUPS_MAX];
    unsigned group_count;
    uint64_t history_pos; /* where a topic's begins; UINT64_MAX: not known */
    uint64_t fresh_pos;   /* the lowest cursor, or that */
    uint64_t fresh_id;    /* and the id there; only entries' messages have lower ones */
    uint64_t tail_pos;
    struct sq_frame_queue queue;
    struct sq_frame_session session;
    uint64_t changes; /* sq_capture_changes() before */
};

/*
 * Pin the queue and copy.  `each` (or NULL) is called in each group's side, after that was
 * copied.  0; -EBUSY a sole consumer of another process holds messages; -EBADMSG;
 * -ENOMEM; as entering sides.  To be freed in any case.
 */
int sq_capture_take(struct shmq *q, struct sq_capture *c, int (*each)(void *arg, uint32_t group),
                    void *arg);

/* The same of a queue that nobody else sees. */
int sq_capture_still(const struct sq_ring *ring, struct sq_capture *c);

/* What the group is, and has done, without its entries.  Without C the figures may be changing
 * meanwhile: of a group that a sole consumer of another process reads. */
void sq_capture_about(const struct sq_ring *ring, struct sq_frame_group *about);

void sq_capture_free(struct sq_capture *c);

/* A number that is another when anything has changed that a file should know. */
uint64_t sq_capture_changes(const struct sq_ring *ring);

#endif
