/*
 * snapshot.c - see snapshot.h; the format is in file/format.h.
 *
 * First the groups are captured.  Then the records are written, without any side: those
 * that only entries refer to, and then the fresh ones, from the lowest cursor, or where a
 * topic's history begins, to the tail as it was; all by their ids.  Each as it is then: an update
 * is written in the place of what it updates, a removed message is left out.  They are copied to
 * our own memory before they are summed and written, and then the pin goes on.
 */
#include "persist/snapshot.h"

#include <stdlib.h>

#include "base/error.h"
#include "group/policy.h"
#include "segment/segment_attr.h"

/* --- the header ------------------------------------------------------------------ */

void sq_snapshot_header(const struct sq_segment *segment, const char *name,
                        struct sq_file_header *header)
{
    const struct shmq_attr *attr = &segment->attr;

    *header = (struct sq_file_header){
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
        .policy = sq_policy_in(&attr->policy),
    };
    memcpy(header->queue, name, strnlen(name, sizeof(header->queue) - 1));
}

/* --- records ------------------------------------------------------------------------ */

struct reading {
    struct shmq *q;
    struct sq_batch batch;
};

/* Add a record.  Then all before `next` has been read. */
static int add(struct reading *r, const struct sq_view *view, uint64_t next)
{
    const struct sq_ring *ring = &r->q->segment.ring;
    const unsigned char *from = sq_record_payload(sq_record_at(ring, view->pos));
    uint64_t length = (uint64_t)(view->payload - from) + view->payload_bytes;
    struct sq_record_shm head = {
        .length = (uint32_t)length,
        .tag = view->tag & ~(uint32_t)SQ_RECORD_COPY,
        .put_ns = view->put_ns,
    };

    sq_store(&head.id, view->id);
    int rc = sq_batch_add(&r->batch, &head, from);
    if (rc > 0)
        sq_pin_move(r->q, next);
    return rc < 0 ? rc : 0;
}

static int damaged(uint64_t pos)
{
    return sq_fail(-EBADMSG, "the record at position %llu is damaged", (unsigned long long)pos);
}

static int put_fresh(struct reading *r, const struct sq_capture *c, uint64_t *next_id)
{
    struct sq_walk walk = {c->fresh_pos, c->tail_pos, 0};
    struct sq_view view;
    int rc = 0;

    while (rc == 0 && walk.pos != walk.end) {
        int met = sq_record_next(&r->q->segment.ring, &walk, &view);
        if (met < 0)
            return damaged(walk.pos);
        if (met == SQ_MET_MESSAGE)
            rc = add(r, &view, walk.pos);
    }
    *next_id = walk.id != 0 ? walk.id : c->queue.next_id;
    return rc;
}

/* A message that only entries refer to. */
struct held {
    uint64_t id;
    uint64_t ahead; /* how far before the tail */
    uint64_t most;  /* the most of that, from here to the end of the list */
};

static int by_id(const void *a, const void *b)
{
    const struct held *x = a, *y = b;

    return x->id == y->id ? 0 : x->id < y->id ? -1 : 1;
}

/* All of them, each once, by id, as a reader wants them. */
static int list_held(const struct sq_capture *c, struct held **list, size_t *count)
{
    size_t most = 0, n = 0, once = 0;

    for (unsigned i = 0; i < c->group_count; i++)
        most += c->groups[i].count;
    *list = malloc((most + 1) * sizeof(**list));
    if (*list == NULL)
        return sq_fail(-ENOMEM, "no memory for %zu entries", most);
    for (unsigned i = 0; i < c->group_count; i++)
        for (uint32_t e = 0; e < c->groups[i].count; e++)
            if (c->groups[i].items[e].id < c->fresh_id)
                (*list)[n++] = (struct held){.id = c->groups[i].items[e].id,
                                             .ahead = c->tail_pos - c->groups[i].positions[e]};
    qsort(*list, n, sizeof(**list), by_id);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || (*list)[i].id != (*list)[i - 1].id)
            (*list)[once++] = (*list)[i];
    for (size_t i = once; i > 0; i--) {
        struct held *h = &(*list)[i - 1];
        h->most = i < once && h[1].most > h->ahead ? h[1].most : h->ahead;
    }
    *count = once;
    return 0;
}

