/*
 * test_plain.c - putting and getting one message at a time, in one process: what
 * a message goes in as, it comes out as, in order, and every limit is named.
 */
#include "support/helper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void put_and_get(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_info info;
    char buffer[64];

    (void)state;
    assert_int_equal(shmq_put(q, "hello", 5, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(q, NULL, 0, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(q, "a\0b", 3, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_depth(q), 3);
    assert_int_equal(shmq_get(q, buffer, sizeof(buffer), &info, SHMQ_NOWAIT), 5);
    assert_memory_equal(buffer, "hello", 5);
    assert_int_equal(info.id, 1);
    assert_int_equal(info.length, 5);
    assert_cmp(info.put_ns, <=, helper_now_ns());
    assert_cmp(info.put_ns, >, helper_now_ns() - SHMQ_SEC(60));
    assert_int_equal(shmq_get(q, buffer, sizeof(buffer), &info, SHMQ_NOWAIT), 0);
    assert_int_equal(info.id, 2);
    assert_int_equal(shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_FOREVER), 3);
    assert_memory_equal(buffer, "a\0b", 3);
    assert_int_equal(shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_depth(q), 0);
    helper_finish(q);
}

static void nothing_into_nothing(void **state)
{
    shmq_t *q = helper_create(NULL);

    (void)state;
    assert_int_equal(shmq_put(q, NULL, 0, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(q, "", 0, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(q, NULL, 1, SHMQ_NOWAIT), -EINVAL);
    assert_int_equal(shmq_get(q, NULL, 0, NULL, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(q, NULL, 0, NULL, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(q, NULL, 0, NULL, SHMQ_NOWAIT), -EAGAIN);
    helper_finish(q);
}

/* A handle written to by two names: both see one queue. */
static void two_handles(void **state)
{
    shmq_t *q = helper_create(NULL), *r = helper_open(helper_name("a"), 0, NULL);
    char buffer[8];

    (void)state;
    assert_int_equal(shmq_put(q, "one", 3, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(r, "two", 3, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(r, buffer, 8, NULL, SHMQ_NOWAIT), 3);
    assert_memory_equal(buffer, "one", 3);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 3);
    assert_memory_equal(buffer, "two", 3);
    assert_int_equal(shmq_close(r), 0);
    helper_finish(q);
}

static void longest_message(void **state)
{
    struct shmq_attr attr = helper_attr(1 << 16);
    shmq_t *q = helper_create(&attr);
    size_t longest = (1 << 16) - 24;
    char *in = malloc(longest + 1), *out = calloc(1, longest);

    (void)state;
    for (size_t i = 0; i <= longest; i++)
        in[i] = (char)(i * 7 + i / 256);
    for (int lap = 0; lap < 3; lap++) {
        assert_int_equal(shmq_put(q, in, longest + 1, SHMQ_NOWAIT), -EMSGSIZE);
        assert_true(helper_detail_names("65513", "65512"));
        assert_int_equal(shmq_put(q, in, longest, SHMQ_NOWAIT), 0);
        assert_int_equal(shmq_put(q, NULL, 0, SHMQ_NOWAIT), -EAGAIN);
        assert_int_equal(shmq_get(q, out, longest, NULL, SHMQ_NOWAIT), longest);
        assert_memory_equal(in, out, longest);
        assert_int_equal(shmq_put(q, "shift", 5, SHMQ_NOWAIT), 0);
        assert_int_equal(shmq_get(q, out, longest, NULL, SHMQ_NOWAIT), 5);
    }
    free(in);
    free(out);
    helper_finish(q);
}

static void longest_as_set(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    char bytes[101] = "";

    (void)state;
    attr.max_message_bytes = 100;
    shmq_t *q = helper_create(&attr);
    assert_int_equal(shmq_put(q, bytes, 100, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(q, bytes, 101, SHMQ_NOWAIT), -EMSGSIZE);
    assert_int_equal(shmq_put(q, bytes, SIZE_MAX, SHMQ_NOWAIT), -EMSGSIZE);
    assert_int_equal(shmq_depth(q), 1);
    helper_finish(q);
}

static void small_buffer(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_info info = {0};
    char buffer[16] = "untouched";

    (void)state;
    assert_int_equal(shmq_put(q, "0123456789", 10, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(q, buffer, 9, &info, SHMQ_NOWAIT), -EMSGSIZE);
    assert_int_equal(info.length, 10);
    assert_int_equal(info.id, 1);
    assert_true(helper_detail_names("10", "9"));
    assert_int_equal(shmq_get(q, NULL, 0, NULL, SHMQ_FOREVER), -EMSGSIZE);
    assert_string_equal(buffer, "untouched");
    assert_int_equal(shmq_depth(q), 1);
    assert_int_equal(shmq_get(q, buffer, 10, &info, SHMQ_NOWAIT), 10);
    assert_memory_equal(buffer, "0123456789", 10);
    helper_finish(q);
}

static void bad_timeouts(void **state)
{
    static const int64_t bad[] = {-2, -1000000000, INT64_MIN};
    shmq_t *q = helper_create(NULL);
    struct shmq_buf one = {"x", 1};
    struct shmq_info info;
    char buffer[8];
    void *data;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(shmq_put(q, "x", 1, bad[i]), -EINVAL);
        assert_int_equal(shmq_put_many(q, &one, 1, bad[i]), -EINVAL);
        assert_int_equal(shmq_reserve(q, 1, &data, bad[i]), -EINVAL);
        assert_int_equal(shmq_depth(q), 0);
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
        assert_int_equal(shmq_get(q, buffer, 8, NULL, bad[i]), -EINVAL);
        assert_int_equal(shmq_get_many(q, buffer, 8, &info, 1, SHMQ_NOWAIT, bad[i]), -EINVAL);
        assert_int_equal(shmq_get_many(q, buffer, 8, &info, 1, bad[i], SHMQ_NOWAIT), -EINVAL);
        assert_int_equal(shmq_depth(q), 1);
        assert_int_equal(shmq_get(q, buffer, 8, NULL, INT64_MAX), 1);
    }
    helper_finish(q);
}

/* --- full ------------------------------------------------------------------ */

/* Fill a ring of 4096 with messages of 8 bytes, each its own number. */
static uint64_t fill(shmq_t *q)
{
    uint64_t n = 0;

    while (shmq_put(q, &n, 8, SHMQ_NOWAIT) == 0)
        n++;
    return n;
}

static void full_block(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    uint64_t got;

    (void)state;
    assert_int_equal(fill(q), 4096 / 32);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_MS(5)), -ETIMEDOUT);
    assert_int_equal(shmq_depth(q), 128);
    assert_int_equal(shmq_get(q, &got, 8, NULL, SHMQ_NOWAIT), 8);
    assert_int_equal(got, 0);
    /* Room for 32 bytes: not for a message of 9 bytes. */
    assert_int_equal(shmq_put(q, "123456789", 9, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_put(q, "12345678", 8, SHMQ_NOWAIT), 0);
    for (uint64_t i = 1; i < 128; i++) {
        assert_int_equal(shmq_get(q, &got, 8, NULL, SHMQ_NOWAIT), 8);
        assert_int_equal(got, i);
    }
    helper_finish(q);
}

static void full_fail(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    int64_t before_ns;
    void *data;

    (void)state;
    attr.full = SHMQ_FULL_FAIL;
    shmq_t *q = helper_create(&attr);
    struct shmq_buf one = {"x", 1};
    assert_int_equal(fill(q), 128);
    before_ns = helper_now_ns();
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_FOREVER), -EAGAIN);
    assert_int_equal(shmq_put(q, "x", 1, 3 * HELPER_LATE_NS), -EAGAIN);
    assert_int_equal(shmq_put_many(q, &one, 1, SHMQ_FOREVER), -EAGAIN);
    assert_int_equal(shmq_reserve(q, 1, &data, SHMQ_FOREVER), -EAGAIN);
    assert_cmp(helper_now_ns() - before_ns, <, HELPER_LATE_NS);
    helper_finish(q);
}

static void full_drop(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    struct shmq_info info;
    char long_one[1000] = "long";
    uint64_t got;

    (void)state;
    attr.full = SHMQ_FULL_DROP;
    shmq_t *q = helper_create(&attr);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(shmq_put(q, &i, 8, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_depth(q), 128);
    assert_int_equal(helper_stats(q).dropped_count, 872);
    assert_int_equal(shmq_get(q, &got, 8, &info, SHMQ_NOWAIT), 8);
    assert_int_equal(got, 872);
    assert_int_equal(info.id, 873);
    /* 1024 bytes are needed and 32 free: 31 more have to go. */
    assert_int_equal(shmq_put(q, long_one, sizeof(long_one), SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_depth(q), 127 - 31 + 1);
    assert_int_equal(helper_stats(q).dropped_count, 872 + 31);
    assert_int_equal(shmq_get(q, &got, 8, &info, SHMQ_NOWAIT), 8);
    assert_int_equal(got, 873 + 31);
    assert_int_equal(helper_stats(q).got_count, 2);
    helper_finish(q);
}

static void max_messages(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    char buffer[8];

    (void)state;
    attr.max_messages = 3;
    for (uint32_t full = SHMQ_FULL_BLOCK; full <= SHMQ_FULL_DROP; full++) {
        attr.full = full;
        shmq_t *q = helper_create(&attr);
        for (int lap = 0; lap < 5; lap++) {
            for (char c = 'a'; c < 'd'; c++)
                assert_int_equal(shmq_put(q, &c, 1, SHMQ_NOWAIT), 0);
            assert_int_equal(shmq_put(q, "d", 1, SHMQ_NOWAIT),
                             full == SHMQ_FULL_DROP ? 0 : -EAGAIN);
            assert_int_equal(shmq_depth(q), 3);
            for (char c = 'a'; c < 'd'; c++) {
                assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
                assert_int_equal(buffer[0], full == SHMQ_FULL_DROP ? c + 1 : c);
            }
        }
        helper_finish(q);
    }
}

/* Messages of all lengths through many laps of the ring, at all fillings. */
static void many_laps(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    unsigned char in[600], out[600];
    uint64_t put = 0, got = 0;
    struct shmq_info info;

    (void)state;
    while (got < 20000) {
        unsigned ahead = (unsigned)(put / 777 % 12) + 1;
        while (put - got < ahead) {
            size_t length = put * 13 % 300;
            memset(in, (int)(put % 251), length);
            if (shmq_put(q, in, length, SHMQ_NOWAIT) != 0)
                break;
            put++;
        }
        size_t length = got * 13 % 300;
        memset(in, (int)(got % 251), length);
        assert_int_equal(shmq_get(q, out, sizeof(out), &info, SHMQ_NOWAIT), length);
        assert_memory_equal(in, out, length);
        assert_int_equal(info.id, ++got);
    }
    helper_finish(q);
}

/* --- errors explained ------------------------------------------------------- */

static void errors_explained(void **state)
{
    static const int documented[] = {EACCES, EAGAIN, EBADMSG,  EBUSY,     EEXIST, EINTR,
                                     EINVAL, EMFILE, EMSGSIZE, ENFILE,    ENOENT, ENOMEM,
                                     ENOSPC, EPROTO, ESTALE,   ETIMEDOUT, EUSERS};
    const char *unknown = shmq_strerror(-12345);

    (void)state;
    assert_non_null(unknown);
    for (size_t i = 0; i < sizeof(documented) / sizeof(documented[0]); i++) {
        const char *sentence = shmq_strerror(-documented[i]);
        assert_string_not_equal(sentence, unknown);
        assert_cmp(strlen(sentence), >, 8);
        assert_ptr_equal(sentence, shmq_strerror(documented[i]));
    }
    assert_non_null(shmq_strerror(0));
    assert_non_null(shmq_strerror(INT32_MIN));
    assert_string_equal(shmq_version(), SHMQ_VERSION);
}

static void close_of_nothing(void **state)
{
    (void)state;
    assert_int_equal(shmq_close(NULL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(put_and_get),      HELPER_TEST(nothing_into_nothing), HELPER_TEST(two_handles),
        HELPER_TEST(longest_message),  HELPER_TEST(longest_as_set),       HELPER_TEST(small_buffer),
        HELPER_TEST(bad_timeouts),     HELPER_TEST(full_block),           HELPER_TEST(full_fail),
        HELPER_TEST(full_drop),        HELPER_TEST(max_messages),         HELPER_TEST(many_laps),
        HELPER_TEST(errors_explained), HELPER_TEST(close_of_nothing),
    };

    return helper_run(argc, argv, tests);
}
