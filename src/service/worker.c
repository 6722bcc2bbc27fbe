/*
 * worker.c - threads that receive, and call a handler for each message (worker_job.h).
 *
 * Built on the public interface alone: what a worker can do, a program can do.
 *
 * One thread at a time has the seat: it alone waits in shmq_receive(), and gives the
 * seat away when it has got a message.  The others wait for it within the process.  So
 * an idle worker costs what one sleeper costs, whatever its number of threads.  The
 * wait is in slices, since nothing else than its time ends a receive; that is how
 * long an idle worker takes to stop.
 *
 * Crash rule: none is needed.  A worker has no state outside of its process, and what
 * its threads held goes back with their leases.
 *
 * Locks, both of the process: worker.lock for who sits, runs and stops; job.lock for
 * a lease.  Nobody takes one while having the other, and none is held while a handler
 * runs or a message is waited for.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "service/worker_job.h"
#include "sync/mutex.h"

#define SLICE_NS         SHMQ_MS(100) /* of a receive */
#define BACKOFF_FIRST_NS SHMQ_MS(1)   /* after an error, doubled with each further one */
#define BACKOFF_MAX_NS   SHMQ_SEC(1)
#define TICK_MIN_NS      SHMQ_MS(1)  /* between two looks at the leases: seldom enough not */
#define TICK_MAX_NS      SHMQ_SEC(1) /* to cost, and often enough for a new policy */

enum { THREADS_MAX = 4096 };

struct member {
    struct shmq_worker *worker;
    pthread_t thread;
    struct sq_worker_job job;
};

struct shmq_worker {
    struct sq_duty duty; /* its flags are changed with the lock */
    pid_t pid;           /* of the process that has the threads */
    pthread_mutex_t lock;
    pthread_cond_t seat;   /* the seat is free, or the worker stops */
    pthread_cond_t pause;  /* who backs off is to look: the renewer, a thread after an error */
    pthread_cond_t change; /* for who stops the worker: a thread began or ended something */
    bool taken;            /* somebody has the seat */
    bool over;             /* the renewer may end */
    bool dozing;           /* the renewer waits until there is something to renew */
    unsigned running;      /* threads that have a message in hand */
    unsigned alive;        /* threads */
    pthread_t renewer;
    bool renews; /* there is one */
    unsigned count;
    struct member members[];
};

static int64_t after(int64_t timeout_ns)
{
    int64_t now_ns = sq_worker_job_now_ns();

    return timeout_ns < 0 || timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
}

/* Wait on a condition of the worker's, whose lock the caller has, but not beyond until_ns. */
static void wait_until(struct shmq_worker *w, pthread_cond_t *cond, int64_t until_ns)
{
    struct timespec t = {.tv_sec = (time_t)(until_ns / 1000000000),
                         .tv_nsec = (long)(until_ns % 1000000000)};

    sq_assert_held(&w->lock);
    if (until_ns == INT64_MAX)
        pthread_cond_wait(cond, &w->lock);
    else
        pthread_cond_timedwait(cond, &w->lock, &t);
}

/* --- a thread ------------------------------------------------------------------ */

/* Have the seat; false: the worker stops.  With worker.lock, as the next two. */
static bool take_seat(struct shmq_worker *w)
{
    sq_assert_held(&w->lock);
    while (w->taken && !w->duty.stopping)
        pthread_cond_wait(&w->seat, &w->lock);
    if (w->duty.stopping)
        return false;
    w->taken = true;
    return true;
}

static void leave_seat(struct shmq_worker *w)
{
    sq_assert_held(&w->lock);
    SQ_BUG_ON(!w->taken);
    w->taken = false;
    pthread_cond_signal(&w->seat);
}

/*
 * Wait for a message; false: the worker stops.  Errors other than that none came last:
 * the queue is removed or damaged, say.  They may pass, so it is tried on, but ever
 * more seldom.
 */
static bool listen_for_message(struct shmq_worker *w, struct member *m)
{
    int64_t backoff_ns = BACKOFF_FIRST_NS;

    while (!w->duty.stopping) {
        m->job.msg = (struct shmq_msg)SHMQ_MSG_INIT;
        sq_mutex_unlock(&w->lock);
        int rc = shmq_receive(w->duty.g, &m->job.msg, SLICE_NS);
        sq_mutex_lock(&w->lock, SQ_RANK_LEAF);
        if (rc == 0)
            return true;
        if (rc == -ETIMEDOUT || rc == -EINTR) {
            backoff_ns = BACKOFF_FIRST_NS;
            continue;
        }
        for (int64_t until_ns = after(backoff_ns);
             !w->duty.stopping && sq_worker_job_now_ns() < until_ns;)
            wait_until(w, &w->pause, until_ns);
        backoff_ns = backoff_ns * 2 < BACKOFF_MAX_NS ? backoff_ns * 2 : BACKOFF_MAX_NS;
    }
    return false;
}

