/*
 * test_fd.c - descriptors for event loops, and waiting for several queues.
 */
#include "support/moment.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handle/handle.h"

enum { LATE_MS = HELPER_LATE_NS / 1000000 };

/* For threads that sleep until then. */
#define SOON_NS SHMQ_MS(300)

static shmq_t *create(void)
{
    return helper_create(NULL);
}

static int fd_of(shmq_t *q)
{
    int fd = shmq_fd(q);

    assert_cmp(fd, >=, 0);
    return fd;
}

/* Whether it is readable now, or gets so within the time. */
static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1 && p.revents == POLLIN;
}

static bool is_readable_now(void *fd)
{
    return readable(*(int *)fd, 0);
}

static bool is_not_readable_now(void *fd)
{
    return !readable(*(int *)fd, 0);
}

static bool pipe_is_there(const char *queue)
{
    char pattern[256];
    glob_t found;

    snprintf(pattern, sizeof(pattern), "/dev/shm/shmq.%s%%*", queue);
    bool there = glob(pattern, GLOB_NOSORT, NULL, &found) == 0;
    globfree(&found);
    return there;
}

/* --- in one process ------------------------------------------------------------------ */

static void follows_what_is_there(void **state)
{
    shmq_t *q = create();
    int fd = fd_of(q);
    char buffer[8];

    (void)state;
    assert_int_equal(fd_of(q), fd);
    assert_false(readable(fd, 0));
    for (int round = 0; round < 3; round++) {
        assert_int_equal(shmq_put(q, "a", 1, SHMQ_NOWAIT), 0);
        assert_true(readable(fd, 0));
        assert_true(readable(fd, 0)); /* level-triggered */
        helper_send(q, "b");
        assert_true(readable(fd, 0));
        assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
        assert_true(readable(fd, 0));
        struct shmq_msg msg = helper_receive(q);
        assert_false(readable(fd, 0));
        assert_int_equal(shmq_nack(q, &msg, 0, 0), 0);
        assert_true(readable(fd, 0));
        assert_true(helper_takes(q, "b"));
        assert_false(readable(fd, 0));
    }
    helper_finish(q);
}

static void there_before_it_was_asked_for(void **state)
{
    shmq_t *q = create();

    (void)state;
    helper_send(q, "x");
    assert_true(readable(fd_of(q), 0));
    assert_true(helper_takes(q, "x"));
    assert_false(readable(fd_of(q), 0));
    helper_finish(q);
}

static void follows_all_that_changes_it(void **state)
{
    shmq_t *q = create();
    int fd = fd_of(q);
    char buffer[64];
    struct shmq_info infos[4];
    struct shmq_buf batch[] = {{"a", 1}, {"b", 1}};
    struct shmq_msg msgs[2] = {SHMQ_MSG_INIT, SHMQ_MSG_INIT};
    void *data;

    (void)state;
    assert_int_equal(shmq_put_many(q, batch, 2, SHMQ_NOWAIT), 2);
    assert_true(readable(fd, 0));
    assert_int_equal(shmq_get_many(q, buffer, 64, infos, 4, 0, SHMQ_NOWAIT), 2);
    assert_false(readable(fd, 0));
    assert_int_equal(shmq_send_many(q, msgs, 2, SHMQ_NOWAIT), 2);
    assert_true(readable(fd, 0));
    assert_int_equal(shmq_purge(q), 2);
    assert_false(readable(fd, 0));
    assert_int_equal(shmq_reserve(q, 8, &data, SHMQ_NOWAIT), 0);
    assert_false(readable(fd, 0));
    assert_int_equal(shmq_commit(q, 8), 0);
    assert_true(readable(fd, 0));
    assert_int_equal(shmq_pause(q), 0);
    assert_false(readable(fd, 0));
    assert_int_equal(shmq_resume(q), 0);
    assert_true(readable(fd, 0));
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_reject(q, &msg, 0, NULL), 0);
    assert_false(readable(fd, 0));
    assert_int_equal(shmq_redrive(q, 0), 1);
    assert_true(readable(fd, 0));
    assert_int_equal(shmq_remove(q, msg.id), 0);
    assert_false(readable(fd, 0));
    helper_finish(q);
}

