/*
 * test_call.c - request and reply.
 */
#include "support/moment.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- queues for replies ------------------------------------------------------- */

struct listing {
    int count;
    char prefix[64], name[256];
};

static int count_one(const char *name, void *arg)
{
    struct listing *l = arg;

    if (strncmp(name, l->prefix, strlen(l->prefix)) == 0) {
        l->count++;
        snprintf(l->name, sizeof(l->name), "%s", name);
    }
    return 0;
}

/* Those of process `pid`, and the name of one of them. */
static struct listing replies_of(pid_t pid)
{
    struct listing l = {0};

    snprintf(l.prefix, sizeof(l.prefix), "reply.%d.", (int)pid);
    assert_int_equal(shmq_list(count_one, &l), 0);
    return l;
}

static int call_teardown(void **state)
{
    struct listing left = replies_of(getpid());

    if (left.count != 0)
        print_error("left behind: %s\n", left.name);
    return moment_teardown(state) != 0 || left.count != 0 ? -1 : 0;
}

#define CALL_TEST(function) cmocka_unit_test_setup_teardown(function, moment_setup, call_teardown)

/* --- a server ------------------------------------------------------------------ */

/* Answers each request with its own bytes turned round. */
struct server {
    shmq_t *q;
    _Atomic bool stop;
    _Atomic unsigned served;
    _Atomic int rc; /* of the last shmq_reply() */
    pthread_t thread;
};

static void turn_round(const char *from, char *to, size_t length)
{
    for (size_t i = 0; i < length; i++)
        to[i] = from[length - 1 - i];
}

static int serve_one(shmq_t *q, int64_t timeout_ns)
{
    struct shmq_msg request = SHMQ_MSG_INIT;
    char reply[8192];
    int rc = shmq_receive(q, &request, timeout_ns);

    if (rc < 0)
        return rc;
    turn_round(request.data, reply, request.length);
    rc = shmq_reply(q, &request, reply, request.length);
    int acked = shmq_ack(q, &request);
    return rc < 0 ? rc : acked;
}

static void *serve(void *arg)
{
    struct server *s = arg;

    while (!s->stop) {
        int rc = serve_one(s->q, SHMQ_MS(20));
        if (rc == -ETIMEDOUT)
            continue;
        s->rc = rc;
        atomic_fetch_add(&s->served, 1);
    }
    return NULL;
}

static void start_server(struct server *s, shmq_t *q)
{
    memset(s, 0, sizeof(*s));
    s->q = q;
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop_server(struct server *s)
{
    s->stop = true;
    pthread_join(s->thread, NULL);
}

static ssize_t call(shmq_t *q, const char *text, char *reply, size_t size, int64_t timeout_ns)
{
    struct shmq_msg request = SHMQ_MSG_INIT;

    request.data = text;
    request.length = strlen(text);
    return shmq_call(q, &request, reply, size, timeout_ns);
}

static bool has_request(void *q)
{
    return shmq_depth(q) > 0;
}

/* --- calls ------------------------------------------------------------------------ */

static void call_and_reply(void **state)
{
    shmq_t *q = helper_create(NULL), *other = helper_open(helper_name("a"), 0, NULL);
    struct shmq_msg request = SHMQ_MSG_INIT;
    struct server server;
    char reply[16];

    (void)state;
    start_server(&server, other);
    assert_int_equal(call(q, "hello", reply, sizeof(reply), HELPER_LATE_NS), 5);
    assert_memory_equal(reply, "olleh", 5);
    assert_int_equal(call(q, "", NULL, 0, HELPER_LATE_NS), 0);
    request.data = "x";
    request.length = 1;
    assert_int_equal(shmq_call(q, &request, reply, sizeof(reply), SHMQ_FOREVER), 1);
    assert_int_equal(request.id, 3);
    assert_int_not_equal(request.correlation, 0);
    assert_int_equal(replies_of(getpid()).count, 1); /* one for all three */
    stop_server(&server);
    assert_int_equal(server.rc, 0);
    assert_int_equal(shmq_close(other), 0);
    helper_finish(q);
    assert_int_equal(replies_of(getpid()).count, 0);
}

static int serve_in_child(void *name)
{
    shmq_t *q;

    if (shmq_open(&q, name, 0, NULL) < 0)
        return 2;
    for (int i = 0; i < 100; i++)
        if (serve_one(q, HELPER_LATE_NS) < 0)
            return 3;
    return shmq_close(q) == 0 ? 0 : 4;
}

static void server_in_another_process(void **state)
{
    shmq_t *q = helper_create(NULL);
    char name[128], text[32], expected[32], reply[32];

    (void)state;
    strcpy(name, helper_name("a"));
    pid_t child = helper_fork(serve_in_child, name);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "request %d", i);
        turn_round(text, expected, strlen(text));
        assert_int_equal(call(q, text, reply, sizeof(reply), HELPER_LATE_NS), strlen(text));
        assert_memory_equal(reply, expected, strlen(text));
    }
    assert_int_equal(helper_wait(child), 0);
    helper_finish(q);
}

