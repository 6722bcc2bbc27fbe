/*
 * keep.c - see keep.h.
 *
 * A queue is made of its file by whoever makes the queue, before it has its name, with the
 * lock of those who replace the file held: so nobody makes it of a file that is being
 * replaced, and if several come at once they all make the same, and one of them names it.
 *
 * Each handle of a queue that is to be saved from time to time has a thread.  One of them
 * has the lock `keeper`, and saves; the others look each second whether it still lives.
 */
#include "keep.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "capture.h"
#include "error.h"
#include "file.h"
#include "restore.h"
#include "snapshot.h"

struct sq_keeper {
    struct shmq *q;
    pthread_t thread;
    pid_t pid; /* a forked child has no such thread */
    _Atomic bool stopping;
};

/* --- making a queue of a file -------------------------------------------------------- */

/* The attributes of the file, but for what it has to do with files. */
static int attr_for(const struct sq_image *image, const struct shmq_attr *own,
                    struct shmq_attr *attr)
{
    struct shmq_attr given;

    sq_restore_attr(image, &given);
    if (own != NULL) {
        given.snapshot = own->snapshot;
        given.save_ns = own->save_ns;
        given.save_changes = own->save_changes;
        given.save_at_end = own->save_at_end;
    }
    return sq_segment_attr(&given, (int)given.kind, attr) < 0
               ? sq_fail(-EBADMSG, "the file's attributes make no sense")
               : 0;
}

/* What is in the file is in the file. */
static void note_loaded(struct sq_segment *segment)
{
    struct sq_file_shm *f = segment->file;

    sq_store(&f->saved_id, sq_load(&segment->ring.producer->next_id));
}

static int make_queue(struct sq_segment *segment, const struct sq_path *path,
                      const struct sq_image *image, const struct shmq_attr *own)
{
    struct sq_path queue = *path;
    struct shmq_attr attr;
    int rc = queue.text[0] != '\0' ? 0 : sq_segment_path(image->header->queue, &queue);

    if (rc == 0)
        rc = attr_for(image, own, &attr);
    if (rc == 0)
        rc = sq_segment_create(segment, &queue, &attr, sq_restore_fill, image);
    if (rc == 0)
        note_loaded(segment);
    return rc == -EEXIST ? sq_fail(rc, "there is a queue %s", queue.text) : rc;
}

int sq_keep_load(struct sq_segment *segment, const struct sq_path *path, const char *file,
                 const struct shmq_attr *own)
{
    struct sq_image *image = malloc(sizeof(*image));
    uint64_t size = 0;
    void *bytes = NULL;
    int rc = image == NULL ? sq_fail(-ENOMEM, "no memory") : sq_file_read(file, &bytes, &size);

    if (rc == 0) {
        rc = sq_image_read(image, bytes, size);
        const char *name = path->text + sizeof(SQ_SHM_DIR "/shmq.") - 1;
        if (rc == 0 && own != NULL && strcmp(image->header->queue, name) != 0)
            rc = sq_fail(-EPROTO, "%s is of another queue: %s", file, image->header->queue);
        if (rc == 0)
            rc = make_queue(segment, path, image, own);
        sq_image_free(image);
    }
    free(bytes);
    free(image);
    return rc;
}

/* Relative to where we are now: others are elsewhere. */
static int make_absolute(const char *path, char *absolute, size_t room)
{
    size_t at = 0;

    if (path[0] != '/') {
        if (getcwd(absolute, room) == NULL)
            return sq_fail(-errno, "cannot tell the working directory");
        at = strlen(absolute);
        if (at + 1 < room)
            absolute[at++] = '/';
    }
    if (strlen(path) >= room - at || at + strlen(path) > SQ_FILE_PATH_LONGEST - 8)
        return sq_fail(-EINVAL, "the snapshot's path has more than %d bytes",
                       SQ_FILE_PATH_LONGEST - 8);
    strcpy(absolute + at, path);
    return 0;
}

/* Make the queue, of its file if that is there. */
static int create_kept(struct sq_segment *segment, const struct sq_path *path,
                       const struct shmq_attr *attr)
{
    int lock = sq_file_hold(attr->snapshot);

    if (lock < 0)
        return lock;
    int rc = sq_keep_load(segment, path, attr->snapshot, attr);
    if (rc == -ENOENT)
        rc = sq_segment_create(segment, path, attr, NULL, NULL);
    sq_file_release(attr->snapshot, lock);
    return rc;
}

