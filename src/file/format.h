/*
 * format.h - the format of files: snapshots and journals.
 *
 *     +--------+-------+-------+-----+-------+-------+
 *     | header | frame | frame | ... | frame | frame |      each frame: its header,
 *     +--------+-------+-------+-----+-------+-------+      `bytes` of content, padding
 *     0        4096                                         to a multiple of 8
 *
 * A snapshot is a header and the frames of the base, of which the last says so
 * (SQ_FRAME_BASE).  A journal is a snapshot with frames appended as things happen.
 * Nothing is ever changed in place: a file is replaced whole, by rename, or appended to.
 *
 * Byte order is the machine's, as in the segment; `order` tells a foreign file.  Checks
 * are CRC-32C: a frame's over the file's salt and the rest of the frame's header, in which
 * is another one of the content.  What looks like a frame within a payload, or was left by
 * an earlier file in the same blocks, is none, and told to be none by its first 32 bytes.
 *
 * What a crash leaves.  Frames up to a call of fdatasync() that returned are there.  Of
 * what was written after it each sector may be there or not, so that a frame may be torn,
 * and others after it whole.  Each frame says how much of the file was known to be on the
 * disk when it was written (synced_off).  So a reader that meets what is no frame looks
 * for one further on that says that offset had been on the disk: if there is one the file
 * is damaged; if not, its end was torn off, and the file ends there.
 *
 * What is in the frames.  Messages as records of the ring (layout.h), each by its id; a
 * later one with the same id and SQ_RECORD_COPY is an update, true when a mark says so.
 * Groups by their number: their positions as ids, and their pending entries by number, each
 * as it is then (not what changed in it), so that reading a frame twice does no harm.
 * Times are CLOCK_MONOTONIC of the session, whose frame tells how to make them
 * CLOCK_REALTIME: what was due while the machine was off is due.
 */
#ifndef SQ_FORMAT_H
#define SQ_FORMAT_H

#include "layout.h"

#define SQ_FILE_MAGIC  "shmqfile"
#define SQ_FILE_FORMAT 2u
#define SQ_FILE_ORDER  0x01020304u

enum { SQ_FILE_HEADER_BYTES = 4096, SQ_FRAME_ALIGN = 8 };

/* At offset 0; written once.  `check` covers the bytes before it. */
struct sq_file_header {
    char magic[8];
    uint32_t order;
    uint32_t format;
    uint32_t header_bytes; /* where the first frame begins */
    uint32_t incompatible; /* features that a reader must know; 0 */
    uint64_t salt;         /* random, of this file alone */
    uint64_t generation;   /* one more than that of the file it replaced */
    int64_t written_ns;    /* CLOCK_REALTIME */
    int64_t created_ns;    /* of the queue, CLOCK_REALTIME */
    char queue[208];       /* its name */
    /* What the queue was created with, as in sq_header_shm. */
    uint64_t capacity_bytes;
    uint64_t max_messages;
    uint64_t max_message_bytes;
    uint32_t full;
    uint32_t mode;
    uint32_t queue_order;
    uint32_t kind;
    uint32_t group_count;
    uint32_t entry_count;
    uint32_t compress_bytes;
    uint32_t reserved;
    struct sq_policy_shm policy;
    uint32_t check;
};

/* Before each frame's content. */
struct sq_frame {
    uint32_t check;         /* of the salt and what follows here */
    uint32_t kind;          /* enum sq_frame_kind */
    uint32_t bytes;         /* of content */
    uint32_t content_check; /* of that */
    uint64_t number;        /* 1, 2, ... in the file */
    uint64_t synced_off;    /* the file was on the disk up to there when this was written */
};

