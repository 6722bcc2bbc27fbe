/*
 * group.c - which message of a group is next (group.h).
 *
 * A FIFO group takes records straight from the cursor.  It needs entries only for what it has
 * leased or holds back.  Of the messages that came back and those that are fresh, the one with
 * the lesser sequence (sq_seq()) goes first.  But when the table is full and the next message is
 * to be leased, one that is in the table goes first, or none would ever leave it.  With another
 * order all fresh records become entries first, since any of them may be the next.
 *
 * Crash rule.  A record becomes an entry when the entry's word is stored; then the cursor passes
 * the record.  A consumer that dies in between leaves an entry beyond the cursor, which the
 * rebuild drops.  One store of the cursor may pass several records.
 */
#include "group/group.h"

#include <fnmatch.h>

#include "group/group_lease.h"
#include "group/key_index.h"

static void count_up(_Atomic uint64_t *counter)
{
    sq_store(counter, sq_load(counter) + 1);
}

/* --- ends that come by themselves ------------------------------------------------ */

/* An entry has no more attempts, or no more time: to the dead letters. */
static int doom(const struct sq_ring *ring, uint32_t e, uint32_t reason, int64_t now_ns)
{
    struct sq_entry_shm *entry = &ring->entries[e];
    uint64_t word = sq_load(&entry->word);
    bool park = sq_policy_of(ring->group)->dead_letter[0] == '\0';

    entry->reason = reason;
    entry->at_ns = now_ns;
    if (park) {
        sq_group_count_dead(ring, reason);
        sq_group_release_key_of(ring, e);
    }
    return sq_pending_set(
        ring, e,
        sq_word(park ? SQ_PARKED : SQ_DOOMED, sq_word_attempts(word), sq_word_owner(word)));
}

int sq_group_out_of_attempts(const struct sq_ring *ring, uint32_t e, int64_t now_ns)
{
    uint32_t most = sq_policy_of(ring->group)->max_attempts;

    sq_assert_held(&ring->group->lock);
    if (most == 0 || sq_word_attempts(sq_load(&ring->entries[e].word)) < most)
        return 0;
    int rc = doom(ring, e, SHMQ_REASON_ATTEMPTS, now_ns);
    return rc < 0 ? rc : 1;
}

int sq_group_end_lease(const struct sq_ring *ring, uint32_t e, int64_t now_ns)
{
    uint64_t word = sq_load(&ring->entries[e].word);
    uint32_t attempts = sq_word_attempts(word), owner = sq_word_owner(word);

    sq_assert_held(&ring->group->lock);
    if (sq_unlikely(!sq_state_is_lease(sq_word_state(word))))
        return -EBADMSG; /* what led here is damaged */
    count_up(&ring->group->delivery.lost_lease_count);
    if (sq_word_state(word) == SQ_DYING) {
        ring->entries[e].at_ns = now_ns;
        ring->entries[e].reason |= SQ_REASON_AGAIN;
        return sq_pending_set(ring, e, sq_word(SQ_DOOMED, attempts, owner));
    }
    int rc = sq_group_out_of_attempts(ring, e, now_ns);
    return rc != 0 ? (rc < 0 ? rc : 0)
                   : sq_pending_set(ring, e, sq_word(SQ_WAITING, attempts, owner));
}

int sq_group_end_overdue(const struct sq_ring *ring, int64_t now_ns)
{
    struct sq_pending_shm *p = &ring->group->pending;
    uint32_t e;
    int rc = 0;

    sq_assert_held(&ring->group->lock);
    while (rc == 0 && (e = p->lease_first) < ring->entry_count && ring->entries[e].at_ns <= now_ns)
        rc = sq_group_end_lease(ring, e, now_ns);
    while (rc == 0 && (e = sq_pending_timed(ring)) != SQ_NONE && ring->entries[e].at_ns <= now_ns) {
        uint64_t word = sq_load(&ring->entries[e].word);
        if (sq_word_state(word) == SQ_DOOMED)
            break;
        sq_pending_untimed(ring);
        rc = sq_pending_set(ring, e,
                            sq_word(SQ_WAITING, sq_word_attempts(word), sq_word_owner(word)));
    }
    return rc;
}

