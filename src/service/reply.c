/*
 * reply.c - answering a request (reply_queue.h).
 *
 * The handle on the caller's queue is kept for the next reply, which often goes to the
 * same.  While one thread uses it, others open one for themselves.
 */
#include <stdio.h>

#include "base/error.h"
#include "service/reply_queue.h"

/* A handle on the queue `name`: the one used last, if nobody is using it. */
static int open_peer(struct sq_reply_queue *c, const char *name, shmq_t **peer)
{
    *peer = NULL;
    sq_mutex_lock(&c->lock, SQ_RANK_CALLER);
    if (c->peer != NULL && strcmp(c->peer_name, name) == 0) {
        *peer = c->peer;
        c->peer = NULL;
    }
    sq_mutex_unlock(&c->lock);
    return *peer != NULL ? 0 : shmq_open(peer, name, 0, NULL);
}

/* Keep it for the next reply, in place of another one. */
static void keep_peer(struct sq_reply_queue *c, const char *name, shmq_t *peer)
{
    sq_mutex_lock(&c->lock, SQ_RANK_CALLER);
    shmq_t *other = c->peer;
    c->peer = peer;
    snprintf(c->peer_name, sizeof(c->peer_name), "%s", name);
    sq_mutex_unlock(&c->lock);
    shmq_close(other);
}

static int reply_to(struct shmq *q, const char *name, struct shmq_msg *reply)
{
    struct sq_reply_queue *c = sq_reply_queue_of(q);
    shmq_t *peer;

    if (c == NULL)
        return -ENOMEM;
    int rc = open_peer(c, name, &peer);
    if (rc == -ENOENT)
        return sq_fail(rc, "who sent the request has closed %s", name);
    if (rc < 0)
        return rc;
    bool alive = sq_reply_queue_has_caller(peer);
    rc = alive ? shmq_send(peer, reply, SHMQ_NOWAIT) : -ENOENT;
    if (rc == -ESTALE || rc == -ENOENT) {
        shmq_close(peer);
        if (!alive)
            shmq_unlink(name);
        return sq_fail(-ENOENT, "who sent the request has %s",
                       alive ? "closed its handle" : "died");
    }
    keep_peer(c, name, peer);
    return rc;
}

int shmq_reply(shmq_t *q, const struct shmq_msg *request, const void *data, size_t length)
{
    const char *name = shmq_header_value(request, SQ_REPLY_TO);

    if (name == NULL)
        return sq_fail(-EINVAL, "the request has no header " SQ_REPLY_TO);
    /* Whoever can send a request could otherwise have us write into any queue. */
    if (strncmp(name, SQ_REPLY_PREFIX, sizeof(SQ_REPLY_PREFIX) - 1) != 0)
        return sq_fail(-EINVAL,
                       "the request's header " SQ_REPLY_TO " is no name of a caller's queue");
    struct shmq_msg reply = SHMQ_MSG_INIT;
    reply.data = data;
    reply.length = length;
    reply.correlation = request->correlation;
    int cancel = sq_cancel_hold();
    int rc = reply_to(q, name, &reply);
    sq_cancel_release(cancel);
    return rc;
}
