/*
 * queue_view.h - a live queue as it is at a time, without a lock.
 *
 * What changes is copied, but for the records, which stay where they are as long as they
 * are not finished.  Cursors are read before what they are compared with: so what a queue
 * in order can show, however it moves meanwhile, are records that were passed after they
 * had been looked for.  Who cares asks look_passed().
 */
#ifndef SHMQ_QUEUE_VIEW_H
#define SHMQ_QUEUE_VIEW_H

#include "segment/segment.h"

struct look {
    const struct sq_segment *segment;
    struct sq_ring ring; /* as of group 0; of the copies, with the queue's own records */
    struct sq_producer_shm *producer;
    struct sq_group_shm *groups;
    unsigned char *tables;
    _Atomic uint64_t bits; /* which groups there are */
    uint64_t astray;       /* those whose cursor is wrong, a bit each */
    bool is_mended;        /* the tail is not the queue's, which is wrong */
    bool is_still;         /* nothing moved meanwhile, and nobody was in a side */
    bool is_sole;          /* somebody has a side alone, and may be in it */
};

/* 0 or -ENOMEM.  To be freed whatever is returned. */
int look_take(struct look *look, const struct sq_segment *segment);
void look_free(struct look *look);

/* Whether nothing has moved since then. */
bool look_is_as_it_was(const struct look *look);

/* The same ring, read as that group. */
struct sq_ring look_as(const struct look *look, uint32_t group);

/* Whether a cursor is where one can be. */
static inline bool look_spans(const struct look *look, uint64_t pos)
{
    return sq_ring_spans(&look->ring, pos, sq_load(&look->producer->tail_pos));
}

/* Where the records in a row begin: at the lowest cursor, or where a topic's history does.
 * False: no such position makes sense. */
bool look_start(const struct look *look, uint64_t *start);

/* The id before that of the first one, as far as is known; 0: it is not. */
uint64_t look_id_before(const struct look *look);

/* If records go on behind the tail, up to the last id that was given, it is the tail that
 * makes no sense: put that of the look right. */
void look_mend_end(struct look *look);

/* Whether all have passed the record at `pos` by now, so that it may be written over.  Who is
 * astray does not go on. */
bool look_passed(const struct look *look, uint64_t pos);

/* Where the lowest cursor, or a topic's history, is now; or the end of the look. */
uint64_t look_start_now(const struct look *look);

/* The same tail as the queue has now, so that updates that came since are found.  False: it
 * has not gone on, or makes no sense. */
bool look_follow(struct look *look);

/*
 * The next position behind the damaged record at `pos` where records go on; `end`: none.  There
 * must be one with an id above `last_id`, and not by more than there is room for, and behind
 * it the next one, or the end: bytes of a payload that look like one are none.
 */
uint64_t look_resync(const struct sq_ring *ring, uint64_t pos, uint64_t end, uint64_t last_id);

/* What is wrong with the record at `pos`, which should have this id (0: any). */
void look_why(const struct sq_ring *ring, uint64_t pos, uint64_t end, uint64_t id, char *why,
              size_t size);

#endif
