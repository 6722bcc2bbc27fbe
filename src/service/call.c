/*
 * call.c - sending a request and waiting for its reply (reply_queue.h).
 *
 * Several threads may call at once.  One of those who wait listens: it alone receives
 * from the queue for replies, and hands over what is for the others.  When it leaves it
 * passes listening on to one who sleeps.  A reply that nobody waits for is thrown away.
 */
#include <stdlib.h>

#include "base/error.h"
#include "service/reply_queue.h"

/* --- calls, with caller.lock ------------------------------------------------------- */

static void wake_call(struct sq_call *call)
{
    if (call->sleeps)
        sq_cond_wake(&call->wake, 1);
}

static int begin_call(struct shmq *q, struct sq_reply_queue *c, struct sq_call *call)
{
    int rc = 0;

    sq_assert_held(&c->lock);
    if (c->calls == NULL) {
        rc = sq_reply_queue_ready(q, c);
    } else if (c->broken) {
        rc = sq_fail(-ESTALE, "the queue for replies, %s, is gone or damaged", c->name);
    }
    if (rc < 0)
        return rc;
    call->correlation = ++c->last_correlation;
    call->next = c->calls;
    c->calls = call;
    return 0;
}

/* Another one must listen, if nobody does. */
static void end_call(struct sq_reply_queue *c, const struct sq_call *call)
{
    struct sq_call **link = &c->calls;

    sq_assert_held(&c->lock);
    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
    if (c->listened)
        return;
    for (struct sq_call *other = c->calls; other != NULL; other = other->next) {
        if (other->sleeps) {
            wake_call(other);
            return;
        }
    }
}

static void finish(struct sq_call *call, int error)
{
    SQ_BUG_ON(call->done);
    call->done = true;
    call->error = error;
    wake_call(call);
}

/* A reply has come; copy it for whom it is.  From a second one on it is late. */
static void hand_over(struct sq_reply_queue *c, struct shmq_msg *msg)
{
    struct sq_call *call = c->calls;

    sq_assert_held(&c->lock);
    while (call != NULL && (call->done || call->correlation != msg->correlation))
        call = call->next;
    if (call != NULL) {
        call->length = msg->length;
        if (msg->length > 0 && msg->length <= call->size)
            memcpy(call->buffer, msg->data, msg->length);
        finish(call, 0);
    }
    shmq_ack(c->replies, msg);
}

/* The queue is no good any more, for nobody's call. */
static void give_up(struct sq_reply_queue *c, int error)
{
    sq_assert_held(&c->lock);
    c->broken = true;
    for (struct sq_call *call = c->calls; call != NULL; call = call->next)
        if (!call->done)
            finish(call, error);
}

static int64_t time_left(struct sq_deadline *deadline)
{
    int64_t now_ns = sq_clock_ns(), at_ns = sq_deadline_at(deadline, now_ns);

    return at_ns == SQ_NEVER ? SHMQ_FOREVER : at_ns > now_ns ? at_ns - now_ns : SHMQ_NOWAIT;
}

/* 0 go on; -ETIMEDOUT, -EINTR. */
static int listen_for_replies(struct sq_reply_queue *c, struct sq_deadline *deadline)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    SQ_BUG_ON(c->listened);
    c->listened = true;
    sq_mutex_unlock(&c->lock);
    int rc = shmq_receive(c->replies, &msg, time_left(deadline));
    sq_mutex_lock(&c->lock, SQ_RANK_CALLER);
    c->listened = false;
    if (rc == 0)
        hand_over(c, &msg);
    else if (rc == -EAGAIN)
        rc = -ETIMEDOUT;
    else if (rc != -ETIMEDOUT && rc != -EINTR)
        give_up(c, rc);
    return rc == -ETIMEDOUT || rc == -EINTR ? rc : 0;
}

/* Sleep until woken.  The announcement is made with the lock, so it is seen. */
static int sleep_until_woken(struct sq_reply_queue *c, struct sq_call *call,
                             struct sq_deadline *deadline)
{
    int64_t now_ns = sq_clock_ns(), at_ns = sq_deadline_at(deadline, now_ns);
    bool long_ns = at_ns - now_ns > SQ_SLEEP_MAX_NS;
    uint32_t ticket = sq_cond_prepare(&call->wake);

