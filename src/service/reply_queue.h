/*
 * reply_queue.h - request and reply: what a handle has for it.
 *
 * A handle that calls has a private queue for its replies, "reply.PID.RANDOM", made by
 * its first call and removed with the handle.  A request names it in the header
 * shmq-reply-to, and a number of the call's own comes back with the reply.
 *
 * Who calls is the sole consumer of its replies.  That says, whatever becomes of its
 * process, whether it lives: the role is an OFD lock (segment/attach.h).  A queue left behind
 * is removed by whoever would reply to it, and by whoever makes a new one.  One just
 * being made has a name before it has a consumer; therefore the latter leaves those
 * alone that are young, and a caller whose queue was removed makes another.
 *
 * A forked child's copy of all this is the parent's: it is let go, not removed.
 */
#ifndef SQ_REPLY_QUEUE_H
#define SQ_REPLY_QUEUE_H

#include "handle/handle.h"

#define SQ_REPLY_TO     "shmq-reply-to"
#define SQ_REPLY_PREFIX "reply."

/* A thread in shmq_call(), on its stack.  Fields are read and written with caller.lock. */
struct sq_call {
    struct sq_call *next;
    uint64_t correlation;
    void *buffer;
    size_t size;
    bool done;               /* there is a result: */
    int error;               /* it, or 0 and */
    size_t length;           /* the reply's */
    bool sleeps;             /* on `wake` */
    struct sq_cond_shm wake; /* it is done, or is to listen */
};

struct sq_reply_queue {
    pthread_mutex_t lock;
    struct sq_call *calls; /* all that are not over */
    bool listened;         /* one of them listens */
    bool broken;           /* the queue is no good; with the last call it is given up */
    uint64_t last_correlation;
    shmq_t *replies; /* changed only while there are no calls */
    char name[64];
    shmq_t *peer; /* where we replied last, when nobody is replying there now */
    char peer_name[SHMQ_NAME_LONGEST + 1];
};

/* The handle's, made at the first use; NULL: no memory. */
struct sq_reply_queue *sq_reply_queue_of(struct shmq *q);

/* With caller.lock, while there are no calls: have a queue for replies, with nothing in
 * it.  0 or a negative errno. */
int sq_reply_queue_ready(struct shmq *q, struct sq_reply_queue *c);

/* Whether who waits for replies in this queue lives; yes, where that cannot be told. */
bool sq_reply_queue_has_caller(shmq_t *replies);

#endif
