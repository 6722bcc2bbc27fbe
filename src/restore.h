/*
 * restore.h - making a queue of what a file says.
 */
#ifndef SQ_RESTORE_H
#define SQ_RESTORE_H

#include "image.h"
#include "segment.h"

/* What the queue was created with; checked.  0 or -EBADMSG. */
int sq_restore_attr(const struct sq_image *image, struct shmq_attr *attr);

/* Fill a segment that was just made after that, and that nobody else sees.  0; -ENOBUFS what
 * the file holds does not fit its ring; -EBADMSG; -ENOMEM. */
int sq_restore_fill(struct sq_segment *segment, const struct sq_image *image);

#endif
