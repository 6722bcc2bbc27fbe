/*
 * queue_view.c - see queue_view.h.
 */
#include "shmq-check/queue_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "group/table.h"

/* --- copying ------------------------------------------------------------------- */

/* By words, each of which is what it was at some moment. */
static void copy_words(void *to, const void *from, size_t bytes)
{
    const _Atomic uint64_t *f = from;
    uint64_t *t = to;

    for (size_t i = 0; i < bytes / 8; i++)
        t[i] = sq_load((_Atomic uint64_t *)(uintptr_t)&f[i]);
}

static bool same_words(const void *a, const void *b, size_t bytes)
{
    const _Atomic uint64_t *f = b;
    const uint64_t *t = a;

    for (size_t i = 0; i < bytes / 8; i++)
        if (t[i] != sq_load((_Atomic uint64_t *)(uintptr_t)&f[i]))
            return false;
    return true;
}

static unsigned char *table_of(const struct look *l, unsigned char *tables, uint32_t group)
{
    return tables + group * l->ring.table_bytes;
}

static bool copy_part(void *ours, const void *theirs, size_t bytes)
{
    copy_words(ours, theirs, bytes);
    return true;
}

/* A group's cursor anew, in the other order than it is written: what was passed may be ahead
 * of the cursor, and not behind. */
static void copy_cursor(struct sq_group_shm *ours, const struct sq_group_shm *theirs)
{
    sq_store(&ours->cursor_pos, sq_load_acquire(&theirs->cursor_pos));
    sq_store(&ours->finished_id, sq_load_acquire(&theirs->finished_id));
}

/* Copy or compare each group, its table, and the producer's side, in this order. */
static bool each_part(const struct look *l,
                      bool (*part)(void *ours, const void *theirs, size_t bytes))
{
    const struct sq_ring *ring = &l->segment->ring;
    bool good = true;

    for (uint64_t bits = sq_ring_groups(&l->ring); good && bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        good = part(&l->groups[i], &ring->groups[i], sizeof(l->groups[i]));
        atomic_thread_fence(memory_order_acquire);
        if (part == copy_part)
            copy_cursor(&l->groups[i], &ring->groups[i]);
        good = good &&
               part(table_of(l, l->tables, i), table_of(l, ring->tables, i), ring->table_bytes);
        atomic_thread_fence(memory_order_acquire);
    }
    return good && part(l->producer, ring->producer, sizeof(*l->producer));
}

static bool same_part(void *ours, const void *theirs, size_t bytes)
{
    return same_words(ours, theirs, bytes);
}

bool look_is_as_it_was(const struct look *l)
{
    return each_part(l, same_part);
}

static void judge_sides(struct look *l)
{
    bool taken = sq_load(&l->producer->lock.owner) != 0;

    l->is_sole = sq_load(&l->producer->sole) != 0;
    for (uint64_t bits = sq_ring_groups(&l->ring); bits != 0; bits &= bits - 1) {
        const struct sq_group_shm *g = &l->groups[__builtin_ctzll(bits)];
        taken = taken || sq_load(&g->lock.owner) != 0;
        l->is_sole = l->is_sole || sq_load(&g->sole) != 0;
    }
    l->is_still = !taken && !l->is_sole && look_is_as_it_was(l);
}

/* Whether a group's cursor may be wrong: it is at no record that could be the next. */
static bool is_suspect(const struct look *l, uint32_t group)
{
    struct sq_walk walk = {.end = sq_load(&l->producer->tail_pos)};
    uint64_t finished = sq_load(&l->groups[group].finished_id);
    struct sq_view view;
    int met = SQ_MET_COPY;

    walk.pos = sq_load(&l->groups[group].cursor_pos);
    if (!look_spans(l, walk.pos))
        return true;
    while (met == SQ_MET_COPY && walk.pos != walk.end)
        met = sq_record_next(&l->ring, &walk, &view);
    return met != SQ_MET_COPY && (met < 0 || view.id > finished + 1);
}

