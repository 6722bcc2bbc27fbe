/*
 * capture.c - see capture.h.
 */
#include "persist/capture.h"

#include <stdlib.h>

#include "base/error.h"
#include "group/table.h"
#include "handle/handle_groups.h"

/* --- a group ---------------------------------------------------------------- */

static uint32_t used_end(const struct sq_ring *ring)
{
    uint32_t n = sq_load((_Atomic uint32_t *)(void *)&ring->group->pending.used_end);

    return n < ring->entry_count ? n : ring->entry_count;
}

/* Have room for `count` entries. */
static int make_room(struct sq_captured *g, uint32_t count)
{
    if (count <= g->room)
        return 0;
    free(g->items);
    free(g->positions);
    g->room = 0;
    g->items = calloc(count, sizeof(*g->items));
    g->positions = calloc(count, sizeof(*g->positions));
    if (g->items == NULL || g->positions == NULL)
        return sq_fail(-ENOMEM, "no memory for %u entries", count);
    g->room = count;
    return 0;
}

/* What the group is, and has done. */
void sq_capture_about(const struct sq_ring *ring, struct sq_frame_group *about)
{
    const struct sq_group_shm *g = ring->group;
    const struct sq_delivery_shm *d = &g->delivery;

    memset(about, 0, sizeof(*about));
    about->group = sq_ring_group_index(ring);
    about->mode = sq_load(&g->mode) & (SQ_GROUP_PAUSED | SQ_GROUP_NAMED | SQ_GROUP_FILTERED);
    about->finished_id = sq_load(&g->finished_id);
    about->start_id = d->start_id;
    about->back_seq = sq_load((_Atomic uint64_t *)(uintptr_t)&g->pending.back_seq);
    about->policy = *sq_policy_of(g);
    about->filter_type = d->filter_type;
    memcpy(about->name, d->name, sizeof(about->name) - 1);
    memcpy(about->filter_key, d->filter_key, sizeof(about->filter_key) - 1);
    memcpy(about->filter_header, d->filter_header, sizeof(about->filter_header) - 1);
    memcpy(about->filter_value, d->filter_value, sizeof(about->filter_value) - 1);
    about->got_bytes = sq_load(&g->got_bytes);
    about->dropped_count = sq_load(&g->dropped_count);
    about->purged_count = sq_load(&g->purged_count);
    about->delivered_count = sq_load(&d->delivered_count);
    about->redelivered_count = sq_load(&d->redelivered_count);
    about->acked_count = sq_load(&d->acked_count);
    about->nacked_count = sq_load(&d->nacked_count);
    about->lost_lease_count = sq_load(&d->lost_lease_count);
    about->dead_count = sq_load(&d->dead_count);
    about->expired_count = sq_load(&d->expired_count);
    about->filtered_count = sq_load(&d->filtered_count);
    about->removed_count = sq_load(&d->removed_count);
    about->sent_count = sq_load(&d->sent_count);
    for (int i = 0; i < 8; i++)
        about->dead_by_reason[i] = sq_load(&d->dead_by_reason[i]);
}

/* C: copy the group.  1: there are more entries than there is room. */
static int copy_group(const struct sq_ring *ring, struct sq_captured *g)
{
    uint32_t end = used_end(ring);

    sq_assert_held(&ring->group->lock);
    if (end > g->room)
        return 1;
    sq_capture_about(ring, &g->about);
    g->cursor_pos = sq_load(&ring->group->cursor_pos);
    g->count = 0;
    for (uint32_t e = 0; e < end; e++) {
        const struct sq_entry_shm *entry = &ring->entries[e];
        uint64_t word = sq_load(&entry->word);
        if (sq_word_state(word) == SQ_FREE || entry->id > g->about.finished_id)
            continue;
        if (sq_word_state(word) >= SQ_ENTRY_STATES)
            word = sq_word(SQ_WAITING, 0, 0); /* damage: let it be handed out again */
        g->items[g->count] = sq_frame_item_of(e, entry, word);
        g->positions[g->count++] = entry->pos;
    }
    return 0;
}

/* The id of the first message from `pos` on; 0: there is none. */
static int first_id(const struct sq_ring *ring, uint64_t pos, uint64_t tail, uint64_t *id)
{
    struct sq_walk walk = {pos, tail, 0};
    struct sq_view view;

    *id = 0;
    if (!sq_ring_spans(ring, pos, tail))
        return sq_fail(-EBADMSG, "the positions of the ring are damaged");
    while (walk.pos != walk.end && walk.id == 0)
        if (sq_record_next(ring, &walk, &view) < 0)
            return sq_fail(-EBADMSG, "the record at position %llu is damaged",
                           (unsigned long long)walk.pos);
    if (walk.id != 0)
        *id = walk.id - 1;
    return 0;
}

