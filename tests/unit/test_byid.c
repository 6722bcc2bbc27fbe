/*
 * test_byid.c - messages found, shown, updated and removed by their id.
 */
#include "support/helper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static shmq_t *create(uint32_t order)
{
    struct shmq_attr attr = helper_attr(65536);

    attr.order = order;
    return helper_create(&attr);
}

/* The states that a message can be in and not finished, each made in turn. */
enum made { FRESH, FRESH_DELAYED, BACK, RESTING, PARKED, LEASED, MADE };

static const uint32_t state_of[MADE] = {
    [FRESH] = SHMQ_WAITING,   [FRESH_DELAYED] = SHMQ_DELAYED, [BACK] = SHMQ_WAITING,
    [RESTING] = SHMQ_DELAYED, [PARKED] = SHMQ_DEAD,           [LEASED] = SHMQ_LEASED,
};

/* A message in this state; *lease is its, when it is leased. */
static uint64_t make(shmq_t *q, enum made made, struct shmq_msg *lease)
{
    const struct shmq_header header = {"colour", "blue"};
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.data = "content";
    msg.length = 7;
    msg.type = 5;
    msg.priority = 6;
    msg.key = "key";
    msg.key_length = 3;
    msg.correlation = 8;
    msg.headers = &header;
    msg.header_count = 1;
    msg.delay_ns = made == FRESH_DELAYED ? SHMQ_SEC(100) : 0;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    if (made == FRESH || made == FRESH_DELAYED)
        return msg.id;
    *lease = helper_receive(q);
    assert_int_equal(lease->id, msg.id);
    if (made == BACK)
        assert_int_equal(shmq_nack(q, lease, 0, 0), 0);
    if (made == RESTING)
        assert_int_equal(shmq_nack(q, lease, SHMQ_SEC(100), 0), 0);
    if (made == PARKED)
        assert_int_equal(shmq_reject(q, lease, 9, NULL), 0);
    return msg.id;
}

/* --- finding ------------------------------------------------------------------------- */

static bool found_whole(shmq_t *q, uint64_t id, uint32_t state, const char *text)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char buffer[256];
    ssize_t rc = shmq_find(q, id, &msg, buffer, sizeof(buffer));

    if (rc != (ssize_t)strlen(text) || !helper_is(&msg, text) || msg.state != state) {
        print_error("message %llu: %zd, state %u\n", (unsigned long long)id, rc, msg.state);
        return false;
    }
    const char *colour = shmq_header_value(&msg, "colour");
    return msg.id == id && msg.type == 5 && msg.priority == 6 && msg.correlation == 8 &&
           msg.key_length == 3 && memcmp(msg.key, "key", 3) == 0 && colour != NULL &&
           strcmp(colour, "blue") == 0 &&
           (state != SHMQ_DELAYED || (msg.due_ns > helper_wall_ns() + SHMQ_SEC(90))) &&
           (state != SHMQ_DEAD || msg.reason == 9);
}

static void found_in_every_state(void **state)
{
    struct shmq_msg lease;

    (void)state;
    for (uint32_t order = SHMQ_FIFO; order <= SHMQ_PRIORITY; order++)
        for (enum made made = FRESH; made < MADE; made++) {
            shmq_t *q = create(order);
            uint64_t id = make(q, made, &lease);
            assert_true(found_whole(q, id, state_of[made], "content"));
            assert_true(found_whole(q, id, state_of[made], "content"));
            helper_finish(q);
        }
}

