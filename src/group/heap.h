/*
 * heap.h - a 4-ary heap in a segment: least first, by (major, minor).
 *
 * Four children share a cache line (J. W. J. Williams' heap with d = 4, as D. B.
 * Johnson proposed): half the lines of a binary one, and no pointers.  Elements
 * are never sought out to be removed: whoever takes the least one sees whether it
 * still means something, and a heap that fills up with others is built anew.
 */
#ifndef SQ_HEAP_H
#define SQ_HEAP_H

#include "layout.h"

struct sq_heap {
    struct sq_heap_item_shm *items;
    uint32_t *count;
    uint32_t limit;
};

/* Items before the first, so that siblings share a line. */
#define SQ_HEAP_SKIP 3u

static inline uint64_t sq_heap_bytes(uint32_t limit)
{
    return sq_align_up(((uint64_t)limit + SQ_HEAP_SKIP) * sizeof(struct sq_heap_item_shm), SQ_LINE);
}

/* False: it is full, or its count makes no sense. */
bool sq_heap_push(const struct sq_heap *heap, struct sq_heap_item_shm item);

/* The least, or NULL. */
static inline const struct sq_heap_item_shm *sq_heap_top(const struct sq_heap *heap)
{
    uint32_t count = *heap->count;

    return count == 0 || count > heap->limit ? NULL : &heap->items[0];
}

/* Take the least off; there must be one. */
void sq_heap_pop(const struct sq_heap *heap);

/* Whether every element is not less than its parent. */
bool sq_heap_valid(const struct sq_heap *heap);

#endif
