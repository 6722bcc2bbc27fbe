/*
 * wait.h - waiting for a message or for room, and waking.
 */
#ifndef SQ_WAIT_H
#define SQ_WAIT_H

#include "handle/handle.h"

/* What a producer waits for; a consumer waits for any message. */
struct sq_need {
    uint64_t bytes; /* of ring, sq_record_bytes() */
    uint64_t count; /* messages */
};

/*
 * Wait until it seems that the side can go on.  The caller has entered neither.
 * 0 go and look; -ETIMEDOUT, -EINTR, -ESTALE, or what entering the side said.
 */
int sq_wait(struct shmq *q, enum sq_role role, struct sq_need need, struct sq_deadline *deadline);

/* Whether a consumer would find something now, as far as can be told without a lock. */
bool sq_seems_ready(const struct shmq *q, int64_t now_ns);

/* C is left: wake another consumer, if there is something for it, or if none that sleeps
 * will see to what is due next. */
void sq_wake_consumer(struct shmq *q);

#endif
