/*
 * options.h - the command line of shmq-bench.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "bench/bench.h"

/* Returns -1 to go on, else the exit code to end with. */
int options_parse(struct options *options, int argc, char **argv);
/* Whether a comma-separated list names `name`; a NULL list names everything. */
bool options_list_has(const char *list, const char *name);

#endif