static void not_found(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char buffer[64];

    (void)state;
    assert_int_equal(shmq_find(q, 1, &msg, buffer, 64), -ENOENT);
    uint64_t id = helper_send(q, "x");
    assert_int_equal(shmq_find(q, 0, &msg, buffer, 64), -ENOENT);
    assert_int_equal(shmq_find(q, id + 1, &msg, buffer, 64), -ENOENT);
    assert_int_equal(shmq_find(q, UINT64_MAX, &msg, buffer, 64), -ENOENT);
    assert_true(helper_takes(q, "x"));
    assert_int_equal(shmq_find(q, id, &msg, buffer, 64), -ENOENT);
    assert_int_equal(shmq_remove(q, id), -ENOENT);
    assert_int_equal(shmq_update(q, id, "y", 1, SHMQ_NOWAIT), -ENOENT);
    assert_true(helper_detail_names("finished", "1"));
    msg.size = 1;
    assert_int_equal(shmq_find(q, id, &msg, buffer, 64), -EINVAL);
    helper_finish(q);
}

static void buffers_too_small(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);
    struct shmq_msg msg = SHMQ_MSG_INIT, lease;
    uint64_t id = make(q, FRESH, &lease);
    char buffer[64];

    (void)state;
    assert_int_equal(shmq_find(q, id, &msg, buffer, 8), -EMSGSIZE);
    size_t needs = (msg.length + 7) / 8 * 8 + msg.key_length + msg.header_bytes;
    assert_int_equal(shmq_find(q, id, &msg, buffer, needs - 1), -EMSGSIZE);
    assert_int_equal(shmq_find(q, id, &msg, buffer, needs), 7);
    helper_finish(q);
}

/* --- showing ---------------------------------------------------------------------------- */

/* How many are shown in these states. */
static int count(shmq_t *q, unsigned states)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    uint64_t place = 0;
    char buffer[256];
    int n = 0;

    while (shmq_inspect(q, states, &place, &msg, buffer, sizeof(buffer)) >= 0) {
        assert_cmp((msg.state & states), !=, 0);
        n++;
    }
    assert_int_equal(shmq_inspect(q, states, &place, &msg, buffer, sizeof(buffer)), -EAGAIN);
    return n;
}

static void shown_by_state(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);
    struct shmq_msg lease;

    (void)state;
    assert_int_equal(count(q, 15), 0);
    make(q, LEASED, &lease);
    make(q, PARKED, &lease);
    make(q, RESTING, &lease);
    make(q, BACK, &lease);
    make(q, FRESH, &lease);
    make(q, FRESH_DELAYED, &lease);
    make(q, FRESH, &lease);
    assert_int_equal(count(q, SHMQ_WAITING), 3);
    assert_int_equal(count(q, SHMQ_DELAYED), 2);
    assert_int_equal(count(q, SHMQ_LEASED), 1);
    assert_int_equal(count(q, SHMQ_DEAD), 1);
    assert_int_equal(count(q, SHMQ_DEAD | SHMQ_LEASED), 2);
    assert_int_equal(count(q, 15), 7);
    assert_int_equal(count(q, 0), 0);
    helper_finish(q);
}

/* The place stays where the buffer was too small, and goes on with what is put later. */
static void shown_one_by_one(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    uint64_t place = 0;
    char buffer[64];

    (void)state;
    helper_send(q, "one");
    helper_send(q, "a longer one");
    assert_int_equal(shmq_inspect(q, 15, &place, &msg, buffer, 8), 3);
    assert_int_equal(shmq_inspect(q, 15, &place, &msg, buffer, 8), -EMSGSIZE);
    assert_int_equal(msg.length, 12);
    assert_int_equal(shmq_inspect(q, 15, &place, &msg, buffer, 64), 12);
    assert_int_equal(shmq_inspect(q, 15, &place, &msg, buffer, 64), -EAGAIN);
    helper_send(q, "late");
    assert_int_equal(shmq_inspect(q, 15, &place, &msg, buffer, 64), 4);
    /* Taken behind its back. */
    assert_int_equal(shmq_purge(q), 3);
    helper_send(q, "new");
    assert_int_equal(shmq_inspect(q, 15, &place, &msg, buffer, 64), 3);
    assert_int_equal(shmq_inspect(q, 15, &place, &msg, buffer, 64), -EAGAIN);
    helper_finish(q);
}

/* --- removing ---------------------------------------------------------------------------- */

