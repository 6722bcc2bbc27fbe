/*
 * header.h - the segment's header: where its parts are.
 */
#ifndef SQ_HEADER_H
#define SQ_HEADER_H

#include "segment.h"

/* The header of a new queue; `attr` is whole (sq_segment_attr()). */
void sq_header_lay_out(struct sq_header_shm *h, const struct shmq_attr *attr);

/* Check a header against this library and the object's size.  0, -EPROTO, -EBADMSG. */
int sq_header_check(const struct sq_header_shm *h, uint64_t object_bytes, bool read_only);

#endif
