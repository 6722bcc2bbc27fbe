/*
 * work_child.h - starting a command for a message (shmq work).
 */
#ifndef SHMQ_WORK_CHILD_H
#define SHMQ_WORK_CHILD_H

#include <sys/types.h>

#include "shmq.h"

/* Whether there is such a command to run: 0 or a negative errno. */
int work_child_find(const char *command);

/*
 * Start `command` in a process group of its own, with the message of `queue` on its
 * standard input and in its environment.  It has begun to run when this returns 0.
 * It is killed when the calling thread ends.  -E2BIG: the message's headers are too
 * long; or another negative errno.
 */
int work_child_start(const char *queue, char **command, const struct shmq_msg *msg, pid_t *pid);

#endif
