/*
 * test_lease.c - leases: how they end, by whose hand, and what waits for it.
 */
#include "group/pending_rebuild.h"
#include "handle/handle.h"
#include "support/moment.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static shmq_t *create(int64_t lease_ns, uint32_t pending_count)
{
    struct shmq_attr attr = helper_attr(65536);

    attr.policy.lease_ns = lease_ns;
    attr.pending_count = pending_count;
    return helper_create(&attr);
}

/* --- by hand ------------------------------------------------------------------ */

static void received_and_acknowledged(void **state)
{
    shmq_t *q = create(0, 0);
    uint64_t id = helper_send(q, "one");

    (void)state;
    helper_send(q, "two");
    struct shmq_msg msg = helper_receive(q);
    assert_true(helper_is(&msg, "one"));
    assert_int_equal(msg.id, id);
    assert_int_equal(msg.attempts, 1);
    assert_int_equal(msg.state, SHMQ_LEASED);
    assert_cmp(msg.put_ns, <=, helper_now_ns());
    assert_cmp(msg.put_ns, >, helper_now_ns() - SHMQ_SEC(60));
    assert_int_equal(helper_group(q).leased, 1);
    assert_true(helper_takes(q, "two"));
    assert_true(helper_takes(q, NULL));
    assert_int_equal(shmq_ack(q, &msg), 0);
    assert_int_equal(helper_group(q).backlog, 0);
    assert_int_equal(shmq_ack(q, &msg), -EINVAL);
    assert_true(helper_takes(q, NULL));
    helper_finish(q);
}

/* Whatever is tried with a message that is not this handle's changes nothing. */
static void refuse_all(shmq_t *q, struct shmq_msg *msg)
{
    assert_int_equal(shmq_ack(q, msg), -EINVAL);
    assert_int_equal(shmq_nack(q, msg, 0, 0), -EINVAL);
    assert_int_equal(shmq_reject(q, msg, 0, NULL), -EINVAL);
    assert_int_equal(shmq_touch(q, msg, 0), -EINVAL);
    assert_int_equal(shmq_ack_many(q, msg, 1), -EINVAL);
}

static void only_what_this_handle_has(void **state)
{
    shmq_t *q = create(0, 0), *other = helper_open(helper_name("a"), 0, NULL);
    struct shmq_msg none = SHMQ_MSG_INIT;

    (void)state;
    helper_send(q, "mine");
    refuse_all(q, &none);
    struct shmq_msg msg = helper_receive(q);
    refuse_all(other, &msg);
    assert_int_equal(shmq_ack_upto(other, UINT64_MAX), 0);
    assert_int_equal(shmq_task_done(other), -EINVAL);
    assert_int_equal(helper_group(q).leased, 1);
    /* Arguments that make no sense do not end it either. */
    assert_int_equal(shmq_nack(q, &msg, -2, 0), -EINVAL);
    assert_int_equal(shmq_nack(q, &msg, 0, 2), -EINVAL);
    assert_int_equal(shmq_touch(q, &msg, -1), -EINVAL);
    assert_int_equal(shmq_ack(q, &msg), 0);
    refuse_all(q, &msg);
    assert_int_equal(shmq_close(other), 0);
    helper_finish(q);
}

static void given_back_and_rejected(void **state)
{
    shmq_t *q = create(0, 0);

    (void)state;
    helper_send(q, "again");
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_nack(q, &msg, 0, 0), 0);
    refuse_all(q, &msg);
    msg = helper_receive(q);
    assert_int_equal(msg.attempts, 2);
    assert_int_equal(shmq_reject(q, &msg, SHMQ_REASON_VALIDATION, NULL), 0);
    refuse_all(q, &msg);
    assert_true(helper_takes(q, NULL));
    assert_int_equal(helper_group(q).dead, 1);
    helper_finish(q);
}

static void *ack_in_thread(void *arg)
{
    void **both = arg;

    return shmq_ack(both[0], both[1]) == 0 ? NULL : arg;
}

static void another_thread_acknowledges(void **state)
{
    shmq_t *q = create(0, 0);
    pthread_t thread;
    void *failed;

    (void)state;
    helper_send(q, "x");
    struct shmq_msg msg = helper_receive(q);
    void *both[] = {q, &msg};
    pthread_create(&thread, NULL, ack_in_thread, both);
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_int_equal(helper_group(q).backlog, 0);
    helper_finish(q);
}

