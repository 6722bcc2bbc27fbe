/*
 * restore.h - making a queue of what a file says.
 */
#ifndef SQ_RESTORE_H
#define SQ_RESTORE_H

#include "image.h"
#include "segment.h"

/* What the queue was created with. */
void sq_restore_attr(const struct sq_image *image, struct shmq_attr *attr);

/* For sq_segment_create(): `image` is a struct sq_image, checked.  0; -ENOSPC what lives
 * does not fit the queue; -EBADMSG; -ENOMEM. */
int sq_restore_fill(struct sq_segment *segment, const void *image);

#endif
