/*
 * record.c - see record.h.
 */
#include "ring/record.h"

/* Read the record at `pos`, which must end before `end`. */
SQ_HOT struct sq_record_shm *read_head(const struct sq_ring *ring, uint64_t pos, uint64_t end,
                                       struct sq_record_shm *head)
{
    uint64_t left = end - pos;

    if (left > ring->capacity_bytes || left < SQ_RECORD_HEADER_BYTES || pos % SQ_RECORD_ALIGN != 0)
        return NULL;
    struct sq_record_shm *record = sq_record_at(ring, pos);
    head->length = record->length;
    head->tag = record->tag;
    head->put_ns = record->put_ns;
    /* Pairs with the release in sq_record_move(): the update is there. */
    sq_store(&head->id, sq_load_acquire(&record->id));
    if (sq_record_bytes(head->length) > left || (head->tag & ~(uint32_t)SQ_RECORD_TAG_KNOWN) != 0)
        return NULL;
    return record;
}

uint64_t sq_record_end(const struct sq_ring *ring, uint64_t pos, uint64_t end)
{
    struct sq_record_shm head;

    return read_head(ring, pos, end, &head) == NULL ? pos : pos + sq_record_bytes(head.length);
}

static int view_extension(const unsigned char *bytes, uint32_t length, struct sq_view *view)
{
    struct sq_extension_shm e;

    if (length < sizeof(e))
        return -EBADMSG;
    memcpy(&e, bytes, sizeof(e));
    if (e.bytes > length || e.bytes < sizeof(e) || e.bytes % SQ_RECORD_ALIGN != 0 ||
        e.key_bytes > e.bytes - sizeof(e) || e.header_bytes > e.bytes - sizeof(e) - e.key_bytes ||
        (e.flags & ~(uint32_t)SQ_EXTENSION_FLAGS_KNOWN) != 0)
        return -EBADMSG;
    view->flags = e.flags;
    view->type = e.type;
    view->priority = e.priority;
    view->due_ns = e.due_ns;
    view->expiry_ns = e.expiry_ns;
    view->correlation = e.correlation;
    view->key = bytes + sizeof(e);
    view->key_bytes = e.key_bytes;
    view->headers = view->key + e.key_bytes;
    view->header_bytes = e.header_bytes;
    view->payload = bytes + e.bytes;
    view->payload_bytes = length - e.bytes;
    view->plain_bytes =
        (e.flags & SQ_EXTENSION_COMPRESSED) != 0 ? e.plain_bytes : view->payload_bytes;
    return 0;
}

/* What the record at `pos` holds, which is `head`, and `bytes` behind it. */
static int view_content(const unsigned char *bytes, uint64_t pos, const struct sq_record_shm *head,
                        struct sq_view *view)
{
    view->pos = pos;
    view->tag = head->tag;
    view->put_ns = head->put_ns;
    if ((head->tag & SQ_RECORD_EXTENDED) != 0)
        return view_extension(bytes, head->length, view);
    view->flags = view->type = 0;
    view->priority = 0;
    view->due_ns = view->expiry_ns = 0;
    view->correlation = 0;
    view->key = view->headers = view->payload = bytes;
    view->key_bytes = view->header_bytes = 0;
    view->payload_bytes = view->plain_bytes = head->length;
    return 0;
}

/*
 * Follow updates from the record at *pos, which has been read into *head, to the one
 * that holds the content.  Each is further on than the one before, so this ends.
 */
static int follow(const struct sq_ring *ring, uint64_t *pos, uint64_t end,
                  struct sq_record_shm *head)
{
    uint64_t id;

    while (((id = sq_load(&head->id)) & SQ_ID_MOVED) != 0) {
        uint64_t step = id & ~SQ_ID_MOVED;
        if (step == 0 || step >= end - *pos)
            return -EBADMSG;
        *pos += step;
        if (read_head(ring, *pos, end, head) == NULL || (head->tag & SQ_RECORD_COPY) == 0)
            return -EBADMSG;
    }
    return 0;
}