/* What comes with time, while nobody calls anything. */
static void follows_the_time(void **state)
{
    struct shmq_attr attr = helper_attr(65536);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    attr.policy.lease_ns = MOMENT_HOUR_NS;
    shmq_t *q = helper_create(&attr);
    int fd = fd_of(q);
    msg.delay_ns = MOMENT_HOUR_NS;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_false(readable(fd, 0));
    moment_pass(MOMENT_AFTER_NS);
    assert_true(readable(fd, LATE_MS));
    struct shmq_msg late = helper_receive(q);
    assert_false(readable(fd, 0));
    moment_pass(MOMENT_AFTER_NS);
    assert_true(readable(fd, LATE_MS)); /* the lease is over */
    late = helper_receive(q);
    assert_int_equal(shmq_nack(q, &late, MOMENT_HOUR_NS, 0), 0);
    assert_false(readable(fd, 0));
    moment_pass(MOMENT_AFTER_NS);
    assert_true(readable(fd, LATE_MS));
    late = helper_receive(q);
    assert_int_equal(shmq_ack(q, &late), 0);
    assert_false(readable(fd, 100));
    helper_finish(q);
}

/* The thread that keeps time wakes for it, not when it happens to look around. */
static void follows_it_at_once(void **state)
{
    struct shmq_attr attr = helper_attr(65536);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    attr.policy.lease_ns = SOON_NS;
    shmq_t *q = helper_create(&attr);
    int fd = fd_of(q);
    msg.delay_ns = SOON_NS;
    for (int round = 0; round < 3; round++) {
        int64_t begun_ns = helper_now_ns();
        assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
        moment_is_due_after(begun_ns, SOON_NS);
        assert_true(readable(fd, LATE_MS));
        assert_cmp(helper_now_ns() - begun_ns, >=, SOON_NS);
        begun_ns = helper_now_ns();
        struct shmq_msg late = helper_receive(q);
        moment_is_due_after(begun_ns, SOON_NS);
        assert_true(readable(fd, LATE_MS));
        late = helper_receive(q);
        shmq_ack(q, &late); /* or it is over by now */
        assert_cmp(shmq_purge(q), >=, 0);
    }
    helper_finish(q);
}

/* It is to be gone when the message is, without anybody who receives; the next one is seen. */
static void follows_what_expires(void **state)
{
    shmq_t *q = create();
    struct shmq_msg msg = SHMQ_MSG_INIT;
    int fd = fd_of(q);

    (void)state;
    msg.ttl_ns = MOMENT_HOUR_NS;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_true(readable(fd, 0));
    moment_pass(MOMENT_AFTER_NS);
    assert_true(helper_await(is_not_readable_now, &fd));
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    helper_send(q, "x");
    assert_true(readable(fd, 0));
    moment_pass(MOMENT_AFTER_NS);
    helper_pass(SHMQ_MS(100));
    assert_true(readable(fd, 0));
    assert_true(helper_takes(q, "x"));
    msg.ttl_ns = SOON_NS;
    int64_t sent_ns = helper_now_ns();
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    moment_is_due_after(sent_ns, SOON_NS);
    assert_true(helper_await(is_not_readable_now, &fd));
    helper_finish(q);
}

static void with_epoll(void **state)
{
    shmq_t *q = create();
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 7}, got;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    (void)state;
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd_of(q), &event), 0);
    assert_int_equal(epoll_wait(epoll, &got, 1, 0), 0);
    helper_send(q, "x");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(epoll_wait(epoll, &got, 1, 0), 1);
        assert_int_equal(got.data.u32, 7);
    }
    assert_true(helper_takes(q, "x"));
    assert_int_equal(epoll_wait(epoll, &got, 1, 0), 0);
    close(epoll);
    helper_finish(q);
}

static void says_no(void **state)
{
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, NULL);

    (void)state;
    assert_int_equal(shmq_fd(q), -EINVAL);
    helper_finish(q);
    q = create();
    shmq_t *other = helper_open(helper_name("a"), SHMQ_RDONLY, NULL);
    assert_int_equal(shmq_fd(other), -EACCES);
    assert_int_equal(shmq_close(other), 0);
    other = helper_open(helper_name("a"), SHMQ_SOLE_CONSUMER, NULL);
    assert_int_equal(shmq_fd(other), -EINVAL);
    assert_int_equal(shmq_close(other), 0);
    helper_finish(q);
}

