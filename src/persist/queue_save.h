/*
 * queue_save.h - saving a queue to its file, or to another.
 */
#ifndef SQ_QUEUE_SAVE_H
#define SQ_QUEUE_SAVE_H

#include "persist/queue_file.h"

/* Save to the queue's file; `due` (or NULL) is asked once nobody else saves.  0 or a
 * negative errno, which is noted if it is about the file. */
int sq_queue_save(struct shmq *q, struct sq_deadline *deadline, bool (*due)(const struct shmq *));

/* Save to another file. */
int sq_queue_save_as(struct shmq *q, const struct sq_file_path *path, struct sq_deadline *deadline);

/* Whether there are changes that the file has not. */
bool sq_queue_save_is_dirty(const struct shmq *q);

#endif
