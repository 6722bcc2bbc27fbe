/*
 * power_journal_ops.c - how each deed is done, in the process of a worker.
 */
#include "crash/power_journal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HAND = 64, BUFFER = 1 << 16 };

struct journal_worker {
    const struct journal_config *config;
    shmq_t *queue, *groups[BOOK_GROUPS];
    uint32_t lives[BOOK_GROUPS]; /* of the groups that those handles read as */
    struct {
        unsigned group;
        uint32_t life;
        struct shmq_msg msg; /* id 0: nothing is held here */
    } hand[HAND];
    char buffer[BUFFER];
};

struct journal_worker *journal_attach(const struct journal_config *config, const char *queue,
                                      unsigned number)
{
    struct journal_worker *w = calloc(1, sizeof(*w));

    journal_must(w != NULL, "no memory for worker", number);
    w->config = config;
    int rc = shmq_open(&w->queue, queue, 0, NULL);
    journal_must(rc == 0, "a worker cannot attach", rc);
    return w;
}

void journal_detach(struct journal_worker *w)
{
    for (unsigned g = 0; g < BOOK_GROUPS; g++)
        shmq_close(w->groups[g]);
    shmq_close(w->queue);
    free(w);
}

/* A handle that reads as the deed's group. */
static shmq_t *reader(struct journal_worker *w, unsigned group, uint32_t life)
{
    if ((w->config->flags & SHMQ_TOPIC) == 0)
        return w->queue;
    if (w->groups[group] == NULL || w->lives[group] != life) {
        shmq_close(w->groups[group]);
        int rc = shmq_subscribe(w->queue, journal_group_names[group], NULL, &w->groups[group]);
        journal_must(rc == 0, "a worker cannot join", rc);
        w->lives[group] = life;
    }
    return w->groups[group];
}

/* --- what is in hand ------------------------------------------------------------------ */

static struct shmq_msg *in_hand(struct journal_worker *w, unsigned group, uint32_t life,
                                uint64_t id)
{
    for (unsigned i = 0; i < HAND; i++)
        if (w->hand[i].group == group && w->hand[i].life == life && w->hand[i].msg.id == id)
            return &w->hand[i].msg;
    journal_must(false, "not in hand: message", (long long)id);
    return NULL;
}

static void take(struct journal_worker *w, unsigned group, uint32_t life,
                 const struct shmq_msg *msg)
{
    unsigned i = 0;

    /* What was of a group that is no more is no more either. */
    while (i < HAND && w->hand[i].msg.id != 0 &&
           !(w->hand[i].group == group && w->hand[i].life != life))
        i++;
    journal_must(i < HAND, "the hand is full", HAND);
    w->hand[i].group = group;
    w->hand[i].life = life;
    w->hand[i].msg = *msg;
}

/* --- putting ----------------------------------------------------------------------------- */

static int put_many(struct journal_worker *w, struct deed *d, struct book_bytes *bytes)
{
    struct shmq_buf bufs[DEED_IDS];

    for (unsigned i = 0; i < d->count; i++) {
        struct shmq_msg msg;
        book_describe(w->config, d->id + i, true, 0, &msg, &bytes[i]);
        bufs[i] = (struct shmq_buf){msg.data, msg.length};
    }
    return shmq_put_many(w->queue, bufs, d->count, SHMQ_NOWAIT);
}

static int send_many(struct journal_worker *w, struct deed *d, struct book_bytes *bytes)
{
    struct shmq_msg msgs[DEED_IDS];

    for (unsigned i = 0; i < d->count; i++)
        book_describe(w->config, d->id + i, false, 0, &msgs[i], &bytes[i]);
    int rc = shmq_send_many(w->queue, msgs, d->count, SHMQ_NOWAIT);
    for (unsigned i = 0; rc > 0 && i < (unsigned)rc; i++)
        journal_must(msgs[i].id == d->id + i, "sent with id", (long long)msgs[i].id);
    return rc;
}