/* As sq_record_view(), of a record whose head has been read. */
SQ_HOT int view_record(const struct sq_ring *ring, uint64_t pos, struct sq_record_shm *head,
                       uint64_t id, struct sq_view *view)
{
    if (sq_unlikely((sq_load(&head->id) & SQ_ID_MOVED) != 0)) {
        /* The update is before this. */
        uint64_t end = sq_load_acquire(&ring->producer->tail_pos);
        if (follow(ring, &pos, end, head) < 0)
            return -EBADMSG;
    }
    uint64_t found = sq_load(&head->id) & SQ_ID_REST;
    const unsigned char *bytes = sq_record_payload(sq_record_at(ring, pos));
    if (found == 0 || (id != 0 && found != id) || view_content(bytes, pos, head, view) < 0)
        return -EBADMSG;
    view->id = found;
    return (sq_load(&head->id) & SQ_ID_GONE) != 0 ? -ENOENT : 0;
}

int sq_record_view(const struct sq_ring *ring, uint64_t pos, uint64_t id, struct sq_view *view)
{
    uint64_t end = sq_load_acquire(&ring->producer->tail_pos);
    struct sq_record_shm head;

    if (read_head(ring, pos, end, &head) == NULL)
        return -EBADMSG;
    return view_record(ring, pos, &head, id, view);
}

int sq_record_view_own(const struct sq_record_shm *record, struct sq_view *view)
{
    view->id = sq_load((_Atomic uint64_t *)(uintptr_t)&record->id) & SQ_ID_REST;
    return view_content((const unsigned char *)(record + 1), 0, record, view);
}

int sq_record_next(const struct sq_ring *ring, struct sq_walk *walk, struct sq_view *view)
{
    struct sq_record_shm head;

    if (read_head(ring, walk->pos, walk->end, &head) == NULL)
        return -EBADMSG;
    uint64_t next = walk->pos + sq_record_bytes(head.length);
    if (sq_unlikely((head.tag & SQ_RECORD_COPY) != 0)) {
        walk->pos = next;
        return SQ_MET_COPY;
    }
    int rc = view_record(ring, walk->pos, &head, walk->id, view);
    if (rc == -EBADMSG)
        return rc;
    walk->pos = next;
    walk->id = view->id + 1;
    return rc == -ENOENT ? SQ_MET_GONE : SQ_MET_MESSAGE;
}

void sq_record_remove(const struct sq_ring *ring, uint64_t pos)
{
    struct sq_record_shm *record = sq_record_at(ring, pos);

    sq_assert_groups_held(ring, sq_ring_groups(ring));
    sq_store_release(&record->id, SQ_ID_GONE | sq_load(&record->id));
}

void sq_record_move(const struct sq_ring *ring, uint64_t pos, uint64_t to)
{
    sq_assert_held(&ring->producer->lock);
    /* (Beside a sole producer a group may be made without its side, at the tail.) */
    sq_assert_groups_held(ring, sq_load(&ring->producer->sole) == 0 ? sq_ring_groups(ring) : 0);
    /* Release: the update has been written. */
    sq_store_release(&sq_record_at(ring, pos)->id, SQ_ID_MOVED | (to - pos));
}

/* --- headers -------------------------------------------------------------- */

int sq_headers_next(const void *block, size_t bytes, size_t *off, const char **name,
                    const char **value)
{
    const char *text = block;

    if (*off >= bytes)
        return *off == bytes ? 0 : -EBADMSG;
    const char *end = memchr(text + *off, '\0', bytes - *off);
    if (end == NULL)
        return -EBADMSG;
    *name = text + *off;
    *value = end + 1;
    end = memchr(*value, '\0', bytes - (size_t)(*value - text));
    if (end == NULL)
        return -EBADMSG;
    *off = (size_t)(end + 1 - text);
    return 1;
}

const char *sq_headers_find(const void *block, size_t bytes, const char *name)
{
    const char *one, *value;
    size_t off = 0;

    while (sq_headers_next(block, bytes, &off, &one, &value) == 1)
        if (strcmp(one, name) == 0)
            return value;
    return NULL;
}
