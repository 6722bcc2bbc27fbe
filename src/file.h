/*
 * file.h - files of frames on disk: replaced whole, or read whole.
 */
#ifndef SQ_FILE_H
#define SQ_FILE_H

#include <sys/types.h>

#include "frame.h"

#define SQ_FILE_PATH_LONGEST 1023

/* A file being written, beside the one that it will replace. */
struct sq_writer {
    int fd;
    int folder;    /* where both are */
    char path[SQ_FILE_PATH_LONGEST + 1];
    char beside[SQ_FILE_PATH_LONGEST + 8]; /* path.tmp */
    uint64_t salt;
    uint64_t number; /* of the last frame */
    uint64_t off;    /* where the next one goes */
};

/*
 * Begin a file that is to replace `path`, if there is one: a regular file of ours that
 * holds queue `name` too.  0; -EEXIST it is something else; -EBUSY somebody else writes
 * there just now; -ELOOP a symbolic link; -EACCES, -EROFS, -ENOSPC and so on.  Nothing is
 * seen of it under `path` before sq_file_end().
 */
int sq_file_begin(struct sq_writer *writer, const char *path, const char *name);

/* The header; first. */
int sq_file_write_header(struct sq_writer *writer, struct sq_file_header *header);

/* A frame.  0, or what writing said: the detail names the path. */
int sq_file_write(struct sq_writer *writer, enum sq_frame_kind kind, const struct sq_piece *pieces,
                  unsigned count);

/* It is complete: on the disk, and then under its name for good.  0, or it is abandoned. */
int sq_file_end(struct sq_writer *writer);

/* Leave no trace of it. */
void sq_file_abandon(struct sq_writer *writer);

/*
 * Keep others from replacing `path`.  A descriptor for sq_file_release(); errors as
 * sq_file_begin().
 */
int sq_file_hold(const char *path);
void sq_file_release(const char *path, int fd);

/*
 * Read a whole file into memory, to be freed.  Not mapped: who cuts it off meanwhile could
 * kill us.  0; -ELOOP; -EPROTO no regular file; and what open() and read() say.
 */
int sq_file_read(const char *path, void **bytes, uint64_t *size);

#endif
