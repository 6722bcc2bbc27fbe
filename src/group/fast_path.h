/*
 * fast_path.h - leasing and acknowledging the fast way.
 *
 * A FIFO group to which nothing has come back, for which nothing is due, and whose next
 * record is a plain one, needs no heap: the entry goes to the end of both
 * its lists, and most often leaves from their front.  What is done here is what
 * sq_group_pick(), sq_group_lease() and sq_group_ack() would do, store for store; where
 * anything is out of the ordinary it is left to them.  C, as in group.h.
 */
#ifndef SQ_FAST_PATH_H
#define SQ_FAST_PATH_H

#include "group/group.h"

enum { SQ_SLOW_PATH = 1 };

/* A record that was leased on the fast path. */
struct sq_fast_lease {
    struct sq_record_shm *record;
    uint32_t length;
    struct sq_lease lease;
};

enum { SQ_FAST_PATH_MODE = SQ_GROUP_HOLDS | SQ_GROUP_NAMED };

SQ_HOT bool sq_fast_path_is_open(const struct sq_group_shm *g)
{
    return (sq_load(&g->mode) & ~(uint32_t)SQ_FAST_PATH_MODE) == 0;
}

/* A free entry, still in its list; SQ_NONE: take the slow path. */
SQ_HOT uint32_t sq_fast_path_free_entry(const struct sq_ring *ring)
{
    const struct sq_pending_shm *p = &ring->group->pending;
    uint32_t e = p->free_first;

    if (sq_unlikely(e >= ring->entry_count ||
                    sq_word_state(sq_load(&ring->entries[e].word)) != SQ_FREE))
        return SQ_NONE;
    return e;
}

/* Whether the lists' ends are entries (or there is none) that come before `pos` and
 * `until_ns`. */
SQ_HOT bool sq_fast_path_comes_last(const struct sq_ring *ring, uint64_t pos, int64_t until_ns)
{
    const struct sq_pending_shm *p = &ring->group->pending;

    if (p->pos_last != SQ_NONE &&
        (p->pos_last >= ring->entry_count || (int64_t)(ring->entries[p->pos_last].pos - pos) >= 0))
        return false;
    return p->lease_last == SQ_NONE ||
           (p->lease_last < ring->entry_count && ring->entries[p->lease_last].at_ns <= until_ns);
}

/* The entry's own part of a lease.  What else the state wants is there before its word. */
SQ_HOT void sq_fast_path_fill(struct sq_entry_shm *entry, const struct sq_lease *lease,
                              uint64_t pos, int64_t until_ns)
{
    entry->pos = pos;
    entry->id = lease->id;
    entry->at_ns = until_ns;
    entry->seq = sq_seq(lease->id);
    entry->priority = 0;
    entry->reason = 0;
    sq_program_order();
    sq_store_release(&entry->word, lease->word);
    sq_program_order();
}

/* Lease the next.  0, -EAGAIN nothing is there, or SQ_SLOW_PATH and nothing was done. */
SQ_HOT int sq_fast_path_lease(const struct sq_ring *ring, int64_t now_ns, int64_t until_ns,
                              uint32_t owner, struct sq_fast_lease *taken)
{
    struct sq_group_shm *g = ring->group;
    struct sq_pending_shm *p = &g->pending;
    uint32_t e = sq_fast_path_free_entry(ring);
    struct sq_walk walk;

    sq_assert_held(&ring->group->lock);
    if (sq_unlikely(!sq_fast_path_is_open(g) || e == SQ_NONE ||
                    (g->pending.ready_count | sq_load(&p->waiting)) != 0 ||
                    sq_load(&p->next_due_ns) <= now_ns))
        return SQ_SLOW_PATH;
    int rc = sq_ring_begin_take(ring, &walk);
    if (rc < 0)
        return rc == -EAGAIN ? rc : SQ_SLOW_PATH;
    uint64_t pos = walk.pos, id = walk.id;
    taken->record = sq_walk_step(ring, &walk, &taken->length);
    if (sq_unlikely(taken->record == NULL || !sq_fast_path_comes_last(ring, pos, until_ns)))
        return SQ_SLOW_PATH;

    struct sq_entry_shm *entry = &ring->entries[e];
    uint32_t pos_prev = p->pos_last, time_prev = p->lease_last;
    taken->lease = (struct sq_lease){e, sq_word(SQ_LEASED, 1, owner), id};
    p->free_first = entry->time_next;
    entry->pos_prev = pos_prev;
    entry->pos_next = entry->time_next = SQ_NONE;
    entry->time_prev = time_prev;
    sq_fast_path_fill(entry, &taken->lease, pos, until_ns);
    p->pos_last = p->lease_last = e;
    *(pos_prev == SQ_NONE ? &p->pos_first : &ring->entries[pos_prev].pos_next) = e;
    *(time_prev == SQ_NONE ? &p->lease_first : &ring->entries[time_prev].time_next) = e;
    if (pos_prev == SQ_NONE) {
        sq_store_release(&g->held_pos, pos);
        sq_store(&g->mode, sq_load(&g->mode) | SQ_GROUP_HOLDS);
    }
    if (until_ns < sq_load(&p->next_due_ns))
        sq_store(&p->next_due_ns, until_ns);
    sq_store(&g->held_count, sq_load(&g->held_count) + 1);
    sq_store(&p->leased, sq_load(&p->leased) + 1);
    sq_store(&g->delivery.delivered_count, sq_load(&g->delivery.delivered_count) + 1);
    sq_ring_end_take(ring, &walk, taken->length);
    return 0;
}

