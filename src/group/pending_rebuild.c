/*
 * pending_rebuild.c - deriving what keeps a pending table in order, and checking it.
 *
 * Needs no memory of its own: the heaps' memory serves to sort by position and by time
 * before they are filled with what belongs there.
 */
#include "group/pending_rebuild.h"

#include "group/dirty.h"
#include "group/pending.h"

/* All but what P reads without this side: held_pos may lag behind the truth, but P must
 * never see it run ahead, or it takes what is held for room. */
static void clear_order(const struct sq_ring *ring)
{
    struct sq_pending_shm *p = &ring->group->pending;

    sq_assert_held(&ring->group->lock);
    sq_dirty_mark_all(ring);
    sq_store(&p->waiting, 0);
    sq_store(&p->delayed, 0);
    sq_store(&p->leased, 0);
    sq_store(&p->parked, 0);
    p->used_end = p->ready_count = p->timed_count = 0;
    p->free_first = p->pos_first = p->pos_last = p->lease_first = p->lease_last = SQ_NONE;
    sq_store(&p->next_due_ns, SQ_NEVER);
    sq_store(&p->watch_ns, 0); /* the dead may have been the one who watched */
    sq_store(&p->stalled_pos, UINT64_MAX);
    p->compacted_pos = p->compacted_count = p->compacted_released = 0;
    p->released_count += (uint64_t)1 << 32; /* all may be otherwise than before */
    p->departures_seen = UINT64_MAX;        /* no count: look for lost leases */
    sq_store(&p->pipe, SQ_POLL_PIPE_UNKNOWN);
    sq_store(&p->found_expiry_ns, SQ_NEVER);
}

/* Say to P, and to those who get, what is held: `count` entries from `pos` on. */
static void note_all_held(struct sq_group_shm *g, uint64_t pos, uint64_t count)
{
    uint32_t mode = sq_load(&g->mode) & ~(uint32_t)SQ_GROUP_HOLDS;

    sq_store(&g->held_count, count);
    sq_store_release(&g->held_pos, pos);
    sq_store(&g->mode, count > 0 ? mode | SQ_GROUP_HOLDS : mode);
}

void sq_pending_clear(const struct sq_ring *ring)
{
    clear_order(ring);
    note_all_held(ring->group, UINT64_MAX, 0);
}

/*
 * Whether entry `e` stays; if not it is (now) free.  One whose record is damaged stays, so
 * that what surrounds it is not lost too: who comes to hand it out says -EBADMSG.  One that
 * points nowhere cannot.
 */
static bool judge(const struct sq_ring *ring, uint32_t e, uint64_t tail, enum sq_beyond what_is)
{
    struct sq_entry_shm *entry = &ring->entries[e];
    enum sq_entry_state state = sq_word_state(sq_load(&entry->word));
    struct sq_view view;

    if (state == SQ_FREE)
        return false;
    if (state >= SQ_ENTRY_STATES) /* damage: let it be handed out again */
        sq_store(&entry->word, sq_word(state = SQ_WAITING, 0, 0));
    int rc = sq_record_view(ring, entry->pos, entry->id, &view);
    if (rc == 0 && view.pos != entry->pos)
        entry->pos = view.pos; /* an update died before it could say so */
    /* By the id: an update stands beyond the cursor, whether its message is passed or not. */
    bool beyond = what_is == SQ_DROP_BEYOND && entry->id > sq_load(&ring->group->finished_id);
    bool astray = rc == -EBADMSG && !sq_ring_spans(ring, entry->pos, tail);
    if (rc == -ENOENT || beyond || astray) {
        sq_store(&entry->word, 0);
        return false;
    }
    if (state == SQ_DOOMED && entry->at_ns == SQ_NEVER)
        entry->at_ns = 0; /* somebody died who was about to make it DYING */
    return true;
}

