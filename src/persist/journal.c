/*
 * journal.c - see journal.h; the frames are in file/format.h, how they get into the file in
 * journal_file.c.
 *
 * Crash rule.  A put that dies between its frame and its tail leaves records in the file
 * that were not put: the next one finds that journal_pos is not the tail, and says with a
 * QUEUE frame that they were not.  Such a frame also says what else the side's owner had done
 * and not written when it died: whoever repairs the side asks for one (queue_frame_due).  A
 * consumer that dies between a change and its frame leaves marks (group/dirty.h), or the rebuild
 * marks all; then all is written again, also what the group is, and that it is there, although
 * somebody died removing it.
 */
#include "persist/journal.h"

#include "base/error.h"
#include "group/dirty.h"

enum { ITEMS_AT_ONCE = 256 };

static int append_one(struct shmq *q, enum sq_frame_kind kind, const void *data, size_t bytes,
                      struct sq_promise *promise)
{
    struct sq_piece piece = {data, bytes};

    sq_assert_held(&q->segment.file->lock);
    return sq_journal_file_frame(q, kind, &piece, 1, sq_load(&q->segment.file->journal_pos),
                                 promise);
}

/* J and P. */
static int append_queue(struct shmq *q, uint64_t pos, struct sq_promise *promise)
{
    const struct sq_producer_shm *p = q->segment.ring.producer;
    struct sq_frame_queue queue = {
        .next_id = sq_load(&p->next_id),
        .part_id = sq_load(&p->part_id),
        .put_bytes = sq_load(&p->put_bytes),
    };
    struct sq_piece piece = {&queue, sizeof(queue)};
    int rc = sq_journal_file_frame(q, SQ_FRAME_QUEUE, &piece, 1, pos, promise);

    sq_assert_held(&q->segment.file->lock);
    sq_assert_held(&q->segment.ring.producer->lock);
    if (rc == 0)
        sq_store(&q->segment.file->journal.queue_frame_due, 0);
    return rc;
}

static int append_records(struct shmq *q, uint64_t from, uint64_t to, struct sq_promise *promise)
{
    const struct sq_ring *ring = &q->segment.ring;
    const struct sq_file_shm *f = q->segment.file;
    struct sq_piece piece = {sq_record_at(ring, from), (size_t)(to - from)};
    int rc = 0;

    if (piece.bytes > UINT32_MAX)
        return sq_fail(-EFBIG, "%zu bytes at once are too many for a journal", piece.bytes);
    /* Somebody died before he had put what he wrote, or written what he did. */
    if (sq_load(&f->journal_pos) != from || sq_load(&f->journal.queue_frame_due) != 0)
        rc = append_queue(q, from, promise);
    return rc < 0 ? rc : sq_journal_file_frame(q, SQ_FRAME_RECORDS, &piece, 1, to, promise);
}

int sq_journal_records(struct shmq *q, uint64_t from, uint64_t to, struct sq_promise *promise)
{
    int cancel = sq_cancel_hold();
    int rc = sq_journal_file_enter(q);

    sq_assert_held(&q->segment.ring.producer->lock);
    if (rc == 0) {
        rc = append_records(q, from, to, promise);
        sq_journal_file_leave(q);
    }
    sq_cancel_release(cancel);
    return rc;
}

int sq_journal_update(struct shmq *q, uint64_t from, uint64_t to, uint64_t id,
                      struct sq_promise *promise)
{
    struct sq_frame_mark mark = {.what = SQ_MARK_UPDATED, .id = id};
    int cancel = sq_cancel_hold();
    int rc = sq_journal_file_enter(q);

    sq_assert_held(&q->segment.ring.producer->lock);
    if (rc == 0) {
        rc = append_records(q, from, to, promise);
        if (rc == 0)
            rc = append_one(q, SQ_FRAME_MARK, &mark, sizeof(mark), promise);
        sq_journal_file_leave(q);
    }
    sq_cancel_release(cancel);
    return rc;
}

/* With J for it alone. */
static int append_alone(struct shmq *q, enum sq_frame_kind kind, const void *data, size_t bytes,
                        struct sq_promise *promise)
{
    int cancel = sq_cancel_hold();
    int rc = sq_journal_file_enter(q);

    if (rc == 0) {
        rc = append_one(q, kind, data, bytes, promise);
        sq_journal_file_leave(q);
    }
    sq_cancel_release(cancel);
    return rc;
}

int sq_journal_remove(struct shmq *q, uint64_t id, struct sq_promise *promise)
{
    struct sq_frame_mark mark = {.what = SQ_MARK_GONE, .id = id};

    sq_assert_groups_held(&q->segment.ring, sq_ring_groups(&q->segment.ring));
    return append_alone(q, SQ_FRAME_MARK, &mark, sizeof(mark), promise);
}

/*
 * What is done in memory first, and then cannot be written: a later frame of its kind says it
 * too, but nobody knows when that comes.  There is trouble until the file was rewritten.
 */
static int note_unwritten(struct shmq *q, int rc)
{
    if (rc < 0)
        sq_store(&q->segment.file->journal.unwritten, 1);
    return rc;
}

