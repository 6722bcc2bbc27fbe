/*
 * message_admin.c - messages by their id: found, shown, updated, removed, put back.
 *
 * A message can be an entry of some groups and still before the cursors of others.
 * Updates and removals stand in its record (ring/record.h), which all of them come to.
 */
#include <stdlib.h>

#include "api/consumer.h"
#include "api/producer.h"
#include "base/error.h"
#include "group/group_bulk.h"
#include "group/group_lease.h"
#include "group/key_index.h"
#include "group/table.h"
#include "handle/handle_groups.h"
#include "handle/poll_pipe.h"
#include "handle/wait.h"
#include "message/compress.h"
#include "persist/journal_sync.h"

/* --- finding ---------------------------------------------------------------------- */

/* C: walk from the cursor to message `id`.  0, -ENOENT, -EBADMSG. */
static int find_fresh(const struct sq_ring *ring, uint64_t id, struct sq_view *view)
{
    struct sq_walk walk = {sq_load(&ring->group->cursor_pos),
                           sq_load_acquire(&ring->producer->tail_pos), 0};

    sq_assert_held(&ring->group->lock);
    if (!sq_ring_spans(ring, walk.pos, walk.end))
        return -EBADMSG;
    while (walk.pos != walk.end && walk.id <= id) {
        int rc = sq_record_next(ring, &walk, view);
        if (rc < 0)
            return rc;
        if (rc == SQ_MET_MESSAGE && view->id == id)
            return 0;
    }
    return -ENOENT;
}

/* C: the same, also among the entries; *entry is its, or SQ_NONE. */
static int find(const struct sq_ring *ring, uint64_t id, struct sq_view *view, uint32_t *entry)
{
    *entry = sq_pending_find(ring, id);
    if (*entry == SQ_NONE)
        return find_fresh(ring, id, view);
    return sq_record_view(ring, ring->entries[*entry].pos, id, view);
}

static uint32_t state_of(const struct sq_ring *ring, uint32_t e, const struct sq_view *view)
{
    static const uint32_t states[SQ_ENTRY_STATES] = {
        [SQ_WAITING] = SHMQ_WAITING, [SQ_DELAYED] = SHMQ_DELAYED, [SQ_LEASED] = SHMQ_LEASED,
        [SQ_DYING] = SHMQ_LEASED,    [SQ_DOOMED] = SHMQ_DEAD,     [SQ_PARKED] = SHMQ_DEAD,
    };

    if (e == SQ_NONE)
        return view->due_ns > sq_clock_ns() ? SHMQ_DELAYED : SHMQ_WAITING;
    enum sq_entry_state state = sq_word_state(sq_load(&ring->entries[e].word));
    return state < SQ_ENTRY_STATES ? states[state] : 0;
}

/* A time of CLOCK_MONOTONIC as one of CLOCK_REALTIME. */
static int64_t wall_ns(int64_t at_ns)
{
    int64_t offset_ns = sq_clock_offset_ns();

    return at_ns > SQ_NEVER - offset_ns ? SQ_NEVER : at_ns + offset_ns;
}

/* C: copy a message into `buffer`: payload, key, headers, in this order. */
static ssize_t copy_out(const struct sq_ring *ring, uint32_t e, const struct sq_view *view,
                        struct shmq_msg *msg, void *buffer, size_t size)
{
    int64_t now_ns = sq_clock_ns();
    unsigned char *to = buffer;
    size_t payload = (size_t)sq_align_up(view->plain_bytes, 8);
    int rc = 0;

    sq_assert_held(&ring->group->lock);
    *msg = (struct shmq_msg){
        .size = sizeof(*msg),
        .data = to,
        .length = view->plain_bytes,
        .id = view->id,
        .type = view->type,
        .priority = view->priority,
        .key = to + payload,
        .key_length = view->key_bytes,
        .correlation = view->correlation,
        .header_block = to + payload + view->key_bytes,
        .header_bytes = view->header_bytes,
        .put_ns = view->put_ns,
        .state = state_of(ring, e, view),
    };
    if (e != SQ_NONE)
        msg->attempts = sq_word_attempts(sq_load(&ring->entries[e].word));
    if (msg->state == SHMQ_DEAD) {
        msg->reason = ring->entries[e].reason & ~SQ_REASON_AGAIN;
        msg->since_ns = ring->entries[e].at_ns;
    }
    if (e != SQ_NONE && msg->state == SHMQ_DELAYED && ring->entries[e].at_ns > now_ns)
        msg->due_ns = wall_ns(ring->entries[e].at_ns);
    else if (view->due_ns > now_ns)
        msg->due_ns = wall_ns(view->due_ns);
    if (view->expiry_ns != 0)
        msg->ttl_ns = view->expiry_ns > now_ns ? view->expiry_ns - now_ns : 1;
    if (payload + view->key_bytes + view->header_bytes > size)
        return sq_fail(-EMSGSIZE, "the message has %zu bytes with key and headers, the buffer %zu",
                       payload + view->key_bytes + view->header_bytes, size);
    if ((view->flags & SQ_EXTENSION_COMPRESSED) != 0)
        rc = sq_decompress_to(view, to);
    else if (view->payload_bytes > 0)
        memcpy(to, view->payload, view->payload_bytes);
    if (view->key_bytes + view->header_bytes > 0)
        memcpy(to + payload, view->key, view->key_bytes + view->header_bytes);
    return rc < 0 ? rc : (ssize_t)view->plain_bytes;
}

