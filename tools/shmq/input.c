/*
 * input.c - standard input or a file, see input.h.
 */
#include "shmq/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cli.h"

enum { READ_BYTES = 64 * 1024 };

/* Make room to read: move what is left to the front, or grow. */
static bool make_room(struct input *in)
{
    size_t size = in->size ? in->size * 2 : 2 * READ_BYTES;
    char *data;

    if (in->start > 0) {
        memmove(in->data, in->data + in->start, in->end - in->start);
        in->end -= in->start;
        in->start = 0;
    }
    if (in->size - in->end >= READ_BYTES)
        return true;
    data = realloc(in->data, size);
    if (!data)
        return false;
    in->data = data;
    in->size = size;
    return true;
}

int input_open(struct input *in, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    in->name = path;
    if (fd < 0)
        return -errno;
    in->fd = fd;
    return 0;
}

ssize_t input_read_some(struct input *in)
{
    for (;;) {
        int error = cli_wait_readable(in->fd);
        ssize_t n;

        if (error)
            return error;
        if (!make_room(in))
            return -ENOMEM;
        n = read(in->fd, in->data + in->end, in->size - in->end);
        if (n >= 0)
            in->end += (size_t)n;
        if (n >= 0)
            return n;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

int input_failure(const struct input *in, int error)
{
    cli_complain(in->name ? in->name : "standard input",
                 error == -EINTR ? "interrupted" : strerror(-error), NULL, NULL);
    return error == -EINTR ? CLI_NOTHING : CLI_FAILURE;
}

int input_read_all(struct input *in, size_t most)
{
    ssize_t n;

    do
        n = input_read_some(in);
    while (n > 0 && in->end <= most);
    return n < 0 ? input_failure(in, (int)n) : CLI_DONE;
}

void input_free(struct input *in)
{
    free(in->data);
    if (in->fd > 0)
        close(in->fd);
    *in = (struct input){0};
}
