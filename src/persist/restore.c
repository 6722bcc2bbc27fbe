/*
 * restore.c - see restore.h: from an image to a segment that nobody sees yet.
 *
 *     held, by id                    | from the first that some group has not passed, by id
 *     +----+----+----+----+----------+----+----+----+----+----+
 *     | 17 | 18 | 40 | 41 | ...      | 90 | 91 | 92 | 93 | 94 |   a topic's history stands
 *     +----+----+----+----+----------+----+----+----+----+----+   before that, in a row too
 *     0                                                       tail
 *
 * Cursors count messages by their ids, so that from the first cursor on none may be
 * missing: in place of a removed one stands an empty record that says so.  Only the truth
 * is written here, and what comes to be known on the way; what else is derived from it is
 * derived by those who do so after a death.
 *
 * Records are put together in a buffer and written into the object by pwrite().  Written
 * to by way of the mapping, each page of the ring would cost a fault, and would be cleared.
 */
#include "persist/restore.h"

#include <stdlib.h>

#include "base/error.h"
#include "file/file.h"
#include "group/group_bulk.h"
#include "group/group_lease.h"
#include "group/policy.h"
#include "group/table.h"
#include "segment/segment_attr.h"

enum { STAGE_BYTES = 1 << 18 };

struct restoring {
    const struct sq_image *image;
    struct sq_segment *segment;
    uint64_t *positions;   /* of the image's messages, where `held` says so */
    unsigned char *held;   /* a bit for each: some group has an entry for it */
    unsigned char *staged; /* the last records before the tail, which are still to be written */
    size_t staged_bytes;
    uint64_t tail;
    uint64_t first_id;       /* of those in a row */
    uint64_t next_cursor_id; /* the next message at which some group's cursor is */
    uint64_t cursors[SQ_GROUPS_MAX];
    uint64_t gone, gone_before[SQ_GROUPS_MAX]; /* removed ones in the row; before the cursor */
    int64_t realtime_ns;                       /* CLOCK_REALTIME less CLOCK_MONOTONIC, now */
};

int sq_restore_header(const struct sq_file_header *h, struct shmq_attr *attr)
{
    struct shmq_attr said = {
        .size = sizeof(said),
        .capacity_bytes = h->capacity_bytes,
        .max_messages = h->max_messages,
        .max_message_bytes = h->max_message_bytes,
        .full = h->full,
        .mode = h->mode,
        .order = h->queue_order,
        .max_groups = h->group_count,
        .pending_count = h->entry_count,
        .compress_bytes = h->compress_bytes,
        .kind = h->kind,
        .policy = sq_policy_out(&h->policy),
    };

    if (sq_segment_attr(&said, (int)said.kind, attr) < 0)
        return sq_fail(-EBADMSG, "the file's attributes make no sense");
    return 0;
}

int sq_restore_attr(const struct sq_image *image, struct shmq_attr *attr)
{
    struct sq_policy_shm policy;
    int rc = sq_restore_header(image->header, attr);

    if (rc == 0 && (attr->kind & SHMQ_TOPIC) == 0 && !image->groups[0].there)
        rc = sq_fail(-EBADMSG, "the file has no group");
    for (uint32_t i = 0; rc == 0 && i < SQ_GROUPS_MAX; i++)
        if (image->groups[i].there && sq_segment_policy(&image->groups[i].attr.policy, &policy) < 0)
            rc = sq_fail(-EBADMSG, "the policy of group %u makes no sense", i);
    return rc;
}

/* --- records ------------------------------------------------------------------ */

/* CLOCK_MONOTONIC of now, for a CLOCK_REALTIME; never 0, which means none, nor never. */
static int64_t our_time(const struct restoring *r, int64_t realtime_ns)
{
    int64_t ours;

    if (realtime_ns >= SQ_NEVER - 1 || __builtin_sub_overflow(realtime_ns, r->realtime_ns, &ours))
        return realtime_ns < 0 ? INT64_MIN : SQ_NEVER - 1;
    return ours == 0 ? 1 : ours;
}

/* The same for a time in a record of the file's. */
static int64_t record_time(const struct restoring *r, const void *record, int64_t ns)
{
    return our_time(r, sq_image_realtime(r->image, record, ns));
}

static int no_room(const struct restoring *r)
{
    return sq_fail(-ENOBUFS, "what the file holds does not fit the queue's %llu bytes",
                   (unsigned long long)r->segment->ring.capacity_bytes);
}