static void removed_in_every_state(void **state)
{
    struct shmq_msg lease;

    (void)state;
    for (uint32_t order = SHMQ_FIFO; order <= SHMQ_PRIORITY; order++)
        for (enum made made = FRESH; made < MADE; made++) {
            shmq_t *q = create(order);
            uint64_t id = make(q, made, &lease);
            helper_send(q, "next");
            if (made == LEASED) {
                assert_int_equal(shmq_remove(q, id), -EBUSY);
                assert_int_equal(shmq_ack(q, &lease), 0);
            } else {
                assert_int_equal(shmq_remove(q, id), 0);
            }
            assert_int_equal(shmq_remove(q, id), -ENOENT);
            assert_int_equal(shmq_depth(q), 1);
            assert_true(helper_takes(q, "next"));
            assert_true(helper_takes(q, NULL));
            assert_int_equal(shmq_join(q, SHMQ_NOWAIT), 0);
            helper_finish(q);
        }
}

static void removed_for_plain_gets(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);
    struct shmq_info infos[3];
    uint64_t place = 0;
    char buffer[64];

    (void)state;
    for (int i = 0; i < 5; i++)
        helper_send(q, "x");
    assert_int_equal(shmq_remove(q, 1), 0);
    assert_int_equal(shmq_remove(q, 3), 0);
    assert_int_equal(shmq_remove(q, 5), 0);
    assert_int_equal(shmq_depth(q), 2);
    assert_int_equal(shmq_peek(q, buffer, 64, infos), 1);
    assert_int_equal(infos[0].id, 2);
    assert_int_equal(shmq_browse(q, &place, buffer, 64, infos), 1);
    assert_int_equal(shmq_browse(q, &place, buffer, 64, infos), 1);
    assert_int_equal(infos[0].id, 4);
    assert_int_equal(shmq_browse(q, &place, buffer, 64, infos), -EAGAIN);
    assert_int_equal(shmq_get_many(q, buffer, 64, infos, 3, 0, SHMQ_NOWAIT), 2);
    assert_int_equal(infos[1].id, 4);
    assert_int_equal(shmq_get(q, buffer, 64, infos, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(helper_stats(q).got_count, 2);
    helper_finish(q);
}

static int join(void *q)
{
    return shmq_join(q, HELPER_LATE_NS) == 0 ? 0 : 1;
}

/* The last that is removed ends a wait for all, and makes room. */
static void removed_the_last(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);
    uint64_t id = helper_send(q, "x");

    (void)state;
    pid_t child = helper_fork(join, q);
    helper_expect_wake(q, HELPER_JOINERS);
    assert_int_equal(shmq_remove(q, id), 0);
    assert_true(helper_has_woken(q, HELPER_JOINERS));
    assert_int_equal(helper_wait(child), 0);
    helper_finish(q);
}

static void removed_from_a_topic(void **state)
{
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, NULL), *g, *h;

    (void)state;
    assert_int_equal(shmq_subscribe(q, "g", NULL, &g), 0);
    assert_int_equal(shmq_subscribe(q, "h", NULL, &h), 0);
    uint64_t a = helper_send(q, "a"), b = helper_send(q, "b"), c = helper_send(q, "c");
    assert_true(helper_takes(g, "a"));
    struct shmq_msg lease = helper_receive(g);
    assert_int_equal(shmq_remove(q, b), -EBUSY);
    assert_int_equal(shmq_remove(h, b), -EBUSY);
    assert_int_equal(shmq_remove(q, a), 0); /* still h's */
    assert_int_equal(shmq_remove(q, a), -ENOENT);
    assert_int_equal(shmq_nack(g, &lease, 0, 0), 0);
    assert_int_equal(shmq_remove(q, b), 0);
    assert_int_equal(helper_group(g).backlog, 1);
    assert_int_equal(helper_group(h).backlog, 1);
    pid_t child = helper_fork(join, h);
    helper_expect_wake(h, HELPER_JOINERS);
    assert_int_equal(shmq_remove(g, c), 0);
    assert_true(helper_has_woken(h, HELPER_JOINERS));
    assert_int_equal(helper_wait(child), 0);
    assert_true(helper_takes(g, NULL));
    assert_true(helper_takes(h, NULL));
    assert_int_equal(shmq_close(g), 0);
    assert_int_equal(shmq_close(h), 0);
    helper_finish(q);
}

