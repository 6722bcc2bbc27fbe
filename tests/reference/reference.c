/*
 * reference.c - see reference.h.
 */
#include "reference/reference.h"

#include <errno.h>
#include <string.h>

void ref_begin(struct reference *r, uint32_t order, uint32_t kind, uint32_t entry_count,
               uint64_t tail)
{
    r->order = order;
    r->unique = (kind & SHMQ_UNIQUE) != 0;
    r->topic = (kind & SHMQ_TOPIC) != 0;
    r->entry_count = entry_count;
    r->now_ns = 1000;
    r->next_id = 1;
    r->part_id = 0;
    r->tail = tail;
    r->message_count = r->record_count = 0;
    memset(r->groups, 0, sizeof(r->groups));
}

uint32_t ref_record_at(const struct reference *r, uint64_t pos)
{
    uint32_t i = r->record_count;

    while (i > 0 && (int64_t)(r->records[i - 1].pos - pos) >= 0)
        i--;
    return i;
}

static bool is_start(const struct reference *r, const struct ref_record *record, int start,
                     uint64_t at)
{
    const struct ref_message *m = &r->messages[record->message];

    if (record->copy || m->removed)
        return false;
    switch (start) {
    case SHMQ_EARLIEST:
        return true;
    case SHMQ_AT_ID:
        return m->id >= at;
    case SHMQ_AT_TIME:
        return m->put_ns >= (int64_t)at;
    case SHMQ_AT_PART:
        return m->id >= r->part_id;
    default:
        return false;
    }
}

static uint32_t find_start(const struct reference *r, uint32_t from, int start, uint64_t at)
{
    while (from < r->record_count && !is_start(r, &r->records[from], start, at))
        from++;
    return from;
}

void ref_group_begin(struct reference *r, int group, uint64_t history, int start, uint64_t at)
{
    memset(&r->groups[group], 0, sizeof(r->groups[group]));
    r->groups[group].there = true;
    r->groups[group].cursor = find_start(r, ref_record_at(r, history), start, at);
}

void ref_group_end(struct reference *r, int group)
{
    memset(&r->groups[group], 0, sizeof(r->groups[group]));
}

void ref_seek(struct reference *r, int group, uint64_t history, int start, uint64_t at)
{
    struct ref_group *g = &r->groups[group];
    uint32_t from = r->topic ? ref_record_at(r, history) : g->cursor;

    g->cursor = find_start(r, from, start, at);
    memset(g->held, 0, sizeof(g->held));
    g->has_overdue = g->full = false;
}

/* --- messages and records --------------------------------------------------------- */

static uint64_t append(struct reference *r, int message, uint64_t bytes, bool copy)
{
    uint64_t pos = r->tail;

    r->records[r->record_count++] = (struct ref_record){pos, bytes, message, copy};
    r->tail += bytes;
    return pos;
}

struct ref_message *ref_put(struct reference *r, const struct ref_message *m, uint64_t bytes)
{
    int i = (int)r->message_count++;
    struct ref_message *to = &r->messages[i];

    *to = *m;
    to->id = r->next_id++;
    to->record = r->record_count;
    to->removed = false;
    to->version = 0;
    to->pos = append(r, i, bytes, false);
    return to;
}

struct ref_message *ref_find(struct reference *r, uint64_t id)
{
    return id >= 1 && id < r->next_id ? &r->messages[id - 1] : NULL;
}

int ref_entry_of(const struct reference *r, int group, int message)
{
    const struct ref_group *g = &r->groups[group];

    for (int e = 0; e < REF_HELD; e++)
        if (g->held[e].state != REF_FREE && g->held[e].message == message)
            return e;
    return REF_NONE;
}

bool ref_is_fresh(const struct reference *r, int group, const struct ref_message *m)
{
    return r->groups[group].there && m->record >= r->groups[group].cursor && !m->removed;
}

bool ref_is_unfinished(const struct reference *r, int group, const struct ref_message *m)
{
    return ref_is_fresh(r, group, m) ||
           (r->groups[group].there && ref_entry_of(r, group, (int)(m - r->messages)) != REF_NONE);
}

