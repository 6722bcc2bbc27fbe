/*
 * save_thread.c - see save_thread.h.
 *
 * Each handle has one.  Who finds that it is due tries to be the one who saves (pin.h), and
 * then looks again; if that one dies, another comes at its next look.  After a failure it
 * is tried again once a second.
 *
 * A journal is rewritten when it has become several times as long as what lives.  Nobody
 * polls for that: who appends beyond journal.look_off moves that on, and has its own
 * handle's thread look.  In a forked child there is none, and it looks itself.  So does who
 * finds that threads do not keep up: the file's length is bounded, at the cost of those who
 * make it grow.
 */
#include "persist/save_thread.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "handle/hooks.h"
#include "persist/journal_rewrite.h"
#include "persist/journal_sync.h"
#include "persist/queue_save.h"
#include "segment/segment_reopen.h"

enum {
    LOOK_NS = 20 * 1000 * 1000,       /* where puts are counted */
    LOOK_MAX_NS = 1000 * 1000 * 1000, /* also whether the file is still locked */
    GROWTH_MIN = 1 << 18,             /* or a quarter of the file: then it is looked at */
    LATE_TIMES = 4,                   /* so often too long: whoever appends waits ... */
    LATE_NS = 1000 * 1000 * 1000,     /* ... so long for another who rewrites it */
};

struct sq_save_thread {
    struct shmq *q;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    bool rung; /* the file has grown */
};

static bool has_journal(const struct shmq *q)
{
    return q->segment.attr.journal != SHMQ_JOURNAL_NONE;
}

/* Whether save_ns is how often the journal is put on the disk. */
static bool syncs_by_time(const struct shmq *q)
{
    return q->segment.attr.journal == SHMQ_JOURNAL_INTERVAL;
}

/* --- what is due -------------------------------------------------------------- */

/* When it is due by time, CLOCK_MONOTONIC. */
static int64_t due_ns(const struct shmq *q)
{
    const struct sq_file_shm *f = q->segment.file;
    int64_t every_ns = q->segment.attr.save_ns;
    int64_t done_ns = sq_load(syncs_by_time(q) ? &f->journal.synced_ns : &f->saved_ns);

    return done_ns > SQ_NEVER - every_ns ? SQ_NEVER : done_ns + every_ns;
}

static bool is_time(const struct shmq *q)
{
    return q->segment.attr.save_ns != 0 && sq_clock_ns() >= due_ns(q);
}

static bool is_synced(const struct shmq *q)
{
    struct sq_promise end = sq_journal_sync_end(q);

    return sq_synced_keeps(sq_load_acquire(&q->segment.file->synced), &end);
}

static bool sync_is_due(const struct shmq *q)
{
    return syncs_by_time(q) && is_time(q) && !is_synced(q) &&
           sq_load(&q->segment.file->journal.broken) == 0;
}

/* Also after trouble with a journal: that heals it. */
static bool is_due(const struct shmq *q)
{
    const struct sq_file_shm *f = q->segment.file;
    uint64_t changes = q->segment.attr.save_changes;
    uint64_t put = sq_load(&q->segment.ring.producer->next_id) - 1 - sq_load(&f->saved_id);

    if (changes != 0 && (int64_t)put > 0 && put >= changes)
        return true;
    if (has_journal(q) && (sq_load(&f->error) != 0 || sq_journal_rewrite_is_due(q, 1)))
        return true;
    return !syncs_by_time(q) && is_time(q) && sq_queue_save_is_dirty(q);
}

/* Until when to sleep. */
static int64_t next_look(const struct shmq *q, int64_t now_ns)
{
    int64_t until_ns = now_ns + LOOK_MAX_NS;

    if (sq_load(&q->segment.file->error) != 0)
        return until_ns;
    if (q->segment.attr.save_changes != 0)
        until_ns = now_ns + LOOK_NS;
    if (q->segment.attr.save_ns == 0)
        return until_ns;
    /* Nothing has changed: look again as often as it may be due. */
    int64_t due = due_ns(q), every_ns = q->segment.attr.save_ns;
    if (due <= now_ns)
        due = every_ns < LOOK_MAX_NS ? now_ns + every_ns : until_ns;
    return due < until_ns ? due : until_ns;
}

static void look(struct shmq *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_NOWAIT);
    struct sq_deadline sync_deadline = sq_deadline_in(LOOK_MAX_NS);

    if (sync_is_due(q))
        sq_journal_sync_all(q, &sync_deadline);
    if (is_due(q))
        sq_queue_save(q, &deadline, is_due);
    else
        sq_queue_file_attach(q); /* somebody else may have replaced the file */
}

