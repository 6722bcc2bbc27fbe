/*
 * file.c - see file.h.
 *
 * Crash rule.  A new file is written under a name of its own, PATH.tmp-RANDOM, and put on
 * the disk before it gets the path, and the folder after that; so the path names the old
 * file or the new one, whole.  While it is written its byte 0 is locked alone: one that
 * nobody has locked was left by the dead, and the next who writes removes it.  So it does
 * with a name that is left of one that has its path.
 */
#include "file/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum {
    BUFFER_BYTES = 64 << 10,
    PUSH_BYTES = 4 << 20, /* so much is written before the disk is told to begin */
    TRIES = 100,
};

static const char temporary_mark[] = ".tmp-";

/* --- paths ------------------------------------------------------------------ */

/* Where the last part of a path begins. */
static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* The folder of an absolute path. */
static void folder_of(const struct sq_file_path *path, struct sq_file_path *folder)
{
    size_t bytes = (size_t)(last_part(path->text) - path->text);

    *folder = *path;
    folder->text[bytes > 1 ? bytes - 1 : bytes] = '\0';
}

int sq_file_path(struct sq_file_path *path, const char *given)
{
    const char *name = given == NULL ? "" : last_part(given);
    struct sq_file_path folder = {"."};

    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return sq_fail(-EINVAL, "no path of a file: '%s'", given == NULL ? "" : given);
    size_t bytes = (size_t)(name - given);
    if (bytes >= sizeof(folder.text))
        return sq_fail(-ENAMETOOLONG, "a path of %zu bytes", strlen(given));
    if (bytes > 0) {
        memcpy(folder.text, given, bytes);
        folder.text[bytes] = '\0';
    }
    char *real = realpath(folder.text, NULL);
    if (real == NULL)
        return sq_fail(-errno, "cannot find the folder %s", folder.text);
    int n =
        snprintf(path->text, sizeof(path->text), "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
    free(real);
    /* Room for what is put behind it while it is written. */
    if (n < 0 || (size_t)n + sizeof(temporary_mark) + 16 > sizeof(path->text))
        return sq_fail(-ENAMETOOLONG, "the path has %d bytes; it can have %zu", n,
                       sizeof(path->text) - sizeof(temporary_mark) - 16);
    return 0;
}

/* --- locks ------------------------------------------------------------------- */

static int lock_file(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

/* The lock was not to be had: -EAGAIN somebody has it alone, -EBUSY others share it. */
static int who_has_it(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

    if (fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_RDLCK)
        return -EAGAIN;
    return -EBUSY;
}

int sq_file_share(int fd)
{
    int rc = lock_file(fd, F_RDLCK);

    return rc < 0 ? sq_fail(rc, "cannot share the lock of the file") : 0;
}

bool sq_file_is_at(int fd, const struct sq_file_path *path)
{
    struct stat ours, theirs;

    return fstat(fd, &ours) == 0 && lstat(path->text, &theirs) == 0 &&
           ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static int check(int fd, const struct sq_file_path *path)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return sq_fail(-errno, "cannot look at %s", path->text);
    if (!S_ISREG(st.st_mode))
        return sq_fail(-EPROTO, "%s is not a regular file", path->text);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return sq_fail(-EACCES, "%s belongs to user %u", path->text, (unsigned)st.st_uid);
    return 0;
}

static int open_file(const struct sq_file_path *path, enum sq_file_lock lock)
{
    /* O_NONBLOCK: not to wait for the other end of a FIFO. */
    int access = lock == SQ_FILE_ALONE ? O_RDWR : O_RDONLY;
    int fd = open(path->text, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && errno == ELOOP)
        return sq_fail(-EPROTO, "%s is a symbolic link", path->text);
    if (fd < 0 && (errno == EISDIR || errno == ENXIO))
        return sq_fail(-EPROTO, "%s is not a regular file", path->text);
    if (fd < 0)
        return sq_fail(-errno, "cannot open %s", path->text);
    int rc = check(fd, path);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

int sq_file_open(const struct sq_file_path *path, enum sq_file_lock lock)
{
    short type = lock == SQ_FILE_ALONE ? F_WRLCK : F_RDLCK;

    for (int tries = 0; tries < TRIES; tries++) {
        int fd = open_file(path, lock);
        if (fd < 0)
            return fd;
        int rc = lock_file(fd, type);
        if (rc == -EAGAIN)
            rc = who_has_it(fd, type);
        if (rc == 0 && sq_file_is_at(fd, path))
            return fd;
        close(fd);
        if (rc == -EBUSY)
            return sq_fail(rc, "others are attached to the queue of %s", path->text);
        if (rc < 0)
            return sq_fail(rc, "%s is locked: a queue is being created from it", path->text);
    }
    return sq_fail(-EAGAIN, "%s is replaced again and again", path->text);
}

/* --- reading ------------------------------------------------------------------ */

int sq_file_read(int fd, struct sq_file_bytes *bytes)
{
    struct stat st;
    uint64_t got = 0;

    *bytes = (struct sq_file_bytes){0};
    if (fstat(fd, &st) != 0)
        return sq_fail(-errno, "cannot tell the size of the file");
    if (st.st_size <= 0)
        return 0;
    void *memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return sq_fail(-ENOMEM, "no memory for the %lld bytes of the file", (long long)st.st_size);
    *bytes = (struct sq_file_bytes){memory, 0, (uint64_t)st.st_size};
    madvise(memory, (size_t)st.st_size, MADV_HUGEPAGE); /* fewer faults, where there are such */
    while (got < bytes->mapped) {
        ssize_t n = pread(fd, (char *)memory + got, (size_t)(bytes->mapped - got), (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int error = errno;
            sq_file_free(bytes);
            return sq_fail(-error, "cannot read the file at %llu", (unsigned long long)got);
        }
        if (n == 0)
            break; /* it was truncated just now */
        got += (uint64_t)n;
    }
    bytes->size = got;
    return 0;
}

void sq_file_free(struct sq_file_bytes *bytes)
{
    if (bytes->bytes != NULL)
        munmap(bytes->bytes, (size_t)bytes->mapped);
    *bytes = (struct sq_file_bytes){0};
}

/* --- writing ------------------------------------------------------------------- */

int sq_file_write_at(int fd, const void *data, size_t bytes, uint64_t off)
{
    const char *from = data;

    while (bytes > 0) {
        ssize_t n = pwrite(fd, from, bytes, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return sq_fail(n < 0 ? -errno : -EIO, "cannot write %zu bytes at %llu of the file",
                           bytes, (unsigned long long)off);
        from += n;
        off += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* Whether it was given its path, and its maker died before taking this name away. */
static bool has_another_name(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_nlink > 1;
}

/* Remove what those who died writing have left beside `path`. */
static void remove_left(const struct sq_file_path *path)
{
    const char *name = last_part(path->text);
    struct sq_file_path folder;
    size_t bytes = strlen(name);
    struct dirent *entry;

    folder_of(path, &folder);
    DIR *dir = opendir(folder.text);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, name, bytes) != 0 ||
            strncmp(entry->d_name + bytes, temporary_mark, sizeof(temporary_mark) - 1) != 0)
            continue;
        int fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
            continue;
        if (check(fd, path) == 0 && (has_another_name(fd) || lock_file(fd, F_WRLCK) == 0))
            unlinkat(dirfd(dir), entry->d_name, 0);
        close(fd);
    }
    if (dir != NULL)
        closedir(dir);
}

/* Make a file beside `path`, locked alone.  The descriptor or a negative errno. */
static int make_temporary(struct sq_file_path *temporary, const struct sq_file_path *path)
{
    for (int tries = 0; tries < TRIES; tries++) {
        uint64_t random = 0;
        struct stat st;
        if (getrandom(&random, sizeof(random), 0) < 0)
            random = (uint64_t)getpid() << 32 ^ (uint64_t)sq_clock_ns();
        size_t bytes = strlen(path->text);
        *temporary = *path;
        snprintf(temporary->text + bytes, sizeof(temporary->text) - bytes, "%s%016llx",
                 temporary_mark, (unsigned long long)random);
        int fd = open(temporary->text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0)
            return sq_fail(-errno, "cannot make a file beside %s", path->text);
        /* Who removes what was left may have been faster than our lock. */
        if (lock_file(fd, F_WRLCK) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
            return fd;
        close(fd);
        unlink(temporary->text);
    }
    return sq_fail(-EAGAIN, "cannot lock a file beside %s", path->text);
}

int sq_file_begin(struct sq_file_out *out, const struct sq_file_path *path)
{
    *out = (struct sq_file_out){.fd = -1, .path = *path};
    out->buffer = malloc(BUFFER_BYTES);
    if (out->buffer == NULL)
        return sq_fail(-ENOMEM, "no memory to write the file");
    remove_left(path);
    out->fd = make_temporary(&out->temporary, path);
    if (out->fd < 0) {
        int rc = out->fd;
        out->temporary.text[0] = '\0';
        sq_file_abandon(out);
        return rc;
    }
    return 0;
}

int sq_file_flush(struct sq_file_out *out)
{
    int rc = sq_file_write_at(out->fd, out->buffer, out->used, out->off - out->used);

    if (rc == 0)
        out->used = 0;
    return rc;
}

/* Let the disk write what it has been given, while more comes: less is left for the sync. */
static void push(struct sq_file_out *out)
{
    uint64_t end = (out->off - out->used) & ~(uint64_t)(PUSH_BYTES - 1);

    if (end <= out->pushed_off)
        return;
    sync_file_range(out->fd, (off_t)out->pushed_off, (off_t)(end - out->pushed_off),
                    SYNC_FILE_RANGE_WRITE); /* if it fails, the sync does it all */
    out->pushed_off = end;
}

/* Small pieces are gathered, large ones written as they are. */
int sq_file_put(struct sq_file_out *out, const void *data, size_t bytes)
{
    int rc = 0;

    if (bytes > BUFFER_BYTES - out->used)
        rc = sq_file_flush(out);
    if (rc == 0 && bytes > BUFFER_BYTES)
        rc = sq_file_write_at(out->fd, data, bytes, out->off);
    else if (rc == 0) {
        memcpy(out->buffer + out->used, data, bytes);
        out->used += bytes;
    }
    if (rc < 0)
        return rc;
    out->off += bytes;
    push(out);
    return 0;
}

int sq_file_sync(struct sq_file_out *out)
{
    int rc = sq_file_flush(out);

    if (rc == 0 && fdatasync(out->fd) != 0)
        rc = sq_fail(-errno, "cannot put the file on the disk");
    return rc;
}

int sq_file_sync_folder(const struct sq_file_path *path)
{
    struct sq_file_path folder;

    folder_of(path, &folder);
    int fd = open(folder.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    /* A folder that we may write to but not read: nothing to be done about it. */
    if (rc == 0 || rc == -EACCES || rc == -EINVAL)
        return 0;
    return sq_fail(rc, "cannot put the folder of %s on the disk", path->text);
}

/* Give it the path, which nothing has. */
static int make_path(struct sq_file_out *out)
{
    if (link(out->temporary.text, out->path.text) != 0)
        return sq_fail(-errno, "cannot make %s", out->path.text);
    unlink(out->temporary.text);
    out->temporary.text[0] = '\0';
    return 0;
}

/* Give it the path, in the place of what has it. */
static int take_path(struct sq_file_out *out, enum sq_file_end end)
{
    int rc = end == SQ_FILE_REPLACE_ALONE ? 0 : sq_file_share(out->fd);

    if (rc < 0)
        return rc;
    if (rename(out->temporary.text, out->path.text) != 0)
        return sq_fail(-errno, "cannot put a new file in the place of %s", out->path.text);
    out->temporary.text[0] = '\0';
    return 0;
}

/* `rc`, or if that is 0 the descriptor; nothing is left of `out`. */
static int hand_over(struct sq_file_out *out, int rc)
{
    if (rc == 0) {
        rc = out->fd;
        out->fd = -1;
    }
    sq_file_abandon(out);
    return rc;
}

int sq_file_finish(struct sq_file_out *out, enum sq_file_end end)
{
    int rc = sq_file_sync(out);

    if (rc == 0)
        rc = end == SQ_FILE_NEW ? make_path(out) : take_path(out, end);
    if (rc < 0)
        return hand_over(out, rc);
    rc = sq_file_sync_folder(&out->path);
    if (rc < 0 && end == SQ_FILE_NEW)
        unlink(out->path.text); /* nobody has used it: we have it alone */
    return hand_over(out, rc);
}

int sq_file_rename(struct sq_file_out *out)
{
    int rc = sq_file_flush(out);

    return hand_over(out, rc < 0 ? rc : take_path(out, SQ_FILE_REPLACE));
}

void sq_file_abandon(struct sq_file_out *out)
{
    if (out->temporary.text[0] != '\0')
        unlink(out->temporary.text);
    if (out->fd >= 0)
        close(out->fd);
    free(out->buffer);
    out->temporary.text[0] = '\0';
    out->fd = -1;
    out->buffer = NULL;
}
