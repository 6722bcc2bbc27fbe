/*
 * journal.h - appending what happens to the queue's file.
 *
 * In modes os and always a call writes before it makes anything true that it promises:
 * SQ_KIND_WRITES in ring.kind says so, and without it nothing here is called.  Every
 * function is called in the side (P or C) whose change it writes, takes the journal's lock
 * (J, below all sides) and lets go of it.  A failure (-ENOSPC, -EIO, -ENOENT the file was
 * removed, -ETIMEDOUT) leaves the file as it was, and what was to be written is written
 * with the next frame of its kind; sq_file_shm says what was wrong, and since when.
 */
#ifndef SQ_JOURNAL_H
#define SQ_JOURNAL_H

#include "persist/journal_file.h"

static inline bool sq_journal_writes(const struct shmq *q)
{
    return sq_unlikely((q->segment.ring.kind & SQ_KIND_WRITES) != 0);
}

/* P: records that are about to be put, [from, to) of the ring, in one frame. */
int sq_journal_records(struct shmq *q, uint64_t from, uint64_t to, struct sq_promise *promise);

/* C of the group that `ring` reads as: its position and its changed entries, if there is
 * anything new. */
int sq_journal_group(struct shmq *q, const struct sq_ring *ring, struct sq_promise *promise);

/* P: put what was written up to `tail`, as sq_ring_publish(); into the journal first, if
 * there is one. */
static inline int sq_journal_publish(struct shmq *q, const struct sq_ring *ring, uint64_t tail,
                                     uint64_t next_id, uint64_t payload_bytes,
                                     struct sq_promise *promise)
{
    int rc = 0;

    if (sq_journal_writes(q))
        rc = sq_journal_records(q, sq_load(&ring->producer->tail_pos), tail, promise);
    if (rc == 0)
        sq_ring_publish(ring, tail, next_id, payload_bytes);
    return rc;
}

/* C: before it is left: what is new of the group that the handle reads as, unless that was
 * removed.  `rc` (not negative), or why it could not be written. */
static inline int sq_journal_note_changes(struct shmq *q, int rc, struct sq_promise *promise)
{
    int error = rc >= 0 && sq_journal_writes(q) && !sq_consumer_is_stale(q)
                    ? sq_journal_group(q, &q->segment.ring, promise)
                    : 0;

    return error < 0 ? error : rc;
}

/* P and all groups' sides: such a record, which updates message `id`. */
int sq_journal_update(struct shmq *q, uint64_t from, uint64_t to, uint64_t id,
                      struct sq_promise *promise);

/* All groups' sides: message `id` is about to be removed. */
int sq_journal_remove(struct shmq *q, uint64_t id, struct sq_promise *promise);

/* P: the current part begins elsewhere. */
int sq_journal_part(struct shmq *q, struct sq_promise *promise);

/* C: what the group is; with its entries as they are in the file, or none. */
int sq_journal_about(struct shmq *q, const struct sq_ring *ring, bool keeps_entries,
                     struct sq_promise *promise);

/* C, or nobody else sees the queue: the file has all of the group as it is. */
void sq_journal_noted(const struct sq_ring *ring);

/* C: it is about to be removed. */
int sq_journal_remove_group(struct shmq *q, const struct sq_ring *ring, struct sq_promise *promise);

#endif
