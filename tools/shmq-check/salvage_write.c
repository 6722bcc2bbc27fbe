/*
 * salvage_write.c - the new file, see salvage.h: a snapshot, as shmq_save() would write it.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "shmq-check/salvage.h"

/* From here on times are so much less than CLOCK_REALTIME. */
static int put_session(struct sq_frames *frames, int64_t realtime_ns)
{
    struct sq_frame_session session = {realtime_ns};

    return sq_frames_put_one(frames, SQ_FRAME_SESSION, &session, sizeof(session));
}

/* Entries' times are CLOCK_REALTIME by now. */
static int put_group(struct sq_frames *frames, const struct sq_image_group *g)
{
    struct sq_frame_item *held = calloc((size_t)g->item_count + 1, sizeof(*held));
    uint32_t count = 0;

    if (held == NULL)
        return sq_fail(-ENOMEM, "no memory for %u entries", g->item_count);
    for (uint32_t e = 0; e < g->item_count; e++)
        if ((g->items[e].word & 0xff) != SQ_FREE)
            held[count++] = g->items[e];
    int rc = sq_frames_put_group(frames, &g->attr, held, count);
    free(held);
    return rc;
}

/* Of a topic: in the place of what cannot be read or was removed, so that what is before it
 * is still to be had. */
static int put_gaps(struct sq_batch *batch, uint64_t from, uint64_t to)
{
    int rc = 0;

    for (uint64_t id = from; rc >= 0 && id < to; id++) {
        struct sq_record_shm gone = {.length = 0};
        sq_store(&gone.id, SQ_ID_GONE | id);
        rc = sq_batch_add(batch, &gone, NULL);
    }
    return rc < 0 ? rc : 0;
}

static int put_records(const struct salvage *s, struct sq_batch *batch)
{
    const struct sq_image *image = &s->image;
    bool topic = (s->header.kind & SHMQ_TOPIC) != 0;
    uint64_t next_id = s->row_id;
    int64_t session_ns = 0;
    int rc = 0;

    for (size_t i = 0; rc >= 0 && i < image->message_count; i++) {
        const struct sq_image_message *m = &image->messages[i];
        if (!salvage_keeps(s, m))
            continue;
        int64_t ns = sq_image_realtime(image, m->record, 0);
        if (ns != session_ns) {
            rc = sq_batch_flush(batch);
            rc = rc < 0 ? rc : put_session(batch->frames, ns);
            session_ns = ns;
        }
        if (rc >= 0 && topic)
            rc = put_gaps(batch, next_id, m->id);
        if (m->id >= next_id)
            next_id = m->id + 1;
        struct sq_record_shm head = {.length = m->record->length,
                                     .tag = m->record->tag & ~(uint32_t)SQ_RECORD_COPY,
                                     .put_ns = m->record->put_ns};
        sq_store(&head.id, m->id);
        if (rc >= 0)
            rc = sq_batch_add(batch, &head, m->record + 1);
    }
    if (rc >= 0 && topic)
        rc = put_gaps(batch, next_id, image->queue.next_id);
    return rc < 0 ? rc : sq_batch_flush(batch);
}

int salvage_write(const struct salvage *s, struct sq_file_out *out)
{
    const struct sq_image *image = &s->image;
    struct sq_file_header header = s->header;
    struct sq_frames frames = {.out = out};
    struct sq_batch batch = {.frames = &frames};

    header.generation++;
    int rc = sq_frames_begin(&frames, &header);
    if (rc == 0)
        rc = put_session(&frames, 0);
    if (rc == 0)
        rc = sq_frames_put_one(&frames, SQ_FRAME_QUEUE, &image->queue, sizeof(image->queue));
    for (uint32_t i = 0; rc == 0 && i < SQ_GROUPS_MAX; i++)
        if (image->groups[i].there)
            rc = put_group(&frames, &image->groups[i]);
    if (rc == 0)
        rc = put_records(s, &batch);
    if (rc == 0)
        rc = sq_frames_put(&frames, SQ_FRAME_BASE, NULL, 0);
    sq_batch_free(&batch);
    return rc;
}
