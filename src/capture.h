/*
 * capture.h - holding a queue's contents still, and copying what its groups are.
 */
#ifndef SQ_CAPTURE_H
#define SQ_CAPTURE_H

#include "frame.h"
#include "queue.h"

/* A message that a group holds. */
struct sq_held {
    uint64_t id, pos;
};

struct sq_captured {
    bool there;
    struct sq_frame_group attr;
    uint64_t cursor_pos;
    struct sq_frame_item *items;
    struct sq_held *held; /* the same ones */
    uint32_t count;
};

struct sq_capture {
    struct sq_captured groups[SQ_GROUPS_MOST];
    uint64_t begin_pos;   /* of whole records in a row, among them all that some group has not
                             passed; those held before that stand where their entries say */
    uint64_t end_pos;
    uint64_t next_id;     /* no later record has a lower one */
    uint64_t history_pos; /* of a topic; or else end_pos */
};

/* Be the only one who saves, until control->saver is let go. */
int sq_capture_begin(struct shmq *q, struct sq_deadline *deadline);

/* The ring is pinned no more, whatever was done. */
void sq_capture_end(struct shmq *q, struct sq_capture *capture);

/*
 * Pin the ring, and copy its groups.  0; -EBUSY a sole consumer has messages in hand;
 * -EBADMSG; -ENOMEM; -ETIMEDOUT, -EINTR.
 */
int sq_capture_take(struct shmq *q, struct sq_capture *capture, struct sq_deadline *deadline);

/* What is before `pos` was read; UINT64_MAX: all. */
void sq_capture_release(struct shmq *q, uint64_t pos);

#endif