struct client {
    shmq_t *q;
    int number, calls;
    int wrong;
    pthread_t thread;
};

static void *call_often(void *arg)
{
    struct client *c = arg;
    char text[64], expected[64], reply[64];

    for (int i = 0; i < c->calls; i++) {
        snprintf(text, sizeof(text), "call %d of client %d", i, c->number);
        size_t length = strlen(text);
        turn_round(text, expected, length);
        ssize_t n = call(c->q, text, reply, sizeof(reply), HELPER_LATE_NS);
        c->wrong += n != (ssize_t)length || memcmp(reply, expected, length) != 0;
    }
    return NULL;
}

/* Each gets its own reply, whoever receives it. */
static void many_threads_call_at_once(void **state)
{
    enum { CLIENTS = 8, CALLS = 200 };
    shmq_t *q = helper_create(NULL);
    struct server servers[2];
    struct client clients[CLIENTS];

    (void)state;
    start_server(&servers[0], q);
    start_server(&servers[1], q);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.q = q, .number = i, .calls = CALLS};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, call_often, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].wrong, 0);
    }
    stop_server(&servers[0]);
    stop_server(&servers[1]);
    assert_int_equal(servers[0].served + servers[1].served, CLIENTS * CALLS);
    assert_int_equal(replies_of(getpid()).count, 1);
    helper_finish(q);
}

/* One who waits for ever listens, another one's time is over, and a third one is
 * answered: and then the others are. */
static void *call_once(void *arg)
{
    struct client *c = arg;
    char reply[16];

    moment_no_looks(true);
    c->wrong =
        call(c->q, "abc", reply, sizeof(reply), SHMQ_FOREVER) != 3 || memcmp(reply, "cba", 3) != 0;
    return NULL;
}

static bool are_three(void *q)
{
    return shmq_depth(q) == 3;
}

static bool is_one(void *q)
{
    return shmq_depth(q) == 1;
}

static bool are_two(void *q)
{
    return shmq_depth(q) == 2;
}

static void listening_is_passed_on(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct client clients[2] = {{.q = q}, {.q = q}};
    char reply[16];

    (void)state;
    for (int i = 0; i < 2; i++) {
        bool (*there[2])(void *) = {is_one, are_two};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, call_once, &clients[i]), 0);
        assert_true(helper_await(there[i], q));
    }
    assert_int_equal(call(q, "x", reply, sizeof(reply), SHMQ_MS(50)), -ETIMEDOUT);
    assert_true(helper_await(are_three, q));
    struct server server;
    start_server(&server, q);
    for (int i = 0; i < 2; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].wrong, 0);
    }
    stop_server(&server);
    helper_finish(q);
}

static void late_reply_is_thrown_away(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct server server;
    char reply[16];

    (void)state;
    assert_int_equal(call(q, "late", reply, sizeof(reply), SHMQ_NOWAIT), -ETIMEDOUT);
    assert_int_equal(call(q, "later", reply, sizeof(reply), SHMQ_MS(30)), -ETIMEDOUT);
    assert_int_equal(serve_one(q, SHMQ_NOWAIT), 0);
    start_server(&server, q);
    assert_int_equal(call(q, "in time", reply, sizeof(reply), HELPER_LATE_NS), 7);
    assert_memory_equal(reply, "emit ni", 7);
    stop_server(&server);
    assert_int_equal(server.served, 2);
    helper_finish(q);
}

/* The next call clears away all that came too late before anything else, even a request
 * for which there is no room. */