/* Whether the entry's neighbours in both lists know it. */
SQ_HOT bool sq_fast_path_is_linked(const struct sq_ring *ring, uint32_t e)
{
    const struct sq_pending_shm *p = &ring->group->pending;
    const struct sq_entry_shm *entry = &ring->entries[e], *all = ring->entries;
    uint32_t a = entry->pos_prev, b = entry->pos_next, c = entry->time_prev, d = entry->time_next;
    uint32_t count = ring->entry_count;

    if ((a >= count && a != SQ_NONE) || (b >= count && b != SQ_NONE) ||
        (c >= count && c != SQ_NONE) || (d >= count && d != SQ_NONE))
        return false;
    return (a == SQ_NONE ? p->pos_first : all[a].pos_next) == e &&
           (b == SQ_NONE ? p->pos_last : all[b].pos_prev) == e &&
           (c == SQ_NONE ? p->lease_first : all[c].time_next) == e &&
           (d == SQ_NONE ? p->lease_last : all[d].time_prev) == e;
}

/* Acknowledge.  0, or SQ_SLOW_PATH and nothing was done. */
SQ_HOT int sq_fast_path_ack(const struct sq_ring *ring, const struct sq_lease *lease)
{
    struct sq_group_shm *g = ring->group;
    struct sq_pending_shm *p = &g->pending;
    struct sq_entry_shm *all = ring->entries;
    uint32_t e = lease->entry;

    sq_assert_held(&ring->group->lock);
    if (sq_unlikely(e >= ring->entry_count || sq_load(&all[e].word) != lease->word ||
                    all[e].id != lease->id || !sq_fast_path_is_open(g) ||
                    !sq_fast_path_is_linked(ring, e)))
        return SQ_SLOW_PATH;
    struct sq_entry_shm *entry = &all[e];
    sq_store(&g->delivery.acked_count, sq_load(&g->delivery.acked_count) + 1);
    sq_program_order();
    sq_store_release(&entry->word, 0);
    sq_program_order();
    uint32_t a = entry->pos_prev, b = entry->pos_next, c = entry->time_prev, d = entry->time_next;
    *(a == SQ_NONE ? &p->pos_first : &all[a].pos_next) = b;
    *(b == SQ_NONE ? &p->pos_last : &all[b].pos_prev) = a;
    *(c == SQ_NONE ? &p->lease_first : &all[c].time_next) = d;
    *(d == SQ_NONE ? &p->lease_last : &all[d].time_prev) = c;
    entry->time_next = p->free_first;
    p->free_first = e;
    sq_store(&p->leased, sq_load(&p->leased) - 1);
    sq_store(&g->held_count, sq_load(&g->held_count) - 1);
    if (a == SQ_NONE) {
        sq_store_release(&g->held_pos, b == SQ_NONE ? UINT64_MAX : all[b].pos);
        if (b == SQ_NONE)
            sq_store(&g->mode, sq_load(&g->mode) & ~(uint32_t)SQ_GROUP_HOLDS);
    }
    if (c == SQ_NONE && p->timed_count == 0)
        sq_store(&p->next_due_ns, d == SQ_NONE ? SQ_NEVER : all[d].at_ns);
    else if (c == SQ_NONE)
        sq_pending_note_due(ring);
    if (sq_unlikely(sq_load(&p->stalled_pos) != UINT64_MAX))
        sq_store(&p->stalled_pos, UINT64_MAX);
    return 0;
}

/*
 * Acknowledge the only message that the group holds, and lease the next in its entry:
 * the lists stay as they are.  0, -EAGAIN nothing is there, or SQ_SLOW_PATH; then nothing
 * was done.
 */
SQ_HOT int sq_fast_path_next(const struct sq_ring *ring, const struct sq_lease *lease,
                             int64_t now_ns, int64_t until_ns, uint32_t owner,
                             struct sq_fast_lease *taken)
{
    struct sq_group_shm *g = ring->group;
    struct sq_pending_shm *p = &g->pending;
    uint32_t e = lease->entry;
    struct sq_walk walk;

    sq_assert_held(&ring->group->lock);
    if (sq_unlikely(e >= ring->entry_count || sq_load(&ring->entries[e].word) != lease->word ||
                    ring->entries[e].id != lease->id || !sq_fast_path_is_open(g) ||
                    (p->ready_count | p->timed_count | sq_load(&p->waiting)) != 0 ||
                    p->pos_first != e || p->pos_last != e || p->lease_first != e ||
                    p->lease_last != e || sq_load(&p->next_due_ns) <= now_ns ||
                    sq_load(&p->stalled_pos) != UINT64_MAX))
        return SQ_SLOW_PATH;
    int rc = sq_ring_begin_take(ring, &walk);
    if (rc < 0)
        return rc == -EAGAIN ? rc : SQ_SLOW_PATH;
    uint64_t pos = walk.pos;
    taken->lease = (struct sq_lease){e, sq_word(SQ_LEASED, 1, owner), walk.id};
    taken->record = sq_walk_step(ring, &walk, &taken->length);
    if (sq_unlikely(taken->record == NULL))
        return SQ_SLOW_PATH;

    sq_store(&g->delivery.acked_count, sq_load(&g->delivery.acked_count) + 1);
    sq_program_order();
    sq_store_release(&ring->entries[e].word, 0);
    sq_program_order();
    sq_fast_path_fill(&ring->entries[e], &taken->lease, pos, until_ns);
    sq_store_release(&g->held_pos, pos);
    sq_store(&p->next_due_ns, until_ns);
    sq_store(&g->delivery.delivered_count, sq_load(&g->delivery.delivered_count) + 1);
    sq_ring_end_take(ring, &walk, taken->length);
    return 0;
}

#endif
