/*
 * worker_job.c - see worker_job.h.
 *
 * Without a time limit another thread renews the lease for as long as the handler runs.
 * job->lock keeps it from doing so while the lease is being ended; it is not held while
 * the handler runs.  With a time limit the lease lasts so long and no longer.
 */
#include "service/worker_job.h"

#include <errno.h>
#include <time.h>

#include "sync/mutex.h"

int64_t sq_worker_job_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- renewing ------------------------------------------------------------------ */

static void set_renewing(struct sq_worker_job *job, bool renewing, int64_t now_ns)
{
    sq_mutex_lock(&job->lock, SQ_RANK_JOB);
    job->renewing = renewing;
    job->renewed_ns = now_ns;
    sq_mutex_unlock(&job->lock);
}

void sq_worker_job_renew(struct sq_worker_job *job, int64_t age_ns)
{
    sq_mutex_lock(&job->lock, SQ_RANK_JOB);
    int64_t now_ns = sq_worker_job_now_ns();
    /* Otherwise it is renewed, or lost and there is nothing to be done. */
    if (job->renewing && now_ns - job->renewed_ns >= age_ns &&
        shmq_touch(job->duty->g, &job->msg, 0) != -ETIMEDOUT)
        job->renewed_ns = now_ns;
    sq_mutex_unlock(&job->lock);
}

/* --- the verdict ----------------------------------------------------------------- */

static int apply_once(shmq_t *g, struct shmq_msg *msg, int verdict, struct shmq_outcome *outcome)
{
    const char *text = outcome->text[0] != '\0' ? outcome->text : NULL;

    outcome->text[sizeof(outcome->text) - 1] = '\0';
    switch (verdict) {
    case SHMQ_DONE:
        return shmq_ack(g, msg);
    case SHMQ_REJECT:
        return shmq_reject(g, msg, outcome->reason, text);
    case SHMQ_LATER:
        return shmq_fail(g, msg, outcome->delay_ns < 0 ? SHMQ_BY_POLICY : outcome->delay_ns, 0,
                         text);
    default:
        return shmq_fail(g, msg, SHMQ_BY_POLICY, 0, text);
    }
}

/*
 * End the lease as the verdict says.  When a stopped process has the queue's lock, the
 * verdict is worth waiting for it; but a worker that is to stop leaves the message to
 * the end of its lease.
 */
static void apply_verdict(struct sq_worker_job *job, int verdict, struct shmq_outcome *outcome)
{
    int rc;

    do
        rc = apply_once(job->duty->g, &job->msg, verdict, outcome);
    while ((rc == -ETIMEDOUT || rc == -EINTR) && !atomic_load(&job->duty->stopping));
}

static int ask_on_error(const struct sq_duty *d, const struct shmq_msg *msg, int verdict,
                        struct shmq_outcome *outcome)
{
    return d->attr.on_error == NULL ? verdict
                                    : d->attr.on_error(d->g, msg, verdict, outcome, d->attr.arg);
}

/*
 * The handler took too long, and what it said does not count.  If nobody has taken the
 * message since, on_error decides what becomes of it, and has the policy's time for
 * that.  Otherwise it is only told, and must not look at bytes that are no longer ours.
 */
static int overrun(struct sq_worker_job *job, struct shmq_msg *seen, struct shmq_outcome *outcome)
{
    *outcome = (struct shmq_outcome){0};
    if (shmq_touch(job->duty->g, &job->msg, 0) < 0) {
        seen->data = seen->key = seen->header_block = NULL;
        seen->length = seen->key_length = seen->header_bytes = 0;
    }
    return ask_on_error(job->duty, seen, -ETIMEDOUT, outcome);
}

/* Call the handler, and who may know better: the verdict. */
static int judge(struct sq_worker_job *job, struct shmq_msg *seen, int64_t begun_ns,
                 struct shmq_outcome *outcome)
{
    sq_assert_none_held(SQ_RANK_REDRIVE);
    const struct sq_duty *d = job->duty;
    int verdict = d->handler(d->g, seen, outcome, d->attr.arg);

    if (atomic_load(&d->returning)) {
        *outcome = (struct shmq_outcome){0};
        return SHMQ_LATER; /* that is, at once */
    }
    if (d->attr.time_limit_ns > 0 && sq_worker_job_now_ns() - begun_ns > d->attr.time_limit_ns)
        return overrun(job, seen, outcome);
    return verdict == SHMQ_DONE ? verdict : ask_on_error(d, seen, verdict, outcome);
}

void sq_worker_job_deal(struct sq_worker_job *job)
{
    const struct sq_duty *d = job->duty;
    struct shmq_outcome outcome = {0};
    struct shmq_msg seen = job->msg;
    int64_t begun_ns =
        sq_worker_job_now_ns(); /* before the limit's lease: it ends after the limit */
    int verdict = SHMQ_LATER;   /* that is, at once: for what was not begun */

    if (atomic_load(&d->returning)) {
        apply_verdict(job, verdict, &outcome);
    } else if (d->attr.time_limit_ns == 0) {
        set_renewing(job, true, begun_ns);
        verdict = judge(job, &seen, begun_ns, &outcome);
        set_renewing(job, false, begun_ns);
        apply_verdict(job, verdict, &outcome);
    } else {
        if (shmq_touch(d->g, &job->msg, d->attr.time_limit_ns) == 0)
            verdict = judge(job, &seen, begun_ns, &outcome);
        apply_verdict(job, verdict, &outcome);
    }
}