/* Write what is staged: from position 0 on, no record wraps. */
static int flush(struct restoring *r)
{
    int rc = sq_file_write_at(r->segment->fd, r->staged, r->staged_bytes,
                              r->segment->header->ring_off + r->tail - r->staged_bytes);

    r->staged_bytes = 0;
    return rc;
}

/* Memory for a record at the tail. */
static int stage(struct restoring *r, uint64_t bytes, struct sq_record_shm **to)
{
    int rc = r->staged_bytes + bytes > STAGE_BYTES ? flush(r) : 0;

    if (rc < 0)
        return rc;
    if (bytes > STAGE_BYTES) {
        *to = sq_record_at(&r->segment->ring, r->tail);
        return 0;
    }
    *to = (void *)(r->staged + r->staged_bytes);
    r->staged_bytes += bytes;
    memset(r->staged + r->staged_bytes - SQ_RECORD_ALIGN, 0, SQ_RECORD_ALIGN);
    return 0;
}

/* Append `from` as message `id`, or that it was removed (NULL). */
static int append(struct restoring *r, uint64_t id, const struct sq_record_shm *from)
{
    const struct sq_ring *ring = &r->segment->ring;
    uint32_t length = from == NULL ? 0 : from->length;
    struct sq_record_shm *to;

    if (length > ring->capacity_bytes - SQ_RECORD_HEADER_BYTES ||
        sq_record_bytes(length) > ring->capacity_bytes - r->tail)
        return no_room(r);
    int rc = stage(r, sq_record_bytes(length), &to);
    if (rc < 0)
        return rc;
    memcpy(to + 1, from == NULL ? (const void *)to : from + 1, length);
    to->length = length;
    to->tag = from == NULL ? 0 : from->tag & ~(uint32_t)(SQ_RECORD_COPY | SQ_RECORD_SAMPLED);
    to->put_ns = from == NULL ? 0 : record_time(r, from, from->put_ns);
    sq_store(&to->id, from == NULL ? SQ_ID_GONE | id : id);
    if ((to->tag & SQ_RECORD_EXTENDED) != 0 && length >= SQ_EXTENSION_BYTES) {
        struct sq_extension_shm *extension = (void *)(to + 1);
        if (extension->due_ns != 0)
            extension->due_ns = record_time(r, from, extension->due_ns);
        if (extension->expiry_ns != 0)
            extension->expiry_ns = record_time(r, from, extension->expiry_ns);
    }
    r->tail += sq_record_bytes(length);
    return 0;
}

static size_t index_of(const struct sq_image *image, const struct sq_image_message *message)
{
    return (size_t)(message - image->messages);
}

static uint64_t bytes_of(const struct sq_image_message *message)
{
    return sq_record_bytes(message->record == NULL ? 0 : message->record->length);
}

/* What the ring must have room for, or more: the row from `first` on, and what groups hold of
 * the messages before. */
static uint64_t needed_bytes(const struct sq_image *image, uint64_t first)
{
    uint64_t bytes = (image->queue.next_id - first) * SQ_RECORD_HEADER_BYTES;

    for (size_t i = image->message_count; i-- > 0 && image->messages[i].id >= first;)
        bytes += bytes_of(&image->messages[i]) - SQ_RECORD_HEADER_BYTES;
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++)
        for (uint32_t k = 0; image->groups[i].there && k < image->groups[i].item_count; k++) {
            const struct sq_frame_item *item = &image->groups[i].items[k];
            const struct sq_image_message *message =
                (item->word & 0xff) == SQ_FREE ? NULL : sq_image_find(image, item->id);
            if (message != NULL && message->id < first)
                bytes += bytes_of(message);
        }
    return bytes;
}

/* The first message of those in a row: a group's next; or where a topic's history begins,
 * which a journal has more of than there was room for. */
static uint64_t find_first(const struct sq_image *image, uint64_t capacity_bytes)
{
    const struct sq_image_message *before;
    uint64_t first = image->queue.next_id;

    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++)
        if (image->groups[i].there && image->groups[i].attr.finished_id + 1 < first)
            first = image->groups[i].attr.finished_id + 1;
    if ((image->header->kind & SHMQ_TOPIC) == 0)
        return first;
    for (uint64_t bytes = needed_bytes(image, first);
         first > 1 && (before = sq_image_find(image, first - 1)) != NULL; first--) {
        bytes += bytes_of(before);
        if (bytes > capacity_bytes)
            break;
    }
    return first;
}