/* --- the thread --------------------------------------------------------------- */

static void *save_now_and_then(void *arg)
{
    struct sq_save_thread *s = arg;
    struct shmq *q = s->q;

    sq_mutex_lock(&s->lock, SQ_RANK_LEAF);
    while (!s->stopping && !sq_segment_marked_unlinked(&q->segment)) {
        struct timespec until = sq_timespec(next_look(q, sq_clock_ns()));
        if (!s->rung)
            pthread_cond_timedwait(&s->wake, &s->lock, &until);
        s->rung = false;
        if (s->stopping)
            break;
        sq_mutex_unlock(&s->lock);
        look(q);
        sq_segment_is_unlinked(&q->segment);
        sq_mutex_lock(&s->lock, SQ_RANK_LEAF);
    }
    sq_mutex_unlock(&s->lock);
    return NULL;
}

/* The caller appended, and the file is longer than when somebody last looked. */
static void grown(struct shmq *q)
{
    struct sq_file_shm *f = q->segment.file;
    uint64_t end = sq_load(&f->end_off);
    struct sq_save_thread *s = sq_hook_state(q, SQ_HOOK_SAVER);

    sq_store(&f->journal.look_off, end + (end / 4 > GROWTH_MIN ? end / 4 : GROWTH_MIN));
    if (!sq_journal_rewrite_is_due(q, 1))
        return;
    bool late = sq_journal_rewrite_is_due(q, LATE_TIMES);
    if (late || s == NULL) {
        struct sq_deadline deadline = sq_deadline_in(late ? LATE_NS : SHMQ_NOWAIT);
        sq_queue_save(q, &deadline, is_due);
        return;
    }
    sq_mutex_lock(&s->lock, SQ_RANK_LEAF);
    s->rung = true;
    pthread_cond_signal(&s->wake);
    sq_mutex_unlock(&s->lock);
}

/* A thread that gets none of the application's signals. */
static int start_thread(struct sq_save_thread *s)
{
    pthread_condattr_t attr;
    sigset_t all, old;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&s->thread, NULL, save_now_and_then, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? 0 : sq_fail(-rc, "no thread to save the queue");
}

/* A forked child has no such thread. */
static void close_saver(struct shmq *q, void *state, bool inherited)
{
    struct sq_save_thread *s = state;

    if (!inherited) {
        sq_mutex_lock(&s->lock, SQ_RANK_LEAF);
        s->stopping = true;
        pthread_cond_signal(&s->wake);
        sq_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        pthread_cond_destroy(&s->wake);
        pthread_mutex_destroy(&s->lock);
    }
    free(s);
    q->own_file->grown = NULL;
}

int sq_save_thread_start(struct shmq *q)
{
    const struct shmq_attr *attr = &q->segment.attr;

    if (q->segment.file_path.text[0] == '\0' || q->segment.readable_only ||
        (attr->save_ns == 0 && attr->save_changes == 0 && !has_journal(q)))
        return 0;
    struct sq_save_thread *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return sq_fail(-ENOMEM, "no memory to save the queue now and then");
    s->q = q;
    int rc = start_thread(s);
    if (rc < 0) {
        free(s);
        return rc;
    }
    sq_hook_hang(q, SQ_HOOK_SAVER, s, close_saver);
    q->own_file->grown = has_journal(q) ? grown : NULL;
    return 0;
}

/* Whether all others who are attached are about to leave, too.  Of two that leave at once
 * both see that, and the second finds nothing to save. */
static bool is_last(struct shmq *q)
{
    struct sq_segment *s = &q->segment;

    sq_store(&sq_attach_slot(s, &q->attachment)->closing, 1);
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t i = 0, count = sq_attach_slots(s); i < count; i++)
        if ((int)i != q->attachment.slot && sq_load(&s->slots[i].closing) == 0 &&
            sq_attach_taken(s, &q->attachment, i))
            return false;
    return true;
}

void sq_save_thread_at_close(struct shmq *q)
{
    struct sq_deadline sync_deadline = sq_deadline_in(SHMQ_SEC(10));
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(10));

    if (syncs_by_time(q) && q->attachment.slot >= 0 && !is_synced(q))
        sq_journal_sync_all(q, &sync_deadline);
    if (q->segment.attr.save_at_end && q->segment.file_path.text[0] != '\0' &&
        q->attachment.slot >= 0 && is_last(q))
        sq_queue_save(q, &deadline, sq_queue_save_is_dirty);
}
