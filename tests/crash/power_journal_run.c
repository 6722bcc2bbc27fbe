/*
 * power_journal_run.c - the run that is recorded: who does what next is chosen here, by the
 * book.
 */
#include "crash/power_journal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIVE_MAX = 110, LEASED_MAX = 24, TURN_S = 60 };

struct run {
    const struct journal_config *config;
    const char *queue;
    struct journal_shared *shared;
    struct book book;
    uint64_t random;
};

/* --- choosing ------------------------------------------------------------------------ */

/* How often each is chosen.  Those for groups that are no topic's, or the like, are chosen in
 * vain, and another after that. */
static const uint8_t weights[DEED_KINDS] = {
    [DEED_PUT] = 8,       [DEED_PUT_MANY] = 4,  [DEED_COMMIT] = 3,      [DEED_SEND] = 16,
    [DEED_SEND_MANY] = 5, [DEED_GET] = 8,       [DEED_GET_MANY] = 3,    [DEED_RECEIVE] = 18,
    [DEED_NEXT] = 5,      [DEED_ACK] = 12,      [DEED_NACK] = 12,       [DEED_REJECT] = 5,
    [DEED_TOUCH] = 2,     [DEED_REDRIVE] = 3,   [DEED_PURGE] = 1,       [DEED_UPDATE] = 6,
    [DEED_REMOVE] = 5,    [DEED_SUBSCRIBE] = 5, [DEED_UNSUBSCRIBE] = 2, [DEED_SEEK] = 12,
    [DEED_PAUSE] = 3,     [DEED_POLICY] = 2,    [DEED_PART] = 2,        [DEED_SYNC] = 4,
};

static uint64_t random_of(struct run *r, uint64_t below)
{
    return journal_random(&r->random, below);
}

static enum deed_kind choose_kind(struct run *r)
{
    unsigned all = 0, kind = 0;

    for (unsigned i = 0; i < DEED_KINDS; i++)
        all += weights[i];
    for (uint64_t n = random_of(r, all); n >= weights[kind]; kind++)
        n -= weights[kind];
    return (enum deed_kind)kind;
}

static unsigned count_of(const struct book *b, enum book_state state)
{
    unsigned n = 0;

    for (unsigned g = 0; g < BOOK_GROUPS; g++)
        for (uint64_t id = 1; id < b->next_id; id++)
            n += b->parts[g][id].state == state;
    return n;
}

/* One of the group's messages in that state (of this worker's, if leased); 0: none. */
static uint64_t choose_message(struct run *r, const struct deed *d, enum book_state state)
{
    uint64_t chosen = 0, seen = 0;

    for (uint64_t id = 1; id < r->book.next_id; id++) {
        const struct book_part *part = &r->book.parts[d->group][id];
        if (part->state == state && (state != BOOK_LEASED || part->owner == d->worker) &&
            random_of(r, ++seen) == 0)
            chosen = id;
    }
    return chosen;
}

static bool choose_put(struct run *r, struct deed *d)
{
    bool unique = (r->config->flags & SHMQ_UNIQUE) != 0;
    bool many = d->kind == DEED_PUT_MANY || d->kind == DEED_SEND_MANY;
    unsigned live = count_of(&r->book, BOOK_WAITING) + count_of(&r->book, BOOK_DELAYED) +
                    count_of(&r->book, BOOK_DEAD);

    d->id = r->book.next_id;
    d->count = many ? (uint8_t)(1 + random_of(r, DEED_IDS)) : 1;
    return live < LIVE_MAX && (!unique || d->kind == DEED_SEND) && d->id + d->count < BOOK_IDS;
}

static bool choose_end(struct run *r, struct deed *d)
{
    d->id = choose_message(r, d, BOOK_LEASED);
    d->arg = d->kind == DEED_NACK ? (random_of(r, 4) == 0 ? BOOK_LATER_NS : 0)
                                  : (int64_t)random_of(r, 2);
    if (d->kind == DEED_REJECT)
        d->arg = SHMQ_REASON_VALIDATION + (int64_t)random_of(r, 20);
    d->to_back = d->kind == DEED_NACK && r->config->order != SHMQ_LIFO && random_of(r, 3) == 0;
    return d->id != 0;
}

