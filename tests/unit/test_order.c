/*
 * test_order.c - in which order, and when, messages are handed out.
 */
#include "support/moment.h"

#include <errno.h>
#include <string.h>

#include "handle/handle.h"

/* For processes that sleep until then. */
#define SOON_NS SHMQ_MS(300)

static shmq_t *create(uint32_t order)
{
    struct shmq_attr attr = helper_attr(65536);

    attr.order = order;
    return helper_create(&attr);
}

static uint64_t send(shmq_t *q, const char *text, int32_t priority, int64_t delay_ns)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.data = text;
    msg.length = strlen(text);
    msg.priority = priority;
    msg.delay_ns = delay_ns;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    return msg.id;
}

static void send_all(shmq_t *q, const char *texts)
{
    for (; *texts != '\0'; texts++) {
        char text[2] = {*texts, 0};
        helper_send(q, text);
    }
}

/* Receive one at a time until these one-letter texts have come. */
static bool comes(shmq_t *q, const char *texts)
{
    bool good = true;

    for (; *texts != '\0'; texts++) {
        char text[2] = {*texts, 0};
        struct shmq_msg msg = helper_receive(q);
        good &= helper_is(&msg, text);
        assert_int_equal(shmq_ack(q, &msg), 0);
    }
    return good && helper_takes(q, NULL);
}

static void first_in_first_out(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);

    (void)state;
    send(q, "b", 9, MOMENT_HOUR_NS);
    send_all(q, "ac");
    assert_true(helper_takes(q, "a"));
    moment_pass(MOMENT_AFTER_NS);
    /* Its own place, now that its delay is over; priorities do not count. */
    assert_true(comes(q, "bc"));
    helper_finish(q);
}

static void last_in_first_out(void **state)
{
    shmq_t *q = create(SHMQ_LIFO);
    char buffer[4];

    (void)state;
    send_all(q, "ab");
    send(q, "d", 0, MOMENT_HOUR_NS);
    send_all(q, "ce");
    assert_true(helper_takes(q, "e"));
    assert_true(helper_takes(q, "c"));
    moment_pass(MOMENT_AFTER_NS);
    assert_true(helper_takes(q, "d"));
    send_all(q, "f");
    assert_int_equal(shmq_get(q, buffer, 4, NULL, SHMQ_NOWAIT), 1); /* plain ones likewise */
    assert_int_equal(buffer[0], 'f');
    assert_true(comes(q, "ba"));
    helper_finish(q);
}

static void by_priority(void **state)
{
    shmq_t *q = create(SHMQ_PRIORITY);

    (void)state;
    send(q, "e", 0, 0);
    send(q, "c", 7, 0);
    send(q, "b", 8, MOMENT_HOUR_NS);
    send(q, "d", 7, 0);
    send(q, "a", INT32_MAX, 0);
    send(q, "g", INT32_MIN, 0);
    send(q, "f", -1, 0);
    assert_int_equal(shmq_put(q, "z", 1, SHMQ_NOWAIT), 0); /* plain ones have 0 */
    assert_true(helper_takes(q, "a"));
    assert_true(helper_takes(q, "c"));
    moment_pass(MOMENT_AFTER_NS);
    assert_true(comes(q, "bdezfg"));
    helper_finish(q);
}

/* More than fit a level of the heap, and each leaves others behind. */
static void priorities_of_many(void **state)
{
    shmq_t *q = create(SHMQ_PRIORITY);
    struct helper_random random = helper_seed();
    int last_priority = 9;
    uint64_t last_id = 0;

    (void)state;
    for (int i = 0; i < 500; i++)
        send(q, "x", (int32_t)(helper_random(&random) % 8), 0);
    for (int i = 0; i < 500; i++) {
        struct shmq_msg msg = helper_receive(q);
        assert_cmp(msg.priority, <=, last_priority);
        if (msg.priority == last_priority)
            assert_cmp(msg.id, >, last_id);
        last_priority = msg.priority;
        last_id = msg.id;
        assert_int_equal(shmq_ack(q, &msg), 0);
    }
    assert_true(helper_takes(q, NULL));
    helper_finish(q);
}

