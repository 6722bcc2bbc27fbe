/*
 * journal_file.h - one frame after another at the end of the queue's file.
 */
#ifndef SQ_JOURNAL_FILE_H
#define SQ_JOURNAL_FILE_H

#include "persist/own_file.h"
#include "persist/snapshot.h"

/* Up to where the file must be on the disk for a call to keep its promise. */
struct sq_promise {
    uint64_t generation;
    uint64_t off; /* 0: nothing was written */
};

/*
 * How much is on the disk, of the file of which generation, in one word: where frames end,
 * in units of 8 bytes, and the lowest 16 bits of the generation.  It changes as one, so that
 * who looks without a lock never takes an offset in one file for the same one in another.
 */
static inline uint64_t sq_synced_word(uint64_t generation, uint64_t off)
{
    return off / SQ_FRAME_ALIGN << 16 | (generation & 0xffff);
}

/* How much of the file of this generation; 0: not known to be there at all. */
static inline uint64_t sq_synced_off(uint64_t word, uint64_t generation)
{
    return ((word ^ generation) & 0xffff) == 0 ? (word >> 16) * SQ_FRAME_ALIGN : 0;
}

/* A file that followed the promise's has all of that. */
static inline bool sq_synced_keeps(uint64_t word, const struct sq_promise *promise)
{
    int16_t later = (int16_t)(uint16_t)(word - promise->generation);

    return later > 0 || (later == 0 && (word >> 16) * SQ_FRAME_ALIGN >= promise->off);
}

/* Have J, and in q->own_file the file of the present generation.  0; -ETIMEDOUT; or why
 * there is no file to write to, and J is not had. */
int sq_journal_file_enter(struct shmq *q);
void sq_journal_file_leave(struct shmq *q);

/* J: append a frame; journal_pos becomes `pos`.  0, and *promise says where it ends; or a
 * negative errno, and the file is as it was.  That the file was removed (-ENOENT) is found
 * out by the frames written 0.1 s later. */
int sq_journal_file_frame(struct shmq *q, enum sq_frame_kind kind, const struct sq_piece *pieces,
                          unsigned count, uint64_t pos, struct sq_promise *promise);

/* A lock of sq_file_shm, from the dead if need be (1 then); 0; -ETIMEDOUT. */
int sq_journal_file_lock(struct shmq *q, struct sq_lock_shm *lock, struct sq_deadline *deadline);

/* J: where the next frame goes, and the number of the last. */
static inline struct sq_journal_end sq_journal_file_end(const struct sq_file_shm *f)
{
    sq_assert_held(&f->lock);
    return f->journal.ends[sq_load_acquire(&f->journal.end_at) & 1];
}

/* Note trouble with the file, for those who look at the queue; 0: there is none any more, but
 * for what is still unwritten. */
void sq_journal_file_note(struct sq_file_shm *f, int rc);

/* Nobody else sees the queue, or J is had: from now on the file is this one.  Whether it is
 * on the disk under its name is for `synced` to say. */
void sq_journal_file_begin(struct sq_segment *segment, const struct sq_saved *saved);

/* Let go of the handle's descriptor. */
void sq_journal_file_close(struct shmq *q);

#endif