/* A doomed entry, if there is one. */
static uint32_t doomed(const struct sq_ring *ring, int64_t now_ns)
{
    uint32_t e = sq_pending_timed(ring);

    if (e == SQ_NONE || ring->entries[e].at_ns > now_ns ||
        sq_word_state(sq_load(&ring->entries[e].word)) != SQ_DOOMED)
        return SQ_NONE;
    return e;
}

/* --- the fresh ones ----------------------------------------------------------------- */

static bool is_expired(const struct sq_view *view, int64_t now_ns)
{
    return view->expiry_ns != 0 && view->expiry_ns <= now_ns;
}

bool sq_group_meets_expired(const struct sq_ring *ring, int64_t now_ns)
{
    struct sq_view view;

    return sq_record_view(ring, sq_load_acquire(&ring->group->cursor_pos), 0, &view) == 0 &&
           is_expired(&view, now_ns);
}

bool sq_group_wants(const struct sq_group_shm *g, const struct sq_view *view)
{
    const struct sq_delivery_shm *d = &g->delivery;
    char key[SQ_KEY_MAX + 1];

    if (d->filter_type != 0 && d->filter_type != view->type)
        return false;
    if (d->filter_key[0] != '\0') {
        uint32_t bytes = view->key_bytes <= SQ_KEY_MAX ? view->key_bytes : SQ_KEY_MAX;
        memcpy(key, view->key, bytes);
        key[bytes] = '\0';
        if (memchr(d->filter_key, '\0', sizeof(d->filter_key)) == NULL ||
            fnmatch(d->filter_key, key, 0) != 0)
            return false;
    }
    if (d->filter_header[0] == '\0')
        return true;
    if (memchr(d->filter_header, '\0', sizeof(d->filter_header)) == NULL)
        return false;
    const char *value = sq_headers_find(view->headers, view->header_bytes, d->filter_header);
    return value != NULL && strncmp(value, d->filter_value, sizeof(d->filter_value)) == 0;
}

/* Make an entry of a fresh message.  1: the table is full. */
static int take_in(const struct sq_ring *ring, const struct sq_view *view,
                   enum sq_entry_state state, int64_t at_ns, uint32_t reason)
{
    uint32_t e = sq_pending_take(ring);

    if (e == SQ_NONE)
        return 1;
    struct sq_entry_shm *entry = &ring->entries[e];
    entry->pos = view->pos;
    entry->id = view->id;
    entry->at_ns = at_ns;
    entry->seq = sq_seq(view->id);
    entry->priority = view->priority;
    entry->reason = reason;
    return sq_pending_set(ring, e, sq_word(state, 0, 0));
}

enum fate {
    FATE_PASS,
    FATE_HOLD, /* it has been made an entry */
    FATE_FULL, /* it could not be */
    FATE_READY,
};

/* What becomes of a fresh message.  enum fate or -EBADMSG. */
static int fate_of(const struct sq_ring *ring, const struct sq_view *view, int64_t now_ns)
{
    struct sq_group_shm *g = ring->group;
    int rc;

    if ((sq_load(&g->mode) & SQ_GROUP_FILTERED) != 0 && !sq_group_wants(g, view)) {
        count_up(&g->delivery.filtered_count);
        return FATE_PASS;
    }
    if (!is_expired(view, now_ns)) {
        if (view->due_ns <= now_ns)
            return FATE_READY;
        rc = take_in(ring, view, SQ_DELAYED, view->due_ns, 0);
        return rc < 0 ? rc : rc == 0 ? FATE_HOLD : FATE_FULL;
    }
    if (sq_policy_of(g)->dead_letter_expired == 0) {
        count_up(&g->delivery.expired_count);
        sq_group_release_key(ring, view);
        return FATE_PASS;
    }
    /* Counted once it has its entry: without one it comes here again. */
    bool park = sq_policy_of(g)->dead_letter[0] == '\0';
    rc = take_in(ring, view, park ? SQ_PARKED : SQ_DOOMED, now_ns, SHMQ_REASON_EXPIRED);
    if (rc != 0)
        return rc < 0 ? rc : FATE_FULL;
    count_up(&g->delivery.expired_count);
    if (park) {
        sq_group_count_dead(ring, SHMQ_REASON_EXPIRED);
        sq_group_release_key(ring, view);
    }
    return FATE_HOLD;
}

