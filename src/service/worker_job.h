/*
 * worker_job.h - a message that a thread of a worker deals with: the handler, its verdict, the
 * lease.
 *
 * As worker.c it uses the public interface alone.
 */
#ifndef SQ_WORKER_JOB_H
#define SQ_WORKER_JOB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "shmq.h"

/* What the threads of a worker are there for. */
struct sq_duty {
    shmq_t *g;
    shmq_handler handler;
    struct shmq_worker_attr attr;
    _Atomic bool stopping;  /* receive nothing more */
    _Atomic bool returning; /* and what is in hand goes back to the queue */
};

struct sq_worker_job {
    struct sq_duty *duty;
    struct shmq_msg msg; /* received; not the one that the handler sees, which stays as it is */
    pthread_mutex_t lock;
    bool renewing;      /* with lock: the lease is to be renewed */
    int64_t renewed_ns; /* with lock: when it was, or was received */
};

int64_t sq_worker_job_now_ns(void);

/* Deal with job->msg, which was just received: its lease has ended afterwards. */
void sq_worker_job_deal(struct sq_worker_job *job);

/* Any thread: renew the lease, if that is wanted and was not done for `age_ns`. */
void sq_worker_job_renew(struct sq_worker_job *job, int64_t age_ns);

#endif
