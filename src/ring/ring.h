/*
 * ring.h - the record ring: pure positions and bytes.
 *
 * Makes no system call, takes no lock, never sleeps, and is told the time.  "P"
 * and "C" in front of a function say that the caller holds the producer's or
 * the consumer's side.  ring.c has the format, the invariants and the crash rule.
 *
 * Everything read from the segment is checked before it is used, and read once:
 * a peer may be buggy, and -EBADMSG is better than a wild copy.
 */
#ifndef SQ_RING_H
#define SQ_RING_H

#include <errno.h>
#include <string.h>

#include "layout.h"

/* A process's view of one ring.  Sizes are its own copies, checked at attach. */
struct sq_ring {
    /* The handle's own view, this one or the one it was copied from.  The fast path
     * works on a copy, which stays in registers if its address goes nowhere; what
     * is out of line gets this one. */
    const struct sq_ring *home;
    struct sq_producer_shm *producer;
    struct sq_group_shm *group;   /* the one that is read */
    unsigned char *bytes;         /* mapped twice: 2 * capacity_bytes are addressable */
    uint64_t capacity_bytes;      /* a power of two */
    uint64_t max_messages;        /* 0: no limit */
    uint64_t max_message_bytes;   /* at most capacity_bytes - SQ_RECORD_HEADER_BYTES */
    uint32_t order;               /* enum shmq_order */
    uint32_t kind;                /* SHMQ_TOPIC, SHMQ_UNIQUE, SQ_KIND_WRITES */
    struct sq_entry_shm *entries; /* the group's pending table */
    struct sq_heap_item_shm *ready, *timed;
    uint32_t entry_count;
    uint32_t key_count; /* a power of two, or 0 */
    struct sq_key_shm *keys;
    const _Atomic uint64_t *pin;        /* sq_file_shm's, or NULL */
    const _Atomic uint64_t *group_bits; /* which groups there are */
    struct sq_group_shm *groups;        /* all of them */
    unsigned char *tables;              /* their pending tables, ... */
    uint64_t table_bytes;               /* ... so many bytes each */
    uint32_t group_count;               /* 1 to SQ_GROUPS_MAX */
    uint32_t *dirty;                    /* with a journal: the group's changed entries, ... */
    uint64_t *dirty_bits;               /* ... as bits, too.  Without: NULL */
};

/* In sq_ring.kind: calls write into a journal before they make anything true. */
#define SQ_KIND_WRITES ((uint32_t)1 << 31)

/* Which groups there are, as bits. */
static inline uint64_t sq_ring_groups(const struct sq_ring *ring)
{
    return sq_load_acquire(ring->group_bits) & (UINT64_MAX >> (64 - ring->group_count));
}

/* SQ_CHECK: the thread has the sides of these groups, as bits. */
#ifdef SQ_CHECK
static inline void sq_assert_groups_held(const struct sq_ring *ring, uint64_t groups)
{
    for (; groups != 0; groups &= groups - 1)
        sq_assert_held(&ring->groups[__builtin_ctzll(groups)].lock);
}
#else
#define sq_assert_groups_held(ring, groups) ((void)0)
#endif

/* The number of the group it reads as. */
static inline uint32_t sq_ring_group_index(const struct sq_ring *ring)
{
    return (uint32_t)(ring->group - ring->groups);
}

SQ_HOT uint64_t sq_record_bytes(uint64_t length)
{
    return sq_align_up(SQ_RECORD_HEADER_BYTES + length, SQ_RECORD_ALIGN);
}

SQ_HOT struct sq_record_shm *sq_record_at(const struct sq_ring *ring, uint64_t pos)
{
    return (struct sq_record_shm *)(void *)(ring->bytes + (pos & (ring->capacity_bytes - 1)));
}

SQ_HOT unsigned char *sq_record_payload(struct sq_record_shm *record)
{
    return (unsigned char *)record + SQ_RECORD_HEADER_BYTES;
}

/* Whether [low, high) can be a part of the ring. */
SQ_HOT bool sq_ring_spans(const struct sq_ring *ring, uint64_t low, uint64_t high)
{
    return high - low <= ring->capacity_bytes && ((low | high) & (SQ_RECORD_ALIGN - 1)) == 0;
}

/* --- reading: a walk from record to record ----------------------------- */

