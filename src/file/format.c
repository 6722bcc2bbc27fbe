/*
 * format.c - see format.h: making frames, reading them, telling a torn end from damage.
 */
#include "file/format.h"

#include <string.h>

#include "base/crc.h"
#include "base/error.h"

/* --- writing --------------------------------------------------------------- */

/* Over the salt, and the frame's header behind `check`. */
static uint32_t check_head(const struct sq_frame *frame, uint64_t salt)
{
    uint32_t crc = sq_crc32c(0, &salt, sizeof(salt));

    return sq_crc32c(crc, &frame->kind, sizeof(*frame) - offsetof(struct sq_frame, kind));
}

void sq_frame_make(struct sq_frame *frame, uint64_t salt, enum sq_frame_kind kind, uint64_t number,
                   uint64_t synced_off, const struct sq_piece *pieces, unsigned count)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += pieces[i].bytes;
    *frame = (struct sq_frame){
        .kind = kind, .bytes = (uint32_t)bytes, .number = number, .synced_off = synced_off};
    for (unsigned i = 0; i < count; i++)
        frame->content_check = sq_crc32c(frame->content_check, pieces[i].data, pieces[i].bytes);
    frame->check = check_head(frame, salt);
}

void sq_file_header_seal(struct sq_file_header *header)
{
    memcpy(header->magic, SQ_FILE_MAGIC, sizeof(header->magic));
    header->order = SQ_FILE_ORDER;
    header->format = SQ_FILE_FORMAT;
    header->header_bytes = SQ_FILE_HEADER_BYTES;
    header->check = sq_crc32c(0, header, offsetof(struct sq_file_header, check));
}

/* --- the header ------------------------------------------------------------ */

/* Of a queue or a group: as segments want them; perhaps empty. */
static bool is_name(const char *name, size_t room)
{
    size_t length = strnlen(name, room);

    for (size_t i = 0; i < length; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
              (name[i] >= '0' && name[i] <= '9') || strchr("._-", name[i]) != NULL))
            return false;
    return length < room;
}

/* What would lead the reader astray.  NULL, or what it is. */
static const char *header_valid(const struct sq_file_header *h)
{
    if (!is_name(h->queue, SHMQ_NAME_LONGEST + 1) || h->queue[0] == 0)
        return "the queue's name";
    if (h->capacity_bytes == 0 || (h->capacity_bytes & (h->capacity_bytes - 1)) != 0)
        return "the capacity";
    if (h->group_count == 0 || h->group_count > SQ_GROUPS_MAX || h->entry_count > SQ_ENTRIES_MAX)
        return "the number of groups or entries";
    if (h->queue_order > SHMQ_PRIORITY || h->full > SHMQ_FULL_DROP)
        return "the order or full policy";
    if ((h->kind & ~(uint32_t)(SHMQ_TOPIC | SHMQ_UNIQUE)) != 0)
        return "the kind";
    return NULL;
}

int sq_reader_begin(struct sq_reader *reader, const void *bytes, uint64_t size)
{
    const struct sq_file_header *h = bytes;

    *reader = (struct sq_reader){.bytes = bytes, .size = size, .off = SQ_FILE_HEADER_BYTES};
    if (size < sizeof(h->magic) || memcmp(h->magic, SQ_FILE_MAGIC, sizeof(h->magic)) != 0)
        return sq_fail(-EPROTO, "not a file of shmq's");
    if (size < SQ_FILE_HEADER_BYTES)
        return sq_fail(-EBADMSG, "the file has %llu bytes, less than its header",
                       (unsigned long long)size);
    if (h->order != SQ_FILE_ORDER)
        return sq_fail(-EPROTO, "the file was written by a machine of another byte order");
    if (h->format != SQ_FILE_FORMAT || h->incompatible != 0)
        return sq_fail(-EPROTO, "the file has format %u, features %#x; this library knows %u",
                       h->format, h->incompatible, SQ_FILE_FORMAT);
    if (h->check != sq_crc32c(0, h, offsetof(struct sq_file_header, check)) ||
        h->header_bytes != SQ_FILE_HEADER_BYTES)
        return sq_fail(-EBADMSG, "the file's header is damaged (offset 0)");
    const char *wrong = header_valid(h);
    if (wrong != NULL)
        return sq_fail(-EBADMSG, "the file's header is damaged: %s (offset 0)", wrong);
    reader->salt = h->salt;
    return 0;
}

/* --- frames ---------------------------------------------------------------- */

static bool is_zero(const unsigned char *bytes, uint64_t n)
{
    while (n > 0 && *bytes == 0) {
        bytes++;
        n--;
    }
    return n == 0;
}