int sq_journal_part(struct shmq *q, struct sq_promise *promise)
{
    int cancel = sq_cancel_hold();
    int rc = sq_journal_file_enter(q);

    sq_assert_held(&q->segment.ring.producer->lock);
    if (rc == 0) {
        rc = append_queue(q, sq_load(&q->segment.ring.producer->tail_pos), promise);
        sq_journal_file_leave(q);
    }
    sq_cancel_release(cancel);
    return note_unwritten(q, rc);
}

/* --- groups ------------------------------------------------------------------------ */

void sq_journal_noted(const struct sq_ring *ring)
{
    sq_assert_held(&ring->group->lock);
    if (ring->dirty == NULL)
        return;
    ring->group->pending.noted_id = sq_load(&ring->group->finished_id);
    sq_dirty_clear(ring);
}

static void describe_group(const struct sq_ring *ring, bool keeps_entries,
                           struct sq_frame_group *about)
{
    sq_capture_about(ring, about);
    about->keeps_entries = keeps_entries;
    if (keeps_entries) /* the entries that go with the position are still to be written */
        about->finished_id = ring->group->pending.noted_id;
}

int sq_journal_about(struct shmq *q, const struct sq_ring *ring, bool keeps_entries,
                     struct sq_promise *promise)
{
    struct sq_frame_group about;

    sq_assert_held(&ring->group->lock);
    describe_group(ring, keeps_entries, &about);
    int rc = append_alone(q, SQ_FRAME_GROUP, &about, sizeof(about), promise);
    if (rc == 0 && !keeps_entries)
        sq_journal_noted(ring);
    return note_unwritten(q, rc);
}

int sq_journal_remove_group(struct shmq *q, const struct sq_ring *ring, struct sq_promise *promise)
{
    struct sq_frame_entries none = {.group = sq_ring_group_index(ring)};

    sq_assert_held(&ring->group->lock);
    return append_alone(q, SQ_FRAME_UNGROUP, &none, sizeof(none), promise);
}

static struct sq_frame_item item_of(const struct sq_ring *ring, uint32_t e)
{
    const struct sq_entry_shm *entry = &ring->entries[e];
    uint64_t word = sq_load(&entry->word);

    if ((word & 0xff) == SQ_FREE)
        return (struct sq_frame_item){.entry = e};
    return sq_frame_item_of(e, entry, word);
}

/*
 * J and C: the changed entries, in as many frames as it takes.  The position comes with the
 * last of them: were it there without the others, messages would be missing.
 */
static int append_entries(struct shmq *q, const struct sq_ring *ring, struct sq_promise *promise)
{
    const struct sq_group_shm *g = ring->group;
    const struct sq_pending_shm *p = &g->pending;
    uint32_t count = p->dirty_all != 0 ? p->journaled_end : p->dirty_count, at = 0;
    struct sq_frame_item items[ITEMS_AT_ONCE];
    uint64_t pos = sq_load(&q->segment.file->journal_pos);
    int rc = 0;

    sq_assert_held(&q->segment.file->lock);
    sq_assert_held(&ring->group->lock);
    if (count > ring->entry_count)
        count = ring->entry_count;
    do {
        uint32_t n = 0;
        for (; n < ITEMS_AT_ONCE && at < count; at++) {
            uint32_t e = p->dirty_all != 0 ? at : ring->dirty[at];
            if (e < ring->entry_count)
                items[n++] = item_of(ring, e);
        }
        struct sq_frame_entries entries = {
            .group = sq_ring_group_index(ring),
            .count = n,
            .finished_id = at < count ? p->noted_id : sq_load(&g->finished_id),
            .back_seq = p->back_seq,
            .acked_count = sq_load(&g->delivery.acked_count),
            .got_bytes = sq_load(&g->got_bytes),
        };
        const struct sq_piece pieces[] = {{&entries, sizeof(entries)}, {items, n * sizeof(*items)}};
        rc = sq_journal_file_frame(q, SQ_FRAME_ENTRIES, pieces, 2, pos, promise);
    } while (rc == 0 && at < count);
    return rc;
}

/* J and C: the same, and what the group is. */
static int append_all(struct shmq *q, const struct sq_ring *ring, struct sq_promise *promise)
{
    struct sq_frame_group about;

    describe_group(ring, true, &about);
    int rc = append_one(q, SQ_FRAME_GROUP, &about, sizeof(about), promise);
    return rc < 0 ? rc : append_entries(q, ring, promise);
}

int sq_journal_group(struct shmq *q, const struct sq_ring *ring, struct sq_promise *promise)
{
    struct sq_group_shm *g = ring->group;
    struct sq_pending_shm *p = &g->pending;

    sq_assert_held(&ring->group->lock);
    if (p->dirty_count == 0 && p->dirty_all == 0 && p->noted_id == sq_load(&g->finished_id))
        return 0;
    int cancel = sq_cancel_hold();
    int rc = sq_journal_file_enter(q);
    if (rc == 0) {
        rc = p->dirty_all != 0 ? append_all(q, ring, promise) : append_entries(q, ring, promise);
        sq_journal_file_leave(q);
    }
    if (rc == 0)
        sq_journal_noted(ring);
    sq_cancel_release(cancel);
    return note_unwritten(q, rc);
}
