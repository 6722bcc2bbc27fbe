/*
 * dirty.h - which entries of a group are not in the journal as they are.
 *
 * Behind each pending table, where there is a journal, is a list of the numbers of the
 * entries that were changed, and a bit for each, so that the list never overflows.  C
 * marks an entry before it changes it; who writes them down (persist/journal.c) clears the marks
 * in the same side.  Where the side's owner died, all count as changed.
 */
#ifndef SQ_DIRTY_H
#define SQ_DIRTY_H

#include "ring/ring.h"

static inline void sq_dirty_mark(const struct sq_ring *ring, uint32_t e)
{
    sq_assert_held(&ring->group->lock);
    if (sq_likely(ring->dirty == NULL))
        return;
    struct sq_pending_shm *p = &ring->group->pending;
    uint64_t bit = (uint64_t)1 << (e & 63);

    if (e >= p->journaled_end)
        p->journaled_end = e + 1;
    if ((ring->dirty_bits[e / 64] & bit) != 0)
        return;
    if (p->dirty_count >= ring->entry_count) {
        p->dirty_all = 1; /* damaged */
        return;
    }
    ring->dirty_bits[e / 64] |= bit;
    ring->dirty[p->dirty_count++] = e;
}

/* All that were ever used. */
static inline void sq_dirty_mark_all(const struct sq_ring *ring)
{
    struct sq_pending_shm *p = &ring->group->pending;

    sq_assert_held(&ring->group->lock);
    if (ring->dirty == NULL)
        return;
    if (p->used_end > p->journaled_end)
        p->journaled_end = p->used_end;
    p->dirty_all = 1;
}

static inline void sq_dirty_clear(const struct sq_ring *ring)
{
    struct sq_pending_shm *p = &ring->group->pending;

    sq_assert_held(&ring->group->lock);
    if (p->dirty_all != 0)
        memset(ring->dirty_bits, 0, sq_align_up(ring->entry_count, 64) / 8);
    for (uint32_t i = 0; p->dirty_all == 0 && i < p->dirty_count && i < ring->entry_count; i++)
        if (ring->dirty[i] < ring->entry_count)
            ring->dirty_bits[ring->dirty[i] / 64] &= ~((uint64_t)1 << (ring->dirty[i] & 63));
    p->dirty_count = p->dirty_all = 0;
}

#endif
