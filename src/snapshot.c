/*
 * snapshot.c - see snapshot.h.
 *
 * The ring is pinned and its groups are copied (capture.c).  Then, with nothing held, the
 * records are written: those that groups hold and all cursors have passed, then all from
 * the lowest cursor on to the tail, the pin following; then the groups, and that the base is
 * complete.  At last the file gets its name.  Who dies on the way leaves the file as it was.
 */
#include "snapshot.h"

#include <stdlib.h>

#include "capture.h"
#include "error.h"
#include "file.h"

struct saving {
    struct shmq *q;
    struct sq_writer writer;
    struct sq_capture all;
    unsigned char *buffer;
    uint32_t buffered;
};

enum { ALL_AT_ONCE = SQ_FRAME_RECORDS_BYTES };

/* --- writing records ------------------------------------------------------------------ */

static int flush(struct saving *s)
{
    struct sq_piece piece = {s->buffer, s->buffered};
    int rc = s->buffered == 0 ? 0 : sq_file_write(&s->writer, SQ_FRAME_RECORDS, &piece, 1);

    s->buffered = 0;
    return rc;
}

/* A record as it would be if the message had been put as it is now. */
static int write_record(struct saving *s, const struct sq_view *view)
{
    static const unsigned char zeros[SQ_RECORD_ALIGN];
    const struct sq_record_shm *from = sq_record_at(&s->q->segment.ring, view->pos);
    struct sq_record_shm head = {
        .length = from->length,
        .tag = view->tag & ~(uint32_t)SQ_RECORD_COPY,
        .put_ns = view->put_ns,
    };
    uint64_t bytes = sq_record_bytes(head.length);
    size_t padding = (size_t)(bytes - sizeof(head) - head.length);
    int rc = 0;

    sq_store(&head.id, view->id);
    if (bytes > s->q->segment.ring.capacity_bytes || bytes > UINT32_MAX)
        return -EBADMSG; /* changed since it was checked */
    if (s->buffered + bytes > ALL_AT_ONCE)
        rc = flush(s);
    if (rc < 0)
        return rc;
    if (bytes > ALL_AT_ONCE) {
        const struct sq_piece pieces[] = {
            {&head, sizeof(head)}, {from + 1, head.length}, {zeros, padding}};
        return sq_file_write(&s->writer, SQ_FRAME_RECORDS, pieces, 3);
    }
    unsigned char *to = s->buffer + s->buffered;
    memcpy(to, &head, sizeof(head));
    memcpy(to + sizeof(head), from + 1, head.length);
    memset(to + sizeof(head) + head.length, 0, padding);
    s->buffered += (uint32_t)bytes;
    return 0;
}

static int compare_held(const void *a, const void *b)
{
    uint64_t x = ((const struct sq_held *)a)->id, y = ((const struct sq_held *)b)->id;

    return (x > y) - (x < y);
}

/* Those that groups hold with ids below `first`, each once. */
static int write_held(struct saving *s, uint64_t first)
{
    const struct sq_ring *ring = &s->q->segment.ring;
    size_t count = 0;
    int rc = 0;

    for (uint32_t i = 0; i < SQ_GROUPS_MOST; i++)
        count += s->all.groups[i].count;
    struct sq_held *all = malloc((count + 1) * sizeof(*all));
    if (all == NULL)
        return sq_fail(-ENOMEM, "no memory for %zu entries", count);
    count = 0;
    for (uint32_t i = 0; i < SQ_GROUPS_MOST; i++)
        if (s->all.groups[i].count > 0) {
            memcpy(all + count, s->all.groups[i].held, s->all.groups[i].count * sizeof(*all));
            count += s->all.groups[i].count;
        }
    qsort(all, count, sizeof(*all), compare_held);
    for (size_t i = 0; rc == 0 && i < count && all[i].id < first; i++) {
        struct sq_view view;
        if (i > 0 && all[i].id == all[i - 1].id)
            continue;
        rc = sq_record_view(ring, all[i].pos, all[i].id, &view);
        rc = rc == -ENOENT ? 0 : rc < 0 ? rc : write_record(s, &view);
    }
    free(all);
    return rc;
}

/* The id of the first message from `walk` on, removed or not; next_id: there is none. */
static int first_id(const struct saving *s, struct sq_walk walk, uint64_t *id)
{
    struct sq_view view;

    *id = s->all.next_id;
    while (walk.pos != walk.end) {
        int rc = sq_record_next(&s->q->segment.ring, &walk, &view);
        if (rc < 0)
            return rc;
        if (rc != SQ_MET_COPY) {
            *id = view.id;
            break;
        }
    }
    return 0;
}

/* From the lowest place on; the pin follows what has been written. */
static int write_row(struct saving *s, struct sq_walk walk)
{
    const struct sq_ring *ring = &s->q->segment.ring;
    struct sq_view view;
    int rc = 0;

    while (rc >= 0 && walk.pos != walk.end) {
        uint32_t before = s->buffered;
        uint64_t pos = walk.pos;
        rc = sq_record_next(ring, &walk, &view);
        if (rc == SQ_MET_MESSAGE || rc == SQ_MET_GONE)
            s->all.next_id = view.id >= s->all.next_id ? view.id + 1 : s->all.next_id;
        if (rc == SQ_MET_MESSAGE)
            rc = write_record(s, &view);
        if (s->buffered < before)
            sq_capture_release(s->q, pos);
    }
    return rc < 0 ? rc : flush(s);
}

