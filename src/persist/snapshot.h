/*
 * snapshot.h - a queue's messages and groups into a file, while everybody goes on.
 */
#ifndef SQ_SNAPSHOT_H
#define SQ_SNAPSHOT_H

#include "file/frame_writer.h"
#include "persist/capture.h"

/* What was written. */
struct sq_saved {
    uint64_t generation;
    uint64_t salt;
    uint64_t number;       /* of the last frame */
    uint64_t base_bytes;   /* of the file */
    uint64_t synced_bytes; /* of them, synced before the file had its name */
    uint64_t next_id;      /* of the first message that is not in it */
    uint64_t tail_pos;     /* likewise, its position */
    uint64_t changes;      /* sq_capture_changes() */
};

/* The header of a file of this queue, but for what is each file's own. */
void sq_snapshot_header(const struct sq_segment *segment, const char *name,
                        struct sq_file_header *header);

/*
 * Write header and base into `out`, after sq_capture_take() of `c`.  The pin moves on as
 * records are read.  0; -EBADMSG the ring is damaged; as writing files.
 */
int sq_snapshot_base(struct shmq *q, const struct sq_capture *c, uint64_t generation,
                     struct sq_file_out *out, struct sq_saved *saved);

/* A whole snapshot in the place of `path`.  The caller saves (pin.h).  A descriptor of the
 * new file, with the shared lock, or a negative errno: then `path` is as it was. */
int sq_snapshot_write(struct shmq *q, const struct sq_file_path *path, uint64_t generation,
                      struct sq_saved *saved);

/* The same of a queue that has no name yet: one has the file alone then, so that whoever
 * else wants to create the queue from it waits for that. */
int sq_snapshot_still(struct shmq *q, const struct sq_file_path *path, uint64_t generation,
                      struct sq_saved *saved);

/* The first file of a queue that has no name yet.  A descriptor that has the file alone;
 * -EEXIST there is one now. */
int sq_snapshot_first(struct shmq *q, const struct sq_file_path *path, struct sq_saved *saved);

#endif
