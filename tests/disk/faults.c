/*
 * faults.c - see faults.h: calls that fail, and among them those that change nothing and so
 * are not recorded.
 */
#include "disk/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* --- which files --------------------------------------------------------------- */

const char *disk_within(const char *path)
{
    const char *folder = getenv("DISK_FOLDER");
    size_t length = folder ? strlen(folder) : 0;

    if (length == 0 || strncmp(path, folder, length) != 0)
        return NULL;
    if (path[length] == '\0')
        return "";
    return path[length] == '/' ? path + length + 1 : NULL;
}

const char *disk_within_fd(int fd, char path[DISK_PATH_MAX])
{
    char link[64];
    ssize_t n;

    if (!getenv("DISK_FOLDER"))
        return NULL;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, DISK_PATH_MAX - 1);
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    return disk_within(path);
}

/* --- whose turn it is --------------------------------------------------------------------- */

static char armed[32]; /* what a thread has said later than DISK_FAIL, for itself */
static bool is_armed;
static pthread_t thread;
static unsigned long calls, hits;
static const char *first_hit = "";

static const char *spec(void)
{
    return is_armed ? armed : getenv("DISK_FAIL");
}

/* For the program, as disk_note(): from now on so, of calls of this thread alone, counted
 * anew; "" nothing fails. */
void disk_arm(const char *fail);
void disk_arm(const char *fail)
{
    pthread_mutex_lock(&mutex);
    snprintf(armed, sizeof(armed), "%s", fail);
    is_armed = true;
    thread = pthread_self();
    calls = hits = 0;
    first_hit = "";
    pthread_mutex_unlock(&mutex);
}

/* Likewise: how many calls there were since then, how many of them failed, and the first that
 * did. */
void disk_counts(unsigned long *all, unsigned long *failed, const char **first);
void disk_counts(unsigned long *all, unsigned long *failed, const char **first)
{
    pthread_mutex_lock(&mutex);
    *all = calls;
    *failed = hits;
    *first = first_hit;
    pthread_mutex_unlock(&mutex);
}

/* The lock is held. */
static int next(const char *name, int can)
{
    const char *fail = spec();
    unsigned long at;
    char *rest;

    calls++;
    at = strtoul(fail, &rest, 10);
    bool on = *rest == '+';
    if (calls != at && !(on && at > 0 && calls > at))
        return NO_FAULT;
    rest += on;
    int how = strcmp(rest, ":ENOSPC") == 0  ? CAN_ENOSPC
              : strcmp(rest, ":SHORT") == 0 ? CAN_SHORT
                                            : CAN_EIO;
    if ((how & can) == 0)
        return NO_FAULT;
    if (hits++ == 0)
        first_hit = name;
    return how == CAN_ENOSPC ? ENOSPC : how == CAN_SHORT ? FAULT_SHORT : EIO;
}

bool disk_may_fail(void)
{
    return spec() != NULL;
}

int disk_fault(const char *name, int can)
{
    int error;

    if (!disk_may_fail())
        return NO_FAULT;
    pthread_mutex_lock(&mutex);
    error = is_armed && !pthread_equal(thread, pthread_self()) ? NO_FAULT : next(name, can);
    pthread_mutex_unlock(&mutex);
    return error;
}

bool disk_fails(const char *name)
{
    int error = disk_fault(name, CAN_EIO);

    if (error == NO_FAULT)
        return false;
    errno = error;
    return true;
}

/* --- calls that change nothing ---------------------------------------------------------- */

static bool fails_on(int fd, const char *name)
{
    char path[DISK_PATH_MAX];

    return disk_may_fail() && disk_within_fd(fd, path) && disk_fails(name);
}

ssize_t read(int fd, void *bytes, size_t length)
{
    return fails_on(fd, "read") ? -1 : syscall(SYS_read, fd, bytes, length);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t off)
{
    return fails_on(fd, "pread") ? -1 : syscall(SYS_pread64, fd, bytes, length, off);
}

int fstat(int fd, struct stat *st)
{
    return fails_on(fd, "fstat") ? -1 : fstatat(fd, "", st, AT_EMPTY_PATH);
}

int lstat(const char *path, struct stat *st)
{
    if (disk_may_fail() && disk_within(path) && disk_fails("lstat"))
        return -1;
    return fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

/* Locks, and a descriptor once more. */
int fcntl(int fd, int what, ...)
{
    va_list args;

    va_start(args, what);
    long arg = va_arg(args, long);
    va_end(args);
    if ((what == F_OFD_SETLK || what == F_OFD_GETLK || what == F_DUPFD_CLOEXEC) &&
        fails_on(fd, what == F_DUPFD_CLOEXEC ? "dup" : "lock"))
        return -1;
    return (int)syscall(SYS_fcntl, fd, what, arg);
}

DIR *opendir(const char *path)
{
    if (disk_may_fail() && disk_within(path) && disk_fails("opendir"))
        return NULL;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return fd < 0 ? NULL : fdopendir(fd);
}

#define SAME_AS(name) __attribute__((alias(#name)))

ssize_t pread64(int fd, void *bytes, size_t length, off_t off) SAME_AS(pread);
int fcntl64(int fd, int what, ...) SAME_AS(fcntl);
