/*
 * mutex.h - a mutex of the process, with a rank (lock_rank.h).
 */
#ifndef SQ_MUTEX_H
#define SQ_MUTEX_H

#include <pthread.h>

#include "sync/lock_rank.h"

#ifdef SQ_CHECK
static inline void sq_mutex_lock(pthread_mutex_t *mutex, unsigned rank)
{
    sq_lock_wanted(mutex, rank);
    pthread_mutex_lock(mutex);
    sq_lock_taken(mutex, rank);
}

static inline void sq_mutex_unlock(pthread_mutex_t *mutex)
{
    sq_lock_freed(mutex);
    pthread_mutex_unlock(mutex);
}
#else
#define sq_mutex_lock(mutex, rank) pthread_mutex_lock(mutex)
#define sq_mutex_unlock(mutex)     pthread_mutex_unlock(mutex)
#endif

#endif