int sq_keep_open(struct sq_segment *segment, const struct sq_path *path, int flags,
                 const struct shmq_attr *given)
{
    enum { TRIES = 1000, REST_NS = 1000000 };
    char absolute[SQ_FILE_PATH_LONGEST + 1];
    struct shmq_attr attr = *given;
    int rc = 0;

    if (attr.snapshot == NULL || (flags & SHMQ_CREATE) == 0)
        return sq_segment_open(segment, path, flags, given);
    rc = make_absolute(attr.snapshot, absolute, sizeof(absolute));
    attr.snapshot = absolute;
    if (rc < 0)
        return rc;
    for (int tries = 0; tries < TRIES; tries++) {
        rc = sq_segment_attach(segment, path, flags);
        if (rc == 0 && (flags & SHMQ_EXCL) != 0) {
            sq_segment_close(segment);
            return sq_fail(-EEXIST, "%s exists", path->text);
        }
        if (rc != -ENOENT)
            return rc;
        rc = create_kept(segment, path, &attr);
        if (rc != -EEXIST && rc != -EBUSY)
            return rc;
        if (rc == -EBUSY) /* another makes it just now, or saves to that file */
            nanosleep(&(struct timespec){0, REST_NS}, NULL);
    }
    return rc;
}

/* --- saving ----------------------------------------------------------------------------- */

uint64_t sq_keep_changes(const struct shmq *q)
{
    const struct sq_ring *ring = &q->segment.ring;
    uint64_t changes = sq_load(&ring->producer->next_id);

    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1) {
        const struct sq_group_shm *g = &ring->groups[__builtin_ctzll(bits)];
        const struct sq_delivery_shm *d = &g->delivery;
        changes += sq_load(&g->finished_id) + sq_load(&g->purged_count) +
                   sq_load(&d->acked_count) + sq_load(&d->nacked_count) +
                   sq_load(&d->dead_count) + sq_load(&d->removed_count);
    }
    return changes;
}

static void note_failure(struct sq_file_shm *f, int error)
{
    sq_store(&f->error, -error);
    if (sq_load(&f->failed_ns) == 0)
        sq_store(&f->failed_ns, sq_clock_read(CLOCK_REALTIME));
}

/* control->saver is held. */
static int save_alone(struct shmq *q, struct sq_deadline *deadline)
{
    struct sq_file_shm *f = q->segment.file;
    uint64_t changes = sq_keep_changes(q), id = sq_load(&q->segment.ring.producer->next_id);
    int rc = sq_snapshot_write_alone(q, q->segment.path, deadline);

    if (rc < 0) {
        note_failure(f, rc);
        return rc;
    }
    sq_store(&f->saved_changes, changes);
    sq_store(&f->saved_id, id);
    sq_store(&f->saved_ns, sq_clock_read(CLOCK_REALTIME));
    sq_store(&f->failed_ns, 0);
    return 0;
}

int sq_keep_save(struct shmq *q, struct sq_deadline *deadline)
{
    int rc = sq_capture_begin(q, deadline);

    if (rc < 0)
        return rc;
    rc = save_alone(q, deadline);
    sq_lock_free(&q->segment.control->saver);
    return rc;
}

/* --- from time to time --------------------------------------------------------------------- */

static bool is_keeper(const struct shmq *q)
{
    return sq_load(&q->segment.file->keeper.owner) == q->attachment.owner;
}

static void try_to_keep(struct shmq *q)
{
    struct sq_lock_shm *lock = &q->segment.file->keeper;
    uint32_t owner = sq_load(&lock->owner);

    if (owner == 0)
        sq_lock_try(lock, q->attachment.owner);
    else if (!sq_attach_owner_lives(&q->segment, &q->attachment, owner))
        sq_lock_take_over(lock, owner, q->attachment.owner);
}

