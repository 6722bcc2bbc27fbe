/*
 * pending.c - a group's pending entries and their states (pending.h; the structs: layout.h).
 *
 *     state     is in             comes from                      goes to
 *     FREE      list of free      whatever finishes a message     LEASED WAITING DELAYED DOOMED
 *                                                                 PARKED (a fresh message)
 *     WAITING   heap `ready`      nack, redrive, the end of a     LEASED FREE DOOMED PARKED
 *                                 lease or of a delay
 *     DELAYED   heap `timed`      a delay, nack                   WAITING FREE
 *     LEASED    list of leases    receive                         FREE WAITING DELAYED DYING
 *                                                                 DOOMED PARKED
 *     DYING     list of leases    reject; a pick that met DOOMED  FREE DOOMED PARKED
 *     DOOMED    heap `timed`      out of attempts or expired;     DYING FREE
 *                                 DYING, and its owner died
 *     PARKED    -                 a dead letter with no queue     WAITING FREE
 *                                 to go to
 *
 * Invariants, for whoever holds the group's side:
 *  1. An entry that is not FREE has a whole record at `pos`: with the entry's id, or one that
 *     says that its message has moved on from there, or is gone.
 *  2. It is in the list of positions, which ascends, and in the list or heap of its state.
 *  3. held_pos is the first position in that list, and held_count the number of its entries;
 *     `mode` has SQ_GROUP_HOLDS if there are any.
 *
 * Crash rule.  An entry's word is stored after the fields that its new state wants.  Lists, heaps
 * and counts are stored before and after it, in any order: whoever takes the lock over from a
 * dead owner derives them from the words.  An entry that the cursor has not passed was being
 * made by the dead owner, and is dropped.
 */
#include "group/pending.h"

#include "group/dirty.h"
#include "group/pending_rebuild.h"

enum { LIST_POS, LIST_TIME };

static struct sq_heap ready_heap(const struct sq_ring *ring)
{
    return (struct sq_heap){ring->ready, &ring->group->pending.ready_count, ring->entry_count};
}

static struct sq_heap timed_heap(const struct sq_ring *ring)
{
    return (struct sq_heap){ring->timed, &ring->group->pending.timed_count, ring->entry_count};
}

/* --- heap items -------------------------------------------------------------- */

static struct sq_heap_item_shm ready_item(const struct sq_ring *ring, uint32_t e)
{
    const struct sq_entry_shm *entry = &ring->entries[e];
    uint32_t major =
        ring->order == SHMQ_PRIORITY ? (uint32_t)(INT32_MAX - (int64_t)entry->priority) : 0;
    /* LIFO: the last sequence first, and those at the back, which are negative, at the end. */
    uint64_t minor = ring->order == SHMQ_LIFO ? ~(entry->seq ^ (uint64_t)1 << 63) : entry->seq;

    return (struct sq_heap_item_shm){major, e, minor};
}

static struct sq_heap_item_shm timed_item(const struct sq_ring *ring, uint32_t e)
{
    /* The sign turned, so that the times compare as unsigned numbers do. */
    return (struct sq_heap_item_shm){0, e, (uint64_t)ring->entries[e].at_ns ^ (uint64_t)1 << 63};
}

static bool same_item(struct sq_heap_item_shm a, const struct sq_heap_item_shm *b)
{
    return a.major == b->major && a.minor == b->minor;
}

uint32_t sq_pending_ready(const struct sq_ring *ring)
{
    struct sq_heap heap = ready_heap(ring);
    const struct sq_heap_item_shm *top;

    sq_assert_held(&ring->group->lock);
    while ((top = sq_heap_top(&heap)) != NULL) {
        uint32_t e = top->entry;
        if (e < ring->entry_count && sq_word_state(sq_load(&ring->entries[e].word)) == SQ_WAITING &&
            same_item(ready_item(ring, e), top))
            return e;
        sq_heap_pop(&heap); /* out of date */
    }
    return SQ_NONE;
}