static uint64_t find_suspects(const struct look *l)
{
    uint64_t suspects = 0;

    for (uint64_t bits = sq_ring_groups(&l->ring); bits != 0; bits &= bits - 1)
        if (is_suspect(l, (uint32_t)__builtin_ctzll(bits)))
            suspects |= bits & -bits;
    return suspects;
}

/* Whether it is the cursor that is wrong, and not the record there: the next one stands before
 * it. */
static bool is_astray(const struct look *l, uint32_t group)
{
    uint64_t cursor = sq_load(&l->groups[group].cursor_pos);
    uint64_t pos = sq_load(&l->producer->tail_pos) - l->ring.capacity_bytes;
    uint64_t id = sq_load(&l->groups[group].finished_id) + 1;
    struct sq_view view;

    if (!look_spans(l, cursor))
        return true;
    for (; pos != cursor; pos += SQ_RECORD_ALIGN)
        if (sq_load(&sq_record_at(&l->ring, pos)->id) == id &&
            sq_record_view(&l->ring, pos, id, &view) == 0)
            return true;
    return false;
}

static uint64_t find_astray(const struct look *l, uint64_t suspects)
{
    uint64_t astray = 0;

    for (; suspects != 0; suspects &= suspects - 1)
        if (is_astray(l, (uint32_t)__builtin_ctzll(suspects)))
            astray |= suspects & -suspects;
    return astray;
}

/* Those of them that have gone on meanwhile, and so are not stuck at a wrong position. */
static uint64_t find_gone_on(const struct look *l, uint64_t groups)
{
    const struct sq_group_shm *theirs = l->segment->ring.groups;
    uint64_t gone_on = 0;

    for (; groups != 0; groups &= groups - 1) {
        unsigned i = (unsigned)__builtin_ctzll(groups);
        if (sq_load_acquire(&theirs[i].cursor_pos) != sq_load(&l->groups[i].cursor_pos))
            gone_on |= groups & -groups;
    }
    return gone_on;
}

static void *aligned(size_t bytes)
{
    return aligned_alloc(SQ_SEPARATE, sq_align_up(bytes, SQ_SEPARATE));
}

int look_take(struct look *l, const struct sq_segment *segment)
{
    enum { TRIES = 20 };
    const struct sq_ring *ring = &segment->ring;
    uint64_t suspects, gone_on;
    int tries = 0;

    *l = (struct look){.segment = segment, .ring = *ring};
    l->producer = aligned(sizeof(*l->producer));
    l->groups = aligned(ring->group_count * sizeof(*l->groups));
    l->tables = aligned(ring->group_count * ring->table_bytes);
    if (l->producer == NULL || l->groups == NULL || l->tables == NULL)
        return sq_fail(-ENOMEM, "no memory for a copy of the queue's tables");
    sq_lock_own(l->groups, ring->group_count * sizeof(*l->groups));
    l->ring.home = &l->ring;
    l->ring.producer = l->producer;
    l->ring.groups = l->groups;
    l->ring.tables = l->tables;
    l->ring.pin = NULL;
    sq_store(&l->bits, sq_ring_groups(ring));
    l->ring.group_bits = &l->bits;
    sq_ring_read_as(&l->ring, 0);
    do {
        each_part(l, copy_part);
        suspects = find_suspects(l);
        gone_on = find_gone_on(l, suspects);
    } while (gone_on != 0 && ++tries < TRIES);
    l->astray = find_astray(l, suspects & ~gone_on);
    judge_sides(l);
    return 0;
}

void look_free(struct look *l)
{
    if (l->ring.groups == l->groups && l->groups != NULL) /* all memory was there */
        sq_lock_freed(l->groups);
    free(l->producer);
    free(l->groups);
    free(l->tables);
    *l = (struct look){.segment = NULL};
}

struct sq_ring look_as(const struct look *l, uint32_t group)
{
    struct sq_ring ring = l->ring;

    sq_ring_read_as(&ring, group);
    return ring;
}

/* --- positions ------------------------------------------------------------------ */

