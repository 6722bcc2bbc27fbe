/*
 * group_bulk.c - see group.h: what concerns a group as a whole: beginning, emptying,
 * making room at its cost, deriving anew.
 */
#include "group/group_bulk.h"

#include "group/group.h"
#include "group/group_lease.h"
#include "group/key_index.h"
#include "group/pending_rebuild.h"

static void count_up(_Atomic uint64_t *counter)
{
    sq_store(counter, sq_load(counter) + 1);
}

int64_t sq_group_purge(const struct sq_ring *ring)
{
    struct sq_group_shm *g = ring->group;
    struct sq_view view;
    struct sq_walk walk;
    int64_t purged = 0;

    sq_assert_held(&ring->group->lock);
    g->known_tail_pos = sq_load_acquire(&ring->producer->tail_pos);
    int rc = sq_ring_begin_take(ring, &walk);
    while (rc >= 0 && walk.pos != walk.end) {
        rc = sq_record_next(ring, &walk, &view);
        if (rc == SQ_MET_MESSAGE) {
            sq_group_release_key(ring, &view);
            purged++;
        }
    }
    if (rc == -EBADMSG)
        return rc;
    if (rc >= 0) {
        sq_store(&g->gone_count, 0);
        sq_ring_end_take(ring, &walk, 0);
    }
    rc = 0;
    for (uint32_t e = 0; rc == 0 && e < g->pending.used_end && e < ring->entry_count; e++) {
        enum sq_entry_state state = sq_word_state(sq_load(&ring->entries[e].word));
        if (state == SQ_FREE || sq_state_is_lease(state))
            continue;
        rc = sq_group_finish_entry(ring, e);
        purged++;
    }
    sq_store(&g->purged_count, sq_load(&g->purged_count) + (uint64_t)purged);
    /* A good moment to derive all else anew: purging is the way out of damage. */
    if (rc == 0)
        rc = sq_group_rebuild(ring);
    return rc < 0 ? rc : purged;
}

/* A parked message has given its key back.  False: another has it now. */
static bool take_key_again(const struct sq_ring *ring, const struct sq_entry_shm *entry)
{
    struct sq_view view;

    return sq_record_view(ring, entry->pos, entry->id, &view) == 0 &&
           sq_key_index_find(ring, view.key, view.key_bytes) == 0 &&
           sq_key_index_add(ring, view.key, view.key_bytes, view.id, view.pos) == 0;
}

int64_t sq_group_revive(const struct sq_ring *ring, uint64_t id)
{
    const struct sq_pending_shm *p = &ring->group->pending;
    int64_t revived = 0;
    int rc = 0;

    sq_assert_held(&ring->group->lock);
    for (uint32_t e = 0; rc == 0 && e < p->used_end && e < ring->entry_count; e++) {
        struct sq_entry_shm *entry = &ring->entries[e];
        if (sq_word_state(sq_load(&entry->word)) != SQ_PARKED || (id != 0 && entry->id != id))
            continue;
        if ((sq_load(&ring->group->mode) & SQ_GROUP_KEYED) != 0 && !take_key_again(ring, entry))
            continue;
        rc = sq_pending_set(ring, e, sq_word(SQ_WAITING, 0, 0));
        revived++;
    }
    return rc < 0 ? rc : revived;
}

/* Where the group's unfinished messages begin. */
static uint64_t low_of(const struct sq_ring *ring)
{
    uint64_t cursor = sq_load(&ring->group->cursor_pos), held = sq_load(&ring->group->held_pos);

    return held == UINT64_MAX || (int64_t)(held - cursor) > 0 ? cursor : held;
}

static uint64_t depth_of(const struct sq_ring *ring)
{
    return sq_ring_depth(ring) + sq_load(&ring->group->held_count);
}

/* Walk the cursor on, over messages that are dropped, as far as needed and no held
 * message is older.  How many, or -EBADMSG. */
static int64_t drop_fresh(const struct sq_ring *ring, uint64_t pos, uint64_t depth)
{
    struct sq_group_shm *g = ring->group;
    uint64_t held = sq_load(&g->held_pos), deep = depth_of(ring);
    struct sq_view view;
    struct sq_walk walk;
    int64_t dropped = 0;

    g->known_tail_pos = sq_load(&ring->producer->tail_pos);
    if (held == UINT64_MAX)
        held = g->known_tail_pos;
    int rc = sq_ring_begin_take(ring, &walk);
    while (rc >= 0 && walk.pos != walk.end && (int64_t)(held - walk.pos) >= 0 &&
           ((int64_t)(pos - walk.pos) > 0 || deep > depth)) {
        rc = sq_record_next(ring, &walk, &view);
        if (rc == SQ_MET_GONE)
            sq_group_pass_gone(ring);
        if (rc != SQ_MET_MESSAGE)
            continue;
        sq_group_release_key(ring, &view);
        dropped++;
        deep--;
    }
    if (rc < 0)
        return -EBADMSG; /* "empty" and "no room" cannot both be */
    sq_store(&g->dropped_count, sq_load(&g->dropped_count) + (uint64_t)dropped);
    sq_ring_end_take(ring, &walk, 0);
    return dropped;
}

