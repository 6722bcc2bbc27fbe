/*
 * ring_browse.h - reading records without a side.
 */
#ifndef SQ_RING_BROWSE_H
#define SQ_RING_BROWSE_H

#include "ring/ring.h"

/*
 * Copy the first record at or after *pos, and move *pos past it.  Length,
 * -EAGAIN none, -EMSGSIZE (*pos stays), -EBADMSG.
 */
ssize_t sq_ring_browse(const struct sq_ring *ring, uint64_t *pos, void *buffer, size_t size,
                       struct shmq_info *info);

#endif
