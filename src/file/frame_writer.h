/*
 * frame_writer.h - a file on its way to the disk: header and frames, one after another.
 */
#ifndef SQ_FRAME_WRITER_H
#define SQ_FRAME_WRITER_H

#include "file/file.h"
#include "file/format.h"

struct sq_frames {
    struct sq_file_out *out;
    uint64_t salt;
    uint64_t number; /* of the last one */
};

/* Put the header, sealed and with a salt of its own; `written_ns` is now. */
int sq_frames_begin(struct sq_frames *frames, struct sq_file_header *header);

/* Put a frame, with the next number. */
int sq_frames_put(struct sq_frames *frames, enum sq_frame_kind kind, const struct sq_piece *pieces,
                  unsigned count);
int sq_frames_put_one(struct sq_frames *frames, enum sq_frame_kind kind, const void *data,
                      size_t bytes);

/* The group that `about` tells of, and its entries. */
int sq_frames_put_group(struct sq_frames *frames, const struct sq_frame_group *about,
                        const struct sq_frame_item *items, uint32_t count);

/* Records that are gathered, and make a frame when there are enough. */
struct sq_batch {
    struct sq_frames *frames;
    unsigned char *bytes;
    size_t used, room;
};

/* Add a record: its header, and `head->length` bytes of content.  0; 1 all that was added
 * is in a frame now; or a negative errno. */
int sq_batch_add(struct sq_batch *batch, const struct sq_record_shm *head, const void *content);

/* The frame of those that are left. */
int sq_batch_flush(struct sq_batch *batch);
void sq_batch_free(struct sq_batch *batch);

#endif
