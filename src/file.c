/*
 * file.c - see file.h.
 *
 * A file is written whole under another name beside the one that it replaces, synced, and
 * renamed; then the folder is synced.  Whoever dies on the way leaves the old file and
 * perhaps the other name, which the next one takes over: its writer holds a lock on it, which
 * death frees.
 */
#include "file.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"

/* Open to read, if it is a regular file and no symbolic link. */
static int open_regular(const char *path, struct stat *st)
{
    /* O_NONBLOCK: do not wait for the other end of a FIFO. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && errno == ELOOP)
        return sq_fail(-ELOOP, "%s is a symbolic link", path);
    if (fd < 0)
        return sq_fail(-errno, "cannot open %s", path);
    if (fstat(fd, st) == 0 && S_ISREG(st->st_mode))
        return fd;
    close(fd);
    return sq_fail(-EPROTO, "%s is not a regular file", path);
}

/* `bytes` from `off` on, or up to the end.  How many, or a negative errno. */
static ssize_t read_at(int fd, void *to, size_t bytes, uint64_t off)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t n = pread(fd, (char *)to + done, bytes - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int sq_file_read(const char *path, void **bytes, uint64_t *size)
{
    struct stat st;
    int fd = open_regular(path, &st);

    *bytes = NULL;
    *size = 0;
    if (fd < 0)
        return fd;
    size_t room = (size_t)st.st_size;
    void *memory = malloc(room > 0 ? room : 1);
    ssize_t n = memory == NULL ? -ENOMEM : read_at(fd, memory, room, 0);
    close(fd);
    if (n < 0) {
        free(memory);
        return sq_fail((int)n, "cannot read the %zu bytes of %s", room, path);
    }
    *bytes = memory;
    *size = (uint64_t)n;
    return 0;
}

/* --- what is to be replaced ------------------------------------------------- */

/* Nothing, or an older file of the same queue.  Else somebody mistook the name. */
static int check_target(const char *path, const char *name)
{
    struct sq_file_header h;
    struct stat st;
    int fd = open_regular(path, &st);

    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    ssize_t n = read_at(fd, &h, sizeof(h), 0);
    close(fd);
    if (n < 0)
        return sq_fail((int)n, "cannot read %s", path);
    if (n < (ssize_t)sizeof(h) || memcmp(h.magic, SQ_FILE_MAGIC, sizeof(h.magic)) != 0)
        return sq_fail(-EEXIST, "%s is there, and not a file of shmq's", path);
    if (strncmp(h.queue, name, sizeof(h.queue)) != 0)
        return sq_fail(-EEXIST, "%s is there, and of another queue: %.*s", path,
                       (int)sizeof(h.queue), h.queue);
    return 0;
}

/* Whether the name still means the file that is open. */
static bool is_named(int fd, const char *path)
{
    struct stat open_one, named;

    return fstat(fd, &open_one) == 0 && lstat(path, &named) == 0 &&
           open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

/* Have the other name for us alone: a descriptor, or why not. */
static int open_beside(const char *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (fd < 0)
            return sq_fail(-errno, "cannot make %s", path);
        if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
            close(fd);
            return sq_fail(-EBUSY, "somebody else writes %s just now", path);
        }
        /* Who had it before us may have renamed it, or removed it, meanwhile. */
        if (is_named(fd, path)) {
            if (fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0)
                return fd;
            int error = errno;
            close(fd);
            return sq_fail(-error, "cannot empty %s", path);
        }
        close(fd);
    }
}

static int open_folder(const char *path)
{
    char copy[SQ_FILE_PATH_LONGEST + 1];

    strcpy(copy, path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : sq_fail(-errno, "cannot open the folder of %s", path);
}

/* --- writing ------------------------------------------------------------------ */

int sq_file_begin(struct sq_writer *w, const char *path, const char *name)
{
    *w = (struct sq_writer){.fd = -1, .folder = -1};
    if (path == NULL || path[0] == '\0' || strlen(path) > SQ_FILE_PATH_LONGEST)
        return sq_fail(-EINVAL, "a file's path has 1 to %d bytes", SQ_FILE_PATH_LONGEST);
    strcpy(w->path, path);
    snprintf(w->beside, sizeof(w->beside), "%s.tmp", path);
    int rc = check_target(path, name);
    if (rc < 0)
        return rc;
    if (getrandom(&w->salt, sizeof(w->salt), 0) != (ssize_t)sizeof(w->salt))
        return sq_fail(-errno, "no random number");
    w->folder = open_folder(path);
    if (w->folder < 0)
        return w->folder;
    w->fd = open_beside(w->beside);
    if (w->fd < 0) {
        close(w->folder);
        return w->fd;
    }
    return 0;
}

static int write_all(struct sq_writer *w, struct iovec *parts, int count)
{
    while (count > 0) {
        if (parts->iov_len == 0) {
            parts++;
            count--;
            continue;
        }
        ssize_t n = pwritev(w->fd, parts, count, (off_t)w->off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return sq_fail(n < 0 ? -errno : -EIO, "cannot write %s (at offset %llu)", w->beside,
                           (unsigned long long)w->off);
        w->off += (uint64_t)n;
        for (size_t left = (size_t)n; left > 0;) {
            size_t step = left < parts->iov_len ? left : parts->iov_len;
            parts->iov_base = (char *)parts->iov_base + step;
            parts->iov_len -= step;
            left -= step;
            if (parts->iov_len == 0) {
                parts++;
                count--;
            }
        }
    }
    return 0;
}

int sq_file_write_header(struct sq_writer *w, struct sq_file_header *header)
{
    static const unsigned char zeros[SQ_FILE_HEADER_BYTES];

    header->salt = w->salt;
    header->written_ns = sq_clock_read(CLOCK_REALTIME);
    sq_file_header_seal(header);
    struct iovec parts[] = {{header, sizeof(*header)},
                            {(void *)(uintptr_t)zeros, sizeof(zeros) - sizeof(*header)}};
    return write_all(w, parts, 2);
}

int sq_file_write(struct sq_writer *w, enum sq_frame_kind kind, const struct sq_piece *pieces,
                  unsigned count)
{
    static const unsigned char zeros[SQ_FRAME_ALIGN];
    struct iovec parts[SQ_PIECES_MOST + 2];
    struct sq_frame frame;

    sq_frame_make(&frame, w->salt, kind, w->number + 1, 0, pieces, count);
    parts[0] = (struct iovec){&frame, sizeof(frame)};
    for (unsigned i = 0; i < count; i++)
        parts[i + 1] = (struct iovec){(void *)(uintptr_t)pieces[i].data, pieces[i].bytes};
    parts[count + 1] =
        (struct iovec){(void *)(uintptr_t)zeros, sq_frame_padding(frame.bytes)};
    int rc = write_all(w, parts, (int)count + 2);
    if (rc == 0)
        w->number++;
    return rc;
}

int sq_file_end(struct sq_writer *w)
{
    int rc = 0;

    if (fdatasync(w->fd) != 0)
        rc = sq_fail(-errno, "cannot sync %s", w->beside);
    else if (rename(w->beside, w->path) != 0)
        rc = sq_fail(-errno, "cannot rename %s", w->beside);
    else if (fsync(w->folder) != 0)
        rc = sq_fail(-errno, "cannot sync the folder of %s", w->path);
    if (rc < 0 && is_named(w->fd, w->beside))
        unlink(w->beside);
    close(w->folder);
    close(w->fd); /* and with it goes the lock */
    return rc;
}

void sq_file_abandon(struct sq_writer *w)
{
    unlink(w->beside); /* ours, by the lock */
    close(w->folder);
    close(w->fd);
}

/* --- keeping others from it ------------------------------------------------------- */

int sq_file_hold(const char *path)
{
    char beside[SQ_FILE_PATH_LONGEST + 8];

    if (strlen(path) > SQ_FILE_PATH_LONGEST)
        return sq_fail(-EINVAL, "a file's path has 1 to %d bytes", SQ_FILE_PATH_LONGEST);
    snprintf(beside, sizeof(beside), "%s.tmp", path);
    return open_beside(beside);
}

void sq_file_release(const char *path, int fd)
{
    char beside[SQ_FILE_PATH_LONGEST + 8];

    snprintf(beside, sizeof(beside), "%s.tmp", path);
    unlink(beside);
    close(fd);
}
