/*
 * test_unique.c - queues in which one key waits at most once.
 */
#include "support/moment.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static shmq_t *create(const struct shmq_attr *attr)
{
    return helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL | SHMQ_UNIQUE, attr);
}

/* shmq_send() of a message with this key; *id is that of whichever has it then. */
static int send_within(shmq_t *q, const char *key, int64_t ttl_ns, int64_t timeout_ns, uint64_t *id)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.data = key;
    msg.key = key;
    msg.length = msg.key_length = strlen(key);
    msg.ttl_ns = ttl_ns;
    int rc = shmq_send(q, &msg, timeout_ns);
    *id = msg.id;
    return rc;
}

static int try_send(shmq_t *q, const char *key, int64_t ttl_ns, uint64_t *id)
{
    return send_within(q, key, ttl_ns, SHMQ_NOWAIT, id);
}

/* It must be free. */
static uint64_t send(shmq_t *q, const char *key)
{
    uint64_t id;

    assert_int_equal(try_send(q, key, 0, &id), 0);
    return id;
}

/* Whether message `id` has the key. */
static bool has(shmq_t *q, const char *key, uint64_t id)
{
    uint64_t other = 0;

    return try_send(q, key, 0, &other) == -EEXIST && other == id;
}

static void one_key_once(void **state)
{
    shmq_t *q = create(NULL);
    uint64_t a = send(q, "a"), b = send(q, "b");
    char number[32];

    (void)state;
    assert_true(has(q, "a", a));
    snprintf(number, sizeof(number), "%llu", (unsigned long long)a);
    assert_true(helper_detail_names("key", number));
    assert_true(has(q, "b", b));
    assert_int_equal(shmq_depth(q), 2);
    /* Keys are bytes, not texts. */
    struct shmq_msg msg = SHMQ_MSG_INIT;
    msg.key = "a\0c";
    msg.key_length = 3;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), -EEXIST);
    msg.key_length = 2;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    helper_finish(q);
}

/* Each of these ends a message, and its key is free. */
static void freed_by(shmq_t *q, int how)
{
    uint64_t id = send(q, "key");
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct shmq_info info;
    char buffer[8];

    if (how == 1 || how == 2 || how == 3)
        msg = helper_receive(q);
    assert_true(has(q, "key", id));
    if (how == 0)
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 3);
    else if (how == 1)
        assert_int_equal(shmq_ack(q, &msg), 0);
    else if (how == 2)
        assert_int_equal(shmq_task_done(q), 0);
    else if (how == 3)
        assert_int_equal(shmq_reject(q, &msg, 0, NULL), 0); /* parked is finished */
    else if (how == 4)
        assert_cmp(shmq_purge(q), >, 0);
    else if (how == 5)
        assert_int_equal(shmq_remove(q, id), 0);
    else
        assert_int_equal(shmq_get_many(q, buffer, 8, &info, 1, 0, SHMQ_NOWAIT), 1);
}

static void freed_by_the_end(void **state)
{
    shmq_t *q = create(NULL);

    (void)state;
    for (int round = 0; round < 3; round++)
        for (int how = 0; how < 7; how++)
            freed_by(q, how);
    uint64_t id = send(q, "key");
    assert_true(has(q, "key", id));
    helper_finish(q);
}

static void freed_by_expiry(void **state)
{
    shmq_t *q = create(NULL);
    uint64_t fresh, held;

    (void)state;
    assert_int_equal(try_send(q, "held", MOMENT_HOUR_NS, &held), 0);
    assert_int_equal(try_send(q, "fresh", MOMENT_HOUR_NS, &fresh), 0);
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_nack(q, &msg, 0, 0), 0);
    assert_true(has(q, "held", held));
    assert_true(has(q, "fresh", fresh));
    moment_pass(MOMENT_AFTER_NS);
    assert_true(helper_takes(q, NULL));
    send(q, "held");
    send(q, "fresh");
    assert_int_equal(shmq_depth(q), 2);
    helper_finish(q);
}

/* A message whose time is over does not keep its key from another, even if nobody has
 * come to see. */
