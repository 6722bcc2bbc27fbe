/*
 * test_space.c - what is held back does not fill the ring, and what is in hand does.
 */
#include "support/moment.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE = 64 };

static void number_it(char message[MESSAGE], uint64_t number)
{
    memset(message, (int)(number % 251), MESSAGE);
    memcpy(message, &number, sizeof(number));
}

static bool is_number(const void *message, size_t length, uint64_t number)
{
    char expected[MESSAGE];

    number_it(expected, number);
    return length == MESSAGE && memcmp(message, expected, MESSAGE) == 0;
}

static uint64_t send_delayed(shmq_t *q, uint64_t number, int64_t delay_ns)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char message[MESSAGE];

    number_it(message, number);
    msg.data = message;
    msg.length = MESSAGE;
    msg.delay_ns = delay_ns;
    int rc = shmq_send(q, &msg, HELPER_LATE_NS);
    if (rc != 0)
        print_error("send %llu: %d (%s)\n", (unsigned long long)number, rc,
                    shmq_last_error_detail());
    assert_int_equal(rc, 0);
    return msg.id;
}

/* Put and get `count` messages, some at a time; each must be whole. */
static void pass_through(shmq_t *q, uint64_t count)
{
    char message[MESSAGE], buffer[MESSAGE];

    for (uint64_t put = 0, got = 0; got < count;) {
        while (put < count && put < got + 16) {
            number_it(message, put++);
            assert_int_equal(shmq_put(q, message, MESSAGE, HELPER_LATE_NS), 0);
        }
        ssize_t n = shmq_get(q, buffer, MESSAGE, NULL, HELPER_LATE_NS);
        assert_true(n == MESSAGE && is_number(buffer, MESSAGE, got));
        got++;
    }
}

static void one_delayed_for_an_hour(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    char buffer[256];
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    uint64_t id = send_delayed(q, 77, SHMQ_SEC(3600));
    pass_through(q, 10000);
    assert_int_equal(helper_group(q).delayed, 1);
    assert_int_equal(shmq_find(q, id, &msg, buffer, sizeof(buffer)), MESSAGE);
    assert_true(is_number(msg.data, msg.length, 77));
    assert_cmp(msg.due_ns, >, helper_wall_ns() + SHMQ_SEC(3500));
    helper_finish(q);
}

/* A thousand rest while a million pass. */
static void thousands_beside_a_million(void **state)
{
    enum { DELAYED = 1000, PASSING = 1000000, BATCH = 64 };
    struct shmq_attr attr = helper_attr(1 << 20);
    static char messages[BATCH][MESSAGE], buffer[BATCH * MESSAGE];
    struct shmq_buf batch[BATCH];
    struct shmq_info infos[BATCH];
    uint64_t ids[DELAYED];

    (void)state;
    attr.pending_count = 2048;
    shmq_t *q = helper_create(&attr);
    for (int i = 0; i < DELAYED; i++)
        ids[i] = send_delayed(q, 1000000u + (unsigned)i, SHMQ_SEC(3600));
    for (int i = 0; i < BATCH; i++)
        batch[i] = (struct shmq_buf){messages[i], MESSAGE};
    for (uint64_t n = 0; n < PASSING; n += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++)
            number_it(messages[i], n + i);
        assert_int_equal(shmq_put_many(q, batch, BATCH, HELPER_LATE_NS), BATCH);
        assert_int_equal(shmq_get_many(q, buffer, sizeof(buffer), infos, BATCH, 0, HELPER_LATE_NS),
                         BATCH);
        assert_true(is_number(buffer, infos[0].length, n));
        assert_true(is_number(buffer + infos[BATCH - 1].offset, MESSAGE, n + BATCH - 1));
    }
    assert_int_equal(helper_group(q).delayed, DELAYED);
    for (int i = 0; i < DELAYED; i += 37) {
        struct shmq_msg msg = SHMQ_MSG_INIT;
        assert_int_equal(shmq_find(q, ids[i], &msg, buffer, sizeof(buffer)), MESSAGE);
        assert_true(is_number(msg.data, msg.length, 1000000u + (unsigned)i));
    }
    helper_finish(q);
}

