/*
 * header.c - see header.h: laying out a new segment, and checking what somebody laid out.
 */
#include "header.h"

#include <inttypes.h>
#include <unistd.h>

#include "error.h"
#include "keys.h"

static uint64_t check_of(const struct sq_header_shm *header)
{
    /* FNV-1a: finds any one changed byte for certain. */
    const unsigned char *bytes = (const unsigned char *)header;
    uint64_t sum = 0xcbf29ce484222325u;

    for (size_t i = 0; i < offsetof(struct sq_header_shm, check); i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

void sq_header_lay_out(struct sq_header_shm *h, const struct shmq_attr *attr)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    *h = (struct sq_header_shm){
        .magic = SQ_MAGIC,
        .format = SQ_FORMAT,
        .header_bytes = sizeof(*h),
        .lock_stamp = SQ_LOCK_STAMP,
        .cond_stamp = sq_cond_stamp(),
        .full = attr->full,
        .mode = attr->mode,
        .slot_count = SQ_SLOT_COUNT,
        .slot_bytes = sizeof(struct sq_slot_shm),
        .group_count = attr->max_groups,
        .group_bytes = sizeof(struct sq_group_shm),
        .order = attr->order,
        .kind = attr->kind,
        .entry_count = attr->pending_count,
        .compress_bytes = attr->compress_bytes,
        .pending_bytes = sq_table_bytes(attr->pending_count),
        .policy = attr->policy,
        .control_off = SQ_CONTROL_OFF,
        .producer_off = SQ_PRODUCER_OFF,
        .capacity_bytes = attr->capacity_bytes,
        .max_messages = attr->max_messages,
        .max_message_bytes = attr->max_message_bytes,
        .created_ns = sq_clock_read(CLOCK_REALTIME),
    };
    h->file_off = sq_align_up(h->producer_off + sizeof(struct sq_producer_shm), SQ_SEPARATE);
    h->slots_off = sq_align_up(h->file_off + sizeof(struct sq_file_shm), SQ_SEPARATE);
    h->groups_off = sq_align_up(h->slots_off + h->slot_count * h->slot_bytes, SQ_SEPARATE);
    h->pending_off = sq_align_up(h->groups_off + h->group_count * h->group_bytes, SQ_SEPARATE);
    h->keys_off = h->pending_off + h->group_count * h->pending_bytes;
    if ((attr->kind & SHMQ_UNIQUE) != 0)
        h->key_count =
            sq_keys_count(h->capacity_bytes / (SQ_RECORD_HEADER_BYTES + SQ_EXTENSION_BYTES));
    h->ring_off = sq_align_up(h->keys_off + h->key_count * sizeof(struct sq_key_shm), page);
    h->total_bytes = h->ring_off + h->capacity_bytes;
    h->check = check_of(h);
}

static bool part_fits(uint64_t off, uint64_t count, uint64_t bytes, uint64_t align, uint64_t end)
{
    return off % align == 0 && off <= end && bytes != 0 && count <= (end - off) / bytes;
}

int sq_header_check(const struct sq_header_shm *h, uint64_t object_bytes, bool read_only)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), ring = h->ring_off;

    if (memcmp(h->magic, SQ_MAGIC, sizeof(h->magic)) != 0)
        return sq_fail(-EPROTO, "not a shmq queue: wrong magic");
    if (h->format != SQ_FORMAT)
        return sq_fail(-EPROTO, "format %u; this library knows format %d", h->format, SQ_FORMAT);
    if (h->check != check_of(h))
        return sq_fail(-EBADMSG, "the header's check sum is wrong");
    if ((h->incompatible & ~(uint32_t)SQ_INCOMPATIBLE_KNOWN) != 0 ||
        (!read_only && (h->read_compatible & ~(uint32_t)SQ_READ_COMPATIBLE_KNOWN) != 0))
        return sq_fail(-EPROTO, "the queue uses features this library does not know (%#x, %#x)",
                       h->incompatible, h->read_compatible);
    if (h->lock_stamp != SQ_LOCK_STAMP || h->cond_stamp != sq_cond_stamp())
        return sq_fail(-EPROTO,
                       "the queue was made by a library with another lock or SYNC "
                       "(lock %#x, ours %#x; cond %u, ours %u)",
                       h->lock_stamp, SQ_LOCK_STAMP, h->cond_stamp, sq_cond_stamp());
    if (h->header_bytes != sizeof(*h) || h->slot_bytes != sizeof(struct sq_slot_shm) ||
        h->group_bytes != sizeof(struct sq_group_shm) || h->slot_count == 0 ||
        h->group_count == 0 || h->total_bytes != object_bytes || h->capacity_bytes < page ||
        (h->capacity_bytes & (h->capacity_bytes - 1)) != 0 ||
        h->capacity_bytes > SQ_CAPACITY_MOST || ring % page != 0 || ring > object_bytes ||
        h->capacity_bytes != object_bytes - ring ||
        h->max_message_bytes > h->capacity_bytes - SQ_RECORD_HEADER_BYTES ||
        h->full > SHMQ_FULL_DROP || h->order > SHMQ_PRIORITY || h->group_count > SQ_GROUPS_MOST ||
        h->entry_count == 0 || h->entry_count > SQ_PENDING_MOST ||
        h->pending_bytes != sq_table_bytes(h->entry_count) ||
        (h->key_count & (h->key_count - 1)) != 0 ||
        (h->key_count != 0) != ((h->kind & SHMQ_UNIQUE) != 0) ||
        !part_fits(h->control_off, 1, sizeof(struct sq_control_shm), SQ_SEPARATE, ring) ||
        !part_fits(h->producer_off, 1, sizeof(struct sq_producer_shm), SQ_SEPARATE, ring) ||
        !part_fits(h->file_off, 1, sizeof(struct sq_file_shm), SQ_SEPARATE, ring) ||
        !part_fits(h->slots_off, h->slot_count, h->slot_bytes, SQ_LINE, ring) ||
        !part_fits(h->groups_off, h->group_count, h->group_bytes, SQ_SEPARATE, ring) ||
        !part_fits(h->pending_off, h->group_count, h->pending_bytes, SQ_SEPARATE, ring) ||
        !part_fits(h->keys_off, h->key_count, sizeof(struct sq_key_shm), SQ_LINE, ring))
        return sq_fail(-EPROTO, "the parts of the queue do not fit its %" PRIu64 " bytes",
                       object_bytes);
    return 0;
}