void sq_pending_unready(const struct sq_ring *ring)
{
    struct sq_heap heap = ready_heap(ring);

    sq_assert_held(&ring->group->lock);
    sq_heap_pop(&heap);
    /* The next one will be wanted soon, and of many it is far from any cache. */
    if (*heap.count != 0 && heap.items[0].entry < ring->entry_count)
        __builtin_prefetch(&ring->entries[heap.items[0].entry]);
}

uint32_t sq_pending_timed(const struct sq_ring *ring)
{
    struct sq_heap heap = timed_heap(ring);
    const struct sq_heap_item_shm *top;

    sq_assert_held(&ring->group->lock);
    while ((top = sq_heap_top(&heap)) != NULL) {
        uint32_t e = top->entry;
        if (e < ring->entry_count) {
            enum sq_entry_state state = sq_word_state(sq_load(&ring->entries[e].word));
            if ((state == SQ_DELAYED || state == SQ_DOOMED) && same_item(timed_item(ring, e), top))
                return e;
        }
        sq_heap_pop(&heap);
    }
    return SQ_NONE;
}

void sq_pending_untimed(const struct sq_ring *ring)
{
    struct sq_heap heap = timed_heap(ring);

    sq_assert_held(&ring->group->lock);
    sq_heap_pop(&heap);
}

/* --- lists --------------------------------------------------------------------- */

static uint32_t *prev_of(const struct sq_ring *ring, int list, uint32_t e)
{
    return list == LIST_POS ? &ring->entries[e].pos_prev : &ring->entries[e].time_prev;
}

static uint32_t *next_of(const struct sq_ring *ring, int list, uint32_t e)
{
    return list == LIST_POS ? &ring->entries[e].pos_next : &ring->entries[e].time_next;
}

static uint32_t *first_of(const struct sq_ring *ring, int list)
{
    struct sq_pending_shm *p = &ring->group->pending;

    return list == LIST_POS ? &p->pos_first : &p->lease_first;
}

static uint32_t *last_of(const struct sq_ring *ring, int list)
{
    struct sq_pending_shm *p = &ring->group->pending;

    return list == LIST_POS ? &p->pos_last : &p->lease_last;
}

static bool comes_after(const struct sq_ring *ring, int list, uint32_t a, uint32_t b)
{
    const struct sq_entry_shm *x = &ring->entries[a], *y = &ring->entries[b];

    return list == LIST_POS ? (int64_t)(x->pos - y->pos) > 0 : x->at_ns > y->at_ns;
}

/* Insert `e` where it belongs, which most often is at the end.  False: damaged. */
static bool list_insert(const struct sq_ring *ring, int list, uint32_t e)
{
    uint32_t prev = *last_of(ring, list), next = SQ_NONE, steps = 0;

    while (prev != SQ_NONE) {
        if (prev >= ring->entry_count || steps++ > ring->entry_count)
            return false;
        if (!comes_after(ring, list, prev, e))
            break;
        next = prev;
        prev = *prev_of(ring, list, prev);
    }
    *prev_of(ring, list, e) = prev;
    *next_of(ring, list, e) = next;
    *(prev == SQ_NONE ? first_of(ring, list) : next_of(ring, list, prev)) = e;
    *(next == SQ_NONE ? last_of(ring, list) : prev_of(ring, list, next)) = e;
    return true;
}

/* False: its neighbours do not know it. */
static bool list_remove(const struct sq_ring *ring, int list, uint32_t e)
{
    uint32_t prev = *prev_of(ring, list, e), next = *next_of(ring, list, e);
    uint32_t *from_prev, *from_next;

    if ((prev >= ring->entry_count && prev != SQ_NONE) ||
        (next >= ring->entry_count && next != SQ_NONE))
        return false;
    from_prev = prev == SQ_NONE ? first_of(ring, list) : next_of(ring, list, prev);
    from_next = next == SQ_NONE ? last_of(ring, list) : prev_of(ring, list, next);
    if (*from_prev != e || *from_next != e)
        return false;
    *from_prev = next;
    *from_next = prev;
    return true;
}

/* --- entering and leaving a state ------------------------------------------------- */

