/*
 * group_lease.c - see group.h: taking what was picked, and the ends of a lease.
 */
#include "group/group_lease.h"

#include "group/group.h"
#include "group/key_index.h"
#include "group/pending_rebuild.h"

static void count_up(_Atomic uint64_t *counter)
{
    sq_store(counter, sq_load(counter) + 1);
}

void sq_group_count_dead(const struct sq_ring *ring, uint32_t reason)
{
    struct sq_delivery_shm *d = &ring->group->delivery;

    sq_assert_held(&ring->group->lock);
    count_up(&d->dead_count);
    count_up(&d->dead_by_reason[reason < 7 ? reason : 7]);
}

void sq_group_release_key_of(const struct sq_ring *ring, uint32_t e)
{
    struct sq_view view;

    sq_assert_held(&ring->group->lock);
    if ((sq_load(&ring->group->mode) & SQ_GROUP_KEYED) != 0 &&
        sq_record_view(ring, ring->entries[e].pos, ring->entries[e].id, &view) != -EBADMSG)
        sq_key_index_remove(ring, &view);
}

void sq_group_release_key(const struct sq_ring *ring, const struct sq_view *view)
{
    sq_assert_held(&ring->group->lock);
    if ((sq_load(&ring->group->mode) & SQ_GROUP_KEYED) != 0)
        sq_key_index_remove(ring, view);
}

int sq_group_finish_entry(const struct sq_ring *ring, uint32_t e)
{
    sq_assert_held(&ring->group->lock);
    sq_group_release_key_of(ring, e);
    return sq_pending_set(ring, e, sq_word(SQ_FREE, 0, 0));
}

/* --- taking ---------------------------------------------------------------------- */

static uint32_t entry_for(const struct sq_ring *ring, const struct sq_pick *pick)
{
    const struct sq_view *view = &pick->view;
    uint32_t e = pick->entry;

    if (e != SQ_NONE) {
        sq_pending_unready(ring);
        return e;
    }
    e = sq_pending_take(ring);
    if (e != SQ_NONE) {
        struct sq_entry_shm *entry = &ring->entries[e];
        entry->pos = view->pos;
        entry->id = view->id;
        entry->seq = sq_seq(view->id);
        entry->priority = view->priority;
        entry->reason = 0;
    }
    return e;
}

int sq_group_lease(const struct sq_ring *ring, const struct sq_pick *pick, uint32_t owner,
                   int64_t until_ns, struct sq_lease *lease)
{
    struct sq_delivery_shm *d = &ring->group->delivery;
    uint32_t attempts = pick->attempts < SQ_ATTEMPTS_MAX ? pick->attempts + 1 : SQ_ATTEMPTS_MAX;
    uint32_t e = entry_for(ring, pick);

    sq_assert_held(&ring->group->lock);
    if (e == SQ_NONE) {
        sq_store(&ring->group->pending.stalled_pos, sq_load(&ring->group->cursor_pos));
        return -EAGAIN;
    }
    ring->entries[e].at_ns = until_ns;
    *lease = (struct sq_lease){e, sq_word(SQ_LEASED, attempts, owner), pick->view.id};
    int rc = sq_pending_set(ring, e, lease->word);
    if (pick->entry == SQ_NONE)
        sq_ring_end_take(ring, &pick->after, pick->view.payload_bytes);
    count_up(&d->delivered_count);
    if (attempts > 1)
        count_up(&d->redelivered_count);
    sq_pending_note_due(ring);
    return rc;
}

int sq_group_finish(const struct sq_ring *ring, const struct sq_pick *pick)
{
    struct sq_group_shm *g = ring->group;

    sq_assert_held(&ring->group->lock);
    if (pick->entry == SQ_NONE) {
        sq_group_release_key(ring, &pick->view);
        sq_ring_end_take(ring, &pick->after, pick->view.payload_bytes);
        return 0;
    }
    if (pick->attempts > 0)
        count_up(&g->delivery.redelivered_count);
    sq_store(&g->got_bytes, sq_load(&g->got_bytes) + pick->view.payload_bytes);
    sq_pending_unready(ring);
    return sq_group_finish_entry(ring, pick->entry);
}

