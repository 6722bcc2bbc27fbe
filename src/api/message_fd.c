/*
 * message_fd.c - waiting in event loops: a descriptor for poll(), and several queues at once.
 *
 * What puts and gets do to the descriptor's pipe is in handle/poll_pipe.c.  What comes with time
 * (the end of a delay or a lease, the death of a consumer) is seen to by a thread for each handle
 * that has called shmq_fd().  It sleeps until the next such moment.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "handle/hooks.h"
#include "handle/poll_pipe.h"
#include "handle/wait.h"
#include "segment/segment_reopen.h"
#include "sync/futex.h"

struct sq_notifier {
    struct shmq *q;
    pthread_t thread;
    _Atomic bool stopping;
};

/* --- the notifier: a thread that keeps time -------------------------------------- */

static void *run_notifier(void *arg)
{
    struct sq_notifier *n = arg;
    struct shmq *q = n->q;
    struct sq_group_shm *g = q->segment.ring.group;

    /* Once the group is removed, its number and its pipe are another's. */
    while (!sq_load(&n->stopping) && !sq_consumer_is_stale(q)) {
        uint32_t ticket = sq_cond_prepare(&g->notifiers);
        sq_poll_pipe_update_polled(q, sq_ring_group_index(&q->segment.ring));
        int64_t now_ns = sq_clock_ns(), until_ns = now_ns + SQ_SLEEP_MAX_NS;
        int64_t due_ns = sq_poll_pipe_due_ns(&g->pending);
        /* What is due already and has made the descriptor readable is the readers' affair. */
        bool seen = due_ns <= now_ns && sq_load(&g->pending.pipe) == SQ_POLL_PIPE_READABLE;
        if (due_ns < until_ns && !seen)
            until_ns = due_ns > now_ns ? due_ns : now_ns;
        sq_store(&g->pending.notify_ns, until_ns);
        if (!sq_load(&n->stopping) && sq_poll_pipe_due_ns(&g->pending) == due_ns)
            sq_cond_sleep(&g->notifiers, ticket, until_ns);
        now_ns = sq_clock_ns();
        sq_segment_is_unlinked(&q->segment);
        sq_attach_sweep(&q->segment, &q->attachment, now_ns, SQ_SWEEP_ASLEEP_NS);
    }
    return NULL;
}

/* A thread that gets none of the application's signals. */
static int start_thread(struct sq_notifier *n)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&n->thread, NULL, run_notifier, n);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? 0 : sq_fail(-rc, "no thread to keep the time for the descriptor");
}

/* A forked child has no such thread. */
static void close_notifier(struct shmq *q, void *state, bool inherited)
{
    struct sq_notifier *n = state;

    if (!inherited) {
        sq_store(&n->stopping, true);
        sq_cond_wake(&q->segment.ring.group->notifiers, UINT32_MAX);
        pthread_join(n->thread, NULL);
    }
    free(n);
}

/* The caller holds claim_lock. */
static int start(struct shmq *q)
{
    struct sq_group_shm *g = q->segment.ring.group;
    struct sq_notifier *n = calloc(1, sizeof(*n));

    if (n == NULL)
        return sq_fail(-ENOMEM, "no memory for a descriptor's state");
    n->q = q;
    sq_store(&g->pending.polled, 1);
    atomic_fetch_or(&q->segment.control->notices, SQ_NOTICE_POLLED);
    int rc = start_thread(n);
    if (rc < 0) {
        free(n);
        return rc;
    }
    sq_hook_hang(q, SQ_HOOK_MESSAGE_FD, n, close_notifier);
    return 0;
}

int shmq_fd(shmq_t *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));

    if ((q->flags & SHMQ_SOLE_CONSUMER) != 0)
        return sq_fail(-EINVAL, "a sole consumer's side is entered by nobody else, who could see "
                                "to the descriptor");
    int rc = sq_make_ready(q, SQ_ROLE_CONSUMER, &deadline);
    if (rc < 0)
        return rc;
    if (sq_consumer_is_stale(q))
        return sq_fail(-ESTALE, "the group was removed");
    int cancel = sq_cancel_hold();
    int fd = sq_poll_pipe_open(q, sq_ring_group_index(&q->segment.ring), true);
    sq_mutex_lock(&q->claim_lock, SQ_RANK_CLAIMS);
    if (fd >= 0 && sq_hook_state(q, SQ_HOOK_MESSAGE_FD) == NULL)
        rc = start(q);
    sq_mutex_unlock(&q->claim_lock);
    if (fd >= 0 && rc == 0)
        sq_poll_pipe_update_polled(q, sq_ring_group_index(&q->segment.ring));
    sq_cancel_release(cancel);
    return fd < 0 || rc == 0 ? fd : rc;
}

/* --- several queues ----------------------------------------------------------------- */

enum { QUEUES_MAX = 128 };

/* The first that seems to have something, or is no more; count: none. */
static unsigned look_at_all(shmq_t *const *qs, unsigned count)
{
    int64_t now_ns = sq_clock_ns();

    for (unsigned i = 0; i < count; i++)
        if (sq_seems_ready(qs[i], now_ns) || sq_segment_marked_unlinked(&qs[i]->segment))
            return i;
    return count;
}

