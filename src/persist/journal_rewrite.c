/*
 * journal_rewrite.c - see journal_rewrite.h.
 *
 * First it is noted where the old file ends, then the queue is captured and its base
 * written: all that the old file says up to there is in it.  What was appended meanwhile is
 * copied behind it, most of it while more is appended, the rest with the journal's lock
 * held, and then the new file takes the old one's place.  So some of what is copied is in
 * the base already; to read it again does no harm, since frames say how things are, and
 * not how they changed.  A frame that is damaged on the disk is not copied: the rewriting
 * fails, and the next one has what that frame said in its base.
 *
 * The disk is waited for before that lock is taken and after it was freed, never with it:
 * who puts waits for the copying of a few KiB and a rename.  Who waits for the disk himself
 * waits for two syncs in place of one.
 *
 * Crash rule.  Until the rename there is the old file.  Who dies after it, before the
 * segment says so, leaves J: who takes that over finds a file of the next generation
 * (journal_file.c).  Who dies later leaves `sync`, and `synced` of the old generation: who takes
 * that over syncs the new file and its folder (journal_sync.c).
 */
#include "persist/journal_rewrite.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "persist/journal_sync.h"

enum {
    KEEP_BYTES = 1 << 20,
    TIMES = 4,
    CLOSE_BYTES = 1 << 16, /* so little more may be copied while producers wait */
    ROUNDS = 16,
    BLOCK_BYTES = 1 << 16, /* so much is read at once */
    LOCK_S = 30,
};

/* Ring bytes that are not finished, about. */
static uint64_t living_bytes(const struct sq_ring *ring)
{
    uint64_t tail = sq_load(&ring->producer->tail_pos), most = 0;

    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1) {
        const struct sq_group_shm *g = &ring->groups[__builtin_ctzll(bits)];
        uint64_t low = sq_load(&g->cursor_pos), held = sq_load(&g->held_pos);
        if (held != UINT64_MAX && tail - held > tail - low)
            low = held;
        if (tail - low > most && tail - low <= ring->capacity_bytes)
            most = tail - low;
    }
    return most;
}

bool sq_journal_rewrite_is_due(const struct shmq *q, unsigned times)
{
    const struct sq_file_shm *f = q->segment.file;

    return sq_load(&f->journal.broken) != 0 ||
           sq_load(&f->end_off) / times > TIMES * living_bytes(&q->segment.ring) + KEEP_BYTES;
}

/* The old file. */
struct old {
    int fd; /* -1: it cannot be read, because of `error` */
    int error;
    uint64_t salt;
    uint64_t off; /* what is before that is in the base, or copied */
    uint64_t pos; /* records before that position are in the file before `off` */
    unsigned char *bytes;
    size_t room;
};

/* J: note where the old file ends. */
static void note_end(const struct sq_file_shm *f, struct old *old)
{
    sq_assert_held(&f->lock);
    old->off = sq_journal_file_end(f).off;
    old->pos = sq_load(&f->journal_pos);
}

/* Open it, and note where it ends.  It may be removed, or damaged: that is why it is
 * rewritten.  But perhaps only we cannot read it, and others go on (replace()). */
static int look_end(struct shmq *q, struct old *old)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(LOCK_S));
    struct sq_file_shm *f = q->segment.file;
    int rc = sq_journal_file_enter(q);

    if (rc == 0) {
        note_end(f, old);
        old->salt = q->own_file->salt;
        old->fd = fcntl(q->own_file->journal_fd_plus_one - 1, F_DUPFD_CLOEXEC, 0);
        if (old->fd < 0)
            rc = sq_fail(-errno, "no descriptor to read the journal with");
        sq_journal_file_leave(q);
        return rc;
    }
    old->error = rc;
    rc = sq_journal_file_lock(q, &f->lock, &deadline);
    if (rc < 0)
        return rc;
    note_end(f, old);
    sq_lock_free(&f->lock);
    return 0;
}

