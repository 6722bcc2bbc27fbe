/*
 * save_thread.h - a handle's thread that saves the queue when that is due.
 */
#ifndef SQ_SAVE_THREAD_H
#define SQ_SAVE_THREAD_H

#include "persist/queue_file.h"

/* Start it, if the queue wants to be saved now and then; it ends with the handle's hooks. */
int sq_save_thread_start(struct shmq *q);

/* The handle is being closed: sync what is synced by time, and save if this is the last
 * handle on a queue that is to be saved at the end. */
void sq_save_thread_at_close(struct shmq *q);

#endif
