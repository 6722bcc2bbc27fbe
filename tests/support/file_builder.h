/*
 * file_builder.h - files of queues' contents (file/format.h), made frame by frame in memory.
 *
 * Used by the tests of frames and images, by the fuzzer's harness for its corpus, and
 * by make_corpus for the tests of the tools.
 */
#ifndef FILE_BUILDER_H
#define FILE_BUILDER_H

#include "file/format.h"

enum { MADE_MAX = 1 << 20, MADE_SALT = 0x5a17 };

/* A header, and frames up to `size`. */
struct made_file {
    unsigned char *bytes; /* MADE_MAX, of malloc() */
    uint64_t size;
    uint64_t number; /* of the last frame */
    uint64_t synced_off;
    struct sq_file_header *header; /* in `bytes`; seal it after a change */
};

/* A plain queue without messages; those up to `finished_id` are finished. */
void made_empty(struct made_file *f, uint64_t finished_id);

/* A plain queue's header, or with SHMQ_TOPIC a topic's; nothing else. */
void made_begin(struct made_file *f, uint32_t kind);
void made_free(struct made_file *f);

/* Append a frame; its offset. */
uint64_t made_frame(struct made_file *f, enum sq_frame_kind kind, const void *content,
                    size_t bytes);
uint64_t made_session(struct made_file *f, int64_t realtime_ns);
uint64_t made_queue(struct made_file *f, uint64_t next_id);
uint64_t made_group(struct made_file *f, uint32_t group, const char *name, uint64_t finished_id);
uint64_t made_ungroup(struct made_file *f, uint32_t group);
uint64_t made_mark(struct made_file *f, uint32_t what, uint64_t id);
uint64_t made_base(struct made_file *f);

/* One record with a text; `tag` as in the ring, `id` with its marks. */
uint64_t made_record(struct made_file *f, uint64_t id, uint32_t tag, const char *text);

/* One entry: of this number, with a message in a state. */
uint64_t made_entry(struct made_file *f, uint32_t group, uint64_t finished_id, uint32_t entry,
                    uint32_t state, uint64_t id);

/* A whole file with all kinds of frames: messages 1 to 6, of which 2 is updated and 3 and
 * 4 are gone; group 0 holds 1 (waiting) and 5 (dead).  A topic has another group. */
void made_sample(struct made_file *f, uint32_t kind);

#endif