static void expired_unseen(void **state)
{
    shmq_t *q = create(NULL);
    uint64_t id;

    (void)state;
    assert_int_equal(try_send(q, "key", MOMENT_HOUR_NS, &id), 0);
    moment_pass(MOMENT_AFTER_NS);
    int rc = try_send(q, "key", 0, &id);
    assert_one_of(rc, 0, -EEXIST);
    assert_true(helper_takes(q, rc == 0 ? "key" : NULL));
    send(q, "key");
    helper_finish(q);
}

static void not_freed_by_a_lease(void **state)
{
    shmq_t *q = create(NULL);
    uint64_t id = send(q, "key");

    (void)state;
    struct shmq_msg msg = helper_receive(q);
    assert_true(has(q, "key", id));
    assert_int_equal(shmq_nack(q, &msg, 0, 0), 0);
    assert_true(has(q, "key", id));
    msg = helper_receive(q);
    assert_int_equal(shmq_nack(q, &msg, SHMQ_MS(10), SHMQ_TO_BACK), 0);
    assert_true(has(q, "key", id));
    /* Nor by the death of who has it. */
    pid_t child = helper_holder(q);
    helper_kill(child);
    msg = helper_receive(q);
    assert_true(has(q, "key", id));
    /* Nor by a purge, which leaves what is leased. */
    assert_int_equal(shmq_purge(q), 0);
    assert_true(has(q, "key", id));
    assert_int_equal(shmq_ack(q, &msg), 0);
    send(q, "key");
    helper_finish(q);
}

static void delayed_ones_have_it(void **state)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    shmq_t *q = create(NULL);

    (void)state;
    msg.key = "key";
    msg.key_length = 3;
    msg.delay_ns = MOMENT_HOUR_NS;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_true(has(q, "key", msg.id));
    assert_true(helper_takes(q, NULL)); /* it is an entry now */
    assert_true(has(q, "key", msg.id));
    moment_pass(MOMENT_AFTER_NS);
    assert_true(helper_takes(q, ""));
    send(q, "key");
    helper_finish(q);
}

/* One that is parked comes back only if nobody has its key meanwhile. */
static void back_from_the_dead(void **state)
{
    shmq_t *q = create(NULL);
    uint64_t id = send(q, "key");

    (void)state;
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_reject(q, &msg, 0, NULL), 0);
    uint64_t next = send(q, "key");
    assert_int_equal(shmq_redrive(q, 0), 0);
    assert_int_equal(helper_group(q).dead, 1);
    assert_true(has(q, "key", next));
    assert_true(helper_takes(q, "key"));
    assert_int_equal(shmq_redrive(q, 0), 1);
    assert_true(has(q, "key", id));
    assert_true(helper_takes(q, "key"));
    send(q, "key");
    helper_finish(q);
}

static void updated_ones_keep_it(void **state)
{
    shmq_t *q = create(NULL);
    uint64_t id = send(q, "key");

    (void)state;
    assert_int_equal(shmq_update(q, id, "longer than before", 18, SHMQ_NOWAIT), 0);
    assert_true(has(q, "key", id));
    struct shmq_msg msg = helper_receive(q);
    assert_true(helper_is(&msg, "longer than before"));
    assert_int_equal(msg.key_length, 3);
    assert_int_equal(shmq_ack(q, &msg), 0);
    send(q, "key");
    helper_finish(q);
}

/* Lost to full=drop: free again. */
static void dropped(void **state)
{
    struct shmq_attr attr = helper_attr(4096);

    (void)state;
    attr.full = SHMQ_FULL_DROP;
    attr.max_messages = 2;
    shmq_t *q = create(&attr);
    send(q, "a");
    uint64_t b = send(q, "b");
    send(q, "c");
    assert_true(has(q, "b", b)); /* and drops nothing for one that is refused */
    send(q, "a");
    assert_int_equal(helper_group(q).dropped_count, 2);
    helper_finish(q);
}

/* A full queue says of a key that it is there, rather than wait for room. */
static void full(void **state)
{
    struct shmq_attr attr = helper_attr(4096);

    (void)state;
    attr.max_messages = 2;
    shmq_t *q = create(&attr);
    uint64_t a = send(q, "a"), id;
    send(q, "b");
    assert_true(has(q, "a", a));
    assert_int_equal(try_send(q, "c", 0, &id), -EAGAIN);
    helper_finish(q);
}

/* --- contradictions ---------------------------------------------------------------- */

