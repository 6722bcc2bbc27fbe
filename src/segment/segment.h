/*
 * segment.h - the named shared-memory object: making, mapping, checking it.
 */
#ifndef SQ_SEGMENT_H
#define SQ_SEGMENT_H

#include <sys/types.h>

#include "file/file.h"
#include "group/group.h"

#define SQ_SHM_DIR       "/dev/shm"
#define SQ_NAME_LONGEST  SHMQ_NAME_LONGEST
#define SQ_CAPACITY_MOST ((uint64_t)1 << 40)
#define SQ_PENDING_MOST  SQ_ENTRIES_MOST

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

/* Check a queue's name and build its path.  0 or -EINVAL. */
int sq_segment_path(const char *name, struct sq_path *path);

/* The queue's name, from its path. */
const char *sq_segment_name(const struct sq_path *path);

/* Check attributes and fill in the defaults.  0 or -EINVAL with both culprits named. */
int sq_segment_attr(const struct shmq_attr *given, int flags, struct shmq_attr *attr);

/* Check a policy, the dead-letter queue's name included, and fill in the defaults. */
int sq_segment_policy(const struct shmq_policy *given, struct shmq_policy *policy);

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

/* Whether the descriptor is still the one we opened. */
bool sq_segment_has_fd(const struct sq_segment *segment);

/* Whether the name is gone, asking the file system; marks the segment so. */
bool sq_segment_is_gone(struct sq_segment *segment);

/* The same from the mark alone: no system call. */
static inline bool sq_segment_marked_gone(const struct sq_segment *segment)
{
    return (sq_load(&segment->control->notices) & SQ_NOTICE_GONE) != 0;
}

/* A descriptor of its own for the same object (for the child after a fork).
 * Async-signal-safe.  The new descriptor or a negative errno. */
int sq_segment_reopen(const struct sq_segment *segment, const struct sq_path *path);

#endif
