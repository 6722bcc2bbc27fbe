/*
 * group_check.c - see group_scene.h: whether the ring is as the reference says.
 */
#include "group/group_bulk.h"
#include "group/group_lease.h"
#include "group/pending_rebuild.h"
#include "reference/group_scene.h"

void scene_check_view(struct scene *s, const struct sq_view *view, const struct ref_message *m)
{
    char key[32];
    uint32_t key_bytes = scene_key(key, m->key);

    scene_same(s, "the id", (int64_t)view->id, (int64_t)m->id);
    scene_same(s, "the position", (int64_t)view->pos, (int64_t)m->pos);
    scene_same(s, "the length", view->payload_bytes, m->length);
    scene_same(s, "the type", view->type, m->type);
    scene_same(s, "the priority", view->priority, m->priority);
    scene_same(s, "due_ns", view->due_ns, m->due_ns);
    scene_same(s, "expiry_ns", view->expiry_ns, m->expiry_ns);
    scene_same(s, "put_ns", view->put_ns, m->put_ns);
    scene_same(s, "the key's length", view->key_bytes, key_bytes);
    if (s->failed)
        return;
    if (key_bytes > 0 && memcmp(view->key, key, key_bytes) != 0)
        scene_fail(s, "the key of message %llu is another", (unsigned long long)m->id);
    for (uint32_t i = 0; i < m->length; i++)
        if (view->payload[i] != (unsigned char)(m->id * 31 + m->version * 7 + i)) {
            scene_fail(s, "byte %u of message %llu (version %u) is damaged", i,
                       (unsigned long long)m->id, m->version);
            return;
        }
}

/* --- counts ---------------------------------------------------------------------- */

static void check_totals(struct scene *s, const struct sq_ring *ring, const struct ref_counts *c)
{
    const struct sq_delivery_shm *d = &ring->group->delivery;

    scene_same(s, "delivered_count", (int64_t)sq_load(&d->delivered_count), (int64_t)c->delivered);
    scene_same(s, "redelivered_count", (int64_t)sq_load(&d->redelivered_count),
               (int64_t)c->redelivered);
    scene_same(s, "acked_count", (int64_t)sq_load(&d->acked_count), (int64_t)c->acked);
    scene_same(s, "nacked_count", (int64_t)sq_load(&d->nacked_count), (int64_t)c->nacked);
    scene_same(s, "lost_lease_count", (int64_t)sq_load(&d->lost_lease_count), (int64_t)c->lost);
    scene_same(s, "dead_count", (int64_t)sq_load(&d->dead_count), (int64_t)c->dead);
    for (int i = 0; i < 8; i++)
        scene_same(s, "dead_by_reason", (int64_t)sq_load(&d->dead_by_reason[i]),
                   (int64_t)c->by_reason[i]);
    scene_same(s, "expired_count", (int64_t)sq_load(&d->expired_count), (int64_t)c->expired);
    scene_same(s, "filtered_count", (int64_t)sq_load(&d->filtered_count), (int64_t)c->filtered);
    scene_same(s, "removed_count", (int64_t)sq_load(&d->removed_count), (int64_t)c->removed);
    scene_same(s, "sent_count", (int64_t)sq_load(&d->sent_count), (int64_t)c->sent);
    scene_same(s, "purged_count", (int64_t)sq_load(&ring->group->purged_count), (int64_t)c->purged);
    scene_same(s, "how many were got or acknowledged", (int64_t)sq_group_got(ring),
               (int64_t)(c->got + c->acked));
    scene_same(s, "dropped_count", (int64_t)sq_load(&ring->group->dropped_count),
               (int64_t)c->dropped);
}

