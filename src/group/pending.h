/*
 * pending.h - a group's pending table: what it has taken from the cursor and not
 * finished.
 *
 * Every function here wants C, the group's side.  pending.c has the invariants and the
 * crash rule.
 */
#ifndef SQ_PENDING_H
#define SQ_PENDING_H

#include "base/clock.h"
#include "group/heap.h"
#include "ring/record.h"

/* --- an entry's word ------------------------------------------------------ */

enum { SQ_ATTEMPTS_MAX = (1 << 24) - 1 };

static inline uint64_t sq_word(enum sq_entry_state state, uint32_t attempts, uint32_t owner)
{
    return (uint64_t)owner << 32 | (uint64_t)attempts << 8 | (uint64_t)state;
}

static inline enum sq_entry_state sq_word_state(uint64_t word)
{
    return (enum sq_entry_state)(word & 0xff);
}

static inline uint32_t sq_word_attempts(uint64_t word)
{
    return (uint32_t)(word >> 8) & SQ_ATTEMPTS_MAX;
}

/* Who has it, or had it last: as in locks (sync/lock.h). */
static inline uint32_t sq_word_owner(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static inline bool sq_state_is_lease(enum sq_entry_state state)
{
    return state == SQ_LEASED || state == SQ_DYING;
}

/* A message's sequence among equals: by id, with 255 numbers for those that were put to the
 * back between two ids (group_lease.c). */
static inline uint64_t sq_seq(uint64_t id)
{
    return id << 8;
}

/* --- the table ------------------------------------------------------------- */

/* A free entry, to be filled and then set; SQ_NONE: the table is full. */
uint32_t sq_pending_take(const struct sq_ring *ring);

/* Whether there is none. */
static inline bool sq_pending_is_full(const struct sq_ring *ring)
{
    const struct sq_pending_shm *p = &ring->group->pending;

    sq_assert_held(&ring->group->lock);
    return p->free_first == SQ_NONE && p->used_end >= ring->entry_count;
}

/*
 * Give entry `e` this word.  Its other fields are already what that state wants.
 * 0, or -EBADMSG: it is free, and was to be freed; something is damaged.
 */
int sq_pending_set(const struct sq_ring *ring, uint32_t e, uint64_t word);

/* The lease `e` ends at `until_ns` from now on. */
int sq_pending_touch(const struct sq_ring *ring, uint32_t e, int64_t until_ns);

/* The entry's record is now at `pos`, in this one step. */
int sq_pending_move(const struct sq_ring *ring, uint32_t e, uint64_t pos);

/* The first of the ready ones, SQ_NONE if there is none; and take it from the heap,
 * since it is about to be set to something else. */
uint32_t sq_pending_ready(const struct sq_ring *ring);
void sq_pending_unready(const struct sq_ring *ring);

/* The first of the delayed and doomed ones, likewise. */
uint32_t sq_pending_timed(const struct sq_ring *ring);
void sq_pending_untimed(const struct sq_ring *ring);

/* The entry of message `id`, or SQ_NONE. */
uint32_t sq_pending_find(const struct sq_ring *ring, uint64_t id);

/* Note where the first of them is, for P. */
void sq_pending_note_held(const struct sq_ring *ring);

/* Note when the next of them is due, for those who sleep. */
void sq_pending_note_due(const struct sq_ring *ring);

enum sq_beyond {
    SQ_DROP_BEYOND = 0, /* after a death: what the cursor has not passed was being made
                           (by finished_id, which is right) */
    SQ_KEEP_BEYOND = 1, /* the caller is making it */
};

/* For sq_pending_rebuild(): count an entry that is in the lists, and put it in the
 * heap of its state. */
void sq_pending_derive(const struct sq_ring *ring, uint32_t e);

#endif
