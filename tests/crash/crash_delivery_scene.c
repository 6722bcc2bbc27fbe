/*
 * crash_delivery_scene.c - the queue around a victim, built from letters.
 *
 * All that is not fresh is received by the survivor, and then given to the victim or
 * brought to its state.
 */
#include "crash/crash_delivery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "group/pending.h"
#include "handle/hooks.h"

bool delivery_fail(struct delivery_scene *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    crash_complain(&s->failures, s->op->name, s->victim.point, s->page->done != 0, format, args);
    va_end(args);
    return false;
}

bool delivery_is_topic(const struct delivery_op *op)
{
    return op->before[1] != NULL || (op->traits & TOPIC) != 0;
}

/* --- messages ------------------------------------------------------------------ */

static bool is_extended(const struct delivery_op *op, unsigned i)
{
    return i % 2 == 1 || (op->traits & (UNIQUE | PRIORITY)) != 0;
}

size_t delivery_length(const struct delivery_op *op, unsigned i)
{
    static const size_t lengths[] = {57, 16, 60, 33};

    if ((op->traits & FILLS) != 0)
        return DELIVERY_BYTES - SQ_RECORD_HEADER_BYTES - (is_extended(op, i) ? 64 : 0);
    return lengths[i % 4];
}

int32_t delivery_priority(const struct delivery_op *op, unsigned i)
{
    return (op->traits & PRIORITY) != 0 ? (int32_t)(i * 7 % 5) - 2 : 0;
}

const char *delivery_key(unsigned i)
{
    static char keys[DELIVERY_MESSAGES + DELIVERY_BATCH][16];

    snprintf(keys[i], sizeof(keys[i]), "key %u", i);
    return keys[i];
}

void delivery_message(const struct delivery_op *op, unsigned i, uint32_t source, void *bytes,
                      struct shmq_msg *msg)
{
    static const struct shmq_header header = {"n", "v"};

    *msg = (struct shmq_msg)SHMQ_MSG_INIT;
    msg->data = bytes;
    msg->length = delivery_length(op, i);
    msg->priority = delivery_priority(op, i);
    if (is_extended(op, i)) {
        msg->type = SHMQ_TYPE_OBJECT;
        msg->headers = &header;
        msg->header_count = 1;
        msg->key = delivery_key(i);
        msg->key_length = strlen(msg->key);
    }
    message_build(bytes, source, i, msg->length);
}

/* The time to live of the message at `pos` is over (by the coarse clock, too). */
static void expire(const struct sq_ring *ring, uint64_t pos)
{
    unsigned char *extension = sq_record_payload(sq_record_at(ring, pos));
    int64_t over_ns = 1;

    memcpy(extension + offsetof(struct sq_extension_shm, expiry_ns), &over_ns, sizeof(over_ns));
}

