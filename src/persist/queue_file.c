/*
 * queue_file.c - see queue_file.h.
 *
 * Who creates a queue has its file alone from before it looks into it until the queue has
 * its name; whoever comes meanwhile waits, and then finds the queue.  So a file is restored
 * once.  Then all who are attached share the lock, and nobody can create another queue
 * from the file.  A saver shares the new file's lock before that has its name; others who
 * are attached lock it when they come to know (save_thread.c).
 */
#include "persist/queue_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "group/table.h"
#include "message/compress.h"
#include "persist/journal.h"
#include "persist/restore.h"
#include "segment/segment_attr.h"
#include "segment/segment_reopen.h"

int sq_queue_file_file(const struct shmq *q)
{
    return sq_load_acquire(&q->own_file->fd_plus_one) -
           1; /* another thread may just have opened it */
}

void sq_queue_file_set_file(struct shmq *q, int fd)
{
    int old = atomic_exchange(&q->own_file->fd_plus_one, fd + 1) - 1;

    if (old >= 0)
        close(old);
}

static int make_own_file(struct shmq *q)
{
    SQ_BUG_ON(q->own_file != NULL);
    q->own_file = calloc(1, sizeof(*q->own_file));
    return q->own_file != NULL ? 0 : sq_fail(-ENOMEM, "no memory for the queue's file");
}

int sq_queue_file_begin(struct shmq *q)
{
    /* A journal whose path is damaged is found out when it is appended to. */
    bool wanted =
        q->segment.file_path.text[0] != '\0' || q->segment.attr.journal != SHMQ_JOURNAL_NONE;

    return wanted && q->own_file == NULL ? make_own_file(q) : 0;
}

void sq_queue_file_close(struct shmq *q)
{
    if (q->own_file == NULL)
        return;
    sq_journal_file_close(q);
    sq_queue_file_set_file(q, -1);
    free(q->own_file);
    q->own_file = NULL;
}

int sq_queue_file_note(struct shmq *q, int rc)
{
    sq_journal_file_note(q->segment.file, rc);
    return rc;
}

void sq_queue_file_note_saved(struct sq_file_shm *f, const struct sq_saved *saved, int64_t when_ns)
{
    sq_assert_held(&f->saver);
    sq_store(&f->generation, saved->generation);
    sq_store(&f->base_bytes, saved->base_bytes);
    sq_store(&f->end_off, saved->base_bytes);
    sq_store(&f->synced, sq_synced_word(saved->generation, saved->base_bytes));
    sq_store(&f->journal_pos, saved->tail_pos);
    sq_store(&f->saved_id, saved->next_id - 1);
    sq_store(&f->saved_ns, when_ns);
    sq_store(&f->changes, saved->changes);
}

/* --- creating --------------------------------------------------------------------- */

/* What a new queue is made of. */
struct source {
    struct shmq *q;
    const struct sq_image *image;
    uint64_t bytes; /* of the file */
    int fd;         /* of a new file */
};

/* The file has all that there is. */
static void begin_journal(struct sq_segment *segment, const struct sq_saved *saved)
{
    sq_journal_file_begin(segment, saved);
    for (uint64_t bits = sq_ring_groups(&segment->ring); bits != 0; bits &= bits - 1) {
        struct sq_ring one = segment->ring;
        sq_ring_read_as(&one, (uint32_t)__builtin_ctzll(bits));
        sq_journal_noted(&one);
    }
}

/* A journal goes on in a new file, which has no more than what lives. */
static int fill_journal(struct sq_segment *segment, struct source *source, uint64_t generation)
{
    struct sq_saved saved;
    int fd = sq_snapshot_still(source->q, &segment->file_path, generation, &saved);

    if (fd < 0)
        return fd;
    source->fd = fd;
    sq_queue_file_note_saved(segment->file, &saved, sq_clock_ns());
    begin_journal(segment, &saved);
    return 0;
}

