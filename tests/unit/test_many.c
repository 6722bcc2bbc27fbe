/*
 * test_many.c - batches and messages written in place.
 */
#include "support/helper.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- put_many ------------------------------------------------------------- */

static void batch_goes_in_order(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_buf batch[] = {{"one", 3}, {NULL, 0}, {"three", 5}};
    struct shmq_info infos[4];
    char buffer[64];

    (void)state;
    assert_int_equal(shmq_put_many(q, batch, 0, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put_many(q, NULL, 0, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put_many(q, batch, 3, SHMQ_NOWAIT), 3);
    assert_int_equal(shmq_depth(q), 3);
    assert_int_equal(shmq_get_many(q, buffer, sizeof(buffer), infos, 4, SHMQ_NOWAIT, SHMQ_FOREVER),
                     3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(infos[i].id, i + 1);
        assert_int_equal(infos[i].length, batch[i].length);
        assert_int_equal(infos[i].offset % 8, 0);
    }
    assert_int_equal(infos[0].offset, 0);
    assert_memory_equal(buffer, "one", 3);
    assert_memory_equal(buffer + infos[2].offset, "three", 5);
    helper_finish(q);
}

static void too_long_refuses_all(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    char bytes[5000] = "";
    struct shmq_buf last[200], null[] = {{"x", 1}, {NULL, 1}};

    (void)state;
    attr.max_message_bytes = 50;
    shmq_t *q = helper_create(&attr);
    for (unsigned i = 0; i < 200; i++)
        last[i] = (struct shmq_buf){bytes, 8};
    last[199].length = 51;
    /* Also behind what would be the first part. */
    assert_int_equal(shmq_put_many(q, last, 200, SHMQ_NOWAIT), -EMSGSIZE);
    assert_true(helper_detail_names("51", "50"));
    assert_int_equal(shmq_put_many(q, null, 2, SHMQ_NOWAIT), -EINVAL);
    assert_int_equal(shmq_depth(q), 0);
    assert_int_equal(helper_stats(q).put_count, 0);
    helper_finish(q);
}

/* A batch that fits is put whole; one larger than the ring in parts. */
static void batch_larger_than_ring(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    uint64_t numbers[300], got;
    struct shmq_buf batch[300];

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        numbers[i] = i;
        batch[i] = (struct shmq_buf){&numbers[i], 8};
    }
    assert_int_equal(shmq_put_many(q, batch, 128, SHMQ_NOWAIT), 128);
    assert_int_equal(shmq_put_many(q, batch, 1, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_put_many(q, batch, 1, SHMQ_MS(5)), -ETIMEDOUT);
    assert_int_equal(shmq_purge(q), 128);
    assert_int_equal(shmq_put_many(q, batch, 300, SHMQ_MS(5)), 128);
    for (unsigned i = 0; i < 128; i++) {
        assert_int_equal(shmq_get(q, &got, 8, NULL, SHMQ_NOWAIT), 8);
        assert_int_equal(got, i);
    }
    assert_int_equal(shmq_depth(q), 0);
    helper_finish(q);
}

static void *take_slowly(void *queue)
{
    uint64_t got, next = 0;

    while (next < 300 && shmq_get(queue, &got, 8, NULL, HELPER_LATE_NS) == 8 && got == next)
        next++;
    return next == 300 ? NULL : queue;
}

static void parts_arrive_as_room_comes(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    uint64_t numbers[300];
    struct shmq_buf batch[300];
    pthread_t thread;
    void *failed;

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        numbers[i] = i;
        batch[i] = (struct shmq_buf){&numbers[i], 8};
    }
    assert_int_equal(pthread_create(&thread, NULL, take_slowly, q), 0);
    assert_int_equal(shmq_put_many(q, batch, 300, HELPER_LATE_NS), 300);
    pthread_join(thread, &failed);
    assert_null(failed);
    helper_finish(q);
}

static void batch_and_max_messages(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    struct shmq_buf batch[10];
    char c;

    (void)state;
    for (int i = 0; i < 10; i++)
        batch[i] = (struct shmq_buf){&"0123456789"[i], 1};
    attr.max_messages = 4;
    attr.full = SHMQ_FULL_DROP;
    shmq_t *q = helper_create(&attr);
    assert_int_equal(shmq_put_many(q, batch, 10, SHMQ_NOWAIT), 10);
    assert_int_equal(shmq_depth(q), 4);
    assert_int_equal(shmq_get(q, &c, 1, NULL, SHMQ_NOWAIT), 1);
    assert_int_equal(c, '6');
    helper_finish(q);
    attr.full = SHMQ_FULL_FAIL;
    q = helper_create(&attr);
    assert_int_equal(shmq_put_many(q, batch, 10, SHMQ_FOREVER), 4);
    assert_int_equal(shmq_put_many(q, batch, 10, SHMQ_FOREVER), -EAGAIN);
    helper_finish(q);
}

/* --- get_many ------------------------------------------------------------- */

static void buffer_runs_full(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_info infos[4] = {{0}};
    char buffer[24];

    (void)state;
    assert_int_equal(shmq_get_many(q, buffer, 24, infos, 4, SHMQ_NOWAIT, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_get_many(q, buffer, 24, infos, 4, SHMQ_NOWAIT, SHMQ_MS(5)), -ETIMEDOUT);
    assert_int_equal(shmq_put(q, "1234567890", 10, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(q, "12345678", 8, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get_many(q, buffer, 9, infos, 4, HELPER_LATE_NS, HELPER_LATE_NS),
                     -EMSGSIZE);
    assert_int_equal(infos[0].length, 10);
    assert_int_equal(shmq_get_many(q, buffer, 24, infos, 0, SHMQ_NOWAIT, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_depth(q), 3);
    /* 16 + 8 fit exactly; the third does not, and a long linger does not matter. */
    assert_int_equal(shmq_get_many(q, buffer, 24, infos, 4, SHMQ_SEC(60), SHMQ_NOWAIT), 2);
    assert_int_equal(infos[1].offset, 16);
    assert_int_equal(shmq_get_many(q, buffer, 24, infos, 4, SHMQ_NOWAIT, SHMQ_NOWAIT), 1);
    assert_int_equal(infos[0].id, 3);
    helper_finish(q);
}

/* The linger time runs from the first message, and ends early when all came. */
static void linger(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_info infos[3];
    char buffer[64];

    (void)state;
    assert_int_equal(shmq_put(q, "a", 1, SHMQ_NOWAIT), 0);
    int64_t begun_ns = helper_now_ns();
    assert_int_equal(shmq_get_many(q, buffer, 64, infos, 3, SHMQ_MS(30), HELPER_LATE_NS), 1);
    assert_cmp(helper_now_ns() - begun_ns, >=, SHMQ_MS(30));
    for (int i = 0; i < 3; i++)
        assert_int_equal(shmq_put(q, "b", 1, SHMQ_NOWAIT), 0);
    begun_ns = helper_now_ns();
    assert_int_equal(shmq_get_many(q, buffer, 64, infos, 3, 3 * HELPER_LATE_NS, SHMQ_NOWAIT), 3);
    assert_cmp(helper_now_ns() - begun_ns, <, HELPER_LATE_NS);
    helper_finish(q);
}

static void *put_three(void *queue)
{
    bool slept = true;

    for (int i = 0; i < 3 && slept; i++)
        slept = helper_await(helper_consumer_sleeps, queue) &&
                shmq_put(queue, &"abc"[i], 1, SHMQ_NOWAIT) == 0;
    return slept ? NULL : queue;
}

static void linger_collects(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_info infos[3];
    char buffer[64];
    pthread_t thread;
    void *failed;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, put_three, q), 0);
    assert_int_equal(shmq_get_many(q, buffer, 64, infos, 3, HELPER_LATE_NS, HELPER_LATE_NS), 3);
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_int_equal(buffer[0], 'a');
    assert_int_equal(buffer[16], 'c');
    helper_finish(q);
}

/* --- in place ------------------------------------------------------------- */

static void reserve_and_commit(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    char buffer[128];
    void *data;

    (void)state;
    for (int lap = 0; lap < 200; lap++) {
        assert_int_equal(shmq_reserve(q, 100, &data, SHMQ_NOWAIT), 0);
        assert_int_equal((uintptr_t)data % 8, 0);
        memset(data, lap, 100);
        assert_int_equal(shmq_depth(q), 0);
        assert_int_equal(shmq_get(q, buffer, 128, NULL, SHMQ_NOWAIT), -EAGAIN);
        assert_int_equal(shmq_commit(q, (size_t)(lap % 101)), 0);
        assert_int_equal(shmq_put(q, "next", 4, SHMQ_NOWAIT), 0);
        assert_int_equal(shmq_get(q, buffer, 128, NULL, SHMQ_NOWAIT), lap % 101);
        for (int i = 0; i < lap % 101; i++)
            assert_int_equal((unsigned char)buffer[i], lap);
        assert_int_equal(shmq_get(q, buffer, 128, NULL, SHMQ_NOWAIT), 4);
    }
    helper_finish(q);
}

static void reserve_refusals(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    struct shmq_buf one = {"x", 1};
    void *data;

    (void)state;
    assert_int_equal(shmq_commit(q, 0), -EINVAL);
    assert_int_equal(shmq_abort(q), -EINVAL);
    assert_int_equal(shmq_reserve(q, 4073, &data, SHMQ_NOWAIT), -EMSGSIZE);
    assert_int_equal(shmq_reserve(q, SIZE_MAX, &data, SHMQ_NOWAIT), -EMSGSIZE);
    assert_int_equal(shmq_reserve(q, 10, &data, SHMQ_NOWAIT), 0);
    /* With a reservation of one's own nothing else can be put, at any timeout. */
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), -EBUSY);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_FOREVER), -EBUSY);
    assert_int_equal(shmq_put_many(q, &one, 1, SHMQ_FOREVER), -EBUSY);
    assert_int_equal(shmq_reserve(q, 1, &data, SHMQ_FOREVER), -EBUSY);
    assert_int_equal(shmq_commit(q, 11), -EINVAL);
    assert_true(helper_detail_names("11", "10"));
    memcpy(data, "0123456789", 10);
    assert_int_equal(shmq_commit(q, 10), 0);
    assert_int_equal(shmq_commit(q, 0), -EINVAL);
    assert_int_equal(shmq_depth(q), 1);
    assert_int_equal(shmq_reserve(q, 10, &data, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_abort(q), 0);
    assert_int_equal(shmq_abort(q), -EINVAL);
    assert_int_equal(shmq_depth(q), 1);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_reserve(q, 4072, &data, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_reserve(q, 4072, &data, SHMQ_MS(5)), -ETIMEDOUT);
    helper_finish(q);
}

