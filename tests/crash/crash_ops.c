/*
 * crash_ops.c - the operations that a victim of `crash` performs, each with the
 * scene it needs.  They report through the shared page right after the return.
 */
#include "crash/crash.h"

#include <string.h>

static const struct shmq_attr small = {.size = sizeof(struct shmq_attr),
                                       .capacity_bytes = CRASH_CAPACITY};

static void act_create(struct crash_scene *s)
{
    s->page->rc = shmq_open(&s->handle, s->name, SHMQ_CREATE, &small);
}

static void act_attach(struct crash_scene *s)
{
    s->page->rc = shmq_open(&s->handle, s->name, 0, NULL);
}

static void act_claim(struct crash_scene *s)
{
    s->page->rc = shmq_open(&s->handle, s->name, SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER, NULL);
}

/* What is put has been built before the marked start. */
static unsigned char outgoing[CRASH_BATCH][CRASH_CAPACITY];
static struct shmq_buf batch[CRASH_BATCH];

__attribute__((constructor)) static void point_batch(void)
{
    for (int i = 0; i < CRASH_BATCH; i++)
        batch[i].data = outgoing[i];
}

void crash_prepare_messages(const struct crash_op *op)
{
    for (uint32_t i = 0; i < CRASH_BATCH; i++) {
        batch[i].length = crash_length(op, i);
        message_build(outgoing[i], FROM_VICTIM, i, batch[i].length);
    }
}

static void act_put(struct crash_scene *s)
{
    s->page->rc = shmq_put(s->handle, outgoing[0], batch[0].length, SHMQ_FOREVER);
}

static void act_put_many(struct crash_scene *s)
{
    s->page->rc = shmq_put_many(s->handle, batch, CRASH_BATCH, SHMQ_FOREVER);
}

static void act_get(struct crash_scene *s)
{
    s->page->rc =
        shmq_get(s->handle, s->page->got, sizeof(s->page->got), s->page->infos, SHMQ_FOREVER);
}

static void act_get_many(struct crash_scene *s)
{
    s->page->rc = shmq_get_many(s->handle, s->page->got, sizeof(s->page->got), s->page->infos,
                                CRASH_BATCH, SHMQ_NOWAIT, SHMQ_FOREVER);
}

static void act_commit(struct crash_scene *s)
{
    void *data;

    s->page->rc = shmq_reserve(s->handle, batch[0].length + 40, &data, SHMQ_FOREVER);
    if (s->page->rc != 0)
        return;
    memcpy(data, outgoing[0], batch[0].length);
    s->page->rc = shmq_commit(s->handle, batch[0].length);
}

static void act_abort(struct crash_scene *s)
{
    void *data;

    s->page->rc = shmq_reserve(s->handle, batch[0].length, &data, SHMQ_FOREVER);
    if (s->page->rc != 0)
        return;
    memcpy(data, outgoing[0], batch[0].length);
    s->page->rc = shmq_abort(s->handle);
}

static void act_purge(struct crash_scene *s)
{
    s->page->rc = shmq_purge(s->handle);
}

static void act_close(struct crash_scene *s)
{
    s->page->rc = shmq_close(s->handle);
}

static void act_unlink(struct crash_scene *s)
{
    s->page->rc = shmq_unlink(s->name);
}

enum {
    P = 1 << SQ_ROLE_PRODUCER,
    C = 1 << SQ_ROLE_CONSUMER,
    NONE = CRASH_NO_HANDLE,
    NOBODY = -1,
    PUTTING = SQ_ROLE_PRODUCER,
    GETTING = SQ_ROLE_CONSUMER,
    SOLE_P = SHMQ_SOLE_PRODUCER,
    SOLE_C = SHMQ_SOLE_CONSUMER,
    BLOCK = SHMQ_FULL_BLOCK,
    DROP = SHMQ_FULL_DROP,
    FULL = CRASH_FILL,
    N = CRASH_BATCH,
};