static int put_one(struct journal_worker *w, struct deed *d, struct book_bytes *bytes)
{
    struct shmq_msg msg;
    void *data;

    book_describe(w->config, d->id, d->kind != DEED_SEND, 0, &msg, bytes);
    if (d->kind == DEED_SEND) {
        int rc = shmq_send(w->queue, &msg, SHMQ_NOWAIT);
        journal_must(rc < 0 || msg.id == d->id, "sent with id", (long long)msg.id);
        return rc;
    }
    if (d->kind == DEED_PUT)
        return shmq_put(w->queue, msg.data, msg.length, SHMQ_NOWAIT);
    int rc = shmq_reserve(w->queue, msg.length + 100, &data, SHMQ_NOWAIT);
    if (rc < 0)
        return rc;
    memcpy(data, msg.data, msg.length);
    return shmq_commit(w->queue, msg.length);
}

/* The coarse clock, by which messages expire, comes to now. */
static void await_tick(void)
{
    struct timespec sent, coarse;

    clock_gettime(CLOCK_MONOTONIC, &sent);
    do {
        sched_yield();
        clock_gettime(CLOCK_MONOTONIC_COARSE, &coarse);
    } while (coarse.tv_sec < sent.tv_sec ||
             (coarse.tv_sec == sent.tv_sec && coarse.tv_nsec <= sent.tv_nsec));
}

static int do_put(struct journal_worker *w, struct deed *d)
{
    static struct book_bytes bytes[DEED_IDS];
    bool many = d->kind == DEED_PUT_MANY || d->kind == DEED_SEND_MANY;
    int rc = d->kind == DEED_PUT_MANY    ? put_many(w, d, bytes)
             : d->kind == DEED_SEND_MANY ? send_many(w, d, bytes)
                                         : put_one(w, d, bytes);

    if (many && rc > 0)
        journal_must(rc == d->count, "a part of a batch was put", rc);
    if (d->kind == DEED_SEND || d->kind == DEED_SEND_MANY)
        await_tick();
    return rc;
}

/* --- taking -------------------------------------------------------------------------------- */

static int do_get(struct journal_worker *w, struct deed *d, shmq_t *g)
{
    struct shmq_info infos[DEED_IDS];

    if (d->kind == DEED_GET) {
        ssize_t n = shmq_get(g, w->buffer, sizeof(w->buffer), infos, SHMQ_NOWAIT);
        d->count = n >= 0;
        d->ids[0] = infos[0].id;
        return n >= 0 ? 0 : (int)n;
    }
    int rc = shmq_get_many(g, w->buffer, sizeof(w->buffer), infos, d->count, 0, SHMQ_NOWAIT);
    d->count = rc > 0 ? (uint8_t)rc : 0;
    for (unsigned i = 0; i < d->count; i++)
        d->ids[i] = infos[i].id;
    return rc;
}

static int do_receive(struct journal_worker *w, struct deed *d, shmq_t *g, uint32_t life)
{
    struct shmq_msg msgs[DEED_IDS];

    for (unsigned i = 0; i < DEED_IDS; i++)
        msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
    int rc = shmq_receive_many(g, msgs, d->count, 0, SHMQ_NOWAIT);
    d->count = rc > 0 ? (uint8_t)rc : 0;
    for (unsigned i = 0; i < d->count; i++) {
        d->ids[i] = msgs[i].id;
        take(w, d->group, life, &msgs[i]);
    }
    return rc;
}

/* The end of a lease, and perhaps the next one. */
static int do_end(struct journal_worker *w, struct deed *d, shmq_t *g, uint32_t life)
{
    struct shmq_msg *msg = in_hand(w, d->group, life, d->id);
    int rc = 0;

    switch ((enum deed_kind)d->kind) {
    case DEED_TOUCH:
        return shmq_touch(g, msg, 0);
    case DEED_ACK:
        rc = d->arg == 0 ? shmq_ack(g, msg) : shmq_ack_many(g, msg, 1);
        break;
    case DEED_NACK:
        rc = shmq_nack(g, msg, d->arg, d->to_back ? SHMQ_TO_BACK : 0);
        break;
    case DEED_REJECT:
        rc = shmq_reject(g, msg, (uint32_t)d->arg, NULL);
        break;
    default:
        rc = shmq_next(g, msg, SHMQ_NOWAIT);
        d->count = rc == 0;
        d->ids[0] = msg->id;
        if (rc == 0)
            return 0; /* the hand has the next one */
        break;
    }
    if (rc >= 0 || rc == -EAGAIN)
        msg->id = 0;
    return rc;
}

/* --- the others ------------------------------------------------------------------------------ */