static void *run_thread(void *arg)
{
    struct member *m = arg;
    struct shmq_worker *w = m->worker;
    int cancel;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    sq_mutex_lock(&w->lock, SQ_RANK_LEAF);
    while (take_seat(w)) {
        bool received = listen_for_message(w, m);

        leave_seat(w);
        if (!received)
            break;
        w->running++;
        if (w->dozing)
            pthread_cond_broadcast(&w->pause);
        pthread_cond_signal(&w->change);
        sq_mutex_unlock(&w->lock);
        sq_worker_job_deal(&m->job);
        sq_mutex_lock(&w->lock, SQ_RANK_LEAF);
        SQ_BUG_ON(w->running == 0);
        w->running--;
        pthread_cond_signal(&w->change);
    }
    w->alive--;
    pthread_cond_signal(&w->change);
    sq_mutex_unlock(&w->lock);
    return NULL;
}

/* --- renewing ------------------------------------------------------------------ */

/* Renew what was not for a third of the lease; when to look again. */
static int64_t renew_all(struct shmq_worker *w)
{
    struct shmq_policy policy;

    if (shmq_policy_of(w->duty.g, &policy) < 0)
        return after(TICK_MAX_NS);
    int64_t third_ns = policy.lease_ns / 3;
    for (unsigned i = 0; i < w->count; i++)
        sq_worker_job_renew(&w->members[i].job, third_ns);
    return after(third_ns < TICK_MIN_NS   ? TICK_MIN_NS
                 : third_ns > TICK_MAX_NS ? TICK_MAX_NS
                                          : third_ns);
}

static void *run_renewer(void *arg)
{
    struct shmq_worker *w = arg;
    int cancel;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    sq_mutex_lock(&w->lock, SQ_RANK_LEAF);
    while (!w->over) {
        if (w->running == 0) {
            w->dozing = true;
            pthread_cond_wait(&w->pause, &w->lock);
            w->dozing = false;
            continue;
        }
        sq_mutex_unlock(&w->lock);
        int64_t until_ns = renew_all(w);
        sq_mutex_lock(&w->lock, SQ_RANK_LEAF);
        if (!w->over)
            wait_until(w, &w->pause, until_ns);
    }
    sq_mutex_unlock(&w->lock);
    return NULL;
}

/* --- starting and stopping ------------------------------------------------------- */

static int check_attr(const struct shmq_worker_attr *given, struct shmq_worker_attr *attr)
{
    *attr = (struct shmq_worker_attr){.threads = 1};
    if (given != NULL) {
        const unsigned char *tail = (const unsigned char *)given;
        if (given->size < sizeof(given->size))
            return sq_fail(-EINVAL, "attr->size is %zu; set it to sizeof(struct shmq_worker_attr)",
                           given->size);
        for (size_t i = sizeof(*attr); i < given->size; i++)
            if (tail[i] != 0)
                return sq_fail(-EINVAL, "attr byte %zu is set; this library knows %zu bytes", i,
                               sizeof(*attr));
        memcpy(attr, given, given->size < sizeof(*attr) ? given->size : sizeof(*attr));
    }
    if (attr->threads == 0)
        attr->threads = 1;
    if (attr->threads > THREADS_MAX)
        return sq_fail(-EINVAL, "%u threads are more than the limit of %d", attr->threads,
                       THREADS_MAX);
    if (attr->time_limit_ns < 0)
        return sq_fail(-EINVAL, "time_limit_ns %lld is negative", (long long)attr->time_limit_ns);
    return 0;
}

/* Memory, locks, conditions. */
static struct shmq_worker *make_worker(shmq_t *g, shmq_handler handler,
                                       const struct shmq_worker_attr *attr)
{
    struct shmq_worker *w = calloc(1, sizeof(*w) + attr->threads * sizeof(w->members[0]));
    pthread_condattr_t monotonic;

    if (w == NULL)
        return NULL;
    w->duty.g = g;
    w->duty.handler = handler;
    w->duty.attr = *attr;
    w->pid = getpid();
    w->count = attr->threads;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->seat, &monotonic);
    pthread_cond_init(&w->pause, &monotonic);
    pthread_cond_init(&w->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (unsigned i = 0; i < w->count; i++) {
        w->members[i].worker = w;
        w->members[i].job.duty = &w->duty;
        pthread_mutex_init(&w->members[i].job.lock, NULL);
    }
    return w;
}

