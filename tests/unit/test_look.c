/*
 * test_look.c - looking without taking: peek, browse, depth; and purging.
 */
#include "support/helper.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static void peek(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_info info;
    char buffer[8];

    (void)state;
    assert_int_equal(shmq_peek(q, buffer, 8, &info), -EAGAIN);
    assert_int_equal(shmq_put(q, "abcde", 5, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(q, NULL, 0, SHMQ_NOWAIT), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(shmq_peek(q, buffer, 8, &info), 5);
        assert_memory_equal(buffer, "abcde", 5);
        assert_int_equal(info.id, 1);
        assert_int_equal(info.length, 5);
    }
    assert_int_equal(shmq_peek(q, buffer, 4, &info), -EMSGSIZE);
    assert_int_equal(info.length, 5);
    assert_int_equal(shmq_peek(q, NULL, 0, NULL), -EMSGSIZE);
    assert_true(helper_detail_names("5", "0"));
    assert_int_equal(shmq_depth(q), 2);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 5);
    assert_int_equal(shmq_peek(q, NULL, 0, NULL), 0);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_peek(q, buffer, 8, NULL), -EAGAIN);
    helper_finish(q);
}

static void browse(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_info info;
    uint64_t place = 0, other = 0;
    char buffer[8], c;

    (void)state;
    assert_int_equal(shmq_browse(q, &place, buffer, 8, NULL), -EAGAIN);
    for (c = 'a'; c < 'f'; c++)
        assert_int_equal(shmq_put(q, &c, 1, SHMQ_NOWAIT), 0);
    for (c = 'a'; c < 'f'; c++) {
        assert_int_equal(shmq_browse(q, &place, buffer, 0, &info), -EMSGSIZE);
        assert_int_equal(info.length, 1);
        assert_int_equal(shmq_browse(q, &place, buffer, 8, &info), 1);
        assert_int_equal(buffer[0], c);
        assert_int_equal(info.id, c - 'a' + 1);
    }
    assert_int_equal(shmq_browse(q, &place, buffer, 8, &info), -EAGAIN);
    /* Later calls show what was put since. */
    assert_int_equal(shmq_put(q, "xy", 2, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_browse(q, &place, buffer, 8, &info), 2);
    /* Those taken meanwhile are passed over. */
    assert_int_equal(shmq_browse(q, &other, buffer, 8, &info), 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
    assert_int_equal(shmq_browse(q, &other, buffer, 8, &info), 1);
    assert_int_equal(buffer[0], 'd');
    assert_int_equal(shmq_purge(q), 3);
    assert_int_equal(shmq_browse(q, &other, buffer, 8, &info), -EAGAIN);
    assert_int_equal(shmq_put(q, "z", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_browse(q, &other, buffer, 8, &info), 1);
    assert_int_equal(buffer[0], 'z');
    helper_finish(q);
}

static void browse_through_laps(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr), *r = helper_open(helper_name("a"), SHMQ_RDONLY, NULL);
    uint64_t place = 0, got;
    struct shmq_info info;

    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(shmq_put(q, &i, 8, SHMQ_NOWAIT), 0);
        assert_int_equal(shmq_browse(r, &place, &got, 8, &info), 8);
        assert_int_equal(got, i);
        assert_int_equal(info.id, i + 1);
        assert_int_equal(shmq_browse(r, &place, &got, 8, &info), -EAGAIN);
        if (i >= 50)
            assert_int_equal(shmq_get(q, &got, 8, NULL, SHMQ_NOWAIT), 8);
    }
    uint64_t all = 0, from = 0;
    while (shmq_browse(r, &from, &got, 8, &info) == 8)
        assert_int_equal(got, 1950 + all++);
    assert_int_equal(all, 50);
    assert_int_equal(shmq_close(r), 0);
    helper_finish(q);
}

/* --- while others put and take ------------------------------------------------ */

struct traffic {
    shmq_t *q;
    _Atomic bool stop;
};

static size_t length_of(uint64_t id)
{
    return (size_t)(id * 37 % 400);
}

static void *run_traffic(void *arg)
{
    struct traffic *t = arg;
    unsigned char bytes[400];
    uint64_t id = 1;

    while (!atomic_load(&t->stop)) {
        memset(bytes, (int)(id % 251), sizeof(bytes));
        if (shmq_put(t->q, bytes, length_of(id), SHMQ_NOWAIT) == 0)
            id++;
        else
            for (int i = 0; i < 3; i++)
                shmq_get(t->q, bytes, sizeof(bytes), NULL, SHMQ_NOWAIT);
    }
    return NULL;
}

/* Every message shown is whole, and they come in order. */
static void browse_in_traffic(void **state)
{
    enum { SHOWN = 5000 };
    struct shmq_attr attr = helper_attr(4096);
    struct traffic traffic = {helper_create(&attr), false};
    unsigned char bytes[400];
    uint64_t place = 0, last_id = 0;
    unsigned shown = 0;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, run_traffic, &traffic), 0);
    while (shown < SHOWN) {
        struct shmq_info info = {0};
        ssize_t n = shmq_browse(traffic.q, &place, bytes, sizeof(bytes), &info);
        if (n == -EAGAIN)
            continue;
        assert_cmp(n, >=, 0);
        assert_cmp(info.id, >, last_id);
        assert_int_equal(n, length_of(info.id));
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(bytes[i], info.id % 251);
        last_id = info.id;
        shown++;
    }
    atomic_store(&traffic.stop, true);
    pthread_join(thread, NULL);
    helper_finish(traffic.q);
}

/* --- purge ------------------------------------------------------------------- */

static void purge(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    struct shmq_info info;
    char buffer[8];

    (void)state;
    assert_int_equal(shmq_purge(q), 0);
    for (int lap = 0; lap < 5; lap++) {
        for (int i = 0; i < 100; i++)
            assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
        assert_int_equal(shmq_purge(q), 100);
        assert_int_equal(shmq_depth(q), 0);
    }
    assert_int_equal(helper_stats(q).purged_count, 500);
    assert_int_equal(helper_stats(q).got_count, 0);
    assert_int_equal(shmq_put(q, "y", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(q, buffer, 8, &info, SHMQ_NOWAIT), 1);
    assert_int_equal(info.id, 501);
    assert_int_equal(buffer[0], 'y');
    helper_finish(q);
}

static void *put_waiting(void *queue)
{
    return shmq_put(queue, "late", 4, HELPER_LATE_NS) == 0 ? NULL : queue;
}

static void purge_makes_room(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    pthread_t threads[3];
    void *failed;

    (void)state;
    while (shmq_put(q, "12345678", 8, SHMQ_NOWAIT) == 0)
        continue;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_waiting, q), 0);
    assert_true(helper_await(helper_producer_sleeps, q));
    assert_int_equal(shmq_purge(q), 128);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(shmq_depth(q), 3);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(peek),
        HELPER_TEST(browse),
        HELPER_TEST(browse_through_laps),
        HELPER_TEST(purge),
        HELPER_TEST(browse_in_traffic),
        HELPER_TEST(purge_makes_room),
    };

    return helper_run(argc, argv, tests);
}