/* The next of those sorted in `heap`, or SQ_NONE. */
static uint32_t next_sorted(const struct sq_heap *heap)
{
    const struct sq_heap_item_shm *top = sq_heap_top(heap);

    if (top == NULL)
        return SQ_NONE;
    uint32_t e = top->entry;
    sq_heap_pop(heap);
    return e;
}

static void link_positions(const struct sq_ring *ring, const struct sq_heap *sorted)
{
    struct sq_pending_shm *p = &ring->group->pending;
    uint64_t count = 0;
    uint32_t e;

    while ((e = next_sorted(sorted)) != SQ_NONE) {
        ring->entries[e].pos_prev = p->pos_last;
        ring->entries[e].pos_next = SQ_NONE;
        *(p->pos_last == SQ_NONE ? &p->pos_first : &ring->entries[p->pos_last].pos_next) = e;
        p->pos_last = e;
        count++;
    }
    note_all_held(ring->group, count > 0 ? ring->entries[p->pos_first].pos : UINT64_MAX, count);
}

static void link_leases(const struct sq_ring *ring, const struct sq_heap *sorted)
{
    struct sq_pending_shm *p = &ring->group->pending;
    uint32_t e;

    while ((e = next_sorted(sorted)) != SQ_NONE) {
        ring->entries[e].time_prev = p->lease_last;
        ring->entries[e].time_next = SQ_NONE;
        *(p->lease_last == SQ_NONE ? &p->lease_first : &ring->entries[p->lease_last].time_next) = e;
        p->lease_last = e;
    }
}

/* Heaps and counts of what is neither free nor leased; the free ones in a list. */
static void fill(const struct sq_ring *ring)
{
    struct sq_pending_shm *p = &ring->group->pending;

    for (uint32_t e = p->used_end; e-- > 0;) {
        struct sq_entry_shm *entry = &ring->entries[e];
        uint64_t word = sq_load(&entry->word);
        if (sq_word_state(word) == SQ_FREE) {
            entry->time_next = p->free_first;
            p->free_first = e;
        } else {
            sq_pending_derive(ring, e);
        }
    }
}

void sq_pending_rebuild(const struct sq_ring *ring, enum sq_beyond beyond)
{
    struct sq_pending_shm *p = &ring->group->pending;
    struct sq_heap by_pos = {ring->ready, &p->ready_count, ring->entry_count};
    struct sq_heap by_time = {ring->timed, &p->timed_count, ring->entry_count};
    uint64_t tail = sq_load_acquire(&ring->producer->tail_pos);

    sq_assert_held(&ring->group->lock);
    clear_order(ring);
    for (uint32_t e = 0; e < ring->entry_count; e++) {
        const struct sq_entry_shm *entry = &ring->entries[e];
        if (!judge(ring, e, tail, beyond))
            continue;
        p->used_end = e + 1;
        /* Counted from the tail back, so that positions may wrap. */
        sq_heap_push(&by_pos, (struct sq_heap_item_shm){0, e, UINT64_MAX - (tail - entry->pos)});
        if (sq_state_is_lease(sq_word_state(sq_load(&entry->word))))
            sq_heap_push(&by_time, (struct sq_heap_item_shm){
                                       0, e, (uint64_t)entry->at_ns ^ (uint64_t)1 << 63});
    }
    sq_dirty_mark_all(ring); /* now all of them have been used */
    link_positions(ring, &by_pos);
    link_leases(ring, &by_time);
    fill(ring);
    sq_pending_note_due(ring);
}

void sq_pending_reset(const struct sq_ring *ring)
{
    sq_assert_held(&ring->group->lock);
    for (uint32_t e = 0; e < ring->entry_count; e++)
        sq_store(&ring->entries[e].word, 0);
    sq_pending_clear(ring);
}

/* --- checking ------------------------------------------------------------------- */

