/*
 * send.c - putting messages with more to them: type, priority, delay, key, headers.
 *
 * As put.c, with an extension before the payload.  In a unique queue the group's side
 * is entered too, since the index of keys is its.
 */
#include <stdlib.h>

#include "api/producer.h"
#include "base/error.h"
#include "group/key_index.h"
#include "handle/wait.h"
#include "message/encode.h"
#include "persist/journal_sync.h"

/* Check what of the message depends on the queue. */
static int check_fit(const struct shmq *q, const struct sq_outgoing *out)
{
    const struct sq_ring *ring = &q->segment.ring;

    if (out->msg->length > ring->max_message_bytes)
        return sq_producer_too_long(q, out->msg->length);
    if (sq_encode_length(out) > ring->capacity_bytes - SQ_RECORD_HEADER_BYTES ||
        sq_encode_length(out) > UINT32_MAX)
        return sq_fail(-EMSGSIZE,
                       "the message with its key and headers has %llu bytes; the ring holds %llu",
                       (unsigned long long)sq_encode_length(out),
                       (unsigned long long)(ring->capacity_bytes - SQ_RECORD_HEADER_BYTES));
    if (ring->key_count != 0 && out->msg->key_length == 0)
        return sq_fail(-EINVAL, "the queue is unique, and the message has no key");
    return 0;
}

static int prepare(const struct shmq *q, struct sq_outgoing *out, const struct shmq_msg *msg)
{
    int rc = sq_encode_prepare(out, msg, q->segment.attr.compress_bytes);

    if (rc == 0)
        rc = check_fit(q, out);
    if (rc < 0)
        sq_encode_free(out);
    return rc;
}

/* P: write a record at `pos`; where the next one begins. */
static uint64_t write_record(const struct sq_ring *ring, const struct sq_outgoing *out,
                             uint64_t pos, uint64_t id, int64_t now_ns, uint32_t tag)
{
    uint32_t length = (uint32_t)sq_encode_length(out);

    if (out->extension_bytes != 0)
        tag |= SQ_RECORD_EXTENDED;
    sq_encode_write(out, sq_ring_write_header(ring, pos, id, length, tag, now_ns));
    return pos + sq_record_bytes(length);
}

/* P with room: append one.  0 and its id, or it could not be written. */
static int append(struct shmq *q, const struct sq_outgoing *out, uint64_t *sent,
                  struct sq_promise *promise)
{
    const struct sq_ring *ring = &q->segment.ring;
    uint64_t tail = sq_load(&ring->producer->tail_pos), id;
    uint32_t tag;
    int64_t now_ns = sq_producer_stamp(ring, &id, &tag);

    uint64_t end = write_record(ring, out, tail, id, now_ns, tag);
    int rc = sq_journal_publish(q, ring, end, id + 1, out->payload_bytes, promise);
    if (rc == 0)
        *sent = id;
    return rc;
}

static int key_is_there(uint64_t id)
{
    return sq_fail(-EEXIST, "message %llu has this key and is not finished",
                   (unsigned long long)id);
}

/* The queue seems full: before anything is dropped or waited for, see whether the key
 * is free.  0, or -EEXIST with the other's id. */
static int check_key(struct shmq *q, const struct shmq_msg *msg, uint64_t *id,
                     struct sq_deadline *deadline)
{
    int rc = sq_enter(q, SQ_ROLE_CONSUMER, deadline);

    if (rc < 0)
        return rc;
    uint64_t there = sq_key_index_find(&q->segment.ring, msg->key, (uint32_t)msg->key_length);
    sq_leave(q, SQ_ROLE_CONSUMER);
    if (there == 0)
        return 0;
    *id = there;
    return key_is_there(there);
}

/* P with room: append one unless its key is there.  0, or -EEXIST with the other's id. */
static int append_unique(struct shmq *q, const struct sq_outgoing *out, uint64_t *id,
                         struct sq_promise *promise, struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    const struct shmq_msg *msg = out->msg;
    uint32_t bytes = (uint32_t)msg->key_length;
    int rc = sq_enter(q, SQ_ROLE_CONSUMER, deadline);

    sq_assert_held(&ring->producer->lock);
    if (rc < 0)
        return rc;
    uint64_t there = sq_key_index_find(ring, msg->key, bytes);
    uint64_t next = sq_load(&ring->producer->next_id);
    if (there != 0)
        rc = -EEXIST;
    else
        rc = sq_key_index_add(ring, msg->key, bytes, next, sq_load(&ring->producer->tail_pos));
    bool indexed = rc == 0;
    if (indexed) {
        rc = append(q, out, &next, promise);
        if (rc < 0) /* the key is not there after all */
            sq_key_index_rebuild(ring);
    }
    sq_leave(q, SQ_ROLE_CONSUMER);
    if (indexed && rc < 0)
        return rc;
    *id = rc == -EEXIST ? there : next;
    if (rc == -EEXIST)
        return key_is_there(there);
    return rc < 0 ? sq_fail(rc, "the index of keys is full") : 0;
}

