/*
 * append.h - one frame after another at the end of the queue's file.
 */
#ifndef SQ_APPEND_H
#define SQ_APPEND_H

#include "snapshot.h"

/* Up to where the file must be on the disk for a call to keep its promise. */
struct sq_promise {
    uint64_t generation;
    uint64_t off; /* 0: nothing was written */
};

/* Have J, and in q->journal the file of the present generation.  0; -ETIMEDOUT; or why
 * there is no file to write to, and J is not had. */
int sq_append_enter(struct shmq *q);
void sq_append_leave(struct shmq *q);

/* J: append a frame; journal_pos becomes `pos`.  0, and *promise says where it ends; or a
 * negative errno, and the file is as it was. */
int sq_append_frame(struct shmq *q, enum sq_frame_kind kind, const struct sq_piece *pieces,
                    unsigned count, uint64_t pos, struct sq_promise *promise);

/* A lock of sq_file_shm, from the dead if need be (1 then); 0; -ETIMEDOUT. */
int sq_append_lock(struct shmq *q, struct sq_lock_shm *lock, struct sq_deadline *deadline);

/* J: where the next frame goes, and the number of the last. */
static inline struct sq_journal_end sq_append_end(const struct sq_file_shm *f)
{
    return f->journal.ends[sq_load_acquire(&f->journal.end_at) & 1];
}

/* Note trouble with the file, for those who look at the queue; 0: there is none any more. */
void sq_append_note(struct sq_file_shm *f, int rc);

/* Nobody else sees the queue, or J is had: from now on the file is this one. */
void sq_append_begin(struct sq_segment *segment, const struct sq_saved *saved);

/* Let go of the handle's descriptor. */
void sq_append_close(struct shmq *q);

#endif
