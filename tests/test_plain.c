/*
 * test_plain.c - the plain calls, in one process: what a message goes in as, it
 * comes out as, in order, and every limit is named.
 */
#include "helper.h"

#include <errno.h>
#include <string.h>

static void put_and_get(void **state)
{
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL, NULL);
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
    assert_true(info.put_ns <= helper_now_ns() && info.put_ns > helper_now_ns() - SHMQ_SEC(1));
    assert_int_equal(shmq_get(q, buffer, sizeof(buffer), &info, SHMQ_NOWAIT), 0);
    assert_int_equal(info.id, 2);
    assert_int_equal(shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_FOREVER), 3);
    assert_memory_equal(buffer, "a\0b", 3);
    assert_int_equal(shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_depth(q), 0);
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(put_and_get),
    };

    return cmocka_run_group_tests_name("plain", tests, NULL, NULL);
}
