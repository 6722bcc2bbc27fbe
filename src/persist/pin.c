/*
 * pin.c - see pin.h.
 *
 * Crash rule.  The pin is set and lifted only with the lock; a pin without a living owner
 * of that was left by the dead, and whoever finds no room because of it lifts it.
 *
 * A producer looks at the groups' cursors first and at the pin afterwards.  If it sees a
 * cursor that moved after the saver had been in the group's side, it sees the pin
 * as well: by the lock of that side, or where a sole consumer of another process has none,
 * by membarrier.  Otherwise what it takes for finished lies below what the saver reads.
 */
#include "persist/pin.h"

#include "base/error.h"
#include "sync/futex.h"

int sq_pin_enter(struct shmq *q, struct sq_deadline *deadline)
{
    int rc = sq_hold(q, &q->segment.file->saver, deadline);

    if (rc == -ETIMEDOUT)
        return sq_fail(rc, "somebody else is saving the queue, and does not end in time");
    if (rc < 0)
        return sq_fail_plainly(rc);
    if (rc > 0)
        atomic_fetch_add(&q->segment.control->recovery_count, 1);
    return 0;
}

static void wake_producers(struct shmq *q)
{
    /* Pairs with the fence of who announces itself and then looks for room. */
    atomic_thread_fence(memory_order_seq_cst);
    sq_wake(q, SQ_ROLE_PRODUCER, UINT32_MAX);
}

void sq_pin_lift(struct shmq *q)
{
    struct sq_file_shm *f = q->segment.file;

    if (sq_load(&f->pin_pos) == SQ_NO_PIN)
        return;
    sq_assert_held(&f->saver);
    sq_store_release(&f->pin_pos, SQ_NO_PIN);
    wake_producers(q);
}

void sq_pin_leave(struct shmq *q)
{
    sq_pin_lift(q);
    sq_lock_free(&q->segment.file->saver);
}

void sq_pin_all(struct shmq *q)
{
    enum { NOWHERE = 1 }; /* no position of a record */

    sq_assert_held(&q->segment.file->saver);
    sq_store(&q->segment.file->pin_pos, NOWHERE);
    atomic_thread_fence(memory_order_seq_cst);
    if (!sq_membarrier())
        atomic_fetch_or(&q->segment.control->notices, SQ_NOTICE_FENCE);
}

void sq_pin_move(struct shmq *q, uint64_t pos)
{
    sq_assert_held(&q->segment.file->saver);
    /* Release: what lies before has been read. */
    sq_store_release(&q->segment.file->pin_pos, pos);
    wake_producers(q);
}

bool sq_pin_lift_lost(struct shmq *q)
{
    struct sq_file_shm *f = q->segment.file;
    uint32_t owner = sq_load(&f->saver.owner);

    sq_assert_held(&q->segment.ring.producer->lock);
    if (!sq_ring_is_pinned(&q->segment.ring) ||
        (owner != 0 && sq_attach_owner_lives(&q->segment, &q->attachment, owner)) ||
        sq_lock_take_over(&f->saver, owner, q->attachment.owner) != 0)
        return false;
    sq_lock_tried(&f->saver, SQ_RANK_SAVER);
    sq_store_release(&f->pin_pos, SQ_NO_PIN);
    sq_lock_free(&f->saver);
    atomic_fetch_add(&q->segment.control->recovery_count, 1);
    return true;
}