/* They come when they are due, in their order, though they were moved about. */
static void moved_and_then_due(void **state)
{
    struct shmq_attr attr = helper_attr(8192);
    shmq_t *q = helper_create(&attr);

    (void)state;
    for (uint64_t i = 0; i < 20; i++)
        send_delayed(q, 500 + i, MOMENT_HOUR_NS);
    pass_through(q, 5000);
    moment_pass(MOMENT_AFTER_NS);
    for (uint64_t i = 0; i < 20; i++) {
        struct shmq_msg msg = helper_receive(q);
        assert_true(is_number(msg.data, msg.length, 500 + i));
        assert_int_equal(shmq_ack(q, &msg), 0);
    }
    helper_finish(q);
}

/* What rests for a retry, and what is parked, is moved as well. */
static void resting_and_parked(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);

    (void)state;
    for (uint64_t i = 0; i < 6; i++) {
        send_delayed(q, i, 0);
        struct shmq_msg msg = helper_receive(q);
        if (i % 2 == 0)
            assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(3600), 0), 0);
        else
            assert_int_equal(shmq_reject(q, &msg, 0, NULL), 0);
    }
    pass_through(q, 2000);
    assert_int_equal(shmq_redrive(q, 0), 3);
    for (uint64_t i = 1; i < 6; i += 2) {
        struct shmq_msg msg = helper_receive(q);
        assert_true(is_number(msg.data, msg.length, i));
        assert_int_equal(shmq_ack(q, &msg), 0);
    }
    assert_int_equal(helper_group(q).delayed, 3);
    helper_finish(q);
}

/* --- leases ---------------------------------------------------------------------------- */

static int put_waiting(void *q)
{
    char message[MESSAGE] = "";

    return shmq_put(q, message, MESSAGE, HELPER_LATE_NS) == 0 ? 0 : 1;
}