/* Whether nobody is on the producer's side who has yet to put what it has written: who had
 * the side has left it, or died there. */
static bool side_is_free(struct shmq *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_NOWAIT);

    if (sq_visit(q, SQ_ROLE_PRODUCER, &deadline) < 0)
        return false;
    sq_end_visit(q, SQ_ROLE_PRODUCER);
    return true;
}

/* Records get into the file before they are put.  Wait until they are, or never will be. */
static int await_tail(struct shmq *q, uint64_t pos)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    struct sq_patience patience = {0};

    while ((int64_t)(pos - sq_load_acquire(&q->segment.ring.producer->tail_pos)) > 0) {
        if (sq_patience_is_long(&patience) && side_is_free(q))
            return 0;
        if (sq_patience_wait(&patience, &deadline) == -ETIMEDOUT)
            return sq_fail(-ETIMEDOUT, "somebody is stopped before what it has written is put");
    }
    return 0;
}

static int read_all(const struct old *old, void *to, size_t bytes, uint64_t off)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(old->fd, (char *)to + done, bytes - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return sq_fail(n < 0 ? -errno : -EBADMSG, "cannot read the journal at offset %llu",
                           (unsigned long long)(off + done));
        done += (size_t)n;
    }
    return 0;
}

static int have_room(struct old *old, uint64_t bytes)
{
    if (bytes <= old->room)
        return 0;
    unsigned char *more = realloc(old->bytes, bytes);
    if (more == NULL)
        return sq_fail(-ENOMEM, "no memory for %llu bytes of the journal",
                       (unsigned long long)bytes);
    old->bytes = more;
    old->room = bytes;
    return 0;
}

static int damaged(uint64_t off)
{
    return sq_fail(-EBADMSG, "the journal is damaged at offset %llu", (unsigned long long)off);
}

/*
 * Copy the whole frames among the first `bytes` from old->off on, which have been read; if
 * there is none, make room for the first.  Each is checked before it is copied: the copy
 * gets checksums of its own, and would pass off damage as what was written.
 */
static int copy_block(struct old *old, uint64_t bytes, uint64_t end, struct sq_frames *frames)
{
    uint64_t at = 0, total = 0;
    struct sq_frame frame;
    int rc = 0;

    for (; rc == 0 && bytes - at >= sizeof(frame); at += total) {
        memcpy(&frame, old->bytes + at, sizeof(frame));
        total = sq_frame_total(frame.bytes);
        if (!sq_frame_is_head(&frame, old->salt) || total > end - old->off - at)
            return damaged(old->off + at);
        if (total > bytes - at)
            break;
        struct sq_piece piece = {old->bytes + at + sizeof(frame), frame.bytes};
        if (!sq_frame_is_content(&frame, piece.data))
            return damaged(old->off + at);
        rc = sq_frames_put(frames, (enum sq_frame_kind)frame.kind, &piece, 1);
    }
    if (rc == 0 && total == 0)
        return damaged(old->off);
    old->off += at;
    return rc < 0 || at > 0 ? rc : have_room(old, total);
}

/* Copy the frames up to `end`, which is where one ends. */
static int copy_frames(struct old *old, uint64_t end, struct sq_frames *frames)
{
    int rc = have_room(old, BLOCK_BYTES);

    while (rc == 0 && old->fd >= 0 && old->off < end) {
        uint64_t bytes = end - old->off < old->room ? end - old->off : old->room;
        rc = read_all(old, old->bytes, bytes, old->off);
        if (rc == 0)
            rc = copy_block(old, bytes, end, frames);
    }
    return rc;
}

/*
 * What was appended meanwhile, up to what comes in while the last of it is written; and all
 * of that on the disk.
 */
