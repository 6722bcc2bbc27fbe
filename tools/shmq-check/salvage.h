/*
 * salvage.h - every message that can be read of a damaged file or queue, and a new file of
 * them.
 *
 * What was lost is what a frame (or a record of a ring) said, and so there is doubt about
 * what others say.  Whatever is in doubt is decided so that no message that can be read is
 * lost; some may be handed out again:
 *
 *  1. A group's entries or position were lost: the messages between the position before and the
 *     next one that is known, and that are in no entry, wait again.
 *  2. What a group is was lost: one is made up, with the queue's policy and no filter.
 *  3. A removal or an update was lost: it did not happen.  That a put was never finished was
 *     lost: its messages are there, until others come with their ids.
 *  4. How the file's times are to be read was lost: the newest message counts as put when
 *     the file was last written to, so that nothing expires before its time.
 *  5. The header was lost: its fields are believed one by one, and else what is in the
 *     frames tells, or the default holds.
 *
 * Ids and the order of messages are what they were.
 */
#ifndef SHMQ_SALVAGE_H
#define SHMQ_SALVAGE_H

#include "file/frame_writer.h"
#include "file/image.h"

/* What cannot be read. */
struct salvage_loss {
    uint64_t off, bytes; /* of the file, or positions in a ring */
    uint32_t kind;       /* enum sq_frame_kind; 0: not known */
    char wrong[108];
};

/* Messages from `from` + 1 to `to` of which it is not known what a group has done. */
struct salvage_doubt {
    uint64_t from, to;
};

struct salvage_group {
    uint64_t since; /* after how many groups' beginnings it began */
    bool open;      /* in doubt from `from` on until the file says more */
    uint64_t from;
    struct salvage_doubt *doubts;
    size_t count, room;
};

/* What was seen while reading through. */
struct salvage_facts {
    uint64_t last_id;
    uint64_t record_bytes, longest_bytes;
    int64_t newest_ns; /* the greatest put_ns; INT64_MIN: there is none */
    bool has_session;
    int64_t realtime_ns; /* of the first session */
    bool is_topic;
    bool has_policy;
    struct sq_policy_shm policy;       /* of the first group */
    uint32_t group_count, entry_count; /* at least */
};

struct salvage {
    struct sq_file_header header; /* as it is, or as it can be known */
    struct sq_reader reader;      /* before the first frame */
    const char *header_wrong;     /* NULL: it is whole */
    bool times_guessed;
    bool any; /* something could be read */
    struct salvage_facts facts;
    struct sq_image image; /* `messages` has all ids; those not there have no record */
    size_t message_end;    /* of the array: no record from here on, yet */
    struct salvage_group groups[SQ_GROUPS_MAX];
    struct salvage_loss *losses;
    size_t loss_count, loss_room;
    uint64_t begun;                 /* groups */
    uint64_t kinds[SQ_FRAME_KINDS]; /* whole frames, by kind */
    uint64_t row_id;     /* from here on messages are in a row; before, in entries only */
    unsigned char *kept; /* messages that are in entries, a bit each */
    uint64_t saved;      /* messages that the new file has */
    uint64_t in_doubt;   /* entries of what a group may have finished */
};

/* --- reading on after damage (salvage_file.c) -------------------------------------- */

/* A stretch of a file: a frame, or what is none. */
struct salvage_span {
    uint64_t off, bytes;
    const struct sq_frame *frame; /* NULL: not even its header is right */
    const char *wrong;            /* NULL: it is whole */
};

/* The next one; false: nothing follows, or zeros. */
bool salvage_span(struct sq_reader *reader, struct salvage_span *span);

/*
 * Read a whole file, which stays where it is.  `file_ns`: when it was last written to.  To
 * be freed whatever is returned.  0; -EPROTO it is none, or of another format, and nothing
 * is in it; -ENOMEM.
 */
int salvage_read(struct salvage *s, const void *bytes, uint64_t size, int64_t file_ns);
void salvage_free(struct salvage *s);

/* Note what cannot be read. */
int salvage_note(struct salvage *s, uint64_t off, uint64_t bytes, uint32_t kind, const char *wrong);

/* Group number `index`: from now on what it does is in doubt, or is not any more. */
void salvage_open(struct salvage *s, uint32_t index, uint64_t from);
int salvage_close(struct salvage *s, uint32_t index, uint64_t to);

/* Make a group up, with all that was before in doubt. */
void salvage_make_group(struct salvage *s, uint32_t index, uint64_t finished_id);

/* Room for one more in an array.  0 or -ENOMEM. */
int salvage_room(void **array, size_t *room, size_t count, size_t size);

/* Messages by their ids, each once. */
void salvage_sort(struct sq_image *image);

/* --- the header (salvage_header.c) ----------------------------------------------- */

/* Find the header or what can be known of it, and stand before the first frame.  0 or
 * -EPROTO. */
int salvage_head(struct salvage *s, const void *bytes, uint64_t size);

/* Of a header that is damaged, or whose fields contradict each other: what can be believed. */
void salvage_believe(struct salvage *s);

/* Whether a queue, or a group, can have this name. */
bool salvage_is_name(const char *name);

/* --- what it comes to (salvage_decide.c) ------------------------------------------ */

/* Decide what is in doubt.  Then the image is sound: a queue can be made of it.  0; -E2BIG
 * no queue has so many entries; -ENOMEM. */
int salvage_mend(struct salvage *s);

/* Whether the new file has this message. */
bool salvage_keeps(const struct salvage *s, const struct sq_image_message *message);

/* Write the new file's header and frames. */
int salvage_write(const struct salvage *s, struct sq_file_out *out);

#endif