/* The next record is message `id`: where the cursors are of groups that have passed all before. */
static void note_cursors(struct restoring *r, uint64_t id)
{
    if (id < r->next_cursor_id)
        return;
    r->next_cursor_id = UINT64_MAX;
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++) {
        uint64_t next = r->image->groups[i].attr.finished_id + 1;
        if (!r->image->groups[i].there)
            continue;
        if (next == id) {
            r->cursors[i] = r->tail;
            r->gone_before[i] = r->gone;
        } else if (next > id && next < r->next_cursor_id)
            r->next_cursor_id = next;
    }
}

static bool is_held(const struct restoring *r, size_t at)
{
    return (r->held[at / 8] >> at % 8 & 1) != 0;
}

/* Mark what groups have entries for. */
static void mark_held(struct restoring *r)
{
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++) {
        const struct sq_image_group *g = &r->image->groups[i];
        for (uint32_t k = 0; k < g->item_count; k++) {
            const struct sq_frame_item *item = &g->items[k];
            const struct sq_image_message *message =
                (item->word & 0xff) == SQ_FREE ? NULL : sq_image_find(r->image, item->id);
            if (message == NULL)
                continue;
            size_t at = index_of(r->image, message);
            r->held[at / 8] = (unsigned char)(r->held[at / 8] | 1u << at % 8);
        }
    }
}

static int append_held(struct restoring *r)
{
    const struct sq_image *image = r->image;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < image->message_count; i++) {
        const struct sq_image_message *m = &image->messages[i];
        if (m->id >= r->first_id)
            break;
        if (!is_held(r, i) || m->record == NULL)
            continue;
        r->positions[i] = r->tail;
        rc = append(r, m->id, m->record);
    }
    return rc;
}

static int append_row(struct restoring *r)
{
    const struct sq_image *image = r->image;
    uint64_t most = r->segment->ring.capacity_bytes / SQ_RECORD_HEADER_BYTES;
    size_t at = 0, end = image->message_count;
    int rc = 0;

    if (image->queue.next_id - r->first_id > most)
        return no_room(r);
    while (at < end && image->messages[at].id < r->first_id)
        at++;
    for (uint64_t id = r->first_id; rc == 0 && id < image->queue.next_id; id++) {
        bool there = at < end && image->messages[at].id == id;
        note_cursors(r, id);
        if (there && is_held(r, at))
            r->positions[at] = r->tail;
        const struct sq_record_shm *record = there ? image->messages[at].record : NULL;
        rc = append(r, id, record);
        r->gone += record == NULL;
        at += there;
    }
    note_cursors(r, image->queue.next_id);
    return rc < 0 ? rc : flush(r);
}

/* --- groups -------------------------------------------------------------------- */

static int put_entry(struct restoring *r, const struct sq_ring *ring, uint32_t e,
                     const struct sq_frame_item *item)
{
    const struct sq_image_message *message = sq_image_find(r->image, item->id);
    struct sq_entry_shm *entry = &ring->entries[e];
    struct sq_view view;

    if (message == NULL || (message->record == NULL && item->id < r->first_id))
        return 0; /* removed */
    uint64_t pos = r->positions[index_of(r->image, message)];
    if (sq_record_view(ring, pos, item->id, &view) < 0)
        return sq_fail(-EBADMSG, "message %llu of the file is damaged",
                       (unsigned long long)item->id);
    entry->pos = pos;
    entry->id = item->id;
    entry->at_ns = item->at_ns == 0 ? 0 : our_time(r, item->at_ns);
    entry->seq = item->seq;
    entry->priority = view.priority;
    entry->reason = item->reason;
    /* Whoever had it is no more. */
    enum sq_entry_state state = sq_word_state(item->word);
    sq_store(&entry->word, sq_word(state, sq_word_attempts(item->word), 0));
    return 0;
}

static void set_counts(struct sq_group_shm *g, const struct sq_frame_group *attr)
{
    struct sq_delivery_shm *d = &g->delivery;

    sq_store(&g->got_bytes, attr->got_bytes);
    sq_store(&g->dropped_count, attr->dropped_count);
    sq_store(&g->purged_count, attr->purged_count);
    sq_store(&d->delivered_count, attr->delivered_count);
    sq_store(&d->redelivered_count, attr->redelivered_count);
    sq_store(&d->acked_count, attr->acked_count);
    sq_store(&d->nacked_count, attr->nacked_count);
    sq_store(&d->lost_lease_count, attr->lost_lease_count);
    sq_store(&d->dead_count, attr->dead_count);
    sq_store(&d->expired_count, attr->expired_count);
    sq_store(&d->filtered_count, attr->filtered_count);
    sq_store(&d->removed_count, attr->removed_count);
    sq_store(&d->sent_count, attr->sent_count);
    for (int i = 0; i < 8; i++)
        sq_store(&d->dead_by_reason[i], attr->dead_by_reason[i]);
    d->start_id = attr->start_id;
}

