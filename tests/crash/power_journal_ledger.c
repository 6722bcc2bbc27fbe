/*
 * power_journal_ledger.c - what is in the queue after each deed, in plain lists.
 */
#include "crash/power_journal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *const journal_group_names[BOOK_GROUPS] = {"a", "b", "c"};

uint64_t journal_random(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*state >> 33) % below;
}

/* --- messages --------------------------------------------------------------------- */

/* Of what a message is like: one of `below` for each `what`. */
static uint64_t trait(uint64_t id, unsigned what, uint64_t below)
{
    uint64_t state = id * 0x9e3779b97f4a7c15ULL + what;

    journal_random(&state, 2);
    return journal_random(&state, below);
}

static bool is_mortal(const struct journal_config *config, uint64_t id, bool plain)
{
    return !plain && (config->flags & SHMQ_UNIQUE) == 0 && trait(id, 1, 20) == 0;
}

bool book_is_mortal(const struct book *b, uint64_t id)
{
    return is_mortal(b->config, id, b->messages[id].plain);
}

static bool is_delayed(uint64_t id, bool plain)
{
    return !plain && trait(id, 2, 6) == 0;
}

static int32_t priority_of(uint64_t id, bool plain)
{
    return plain ? 0 : (int32_t)trait(id, 3, 7) - 3;
}

static void fill(uint64_t id, uint16_t version, size_t length, unsigned char *bytes)
{
    uint64_t state = id << 16 | version;

    memcpy(bytes, &state, sizeof(state));
    for (size_t i = sizeof(state); i < length; i++)
        bytes[i] = (unsigned char)journal_random(&state, 256);
}

void book_describe(const struct journal_config *config, uint64_t id, bool plain, uint16_t version,
                   struct shmq_msg *msg, struct book_bytes *bytes)
{
    bool unique = (config->flags & SHMQ_UNIQUE) != 0;
    uint64_t longest = trait(id + version, 4, 5) == 0 ? BOOK_MAX : 100;

    *msg = (struct shmq_msg)SHMQ_MSG_INIT;
    msg->data = bytes->payload;
    msg->length = 8 + trait(id, 5 + version, longest - 7);
    fill(id, version, msg->length, bytes->payload);
    if (plain)
        return;
    msg->type = trait(id, 6, 2) == 0 ? 0 : SHMQ_TYPE_OBJECT;
    msg->priority = priority_of(id, plain);
    msg->correlation = trait(id, 7, 1000);
    msg->delay_ns = is_delayed(id, plain) ? BOOK_LATER_NS : 0;
    msg->ttl_ns = is_mortal(config, id, plain) ? 1 : trait(id, 8, 4) == 0 ? BOOK_LATER_NS : 0;
    if (unique || trait(id, 9, 3) == 0) {
        snprintf(bytes->key, sizeof(bytes->key), "key-%u", (unsigned)(id % BOOK_KEYS));
        msg->key = bytes->key;
        msg->key_length = strlen(bytes->key);
    }
    msg->header_count = (unsigned)trait(id, 10, 3);
    snprintf(bytes->value, sizeof(bytes->value), "%llu", (unsigned long long)id);
    bytes->headers[0] = (struct shmq_header){"trace", bytes->value};
    bytes->headers[1] = (struct shmq_header){"empty", ""};
    msg->headers = msg->header_count > 0 ? bytes->headers : NULL;
}

/* --- looking ------------------------------------------------------------------------ */

bool book_comes_before(const struct book *b, unsigned group, uint64_t one, uint64_t other)
{
    uint64_t x = b->parts[group][one].seq, y = b->parts[group][other].seq;
    int32_t p = priority_of(one, b->messages[one].plain);
    int32_t q = priority_of(other, b->messages[other].plain);

    if (b->config->order == SHMQ_PRIORITY && p != q)
        return p > q;
    return b->config->order == SHMQ_LIFO ? x > y : x < y;
}

uint64_t book_next(const struct book *b, unsigned group)
{
    uint64_t next = 0;

    if (b->groups[group].paused)
        return 0;
    for (uint64_t id = 1; id < b->next_id; id++)
        if (b->parts[group][id].state == BOOK_WAITING &&
            (next == 0 || book_comes_before(b, group, id, next)))
            next = id;
    return next;
}