enum sq_frame_kind {
    SQ_FRAME_SESSION = 1, /* struct sq_frame_session: of the times that follow */
    SQ_FRAME_QUEUE = 2,   /* struct sq_frame_queue: what was put from next_id on, and is in the
                             file before here, was not put */
    SQ_FRAME_GROUP = 3,   /* struct sq_frame_group: there is this group, with no entries, or
                             (keeps_entries) with those it has had */
    SQ_FRAME_ENTRIES = 4, /* struct sq_frame_entries and items: so it is with these now */
    SQ_FRAME_UNGROUP = 5, /* struct sq_frame_entries, count 0: there is no such group */
    SQ_FRAME_RECORDS = 6, /* whole records in a row */
    SQ_FRAME_MARK = 7,    /* struct sq_frame_mark: a message is removed, or updated */
    SQ_FRAME_BASE = 8,    /* no content: the base is complete */
    SQ_FRAME_KINDS = 9,
};

struct sq_frame_session {
    int64_t realtime_ns; /* CLOCK_REALTIME less CLOCK_MONOTONIC */
};

struct sq_frame_queue {
    uint64_t next_id; /* records may follow */
    uint64_t part_id;
    uint64_t put_bytes;
    uint64_t reserved;
};

struct sq_frame_group {
    uint32_t group; /* its number */
    uint32_t mode;  /* SQ_GROUP_PAUSED, SQ_GROUP_NAMED, SQ_GROUP_FILTERED */
    uint64_t finished_id;
    uint64_t start_id;
    uint64_t back_seq;
    struct sq_policy_shm policy;
    uint32_t filter_type;
    uint32_t keeps_entries; /* 1: it is there already, and only what is said here is new */
    char name[SHMQ_GROUP_LONGEST + 1];
    char filter_key[128];
    char filter_header[256];
    char filter_value[256];
    uint64_t got_bytes, dropped_count, purged_count;
    uint64_t delivered_count, redelivered_count, acked_count, nacked_count;
    uint64_t lost_lease_count, dead_count, expired_count, filtered_count;
    uint64_t removed_count, sent_count;
    uint64_t dead_by_reason[8];
};

/* The group's position, and how it is with `count` of its entries. */
struct sq_frame_entries {
    uint32_t group;
    uint32_t count;
    uint64_t finished_id; /* the cursor has passed all up to this one */
    uint64_t back_seq;
    uint64_t acked_count;
    uint64_t got_bytes;
};

struct sq_frame_item {
    uint32_t entry;
    uint32_t reason;
    uint64_t word; /* as sq_entry_shm's; its owner means nothing any more */
    uint64_t id;
    int64_t at_ns;
    uint64_t seq;
};

/* Entry number `e`, whose word is `word`, as an item. */
static inline struct sq_frame_item sq_frame_item_of(uint32_t e, const struct sq_entry_shm *entry,
                                                    uint64_t word)
{
    return (struct sq_frame_item){
        .entry = e,
        .reason = entry->reason,
        .word = word,
        .id = entry->id,
        .at_ns = entry->at_ns,
        .seq = entry->seq,
    };
}

enum { SQ_MARK_GONE = 1, SQ_MARK_UPDATED = 2 };

struct sq_frame_mark {
    uint32_t what;
    uint32_t reserved;
    uint64_t id; /* updated: the last copy with this id before here holds */
};

