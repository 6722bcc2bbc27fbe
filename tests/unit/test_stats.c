/*
 * test_stats.c - the counters: exactly right while one thread uses the queue.
 */
#include "support/helper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void put_n(shmq_t *q, int n, size_t length)
{
    char bytes[256] = "";

    for (int i = 0; i < n; i++)
        assert_int_equal(shmq_put(q, bytes, length, SHMQ_NOWAIT), 0);
}

static void get_n(shmq_t *q, int n)
{
    char bytes[256];

    for (int i = 0; i < n; i++)
        assert_cmp(shmq_get(q, bytes, sizeof(bytes), NULL, SHMQ_NOWAIT), >=, 0);
}

static void a_new_queue(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_stats expected = {
        .size = sizeof(expected), .capacity_bytes = 1 << 20, .attached = 1};
    struct shmq_stats stats = helper_stats(q);
    struct timespec now;

    (void)state;
    clock_gettime(CLOCK_REALTIME, &now);
    assert_in_range(now.tv_sec - stats.created_ns / 1000000000, 0, 60);
    expected.created_ns = stats.created_ns;
    assert_memory_equal(&stats, &expected, sizeof(stats));
    helper_finish(q);
}

static void counts(void **state)
{
    struct shmq_attr attr = helper_attr(4096);

    (void)state;
    attr.max_messages = 50;
    attr.full = SHMQ_FULL_DROP;
    shmq_t *q = helper_create(&attr);
    put_n(q, 5, 10);
    get_n(q, 5);
    put_n(q, 3, 100);
    struct shmq_stats s = helper_stats(q);
    assert_int_equal(s.put_count, 8);
    assert_int_equal(s.put_bytes, 350);
    assert_int_equal(s.got_count, 5);
    assert_int_equal(s.got_bytes, 50);
    assert_int_equal(s.depth, 3);
    assert_int_equal(s.peak_depth, 5);
    assert_int_equal(s.used_bytes, 3 * (24 + 104));
    assert_int_equal(s.max_messages, 50);
    put_n(q, 50, 0);
    s = helper_stats(q);
    assert_int_equal(s.dropped_count, 3);
    assert_int_equal(s.put_count, 58);
    assert_int_equal(s.got_count, 5);
    assert_int_equal(s.depth, 50);
    assert_int_equal(s.peak_depth, 50);
    assert_int_equal(s.used_bytes, 50 * 24);
    get_n(q, 20);
    assert_int_equal(shmq_purge(q), 30);
    s = helper_stats(q);
    assert_int_equal(s.purged_count, 30);
    assert_int_equal(s.got_count, 25);
    assert_int_equal(s.got_bytes, 50);
    assert_int_equal(s.put_count, s.got_count + s.dropped_count + s.purged_count);
    assert_int_equal(s.used_bytes, 0);
    assert_int_equal(s.oldest_age_ns, 0);
    assert_int_equal(s.recoveries + s.dead_count, 0);
    helper_finish(q);
}

static void counts_of_batches(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_buf batch[] = {{"abc", 3}, {NULL, 0}, {"0123456789", 10}};
    struct shmq_info infos[3];
    char buffer[64];
    void *data;

    (void)state;
    assert_int_equal(shmq_put_many(q, batch, 3, SHMQ_NOWAIT), 3);
    assert_int_equal(shmq_reserve(q, 100, &data, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_commit(q, 7), 0);
    assert_int_equal(shmq_reserve(q, 100, &data, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_abort(q), 0);
    assert_int_equal(shmq_get_many(q, buffer, 64, infos, 2, SHMQ_NOWAIT, SHMQ_NOWAIT), 2);
    struct shmq_stats s = helper_stats(q);
    assert_int_equal(s.put_count, 4);
    assert_int_equal(s.put_bytes, 20);
    assert_int_equal(s.got_count, 2);
    assert_int_equal(s.got_bytes, 3);
    assert_int_equal(s.peak_depth, 4);
    assert_int_equal(s.used_bytes, 24 + 16 + 24 + 8);
    helper_finish(q);
}

/* With a consumer that keeps up, a later peak may be missed by a few only. */
static void peak_after_a_stream(void **state)
{
    shmq_t *q = helper_create(NULL);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        put_n(q, 1, 8);
        get_n(q, 1);
    }
    uint64_t peak = helper_stats(q).peak_depth;
    assert_in_range(peak, 1, 2);
    put_n(q, 100, 8);
    get_n(q, 100);
    peak = helper_stats(q).peak_depth;
    assert_in_range(peak, 100 - 33, 100);
    helper_finish(q);
}

static bool has_passed(void *until_ns)
{
    return helper_now_ns() >= *(int64_t *)until_ns;
}

static void ages_and_histogram(void **state)
{
    shmq_t *q = helper_create(NULL);
    uint64_t sum = 0, short_waits = 0;

    (void)state;
    int64_t before_ns = helper_now_ns();
    put_n(q, 1, 1); /* the first of its tick: a sample, and stamped precisely */
    int64_t after_ns = helper_now_ns(), until_ns = after_ns + SHMQ_MS(50);
    assert_true(helper_await(has_passed, &until_ns));
    int64_t least_ns = helper_now_ns() - after_ns, age_ns = helper_stats(q).oldest_age_ns;
    assert_in_range(age_ns, least_ns, helper_now_ns() - before_ns);
    get_n(q, 1);
    struct shmq_stats s = helper_stats(q);
    for (int i = 0; i < SHMQ_HISTOGRAM_BUCKETS; i++) {
        sum += s.wait_histogram[i];
        if (((int64_t)2 << i) <= least_ns)
            short_waits += s.wait_histogram[i];
    }
    assert_int_equal(sum, 1);
    assert_int_equal(short_waits, 0);
    /* Ids 2 to 129: at least 64 and 128 are samples. */
    put_n(q, 128, 1);
    get_n(q, 128);
    s = helper_stats(q);
    for (int i = 0; i < SHMQ_HISTOGRAM_BUCKETS; i++)
        sum += s.wait_histogram[i];
    assert_cmp(sum - 1, >=, 3);
    assert_cmp(sum - 1, <, 129);
    helper_finish(q);
}

static void waits(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    char buffer[8];

    (void)state;
    attr.max_messages = 1;
    shmq_t *q = helper_create(&attr);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(helper_stats(q).empty_wait_count, 0);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_MS(20)), -ETIMEDOUT);
        struct shmq_stats s = helper_stats(q);
        assert_int_equal(s.empty_wait_count, i);
        assert_cmp(s.empty_wait_ns, >=, i * SHMQ_MS(18));
        assert_cmp(s.empty_wait_ns, <, i * HELPER_LATE_NS);
        assert_int_equal(s.full_wait_count, 0);
    }
    put_n(q, 1, 1);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_MS(20)), -ETIMEDOUT);
    struct shmq_stats s = helper_stats(q);
    assert_int_equal(s.full_wait_count, 1);
    assert_cmp(s.full_wait_ns, >=, SHMQ_MS(18));
    assert_cmp(s.full_wait_ns, <, HELPER_LATE_NS);
    assert_int_equal(s.empty_wait_count, 3);
    assert_int_equal(s.sleeping_producers + s.sleeping_consumers, 0);
    helper_finish(q);
}