uint64_t ref_key_owner(const struct reference *r, int key)
{
    const struct ref_group *g = &r->groups[0];

    for (uint32_t i = g->cursor; i < r->record_count; i++) {
        const struct ref_message *m = &r->messages[r->records[i].message];
        if (!r->records[i].copy && !m->removed && m->key == key)
            return m->id;
    }
    for (int e = 0; e < REF_HELD; e++)
        if (g->held[e].state != REF_FREE && g->held[e].state != REF_PARKED &&
            r->messages[g->held[e].message].key == key)
            return r->messages[g->held[e].message].id;
    return 0;
}

/* --- counting --------------------------------------------------------------------- */

unsigned ref_in_state(const struct reference *r, int group, enum ref_state state)
{
    unsigned n = 0;

    for (int e = 0; e < REF_HELD; e++)
        n += r->groups[group].held[e].state == state;
    return n;
}

unsigned ref_held(const struct reference *r, int group)
{
    return REF_HELD - ref_in_state(r, group, REF_FREE);
}

unsigned ref_fresh(const struct reference *r, int group)
{
    unsigned n = 0;

    for (uint32_t i = r->groups[group].cursor; i < r->record_count; i++)
        n += !r->records[i].copy && !r->messages[r->records[i].message].removed;
    return n;
}

static uint64_t cursor_pos(const struct reference *r, const struct ref_group *g)
{
    return g->cursor < r->record_count ? r->records[g->cursor].pos : r->tail;
}

/* The held message whose record is the oldest, or REF_NONE. */
static int oldest_held(const struct reference *r, const struct ref_group *g)
{
    int oldest = REF_NONE;

    for (int e = 0; e < REF_HELD; e++)
        if (g->held[e].state != REF_FREE &&
            (oldest == REF_NONE || (int64_t)(r->messages[g->held[e].message].pos -
                                             r->messages[g->held[oldest].message].pos) < 0))
            oldest = e;
    return oldest;
}

uint64_t ref_low(const struct reference *r, int group)
{
    const struct ref_group *g = &r->groups[group];
    uint64_t cursor = cursor_pos(r, g);
    int e = oldest_held(r, g);

    if (e == REF_NONE || (int64_t)(r->messages[g->held[e].message].pos - cursor) > 0)
        return cursor;
    return r->messages[g->held[e].message].pos;
}

int64_t ref_next_due(const struct reference *r, int group)
{
    int64_t next_ns = REF_NEVER;

    for (int e = 0; e < REF_HELD; e++) {
        const struct ref_entry *h = &r->groups[group].held[e];
        if ((h->state == REF_LEASED || h->state == REF_DYING || h->state == REF_DELAYED ||
             h->state == REF_DOOMED) &&
            h->at_ns < next_ns)
            next_ns = h->at_ns;
    }
    return next_ns;
}

/* --- ends --------------------------------------------------------------------------- */

static void count_dead(struct ref_group *g, uint32_t reason)
{
    g->counts.dead++;
    g->counts.by_reason[reason < 7 ? reason : 7]++;
}

/* No more attempts or no more time. */
static void die(struct reference *r, struct ref_group *g, int e, uint32_t reason)
{
    struct ref_entry *h = &g->held[e];

    h->state = g->dead_letter ? REF_DOOMED : REF_PARKED;
    h->reason = reason;
    h->again = false;
    h->at_ns = r->now_ns;
    if (!g->dead_letter)
        count_dead(g, reason);
}

void ref_end_lease(struct reference *r, int group, int e)
{
    struct ref_group *g = &r->groups[group];
    struct ref_entry *h = &g->held[e];

    g->counts.lost++;
    if (h->state == REF_DYING) {
        h->state = REF_DOOMED;
        h->again = true;
        h->at_ns = r->now_ns;
    } else if (g->max_attempts != 0 && h->attempts >= g->max_attempts) {
        die(r, g, e, SHMQ_REASON_ATTEMPTS);
    } else {
        h->state = REF_WAITING;
    }
}

static int next_to_die(const struct reference *r, const struct ref_group *g)
{
    int next = REF_NONE;

    for (int e = 0; e < REF_HELD; e++)
        if (g->held[e].state == REF_DOOMED && g->held[e].at_ns <= r->now_ns &&
            (next == REF_NONE || g->held[e].at_ns < g->held[next].at_ns))
            next = e;
    return next;
}