static int begin(struct shmq *q, const struct shmq_msg *msg)
{
    if (msg->size < sizeof(*msg))
        return sq_fail(-EINVAL, "msg->size is %zu; use SHMQ_MSG_INIT", msg->size);
    int rc = sq_consumer_enter(q);
    if (rc == 0)
        sq_consumer_end_overdue(q, &q->segment.ring);
    return rc;
}

static ssize_t not_found(uint64_t id, ssize_t rc)
{
    if (rc == -ENOENT)
        return sq_fail(-ENOENT, "message %llu is finished, or was never there",
                       (unsigned long long)id);
    if (rc == -EBADMSG)
        return sq_fail(-EBADMSG, "message %llu, or what is before it, is damaged",
                       (unsigned long long)id);
    return rc;
}

ssize_t shmq_find(shmq_t *q, uint64_t id, struct shmq_msg *msg, void *buffer, size_t size)
{
    struct sq_view view;
    uint32_t e;
    ssize_t rc = begin(q, msg);

    if (rc < 0)
        return rc;
    rc = find(&q->segment.ring, id, &view, &e);
    if (rc == 0)
        rc = copy_out(&q->segment.ring, e, &view, msg, buffer, size);
    sq_leave(q, SQ_ROLE_CONSUMER);
    return not_found(id, rc);
}

/* --- showing --------------------------------------------------------------------------- */

/* In *walk: first entries, by number; then what is fresh, by position. */
#define WALK_FRESH ((uint64_t)1 << 63)

static ssize_t next_entry(const struct sq_ring *ring, unsigned states, uint64_t *walk,
                          struct shmq_msg *msg, void *buffer, size_t size)
{
    struct sq_view view;

    for (; *walk < ring->entry_count && *walk < ring->group->pending.used_end; ++*walk) {
        uint32_t e = (uint32_t)*walk;
        const struct sq_entry_shm *entry = &ring->entries[e];
        if ((state_of(ring, e, NULL) & states) == 0)
            continue;
        int rc = sq_record_view(ring, entry->pos, entry->id, &view);
        if (rc == -ENOENT)
            continue;
        ssize_t n = rc < 0 ? rc : copy_out(ring, e, &view, msg, buffer, size);
        *walk += n != -EMSGSIZE;
        return n;
    }
    *walk = WALK_FRESH;
    return -EAGAIN;
}

static ssize_t next_fresh(const struct sq_ring *ring, unsigned states, uint64_t *walk,
                          struct shmq_msg *msg, void *buffer, size_t size)
{
    uint64_t cursor = sq_load(&ring->group->cursor_pos);
    uint64_t tail = sq_load_acquire(&ring->producer->tail_pos);
    uint64_t from = tail - ((tail - *walk) & ~WALK_FRESH);
    struct sq_walk records = {tail - from > tail - cursor ? cursor : from, tail, 0};
    struct sq_view view;

    if (!sq_ring_spans(ring, records.pos, records.end))
        return -EBADMSG;
    while (records.pos != records.end) {
        int rc = sq_record_next(ring, &records, &view);
        if (rc < 0)
            return rc;
        if (rc != SQ_MET_MESSAGE || (state_of(ring, SQ_NONE, &view) & states) == 0)
            continue;
        ssize_t n = copy_out(ring, SQ_NONE, &view, msg, buffer, size);
        if (n != -EMSGSIZE)
            *walk = records.pos | WALK_FRESH;
        return n;
    }
    *walk = records.pos | WALK_FRESH;
    return -EAGAIN;
}

