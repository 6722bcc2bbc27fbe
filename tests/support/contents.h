/*
 * contents.h - all that is in a queue, or in a queue's file, as text that can be compared:
 * groups and what is set of them, each message with all it has, and how it is there.
 *
 * What is leased waits, since it does so after a restart; deliveries are not told, since what
 * is only received is not in a journal, nor are times.
 */
#ifndef CONTENTS_H
#define CONTENTS_H

#include "shmq.h"

/* To be freed; or fail the test. */
char *contents_of(shmq_t *q);

/* Of the queue that is made of a file: 0 and *text, or what shmq_load() says. */
int contents_of_file(const char *path, char **text);

#endif