static void several_at_once(void **state)
{
    shmq_t *q = create(0, 0);
    struct shmq_msg msgs[6];

    (void)state;
    for (int i = 0; i < 6; i++) {
        char text[2] = {(char)('0' + i), 0};
        helper_send(q, text);
        msgs[i] = helper_receive(q);
    }
    /* The errors of some do not keep the others. */
    assert_int_equal(shmq_ack(q, &msgs[1]), 0);
    assert_int_equal(shmq_ack_many(q, msgs, 3), 2);
    assert_int_equal(shmq_ack_many(q, msgs, 3), -EINVAL);
    assert_int_equal(shmq_ack_many(q, msgs, 0), 0);
    /* The one had longest. */
    assert_int_equal(shmq_task_done(q), 0);
    assert_int_equal(shmq_ack(q, &msgs[3]), -ECANCELED);
    assert_int_equal(shmq_ack_upto(q, msgs[4].id), 1);
    assert_int_equal(helper_group(q).leased, 1);
    assert_int_equal(shmq_ack(q, &msgs[5]), 0);
    assert_int_equal(shmq_task_done(q), -EINVAL);
    assert_int_equal(shmq_ack_upto(q, UINT64_MAX), 0);
    helper_finish(q);
}

/* Which of several task_done() ends: the first that was received, whatever its id; and only
 * those up to an id, of this handle. */
static void finished_in_the_order_of_receipt(void **state)
{
    shmq_t *q, *other;
    struct shmq_attr attr = helper_attr(65536);
    struct shmq_msg msgs[4];

    (void)state;
    attr.order = SHMQ_LIFO;
    q = helper_create(&attr);
    other = helper_open(helper_name("a"), 0, NULL);
    for (int i = 0; i < 4; i++)
        helper_send(q, "x");
    for (uint64_t i = 0; i < 4; i++) {
        msgs[i] = helper_receive(i == 2 ? other : q);
        assert_int_equal(msgs[i].id, 4 - i);
    }
    assert_int_equal(shmq_task_done(q), 0);
    assert_int_equal(shmq_ack(q, &msgs[0]), -ECANCELED);
    assert_int_equal(shmq_ack_upto(q, 2), 1);
    assert_int_equal(shmq_ack(q, &msgs[3]), -ECANCELED);
    assert_int_equal(shmq_ack(other, &msgs[2]), 0);
    assert_int_equal(shmq_ack(q, &msgs[1]), 0);
    assert_int_equal(shmq_task_done(q), -EINVAL);
    assert_int_equal(shmq_close(other), 0);
    helper_finish(q);
}

