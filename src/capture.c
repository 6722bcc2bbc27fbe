/*
 * capture.c - see capture.h.
 *
 * The pin.  What is to be read must not be written over, nor slid elsewhere.  So the saver
 * says from where on it reads (control->pin_pos), makes sure that whoever writes sees
 * that, and only then looks where what is not finished begins: what producers may still
 * write over, by what they knew before, lies below that.
 *
 * Each group is copied with its side held: its place, and its entries.  Then the tail is
 * read, so that no group is beyond it.  Groups are copied one after another: each is as it
 * was at some moment of the call.
 *
 * Crash rule: who dies leaves a lock and a pin.  The next saver, or a producer that finds
 * no room, takes the lock over and lifts the pin (sides.c).
 */
#include "capture.h"

#include <stdlib.h>

#include "error.h"
#include "futex.h"

int sq_capture_begin(struct shmq *q, struct sq_deadline *deadline)
{
    struct sq_lock_shm *lock = &q->segment.control->saver;
    struct sq_patience patience = {0};
    uint32_t owner;

    while (sq_lock_try(lock, q->attachment.owner) != 0) {
        if (sq_patience_is_long(&patience) && (owner = sq_load(&lock->owner)) != 0 &&
            !sq_attach_owner_lives(&q->segment, &q->attachment, owner) &&
            sq_lock_take_over(lock, owner, q->attachment.owner) == 0)
            return 0;
        int rc = sq_patience_wait(&patience, deadline);
        if (rc < 0)
            return sq_fail(rc, "somebody else saves the queue");
    }
    return 0;
}

void sq_capture_end(struct shmq *q, struct sq_capture *c)
{
    sq_capture_release(q, UINT64_MAX);
    for (uint32_t i = 0; i < SQ_GROUPS_MOST; i++) {
        free(c->groups[i].items);
        free(c->groups[i].held);
    }
}

/* --- the pin ---------------------------------------------------------------------- */

/* A full barrier, and then whoever sleeps for room. */
void sq_capture_release(struct shmq *q, uint64_t pos)
{
    atomic_exchange(&q->segment.control->pin_pos, pos);
    sq_fence_after_unlock();
    sq_wake(q, SQ_ROLE_PRODUCER, UINT32_MAX);
}

/* Of a topic, if the producer's side is to be had: its history, too. */
static int pin_history(struct shmq *q, struct sq_capture *c, uint64_t low,
                       struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    int rc = sq_visit(q, SQ_ROLE_PRODUCER, deadline);

    if (rc < 0)
        return rc == -EBUSY ? 0 : rc;
    uint64_t tail = sq_load(&ring->producer->tail_pos), history = ring->producer->history_pos;
    if (sq_ring_spans(ring, history, tail)) {
        c->history_pos = history;
        if (tail - history > tail - low)
            sq_store(&q->segment.control->pin_pos, history);
    }
    sq_end_visit(q, SQ_ROLE_PRODUCER);
    return 0;
}

static int pin(struct shmq *q, struct sq_capture *c, struct sq_deadline *deadline)
{
    struct sq_control_shm *control = q->segment.control;
    const struct sq_ring *ring = &q->segment.ring;
    uint64_t low;
    int rc = sq_ring_low(ring, &low);

    c->history_pos = UINT64_MAX;
    if (rc == 0) {
        sq_store(&control->pin_pos, low);
        atomic_thread_fence(memory_order_seq_cst);
        if (!sq_membarrier())
            atomic_fetch_or(&control->notices, SQ_NOTICE_FENCE);
        rc = sq_ring_low(ring, &low);
    }
    if (rc < 0)
        return sq_fail(rc, "the positions of the ring are damaged");
    return (ring->kind & SHMQ_TOPIC) != 0 ? pin_history(q, c, low, deadline) : 0;
}

/* --- copying groups ---------------------------------------------------------------- */

static void copy_attr(struct sq_frame_group *attr, const struct sq_ring *ring)
{
    const struct sq_group_shm *g = ring->group;
    const struct sq_delivery_shm *d = &g->delivery;

    *attr = (struct sq_frame_group){
        .group = sq_ring_group_index(ring),
        .mode = sq_load(&g->mode) & SQ_GROUP_PAUSED,
        .finished_id = sq_load(&g->finished_id),
        .start_id = d->start_id,
        .back_seq = g->pending.back_seq,
        .policy = *sq_policy_of(g),
        .filter_type = d->filter_type,
        .got_bytes = sq_load(&g->got_bytes),
        .dropped_count = sq_load(&g->dropped_count),
        .purged_count = sq_load(&g->purged_count),
        .delivered_count = sq_load(&d->delivered_count),
        .redelivered_count = sq_load(&d->redelivered_count),
        .acked_count = sq_load(&d->acked_count),
        .nacked_count = sq_load(&d->nacked_count),
        .lost_lease_count = sq_load(&d->lost_lease_count),
        .dead_count = sq_load(&d->dead_count),
        .expired_count = sq_load(&d->expired_count),
        .filtered_count = sq_load(&d->filtered_count),
        .removed_count = sq_load(&d->removed_count),
        .sent_count = sq_load(&d->sent_count),
    };
    for (int i = 0; i < 8; i++)
        attr->dead_by_reason[i] = sq_load(&d->dead_by_reason[i]);
    /* The segment's may be damaged: each ends with a zero here. */
    memcpy(attr->name, d->name, sizeof(attr->name) - 1);
    memcpy(attr->filter_key, d->filter_key, sizeof(attr->filter_key) - 1);
    memcpy(attr->filter_header, d->filter_header, sizeof(attr->filter_header) - 1);
    memcpy(attr->filter_value, d->filter_value, sizeof(attr->filter_value) - 1);
}

