/*
 * waiters.c - waiters that are killed in their sleep.
 *
 *     waiters [ROUNDS]
 *
 * In each round one to three processes that sleep in a get (or, on a full queue,
 * in a put) are killed, and then there is something for the one that lives.  It
 * must be woken, and take it; only if the wake went to a process that was killed before
 * it could act may the living one wait for the end of its sleep, a second.  A put or a get
 * meanwhile must not be held up.
 */
#include "support/moment.h"
#include "support/message.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    DEAD_MAX = 3,
    LENGTH = 104,     /* with its header an eighth of 1 KiB */
    FILL = 32,        /* so many fill 4096 bytes */
    HEALED_MS = 200,  /* later than this, a sleep has probably ended by itself */
    STEAL_EVERY = 40, /* rounds in which a wake dies with whom it was for */
    CROWD_EVERY = 4,  /* rounds after which a crowd wakes each other */
    DYING_EVERY = 20, /* and in which it may */
};

/* How the dead of a round die. */
enum death {
    REAPED,    /* dead and gone before there is anything */
    DYING,     /* killed, and at once there is something */
    WITH_WAKE, /* woken, and killed before it can act: its wake is lost */
};

/* Shared with the one that lives. */
struct page {
    _Atomic bool looks;     /* whether it looks around each second while it sleeps */
    _Atomic uint32_t asked; /* rounds it is to wait in */
    _Atomic uint32_t done;  /* rounds it has come back from */
    _Atomic int64_t done_ns;
    _Atomic uint32_t wrong;
    _Atomic uint32_t came; /* of a crowd, how many have come back */
};

struct side {
    const char *name;
    bool gets; /* the waiters get */
};

static struct page *page;
static shmq_t *q;
static pid_t living;
static unsigned failed;

static void complain(const char *side, unsigned round, const char *what, int64_t figure)
{
    failed++;
    fprintf(stderr, "%s, round %u: %s (%lld)\n", side, round, what, (long long)figure);
}

/* --- processes --------------------------------------------------------------- */

static int wait_once(const struct side *side)
{
    unsigned char bytes[LENGTH];
    struct message_head head;

    if (side->gets) {
        ssize_t n = shmq_get(q, bytes, sizeof(bytes), NULL, SHMQ_FOREVER);
        return message_whole(bytes, n, &head) ? 0 : 1;
    }
    message_build(bytes, 1, 1, LENGTH);
    return shmq_put(q, bytes, LENGTH, SHMQ_FOREVER) == 0 ? 0 : 1;
}

static int be_victim(void *arg)
{
    return wait_once(arg);
}

/* One that runs only while the parent, on the same CPU, does not. */
static int be_slow_victim(void *arg)
{
    struct sched_param none = {0};

    sched_setscheduler(0, SCHED_IDLE, &none);
    return wait_once(arg);
}

static bool is_asked(void *arg)
{
    (void)arg;
    return page->asked != page->done;
}

static int be_alive(void *arg)
{
    while (page->wrong == 0) {
        while (!is_asked(NULL))
            helper_await(is_asked, NULL);
        moment_no_looks(!page->looks);
        if (wait_once(arg) != 0)
            page->wrong++;
        page->done_ns = helper_now_ns();
        page->done++;
    }
    return 1;
}

/* --- a round ------------------------------------------------------------------- */

struct sleepers {
    bool gets;
    uint32_t due;
};

static bool so_many_sleep(void *arg)
{
    struct sleepers *s = arg;
    struct shmq_stats stats = {.size = sizeof(stats)};

    shmq_stats(q, &stats);
    return (s->gets ? stats.sleeping_consumers : stats.sleeping_producers) == s->due;
}

static void await_sleepers(const struct side *side, unsigned round, uint32_t n)
{
    struct sleepers s = {side->gets, n};

    if (!helper_await(so_many_sleep, &s))
        complain(side->name, round, "not all fall asleep", n);
}

/* Something for one of the waiters. */
static void serve(const struct side *side, unsigned round)
{
    unsigned char bytes[LENGTH];

    message_build(bytes, 0, round, LENGTH);
    ssize_t rc = side->gets ? shmq_put(q, bytes, LENGTH, HELPER_LATE_NS)
                            : shmq_get(q, bytes, LENGTH, NULL, HELPER_LATE_NS);
    if (rc < 0)
        complain(side->name, round, "cannot serve", rc);
}

/* Stay on this CPU; the former set goes to *before. */
static void stay_here(cpu_set_t *before)
{
    cpu_set_t here;

    sched_getaffinity(0, sizeof(*before), before);
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    sched_setaffinity(0, sizeof(here), &here);
}

/* Whether a victim has taken what was there before it died.  If the living one had taken
 * it, that one would be running, or have come back. */
static bool is_gone(const struct side *side)
{
    int64_t due = side->gets ? 0 : FILL;

    while (page->done != page->asked && shmq_depth(q) == due)
        if (helper_is_asleep(&living) && page->done != page->asked)
            return true;
    return false;
}

static bool live_is_done(void *arg)
{
    (void)arg;
    return page->done == page->asked;
}

static void kill_all(const pid_t *victims, unsigned n, enum death death)
{
    for (unsigned i = 0; i < n; i++)
        kill(victims[i], SIGKILL);
    for (unsigned i = 0; i < n && death != DYING; i++)
        helper_wait(victims[i]);
}

/* Kill and serve, in the order the way of dying asks for. */
static int64_t kill_and_serve(const struct side *side, unsigned round, const pid_t *victims,
                              unsigned n, enum death death)
{
    int64_t begun_ns;

    if (death == WITH_WAKE) {
        begun_ns = helper_now_ns();
        serve(side, round);
        kill_all(victims, n, death);
        return begun_ns;
    }
    kill_all(victims, n, death);
    begun_ns = helper_now_ns();
    serve(side, round);
    for (unsigned i = 0; i < n && death == DYING; i++)
        helper_wait(victims[i]);
    return begun_ns;
}

