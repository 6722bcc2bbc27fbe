/*
 * segment_reopen.c - see segment.h: whether an object is still the one that was opened, and opening
 * it once more.
 */
#include "segment/segment_reopen.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "segment/segment.h"

bool sq_segment_has_fd(const struct sq_segment *s)
{
    struct stat st;

    return fstat(s->fd, &st) == 0 && st.st_ino == s->inode && st.st_dev == s->device;
}

bool sq_segment_is_unlinked(struct sq_segment *s)
{
    struct stat st;

    if (sq_segment_marked_unlinked(s))
        return true;
    if (fstat(s->fd, &st) != 0 || st.st_nlink != 0)
        return false;
    if (!s->readable_only)
        atomic_fetch_or(&s->control->notices, SQ_NOTICE_UNLINKED);
    return true;
}

/* Into `text`, which has room: snprintf() is not async-signal-safe. */
static void append_number(char *text, int number)
{
    char digits[16];
    int n = 0;

    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text += strlen(text);
    while (n > 0)
        *text++ = digits[--n];
    *text = '\0';
}

int sq_segment_reopen(const struct sq_segment *s, const struct sq_path *path)
{
    int access = (s->readable_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    char self[64] = "/proc/self/fd/";
    struct stat was, is;

    append_number(self, s->fd);
    int fd = open(self, access);
    if (fd >= 0)
        return fd;
    /* No /proc here: by name, if that is still the same object. */
    fd = open(path->text, access | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    if (fstat(s->fd, &was) == 0 && fstat(fd, &is) == 0 && was.st_ino == is.st_ino &&
        was.st_dev == is.st_dev)
        return fd;
    close(fd);
    return -ESTALE;
}