/* The first message that the group has; or the next that is put. */
static uint64_t first_of(struct journal_worker *w, shmq_t *g)
{
    struct shmq_stats stats = {.size = sizeof(stats)};
    struct shmq_msg msg = SHMQ_MSG_INIT;
    uint64_t place = 0;

    journal_must(shmq_stats(w->queue, &stats) == 0, "stats", 0);
    uint64_t first = stats.put_count + 1;
    while (shmq_inspect(g, SHMQ_WAITING | SHMQ_DELAYED | SHMQ_DEAD, &place, &msg, w->buffer,
                        sizeof(w->buffer)) >= 0)
        if (msg.id < first)
            first = msg.id;
    return first;
}

static int do_subscribe(struct journal_worker *w, struct deed *d, uint32_t life)
{
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;
    shmq_t *g;

    attr.start = (uint32_t)d->arg;
    attr.start_at = d->id;
    shmq_close(w->groups[d->group]);
    w->groups[d->group] = NULL;
    int rc = shmq_subscribe(w->queue, journal_group_names[d->group], &attr, &g);
    if (rc < 0)
        return rc;
    w->groups[d->group] = g;
    w->lives[d->group] = life + 1;
    d->id = first_of(w, g);
    return 0;
}

static int do_seek(struct journal_worker *w, struct deed *d, shmq_t *g)
{
    int rc = shmq_seek(g, (int)d->arg, d->id);

    if (rc == 0)
        d->id = first_of(w, g);
    return rc;
}

static int do_update(struct journal_worker *w, struct deed *d)
{
    static struct book_bytes bytes;
    struct shmq_msg msg;

    /* Which version is in d->arg, and whether it is a plain one makes no difference to it. */
    book_describe(w->config, d->id, false, (uint16_t)d->arg, &msg, &bytes);
    return shmq_update(w->queue, d->id, msg.data, msg.length, SHMQ_NOWAIT);
}

static int do_policy(struct deed *d, shmq_t *g)
{
    struct shmq_policy policy;
    int rc = shmq_policy_of(g, &policy);

    policy.lease_ns = d->arg;
    return rc < 0 ? rc : shmq_policy_set(g, &policy);
}

static int64_t do_other(struct journal_worker *w, struct deed *d, shmq_t *g)
{
    int64_t n;

    switch ((enum deed_kind)d->kind) {
    case DEED_REDRIVE:
        n = shmq_redrive(g, d->id);
        d->count = n > 0 ? (uint8_t)n : 0;
        return n;
    case DEED_PURGE:
        return shmq_purge(g);
    case DEED_UPDATE:
        return do_update(w, d);
    case DEED_REMOVE:
        return shmq_remove(w->queue, d->id);
    case DEED_UNSUBSCRIBE:
        return shmq_unsubscribe(w->queue, journal_group_names[d->group]);
    case DEED_SEEK:
        return do_seek(w, d, g);
    case DEED_PAUSE:
        return d->arg != 0 ? shmq_pause(g) : shmq_resume(g);
    case DEED_POLICY:
        return do_policy(d, g);
    case DEED_PART:
        return shmq_part_begin(w->queue);
    default:
        return shmq_sync(w->queue, 0, SHMQ_SEC(10));
    }
}

static int64_t try_deed(struct journal_worker *w, struct deed *d, uint32_t life)
{
    if (d->kind <= DEED_SEND_MANY)
        return do_put(w, d);
    if (d->kind == DEED_SUBSCRIBE)
        return do_subscribe(w, d, life);
    if (d->kind >= DEED_PART)
        return do_other(w, d, NULL);
    shmq_t *g = reader(w, d->group, life);
    return d->kind <= DEED_GET_MANY  ? do_get(w, d, g)
           : d->kind == DEED_RECEIVE ? do_receive(w, d, g, life)
           : d->kind <= DEED_TOUCH   ? do_end(w, d, g, life)
                                     : do_other(w, d, g);
}

void journal_do(struct journal_worker *w, struct deed *d, uint32_t life)
{
    const struct deed asked = *d;
    int64_t rc;

    do { /* who saves may be kept from going on, with a lock; then nothing has happened */
        *d = asked;
        rc = try_deed(w, d, life);
    } while (rc == -ETIMEDOUT);
    d->rc = rc < 0 ? (int32_t)rc : 0;
}
