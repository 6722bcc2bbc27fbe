/*
 * crash_delivery_drain.c - after a death: all that is left can be had, once, in order,
 * and the queue works on.
 */
#include "crash/crash_delivery.h"

#include <errno.h>
#include <string.h>

#include "group/key_index.h"

/* One of the group's handles, the new and the old one by turns. */
static shmq_t *some_handle(const struct delivery_scene *s, unsigned g, unsigned turn)
{
    shmq_t *old = s->survivor.group[g];

    return turn % 2 == 0 || old == NULL ? s->fresh.group[g] : old;
}

/* Whether message `a` is handed out before `b`. */
static bool goes_before(const struct delivery_op *op, unsigned a, unsigned b)
{
    if ((op->traits & LIFO) != 0)
        return a > b;
    int32_t x = delivery_priority(op, a), y = delivery_priority(op, b);
    return x != y ? x > y : a < b;
}

/* The message that is due next; DELIVERY_MESSAGES: none. */
static unsigned next_due(const struct delivery_scene *s, unsigned g)
{
    unsigned next = DELIVERY_MESSAGES;

    for (unsigned i = 0; i < DELIVERY_MESSAGES; i++)
        if (strchr("FU", s->found[g][i].letter) != NULL &&
            (next == DELIVERY_MESSAGES || goes_before(s->op, i, next)))
            next = i;
    return next;
}

/* Receive what is due and acknowledge it. */
static bool take_next(struct delivery_scene *s, unsigned g, unsigned due, unsigned turn)
{
    shmq_t *q = some_handle(s, g, turn);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct message_head head;
    int rc = shmq_receive(q, &msg, SHMQ_NOWAIT);

    if (rc != 0)
        return delivery_fail(s, "receiving message %u of group %u: %s", due, g, shmq_strerror(rc));
    unsigned i = (unsigned)msg.id - 1;
    if ((i != due && (s->op->traits & TO_BACK) == 0) || i >= DELIVERY_MESSAGES ||
        strchr("FU", s->found[g][i].letter) == NULL)
        return delivery_fail(s, "received message %u where %u was due", i, due);
    struct delivery_found *f = &s->found[g][i];
    if (!message_whole(msg.data, (ssize_t)msg.length, &head) || head.seq != i ||
        (head.source == FROM_UPDATE) != (f->letter == 'U'))
        return delivery_fail(s, "message %u was received torn", i);
    if (msg.attempts != f->attempts + 1)
        return delivery_fail(s, "message %u had %u attempts and is received with %u", i,
                             f->attempts, msg.attempts);
    f->letter = '.';
    rc = shmq_ack(q, &msg);
    return rc == 0 || delivery_fail(s, "ack of message %u: %s", i, shmq_strerror(rc));
}

static bool take_all(struct delivery_scene *s, unsigned g)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    unsigned due, turn = s->victim.point;

    while ((due = next_due(s, g)) != DELIVERY_MESSAGES)
        if (!take_next(s, g, due, turn++))
            return false;
    int rc = shmq_receive(some_handle(s, g, turn), &msg, SHMQ_NOWAIT);
    return rc == -EAGAIN || delivery_fail(s, "after the last of group %u: %s", g,
                                          rc == 0 ? "another message" : shmq_strerror(rc));
}

/* The survivor's own leases have not suffered. */
static bool ack_held(struct delivery_scene *s, unsigned g)
{
    for (unsigned i = 0; i < DELIVERY_MESSAGES; i++) {
        if (s->found[g][i].letter != 'L' || s->survivor.group[g] == NULL)
            continue;
        int rc = shmq_ack(s->survivor.group[g], &s->held[g][i]);
        if (rc != 0)
            return delivery_fail(s, "ack of what the survivor has, %u: %s", i, shmq_strerror(rc));
        s->found[g][i].letter = '.';
    }
    return true;
}

/* What is parked can be put back, what is delayed purged. */
static bool take_rest(struct delivery_scene *s, unsigned g)
{
    shmq_t *q = some_handle(s, g, s->victim.point);
    int64_t parked = 0, delayed = 0;

    for (unsigned i = 0; i < DELIVERY_MESSAGES; i++) {
        struct delivery_found *f = &s->found[g][i];
        parked += f->letter == 'P';
        delayed += f->letter == 'D';
        if (f->letter == 'P')
            *f = (struct delivery_found){.letter = 'F', .times = 1, .source = f->source};
    }
    int64_t n = shmq_redrive(q, 0);
    if (n != parked)
        return delivery_fail(s, "%lld of %lld parked ones can be put back", (long long)n,
                             (long long)parked);
    /* Those whose time is over are parked again at once. */
    bool expires = strpbrk(s->before[g], "xX") != NULL;
    if (!expires && !take_all(s, g))
        return false;
    n = shmq_purge(q);
    return n == delayed + (expires ? parked : 0) ||
           delivery_fail(s, "%lld of %lld delayed ones can be purged", (long long)n,
                         (long long)delayed);
}

