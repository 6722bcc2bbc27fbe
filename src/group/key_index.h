/*
 * key_index.h - which keys a unique queue has that are not finished: an index of them.
 *
 * Derived: from the records after the cursor and from the pending entries.  It is
 * the group's side's; who puts into a unique queue enters that side too.
 */
#ifndef SQ_KEY_INDEX_H
#define SQ_KEY_INDEX_H

#include "group/pending.h"

/* The id of the unfinished message with this key, or 0. */
uint64_t sq_key_index_find(const struct sq_ring *ring, const void *key, uint32_t bytes);

/* Note a message that is about to be published.  0, or -EBADMSG: the index is full,
 * which it cannot be. */
int sq_key_index_add(const struct sq_ring *ring, const void *key, uint32_t bytes, uint64_t id,
                     uint64_t pos);

/* The message is finished, or has moved. */
void sq_key_index_remove(const struct sq_ring *ring, const struct sq_view *view);
void sq_key_index_move(const struct sq_ring *ring, const struct sq_view *view, uint64_t pos);

/* Build it anew.  0 or -EBADMSG. */
int sq_key_index_rebuild(const struct sq_ring *ring);

/* Cells for so many messages, a power of two. */
uint32_t sq_key_index_count(uint64_t messages);

#endif