static bool choose_start(struct run *r, struct deed *d)
{
    static const int64_t starts[] = {SHMQ_LATEST, SHMQ_EARLIEST, SHMQ_AT_ID, SHMQ_AT_PART};
    bool make = d->kind == DEED_SUBSCRIBE;

    d->arg = starts[random_of(r, 4)];
    d->id = 1 + random_of(r, r->book.next_id);
    return (r->config->flags & SHMQ_TOPIC) != 0 && r->book.groups[d->group].there != make;
}

/* A message that may be there; mostly one that is. */
static bool choose_change(struct run *r, struct deed *d)
{
    d->id = choose_message(r, d, random_of(r, 3) == 0 ? BOOK_DELAYED : BOOK_WAITING);
    if (d->id == 0 || random_of(r, 10) == 0)
        d->id = 1 + random_of(r, r->book.next_id);
    d->arg = r->book.messages[d->id].version + 1;
    return d->id < r->book.next_id && !book_is_mortal(&r->book, d->id);
}

/* The rest of a deed of this kind.  False: it makes no sense now. */
static bool choose_rest(struct run *r, struct deed *d)
{
    bool topic = (r->config->flags & SHMQ_TOPIC) != 0;
    const struct book_group *g = &r->book.groups[d->group];

    if (d->kind <= DEED_SEND_MANY)
        return choose_put(r, d);
    if (d->kind == DEED_SUBSCRIBE)
        return choose_start(r, d);
    if (d->kind >= DEED_PART)
        return true;
    if (!g->there)
        return false;
    switch ((enum deed_kind)d->kind) {
    case DEED_GET:
    case DEED_GET_MANY:
        d->count = (uint8_t)(1 + random_of(r, DEED_IDS));
        return true;
    case DEED_RECEIVE:
        d->count = (uint8_t)(1 + random_of(r, 3));
        return count_of(&r->book, BOOK_LEASED) < LEASED_MAX;
    case DEED_REDRIVE:
        d->id = random_of(r, 2) == 0 ? 0 : choose_message(r, d, BOOK_DEAD);
        /* In a unique queue the key may be another's by now. */
        return (r->config->flags & SHMQ_UNIQUE) == 0 && choose_message(r, d, BOOK_DEAD) != 0;
    case DEED_UPDATE:
    case DEED_REMOVE:
        return choose_change(r, d);
    case DEED_UNSUBSCRIBE:
        return topic;
    case DEED_SEEK:
        return choose_start(r, d);
    case DEED_PAUSE:
        d->arg = !g->paused;
        return g->paused || random_of(r, 3) == 0;
    case DEED_POLICY:
        d->arg = BOOK_LATER_NS + (int64_t)random_of(r, 1000);
        return true;
    case DEED_PURGE:
        return true;
    default:
        return choose_end(r, d);
    }
}

static void choose(struct run *r, struct deed *d)
{
    unsigned groups = (r->config->flags & SHMQ_TOPIC) != 0 ? BOOK_GROUPS : 1;

    do
        *d = (struct deed){.kind = (uint8_t)choose_kind(r),
                           .group = (uint8_t)random_of(r, groups),
                           .worker = (uint8_t)random_of(r, BOOK_WORKERS)};
    while (!choose_rest(r, d));
}

/* --- those who do it ------------------------------------------------------------------- */

static void await(sem_t *sem, const char *what)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TURN_S;
    while (sem_timedwait(sem, &until) != 0)
        journal_must(errno == EINTR, what, errno);
}

static void say(char what, unsigned n)
{
    char text[24];

    snprintf(text, sizeof(text), "%c %u", what, n);
    journal_must(disk_say(text), "no recorder", 0);
}

static int be_worker(struct run *r, unsigned number)
{
    struct journal_shared *s = r->shared;
    struct journal_worker *w = NULL;

    /* It keeps the book, too, to know which groups are still those that it has handles on. */
    for (;;) {
        await(&s->turn[number], "a worker's turn");
        if (s->ending)
            break;
        if (w == NULL)
            w = journal_attach(r->config, r->queue, number);
        while (r->book.deeds + 1 < s->count)
            book_add(&r->book, &s->deeds[r->book.deeds]);
        struct deed *d = &s->deeds[s->count - 1];
        journal_do(w, d, r->book.groups[d->group].life);
        s->returned = s->count;
        say('D', s->count);
        sem_post(&s->done);
    }
    if (w != NULL)
        journal_detach(w);
    return 0;
}

