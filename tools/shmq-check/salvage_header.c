/*
 * salvage_header.c - the header of a damaged file: whole, or what can be known of it.
 *
 * Without the header's salt no frame can be told from what only looks like one.  But the
 * salt is no more than where the sum over a frame's header begins: 32 bits, which each
 * frame gives away, since a sum can be taken back.  The first frame stands at an offset that
 * is known; another is believed if the one behind it goes by the same salt.
 */
#include <errno.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "persist/restore.h"
#include "segment/segment_attr.h"
#include "shmq-check/salvage.h"

/* --- the salt ------------------------------------------------------------------- */

/* Eight bytes after which the sum is `state`. */
static uint64_t salt_of(uint32_t state)
{
    static const unsigned char zeros[4];
    uint32_t last =
        sq_crc32c(0, zeros, sizeof(zeros)) ^ sq_crc32c_before(state, zeros, sizeof(zeros));
    unsigned char bytes[8] = {0};
    uint64_t salt;

    for (int i = 0; i < 4; i++)
        bytes[4 + i] = (unsigned char)(last >> 8 * i);
    memcpy(&salt, bytes, sizeof(salt));
    return salt;
}

/* The salt by which what stands there is a frame. */
static uint64_t salt_by(const struct sq_frame *frame)
{
    return salt_of(sq_crc32c_before(frame->check, &frame->kind,
                                    sizeof(*frame) - offsetof(struct sq_frame, kind)));
}

/* Whether what stands at `off` is a whole frame by some salt, and (`followed`) another one
 * goes by it as well, right behind. */
static bool tells_salt(const struct sq_reader *r, uint64_t off, bool followed, uint64_t *salt)
{
    const struct sq_frame *frame = (const void *)(r->bytes + off);
    struct sq_reader next = *r;

    if (frame->kind == 0 || frame->kind >= SQ_FRAME_KINDS || frame->number == 0 ||
        frame->synced_off > off || sq_frame_total(frame->bytes) > r->size - off ||
        frame->number - 1 > (off - SQ_FILE_HEADER_BYTES) / sizeof(*frame))
        return false;
    *salt = next.salt = salt_by(frame);
    next.off = off + sq_frame_total(frame->bytes);
    next.number = frame->number;
    if (followed && sq_reader_pass(&next) == NULL)
        return false;
    return frame->content_check == sq_crc32c(0, frame + 1, frame->bytes);
}

/* The salt of the frames that are there; false: there are none. */
static bool find_salt(struct sq_reader *r)
{
    struct sq_reader look = *r;
    const struct sq_frame *frame;

    if (sq_reader_step(&look, &frame) || sq_reader_pass(&look) != NULL || sq_reader_skip(&look))
        return true; /* what the header says is right */
    for (uint64_t off = r->off; off < r->size && r->size - off >= sizeof(*frame);
         off += SQ_FRAME_ALIGN)
        if (tells_salt(r, off, true, &r->salt))
            return true;
    /* A single one, where the first stands. */
    return r->size - r->off >= sizeof(*frame) && tells_salt(r, r->off, false, &r->salt);
}

/* --- finding the header ------------------------------------------------------------ */

/* Whether the header says of itself, and rightly, that it is of another format. */
static bool is_foreign(const struct sq_file_header *h)
{
    return memcmp(h->magic, SQ_FILE_MAGIC, sizeof(h->magic)) == 0 &&
           h->check == sq_crc32c(0, h, offsetof(struct sq_file_header, check)) &&
           (h->order != SQ_FILE_ORDER || h->format != SQ_FILE_FORMAT || h->incompatible != 0);
}

