/*
 * redrive.c - dead letters put back where they came from.
 *
 * Those that are parked only change their state.  Those in a dead-letter queue are
 * sent to the queue that their headers name, and then removed here; who dies in
 * between has sent one that is here still.  redrive_lock keeps two from sending the same
 * one.  If a consumer takes it from here meanwhile, what was sent is removed there again,
 * unless it has been received there, too.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/consumer.h"
#include "base/error.h"
#include "group/group_bulk.h"
#include "persist/journal_sync.h"
#include "segment/segment_reopen.h"

enum { HEADERS_MAX = 1024 };

static int64_t redrive_parked(struct shmq *q, uint64_t id)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    int64_t rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);

    if (rc < 0)
        return rc;
    rc = sq_consumer_check_group(q);
    if (rc == 0)
        rc = sq_group_revive(&q->segment.ring, id);
    struct sq_promise promise = {0};
    int error = rc < 0 ? 0 : sq_journal_note_changes(q, 0, &promise);
    sq_leave(q, SQ_ROLE_CONSUMER);
    sq_consumer_wake(q, 0);
    error = error < 0 ? error : sq_journal_sync_promise(q, &promise);
    return error < 0 ? error : rc;
}

/* What a walk over a dead-letter queue needs. */
struct search {
    uint64_t walk, id; /* id 0: all */
    struct shmq_msg msg;
    char *buffer;
    size_t size;
    shmq_t *to; /* where the last one went */
    char to_name[SHMQ_NAME_LONGEST + 1];
};

/* The handle on the queue that the dead letter came from: the one used last, if it is that. */
static int open_origin(struct search *s, const char *name)
{
    if (s->to != NULL && strcmp(s->to_name, name) == 0 && !sq_segment_is_unlinked(&s->to->segment))
        return 0;
    shmq_close(s->to);
    s->to = NULL;
    int rc = shmq_open(&s->to, name, 0, NULL);
    if (rc == 0)
        snprintf(s->to_name, sizeof(s->to_name), "%s", name);
    return rc;
}

/* Send a dead letter back, without what its death has added; its id there in s->msg. */
static int send_back(struct search *s)
{
    struct shmq_header *headers = malloc(HEADERS_MAX * sizeof(*headers));
    struct shmq_msg *msg = &s->msg;
    unsigned count = 0;
    size_t walk = 0;

    if (headers == NULL)
        return sq_fail(-ENOMEM, "no memory for headers");
    while (count < HEADERS_MAX && shmq_header_next(msg, &walk, &headers[count]) == 1)
        if (strncmp(headers[count].name, "shmq-", 5) != 0 ||
            strcmp(headers[count].name, "shmq-reply-to") == 0)
            count++;
    int rc = open_origin(s, shmq_header_value(msg, "shmq-queue"));
    if (rc == 0) {
        msg->headers = headers;
        msg->header_count = count;
        msg->delay_ns = msg->due_ns = msg->ttl_ns = 0;
        rc = shmq_send(s->to, msg, SHMQ_SEC(1));
        msg->headers = NULL; /* they end here */
        msg->header_count = 0;
    }
    free(headers);
    return rc;
}

/* The next dead letter that waits: 0, -EAGAIN none, ... */
static int next_dead_letter(struct shmq *q, struct search *s)
{
    for (;;) {
        ssize_t rc =
            shmq_inspect(q, SHMQ_WAITING | SHMQ_DELAYED, &s->walk, &s->msg, s->buffer, s->size);
        if (rc == -EMSGSIZE) {
            size_t size = s->size * 4;
            char *more = realloc(s->buffer, size);
            if (more == NULL)
                return sq_fail(-ENOMEM, "no memory for a message");
            s->buffer = more;
            s->size = size;
            continue;
        }
        if (rc < 0)
            return (int)rc;
        /* (Of one that has expired, and is no more, 1 is left.) */
        if ((s->id == 0 || s->msg.id == s->id) && s->msg.ttl_ns != 1 &&
            shmq_header_value(&s->msg, "shmq-queue") != NULL &&
            shmq_header_value(&s->msg, "shmq-reason") != NULL)
            return 0;
    }
}

enum { STAYS, MOVED, NO_MORE };

/* Put the next dead letter back.  Why one stays is in *why; a negative errno ends it all. */
static int redrive_next(struct shmq *q, struct search *s, int *why)
{
    int rc = next_dead_letter(q, s);
    uint64_t own_id = s->msg.id;

    sq_assert_held(&q->segment.control->redrive_lock);
    if (rc < 0)
        return rc == -EAGAIN ? NO_MORE : rc;
    rc = send_back(s);
    if (rc == -ENOENT || rc == -ESTALE || rc == -EEXIST || rc == -EMSGSIZE) {
        *why = rc; /* its queue is no more, or does not take this one; others may go */
        return STAYS;
    }
    if (rc < 0)
        return rc;
    rc = shmq_remove(q, own_id);
    if (rc != -ENOENT && rc != -EBUSY)
        return rc < 0 ? rc : MOVED;
    shmq_remove(s->to, s->msg.id); /* a consumer of the dead letters was faster */
    return STAYS;
}

static int64_t redrive_sent(struct shmq *q, uint64_t id)
{
    struct sq_lock_shm *lock = &q->segment.control->redrive_lock;
    struct search s = {.id = id, .msg = SHMQ_MSG_INIT, .size = 1 << 16};
    int64_t moved = 0;
    int rc = 0, why = 0;

    s.buffer = malloc(s.size);
    if (s.buffer == NULL)
        return sq_fail(-ENOMEM, "no memory for a message");
    /* Ends at what is there now: what comes back again is for the next time. */
    uint64_t left = sq_group_backlog(&q->segment.ring);
    while (rc >= 0 && rc != NO_MORE && left-- > 0) {
        struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(2));
        rc = sq_hold(q, lock, &deadline);
        if (rc < 0) {
            sq_fail(rc, "another puts a dead letter back, and does not end");
            break;
        }
        rc = redrive_next(q, &s, &why);
        sq_lock_free(lock);
        moved += rc == MOVED;
    }
    free(s.buffer);
    shmq_close(s.to);
    if (rc >= 0)
        rc = why;
    return rc < 0 && moved == 0 ? rc : moved;
}

int64_t shmq_redrive(shmq_t *q, uint64_t id)
{
    int64_t parked = redrive_parked(q, id);

    if (parked < 0)
        return parked;
    int64_t moved = redrive_sent(q, id);
    if (moved < 0)
        return parked > 0 ? parked : moved;
    if (id != 0 && parked + moved == 0)
        return sq_fail(-ENOENT, "message %llu is no dead letter here", (unsigned long long)id);
    return parked + moved;
}