/* As SQ_FORMAT_ASSERT (layout.h), for files. */
#define SQ_FILE_ASSERT(format, type, bytes)                                                        \
    static_assert(SQ_FILE_FORMAT == (format) && sizeof(struct type) == (bytes), #type)
SQ_FILE_ASSERT(2, sq_file_header, 600);
SQ_FILE_ASSERT(2, sq_frame, 32);
SQ_FILE_ASSERT(2, sq_frame_session, 8);
SQ_FILE_ASSERT(2, sq_frame_queue, 32);
SQ_FILE_ASSERT(2, sq_frame_group, 1184);
SQ_FILE_ASSERT(2, sq_frame_entries, 40);
SQ_FILE_ASSERT(2, sq_frame_item, 40);
SQ_FILE_ASSERT(2, sq_frame_mark, 16);
SQ_FILE_ASSERT(2, sq_policy_shm, 272);
static_assert(sizeof(struct sq_file_header) <= SQ_FILE_HEADER_BYTES, "the header fits");

/* Ring bytes per frame of records are at most this and one record. */
#define SQ_FRAME_RECORDS_BYTES ((uint32_t)1 << 20)

static inline uint64_t sq_frame_total(uint32_t bytes)
{
    return sizeof(struct sq_frame) +
           (((uint64_t)bytes + SQ_FRAME_ALIGN - 1) & ~(uint64_t)(SQ_FRAME_ALIGN - 1));
}

/* --- writing --------------------------------------------------------------- */

/* Part of a frame's content. */
struct sq_piece {
    const void *data;
    size_t bytes;
};

/*
 * Fill in a frame's header for content in up to SQ_PIECES_MAX pieces, which are written
 * one after another behind it, and then sq_frame_padding(bytes) zeros.
 */
enum { SQ_PIECES_MAX = 4 };
void sq_frame_make(struct sq_frame *frame, uint64_t salt, enum sq_frame_kind kind, uint64_t number,
                   uint64_t synced_off, const struct sq_piece *pieces, unsigned count);

static inline size_t sq_frame_padding(uint32_t bytes)
{
    return (size_t)(-bytes & (SQ_FRAME_ALIGN - 1));
}

/* The header's magic, format, order and check. */
void sq_file_header_seal(struct sq_file_header *header);

/* --- reading --------------------------------------------------------------- */

/* A file's bytes, mapped or read; they may be anything, and change meanwhile only if
 * somebody writes to the file against the rules. */
struct sq_reader {
    const unsigned char *bytes;
    uint64_t size;
    uint64_t off;    /* of the next frame */
    uint64_t number; /* of the last one */
    uint64_t salt;
};

/*
 * Check the header, and stand before the first frame.  0; -EPROTO no such file, of
 * another byte order, or of a format or features that are not known; -EBADMSG it is one,
 * damaged.  The detail (base/error.h) says what and where.
 */
int sq_reader_begin(struct sq_reader *reader, const void *bytes, uint64_t size);

static inline const struct sq_file_header *sq_reader_header(const struct sq_reader *reader)
{
    return (const struct sq_file_header *)(const void *)reader->bytes;
}

enum sq_read {
    SQ_READ_END = 0,   /* no more: the file ends behind the last frame (or in zeros) */
    SQ_READ_FRAME = 1, /* *frame, whole and right; its content follows it */
    SQ_READ_TORN = 2,  /* what follows at reader->off is no frame and was never known to be on
                          the disk: the file ends there */
    SQ_READ_BAD = 3,   /* likewise, but was on the disk: damage */
};

enum sq_read sq_reader_next(struct sq_reader *reader, const struct sq_frame **frame);

/* The steps of that, for those who read on after damage.  Whether the next frame stands
 * here, whole and right: then step over it.  And whether nothing else comes but zeros. */
bool sq_reader_step(struct sq_reader *reader, const struct sq_frame **frame);
bool sq_reader_is_at_end(const struct sq_reader *reader);

/* What is wrong here, where there is no such frame. */
const char *sq_reader_wrong(const struct sq_reader *reader);

/* There: step over the next frame if its header is right, and its content not.  NULL: it
 * is not. */
const struct sq_frame *sq_reader_pass(struct sq_reader *reader);

/* There: stand before the next frame whose header is right, if there is one. */
bool sq_reader_skip(struct sq_reader *reader);

static inline const void *sq_frame_content(const struct sq_frame *frame)
{
    return frame + 1;
}

/* Whether this is the header of a frame, as written to the file with this salt; and
 * whether these bytes, as many as it says, are the frame's content. */
bool sq_frame_is_head(const struct sq_frame *frame, uint64_t salt);
bool sq_frame_is_content(const struct sq_frame *frame, const void *content);

/*
 * Whether a frame's content has the shape that its kind wants: lengths, counts, numbers
 * and enums, names, whole records with ids of their own and whole extensions.  NULL, or
 * what is wrong.  Unknown kinds are.
 */
const char *sq_frame_valid(const struct sq_file_header *header, const struct sq_frame *frame);

#endif
