/*
 * dead_letter.h - making dead letters.
 */
#ifndef SQ_DEAD_LETTER_H
#define SQ_DEAD_LETTER_H

#include "handle/handle.h"

/*
 * Without a side: the message is DYING, and its lease ours: send it to the group's
 * dead-letter queue and finish it, or park it where that cannot be.  `text`: what went
 * wrong, or NULL.  0, or why the end of it could not be noted (the message stays
 * DYING, and another makes it a dead letter once we are gone).
 */
int sq_dead_letter_make(struct shmq *q, struct sq_lease *lease, uint32_t last_owner,
                        const char *text);

/* The same for a message that sq_consumer_pick() found to be doomed. */
void sq_dead_letter_make_picked(struct shmq *q, const struct sq_pick *pick);

#endif