/* --- the ends of a lease ------------------------------------------------------------ */

int sq_group_check_lease(const struct sq_ring *ring, const struct sq_lease *lease)
{
    sq_assert_held(&ring->group->lock);
    if (lease->entry >= ring->entry_count)
        return -EBADMSG;
    const struct sq_entry_shm *entry = &ring->entries[lease->entry];
    return sq_load(&entry->word) == lease->word && entry->id == lease->id ? 0 : -ECANCELED;
}

int sq_group_ack(const struct sq_ring *ring, const struct sq_lease *lease)
{
    int rc = sq_group_check_lease(ring, lease);

    if (rc < 0)
        return rc;
    count_up(&ring->group->delivery.acked_count);
    rc = sq_group_finish_entry(ring, lease->entry);
    sq_pending_note_due(ring);
    return rc;
}

/*
 * Sequences at the back lie behind that of the last message put, `base`.  There are 255
 * before the next one's; then they run on among those of messages still to be put.
 * Before that goes far, all of them are moved back together, which leaves their order
 * as it is.
 */
static int draw_back(const struct sq_ring *ring, uint64_t base)
{
    struct sq_pending_shm *p = &ring->group->pending;
    uint64_t least = UINT64_MAX, last = base;

    for (uint32_t e = 0; e < p->used_end && e < ring->entry_count; e++) {
        const struct sq_entry_shm *entry = &ring->entries[e];
        if (sq_word_state(sq_load(&entry->word)) == SQ_WAITING && entry->seq > base &&
            entry->seq < least)
            least = entry->seq;
    }
    for (uint32_t e = 0; e < p->used_end && e < ring->entry_count; e++) {
        struct sq_entry_shm *entry = &ring->entries[e];
        if (sq_word_state(sq_load(&entry->word)) == SQ_FREE || entry->seq <= base)
            continue;
        entry->seq = entry->seq > least ? entry->seq - least + base + 1 : base + 1;
        if (entry->seq > last)
            last = entry->seq;
    }
    p->back_seq = last;
    sq_pending_rebuild(ring, SQ_KEEP_BEYOND);
    return 0; /* the heap has their old sequences */
}

/* A sequence behind all that has been put, and behind what went to the back before. */
static int take_back_seq(const struct sq_ring *ring, uint64_t *seq)
{
    struct sq_pending_shm *p = &ring->group->pending;
    uint64_t base = sq_seq(sq_load(&ring->producer->next_id) - 1);
    uint64_t far = 512 + 2 * (uint64_t)ring->entry_count, ahead = p->back_seq - base;
    int rc = 0;

    if (ring->order == SHMQ_LIFO) {
        /* The last one put is the first: the back is before all ids, ever further down. */
        p->back_seq = (int64_t)p->back_seq < 0 ? p->back_seq - 1 : UINT64_MAX;
    } else {
        if (p->back_seq < base)
            p->back_seq = base;
        else if (ahead >= far && (ahead % far == 0 || ahead > SQ_ID_MAX))
            rc = draw_back(ring, base);
        p->back_seq++;
    }
    *seq = p->back_seq;
    return rc;
}

int sq_group_nack(const struct sq_ring *ring, const struct sq_lease *lease, int64_t due_ns,
                  bool to_back)
{
    int rc = sq_group_check_lease(ring, lease);

    if (rc < 0)
        return rc;
    struct sq_entry_shm *entry = &ring->entries[lease->entry];
    uint64_t word = sq_load(&entry->word);
    if (to_back && (rc = take_back_seq(ring, &entry->seq)) < 0)
        return rc;
    entry->at_ns = due_ns;
    count_up(&ring->group->delivery.nacked_count);
    rc = sq_pending_set(
        ring, lease->entry,
        sq_word(due_ns > 0 ? SQ_DELAYED : SQ_WAITING, sq_word_attempts(word), sq_word_owner(word)));
    sq_pending_note_due(ring);
    return rc;
}

