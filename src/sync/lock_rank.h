/*
 * lock_rank.h - the order of the locks, and which thread holds which.
 *
 * Each lock has a rank.  A thread that may have to wait for a lock holds none of the same or
 * of a later rank, so threads cannot wait for one another in a circle.  A lock that a thread
 * only tries, and never waits for, may be taken in any order.
 *
 * With SQ_CHECK each thread keeps a list of the locks it holds, and a breach is a bug
 * (base/bug.h).  A lock is known by its address in the mapping of the handle that took it.
 * The side of a sole handle counts as its lock, although the handle does not take that.
 * Without SQ_CHECK there is no list, and none of this is code.
 */
#ifndef SQ_LOCK_RANK_H
#define SQ_LOCK_RANK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bug.h"

/* src/README.md, "Locks", says what each is for. */
enum sq_lock_rank {
    /* Held around calls on another queue, and so before all locks of that one. */
    SQ_RANK_REDRIVE, /* sq_control_shm.redrive_lock; before those of its own queue, too */
    SQ_RANK_CALLER,  /* sq_reply_queue.lock */
    SQ_RANK_JOB,     /* sq_worker_job.lock */
    SQ_RANK_LETTER,  /* claim_lock, while a dead letter is sent */
    /* Of one queue. */
    SQ_RANK_SAVER,         /* sq_file_shm.saver, S */
    SQ_RANK_GROUPS,        /* sq_control_shm.groups_lock */
    SQ_RANK_SYNC,          /* sq_file_shm.sync */
    SQ_RANK_CLAIMS,        /* claim_lock, to claim or visit a side */
    SQ_RANK_PRODUCER,      /* P */
    SQ_RANK_CLAIMS_WITHIN, /* claim_lock, for the consumer's side, by a holder of P */
    SQ_RANK_GROUP,         /* C, and its group's number */
    SQ_RANK_JOURNAL = SQ_RANK_GROUP + 64, /* J */
    SQ_RANK_LEAF, /* of the process; its holder takes no other: sq_unpacks.lock,
                     sq_save_thread.lock, shmq_worker.lock, that of fork.c */
};

#ifdef SQ_CHECK
/* The thread may have to wait for the lock. */
void sq_lock_wanted(const void *lock, unsigned rank);

/* It holds the lock now: in good order, or, since it only tried, in any. */
void sq_lock_taken(const void *lock, unsigned rank);
void sq_lock_tried(const void *lock, unsigned rank);

/* It is about to free the lock. */
void sq_lock_freed(const void *lock);

/* It keeps the lock beyond the end of the call (a reservation), which does not restrict the
 * locks that its next calls take. */
void sq_lock_kept(const void *lock);

/* Nobody else sees these bytes: the thread counts as holder of every lock in them, until it
 * "frees" them. */
void sq_lock_own(const void *from, size_t bytes);

/* A forked child holds nothing. */
void sq_lock_forget_all(void);

bool sq_lock_is_held(const void *lock);
void sq_lock_check_none(const char *file, int line, unsigned rank);
#define sq_assert_held(lock)                                                                       \
    (sq_lock_is_held(lock) ? (void)0 : sq_bug(__FILE__, __LINE__, "%s is not held", #lock))
/* The thread holds nothing of `rank` or later, apart from what it keeps. */
#define sq_assert_none_held(rank) sq_lock_check_none(__FILE__, __LINE__, rank)
#else
#define sq_lock_wanted(lock, rank) ((void)0)
#define sq_lock_taken(lock, rank)  ((void)0)
#define sq_lock_tried(lock, rank)  ((void)0)
#define sq_lock_freed(lock)        ((void)0)
#define sq_lock_kept(lock)         ((void)0)
#define sq_lock_own(from, bytes)   ((void)0)
#define sq_lock_forget_all()       ((void)0)
#define sq_assert_held(lock)       ((void)sizeof(lock))
#define sq_assert_none_held(rank)  ((void)0)
#endif

#endif
