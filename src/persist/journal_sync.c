/*
 * journal_sync.c - see journal_sync.h: one call of fdatasync() for all who wait.
 *
 * Who finds the lock `sync` free syncs all that has been appended so far; the others sleep,
 * and look again: either their part was on the disk with it, or one of them is next.  That
 * one first lets those catch up whose part it was (gather()).
 *
 * A file that has taken the other's place (journal_rewrite.c) is there for certain once the folder
 * was synced, too.  Until then `synced` is of the old one, and nobody's wait is over.
 *
 * Crash rule.  Who dies with that lock has kept nobody's promise; the others look at the
 * lock every now and then, and take it over.  After a failed sync nobody can tell what is
 * on the disk, whatever a second one says: the file is broken until it was rewritten.
 */
#include "persist/journal_sync.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "base/error.h"

enum {
    LOOK_NS = 20 * 1000 * 1000,
    LOCK_S = 30,
    GATHER_MAX_NS = 200 * 1000,
    GATHER_PAUSE_MAX = 63,
};

static bool is_kept(const struct sq_file_shm *f, const struct sq_promise *promise)
{
    return sq_synced_keeps(sq_load_acquire(&f->synced), promise);
}

static int failed(void)
{
    return sq_fail(-EIO, "the journal could not be put on the disk");
}

static int sync_file(int fd)
{
    int rc;

    while ((rc = fdatasync(fd)) != 0 && errno == EINTR)
        ;
    return rc == 0 ? 0 : sq_fail(-errno, "the journal could not be put on the disk");
}

/*
 * With `sync`: let those catch up who are about to append.  Whose promises the last sync kept
 * have been woken with us, and often come again at once; if we do not wait for them they
 * will have to wait for us, and each sync serves half of them.  Not longer than half a sync,
 * and less often where it was in vain.
 */
static void gather(struct sq_journal_shm *j)
{
    uint64_t expected = j->sync_frames + j->sync_queued;
    int64_t begin_ns = sq_clock_ns();
    uint64_t half_ns = j->sync_took_ns / 2;
    int64_t limit_ns = half_ns < GATHER_MAX_NS ? (int64_t)half_ns : GATHER_MAX_NS;
    uint64_t there = sq_load(&j->write_count) - j->sync_began_count, now = there;

    if (there >= expected)
        return;
    if (j->gather_pause > 0) {
        j->gather_pause--;
        return;
    }
    while (now < expected && sq_clock_ns() - begin_ns < limit_ns) {
        sched_yield();
        now = sq_load(&j->write_count) - j->sync_began_count;
    }
    if (now - there >= (expected - there + 1) / 2)
        j->gather_futile = 0;
    else
        j->gather_futile =
            j->gather_futile < GATHER_PAUSE_MAX ? 2 * j->gather_futile + 1 : GATHER_PAUSE_MAX;
    j->gather_pause = j->gather_futile;
}

/* With `sync`: one has ended, for the frames up to number `count`. */
static void note_sync(struct sq_journal_shm *j, uint64_t count)
{
    j->sync_took_ns = (uint64_t)(sq_clock_ns() - sq_load(&j->synced_ns));
    j->sync_frames = count - j->sync_began_count;
    j->sync_queued = sq_load(&j->write_count) - count;
    j->sync_began_count = count;
}

int sq_journal_sync_now(struct shmq *q)
{
    struct sq_file_shm *f = q->segment.file;
    struct sq_journal_shm *j = &f->journal;
    int rc = sq_journal_file_enter(q);

    sq_assert_held(&q->segment.file->sync);
    if (rc < 0)
        return rc;
    uint64_t off = sq_journal_file_end(f).off, generation = q->own_file->generation;
    uint64_t count = sq_load(&j->write_count);
    int fd = fcntl(q->own_file->journal_fd_plus_one - 1, F_DUPFD_CLOEXEC, 0);
    bool spare = fd >= 0; /* else with J, since without it another thread may close ours */
    if (spare)
        sq_journal_file_leave(q);
    sq_store(&j->synced_ns, sq_clock_ns());
    rc = sync_file(spare ? fd : q->own_file->journal_fd_plus_one - 1);
    note_sync(j, count);
    if (spare)
        close(fd);
    else
        sq_journal_file_leave(q);
    if (rc == 0 && sq_synced_off(sq_load(&f->synced), generation) == 0)
        rc = sq_file_sync_folder(&q->segment.file_path);
    if (rc < 0) {
        sq_journal_file_note(f, rc);
        sq_store(&f->journal.broken, 1);
    } else {
        sq_store_release(&f->synced, sq_synced_word(generation, off));
    }
    sq_store(&f->journal.sync_count, sq_load(&f->journal.sync_count) + 1);
    return rc;
}

