/*
 * frame_writer.c - see frame_writer.h; the format is in format.h.
 */
#include "file/frame_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/error.h"

int sq_frames_begin(struct sq_frames *frames, struct sq_file_header *header)
{
    unsigned char page[SQ_FILE_HEADER_BYTES] = {0};

    header->written_ns = sq_clock_read(CLOCK_REALTIME);
    if (getrandom(&header->salt, sizeof(header->salt), 0) != (ssize_t)sizeof(header->salt))
        header->salt = (uint64_t)sq_clock_ns() << 20 ^ header->generation;
    frames->salt = header->salt;
    sq_file_header_seal(header);
    /* Without the padding behind the last field, which may hold anything. */
    memcpy(page, header, offsetof(struct sq_file_header, check) + sizeof(header->check));
    return sq_file_put(frames->out, page, sizeof(page));
}

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

int sq_frames_put_one(struct sq_frames *frames, enum sq_frame_kind kind, const void *data,
                      size_t bytes)
{
    struct sq_piece piece = {data, bytes};

    return sq_frames_put(frames, kind, &piece, 1);
}

int sq_frames_put_group(struct sq_frames *frames, const struct sq_frame_group *about,
                        const struct sq_frame_item *items, uint32_t count)
{
    enum { ITEMS_MAX = 16384 };
    int rc = sq_frames_put_one(frames, SQ_FRAME_GROUP, about, sizeof(*about));

    for (uint32_t n = 0; rc == 0 && n < count; n += ITEMS_MAX) {
        uint32_t some = count - n < ITEMS_MAX ? count - n : ITEMS_MAX;
        struct sq_frame_entries entries = {
            .group = about->group,
            .count = some,
            .finished_id = about->finished_id,
            .back_seq = about->back_seq,
            .acked_count = about->acked_count,
            .got_bytes = about->got_bytes,
        };
        const struct sq_piece pieces[] = {{&entries, sizeof(entries)},
                                          {items + n, some * sizeof(*items)}};
        rc = sq_frames_put(frames, SQ_FRAME_ENTRIES, pieces, 2);
    }
    return rc;
}

/* --- records ------------------------------------------------------------------------ */

int sq_batch_flush(struct sq_batch *b)
{
    int rc = b->used == 0 ? 0 : sq_frames_put_one(b->frames, SQ_FRAME_RECORDS, b->bytes, b->used);

    b->used = 0;
    return rc;
}

void sq_batch_free(struct sq_batch *b)
{
    free(b->bytes);
    b->bytes = NULL;
}

static int make_room(struct sq_batch *b, size_t bytes)
{
    size_t room = bytes < SQ_FRAME_RECORDS_BYTES ? SQ_FRAME_RECORDS_BYTES : bytes;

    if (bytes <= b->room)
        return 0;
    unsigned char *larger = realloc(b->bytes, room);
    if (larger == NULL)
        return sq_fail(-ENOMEM, "no memory for a record of %zu bytes", bytes);
    b->bytes = larger;
    b->room = room;
    return 0;
}

int sq_batch_add(struct sq_batch *b, const struct sq_record_shm *head, const void *content)
{
    uint64_t bytes = sq_align_up((uint64_t)head->length + sizeof(*head), SQ_RECORD_ALIGN);
    int rc = 0;

    if (bytes > UINT32_MAX)
        return sq_fail(-EFBIG, "a message of %u bytes is too long for a file", head->length);
    if (b->used + bytes > SQ_FRAME_RECORDS_BYTES)
        rc = sq_batch_flush(b);
    if (rc == 0)
        rc = make_room(b, b->used + bytes);
    if (rc < 0)
        return rc;
    unsigned char *to = b->bytes + b->used;
    memset(to + bytes - SQ_RECORD_ALIGN, 0, SQ_RECORD_ALIGN);
    memcpy(to, head, sizeof(*head));
    if (head->length > 0)
        memcpy(to + sizeof(*head), content, head->length);
    b->used += bytes;
    if (b->used < SQ_FRAME_RECORDS_BYTES / 4)
        return 0;
    rc = sq_batch_flush(b);
    return rc < 0 ? rc : 1;
}
