/*
 * table.c - see table.h: where a group's entries, heaps and list of changes lie.
 *
 *     entries [entry_count]   heap of what waits   heap of what is timed   | with a journal:
 *                                                                          | changed, as bits
 */
#include "group/table.h"

#include "group/heap.h"

uint64_t sq_table_bytes(uint32_t entry_count)
{
    return sq_align_up(entry_count * sizeof(struct sq_entry_shm) + SQ_LINE +
                           2 * sq_heap_bytes(entry_count),
                       SQ_SEPARATE);
}

/* The bits in whole words. */
static uint64_t dirty_list_bytes(uint32_t entry_count)
{
    return sq_align_up(entry_count * sizeof(uint32_t), sizeof(uint64_t));
}

uint64_t sq_table_dirty_bytes(uint32_t entry_count)
{
    return sq_align_up(dirty_list_bytes(entry_count) + sq_align_up(entry_count, 64) / 8,
                       SQ_SEPARATE);
}

void sq_ring_read_as(struct sq_ring *ring, uint32_t index)
{
    unsigned char *table = ring->tables + index * ring->table_bytes;
    /* The heaps' first items at the end of a line (heap.h). */
    unsigned char *heaps = table + ring->entry_count * sizeof(struct sq_entry_shm) + SQ_LINE -
                           sizeof(struct sq_heap_item_shm);

    SQ_BUG_ON(index >= ring->group_count);
    ring->group = &ring->groups[index];
    ring->entries = (struct sq_entry_shm *)(void *)table;
    ring->ready = (struct sq_heap_item_shm *)(void *)heaps;
    ring->timed = (struct sq_heap_item_shm *)(void *)(heaps + sq_heap_bytes(ring->entry_count));
    uint64_t plain = sq_table_bytes(ring->entry_count);
    if (ring->table_bytes > plain) {
        ring->dirty = (uint32_t *)(void *)(table + plain);
        ring->dirty_bits =
            (uint64_t *)(void *)(table + plain + dirty_list_bytes(ring->entry_count));
    }
}
