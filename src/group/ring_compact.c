/*
 * ring_compact.c - see ring_compact.h.
 *
 *     low                                   lowest cursor
 *      v                                     v
 *     [held]..finished..[held]..finished.....[waiting][waiting]...tail
 *                                [held][held][waiting][waiting]...tail
 *                                ^ low
 *
 * From the highest held record down, each is copied as far forward as it can go: to
 * where the next one above it begins, if it does not overlap itself there, and then the
 * entries of all groups that hold it are pointed to the copy, each by one store.  Until
 * then the original is left alone, so whoever finds us dead finds every entry's
 * record whole.  A leased record is never moved, since its holder reads it there.
 * Nobody else reads behind the lowest cursor, but for a topic's history, which is
 * given up first.
 */
#include "group/ring_compact.h"

#include "group/key_index.h"
#include "group/table.h"

enum { COMPACT_PAUSE_NS = 50 * 1000 * 1000 };

/* How far down one group's list of positions we are. */
struct column {
    struct sq_ring ring;
    uint32_t entry; /* SQ_NONE: done */
};

/* The groups there are, as columns; how many. */
static unsigned open_columns(const struct sq_ring *ring, uint64_t bits, struct column *columns,
                             uint64_t *limit)
{
    uint64_t tail = sq_load(&ring->producer->tail_pos);
    unsigned n = 0;

    *limit = tail;
    for (; bits != 0; bits &= bits - 1) {
        unsigned i = (unsigned)__builtin_ctzll(bits);
        columns[n].ring = *ring;
        sq_ring_read_as(&columns[n].ring, i);
        uint64_t cursor = sq_load(&columns[n].ring.group->cursor_pos);
        if (tail - cursor > tail - *limit)
            *limit = cursor;
        columns[n].entry = columns[n].ring.group->pending.pos_last;
        n++;
    }
    return n;
}

static uint64_t column_pos(const struct column *c)
{
    return c->ring.entries[c->entry].pos;
}

/* Go down to the next entry, below `limit`. */
static void descend(struct column *c, uint64_t limit)
{
    uint32_t steps = 0;

    while (c->entry < c->ring.entry_count && (int64_t)(column_pos(c) - limit) >= 0 &&
           steps++ < c->ring.entry_count)
        c->entry = c->ring.entries[c->entry].pos_prev;
    if (c->entry >= c->ring.entry_count || (int64_t)(column_pos(c) - limit) >= 0)
        c->entry = SQ_NONE;
}

/* The highest position left, over all columns; false: none. */
static bool highest(struct column *columns, unsigned n, uint64_t limit, uint64_t *pos)
{
    bool any = false;

    for (unsigned i = 0; i < n; i++) {
        if (columns[i].entry == SQ_NONE)
            continue;
        descend(&columns[i], limit);
        if (columns[i].entry == SQ_NONE)
            continue;
        if (!any || (int64_t)(column_pos(&columns[i]) - *pos) > 0)
            *pos = column_pos(&columns[i]);
        any = true;
    }
    return any;
}

/* Whether no group has the record at `pos` leased. */
static bool can_move(const struct column *columns, unsigned n, uint64_t pos)
{
    for (unsigned i = 0; i < n; i++) {
        const struct column *c = &columns[i];
        if (c->entry != SQ_NONE && column_pos(c) == pos &&
            sq_state_is_lease(sq_word_state(sq_load(&c->ring.entries[c->entry].word))))
            return false;
    }
    return true;
}

static void point_to(const struct column *columns, unsigned n, uint64_t pos, uint64_t to)
{
    struct sq_view view;

    for (unsigned i = 0; i < n; i++) {
        const struct column *c = &columns[i];
        if (c->entry == SQ_NONE || column_pos(c) != pos)
            continue;
        if (c->ring.key_count != 0 && sq_record_view(&c->ring, pos, 0, &view) == 0)
            sq_key_index_move(&c->ring, &view, to);
        sq_program_order(); /* the copy is whole */
        c->ring.entries[c->entry].pos = to;
        sq_program_order();
    }
}

/* Slide the record at `pos` up to `limit`.  Where it is then. */
static uint64_t slide(const struct sq_ring *ring, const struct column *columns, unsigned n,
                      uint64_t pos, uint64_t limit)
{
    uint64_t end = sq_record_end(ring, pos, limit);
    uint64_t bytes = end - pos, to = limit - bytes;

    if (bytes == 0 || (int64_t)(to - end) < 0 || !can_move(columns, n, pos))
        return pos;
    const struct sq_record_shm *record = sq_record_at(ring, pos);
    if ((sq_load((_Atomic uint64_t *)(uintptr_t)&record->id) & SQ_ID_MOVED) != 0)
        return pos; /* its update is elsewhere, so many bytes from here */
    memcpy(sq_record_at(ring, to), record, bytes);
    point_to(columns, n, pos, to);
    return to;
}

