/*
 * reply_queue.c - see reply_queue.h.
 */
#include "service/reply_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/error.h"
#include "handle/hooks.h"

enum {
    REPLIES_LEASED_MAX = 16, /* one is, at a time */
    PROCESSES_SHOWN = 64,
};
#define CAPACITY_MAX ((uint64_t)16 << 20)
#define YOUNG_NS     SHMQ_SEC(2) /* being made takes microseconds */

/* --- the queue for replies ----------------------------------------------------- */

bool sq_reply_queue_has_caller(shmq_t *replies)
{
    struct shmq_process list[PROCESSES_SHOWN];
    int count = shmq_attached(replies, list, PROCESSES_SHOWN);

    if (count < 0 || count > PROCESSES_SHOWN)
        return true;
    for (int i = 0; i < count; i++)
        if ((list[i].flags & SHMQ_SOLE_CONSUMER) != 0)
            return true;
    return false;
}

static bool is_young(shmq_t *q)
{
    struct shmq_stats stats = {.size = sizeof(stats)};

    return shmq_stats(q, &stats) < 0 ||
           sq_elapsed_ns(sq_clock_read(CLOCK_REALTIME), stats.created_ns) < YOUNG_NS;
}

/* shmq_list(): remove the queue if its caller died. */
static int remove_dead(const char *name, void *arg)
{
    shmq_t *q;

    (void)arg;
    if (strncmp(name, SQ_REPLY_PREFIX, (sizeof(SQ_REPLY_PREFIX) - 1)) != 0 ||
        shmq_open(&q, name, SHMQ_RDONLY, NULL) < 0)
        return 0;
    bool dead = !is_young(q) && !sq_reply_queue_has_caller(q);
    shmq_close(q);
    if (dead)
        shmq_unlink(name);
    return 0;
}

static int make_replies(struct shmq *q, struct sq_reply_queue *c)
{
    struct shmq_attr like = SHMQ_ATTR_INIT, attr = SHMQ_ATTR_INIT;
    uint64_t random;
    int rc = shmq_attr_of(q, &like);

    if (rc < 0)
        return rc;
    shmq_list(remove_dead, NULL);
    attr.capacity_bytes = like.capacity_bytes < CAPACITY_MAX ? like.capacity_bytes : CAPACITY_MAX;
    attr.mode = like.mode;
    attr.full = SHMQ_FULL_FAIL;
    attr.pending_count = REPLIES_LEASED_MAX;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        random = (uint64_t)sq_clock_ns() * 0x9e3779b97f4a7c15u;
    snprintf(c->name, sizeof(c->name), SQ_REPLY_PREFIX "%d.%016llx", (int)getpid(),
             (unsigned long long)random);
    c->broken = false;
    return shmq_open(&c->replies, c->name, SHMQ_CREATE | SHMQ_EXCL | SHMQ_SOLE_CONSUMER, &attr);
}

static void drop_replies(struct sq_reply_queue *c)
{
    if (c->replies == NULL)
        return;
    shmq_unlink(c->name);
    shmq_close(c->replies);
    c->replies = NULL;
}

/* Nobody calls: what there is came too late.  Whether the queue is good for more. */
static bool clear_replies(struct sq_reply_queue *c)
{
    struct shmq_msg late = SHMQ_MSG_INIT;

    if (shmq_depth(c->replies) > 0)
        shmq_purge(c->replies);
    int rc = shmq_receive(c->replies, &late, SHMQ_NOWAIT);
    if (rc == 0)
        shmq_ack(c->replies, &late);
    return rc == 0 || rc == -EAGAIN || rc == -ETIMEDOUT || rc == -EINTR;
}

int sq_reply_queue_ready(struct shmq *q, struct sq_reply_queue *c)
{
    sq_assert_held(&c->lock);
    SQ_BUG_ON(c->calls != NULL);
    if (c->replies != NULL && (c->broken || !clear_replies(c)))
        drop_replies(c);
    return c->replies == NULL ? make_replies(q, c) : 0;
}

/* --- what a handle has for it ---------------------------------------------------- */

/* An inherited one's lock is as the parent's was, and its queue is the parent's. */
static void close_caller(struct shmq *q, void *state, bool inherited)
{
    struct sq_reply_queue *c = state;

    (void)q;
    if (!inherited) {
        drop_replies(c);
        pthread_mutex_destroy(&c->lock);
    }
    shmq_close(c->replies);
    shmq_close(c->peer);
    free(c);
}

struct sq_reply_queue *sq_reply_queue_of(struct shmq *q)
{
    struct sq_reply_queue *c = sq_hook_state(q, SQ_HOOK_REPLIES);

    if (c != NULL)
        return c;
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        sq_fail(-ENOMEM, "no memory for calls and replies");
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    if (sq_hook_hang(q, SQ_HOOK_REPLIES, c, close_caller))
        return c;
    pthread_mutex_destroy(&c->lock);
    free(c);
    return sq_hook_state(q, SQ_HOOK_REPLIES);
}
