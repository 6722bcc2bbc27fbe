/*
 * test_open.c - opening, creating by many at once, looking only, and removing.
 */
#include "support/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int try_open(const char *name, int flags)
{
    shmq_t *q;
    int rc = shmq_open(&q, name, flags, NULL);

    assert_int_equal(rc != 0, q == NULL);
    shmq_close(q);
    return rc;
}

static void create_exclusive_attach(void **state)
{
    const char *name = helper_name("a");

    (void)state;
    assert_int_equal(try_open(name, 0), -ENOENT);
    assert_int_equal(try_open(name, SHMQ_RDONLY), -ENOENT);
    assert_int_equal(try_open(name, SHMQ_SOLE_PRODUCER), -ENOENT);
    assert_int_equal(try_open(name, SHMQ_CREATE | SHMQ_EXCL), 0);
    assert_int_equal(try_open(name, SHMQ_CREATE | SHMQ_EXCL), -EEXIST);
    assert_int_equal(try_open(name, SHMQ_CREATE), 0);
    assert_int_equal(try_open(name, 0), 0);
    assert_int_equal(try_open(name, SHMQ_RDONLY), 0);
    assert_int_equal(shmq_unlink(name), 0);
    assert_int_equal(shmq_unlink(name), -ENOENT);
    assert_int_equal(try_open(name, 0), -ENOENT);
}

/* The queue and its messages stay when the last handle is closed. */
static void messages_stay(void **state)
{
    shmq_t *q = helper_create(NULL);
    char buffer[8];

    (void)state;
    assert_int_equal(shmq_put(q, "stay", 4, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_close(q), 0);
    q = helper_open(helper_name("a"), SHMQ_CREATE, NULL);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 4);
    assert_memory_equal(buffer, "stay", 4);
    helper_finish(q);
}

static void read_only(void **state)
{
    shmq_t *q = helper_create(NULL), *r = helper_open(helper_name("a"), SHMQ_RDONLY, NULL);
    struct shmq_buf one = {"x", 1};
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    struct shmq_info info;
    uint64_t place = 0;
    char buffer[8];
    void *data;

    (void)state;
    assert_int_equal(shmq_put(q, "hello", 5, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(r, "x", 1, SHMQ_NOWAIT), -EACCES);
    assert_true(helper_detail_names("SHMQ_RDONLY", ""));
    assert_int_equal(shmq_put_many(r, &one, 1, SHMQ_FOREVER), -EACCES);
    assert_int_equal(shmq_reserve(r, 1, &data, SHMQ_FOREVER), -EACCES);
    assert_cmp(shmq_commit(r, 0), <, 0);
    assert_cmp(shmq_abort(r), <, 0);
    assert_int_equal(shmq_get(r, buffer, 8, NULL, SHMQ_FOREVER), -EACCES);
    assert_int_equal(shmq_get_many(r, buffer, 8, &info, 1, SHMQ_NOWAIT, SHMQ_FOREVER), -EACCES);
    assert_int_equal(shmq_purge(r), -EACCES);
    assert_int_equal(shmq_depth(r), 1);
    assert_int_equal(shmq_peek(r, buffer, 8, &info), 5);
    assert_int_equal(shmq_browse(r, &place, buffer, 8, &info), 5);
    assert_int_equal(shmq_attr_of(r, &attr), 0);
    assert_int_equal(helper_stats(r).put_count, 1);
    assert_int_equal(helper_stats(r).attached, 1);
    assert_int_equal(shmq_attached(r, NULL, 0), 1);
    assert_int_equal(shmq_close(r), 0);
    helper_finish(q);
}

/* --- many at once --------------------------------------------------------------- */

enum { CREATORS = 10, ROUNDS = 200 };

struct race {
    pthread_barrier_t start, opened;
    char name[64];
    _Atomic int created, attached, failed, put;
};

/* Each round: all at the barrier, all open; odd ones insist on creating. */
static int creator(void *arg)
{
    struct race *race = arg;
    struct shmq_attr attr = helper_attr(4096);

    for (int round = 0; round < ROUNDS; round++) {
        shmq_t *q = NULL;
        bool exclusive = getpid() % 2 == 0 && round % 2 == 0;
        pthread_barrier_wait(&race->start);
        int rc = shmq_open(&q, race->name, SHMQ_CREATE | (exclusive ? SHMQ_EXCL : 0), &attr);
        if (rc == -EEXIST && exclusive) {
            rc = shmq_open(&q, race->name, 0, NULL);
        } else if (rc == 0 && exclusive) {
            race->created++;
        }
        if (rc == 0 && shmq_put(q, "x", 1, HELPER_LATE_NS) == 0)
            race->put++;
        else
            race->failed++;
        pthread_barrier_wait(&race->opened);
        pthread_barrier_wait(&race->opened);
        shmq_close(q);
    }
    return 0;
}

static struct race *make_race(void)
{
    struct race *race = helper_shared(sizeof(*race));
    pthread_barrierattr_t shared;

    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&race->start, &shared, CREATORS + 1);
    pthread_barrier_init(&race->opened, &shared, CREATORS + 1);
    snprintf(race->name, sizeof(race->name), "%s", helper_name("a"));
    return race;
}