static int write_records(struct saving *s)
{
    struct sq_walk walk = {s->all.begin_pos, s->all.end_pos, 0};
    uint64_t first;
    int rc = first_id(s, walk, &first);

    if (rc == 0)
        rc = write_held(s, first);
    return rc < 0 ? rc : write_row(s, walk);
}

/* --- writing the rest ------------------------------------------------------------------- */

static int write_header(struct saving *s)
{
    const struct sq_segment *segment = &s->q->segment;
    const struct shmq_attr *attr = &segment->attr;
    struct sq_file_header h = {
        .created_ns = segment->created_ns,
        .capacity_bytes = attr->capacity_bytes,
        .max_messages = attr->max_messages,
        .max_message_bytes = attr->max_message_bytes,
        .full = attr->full,
        .mode = attr->mode,
        .queue_order = attr->order,
        .kind = attr->kind,
        .group_count = attr->max_groups,
        .entry_count = attr->pending_count,
        .compress_bytes = attr->compress_bytes,
        .policy = attr->policy,
    };
    struct sq_frame_session session = {sq_clock_read(CLOCK_REALTIME) - sq_clock_ns()};
    struct sq_piece piece = {&session, sizeof(session)};

    strncpy(h.queue, sq_queue_name(s->q), sizeof(h.queue) - 1);
    int rc = sq_file_write_header(&s->writer, &h);
    return rc < 0 ? rc : sq_file_write(&s->writer, SQ_FRAME_SESSION, &piece, 1);
}

static int write_group(struct saving *s, const struct sq_captured *g)
{
    enum { ITEMS_AT_ONCE = 16384 };
    struct sq_piece attr = {&g->attr, sizeof(g->attr)};
    int rc = sq_file_write(&s->writer, SQ_FRAME_GROUP, &attr, 1);

    for (uint32_t at = 0; rc == 0 && at < g->count;) {
        uint32_t count = g->count - at < ITEMS_AT_ONCE ? g->count - at : ITEMS_AT_ONCE;
        struct sq_frame_entries e = {
            .group = g->attr.group,
            .count = count,
            .finished_id = g->attr.finished_id,
            .back_seq = g->attr.back_seq,
            .acked_count = g->attr.acked_count,
            .got_bytes = g->attr.got_bytes,
        };
        struct sq_piece pieces[] = {{&e, sizeof(e)}, {g->items + at, count * sizeof(*g->items)}};
        rc = sq_file_write(&s->writer, SQ_FRAME_ENTRIES, pieces, 2);
        at += count;
    }
    return rc;
}

static int write_rest(struct saving *s)
{
    const struct sq_producer_shm *p = s->q->segment.ring.producer;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < SQ_GROUPS_MOST; i++) {
        const struct sq_frame_group *attr = &s->all.groups[i].attr;
        if (!s->all.groups[i].there)
            continue;
        if (attr->finished_id >= s->all.next_id)
            s->all.next_id = attr->finished_id + 1;
        rc = write_group(s, &s->all.groups[i]);
    }
    struct sq_frame_queue queue = {
        .next_id = s->all.next_id,
        .part_id = sq_load(&p->part_id),
        .put_bytes = sq_load(&p->put_bytes),
    };
    struct sq_piece piece = {&queue, sizeof(queue)};
    if (rc == 0)
        rc = sq_file_write(&s->writer, SQ_FRAME_QUEUE, &piece, 1);
    return rc < 0 ? rc : sq_file_write(&s->writer, SQ_FRAME_BASE, NULL, 0);
}

/* --- all ----------------------------------------------------------------------------------- */

static int save_contents(struct saving *s, struct sq_deadline *deadline)
{
    int rc = sq_capture_take(s->q, &s->all, deadline);

    if (rc == 0)
        rc = write_header(s);
    if (rc < 0)
        return rc;
    rc = write_records(s);
    if (rc == -EBADMSG)
        rc = sq_fail(rc, "the ring is damaged, and cannot be saved");
    sq_capture_release(s->q, UINT64_MAX);
    return rc < 0 ? rc : write_rest(s);
}

int sq_snapshot_write_alone(struct shmq *q, const char *path, struct sq_deadline *deadline)
{
    struct saving *s = calloc(1, sizeof(*s));
    int rc;

    if (s == NULL || (s->buffer = malloc(ALL_AT_ONCE)) == NULL) {
        free(s);
        return sq_fail(-ENOMEM, "no memory to save with");
    }
    s->q = q;
    rc = sq_file_begin(&s->writer, path, sq_queue_name(q));
    if (rc == 0) {
        rc = save_contents(s, deadline);
        sq_capture_end(q, &s->all);
        if (rc == 0)
            rc = sq_file_end(&s->writer);
        else
            sq_file_abandon(&s->writer);
    }
    free(s->buffer);
    free(s);
    return rc;
}

int sq_snapshot_write(struct shmq *q, const char *path, struct sq_deadline *deadline)
{
    int rc = sq_capture_begin(q, deadline);

    if (rc == 0) {
        rc = sq_snapshot_write_alone(q, path, deadline);
        sq_lock_free(&q->segment.control->saver);
    }
    return rc;
}