static void next_for_one_finished(void **state)
{
    shmq_t *q = create(0, 0);
    struct shmq_msg msg = SHMQ_MSG_INIT, other = SHMQ_MSG_INIT;

    (void)state;
    assert_int_equal(shmq_next(q, &msg, -2), -EINVAL);
    assert_int_equal(shmq_next(q, &msg, SHMQ_NOWAIT), -EAGAIN);
    for (int i = 0; i < 5; i++) {
        char text[2] = {(char)('0' + i), 0};
        helper_send(q, text);
    }
    for (uint64_t id = 1; id <= 3; id++) {
        assert_int_equal(shmq_next(q, &msg, SHMQ_NOWAIT), 0);
        assert_int_equal(msg.id, id);
        assert_int_equal(msg.attempts, 1);
        assert_int_equal(*(const char *)msg.data, '0' + (int)id - 1);
        struct shmq_group_stats st = helper_group(q);
        assert_int_equal(st.acked_count, id - 1);
        assert_int_equal(st.delivered_count, id);
        assert_int_equal(st.leased, 1);
        assert_int_equal(st.backlog, 6 - id);
        assert_null(sq_pending_valid(&q->segment.ring));
    }
    /* Beside another lease, and after one that came back. */
    assert_int_equal(shmq_receive(q, &other, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_nack(q, &msg, 0, 0), 0);
    assert_int_equal(shmq_next(q, &other, SHMQ_NOWAIT), 0);
    assert_int_equal(other.id, 3);
    assert_int_equal(other.attempts, 2);
    assert_int_equal(shmq_next(q, &other, SHMQ_NOWAIT), 0);
    assert_int_equal(other.id, 5);
    /* Nothing more: the acknowledgement holds, and the next call only receives. */
    assert_int_equal(shmq_next(q, &other, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(helper_group(q).backlog, 0);
    assert_int_equal(shmq_ack(q, &other), -EINVAL);
    assert_int_equal(shmq_next(q, &other, SHMQ_MS(1)), -ETIMEDOUT);
    assert_int_equal(helper_group(q).acked_count, 5);
    helper_finish(q);
}

static void next_for_a_lost_one(void **state)
{
    shmq_t *q = create(SHMQ_MS(5), 0);
    struct shmq_msg msg = SHMQ_MSG_INIT, again = SHMQ_MSG_INIT;

    (void)state;
    helper_send(q, "a");
    assert_int_equal(shmq_next(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_receive(q, &again, HELPER_LATE_NS), 0);
    assert_int_equal(again.id, 1);
    /* Nothing is received, and nothing of the other's is acknowledged. */
    assert_int_equal(shmq_next(q, &msg, SHMQ_NOWAIT), -ECANCELED);
    assert_int_equal(helper_group(q).backlog, 1);
    assert_int_equal(shmq_next(q, &msg, HELPER_LATE_NS), 0);
    assert_int_equal(msg.id, 1);
    helper_finish(q);
}

/* --- by time -------------------------------------------------------------------- */

/* Of what is received from now on; other leases keep their ends. */
static void set_lease(shmq_t *q, int64_t lease_ns)
{
    struct shmq_policy policy;

    assert_int_equal(shmq_policy_of(q, &policy), 0);
    policy.lease_ns = lease_ns;
    assert_int_equal(shmq_policy_set(q, &policy), 0);
}

static void ended_by_time(void **state)
{
    shmq_t *q = create(SHMQ_MS(50), 0), *other = helper_open(helper_name("a"), 0, NULL);
    int64_t begun_ns = helper_now_ns();

    (void)state;
    helper_send(q, "x");
    struct shmq_msg late = helper_receive(q);
    set_lease(q, MOMENT_HOUR_NS);
    struct shmq_msg msg = helper_receive(other);
    assert_cmp(helper_now_ns() - begun_ns, >=, SHMQ_MS(50));
    assert_int_equal(msg.attempts, 2);
    assert_int_equal(msg.id, late.id);
    struct shmq_msg copy = late;
    assert_int_equal(shmq_ack(q, &late), -ECANCELED);
    assert_int_equal(shmq_ack(q, &late), -EINVAL);
    assert_int_equal(shmq_nack(q, &copy, 0, 0), -ECANCELED);
    assert_int_equal(helper_group(q).lost_lease_count, 1);
    assert_int_equal(helper_group(q).redelivered_count, 1);
    assert_int_equal(shmq_ack(other, &msg), 0);
    assert_int_equal(shmq_close(other), 0);
    helper_finish(q);
}

static void touched(void **state)
{
    shmq_t *q = create(MOMENT_HOUR_NS, 0);

    (void)state;
    helper_send(q, "x");
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_touch(q, &msg, 9 * MOMENT_HOUR_NS), 0);
    moment_pass(MOMENT_AFTER_NS);
    assert_true(helper_takes(q, NULL));
    assert_int_equal(shmq_touch(q, &msg, 0), 0); /* the policy's */
    assert_true(helper_takes(q, NULL));
    moment_pass(MOMENT_AFTER_NS);
    struct shmq_msg again = helper_receive(q);
    assert_int_equal(again.attempts, 2);
    assert_int_equal(shmq_touch(q, &msg, SHMQ_SEC(1)), -ECANCELED);
    assert_int_equal(shmq_touch(q, &again, 1), 0); /* also to end it sooner */
    again = helper_receive(q);
    assert_int_equal(again.attempts, 3);
    assert_int_equal(shmq_touch(q, &again, INT64_MAX), 0);
    moment_pass(MOMENT_AFTER_NS);
    assert_int_equal(shmq_ack(q, &again), 0);
    helper_finish(q);
}

/* A lease whose time is over and that nobody has taken up is the consumer's still. */
static void late_and_not_missed(void **state)
{
    shmq_t *q = create(MOMENT_HOUR_NS, 0);

    (void)state;
    helper_send(q, "x");
    struct shmq_msg msg = helper_receive(q);
    moment_pass(MOMENT_AFTER_NS);
    int rc = shmq_ack(q, &msg);
    assert_one_of(rc, 0, -ECANCELED);
    assert_int_equal(helper_group(q).backlog, rc == 0 ? 0 : 1);
    helper_finish(q);
}

/* --- by death --------------------------------------------------------------------- */

static int hold_one(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    if (shmq_receive(q, &msg, HELPER_LATE_NS) != 0)
        return 1;
    raise(SIGSTOP);
    /* Killed there, or told to go on and close. */
    return shmq_close(q) == 0 ? 0 : 2;
}

static pid_t fork_holder(shmq_t *q)
{
    pid_t child = helper_fork(hold_one, q);

    assert_true(helper_await(helper_is_stopped, &child));
    return child;
}

static void killed_beside_a_sleeper(void **state)
{
    shmq_t *q = create(0, 0);

    (void)state;
    helper_send(q, "x");
    pid_t holder = helper_holder(q);
    assert_true(helper_takes(q, NULL));
    helper_kill(holder);
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(msg.attempts, 2);
    assert_int_equal(shmq_ack(q, &msg), 0);
    assert_int_equal(helper_group(q).lost_lease_count, 1);
    helper_finish(q);
}

/* It has other messages to deal with all the time, and never sleeps. */
static void killed_beside_a_busy_one(void **state)
{
    shmq_t *q = create(0, 0);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    helper_send(q, "lost");
    helper_kill(helper_holder(q));
    int64_t begun_ns = helper_now_ns();
    do {
        helper_send(q, "other");
        helper_pass(SHMQ_MS(1)); /* not so many that the lost one fills the ring */
        msg = helper_receive(q);
        assert_int_equal(shmq_ack(q, &msg), 0);
        assert_cmp(helper_now_ns() - begun_ns, <, HELPER_LATE_NS);
    } while (msg.attempts == 1);
    helper_finish(q);
}

/* Plain gets that poll see it, too. */
static void killed_beside_a_polling_one(void **state)
{
    shmq_t *q = create(0, 0);
    char buffer[8];

    (void)state;
    helper_send(q, "lost");
    helper_kill(helper_holder(q));
    int64_t begun_ns = helper_now_ns();
    while (shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT) == -EAGAIN)
        assert_cmp(helper_now_ns() - begun_ns, <, HELPER_LATE_NS);
    assert_int_equal(helper_group(q).backlog, 0);
    helper_finish(q);
}

static void closed(void **state)
{
    shmq_t *q = create(0, 0);

    (void)state;
    helper_send(q, "x");
    pid_t holder = fork_holder(q);
    kill(holder, SIGCONT);
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(msg.attempts, 2);
    assert_int_equal(helper_wait(holder), 0);
    assert_int_equal(shmq_ack(q, &msg), 0);
    helper_finish(q);
}

/* --- fork --------------------------------------------------------------------------- */

static struct shmq_msg parents;

static int try_parents(void *q)
{
    if (shmq_ack(q, &parents) != -EINVAL || shmq_nack(q, &parents, 0, 0) != -EINVAL)
        return 1;
    if (shmq_task_done(q) != -EINVAL || shmq_ack_upto(q, UINT64_MAX) != 0)
        return 2;
    return shmq_close(q) == 0 ? 0 : 3;
}

static void a_child_has_none_of_its_parents(void **state)
{
    shmq_t *q = create(0, 0);

    (void)state;
    helper_send(q, "x");
    parents = helper_receive(q);
    assert_int_equal(helper_wait(helper_fork(try_parents, q)), 0);
    assert_true(helper_takes(q, NULL));
    assert_int_equal(helper_group(q).lost_lease_count, 0);
    assert_int_equal(shmq_ack(q, &parents), 0);
    helper_finish(q);
}

/* --- a full table ---------------------------------------------------------------------- */

static int receive_later(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    if (shmq_receive(q, &msg, HELPER_LATE_NS) != 0 || msg.length != 4)
        return 1;
    return shmq_ack(q, &msg) == 0 ? 0 : 2;
}

static void a_full_table_waits(void **state)
{
    shmq_t *q = create(0, 3);
    struct shmq_msg msgs[3], none = SHMQ_MSG_INIT;

    (void)state;
    for (int i = 0; i < 3; i++) {
        helper_send(q, "x");
        msgs[i] = helper_receive(q);
    }
    helper_send(q, "more");
    assert_int_equal(shmq_receive(q, &none, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_receive(q, &none, SHMQ_MS(20)), -ETIMEDOUT);
    pid_t child = helper_fork(receive_later, q);
    helper_expect_wake(q, HELPER_CONSUMERS);
    assert_int_equal(shmq_ack(q, &msgs[1]), 0);
    assert_true(helper_has_woken(q, HELPER_CONSUMERS));
    assert_int_equal(helper_wait(child), 0);
    assert_int_equal(shmq_ack_many(q, msgs, 3), 2);
    helper_finish(q);
}

/* --- join ------------------------------------------------------------------------------- */

static int join(void *q)
{
    return shmq_join(q, HELPER_LATE_NS) == 0 ? 0 : 1;
}

/* A child that joins, and has said so. */
static pid_t fork_joiner(shmq_t *q)
{
    pid_t child = helper_fork(join, q);

    helper_expect_wake(q, HELPER_JOINERS);
    return child;
}

static void joined_by_the_last(shmq_t *q, pid_t joiner)
{
    assert_true(helper_has_woken(q, HELPER_JOINERS));
    assert_int_equal(helper_wait(joiner), 0);
}

static void join_waits_for_all(void **state)
{
    shmq_t *q = create(0, 0);

    (void)state;
    assert_int_equal(shmq_join(q, SHMQ_NOWAIT), 0);
    helper_send(q, "one");
    helper_send(q, "two");
    assert_int_equal(shmq_join(q, SHMQ_NOWAIT), -ETIMEDOUT);
    assert_int_equal(shmq_join(q, SHMQ_MS(10)), -ETIMEDOUT);
    assert_int_equal(shmq_join(q, -2), -EINVAL);
    struct shmq_msg one = helper_receive(q), two = helper_receive(q);
    pid_t joiner = fork_joiner(q);
    assert_int_equal(shmq_ack(q, &one), 0);
    assert_false(helper_has_woken(q, HELPER_JOINERS));
    assert_int_equal(shmq_ack(q, &two), 0);
    joined_by_the_last(q, joiner);
    helper_finish(q);
}

static void joined_by_other_ends(void **state)
{
    shmq_t *q = create(0, 0);
    char buffer[8];

    (void)state;
    for (int end = 0; end < 6; end++) {
        uint64_t id = helper_send(q, "x");
        struct shmq_msg msg = SHMQ_MSG_INIT;
        if (end >= 2 && end <= 3)
            msg = helper_receive(q);
        pid_t joiner = fork_joiner(q);
        struct shmq_info info;
        if (end == 0)
            assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
        else if (end == 1)
            assert_int_equal(shmq_get_many(q, buffer, 8, &info, 1, 0, SHMQ_NOWAIT), 1);
        else if (end == 2)
            assert_int_equal(shmq_reject(q, &msg, 0, NULL), 0); /* dead is finished */
        else if (end == 3)
            assert_int_equal(shmq_task_done(q), 0);
        else if (end == 4)
            assert_int_equal(shmq_remove(q, id), 0);
        else
            assert_int_equal(shmq_purge(q), 2); /* and the parked one */
        joined_by_the_last(q, joiner);
    }
    helper_finish(q);
}

/* Several wait, some no longer than that; the others are not forgotten. */
static void several_join(void **state)
{
    shmq_t *q = create(0, 0);
    pid_t joiners[3];

    (void)state;
    helper_send(q, "x");
    for (int i = 0; i < 3; i++)
        joiners[i] = fork_joiner(q);
    assert_int_equal(shmq_join(q, SHMQ_MS(5)), -ETIMEDOUT);
    helper_expect_wake(q, HELPER_JOINERS);
    assert_true(helper_takes(q, "x"));
    for (int i = 0; i < 3; i++)
        joined_by_the_last(q, joiners[i]);
    helper_finish(q);
}

static void join_a_group(void **state)
{
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, NULL), *g, *h;

    (void)state;
    assert_int_equal(shmq_subscribe(q, "g", NULL, &g), 0);
    assert_int_equal(shmq_subscribe(q, "h", NULL, &h), 0);
    assert_int_equal(shmq_join(q, SHMQ_NOWAIT), -EINVAL);
    helper_send(q, "x");
    assert_true(helper_takes(h, "x"));
    assert_int_equal(shmq_join(h, SHMQ_NOWAIT), 0);
    struct shmq_msg msg = helper_receive(g);
    pid_t joiner = fork_joiner(g);
    assert_int_equal(shmq_ack(g, &msg), 0);
    joined_by_the_last(g, joiner);
    assert_int_equal(shmq_close(g), 0);
    assert_int_equal(shmq_close(h), 0);
    helper_finish(q);
}

/* --- many ----------------------------------------------------------------------------------- */

static int send_slowly(void *q)
{
    for (int i = 0; i < 3; i++) {
        helper_pass(SHMQ_MS(30));
        if (shmq_put(q, "late", 4, SHMQ_NOWAIT) != 0)
            return 1;
    }
    return 0;
}

static void many_with_linger(void **state)
{
    shmq_t *q = create(0, 0);
    struct shmq_msg msgs[8];

    (void)state;
    for (int i = 0; i < 8; i++)
        msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
    assert_int_equal(shmq_receive_many(q, msgs, 8, SHMQ_SEC(1), SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_receive_many(q, msgs, 8, SHMQ_SEC(1), SHMQ_MS(20)), -ETIMEDOUT);
    helper_send(q, "one");
    helper_send(q, "two");
    assert_int_equal(shmq_receive_many(q, msgs, 8, SHMQ_NOWAIT, SHMQ_NOWAIT), 2);
    assert_int_equal(shmq_ack_many(q, msgs, 2), 2);
    /* The rest is waited for, and the count ends that. */
    pid_t child = helper_fork(send_slowly, q);
    int64_t begun_ns = helper_now_ns();
    assert_int_equal(shmq_receive_many(q, msgs, 3, 3 * HELPER_LATE_NS, HELPER_LATE_NS), 3);
    assert_cmp(helper_now_ns() - begun_ns, <, HELPER_LATE_NS);
    assert_int_equal(helper_wait(child), 0);
    assert_int_equal(shmq_ack_many(q, msgs, 3), 3);
    /* Or the linger time. */
    helper_send(q, "x");
    begun_ns = helper_now_ns();
    assert_int_equal(shmq_receive_many(q, msgs, 3, SHMQ_MS(50), HELPER_LATE_NS), 1);
    assert_cmp(helper_now_ns() - begun_ns, >=, SHMQ_MS(50));
    assert_int_equal(shmq_receive_many(q, msgs, 0, 0, 0), 0);
    assert_int_equal(shmq_receive_many(q, msgs, 1, -2, 0), -EINVAL);
    helper_finish(q);
}

/* --- the policy --------------------------------------------------------------------------------
 */

static void policy_read_and_changed(void **state)
{
    shmq_t *q = create(0, 0);
    struct shmq_policy policy;

    (void)state;
    assert_int_equal(shmq_policy_of(q, &policy), 0);
    assert_int_equal(policy.lease_ns, SHMQ_SEC(30));
    assert_int_equal(policy.max_attempts, 0);
    helper_send(q, "before");
    helper_send(q, "after");
    struct shmq_msg before = helper_receive(q);
    policy.lease_ns = SHMQ_SEC(15);
    policy.max_attempts = 2;
    assert_int_equal(shmq_policy_set(q, &policy), 0);
    struct shmq_msg after = helper_receive(q);
    moment_pass(SHMQ_SEC(16));
    struct shmq_msg again = helper_receive(q);
    assert_int_equal(after.id, again.id); /* what was handed out before keeps its time */
    assert_int_equal(shmq_ack(q, &before), 0);
    assert_int_equal(shmq_nack(q, &again, 0, 0), 0);
    assert_int_equal(helper_group(q).dead_by_reason[SHMQ_REASON_ATTEMPTS], 1);
    assert_int_equal(shmq_policy_of(q, &policy), 0);
    assert_int_equal(policy.max_attempts, 2);
    policy.retry = 5;
    assert_int_equal(shmq_policy_set(q, &policy), -EINVAL);
    assert_true(helper_detail_names("retry", "5"));
    policy.retry = 0;
    policy.retry_jitter = 1.5;
    assert_int_equal(shmq_policy_set(q, &policy), -EINVAL);
    assert_true(helper_detail_names("retry_jitter", "1.5"));
    policy.retry_jitter = 0;
    strcpy(policy.dead_letter, "no/name");
    assert_int_equal(shmq_policy_set(q, &policy), -EINVAL);
    assert_int_equal(shmq_policy_of(q, &policy), 0);
    assert_string_equal(policy.dead_letter, "");
    helper_finish(q);
}

/* --- what is counted ----------------------------------------------------------------------------
 */

static void counted(void **state)
{
    shmq_t *q = create(0, 0);
    struct shmq_group_stats st;
    char buffer[8];

    (void)state;
    int64_t begun_ns = helper_now_ns();
    for (int i = 0; i < 6; i++)
        helper_send(q, "x");
    struct shmq_msg a = helper_receive(q), b = helper_receive(q), c = helper_receive(q);
    assert_int_equal(shmq_ack(q, &a), 0);
    assert_int_equal(shmq_nack(q, &b, SHMQ_SEC(100), 0), 0);
    assert_int_equal(shmq_reject(q, &c, 40, NULL), 0);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
    struct shmq_msg d = helper_receive(q);
    st = helper_group(q);
    assert_string_equal(st.name, "");
    assert_int_equal(st.backlog, 3);
    assert_int_equal(st.waiting, 1);
    assert_int_equal(st.delayed, 1);
    assert_int_equal(st.leased, 1);
    assert_int_equal(st.dead, 1);
    assert_int_equal(st.delivered_count, 5);
    assert_int_equal(st.redelivered_count, 0);
    assert_int_equal(st.acked_count, 1);
    assert_int_equal(st.nacked_count, 1);
    assert_int_equal(st.dead_count, 1);
    assert_int_equal(st.dead_by_reason[7], 1);
    assert_int_equal(st.members, 1);
    assert_int_equal(st.paused, 0);
    assert_cmp(st.oldest_age_ns, >, 0);
    int64_t passed_ns = helper_now_ns() - begun_ns;
    assert_cmp(st.next_due_ns, >=, SHMQ_SEC(30) - passed_ns);
    assert_cmp(st.next_due_ns, <=, SHMQ_SEC(30) + SHMQ_MS(10));
    assert_int_equal(shmq_ack(q, &d), 0);
    st = helper_group(q);
    passed_ns = helper_now_ns() - begun_ns;
    assert_in_range(st.next_due_ns, SHMQ_SEC(100) - passed_ns, SHMQ_SEC(100));
    assert_int_equal(shmq_groups(q, &st, 1), 1);
    assert_int_equal(st.acked_count, 2);
    helper_finish(q);
}

static void read_only_handles(void **state)
{
    shmq_t *q = create(0, 0), *r = helper_open(helper_name("a"), SHMQ_RDONLY, NULL);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    helper_send(q, "x");
    assert_int_equal(shmq_receive(r, &msg, SHMQ_NOWAIT), -EACCES);
    assert_int_equal(shmq_ack_upto(r, 1), -EACCES);
    assert_int_equal(helper_group(r).waiting, 1);
    assert_int_equal(shmq_close(r), 0);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(received_and_acknowledged),
        HELPER_TEST(only_what_this_handle_has),
        HELPER_TEST(given_back_and_rejected),
        HELPER_TEST(another_thread_acknowledges),
        HELPER_TEST(several_at_once),
        HELPER_TEST(finished_in_the_order_of_receipt),
        HELPER_TEST(next_for_one_finished),
        HELPER_TEST(next_for_a_lost_one),
        MOMENT_TEST(ended_by_time),
        MOMENT_TEST(touched),
        MOMENT_TEST(late_and_not_missed),
        HELPER_TEST(killed_beside_a_sleeper),
        HELPER_TEST(killed_beside_a_busy_one),
        HELPER_TEST(killed_beside_a_polling_one),
        HELPER_TEST(closed),
        HELPER_TEST(a_child_has_none_of_its_parents),
        HELPER_TEST(a_full_table_waits),
        HELPER_TEST(join_waits_for_all),
        HELPER_TEST(joined_by_other_ends),
        HELPER_TEST(several_join),
        HELPER_TEST(join_a_group),
        HELPER_TEST(many_with_linger),
        MOMENT_TEST(policy_read_and_changed),
        HELPER_TEST(counted),
        HELPER_TEST(read_only_handles),
    };

    return helper_run(argc, argv, tests);
}
