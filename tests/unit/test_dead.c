/*
 * test_dead.c - dead letters: how they come to be, what they tell, and back again.
 */
#include "support/moment.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "api/dead_letter.h"
#include "group/group.h"
#include "group/group_lease.h"

static char own_name[64], dead_name[64];

/* A queue whose dead letters go to `to`; "": they are parked. */
static shmq_t *create(const char *to, uint32_t max_attempts)
{
    struct shmq_attr attr = helper_attr(1 << 18);

    snprintf(attr.policy.dead_letter, sizeof(attr.policy.dead_letter), "%s", to);
    snprintf(own_name, sizeof(own_name), "%s", helper_name("a"));
    snprintf(dead_name, sizeof(dead_name), "%s", helper_name("dead"));
    attr.policy.max_attempts = max_attempts;
    return helper_create(&attr);
}

static shmq_t *create_with_letters(uint32_t max_attempts)
{
    return create(helper_name("dead"), max_attempts);
}

/* The dead-letter queue, made by the first dead letter; it is closed by finish(). */
static shmq_t *letters(void)
{
    return helper_open(dead_name, 0, NULL);
}

static void finish(shmq_t *q, shmq_t *dead)
{
    assert_int_equal(shmq_close(dead), 0);
    assert_int_equal(shmq_unlink(dead_name), 0);
    helper_finish(q);
}

static void reject(shmq_t *q, const char *text, uint32_t reason)
{
    helper_send(q, text);
    struct shmq_msg msg = helper_receive(q);
    assert_true(helper_is(&msg, text));
    assert_int_equal(shmq_reject(q, &msg, reason, NULL), 0);
}

static bool has(const struct shmq_msg *msg, const char *name, const char *value)
{
    const char *is = shmq_header_value(msg, name);

    if (is != NULL && strcmp(is, value) == 0)
        return true;
    print_error("%s is %s, not %s\n", name, is == NULL ? "not there" : is, value);
    return false;
}

static bool has_number(const struct shmq_msg *msg, const char *name, int64_t least, int64_t most)
{
    const char *is = shmq_header_value(msg, name);
    int64_t number = is == NULL ? -1 : strtoll(is, NULL, 10);

    if (number >= least && number <= most)
        return true;
    print_error("%s is %lld\n", name, (long long)number);
    return false;
}

/* --- what they tell --------------------------------------------------------------- */

static void all_its_headers(void **state)
{
    shmq_t *q = create_with_letters(0);
    const struct shmq_header headers[] = {{"colour", "blue"}, {"shmq-reason", "99"}};
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct timespec now;

    (void)state;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ns = SHMQ_SEC(now.tv_sec);
    msg.data = "payload";
    msg.length = 7;
    msg.type = 42;
    msg.priority = -3;
    msg.key = "k\0k";
    msg.key_length = 3;
    msg.correlation = 77;
    msg.headers = headers;
    msg.header_count = 2;
    helper_send(q, "before");
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_true(helper_takes(q, "before"));
    struct shmq_msg taken = helper_receive(q);
    assert_int_equal(shmq_nack(q, &taken, 0, 0), 0);
    taken = helper_receive(q);
    assert_int_equal(shmq_reject(q, &taken, SHMQ_REASON_VALIDATION, "no such colour"), 0);
    assert_true(helper_takes(q, NULL));
    assert_int_equal(helper_group(q).dead, 0);
    assert_int_equal(helper_group(q).dead_count, 1);
    assert_int_equal(helper_group(q).dead_by_reason[SHMQ_REASON_VALIDATION], 1);

    shmq_t *dead = letters();
    struct shmq_msg letter = helper_receive(dead);
    assert_true(helper_is(&letter, "payload"));
    assert_int_equal(letter.type, 42);
    assert_int_equal(letter.priority, -3);
    assert_int_equal(letter.key_length, 3);
    assert_memory_equal(letter.key, "k\0k", 3);
    assert_int_equal(letter.correlation, 77);
    assert_true(has(&letter, "colour", "blue"));
    assert_true(has(&letter, "shmq-reason", "1"));
    assert_true(has(&letter, "shmq-error", "no such colour"));
    assert_true(has(&letter, "shmq-attempts", "2"));
    assert_true(has(&letter, "shmq-id", "2"));
    assert_true(has(&letter, "shmq-queue", own_name));
    assert_true(has(&letter, "shmq-group", ""));
    assert_true(has(&letter, "shmq-command", "test_dead"));
    assert_true(has_number(&letter, "shmq-pid", getpid(), getpid()));
    assert_true(has_number(&letter, "shmq-first-put", now_ns - SHMQ_SEC(1), helper_wall_ns()));
    assert_true(has_number(&letter, "shmq-dead-at", now_ns, helper_wall_ns()));
    assert_int_equal(shmq_ack(dead, &letter), 0);
    finish(q, dead);
}

