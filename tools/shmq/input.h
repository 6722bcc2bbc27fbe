/*
 * input.h - standard input, or a file, read into memory that grows.
 */
#ifndef SHMQ_INPUT_H
#define SHMQ_INPUT_H

#include <stddef.h>
#include <sys/types.h>

/* What was read of it and not dealt with yet: data[start..end).  All zero at first. */
struct input {
    char *data;
    size_t start;
    size_t end;
    size_t size;
    int fd;           /* 0: standard input */
    const char *name; /* of the file; NULL: standard input */
};

/* Read from the file `path`.  0 or a negative errno. */
int input_open(struct input *in, const char *path);

/* Read once, as much as there is: bytes, 0 at the end, or a negative errno. */
ssize_t input_read_some(struct input *in);

/* Complain that reading failed with `error`. */
int input_failure(const struct input *in, int error);

/*
 * Read all of it: CLI_DONE, or an exit code after complaining.  What is longer than
 * `most` need not be read to its end.
 */
int input_read_all(struct input *in, size_t most);

void input_free(struct input *in);

#endif