struct sq_walk {
    uint64_t pos; /* of the next record */
    uint64_t end; /* first position beyond the last record */
    uint64_t id;  /* what the next record's id must be; 0: any */
};

/*
 * Check the record at walk->pos, step over it and return it, its length in
 * *length (which the caller must use: the one in the record may change).
 * The walk must not be at its end.  NULL: damaged, or not a plain record (record.h
 * tells); the walk has not moved.
 */
SQ_HOT struct sq_record_shm *sq_walk_step(const struct sq_ring *ring, struct sq_walk *walk,
                                          uint32_t *length)
{
    struct sq_record_shm *record = sq_record_at(ring, walk->pos);
    uint64_t left = walk->end - walk->pos;

    /* The header must lie in the walk before anything in it means anything. */
    if (sq_unlikely(left < SQ_RECORD_HEADER_BYTES))
        return NULL;
    *length = record->length;
    uint64_t bytes = sq_record_bytes(*length);
    if (sq_unlikely(bytes > left || *length > ring->max_message_bytes))
        return NULL;
    uint64_t id = sq_load(&record->id);
    if (sq_unlikely(id != walk->id && (walk->id != 0 || id == 0)))
        return NULL;
    if (sq_unlikely((record->tag & ~(uint32_t)SQ_RECORD_TAG_PLAIN) != 0))
        return NULL;
    walk->id = id + 1;
    walk->pos += bytes;
    return record;
}

/* --- P: appending ------------------------------------------------------ */

/* Look again where space ends.  0 or -EBADMSG. */
int sq_ring_look_low(const struct sq_ring *ring);

/* Likewise.  0 room for `count` messages of `bytes` in all
 * (as sq_record_bytes() counts), -EAGAIN no room, -EBADMSG. */
int sq_ring_look_room(const struct sq_ring *ring, uint64_t bytes, uint64_t count);

/* P: whether there is, going by what was last seen. */
SQ_HOT bool sq_ring_has_room(const struct sq_ring *ring, uint64_t bytes, uint64_t count)
{
    const struct sq_producer_shm *p = ring->producer;
    uint64_t low = p->low_pos, tail = sq_load(&p->tail_pos);

    sq_assert_held(&ring->producer->lock);
    return sq_ring_spans(ring, low, tail) && bytes <= ring->capacity_bytes - (tail - low) &&
           (ring->max_messages == 0 ||
            sq_load(&p->next_id) + count - p->low_id <= ring->max_messages);
}

/* Whether a saver keeps records from being let go and moved. */
static inline bool sq_ring_is_pinned(const struct sq_ring *ring)
{
    return ring->pin != NULL && sq_load_acquire(ring->pin) != SQ_NO_PIN;
}

/* Anybody: whether there seems to be room; -EBADMSG counts as room, so that the
 * caller comes to see the error. */
bool sq_ring_seems_roomy(const struct sq_ring *ring, uint64_t bytes, uint64_t count);

/* P: the header of a record at the tail or beyond it. */
SQ_HOT void *sq_ring_write_header(const struct sq_ring *ring, uint64_t pos, uint64_t id,
                                  uint32_t length, uint32_t tag, int64_t now_ns)
{
    struct sq_record_shm *record = sq_record_at(ring, pos);

    sq_assert_held(&ring->producer->lock);
    SQ_BUG_ON(sq_record_bytes(length) > ring->capacity_bytes);
    record->length = length;
    /* Atomic, as the id is: who looks for room may read what is just overwritten, and
     * finds out (group_low()). */
    sq_store((_Atomic uint32_t *)(void *)&record->tag, tag);
    sq_store(&record->id, id);
    record->put_ns = now_ns;
    return sq_record_payload(record);
}

/* P: see to the peak depth when it may have been passed. */
void sq_ring_look_peak(const struct sq_ring *ring);