static void check_group(struct scene *s, int group)
{
    const struct reference *r = &s->ref;
    struct sq_ring ring = scene_ring(s, group);
    const struct sq_pending_shm *p = &ring.group->pending;
    unsigned waiting = ref_in_state(r, group, REF_WAITING);
    unsigned delayed = ref_in_state(r, group, REF_DELAYED) + ref_in_state(r, group, REF_DOOMED);
    unsigned leased = ref_in_state(r, group, REF_LEASED) + ref_in_state(r, group, REF_DYING);
    unsigned dead = ref_in_state(r, group, REF_PARKED);

    scene_same(s, "leased", sq_load(&p->leased), leased);
    scene_same(s, "dead", sq_load(&p->parked), dead);
    scene_same(s, "waiting + delayed", sq_load(&p->waiting) + sq_load(&p->delayed),
               waiting + delayed);
    if (!r->groups[group].has_overdue)
        scene_same(s, "waiting", sq_load(&p->waiting), waiting);
    scene_same(s, "held_count", (int64_t)sq_load(&ring.group->held_count),
               waiting + delayed + leased + dead);
    scene_same(s, "the depth", (int64_t)sq_ring_depth(&ring), ref_fresh(r, group));
    scene_same(s, "the backlog", (int64_t)sq_group_backlog(&ring),
               ref_fresh(r, group) + waiting + delayed + leased);
    /* It may say too early, never too late. */
    if (sq_load(&p->next_due_ns) > ref_next_due(r, group))
        scene_fail(s, "next_due_ns is %lld, %lld too late", (long long)sq_load(&p->next_due_ns),
                   (long long)(sq_load(&p->next_due_ns) - ref_next_due(r, group)));
    scene_same(s, "whether it is paused", (sq_load(&ring.group->mode) & SQ_GROUP_PAUSED) != 0,
               r->groups[group].paused);
    check_totals(s, &ring, &r->groups[group].counts);
}

void scene_check_counts(struct scene *s)
{
    const struct sq_producer_shm *p = s->ring.producer;

    scene_same(s, "next_id", (int64_t)sq_load(&p->next_id), (int64_t)s->ref.next_id);
    scene_same(s, "tail_pos", (int64_t)sq_load(&p->tail_pos), (int64_t)s->ref.tail);
    for (uint32_t i = 0; i < s->config.group_count && !s->failed; i++) {
        if (!scene_has(s, i))
            continue;
        check_group(s, (int)i);
        if (s->failed) {
            char text[SCENE_TEXT];
            memcpy(text, s->failure, sizeof(text));
            s->failed = false;
            scene_fail(s, "group %u: %.480s", i, text);
        }
    }
}

/* --- everything -------------------------------------------------------------------- */

static const enum sq_entry_state states[REF_STATES] = {
    [REF_FREE] = SQ_FREE,     [REF_WAITING] = SQ_WAITING, [REF_DELAYED] = SQ_DELAYED,
    [REF_LEASED] = SQ_LEASED, [REF_DYING] = SQ_DYING,     [REF_DOOMED] = SQ_DOOMED,
    [REF_PARKED] = SQ_PARKED,
};

static void check_entry(struct scene *s, const struct sq_ring *ring, int group,
                        const struct ref_entry *h)
{
    const struct ref_message *m = &s->ref.messages[h->message];
    uint32_t e = sq_pending_find(ring, m->id);
    struct sq_view view;

    if (e == SQ_NONE) {
        scene_fail(s, "group %d has no entry for message %llu", group, (unsigned long long)m->id);
        return;
    }
    const struct sq_entry_shm *entry = &ring->entries[e];
    uint64_t word = sq_load(&entry->word);
    enum sq_entry_state state = sq_word_state(word);
    /* A delay that is over may be seen as that or not. */
    if (!(s->ref.groups[group].has_overdue && h->state == REF_WAITING && state == SQ_DELAYED))
        scene_same(s, "the state", state, states[h->state]);
    scene_same(s, "attempts", sq_word_attempts(word), h->attempts);
    if (h->state == REF_LEASED || h->state == REF_DYING) {
        scene_same(s, "the owner", sq_word_owner(word), h->owner);
        scene_same(s, "the lease's end", entry->at_ns, h->at_ns);
    }
    if (h->state == REF_DELAYED)
        scene_same(s, "the delay's end", entry->at_ns, h->at_ns);
    scene_same(s, "an entry's priority", entry->priority, m->priority);
    scene_same(s, "an entry's position", (int64_t)entry->pos, (int64_t)m->pos);
    if (sq_record_view(ring, entry->pos, entry->id, &view) != 0)
        scene_fail(s, "the record of message %llu, which group %d holds, is damaged",
                   (unsigned long long)m->id, group);
    else
        scene_check_view(s, &view, m);
}