bool ref_may_die(const struct reference *r, int group, int e)
{
    const struct ref_group *g = &r->groups[group];
    int next = next_to_die(r, g);

    return next != REF_NONE && g->held[e].state == REF_DOOMED &&
           g->held[e].at_ns == g->held[next].at_ns;
}

bool ref_end_overdue(struct reference *r, int group)
{
    struct ref_group *g = &r->groups[group];

    for (int e = 0; e < REF_HELD; e++) {
        struct ref_entry *h = &g->held[e];
        if ((h->state == REF_LEASED || h->state == REF_DYING) && h->at_ns <= r->now_ns)
            ref_end_lease(r, group, e);
        else if (h->state == REF_DELAYED && h->at_ns <= r->now_ns)
            h->state = REF_WAITING;
    }
    g->has_overdue = next_to_die(r, g) != REF_NONE;
    return g->has_overdue;
}

/* --- the next one --------------------------------------------------------------------- */

static bool is_expired(const struct reference *r, const struct ref_message *m)
{
    return m->expiry_ns != 0 && m->expiry_ns <= r->now_ns;
}

/* A free entry for a message, or REF_NONE. */
static int take_entry(struct reference *r, struct ref_group *g, int message, enum ref_state state)
{
    unsigned used = 0;
    int e = REF_NONE;

    for (int i = 0; i < REF_HELD; i++) {
        used += g->held[i].state != REF_FREE;
        if (g->held[i].state == REF_FREE && e == REF_NONE)
            e = i;
    }
    if (used >= r->entry_count)
        return REF_NONE;
    g->held[e] =
        (struct ref_entry){.state = state, .message = message, .seq_id = r->messages[message].id};
    return e;
}

/* Deal with the fresh message that is next, unless it can be handed out (0).  1 it is
 * passed; REF_NONE there is no entry for it. */
static int pass_fresh(struct reference *r, struct ref_group *g, int message)
{
    const struct ref_message *m = &r->messages[message];
    int e = 0;

    if (g->filter_type != 0 && g->filter_type != m->type) {
        g->counts.filtered++;
        return 1;
    }
    if (is_expired(r, m)) {
        if (g->dead_letter_expired)
            e = take_entry(r, g, message, REF_WAITING);
        if (e == REF_NONE)
            return REF_NONE;
        g->counts.expired++;
        if (g->dead_letter_expired)
            die(r, g, e, SHMQ_REASON_EXPIRED);
        return 1;
    }
    if (m->due_ns > r->now_ns) {
        e = take_entry(r, g, message, REF_DELAYED);
        if (e == REF_NONE)
            return REF_NONE;
        g->held[e].at_ns = m->due_ns;
        return 1;
    }
    return 0;
}

/* Walk on to the first fresh message that can be handed out; with another order than
 * FIFO take all of them up.  The message, or REF_NONE. */
static int walk(struct reference *r, struct ref_group *g)
{
    for (; g->cursor < r->record_count; g->cursor++) {
        const struct ref_record *record = &r->records[g->cursor];
        if (record->copy || r->messages[record->message].removed)
            continue;
        int passed = pass_fresh(r, g, record->message);
        if (passed == 0 && r->order == SHMQ_FIFO)
            return record->message;
        if (passed == REF_NONE ||
            (passed == 0 && take_entry(r, g, record->message, REF_WAITING) == REF_NONE)) {
            g->full = true;
            return REF_NONE;
        }
    }
    return REF_NONE;
}

/* Whether x comes before y. */
static bool is_before(const struct reference *r, const struct ref_entry *x,
                      const struct ref_entry *y)
{
    int32_t x_priority = r->messages[x->message].priority;
    int32_t y_priority = r->messages[y->message].priority;

    if (r->order == SHMQ_PRIORITY && x_priority != y_priority)
        return x_priority > y_priority;
    /* In a LIFO group the back is where the oldest is. */
    if (r->order == SHMQ_LIFO && (x->seq_id == 0 || y->seq_id == 0))
        return y->seq_id == 0 && (x->seq_id != 0 || x->seq_num < y->seq_num);
    if (r->order == SHMQ_LIFO)
        return x->seq_id > y->seq_id;
    return x->seq_id != y->seq_id ? x->seq_id < y->seq_id : x->seq_num < y->seq_num;
}