bool look_start(const struct look *l, uint64_t *start)
{
    uint64_t tail = sq_load(&l->producer->tail_pos);
    bool any = false;

    *start = tail;
    for (uint64_t bits = sq_ring_groups(&l->ring); bits != 0; bits &= bits - 1) {
        uint64_t cursor = sq_load(&l->groups[__builtin_ctzll(bits)].cursor_pos);
        if (!look_spans(l, cursor))
            continue;
        any = true;
        if (tail - cursor > tail - *start)
            *start = cursor;
    }
    if ((l->ring.kind & SHMQ_TOPIC) == 0 || !look_spans(l, l->producer->history_pos))
        return any;
    if (tail - l->producer->history_pos > tail - *start)
        *start = l->producer->history_pos;
    return true;
}

uint64_t look_id_before(const struct look *l)
{
    bool topic = (l->ring.kind & SHMQ_TOPIC) != 0; /* with a history before all groups */

    return topic || l->astray != 0 ? 0 : sq_load(&l->ring.group->finished_id);
}

uint64_t look_start_now(const struct look *l)
{
    const struct sq_ring *ring = &l->segment->ring;
    uint64_t start = sq_load(&l->producer->tail_pos);

    atomic_thread_fence(memory_order_acquire);
    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1) {
        uint64_t cursor = sq_load(&ring->groups[__builtin_ctzll(bits)].cursor_pos);
        start = (int64_t)(cursor - start) < 0 ? cursor : start;
    }
    uint64_t history = sq_load((_Atomic uint64_t *)(uintptr_t)&ring->producer->history_pos);
    if ((ring->kind & SHMQ_TOPIC) != 0 && (int64_t)(history - start) < 0)
        start = history;
    return start;
}

bool look_passed(const struct look *l, uint64_t pos)
{
    return l->astray == 0 && (int64_t)(look_start_now(l) - pos) > 0;
}

bool look_follow(struct look *l)
{
    uint64_t tail = sq_load_acquire(&l->segment->ring.producer->tail_pos);
    uint64_t ahead = tail - sq_load(&l->producer->tail_pos);

    if (l->is_mended || ahead == 0 || ahead > l->ring.capacity_bytes || tail % SQ_RECORD_ALIGN != 0)
        return false;
    sq_store(&l->producer->tail_pos, tail);
    return true;
}

/* How far records go on from `pos` by consecutive ids below `next_id`, of which the first is
 * `id`, and updates behind them.  *last_id: the last one's. */
static uint64_t run_from(const struct look *l, uint64_t pos, uint64_t id, uint64_t next_id,
                         uint64_t *last_id)
{
    struct sq_walk walk = {pos, pos + l->ring.capacity_bytes, id};
    struct sq_view view;
    uint64_t tail = sq_load(&l->producer->tail_pos), end = pos;
    int met = SQ_MET_MESSAGE;

    sq_store(&l->producer->tail_pos, walk.end); /* so that updates are followed */
    while (met >= 0 && walk.pos != walk.end && walk.id <= next_id) {
        end = walk.pos;
        *last_id = walk.id - 1;
        met = sq_record_next(&l->ring, &walk, &view);
    }
    sq_store(&l->producer->tail_pos, tail);
    return end;
}

void look_mend_end(struct look *l)
{
    uint64_t next_id = sq_load(&l->producer->next_id), tail = sq_load(&l->producer->tail_pos);
    uint64_t last_id = 0;

    for (uint64_t bits = sq_ring_groups(&l->ring); bits != 0; bits &= bits - 1) {
        const struct sq_group_shm *g = &l->groups[__builtin_ctzll(bits)];
        uint64_t cursor = sq_load(&g->cursor_pos), id = sq_load(&g->finished_id) + 1;
        if (cursor % SQ_RECORD_ALIGN != 0 || id >= next_id)
            continue;
        uint64_t end = run_from(l, cursor, id, next_id, &last_id);
        if (last_id + 1 != next_id || (look_spans(l, cursor) && tail - cursor >= end - cursor))
            continue;
        sq_store(&l->producer->tail_pos, end);
        l->is_mended = true;
        uint64_t suspects = find_suspects(l);
        l->astray = find_astray(l, suspects & ~find_gone_on(l, suspects));
        return;
    }
}

