/*
 * notify.h - shmq_fd()'s part of a handle.
 */
#ifndef SQ_NOTIFY_H
#define SQ_NOTIFY_H

#include "queue.h"

/* End the thread that keeps time, and free all. */
void sq_notify_close(struct shmq *q);

#endif