/* Save if it is time to.  When it failed, again after a second at the earliest. */
static void save_if_due(struct shmq *q, int64_t *last_ns)
{
    const struct sq_file_shm *f = q->segment.file;
    const struct shmq_attr *attr = &q->segment.attr;
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    uint64_t changed = sq_keep_changes(q) - sq_load(&f->saved_changes);
    int64_t since_ns = sq_clock_ns() - *last_ns;

    if (changed == 0 || (sq_load(&f->failed_ns) != 0 && since_ns < SHMQ_SEC(1)))
        return;
    if ((attr->save_ns == 0 || since_ns < attr->save_ns) &&
        (attr->save_changes == 0 || changed < attr->save_changes))
        return;
    sq_keep_save(q, &deadline);
    *last_ns = sq_clock_ns();
}

/* How long the one that keeps the file may sleep. */
static int64_t nap_of(const struct shmq *q, int64_t last_ns)
{
    enum { LOOK_NS = 50 * 1000 * 1000 };
    const struct shmq_attr *attr = &q->segment.attr;
    int64_t nap_ns = attr->save_changes != 0 ? LOOK_NS : SHMQ_SEC(1);
    int64_t left_ns = last_ns + attr->save_ns - sq_clock_ns();

    if (attr->save_ns != 0 && left_ns < nap_ns)
        nap_ns = left_ns > SHMQ_MS(1) ? left_ns : SHMQ_MS(1);
    return nap_ns;
}

static void *keep(void *arg)
{
    struct sq_keeper *k = arg;
    struct shmq *q = k->q;
    struct sq_cond_shm *cond = &q->segment.file->keepers;
    int64_t last_ns = sq_clock_ns();

    while (!sq_load(&k->stopping)) {
        if (!is_keeper(q))
            try_to_keep(q);
        else if (!sq_segment_is_gone(&q->segment))
            save_if_due(q, &last_ns);
        uint32_t ticket = sq_cond_prepare(cond);
        int64_t nap_ns = is_keeper(q) ? nap_of(q, last_ns) : SHMQ_SEC(1);
        if (sq_load(&k->stopping))
            sq_cond_cancel(cond);
        else
            sq_cond_sleep(cond, ticket, sq_clock_ns() + nap_ns);
    }
    if (is_keeper(q))
        sq_lock_free(&q->segment.file->keeper);
    return NULL;
}

int sq_keep_start(struct shmq *q)
{
    const struct shmq_attr *attr = &q->segment.attr;
    sigset_t all, old;

    if (attr->snapshot == NULL || q->segment.readable_only ||
        (attr->save_ns == 0 && attr->save_changes == 0))
        return 0;
    struct sq_keeper *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return sq_fail(-ENOMEM, "no memory for a thread that saves");
    k->q = q;
    k->pid = getpid();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&k->thread, NULL, keep, k);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        free(k);
        return sq_fail(-rc, "no thread to save the queue");
    }
    q->keeper = k;
    return 0;
}

void sq_keep_stop(struct shmq *q)
{
    struct sq_keeper *k = q->keeper;

    if (k != NULL && k->pid == getpid()) {
        sq_store(&k->stopping, true);
        sq_cond_wake(&q->segment.file->keepers, UINT32_MAX);
        pthread_join(k->thread, NULL);
    }
    free(k);
    q->keeper = NULL;
}

/* --- at the end -------------------------------------------------------------------------------- */

static bool is_last(const struct shmq *q)
{
    const struct sq_segment *s = &q->segment;

    for (uint32_t i = 0, count = sq_attach_slots(s); i < count; i++)
        if ((int)i != q->attachment.slot && sq_attach_taken(s, &q->attachment, i))
            return false;
    return true;
}

bool sq_keep_save_at_end(struct shmq *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(10));

    if (!q->segment.attr.save_at_end || q->segment.readable_only || q->attachment.slot < 0 ||
        sq_segment_is_gone(&q->segment) || sq_capture_begin(q, &deadline) < 0)
        return false;
    /* The lock is held until we are detached: of two that go at once the second sees that it
     * is the last. */
    if (is_last(q))
        save_alone(q, &deadline);
    return true;
}

void sq_keep_let_go(struct shmq *q, uint32_t owner)
{
    /* Detached: somebody may have taken it over, as from the dead. */
    atomic_compare_exchange_strong(&q->segment.control->saver.owner, &owner, 0);
}