/* From `pos`, where record number `from` must be, to the tail. */
static void check_records(struct scene *s, const struct sq_ring *ring, uint64_t pos, uint32_t from)
{
    const struct reference *r = &s->ref;
    struct sq_walk walk = {pos, r->tail, 0};
    struct sq_view view;

    for (uint32_t i = from; i < r->record_count && !s->failed; i++) {
        const struct ref_record *record = &r->records[i];
        const struct ref_message *m = &r->messages[record->message];
        scene_same(s, "a record's position", (int64_t)walk.pos, (int64_t)record->pos);
        int met = walk.pos == walk.end ? -1 : sq_record_next(ring, &walk, &view);
        scene_same(s, "what the walk met", met,
                   record->copy ? SQ_MET_COPY
                   : m->removed ? SQ_MET_GONE
                                : SQ_MET_MESSAGE);
        if (met == SQ_MET_MESSAGE)
            scene_check_view(s, &view, m);
    }
    scene_same(s, "the walk's end", (int64_t)walk.pos, (int64_t)r->tail);
}

static void check_keys(struct scene *s)
{
    char text[32];

    for (int key = 0; key < SCENE_KEYS; key++) {
        uint32_t bytes = scene_key(text, key);
        scene_same(s, "a key's owner", (int64_t)sq_key_index_find(&s->ring, text, bytes),
                   (int64_t)ref_key_owner(&s->ref, key));
    }
}

/* A leased record stays where its holder reads it. */
static void check_leases(struct scene *s)
{
    for (uint64_t i = 0; i < s->lease_count && i < SCENE_LEASES; i++) {
        const struct scene_lease *l = &s->leases[i];
        if (l->id == 0)
            continue;
        struct sq_ring ring = scene_ring(s, l->group);
        if (sq_group_check_lease(&ring, &l->lease) == 0)
            scene_same(s, "a leased record's position", (int64_t)ring.entries[l->lease.entry].pos,
                       (int64_t)l->pos);
    }
}

uint64_t scene_history(const struct scene *s)
{
    return s->ring.producer->history_pos;
}

/* What a group could start with: whole records, no more of them than there were, and none
 * that a group comes to is missing. */
static void check_history(struct scene *s)
{
    uint64_t history = scene_history(s);

    for (uint32_t i = 0; i < s->config.group_count; i++)
        if (scene_has(s, i) && (int64_t)(sq_load(&s->ring.groups[i].cursor_pos) - history) < 0)
            scene_fail(s, "group %u stands before the history", i);
    if (s->ref.tail - history > SCENE_CAPACITY)
        scene_fail(s, "the history is longer than the ring");
    if (!s->failed)
        check_records(s, &s->ring, history, ref_record_at(&s->ref, history));
}

void scene_check_all(struct scene *s)
{
    for (uint32_t i = 0; i < s->config.group_count && !s->failed; i++) {
        if (!scene_has(s, i))
            continue;
        struct sq_ring ring = scene_ring(s, (int)i);
        const char *wrong = sq_pending_valid(&ring);
        if (wrong == NULL)
            wrong = sq_ring_valid(&ring);
        if (wrong != NULL)
            scene_fail(s, "group %u: %s", i, wrong);
        for (int e = 0; e < REF_HELD && !s->failed; e++)
            if (s->ref.groups[i].held[e].state != REF_FREE)
                check_entry(s, &ring, (int)i, &s->ref.groups[i].held[e]);
        if (!s->failed)
            check_records(s, &ring, sq_load(&ring.group->cursor_pos), s->ref.groups[i].cursor);
    }
    if (!s->failed)
        check_leases(s);
    if (!s->failed && s->config.unique)
        check_keys(s);
    if (!s->failed && s->ref.topic)
        check_history(s);
}

/* --- room ----------------------------------------------------------------------------- */

uint64_t scene_low(const struct scene *s)
{
    uint64_t low = s->ref.tail;

    for (uint32_t i = 0; i < s->config.group_count; i++) {
        uint64_t one = scene_has(s, i) ? ref_low(&s->ref, (int)i) : low;
        if ((int64_t)(one - low) < 0)
            low = one;
    }
    return low;
}