static void attached(void **state)
{
    shmq_t *q = helper_create(NULL);
    shmq_t *p = helper_open(helper_name("a"), SHMQ_SOLE_PRODUCER, NULL);
    shmq_t *c = helper_open(helper_name("a"), SHMQ_SOLE_CONSUMER, NULL);
    shmq_t *r = helper_open(helper_name("a"), SHMQ_RDONLY, NULL);
    struct shmq_stats s = helper_stats(r);
    struct shmq_process list[3];
    char command[16] = "";

    (void)state;
    /* Under valgrind it is another one. */
    FILE *comm = fopen("/proc/self/comm", "re");
    assert_non_null(comm);
    assert_int_equal(fscanf(comm, "%15[^\n]", command), 1);
    fclose(comm);
    assert_int_equal(s.attached, 3);
    assert_int_equal(s.sole_producer, 1);
    assert_int_equal(s.sole_consumer, 1);
    assert_int_equal(s.unlinked, 0);
    assert_int_equal(shmq_attached(r, NULL, 0), 3);
    assert_int_equal(shmq_attached(r, list, 2), 3);
    assert_int_equal(shmq_attached(r, list, 3), 3);
    uint32_t flags = 0;
    for (int i = 0; i < 3; i++) {
        flags |= list[i].flags;
        assert_int_equal(list[i].pid, getpid());
        assert_cmp(list[i].attached_ns, >, helper_now_ns() - SHMQ_SEC(60));
        assert_string_equal(list[i].command, command);
    }
    assert_int_equal(flags, SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER);
    assert_int_equal(shmq_close(p), 0);
    assert_int_equal(shmq_close(c), 0);
    s = helper_stats(r);
    assert_int_equal(s.attached, 1);
    assert_int_equal(s.sole_producer + s.sole_consumer, 0);
    assert_int_equal(s.dead_count + s.recoveries, 0);
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
    assert_int_equal(helper_stats(r).unlinked, 1);
    assert_int_equal(shmq_close(r), 0);
    assert_int_equal(shmq_close(q), 0);
}

/* Programs compiled with an older or a newer struct. */
static void struct_grows(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct {
        struct shmq_stats known;
        uint64_t later;
    } s = {.known.size = sizeof(s), .later = 7};

    (void)state;
    put_n(q, 1, 1);
    assert_int_equal(shmq_stats(q, &s.known), 0);
    assert_int_equal(s.known.size, sizeof(s));
    assert_int_equal(s.known.put_count, 1);
    assert_int_equal(s.later, 0);
    s.known.size = offsetof(struct shmq_stats, wait_histogram);
    s.known.wait_histogram[0] = 7;
    assert_int_equal(shmq_stats(q, &s.known), 0);
    assert_int_equal(s.known.wait_histogram[0], 7);
    s.known.size = 0;
    assert_int_equal(shmq_stats(q, &s.known), -EINVAL);
    s.known.size = 8;
    assert_int_equal(shmq_stats(q, &s.known), -EINVAL);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(a_new_queue),        HELPER_TEST(counts),
        HELPER_TEST(counts_of_batches),  HELPER_TEST(peak_after_a_stream),
        HELPER_TEST(ages_and_histogram), HELPER_TEST(waits),
        HELPER_TEST(attached),           HELPER_TEST(struct_grows),
    };

    return helper_run(argc, argv, tests);
}
