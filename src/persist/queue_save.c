/*
 * queue_save.c - see queue_save.h.
 *
 * One handle saves at a time (pin.h).  What is at the path is replaced only if it is this
 * queue's own file, or one of it.
 */
#include "persist/queue_save.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "persist/journal_rewrite.h"
#include "persist/pin.h"
#include "segment/segment_attr.h"
#include "segment/segment_reopen.h"

bool sq_queue_save_is_dirty(const struct shmq *q)
{
    return sq_capture_changes(&q->segment.ring) != sq_load(&q->segment.file->changes);
}

/* Whether a snapshot of this queue may take the place of what is at `path`. */
static int check_target(struct shmq *q, const struct sq_file_path *path, bool own)
{
    unsigned char page[SQ_FILE_HEADER_BYTES];
    struct sq_reader reader;

    if (own && sq_queue_file_file(q) >= 0 && sq_file_is_at(sq_queue_file_file(q), path))
        return 0;
    int fd = sq_file_open(path, SQ_FILE_SHARED);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd == -EAGAIN ? -EBUSY : fd;
    ssize_t n = pread(fd, page, sizeof(page), 0);
    close(fd);
    if (n < 0)
        return sq_fail(-errno, "cannot read %s", path->text);
    /* Its own file, damaged by others: what the queue has is more than what that had. */
    int rc = n == 0 && own ? -EBADMSG : sq_reader_begin(&reader, page, (uint64_t)n);
    if (rc < 0)
        return rc == -EBADMSG && own ? 0 : rc;
    const char *name = sq_reader_header(&reader)->queue;
    if (strncmp(name, sq_segment_name(&q->forkable.path), SHMQ_NAME_LONGEST + 1) != 0)
        return sq_fail(-EBUSY, "%s is the file of queue %.200s", path->text, name);
    return 0;
}

/* The same of a journal, which goes on meanwhile. */
static int rewrite_journal(struct shmq *q)
{
    struct sq_file_shm *f = q->segment.file;
    struct sq_saved saved;
    int rc = sq_journal_rewrite(q, &saved);

    if (rc < 0)
        return rc;
    sq_queue_file_set_file(q, rc);
    sq_store(&f->saved_id, saved.next_id - 1);
    sq_store(&f->saved_ns, sq_clock_ns());
    sq_store(&f->changes, saved.changes);
    return 0;
}

/* The caller saves, to the queue's own file. */
static int save_own(struct shmq *q)
{
    struct sq_file_shm *f = q->segment.file;
    struct sq_saved saved;
    int rc = 0;

    sq_assert_held(&f->saver);
    /* The path is what the object's owner wrote. */
    if (q->segment.owner != geteuid() && q->segment.owner != 0)
        rc = sq_fail(-EACCES, "the queue belongs to user %u, who may save it",
                     (unsigned)q->segment.owner);
    if (rc == 0)
        rc = check_target(q, &q->segment.file_path, true);
    if (rc == 0 && q->segment.attr.journal != SHMQ_JOURNAL_NONE)
        return sq_queue_file_note(q, rewrite_journal(q));
    if (rc == 0)
        rc = sq_snapshot_write(q, &q->segment.file_path, sq_load(&f->generation) + 1, &saved);
    if (rc >= 0) {
        sq_queue_file_set_file(q, rc);
        sq_queue_file_note_saved(f, &saved, sq_clock_ns());
        rc = 0;
    }
    return sq_queue_file_note(q, rc);
}

/* Attached, and the one who saves. */
static int begin_saving(struct shmq *q, struct sq_deadline *deadline)
{
    int rc = sq_make_ready_attached(q, deadline);

    if (rc == 0 && sq_segment_is_unlinked(&q->segment))
        rc = sq_fail(-ESTALE, "the queue's name was removed");
    return rc < 0 ? rc : sq_pin_enter(q, deadline);
}

int sq_queue_save(struct shmq *q, struct sq_deadline *deadline, bool (*due)(const struct shmq *))
{
    if (q->segment.file_path.text[0] == '\0')
        return sq_fail(-EINVAL, "the queue has no file: say which");
    int cancel = sq_cancel_hold();
    int rc = begin_saving(q, deadline);
    if (rc == 0) {
        if (due == NULL || due(q))
            rc = save_own(q);
        sq_pin_leave(q);
    }
    sq_cancel_release(cancel);
    return rc;
}

int sq_queue_save_as(struct shmq *q, const struct sq_file_path *path, struct sq_deadline *deadline)
{
    struct sq_saved saved;

    if (strcmp(path->text, q->segment.file_path.text) == 0)
        return sq_queue_save(q, deadline, NULL);
    int cancel = sq_cancel_hold();
    int rc = begin_saving(q, deadline);
    if (rc == 0) {
        rc = check_target(q, path, false);
        if (rc == 0)
            rc = sq_snapshot_write(q, path, 1, &saved);
        if (rc >= 0) {
            close(rc);
            rc = 0;
        }
        sq_pin_leave(q);
    }
    sq_cancel_release(cancel);
    return rc;
}