int salvage_head(struct salvage *s, const void *bytes, uint64_t size)
{
    size_t there = size < sizeof(s->header) ? size : sizeof(s->header);
    struct shmq_attr attr;
    int rc = sq_reader_begin(&s->reader, bytes, size);

    if (there > 0)
        memcpy(&s->header, bytes, there);
    if (rc == 0 && sq_restore_header(&s->header, &attr) < 0)
        s->header_wrong = "the header's attributes make no sense";
    if (rc == 0)
        return 0;
    if (size < SQ_FILE_HEADER_BYTES) {
        s->header_wrong = "the header is cut";
        size_t magic = size < sizeof(s->header.magic) ? size : sizeof(s->header.magic);
        return memcmp(s->header.magic, SQ_FILE_MAGIC, magic) == 0 ? 0 : rc;
    }
    if (is_foreign(&s->header))
        return rc;
    s->header_wrong = "the header is damaged";
    s->reader = (struct sq_reader){
        .bytes = bytes, .size = size, .off = SQ_FILE_HEADER_BYTES, .salt = s->header.salt};
    return find_salt(&s->reader) || rc != -EPROTO ? 0 : rc;
}

/* --- what can be believed ------------------------------------------------------------ */

enum { CAPACITY_MIN = 1 << 20, ENTRIES_MIN = 1024, GROUPS_MIN = 16 };

static uint64_t power_of_two(uint64_t least)
{
    uint64_t n = CAPACITY_MIN;

    while (n < least && n < SQ_CAPACITY_MAX)
        n *= 2;
    return n;
}

static bool is_capacity(uint64_t bytes)
{
    return bytes >= 4096 && bytes <= SQ_CAPACITY_MAX && (bytes & (bytes - 1)) == 0;
}

static void believe_sizes(struct sq_file_header *h, const struct salvage_facts *f)
{
    if (!is_capacity(h->capacity_bytes) || h->capacity_bytes < 2 * f->longest_bytes)
        h->capacity_bytes = power_of_two(2 * f->record_bytes);
    if (h->max_messages > h->capacity_bytes / SQ_RECORD_HEADER_BYTES)
        h->max_messages = 0;
    if (h->max_message_bytes > h->capacity_bytes - SQ_RECORD_HEADER_BYTES ||
        h->max_message_bytes + SQ_RECORD_HEADER_BYTES < f->longest_bytes)
        h->max_message_bytes = 0;
    if (h->group_count == 0 || h->group_count > SQ_GROUPS_MAX)
        h->group_count = GROUPS_MIN;
    if (h->group_count < f->group_count)
        h->group_count = f->group_count;
    if ((h->kind & SHMQ_TOPIC) == 0)
        h->group_count = 1;
    if (h->entry_count == 0 || h->entry_count > SQ_ENTRIES_MAX)
        h->entry_count = ENTRIES_MIN;
    if (h->entry_count < f->entry_count)
        h->entry_count = f->entry_count;
}

static void believe_policy(struct sq_file_header *h, const struct salvage_facts *f)
{
    struct sq_policy_shm policy;

    if (f->has_policy && (h->kind & SHMQ_TOPIC) == 0)
        h->policy = f->policy;
    if (sq_segment_policy(&h->policy, &policy) < 0)
        h->policy = (struct sq_policy_shm){0};
}

bool salvage_is_name(const char *name)
{
    struct sq_path path;

    return name[0] != '/' && sq_segment_path(name, &path) == 0; /* which takes one off */
}

void salvage_believe(struct salvage *s)
{
    struct sq_file_header *h = &s->header;
    const struct salvage_facts *f = &s->facts;
    struct shmq_attr attr;

    h->queue[sizeof(h->queue) - 1] = '\0';
    if (!salvage_is_name(h->queue))
        memcpy(h->queue, "salvaged", sizeof("salvaged"));
    h->kind &= SHMQ_TOPIC | SHMQ_UNIQUE;
    if (f->group_count > 0)
        h->kind = f->is_topic ? SHMQ_TOPIC : h->kind & SHMQ_UNIQUE;
    h->incompatible = 0;
    h->mode = 0600; /* one wrong bit might let others in */
    h->full = h->full > SHMQ_FULL_DROP ? SHMQ_FULL_BLOCK : h->full;
    h->queue_order = h->queue_order > SHMQ_PRIORITY ? SHMQ_FIFO : h->queue_order;
    h->compress_bytes = 0;
    believe_sizes(h, f);
    believe_policy(h, f);
    if (sq_restore_header(h, &attr) < 0) { /* one contradicts another */
        h->max_messages = h->max_message_bytes = 0;
        h->kind &= SHMQ_TOPIC;
    }
}
