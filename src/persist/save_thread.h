/*
 * save_thread.h - a handle's thread that saves the queue when that is due.
 */
#ifndef SQ_SAVE_THREAD_H
#define SQ_SAVE_THREAD_H

#include "persist/queue_file.h"

/* Start it, if the queue wants to be saved now and then. */
int sq_saver_start(struct shmq *q);

/* End it; and if this is the last handle on a queue that is to be saved at the end, save. */
void sq_saver_end(struct shmq *q);

#endif