/* Then it is readable: a receive says so. */
static void readable_at_the_end(void **state)
{
    shmq_t *q = create(), *topic, *g;
    struct shmq_msg msg = SHMQ_MSG_INIT;
    int fd = fd_of(q);

    (void)state;
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
    assert_true(readable(fd, LATE_MS));
    assert_int_equal(shmq_receive(q, &msg, SHMQ_NOWAIT), -ESTALE);
    assert_int_equal(shmq_close(q), 0);
    topic = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, NULL);
    assert_int_equal(shmq_subscribe(topic, "g", NULL, &g), 0);
    fd = fd_of(g);
    assert_false(readable(fd, 0));
    assert_int_equal(shmq_unsubscribe(topic, "g"), 0);
    assert_true(readable(fd, LATE_MS));
    assert_int_equal(shmq_receive(g, &msg, SHMQ_NOWAIT), -ESTALE);
    assert_int_equal(shmq_close(g), 0);
    helper_finish(topic);
}

/* Who still has a queue that was removed is not given one, and leaves its successor's alone,
 * also before it has noticed. */
static void not_of_a_successor(void **state)
{
    shmq_t *q = create(), *other = helper_open(helper_name("a"), 0, NULL);
    char path[128], aside[128];

    (void)state;
    fd_of(q);
    assert_int_equal(shmq_close(q), 0); /* it is still said to be polled */
    snprintf(path, sizeof(path), "/dev/shm/shmq.%s", helper_name("a"));
    snprintf(aside, sizeof(aside), "/dev/shm/shmq.%s", helper_name("aside"));
    assert_int_equal(rename(path, aside), 0);
    shmq_t *successor = create();
    int fd = fd_of(successor);
    helper_send(other, "x");
    assert_false(readable(fd, 0));
    helper_finish(successor);
    assert_int_equal(rename(aside, path), 0);
    shmq_t *late = helper_open(helper_name("a"), 0, NULL);
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
    assert_int_equal(shmq_fd(late), -ESTALE);
    assert_false(pipe_is_there(helper_name("a")));
    assert_int_equal(shmq_close(late), 0);
    assert_int_equal(shmq_close(other), 0);
}

/* Each group has its own. */
static void of_groups(void **state)
{
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, NULL), *g, *h;
    struct shmq_group_attr picky = SHMQ_GROUP_INIT;

    (void)state;
    picky.filter_type = 7;
    assert_int_equal(shmq_subscribe(q, "g", NULL, &g), 0);
    assert_int_equal(shmq_subscribe(q, "h", &picky, &h), 0);
    int of_g = fd_of(g), of_h = fd_of(h);
    helper_send(q, "x");
    assert_true(readable(of_g, 0));
    assert_false(readable(of_h, 0));
    struct shmq_msg msg = SHMQ_MSG_INIT;
    msg.type = 7;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_true(readable(of_h, 0));
    assert_true(helper_takes(g, "x"));
    assert_true(helper_takes(g, ""));
    assert_false(readable(of_g, 0));
    assert_true(readable(of_h, 0));
    assert_int_equal(shmq_seek(g, SHMQ_EARLIEST, 0), 0);
    assert_true(readable(of_g, 0));
    assert_int_equal(shmq_remove(q, 1), 0);
    assert_true(readable(of_g, 0));
    assert_int_equal(shmq_remove(q, 2), 0);
    assert_false(readable(of_g, 0));
    assert_false(readable(of_h, 0));
    assert_int_equal(shmq_close(g), 0);
    assert_int_equal(shmq_close(h), 0);
    helper_finish(q);
}

/* --- between processes -------------------------------------------------------------------- */

static int put_one(void *q)
{
    return shmq_put(q, "x", 1, SHMQ_NOWAIT) == 0 && shmq_close(q) == 0 ? 0 : 1;
}

static int get_one(void *q)
{
    char buffer[8];

    return shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT) == 1 && shmq_close(q) == 0 ? 0 : 1;
}

static void others_put_and_get(void **state)
{
    shmq_t *q = create();
    int fd = fd_of(q);

    (void)state;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(helper_wait(helper_fork(put_one, q)), 0);
        assert_true(readable(fd, 0));
        assert_int_equal(helper_wait(helper_fork(get_one, q)), 0);
        assert_false(readable(fd, 0));
    }
    helper_finish(q);
}

static int watch(void *q)
{
    int fd = shmq_fd(q);
    char buffer[8];

    if (fd < 0 || readable(fd, 0))
        return 1;
    raise(SIGSTOP);
    if (!readable(fd, LATE_MS) || shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT) != 1 || readable(fd, 0))
        return 2;
    return shmq_close(q) == 0 ? 0 : 3;
}