void scene_check_room(struct scene *s, uint64_t bytes, uint64_t count, int rc)
{
    uint64_t low = scene_low(s), used = s->ref.tail - low, deepest = 0;

    for (uint32_t i = 0; i < s->config.group_count; i++) {
        uint64_t depth =
            scene_has(s, i) ? ref_fresh(&s->ref, (int)i) + ref_held(&s->ref, (int)i) : 0;
        deepest = depth > deepest ? depth : deepest;
    }
    bool fits = bytes <= SCENE_CAPACITY - used;
    bool few = s->config.max_messages == 0 || deepest + count <= s->config.max_messages;
    scene_same(s, "whether there is room", rc, fits && few ? 0 : -EAGAIN);
    scene_same(s, "whether there seems to be", sq_ring_seems_roomy(&s->ring, bytes, count),
               fits && few);
    if (!fits)
        s->events[EVENT_NO_BYTES]++;
    else if (!few)
        s->events[EVENT_NO_COUNT]++;
}

/* --- compaction ------------------------------------------------------------------------ */

static bool is_leased(const struct scene *s, int message)
{
    for (uint32_t i = 0; i < s->config.group_count; i++) {
        int e = ref_entry_of(&s->ref, (int)i, message);
        if (e != REF_NONE && (s->ref.groups[i].held[e].state == REF_LEASED ||
                              s->ref.groups[i].held[e].state == REF_DYING))
            return true;
    }
    return false;
}

/* Learn where message `m` is now.  All its holders must agree. */
static void locate(struct scene *s, struct ref_message *m)
{
    unsigned holders = 0;
    uint64_t pos = 0;

    for (uint32_t i = 0; i < s->config.group_count; i++) {
        struct sq_ring ring = scene_ring(s, (int)i);
        uint32_t e = scene_has(s, i) ? sq_pending_find(&ring, m->id) : SQ_NONE;
        if (e == SQ_NONE)
            continue;
        if (holders++ > 0)
            scene_same(s, "where another group has the record", (int64_t)ring.entries[e].pos,
                       (int64_t)pos);
        pos = ring.entries[e].pos;
    }
    if (holders == 0 || pos == m->pos)
        return;
    if (is_leased(s, (int)(m - s->ref.messages)))
        scene_fail(s, "message %llu is leased, and was moved", (unsigned long long)m->id);
    s->events[EVENT_COMPACTED_SHARED] += holders > 1;
    m->pos = pos;
}

/* Held records below the lowest cursor lie back to back, but where one is leased or
 * would have to overlap itself to get there. */
static void check_density(struct scene *s, uint64_t limit)
{
    uint64_t top = limit;
    struct ref_message *next;

    do {
        next = NULL;
        for (unsigned i = 0; i < s->ref.message_count; i++) {
            struct ref_message *m = &s->ref.messages[i];
            bool held = false;
            for (uint32_t g = 0; g < s->config.group_count; g++)
                held |= ref_entry_of(&s->ref, (int)g, (int)i) != REF_NONE;
            if (held && (int64_t)(m->pos - top) < 0 &&
                (next == NULL || (int64_t)(m->pos - next->pos) > 0))
                next = m;
        }
        if (next == NULL)
            break;
        uint64_t bytes = scene_record_bytes(next), gap = top - (next->pos + bytes);
        if (is_leased(s, (int)(next - s->ref.messages)))
            s->events[EVENT_LEASED_IN_THE_WAY] += gap >= bytes;
        else if (gap >= bytes)
            scene_fail(s, "message %llu could be %llu bytes further", (unsigned long long)next->id,
                       (unsigned long long)gap);
        top = next->pos;
    } while (!s->failed);
}

void scene_check_compacted(struct scene *s, uint64_t freed, uint64_t low_before)
{
    uint64_t limit = s->ref.tail;

    for (unsigned i = 0; i < s->ref.message_count; i++)
        locate(s, &s->ref.messages[i]);
    for (uint32_t i = 0; i < s->config.group_count; i++) {
        uint64_t cursor = scene_has(s, i) ? sq_load(&s->ring.groups[i].cursor_pos) : limit;
        if ((int64_t)(cursor - limit) < 0)
            limit = cursor;
    }
    if (!s->failed)
        check_density(s, limit);
    scene_same(s, "what compaction freed", (int64_t)freed, (int64_t)(scene_low(s) - low_before));
    s->events[EVENT_COMPACTED] += freed > 0;
    if (!s->failed)
        scene_check_all(s);
}