/* P: make all records up to `tail`, with ids up to next_id - 1, true. */
SQ_HOT void sq_ring_publish(const struct sq_ring *ring, uint64_t tail, uint64_t next_id,
                            uint64_t payload_bytes)
{
    enum { PEAK_PAUSE = 32 };
    struct sq_producer_shm *p = ring->producer;

    sq_assert_held(&ring->producer->lock);
    sq_store(&p->put_bytes, sq_load(&p->put_bytes) + payload_bytes);
    sq_store_release(&p->tail_pos, tail);
    sq_program_order(); /* next_id may lag behind the truth, never run ahead of it */
    sq_store(&p->next_id, next_id);
    if (sq_unlikely(next_id - p->low_id > sq_load(&p->peak_depth)) &&
        (p->peak_pause == 0 || next_id - p->peak_futile_id > PEAK_PAUSE))
        sq_ring_look_peak(ring->home);
}

/* --- C: taking --------------------------------------------------------- */

/* C: begin a walk over what can be taken.  0, -EAGAIN empty, -EBADMSG. */
SQ_HOT int sq_ring_begin_take(const struct sq_ring *ring, struct sq_walk *walk)
{
    struct sq_group_shm *g = ring->group;

    sq_assert_held(&ring->group->lock);
    walk->pos = sq_load(&g->cursor_pos);
    walk->end = g->known_tail_pos;
    walk->id = sq_load(&g->finished_id) + 1;
    if (walk->pos == walk->end) {
        /* Pairs with the release in sq_ring_publish(): the records are there. */
        walk->end = g->known_tail_pos = sq_load_acquire(&ring->producer->tail_pos);
        if (walk->pos == walk->end)
            return -EAGAIN;
    }
    return sq_likely(sq_ring_spans(ring, walk->pos, walk->end)) ? 0 : -EBADMSG;
}

/* C: all records before walk->pos are handed out. */
SQ_HOT void sq_ring_end_take(const struct sq_ring *ring, const struct sq_walk *walk,
                             uint64_t payload_bytes)
{
    struct sq_group_shm *g = ring->group;

    sq_assert_held(&ring->group->lock);
    sq_store(&g->got_bytes, sq_load(&g->got_bytes) + payload_bytes);
    sq_store(&g->finished_id, walk->id - 1); /* may run ahead of the truth, never lag */
    /* Pairs with the acquire in sq_ring_look_low() (ring.c): we have read what P may overwrite. */
    sq_store_release(&g->cursor_pos, walk->pos);
}

/* C: count a message that waited so long. */
void sq_ring_sample(const struct sq_ring *ring, int64_t waited_ns);

/* Anybody: whether a message waits. */
static inline bool sq_ring_has_items(const struct sq_ring *ring)
{
    return sq_load_acquire(&ring->producer->tail_pos) != sq_load(&ring->group->cursor_pos);
}

/* P and C: empty a damaged ring, as far as this group goes.  Returns how many messages
 * seem to be lost.  The pending table is the caller's. */
int64_t sq_ring_reset(const struct sq_ring *ring);

/* --- anybody, without a lock ------------------------------------------- */

uint64_t sq_ring_depth(const struct sq_ring *ring);

/* --- derived from the truth -------------------------------------------- */

/* P, C: rebuild what is derived on that side.  0, or -EBADMSG: the truth is damaged. */
int sq_ring_rebuild_producer(const struct sq_ring *ring);
int sq_ring_rebuild_consumer(const struct sq_ring *ring);

/* Nobody changes the ring meanwhile: NULL if it is as it must be, else what is wrong. */
const char *sq_ring_valid(const struct sq_ring *ring);

/* --- copying ----------------------------------------------------------- */

/* memcpy(), with short ones in line: a call costs as much as 64 bytes do. */
SQ_HOT void sq_copy(void *restrict to, const void *restrict from, size_t n)
{
    unsigned char *t = to;
    const unsigned char *f = from;

    /* The first half, and the last, which may overlap it: no loop, no tail. */
    if (n > 128) {
        memcpy(t, f, n);
    } else if (n > 64) {
        memcpy(t, f, 64);
        memcpy(t + n - 64, f + n - 64, 64);
    } else if (n >= 32) {
        memcpy(t, f, 32);
        memcpy(t + n - 32, f + n - 32, 32);
    } else if (n >= 16) {
        memcpy(t, f, 16);
        memcpy(t + n - 16, f + n - 16, 16);
    } else if (n >= 8) {
        memcpy(t, f, 8);
        memcpy(t + n - 8, f + n - 8, 8);
    } else {
        for (size_t i = 0; i < n; i++)
            t[i] = f[i];
    }
}

#endif
