/*
 * record.h - what a record says: its id, whether it was updated or removed, its
 * extension.
 *
 * A message's id stands in its record until an update is appended: then the id
 * says how much further that is (SQ_ID_MOVED), and there the same holds again.
 * A removed message's last record says SQ_ID_GONE.  One store makes either true for
 * all groups, those that have an entry for the message and those that have not come
 * to it.
 */
#ifndef SQ_RECORD_H
#define SQ_RECORD_H

#include "ring/ring.h"

/* A message as it stands in the ring, checked; all pointers go into the ring. */
struct sq_view {
    uint64_t id;
    uint64_t pos; /* of the record with its content */
    uint32_t tag;
    uint32_t flags; /* enum sq_extension_flag */
    int64_t put_ns;
    uint32_t type;
    int32_t priority;
    int64_t due_ns, expiry_ns; /* 0: none */
    uint64_t correlation;
    const unsigned char *key, *headers, *payload;
    uint32_t key_bytes, header_bytes, payload_bytes;
    uint32_t plain_bytes; /* of the payload before compression, or payload_bytes */
};

/*
 * Look at the message whose record, first or updated, is at `pos`.  `id`: what it
 * must be; 0: any.  0; -ENOENT it was removed (view->id holds); -EBADMSG.
 */
int sq_record_view(const struct sq_ring *ring, uint64_t pos, uint64_t id, struct sq_view *view);

/* The same of a record in memory of one's own, which is all there, and says its id. */
int sq_record_view_own(const struct sq_record_shm *record, struct sq_view *view);

/* What sq_record_next() met. */
enum sq_met {
    SQ_MET_MESSAGE = 0,
    SQ_MET_COPY = 1, /* the update of an earlier message */
    SQ_MET_GONE = 2, /* a removed message */
};

/*
 * Step over the record at walk->pos, whatever it is.  enum sq_met (the message in
 * *view), or -EBADMSG and the walk has not moved.  The walk must not be at its end.
 */
int sq_record_next(const struct sq_ring *ring, struct sq_walk *walk, struct sq_view *view);

/* Where the record at `pos` ends, or `pos` itself: it is damaged, or beyond `end`. */
uint64_t sq_record_end(const struct sq_ring *ring, uint64_t pos, uint64_t end);

/* The id that a record stands for by itself; 0: it has moved, or is a copy. */
SQ_HOT uint64_t sq_record_own_id(const struct sq_record_shm *record)
{
    uint64_t id = sq_load((_Atomic uint64_t *)(uintptr_t)&record->id);
    uint32_t tag = sq_load((_Atomic uint32_t *)(uintptr_t)&record->tag);

    if ((id & SQ_ID_MOVED) != 0 || (tag & SQ_RECORD_COPY) != 0)
        return 0;
    return id & SQ_ID_REST;
}

/* All groups' sides: the message at `pos` is removed; or with P too, it is now at `to`. */
void sq_record_remove(const struct sq_ring *ring, uint64_t pos);
void sq_record_move(const struct sq_ring *ring, uint64_t pos, uint64_t to);

/* --- headers -------------------------------------------------------------- */

/*
 * The next header of a block: 1 and *off moves on, 0 none left, -EBADMSG.  name and
 * value point into the block and end with a zero.
 */
int sq_headers_next(const void *block, size_t bytes, size_t *off, const char **name,
                    const char **value);

/* The value of header `name`, or NULL. */
const char *sq_headers_find(const void *block, size_t bytes, const char *name);

#endif