static void ten_create_at_once(void **state)
{
    struct race *race = make_race();
    pid_t children[CREATORS];

    (void)state;
    for (int i = 0; i < CREATORS; i++)
        children[i] = helper_fork(creator, race);
    for (int round = 0; round < ROUNDS; round++) {
        race->created = race->failed = race->put = 0;
        pthread_barrier_wait(&race->start);
        pthread_barrier_wait(&race->opened);
        /* One queue: it has ten handles (and this one), and the messages of all. */
        shmq_t *q = helper_open(race->name, 0, NULL);
        assert_int_equal(race->failed, 0);
        assert_int_equal(race->put, CREATORS);
        assert_int_equal(shmq_depth(q), CREATORS);
        assert_int_equal(helper_stats(q).attached, CREATORS + 1);
        assert_in_range(race->created, 0, 1);
        assert_int_equal(shmq_close(q), 0);
        assert_int_equal(shmq_unlink(race->name), 0);
        pthread_barrier_wait(&race->opened);
    }
    for (int i = 0; i < CREATORS; i++)
        assert_int_equal(helper_wait(children[i]), 0);
    munmap(race, sizeof(*race));
}

/* All insist on creating: exactly one does. */
static int exclusive_creator(void *arg)
{
    struct race *race = arg;

    for (int round = 0; round < ROUNDS; round++) {
        shmq_t *q = NULL;
        struct shmq_attr attr = helper_attr(4096);
        pthread_barrier_wait(&race->start);
        int rc = shmq_open(&q, race->name, SHMQ_CREATE | SHMQ_EXCL, &attr);
        if (rc == 0)
            race->created++;
        else if (rc != -EEXIST)
            race->failed++;
        pthread_barrier_wait(&race->opened);
        pthread_barrier_wait(&race->opened);
        shmq_close(q);
    }
    return 0;
}

static void ten_create_exclusively(void **state)
{
    struct race *race = make_race();
    pid_t children[CREATORS];

    (void)state;
    for (int i = 0; i < CREATORS; i++)
        children[i] = helper_fork(exclusive_creator, race);
    for (int round = 0; round < ROUNDS; round++) {
        race->created = race->failed = 0;
        pthread_barrier_wait(&race->start);
        pthread_barrier_wait(&race->opened);
        assert_int_equal(race->failed, 0);
        assert_int_equal(race->created, 1);
        assert_int_equal(shmq_unlink(race->name), 0);
        pthread_barrier_wait(&race->opened);
    }
    for (int i = 0; i < CREATORS; i++)
        assert_int_equal(helper_wait(children[i]), 0);
    munmap(race, sizeof(*race));
}

/* Killed while they create: nothing is left but whole queues. */
static int create_and_remove(void *arg)
{
    struct shmq_attr attr = helper_attr(4096);

    for (;;) {
        shmq_t *q;
        int rc = shmq_open(&q, arg, SHMQ_CREATE, &attr);
        if (rc != 0)
            return 1;
        shmq_close(q);
        shmq_unlink(arg);
    }
}

static void killed_while_creating(void **state)
{
    char name[64];

    (void)state;
    snprintf(name, sizeof(name), "%s", helper_name("a"));
    for (int i = 0; i < 100; i++) {
        struct timespec pause = {0, 1000000 + i * 17000};
        pid_t child = helper_fork(create_and_remove, name);
        nanosleep(&pause, NULL); /* when to die: anywhere */
        helper_kill(child);
        shmq_t *q = helper_open(name, SHMQ_CREATE, NULL);
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
        assert_int_equal(shmq_depth(q), 1);
        assert_int_equal(helper_stats(q).attached, 1);
        helper_finish(q);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(create_exclusive_attach),
        HELPER_TEST(messages_stay),
        HELPER_TEST(read_only),
        HELPER_TEST(ten_create_at_once),
        HELPER_TEST(ten_create_exclusively),
        HELPER_TEST(killed_while_creating),
    };

    return helper_run(argc, argv, tests);
}
