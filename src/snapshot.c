/*
 * snapshot.c - see snapshot.h; the format is in frame.h.
 *
 * First the groups are captured.  Then the records are written, without any side: those
 * that only entries refer to, and then the fresh ones, from the lowest cursor, or where a
 * topic's history begins, to the tail as it was; all by their ids.  Each as it is then: an update is written in the
 * place of what it updates, a removed message is left out.  They are copied to our own
 * memory before they are summed and written, and then the pin goes on.
 */
#include "snapshot.h"

#include <stdlib.h>
#include <sys/random.h>

#include "error.h"

/* --- frames -------------------------------------------------------------------- */

int sq_frames_put(struct sq_frames *frames, enum sq_frame_kind kind, const struct sq_piece *pieces,
                  unsigned count)
{
    static const unsigned char zeros[SQ_FRAME_ALIGN];
    struct sq_frame frame;

    sq_frame_make(&frame, frames->salt, kind, ++frames->number, 0, pieces, count);
    int rc = sq_file_put(frames->out, &frame, sizeof(frame));
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = sq_file_put(frames->out, pieces[i].data, pieces[i].bytes);
    return rc == 0 ? sq_file_put(frames->out, zeros, sq_frame_padding(frame.bytes)) : rc;
}

static int put_one(struct sq_frames *frames, enum sq_frame_kind kind, const void *data,
                   size_t bytes)
{
    struct sq_piece piece = {data, bytes};

    return sq_frames_put(frames, kind, &piece, 1);
}

static int put_header(struct shmq *q, struct sq_file_out *out, struct sq_saved *saved)
{
    const struct sq_header_shm *h = q->segment.header;
    const struct shmq_attr *attr = &q->segment.attr;
    unsigned char page[SQ_FILE_HEADER_BYTES] = {0};
    struct sq_file_header header = {
        .header_bytes = SQ_FILE_HEADER_BYTES,
        .generation = saved->generation,
        .written_ns = sq_clock_read(CLOCK_REALTIME),
        .created_ns = q->segment.created_ns,
        .capacity_bytes = attr->capacity_bytes,
        .max_messages = attr->max_messages,
        .max_message_bytes = attr->max_message_bytes,
        .full = attr->full,
        .mode = attr->mode,
        .queue_order = attr->order,
        .kind = attr->kind,
        .group_count = h->group_count,
        .entry_count = attr->pending_count,
        .compress_bytes = attr->compress_bytes,
        .policy = attr->policy,
    };

    if (getrandom(&header.salt, sizeof(header.salt), 0) != (ssize_t)sizeof(header.salt))
        header.salt = (uint64_t)sq_clock_ns() << 20 ^ saved->generation;
    saved->salt = header.salt;
    const char *name = sq_segment_name(&q->forkable.path);
    memcpy(header.queue, name, strnlen(name, sizeof(header.queue) - 1));
    sq_file_header_seal(&header);
    memcpy(page, &header, sizeof(header));
    return sq_file_put(out, page, sizeof(page));
}

/* --- groups ---------------------------------------------------------------------- */

static int put_group(struct sq_frames *frames, const struct sq_captured *g)
{
    enum { ITEMS_MOST = 16384 };
    int rc = put_one(frames, SQ_FRAME_GROUP, &g->about, sizeof(g->about));

    for (uint32_t n = 0; rc == 0 && n < g->count; n += ITEMS_MOST) {
        uint32_t count = g->count - n < ITEMS_MOST ? g->count - n : ITEMS_MOST;
        struct sq_frame_entries entries = {
            .group = g->about.group,
            .count = count,
            .finished_id = g->about.finished_id,
            .back_seq = g->about.back_seq,
            .acked_count = g->about.acked_count,
            .got_bytes = g->about.got_bytes,
        };
        const struct sq_piece pieces[] = {{&entries, sizeof(entries)},
                                          {g->items + n, count * sizeof(*g->items)}};
        rc = sq_frames_put(frames, SQ_FRAME_ENTRIES, pieces, 2);
    }
    return rc;
}

/* --- records ------------------------------------------------------------------------ */

/* Records that have been read, and make a frame. */
struct batch {
    struct shmq *q;
    struct sq_frames *frames;
    unsigned char *bytes;
    size_t used, room;
};

static int flush(struct batch *b)
{
    int rc = b->used == 0 ? 0 : put_one(b->frames, SQ_FRAME_RECORDS, b->bytes, b->used);

    b->used = 0;
    return rc;
}

static int make_room(struct batch *b, size_t bytes)
{
    if (bytes <= b->room)
        return 0;
    unsigned char *larger = realloc(b->bytes, bytes);
    if (larger == NULL)
        return sq_fail(-ENOMEM, "no memory for a record of %zu bytes", bytes);
    b->bytes = larger;
    b->room = bytes;
    return 0;
}