bool book_has_key(const struct book *b, uint64_t id)
{
    for (uint64_t other = 1; other < b->next_id; other++) {
        uint8_t state = b->parts[0][other].state;
        if (state != BOOK_GONE && state != BOOK_DEAD && other % BOOK_KEYS == id % BOOK_KEYS)
            return true;
    }
    return false;
}

int book_changeable(const struct book *b, uint64_t id)
{
    int rc = -ENOENT;

    for (unsigned g = 0; g < BOOK_GROUPS; g++) {
        if (b->parts[g][id].state == BOOK_LEASED)
            return -EBUSY;
        if (b->parts[g][id].state != BOOK_GONE)
            rc = 0;
    }
    return rc;
}

/* --- changing ------------------------------------------------------------------------- */

void book_begin(struct book *b, const struct journal_config *config)
{
    memset(b, 0, sizeof(*b));
    b->config = config;
    b->next_id = 1;
    b->groups[0].there = (config->flags & SHMQ_TOPIC) == 0;
    for (unsigned g = 0; g < BOOK_GROUPS; g++)
        b->groups[g].lease_ns = BOOK_LATER_NS;
}

/* A message comes to a group, which has not had it. */
static void come(struct book *b, unsigned group, uint64_t id)
{
    struct book_part *part = &b->parts[group][id];
    const struct book_message *m = &b->messages[id];

    *part = (struct book_part){.seq = id << 8};
    if (!b->groups[group].there || m->removed || is_mortal(b->config, id, m->plain))
        return;
    part->state = is_delayed(id, m->plain) ? BOOK_DELAYED : BOOK_WAITING;
}

/* All that has changed in the group is in the file. */
static void note_written(struct book *b, unsigned group)
{
    for (uint64_t id = 1; id < b->next_id; id++)
        b->parts[group][id].written = b->parts[group][id].attempts;
}

static void finish(struct book *b, unsigned group, uint64_t id)
{
    b->parts[group][id] = (struct book_part){.state = BOOK_GONE};
}

static const char *add_put(struct book *b, const struct deed *d)
{
    bool plain = d->kind == DEED_PUT || d->kind == DEED_PUT_MANY || d->kind == DEED_COMMIT;
    bool unique = (b->config->flags & SHMQ_UNIQUE) != 0;

    if (d->rc == -EEXIST)
        return unique && book_has_key(b, b->next_id) ? NULL : "the key was free";
    if (d->rc == -EAGAIN)
        return NULL;
    if (d->rc < 0 || d->id != b->next_id || d->id + d->count > BOOK_IDS)
        return "a put failed, or its id is wrong";
    if (unique && book_has_key(b, d->id))
        return "the key was not free";
    for (unsigned i = 0; i < d->count; i++) {
        uint64_t id = b->next_id++;
        b->messages[id] = (struct book_message){.plain = plain};
        for (unsigned g = 0; g < BOOK_GROUPS; g++)
            come(b, g, id);
    }
    return NULL;
}

/* The messages were handed out, for good or on lease. */
static const char *add_taken(struct book *b, const struct deed *d, bool on_lease)
{
    for (unsigned i = 0; i < d->count; i++) {
        struct book_part *part = &b->parts[d->group][d->ids[i]];
        if (d->ids[i] != book_next(b, d->group))
            return "another message was next";
        if (on_lease) {
            part->state = BOOK_LEASED;
            part->attempts++;
            part->owner = d->worker;
        } else {
            finish(b, d->group, d->ids[i]);
        }
    }
    if (d->rc == -EAGAIN && book_next(b, d->group) != 0)
        return "a message was there, and did not come";
    if (!on_lease && d->count > 0)
        note_written(b, d->group);
    return d->rc < 0 && d->rc != -EAGAIN ? "nothing could be taken" : NULL;
}

static const char *add_end(struct book *b, const struct deed *d)
{
    struct book_part *part = &b->parts[d->group][d->id];
    struct book_group *g = &b->groups[d->group];

    if (part->state != BOOK_LEASED || part->owner != d->worker ||
        (d->rc < 0 && (d->kind != DEED_NEXT || d->rc != -EAGAIN)))
        return "the end of a lease failed, or there was none";
    if (d->kind == DEED_TOUCH)
        return NULL;
    if (d->kind == DEED_ACK || d->kind == DEED_NEXT) {
        finish(b, d->group, d->id);
    } else if (d->kind == DEED_REJECT ||
               (b->config->max_attempts != 0 && part->attempts >= b->config->max_attempts)) {
        part->state = BOOK_DEAD;
        part->reason = d->kind == DEED_REJECT ? (uint32_t)d->arg : SHMQ_REASON_ATTEMPTS;
    } else {
        part->state = d->arg > 0 ? BOOK_DELAYED : BOOK_WAITING;
        if (d->to_back) {
            uint64_t base = (b->next_id - 1) << 8;
            g->back = (g->back > base ? g->back : base) + 1;
            part->seq = g->back;
        }
    }
    note_written(b, d->group);
    return d->kind == DEED_NEXT ? add_taken(b, d, true) : NULL;
}

