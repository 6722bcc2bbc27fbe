/*
 * queue_file.h - a queue and its file: created from it, and attached to it.
 */
#ifndef SQ_QUEUE_FILE_H
#define SQ_QUEUE_FILE_H

#include "persist/snapshot.h"

/*
 * Open the handle's segment, or create it after `attr`, whose snapshot is set, or from the
 * file that is there.  As shmq_open().
 */
int sq_queue_file_open(struct shmq *q, const struct shmq_attr *attr);

/* Create the queue `path` from an open file.  As shmq_load(). */
int sq_queue_file_load(const struct sq_path *path, const char *file);

/* Give the handle what it needs to know of its queue's file, if there is one.  0 or -ENOMEM. */
int sq_queue_file_begin(struct shmq *q);

/* The handle is on a queue with a file that it has not: lock it.  What is in the way of
 * that is noted, and no more. */
void sq_queue_file_attach(struct shmq *q);

/* The descriptor of the queue's file, or -1; and `fd` (or -1) in its place. */
int sq_queue_file_file(const struct shmq *q);
void sq_queue_file_set_file(struct shmq *q, int fd);

/* The segment's file was saved at `when_ns`, CLOCK_MONOTONIC. */
void sq_queue_file_note_saved(struct sq_file_shm *f, const struct sq_saved *saved, int64_t when_ns);

/* Let go of the file. */
void sq_queue_file_close(struct shmq *q);

/* Note how it went, for shmq_file_stats(): `rc` 0, or a negative errno.  It. */
int sq_queue_file_note(struct shmq *q, int rc);

#endif