static int fill_restored(struct sq_segment *segment, void *arg)
{
    struct source *source = arg;
    const struct sq_file_header *header = source->image->header;
    int rc = sq_restore_fill(segment, source->image);

    if (rc < 0)
        return rc;
    const struct sq_producer_shm *p = segment->ring.producer;
    struct sq_saved saved = {
        .generation = header->generation,
        .base_bytes = source->bytes,
        .next_id = sq_load(&p->next_id),
        .tail_pos = sq_load(&p->tail_pos),
        .changes = sq_capture_changes(&segment->ring),
    };
    if (source->image->is_torn)
        sq_store(&segment->file->cut_bytes, source->bytes - source->image->end_off);
    int64_t age_ns = sq_clock_read(CLOCK_REALTIME) - header->written_ns;
    sq_queue_file_note_saved(segment->file, &saved, sq_clock_ns() - (age_ns > 0 ? age_ns : 0));
    return segment->attr.journal == SHMQ_JOURNAL_NONE
               ? 0
               : fill_journal(segment, source, header->generation + 1);
}

/* There is no file yet: write one, so that it is known now whether that can be, and that
 * others find it. */
static int fill_anew(struct sq_segment *segment, void *arg)
{
    struct source *source = arg;
    struct sq_saved saved;

    source->fd = sq_snapshot_first(source->q, &segment->file_path, &saved);
    if (source->fd < 0)
        return source->fd;
    sq_queue_file_note_saved(segment->file, &saved, sq_clock_ns());
    begin_journal(segment, &saved);
    return 0;
}

/* The attributes of a restored queue: the file's, and how it is saved the caller's. */
static int restored_attr(const struct sq_image *image, const struct shmq_attr *given,
                         struct shmq_attr *attr)
{
    int rc = sq_restore_attr(image, attr);

    if (rc < 0)
        return rc;
    if (given != NULL) {
        attr->snapshot = given->snapshot;
        attr->save_ns = given->save_ns;
        attr->save_changes = given->save_changes;
        attr->save_at_end = given->save_at_end;
        attr->journal = given->journal;
    }
    return attr->compress_bytes != 0 ? sq_compress_supported() : 0;
}

/* Create the queue from what a file says. */
static int create_image(struct sq_segment *segment, const struct sq_path *path,
                        struct source *source, const struct shmq_attr *given)
{
    struct sq_origin origin = {fill_restored, source};
    struct shmq_attr attr;
    int rc = restored_attr(source->image, given, &attr);

    if (rc == 0)
        rc = sq_segment_create(segment, path, &attr, &origin);
    /* Messages that were updated while the ring was being saved may take more than it has. */
    while (rc == -ENOBUFS && attr.capacity_bytes <= SQ_CAPACITY_MAX / 2) {
        attr.capacity_bytes *= 2;
        rc = sq_segment_create(segment, path, &attr, &origin);
    }
    return rc == -ENOBUFS ? sq_fail(-EBADMSG, "no queue holds what the file holds") : rc;
}

/* Create the queue from the file `fd`.  `name`: what it must be of, or NULL. */
static int create_from(struct sq_segment *segment, const struct sq_path *path, int fd,
                       const char *name, const struct shmq_attr *given, struct source *source)
{
    struct sq_image *image = calloc(1, sizeof(*image));
    struct sq_file_bytes bytes = {0};
    struct sq_path own;
    int rc =
        image == NULL ? sq_fail(-ENOMEM, "no memory to read a file") : sq_file_read(fd, &bytes);

    if (rc == 0) {
        rc = sq_image_read(image, bytes.bytes, bytes.size);
        if (rc == 0 && name != NULL && strcmp(name, image->header->queue) != 0)
            rc = sq_fail(-EBUSY, "the file is that of queue %s", image->header->queue);
        if (rc == 0 && path == NULL) {
            rc = sq_segment_path(image->header->queue, &own);
            path = &own;
        }
        source->image = image;
        source->bytes = bytes.size;
        if (rc == 0)
            rc = create_image(segment, path, source, given);
        sq_image_free(image);
    }
    sq_file_free(&bytes);
    free(image);
    return sq_image_advise(rc);
}