/* --- updating ------------------------------------------------------------------------------- */

static void updated_in_every_state(void **state)
{
    struct shmq_msg lease;

    (void)state;
    for (uint32_t order = SHMQ_FIFO; order <= SHMQ_PRIORITY; order++)
        for (enum made made = FRESH; made < MADE; made++) {
            shmq_t *q = create(order);
            uint64_t id = make(q, made, &lease);
            if (made == LEASED) {
                assert_int_equal(shmq_update(q, id, "new", 3, SHMQ_NOWAIT), -EBUSY);
                assert_true(helper_is(&lease, "content"));
                helper_finish(q);
                continue;
            }
            assert_int_equal(shmq_update(q, id, "new", 3, SHMQ_NOWAIT), 0);
            assert_true(found_whole(q, id, state_of[made], "new"));
            assert_int_equal(shmq_update(q, id, "longer than content", 19, SHMQ_NOWAIT), 0);
            assert_int_equal(shmq_update(q, id, NULL, 0, SHMQ_NOWAIT), 0);
            assert_true(found_whole(q, id, state_of[made], ""));
            assert_int_equal(shmq_update(q, id, "last", 4, SHMQ_NOWAIT), 0);
            assert_true(found_whole(q, id, state_of[made], "last"));
            if (made == PARKED)
                assert_int_equal(shmq_redrive(q, id), 1);
            assert_int_equal(shmq_depth(q),
                             state_of[made] == SHMQ_DELAYED && made == RESTING ? 0 : 1);
            if (state_of[made] != SHMQ_DELAYED)
                assert_true(helper_takes(q, "last"));
            else
                assert_int_equal(shmq_remove(q, id), 0);
            assert_int_equal(shmq_join(q, SHMQ_NOWAIT), 0);
            helper_finish(q);
        }
}

/* It keeps its place, and its record, wherever that is, is passed over. */
static void updated_in_its_place(void **state)
{
    shmq_t *q = create(SHMQ_FIFO);
    struct shmq_info infos[4];
    uint64_t place = 0;
    char buffer[64];

    (void)state;
    helper_send(q, "a");
    helper_send(q, "b");
    assert_int_equal(shmq_update(q, 1, "A", 1, SHMQ_NOWAIT), 0);
    helper_send(q, "c");
    assert_int_equal(shmq_update(q, 3, "C", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_update(q, 1, "AA", 2, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_depth(q), 3);
    assert_int_equal(helper_stats(q).put_count, 3);
    assert_int_equal(shmq_peek(q, buffer, 64, infos), 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(shmq_browse(q, &place, buffer, 64, infos), i == 0 ? 2 : 1);
    assert_int_equal(shmq_get_many(q, buffer, 64, infos, 4, 0, SHMQ_NOWAIT), 3);
    assert_int_equal(infos[0].id, 1);
    assert_memory_equal(buffer + infos[0].offset, "AA", 2);
    assert_memory_equal(buffer + infos[1].offset, "b", 1);
    assert_memory_equal(buffer + infos[2].offset, "C", 1);
    assert_int_equal(infos[2].id, 3);
    helper_send(q, "d");
    assert_true(helper_takes(q, "d"));
    assert_int_equal(helper_group(q).backlog, 0);
    helper_finish(q);
}

/* Again and again.  What a fresh one was takes room until it is handed out; what one
 * that is held back was does not. */
static void updated_often(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    char text[32];
    int full = 0;

    (void)state;
    uint64_t held = helper_send(q, "held");
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(100), 0), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(shmq_update(q, held, text, strlen(text), SHMQ_NOWAIT), 0);
    }
    uint64_t fresh = helper_send(q, "fresh");
    for (int i = 0; i < 1000; i++) {
        int rc = shmq_update(q, fresh, text, strlen(text), SHMQ_NOWAIT);
        if (rc == 0)
            continue;
        assert_int_equal(rc, -EAGAIN);
        full++;
        assert_true(helper_takes(q, text));
        assert_true(helper_takes(q, NULL)); /* passes over what it was */
        fresh = helper_send(q, text);
        assert_int_equal(shmq_update(q, fresh, text, strlen(text), SHMQ_NOWAIT), 0);
    }
    assert_in_range(full, 1, 20);
    assert_int_equal(helper_group(q).backlog, 2);
    helper_finish(q);
}

/* What is removed gives its room back, though nobody reads. */
static void removed_makes_room(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t one = helper_send(q, "one"), two = helper_send(q, "two");
        assert_int_equal(shmq_remove(q, two), 0);
        assert_int_equal(shmq_remove(q, one), 0);
    }
    assert_int_equal(shmq_depth(q), 0);
    assert_true(helper_takes(q, NULL));
    helper_send(q, "end");
    assert_true(helper_takes(q, "end"));
    helper_finish(q);
}