static _Atomic uint32_t *count_of(struct sq_pending_shm *p, enum sq_entry_state state)
{
    switch (state) {
    case SQ_WAITING:
        return &p->waiting;
    case SQ_DELAYED:
    case SQ_DOOMED:
        return &p->delayed;
    case SQ_LEASED:
    case SQ_DYING:
        return &p->leased;
    default:
        return &p->parked;
    }
}

void sq_pending_note_held(const struct sq_ring *ring)
{
    struct sq_group_shm *g = ring->group;
    uint32_t first = g->pending.pos_first;
    uint64_t held = first < ring->entry_count ? ring->entries[first].pos : UINT64_MAX;

    sq_assert_held(&ring->group->lock);
    if (sq_load(&g->held_pos) != held)
        sq_store_release(&g->held_pos, held);
}

static void note_mode(struct sq_group_shm *g, uint32_t set, uint32_t clear)
{
    uint32_t mode = sq_load(&g->mode);

    if ((mode | set) != mode || (mode & clear) != 0)
        sq_store(&g->mode, (mode | set) & ~clear);
}

static bool leave_state(const struct sq_ring *ring, uint32_t e, enum sq_entry_state old,
                        enum sq_entry_state new)
{
    struct sq_group_shm *g = ring->group;

    if (old == SQ_FREE)
        return true;
    struct sq_pending_shm *p = &g->pending;
    p->released_count += new == SQ_FREE || sq_state_is_lease(old);
    _Atomic uint32_t *count = count_of(p, old);
    sq_store(count, sq_load(count) - 1);
    if (sq_state_is_lease(old) && !list_remove(ring, LIST_TIME, e))
        return false;
    if (new == SQ_FREE) {
        if (!list_remove(ring, LIST_POS, e))
            return false;
        sq_store(&g->held_count, sq_load(&g->held_count) - 1);
    }
    return true;
}

static bool push(const struct sq_ring *ring, uint32_t e, enum sq_entry_state state)
{
    struct sq_heap heap;

    if (state == SQ_WAITING) {
        heap = ready_heap(ring);
        return sq_heap_push(&heap, ready_item(ring, e));
    }
    if (state == SQ_DELAYED || state == SQ_DOOMED) {
        heap = timed_heap(ring);
        return sq_heap_push(&heap, timed_item(ring, e));
    }
    return true;
}

void sq_pending_derive(const struct sq_ring *ring, uint32_t e)
{
    enum sq_entry_state state = sq_word_state(sq_load(&ring->entries[e].word));
    _Atomic uint32_t *count = count_of(&ring->group->pending, state);

    sq_assert_held(&ring->group->lock);
    sq_store(count, sq_load(count) + 1);
    push(ring, e, state);
}

static bool enter_state(const struct sq_ring *ring, uint32_t e, enum sq_entry_state old,
                        enum sq_entry_state new)
{
    struct sq_group_shm *g = ring->group;
    struct sq_pending_shm *p = &g->pending;

    if (new == SQ_FREE) {
        ring->entries[e].time_next = p->free_first;
        p->free_first = e;
        sq_store(&p->stalled_pos, UINT64_MAX);
        if (sq_load(&g->held_count) == 0)
            note_mode(g, 0, SQ_GROUP_HOLDS);
        return true;
    }
    if (old == SQ_FREE) {
        if (!list_insert(ring, LIST_POS, e))
            return false;
        sq_store(&g->held_count, sq_load(&g->held_count) + 1);
        note_mode(g, SQ_GROUP_HOLDS, 0);
    }
    _Atomic uint32_t *count = count_of(p, new);
    sq_store(count, sq_load(count) + 1);
    return sq_state_is_lease(new) ? list_insert(ring, LIST_TIME, e) : push(ring, e, new);
}

