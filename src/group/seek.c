/*
 * seek.c - see seek.h.
 *
 * Crash rule of moving.  The cursor is stored first: once it is back, entries of what it
 * comes to again are dropped, whether we live to do it or not.  Who dies right after that
 * leaves a group that is there, and still has the other entries.
 */
#include "group/seek.h"

#include "group/group_bulk.h"
#include "group/pending_rebuild.h"

static bool reached(const struct sq_ring *ring, const struct sq_view *view, int start, uint64_t at)
{
    switch (start) {
    case SHMQ_AT_ID:
        return view->id >= at;
    case SHMQ_AT_TIME:
        return view->put_ns >= (int64_t)at;
    case SHMQ_AT_PART:
        return view->id >= sq_load(&ring->producer->part_id);
    default:
        return start == SHMQ_EARLIEST;
    }
}

/* P: where a topic's history begins. */
static uint64_t history_begin(const struct sq_ring *ring)
{
    struct sq_producer_shm *p = ring->producer;

    if (!sq_ring_spans(ring, p->history_pos, sq_load(&p->tail_pos)))
        sq_ring_rebuild_producer(ring);
    return p->history_pos;
}

int sq_seek_find(const struct sq_ring *ring, int start, uint64_t at, struct sq_seek *target)
{
    struct sq_walk walk = {0, sq_load(&ring->producer->tail_pos), 0};
    struct sq_view view;

    sq_assert_held(&ring->producer->lock);
    SQ_BUG_ON(start < SHMQ_LATEST || start > SHMQ_AT_PART);
    *target = (struct sq_seek){walk.end, sq_load(&ring->producer->next_id)};
    walk.pos =
        (ring->kind & SHMQ_TOPIC) != 0 ? history_begin(ring) : sq_load(&ring->group->cursor_pos);
    if (!sq_ring_spans(ring, walk.pos, walk.end))
        return -EBADMSG;
    while (start != SHMQ_LATEST && walk.pos != walk.end) {
        struct sq_walk before = walk;
        int rc = sq_record_next(ring, &walk, &view);
        if (rc < 0)
            return rc;
        if (rc == SQ_MET_MESSAGE && reached(ring, &view, start, at)) {
            *target = (struct sq_seek){before.pos, view.id};
            break;
        }
    }
    return 0;
}

void sq_seek_set(struct sq_group_shm *g, const struct sq_seek *target)
{
    sq_assert_held(&g->lock);
    g->known_tail_pos = target->pos;
    sq_store(&g->gone_count, 0);
    sq_store(&g->finished_id, target->id - 1);
    sq_store_release(&g->cursor_pos, target->pos);
}

void sq_seek_begin(const struct sq_ring *ring, const char *name, const struct sq_policy_shm *policy,
                   const struct sq_seek *target)
{
    sq_pending_reset(ring);
    sq_seek_set(ring->group, target);
    sq_group_begin(ring, name, policy);
}

int sq_seek_move(const struct sq_ring *ring, int start, uint64_t at)
{
    struct sq_seek target;

    sq_assert_held(&ring->producer->lock);
    sq_assert_held(&ring->group->lock);
    if (sq_load(&ring->group->pending.leased) != 0)
        return -EBUSY;
    int rc = sq_seek_find(ring, start, at, &target);
    if (rc < 0)
        return rc;
    sq_seek_set(ring->group, &target);
    sq_pending_reset(ring);
    rc = sq_group_rebuild(ring); /* counts the removed ones, and the keys */
    sq_seek_seen(ring);
    return rc;
}

void sq_seek_seen(const struct sq_ring *ring)
{
    sq_ring_look_room(ring, 0, 0);
}