static void out_of_attempts(void **state)
{
    shmq_t *q = create_with_letters(2);

    (void)state;
    helper_send(q, "x");
    for (int i = 0; i < 2; i++) {
        struct shmq_msg msg = helper_receive(q);
        assert_int_equal(shmq_fail(q, &msg, 0, 0, i == 0 ? "no paper" : "no ink"), 0);
    }
    assert_true(helper_takes(q, NULL));
    shmq_t *dead = letters();
    struct shmq_msg letter = helper_receive(dead);
    assert_true(has(&letter, "shmq-reason", "5"));
    assert_true(has(&letter, "shmq-error", "no ink"));
    assert_true(has(&letter, "shmq-attempts", "2"));
    assert_int_equal(letter.attempts, 1); /* its own life */
    assert_int_equal(shmq_join(q, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_ack(dead, &letter), 0);
    finish(q, dead);
}

/* Of a text too long for a header its end is kept; the letter is sent. */
static void a_long_text(void **state)
{
    enum { LONG = 70000, KEPT = 65535 };
    shmq_t *q = create_with_letters(0);
    char *text = malloc(LONG + 1);

    (void)state;
    memset(text, 'x', LONG);
    memcpy(text + LONG - 4, "ink.", 5);
    helper_send(q, "x");
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_reject(q, &msg, 0, text), 0);
    shmq_t *dead = letters();
    struct shmq_msg letter = helper_receive(dead);
    assert_string_equal(shmq_header_value(&letter, "shmq-error"), text + LONG - KEPT);
    assert_int_equal(shmq_ack(dead, &letter), 0);
    free(text);
    finish(q, dead);
}

/* Letters live for as long as the policy says, and no more; back from the dead for ever. */
static void letters_expire(void **state)
{
    shmq_t *q = create_with_letters(0);
    struct shmq_policy policy;

    (void)state;
    assert_int_equal(shmq_policy_of(q, &policy), 0);
    policy.dead_letter_ttl_ns = 2 * MOMENT_HOUR_NS;
    assert_int_equal(shmq_policy_set(q, &policy), 0);
    reject(q, "lives", 0);
    policy.dead_letter_ttl_ns = MOMENT_HOUR_NS;
    assert_int_equal(shmq_policy_set(q, &policy), 0);
    reject(q, "gone", 0);
    moment_pass(MOMENT_AFTER_NS);
    shmq_t *dead = letters();
    struct shmq_msg letter = helper_receive(dead);
    assert_true(helper_is(&letter, "lives"));
    assert_in_range(letter.ttl_ns, MOMENT_HOUR_NS / 2, MOMENT_HOUR_NS);
    assert_int_equal(shmq_nack(dead, &letter, 0, 0), 0);
    assert_int_equal(shmq_redrive(dead, 0), 1);
    assert_true(helper_takes(dead, NULL));
    assert_int_equal(helper_group(dead).expired_count, 1);
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(msg.ttl_ns, 0);
    assert_int_equal(shmq_ack(q, &msg), 0);
    policy.dead_letter[0] = '\0';
    assert_int_equal(shmq_policy_set(q, &policy), -EINVAL);
    assert_true(helper_detail_names("dead_letter_ttl_ns", "dead_letter"));
    policy.dead_letter_ttl_ns = -1;
    assert_int_equal(shmq_policy_set(q, &policy), -EINVAL);
    finish(q, dead);
}

