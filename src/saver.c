/*
 * saver.c - see saver.h.
 *
 * Each handle has one.  Who finds that it is due tries to be the one who saves (pin.h), and
 * then looks again; if that one dies, another comes at its next look.  After a failure it
 * is tried again once a second.
 */
#include "saver.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "error.h"

enum {
    LOOK_NS = 20 * 1000 * 1000,          /* where puts are counted */
    LOOK_LONGEST_NS = 1000 * 1000 * 1000, /* also whether the file is still locked */
};

struct sq_saver {
    struct shmq *q;
    pthread_t thread;
    pid_t pid; /* a forked child has no such thread */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
};

/* When it is due by time, CLOCK_MONOTONIC. */
static int64_t due_ns(const struct shmq *q)
{
    int64_t saved_ns = sq_load(&q->segment.file->saved_ns), every_ns = q->segment.attr.save_ns;

    return saved_ns > SQ_NEVER - every_ns ? SQ_NEVER : saved_ns + every_ns;
}

static bool is_due(const struct shmq *q)
{
    const struct sq_file_shm *f = q->segment.file;
    uint64_t changes = q->segment.attr.save_changes;
    uint64_t put = sq_load(&q->segment.ring.producer->next_id) - 1 - sq_load(&f->saved_id);

    if (changes != 0 && (int64_t)put > 0 && put >= changes)
        return true;
    return q->segment.attr.save_ns != 0 && sq_clock_ns() >= due_ns(q) && sq_keep_is_stale(q);
}

/* Until when to sleep. */
static int64_t next_look(const struct shmq *q, int64_t now_ns)
{
    int64_t until_ns = now_ns + LOOK_LONGEST_NS;

    if (sq_load(&q->segment.file->error) != 0)
        return until_ns;
    if (q->segment.attr.save_changes != 0)
        until_ns = now_ns + LOOK_NS;
    if (q->segment.attr.save_ns == 0)
        return until_ns;
    /* Nothing has changed: look again as often as it may be due. */
    int64_t due = due_ns(q), every_ns = q->segment.attr.save_ns;
    if (due <= now_ns)
        due = every_ns < LOOK_LONGEST_NS ? now_ns + every_ns : until_ns;
    return due < until_ns ? due : until_ns;
}

static void *save_now_and_then(void *arg)
{
    struct sq_saver *s = arg;
    struct shmq *q = s->q;

    pthread_mutex_lock(&s->lock);
    while (!s->stopping && !sq_segment_marked_gone(&q->segment)) {
        struct timespec until = sq_timespec(next_look(q, sq_clock_ns()));
        pthread_cond_timedwait(&s->wake, &s->lock, &until);
        if (s->stopping)
            break;
        pthread_mutex_unlock(&s->lock);
        struct sq_deadline deadline = sq_deadline_in(SHMQ_NOWAIT);
        if (is_due(q))
            sq_keep_save(q, &deadline, is_due);
        else
            sq_keep_attach(q); /* somebody else may have replaced the file */
        sq_segment_is_gone(&q->segment);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* A thread that gets none of the application's signals. */
static int start_thread(struct sq_saver *s)
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

int sq_saver_start(struct shmq *q)
{
    const struct shmq_attr *attr = &q->segment.attr;

    if (q->segment.file_path.text[0] == '\0' || q->segment.readable_only || q->saver != NULL ||
        (attr->save_ns == 0 && attr->save_changes == 0))
        return 0;
    struct sq_saver *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return sq_fail(-ENOMEM, "no memory to save the queue now and then");
    s->q = q;
    s->pid = getpid();
    int rc = start_thread(s);
    if (rc < 0) {
        free(s);
        return rc;
    }
    q->saver = s;
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

void sq_saver_end(struct shmq *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(10));
    struct sq_saver *s = q->saver;

    if (s != NULL && s->pid == getpid()) {
        pthread_mutex_lock(&s->lock);
        s->stopping = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        pthread_cond_destroy(&s->wake);
        pthread_mutex_destroy(&s->lock);
    }
    free(s);
    q->saver = NULL;
    if (q->segment.attr.save_at_end && q->segment.file_path.text[0] != '\0' &&
        q->attachment.slot >= 0 && is_last(q))
        sq_keep_save(q, &deadline, sq_keep_is_stale);
}