static const char *check_positions(const struct sq_ring *ring, uint32_t *linked)
{
    const struct sq_pending_shm *p = &ring->group->pending;
    uint32_t prev = SQ_NONE;

    for (uint32_t e = p->pos_first; e != SQ_NONE; prev = e, e = ring->entries[e].pos_next) {
        if (e >= ring->entry_count || (*linked)++ > ring->entry_count)
            return "the list of positions leads astray";
        if (ring->entries[e].pos_prev != prev)
            return "the list of positions is not linked back";
        if (prev != SQ_NONE && (int64_t)(ring->entries[e].pos - ring->entries[prev].pos) <= 0)
            return "the list of positions does not ascend";
    }
    return p->pos_last == prev ? NULL : "the list of positions has another end";
}

static const char *check_leases(const struct sq_ring *ring, uint32_t *linked)
{
    const struct sq_pending_shm *p = &ring->group->pending;
    uint32_t prev = SQ_NONE;

    for (uint32_t e = p->lease_first; e != SQ_NONE; prev = e, e = ring->entries[e].time_next) {
        if (e >= ring->entry_count || (*linked)++ > ring->entry_count)
            return "the list of leases leads astray";
        if (ring->entries[e].time_prev != prev ||
            (prev != SQ_NONE && ring->entries[e].at_ns < ring->entries[prev].at_ns))
            return "the list of leases is not in order";
        if (!sq_state_is_lease(sq_word_state(sq_load(&ring->entries[e].word))))
            return "the list of leases has something else in it";
    }
    return p->lease_last == prev ? NULL : "the list of leases has another end";
}

const char *sq_pending_valid(const struct sq_ring *ring)
{
    const struct sq_group_shm *g = ring->group;
    const struct sq_pending_shm *p = &g->pending;
    uint32_t counts[SQ_ENTRY_STATES] = {0}, used = 0, positions = 0, leases = 0;
    struct sq_heap ready = {ring->ready, (uint32_t *)(uintptr_t)&p->ready_count, ring->entry_count};
    struct sq_heap timed = {ring->timed, (uint32_t *)(uintptr_t)&p->timed_count, ring->entry_count};
    uint32_t used_end = p->used_end;
    struct sq_view view;

    if (used_end > ring->entry_count)
        return "more entries were used than there are";
    for (uint32_t e = 0; e < used_end; e++) {
        enum sq_entry_state state = sq_word_state(sq_load(&ring->entries[e].word));
        if (state >= SQ_ENTRY_STATES)
            return "an entry has a senseless state";
        counts[state]++;
        used += state != SQ_FREE;
        if (state != SQ_FREE &&
            sq_record_view(ring, ring->entries[e].pos, ring->entries[e].id, &view) == -EBADMSG)
            return "an entry has no record";
    }
    const char *wrong = check_positions(ring, &positions);
    if (wrong == NULL)
        wrong = check_leases(ring, &leases);
    if (wrong != NULL)
        return wrong;
    if (positions != used || sq_load(&g->held_count) != used)
        return "the pending entries are miscounted";
    if (leases != counts[SQ_LEASED] + counts[SQ_DYING] || sq_load(&p->leased) != leases ||
        sq_load(&p->waiting) != counts[SQ_WAITING] || sq_load(&p->parked) != counts[SQ_PARKED] ||
        sq_load(&p->delayed) != counts[SQ_DELAYED] + counts[SQ_DOOMED])
        return "the states are miscounted";
    if (sq_load(&g->held_pos) != (used == 0 ? UINT64_MAX : ring->entries[p->pos_first].pos))
        return "held_pos is not the first position";
    if (((sq_load(&g->mode) & SQ_GROUP_HOLDS) != 0) != (used != 0))
        return "the group's mode does not tell of its entries";
    if (!sq_heap_valid(&ready) || !sq_heap_valid(&timed))
        return "a heap is out of order";
    if (p->ready_count < counts[SQ_WAITING] ||
        p->timed_count < counts[SQ_DELAYED] + counts[SQ_DOOMED])
        return "a heap lacks an entry";
    return NULL;
}