/* A sole consumer of another process has the side.  If it holds nothing, its cursor alone
 * tells, with the id of the record there. */
static int copy_sole(const struct sq_ring *ring, struct sq_captured *g)
{
    uint64_t cursor = sq_load_acquire(&ring->group->cursor_pos), id;

    if (sq_load_acquire(&ring->group->held_count) != 0)
        return sq_fail(-EBUSY, "a sole consumer has messages in its hands");
    g->cursor_pos = cursor;
    g->count = 0;
    sq_capture_about(ring, &g->about);
    int rc = first_id(ring, cursor, sq_load_acquire(&ring->producer->tail_pos), &id);
    if (rc == 0 && id != 0)
        g->about.finished_id = id - 1;
    return rc;
}

static int capture_group(struct shmq *q, uint32_t index, struct sq_captured *g,
                         struct sq_deadline *deadline)
{
    struct sq_ring ring = q->segment.ring;
    int rc;

    sq_ring_read_as(&ring, index);
    do {
        rc = make_room(g, used_end(&ring));
        if (rc == 0)
            rc = sq_enter_group(q, index, deadline);
        if (rc == -EBUSY)
            return copy_sole(&ring, g);
        if (rc < 0)
            return rc;
        rc = copy_group(&ring, g);
        if (rc > 0)
            sq_leave_group(q, index);
    } while (rc > 0);
    return 1;
}

/* Of a topic, if the producer's side is to be had: where its history begins. */
static int find_history(struct shmq *q, struct sq_capture *c, struct sq_deadline *deadline)
{
    c->history_pos = UINT64_MAX;
    if ((q->segment.ring.kind & SHMQ_TOPIC) == 0)
        return 0;
    int rc = sq_visit(q, SQ_ROLE_PRODUCER, deadline);
    if (rc < 0)
        return rc == -EBUSY ? 0 : rc; /* a sole producer's */
    c->history_pos = q->segment.ring.producer->history_pos;
    sq_end_visit(q, SQ_ROLE_PRODUCER);
    return 0;
}

/* --- the queue ------------------------------------------------------------------ */

static int capture_groups(struct shmq *q, struct sq_capture *c, int (*each)(void *, uint32_t),
                          void *arg, struct sq_deadline *deadline)
{
    int rc = 0;

    for (uint64_t bits = sq_ring_groups(&q->segment.ring); rc >= 0 && bits != 0; bits &= bits - 1) {
        uint32_t index = (uint32_t)__builtin_ctzll(bits);
        struct sq_captured *g = &c->groups[c->group_count++];
        rc = capture_group(q, index, g, deadline);
        bool entered = rc == 1;
        if (rc >= 0 && each != NULL)
            rc = each(arg, index);
        if (entered)
            sq_leave_group(q, index);
    }
    return rc < 0 ? rc : 0;
}

/* Where fresh records begin; and what is still to be read, for the pin. */
static int find_lowest(const struct sq_ring *ring, struct sq_capture *c, uint64_t *low)
{
    uint64_t tail = c->tail_pos;

    c->fresh_pos = tail;
    if (c->history_pos != UINT64_MAX && sq_ring_spans(ring, c->history_pos, tail))
        c->fresh_pos = c->history_pos;
    for (unsigned i = 0; i < c->group_count; i++) {
        const struct sq_captured *g = &c->groups[i];
        if (!sq_ring_spans(ring, g->cursor_pos, tail))
            return sq_fail(-EBADMSG, "the positions of the ring are damaged");
        if (tail - g->cursor_pos > tail - c->fresh_pos)
            c->fresh_pos = g->cursor_pos;
    }
    int rc = first_id(ring, c->fresh_pos, tail, &c->fresh_id);
    if (rc < 0)
        return rc;
    if (c->fresh_id == 0)
        c->fresh_id = c->queue.next_id;
    *low = c->fresh_pos;
    for (unsigned i = 0; i < c->group_count; i++)
        for (uint32_t n = 0; n < c->groups[i].count; n++) {
            uint64_t pos = c->groups[i].positions[n];
            if (!sq_ring_spans(ring, pos, tail))
                return sq_fail(-EBADMSG, "an entry's position is damaged");
            if (tail - pos > tail - *low)
                *low = pos;
        }
    return 0;
}

