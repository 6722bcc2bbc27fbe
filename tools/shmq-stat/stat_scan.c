/*
 * stat_scan.c - every message of a queue, see stat_scan.h.
 */
#include "shmq-stat/stat_scan.h"

#include <errno.h>
#include <stdlib.h>

#include "shmq-stat/stat_watch.h"

enum { BUFFER_BYTES = 64 * 1024 };

/* A buffer for messages. */
struct space {
    char *data;
    size_t size;
};

static int grow(struct space *s, size_t needed)
{
    size_t size = s->size ? s->size * 2 : BUFFER_BYTES;
    char *data;

    size = needed > size ? needed : size;
    data = realloc(s->data, size);
    if (!data)
        return -ENOMEM;
    s->data = data;
    s->size = size;
    return 0;
}

static int note(const struct watch *w, struct watched *one, unsigned group,
                const struct shmq_msg *msg)
{
    int error = w->want_dead ? stat_dead_note(one, msg) : 0;

    return !error && w->want_priorities ? stat_priority_note(one, group, msg) : error;
}

static int look_at_group(const struct watch *w, struct watched *one, unsigned group, shmq_t *g,
                         struct space *s)
{
    unsigned states = SHMQ_WAITING | SHMQ_DELAYED | SHMQ_LEASED | SHMQ_DEAD;
    uint64_t walk = 0;
    ssize_t n = 0;

    while (n >= 0) {
        struct shmq_msg msg = SHMQ_MSG_INIT;

        n = shmq_inspect(g, states, &walk, &msg, s->data, s->size);
        if (n == -EMSGSIZE)
            n = grow(s, msg.length);
        else if (n >= 0)
            n = note(w, one, group, &msg);
    }
    return n == -EAGAIN ? 0 : (int)n;
}

int stat_look(const struct watch *w, struct watched *one)
{
    struct space s = {0};
    shmq_t *q;
    int error = shmq_open(&q, one->name, 0, NULL);

    if (error)
        return error;
    one->dead_count = 0;
    one->priority_count = 0;
    error = grow(&s, BUFFER_BYTES);
    for (unsigned i = 0; !error && i < one->group_count; i++) {
        const char *name = one->groups[i].name;
        shmq_t *g = q;

        if (name[0])
            error = shmq_subscribe(q, name, NULL, &g);
        if (error)
            break;
        error = look_at_group(w, one, i, g, &s);
        if (g != q)
            shmq_close(g);
    }
    free(s.data);
    shmq_close(q);
    if (!error)
        stat_priority_sum(one);
    return error;
}
