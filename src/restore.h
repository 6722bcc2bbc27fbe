/*
 * restore.h - a queue made anew from the bytes of its file.
 */
#ifndef SQ_RESTORE_H
#define SQ_RESTORE_H

#include "image.h"
#include "segment.h"

/* What a file says, checked. */
struct sq_restore {
    struct sq_image image;
    struct shmq_attr attr; /* of the queue, but for when it is saved */
    const struct sq_file_header *header;
};

/* Read it; the bytes must stay.  0; -EPROTO, -EBADMSG: nothing to free. */
int sq_restore_read(struct sq_restore *r, const void *bytes, uint64_t size);
void sq_restore_free(struct sq_restore *r);

/* Fill a segment that was just made after r->attr, and that nobody else sees. */
int sq_restore_fill(struct sq_segment *segment, struct sq_restore *r);

#endif