static int send_one(struct shmq *q, const struct sq_outgoing *out, uint64_t *id,
                    struct sq_promise *promise, struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_need need = {sq_record_bytes(sq_encode_length(out)), 1};
    int rc = 0;

    if (ring->key_count != 0 && !sq_ring_seems_roomy(ring, need.bytes, need.count))
        rc = check_key(q, out->msg, id, deadline);
    if (rc == 0)
        rc = sq_producer_enter(q, ring, need, deadline);
    if (rc < 0)
        return rc;
    if (ring->key_count != 0)
        rc = append_unique(q, out, id, promise, deadline);
    else
        rc = append(q, out, id, promise);
    sq_leave(q, SQ_ROLE_PRODUCER);
    sq_producer_wake(q, rc == 0);
    return rc;
}

int shmq_send(shmq_t *q, struct shmq_msg *msg, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    struct sq_outgoing out;
    int rc = sq_check_timeout(timeout_ns);

    if (rc == 0)
        rc = prepare(q, &out, msg);
    if (rc < 0)
        return rc;
    struct sq_promise promise = {0};
    rc = send_one(q, &out, &msg->id, &promise, &deadline);
    sq_encode_free(&out);
    return rc < 0 ? rc : sq_journal_sync_promise(q, &promise);
}

/* --- many ----------------------------------------------------------------- */

/* How many of the messages fit into an empty ring at once, and what they need. */
static unsigned plan_chunk(const struct sq_ring *ring, const struct sq_outgoing *outs,
                           unsigned count, struct sq_need *need)
{
    uint64_t bytes = 0, most = ring->max_messages != 0 ? ring->max_messages : UINT64_MAX;
    unsigned n = 0;

    while (n < count && n < most) {
        uint64_t next = sq_record_bytes(sq_encode_length(&outs[n]));
        if (next > ring->capacity_bytes - bytes)
            break;
        bytes += next;
        n++;
    }
    *need = (struct sq_need){bytes, n};
    return n;
}

static int append_many(struct shmq *q, const struct sq_outgoing *outs, struct shmq_msg *msgs,
                       unsigned count, struct sq_promise *promise)
{
    const struct sq_ring *ring = &q->segment.ring;
    uint64_t pos = sq_load(&ring->producer->tail_pos), id, payload_bytes = 0;
    uint32_t tag;
    int64_t now_ns = sq_producer_stamp(ring, &id, &tag);

    for (unsigned i = 0; i < count; i++) {
        pos = write_record(ring, &outs[i], pos, id, now_ns, tag);
        tag = 0;
        payload_bytes += outs[i].payload_bytes;
        msgs[i].id = id++;
    }
    return sq_journal_publish(q, ring, pos, id, payload_bytes, promise);
}

static int send_prepared(struct shmq *q, const struct sq_outgoing *outs, struct shmq_msg *msgs,
                         unsigned count, struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_promise promise = {0};
    unsigned sent = 0;
    int rc = 0;

    while (sent < count) {
        struct sq_need need;
        unsigned chunk = 1;
        if (ring->key_count != 0) {
            rc = send_one(q, &outs[sent], &msgs[sent].id, &promise, deadline);
        } else {
            chunk = plan_chunk(ring, outs + sent, count - sent, &need);
            SQ_BUG_ON(chunk == 0);
            rc = sq_producer_enter(q, ring, need, deadline);
            if (rc == 0) {
                rc = append_many(q, outs + sent, msgs + sent, chunk, &promise);
                sq_leave(q, SQ_ROLE_PRODUCER);
                sq_producer_wake(q, rc < 0 ? 0 : chunk);
            }
        }
        if (rc < 0)
            break;
        sent += chunk;
    }
    if (sent > 0)
        rc = sq_journal_sync_promise(q, &promise);
    return rc < 0 || sent == 0 ? rc : (int)sent;
}

int shmq_send_many(shmq_t *q, struct shmq_msg *msgs, unsigned count, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    unsigned prepared = 0;
    int rc = sq_check_timeout(timeout_ns);

    if (rc == 0 && count > INT32_MAX / sizeof(struct sq_outgoing))
        rc = sq_fail(-EINVAL, "count %u is too large", count);
    if (rc < 0 || count == 0)
        return rc;
    struct sq_outgoing *outs = malloc(count * sizeof(*outs));
    if (outs == NULL)
        return sq_fail(-ENOMEM, "no memory for %u messages", count);
    while (rc == 0 && prepared < count) {
        rc = prepare(q, &outs[prepared], &msgs[prepared]);
        prepared += rc == 0;
    }
    if (rc == 0)
        rc = send_prepared(q, outs, msgs, count, &deadline);
    while (prepared > 0)
        sq_encode_free(&outs[--prepared]);
    free(outs);
    return rc;
}