static const char *add_redrive(struct book *b, const struct deed *d)
{
    unsigned count = 0;

    for (uint64_t id = 1; id < b->next_id; id++) {
        struct book_part *part = &b->parts[d->group][id];
        if (part->state != BOOK_DEAD || (d->id != 0 && d->id != id))
            continue;
        part->state = BOOK_WAITING;
        part->attempts = 0;
        count++;
    }
    note_written(b, d->group);
    return d->rc < 0 || count != d->count ? "other messages were put back" : NULL;
}

static const char *add_change(struct book *b, const struct deed *d)
{
    if (d->rc == -EAGAIN && d->kind == DEED_UPDATE)
        return NULL;
    if (d->rc != book_changeable(b, d->id))
        return "an update or removal said something else";
    if (d->rc == 0 && d->kind == DEED_UPDATE)
        b->messages[d->id].version++;
    for (unsigned g = 0; d->rc == 0 && d->kind == DEED_REMOVE && g < BOOK_GROUPS; g++) {
        b->messages[d->id].removed = true;
        finish(b, g, d->id);
    }
    return NULL;
}

/* The group begins (anew) at d->id. */
static const char *add_start(struct book *b, const struct deed *d)
{
    struct book_group *g = &b->groups[d->group];
    bool leased = false;

    for (uint64_t id = 1; id < b->next_id; id++)
        leased = leased || b->parts[d->group][id].state == BOOK_LEASED;
    if (d->rc != (leased ? -EBUSY : 0))
        return "a group could not be made, or moved; or it could";
    if (leased)
        return NULL;
    if (d->kind == DEED_SUBSCRIBE)
        *g = (struct book_group){.there = true, .life = g->life + 1, .lease_ns = BOOK_LATER_NS};
    for (uint64_t id = 1; id < b->next_id; id++) {
        if (id >= d->id)
            come(b, d->group, id);
        else
            finish(b, d->group, id);
    }
    return NULL;
}

/* What all messages of a group lose, or those that nobody has in hand. */
static void clear(struct book *b, unsigned group, bool leased_too)
{
    for (uint64_t id = 1; id < b->next_id; id++)
        if (leased_too || b->parts[group][id].state != BOOK_LEASED)
            finish(b, group, id);
    note_written(b, group);
}

static const char *add_other(struct book *b, const struct deed *d)
{
    struct book_group *g = &b->groups[d->group];

    if (d->rc < 0)
        return "a call failed";
    if (d->kind == DEED_PURGE)
        clear(b, d->group, false);
    if (d->kind == DEED_PAUSE)
        g->paused = d->arg != 0;
    if (d->kind == DEED_POLICY)
        g->lease_ns = d->arg;
    if (d->kind == DEED_UNSUBSCRIBE) {
        g->there = false;
        clear(b, d->group, true);
    }
    return NULL;
}

const char *book_add(struct book *b, const struct deed *d)
{
    b->deeds++;
    switch ((enum deed_kind)d->kind) {
    case DEED_PUT:
    case DEED_PUT_MANY:
    case DEED_COMMIT:
    case DEED_SEND:
    case DEED_SEND_MANY:
        return add_put(b, d);
    case DEED_GET:
    case DEED_GET_MANY:
        return add_taken(b, d, false);
    case DEED_RECEIVE:
        return add_taken(b, d, true);
    case DEED_NEXT:
    case DEED_ACK:
    case DEED_NACK:
    case DEED_REJECT:
    case DEED_TOUCH:
        return add_end(b, d);
    case DEED_REDRIVE:
        return add_redrive(b, d);
    case DEED_UPDATE:
    case DEED_REMOVE:
        return add_change(b, d);
    case DEED_SUBSCRIBE:
    case DEED_SEEK:
        return add_start(b, d);
    default:
        return add_other(b, d);
    }
}