/* --- back again ---------------------------------------------------------------- */

static void back_in_its_own_place(void **state)
{
    static const char *const order[] = {"abc", "cba", "abc"};

    (void)state;
    for (uint32_t i = SHMQ_FIFO; i <= SHMQ_PRIORITY; i++) {
        shmq_t *q = create(i);
        send_all(q, "abc");
        struct shmq_msg one = helper_receive(q), two = helper_receive(q);
        assert_int_equal(shmq_nack(q, &two, 0, 0), 0);
        assert_int_equal(shmq_nack(q, &one, 0, 0), 0);
        one = helper_receive(q);
        assert_int_equal(one.attempts, 2);
        assert_int_equal(shmq_nack(q, &one, 0, 0), 0);
        assert_true(comes(q, order[i]));
        helper_finish(q);
    }
}

static void back_behind_all(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);

    (void)state;
    send_all(q, "abc");
    struct shmq_msg a = helper_receive(q), b = helper_receive(q);
    assert_int_equal(shmq_nack(q, &b, 0, SHMQ_TO_BACK), 0);
    assert_int_equal(shmq_nack(q, &a, 0, SHMQ_TO_BACK), 0);
    send_all(q, "d");
    /* Behind all that waited then, in the order in which they went there. */
    assert_true(comes(q, "cbad"));
    helper_finish(q);
    q = create(SHMQ_PRIORITY);
    send_all(q, "ab");
    send(q, "c", -1, 0);
    a = helper_receive(q);
    assert_int_equal(shmq_nack(q, &a, 0, SHMQ_TO_BACK), 0);
    assert_true(comes(q, "bac")); /* of its own priority */
    helper_finish(q);
}

/* It is a place, and stays it: a delay later, and after another nack. */
static void behind_all_and_delayed(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);

    (void)state;
    send_all(q, "ab");
    struct shmq_msg a = helper_receive(q);
    assert_int_equal(shmq_nack(q, &a, MOMENT_HOUR_NS, SHMQ_TO_BACK), 0);
    send_all(q, "c");
    moment_pass(MOMENT_AFTER_NS);
    assert_true(helper_takes(q, "b"));
    a = helper_receive(q);
    assert_true(helper_is(&a, "a"));
    assert_int_equal(shmq_nack(q, &a, 0, 0), 0);
    assert_true(comes(q, "ac"));
    helper_finish(q);
}

/* When the next message is due. */
static int64_t next_due_ns(shmq_t *q)
{
    return sq_load(&q->segment.ring.group->pending.next_due_ns);
}

static void back_after_a_delay(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);

    (void)state;
    send_all(q, "ab");
    struct shmq_msg a = helper_receive(q);
    int64_t begun_ns = helper_now_ns();
    assert_int_equal(shmq_nack(q, &a, MOMENT_HOUR_NS, 0), 0);
    assert_int_equal(helper_group(q).delayed, 1);
    assert_true(helper_takes(q, "b"));
    assert_true(helper_takes(q, NULL));
    int64_t due_ns = next_due_ns(q);
    assert_cmp(due_ns, >=, begun_ns + MOMENT_HOUR_NS);
    moment_pass(due_ns - helper_now_ns() - SOON_NS);
    moment_is_due(due_ns, due_ns);
    assert_true(comes(q, "a")); /* whoever sleeps wakes for it */
    assert_cmp(helper_now_ns(), >=, due_ns);
    helper_finish(q);
}

/* --- by policy -------------------------------------------------------------------- */