static int first_waiting(const struct reference *r, const struct ref_group *g)
{
    int first = REF_NONE;

    for (int e = 0; e < REF_HELD; e++)
        if (g->held[e].state == REF_WAITING &&
            (first == REF_NONE || is_before(r, &g->held[e], &g->held[first])))
            first = e;
    return first;
}

/* The id of what is fresh and next, or will be. */
static uint64_t id_at(const struct reference *r, uint32_t cursor)
{
    while (cursor < r->record_count && r->records[cursor].copy)
        cursor++;
    return cursor < r->record_count ? r->messages[r->records[cursor].message].id : r->next_id;
}

void ref_pick(struct reference *r, int group, bool to_lease, struct ref_pick *pick)
{
    struct ref_group *g = &r->groups[group];

    for (;;) {
        int e, fresh = REF_NONE;
        if (r->order != SHMQ_FIFO)
            walk(r, g);
        e = first_waiting(r, g);
        if (r->order == SHMQ_FIFO && (e == REF_NONE || g->held[e].seq_id >= id_at(r, g->cursor)))
            fresh = walk(r, g);
        if (fresh != REF_NONE && to_lease && ref_held(r, group) >= r->entry_count) {
            g->full = true;
            fresh = REF_NONE;
        }
        if (e != REF_NONE && fresh != REF_NONE && g->held[e].seq_id >= r->messages[fresh].id)
            e = REF_NONE;
        if (e == REF_NONE) {
            *pick = (struct ref_pick){REF_NONE, fresh, 0};
            return;
        }
        if (!is_expired(r, &r->messages[g->held[e].message])) {
            *pick = (struct ref_pick){e, g->held[e].message, g->held[e].attempts};
            return;
        }
        g->counts.expired++;
        if (g->dead_letter_expired)
            die(r, g, e, SHMQ_REASON_EXPIRED);
        else
            g->held[e].state = REF_FREE;
    }
}

int ref_lease(struct reference *r, int group, const struct ref_pick *pick, uint32_t owner,
              int64_t until_ns)
{
    struct ref_group *g = &r->groups[group];
    int e = pick->entry;

    if (e == REF_NONE) {
        e = take_entry(r, g, pick->message, REF_LEASED);
        g->cursor++;
    }
    struct ref_entry *h = &g->held[e];
    h->state = REF_LEASED;
    h->attempts++;
    h->owner = owner;
    h->at_ns = until_ns;
    g->counts.delivered++;
    g->counts.redelivered += h->attempts > 1;
    return e;
}

void ref_finish(struct reference *r, int group, const struct ref_pick *pick)
{
    struct ref_group *g = &r->groups[group];

    g->counts.got++;
    if (pick->entry == REF_NONE) {
        g->cursor++;
        return;
    }
    g->counts.redelivered += pick->attempts > 0;
    g->held[pick->entry].state = REF_FREE;
}

/* --- the ends of a lease ------------------------------------------------------------ */

void ref_ack(struct reference *r, int group, int e)
{
    r->groups[group].counts.acked++;
    r->groups[group].held[e].state = REF_FREE;
}

void ref_nack(struct reference *r, int group, int e, int64_t due_ns, bool to_back)
{
    struct ref_group *g = &r->groups[group];
    struct ref_entry *h = &g->held[e];

    h->state = due_ns > 0 ? REF_DELAYED : REF_WAITING;
    h->at_ns = due_ns;
    if (to_back) {
        h->seq_id = r->order == SHMQ_LIFO ? 0 : r->next_id - 1;
        h->seq_num = ++g->back;
    }
    g->counts.nacked++;
}

void ref_reject(struct reference *r, int group, int e, uint32_t reason)
{
    struct ref_group *g = &r->groups[group];
    struct ref_entry *h = &g->held[e];

    h->state = g->dead_letter ? REF_DYING : REF_PARKED;
    h->reason = reason;
    h->again = false;
    h->at_ns = g->dead_letter ? REF_NEVER : r->now_ns;
    if (!g->dead_letter)
        count_dead(g, reason);
}