static int put_held(struct reading *r, const struct sq_capture *c)
{
    uint64_t fresh_ahead = c->tail_pos - c->fresh_pos;
    struct held *list;
    struct sq_view view;
    size_t count = 0;
    int rc = list_held(c, &list, &count);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        uint64_t pos = c->tail_pos - list[i].ahead;
        uint64_t left = i + 1 < count ? list[i + 1].most : 0;
        rc = sq_record_view(&r->q->segment.ring, pos, list[i].id, &view);
        if (rc == -EBADMSG)
            rc = damaged(pos);
        if (rc == 0)
            rc = add(r, &view, c->tail_pos - (left > fresh_ahead ? left : fresh_ahead));
        rc = rc == -ENOENT ? 0 : rc;
    }
    free(list);
    return rc;
}

static int put_records(struct shmq *q, const struct sq_capture *c, struct sq_frames *frames,
                       uint64_t *next_id)
{
    struct reading r = {q, {.frames = frames}};
    int rc = put_held(&r, c);

    if (rc == 0)
        rc = put_fresh(&r, c, next_id);
    if (rc == 0)
        rc = sq_batch_flush(&r.batch);
    sq_batch_free(&r.batch);
    return rc;
}

/* --- all of it ------------------------------------------------------------------------ */

int sq_snapshot_base(struct shmq *q, const struct sq_capture *c, uint64_t generation,
                     struct sq_file_out *out, struct sq_saved *saved)
{
    struct sq_frames frames = {.out = out};
    struct sq_file_header header;

    sq_assert_held(&q->segment.file->saver);
    *saved =
        (struct sq_saved){.generation = generation, .tail_pos = c->tail_pos, .changes = c->changes};
    sq_snapshot_header(&q->segment, sq_segment_name(&q->forkable.path), &header);
    header.generation = generation;
    int rc = sq_frames_begin(&frames, &header);
    saved->salt = frames.salt;
    if (rc == 0)
        rc = sq_frames_put_one(&frames, SQ_FRAME_SESSION, &c->session, sizeof(c->session));
    if (rc == 0)
        rc = sq_frames_put_one(&frames, SQ_FRAME_QUEUE, &c->queue, sizeof(c->queue));
    for (unsigned i = 0; rc == 0 && i < c->group_count; i++)
        rc = sq_frames_put_group(&frames, &c->groups[i].about, c->groups[i].items,
                                 c->groups[i].count);
    if (rc == 0)
        rc = put_records(q, c, &frames, &saved->next_id);
    sq_pin_lift(q); /* all has been read */
    if (rc == 0)
        rc = sq_frames_put(&frames, SQ_FRAME_BASE, NULL, 0);
    saved->number = frames.number;
    saved->base_bytes = saved->synced_bytes = out->off;
    return rc;
}

/* Begin, capture (`still`: nobody else sees the queue), write, and have it at its path. */
static int write_all(struct shmq *q, const struct sq_file_path *path, uint64_t generation,
                     bool still, enum sq_file_end end, struct sq_saved *saved)
{
    struct sq_file_out out;
    struct sq_capture *c = malloc(sizeof(*c)); /* too large for a small stack */

    if (c == NULL)
        return sq_fail(-ENOMEM, "no memory to save the queue");
    memset(c, 0, sizeof(*c));
    int rc = sq_file_begin(&out, path);
    if (rc == 0) {
        rc = still ? sq_capture_still(&q->segment.ring, c) : sq_capture_take(q, c, NULL, NULL);
        if (rc == 0)
            rc = sq_snapshot_base(q, c, generation, &out, saved);
        sq_capture_free(c);
        if (rc == 0)
            rc = sq_file_finish(&out, end);
        else
            sq_file_abandon(&out);
    }
    free(c);
    return rc;
}

int sq_snapshot_first(struct shmq *q, const struct sq_file_path *path, struct sq_saved *saved)
{
    return write_all(q, path, 1, true, SQ_FILE_NEW, saved);
}

int sq_snapshot_write(struct shmq *q, const struct sq_file_path *path, uint64_t generation,
                      struct sq_saved *saved)
{
    return write_all(q, path, generation, false, SQ_FILE_REPLACE, saved);
}

int sq_snapshot_still(struct shmq *q, const struct sq_file_path *path, uint64_t generation,
                      struct sq_saved *saved)
{
    return write_all(q, path, generation, true, SQ_FILE_REPLACE_ALONE, saved);
}