/* Both see it, whichever takes it. */
static void two_watch(void **state)
{
    shmq_t *q = create();
    int fd = fd_of(q);

    (void)state;
    pid_t child = helper_fork_stopped(watch, q);
    helper_send(q, "x");
    assert_true(readable(fd, 0));
    kill(child, SIGCONT);
    assert_int_equal(helper_wait(child), 0);
    assert_false(readable(fd, 0));
    helper_send(q, "y"); /* the other one has gone */
    assert_true(readable(fd, 0));
    helper_finish(q);
}

static void a_consumer_is_killed(void **state)
{
    shmq_t *q = create();
    int fd = fd_of(q);

    (void)state;
    helper_send(q, "x");
    pid_t child = helper_holder(q);
    assert_false(readable(fd, 0));
    helper_kill(child);
    assert_true(readable(fd, LATE_MS));
    assert_true(helper_takes(q, "x"));
    helper_finish(q);
}

/* Many put and get, and some are killed at it: in the end the descriptor is right. */
static int put_and_get(void *q)
{
    char buffer[8];

    for (int i = 0; i < 3000; i++) {
        struct shmq_msg msg = SHMQ_MSG_INIT;
        if (shmq_put(q, "x", 1, HELPER_LATE_NS) != 0)
            return 1;
        if (i % 3 == 0)
            shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT);
        else if (shmq_receive(q, &msg, SHMQ_NOWAIT) == 0)
            i % 2 == 0 ? shmq_ack(q, &msg) : shmq_nack(q, &msg, 0, 0);
    }
    return shmq_close(q) == 0 ? 0 : 2;
}

static void right_in_the_end(void **state)
{
    struct helper_random random = helper_seed();
    shmq_t *q = create();
    int fd = fd_of(q);
    char buffer[8];

    (void)state;
    for (int round = 0; round < 6; round++) {
        pid_t children[3];
        for (int i = 0; i < 3; i++)
            children[i] = helper_fork(put_and_get, q);
        helper_pass((int64_t)(helper_random(&random) % 20000000));
        helper_kill(children[0]);
        for (int i = 1; i < 3; i++)
            assert_int_equal(helper_wait(children[i]), 0);
        helper_send(q, "x");
        assert_true(readable(fd, 0));
        /* What the dead one had leased comes back within a second or so. */
        while (helper_group(q).backlog > 0)
            assert_int_equal(shmq_get(q, buffer, 8, NULL, HELPER_LATE_NS), 1);
        assert_true(helper_await(is_not_readable_now, &fd));
        helper_send(q, "x");
        assert_true(helper_await(is_readable_now, &fd));
        assert_true(helper_takes(q, "x"));
        assert_false(readable(fd, 0));
    }
    helper_finish(q);
}

/* The child asks anew; closing and removing leaves nothing (the teardown counts). */
static int ask_anew(void *q)
{
    int fd = shmq_fd(q);

    if (fd < 0 || readable(fd, 0) || shmq_put(q, "x", 1, SHMQ_NOWAIT) != 0 || !readable(fd, 0))
        return 1;
    return shmq_close(q) == 0 ? 0 : 2;
}

static void forked_closed_removed(void **state)
{
    shmq_t *q = create();
    int fd = fd_of(q);

    (void)state;
    assert_true(pipe_is_there(helper_name("a")));
    assert_int_equal(helper_wait(helper_fork(ask_anew, q)), 0);
    assert_true(readable(fd, 0));
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(shmq_close(q), 0);
    assert_true(pipe_is_there(helper_name("a")));
    q = helper_open(helper_name("a"), 0, NULL);
    assert_true(helper_takes(q, "x")); /* with nobody who polls */
    assert_false(readable(fd_of(q), 0));
    helper_finish(q);
    assert_false(pipe_is_there(helper_name("a")));
}

static int list_one(const char *name, void *arg)
{
    return strchr(name, '%') != NULL || strcmp(name, arg) == 0;
}

/* The pipe is no queue. */
static void pipes_are_not_listed(void **state)
{
    shmq_t *q = create();
    char pipe[128];
    shmq_t *none;

    (void)state;
    fd_of(q);
    snprintf(pipe, sizeof(pipe), "%s%%0", helper_name("a"));
    assert_int_equal(shmq_list(list_one, pipe), 0);
    assert_int_equal(shmq_open(&none, pipe, 0, NULL), -EINVAL);
    helper_finish(q);
}

/* --- several queues -------------------------------------------------------------------------- */