static void retried_by_policy(void **state)
{
    struct shmq_attr attr = helper_attr(65536);

    (void)state;
    attr.policy.retry = SHMQ_RETRY_EXPONENTIAL;
    attr.policy.retry_first_ns = MOMENT_HOUR_NS;
    attr.policy.retry_greatest_ns = 9 * MOMENT_HOUR_NS;
    attr.policy.max_attempts = 4;
    shmq_t *q = helper_create(&attr);
    send_all(q, "x");
    struct shmq_msg msg = helper_receive(q);
    for (int i = 0; i < 3; i++) {
        int64_t rest_ns = MOMENT_HOUR_NS << i;
        assert_int_equal(shmq_nack(q, &msg, SHMQ_BY_POLICY, 0), 0);
        moment_pass(rest_ns - SHMQ_SEC(60));
        assert_true(helper_takes(q, NULL));
        moment_pass(SHMQ_SEC(61));
        assert_int_equal(shmq_receive(q, &msg, SHMQ_NOWAIT), 0);
        assert_int_equal(msg.attempts, i + 2);
    }
    /* Its last delivery: whatever the delay, it is dead. */
    assert_int_equal(shmq_nack(q, &msg, 0, 0), 0);
    assert_true(helper_takes(q, NULL));
    struct shmq_group_stats st = helper_group(q);
    assert_int_equal(st.dead, 1);
    assert_int_equal(st.dead_by_reason[SHMQ_REASON_ATTEMPTS], 1);
    assert_int_equal(st.delivered_count, 4);
    assert_int_equal(st.redelivered_count, 3);
    helper_finish(q);
}

static void fixed_delay(void **state)
{
    struct shmq_attr attr = helper_attr(65536);

    (void)state;
    attr.policy.retry_first_ns = SHMQ_MS(30);
    shmq_t *q = helper_create(&attr);
    send_all(q, "x");
    for (int i = 0; i < 3; i++) {
        struct shmq_msg msg = helper_receive(q);
        assert_int_equal(shmq_nack(q, &msg, SHMQ_BY_POLICY, 0), 0);
        struct shmq_group_stats st = helper_group(q);
        assert_cmp(st.next_due_ns, <=, SHMQ_MS(30));
        assert_int_equal(st.delayed, 1);
    }
    assert_true(comes(q, "x"));
    helper_finish(q);
}

/* A lease that ends by itself is a try, too. */
static void attempts_used_up_by_time(void **state)
{
    struct shmq_attr attr = helper_attr(65536);

    (void)state;
    attr.policy.lease_ns = MOMENT_HOUR_NS;
    attr.policy.max_attempts = 2;
    shmq_t *q = helper_create(&attr);
    send_all(q, "x");
    helper_receive(q);
    moment_pass(MOMENT_AFTER_NS);
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(msg.attempts, 2);
    moment_pass(MOMENT_AFTER_NS);
    assert_true(helper_takes(q, NULL));
    assert_int_equal(helper_group(q).dead_by_reason[SHMQ_REASON_ATTEMPTS], 1);
    assert_int_equal(helper_group(q).lost_lease_count, 2);
    helper_finish(q);
}

/* --- delays and times to live --------------------------------------------------------- */

static void delayed(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);
    char buffer[4];

    (void)state;
    send(q, "c", 0, 3 * MOMENT_HOUR_NS);
    send(q, "a", 0, MOMENT_HOUR_NS);
    send(q, "b", 0, 2 * MOMENT_HOUR_NS);
    assert_true(helper_takes(q, NULL));
    assert_int_equal(helper_group(q).delayed, 3);
    moment_pass(MOMENT_AFTER_NS);
    assert_int_equal(shmq_get(q, buffer, 4, NULL, SHMQ_NOWAIT), 1);
    assert_int_equal(buffer[0], 'a');
    assert_true(helper_takes(q, NULL));
    moment_pass(MOMENT_HOUR_NS);
    assert_true(comes(q, "b"));
    moment_pass(MOMENT_HOUR_NS);
    assert_true(comes(q, "c"));
    helper_finish(q);
}

static int receive_near(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    if (shmq_receive(q, &msg, HELPER_LATE_NS) != 0 || !helper_is(&msg, "near"))
        return 1;
    return shmq_ack(q, &msg) == 0 ? 0 : 2;
}

/* A sleeper that waits for something far learns of something near, and wakes for that. */
static void delayed_for_a_sleeper(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);

    (void)state;
    send(q, "far", 0, MOMENT_HOUR_NS);
    pid_t child = helper_fork(receive_near, q);
    helper_expect_wake(q, HELPER_CONSUMERS);
    int64_t sent_ns = helper_now_ns();
    send(q, "near", 0, SOON_NS);
    moment_is_due_after(sent_ns, SOON_NS);
    assert_true(helper_has_woken(q, HELPER_CONSUMERS));
    assert_int_equal(helper_wait(child), 0);
    helper_finish(q);
}

