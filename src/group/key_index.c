/*
 * key_index.c - see key_index.h.
 *
 * Open addressing with linear probing, at most half full; a removal closes the gap by
 * moving back what follows (D. Knuth, TAOCP 3, 6.4, algorithm R), so that there are no
 * tombstones.  A cell has the key's hash; the key itself is compared in the ring.
 */
#include "group/key_index.h"

/* FNV-1a, and a last mix. */
static uint64_t hash_of(const unsigned char *key, uint32_t bytes)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (uint32_t i = 0; i < bytes; i++)
        h = (h ^ key[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static struct sq_key_shm *cell(const struct sq_ring *ring, uint64_t i)
{
    return &ring->keys[i & (ring->key_count - 1)];
}

static bool is_key(const struct sq_ring *ring, const struct sq_key_shm *k, const void *key,
                   uint32_t bytes)
{
    struct sq_view view;

    return sq_record_view(ring, k->pos, k->id, &view) == 0 && view.key_bytes == bytes &&
           memcmp(view.key, key, bytes) == 0;
}

/* The cell of the key, or the free one where it would be; key_count: neither. */
static uint64_t find(const struct sq_ring *ring, const void *key, uint32_t bytes, uint64_t hash)
{
    for (uint64_t i = 0; i < ring->key_count; i++) {
        const struct sq_key_shm *k = cell(ring, hash + i);
        if (k->id == 0 || (k->hash == hash && is_key(ring, k, key, bytes)))
            return (hash + i) & (ring->key_count - 1);
    }
    return ring->key_count;
}

uint64_t sq_key_index_find(const struct sq_ring *ring, const void *key, uint32_t bytes)
{
    uint64_t i = find(ring, key, bytes, hash_of(key, bytes));

    sq_assert_held(&ring->group->lock);
    return i < ring->key_count ? ring->keys[i].id : 0;
}

int sq_key_index_add(const struct sq_ring *ring, const void *key, uint32_t bytes, uint64_t id,
                     uint64_t pos)
{
    uint64_t hash = hash_of(key, bytes), i = find(ring, key, bytes, hash);

    sq_assert_held(&ring->group->lock);
    if (i == ring->key_count)
        return -EBADMSG;
    ring->keys[i] = (struct sq_key_shm){hash, id, pos};
    return 0;
}

/* The cell of this very message, by its id; key_count: none. */
static uint64_t find_id(const struct sq_ring *ring, const struct sq_view *view)
{
    uint64_t hash = hash_of(view->key, view->key_bytes);

    for (uint64_t i = 0; i < ring->key_count; i++) {
        const struct sq_key_shm *k = cell(ring, hash + i);
        if (k->id == 0)
            break;
        if (k->hash == hash && k->id == view->id)
            return (hash + i) & (ring->key_count - 1);
    }
    return ring->key_count;
}

void sq_key_index_remove(const struct sq_ring *ring, const struct sq_view *view)
{
    uint64_t mask = (uint64_t)ring->key_count - 1, gap = find_id(ring, view), i = gap;

    sq_assert_held(&ring->group->lock);
    if (gap == ring->key_count)
        return;
    for (uint32_t n = 0; n < ring->key_count; n++) {
        i = (i + 1) & mask;
        const struct sq_key_shm *k = &ring->keys[i];
        if (k->id == 0)
            break;
        /* It may go to the gap if that does not come before its own cell. */
        if (((i - k->hash) & mask) >= ((i - gap) & mask)) {
            ring->keys[gap] = *k;
            gap = i;
        }
    }
    ring->keys[gap].id = 0;
}

void sq_key_index_move(const struct sq_ring *ring, const struct sq_view *view, uint64_t pos)
{
    uint64_t i = find_id(ring, view);

    sq_assert_held(&ring->group->lock);
    if (i != ring->key_count)
        ring->keys[i].pos = pos;
}

static int add_view(const struct sq_ring *ring, const struct sq_view *view)
{
    return sq_key_index_add(ring, view->key, view->key_bytes, view->id, view->pos);
}

int sq_key_index_rebuild(const struct sq_ring *ring)
{
    const struct sq_pending_shm *p = &ring->group->pending;
    struct sq_walk walk = {sq_load(&ring->group->cursor_pos),
                           sq_load_acquire(&ring->producer->tail_pos), 0};
    struct sq_view view;
    int rc = 0;

    sq_assert_held(&ring->group->lock);
    memset(ring->keys, 0, ring->key_count * sizeof(ring->keys[0]));
    if (!sq_ring_spans(ring, walk.pos, walk.end))
        return -EBADMSG;
    while (rc == 0 && walk.pos != walk.end) {
        rc = sq_record_next(ring, &walk, &view);
        if (rc >= 0)
            rc = rc == SQ_MET_MESSAGE ? add_view(ring, &view) : 0;
    }
    for (uint32_t e = 0; rc == 0 && e < p->used_end && e < ring->entry_count; e++) {
        const struct sq_entry_shm *entry = &ring->entries[e];
        enum sq_entry_state state = sq_word_state(sq_load(&entry->word));
        if (state == SQ_FREE || state == SQ_PARKED)
            continue;
        rc = sq_record_view(ring, entry->pos, entry->id, &view);
        rc = rc == -ENOENT ? 0 : rc < 0 ? rc : add_view(ring, &view);
    }
    return rc;
}

uint32_t sq_key_index_count(uint64_t messages)
{
    uint32_t count = 64;

    while (count < 2 * messages && count < (uint32_t)1 << 31)
        count *= 2;
    return count;
}