static void late_replies_take_no_room(void **state)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    char reply[8];

    (void)state;
    attr.max_messages = 5;
    shmq_t *q = helper_create(&attr), *replies;
    for (int i = 0; i < 5; i++)
        assert_int_equal(call(q, "late", reply, sizeof(reply), SHMQ_NOWAIT), -ETIMEDOUT);
    for (int i = 0; i < 5; i++)
        assert_int_equal(serve_one(q, SHMQ_NOWAIT), 0);
    replies = helper_open(replies_of(getpid()).name, SHMQ_RDONLY, NULL);
    assert_int_equal(shmq_depth(replies), 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(call(q, "x", reply, sizeof(reply), SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_depth(replies), 0);
    assert_int_equal(shmq_close(replies), 0);
    helper_finish(q);
}

static void reply_too_long(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct server server;
    char reply[4];

    (void)state;
    start_server(&server, q);
    assert_int_equal(call(q, "longer", reply, sizeof(reply), HELPER_LATE_NS), -EMSGSIZE);
    assert_true(helper_detail_names("6", "4"));
    assert_int_equal(call(q, "fits", reply, sizeof(reply), HELPER_LATE_NS), 4);
    assert_memory_equal(reply, "stif", 4);
    stop_server(&server);
    helper_finish(q);
}

static void wrong_arguments(void **state)
{
    shmq_t *q = helper_create(NULL), *looker = helper_open(helper_name("a"), SHMQ_RDONLY, NULL);
    struct shmq_msg request = SHMQ_MSG_INIT;
    char reply[4];

    (void)state;
    assert_int_equal(call(q, "x", reply, sizeof(reply), -2), -EINVAL);
    assert_int_equal(shmq_call(q, &request, NULL, 4, SHMQ_NOWAIT), -EINVAL);
    request.size = 0;
    assert_int_equal(shmq_call(q, &request, reply, 4, SHMQ_NOWAIT), -EINVAL);
    assert_int_equal(call(looker, "x", reply, sizeof(reply), SHMQ_NOWAIT), -EACCES);
    assert_int_equal(shmq_depth(q), 0);
    assert_int_equal(shmq_close(looker), 0);
    helper_finish(q);
}

static void headers_are_kept(void **state)
{
    const struct shmq_header headers[] = {{"shmq-reply-to", "reply.nobody"}, {"color", "red"}};
    shmq_t *q = helper_create(NULL);
    struct shmq_msg request = SHMQ_MSG_INIT, got = SHMQ_MSG_INIT;
    char reply[4];

    (void)state;
    request.headers = headers;
    request.header_count = 2;
    request.type = 7;
    assert_int_equal(shmq_call(q, &request, reply, 4, SHMQ_NOWAIT), -ETIMEDOUT);
    assert_int_equal(shmq_receive(q, &got, SHMQ_NOWAIT), 0);
    assert_int_equal(got.type, 7);
    assert_int_equal(got.correlation, request.correlation);
    assert_string_equal(shmq_header_value(&got, "color"), "red");
    assert_string_equal(shmq_header_value(&got, "shmq-reply-to"), replies_of(getpid()).name);
    /* Passed on as it was received: the reply is for who passes it on. */
    request = got;
    assert_int_equal(shmq_call(q, &request, reply, 4, SHMQ_NOWAIT), -ETIMEDOUT);
    assert_int_equal(shmq_ack(q, &got), 0);
    assert_int_equal(shmq_receive(q, &got, SHMQ_NOWAIT), 0);
    assert_string_equal(shmq_header_value(&got, "color"), "red");
    assert_string_equal(shmq_header_value(&got, "shmq-reply-to"), replies_of(getpid()).name);
    assert_int_equal(shmq_ack(q, &got), 0);
    helper_finish(q);
}

/* --- signals ------------------------------------------------------------------------ */

struct waiting {
    shmq_t *q;
    _Atomic bool done;
    _Atomic ssize_t rc;
    pthread_t thread;
};

static void *wait_for_reply(void *arg)
{
    struct waiting *w = arg;
    char reply[4];

    w->rc = call(w->q, "x", reply, sizeof(reply), SHMQ_FOREVER);
    w->done = true;
    return NULL;
}

/* Both the one who listens and the one who sleeps behind him. */
static void signals_interrupt(void **state)
{
    struct sigaction action = {.sa_handler = helper_on_signal, .sa_flags = SA_RESTART}, before;
    shmq_t *q = helper_create(NULL);
    struct waiting w[2] = {{.q = q}, {.q = q}};

    (void)state;
    sigaction(SIGUSR1, &action, &before);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&w[i].thread, NULL, wait_for_reply, &w[i]), 0);
    for (int i = 0; i < 2; i++) {
        int64_t until_ns = helper_now_ns() + HELPER_LATE_NS;
        while (!w[i].done && helper_now_ns() < until_ns) {
            struct timespec pause = {0, 2000000};
            pthread_kill(w[i].thread, SIGUSR1);
            nanosleep(&pause, NULL);
        }
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].rc, -EINTR);
    }
    sigaction(SIGUSR1, &before, NULL);
    helper_finish(q);
}