    call->sleeps = true;
    sq_mutex_unlock(&c->lock);
    int rc = sq_cond_sleep(&call->wake, ticket, long_ns ? now_ns + SQ_SLEEP_MAX_NS : at_ns);
    sq_mutex_lock(&c->lock, SQ_RANK_CALLER);
    call->sleeps = false;
    return rc == -ETIMEDOUT && long_ns ? 0 : rc;
}

static ssize_t await_reply(struct sq_reply_queue *c, struct sq_call *call,
                           struct sq_deadline *deadline)
{
    int rc = 0;

    sq_assert_held(&c->lock);
    while (!call->done && rc == 0)
        rc = c->listened ? sleep_until_woken(c, call, deadline) : listen_for_replies(c, deadline);
    if (!call->done)
        return sq_fail_plainly(rc);
    if (call->error < 0)
        return sq_fail(call->error, "the queue for replies, %s, is gone or damaged", c->name);
    if (call->length > call->size)
        return sq_fail(-EMSGSIZE, "the reply has %zu bytes, the buffer %zu", call->length,
                       call->size);
    return (ssize_t)call->length;
}

/* --- the request ------------------------------------------------------------------- */

/* Copy the request's headers to `list`, which has room for all, but for where an
 * earlier request was to be answered.  How many, or a negative errno. */
static int copy_headers(const struct shmq_msg *request, struct shmq_header *list)
{
    struct shmq_header header;
    size_t walk = 0;
    unsigned count = 0, i = 0;
    int rc;

    for (;;) {
        if (request->headers != NULL) {
            rc = i < request->header_count;
            if (rc == 1)
                header = request->headers[i++];
        } else {
            rc = request->header_block == NULL ? 0 : shmq_header_next(request, &walk, &header);
        }
        if (rc <= 0)
            return rc < 0 ? rc : (int)count;
        if (header.name != NULL && strcmp(header.name, SQ_REPLY_TO) == 0)
            continue;
        if (list != NULL)
            list[count] = header;
        count++;
    }
}

/* Send a copy of the request that says where the reply is to go. */
static int send_request(struct shmq *q, const struct sq_reply_queue *c, const struct sq_call *call,
                        struct shmq_msg *request, int64_t timeout_ns)
{
    struct shmq_msg copy = *request;
    int count = copy_headers(request, NULL);

    if (count < 0)
        return count;
    struct shmq_header *list = malloc(((size_t)count + 1) * sizeof(*list));
    if (list == NULL)
        return sq_fail(-ENOMEM, "no memory for %d headers", count + 1);
    copy_headers(request, list);
    list[count] = (struct shmq_header){SQ_REPLY_TO, c->name};
    copy.headers = list;
    copy.header_count = (unsigned)count + 1;
    copy.header_block = NULL;
    copy.header_bytes = 0;
    copy.correlation = request->correlation = call->correlation;
    int rc = shmq_send(q, &copy, timeout_ns);
    request->id = copy.id;
    free(list);
    return rc;
}

static ssize_t call_and_wait(struct shmq *q, struct shmq_msg *request, struct sq_call *call,
                             struct sq_deadline *deadline)
{
    struct sq_reply_queue *c = sq_reply_queue_of(q);
    int64_t left_ns = time_left(deadline);

    if (c == NULL)
        return -ENOMEM;
    sq_mutex_lock(&c->lock, SQ_RANK_CALLER);
    ssize_t rc = begin_call(q, c, call);
    if (rc == 0) {
        sq_mutex_unlock(&c->lock);
        rc = send_request(q, c, call, request, left_ns);
        sq_mutex_lock(&c->lock, SQ_RANK_CALLER);
        if (rc == 0)
            rc = await_reply(c, call, deadline);
        end_call(c, call);
    }
    sq_mutex_unlock(&c->lock);
    return rc;
}

ssize_t shmq_call(shmq_t *q, struct shmq_msg *request, void *buffer, size_t size,
                  int64_t timeout_ns)
{
    struct sq_call call = {.buffer = buffer, .size = size};
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    ssize_t rc = sq_check_timeout(timeout_ns);

    if (rc < 0)
        return rc;
    if (request->size != sizeof(*request))
        return sq_fail(-EINVAL, "request->size is %zu; use SHMQ_MSG_INIT", request->size);
    if (buffer == NULL && size > 0)
        return sq_fail(-EINVAL, "the buffer is NULL, and its size %zu", size);
    sq_cond_init(&call.wake);
    int cancel = sq_cancel_hold();
    rc = call_and_wait(q, request, &call, &deadline);
    sq_cancel_release(cancel);
    return rc;
}
