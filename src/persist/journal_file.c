/*
 * journal_file.c - appending frames to the journal (journal_file.h; the frames: file/format.h).
 *
 * Invariants, for whoever holds J:
 *  1. The file of generation `generation` is true up to the end in force (journal.ends[end_at]):
 *     whole frames, of which the last has that end's number.  What lies behind is zeros, or
 *     rubbish of a writer that died or failed, and is written over.
 *  2. journal_pos is P's tail: the file has all records before it that are not finished.
 *
 * Crash rule.  An append writes the bytes, stores journal_pos, and then puts the new end in
 * force with one store.  A writer that dies before that store has appended nothing.  A put that
 * dies between its frame and its tail leaves records in the file that were not put: the next put
 * finds that journal_pos is not the tail, and says so with a QUEUE frame.  A saver that dies
 * while it replaces the file (journal_rewrite.c) leaves a file of the next generation at the
 * path.  Whoever takes J over from a dead owner looks for such a file, and takes the end from
 * what is in it.
 */
#include "persist/journal_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "file/file.h"

enum {
    ZERO_STEP = 1 << 20,
    LOOK_STEP = 1 << 18,
    LOCK_S = 10,
    SMALL_BYTES = 4096,         /* frames up to this are written in one piece */
    LOOK_NS = 50 * 1000 * 1000, /* so often it is looked whether the file was removed */
};

/* --- the lock ------------------------------------------------------------------ */

int sq_journal_file_lock(struct shmq *q, struct sq_lock_shm *lock, struct sq_deadline *deadline)
{
    int rc;

    do /* what is held is half done: signals wait */
        rc = sq_hold(q, lock, deadline);
    while (rc == -EINTR);
    if (rc < 0)
        return sq_fail(rc, "the journal's lock was not to be had in time; its holder may be "
                           "stopped, or its disk be slow");
    if (rc > 0)
        atomic_fetch_add(&q->segment.control->recovery_count, 1);
    return rc;
}

void sq_journal_file_note(struct sq_file_shm *f, int rc)
{
    if (rc == 0 && (sq_load(&f->error) == 0 || sq_load(&f->journal.unwritten) != 0))
        return;
    if (rc < 0 && sq_load(&f->error) == 0)
        sq_store(&f->failed_ns, sq_clock_ns());
    sq_store(&f->error, -rc);
}

/* --- the file -------------------------------------------------------------------- */

void sq_journal_file_close(struct shmq *q)
{
    if (q->own_file->journal_fd_plus_one > 0)
        close(q->own_file->journal_fd_plus_one - 1);
    q->own_file->journal_fd_plus_one = 0;
}

/* J: the path, from the segment. */
static int path_of(const struct sq_file_shm *f, struct sq_file_path *path)
{
    sq_assert_held(&f->lock);
    memcpy(path->text, f->path, sizeof(path->text));
    if (path->text[0] == '\0' || memchr(path->text, '\0', sizeof(path->text)) == NULL)
        return sq_fail(-EBADMSG, "the path of the queue's file is damaged");
    return 0;
}

static void set_end(struct sq_file_shm *f, uint64_t off, uint64_t number)
{
    uint32_t other = (sq_load(&f->journal.end_at) + 1) & 1;

    sq_assert_held(&f->lock);
    f->journal.ends[other] = (struct sq_journal_end){off, number};
    sq_store_release(&f->journal.end_at, other);
    sq_store_release(&f->end_off, off); /* for those who look without J */
}

/*
 * J: somebody died replacing the file.  The new one was whole before it got its name, and
 * nobody has appended to it.  Whether that name is on the disk nobody knows: `synced` is
 * still of the old one, and so all who wait for the disk wait for a sync of this one.
 */
static int adopt(struct sq_file_shm *f, int fd, const struct sq_file_header *h)
{
    const struct sq_frame *frame;
    struct sq_file_bytes all;
    struct sq_reader reader;
    int rc = sq_file_read(fd, &all);

    sq_assert_held(&f->lock);
    if (rc < 0)
        return rc;
    rc = sq_reader_begin(&reader, all.bytes, all.size);
    while (rc == 0 && sq_reader_next(&reader, &frame) == SQ_READ_FRAME)
        ;
    if (rc == 0) {
        set_end(f, reader.off, reader.number);
        f->journal.zeroed_off = reader.off;
        f->journal.initial_synced_off = 0;
        sq_store(&f->base_bytes, reader.off);
        sq_store(&f->journal.broken, 0);
        sq_store_release(&f->generation, h->generation);
    }
    sq_file_free(&all);
    return rc;
}