static void what_does_not_go_together(void **state)
{
    shmq_t *q, *sole;
    void *data;

    (void)state;
    assert_int_equal(shmq_open(&q, helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC | SHMQ_UNIQUE, NULL),
                     -EINVAL);
    assert_true(helper_detail_names("SHMQ_UNIQUE", "SHMQ_TOPIC"));
    q = create(NULL);
    /* Who puts enters the consumers' side, too. */
    int rc = shmq_open(&sole, helper_name("a"), SHMQ_SOLE_CONSUMER, NULL);
    assert_int_equal(rc, -EINVAL);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), -EINVAL);
    assert_true(helper_detail_names("unique", "key"));
    struct shmq_buf batch = {"x", 1};
    assert_int_equal(shmq_put_many(q, &batch, 1, SHMQ_NOWAIT), -EINVAL);
    assert_int_equal(shmq_reserve(q, 8, &data, SHMQ_NOWAIT), -EINVAL);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), -EINVAL);
    assert_true(helper_detail_names("unique", "key"));
    assert_int_equal(shmq_depth(q), 0);
    helper_finish(q);
}

static void a_batch_ends_where_a_key_is_taken(void **state)
{
    shmq_t *q = create(NULL);
    const char *const keys[] = {"a", "b", "a", "c"};
    struct shmq_msg msgs[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
        msgs[i].key = keys[i];
        msgs[i].key_length = 1;
    }
    assert_int_equal(shmq_send_many(q, msgs, 4, SHMQ_NOWAIT), 2);
    assert_int_equal(shmq_send_many(q, msgs + 2, 2, SHMQ_NOWAIT), -EEXIST);
    assert_int_equal(msgs[2].id, msgs[0].id);
    helper_finish(q);
}

/* --- many --------------------------------------------------------------------------- */

static void thousands_of_keys(void **state)
{
    enum { KEYS = 2000, ROUNDS = 20000 };
    struct shmq_attr attr = helper_attr(1 << 20);
    static uint64_t ids[KEYS];
    struct helper_random random = helper_seed();
    char key[16];

    (void)state;
    memset(ids, 0, sizeof(ids));
    shmq_t *q = create(&attr);
    for (int i = 0; i < ROUNDS; i++) {
        unsigned k = (unsigned)(helper_random(&random) % KEYS);
        snprintf(key, sizeof(key), "key %u", k);
        if (helper_random(&random) % 2 == 0) {
            uint64_t id;
            int rc = try_send(q, key, 0, &id);
            assert_int_equal(rc, ids[k] == 0 ? 0 : -EEXIST);
            if (ids[k] != 0)
                assert_int_equal(id, ids[k]);
            ids[k] = id;
        } else if (ids[k] != 0) {
            assert_int_equal(shmq_remove(q, ids[k]), 0);
            ids[k] = 0;
        }
    }
    helper_finish(q);
}

static int send_all_keys(void *q)
{
    char key[16];
    int sent = 0;
    uint64_t id;

    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "key %d", i);
        int rc = send_within(q, key, 0, HELPER_LATE_NS, &id);
        if (rc != 0 && rc != -EEXIST)
            return 255;
        sent += rc == 0;
    }
    return sent > 254 ? 254 : sent;
}

/* Of several that send the same keys at the same time, one each. */
static void several_at_once(void **state)
{
    shmq_t *q = create(NULL);
    pid_t children[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        children[i] = helper_fork(send_all_keys, q);
    for (int i = 0; i < 3; i++)
        assert_cmp(helper_wait(children[i]), <, 255);
    assert_int_equal(shmq_depth(q), 300);
    assert_int_equal(send_all_keys(q), 0);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(one_key_once),
        HELPER_TEST(freed_by_the_end),
        MOMENT_TEST(freed_by_expiry),
        MOMENT_TEST(expired_unseen),
        HELPER_TEST(not_freed_by_a_lease),
        MOMENT_TEST(delayed_ones_have_it),
        HELPER_TEST(back_from_the_dead),
        HELPER_TEST(updated_ones_keep_it),
        HELPER_TEST(dropped),
        HELPER_TEST(full),
        HELPER_TEST(what_does_not_go_together),
        HELPER_TEST(a_batch_ends_where_a_key_is_taken),
        HELPER_TEST(thousands_of_keys),
        HELPER_TEST(several_at_once),
    };

    return helper_run(argc, argv, tests);
}