/* Its time is over with nobody there; the next who looks sends it. */
static void expired(void **state)
{
    shmq_t *q = create_with_letters(0);
    struct shmq_policy policy;
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    assert_int_equal(shmq_policy_of(q, &policy), 0);
    policy.dead_letter_expired = 1;
    assert_int_equal(shmq_policy_set(q, &policy), 0);
    msg.ttl_ns = MOMENT_HOUR_NS;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    helper_send(q, "good");
    moment_pass(MOMENT_AFTER_NS);
    struct shmq_msg good = helper_receive(q);
    assert_true(helper_is(&good, "good"));
    assert_int_equal(shmq_ack(q, &good), 0);
    assert_true(helper_takes(q, NULL));
    shmq_t *dead = letters();
    for (int i = 0; i < 2; i++) {
        struct shmq_msg letter = helper_receive(dead);
        assert_true(has(&letter, "shmq-reason", "6"));
        assert_true(has(&letter, "shmq-attempts", "0"));
        assert_int_equal(letter.ttl_ns, 0); /* now it stays */
        assert_int_equal(shmq_ack(dead, &letter), 0);
    }
    assert_int_equal(helper_group(q).backlog, 0);
    finish(q, dead);
}

static int hold_and_die(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    if (shmq_receive(q, &msg, HELPER_LATE_NS) != 0)
        return 1;
    raise(SIGKILL);
    return 2;
}

static bool has_dead(void *q)
{
    assert_true(helper_takes(q, NULL));
    return helper_group(q).dead_count == 1;
}

/* A message that kills who deals with it. */
static void killed_too_often(void **state)
{
    shmq_t *q = create_with_letters(1);

    (void)state;
    helper_send(q, "poison");
    pid_t child = helper_fork(hold_and_die, q);
    assert_int_equal(helper_wait(child), 1000 + SIGKILL);
    assert_true(helper_await(has_dead, q));
    shmq_t *dead = letters();
    struct shmq_msg letter = helper_receive(dead);
    assert_true(helper_is(&letter, "poison"));
    assert_true(has(&letter, "shmq-reason", "5"));
    assert_int_equal(shmq_ack(dead, &letter), 0);
    finish(q, dead);
}

/* As a consumer that is started again and again: a handle of its own. */
static int receive_anew(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    shmq_t *own;

    (void)q;
    if (shmq_open(&own, own_name, 0, NULL) != 0)
        return 1;
    int rc = shmq_receive(own, &msg, SHMQ_NOWAIT);
    if (rc == 0)
        raise(SIGSTOP);
    return rc == -EAGAIN ? 0 : 1;
}

/* The last consumer is told although its successor, which makes the letter, came in its
 * place. */
static void told_by_the_successor(void **state)
{
    shmq_t *q = create_with_letters(2);
    char pid[16];

    (void)state;
    helper_send(q, "x");
    for (int i = 0; i < 3; i++) {
        q->segment.control->swept_ns = 0; /* who attaches cleans up after the last */
        pid_t child = helper_fork(receive_anew, q);
        if (i == 2) {
            assert_int_equal(helper_wait(child), 0);
            break;
        }
        assert_true(helper_await(helper_is_stopped, &child));
        snprintf(pid, sizeof(pid), "%d", (int)child);
        helper_kill(child);
    }
    shmq_t *dead = letters();
    struct shmq_msg letter = helper_receive(dead);
    assert_true(has(&letter, "shmq-pid", pid));
    assert_string_not_equal(shmq_header_value(&letter, "shmq-command"), "");
    assert_int_equal(shmq_ack(dead, &letter), 0);
    finish(q, dead);
}

static void of_a_topics_group(void **state)
{
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;
    shmq_t *q, *g;

    (void)state;
    snprintf(dead_name, sizeof(dead_name), "%s", helper_name("dead"));
    q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, NULL);
    attr.has_policy = 1;
    strcpy(attr.policy.dead_letter, dead_name);
    assert_int_equal(shmq_subscribe(q, "readers", &attr, &g), 0);
    helper_send(q, "x");
    struct shmq_msg msg = helper_receive(g);
    assert_int_equal(shmq_reject(g, &msg, 0, NULL), 0);
    shmq_t *dead = letters();
    struct shmq_msg letter = helper_receive(dead);
    assert_true(has(&letter, "shmq-group", "readers"));
    assert_true(has(&letter, "shmq-reason", "0"));
    assert_int_equal(shmq_ack(dead, &letter), 0);
    assert_int_equal(shmq_close(g), 0);
    finish(q, dead);
}