int sq_group_drop(const struct sq_ring *ring, uint64_t pos, uint64_t depth)
{
    struct sq_group_shm *g = ring->group;
    int64_t rc = 0;

    sq_assert_held(&ring->producer->lock);
    sq_assert_held(&ring->group->lock);
    while (rc >= 0 && ((int64_t)(pos - low_of(ring)) > 0 || depth_of(ring) > depth)) {
        uint64_t cursor = sq_load(&g->cursor_pos);
        uint32_t e = g->pending.pos_first;
        if (e >= ring->entry_count ||
            (low_of(ring) == cursor && cursor != sq_load(&ring->producer->tail_pos))) {
            rc = drop_fresh(ring, pos, depth);
            continue;
        }
        if (sq_state_is_lease(sq_word_state(sq_load(&ring->entries[e].word))))
            return -EAGAIN;
        rc = sq_group_finish_entry(ring, e);
        if (rc == 0)
            count_up(&g->dropped_count);
    }
    sq_pending_note_due(ring);
    return rc < 0 ? (int)rc : 0;
}

/* What the group's mode must be, apart from what its users have set. */
static uint32_t due_mode(const struct sq_ring *ring)
{
    const struct sq_delivery_shm *d = &ring->group->delivery;
    uint32_t mode = 0;

    if (ring->order != SHMQ_FIFO)
        mode |= SQ_GROUP_ORDERED;
    if (ring->key_count != 0)
        mode |= SQ_GROUP_KEYED;
    if ((ring->kind & SHMQ_TOPIC) != 0)
        mode |= SQ_GROUP_NAMED;
    if (ring->dirty != NULL)
        mode |= SQ_GROUP_JOURNALED;
    if ((ring->kind & SHMQ_TOPIC) == 0)
        return mode; /* only a topic's groups have filters */
    if (d->filter_type != 0 || d->filter_key[0] != '\0' || d->filter_header[0] != '\0')
        mode |= SQ_GROUP_FILTERED;
    return mode;
}

static void derive_entries(const struct sq_ring *ring)
{
    uint32_t mode = sq_load(&ring->group->mode);

    /* Where the bits that can be derived are not as they must be, the others mean nothing
     * either. */
    const uint32_t set = SQ_GROUP_PAUSED | SQ_GROUP_DONE_AWAITED, due = due_mode(ring);
    mode = (mode & ~(set | SQ_GROUP_HOLDS)) == due ? mode & set : 0;
    sq_store(&ring->group->mode, mode | due);

    sq_pending_rebuild(ring, SQ_DROP_BEYOND);
}

int sq_group_derive(const struct sq_ring *ring)
{
    sq_assert_held(&ring->group->lock);
    derive_entries(ring);
    return ring->key_count != 0 ? sq_key_index_rebuild(ring) : 0;
}

int sq_group_rebuild(const struct sq_ring *ring)
{
    int rc = sq_ring_rebuild_consumer(ring);

    sq_assert_held(&ring->group->lock);
    if (rc == 0)
        return sq_group_derive(ring);
    derive_entries(ring); /* even where the records after the cursor are damaged */
    return rc;
}

void sq_group_set_policy(const struct sq_ring *ring, const struct sq_policy_shm *policy)
{
    struct sq_delivery_shm *d = &ring->group->delivery;
    uint32_t at = (sq_load(&d->policy_at) + 1) & 1;

    sq_assert_held(&ring->group->lock);
    /* Beside the one in force, and then instead of it, in one step. */
    d->policies[at] = *policy;
    sq_store_release(&d->policy_at, at);
}

void sq_group_begin(const struct sq_ring *ring, const char *name,
                    const struct sq_policy_shm *policy)
{
    struct sq_group_shm *g = ring->group;

    sq_assert_held(&ring->group->lock);
    sq_store(&g->got_bytes, 0);
    sq_store(&g->dropped_count, 0);
    sq_store(&g->purged_count, 0);
    memset(&g->delivery, 0, sizeof(g->delivery));
    sq_store(&g->mode, due_mode(ring));
    memcpy(g->delivery.name, name, strnlen(name, SHMQ_GROUP_LONGEST));
    g->delivery.policies[0] = *policy;
    g->delivery.start_id = sq_load(&g->finished_id) + 1;
    sq_pending_clear(ring);
}

uint64_t sq_group_backlog(const struct sq_ring *ring)
{
    const struct sq_pending_shm *p = &ring->group->pending;

    return sq_ring_depth(ring) + sq_load(&p->waiting) + sq_load(&p->delayed) + sq_load(&p->leased);
}

uint64_t sq_group_waiting(const struct sq_ring *ring)
{
    return sq_ring_depth(ring) + sq_load(&ring->group->pending.waiting);
}
