/*
 * journal_sync.h - waiting until the journal is on the disk.
 */
#ifndef SQ_JOURNAL_SYNC_H
#define SQ_JOURNAL_SYNC_H

#include "persist/journal.h"

/* `sync` is had, and no side: have all on the disk that has been appended.  0; -EIO and
 * others: the journal is broken from then on. */
int sq_journal_sync_now(struct shmq *q);

/* Free it, and wake those who wait. */
void sq_journal_sync_done(struct shmq *q);

/* All that has been appended so far. */
struct sq_promise sq_journal_sync_end(const struct shmq *q);

/* Attach if need be, and wait until that is on the disk.  As sq_journal_sync_wait(). */
int sq_journal_sync_all(struct shmq *q, struct sq_deadline *deadline);

/* Wait until the promise is kept.  No side is had.  0; -ETIMEDOUT; -EIO: the sync failed. */
int sq_journal_sync_wait(struct shmq *q, const struct sq_promise *promise,
                         struct sq_deadline *deadline);

/* A call is about to return that promised so much, and has no side: in mode always, wait.
 * Who finds that the file has grown rings for those who rewrite it (sq_own_file.grown). */
int sq_journal_sync_promise(struct shmq *q, const struct sq_promise *promise);

#endif