bool delivery_put(struct delivery_scene *s, unsigned i, char letter)
{
    const struct sq_ring *ring = &s->survivor.queue->segment.ring;
    uint64_t tail = sq_load(&ring->producer->tail_pos);
    unsigned char bytes[DELIVERY_CAPACITY];
    struct shmq_msg msg;

    delivery_message(s->op, i, FROM_SEED, bytes, &msg);
    if (letter == 'd')
        msg.delay_ns = SHMQ_SEC(1000);
    if (letter == 'x' || letter == 'X')
        msg.ttl_ns = SHMQ_SEC(1000);
    int rc = shmq_send(s->survivor.queue, &msg, SHMQ_NOWAIT);
    if (rc == 0 && letter == 'x')
        expire(ring, tail);
    if (rc != 0)
        return delivery_fail(s, "send: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
    return msg.id == i + 1 || delivery_fail(s, "message %u has another id", i);
}

/* Change what was put. */
static bool change_one(struct delivery_scene *s, unsigned i, char letter)
{
    unsigned char bytes[DELIVERY_CAPACITY];
    size_t length = delivery_length(s->op, i) + 8;

    int rc = 0;
    message_build(bytes, FROM_UPDATE, i, length);
    if (letter == 'u' || letter == 'U')
        rc = shmq_update(s->survivor.queue, i + 1, bytes, length, SHMQ_NOWAIT);
    if (letter == 'g' || letter == 'G')
        rc = shmq_remove(s->survivor.queue, i + 1);
    return rc == 0 || delivery_fail(s, "changing message %u: %s", i, shmq_strerror(rc));
}

/* --- handles ------------------------------------------------------------------- */

int delivery_open(struct delivery_scene *s, struct delivery_handles *h, const bool *groups)
{
    int flags = h == &s->own && (s->op->traits & SOLE) != 0 ? SHMQ_SOLE_CONSUMER : 0;
    int rc = shmq_open(&h->queue, s->name, flags, NULL);

    if (!delivery_is_topic(s->op)) {
        h->group[0] = h->queue;
        return rc;
    }
    for (unsigned g = 0; rc == 0 && g < DELIVERY_GROUPS; g++)
        if (groups[g])
            rc = shmq_subscribe(h->queue, delivery_group_names[g], NULL, &h->group[g]);
    return rc;
}

void delivery_close(struct delivery_handles *h)
{
    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        if (h->group[g] != h->queue)
            shmq_close(h->group[g]);
    shmq_close(h->queue);
    *h = (struct delivery_handles){0};
}

/* --- the states -------------------------------------------------------------------- */

static bool is_fresh(char letter)
{
    return strchr("Fdxug", letter) != NULL;
}

/* How many messages of the group are not fresh. */
static unsigned prefix_of(const char *letters)
{
    unsigned n = 0;

    while (letters[n] != '\0' && letters[n] != '-' && !is_fresh(letters[n]))
        n++;
    return n;
}

static unsigned count_of(const char *letters, char letter)
{
    unsigned n = 0;

    for (; *letters != '\0'; letters++)
        n += *letters == letter;
    return n;
}

/* The longest such part, over the groups. */
static unsigned longest_prefix(const struct delivery_scene *s)
{
    unsigned longest = 0;

    for (unsigned g = 0; g < s->group_count; g++) {
        unsigned n = prefix_of(s->before[g]);
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* What is told of message `i`, as far as that concerns its putting. */
static char letter_to_put(const struct delivery_scene *s, unsigned i)
{
    return i < strlen(s->before[0]) ? s->before[0][i] : 'F';
}

/* Put what is not fresh, receive it, and return what the victim is to have. */
static bool build_prefix(struct delivery_scene *s)
{
    unsigned n = longest_prefix(s);

    for (unsigned i = 0; i < n; i++)
        if (!delivery_put(s, i, letter_to_put(s, i)))
            return false;
    for (unsigned g = 0; g < s->group_count; g++) {
        shmq_t *from = s->survivor.group[g];
        for (unsigned i = 0; i < prefix_of(s->before[g]); i++) {
            struct shmq_msg msg = SHMQ_MSG_INIT;
            int rc = shmq_receive(from, &msg, SHMQ_NOWAIT);
            if (rc != 0 || msg.id > n)
                return delivery_fail(s, "receive: %s", shmq_strerror(rc));
            s->held[g][msg.id - 1] = msg;
        }
        for (unsigned i = 0; i < prefix_of(s->before[g]); i++)
            if (s->before[g][i] == 'L' && shmq_nack(from, &s->held[g][i], 0, 0) != 0)
                return delivery_fail(s, "nack: %s", shmq_last_error_detail());
    }
    return true;
}

static bool resolve_one(struct delivery_scene *s, unsigned g, unsigned i)
{
    struct shmq_msg *msg = &s->held[g][i];
    shmq_t *q = s->survivor.group[g];
    const struct sq_ring *ring = &q->segment.ring;
    int rc = 0;

    switch (s->before[g][i]) {
    case '.':
        rc = shmq_ack(q, msg);
        break;
    case 'D':
        rc = shmq_nack(q, msg, SHMQ_SEC(1000), 0);
        break;
    case 'P':
        rc = shmq_reject(q, msg, SHMQ_REASON_PROCESSING, NULL);
        break;
    case 'R':
    case 'U':
    case 'G':
    case 'X':
        rc = shmq_nack(q, msg, 0, 0);
        break;
    }
    if (s->before[g][i] == 'X')
        expire(ring, ring->entries[sq_pending_find(ring, i + 1)].pos);
    return rc == 0 || delivery_fail(s, "message %u: %s", i, shmq_last_error_detail());
}

/* Bring what the survivor still has to its state; then put the fresh ones. */
static bool resolve(struct delivery_scene *s)
{
    size_t total = 0;

    for (unsigned g = 0; g < s->group_count; g++) {
        for (unsigned i = 0; i < prefix_of(s->before[g]); i++)
            if (!resolve_one(s, g, i))
                return false;
        total = strlen(s->before[g]) > total ? strlen(s->before[g]) : total;
    }
    if (s->before[0][0] == '-')
        total = s->before[1][0] == '-' ? 0 : total;
    for (unsigned i = longest_prefix(s); i < total; i++)
        if (!delivery_put(s, i, letter_to_put(s, i)))
            return false;
    for (unsigned i = 0; i < total; i++)
        if (!change_one(s, i, s->before[0][i]))
            return false;
    for (unsigned g = 0; g < s->group_count; g++) {
        if (s->before[g][0] == '-' || (s->op->traits & SOLE) != 0)
            continue;
        if (!delivery_inspect(s, s->survivor.group[g], g))
            return false;
        for (unsigned i = 0; i < DELIVERY_MESSAGES; i++)
            s->attempts[g][i] = s->found[g][i].attempts;
    }
    return true;
}

/* --- the victim ------------------------------------------------------------------------ */

/* The victim leases what it is to have. */
static bool lease_own(struct delivery_scene *s, unsigned g)
{
    for (unsigned n = count_of(s->before[g], 'L'); n > 0; n--) {
        struct shmq_msg msg = SHMQ_MSG_INIT;
        if (shmq_receive(s->own.group[g], &msg, SHMQ_NOWAIT) != 0 ||
            s->before[g][msg.id - 1] != 'L')
            return false;
        if (g == 0)
            s->leased[s->leased_count++] = msg;
    }
    return true;
}

static bool make_ready(shmq_t *q, enum sq_role role)
{
    struct sq_deadline deadline = sq_deadline_in(HELPER_LATE_NS);

    if (q != NULL)
        sq_hook_drop(q, SQ_HOOK_SAVER); /* a thread beside the victim's (crash_step.c) */
    return q == NULL || sq_make_ready(q, role, &deadline) == 0;
}

bool delivery_prepare(void *arg)
{
    struct delivery_scene *s = arg;
    bool none[DELIVERY_GROUPS] = {false}, there[DELIVERY_GROUPS];

    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        there[g] = g < s->group_count && s->before[g][0] != '-';
    if (delivery_open(s, &s->own, (s->op->traits & BARE) != 0 ? none : there) != 0 ||
        !make_ready(s->own.queue, SQ_ROLE_PRODUCER))
        return false;
    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        if (!make_ready(s->own.group[g], SQ_ROLE_PRODUCER) ||
            !make_ready(s->own.group[g], SQ_ROLE_CONSUMER) || !lease_own(s, g))
            return false;
    return true;
}

void delivery_act(void *arg)
{
    struct delivery_scene *s = arg;

    s->op->act(s);
}

static bool release(void *arg)
{
    struct delivery_scene *s = arg;

    for (unsigned i = 0; i < strlen(s->before[0]); i++)
        if (s->before[0][i] == 'S' && shmq_ack(s->survivor.group[0], &s->held[0][i]) != 0)
            return delivery_fail(s, "ack: %s", shmq_last_error_detail());
    return true;
}

static bool begin(void *arg)
{
    struct delivery_scene *s = arg;

    return resolve(s) && delivery_make_corpse(s) && (s->file.ready == NULL || s->file.ready(s));
}

/* --- the whole ----------------------------------------------------------------------- */

int delivery_create(const struct delivery_scene *s, int flags, shmq_t **q)
{
    const struct delivery_op *op = s->op;
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    attr.capacity_bytes = DELIVERY_CAPACITY;
    attr.pending_count = (op->traits & FILLS) != 0 ? DELIVERY_FILL + 2 : DELIVERY_ENTRIES;
    attr.full = (op->traits & DROPS) != 0 ? SHMQ_FULL_DROP : SHMQ_FULL_BLOCK;
    attr.order = (op->traits & PRIORITY) != 0 ? SHMQ_PRIORITY
                 : (op->traits & LIFO) != 0   ? SHMQ_LIFO
                                              : SHMQ_FIFO;
    attr.max_groups = delivery_is_topic(op) ? DELIVERY_GROUPS : 0;
    if (op->policy != NULL) {
        attr.policy = *op->policy;
        if (attr.policy.dead_letter[0] != '\0')
            strcpy(attr.policy.dead_letter, s->letters);
    }
    if (s->file.path[0] != '\0' && !s->file.other) {
        attr.snapshot = s->file.path;
        attr.journal = s->file.journal;
        attr.save_at_end = s->file.save_at_end;
    }
    if (delivery_is_topic(op))
        flags |= SHMQ_TOPIC;
    if ((op->traits & UNIQUE) != 0)
        flags |= SHMQ_UNIQUE;
    return shmq_open(q, s->name, SHMQ_CREATE | flags, &attr);
}

static bool create(struct delivery_scene *s)
{
    const struct delivery_op *op = s->op;
    struct shmq_attr plain = helper_attr(DELIVERY_CAPACITY);
    shmq_t *letters;
    int rc = delivery_create(s, SHMQ_EXCL, &s->survivor.queue);

    if (rc == 0 && s->file.saved_at_once)
        rc = shmq_save(s->survivor.queue, s->file.path);
    if (rc != 0)
        return delivery_fail(s, "create: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
    shmq_close(s->survivor.queue);
    s->survivor.queue = NULL;
    if ((op->traits & LETTERS) == 0)
        return true;
    rc = shmq_open(&letters, s->letters, SHMQ_CREATE | SHMQ_EXCL, &plain);
    shmq_close(letters);
    return rc == 0 || delivery_fail(s, "dead-letter queue: %s", shmq_last_error_detail());
}

static void describe_victim(struct delivery_scene *s)
{
    struct crash_victim *v = &s->victim;

    v->operation = s->op;
    v->arg = s;
    v->prepare = delivery_prepare;
    v->act = delivery_act;
    v->begin = count_of(s->before[0], 'L') + count_of(s->before[1], 'L') > 0 ? begin : NULL;
    v->release = (s->op->traits & RELEASED) != 0 ? release : NULL;
    v->done = &s->page->done;
}

void delivery_init(struct delivery_scene *s)
{
    memset(s->page, 0, sizeof(*s->page));
    snprintf(s->name, sizeof(s->name), "%s", helper_name("delivery"));
    snprintf(s->letters, sizeof(s->letters), "%s", helper_name("letters"));
    for (unsigned g = 0; g < DELIVERY_GROUPS && s->op->before[g] != NULL; g++) {
        strcpy(s->before[g], s->op->before[g]);
        strcpy(s->after[g], s->op->after[g]);
        s->group_count++;
    }
    describe_victim(s);
}

bool delivery_begin(struct delivery_scene *s)
{
    bool there[DELIVERY_GROUPS] = {false};

    delivery_init(s);
    for (unsigned g = 0; g < s->group_count; g++)
        there[g] = s->before[g][0] != '-';
    if (!create(s))
        return false;
    int rc = delivery_open(s, &s->survivor, there);
    if (rc != 0 || !make_ready(s->survivor.queue, SQ_ROLE_PRODUCER))
        return delivery_fail(s, "the survivor cannot attach: %s", shmq_strerror(rc));
    if (!build_prefix(s) || (s->victim.begin == NULL && !begin(s)))
        return false;
    delivery_prepare_messages(s);
    return true;
}

void delivery_end(struct delivery_scene *s)
{
    delivery_close(&s->fresh);
    delivery_close(&s->survivor);
    shmq_unlink(s->name);
    shmq_unlink(s->letters);
}