/* Move the cursor to the walk's position. */
static void pass(const struct sq_ring *ring, const struct sq_walk *walk)
{
    if (walk->pos != sq_load(&ring->group->cursor_pos))
        sq_ring_end_take(ring, walk, 0);
}

int sq_group_pass_removed(const struct sq_ring *ring)
{
    struct sq_walk walk;
    struct sq_view view;
    int rc;

    sq_assert_held(&ring->group->lock);
    while ((rc = sq_ring_begin_take(ring, &walk)) == 0) {
        while (walk.pos != walk.end) {
            struct sq_walk before = walk;
            rc = sq_record_next(ring, &walk, &view);
            if (rc == SQ_MET_GONE)
                sq_group_pass_gone(ring);
            if (rc == SQ_MET_COPY || rc == SQ_MET_GONE)
                continue;
            pass(ring, &before);
            return rc < 0 ? rc : 0;
        }
        pass(ring, &walk);
    }
    return rc == -EAGAIN ? 0 : rc;
}

/*
 * Walk on from the cursor to the first message that could be handed out, or with
 * another order than FIFO to the end.  0 found (*walk beyond it), -EAGAIN, -EBADMSG.
 */
static int walk_fresh(const struct sq_ring *ring, int64_t now_ns, struct sq_walk *walk,
                      struct sq_view *view)
{
    int rc, fate = FATE_PASS;

    while ((rc = sq_ring_begin_take(ring, walk)) == 0) {
        while (rc >= 0 && walk->pos != walk->end) {
            struct sq_walk before = *walk;
            rc = sq_record_next(ring, walk, view);
            if (rc == SQ_MET_GONE)
                sq_group_pass_gone(ring);
            if (rc == SQ_MET_COPY || rc == SQ_MET_GONE)
                continue;
            if (rc == SQ_MET_MESSAGE)
                rc = fate = fate_of(ring, view, now_ns);
            if (fate == FATE_READY && rc >= 0 && ring->order != SHMQ_FIFO) {
                rc = take_in(ring, view, SQ_WAITING, 0, 0);
                fate = rc == 0 ? FATE_HOLD : FATE_FULL;
            }
            if (rc >= 0 && fate < FATE_FULL)
                continue;
            pass(ring, &before);
            if (fate == FATE_FULL)
                sq_store(&ring->group->pending.stalled_pos, before.pos);
            return rc < 0 ? rc : fate == FATE_READY ? 0 : -EAGAIN;
        }
        pass(ring, walk);
    }
    return rc;
}

/* --- the next one ------------------------------------------------------------------- */

/* A waiting entry is first.  Look at it: 0; 1 it was not to be handed out, look for
 * another; -EBADMSG. */
static int look_at_entry(const struct sq_ring *ring, uint32_t e, int64_t now_ns,
                         struct sq_pick *pick)
{
    struct sq_entry_shm *entry = &ring->entries[e];
    struct sq_delivery_shm *d = &ring->group->delivery;

    /* What it is linked to will be wanted as well, when it is finished. */
    if (entry->pos_prev < ring->entry_count)
        __builtin_prefetch(&ring->entries[entry->pos_prev]);
    if (entry->pos_next < ring->entry_count)
        __builtin_prefetch(&ring->entries[entry->pos_next]);
    int rc = sq_record_view(ring, entry->pos, entry->id, &pick->view);
    if (rc == 0 && pick->view.pos != entry->pos)
        rc = sq_pending_move(ring, e, pick->view.pos);
    if (rc == -EBADMSG)
        return rc;
    if (rc == 0 && !is_expired(&pick->view, now_ns)) {
        pick->entry = e;
        pick->attempts = sq_word_attempts(sq_load(&entry->word));
        return 0;
    }
    sq_pending_unready(ring);
    if (rc == 0)
        count_up(&d->expired_count);
    if (rc == 0 && sq_policy_of(ring->group)->dead_letter_expired != 0)
        rc = doom(ring, e, SHMQ_REASON_EXPIRED, now_ns);
    else {
        sq_group_release_key(ring, &pick->view);
        rc = sq_pending_set(ring, e, sq_word(SQ_FREE, 0, 0));
    }
    return rc < 0 ? rc : 1;
}