/* --- after a damaged record --------------------------------------------------------- */

/* Whether the record at `pos`, which is an update, could be that of a message before `id`. */
static bool is_update(const struct sq_ring *ring, uint64_t pos, uint64_t id)
{
    const struct sq_record_shm *record = sq_record_at(ring, pos);
    uint64_t own = sq_load((_Atomic uint64_t *)(uintptr_t)&record->id);

    return (own & SQ_ID_MOVED) != 0 || ((own & SQ_ID_REST) > 0 && (own & SQ_ID_REST) <= id);
}

/* Whether records go on at `pos`; the first one's id is within the limits. */
static bool goes_on(const struct sq_ring *ring, uint64_t pos, uint64_t end, uint64_t last_id,
                    uint64_t next_id)
{
    struct sq_walk walk = {pos, end, 0};
    struct sq_view view;

    int met = sq_record_next(ring, &walk, &view);
    if ((met != SQ_MET_MESSAGE && met != SQ_MET_GONE) || view.id <= last_id || view.id >= next_id)
        return false;
    for (uint64_t id = view.id; walk.pos != end;) {
        uint64_t at = walk.pos;
        met = sq_record_next(ring, &walk, &view);
        if (met != SQ_MET_COPY)
            return met >= 0; /* by its id the very next one */
        if (!is_update(ring, at, id))
            return false;
    }
    return true;
}

uint64_t look_resync(const struct sq_ring *ring, uint64_t pos, uint64_t end, uint64_t last_id)
{
    uint64_t next_id = SQ_ID_MAX;

    if (last_id > 0)
        next_id = last_id + (end - pos) / SQ_RECORD_HEADER_BYTES + 2;
    for (pos += SQ_RECORD_ALIGN; pos != end; pos += SQ_RECORD_ALIGN) {
        uint64_t left = end - pos;
        if (left < SQ_RECORD_HEADER_BYTES || left > ring->capacity_bytes)
            return end;
        const struct sq_record_shm *record = sq_record_at(ring, pos);
        if (record->length <= left - SQ_RECORD_HEADER_BYTES &&
            (record->tag & ~(uint32_t)SQ_RECORD_TAG_KNOWN) == 0 &&
            goes_on(ring, pos, end, last_id, next_id))
            return pos;
    }
    return end;
}

void look_why(const struct sq_ring *ring, uint64_t pos, uint64_t end, uint64_t id, char *why,
              size_t size)
{
    const struct sq_record_shm *record = sq_record_at(ring, pos);
    uint64_t left = end - pos, own = sq_load((_Atomic uint64_t *)(uintptr_t)&record->id);
    uint32_t length = record->length, tag = record->tag;

    if (left < SQ_RECORD_HEADER_BYTES || left > ring->capacity_bytes || pos % SQ_RECORD_ALIGN != 0)
        snprintf(why, size, "there is no room for one");
    else if (sq_record_bytes(length) > left)
        snprintf(why, size, "it says that it has %u bytes, and there are %llu", length,
                 (unsigned long long)(left - SQ_RECORD_HEADER_BYTES));
    else if ((tag & ~(uint32_t)SQ_RECORD_TAG_KNOWN) != 0)
        snprintf(why, size, "its tag is %#x", tag);
    else if ((own & SQ_ID_MOVED) != 0)
        snprintf(why, size, "it was updated, and the update is not where it says");
    else if ((own & SQ_ID_REST) == 0 || (id != 0 && (own & SQ_ID_REST) != id))
        snprintf(why, size, "its id is %llu, not %llu", (unsigned long long)(own & SQ_ID_REST),
                 (unsigned long long)id);
    else
        snprintf(why, size, "its extension is damaged");
}
