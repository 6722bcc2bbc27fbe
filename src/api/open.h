/*
 * open.h - opening the same queue again.
 */
#ifndef SQ_OPEN_H
#define SQ_OPEN_H

#include "handle/handle.h"

/* Another handle on the object that `other` is of, reading as no group (api/open.c). */
int sq_open_again(struct shmq **handle, const struct shmq *other);

#endif