static int catch_up(struct shmq *q, struct old *old, struct sq_frames *frames)
{
    const struct sq_file_shm *f = q->segment.file;
    int rc = 0;

    for (int i = 0; rc == 0 && i < ROUNDS; i++) {
        uint64_t end = sq_load_acquire(&f->end_off);
        bool last = old->fd < 0 || end - old->off < CLOSE_BYTES;
        rc = copy_frames(old, end, frames);
        if (rc == 0)
            rc = sq_file_sync(frames->out);
        if (last)
            break;
    }
    return rc;
}

/* With `sync`, and J for as long as it takes: the rest, and in the old one's place. */
static int replace(struct shmq *q, struct old *old, struct sq_frames *frames,
                   struct sq_saved *saved)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(LOCK_S));
    struct sq_file_shm *f = q->segment.file;

    sq_assert_held(&f->sync);
    saved->synced_bytes = frames->out->off;
    int rc = sq_journal_file_lock(q, &f->lock, &deadline);
    if (rc < 0)
        return rc;
    if (old->fd < 0 && sq_journal_file_end(f).off != old->off)
        rc = sq_fail(old->error, "others append to the journal, which cannot be read here");
    else
        rc = copy_frames(old, sq_journal_file_end(f).off, frames);
    if (rc == 0) {
        saved->base_bytes = frames->out->off;
        saved->number = frames->number;
        saved->tail_pos = sq_load(&f->journal_pos);
        rc = sq_file_rename(frames->out);
        if (rc >= 0)
            sq_journal_file_begin(&q->segment, saved);
    }
    sq_lock_free(&f->lock);
    return rc;
}

/*
 * Nobody gets a promise kept while `sync` is had: what was kept before is in the new file,
 * and on the disk, before that takes the old one's place; what is promised after waits for
 * a sync of the new one, and of its name.
 */
static int replace_locked(struct shmq *q, struct old *old, struct sq_frames *frames,
                          struct sq_saved *saved)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(LOCK_S));
    struct sq_file_shm *f = q->segment.file;
    int rc = sq_journal_file_lock(q, &f->sync, &deadline);

    if (rc < 0)
        return rc;
    rc = catch_up(q, old, frames);
    if (rc == 0)
        rc = replace(q, old, frames, saved);
    if (rc >= 0) {
        int error = sq_journal_sync_now(q);
        if (error < 0) {
            close(rc);
            rc = error;
        }
    }
    sq_journal_sync_done(q);
    return rc;
}

static int write_base(struct shmq *q, struct old *old, struct sq_frames *frames,
                      struct sq_saved *saved)
{
    uint64_t generation = sq_load(&q->segment.file->generation) + 1;
    struct sq_capture *c = calloc(1, sizeof(*c));
    int rc =
        c == NULL ? sq_fail(-ENOMEM, "no memory to rewrite the journal") : await_tail(q, old->pos);

    if (rc == 0)
        rc = sq_capture_take(q, c, NULL, NULL);
    if (rc == 0)
        rc = sq_snapshot_base(q, c, generation, frames->out, saved);
    if (c != NULL)
        sq_capture_free(c);
    free(c);
    frames->salt = saved->salt;
    frames->number = saved->number;
    return rc < 0 ? rc : catch_up(q, old, frames);
}

int sq_journal_rewrite(struct shmq *q, struct sq_saved *saved)
{
    struct sq_file_out out;
    struct sq_frames frames = {.out = &out};
    struct old old = {.fd = -1};
    int rc = sq_file_begin(&out, &q->segment.file_path);

    sq_assert_held(&q->segment.file->saver);
    if (rc < 0)
        return rc;
    uint32_t unwritten =
        atomic_exchange(&q->segment.file->journal.unwritten, 0); /* it will be written */
    rc = look_end(q, &old);
    if (rc == 0)
        rc = write_base(q, &old, &frames, saved);
    if (rc == 0)
        rc = replace_locked(q, &old, &frames, saved);
    if (rc < 0) {
        sq_file_abandon(&out);
        if (unwritten != 0)
            sq_store(&q->segment.file->journal.unwritten, 1);
    }
    free(old.bytes);
    if (old.fd >= 0)
        close(old.fd);
    return rc;
}