/* --- parked ------------------------------------------------------------------------ */

static void parked_and_back(void **state)
{
    shmq_t *q = create("", 3);
    int64_t begun_ns = helper_now_ns();
    struct shmq_msg msg = SHMQ_MSG_INIT;
    uint64_t place = 0;
    char buffer[256];

    (void)state;
    reject(q, "one", 16);
    reject(q, "two", SHMQ_REASON_TIMEOUT);
    assert_int_equal(helper_group(q).dead, 2);
    assert_int_equal(helper_group(q).backlog, 0);
    assert_int_equal(shmq_join(q, SHMQ_NOWAIT), 0);
    int64_t rc = shmq_inspect(q, SHMQ_DEAD, &place, &msg, buffer, sizeof(buffer));
    assert_int_equal(rc, 3);
    assert_int_equal(msg.state, SHMQ_DEAD);
    assert_int_equal(msg.reason, 16);
    assert_in_range(msg.since_ns, begun_ns - SHMQ_MS(20), helper_now_ns());
    /* One by its id, then all. */
    assert_int_equal(shmq_redrive(q, 2), 1);
    struct shmq_msg two = helper_receive(q);
    assert_true(helper_is(&two, "two"));
    assert_int_equal(two.attempts, 1); /* a new life */
    assert_int_equal(shmq_redrive(q, 2), -ENOENT);
    assert_int_equal(shmq_redrive(q, 99), -ENOENT);
    assert_int_equal(shmq_reject(q, &two, 0, NULL), 0);
    assert_int_equal(shmq_redrive(q, 0), 2);
    assert_true(helper_takes(q, "one"));
    assert_true(helper_takes(q, "two"));
    assert_int_equal(shmq_redrive(q, 0), 0);
    assert_int_equal(helper_group(q).dead_count, 3);
    helper_finish(q);
}

static int wait_for_one(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    return shmq_receive(q, &msg, HELPER_LATE_NS) == 0 && shmq_ack(q, &msg) == 0 ? 0 : 1;
}

static void back_to_a_sleeper(void **state)
{
    shmq_t *q = create("", 0);

    (void)state;
    reject(q, "x", 0);
    pid_t child = helper_fork(wait_for_one, q);
    helper_expect_wake(q, HELPER_CONSUMERS);
    assert_int_equal(shmq_redrive(q, 0), 1);
    assert_true(helper_has_woken(q, HELPER_CONSUMERS));
    assert_int_equal(helper_wait(child), 0);
    helper_finish(q);
}

/* --- from the dead-letter queue ------------------------------------------------------ */

static void redriven(void **state)
{
    shmq_t *q = create_with_letters(0);
    const struct shmq_header headers[] = {{"colour", "blue"}};
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    msg.data = "first";
    msg.length = 5;
    msg.key = "key";
    msg.key_length = 3;
    msg.headers = headers;
    msg.header_count = 1;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    msg = helper_receive(q);
    assert_int_equal(shmq_reject(q, &msg, 0, NULL), 0);
    reject(q, "second", 0);
    reject(q, "third", 0);
    shmq_t *dead = letters();
    helper_send(dead, "no letter");
    assert_int_equal(shmq_redrive(dead, 2), 1); /* its id there */
    assert_true(helper_takes(q, "second"));
    assert_int_equal(shmq_redrive(dead, 4), -ENOENT); /* no letter */
    assert_int_equal(shmq_redrive(dead, 0), 2);
    msg = helper_receive(q);
    assert_true(helper_is(&msg, "first"));
    assert_true(has(&msg, "colour", "blue"));
    assert_null(shmq_header_value(&msg, "shmq-reason"));
    assert_null(shmq_header_value(&msg, "shmq-queue"));
    assert_memory_equal(msg.key, "key", 3);
    assert_int_equal(shmq_ack(q, &msg), 0);
    assert_true(helper_takes(q, "third"));
    assert_true(helper_takes(dead, "no letter"));
    assert_true(helper_takes(dead, NULL));
    finish(q, dead);
}