/* --- replies ------------------------------------------------------------------------- */

static int reply_to(shmq_t *q, const char *name)
{
    struct shmq_header header = {"shmq-reply-to", name};
    struct shmq_msg msg = SHMQ_MSG_INIT, got = SHMQ_MSG_INIT;

    msg.headers = &header;
    msg.header_count = name != NULL;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_receive(q, &got, SHMQ_NOWAIT), 0);
    int rc = shmq_reply(q, &got, "x", 1);
    assert_int_equal(shmq_ack(q, &got), 0);
    return rc;
}

static void replies_go_to_callers_only(void **state)
{
    shmq_t *q = helper_create(NULL);
    shmq_t *other = helper_open(helper_name("b"), SHMQ_CREATE | SHMQ_EXCL, NULL);

    (void)state;
    assert_int_equal(reply_to(q, NULL), -EINVAL);
    assert_int_equal(reply_to(q, helper_name("b")), -EINVAL);
    assert_int_equal(shmq_depth(other), 0);
    assert_int_equal(reply_to(q, "reply./../x"), -EINVAL);
    assert_int_equal(reply_to(q, "reply.1.nobody"), -ENOENT);
    assert_int_equal(shmq_close(other), 0);
    assert_int_equal(shmq_unlink(helper_name("b")), 0);
    helper_finish(q);
}

static void caller_has_left(void **state)
{
    shmq_t *q = helper_create(NULL), *client = helper_open(helper_name("a"), 0, NULL);
    char reply[4];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(call(client, "x", reply, sizeof(reply), SHMQ_NOWAIT), -ETIMEDOUT);
    assert_int_equal(serve_one(q, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_close(client), 0);
    assert_int_equal(serve_one(q, SHMQ_NOWAIT), -ENOENT); /* also by the handle kept */
    helper_finish(q);
}

static void callers_queue_is_full(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    struct shmq_msg got = SHMQ_MSG_INIT;
    char bytes[3000] = "", reply[4];

    (void)state;
    assert_int_equal(call(q, "x", reply, sizeof(reply), SHMQ_NOWAIT), -ETIMEDOUT);
    assert_int_equal(shmq_receive(q, &got, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_reply(q, &got, bytes, 5000), -EMSGSIZE);
    assert_int_equal(shmq_reply(q, &got, bytes, sizeof(bytes)), 0);
    assert_int_equal(shmq_reply(q, &got, bytes, sizeof(bytes)), -EAGAIN);
    assert_int_equal(shmq_ack(q, &got), 0);
    helper_finish(q);
}

static void *wait_while_removed(void *arg)
{
    struct waiting *w = arg;
    char reply[4];

    w->rc = call(w->q, "x", reply, sizeof(reply), HELPER_LATE_NS);
    return NULL;
}

static void removed_queue_is_replaced(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct waiting w[2] = {{.q = q}, {.q = q}};
    struct server server;
    char reply[4];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&w[i].thread, NULL, wait_while_removed, &w[i]), 0);
    assert_true(helper_await(are_two, q));
    struct listing l = replies_of(getpid());
    assert_int_equal(shmq_unlink(l.name), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].rc, -ESTALE);
    }
    start_server(&server, q);
    assert_int_equal(call(q, "ab", reply, sizeof(reply), HELPER_LATE_NS), 2);
    assert_memory_equal(reply, "ba", 2);
    /* Also when that happens while nobody calls. */
    l = replies_of(getpid());
    assert_int_equal(shmq_unlink(l.name), 0);
    assert_int_equal(call(q, "cd", reply, sizeof(reply), HELPER_LATE_NS), 2);
    stop_server(&server);
    helper_finish(q);
}

/* --- death and fork --------------------------------------------------------------------- */

static int call_for_ever(void *name)
{
    char reply[4];
    shmq_t *q;

    if (shmq_open(&q, name, 0, NULL) < 0)
        return 2;
    call(q, "x", reply, sizeof(reply), SHMQ_FOREVER);
    return 3;
}