static shmq_t *several[128];

static void create_several(unsigned count)
{
    struct shmq_attr attr = helper_attr(4096);
    char suffix[16];

    attr.pending_count = 8;
    for (unsigned i = 0; i < count; i++) {
        snprintf(suffix, sizeof(suffix), "q%u", i);
        several[i] = helper_open(helper_name(suffix), SHMQ_CREATE, &attr);
    }
}

static void finish_several(unsigned count)
{
    char suffix[16];

    for (unsigned i = 0; i < count; i++) {
        snprintf(suffix, sizeof(suffix), "q%u", i);
        assert_int_equal(shmq_close(several[i]), 0);
        int rc = shmq_unlink(helper_name(suffix));
        assert_one_of(rc, 0, -ENOENT);
    }
}

static int put_to_a_sleeper(void *q)
{
    return helper_await(helper_consumer_sleeps, q) ? put_one(q) : 2;
}

static void any_of(unsigned count)
{
    create_several(count);
    assert_int_equal(shmq_wait_any(several, count, SHMQ_NOWAIT), -EAGAIN);
    int64_t begun_ns = helper_now_ns();
    assert_int_equal(shmq_wait_any(several, count, SHMQ_MS(30)), -ETIMEDOUT);
    assert_cmp(helper_now_ns() - begun_ns, >=, SHMQ_MS(30));
    unsigned which[] = {0, count - 1, count / 2};
    moment_no_looks(true);
    for (int i = 0; i < 3; i++) {
        pid_t child = helper_fork(put_to_a_sleeper, several[which[i]]);
        assert_int_equal(shmq_wait_any(several, count, SHMQ_FOREVER), which[i]);
        /* It has taken nothing. */
        assert_int_equal(shmq_wait_any(several, count, SHMQ_NOWAIT), which[i]);
        assert_true(helper_takes(several[which[i]], "x"));
        assert_int_equal(helper_wait(child), 0);
    }
    finish_several(count);
}

static void any_of_3(void **state)
{
    (void)state;
    any_of(3);
}

static void any_of_128(void **state)
{
    (void)state;
    any_of(128);
}

static void any_of_too_many(void **state)
{
    shmq_t *q = create(), *list[129];

    (void)state;
    for (int i = 0; i < 129; i++)
        list[i] = q;
    assert_int_equal(shmq_wait_any(list, 0, SHMQ_NOWAIT), -EINVAL);
    assert_int_equal(shmq_wait_any(list, 129, SHMQ_NOWAIT), -EINVAL);
    assert_int_equal(shmq_wait_any(list, 1, -2), -EINVAL);
    helper_send(q, "x");
    assert_int_equal(shmq_wait_any(list, 128, SHMQ_NOWAIT), 0); /* the same one, even */
    helper_finish(q);
}

/* What becomes due, or comes back, counts as well. */
static void any_by_time(void **state)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    create_several(3);
    msg.delay_ns = MOMENT_HOUR_NS;
    int64_t sent_ns = helper_now_ns();
    assert_int_equal(shmq_send(several[1], &msg, SHMQ_NOWAIT), 0);
    moment_is_due_after(sent_ns, MOMENT_HOUR_NS);
    assert_int_equal(shmq_wait_any(several, 3, SHMQ_NOWAIT), -EAGAIN);
    moment_pass(MOMENT_HOUR_NS - SOON_NS);
    assert_int_equal(shmq_wait_any(several, 3, HELPER_LATE_NS), 1);
    assert_true(helper_takes(several[1], ""));
    helper_send(several[1], "x");
    assert_int_equal(shmq_pause(several[1]), 0);
    assert_int_equal(shmq_wait_any(several, 3, SHMQ_MS(20)), -ETIMEDOUT);
    assert_int_equal(shmq_resume(several[1]), 0);
    pid_t child = helper_holder(several[1]);
    assert_int_equal(shmq_wait_any(several, 3, SHMQ_MS(20)), -ETIMEDOUT);
    helper_kill(child);
    assert_int_equal(shmq_wait_any(several, 3, HELPER_LATE_NS), 1);
    finish_several(3);
}

static int wait_for_any(void *count)
{
    return shmq_wait_any(several, *(unsigned *)count, HELPER_LATE_NS) == -ESTALE ? 0 : 1;
}