/* Also those that rest there, or were looked at and given back. */
static void redriven_whatever_they_do(void **state)
{
    shmq_t *q = create_with_letters(0);

    (void)state;
    reject(q, "x", 0);
    reject(q, "y", 0);
    reject(q, "z", 0);
    shmq_t *dead = letters();
    struct shmq_msg x = helper_receive(dead), y = helper_receive(dead);
    assert_int_equal(shmq_nack(dead, &x, SHMQ_SEC(100), 0), 0);
    assert_int_equal(shmq_redrive(dead, 0), 2);
    assert_int_equal(shmq_redrive(dead, y.id), -ENOENT); /* in a consumer's hands */
    assert_int_equal(shmq_ack(dead, &y), 0);
    assert_int_equal(helper_group(dead).backlog, 0);
    assert_int_equal(shmq_depth(q), 2);
    finish(q, dead);
}

/* The queue they came from is gone, or has no room: they stay. */
static void redriven_to_nowhere(void **state)
{
    shmq_t *q = create_with_letters(0);

    (void)state;
    reject(q, "x", 0);
    reject(q, "y", 0);
    shmq_t *dead = letters();
    assert_int_equal(shmq_unlink(own_name), 0);
    assert_int_equal(shmq_redrive(dead, 0), -ENOENT);
    assert_int_equal(shmq_depth(dead), 2);
    assert_int_equal(shmq_close(q), 0);
    struct shmq_attr attr = helper_attr(4096);
    attr.max_messages = 1;
    q = helper_create(&attr);
    assert_int_equal(shmq_redrive(dead, 0), 1);
    assert_int_equal(shmq_redrive(dead, 0), -ETIMEDOUT);
    assert_int_equal(shmq_depth(dead), 1);
    assert_true(helper_takes(q, "x"));
    finish(q, dead);
}

/* One that its queue does not take any more is no obstacle to the others. */
static void redriven_past_one_that_stays(void **state)
{
    shmq_t *q = create_with_letters(0);

    (void)state;
    reject(q, "this one is too long for it", 0);
    reject(q, "y", 0);
    shmq_t *dead = letters();
    assert_int_equal(shmq_unlink(own_name), 0);
    assert_int_equal(shmq_close(q), 0);
    struct shmq_attr attr = helper_attr(4096);
    attr.max_message_bytes = 24;
    q = helper_create(&attr);
    assert_int_equal(shmq_redrive(dead, 0), 1);
    assert_int_equal(shmq_redrive(dead, 0), -EMSGSIZE);
    assert_int_equal(shmq_depth(dead), 1);
    assert_true(helper_takes(q, "y"));
    finish(q, dead);
}

static int redrive_all(void *dead)
{
    return shmq_redrive(dead, 0) >= 0 ? 0 : 1;
}

/* Several at once put each one back once. */
static void redriven_by_several(void **state)
{
    enum { LETTERS = 400 };
    shmq_t *q = create_with_letters(0);
    char text[16];

    (void)state;
    for (int i = 0; i < LETTERS; i++) {
        snprintf(text, sizeof(text), "%d", i);
        reject(q, text, 0);
    }
    shmq_t *dead = letters();
    helper_at_once(3, redrive_all, dead);
    assert_int_equal(shmq_depth(dead), 0);
    for (int i = 0; i < LETTERS; i++) {
        snprintf(text, sizeof(text), "%d", i);
        assert_true(helper_takes(q, text));
    }
    assert_true(helper_takes(q, NULL));
    finish(q, dead);
}

struct race {
    shmq_t *dead;
    _Atomic unsigned taken;
};

static int take_all(void *arg)
{
    struct race *r = arg;
    char buffer[16];

    while (shmq_depth(r->dead) > 0)
        r->taken += shmq_get(r->dead, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT) > 0;
    return 0;
}