/* clang-format off */
const struct crash_op crash_ops[] = {
    /* name            act           kind          full   seeds flags ready takes puts out    sleeper  waits    corpse */
    {"create",         act_create,   CRASH_CREATE, BLOCK, 0,     0,   NONE,    0,    0,   false, NOBODY,  NOBODY,  NOBODY},
    {"attach",         act_attach,   PLAIN,        BLOCK, 4,     0,   NONE,    0,    0,   false, NOBODY,  NOBODY,  NOBODY},
    {"first-put",      act_put,      PLAIN,        BLOCK, 4,    0,    0,    0,    1,   false, NOBODY,  NOBODY,  NOBODY},
    {"first-get",      act_get,      PLAIN,        BLOCK, 4,    0,    0,    1,    0,   true,  NOBODY,  NOBODY,  NOBODY},
    {"put",            act_put,      PLAIN,        BLOCK, 4,    0,    P,    0,    1,   false, NOBODY,  NOBODY,  NOBODY},
    {"put-many",       act_put_many, PLAIN,        BLOCK, 4,    0,    P,    0,    N,   false, NOBODY,  NOBODY,  NOBODY},
    {"put-empty",      act_put,      PLAIN,        BLOCK, 0,    0,    P,    0,    1,   false, NOBODY,  NOBODY,  NOBODY},
    {"put-many-empty", act_put_many, PLAIN,        BLOCK, 0,    0,    P,    0,    N,   false, NOBODY,  NOBODY,  NOBODY},
    {"put-drop",       act_put,      PLAIN,        DROP,  FULL, 0,    P|C,  1,    1,   false, NOBODY,  NOBODY,  NOBODY},
    {"put-many-drop",  act_put_many, PLAIN,        DROP,  FULL, 0,    P|C,  N,    N,   false, NOBODY,  NOBODY,  NOBODY},
    {"get",            act_get,      PLAIN,        BLOCK, 4,    0,    C,    1,    0,   true,  NOBODY,  NOBODY,  NOBODY},
    {"get-last",       act_get,      PLAIN,        BLOCK, 1,    0,    C,    1,    0,   true,  NOBODY,  NOBODY,  NOBODY},
    {"get-many",       act_get_many, PLAIN,        BLOCK, 4,    0,    C,    N,    0,   true,  NOBODY,  NOBODY,  NOBODY},
    {"commit",         act_commit,   PLAIN,        BLOCK, 4,    0,    P,    0,    1,   false, NOBODY,  NOBODY,  NOBODY},
    {"abort",          act_abort,    PLAIN,        BLOCK, 4,    0,    P,    0,    0,   false, NOBODY,  NOBODY,  NOBODY},
    {"put-sole",       act_put,      PLAIN,        BLOCK, 4,    SOLE_P, P,  0,    1,   false, NOBODY,  NOBODY,  NOBODY},
    {"put-many-sole",  act_put_many, PLAIN,        BLOCK, 4,    SOLE_P, P,  0,    N,   false, NOBODY,  NOBODY,  NOBODY},
    {"commit-sole",    act_commit,   PLAIN,        BLOCK, 4,    SOLE_P, P,  0,    1,   false, NOBODY,  NOBODY,  NOBODY},
    {"get-sole",       act_get,      PLAIN,        BLOCK, 4,    SOLE_C, C,  1,    0,   true,  NOBODY,  NOBODY,  NOBODY},
    {"get-last-sole",  act_get,      PLAIN,        BLOCK, 1,    SOLE_C, C,  1,    0,   true,  NOBODY,  NOBODY,  NOBODY},
    {"put-wakes",      act_put,      PLAIN,        BLOCK, 0,    0,    P,    0,    1,   false, GETTING, NOBODY,  NOBODY},
    {"put-sole-wakes", act_put,      PLAIN,        BLOCK, 0,    SOLE_P, P,  0,    1,   false, GETTING, NOBODY,  NOBODY},
    {"get-wakes",      act_get,      PLAIN,        BLOCK, FULL, 0,    C,    1,    0,   true,  PUTTING, NOBODY,  NOBODY},
    {"get-waits",      act_get,      PLAIN,        BLOCK, 0,    0,    C,    1,    0,   true,  NOBODY,  GETTING, NOBODY},
    {"get-sole-waits", act_get,      PLAIN,        BLOCK, 0,    SOLE_C, C,  1,    0,   true,  NOBODY,  GETTING, NOBODY},
    {"put-waits",      act_put,      PLAIN,        BLOCK, FULL, 0,    P,    0,    1,   false, NOBODY,  PUTTING, NOBODY},
    {"purge",          act_purge,    PLAIN,        BLOCK, 4,    0,    C,    4,    0,   false, NOBODY,  NOBODY,  NOBODY},
    {"put-after-dead", act_put,      PLAIN,        BLOCK, 4,    0,    P,    0,    1,   false, NOBODY,  NOBODY,  PUTTING},
    {"get-after-dead", act_get,      PLAIN,        BLOCK, 4,    0,    C,    1,    0,   true,  NOBODY,  NOBODY,  GETTING},
    {"claim-after-dead", act_claim,  PLAIN,        BLOCK, 4,    SOLE_P | SOLE_C, NONE, 0, 0, false, NOBODY, NOBODY, PUTTING},
    {"close",          act_close,    PLAIN,        BLOCK, 4,    0,    P|C,  0,    0,   false, NOBODY,  NOBODY,  NOBODY},
    {"close-sole",     act_close,    PLAIN,        BLOCK, 4,    SOLE_P | SOLE_C, P|C, 0, 0, false, NOBODY, NOBODY, NOBODY},
    {"unlink",         act_unlink,   CRASH_UNLINK, BLOCK, 4,     0,   NONE,    0,    0,   false, NOBODY,  NOBODY,  NOBODY},
};
/* clang-format on */

const unsigned crash_op_count = sizeof(crash_ops) / sizeof(crash_ops[0]);