/* A caller that was killed with its request sent; its pid. */
static pid_t killed_caller(shmq_t *q)
{
    char name[128];

    strcpy(name, helper_name("a"));
    pid_t child = helper_fork(call_for_ever, name);
    assert_true(helper_await(has_request, q));
    helper_kill(child);
    assert_int_equal(replies_of(child).count, 1);
    return child;
}

static void dead_callers_queue_is_removed_by_the_server(void **state)
{
    shmq_t *q = helper_create(NULL);

    (void)state;
    pid_t child = killed_caller(q);
    assert_int_equal(serve_one(q, SHMQ_NOWAIT), -ENOENT);
    assert_int_equal(replies_of(child).count, 0);
    helper_finish(q);
}

/* A new caller looks for those; a young queue may be one that is just being made. */
static bool is_swept(void *arg)
{
    shmq_t *client = helper_open(helper_name("a"), 0, NULL);
    struct timespec pause = {0, 50000000};
    char reply[4];

    assert_int_equal(call(client, "x", reply, sizeof(reply), SHMQ_NOWAIT), -ETIMEDOUT);
    assert_int_equal(shmq_close(client), 0);
    nanosleep(&pause, NULL);
    assert_int_equal(replies_of(getpid()).count, 1);
    return replies_of(*(pid_t *)arg).count == 0;
}

static void dead_callers_queue_is_removed_by_the_next(void **state)
{
    shmq_t *q = helper_create(NULL);
    char reply[4];

    (void)state;
    assert_int_equal(call(q, "x", reply, sizeof(reply), SHMQ_NOWAIT), -ETIMEDOUT);
    assert_int_equal(shmq_purge(q), 1);
    int64_t before_ns = helper_now_ns();
    pid_t dead = killed_caller(q);
    assert_true(helper_await(is_swept, &dead));
    assert_cmp(helper_now_ns() - before_ns, >, SHMQ_SEC(1));
    assert_int_equal(replies_of(getpid()).count, 1); /* the one of q, as old */
    helper_finish(q);
}

static int call_with_copy(void *arg)
{
    shmq_t *q = arg;
    char reply[8];

    if (call(q, "child", reply, sizeof(reply), HELPER_LATE_NS) != 5 ||
        memcmp(reply, "dlihc", 5) != 0)
        return 2;
    if (replies_of(getpid()).count != 1 || replies_of(getppid()).count != 1)
        return 3;
    if (shmq_close(q) != 0)
        return 4;
    return replies_of(getpid()).count != 0 || replies_of(getppid()).count != 1 ? 5 : 0;
}

static int close_copy(void *q)
{
    return shmq_close(q) != 0 || replies_of(getppid()).count != 1;
}

static void forked_child_calls_for_itself(void **state)
{
    shmq_t *q = helper_create(NULL), *other = helper_open(helper_name("a"), 0, NULL);
    struct server server;
    char reply[8];

    (void)state;
    start_server(&server, other);
    assert_int_equal(call(q, "parent", reply, sizeof(reply), HELPER_LATE_NS), 6);
    assert_int_equal(helper_wait(helper_fork(call_with_copy, q)), 0);
    assert_int_equal(helper_wait(helper_fork(close_copy, q)), 0);
    assert_int_equal(call(q, "again", reply, sizeof(reply), HELPER_LATE_NS), 5);
    assert_memory_equal(reply, "niaga", 5);
    stop_server(&server);
    assert_int_equal(shmq_close(other), 0);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CALL_TEST(call_and_reply),
        CALL_TEST(server_in_another_process),
        CALL_TEST(many_threads_call_at_once),
        CALL_TEST(listening_is_passed_on),
        CALL_TEST(late_reply_is_thrown_away),
        CALL_TEST(late_replies_take_no_room),
        CALL_TEST(reply_too_long),
        CALL_TEST(wrong_arguments),
        CALL_TEST(headers_are_kept),
        CALL_TEST(signals_interrupt),
        CALL_TEST(replies_go_to_callers_only),
        CALL_TEST(caller_has_left),
        CALL_TEST(callers_queue_is_full),
        CALL_TEST(removed_queue_is_replaced),
        CALL_TEST(dead_callers_queue_is_removed_by_the_server),
        CALL_TEST(dead_callers_queue_is_removed_by_the_next),
        CALL_TEST(forked_child_calls_for_itself),
    };

    return helper_run(argc, argv, tests);
}