static uint64_t low_of(const struct column *columns, unsigned n, uint64_t limit)
{
    uint64_t low = limit;

    for (unsigned i = 0; i < n; i++) {
        uint32_t first = columns[i].ring.group->pending.pos_first;
        if (first < columns[i].ring.entry_count &&
            (int64_t)(columns[i].ring.entries[first].pos - low) < 0)
            low = columns[i].ring.entries[first].pos;
    }
    return low;
}

static uint64_t count_held(const struct column *columns, unsigned n)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < n; i++)
        count += sq_load(&columns[i].ring.group->held_count);
    return count;
}

/*
 * A number that changes with all that a compaction might have waited for: what has ended in
 * these groups (the fast path counts acknowledgements alone), and each group that was removed.
 */
static uint64_t count_released(const struct sq_ring *ring, uint64_t groups)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < ring->group_count; i++) {
        const struct sq_group_shm *g = &ring->groups[i];
        count += (uint64_t)sq_load(&g->generation) << 32;
        if ((groups >> i & 1) != 0)
            count += g->pending.released_count + sq_load(&g->delivery.acked_count);
    }
    return count;
}

uint64_t sq_ring_compact(const struct sq_ring *ring, uint64_t groups, int64_t now_ns)
{
    struct sq_pending_shm *last = &ring->groups[0].pending;
    struct column columns[SQ_GROUPS_MAX] = {0};
    uint64_t limit, pos = 0;
    unsigned n = open_columns(ring, groups, columns, &limit);
    uint64_t before = low_of(columns, n, limit), top = limit;

    sq_assert_groups_held(ring, groups);
    /* Who pins comes to each group's side after that, or has seen that nothing is held: so
     * either we see the pin, or what it is to read is still to be slid. */
    if (sq_ring_is_pinned(ring))
        return 0;
    last->compacted_pos = limit;
    last->compacted_count = count_held(columns, n);
    last->compacted_released = count_released(ring, groups);
    last->compacted_ns = now_ns;
    if ((ring->kind & SHMQ_TOPIC) != 0) {
        sq_assert_held(&ring->producer->lock);
        ring->producer->history_pos = limit;
    }
    while (highest(columns, n, top, &pos))
        top = slide(ring, columns, n, pos, top);
    for (unsigned i = 0; i < n; i++)
        sq_pending_note_held(&columns[i].ring);
    return low_of(columns, n, limit) - before;
}

bool sq_ring_compact_wanted(const struct sq_ring *ring, int64_t now_ns)
{
    const struct sq_pending_shm *last = &ring->groups[0].pending;
    uint64_t bits = sq_ring_groups(ring), tail = sq_load(&ring->producer->tail_pos);
    uint64_t limit = tail, low = tail, count = 0;
    uint64_t changed = count_released(ring, bits) - last->compacted_released;

    if (sq_ring_is_pinned(ring))
        return false;
    for (; bits != 0; bits &= bits - 1) {
        unsigned i = (unsigned)__builtin_ctzll(bits);
        uint64_t cursor = sq_load_acquire(&ring->groups[i].cursor_pos);
        uint64_t held = sq_load(&ring->groups[i].held_pos);
        count += sq_load(&ring->groups[i].held_count);
        if (tail - cursor > tail - limit)
            limit = cursor;
        if (held != UINT64_MAX && tail - held > tail - low)
            low = held;
    }
    uint64_t sixteenth = ring->capacity_bytes / 16, moved = limit - last->compacted_pos;
    changed += count > last->compacted_count ? count - last->compacted_count
                                             : last->compacted_count - count;
    /* Held records pin more than they can be worth, ... */
    if ((int64_t)(limit - low) <= (int64_t)sixteenth)
        return false;
    if (moved > sixteenth || changed > last->compacted_count / 16)
        return true;
    /* ... and even one that has ended may have been the one in the way, so in the end it
     * is tried; but not each time, for the table may be large. */
    return (moved != 0 || changed != 0) &&
           (uint64_t)(now_ns - last->compacted_ns) > COMPACT_PAUSE_NS;
}
