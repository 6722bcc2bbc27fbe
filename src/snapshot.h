/*
 * snapshot.h - a queue's contents, written to a file while it is in use.
 */
#ifndef SQ_SNAPSHOT_H
#define SQ_SNAPSHOT_H

#include "queue.h"

/*
 * Replace `path` by what the queue holds.  Nobody is stopped; producers that need the room
 * of what is not yet written wait for it.  The caller has no side.  One at a time does
 * it: others wait until `deadline` is over.  See shmq_save() for errors.
 */
int sq_snapshot_write(struct shmq *q, const char *path, struct sq_deadline *deadline);

/* The same for who has control->saver already. */
int sq_snapshot_write_alone(struct shmq *q, const char *path, struct sq_deadline *deadline);

#endif