int sq_pending_set(const struct sq_ring *ring, uint32_t e, uint64_t word)
{
    struct sq_entry_shm *entry = &ring->entries[e];
    enum sq_entry_state old = sq_word_state(sq_load(&entry->word)), new = sq_word_state(word);

    sq_assert_held(&ring->group->lock);
    SQ_BUG_ON(e >= ring->entry_count);
    if (sq_unlikely(old == SQ_FREE && new == SQ_FREE)) {
        sq_pending_rebuild(ring, SQ_KEEP_BEYOND); /* what led here is damaged */
        return -EBADMSG;
    }
    bool good = leave_state(ring, e, old, new);
    sq_dirty_mark(ring, e);
    sq_program_order(); /* what the new state wants is there */
    sq_store_release(&entry->word, word);
    sq_program_order();
    good = good && enter_state(ring, e, old, new);
    if (sq_likely(good)) {
        if (old == SQ_FREE || new == SQ_FREE)
            sq_pending_note_held(ring);
        return 0;
    }
    /* A heap full of what is out of date, or damage. */
    sq_pending_rebuild(ring, SQ_KEEP_BEYOND);
    return 0;
}

static bool is_free(const struct sq_ring *ring, uint32_t e)
{
    return sq_word_state(sq_load(&ring->entries[e].word)) == SQ_FREE;
}

uint32_t sq_pending_take(const struct sq_ring *ring)
{
    struct sq_pending_shm *p = &ring->group->pending;
    uint32_t e = p->free_first;

    sq_assert_held(&ring->group->lock);
    /* Free it must be, or the list, or how many were ever used, is damaged. */
    if ((e != SQ_NONE && (e >= ring->entry_count || !is_free(ring, e))) ||
        (e == SQ_NONE && p->used_end < ring->entry_count && !is_free(ring, p->used_end))) {
        sq_pending_rebuild(ring, SQ_KEEP_BEYOND);
        e = p->free_first;
    }
    if (e != SQ_NONE) {
        p->free_first = ring->entries[e].time_next;
        return e;
    }
    return p->used_end < ring->entry_count ? p->used_end++ : SQ_NONE;
}

int sq_pending_touch(const struct sq_ring *ring, uint32_t e, int64_t until_ns)
{
    bool good = list_remove(ring, LIST_TIME, e);

    sq_assert_held(&ring->group->lock);
    SQ_BUG_ON(e >= ring->entry_count);
    sq_dirty_mark(ring, e);
    ring->entries[e].at_ns = until_ns;
    if (!good || !list_insert(ring, LIST_TIME, e))
        sq_pending_rebuild(ring, SQ_KEEP_BEYOND);
    return 0;
}

int sq_pending_move(const struct sq_ring *ring, uint32_t e, uint64_t pos)
{
    bool good = list_remove(ring, LIST_POS, e);

    sq_assert_held(&ring->group->lock);
    SQ_BUG_ON(e >= ring->entry_count);
    ring->entries[e].pos = pos;
    ring->group->pending.released_count++;
    good = good && list_insert(ring, LIST_POS, e);
    sq_pending_note_held(ring);
    if (!good)
        sq_pending_rebuild(ring, SQ_KEEP_BEYOND);
    return 0;
}

uint32_t sq_pending_find(const struct sq_ring *ring, uint64_t id)
{
    uint32_t used_end = ring->group->pending.used_end;

    sq_assert_held(&ring->group->lock);
    for (uint32_t e = 0; e < used_end && e < ring->entry_count; e++)
        if (ring->entries[e].id == id && sq_word_state(sq_load(&ring->entries[e].word)) != SQ_FREE)
            return e;
    return SQ_NONE;
}

void sq_pending_note_due(const struct sq_ring *ring)
{
    struct sq_pending_shm *p = &ring->group->pending;
    uint32_t lease = p->lease_first, timed = sq_pending_timed(ring);
    int64_t due_ns = SQ_NEVER;

    if (lease < ring->entry_count)
        due_ns = ring->entries[lease].at_ns;
    if (timed != SQ_NONE && ring->entries[timed].at_ns < due_ns)
        due_ns = ring->entries[timed].at_ns;
    if (sq_load(&p->next_due_ns) != due_ns)
        sq_store(&p->next_due_ns, due_ns);
}