/* J: have the file of the present generation open. */
static int open_file(struct shmq *q, bool after_death)
{
    struct sq_file_shm *f = q->segment.file;
    struct sq_file_header h;
    struct sq_file_path path;

    sq_assert_held(&f->lock);
    struct sq_own_file *own = q->own_file;
    if (own->journal_fd_plus_one != 0 && !after_death && own->generation == sq_load(&f->generation))
        return 0;
    sq_journal_file_close(q);
    int rc = path_of(f, &path);
    if (rc < 0)
        return rc;
    int fd = open(path.text, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return sq_fail(-errno, "cannot open the journal %s", path.text);
    ssize_t n = pread(fd, &h, sizeof(h), 0);
    if (n < 0)
        rc = sq_fail(-errno, "cannot read the journal %s", path.text);
    else if (n != (ssize_t)sizeof(h) || memcmp(h.magic, SQ_FILE_MAGIC, sizeof(h.magic)) != 0 ||
             h.created_ns != q->segment.created_ns)
        rc = sq_fail(-EBADMSG, "%s is no longer the queue's journal", path.text);
    else if (h.generation == sq_load(&f->generation) + 1)
        rc = adopt(f, fd, &h);
    else if (h.generation != sq_load(&f->generation))
        rc = sq_fail(-EBADMSG, "%s is of generation %llu, the queue's journal of %llu", path.text,
                     (unsigned long long)h.generation, (unsigned long long)sq_load(&f->generation));
    if (rc < 0) {
        close(fd);
        return rc;
    }
    own->journal_fd_plus_one = fd + 1;
    own->generation = h.generation;
    own->salt = h.salt;
    own->looked_ns = 0;
    return 0;
}

int sq_journal_file_enter(struct shmq *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(LOCK_S));
    struct sq_file_shm *f = q->segment.file;
    int rc = sq_journal_file_lock(q, &f->lock, &deadline);

    if (rc < 0)
        return rc;
    rc = open_file(q, rc == 1);
    if (rc < 0) {
        sq_journal_file_note(f, rc);
        sq_lock_free(&f->lock);
    }
    return rc;
}

void sq_journal_file_leave(struct shmq *q)
{
    sq_lock_free(&q->segment.file->lock);
}

/* --- writing --------------------------------------------------------------------- */