static void due_at_a_time_of_day(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    int64_t now_ns = helper_wall_ns();
    msg.due_ns = now_ns + MOMENT_HOUR_NS;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_true(helper_takes(q, NULL));
    msg.due_ns = now_ns - SHMQ_SEC(1); /* gone by: at once */
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_true(helper_takes(q, ""));
    moment_pass(MOMENT_HOUR_NS - SHMQ_MS(100));
    struct shmq_msg late = helper_receive(q);
    assert_cmp(helper_wall_ns(), >=, now_ns + MOMENT_HOUR_NS);
    assert_int_equal(shmq_ack(q, &late), 0);
    msg.delay_ns = 1;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), -EINVAL);
    assert_true(helper_detail_names("delay_ns", "due_ns"));
    helper_finish(q);
}

/* A time of day comes back as it was given, but for what lies between reading two clocks. */
static void due_time_is_kept(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);
    struct shmq_msg msg = SHMQ_MSG_INIT, found = SHMQ_MSG_INIT;
    char buffer[64];

    (void)state;
    for (int i = 0; i < 100; i++) {
        int64_t due_ns = helper_wall_ns() + SHMQ_SEC(1000);
        msg.due_ns = due_ns;
        assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
        assert_int_equal(shmq_find(q, msg.id, &found, buffer, sizeof(buffer)), 0);
        assert_int_equal(found.state, SHMQ_DELAYED);
        assert_cmp(found.due_ns, >, due_ns - SHMQ_MS(1) / 2);
        assert_cmp(found.due_ns, <, due_ns + SHMQ_MS(1) / 2);
        assert_int_equal(shmq_remove(q, msg.id), 0);
    }
    helper_finish(q);
}

static void send_short_lived(shmq_t *q, const char *text, int64_t ttl_ns)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.data = text;
    msg.length = strlen(text);
    msg.ttl_ns = ttl_ns;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
}

static void expired_into_nothing(void **state)
{
    (void)state;
    for (uint32_t order = SHMQ_FIFO; order <= SHMQ_PRIORITY; order++) {
        shmq_t *q = create(order);
        send_short_lived(q, "a", MOMENT_HOUR_NS);
        send_short_lived(q, "b", 2 * MOMENT_HOUR_NS);
        struct shmq_msg msg = helper_receive(q);
        assert_int_equal(shmq_nack(q, &msg, 0, 0), 0); /* it is an entry now */
        moment_pass(MOMENT_AFTER_NS);
        send_short_lived(q, "c", MOMENT_HOUR_NS);
        msg = helper_receive(q);
        assert_cmp(msg.ttl_ns, >, MOMENT_HOUR_NS / 2);
        assert_cmp(msg.ttl_ns, <=, MOMENT_HOUR_NS);
        assert_int_equal(shmq_ack(q, &msg), 0);
        msg = helper_receive(q);
        assert_int_equal(shmq_ack(q, &msg), 0);
        assert_true(helper_takes(q, NULL));
        assert_int_equal(helper_group(q).expired_count, 1);
        assert_int_equal(helper_group(q).backlog, 0);
        assert_int_equal(helper_group(q).dead, 0);
        helper_finish(q);
    }
}

/* What expired was not handed out, whatever the policy was then and is now. */
static void expired_is_not_delivered(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct shmq_policy policy;

    (void)state;
    assert_int_equal(shmq_policy_of(q, &policy), 0);
    for (uint64_t round = 1; round <= 4; round++) {
        msg.ttl_ns = MOMENT_HOUR_NS;
        assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
        moment_pass(MOMENT_AFTER_NS);
        helper_send(q, "x");
        assert_true(helper_takes(q, "x"));
        assert_int_equal(helper_group(q).expired_count, round);
        assert_int_equal(helper_group(q).delivered_count, round);
        assert_int_equal(helper_stats(q).got_count, round);
        policy.dead_letter_expired = round % 2;
        assert_int_equal(shmq_policy_set(q, &policy), 0);
        assert_int_equal(helper_group(q).delivered_count, round);
        assert_int_equal(helper_stats(q).got_count, round);
    }
    helper_finish(q);
}