bool sq_frame_is_head(const struct sq_frame *frame, uint64_t salt)
{
    return frame->kind != 0 && frame->kind < SQ_FRAME_KINDS && frame->number != 0 &&
           frame->check == check_head(frame, salt);
}

bool sq_frame_is_content(const struct sq_frame *frame, const void *content)
{
    return frame->content_check == sq_crc32c(0, content, frame->bytes);
}

/* The frame at `off`, if there is one with a right header; its content may be torn. */
static const struct sq_frame *head_at(const struct sq_reader *reader, uint64_t off)
{
    const struct sq_frame *frame = (const void *)(reader->bytes + off);

    if (off > reader->size || reader->size - off < sizeof(*frame))
        return NULL;
    return sq_frame_is_head(frame, reader->salt) ? frame : NULL;
}

/* The frame at `off`, if there is a whole and right one. */
static const struct sq_frame *frame_at(const struct sq_reader *reader, uint64_t off)
{
    const struct sq_frame *frame = head_at(reader, off);

    if (frame == NULL || sq_frame_total(frame->bytes) > reader->size - off)
        return NULL;
    return sq_frame_is_content(frame, frame + 1) ? frame : NULL;
}

/*
 * Whether some frame from reader->off on says that this offset was on the disk (its header
 * does, be the content torn).  Most bytes are told to be none by their number, which is
 * greater than the last one's and not by much.
 */
static bool was_on_disk(const struct sq_reader *reader)
{
    for (uint64_t at = reader->off;
         at < reader->size && reader->size - at >= sizeof(struct sq_frame); at += SQ_FRAME_ALIGN) {
        const struct sq_frame *frame = (const void *)(reader->bytes + at);
        if (frame->number <= reader->number || frame->synced_off <= reader->off ||
            frame->synced_off > at ||
            frame->number - reader->number > (at - reader->off) / sizeof(*frame) + 1)
            continue;
        if (head_at(reader, at) != NULL)
            return true;
    }
    return false;
}

bool sq_reader_step(struct sq_reader *reader, const struct sq_frame **frame)
{
    *frame = frame_at(reader, reader->off);
    if (*frame == NULL || (*frame)->number != reader->number + 1)
        return false;
    reader->number++;
    reader->off += sq_frame_total((*frame)->bytes);
    return true;
}

bool sq_reader_is_at_end(const struct sq_reader *reader)
{
    return reader->off >= reader->size ||
           is_zero(reader->bytes + reader->off, reader->size - reader->off);
}

enum sq_read sq_reader_next(struct sq_reader *reader, const struct sq_frame **frame)
{
    if (reader->off >= reader->size)
        return SQ_READ_END;
    if (sq_reader_step(reader, frame))
        return SQ_READ_FRAME;
    if (was_on_disk(reader))
        return SQ_READ_BAD;
    return sq_reader_is_at_end(reader) ? SQ_READ_END : SQ_READ_TORN;
}

const char *sq_reader_wrong(const struct sq_reader *reader)
{
    const struct sq_frame *frame = head_at(reader, reader->off);
    uint64_t left = reader->size - reader->off;

    if (frame == NULL && left < sizeof(*frame))
        return "a frame's header is cut";
    if (frame == NULL)
        return is_zero(reader->bytes + reader->off, sizeof(*frame))
                   ? "zeros where a frame should be"
                   : "a frame's header is damaged";
    if (frame->number != reader->number + 1)
        return frame->number > reader->number ? "frames before this one are missing"
                                              : "a frame of earlier on";
    return sq_frame_total(frame->bytes) > left ? "a frame is cut" : "a frame's content is damaged";
}

const struct sq_frame *sq_reader_pass(struct sq_reader *reader)
{
    const struct sq_frame *frame = head_at(reader, reader->off);

    if (frame == NULL || frame->number != reader->number + 1 ||
        sq_frame_total(frame->bytes) > reader->size - reader->off)
        return NULL;
    reader->number++;
    reader->off += sq_frame_total(frame->bytes);
    return frame;
}

bool sq_reader_skip(struct sq_reader *reader)
{
    uint64_t least = reader->number + 2; /* here: more than what is wrong with the next one */

    for (uint64_t at = reader->off; at < reader->size; at += SQ_FRAME_ALIGN) {
        const struct sq_frame *frame = head_at(reader, at);
        if (frame != NULL && frame->number >= least) {
            reader->off = at;
            reader->number = frame->number - 1;
            return true;
        }
        least = reader->number + 1;
    }
    return false;
}

/* --- their content ---------------------------------------------------------- */

static bool is_id(uint64_t id)
{
    return id > 0 && id < SQ_ID_MAX;
}