/* The tail, after all groups, so that none of them has passed it. */
static void look_tail(const struct sq_ring *ring, struct sq_capture *c)
{
    /* In this order: next_id is stored after the tail, so that these are in the ring. */
    c->queue.next_id = sq_load_acquire(&ring->producer->next_id);
    c->tail_pos = sq_load_acquire(&ring->producer->tail_pos);
    c->queue.part_id = sq_load(&ring->producer->part_id);
    c->queue.put_bytes = sq_load(&ring->producer->put_bytes);
    for (unsigned i = 0; i < c->group_count; i++)
        if (c->queue.next_id <= c->groups[i].about.finished_id)
            c->queue.next_id = c->groups[i].about.finished_id + 1;
}

int sq_capture_take(struct shmq *q, struct sq_capture *c, int (*each)(void *, uint32_t), void *arg)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    const struct sq_ring *ring = &q->segment.ring;
    uint64_t low = 0;

    sq_assert_held(&q->segment.file->saver);
    memset(c, 0, sizeof(*c));
    c->changes = sq_capture_changes(ring); /* before: what changes meanwhile is saved again */
    c->session.realtime_ns = sq_clock_offset_ns();
    int rc = sq_hold_groups(q, &deadline);
    if (rc < 0)
        return rc;
    sq_pin_all(q);
    rc = find_history(q, c, &deadline);
    if (rc == 0)
        rc = capture_groups(q, c, each, arg, &deadline);
    sq_release_groups(q);
    if (rc < 0)
        return rc;
    look_tail(ring, c);
    rc = find_lowest(ring, c, &low);
    if (rc == 0)
        sq_pin_move(q, low);
    return rc;
}

int sq_capture_still(const struct sq_ring *ring, struct sq_capture *c)
{
    uint64_t low = 0;
    int rc = 0;

    memset(c, 0, sizeof(*c));
    c->history_pos = UINT64_MAX;
    c->changes = sq_capture_changes(ring);
    c->session.realtime_ns = sq_clock_offset_ns();
    for (uint64_t bits = sq_ring_groups(ring); rc == 0 && bits != 0; bits &= bits - 1) {
        struct sq_ring one = *ring;
        struct sq_captured *g = &c->groups[c->group_count++];
        sq_ring_read_as(&one, (uint32_t)__builtin_ctzll(bits));
        rc = make_room(g, used_end(&one));
        if (rc == 0)
            rc = copy_group(&one, g);
    }
    look_tail(ring, c);
    return rc < 0 ? rc : find_lowest(ring, c, &low);
}

void sq_capture_free(struct sq_capture *c)
{
    for (unsigned i = 0; i < SQ_GROUPS_MAX; i++) {
        free(c->groups[i].items);
        free(c->groups[i].positions);
    }
    memset(c, 0, sizeof(*c));
}

/* --- changes ------------------------------------------------------------------------ */

static uint64_t mix(uint64_t sum, uint64_t value)
{
    return ((sum ^ value) * 0x9e3779b97f4a7c15u) ^ (sum >> 29);
}

static uint64_t mix_group(uint64_t sum, const struct sq_group_shm *g)
{
    const struct sq_delivery_shm *d = &g->delivery;
    const struct sq_pending_shm *p = &g->pending;

    sum = mix(sum, sq_load(&g->cursor_pos));
    sum = mix(sum, sq_load(&g->mode) & ~(uint32_t)SQ_GROUP_DONE_AWAITED);
    sum = mix(sum, sq_load(&g->generation));
    sum = mix(sum, sq_load(&g->gone_count));
    sum = mix(sum, sq_load(&g->dropped_count));
    sum = mix(sum, sq_load(&g->purged_count));
    sum = mix(sum, sq_load(&d->policy_at));
    sum = mix(sum, sq_load(&d->delivered_count));
    sum = mix(sum, sq_load(&d->acked_count));
    sum = mix(sum, sq_load(&d->nacked_count));
    sum = mix(sum, sq_load(&d->lost_lease_count));
    sum = mix(sum, sq_load(&d->dead_count));
    sum = mix(sum, sq_load(&d->expired_count));
    sum = mix(sum, sq_load(&d->removed_count));
    sum = mix(sum, sq_load(&d->sent_count));
    sum = mix(sum, sq_load(&p->waiting));
    sum = mix(sum, sq_load(&p->delayed));
    sum = mix(sum, sq_load(&p->leased));
    return mix(sum, sq_load(&p->parked));
}

uint64_t sq_capture_changes(const struct sq_ring *ring)
{
    uint64_t bits = sq_ring_groups(ring);
    uint64_t sum = mix(mix(1, bits), sq_load_acquire(&ring->producer->tail_pos));

    sum = mix(sum, sq_load(&ring->producer->part_id));
    for (; bits != 0; bits &= bits - 1)
        sum = mix_group(sum, &ring->groups[__builtin_ctzll(bits)]);
    return sum;
}