/* There is no such queue: create it.  -EEXIST: there is one now, or a file. */
static int create(struct shmq *q, const struct shmq_attr *attr, const struct sq_file_path *file)
{
    struct source source = {.q = q, .fd = -1};
    int fd = sq_file_open(file, SQ_FILE_ALONE), rc;

    if (fd == -ENOENT) {
        struct sq_origin origin = {fill_anew, &source};
        rc = sq_segment_create(&q->segment, &q->forkable.path, attr, &origin);
        fd = source.fd;
        /* Nobody else has used the file: we had it alone. */
        if (rc < 0 && fd >= 0)
            unlink(file->text);
    } else if (fd < 0) {
        return fd;
    } else {
        rc = create_from(&q->segment, &q->forkable.path, fd, sq_segment_name(&q->forkable.path),
                         attr, &source);
        if (source.fd >= 0) { /* a new one is in its place */
            close(fd);
            fd = source.fd;
        }
    }
    /* The queue is there: if that fails it is tried anew (sq_queue_file_attach()). */
    if (rc == 0 && sq_file_share(fd) == 0)
        sq_queue_file_set_file(q, fd);
    else if (fd >= 0)
        close(fd);
    return rc;
}

/* One look for the queue, and one try to create it. */
static int try_open(struct shmq *q, const struct shmq_attr *attr, const struct sq_file_path *file)
{
    bool only_new = (q->flags & SHMQ_EXCL) != 0;
    const char *path = q->forkable.path.text;
    int rc = sq_fork_hold();

    if (rc < 0)
        return rc;
    if (only_new && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        sq_fork_release();
        return sq_fail(-EEXIST, "%s exists", path);
    }
    rc = only_new ? -ENOENT : sq_segment_attach(&q->segment, &q->forkable.path, (int)q->flags);
    if (rc == -ENOENT) {
        rc = create(q, attr, file);
        rc = rc == -EEXIST ? -EAGAIN : rc;
    }
    if (rc == 0)
        sq_fork_add(&q->forkable);
    sq_fork_release();
    return rc;
}

static int open_by_turns(struct shmq *q, const struct shmq_attr *attr)
{
    enum { BUSY_MAX = 5 }; /* looks for a queue whose file others share by now */
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(30));
    struct sq_patience patience = {0};
    struct shmq_attr absolute = *attr;
    struct sq_file_path file;
    int busy = 0, rc = sq_file_path(&file, attr->snapshot);

    if (rc < 0)
        return rc;
    absolute.snapshot = file.text;
    for (;;) {
        rc = try_open(q, &absolute, &file);
        if (rc != -EAGAIN && (rc != -EBUSY || ++busy > BUSY_MAX))
            return rc;
        rc = sq_patience_wait(&patience, &deadline);
        if (rc == -ETIMEDOUT)
            return sq_fail(-EBUSY, "somebody is creating a queue from %s, and does not end",
                           file.text);
        if (rc < 0)
            return sq_fail_plainly(rc);
    }
}

int sq_queue_file_open(struct shmq *q, const struct shmq_attr *attr)
{
    int rc = make_own_file(q);

    if (rc == 0)
        rc = open_by_turns(q, attr);
    if (rc < 0)
        sq_queue_file_close(q);
    return rc;
}

int sq_queue_file_load(const struct sq_path *path, const char *given)
{
    struct sq_segment segment = {.fd = -1};
    struct sq_file_path file;
    int rc = sq_file_path(&file, given);

    if (rc < 0)
        return rc;
    int fd = sq_file_open(&file, SQ_FILE_SHARED);
    if (fd < 0)
        return fd == -EAGAIN ? -EBUSY : fd;
    struct source source = {.fd = -1};
    rc = create_from(&segment, path, fd, NULL, NULL, &source);
    if (rc == 0)
        sq_segment_close(&segment);
    if (rc == -EEXIST)
        sq_fail(rc, "there is a queue of that name");
    close(fd);
    return rc;
}

/* --- attaching ------------------------------------------------------------------------- */

void sq_queue_file_attach(struct shmq *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    const struct sq_file_path *path = &q->segment.file_path;
    struct sq_patience patience = {0};
    int fd;

    if (path->text[0] == '\0' || q->segment.readable_only)
        return;
    if (sq_queue_file_file(q) >= 0 && sq_file_is_at(sq_queue_file_file(q), path))
        return;
    do /* who has just created it is about to share the lock */
        fd = sq_file_open(path, SQ_FILE_SHARED);
    while (fd == -EAGAIN && sq_patience_wait(&patience, &deadline) == 0);
    if (fd >= 0)
        sq_queue_file_set_file(q, fd);
    else if (sq_load(&q->segment.file->error) == 0)
        sq_queue_file_note(q, fd);
}