/* C: the entries that are not free.  Of memory for `most`. */
static void copy_entries(struct sq_captured *g, const struct sq_ring *ring, uint32_t most)
{
    for (uint32_t e = 0; e < ring->entry_count && g->count < most; e++) {
        const struct sq_entry_shm *entry = &ring->entries[e];
        uint64_t word = sq_load(&entry->word);
        if (sq_word_state(word) == SQ_FREE)
            continue;
        g->items[g->count] = (struct sq_frame_item){
            .entry = e,
            .reason = entry->reason,
            .word = word,
            .id = entry->id,
            .at_ns = entry->at_ns,
            .seq = entry->seq,
        };
        g->held[g->count++] = (struct sq_held){entry->id, entry->pos};
    }
}

/* Memory for the entries, without the side; it may turn out too little. */
static int have_items(struct sq_captured *g, uint32_t most)
{
    free(g->items);
    free(g->held);
    g->items = malloc((most + 1) * sizeof(*g->items));
    g->held = malloc((most + 1) * sizeof(*g->held));
    return g->items != NULL && g->held != NULL
               ? 0
               : sq_fail(-ENOMEM, "no memory for %u entries", most);
}

static int copy_group(struct shmq *q, struct sq_captured *g, uint32_t number,
                      struct sq_deadline *deadline)
{
    struct sq_ring ring = q->segment.ring;
    uint32_t most = 0, needed;

    sq_ring_read_as(&ring, number);
    do {
        needed = (uint32_t)sq_load(&ring.group->held_count);
        if (needed > ring.entry_count)
            needed = ring.entry_count;
        if (needed + needed / 8 + 64 > most)
            most = needed + needed / 8 + 64;
        int rc = have_items(g, most);
        if (rc == 0)
            rc = sq_enter_group(q, number, deadline);
        if (rc < 0)
            return rc;
        g->count = 0;
        needed = (uint32_t)sq_load(&ring.group->held_count);
        if (needed <= most) {
            copy_attr(&g->attr, &ring);
            g->cursor_pos = sq_load(&ring.group->cursor_pos);
            copy_entries(g, &ring, most);
        }
        sq_leave_group(q, number);
    } while (needed > most);
    g->there = true;
    return 0;
}

/* A sole consumer of another handle has the side for itself: its place alone will do, as
 * long as it holds nothing. */
static int copy_beside_sole(const struct shmq *q, struct sq_captured *g)
{
    const struct sq_ring *ring = &q->segment.ring;

    copy_attr(&g->attr, ring);
    g->cursor_pos = sq_load_acquire(&ring->group->cursor_pos);
    if (sq_load(&ring->group->held_count) != 0)
        return sq_fail(-EBUSY, "a sole consumer has messages on lease or delayed: it alone can "
                               "save the queue now");
    /* What the place means is said by the record there; finished_id may be ahead. */
    uint64_t tail = sq_load_acquire(&ring->producer->tail_pos), id = 0;
    if (!sq_ring_spans(ring, g->cursor_pos, tail))
        return sq_fail(-EBADMSG, "the positions of the ring are damaged");
    if (g->cursor_pos != tail)
        id = sq_record_own_id(sq_record_at(ring, g->cursor_pos));
    if (id != 0)
        g->attr.finished_id = id - 1;
    g->there = true;
    return 0;
}

static int copy_groups(struct shmq *q, struct sq_capture *c, struct sq_deadline *deadline)
{
    int rc = sq_hold_groups(q, deadline);

    if (rc < 0)
        return rc;
    for (uint64_t bits = sq_ring_groups(&q->segment.ring); rc == 0 && bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        rc = copy_group(q, &c->groups[i], i, deadline);
        if (rc == -EBUSY && (q->segment.ring.kind & SHMQ_TOPIC) == 0)
            rc = copy_beside_sole(q, &c->groups[i]);
    }
    sq_release_groups(q);
    return rc;
}

/* Where the records in a row begin that are to be saved. */
static int find_begin(const struct sq_ring *ring, struct sq_capture *c)
{
    uint64_t begin = c->end_pos;

    for (uint32_t i = 0; i < SQ_GROUPS_MOST; i++)
        if (c->groups[i].there && c->end_pos - c->groups[i].cursor_pos > c->end_pos - begin)
            begin = c->groups[i].cursor_pos;
    if (c->history_pos != UINT64_MAX && c->end_pos - c->history_pos > c->end_pos - begin)
        begin = c->history_pos;
    c->begin_pos = begin;
    return sq_ring_spans(ring, begin, c->end_pos)
               ? 0
               : sq_fail(-EBADMSG, "the positions of the ring are damaged");
}

int sq_capture_take(struct shmq *q, struct sq_capture *c, struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    int rc = pin(q, c, deadline);

    if (rc == 0)
        rc = copy_groups(q, c, deadline);
    if (rc < 0)
        return rc;
    /* In this order: next_id is stored after the tail, so that these are in the ring. */
    c->next_id = sq_load_acquire(&ring->producer->next_id);
    c->end_pos = sq_load_acquire(&ring->producer->tail_pos);
    return find_begin(ring, c);
}