/* Add a record.  Then all before `next` has been read. */
static int add(struct batch *b, const struct sq_view *view, uint64_t next)
{
    const struct sq_ring *ring = &b->q->segment.ring;
    const unsigned char *from = sq_record_payload(sq_record_at(ring, view->pos));
    uint64_t length = (uint64_t)(view->payload - from) + view->payload_bytes;
    uint64_t bytes = sq_record_bytes(length);
    struct sq_record_shm head = {
        .length = (uint32_t)length,
        .tag = view->tag & ~(uint32_t)SQ_RECORD_COPY,
        .put_ns = view->put_ns,
    };
    int rc = 0;

    if (bytes > UINT32_MAX)
        return sq_fail(-EFBIG, "a message of %llu bytes is too long for a file",
                       (unsigned long long)length);
    if (b->used + bytes > SQ_FRAME_RECORDS_BYTES)
        rc = flush(b);
    if (rc == 0)
        rc = make_room(b, b->used + bytes);
    if (rc < 0)
        return rc;
    sq_store(&head.id, view->id);
    unsigned char *to = b->bytes + b->used;
    memset(to + bytes - SQ_RECORD_ALIGN, 0, SQ_RECORD_ALIGN);
    memcpy(to, &head, sizeof(head));
    memcpy(to + sizeof(head), from, length);
    b->used += bytes;
    if (b->used >= SQ_FRAME_RECORDS_BYTES / 4) {
        rc = flush(b);
        sq_pin_move(b->q, next);
    }
    return rc;
}

static int damaged(uint64_t pos)
{
    return sq_fail(-EBADMSG, "the record at position %llu is damaged", (unsigned long long)pos);
}

static int put_fresh(struct batch *b, const struct sq_capture *c, uint64_t *next_id)
{
    struct sq_walk walk = {c->fresh_pos, c->tail_pos, 0};
    struct sq_view view;
    int rc = 0;

    while (rc == 0 && walk.pos != walk.end) {
        int met = sq_record_next(&b->q->segment.ring, &walk, &view);
        if (met < 0)
            return damaged(walk.pos);
        if (met == SQ_MET_MESSAGE)
            rc = add(b, &view, walk.pos);
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

static int put_held(struct batch *b, const struct sq_capture *c)
{
    uint64_t fresh_ahead = c->tail_pos - c->fresh_pos;
    struct held *list;
    struct sq_view view;
    size_t count = 0;
    int rc = list_held(c, &list, &count);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        uint64_t pos = c->tail_pos - list[i].ahead;
        uint64_t left = i + 1 < count ? list[i + 1].most : 0;
        rc = sq_record_view(&b->q->segment.ring, pos, list[i].id, &view);
        if (rc == -EBADMSG)
            rc = damaged(pos);
        if (rc == 0)
            rc = add(b, &view, c->tail_pos - (left > fresh_ahead ? left : fresh_ahead));
        rc = rc == -ENOENT ? 0 : rc;
    }
    free(list);
    return rc;
}

static int put_records(struct shmq *q, const struct sq_capture *c, struct sq_frames *frames,
                       uint64_t *next_id)
{
    struct batch b = {.q = q, .frames = frames};
    int rc = make_room(&b, SQ_FRAME_RECORDS_BYTES);

    if (rc == 0)
        rc = put_held(&b, c);
    if (rc == 0)
        rc = put_fresh(&b, c, next_id);
    if (rc == 0)
        rc = flush(&b);
    free(b.bytes);
    return rc;
}

/* --- all of it ------------------------------------------------------------------------ */

int sq_snapshot_base(struct shmq *q, const struct sq_capture *c, uint64_t generation,
                     struct sq_file_out *out, struct sq_saved *saved)
{
    struct sq_frames frames = {.out = out};

    *saved = (struct sq_saved){
        .generation = generation, .tail_pos = c->tail_pos, .changes = c->changes};
    int rc = put_header(q, out, saved);
    frames.salt = saved->salt;
    if (rc == 0)
        rc = put_one(&frames, SQ_FRAME_SESSION, &c->session, sizeof(c->session));
    if (rc == 0)
        rc = put_one(&frames, SQ_FRAME_QUEUE, &c->queue, sizeof(c->queue));
    for (unsigned i = 0; rc == 0 && i < c->group_count; i++)
        rc = put_group(&frames, &c->groups[i]);
    if (rc == 0)
        rc = put_records(q, c, &frames, &saved->next_id);
    sq_pin_lift(q); /* all has been read */
    if (rc == 0)
        rc = sq_frames_put(&frames, SQ_FRAME_BASE, NULL, 0);
    saved->number = frames.number;
    saved->base_bytes = saved->sure_bytes = out->off;
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
    return write_all(q, path, generation, true, SQ_FILE_REPLACE, saved);
}
