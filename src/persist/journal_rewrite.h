/*
 * journal_rewrite.h - a journal rewritten whole, with what lives alone, while it goes on.
 */
#ifndef SQ_JOURNAL_REWRITE_H
#define SQ_JOURNAL_REWRITE_H

#include "persist/journal.h"

/* Whether the journal is `times` times as long as it may get before it is rewritten (four
 * times what lives, and a MiB), or broken. */
bool sq_journal_rewrite_is_due(const struct shmq *q, unsigned times);

/*
 * The caller saves (pin.h), and has no side.  A descriptor of the new file, with the shared
 * lock; or a negative errno, and the old one goes on: -ETIMEDOUT somebody was stopped while
 * putting; as sq_snapshot_write().
 */
int sq_journal_rewrite(struct shmq *q, struct sq_saved *saved);

#endif
