/*
 * message_fd.h - shmq_fd()'s part of a handle.
 */
#ifndef SQ_MESSAGE_FD_H
#define SQ_MESSAGE_FD_H

#include "handle/handle.h"

/* End the thread that keeps time, and free all. */
void sq_notify_close(struct shmq *q);

#endif
