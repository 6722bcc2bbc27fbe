/*
 * file.h - files on the disk: opened with care, locked, replaced whole.
 *
 * One file serves one queue at a time.  Byte 0 is locked as OFD locks are: shared by all
 * handles that are attached to the queue, alone by who creates a queue from it.  A file is
 * replaced by renaming one beside it, so a lock counts only while the path still names the
 * file that was locked.
 */
#ifndef SQ_FILE_H
#define SQ_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

/* An absolute path. */
struct sq_file_path {
    char text[SQ_FILE_PATH_BYTES];
};

/* Make `given` absolute, so that it means the same to every process.  0; -EINVAL;
 * -ENAMETOOLONG; -ENOENT no such folder. */
int sq_file_path(struct sq_file_path *path, const char *given);

enum sq_file_lock {
    SQ_FILE_SHARED,
    SQ_FILE_ALONE,
};

/*
 * Open the file for reading (and, to have it alone, writing) and lock it.  The descriptor,
 * or: -ENOENT; -EPROTO a symbolic link, or no regular file; -EACCES another user's;
 * -EBUSY others are attached to its queue; -EAGAIN somebody has it alone, who creates a
 * queue from it.
 */
int sq_file_open(const struct sq_file_path *path, enum sq_file_lock lock);

/* The lock that one has alone is shared from now on. */
int sq_file_share(int fd);

/* Whether the path still names the file that `fd` is of. */
bool sq_file_is_at(int fd, const struct sq_file_path *path);

/* A file's bytes in memory of our own: whoever truncates it cannot hurt us. */
struct sq_file_bytes {
    void *bytes;
    uint64_t size;
    uint64_t mapped;
};

int sq_file_read(int fd, struct sq_file_bytes *bytes);
void sq_file_free(struct sq_file_bytes *bytes);

/* Write all of it at `off`, whatever is written at a time.  0 or a negative errno. */
int sq_file_write_at(int fd, const void *data, size_t bytes, uint64_t off);

/* --- a new file in the place of the old one ------------------------------- */

struct sq_file_out {
    int fd;
    uint64_t off; /* where what comes next goes */
    uint64_t pushed_off;
    unsigned char *buffer;
    size_t used;
    struct sq_file_path path;
    struct sq_file_path temporary; /* beside it; "": none */
};

/* Begin a file that is to replace `path`; what others left of such is removed. */
int sq_file_begin(struct sq_file_out *out, const struct sq_file_path *path);
int sq_file_put(struct sq_file_out *out, const void *data, size_t bytes);

/* Write what is left in memory; and have all on the disk. */
int sq_file_flush(struct sq_file_out *out);
int sq_file_sync(struct sq_file_out *out);

enum sq_file_end {
    SQ_FILE_REPLACE,       /* in the place of what is there; the lock is shared then */
    SQ_FILE_REPLACE_ALONE, /* the same, and one has it alone then */
    SQ_FILE_NEW,           /* -EEXIST if something is there; likewise */
};

/* On the disk with it, and to its path.  The descriptor, or a negative errno and it is
 * abandoned. */
int sq_file_finish(struct sq_file_out *out, enum sq_file_end end);

/* The last step of that alone, to replace what is there, if all that counts is on the disk
 * and the caller then syncs the folder: the disk has nobody wait meanwhile. */
int sq_file_rename(struct sq_file_out *out);

/* So that names in the folder of `path` are on the disk. */
int sq_file_sync_folder(const struct sq_file_path *path);

/* Remove it.  (Also after sq_file_finish(): nothing.) */
void sq_file_abandon(struct sq_file_out *out);

#endif
