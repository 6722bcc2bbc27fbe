/*
 * hooks.h - what higher layers hang on a handle, to be closed with it.
 */
#ifndef SQ_HOOKS_H
#define SQ_HOOKS_H

#include "handle/handle.h"

/* What hangs there, or NULL. */
static inline void *sq_hook_state(const struct shmq *q, enum sq_hook_name name)
{
    return atomic_load(&q->hooks[name].state);
}

/* Hang `state` there, where nothing hangs.  False: another thread was faster. */
bool sq_hook_hang(struct shmq *q, enum sq_hook_name name, void *state, sq_hook_close *close);

/* Close what hangs there. */
void sq_hook_drop(struct shmq *q, enum sq_hook_name name);

/* Close all that hangs on the handle. */
void sq_hooks_close(struct shmq *q);

/* In a forked child: what hung on the handle is the parent's.  Async-signal-safe. */
void sq_hooks_inherit(struct shmq *q);

#endif