/* What a consumer of the letters takes meanwhile is not put back as well. */
static void redriven_beside_a_consumer(void **state)
{
    enum { LETTERS = 400 };
    shmq_t *q = create_with_letters(0);
    struct race *r = helper_shared(sizeof(*r));

    (void)state;
    for (int i = 0; i < LETTERS; i++)
        reject(q, "x", 0);
    r->dead = letters();
    pid_t child = helper_fork(take_all, r);
    int64_t moved = shmq_redrive(r->dead, 0);
    assert_int_equal(helper_wait(child), 0);
    assert_cmp(moved, >=, 0);
    assert_int_equal(shmq_depth(q), moved);
    assert_int_equal(moved + r->taken, LETTERS);
    finish(q, r->dead);
    munmap(r, sizeof(*r));
}

/* A queue that does not let its producers wait for room says so, too. */
static void redriven_without_room(void **state)
{
    shmq_t *q = create_with_letters(0);

    (void)state;
    reject(q, "x", 0);
    shmq_t *dead = letters();
    assert_int_equal(shmq_unlink(own_name), 0);
    assert_int_equal(shmq_close(q), 0);
    struct shmq_attr attr = helper_attr(4096);
    attr.max_messages = 1;
    attr.full = SHMQ_FULL_FAIL;
    q = helper_create(&attr);
    helper_send(q, "y");
    assert_int_equal(shmq_redrive(dead, 0), -EAGAIN);
    assert_true(helper_takes(q, "y"));
    assert_int_equal(shmq_redrive(dead, 0), 1);
    assert_true(helper_takes(q, "x"));
    finish(q, dead);
}

/* --- where it cannot be sent ----------------------------------------------------------- */

static void parked_if_there_is_no_room(void **state)
{
    struct shmq_attr attr = helper_attr(4096);

    (void)state;
    attr.max_messages = 1;
    shmq_t *dead = helper_open(helper_name("dead"), SHMQ_CREATE, &attr);
    shmq_t *q = create_with_letters(0);
    reject(q, "sent", 0);
    reject(q, "parked", 3);
    assert_int_equal(helper_group(q).dead, 1);
    assert_int_equal(helper_group(q).dead_count, 2);
    assert_int_equal(shmq_depth(dead), 1);
    assert_true(helper_takes(dead, "sent"));
    assert_int_equal(shmq_redrive(q, 0), 1);
    struct shmq_msg msg = helper_receive(q);
    assert_true(helper_is(&msg, "parked"));
    assert_int_equal(shmq_reject(q, &msg, 0, NULL), 0);
    assert_true(helper_takes(dead, "parked"));
    finish(q, dead);
}

static void parked_if_it_is_this_queue(void **state)
{
    shmq_t *q = create(helper_name("a"), 0);

    (void)state;
    reject(q, "x", 0);
    assert_int_equal(helper_group(q).dead, 1);
    assert_true(helper_takes(q, NULL));
    helper_finish(q);
}

/* The dead-letter queue is removed: the next letter makes another. */
static void sent_to_a_new_one(void **state)
{
    shmq_t *q = create_with_letters(0);
    char path[128];

    (void)state;
    reject(q, "x", 0);
    assert_int_equal(shmq_unlink(dead_name), 0);
    reject(q, "y", 0);
    shmq_t *dead = letters();
    assert_true(helper_takes(dead, "y"));
    assert_int_equal(shmq_close(dead), 0);
    snprintf(path, sizeof(path), "/dev/shm/shmq.%s", dead_name);
    assert_int_equal(unlink(path), 0); /* nobody is told */
    reject(q, "z", 0);
    dead = letters();
    assert_true(helper_takes(dead, "z"));
    assert_int_equal(helper_group(q).dead, 0);
    finish(q, dead);
}

static void *keep_out(void *q)
{
    helper_pass(SHMQ_MS(1300));
    sq_lock_taken(sq_side_lock(q, SQ_ROLE_CONSUMER), SQ_RANK_GROUP);
    sq_leave(q, SQ_ROLE_CONSUMER);
    return NULL;
}

