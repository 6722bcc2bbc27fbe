/*
 * image.h - what a file's frames say in the end: messages and groups, in private memory.
 *
 * Messages are found by their id and stay where the file's bytes are; an update has
 * taken the place of what it updates.  Times are made CLOCK_REALTIME.
 */
#ifndef SQ_IMAGE_H
#define SQ_IMAGE_H

#include "file/format.h"

struct sq_image_message {
    uint64_t id;
    const struct sq_record_shm *record; /* checked; NULL: the message was removed */
};

struct sq_image_group {
    bool there;
    struct sq_frame_group attr;  /* with the latest position, and counts */
    struct sq_frame_item *items; /* by entry number; word 0: free.  at_ns is CLOCK_REALTIME */
    uint32_t item_count;         /* of the array; may be more than the queue has */
    uint64_t said_off;           /* of the frame that last says something of it */
};

/* From `from` on in the file times are so much less than CLOCK_REALTIME. */
struct sq_image_session {
    const unsigned char *from;
    int64_t realtime_ns;
};

struct sq_image {
    const struct sq_file_header *header;
    struct sq_image_message *messages; /* by ascending id */
    size_t message_count, message_room;
    struct sq_image_message *copies; /* updates, as they come; for a mark to choose from */
    size_t copy_count, copy_room;
    struct sq_image_session *sessions;
    size_t session_count, session_room;
    struct sq_image_group groups[SQ_GROUPS_MAX];
    struct sq_frame_queue queue; /* next_id is above all messages' */
    uint64_t frame_count;
    uint64_t end_off; /* where the last whole frame ends */
    bool is_torn;     /* something is behind that, and never was on the disk */
    bool has_base;
};

/*
 * Read a whole file.  The image refers to `bytes` until sq_image_free(), which is to be
 * called whatever is returned.  0; those of sq_reader_begin(); -EBADMSG damaged, and the
 * detail names the offset; -ENOMEM.
 */
int sq_image_read(struct sq_image *image, const void *bytes, uint64_t size);
void sq_image_free(struct sq_image *image);

/* Return `rc`; if it is -EBADMSG, after adding to the detail what can be done. */
int sq_image_advise(int rc);

/* The steps of that, for those who read on after damage: begin, frame by frame (0, or
 * -ENOMEM, or -EBADMSG: it makes no sense and changed nothing), and what all in all
 * must hold. */
void sq_image_begin(struct sq_image *image, const struct sq_file_header *header);
int sq_image_add(struct sq_image *image, const struct sq_frame *frame);
int sq_image_check(struct sq_image *image);

/* The message with this id, removed or not; NULL: none. */
struct sq_image_message *sq_image_find(const struct sq_image *image, uint64_t id);

/* CLOCK_REALTIME of a time in that record. */
int64_t sq_image_realtime(const struct sq_image *image, const void *record, int64_t ns);

#endif
