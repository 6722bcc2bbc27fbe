/*
 * save.c - saving, loading, and how the file is.
 */
#include "base/error.h"
#include "persist/journal_sync.h"
#include "persist/queue_file.h"
#include "persist/queue_save.h"
#include "segment/segment_attr.h"

int shmq_save(shmq_t *q, const char *path)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(30));
    struct sq_file_path absolute;

    if (path == NULL)
        return sq_queue_save(q, &deadline, NULL);
    int rc = sq_file_path(&absolute, path);
    return rc < 0 ? rc : sq_queue_save_as(q, &absolute, &deadline);
}

int shmq_load(const char *name, const char *path)
{
    struct sq_path own;
    int rc = name == NULL ? 0 : sq_segment_path(name, &own);

    if (rc < 0)
        return rc;
    int cancel = sq_cancel_hold();
    rc = sq_queue_file_load(name == NULL ? NULL : &own, path);
    sq_cancel_release(cancel);
    return rc;
}

int shmq_file_stats(shmq_t *q, struct shmq_file_stats *stats)
{
    const struct sq_file_shm *f = q->segment.file;
    struct shmq_file_stats now = {.size = sizeof(now)};
    size_t size = stats->size;

    if (size < offsetof(struct shmq_file_stats, save_ns))
        return sq_fail(-EINVAL, "stats->size is %zu; set it to sizeof(struct shmq_file_stats)",
                       size);
    static_assert(sizeof(now.path) == sizeof(q->segment.file_path.text), "a path");
    now.cut_bytes = sq_load(&f->cut_bytes);
    if (q->segment.file_path.text[0] != '\0') {
        memcpy(now.path, q->segment.file_path.text, sizeof(now.path));
        now.error = sq_load(&f->error);
        now.save_at_end = q->segment.attr.save_at_end;
        now.save_ns = q->segment.attr.save_ns;
        now.save_changes = q->segment.attr.save_changes;
        now.failed_ns = now.error != 0 ? sq_load(&f->failed_ns) : 0;
        now.saved_age_ns = sq_elapsed_ns(sq_clock_ns(), sq_load(&f->saved_ns));
        now.saved_id = sq_load(&f->saved_id);
        now.generation = sq_load(&f->generation);
        now.file_bytes = sq_load(&f->end_off);
        now.journal = q->segment.attr.journal;
        now.write_count = sq_load(&f->journal.write_count);
        now.sync_count = sq_load(&f->journal.sync_count);
        now.synced_bytes = sq_synced_off(sq_load(&f->synced), now.generation);
        uint64_t last_id = sq_load(&q->segment.ring.producer->next_id) - 1;
        if (now.journal != SHMQ_JOURNAL_NONE) { /* all that was put is in the file */
            now.saved_id = last_id;
            now.stale = now.synced_bytes < now.file_bytes;
        } else {
            now.lag = last_id > now.saved_id ? last_id - now.saved_id : 0;
            now.stale = sq_queue_save_is_dirty(q);
        }
    }
    memset(stats, 0, size);
    memcpy(stats, &now, size < sizeof(now) ? size : sizeof(now));
    stats->size = size;
    return 0;
}

int shmq_sync(shmq_t *q, uint64_t id, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    int rc = sq_check_timeout(timeout_ns);

    if (rc == 0 && !sq_journal_writes(q))
        rc = sq_fail(-EINVAL, "the queue has no journal");
    if (rc == 0 && id >= sq_load(&q->segment.ring.producer->next_id))
        rc = sq_fail(-EINVAL, "message %llu has not been put", (unsigned long long)id);
    return rc < 0 ? rc : sq_journal_sync_all(q, &deadline);
}
