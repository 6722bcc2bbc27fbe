/*
 * put.c - putting: one message, many, or written in place.
 *
 * A put enters the producer's side, makes sure of room, writes beyond the tail,
 * publishes with one store (ring/ring.c says what a death leaves), leaves, and wakes
 * as many consumers as there are messages, if any sleep.
 */
#include "api/put.h"

#include "api/producer.h"
#include "base/error.h"
#include "handle/wait.h"
#include "persist/journal_sync.h"

static int needs_key(void)
{
    return sq_fail(-EINVAL, "the queue is unique: shmq_send() a message with a key");
}

/* Append one message, whose arguments have been checked; without waking. */
SQ_HOT int put(struct shmq *q, const struct sq_ring *ring, const void *data, size_t length,
               struct sq_deadline *deadline)
{
    struct sq_need need = {sq_record_bytes(length), 1};
    uint32_t tag;
    uint64_t id;
    int rc = sq_producer_enter(q, ring, need, deadline);

    if (sq_unlikely(rc < 0))
        return rc;
    uint64_t tail = sq_load(&ring->producer->tail_pos);
    int64_t now_ns = sq_producer_stamp(ring, &id, &tag);
    void *payload = sq_ring_write_header(ring, tail, id, (uint32_t)length, tag, now_ns);
    sq_copy(payload, data, length);
    sq_ring_publish(ring, tail + need.bytes, id + 1, length);
    sq_leave(q, SQ_ROLE_PRODUCER);
    return 0;
}

/* The same into a journal first. */
static int put_written(struct shmq *q, const void *data, size_t length,
                       struct sq_deadline *deadline, struct sq_promise *promise)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_need need = {sq_record_bytes(length), 1};
    uint32_t tag;
    uint64_t id;
    int rc = sq_producer_enter(q, ring, need, deadline);

    if (rc < 0)
        return rc;
    uint64_t tail = sq_load(&ring->producer->tail_pos);
    int64_t now_ns = sq_producer_stamp(ring, &id, &tag);
    sq_copy(sq_ring_write_header(ring, tail, id, (uint32_t)length, tag, now_ns), data, length);
    rc = sq_journal_publish(q, ring, tail + need.bytes, id + 1, length, promise);
    sq_leave(q, SQ_ROLE_PRODUCER);
    return rc;
}

/* Topics, unique queues, which want a key, and those with a journal. */
static int put_otherwise(struct shmq *q, const void *data, size_t length,
                         struct sq_deadline *deadline)
{
    if (q->segment.ring.key_count != 0)
        return needs_key();
    struct sq_promise promise = {0};
    int rc = sq_journal_writes(q) ? put_written(q, data, length, deadline, &promise)
                                  : put(q, &q->segment.ring, data, length, deadline);
    sq_producer_wake(q, rc == 0);
    return rc < 0 ? rc : sq_journal_sync_promise(q, &promise);
}

int shmq_put(shmq_t *q, const void *data, size_t length, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    /* A copy: stores to the segment cannot change it, as the compiler must fear
     * of the original. */
    const struct sq_ring ring = q->segment.ring;
    deadline.cancellable = true;

    if (sq_unlikely(length > ring.max_message_bytes))
        return sq_producer_too_long(q, length);
    if (sq_unlikely(timeout_ns < SHMQ_FOREVER))
        return sq_check_timeout(timeout_ns);
    if (sq_unlikely(data == NULL && length > 0))
        return sq_fail(-EINVAL, "data is NULL and length %zu", length);
    if (sq_unlikely(ring.kind != 0))
        return put_otherwise(q, data, length, &deadline);
    int rc = put(q, &ring, data, length, &deadline);
    if (sq_likely(rc == 0))
        sq_producer_wake_plain(q, 1);
    return rc;
}

/* --- many --------------------------------------------------------------- */

/* How many of the messages fit into an empty ring at once, and what they need. */
static unsigned plan_chunk(const struct sq_ring *ring, const struct shmq_buf *messages,
                           unsigned count, struct sq_need *need)
{
    uint64_t bytes = 0, most = ring->max_messages != 0 ? ring->max_messages : UINT64_MAX;
    unsigned n = 0;

    while (n < count && n < most) {
        uint64_t next = sq_record_bytes(messages[n].length);
        if (next > ring->capacity_bytes - bytes)
            break;
        bytes += next;
        n++;
    }
    *need = (struct sq_need){bytes, n};
    return n;
}

/* Write and publish `count` messages, for which there is room. */
static int append_many(struct shmq *q, const struct shmq_buf *messages, unsigned count,
                       struct sq_promise *promise)
{
    const struct sq_ring ring_copy = q->segment.ring, *ring = &ring_copy;
    uint64_t tail = sq_load(&ring->producer->tail_pos);
    uint64_t id, payload_bytes = 0;
    uint32_t tag;
    int64_t now_ns = sq_producer_stamp(ring, &id, &tag);

    for (const struct shmq_buf *m = messages; m != messages + count; m++) {
        size_t length = m->length;
        void *payload = sq_ring_write_header(ring, tail, id++, (uint32_t)length, tag, now_ns);
        sq_copy(payload, m->data, length);
        tag = 0;
        payload_bytes += length;
        tail += sq_record_bytes(length);
    }
    return sq_journal_publish(q, ring, tail, id, payload_bytes, promise);
}

static int check_many(const struct shmq *q, const struct shmq_buf *messages, unsigned count)
{
    uint64_t longest = q->segment.ring.max_message_bytes;

    for (unsigned i = 0; i < count; i++) {
        if (sq_unlikely(messages[i].length > longest))
            return sq_producer_too_long(q, messages[i].length);
        if (sq_unlikely(messages[i].data == NULL && messages[i].length > 0))
            return sq_fail(-EINVAL, "messages[%u].data is NULL", i);
    }
    return 0;
}