static int write_all(int fd, struct iovec *parts, int count, uint64_t off)
{
    while (count > 0) {
        if (parts->iov_len == 0) {
            parts++;
            count--;
            continue;
        }
        ssize_t n = pwritev(fd, parts, count, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return sq_fail(n < 0 ? -errno : -EIO, "cannot append to the journal at offset %llu",
                           (unsigned long long)off);
        off += (uint64_t)n;
        for (size_t left = (size_t)n; left > 0;) {
            size_t step = left < parts->iov_len ? left : parts->iov_len;
            parts->iov_base = (char *)parts->iov_base + step;
            parts->iov_len -= step;
            left -= step;
            if (parts->iov_len == 0) {
                parts++;
                count--;
            }
        }
    }
    return 0;
}

/* J: write zeros ahead, so that a sync need not wait for the file's size and blocks. */
static void zero_ahead(const struct shmq *q, uint64_t end)
{
    enum { AT_ONCE = 1 << 16 };
    static const unsigned char zeros[AT_ONCE];
    struct sq_file_shm *f = q->segment.file;

    sq_assert_held(&f->lock);
    if (f->journal_mode != SHMQ_JOURNAL_ALWAYS || end <= f->journal.zeroed_off)
        return;
    uint64_t off = f->journal.zeroed_off > end ? f->journal.zeroed_off : end;
    uint64_t to = sq_align_up(end + 1, ZERO_STEP);
    while (off < to) {
        size_t bytes = to - off < AT_ONCE ? to - off : AT_ONCE;
        if (sq_file_write_at(q->own_file->journal_fd_plus_one - 1, zeros, bytes, off) < 0)
            return; /* no room ahead: perhaps there is some for what is to be written */
        off += bytes;
        f->journal.zeroed_off = off;
    }
}

/*
 * J: whether anything may be appended.  That the file was removed is looked at now and then:
 * each look not only costs what a small write does, but has the kernel keep the file's time
 * to the nanosecond, and the inode written with the next one.
 */
static int check_file(struct shmq *q)
{
    const struct sq_file_shm *f = q->segment.file;
    int64_t now_ns = sq_clock_tick_ns();
    struct stat st;

    sq_assert_held(&f->lock);
    if (sq_load(&f->journal.broken) != 0)
        return sq_fail(-EIO, "the journal could not be put on the disk, and must be rewritten");
    if (now_ns - q->own_file->looked_ns < LOOK_NS)
        return 0;
    if (fstat(q->own_file->journal_fd_plus_one - 1, &st) != 0)
        return sq_fail(-errno, "cannot look at the journal");
    if (st.st_nlink == 0)
        return sq_fail(-ENOENT, "the journal was removed");
    q->own_file->looked_ns = now_ns;
    return 0;
}

/* J: how much of the file was on the disk before what is written now. */
static uint64_t known_off(const struct sq_file_shm *f)
{
    uint64_t off = sq_synced_off(sq_load(&f->synced), sq_load(&f->generation));

    sq_assert_held(&f->lock);
    return off > f->journal.initial_synced_off ? off : f->journal.initial_synced_off;
}

/* J: a frame and its content at `off`. */
static int write_frame(const struct shmq *q, const struct sq_frame *frame,
                       const struct sq_piece *pieces, unsigned count, uint64_t off)
{
    static const unsigned char zeros[SQ_FRAME_ALIGN];
    const struct sq_piece padding = {zeros, sq_frame_padding(frame->bytes)};
    struct iovec parts[SQ_PIECES_MAX + 2] = {{(void *)(uintptr_t)frame, sizeof(*frame)}};
    unsigned char small[SMALL_BYTES];
    size_t used = sizeof(*frame);

    sq_assert_held(&q->segment.file->lock);
    SQ_BUG_ON(count > SQ_PIECES_MAX || q->own_file->journal_fd_plus_one <= 0);
    if (sq_frame_total(frame->bytes) > sizeof(small)) {
        for (unsigned i = 0; i <= count; i++) {
            const struct sq_piece *piece = i < count ? &pieces[i] : &padding;
            parts[i + 1] = (struct iovec){(void *)(uintptr_t)piece->data, piece->bytes};
        }
        return write_all(q->own_file->journal_fd_plus_one - 1, parts, (int)count + 2, off);
    }
    /* To gather the parts ourselves is faster than to have the kernel do it. */
    memcpy(small, frame, sizeof(*frame));
    for (unsigned i = 0; i <= count; i++) {
        const struct sq_piece *piece = i < count ? &pieces[i] : &padding;
        memcpy(small + used, piece->data, piece->bytes);
        used += piece->bytes;
    }
    return sq_file_write_at(q->own_file->journal_fd_plus_one - 1, small, used, off);
}

int sq_journal_file_frame(struct shmq *q, enum sq_frame_kind kind, const struct sq_piece *pieces,
                          unsigned count, uint64_t pos, struct sq_promise *promise)
{
    struct sq_file_shm *f = q->segment.file;
    struct sq_journal_end end = sq_journal_file_end(f);
    struct sq_frame frame;
    int rc = check_file(q);

    sq_assert_held(&f->lock);
    if (rc == 0) {
        sq_frame_make(&frame, q->own_file->salt, kind, end.number + 1, known_off(f), pieces, count);
        rc = write_frame(q, &frame, pieces, count, end.off);
    }
    sq_journal_file_note(f, rc);
    if (rc < 0)
        return rc;
    end.off += sq_frame_total(frame.bytes);
    sq_store(&f->journal_pos, pos);
    sq_program_order();
    set_end(f, end.off, end.number + 1);
    sq_store(&f->journal.write_count, sq_load(&f->journal.write_count) + 1);
    zero_ahead(q, end.off);
    *promise = (struct sq_promise){q->own_file->generation, end.off};
    return 0;
}

/* --- a new file ---------------------------------------------------------------------- */

void sq_journal_file_begin(struct sq_segment *segment, const struct sq_saved *saved)
{
    struct sq_file_shm *f = segment->file;

    sq_assert_held(&f->lock);
    set_end(f, saved->base_bytes, saved->number);
    f->journal.zeroed_off = saved->base_bytes;
    f->journal.initial_synced_off = saved->synced_bytes;
    sq_store(&f->journal.look_off, saved->base_bytes + LOOK_STEP);
    sq_store(&f->base_bytes, saved->base_bytes);
    sq_store(&f->journal_pos, saved->tail_pos);
    sq_store(&f->journal.broken, 0);
    sq_store_release(&f->generation, saved->generation);
}
