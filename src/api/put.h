/*
 * put.h - reservations.
 */
#ifndef SQ_PUT_H
#define SQ_PUT_H

#include "handle/handle.h"

/* Take a handle out of this thread's list of reservations (api/put.c). */
void sq_forget_reservation(struct shmq *q);

#endif
