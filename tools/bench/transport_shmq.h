/*
 * transport_shmq.h - what shmq's transports have in common; those that have a
 * handle and nothing else for their state use it as it is.
 */
#ifndef TRANSPORT_SHMQ_H
#define TRANSPORT_SHMQ_H

#include "bench/bench.h"
#include "shmq.h"

int queue_create(struct channel *channel);
/* The same after `attr`, whose capacity is set from the channel. */
int queue_create_as(struct channel *channel, int flags, struct shmq_attr *attr);
int queue_open(struct channel *channel, enum side side);
int queue_open_sole(struct channel *channel, enum side side);
void queue_close(struct channel *channel, enum side side);
void queue_destroy(struct channel *channel);
int queue_send(struct channel *channel, const void *message);
int queue_receive(struct channel *channel, void *message);
int queue_send_batch(struct channel *channel, const void *messages, unsigned count);
int queue_receive_batch(struct channel *channel, void *messages, unsigned count);

#endif