/* One try to find the next: 0, -EAGAIN, -EBADMSG, or 1: try again. */
static int try_pick(const struct sq_ring *ring, int64_t now_ns, bool to_lease, struct sq_pick *pick)
{
    struct sq_group_shm *g = ring->group;
    int rc = -EAGAIN;

    if (ring->order != SHMQ_FIFO) {
        rc = walk_fresh(ring, now_ns, &pick->after, &pick->view);
        if (rc == -EBADMSG)
            return rc;
    }
    uint32_t e = sq_pending_ready(ring);
    if (ring->order != SHMQ_FIFO)
        return e == SQ_NONE ? -EAGAIN : look_at_entry(ring, e, now_ns, pick);
    if (e != SQ_NONE && ring->entries[e].seq < sq_seq(sq_load(&g->finished_id) + 1))
        return look_at_entry(ring, e, now_ns, pick);
    rc = walk_fresh(ring, now_ns, &pick->after, &pick->view);
    if (rc == -EBADMSG)
        return rc;
    if (rc == 0 && to_lease && sq_pending_is_full(ring)) {
        sq_store(&g->pending.stalled_pos, sq_load(&g->cursor_pos));
        rc = -EAGAIN;
    }
    if (e != SQ_NONE && (rc < 0 || ring->entries[e].seq < sq_seq(pick->view.id)))
        return look_at_entry(ring, e, now_ns, pick);
    pick->entry = SQ_NONE;
    pick->attempts = 0;
    return rc;
}

static int find_next(const struct sq_ring *ring, int64_t now_ns, bool to_lease,
                     struct sq_pick *pick)
{
    int rc = sq_group_end_overdue(ring, now_ns);

    sq_assert_held(&ring->group->lock);
    if (rc < 0)
        return rc;
    if ((sq_load(&ring->group->mode) & SQ_GROUP_PAUSED) != 0)
        return -EAGAIN;
    pick->entry = doomed(ring, now_ns);
    if (pick->entry != SQ_NONE)
        return SQ_PICK_DOOMED;
    do
        rc = try_pick(ring, now_ns, to_lease, pick);
    while (rc == 1);
    /* What is fresh may have been doomed. */
    if (rc == -EAGAIN && (pick->entry = doomed(ring, now_ns)) != SQ_NONE)
        rc = SQ_PICK_DOOMED;
    return rc;
}

int sq_group_pick(const struct sq_ring *ring, int64_t now_ns, uint32_t owner, bool to_lease,
                  struct sq_pick *pick)
{
    int rc = find_next(ring, now_ns, to_lease, pick);

    if (rc == SQ_PICK_DOOMED) {
        struct sq_entry_shm *entry = &ring->entries[pick->entry];
        uint64_t word = sq_word(SQ_DYING, sq_word_attempts(sq_load(&entry->word)), owner);
        /* What the last consumer was is told by the entry's word until now. */
        pick->last_owner = sq_word_owner(sq_load(&entry->word));
        sq_pending_untimed(ring);
        entry->at_ns = SQ_NEVER; /* only the owner's death ends it */
        pick->doomed = (struct sq_lease){pick->entry, word, entry->id};
        int error = sq_pending_set(ring, pick->entry, word);
        rc = error < 0 ? error : rc;
    }
    sq_pending_note_due(ring);
    return rc;
}

int sq_group_look(const struct sq_ring *ring, int64_t now_ns, int64_t *expiry_ns)
{
    struct sq_pick pick;
    int rc = find_next(ring, now_ns, true, &pick);

    sq_pending_note_due(ring);
    if (expiry_ns != NULL)
        *expiry_ns = rc == 0 && pick.view.expiry_ns != 0 ? pick.view.expiry_ns : SQ_NEVER;
    return rc == SQ_PICK_DOOMED ? 0 : rc;
}