/* Its consumer reads it where it is, so it stays there. */
static void a_leased_one_pins(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    char message[MESSAGE];
    uint64_t passed = 0;

    (void)state;
    send_delayed(q, 77, 0);
    struct shmq_msg lease = helper_receive(q);
    number_it(message, 1);
    while (shmq_put(q, message, MESSAGE, SHMQ_NOWAIT) == 0) {
        assert_int_equal(shmq_get(q, message, MESSAGE, NULL, SHMQ_NOWAIT), MESSAGE);
        passed++;
    }
    assert_in_range(passed, 30, 46);
    assert_int_equal(shmq_put(q, message, MESSAGE, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_put(q, message, MESSAGE, SHMQ_MS(20)), -ETIMEDOUT);
    assert_true(is_number(lease.data, lease.length, 77));
    pid_t child = helper_fork(put_waiting, q);
    helper_expect_wake(q, HELPER_PRODUCERS);
    assert_int_equal(shmq_ack(q, &lease), 0);
    assert_true(helper_has_woken(q, HELPER_PRODUCERS));
    assert_int_equal(helper_wait(child), 0);
    helper_finish(q);
}

/* Given back, it can be moved. */
static void no_longer_pinned_when_given_back(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    char message[MESSAGE];

    (void)state;
    send_delayed(q, 77, 0);
    struct shmq_msg lease = helper_receive(q);
    number_it(message, 1);
    while (shmq_put(q, message, MESSAGE, SHMQ_NOWAIT) == 0)
        assert_int_equal(shmq_get(q, message, MESSAGE, NULL, SHMQ_NOWAIT), MESSAGE);
    pid_t child = helper_fork(put_waiting, q);
    assert_true(helper_await(helper_producer_sleeps, q));
    assert_int_equal(shmq_nack(q, &lease, SHMQ_SEC(3600), 0), 0);
    assert_int_equal(helper_wait(child), 0);
    helper_finish(q);
}

/* What the dead had in hand holds nobody up, though nobody else receives. */
static void pinned_by_the_dead(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    char message[MESSAGE];

    (void)state;
    send_delayed(q, 77, 0);
    pid_t child = helper_holder(q);
    number_it(message, 1);
    while (shmq_put(q, message, MESSAGE, SHMQ_NOWAIT) == 0)
        assert_int_equal(shmq_get(q, message, MESSAGE, NULL, SHMQ_NOWAIT), MESSAGE);
    helper_kill(child);
    assert_int_equal(shmq_put(q, message, MESSAGE, HELPER_LATE_NS), 0);
    helper_finish(q);
}

/* Nor does a lease whose time is over. */
static void pinned_beyond_its_time(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    char message[MESSAGE];

    (void)state;
    shmq_t *q = helper_create(&attr);
    send_delayed(q, 77, 0);
    struct shmq_msg lease = helper_receive(q);
    number_it(message, 1);
    while (shmq_put(q, message, MESSAGE, SHMQ_NOWAIT) == 0)
        assert_int_equal(shmq_get(q, message, MESSAGE, NULL, SHMQ_NOWAIT), MESSAGE);
    assert_int_equal(shmq_touch(q, &lease, SHMQ_MS(300)), 0);
    assert_int_equal(shmq_put(q, message, MESSAGE, HELPER_LATE_NS), 0);
    helper_finish(q);
}

/* --- several groups ------------------------------------------------------------------------ */

static void several_groups(void **state)
{
    struct shmq_attr attr = helper_attr(8192);
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, &attr), *g[3];
    char message[MESSAGE], buffer[MESSAGE];

    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        assert_int_equal(shmq_subscribe(q, name, NULL, &g[i]), 0);
    }
    /* Some hold one back, some another, some both, some none. */
    for (uint64_t i = 0; i < 8; i++) {
        number_it(message, 900 + i);
        assert_int_equal(shmq_put(q, message, MESSAGE, SHMQ_NOWAIT), 0);
        for (unsigned k = 0; k < 3; k++) {
            struct shmq_msg msg = helper_receive(g[k]);
            assert_int_equal(
                i >> k & 1 ? shmq_nack(g[k], &msg, MOMENT_HOUR_NS, 0) : shmq_ack(g[k], &msg), 0);
        }
    }
    for (uint64_t i = 0; i < 3000; i++) {
        number_it(message, i);
        assert_int_equal(shmq_put(q, message, MESSAGE, HELPER_LATE_NS), 0);
        for (int k = 0; k < 3; k++)
            assert_int_equal(shmq_get(g[k], buffer, MESSAGE, NULL, HELPER_LATE_NS), MESSAGE);
    }
    moment_pass(MOMENT_AFTER_NS);
    for (unsigned k = 0; k < 3; k++) {
        for (uint64_t i = 0; i < 8; i++) {
            if ((i >> k & 1) == 0)
                continue;
            struct shmq_msg msg = helper_receive(g[k]);
            assert_true(is_number(msg.data, msg.length, 900 + i));
            assert_int_equal(shmq_ack(g[k], &msg), 0);
        }
        assert_int_equal(shmq_close(g[k]), 0);
    }
    helper_finish(q);
}

/* --- a sole consumer -------------------------------------------------------------------------- */

static int produce(void *name)
{
    char message[MESSAGE];
    shmq_t *q;

    if (shmq_open(&q, name, 0, NULL) != 0)
        return 1;
    for (uint64_t i = 0; i < 5000; i++) {
        number_it(message, i);
        if (shmq_put(q, message, MESSAGE, HELPER_LATE_NS) != 0)
            return 2;
    }
    return shmq_close(q) == 0 ? 0 : 3;
}

/* Nobody else can enter its side to move what it holds back. */
static void a_sole_consumer_holds_back(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE, &attr);
    shmq_t *c = helper_open(helper_name("a"), SHMQ_SOLE_CONSUMER, NULL);
    static char name[64];

    (void)state;
    snprintf(name, sizeof(name), "%s", helper_name("a"));
    for (uint64_t i = 0; i < 5; i++) {
        send_delayed(q, 900 + i, 0);
        struct shmq_msg msg = helper_receive(c);
        assert_int_equal(shmq_nack(c, &msg, SHMQ_SEC(3600), 0), 0);
    }
    pid_t child = helper_fork(produce, name);
    for (uint64_t i = 0; i < 5000; i++) {
        struct shmq_msg msg = helper_receive(c);
        assert_true(is_number(msg.data, msg.length, i));
        assert_int_equal(shmq_ack(c, &msg), 0);
    }
    assert_int_equal(helper_wait(child), 0);
    assert_int_equal(helper_group(q).delayed, 5);
    assert_int_equal(shmq_close(c), 0);
    helper_finish(q);
}

