/*
 * record.c - record.so, to be preloaded: writes down what a process and its children do to
 * the files of a folder, in order and with the data; and makes calls fail (faults.c).
 *
 *   DISK_FOLDER  the folder, an absolute path as /proc/self/fd shows it
 *   DISK_LOG     where the log goes (log.h), outside of it; none: nothing is recorded
 *   DISK_FAIL    N:ENOSPC, N:EIO or N:SHORT: the Nth call on a file of the folder fails so, if
 *                it is one that can, counted per process from 1; N+: and all that follow.
 *                Set (to anything), it also counts calls that change nothing.  A program may
 *                say another one later: disk_arm()
 *
 * A call and its entry are one step under a lock of the log, so that the order in the log is
 * that of the calls.  Calls are made by syscall(), so that libc's own are not met twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "disk/faults.h"
#include "disk/log.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* --- the log ---------------------------------------------------------------------- */

/* Not by fstat(), which is ours. */
static uint64_t inode(int fd)
{
    struct statx st;

    return statx(fd, "", AT_EMPTY_PATH, STATX_INO, &st) == 0 ? (uint64_t)st.stx_ino : 0;
}

static uint64_t inode_of(const char *path)
{
    struct statx st;

    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO, &st) == 0 ? (uint64_t)st.stx_ino
                                                                           : 0;
}

static uint64_t size_of(int fd)
{
    struct statx st;

    return statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &st) == 0 ? (uint64_t)st.stx_size : 0;
}

/* The descriptor of the log, locked, or -1. */
static int begin(void)
{
    const char *log = getenv("DISK_LOG");
    int fd = -1;

    pthread_mutex_lock(&mutex);
    if (log)
        fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                          0600);
    if (fd >= 0)
        while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
            ;
    return fd;
}

static void end(int fd)
{
    int saved = errno;

    if (fd >= 0)
        syscall(SYS_close, fd);
    pthread_mutex_unlock(&mutex);
    errno = saved;
}

static void put(int fd, const void *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = syscall(SYS_write, fd, bytes, length);

        if (n <= 0)
            _exit(99); /* a log with holes proves nothing */
        bytes = (const char *)bytes + n;
        length -= (size_t)n;
    }
}

static void note(int fd, enum disk_op op, uint64_t ino, const char *name, const char *other,
                 uint64_t off)
{
    struct disk_entry e = {.op = op,
                           .name_bytes = (uint32_t)strlen(name),
                           .other_bytes = (uint32_t)strlen(other),
                           .ino = ino,
                           .off = off};
    int saved = errno;

    if (fd < 0)
        return;
    put(fd, &e, sizeof(e));
    put(fd, name, e.name_bytes);
    put(fd, other, e.other_bytes);
    errno = saved;
}

/* The first `length` bytes of the parts were written at `off`. */
static void note_data(int fd, enum disk_op op, uint64_t ino, uint64_t off,
                      const struct iovec *parts, int count, size_t length)
{
    struct disk_entry e = {.op = op, .data_bytes = (uint32_t)length, .ino = ino, .off = off};
    int saved = errno;

    if (fd < 0)
        return;
    put(fd, &e, sizeof(e));
    for (int i = 0; i < count && length > 0; i++) {
        size_t n = parts[i].iov_len < length ? parts[i].iov_len : length;

        put(fd, parts[i].iov_base, n);
        length -= n;
    }
    errno = saved;
}

/* For the program: found by dlsym(RTLD_DEFAULT, "disk_note"). */
void disk_note(const char *text);
void disk_note(const char *text)
{
    struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
    int log = begin();

    note_data(log, DISK_NOTE, 0, 0, &part, 1, part.iov_len);
    end(log);
}

/* --- calls ---------------------------------------------------------------------------- */

static int open_at(int folder, const char *path, int flags, mode_t mode)
{
    char where[DISK_PATH_MAX];
    int fd, log, error;
    bool is_new;

    if (!disk_within(path) || *disk_within(path) == '\0' || (flags & (O_CREAT | O_TRUNC)) == 0) {
        if (disk_may_fail() && disk_within(path) && disk_fails("open"))
            return -1;
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    }
    log = begin();
    error = disk_fault("open", CAN_EIO | CAN_ENOSPC);
    is_new = inode_of(path) == 0;
    if (error > 0) {
        errno = error;
        fd = -1;
    } else {
        fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    }
    if (fd >= 0 && disk_within_fd(fd, where)) {
        if (is_new)
            note(log, DISK_CREATE, inode(fd), disk_within(path), "", 0);
        else if (flags & O_TRUNC)
            note(log, DISK_RESIZE, inode(fd), "", "", 0);
    }
    end(log);
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(args, unsigned) : 0;
}

#define SAME_AS(name) __attribute__((alias(#name)))

int open(const char *path, int flags, ...)
{
    va_list args;
    int fd;

    va_start(args, flags);
    fd = open_at(AT_FDCWD, path, flags, mode_of(flags, args));
    va_end(args);
    return fd;
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list args;
    int fd;

    va_start(args, flags);
    fd = open_at(folder, path, flags, mode_of(flags, args));
    va_end(args);
    return fd;
}