/* One reservation a handle and thread: another handle's is just another's. */
static void reservation_keeps_others_out(void **state)
{
    shmq_t *q = helper_create(NULL), *r = helper_open(helper_name("a"), 0, NULL);
    void *data;

    (void)state;
    assert_int_equal(shmq_reserve(q, 10, &data, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(r, "x", 1, SHMQ_NOWAIT), -ETIMEDOUT);
    assert_int_equal(shmq_commit(r, 0), -EINVAL);
    assert_int_equal(shmq_abort(q), 0);
    assert_int_equal(shmq_put(r, "x", 1, SHMQ_NOWAIT), 0);
    /* Closing ends a reservation, and nobody is found dead for it. */
    assert_int_equal(shmq_reserve(q, 10, &data, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_put(r, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_depth(r), 2);
    assert_int_equal(helper_stats(r).recoveries, 0);
    helper_finish(r);
}

struct outsider {
    shmq_t *q;
    int commit, abort, put;
};

static void *meddle(void *arg)
{
    struct outsider *o = arg;

    o->commit = shmq_commit(o->q, 0);
    o->abort = shmq_abort(o->q);
    o->put = shmq_put(o->q, "x", 1, SHMQ_MS(20));
    return NULL;
}

static void other_thread_is_refused(void **state)
{
    static const int flags[] = {0, SHMQ_SOLE_PRODUCER};

    (void)state;
    for (int i = 0; i < 2; i++) {
        shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL | flags[i], NULL);
        struct outsider o = {q, 0, 0, 0};
        pthread_t thread;
        void *data;
        assert_int_equal(shmq_reserve(q, 10, &data, SHMQ_NOWAIT), 0);
        assert_int_equal(pthread_create(&thread, NULL, meddle, &o), 0);
        pthread_join(thread, NULL);
        assert_int_equal(o.commit, -EINVAL);
        assert_int_equal(o.abort, -EINVAL);
        assert_int_equal(o.put, -ETIMEDOUT);
        assert_int_equal(shmq_commit(q, 0), 0);
        assert_int_equal(shmq_depth(q), 1);
        helper_finish(q);
    }
}

static void *reserve_and_end(void *queue)
{
    void *data;

    return shmq_reserve(queue, 10, &data, SHMQ_NOWAIT) == 0 ? NULL : queue;
}

static void *commit_of_another(void *queue)
{
    return shmq_commit(queue, 10) == -EINVAL && shmq_put(queue, "x", 1, SHMQ_MS(100)) == 0 &&
                   shmq_commit(queue, 10) == -EINVAL
               ? NULL
               : queue;
}

/* A thread that ends with its reservation open leaves it to nobody, though its
 * successor may well live at the same addresses. */
static void thread_ends_with_reservation(void **state)
{
    shmq_t *q = helper_create(NULL);
    pthread_t thread;
    void *failed;

    (void)state;
    for (int lap = 0; lap < 3; lap++) {
        assert_int_equal(pthread_create(&thread, NULL, reserve_and_end, q), 0);
        pthread_join(thread, &failed);
        assert_null(failed);
        assert_int_equal(pthread_create(&thread, NULL, commit_of_another, q), 0);
        pthread_join(thread, &failed);
        assert_null(failed);
    }
    assert_int_equal(shmq_depth(q), 3);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(batch_goes_in_order),
        HELPER_TEST(too_long_refuses_all),
        HELPER_TEST(batch_larger_than_ring),
        HELPER_TEST(parts_arrive_as_room_comes),
        HELPER_TEST(batch_and_max_messages),
        HELPER_TEST(buffer_runs_full),
        HELPER_TEST(linger),
        HELPER_TEST(linger_collects),
        HELPER_TEST(reserve_and_commit),
        HELPER_TEST(reserve_refusals),
        HELPER_TEST(reservation_keeps_others_out),
        HELPER_TEST(other_thread_is_refused),
        HELPER_TEST(thread_ends_with_reservation),
    };

    return helper_run(argc, argv, tests);
}