static void updated_for_all_groups(void **state)
{
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, NULL), *groups[4];
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;

    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        assert_int_equal(shmq_subscribe(q, name, NULL, &groups[i]), 0);
    }
    helper_send(q, "x");
    uint64_t id = helper_send(q, "old");
    assert_true(helper_takes(groups[0], "x"));
    assert_true(helper_takes(groups[1], "x"));
    assert_true(helper_takes(groups[1], "old"));
    struct shmq_msg msg = helper_receive(groups[0]);
    assert_int_equal(shmq_update(q, id, "new", 3, SHMQ_NOWAIT), -EBUSY);
    assert_int_equal(shmq_nack(groups[0], &msg, 0, 0), 0);
    assert_int_equal(shmq_update(q, id, "new", 3, SHMQ_NOWAIT), 0);
    attr.start = SHMQ_AT_ID;
    attr.start_at = id;
    assert_int_equal(shmq_subscribe(q, "d", &attr, &groups[3]), 0);
    assert_true(helper_takes(groups[0], "new"));
    assert_true(helper_takes(groups[1], NULL)); /* it has finished it */
    assert_true(helper_takes(groups[2], "x"));
    assert_true(helper_takes(groups[2], "new"));
    assert_true(helper_takes(groups[3], "new"));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(helper_group(groups[i]).backlog, 0);
        assert_int_equal(shmq_close(groups[i]), 0);
    }
    helper_finish(q);
}