ssize_t shmq_inspect(shmq_t *q, unsigned states, uint64_t *walk, struct shmq_msg *msg, void *buffer,
                     size_t size)
{
    const struct sq_ring *ring = &q->segment.ring;
    ssize_t rc = begin(q, msg);

    if (rc < 0)
        return rc;
    rc = -EAGAIN;
    if ((*walk & WALK_FRESH) == 0)
        rc = next_entry(ring, states, walk, msg, buffer, size);
    if (rc == -EAGAIN && (*walk & WALK_FRESH) != 0)
        rc = next_fresh(ring, states, walk, msg, buffer, size);
    sq_leave(q, SQ_ROLE_CONSUMER);
    if (rc == -EBADMSG)
        return sq_fail(-EBADMSG, "a message is damaged");
    return rc == -EAGAIN ? sq_fail_plainly(-EAGAIN) : rc;
}

/* --- changing ----------------------------------------------------------------------------- */

/* A message in all the groups that have not finished it. */
struct sought {
    uint64_t id;
    struct sq_view view;
    uint32_t entries[SQ_GROUPS_MAX]; /* SQ_NONE: none */
    uint64_t has;                    /* groups that have not finished it, as bits */
};

/* All groups' sides: seek it.  0, -ENOENT, -EBUSY leased somewhere, -EBADMSG. */
static int seek_everywhere(struct shmq *q, uint64_t entered, struct sought *s)
{
    struct sq_view view;
    int found = -ENOENT;

    s->has = 0;
    for (uint64_t bits = entered; bits != 0; bits &= bits - 1) {
        struct sq_ring one = q->segment.ring;
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        sq_ring_read_as(&one, i);
        sq_consumer_end_overdue(q, &one);
        int rc = find(&one, s->id, &view, &s->entries[i]);
        if (rc == -ENOENT)
            continue;
        if (rc < 0)
            return rc;
        if (s->entries[i] != SQ_NONE &&
            sq_state_is_lease(sq_word_state(sq_load(&one.entries[s->entries[i]].word))))
            return sq_fail(-EBUSY, "message %llu is leased", (unsigned long long)s->id);
        s->has |= (uint64_t)1 << i;
        s->view = view;
        found = 0;
    }
    return found;
}

/* A message is gone from these groups: wake those who wait for that. */
static void wake_groups(struct shmq *q, uint64_t groups)
{
    sq_wake(q, SQ_ROLE_PRODUCER, 1);
    for (uint64_t bits = groups; bits != 0; bits &= bits - 1) {
        struct sq_ring one = q->segment.ring;
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        sq_ring_read_as(&one, i);
        if ((sq_load(&one.group->mode) & SQ_GROUP_DONE_AWAITED) != 0 && sq_group_backlog(&one) == 0)
            sq_cond_wake(&one.group->done, UINT32_MAX);
        sq_poll_pipe_update(q, i);
    }
}

/* All groups' sides: it is gone, for those that have it. */
static int take_away(const struct sq_ring *ring, const struct sought *s)
{
    int rc = 0;

    sq_record_remove(ring, s->view.pos); /* it is true */
    for (uint64_t bits = s->has; rc == 0 && bits != 0; bits &= bits - 1) {
        struct sq_ring one = *ring;
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        sq_ring_read_as(&one, i);
        _Atomic uint64_t *removed = &one.group->delivery.removed_count;
        sq_store(removed, sq_load(removed) + 1);
        if (s->entries[i] != SQ_NONE) {
            rc = sq_group_finish_entry(&one, s->entries[i]);
            sq_pending_note_due(&one);
        } else {
            sq_store(&one.group->gone_count, sq_load(&one.group->gone_count) + 1);
            sq_group_release_key(&one, &s->view);
            /* Otherwise it would keep its room until somebody reads. */
            rc = sq_group_pass_removed(&one);
        }
    }
    return rc;
}

int shmq_remove(shmq_t *q, uint64_t id)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    struct sq_promise promise = {0};
    struct sought s = {.id = id};
    uint64_t entered;
    int rc = sq_make_ready_attached(q, &deadline);

    if (rc == 0) /* a group that is made meanwhile would count the removed wrongly */
        rc = sq_hold_groups(q, &deadline);
    if (rc < 0)
        return rc;
    rc = sq_enter_groups(q, &entered, &deadline);
    if (rc == 0) {
        rc = seek_everywhere(q, entered, &s);
        if (rc == 0 && sq_journal_writes(q))
            rc = sq_journal_remove(q, id, &promise);
        if (rc == 0)
            rc = take_away(&q->segment.ring, &s);
        sq_leave_groups(q, entered);
    }
    sq_release_groups(q);
    wake_groups(q, s.has);
    if (!q->groupless)
        sq_consumer_wake(q, 1);
    return rc < 0 ? (int)not_found(id, rc) : sq_journal_sync_promise(q, &promise);
}