/* How writing goes: at the descriptor's place (off < 0), or at `off`. */
static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t off)
{
    char path[DISK_PATH_MAX];
    const char *name = disk_within_fd(fd, path);
    struct iovec half;
    ssize_t n;
    int log, error;
    off_t at = off;

    if (!name)
        return off < 0 ? syscall(SYS_writev, fd, parts, count)
                       : syscall(SYS_pwritev, fd, parts, count, off, 0L);
    log = begin();
    error = disk_fault("write", CAN_WRITE);
    if (error > 0) {
        errno = error;
        end(log);
        return -1;
    }
    for (int i = 0; error == FAULT_SHORT && i < count; i++) {
        if (parts[i].iov_len == 0)
            continue;
        half = (struct iovec){parts[i].iov_base, (parts[i].iov_len + 1) / 2};
        parts = &half;
        count = 1;
        break;
    }
    if (off < 0)
        n = syscall(SYS_writev, fd, parts, count);
    else
        n = syscall(SYS_pwritev, fd, parts, count, off, 0L);
    if (off < 0 && n > 0)
        at = (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) - n;
    if (n > 0)
        note_data(log, DISK_WRITE, inode(fd), (uint64_t)at, parts, count, (size_t)n);
    end(log);
    return n;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    struct iovec part = {(void *)(uintptr_t)bytes, length};

    return write_parts(fd, &part, 1, -1);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_parts(fd, parts, count, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t off)
{
    struct iovec part = {(void *)(uintptr_t)bytes, length};

    return write_parts(fd, &part, 1, off);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t off)
{
    return write_parts(fd, parts, count, off);
}

/* A call on a descriptor that is followed by a resize to what it is then, or by a sync. */
static int on_fd(const char *call, int fd, enum disk_op op, long number, long a, long b, long c)
{
    char path[DISK_PATH_MAX];
    const char *name = disk_within_fd(fd, path);
    int rc, error, log;

    if (!name)
        return (int)syscall(number, fd, a, b, c);
    log = begin();
    error = disk_fault(call, CAN_EIO | CAN_ENOSPC);
    if (error != NO_FAULT) {
        errno = error;
        end(log);
        return -1;
    }
    rc = (int)syscall(number, fd, a, b, c);
    if (rc == 0 && op == DISK_SYNC && *name == '\0')
        note(log, DISK_SYNC_FOLDER, 0, "", "", 0);
    else if (rc == 0)
        note(log, op, inode(fd), "", "", size_of(fd));
    end(log);
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return on_fd("ftruncate", fd, DISK_RESIZE, SYS_ftruncate, size, 0, 0);
}

int fallocate(int fd, int mode, off_t off, off_t length)
{
    return on_fd("fallocate", fd, DISK_RESIZE, SYS_fallocate, mode, off, length);
}

int posix_fallocate(int fd, off_t off, off_t length)
{
    int saved = errno;
    int rc = fallocate(fd, 0, off, length) == 0 ? 0 : errno;

    errno = saved;
    return rc;
}

int fsync(int fd)
{
    return on_fd("fsync", fd, DISK_SYNC, SYS_fsync, 0, 0, 0);
}

int fdatasync(int fd)
{
    return on_fd("fdatasync", fd, DISK_SYNC, SYS_fdatasync, 0, 0, 0);
}

/* A call on one or two names. */
static int on_names(const char *call, enum disk_op op, const char *from, const char *to)
{
    const char *name = disk_within(from), *other = to ? disk_within(to) : "";
    uint64_t ino;
    int rc, error, log;

    log = begin();
    error = name && other ? disk_fault(call, op == DISK_UNLINK ? CAN_EIO : CAN_EIO | CAN_ENOSPC)
                          : NO_FAULT;
    ino = inode_of(from);
    if (error != NO_FAULT) {
        errno = error;
        end(log);
        return -1;
    }
    if (op == DISK_UNLINK)
        rc = (int)syscall(SYS_unlinkat, AT_FDCWD, from, 0);
    else if (op == DISK_LINK)
        rc = (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
    else
        rc = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (rc == 0 && name && other)
        note(log, op, ino, name, other, 0);
    end(log);
    return rc;
}

int rename(const char *from, const char *to)
{
    return on_names("rename", DISK_RENAME, from, to);
}

int link(const char *from, const char *to)
{
    return on_names("link", DISK_LINK, from, to);
}

int unlink(const char *path)
{
    return on_names("unlink", DISK_UNLINK, path, NULL);
}

int open64(const char *path, int flags, ...) SAME_AS(open);
int openat64(int folder, const char *path, int flags, ...) SAME_AS(openat);
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t off) SAME_AS(pwrite);
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t off) SAME_AS(pwritev);
int ftruncate64(int fd, off_t size) SAME_AS(ftruncate);
int fallocate64(int fd, int mode, off_t off, off_t length) SAME_AS(fallocate);
int posix_fallocate64(int fd, off_t off, off_t length) SAME_AS(posix_fallocate);