static bool check_empty(struct delivery_scene *s, unsigned g)
{
    const struct sq_ring *ring = &s->fresh.group[g]->segment.ring;

    if (sq_load(&ring->group->held_count) != 0 ||
        (sq_load(&ring->group->mode) & SQ_GROUP_HOLDS) != 0)
        return delivery_fail(s, "group %u holds messages, but is empty", g);
    for (uint32_t i = 0; i < ring->key_count; i++)
        if (ring->keys[i].id != 0)
            return delivery_fail(s, "the key of message %llu is left",
                                 (unsigned long long)ring->keys[i].id);
    struct shmq_group_stats stats;
    if (shmq_group_stats(s->fresh.group[g], &stats) != 0 || stats.backlog != 0)
        return delivery_fail(s, "the backlog is %llu", (unsigned long long)stats.backlog);
    return true;
}

/* In a unique queue: what is not finished has its key, what is, has not. */
static bool check_keys(struct delivery_scene *s)
{
    const struct sq_ring *ring = &s->fresh.queue->segment.ring;

    for (unsigned i = 0; ring->key_count != 0 && i < DELIVERY_MESSAGES; i++) {
        const char *key = delivery_key(i);
        uint64_t id = sq_key_index_find(ring, key, (uint32_t)strlen(key));
        bool keeps = strchr("FULD", s->found[0][i].letter) != NULL;
        if (id != (keeps ? i + 1 : 0))
            return delivery_fail(s, "the key of message %u (%c) stands for %llu", i,
                                 s->found[0][i].letter, (unsigned long long)id);
    }
    return true;
}

bool delivery_drain(struct delivery_scene *s)
{
    if (!check_keys(s))
        return false;
    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        if (s->is_there[g] &&
            !(take_all(s, g) && ack_held(s, g) && take_rest(s, g) && check_empty(s, g)))
            return false;
    return true;
}

/* --- working on ---------------------------------------------------------------------- */

static bool put_probes(struct delivery_scene *s, unsigned count)
{
    unsigned char bytes[64];

    for (unsigned i = 0; i < count; i++) {
        struct shmq_msg msg = SHMQ_MSG_INIT;
        message_build(bytes, FROM_PROBE, i, 20);
        msg.data = bytes;
        msg.length = 20;
        if ((s->op->traits & UNIQUE) != 0) {
            msg.key = delivery_key(i);
            msg.key_length = strlen(msg.key);
        }
        int rc = shmq_send(i % 2 == 0 ? s->fresh.queue : s->survivor.queue, &msg, SHMQ_NOWAIT);
        if (rc != 0)
            return delivery_fail(s, "sending a probe: %s (%s)", shmq_strerror(rc),
                                 shmq_last_error_detail());
    }
    return true;
}

/* As many as the group can hold: so no entry is lost. */
static bool hold_all(struct delivery_scene *s, unsigned g, unsigned count)
{
    struct shmq_msg msgs[DELIVERY_FILL + 4];
    shmq_t *q = some_handle(s, g, s->victim.point + 1);

    for (unsigned i = 0; i < count + 1; i++)
        msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
    int rc = shmq_receive_many(q, msgs, count, SHMQ_NOWAIT, SHMQ_NOWAIT);
    if (rc != (int)count)
        return delivery_fail(s, "%d of %u probes were received", rc, count);
    for (unsigned i = 0; i < count; i++)
        if (msgs[i].attempts != 1)
            return delivery_fail(s, "a probe is received with %u attempts", msgs[i].attempts);
    rc = shmq_ack_many(q, msgs, count);
    return rc == (int)count || delivery_fail(s, "%d of %u probes were acknowledged", rc, count);
}

bool delivery_work_on(struct delivery_scene *s)
{
    unsigned count = s->fresh.queue->segment.ring.entry_count;

    if (!put_probes(s, count))
        return false;
    for (unsigned g = 0; g < DELIVERY_GROUPS; g++)
        if (s->is_there[g] && !(hold_all(s, g, count) && check_empty(s, g)))
            return false;
    return true;
}
