/*
 * hooks.c - see hooks.h.
 */
#include "handle/hooks.h"

void sq_hooks_inherit(struct shmq *q)
{
    for (struct sq_hook *hook = q->hooks; hook < q->hooks + SQ_HOOKS; hook++) {
        if (sq_load(&hook->state) == NULL)
            continue;
        sq_store(&hook->inherited, sq_load(&hook->state));
        sq_store(&hook->state, NULL);
    }
}

static void let_go(struct shmq *q, struct sq_hook *hook)
{
    void *inherited = atomic_exchange(&hook->inherited, NULL);

    if (inherited != NULL)
        hook->close(q, inherited, true);
}

bool sq_hook_hang(struct shmq *q, enum sq_hook_name name, void *state, sq_hook_close *close)
{
    struct sq_hook *hook = &q->hooks[name];
    void *none = NULL;

    SQ_BUG_ON(hook->close != NULL && hook->close != close);
    hook->close = close; /* the same whoever hangs something there */
    let_go(q, hook);
    return atomic_compare_exchange_strong(&hook->state, &none, state);
}

void sq_hook_drop(struct shmq *q, enum sq_hook_name name)
{
    struct sq_hook *hook = &q->hooks[name];
    void *state = atomic_exchange(&hook->state, NULL);

    if (state != NULL)
        hook->close(q, state, false);
    let_go(q, hook);
}

void sq_hooks_close(struct shmq *q)
{
    for (int name = 0; name < SQ_HOOKS; name++)
        sq_hook_drop(q, (enum sq_hook_name)name);
}
