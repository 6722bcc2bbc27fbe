/*
 * stat_file.h - what shmq-stat says of the file that keeps a queue.
 */
#ifndef SHMQ_STAT_FILE_H
#define SHMQ_STAT_FILE_H

#include "common/text.h"
#include "shmq-stat/stat_watch.h"

/* A line, if the queue has a file.  How many lines. */
unsigned stat_file_lines(struct text *out, const struct watched *one);

/* A member `file` of a JSON object, which is not its first one: an object, or null. */
void stat_file_json(struct text *out, const struct watched *one);

void stat_file_prometheus(struct text *out, const struct watch *w);

#endif
