/*
 * record.c - to be preloaded: writes down what a process and its children do to the files
 * of a folder, in order and with the data, and makes calls fail.
 *
 *   DISK_FOLDER  the folder, an absolute path as /proc/self/fd shows it
 *   DISK_LOG     where the log goes (log.h), outside of it; none: nothing is recorded
 *   DISK_FAIL    N:ENOSPC, N:EIO or N:SHORT: the Nth call on a file of the folder that could
 *                fail so does, counted per process from 1; N+: and all that follow
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

#include "log.h"

enum { PATH_MOST = 4096 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned long calls;

/* --- which files --------------------------------------------------------------- */

/* The part of an absolute path that is within the folder, or NULL. */
static const char *within(const char *path)
{
    const char *folder = getenv("DISK_FOLDER");
    size_t length = folder ? strlen(folder) : 0;

    if (length == 0 || strncmp(path, folder, length) != 0)
        return NULL;
    if (path[length] == '\0')
        return "";
    return path[length] == '/' ? path + length + 1 : NULL;
}

/* Likewise of a descriptor; "" is the folder itself. */
static const char *within_fd(int fd, char path[PATH_MOST])
{
    char link[64];
    ssize_t n;

    if (!getenv("DISK_FOLDER"))
        return NULL;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, PATH_MOST - 1);
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    return within(path);
}

static uint64_t inode(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static uint64_t inode_of(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* --- the log ---------------------------------------------------------------------- */

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

/* --- failing ------------------------------------------------------------------------ */

enum { NO_FAULT = 0, FAULT_SHORT = -1 };

/* Is it the turn of this call?  The lock is held. */
static int fault(void)
{
    const char *fail = getenv("DISK_FAIL");
    unsigned long at;
    bool on;
    char *rest;

    if (!fail)
        return NO_FAULT;
    calls++;
    at = strtoul(fail, &rest, 10);
    on = *rest == '+';
    rest += on;
    if (calls != at && !(on && calls > at))
        return NO_FAULT;
    if (strcmp(rest, ":ENOSPC") == 0)
        return ENOSPC;
    return strcmp(rest, ":SHORT") == 0 ? FAULT_SHORT : EIO;
}

/* --- calls ---------------------------------------------------------------------------- */

static int open_at(int folder, const char *path, int flags, mode_t mode)
{
    char where[PATH_MOST];
    int fd, log, error;
    bool is_new;

    if (!within(path) || *within(path) == '\0' || (flags & (O_CREAT | O_TRUNC)) == 0)
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    log = begin();
    error = fault();
    is_new = inode_of(path) == 0;
    if (error > 0) {
        errno = error;
        fd = -1;
    } else {
        fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    }
    if (fd >= 0 && within_fd(fd, where)) {
        if (is_new)
            note(log, DISK_CREATE, inode(fd), within(path), "", 0);
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
    char path[PATH_MOST];
    const char *name = within_fd(fd, path);
    struct iovec half;
    ssize_t n;
    int log, error;
    off_t at = off;

    if (!name)
        return off < 0 ? syscall(SYS_writev, fd, parts, count)
                       : syscall(SYS_pwritev, fd, parts, count, off, 0L);
    log = begin();
    error = fault();
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
static int on_fd(int fd, enum disk_op op, long number, long a, long b, long c)
{
    char path[PATH_MOST];
    const char *name = within_fd(fd, path);
    struct stat st;
    int rc, error, log;

    if (!name)
        return (int)syscall(number, fd, a, b, c);
    log = begin();
    error = fault();
    if (error != NO_FAULT) {
        errno = error > 0 ? error : EIO;
        end(log);
        return -1;
    }
    rc = (int)syscall(number, fd, a, b, c);
    if (rc == 0 && op == DISK_SYNC && *name == '\0')
        note(log, DISK_SYNC_FOLDER, 0, "", "", 0);
    else if (rc == 0 && fstat(fd, &st) == 0)
        note(log, op, (uint64_t)st.st_ino, "", "", (uint64_t)st.st_size);
    end(log);
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return on_fd(fd, DISK_RESIZE, SYS_ftruncate, size, 0, 0);
}

int fallocate(int fd, int mode, off_t off, off_t length)
{
    return on_fd(fd, DISK_RESIZE, SYS_fallocate, mode, off, length);
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
    return on_fd(fd, DISK_SYNC, SYS_fsync, 0, 0, 0);
}

int fdatasync(int fd)
{
    return on_fd(fd, DISK_SYNC, SYS_fdatasync, 0, 0, 0);
}

/* A call on one or two names. */
static int on_names(enum disk_op op, const char *from, const char *to)
{
    const char *name = within(from), *other = to ? within(to) : "";
    uint64_t ino;
    int rc, error, log;

    log = begin();
    error = name && other ? fault() : NO_FAULT;
    ino = inode_of(from);
    if (error != NO_FAULT) {
        errno = error > 0 ? error : EIO;
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
    return on_names(DISK_RENAME, from, to);
}

int link(const char *from, const char *to)
{
    return on_names(DISK_LINK, from, to);
}

int unlink(const char *path)
{
    return on_names(DISK_UNLINK, path, NULL);
}

int open64(const char *path, int flags, ...) SAME_AS(open);
int openat64(int folder, const char *path, int flags, ...) SAME_AS(openat);
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t off) SAME_AS(pwrite);
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t off) SAME_AS(pwritev);
int ftruncate64(int fd, off_t size) SAME_AS(ftruncate);
int fallocate64(int fd, int mode, off_t off, off_t length) SAME_AS(fallocate);
int posix_fallocate64(int fd, off_t off, off_t length) SAME_AS(posix_fallocate);
