/*
 * file_builder.c - see file_builder.h.
 */
#include "support/file_builder.h"

#include <stdlib.h>
#include <string.h>

void made_begin(struct made_file *f, uint32_t kind)
{
    *f = (struct made_file){.bytes = calloc(1, MADE_MAX), .size = SQ_FILE_HEADER_BYTES};
    if (f->bytes == NULL)
        abort();
    f->header = (void *)f->bytes;
    *f->header = (struct sq_file_header){
        .salt = MADE_SALT,
        .generation = 1,
        .queue = "made",
        .capacity_bytes = 65536,
        .max_message_bytes = 65536 - SQ_RECORD_HEADER_BYTES,
        .mode = 0600,
        .kind = kind,
        .group_count = (kind & SHMQ_TOPIC) != 0 ? 4 : 1,
        .entry_count = 64,
        .policy = {.lease_ns = SHMQ_SEC(30), .retry_max_ns = SHMQ_SEC(60), .retry_factor = 2},
    };
    sq_file_header_seal(f->header);
}

void made_free(struct made_file *f)
{
    free(f->bytes);
    f->bytes = NULL;
}

uint64_t made_frame(struct made_file *f, enum sq_frame_kind kind, const void *content, size_t bytes)
{
    const struct sq_piece pieces[2] = {{content, bytes / 2},
                                       {(const char *)content + bytes / 2, bytes - bytes / 2}};
    uint64_t off = f->size;
    struct sq_frame frame;

    if (MADE_MAX - off < sq_frame_total((uint32_t)bytes))
        abort();
    sq_frame_make(&frame, f->header->salt, kind, ++f->number, f->synced_off, pieces,
                  bytes == 0 ? 0 : 2);
    memcpy(f->bytes + off, &frame, sizeof(frame));
    if (bytes > 0)
        memcpy(f->bytes + off + sizeof(frame), content, bytes);
    memset(f->bytes + off + sizeof(frame) + bytes, 0, sq_frame_padding((uint32_t)bytes));
    f->size += sq_frame_total((uint32_t)bytes);
    return off;
}

uint64_t made_session(struct made_file *f, int64_t realtime_ns)
{
    struct sq_frame_session session = {realtime_ns};

    return made_frame(f, SQ_FRAME_SESSION, &session, sizeof(session));
}

uint64_t made_queue(struct made_file *f, uint64_t next_id)
{
    struct sq_frame_queue queue = {.next_id = next_id, .part_id = 1};

    return made_frame(f, SQ_FRAME_QUEUE, &queue, sizeof(queue));
}

uint64_t made_group(struct made_file *f, uint32_t group, const char *name, uint64_t finished_id)
{
    struct sq_frame_group g = {.group = group,
                               .mode = name[0] != '\0' ? SQ_GROUP_NAMED : 0,
                               .finished_id = finished_id,
                               .start_id = 1,
                               .policy = f->header->policy};

    strncpy(g.name, name, sizeof(g.name) - 1);
    return made_frame(f, SQ_FRAME_GROUP, &g, sizeof(g));
}

uint64_t made_ungroup(struct made_file *f, uint32_t group)
{
    struct sq_frame_entries e = {.group = group};

    return made_frame(f, SQ_FRAME_UNGROUP, &e, sizeof(e));
}

uint64_t made_mark(struct made_file *f, uint32_t what, uint64_t id)
{
    struct sq_frame_mark mark = {.what = what, .id = id};

    return made_frame(f, SQ_FRAME_MARK, &mark, sizeof(mark));
}

uint64_t made_base(struct made_file *f)
{
    return made_frame(f, SQ_FRAME_BASE, NULL, 0);
}

uint64_t made_record(struct made_file *f, uint64_t id, uint32_t tag, const char *text)
{
    unsigned char bytes[1024] = {0};
    struct sq_record_shm head = {.length = (uint32_t)strlen(text), .tag = tag, .put_ns = 1000};

    sq_store(&head.id, id);
    if (head.length > sizeof(bytes) - sizeof(head))
        abort();
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), text, head.length);
    return made_frame(f, SQ_FRAME_RECORDS, bytes,
                      sq_align_up(sizeof(head) + head.length, SQ_RECORD_ALIGN));
}

uint64_t made_entry(struct made_file *f, uint32_t group, uint64_t finished_id, uint32_t entry,
                    uint32_t state, uint64_t id)
{
    const struct {
        struct sq_frame_entries head;
        struct sq_frame_item item;
    } content = {
        {.group = group, .count = 1, .finished_id = finished_id},
        {.entry = entry, .word = state, .id = id, .at_ns = 500, .seq = id << 8},
    };

    return made_frame(f, SQ_FRAME_ENTRIES, &content, sizeof(content));
}

void made_empty(struct made_file *f, uint64_t finished_id)
{
    made_begin(f, 0);
    made_session(f, 0);
    made_group(f, 0, "", finished_id);
    made_base(f);
}

void made_sample(struct made_file *f, uint32_t kind)
{
    bool topic = (kind & SHMQ_TOPIC) != 0;

    made_begin(f, kind);
    made_session(f, 1000000);
    made_record(f, 1, 0, "one");
    made_record(f, 2, 0, "two");
    made_group(f, 0, topic ? "first" : "", 1);
    made_entry(f, 0, 1, 0, SQ_WAITING, 1);
    if (topic)
        made_group(f, 3, "other", 0);
    made_queue(f, 3);
    made_base(f);
    made_record(f, 3, SQ_RECORD_SAMPLED, "three");
    made_record(f, SQ_ID_GONE | 4, 0, "");
    made_record(f, 2, SQ_RECORD_COPY, "two, anew");
    made_mark(f, SQ_MARK_UPDATED, 2);
    made_mark(f, SQ_MARK_GONE, 3);
    made_record(f, 5, 0, "five");
    made_entry(f, 0, 5, 1, SQ_PARKED, 5);
    if (topic) {
        made_group(f, 1, "third", 5);
        made_ungroup(f, 1);
    }
    made_record(f, 6, 0, "six");
}
