/*
 * keep.h - keeping a queue's own file: made of it, saved from time to time and at the end.
 */
#ifndef SQ_KEEP_H
#define SQ_KEEP_H

#include "queue.h"

/* sq_segment_open(), with the queue made of its file if there is one. */
int sq_keep_open(struct sq_segment *segment, const struct sq_path *path, int flags,
                 const struct shmq_attr *attr);

/* Make a queue of a file.  -EEXIST: there is one. */
int sq_keep_load(struct sq_segment *segment, const struct sq_path *path, const char *file,
                 const struct shmq_attr *own);

/* The handle is complete: start its thread, if the queue wants one. */
int sq_keep_start(struct shmq *q);

/* The handle is about to go: stop the thread. */
void sq_keep_stop(struct shmq *q);

/* And if it is the last one save.  True: sq_keep_let_go() must follow once it is detached,
 * with the owner's word from before. */
bool sq_keep_save_at_end(struct shmq *q);
void sq_keep_let_go(struct shmq *q, uint32_t owner);

/* Save to the queue's own file, and note how it went. */
int sq_keep_save(struct shmq *q, struct sq_deadline *deadline);

/* What has been put and finished so far. */
uint64_t sq_keep_changes(const struct shmq *q);

#endif