int sq_group_reject(const struct sq_ring *ring, struct sq_lease *lease, uint32_t reason,
                    int64_t now_ns)
{
    int rc = sq_group_check_lease(ring, lease);

    if (rc < 0)
        return rc;
    struct sq_entry_shm *entry = &ring->entries[lease->entry];
    uint32_t attempts = sq_word_attempts(lease->word), owner = sq_word_owner(lease->word);
    bool park = sq_policy_of(ring->group)->dead_letter[0] == '\0';
    entry->reason = reason;
    if (park) {
        entry->at_ns = now_ns;
        sq_group_count_dead(ring, reason);
        sq_group_release_key_of(ring, lease->entry);
    } else {
        entry->at_ns = SQ_NEVER;
    }
    lease->word = sq_word(park ? SQ_PARKED : SQ_DYING, attempts, owner);
    rc = sq_pending_set(ring, lease->entry, lease->word);
    sq_pending_note_due(ring);
    return rc < 0 ? rc : park ? 0 : 1;
}

int sq_group_dead_letter_made(const struct sq_ring *ring, const struct sq_lease *lease, bool sent,
                              int64_t now_ns)
{
    int rc = sq_group_check_lease(ring, lease);

    if (rc < 0)
        return rc;
    struct sq_entry_shm *entry = &ring->entries[lease->entry];
    sq_group_count_dead(ring, entry->reason & ~SQ_REASON_AGAIN);
    if (sent) {
        count_up(&ring->group->delivery.sent_count);
        rc = sq_group_finish_entry(ring, lease->entry);
    } else {
        entry->at_ns = now_ns;
        sq_group_release_key_of(ring, lease->entry);
        rc = sq_pending_set(
            ring, lease->entry,
            sq_word(SQ_PARKED, sq_word_attempts(lease->word), sq_word_owner(lease->word)));
    }
    sq_pending_note_due(ring);
    return rc;
}

int sq_group_touch(const struct sq_ring *ring, const struct sq_lease *lease, int64_t until_ns)
{
    int rc = sq_group_check_lease(ring, lease);

    if (rc == 0)
        rc = sq_pending_touch(ring, lease->entry, until_ns);
    sq_pending_note_due(ring);
    return rc;
}

/* --- by owner ------------------------------------------------------------------------ */

int sq_group_next_lease(const struct sq_ring *ring, uint32_t *next, uint32_t owner, uint64_t id,
                        struct sq_lease *lease)
{
    uint32_t steps = 0;

    sq_assert_held(&ring->group->lock);
    while (*next < ring->entry_count && steps++ < ring->entry_count) {
        uint32_t e = *next;
        const struct sq_entry_shm *entry = &ring->entries[e];
        uint64_t word = sq_load(&entry->word);
        *next = entry->time_next;
        if (sq_word_state(word) == SQ_LEASED && sq_word_owner(word) == owner && entry->id <= id) {
            *lease = (struct sq_lease){e, word, entry->id};
            return 0;
        }
    }
    return -ENOENT;
}

int sq_group_return_lost(const struct sq_ring *ring,
                         bool (*has_left)(const void *arg, uint32_t owner), const void *arg,
                         int64_t now_ns)
{
    uint32_t steps = 0, next;
    int lost = 0;

    sq_assert_held(&ring->group->lock);
    for (uint32_t e = ring->group->pending.lease_first;
         e < ring->entry_count && steps++ < ring->entry_count; e = next) {
        next = ring->entries[e].time_next;
        if (!has_left(arg, sq_word_owner(sq_load(&ring->entries[e].word))))
            continue;
        int rc = sq_group_end_lease(ring, e, now_ns);
        if (rc < 0)
            return rc;
        lost++;
    }
    sq_pending_note_due(ring);
    return lost;
}