/* --- large ones ----------------------------------------------------------------------------------
 */

/* One of more than a quarter of the ring is held back, and others pass. */
static void a_large_one_is_held_back(void **state)
{
    enum { LARGE = 1500 };
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char large[LARGE], buffer[2048];

    (void)state;
    memset(large, 'L', LARGE);
    assert_int_equal(shmq_put(q, large, LARGE, SHMQ_NOWAIT), 0);
    msg = helper_receive(q);
    uint64_t id = msg.id;
    assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(3600), 0), 0);
    /* One at a time, and in such lots that there is just room. */
    for (unsigned i = 0; i < 2000; i++) {
        size_t length = 1 + i % 1000;
        memset(buffer, (int)(i % 100), length);
        int rc = shmq_put(q, buffer, length, SHMQ_MS(100));
        if (rc != 0)
            print_error("put %u of %zu bytes: %d\n", i, length, rc);
        assert_int_equal(rc, 0);
        assert_int_equal(shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT), length);
    }
    assert_int_equal(shmq_find(q, id, &msg, buffer, sizeof(buffer)), LARGE);
    assert_memory_equal(msg.data, large, LARGE);
    helper_finish(q);
}

/* As large as the ring is: alone in it, and then gone. */
static void as_large_as_the_ring(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    char *large = calloc(1, 4096);

    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(shmq_put(q, large, 4096 - 24, SHMQ_NOWAIT), 0);
        struct shmq_msg msg = helper_receive(q);
        assert_int_equal(msg.length, 4096 - 24);
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), -EAGAIN);
        assert_int_equal(shmq_ack(q, &msg), 0);
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
        assert_true(helper_takes(q, "x"));
    }
    free(large);
    helper_finish(q);
}

/* Messages of all sizes held back for a while each, under others that pass. */
static void all_sizes(void **state)
{
    struct shmq_attr attr = helper_attr(16384);
    struct helper_random random = helper_seed();
    shmq_t *q = helper_create(&attr);
    char buffer[1024];
    uint64_t held = 0;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t r = helper_random(&random);
        size_t length = 8 + r % 600;
        memset(buffer, (int)(length % 256), length);
        memcpy(buffer, &length, sizeof(length));
        assert_int_equal(shmq_put(q, buffer, length, SHMQ_NOWAIT), 0);
        struct shmq_msg msg = helper_receive(q);
        memcpy(&length, msg.data, sizeof(length));
        assert_int_equal(msg.length, length);
        for (size_t at = sizeof(length); at < length; at++)
            assert_int_equal(((const unsigned char *)msg.data)[at], length % 256);
        if (r >> 32 & 1 && held < 10 && msg.attempts < 5) {
            assert_int_equal(shmq_nack(q, &msg, SHMQ_MS(r >> 40 & 15), 0), 0);
        } else {
            assert_int_equal(shmq_ack(q, &msg), 0);
        }
        held = helper_group(q).backlog;
        while (helper_group(q).waiting > 0) {
            msg = helper_receive(q);
            assert_int_equal(shmq_ack(q, &msg), 0);
        }
    }
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(one_delayed_for_an_hour),
        HELPER_TEST(thousands_beside_a_million),
        MOMENT_TEST(moved_and_then_due),
        HELPER_TEST(resting_and_parked),
        HELPER_TEST(a_leased_one_pins),
        HELPER_TEST(no_longer_pinned_when_given_back),
        HELPER_TEST(pinned_by_the_dead),
        HELPER_TEST(pinned_beyond_its_time),
        MOMENT_TEST(several_groups),
        HELPER_TEST(a_sole_consumer_holds_back),
        HELPER_TEST(a_large_one_is_held_back),
        HELPER_TEST(as_large_as_the_ring),
        HELPER_TEST(all_sizes),
    };

    return helper_run(argc, argv, tests);
}