/* What had returned before a save began is in the file when that returns. */
static int be_saver(struct run *r)
{
    struct journal_shared *s = r->shared;
    shmq_t *q = NULL;

    for (;;) {
        await(&s->save, "a saver's turn");
        if (s->ending)
            break;
        int rc = q == NULL ? shmq_open(&q, r->queue, 0, NULL) : 0;
        journal_must(rc == 0, "a saver cannot attach", rc);
        unsigned returned = s->returned;
        do /* a worker may be kept from going on, with a lock */
            rc = shmq_save(q, NULL);
        while (rc == -ETIMEDOUT);
        journal_must(rc == 0, "save", rc);
        say('L', returned);
        s->saves++;
        s->meanwhile += s->returned - returned;
        s->saving = 0;
    }
    shmq_close(q);
    return 0;
}

static void start(struct run *r, unsigned number, pid_t *pid)
{
    *pid = fork();
    journal_must(*pid >= 0, "fork", errno);
    if (*pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(number < BOOK_WORKERS ? be_worker(r, number) : be_saver(r));
    }
}

/* --- the run ------------------------------------------------------------------------------ */

static shmq_t *create(const struct run *r, const struct disk_place *place)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    char path[128];
    shmq_t *q;

    snprintf(path, sizeof(path), "%s/file", place->folder);
    attr.capacity_bytes = r->config->capacity_bytes;
    attr.order = r->config->order;
    attr.pending_count = 256;
    attr.policy.lease_ns = BOOK_LATER_NS;
    attr.policy.max_attempts = r->config->max_attempts;
    attr.snapshot = path;
    attr.journal = r->config->journal;
    if (attr.journal == SHMQ_JOURNAL_INTERVAL)
        attr.save_ns = SHMQ_MS(2);
    int rc = shmq_open(&q, r->queue, SHMQ_CREATE | SHMQ_EXCL | r->config->flags, &attr);
    journal_must(rc == 0, "open", rc);
    return q;
}

static void one_deed(struct run *r)
{
    struct journal_shared *s = r->shared;
    struct deed *d = &s->deeds[s->count];

    choose(r, d);
    s->count++;
    if (s->saving == 0 && random_of(r, 8) == 0) {
        s->saving = 1;
        sem_post(&s->save);
    }
    sem_post(&s->turn[d->worker]);
    await(&s->done, "the end of a deed");
    const char *wrong = book_add(&r->book, d);
    if (wrong != NULL) {
        fprintf(stderr, "power_journal: deed %u, kind %u, group %u, message %llu (%d): %s\n",
                s->count - 1, d->kind, d->group, (unsigned long long)d->id, d->rc, wrong);
        journal_must(false, "the queue is not as the book says", s->count - 1);
    }
}

int journal_run(const struct disk_place *place, const struct journal_config *config,
                const char *queue, uint64_t seed, unsigned deeds)
{
    static struct run r;
    pid_t pids[BOOK_WORKERS + 1];
    int status, bad = 0;

    r = (struct run){.config = config, .queue = queue, .random = seed};
    r.shared = disk_share(place, sizeof(*r.shared));
    journal_must(r.shared != NULL, "shared memory", errno);
    book_begin(&r.book, config);
    for (unsigned i = 0; i < BOOK_WORKERS; i++)
        sem_init(&r.shared->turn[i], 1, 0);
    sem_init(&r.shared->done, 1, 0);
    sem_init(&r.shared->save, 1, 0);
    for (unsigned i = 0; i <= BOOK_WORKERS; i++)
        start(&r, i, &pids[i]);
    shmq_t *q = create(&r, place);
    say('D', 0);
    while (r.shared->count < deeds)
        one_deed(&r);
    r.shared->ending = 1;
    for (unsigned i = 0; i < BOOK_WORKERS; i++)
        sem_post(&r.shared->turn[i]);
    sem_post(&r.shared->save);
    for (unsigned i = 0; i <= BOOK_WORKERS; i++) {
        while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
            ;
        bad += status != 0;
    }
    shmq_close(q);
    return shmq_unlink(queue) == 0 && bad == 0 ? 0 : 1;
}