static void any_removed(void **state)
{
    unsigned count = 3;

    (void)state;
    create_several(count);
    pid_t child = helper_fork(wait_for_any, &count);
    assert_true(helper_await(helper_consumer_sleeps, several[1]));
    assert_int_equal(shmq_unlink(helper_name("q1")), 0);
    assert_int_equal(helper_wait(child), 0);
    finish_several(count);
}

static int take_one_of(void *unused)
{
    char buffer[8];

    (void)unused;
    moment_no_looks(true);
    for (;;) {
        int i = shmq_wait_any(several, 3, SHMQ_FOREVER);
        if (i < 0)
            return 1;
        ssize_t n = shmq_get(several[i], buffer, 8, NULL, SHMQ_NOWAIT);
        if (n == 1)
            return 0;
        if (n != -EAGAIN && n != -ETIMEDOUT)
            return 2;
    }
}

static bool all_sleep(void *q)
{
    return helper_stats(q).sleeping_consumers == 3;
}

/* A process passes on a wake that it does not need: each takes one, and none looks around. */
static void wakes_are_passed_on(void **state)
{
    enum { ROUNDS = 20 };

    (void)state;
    create_several(3);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[3];
        for (int i = 0; i < 3; i++)
            children[i] = helper_fork(take_one_of, NULL);
        assert_true(helper_await(all_sleep, several[0]));
        /* Each is woken for all of them. */
        for (int i = 0; i < 3; i++)
            helper_send(several[i], "x");
        for (int i = 0; i < 3; i++)
            assert_int_equal(helper_wait(children[i]), 0);
    }
    finish_several(3);
}

static int receive_one(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    return shmq_receive(q, &msg, HELPER_LATE_NS);
}

/* Refused, and nothing is written where a sleeper died and somebody is to be woken. */
static void any_read_only(void **state)
{
    shmq_t *q = create(), *r = helper_open(helper_name("a"), SHMQ_RDONLY, NULL);

    (void)state;
    helper_send(q, "x");
    struct shmq_msg msg = helper_receive(q);
    pid_t child = helper_fork(receive_one, q);
    assert_true(helper_await(helper_consumer_sleeps, q));
    helper_kill(child);
    q->segment.ring.group->pending.watch_ns = 0; /* the dead one's watch is over */
    assert_int_equal(shmq_wait_any(&r, 1, SHMQ_NOWAIT), -EACCES);
    assert_int_equal(shmq_ack(q, &msg), 0);
    assert_int_equal(shmq_close(r), 0);
    helper_finish(q);
}

static int interrupted(void *unused)
{
    struct sigaction action = {.sa_handler = helper_on_signal};

    (void)unused;
    sigaction(SIGUSR1, &action, NULL);
    return shmq_wait_any(several, 3, HELPER_LATE_NS) == -EINTR ? 0 : 1;
}

static void any_interrupted(void **state)
{
    int status = -1;

    (void)state;
    create_several(3);
    pid_t child = helper_fork(interrupted, NULL);
    assert_true(helper_await(helper_consumer_sleeps, several[0]));
    /* It counts as asleep a moment before it is. */
    while (waitpid(child, &status, WNOHANG) == 0) {
        kill(child, SIGUSR1);
        helper_pass(SHMQ_MS(2));
    }
    assert_int_equal(status, 0);
    finish_several(3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(follows_what_is_there),
        HELPER_TEST(there_before_it_was_asked_for),
        HELPER_TEST(follows_all_that_changes_it),
        MOMENT_TEST(follows_the_time),
        MOMENT_TEST(follows_it_at_once),
        MOMENT_TEST(follows_what_expires),
        HELPER_TEST(with_epoll),
        HELPER_TEST(says_no),
        HELPER_TEST(readable_at_the_end),
        HELPER_TEST(not_of_a_successor),
        HELPER_TEST(of_groups),
        HELPER_TEST(others_put_and_get),
        HELPER_TEST(two_watch),
        HELPER_TEST(a_consumer_is_killed),
        HELPER_TEST(right_in_the_end),
        HELPER_TEST(forked_closed_removed),
        HELPER_TEST(pipes_are_not_listed),
        MOMENT_TEST(any_of_3),
        MOMENT_TEST(any_of_128),
        HELPER_TEST(any_of_too_many),
        MOMENT_TEST(any_by_time),
        HELPER_TEST(any_removed),
        MOMENT_TEST(wakes_are_passed_on),
        HELPER_TEST(any_read_only),
        HELPER_TEST(any_interrupted),
    };

    return helper_run(argc, argv, tests);
}
