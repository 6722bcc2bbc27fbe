/*
 * segment.h - the named shared-memory object: making, mapping, checking it.
 */
#ifndef SQ_SEGMENT_H
#define SQ_SEGMENT_H

#include <sys/types.h>

#include "file/file.h"
#include "group/group.h"

#define SQ_SHM_DIR      "/dev/shm"
#define SQ_NAME_MAX     SHMQ_NAME_LONGEST
#define SQ_CAPACITY_MAX ((uint64_t)1 << 40)
#define SQ_PENDING_MAX  SQ_ENTRIES_MAX

/* A mapped segment.  Everything here is this process's own. */
struct sq_segment {
    int fd;
    bool readable_only;
    ino_t inode; /* of the object */
    dev_t device;
    unsigned char *base; /* the object once, then its ring again */
    size_t mapped_bytes;
    struct sq_header_shm *header;
    struct sq_control_shm *control;
    struct sq_slot_shm *slots;
    struct sq_file_shm *file;
    uint32_t slot_count;
    struct sq_ring ring;
    struct shmq_attr attr;         /* in force; `snapshot` is NULL, see file_path */
    int64_t created_ns;            /* CLOCK_REALTIME */
    uid_t owner;                   /* of the object */
    struct sq_file_path file_path; /* of the queue's file, as it was at the beginning; "": none */
};

/* How a new queue begins, before it has its name: 0, or a negative errno. */
struct sq_origin {
    int (*fill)(struct sq_segment *segment, void *arg);
    void *arg;
};

/* Where an object's path is built: "/dev/shm/shmq." and the name. */
struct sq_path {
    char text[256];
};

/*
 * Open `path`, or with SHMQ_CREATE make it, and map it.  See shmq_open() for
 * flags and errors.  Does not attach.
 */
int sq_segment_open(struct sq_segment *segment, const struct sq_path *path, int flags,
                    const struct shmq_attr *attr);

/* The two halves of that: -ENOENT there is none; -EEXIST there is one.  Attr->snapshot is
 * absolute.  `origin` may be NULL. */
int sq_segment_attach(struct sq_segment *segment, const struct sq_path *path, int flags);
int sq_segment_create(struct sq_segment *segment, const struct sq_path *path,
                      const struct shmq_attr *attr, const struct sq_origin *origin);

/* Open the very object that `other` is, whatever its name is now. */
int sq_segment_open_again(struct sq_segment *segment, const struct sq_segment *other,
                          const struct sq_path *path);

void sq_segment_close(struct sq_segment *segment);

/* Whether it was noticed that the queue is unlinked: a load, and no system call. */
static inline bool sq_segment_marked_unlinked(const struct sq_segment *segment)
{
    return (sq_load(&segment->control->notices) & SQ_NOTICE_UNLINKED) != 0;
}

#endif