int shmq_put_many(shmq_t *q, const struct shmq_buf *messages, unsigned count, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_promise promise = {0};
    unsigned put = 0;
    int rc = sq_check_timeout(timeout_ns);

    if (rc == 0 && count > INT32_MAX)
        rc = sq_fail(-EINVAL, "count %u is too large", count);
    if (rc == 0 && ring->key_count != 0)
        rc = needs_key();
    if (rc == 0)
        rc = check_many(q, messages, count);
    while (rc == 0 && put < count) {
        struct sq_need need;
        unsigned chunk = plan_chunk(ring, messages + put, count - put, &need);
        SQ_BUG_ON(chunk == 0);
        rc = sq_producer_enter(q, ring, need, &deadline);
        if (rc < 0)
            break;
        rc = append_many(q, messages + put, chunk, &promise);
        sq_leave(q, SQ_ROLE_PRODUCER);
        chunk = rc < 0 ? 0 : chunk;
        sq_producer_wake(q, chunk);
        put += chunk;
    }
    if (put > 0) /* those that were; why not more is for the next call */
        rc = sq_journal_sync_promise(q, &promise);
    return rc < 0 || put == 0 ? rc : (int)put;
}

/* --- in place ------------------------------------------------------------ */

/*
 * A thread that ends with reservations open must not keep their sides for ever:
 * the lock names the handle, which lives on.  So each thread has a list of its
 * reservations, and libc calls us with it as the thread ends.
 */
static pthread_key_t reservations;
static int reservations_error;

static void abort_all(void *list)
{
    struct shmq *next;

    for (struct shmq *q = list; q != NULL; q = next) {
        next = q->reservation.next;
        shmq_abort(q); /* -EINVAL where a fork has made it void */
    }
}

static void make_key(void)
{
    reservations_error = pthread_key_create(&reservations, abort_all);
}

static int note_reservation(struct shmq *q)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_key);
    if (reservations_error != 0)
        return sq_fail(-reservations_error, "no thread-specific data to be had");
    if (q->reservation.listed) /* by the parent, before this process was forked */
        sq_forget_reservation(q);
    q->reservation.next = pthread_getspecific(reservations);
    int rc = pthread_setspecific(reservations, q);
    if (rc != 0)
        return sq_fail(-rc, "no thread-specific data to be had");
    q->reservation.listed = true;
    return 0;
}

void sq_forget_reservation(struct shmq *q)
{
    struct shmq *first = pthread_getspecific(reservations), **link = &first;

    while (*link != NULL && *link != q)
        link = &(*link)->reservation.next;
    if (*link == q)
        *link = q->reservation.next;
    pthread_setspecific(reservations, first);
    q->reservation.listed = false;
}

int shmq_reserve(shmq_t *q, size_t length, void **data, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_need need = {sq_record_bytes(length), 1};
    int rc = sq_check_timeout(timeout_ns);

    if (rc < 0)
        return rc;
    if (length > ring->max_message_bytes)
        return sq_producer_too_long(q, length);
    if (ring->key_count != 0)
        return needs_key();
    rc = sq_producer_enter(q, ring, need, &deadline);
    if (rc < 0)
        return rc;
    rc = note_reservation(q);
    if (rc < 0) {
        sq_leave(q, SQ_ROLE_PRODUCER);
        return rc;
    }
    /* The side stays entered until commit or abort.  Where that needs no lock,
     * raise the guard: this process may get more threads meanwhile. */
    if (sq_alone(q, SQ_ROLE_PRODUCER))
        sq_store(&q->guard[SQ_ROLE_PRODUCER].taken, true);
    q->reservation.tail_pos = sq_load(&ring->producer->tail_pos);
    q->reservation.length = length;
    sq_store(&q->reservation.thread, sq_thread());
    sq_lock_kept(sq_side_lock(q, SQ_ROLE_PRODUCER));
    *data = sq_record_payload(sq_record_at(ring, q->reservation.tail_pos));
    return 0;
}

static int check_reservation(const struct shmq *q)
{
    if (sq_load(&q->reservation.thread) != sq_thread())
        return sq_fail(-EINVAL, "this thread has no reservation open on this handle");
    return 0;
}

/* Leave the side that shmq_reserve() entered. */
static void end_reservation(struct shmq *q, unsigned put)
{
    SQ_BUG_ON(!q->reservation.listed || sq_load(&q->reservation.thread) != sq_thread());
    sq_forget_reservation(q);
    sq_store(&q->reservation.thread, 0);
    sq_leave(q, SQ_ROLE_PRODUCER);
    sq_producer_wake(q, put);
}

int shmq_commit(shmq_t *q, size_t length)
{
    const struct sq_ring *ring = &q->segment.ring;
    int rc = check_reservation(q);
    uint32_t tag;

    if (rc < 0)
        return rc;
    if (length > q->reservation.length)
        return sq_fail(-EINVAL, "%zu bytes committed, %llu reserved", length,
                       (unsigned long long)q->reservation.length);
    uint64_t tail = q->reservation.tail_pos, id;
    int64_t now_ns = sq_producer_stamp(ring, &id, &tag);
    sq_ring_write_header(ring, tail, id, (uint32_t)length, tag, now_ns);
    struct sq_promise promise = {0};
    rc = sq_journal_publish(q, ring, tail + sq_record_bytes(length), id + 1, length, &promise);
    end_reservation(q, rc == 0);
    return rc < 0 ? rc : sq_journal_sync_promise(q, &promise);
}

int shmq_abort(shmq_t *q)
{
    int rc = check_reservation(q);

    if (rc < 0)
        return rc;
    end_reservation(q, 0);
    return 0;
}
