/*
 * save.c - saving a queue to a file, and making one of a file.
 */
#include "error.h"
#include "keep.h"
#include "snapshot.h"

int shmq_save(shmq_t *q, const char *path)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_FOREVER);
    int cancel = sq_cancel_hold();
    int rc = sq_make_ready_attached(q, &deadline);

    if (rc == 0 && path == NULL && q->segment.path[0] == '\0')
        rc = sq_fail(-EINVAL, "the queue has no file of its own, and none is named");
    if (rc == 0)
        rc = path == NULL ? sq_keep_save(q, &deadline) : sq_snapshot_write(q, path, &deadline);
    sq_cancel_release(cancel);
    return rc;
}

int shmq_load(const char *name, const char *path)
{
    struct sq_path queue = {""};
    struct sq_segment segment;
    int cancel = sq_cancel_hold();
    int rc = name == NULL ? 0 : sq_segment_path(name, &queue);

    if (rc == 0)
        rc = sq_keep_load(&segment, &queue, path, NULL);
    if (rc == 0)
        sq_segment_close(&segment);
    sq_cancel_release(cancel);
    return rc;
}

int shmq_file_stats(shmq_t *q, struct shmq_file_stats *stats)
{
    const struct sq_file_shm *f = q->segment.file;
    struct shmq_file_stats now = {.size = sizeof(now)};
    size_t size = stats->size;

    if (size < sizeof(size))
        return sq_fail(-EINVAL, "stats->size is %zu", size);
    memcpy(now.path, q->segment.path, sizeof(now.path));
    if (now.path[0] != '\0') {
        uint64_t changes = sq_keep_changes(q), saved = sq_load(&f->saved_changes);
        uint32_t keeper = sq_load(&f->keeper.owner);
        now.saved_ns = sq_load(&f->saved_ns);
        now.saved_id = sq_load(&f->saved_id);
        now.lag_count = changes > saved ? changes - saved : 0;
        now.failed_ns = sq_load(&f->failed_ns);
        now.error = now.failed_ns != 0 ? -(int)sq_load(&f->error) : 0;
        now.kept = keeper != 0 && sq_attach_owner_lives(&q->segment, &q->attachment, keeper);
    }
    memset(stats, 0, size);
    memcpy(stats, &now, size < sizeof(now) ? size : sizeof(now));
    stats->size = size;
    return 0;
}