static int put_group(struct restoring *r, uint32_t number)
{
    const struct sq_image_group *g = &r->image->groups[number];
    const struct sq_frame_group *attr = &g->attr;
    struct sq_ring ring = r->segment->ring;
    struct sq_policy_shm policy;
    int rc = sq_segment_policy(&attr->policy, &policy); /* checked by sq_restore_attr() */

    if (rc < 0)
        return rc;
    sq_ring_read_as(&ring, number);
    struct sq_delivery_shm *d = &ring.group->delivery;
    uint64_t pos = r->cursors[number];
    ring.group->known_tail_pos = r->tail;
    sq_store(&ring.group->gone_count, r->gone - r->gone_before[number]);
    sq_store(&ring.group->finished_id, attr->finished_id);
    sq_store(&ring.group->cursor_pos, pos);
    sq_group_begin(&ring, attr->name, &policy);
    set_counts(ring.group, attr);
    ring.group->pending.back_seq = attr->back_seq;
    d->filter_type = attr->filter_type;
    memcpy(d->filter_key, attr->filter_key, sizeof(d->filter_key));
    memcpy(d->filter_header, attr->filter_header, sizeof(d->filter_header));
    memcpy(d->filter_value, attr->filter_value, sizeof(d->filter_value));
    for (uint32_t e = 0; rc == 0 && e < g->item_count; e++)
        if (sq_word_state(g->items[e].word) != SQ_FREE)
            rc = put_entry(r, &ring, e, &g->items[e]);
    if (rc == 0 && (r->segment->ring.kind & SHMQ_TOPIC) != 0)
        atomic_fetch_or(&r->segment->control->groups, (uint64_t)1 << number);
    return rc;
}

static bool nobody_lives(const void *arg, uint32_t owner)
{
    (void)arg;
    (void)owner;
    return true;
}

/* --- all ------------------------------------------------------------------------- */

static int derive(struct restoring *r)
{
    const struct sq_ring *ring = &r->segment->ring;
    int rc = 0;

    for (uint64_t bits = sq_ring_groups(ring); rc == 0 && bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        struct sq_ring one = *ring;
        sq_ring_read_as(&one, i);
        rc = sq_group_derive(&one);
        uint32_t paused = r->image->groups[i].attr.mode & SQ_GROUP_PAUSED;
        sq_store(&one.group->mode, sq_load(&one.group->mode) | paused);
        /* A lease does not outlive its queue. */
        if (rc == 0)
            rc = sq_group_return_lost(&one, nobody_lives, NULL, sq_clock_ns());
        rc = rc > 0 ? 0 : rc;
    }
    if (rc == 0)
        rc = sq_ring_look_low(ring);
    return rc < 0 ? sq_fail(rc, "what the file holds makes no queue") : 0;
}

static int fill(struct restoring *r)
{
    const struct sq_image *image = r->image;
    struct sq_producer_shm *p = r->segment->ring.producer;
    int rc;

    mark_held(r);
    rc = append_held(r);
    uint64_t row = r->tail;
    if (rc == 0)
        rc = append_row(r);
    if (rc < 0)
        return rc;
    sq_store(&p->next_id, image->queue.next_id);
    sq_store(&p->part_id, image->queue.part_id);
    sq_store(&p->put_bytes, image->queue.put_bytes);
    p->history_pos = row;
    sq_store(&p->tail_pos, r->tail);
    for (uint32_t i = 0; rc == 0 && i < SQ_GROUPS_MAX; i++)
        if (image->groups[i].there)
            rc = put_group(r, i);
    return rc < 0 ? rc : derive(r);
}

int sq_restore_fill(struct sq_segment *segment, const struct sq_image *image)
{
    struct restoring r = {
        .image = image,
        .segment = segment,
        .first_id = find_first(image, segment->ring.capacity_bytes),
        .realtime_ns = sq_clock_offset_ns(),
    };

    /* Zeroed memory that is never written to is not there. */
    r.positions = calloc(image->message_count + 1, sizeof(*r.positions));
    r.held = calloc(image->message_count / 8 + 1, 1);
    r.staged = malloc(STAGE_BYTES);
    int rc = r.positions == NULL || r.held == NULL || r.staged == NULL
                 ? sq_fail(-ENOMEM, "no memory for %zu messages", image->message_count)
                 : fill(&r);
    free(r.positions);
    free(r.held);
    free(r.staged);
    return rc;
}