static void updates_refused(void **state)
{
    struct shmq_attr attr = helper_attr(4096);

    (void)state;
    attr.max_message_bytes = 100;
    shmq_t *q = helper_create(&attr);
    uint64_t id = helper_send(q, "x");
    char data[101] = "";
    assert_int_equal(shmq_update(q, id, data, 101, SHMQ_NOWAIT), -EMSGSIZE);
    assert_int_equal(shmq_update(q, id, NULL, 5, SHMQ_NOWAIT), -EINVAL);
    assert_int_equal(shmq_update(q, id, data, 5, -2), -EINVAL);
    while (shmq_put(q, data, 100, SHMQ_NOWAIT) == 0)
        ;
    assert_int_equal(shmq_update(q, id, data, 100, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_update(q, id, data, 100, SHMQ_MS(10)), -ETIMEDOUT);
    assert_true(helper_takes(q, "x"));
    helper_finish(q);
}

static void beside_sole_ones(void **state)
{
    (void)state;
    for (int flag = SHMQ_SOLE_PRODUCER; flag <= SHMQ_SOLE_CONSUMER; flag *= 2) {
        shmq_t *q = create(SHMQ_FIFO), *sole = helper_open(helper_name("a"), flag, NULL);
        uint64_t id = 0;
        if (flag == SHMQ_SOLE_PRODUCER)
            id = helper_send(sole, "x");
        else
            id = helper_send(q, "x");
        assert_int_equal(shmq_update(q, id, "y", 1, SHMQ_NOWAIT), -EBUSY);
        assert_int_equal(shmq_remove(q, id), flag == SHMQ_SOLE_CONSUMER ? -EBUSY : 0);
        assert_int_equal(shmq_close(sole), 0);
        helper_finish(q);
    }
}

/* --- leases that are over ------------------------------------------------------------- */

static int hold_all(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    while (shmq_receive(q, &msg, SHMQ_NOWAIT) == 0)
        ;
    raise(SIGSTOP);
    return 0;
}

static bool can_update(void *q)
{
    return shmq_update(q, 1, "new", 3, SHMQ_NOWAIT) == 0;
}

static bool can_remove(void *q)
{
    return shmq_remove(q, 1) == 0;
}

static bool can_seek(void *q)
{
    return shmq_seek(q, SHMQ_LATEST, 0) == 0;
}

static bool is_found_waiting(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char buffer[8];

    return shmq_find(q, 1, &msg, buffer, sizeof(buffer)) == 1 && msg.state == SHMQ_WAITING &&
           msg.attempts == 1;
}

static bool is_shown_waiting(void *q)
{
    return count(q, SHMQ_WAITING) == 1;
}

static bool (*const shown_over[])(void *q) = {is_found_waiting, is_shown_waiting, can_update,
                                              can_remove, can_seek};

enum { WAYS = sizeof(shown_over) / sizeof(shown_over[0]) };

/* A lease that is over is so for all, though nobody has come to receive since: by the
 * death of its owner, ... */
static void leased_by_the_dead(void **state)
{
    shmq_t *q[WAYS];
    pid_t child[WAYS];
    char name[16];

    (void)state;
    for (int i = 0; i < WAYS; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        q[i] = helper_open(helper_name(name), SHMQ_CREATE | SHMQ_EXCL, NULL);
        helper_send(q[i], "x");
        child[i] = helper_fork_stopped(hold_all, q[i]);
        assert_false(shown_over[i](q[i]));
    }
    for (int i = 0; i < WAYS; i++)
        helper_kill(child[i]);
    for (int i = 0; i < WAYS; i++) {
        assert_true(helper_await(shown_over[i], q[i]));
        snprintf(name, sizeof(name), "q%d", i);
        assert_int_equal(shmq_close(q[i]), 0);
        assert_int_equal(shmq_unlink(helper_name(name)), 0);
    }
}

/* ... and by time. */
static void leased_too_long(void **state)
{
    (void)state;
    for (int i = 0; i < WAYS; i++) {
        shmq_t *q = create(SHMQ_FIFO);
        helper_send(q, "x");
        struct shmq_msg msg = helper_receive(q);
        assert_false(shown_over[i](q));
        assert_int_equal(shmq_touch(q, &msg, SHMQ_MS(1)), 0);
        assert_true(helper_await(shown_over[i], q));
        assert_int_equal(shmq_ack(q, &msg), -ECANCELED);
        helper_finish(q);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(found_in_every_state),   HELPER_TEST(not_found),
        HELPER_TEST(buffers_too_small),      HELPER_TEST(shown_by_state),
        HELPER_TEST(shown_one_by_one),       HELPER_TEST(removed_in_every_state),
        HELPER_TEST(removed_for_plain_gets), HELPER_TEST(removed_the_last),
        HELPER_TEST(removed_from_a_topic),   HELPER_TEST(updated_in_every_state),
        HELPER_TEST(updated_in_its_place),   HELPER_TEST(updated_often),
        HELPER_TEST(updated_for_all_groups), HELPER_TEST(updates_refused),
        HELPER_TEST(beside_sole_ones),       HELPER_TEST(removed_makes_room),
        HELPER_TEST(leased_by_the_dead),     HELPER_TEST(leased_too_long),
    };

    return helper_run(argc, argv, tests);
}