/* All threads but the renewer have left their last lock, or never were: end the rest. */
static void free_worker(struct shmq_worker *w, unsigned threads)
{
    for (unsigned i = 0; i < threads; i++)
        pthread_join(w->members[i].thread, NULL);
    SQ_BUG_ON(w->alive != 0 || w->running != 0);
    if (w->renews) {
        sq_mutex_lock(&w->lock, SQ_RANK_LEAF);
        w->over = true;
        pthread_cond_broadcast(&w->pause);
        sq_mutex_unlock(&w->lock);
        pthread_join(w->renewer, NULL);
    }
    for (unsigned i = 0; i < w->count; i++)
        pthread_mutex_destroy(&w->members[i].job.lock);
    pthread_cond_destroy(&w->change);
    pthread_cond_destroy(&w->pause);
    pthread_cond_destroy(&w->seat);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* Signals are for the program's own threads to handle, but for those that a thread
 * brings upon itself. */
static void block_signals(sigset_t *before)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t set;

    sigfillset(&set);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        sigdelset(&set, own[i]);
    pthread_sigmask(SIG_SETMASK, &set, before);
}

/* The seat is taken until all threads are there, so that a failure to start them all
 * finds no message in hand. */
static int start_threads(struct shmq_worker *w)
{
    sigset_t before;
    int error = 0;

    block_signals(&before);
    w->taken = true;
    if (w->duty.attr.time_limit_ns == 0) {
        error = pthread_create(&w->renewer, NULL, run_renewer, w);
        w->renews = error == 0;
    }
    unsigned threads = 0;
    while (error == 0 && threads < w->count) {
        error = pthread_create(&w->members[threads].thread, NULL, run_thread, &w->members[threads]);
        if (error == 0)
            threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sq_mutex_lock(&w->lock, SQ_RANK_LEAF);
    w->duty.stopping = error != 0;
    w->alive += threads;
    if (error == 0)
        leave_seat(w);
    else
        pthread_cond_broadcast(&w->seat);
    sq_mutex_unlock(&w->lock);
    if (error == 0)
        return 0;
    free_worker(w, threads);
    return sq_fail(-error, "cannot start thread %u of the worker", threads + 1);
}

int shmq_worker_start(shmq_t *g, shmq_handler handler, const struct shmq_worker_attr *given,
                      shmq_worker_t **worker)
{
    struct shmq_worker_attr attr;
    struct shmq_group_stats stats;
    struct shmq_policy policy;
    int rc = check_attr(given, &attr), cancel, held;

    *worker = NULL;
    if (rc == 0 && handler == NULL)
        rc = sq_fail(-EINVAL, "the handler is NULL");
    if (rc == 0)
        rc = shmq_group_stats(g, &stats); /* -EINVAL: a topic's handle without a group */
    if (rc == 0)
        rc = shmq_policy_of(g, &policy); /* -EACCES, -EBUSY: it would never receive anything */
    if (rc < 0)
        return rc;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    struct shmq_worker *w = make_worker(g, handler, &attr);
    rc = w == NULL ? sq_fail(-ENOMEM, "no memory for a worker of %u threads", attr.threads)
                   : start_threads(w);
    if (rc == 0)
        *worker = w;
    pthread_setcancelstate(cancel, &held);
    return rc;
}

static bool is_own_thread(const struct shmq_worker *w)
{
    bool own = false;

    for (unsigned i = 0; i < w->count; i++)
        own = own || pthread_equal(w->members[i].thread, pthread_self());
    return own;
}

/* Whether all threads ended in time.  Who has no message ends within a slice, and is
 * waited for in any case. */
static bool end_threads(struct shmq_worker *w, int64_t timeout_ns)
{
    int64_t until_ns = after(timeout_ns);

    sq_mutex_lock(&w->lock, SQ_RANK_LEAF);
    w->duty.stopping = true;
    w->duty.returning = w->duty.returning || timeout_ns == SHMQ_NOWAIT;
    pthread_cond_broadcast(&w->seat);
    pthread_cond_broadcast(&w->pause);
    while (w->alive > 0 && (w->running == 0 || sq_worker_job_now_ns() < until_ns))
        wait_until(w, &w->change, w->running > 0 ? until_ns : INT64_MAX);
    bool ended = w->alive == 0;
    sq_mutex_unlock(&w->lock);
    return ended;
}

int shmq_worker_stop(shmq_worker_t *w, int64_t timeout_ns)
{
    int cancel, held;

    if (timeout_ns < SHMQ_FOREVER)
        return sq_fail(-EINVAL, "timeout %lld is negative and not SHMQ_FOREVER",
                       (long long)timeout_ns);
    if (w->pid != getpid()) { /* a forked child has none of the threads, and the locks as
                                 they were at that moment */
        free(w);
        return 0;
    }
    if (is_own_thread(w))
        return sq_fail(-EINVAL, "a handler cannot stop its own worker");
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    bool ended = end_threads(w, timeout_ns);
    if (ended)
        free_worker(w, w->count);
    pthread_setcancelstate(cancel, &held);
    return ended ? 0 : sq_fail(-ETIMEDOUT, "handlers of the worker still run");
}
