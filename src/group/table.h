/*
 * table.h - where a group's pending table lies in the segment, and how large it is.
 */
#ifndef SQ_TABLE_H
#define SQ_TABLE_H

#include "ring/ring.h"

/* The bytes of a pending table with `entry_count` entries: the entries, then the heaps. */
uint64_t sq_table_bytes(uint32_t entry_count);

/* The bytes behind each table where there is a journal: the changed entries, and bits. */
uint64_t sq_table_dirty_bytes(uint32_t entry_count);

/* Make `ring` read as group number `index`: its cursor, entries and heaps. */
void sq_ring_read_as(struct sq_ring *ring, uint32_t index);

#endif
