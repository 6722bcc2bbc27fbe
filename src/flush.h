/*
 * flush.h - waiting until the journal is on the disk.
 */
#ifndef SQ_FLUSH_H
#define SQ_FLUSH_H

#include "journal.h"

/* Wait until the promise is kept.  No side is had.  0; -ETIMEDOUT; -EIO: the sync failed. */
int sq_flush_wait(struct shmq *q, const struct sq_promise *promise, struct sq_deadline *deadline);

/* A call is about to return that promised so much: in mode always, wait. */
int sq_flush_promise(struct shmq *q, const struct sq_promise *promise);

#endif