void sq_journal_sync_done(struct shmq *q)
{
    struct sq_file_shm *f = q->segment.file;

    sq_lock_free(&f->sync);
    sq_fence_after_unlock();
    if (sq_cond_has_sleepers(&f->journal.synced))
        sq_cond_wake(&f->journal.synced, UINT32_MAX);
}

/* `sync` is had: do it for all, unless it was done meanwhile. */
static int lead(struct shmq *q, const struct sq_promise *promise)
{
    struct sq_file_shm *f = q->segment.file;
    int rc = 0;

    sq_assert_held(&f->sync);
    if (!is_kept(f, promise) && q->segment.attr.journal == SHMQ_JOURNAL_ALWAYS)
        gather(&f->journal);
    if (!is_kept(f, promise))
        rc = sq_load(&f->journal.broken) != 0 ? failed() : sq_journal_sync_now(q);
    sq_journal_sync_done(q);
    return rc;
}

/* Have `sync`, if it is free, or its owner dead (which is asked if `long_ago`). */
static bool try_lead(struct shmq *q, bool long_ago)
{
    struct sq_lock_shm *lock = &q->segment.file->sync;

    return sq_lock_try(lock, q->attachment.owner) == 0 || (long_ago && sq_hold_from_dead(q, lock));
}

static int wait_for(struct shmq *q, const struct sq_promise *promise, struct sq_deadline *deadline)
{
    struct sq_file_shm *f = q->segment.file;
    bool long_ago = false;

    while (!is_kept(f, promise)) {
        if (sq_load(&f->journal.broken) != 0)
            return failed();
        if (try_lead(q, long_ago)) {
            sq_lock_taken(&f->sync, SQ_RANK_SYNC);
            int rc = lead(q, promise);
            if (rc < 0)
                return rc;
            continue;
        }
        int64_t now_ns = sq_clock_ns();
        if (now_ns >= sq_deadline_at(deadline, now_ns))
            return sq_fail(-ETIMEDOUT, "whoever syncs the journal takes too long");
        uint32_t ticket = sq_cond_prepare(&f->journal.synced);
        if (sq_load(&f->sync.owner) == 0 || is_kept(f, promise)) {
            sq_cond_cancel(&f->journal.synced);
            continue;
        }
        long_ago = sq_cond_sleep(&f->journal.synced, ticket, now_ns + LOOK_NS) == -ETIMEDOUT;
    }
    return 0;
}

int sq_journal_sync_wait(struct shmq *q, const struct sq_promise *promise,
                         struct sq_deadline *deadline)
{
    sq_assert_none_held(SQ_RANK_SAVER);
    int cancel = sq_cancel_hold();
    int rc = wait_for(q, promise, deadline);

    sq_cancel_release(cancel);
    return rc;
}

struct sq_promise sq_journal_sync_end(const struct shmq *q)
{
    const struct sq_file_shm *f = q->segment.file;
    struct sq_promise end;

    do {
        end.generation = sq_load_acquire(&f->generation);
        end.off = sq_load_acquire(&f->end_off);
    } while (sq_load_acquire(&f->generation) != end.generation);
    return end;
}

int sq_journal_sync_all(struct shmq *q, struct sq_deadline *deadline)
{
    int rc = sq_make_ready_attached(q, deadline);
    struct sq_promise end = sq_journal_sync_end(q);

    return rc < 0 ? rc : sq_journal_sync_wait(q, &end, deadline);
}

/* What was promised is done, and in the file.  There is one error for that alone. */
static int unsure(void)
{
    return sq_fail(-EIO, "it is done, but perhaps not on the disk: %.160s",
                   shmq_last_error_detail());
}

int sq_journal_sync_promise(struct shmq *q, const struct sq_promise *promise)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(LOCK_S));
    const struct sq_file_shm *f = q->segment.file;

    sq_assert_none_held(SQ_RANK_SAVER);
    if (promise->off == 0)
        return 0;
    if (promise->off > sq_load(&f->journal.look_off) && q->own_file->grown != NULL)
        q->own_file->grown(q);
    if (q->segment.attr.journal != SHMQ_JOURNAL_ALWAYS)
        return 0;
    return sq_journal_sync_wait(q, promise, &deadline) < 0 ? unsure() : 0;
}