/* Who is kept out for longer than it waits at a time buries the message all the same. */
static void buried_when_kept_out(void **state)
{
    shmq_t *q = create_with_letters(0), *other = helper_open(own_name, 0, NULL);
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    struct sq_lease lease;
    pthread_t thread;

    (void)state;
    helper_send(q, "x");
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(sq_enter(other, SQ_ROLE_CONSUMER, &deadline), 0);
    uint32_t place = q->segment.ring.group->pending.lease_first;
    assert_int_equal(
        sq_group_next_lease(&other->segment.ring, &place, q->attachment.owner, msg.id, &lease), 0);
    assert_int_equal(sq_group_reject(&other->segment.ring, &lease, 1, sq_clock_ns()), 1);
    sq_lock_freed(sq_side_lock(other, SQ_ROLE_CONSUMER)); /* it is the thread's from now on */
    assert_int_equal(pthread_create(&thread, NULL, keep_out, other), 0);
    assert_int_equal(sq_dead_letter_make(q, &lease, q->attachment.owner, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(shmq_close(other), 0);
    assert_int_equal(helper_group(q).backlog, 0);
    shmq_t *dead = letters();
    assert_true(helper_takes(dead, "x"));
    finish(q, dead);
}

/* Dead letters of dead letters go nowhere else, and do not go round. */
static void dead_again(void **state)
{
    struct shmq_attr attr = helper_attr(65536);

    (void)state;
    strcpy(attr.policy.dead_letter, helper_name("a"));
    shmq_t *dead = helper_open(helper_name("dead"), SHMQ_CREATE, &attr);
    shmq_t *q = create_with_letters(0);
    reject(q, "x", 1);
    struct shmq_msg msg = helper_receive(dead);
    assert_int_equal(shmq_reject(dead, &msg, 2, NULL), 0);
    msg = helper_receive(q);
    assert_true(has(&msg, "shmq-reason", "2"));
    assert_true(has(&msg, "shmq-queue", dead_name));
    assert_int_equal(shmq_ack(q, &msg), 0);
    finish(q, dead);
}

static void names_are_checked(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q;

    (void)state;
    strcpy(attr.policy.dead_letter, "a/b");
    assert_int_equal(shmq_open(&q, helper_name("a"), SHMQ_CREATE, &attr), -EINVAL);
    memset(attr.policy.dead_letter, 'x', sizeof(attr.policy.dead_letter));
    assert_int_equal(shmq_open(&q, helper_name("a"), SHMQ_CREATE, &attr), -EINVAL);
    struct shmq_group_attr group = SHMQ_GROUP_INIT;
    shmq_t *g;
    q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, NULL);
    group.has_policy = 1;
    strcpy(group.policy.dead_letter, "a b");
    assert_int_equal(shmq_subscribe(q, "g", &group, &g), -EINVAL);
    assert_null(g);
    assert_int_equal(shmq_groups(q, NULL, 0), 0);
    helper_finish(q);
}

static void reasons_are_checked(void **state)
{
    shmq_t *q = create("", 0);

    (void)state;
    helper_send(q, "x");
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_reject(q, &msg, UINT32_MAX, NULL), -EINVAL);
    assert_int_equal(shmq_reject(q, &msg, 1000, NULL), 0);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(all_its_headers),
        HELPER_TEST(out_of_attempts),
        HELPER_TEST(a_long_text),
        MOMENT_TEST(letters_expire),
        MOMENT_TEST(expired),
        HELPER_TEST(killed_too_often),
        HELPER_TEST(told_by_the_successor),
        HELPER_TEST(of_a_topics_group),
        HELPER_TEST(parked_and_back),
        HELPER_TEST(back_to_a_sleeper),
        HELPER_TEST(redriven),
        HELPER_TEST(redriven_whatever_they_do),
        HELPER_TEST(redriven_to_nowhere),
        HELPER_TEST(redriven_past_one_that_stays),
        HELPER_TEST(redriven_by_several),
        HELPER_TEST(redriven_beside_a_consumer),
        HELPER_TEST(redriven_without_room),
        HELPER_TEST(parked_if_there_is_no_room),
        HELPER_TEST(parked_if_it_is_this_queue),
        HELPER_TEST(sent_to_a_new_one),
        HELPER_TEST(buried_when_kept_out),
        HELPER_TEST(dead_again),
        HELPER_TEST(names_are_checked),
        HELPER_TEST(reasons_are_checked),
    };

    return helper_run(argc, argv, tests);
}
