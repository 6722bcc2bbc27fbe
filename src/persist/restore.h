/*
 * restore.h - making a queue of what a file says.
 */
#ifndef SQ_RESTORE_H
#define SQ_RESTORE_H

#include "file/image.h"
#include "segment/segment.h"

/* What a file's header says that the queue was created with.  0 or -EBADMSG. */
int sq_restore_header(const struct sq_file_header *header, struct shmq_attr *attr);

/* The same of all that the file says; checked, as are its groups' policies.  0 or -EBADMSG:
 * what the file says makes no queue. */
int sq_restore_attr(const struct sq_image *image, struct shmq_attr *attr);

/* Fill a segment that was just made after that, and that nobody else sees.  0; -ENOBUFS what
 * the file holds does not fit its ring; -EBADMSG; -ENOMEM. */
int sq_restore_fill(struct sq_segment *segment, const struct sq_image *image);

#endif