static void count_sleeper(shmq_t *const *qs, unsigned count, uint32_t change)
{
    for (unsigned i = 0; i < count; i++) {
        struct sq_slot_shm *slot = sq_attach_slot(&qs[i]->segment, &qs[i]->attachment);
        if (slot != NULL)
            atomic_fetch_add(&slot->sleeping_consumers, change);
    }
}

/* Until when to sleep at the most: a look around, or something due. */
static int64_t sleep_end(shmq_t *const *qs, unsigned count, int64_t now_ns, int64_t end_ns)
{
    int64_t until_ns = now_ns + SQ_SLEEP_MAX_NS;

    if (end_ns < until_ns)
        until_ns = end_ns;
    for (unsigned i = 0; i < count; i++) {
        int64_t due_ns = sq_load(&qs[i]->segment.ring.group->pending.next_due_ns);
        uint32_t mode = sq_load(&qs[i]->segment.ring.group->mode);
        if (mode != 0 && (mode & SQ_GROUP_PAUSED) == 0 && due_ns < until_ns)
            until_ns = due_ns;
    }
    return until_ns > now_ns ? until_ns : now_ns;
}

static int sleep_on_all(shmq_t *const *qs, unsigned count, int64_t end_ns)
{
    struct sq_cond_shm *conds[QUEUES_MAX];
    uint32_t tickets[QUEUES_MAX];
    bool unfenced = false;

    for (unsigned i = 0; i < count; i++) {
        conds[i] = sq_side_cond(qs[i], SQ_ROLE_CONSUMER);
        tickets[i] = sq_cond_prepare(conds[i]);
        unfenced |= sq_load_acquire(&qs[i]->segment.ring.producer->sole) != 0;
    }
    if (unfenced && !sq_membarrier())
        for (unsigned i = 0; i < count; i++)
            atomic_fetch_or(&qs[i]->segment.control->notices, SQ_NOTICE_FENCE);
    if (look_at_all(qs, count) < count) {
        for (unsigned i = 0; i < count; i++)
            sq_cond_cancel(conds[i]);
        return 0;
    }
    count_sleeper(qs, count, 1);
    int rc = sq_cond_sleep_any(conds, tickets, count, sleep_end(qs, count, sq_clock_ns(), end_ns));
    count_sleeper(qs, count, (uint32_t)-1);
    return rc == -ETIMEDOUT ? 0 : rc;
}

/* What nobody may have told us. */
static void look_around(shmq_t *const *qs, unsigned count, int64_t now_ns)
{
    for (unsigned i = 0; i < count; i++) {
        sq_segment_is_unlinked(&qs[i]->segment);
        sq_attach_sweep(&qs[i]->segment, &qs[i]->attachment, now_ns, SQ_SWEEP_ASLEEP_NS);
    }
}

/* Whether queue `i` really has something: what seems so may be delayed or filtered. */
static int is_ready(shmq_t *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    int rc = sq_enter(q, SQ_ROLE_CONSUMER, &deadline);

    if (rc < 0)
        return rc;
    rc = sq_consumer_is_stale(q) ? sq_fail(-ESTALE, "the group was removed") : 0;
    if (rc == 0)
        rc = sq_return_lost(q, &q->segment.ring, sq_clock_ns());
    if (rc >= 0)
        rc = sq_group_look(&q->segment.ring, sq_clock_ns(), NULL);
    sq_leave(q, SQ_ROLE_CONSUMER);
    if (rc == -EAGAIN && sq_segment_marked_unlinked(&q->segment))
        return sq_fail(-ESTALE, "the queue's name was removed");
    return rc == -EAGAIN ? 0 : rc < 0 ? rc : 1;
}

static int check(shmq_t *const *qs, unsigned count, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    int rc = sq_check_timeout(timeout_ns);

    if (rc == 0 && (count == 0 || count > QUEUES_MAX))
        rc = sq_fail(-EINVAL, "%u queues; it can be 1 to %d", count, QUEUES_MAX);
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = sq_make_ready(qs[i], SQ_ROLE_CONSUMER, &deadline);
    return rc;
}

/* Which one has something; -EAGAIN none. */
static int find_ready(shmq_t *const *qs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!sq_seems_ready(qs[i], sq_clock_ns()) && !sq_segment_marked_unlinked(&qs[i]->segment))
            continue;
        int rc = is_ready(qs[i]);
        if (rc != 0)
            return rc == 1 ? (int)i : rc;
    }
    return -EAGAIN;
}

int shmq_wait_any(shmq_t *const *qs, unsigned count, int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    int rc = check(qs, count, timeout_ns);

    if (rc < 0)
        return rc;
    while (rc == 0) {
        rc = find_ready(qs, count);
        if (rc != -EAGAIN)
            break;
        int64_t now_ns = sq_clock_ns(), end_ns = sq_deadline_at(&deadline, now_ns);
        if (now_ns >= end_ns)
            return timeout_ns == SHMQ_NOWAIT ? sq_fail_plainly(-EAGAIN)
                                             : sq_fail_plainly(-ETIMEDOUT);
        rc = sleep_on_all(qs, count, end_ns);
        look_around(qs, count, sq_clock_ns());
        if (rc < 0)
            return sq_fail_plainly(rc);
    }
    /* A wake for another of them may have been ours: pass it on. */
    for (unsigned i = 0; i < count; i++)
        if ((int)i != rc)
            sq_wake_consumer(qs[i]);
    return rc;
}