static int put_one(void *q)
{
    char message[200] = {0}; /* there is no room left for so many */

    return shmq_put(q, message, sizeof(message), HELPER_LATE_NS) == 0 ? 0 : 1;
}

/* Those that expired before anybody came to receive give their room to who needs it: at
 * once, and to one that waits for it. */
static void expired_for_room(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    for (int waits = 0; waits < 2; waits++) {
        shmq_t *q = helper_create(&attr);
        int sent = 0;
        msg.ttl_ns = waits ? SOON_NS : MOMENT_HOUR_NS;
        while (shmq_send(q, &msg, SHMQ_NOWAIT) == 0 && sent < 200)
            sent++;
        assert_in_range(sent, 41, waits ? 200 : 60);
        if (waits) {
            assert_int_equal(helper_wait(helper_fork(put_one, q)), 0);
        } else {
            moment_pass(MOMENT_AFTER_NS);
            assert_int_equal(put_one(q), 0);
        }
        assert_cmp(helper_group(q).expired_count, >, 40);
        helper_finish(q);
    }
}

/* What its consumer has in hand does not expire; what it gives back does. */
static void expired_in_hand(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);

    (void)state;
    send_short_lived(q, "a", MOMENT_HOUR_NS);
    send_short_lived(q, "b", MOMENT_HOUR_NS);
    struct shmq_msg a = helper_receive(q), b = helper_receive(q);
    moment_pass(MOMENT_AFTER_NS);
    assert_int_equal(shmq_ack(q, &a), 0);
    assert_int_equal(shmq_nack(q, &b, 0, 0), 0);
    assert_true(helper_takes(q, NULL));
    assert_int_equal(helper_group(q).expired_count, 1);
    helper_finish(q);
}

static void expired_into_dead_letters(void **state)
{
    struct shmq_attr attr = helper_attr(65536);

    (void)state;
    attr.policy.dead_letter_expired = 1;
    shmq_t *q = helper_create(&attr);
    send_short_lived(q, "fresh", MOMENT_HOUR_NS);
    send_short_lived(q, "back", MOMENT_HOUR_NS);
    struct shmq_msg msg = helper_receive(q), other = helper_receive(q);
    assert_int_equal(shmq_nack(q, &msg, 0, 0), 0);
    assert_int_equal(shmq_ack(q, &other), 0);
    send_short_lived(q, "fresh", MOMENT_HOUR_NS);
    moment_pass(MOMENT_AFTER_NS);
    assert_true(helper_takes(q, NULL));
    struct shmq_group_stats st = helper_group(q);
    assert_int_equal(st.dead, 2);
    assert_int_equal(st.expired_count, 2);
    assert_int_equal(st.dead_by_reason[SHMQ_REASON_EXPIRED], 2);
    assert_int_equal(st.backlog, 0);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        MOMENT_TEST(first_in_first_out),
        MOMENT_TEST(last_in_first_out),
        MOMENT_TEST(by_priority),
        HELPER_TEST(priorities_of_many),
        HELPER_TEST(back_in_its_own_place),
        HELPER_TEST(back_behind_all),
        MOMENT_TEST(behind_all_and_delayed),
        MOMENT_TEST(back_after_a_delay),
        MOMENT_TEST(retried_by_policy),
        HELPER_TEST(fixed_delay),
        MOMENT_TEST(attempts_used_up_by_time),
        MOMENT_TEST(delayed),
        MOMENT_TEST(delayed_for_a_sleeper),
        MOMENT_TEST(due_at_a_time_of_day),
        HELPER_TEST(due_time_is_kept),
        MOMENT_TEST(expired_into_nothing),
        MOMENT_TEST(expired_for_room),
        MOMENT_TEST(expired_is_not_delivered),
        MOMENT_TEST(expired_in_hand),
        MOMENT_TEST(expired_into_dead_letters),
    };

    return helper_run(argc, argv, tests);
}