/* How long the living one waited, in ms. */
static int64_t one_round(const struct side *side, unsigned round, enum death death, uint64_t *seed)
{
    unsigned n = 1 + message_random(seed) % DEAD_MAX;
    bool first = death != WITH_WAKE && message_random(seed) % 2 == 0;
    pid_t victims[DEAD_MAX];
    cpu_set_t before;

    page->looks = death != REAPED;
    if (death == WITH_WAKE)
        stay_here(&before);
    if (first) {
        page->asked++;
        await_sleepers(side, round, 1);
    }
    for (unsigned i = 0; i < n; i++) {
        victims[i] =
            helper_fork(death == WITH_WAKE ? be_slow_victim : be_victim, (void *)(uintptr_t)side);
        await_sleepers(side, round, i + 1 + first);
        helper_await(helper_is_asleep, &victims[i]);
    }
    if (!first) {
        page->asked++;
        await_sleepers(side, round, n + 1);
    }
    int64_t begun_ns = kill_and_serve(side, round, victims, n, death);
    if (death == WITH_WAKE) {
        sched_setaffinity(0, sizeof(before), &before);
        if (is_gone(side))
            serve(side, round);
    }
    if (!helper_await(live_is_done, NULL)) {
        complain(side->name, round, "the living one never came back", n);
        exit(1);
    }
    return (page->done_ns - begun_ns) / 1000000;
}

/* --- a crowd ------------------------------------------------------------------- */

static int be_one_of_many(void *arg)
{
    moment_no_looks(true);
    int rc = wait_once(arg);
    page->came++;
    return rc;
}

static bool so_many_came(void *arg)
{
    return page->came >= *(uint32_t *)arg;
}

/*
 * Nobody dies, and there is something for each of three who sleep: at once, so
 * that those who come wake the rest, or one by one, while those who have had
 * theirs stay away.
 */
static void crowd_round(const struct side *side, unsigned round, bool at_once)
{
    enum { CROWD = 3 };
    pid_t crowd[CROWD];

    page->came = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = helper_fork(be_one_of_many, (void *)(uintptr_t)side);
        await_sleepers(side, round, i + 1);
        helper_await(helper_is_asleep, &crowd[i]);
    }
    for (uint32_t i = 1; i <= CROWD; i++) {
        serve(side, round);
        if (!at_once && !helper_await(so_many_came, &i))
            complain(side->name, round, "of a crowd only so many came", page->came);
    }
    uint32_t all = CROWD;
    if (!helper_await(so_many_came, &all))
        complain(side->name, round, "of a crowd only so many came", page->came);
    for (unsigned i = 0; i < CROWD; i++)
        if (helper_wait(crowd[i]) != 0)
            complain(side->name, round, "one of a crowd failed", i);
}

/* --- all ------------------------------------------------------------------------- */

/* The queue is as the round found it: empty, or full. */
static void restore(const struct side *side, unsigned round)
{
    int64_t depth = shmq_depth(q), due = side->gets ? 0 : FILL;

    if (depth != due)
        complain(side->name, round, "messages there", depth);
}

static void run(const struct side *side, unsigned rounds)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    unsigned healed = 0;
    int64_t longest_ms = 0;
    uint64_t seed = 7;
    unsigned char bytes[LENGTH];

    attr.capacity_bytes = 4096;
    q = helper_open(helper_name("waiters"), SHMQ_CREATE | SHMQ_EXCL, &attr);
    message_build(bytes, 2, 2, LENGTH);
    for (int i = 0; i < FILL && !side->gets; i++)
        shmq_put(q, bytes, LENGTH, SHMQ_NOWAIT);
    memset(page, 0, sizeof(*page));
    living = helper_fork(be_alive, (void *)(uintptr_t)side);
    for (unsigned round = 0; round < rounds; round++) {
        enum death death = round % STEAL_EVERY == STEAL_EVERY - 1   ? WITH_WAKE
                           : round % DYING_EVERY == DYING_EVERY / 2 ? DYING
                                                                    : REAPED;
        int64_t ms = one_round(side, round, death, &seed);
        longest_ms = ms > longest_ms ? ms : longest_ms;
        healed += ms > HEALED_MS && death != REAPED;
        restore(side, round);
        if (round % CROWD_EVERY == 0) {
            crowd_round(side, round, round / CROWD_EVERY % 2 == 0);
            restore(side, round);
        }
    }
    helper_kill(living);
    if (page->wrong != 0)
        complain(side->name, rounds, "wrong results of the living one", page->wrong);
    /* With nobody half dead about, nothing may need the bound. */
    if (moment_overslept() != 0)
        complain(side->name, rounds, "not woken", moment_overslept());
    printf("%s: %u rounds, %u healed by the bound, longest %lld ms; %u crowds\n", side->name,
           rounds, healed, (long long)longest_ms, (rounds + CROWD_EVERY - 1) / CROWD_EVERY);
    shmq_close(q);
    shmq_unlink(helper_name("waiters"));
}

int main(int argc, char **argv)
{
    static const struct side sides[] = {{"consumers", true}, {"producers", false}};
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200;

    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || rounds == 0)
        return 3;
    for (int i = 0; i < 2; i++) {
        moment_setup(NULL);
        run(&sides[i], rounds);
        if (moment_teardown(NULL) != 0)
            complain(sides[i].name, rounds, "something is left behind", 0);
    }
    printf("%u passed, %u failed\n", 2 * rounds, failed);
    return failed == 0 ? 0 : 1;
}