void ref_dead_letter_made(struct reference *r, int group, int e, bool sent)
{
    struct ref_group *g = &r->groups[group];
    struct ref_entry *h = &g->held[e];

    count_dead(g, h->reason);
    g->counts.sent += sent;
    h->state = sent ? REF_FREE : REF_PARKED;
    h->at_ns = r->now_ns;
}

/* --- all of it --------------------------------------------------------------------------- */

int64_t ref_purge(struct reference *r, int group)
{
    struct ref_group *g = &r->groups[group];
    int64_t purged = ref_fresh(r, group);

    g->cursor = r->record_count;
    for (int e = 0; e < REF_HELD; e++) {
        struct ref_entry *h = &g->held[e];
        if (h->state == REF_FREE || h->state == REF_LEASED || h->state == REF_DYING)
            continue;
        h->state = REF_FREE;
        purged++;
    }
    g->counts.purged += (uint64_t)purged;
    return purged;
}

/* In a unique queue only where nobody has the key again; of several parked ones with one
 * key the implementation may choose, so the caller sees to which came back. */
int64_t ref_revive(struct reference *r, int group, uint64_t id)
{
    struct ref_group *g = &r->groups[group];
    int64_t revived = 0;

    for (int e = 0; e < REF_HELD; e++) {
        struct ref_entry *h = &g->held[e];
        const struct ref_message *m = &r->messages[h->message];
        if (h->state != REF_PARKED || (id != 0 && m->id != id) ||
            (r->unique && ref_key_owner(r, m->key) != 0))
            continue;
        h->state = REF_WAITING;
        h->attempts = h->owner = 0;
        revived++;
    }
    return revived;
}

bool ref_drop(struct reference *r, int group, uint64_t pos, uint64_t depth)
{
    struct ref_group *g = &r->groups[group];

    while ((int64_t)(pos - ref_low(r, group)) > 0 ||
           ref_fresh(r, group) + ref_held(r, group) > depth) {
        int e = oldest_held(r, g);
        if (g->cursor < r->record_count && ref_low(r, group) == cursor_pos(r, g)) {
            const struct ref_record *record = &r->records[g->cursor++];
            g->counts.dropped += !record->copy && !r->messages[record->message].removed;
            continue;
        }
        if (e == REF_NONE || g->held[e].state == REF_LEASED || g->held[e].state == REF_DYING)
            return false;
        g->held[e].state = REF_FREE;
        g->counts.dropped++;
    }
    return true;
}

/* --- by id --------------------------------------------------------------------------------- */

void ref_pass_removed(struct reference *r, int group)
{
    struct ref_group *g = &r->groups[group];

    while (g->cursor < r->record_count &&
           (r->records[g->cursor].copy || r->messages[r->records[g->cursor].message].removed))
        g->cursor++;
}

int ref_changeable(const struct reference *r, const struct ref_message *m)
{
    int rc = -ENOENT;

    for (int i = 0; i < REF_GROUPS; i++) {
        if (!ref_is_unfinished(r, i, m))
            continue;
        int e = ref_entry_of(r, i, (int)(m - r->messages));
        if (e != REF_NONE &&
            (r->groups[i].held[e].state == REF_LEASED || r->groups[i].held[e].state == REF_DYING))
            return -EBUSY;
        rc = 0;
    }
    return rc;
}

void ref_remove(struct reference *r, struct ref_message *m)
{
    for (int i = 0; i < REF_GROUPS; i++) {
        if (!ref_is_unfinished(r, i, m))
            continue;
        int e = ref_entry_of(r, i, (int)(m - r->messages));
        if (e != REF_NONE)
            r->groups[i].held[e].state = REF_FREE;
        r->groups[i].counts.removed++;
    }
    m->removed = true;
}

void ref_update(struct reference *r, struct ref_message *m, uint32_t length, uint64_t bytes)
{
    m->length = length;
    m->version++;
    m->pos = append(r, (int)(m - r->messages), bytes, true);
}

void ref_lose_update(struct reference *r, const struct ref_message *m, uint64_t bytes)
{
    append(r, (int)(m - r->messages), bytes, true);
}
