/*
 * queue_file.h - a queue and its file: created from it, attached to it, saved to it.
 */
#ifndef SQ_QUEUE_FILE_H
#define SQ_QUEUE_FILE_H

#include "persist/snapshot.h"

/*
 * Open the handle's segment, or create it after `attr`, whose snapshot is set, or from the
 * file that is there.  As shmq_open().
 */
int sq_keep_open(struct shmq *q, const struct shmq_attr *attr);

/* Create the queue `path` from an open file.  As shmq_load(). */
int sq_keep_load(const struct sq_path *path, const char *file);

/* The handle is on a queue with a file that it has not: lock it.  What is in the way of
 * that is noted, and no more. */
void sq_keep_attach(struct shmq *q);

/* Save to the queue's file; `due` (or NULL) is asked once nobody else saves.  0 or a
 * negative errno, which is noted if it is about the file. */
int sq_keep_save(struct shmq *q, struct sq_deadline *deadline, bool (*due)(const struct shmq *));

/* Save to another file. */
int sq_keep_save_as(struct shmq *q, const struct sq_file_path *path, struct sq_deadline *deadline);

/* Whether there are changes that the file has not. */
bool sq_keep_is_stale(const struct shmq *q);

/* Let go of the file. */
void sq_keep_close(struct shmq *q);

/* Note how it went, for shmq_file_stats(): `rc` 0, or a negative errno.  It. */
int sq_keep_note(struct shmq *q, int rc);

#endif