static bool extension_valid(const struct sq_record_shm *record)
{
    const struct sq_extension_shm *e = (const void *)(record + 1);

    return record->length >= sizeof(*e) && e->bytes >= sizeof(*e) && e->bytes <= record->length &&
           e->bytes % SQ_RECORD_ALIGN == 0 && e->key_bytes <= e->bytes - sizeof(*e) &&
           e->header_bytes <= e->bytes - sizeof(*e) - e->key_bytes &&
           (e->flags & ~(uint32_t)SQ_EXTENSION_FLAGS_KNOWN) == 0;
}

static const char *records_valid(const struct sq_file_header *header, const void *content,
                                 uint32_t bytes)
{
    const unsigned char *at = content, *end = at + bytes;

    while (at < end) {
        const struct sq_record_shm *record = (const void *)at;
        if ((size_t)(end - at) < SQ_RECORD_HEADER_BYTES)
            return "a record is cut";
        uint64_t total =
            sq_align_up((uint64_t)record->length + SQ_RECORD_HEADER_BYTES, SQ_RECORD_ALIGN);
        if (total > (size_t)(end - at) || total > header->capacity_bytes)
            return "a record's length";
        if ((record->tag & ~(uint32_t)SQ_RECORD_TAG_KNOWN) != 0)
            return "a record's tag";
        if (!is_id(record->id & ~SQ_ID_GONE)) /* one that has moved has no id of its own */
            return "a record's id";
        if ((record->tag & SQ_RECORD_EXTENDED) != 0 && !extension_valid(record))
            return "a record's extension";
        at += total;
    }
    return NULL;
}

static const char *group_valid(const struct sq_file_header *header, const void *content,
                               uint32_t bytes)
{
    const struct sq_frame_group *g = content;

    if (bytes != sizeof(*g))
        return "a group's length";
    if (g->group >= header->group_count)
        return "a group's number";
    if (!is_name(g->name, sizeof(g->name)) ||
        ((header->kind & SHMQ_TOPIC) != 0) != (g->name[0] != 0) ||
        memchr(g->filter_key, 0, sizeof(g->filter_key)) == NULL ||
        memchr(g->filter_header, 0, sizeof(g->filter_header)) == NULL ||
        memchr(g->filter_value, 0, sizeof(g->filter_value)) == NULL)
        return "a group's name or filter";
    return NULL;
}

static const char *entries_valid(const struct sq_file_header *header, const void *content,
                                 uint32_t bytes)
{
    const struct sq_frame_entries *e = content;
    const struct sq_frame_item *items = (const void *)(e + 1);

    if (bytes < sizeof(*e) || e->group >= header->group_count ||
        (bytes - sizeof(*e)) / sizeof(*items) != e->count ||
        (bytes - sizeof(*e)) % sizeof(*items) != 0)
        return "the number of entries, or of their group";
    for (uint32_t i = 0; i < e->count; i++)
        if (items[i].entry >= header->entry_count || (items[i].word & 0xff) >= SQ_ENTRY_STATES)
            return "an entry's number or state";
    return NULL;
}

static const char *mark_valid(const void *content, uint32_t bytes)
{
    const struct sq_frame_mark *mark = content;

    if (bytes != sizeof(*mark) || (mark->what != SQ_MARK_GONE && mark->what != SQ_MARK_UPDATED) ||
        !is_id(mark->id))
        return "a mark";
    return NULL;
}

const char *sq_frame_valid(const struct sq_file_header *header, const struct sq_frame *frame)
{
    const void *content = sq_frame_content(frame);

    switch ((enum sq_frame_kind)frame->kind) {
    case SQ_FRAME_SESSION:
        return frame->bytes == sizeof(struct sq_frame_session) ? NULL : "a session's length";
    case SQ_FRAME_QUEUE:
        return frame->bytes == sizeof(struct sq_frame_queue) ? NULL : "the queue's length";
    case SQ_FRAME_GROUP:
        return group_valid(header, content, frame->bytes);
    case SQ_FRAME_UNGROUP:
        if (frame->bytes != sizeof(struct sq_frame_entries))
            return "the length of a group's end";
        return entries_valid(header, content, frame->bytes);
    case SQ_FRAME_ENTRIES:
        return entries_valid(header, content, frame->bytes);
    case SQ_FRAME_RECORDS:
        return records_valid(header, content, frame->bytes);
    case SQ_FRAME_MARK:
        return mark_valid(content, frame->bytes);
    case SQ_FRAME_BASE:
        return frame->bytes == 0 ? NULL : "the base's end";
    case SQ_FRAME_KINDS:
        break;
    }
    return "an unknown kind of frame";
}