/* P with room, all groups' sides: append the message anew with another payload. */
static int append_update(struct shmq *q, const struct sought *s, const void *data, size_t length,
                         struct sq_promise *promise)
{
    const struct sq_ring *ring = &q->segment.ring;
    uint64_t tail = sq_load(&ring->producer->tail_pos);
    uint32_t tag = (s->view.tag & SQ_RECORD_EXTENDED) | SQ_RECORD_COPY;
    uint32_t extension = (tag & SQ_RECORD_EXTENDED) == 0
                             ? 0
                             : (uint32_t)(s->view.payload - (s->view.key - SQ_EXTENSION_BYTES));
    unsigned char *to =
        sq_ring_write_header(ring, tail, s->id, extension + (uint32_t)length, tag, s->view.put_ns);
    int rc = 0;

    if (extension != 0) {
        memcpy(to, s->view.key - SQ_EXTENSION_BYTES, extension);
        ((struct sq_extension_shm *)(void *)to)->flags = 0; /* not compressed */
    }
    if (length > 0)
        memcpy(to + extension, data, length);
    if (sq_journal_writes(q))
        rc = sq_journal_update(q, tail, tail + sq_record_bytes(extension + length), s->id, promise);
    if (rc < 0)
        return rc;
    sq_ring_publish(ring, tail + sq_record_bytes(extension + length),
                    sq_load(&ring->producer->next_id), length);
    sq_record_move(ring, s->view.pos, tail); /* it is true */
    for (uint64_t bits = s->has; bits != 0; bits &= bits - 1) {
        struct sq_ring one = *ring;
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        sq_ring_read_as(&one, i);
        if (s->entries[i] != SQ_NONE && sq_pending_move(&one, s->entries[i], tail) < 0)
            rc = -EBADMSG;
        if (one.key_count != 0)
            sq_key_index_move(&one, &s->view, tail);
    }
    return rc;
}

/*
 * P, all groups' sides: groups that stood at the end, where the update is now, pass it at
 * once.  Otherwise updates of what is held back would fill the ring until somebody reads.
 */
static void pass_update(const struct sq_ring *ring, uint64_t entered, uint64_t from)
{
    uint64_t tail = sq_load(&ring->producer->tail_pos);

    sq_assert_groups_held(ring, entered);
    for (uint64_t bits = entered; bits != 0; bits &= bits - 1) {
        struct sq_group_shm *g = &ring->groups[__builtin_ctzll(bits)];
        if (sq_load(&g->cursor_pos) != from)
            continue;
        g->known_tail_pos = tail;
        sq_store_release(&g->cursor_pos, tail);
    }
}

/* P with room for `need`.  1: more is needed, *need says how much. */
static int try_update(struct shmq *q, struct sought *s, const void *data, size_t length,
                      struct sq_need *need, struct sq_promise *promise,
                      struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    uint64_t entered, tail = sq_load(&ring->producer->tail_pos);
    int rc = sq_enter_groups(q, &entered, deadline);

    sq_assert_held(&ring->producer->lock);
    if (rc < 0)
        return rc;
    rc = seek_everywhere(q, entered, s);
    if (rc == 0) {
        uint64_t extension = (s->view.tag & SQ_RECORD_EXTENDED) == 0
                                 ? 0
                                 : (uint64_t)(s->view.payload - s->view.key) + SQ_EXTENSION_BYTES;
        uint64_t bytes = sq_record_bytes(extension + length);
        if (bytes > ring->capacity_bytes)
            rc = sq_producer_too_long(q, length);
        else if (bytes > need->bytes)
            rc = 1;
        else
            rc = append_update(q, s, data, length, promise);
        if (rc == 0)
            pass_update(ring, entered, tail);
        need->bytes = bytes;
    }
    sq_leave_groups(q, entered);
    return rc;
}

int shmq_update(shmq_t *q, uint64_t id, const void *data, size_t length, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_need need = {sq_record_bytes(length), 0};
    struct sq_promise promise = {0};
    struct sought s = {.id = id};
    int rc = sq_check_timeout(timeout_ns);

    if (rc == 0 && length > ring->max_message_bytes)
        rc = sq_producer_too_long(q, length);
    if (rc == 0 && data == NULL && length > 0)
        rc = sq_fail(-EINVAL, "data is NULL and length %zu", length);
    if (rc < 0)
        return rc;
    do {
        rc = sq_producer_enter(q, ring, need, &deadline);
        if (rc < 0)
            return rc;
        rc = try_update(q, &s, data, length, &need, &promise, &deadline);
        sq_leave(q, SQ_ROLE_PRODUCER);
        sq_producer_wake(q, 0);
    } while (rc == 1);
    return rc < 0 ? (int)not_found(id, rc) : sq_journal_sync_promise(q, &promise);
}
