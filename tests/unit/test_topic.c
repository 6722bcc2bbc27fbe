/*
 * test_topic.c - topics: groups that read them, from where, and what they pass over.
 */
#include "support/helper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "handle/poll_pipe.h"

static shmq_t *create(const struct shmq_attr *attr)
{
    return helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL | SHMQ_TOPIC, attr);
}

static shmq_t *join_with(shmq_t *q, const char *name, const struct shmq_group_attr *attr)
{
    shmq_t *g;

    assert_int_equal(shmq_subscribe(q, name, attr, &g), 0);
    return g;
}

static shmq_t *join(shmq_t *q, const char *name)
{
    return join_with(q, name, NULL);
}

static shmq_t *join_from(shmq_t *q, const char *name, uint32_t start, uint64_t at)
{
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;

    attr.start = start;
    attr.start_at = at;
    return join_with(q, name, &attr);
}

static void leave(shmq_t *g)
{
    assert_int_equal(shmq_close(g), 0);
}

/* What waits for the group is these one-letter texts, and they are taken. */
static bool reads(shmq_t *g, const char *texts)
{
    for (; *texts != '\0'; texts++) {
        char text[2] = {*texts, 0};
        if (!helper_takes(g, text))
            return false;
    }
    return helper_takes(g, NULL);
}

static void send_all(shmq_t *q, const char *texts)
{
    for (; *texts != '\0'; texts++) {
        char text[2] = {*texts, 0};
        helper_send(q, text);
    }
}

/* --- groups ------------------------------------------------------------------------ */

static void groups_see_all_and_members_compete(void **state)
{
    shmq_t *q = create(NULL), *a1 = join(q, "a"), *a2 = join(q, "a"), *b = join(q, "b");
    char buffer[4];

    (void)state;
    send_all(q, "123");
    struct shmq_msg one = helper_receive(a1), two = helper_receive(a2);
    assert_true(helper_is(&one, "1"));
    assert_true(helper_is(&two, "2"));
    assert_int_equal(shmq_ack(b, &one), -EINVAL);
    assert_int_equal(shmq_nack(a1, &one, 0, 0), 0);
    assert_int_equal(shmq_ack(a2, &two), 0);
    assert_true(reads(a2, "13"));
    assert_int_equal(shmq_get(b, buffer, 4, NULL, SHMQ_NOWAIT), 1); /* plain gets, too */
    assert_int_equal(buffer[0], '1');
    assert_true(reads(b, "23"));
    assert_int_equal(helper_group(a1).members, 2);
    assert_string_equal(helper_group(a1).name, "a");
    assert_int_equal(helper_group(b).members, 1);
    assert_int_equal(shmq_groups(q, NULL, 0), 2);
    leave(a1);
    leave(a2);
    leave(b);
    helper_finish(q);
}

static void only_groups_read(void **state)
{
    shmq_t *q = create(NULL), *g;
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char longest[SHMQ_GROUP_LONGEST + 2];
    char buffer[4];

    (void)state;
    assert_int_equal(shmq_get(q, buffer, 4, NULL, SHMQ_NOWAIT), -EINVAL);
    assert_int_equal(shmq_receive(q, &msg, SHMQ_NOWAIT), -EINVAL);
    assert_int_equal(shmq_subscribe(q, "", NULL, &g), -EINVAL);
    assert_int_equal(shmq_subscribe(q, "a/b", NULL, &g), -EINVAL);
    assert_int_equal(shmq_subscribe(q, NULL, NULL, &g), -EINVAL);
    memset(longest, 'x', sizeof(longest));
    longest[SHMQ_GROUP_LONGEST + 1] = '\0';
    assert_int_equal(shmq_subscribe(q, longest, NULL, &g), -EINVAL);
    longest[SHMQ_GROUP_LONGEST] = '\0';
    g = join(q, longest);
    assert_string_equal(helper_group(g).name, longest);
    assert_int_equal(shmq_unsubscribe(q, "none"), -ENOENT);
    leave(g);
    helper_finish(q);
    q = helper_create(NULL);
    assert_int_equal(shmq_subscribe(q, "a", NULL, &g), -EINVAL);
    assert_true(helper_detail_names("topic", ""));
    helper_finish(q);
}

static void a_handle_outlives_its_topics(void **state)
{
    shmq_t *q = create(NULL), *g = join(q, "g"), *p = helper_open(helper_name("a"), 0, NULL);

    (void)state;
    assert_int_equal(shmq_close(q), 0);
    helper_send(p, "x");
    helper_send(g, "y"); /* a group's handle puts like any other */
    assert_true(reads(g, "xy"));
    leave(g);
    helper_finish(p);
}

static void as_many_as_there_can_be(void **state)
{
    struct shmq_attr attr = helper_attr(65536);
    shmq_t *groups[64], *g;
    char name[16];

    (void)state;
    attr.max_groups = 65;
    assert_int_equal(shmq_open(&g, helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, &attr), -EINVAL);
    attr.max_groups = 64;
    attr.pending_count = 16;
    shmq_t *q = create(&attr);
    for (int i = 0; i < 64; i++) {
        snprintf(name, sizeof(name), "g%d", i);
        groups[i] = join(q, name);
    }
    assert_int_equal(shmq_subscribe(q, "more", NULL, &g), -ENOSPC);
    assert_null(g);
    assert_true(helper_detail_names("64", ""));
    /* Larger than the ring in all. */
    for (int round = 0; round < 1000; round++) {
        send_all(q, "x");
        for (int i = 0; i < 64; i++)
            if (round % 64 <= i || round % 8 == 0)
                while (shmq_get(groups[i], name, 8, NULL, SHMQ_NOWAIT) == 1)
                    ;
    }
    for (int i = 0; i < 64; i++) {
        while (shmq_get(groups[i], name, 8, NULL, SHMQ_NOWAIT) == 1)
            ;
        assert_int_equal(helper_group(groups[i]).delivered_count, 1000);
    }
    /* One that is removed makes a place. */
    assert_int_equal(shmq_unsubscribe(q, "g7"), 0);
    g = join(q, "more");
    send_all(q, "y");
    assert_true(reads(g, "y"));
    leave(g);
    for (int i = 0; i < 64; i++)
        leave(groups[i]);
    helper_finish(q);
}

/* --- where they start ----------------------------------------------------------------- */

static void starts(void **state)
{
    shmq_t *q = create(NULL), *keeper = join(q, "keeper");

    (void)state;
    send_all(q, "ab");
    helper_pass(SHMQ_MS(15)); /* put times are coarse */
    int64_t then_ns = helper_now_ns();
    helper_pass(SHMQ_MS(15));
    send_all(q, "c");
    assert_int_equal(shmq_part_begin(q), 0);
    send_all(q, "de");
    shmq_t *latest = join(q, "latest"), *earliest = join_from(q, "earliest", SHMQ_EARLIEST, 0);
    shmq_t *id = join_from(q, "id", SHMQ_AT_ID, 2), *far = join_from(q, "far", SHMQ_AT_ID, 99);
    shmq_t *time = join_from(q, "time", SHMQ_AT_TIME, (uint64_t)then_ns);
    shmq_t *part = join_from(q, "part", SHMQ_AT_PART, 0);
    send_all(q, "f");
    assert_true(reads(latest, "f"));
    assert_true(reads(earliest, "abcdef"));
    assert_true(reads(id, "bcdef"));
    assert_true(reads(far, "f")); /* none has such an id yet: from here */
    assert_true(reads(time, "cdef"));
    assert_true(reads(part, "def"));
    assert_true(reads(keeper, "abcdef"));
    /* A group that is there stays where it is. */
    shmq_t *again = join_from(q, "latest", SHMQ_EARLIEST, 0);
    assert_true(reads(again, ""));
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;
    shmq_t *g;
    attr.start = SHMQ_AT_PART + 1;
    assert_int_equal(shmq_subscribe(q, "x", &attr, &g), -EINVAL);
    shmq_t *all[] = {keeper, latest, earliest, id, far, time, part, again};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        leave(all[i]);
    helper_finish(q);
}

/* The ring keeps what it has room for, though nobody reads. */
static void history_without_a_group(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = create(&attr);
    struct shmq_info info;
    char buffer[8];
    uint64_t next, count = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(shmq_put(q, "12345678", 8, SHMQ_NOWAIT), 0);
    shmq_t *g = join_from(q, "g", SHMQ_EARLIEST, 0);
    assert_int_equal(shmq_get(g, buffer, 8, &info, SHMQ_NOWAIT), 8);
    for (next = info.id + 1; shmq_get(g, buffer, 8, &info, SHMQ_NOWAIT) == 8; next++) {
        assert_int_equal(info.id, next);
        count++;
    }
    assert_int_equal(next, 1001);
    assert_cmp(count, >, 80); /* of 128 that an empty ring holds */
    leave(g);
    helper_finish(q);
}

/* Producers see that a group has more before it than they saw last: as many as
 * max_messages says wait in each, and no more. */
static void back_and_full(void **state)
{
    struct shmq_attr attr = helper_attr(4096);

    (void)state;
    attr.max_messages = 3;
    shmq_t *q = create(&attr), *g = join(q, "g");
    send_all(q, "abc");
    assert_true(reads(g, "abc"));
    send_all(q, "d");
    assert_true(reads(g, "d"));
    assert_int_equal(shmq_seek(g, SHMQ_AT_ID, 2), 0);
    assert_int_equal(shmq_put(q, "e", 1, SHMQ_NOWAIT), -EAGAIN);
    assert_true(reads(g, "bcd"));
    shmq_t *late = join_from(q, "late", SHMQ_AT_ID, 2);
    assert_int_equal(shmq_put(q, "e", 1, SHMQ_NOWAIT), -EAGAIN);
    assert_true(reads(late, "bcd"));
    assert_int_equal(shmq_put(q, "e", 1, SHMQ_NOWAIT), 0);
    leave(late);
    leave(g);
    helper_finish(q);
}

/* What was removed before a group began, or came back to it, was not handed out to it. */
static void removed_before_it_began(void **state)
{
    shmq_t *q = create(NULL), *g = join(q, "g");

    (void)state;
    send_all(q, "abcd");
    assert_true(helper_takes(g, "a"));
    assert_int_equal(shmq_remove(q, 2), 0);
    shmq_t *late = join_from(q, "late", SHMQ_EARLIEST, 0);
    assert_true(helper_takes(late, "a"));
    assert_int_equal(shmq_remove(q, 3), 0);
    assert_true(reads(late, "d"));
    assert_int_equal(helper_group(late).delivered_count, 2);
    assert_int_equal(shmq_seek(g, SHMQ_EARLIEST, 0), 0);
    assert_int_equal(helper_group(g).delivered_count, 1);
    assert_true(reads(g, "ad"));
    assert_int_equal(helper_group(g).delivered_count, 3);
    leave(late);
    leave(g);
    helper_finish(q);
}

static void sought(void **state)
{
    shmq_t *q = create(NULL), *g = join(q, "g");

    (void)state;
    send_all(q, "abcd");
    assert_true(helper_takes(g, "a"));
    struct shmq_msg b = helper_receive(g);
    assert_int_equal(shmq_seek(g, SHMQ_EARLIEST, 0), -EBUSY);
    assert_int_equal(shmq_nack(g, &b, SHMQ_SEC(100), 0), 0);
    assert_int_equal(shmq_seek(g, SHMQ_EARLIEST, 0), 0);
    assert_int_equal(helper_group(g).backlog, 4); /* what was delayed is forgotten */
    assert_true(reads(g, "abcd"));
    assert_int_equal(shmq_seek(g, SHMQ_AT_ID, 3), 0);
    assert_true(helper_takes(g, "c"));
    assert_int_equal(shmq_seek(g, SHMQ_LATEST, 0), 0);
    assert_true(reads(g, ""));
    assert_int_equal(shmq_seek(g, 9, 0), -EINVAL);
    assert_int_equal(shmq_seek(q, SHMQ_LATEST, 0), -EINVAL); /* reads as no group */
    leave(g);
    helper_finish(q);
}

static int wait_for_one(void *g)
{
    char buffer[8];

    return shmq_get(g, buffer, 8, NULL, HELPER_LATE_NS) == 1 ? 0 : 1;
}

/* A member sleeps, and there is something behind it to read again. */
static void sought_under_a_sleeper(void **state)
{
    shmq_t *q = create(NULL), *g = join(q, "g");

    (void)state;
    send_all(q, "a");
    assert_true(reads(g, "a"));
    pid_t child = helper_fork(wait_for_one, g);
    helper_expect_wake(g, HELPER_CONSUMERS);
    assert_int_equal(shmq_seek(g, SHMQ_EARLIEST, 0), 0);
    assert_true(helper_has_woken(g, HELPER_CONSUMERS));
    assert_int_equal(helper_wait(child), 0);
    leave(g);
    helper_finish(q);
}

/* --- removed ------------------------------------------------------------------------------ */

static int wait_until_stale(void *g)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    return shmq_receive(g, &msg, HELPER_LATE_NS) == -ESTALE ? 0 : 1;
}

static int join_until_stale(void *g)
{
    return shmq_join(g, HELPER_LATE_NS) == -ESTALE ? 0 : 1;
}

static void unsubscribed_under_its_members(void **state)
{
    shmq_t *q = create(NULL), *g = join(q, "g"), *other = join(q, "other");
    struct shmq_msg late = SHMQ_MSG_INIT;
    struct shmq_group_stats st;
    uint64_t place = 0;
    char buffer[8];

    (void)state;
    send_all(q, "a");
    struct shmq_msg msg = helper_receive(g);
    pid_t sleeper = helper_fork(wait_until_stale, g), joiner = helper_fork(join_until_stale, g);
    assert_true(helper_await(helper_consumer_sleeps, g));
    assert_int_equal(shmq_unsubscribe(other, "g"), 0);
    assert_int_equal(helper_wait(sleeper), 0);
    assert_int_equal(helper_wait(joiner), 0);
    assert_int_equal(shmq_ack(g, &msg), -ESTALE);
    assert_int_equal(shmq_receive(g, &late, SHMQ_NOWAIT), -ESTALE);
    assert_int_equal(shmq_get(g, buffer, 8, NULL, SHMQ_FOREVER), -ESTALE);
    assert_int_equal(shmq_ack_upto(g, 9), -ESTALE);
    assert_int_equal(shmq_seek(g, SHMQ_EARLIEST, 0), -ESTALE);
    assert_int_equal(shmq_pause(g), -ESTALE);
    assert_int_equal(shmq_purge(g), -ESTALE);
    assert_int_equal(shmq_find(g, 1, &late, buffer, 8), -ESTALE);
    assert_int_equal(shmq_inspect(g, SHMQ_WAITING, &place, &late, buffer, 8), -ESTALE);
    assert_int_equal(shmq_group_stats(g, &st), -ESTALE);
    assert_int_equal(shmq_depth(g), -ESTALE);
    assert_int_equal(shmq_redrive(g, 0), -ESTALE);
    /* Nor is it the one that has the name, and the place, now. */
    shmq_t *next = join(q, "g");
    send_all(q, "b");
    assert_int_equal(shmq_receive(g, &late, SHMQ_NOWAIT), -ESTALE);
    assert_int_equal(shmq_join(g, SHMQ_NOWAIT), -ESTALE);
    assert_int_equal(shmq_depth(g), -ESTALE);
    assert_int_equal(shmq_peek(g, buffer, 8, NULL), -ESTALE);
    place = 0;
    assert_int_equal(shmq_browse(g, &place, buffer, 8, NULL), -ESTALE);
    assert_true(reads(next, "b"));
    assert_true(reads(other, "ab"));
    leave(g);
    leave(next);
    leave(other);
    helper_finish(q);
}

/* The last who kept the group's time left long ago. */
static bool no_notifier(void *pending)
{
    return sq_load(&((struct sq_pending_shm *)pending)->notify_ns) + SHMQ_MS(100) < helper_now_ns();
}

/* Who comes from the group that was there only says that it is gone; a new one is made
 * with its side held, which keeps such visitors out. */
static void visited_when_it_is_gone(void **state)
{
    shmq_t *q = create(NULL), *g = join(q, "g"), *next;
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    struct sq_pending_shm *p = &g->segment.ring.group->pending;

    (void)state;
    assert_cmp(shmq_fd(g), >=, 0);
    assert_int_equal(shmq_unsubscribe(q, "g"), 0);
    assert_int_equal(sq_enter_group(q, 0, &deadline), 0);
    sq_lock_kept(&q->segment.ring.groups[0].lock); /* as if by another */
    assert_int_equal(shmq_subscribe(q, "g", NULL, &next), -ETIMEDOUT);
    sq_store(&p->pipe, SQ_POLL_PIPE_UNKNOWN);
    sq_leave_group(q, 0);
    sq_poll_pipe_update_polled(g, 0);
    assert_int_equal(sq_load(&p->pipe), SQ_POLL_PIPE_READABLE); /* its members are to find out */
    next = join(q, "g");
    assert_int_equal(shmq_fd(g), -ESTALE);
    assert_true(helper_await(no_notifier, p));
    send_all(q, "a");
    assert_true(reads(next, "a"));
    leave(next);
    leave(g);
    helper_finish(q);
}

/* A group holds the ring; with it gone, who waits for room goes on. */
static int put_waiting(void *q)
{
    return shmq_put(q, "12345678", 8, HELPER_LATE_NS) == 0 ? 0 : 1;
}

static void fill(shmq_t *q)
{
    while (shmq_put(q, "12345678", 8, SHMQ_NOWAIT) == 0)
        ;
}

static void unsubscribed_for_room(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = create(&attr), *g = join(q, "g");

    (void)state;
    fill(q);
    pid_t child = helper_fork(put_waiting, q);
    helper_expect_wake(q, HELPER_PRODUCERS);
    assert_int_equal(shmq_unsubscribe(q, "g"), 0);
    assert_true(helper_has_woken(q, HELPER_PRODUCERS));
    assert_int_equal(helper_wait(child), 0);
    leave(g);
    helper_finish(q);
}

/* --- lag ------------------------------------------------------------------------------------ */

static void lag_hold_and_drop(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    struct shmq_group_attr loses = SHMQ_GROUP_INIT;
    struct shmq_info info;
    char buffer[8];

    (void)state;
    loses.has_policy = 1;
    loses.policy.lag = SHMQ_LAG_DROP;
    shmq_t *q = create(&attr), *drop = join_with(q, "drop", &loses), *hold = join(q, "hold");
    fill(q);
    assert_int_equal(shmq_put(q, "12345678", 8, SHMQ_NOWAIT), -EAGAIN);
    while (shmq_get(hold, buffer, 8, NULL, SHMQ_NOWAIT) == 8)
        ;
    uint64_t before = helper_group(hold).delivered_count;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(shmq_put(q, "12345678", 8, SHMQ_NOWAIT), 0);
        assert_int_equal(shmq_get(hold, buffer, 8, NULL, SHMQ_NOWAIT), 8);
    }
    assert_int_equal(helper_group(hold).dropped_count, 0);
    uint64_t dropped = helper_group(drop).dropped_count;
    assert_cmp(dropped, >, 0);
    assert_int_equal(helper_group(drop).waiting, before + 100 - dropped);
    assert_int_equal(shmq_get(drop, buffer, 8, &info, SHMQ_NOWAIT), 8);
    assert_int_equal(info.id, dropped + 1);
    leave(drop);
    leave(hold);
    helper_finish(q);
}

/* What a member has in hand is not lost; it holds the ring. */
static void lag_drop_beside_a_lease(void **state)
{
    struct shmq_attr attr = helper_attr(4096);

    (void)state;
    attr.full = SHMQ_FULL_DROP;
    shmq_t *q = create(&attr), *g = join(q, "g");
    send_all(q, "ab");
    struct shmq_msg b = helper_receive(g), a;
    assert_int_equal(shmq_nack(g, &b, 0, SHMQ_TO_BACK), 0);
    a = helper_receive(g);
    assert_true(helper_is(&a, "b"));
    for (int i = 0; i < 1000 && shmq_put(q, "12345678", 8, SHMQ_NOWAIT) == 0; i++)
        ;
    assert_true(helper_is(&a, "b"));
    assert_int_equal(shmq_put(q, "12345678", 8, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_ack(g, &a), 0);
    assert_int_equal(shmq_put(q, "12345678", 8, SHMQ_NOWAIT), 0);
    leave(g);
    helper_finish(q);
}

/* --- filters ---------------------------------------------------------------------------------- */

static void send_with(shmq_t *q, const char *text, uint32_t type, const char *key,
                      const char *colour)
{
    const struct shmq_header header = {"colour", colour};
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.data = text;
    msg.length = strlen(text);
    msg.type = type;
    msg.key = key;
    msg.key_length = key == NULL ? 0 : strlen(key);
    msg.headers = colour == NULL ? NULL : &header;
    msg.header_count = colour != NULL;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
}

static void filtered(void **state)
{
    struct shmq_group_attr type = SHMQ_GROUP_INIT, key = SHMQ_GROUP_INIT, header = SHMQ_GROUP_INIT;
    struct shmq_group_attr both = SHMQ_GROUP_INIT;
    shmq_t *q = create(NULL);

    (void)state;
    type.filter_type = 7;
    key.filter_key = "user.*.n[ae]me";
    header.filter_header = both.filter_header = "colour";
    header.filter_header_value = both.filter_header_value = "blue";
    both.filter_type = 7;
    shmq_t *all = join(q, "all"), *by_type = join_with(q, "type", &type);
    shmq_t *by_key = join_with(q, "key", &key), *by_header = join_with(q, "header", &header);
    shmq_t *by_both = join_with(q, "both", &both);
    send_with(q, "a", 7, NULL, NULL);
    send_with(q, "b", 8, "user.1.name", "blue");
    send_with(q, "c", 7, "user.2.nome", "blue");
    send_with(q, "d", 0, "user..neme", "blues");
    send_all(q, "e");
    assert_int_equal(shmq_put(q, "f", 1, SHMQ_NOWAIT), 0);
    assert_true(reads(all, "abcdef"));
    assert_true(reads(by_type, "ac"));
    assert_true(reads(by_key, "bd"));
    assert_true(reads(by_header, "bc"));
    assert_true(reads(by_both, "c"));
    assert_int_equal(helper_group(by_both).filtered_count, 5);
    assert_int_equal(helper_group(by_both).backlog, 0);
    assert_int_equal(helper_group(by_both).delivered_count, 1);
    assert_int_equal(helper_group(all).filtered_count, 0);
    /* What joins a group that is there has its filter. */
    shmq_t *member = join(q, "type");
    send_with(q, "x", 8, NULL, NULL);
    assert_true(reads(member, ""));
    shmq_t *handles[] = {all, by_type, by_key, by_header, by_both, member};
    for (size_t i = 0; i < 6; i++)
        leave(handles[i]);
    helper_finish(q);
}

static void filters_are_checked(void **state)
{
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;
    shmq_t *q = create(NULL), *g;
    char longest[129];

    (void)state;
    attr.filter_header = "colour";
    assert_int_equal(shmq_subscribe(q, "g", &attr, &g), -EINVAL);
    attr.filter_header = NULL;
    memset(longest, 'x', sizeof(longest));
    longest[128] = '\0';
    attr.filter_key = longest;
    assert_int_equal(shmq_subscribe(q, "g", &attr, &g), -EINVAL);
    assert_true(helper_detail_names("filter_key", "127"));
    longest[127] = '\0';
    leave(join_with(q, "g", &attr));
    attr.size = 8;
    assert_int_equal(shmq_subscribe(q, "h", &attr, &g), -EINVAL);
    assert_int_equal(shmq_groups(q, NULL, 0), 1);
    helper_finish(q);
}

/* A sleeper for which nothing comes but what it passes over goes on sleeping, and what
 * it passes over does not fill the ring for ever. */
static void filtered_ones_do_not_pile_up(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    struct shmq_group_attr picky = SHMQ_GROUP_INIT;
    shmq_t *q = create(&attr);

    (void)state;
    picky.filter_type = 7;
    shmq_t *g = join_with(q, "g", &picky);
    pid_t child = helper_fork(wait_for_one, g);
    assert_true(helper_await(helper_consumer_sleeps, g));
    for (int i = 0; i < 2000; i++)
        assert_int_equal(shmq_put(q, "12345678", 8, HELPER_LATE_NS), 0);
    send_with(q, "x", 7, NULL, NULL);
    assert_int_equal(helper_wait(child), 0);
    leave(g);
    helper_finish(q);
}

/* --- paused -------------------------------------------------------------------------------------
 */

static void paused_and_resumed(void **state)
{
    shmq_t *q = create(NULL), *g = join(q, "g"), *other = join(q, "other");
    struct shmq_msg none = SHMQ_MSG_INIT;
    char buffer[8];

    (void)state;
    send_all(q, "a");
    assert_int_equal(shmq_pause(g), 0);
    assert_int_equal(helper_group(g).paused, 1);
    assert_int_equal(shmq_receive(g, &none, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_get(g, buffer, 8, NULL, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_receive(g, &none, SHMQ_MS(20)), -ETIMEDOUT);
    assert_true(reads(other, "a")); /* its own affair */
    pid_t child = helper_fork(wait_for_one, g);
    helper_expect_wake(g, HELPER_CONSUMERS);
    assert_int_equal(shmq_resume(g), 0);
    assert_true(helper_has_woken(g, HELPER_CONSUMERS));
    assert_int_equal(helper_wait(child), 0);
    assert_int_equal(helper_group(g).paused, 0);
    /* What is in hand can be finished meanwhile. */
    send_all(q, "bc");
    struct shmq_msg b = helper_receive(g), c = helper_receive(g);
    assert_int_equal(shmq_pause(g), 0);
    assert_int_equal(shmq_ack(g, &b), 0);
    assert_int_equal(shmq_nack(g, &c, 0, 0), 0);
    assert_true(reads(g, ""));
    assert_int_equal(shmq_resume(g), 0);
    assert_true(reads(g, "c"));
    assert_int_equal(shmq_pause(q), -EINVAL);
    leave(g);
    leave(other);
    helper_finish(q);
}

/* A queue that is no topic can be paused as well. */
static void a_queue_paused(void **state)
{
    shmq_t *q = helper_create(NULL);

    (void)state;
    assert_int_equal(shmq_pause(q), 0);
    helper_send(q, "x");
    pid_t child = helper_fork(wait_for_one, q);
    assert_true(helper_await(helper_consumer_sleeps, q));
    assert_int_equal(shmq_depth(q), 1);
    assert_int_equal(shmq_resume(q), 0);
    assert_int_equal(helper_wait(child), 0);
    helper_finish(q);
}

/* --- durable
 * --------------------------------------------------------------------------------------- */

static int read_one_and_die(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    shmq_t *g;

    if (shmq_subscribe(q, "g", NULL, &g) != 0)
        return 1;
    for (int i = 0; i < 2; i++)
        if (shmq_receive(g, &msg, HELPER_LATE_NS) != 0 || (i == 0 && shmq_ack(g, &msg) != 0))
            return 2;
    raise(SIGKILL);
    return 3;
}

static void durable_over_its_members(void **state)
{
    shmq_t *q = create(NULL), *g = join(q, "g");

    (void)state;
    leave(g);
    send_all(q, "abc");
    assert_int_equal(helper_wait(helper_fork(read_one_and_die, q)), 1000 + SIGKILL);
    send_all(q, "d");
    g = join_from(q, "g", SHMQ_EARLIEST, 0);
    for (;;) { /* until its death is noticed, the others come */
        struct shmq_msg msg = helper_receive(g);
        bool again = msg.attempts == 2;
        assert_int_equal(shmq_ack(g, &msg), 0);
        if (again)
            break;
    }
    struct shmq_group_stats st = helper_group(g);
    assert_int_equal(st.acked_count + st.waiting, 4);
    leave(g);
    helper_finish(q);
}

/* Where history begins is damaged: it begins anew, and is no obstacle. */
static void history_lost(void **state)
{
    shmq_t *q = create(NULL);
    uint64_t *history_pos = &q->segment.ring.producer->history_pos;

    (void)state;
    send_all(q, "a");
    *history_pos ^= (uint64_t)1 << 40;
    shmq_t *g = join_from(q, "g", SHMQ_EARLIEST, 0);
    send_all(q, "b");
    assert_true(reads(g, "b"));
    send_all(q, "c");
    *history_pos ^= (uint64_t)1 << 40;
    shmq_t *h = join_from(q, "h", SHMQ_EARLIEST, 0);
    assert_true(reads(h, "c")); /* from the first that a group needs */
    assert_true(reads(g, "c"));
    leave(g);
    leave(h);
    helper_finish(q);
}

/* --- beside a sole producer
 * ------------------------------------------------------------------------- */

static void beside_a_sole_producer(void **state)
{
    shmq_t *q = create(NULL), *g;
    shmq_t *sole = helper_open(helper_name("a"), SHMQ_SOLE_PRODUCER, NULL);
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;

    (void)state;
    send_all(sole, "a");
    attr.start = SHMQ_EARLIEST;
    assert_int_equal(shmq_subscribe(q, "g", &attr, &g), -EBUSY);
    g = join(q, "g");
    send_all(sole, "b");
    assert_true(reads(g, "b"));
    assert_int_equal(shmq_seek(g, SHMQ_EARLIEST, 0), -EBUSY);
    leave(sole);
    /* A member is no producer. */
    sole = helper_open(helper_name("a"), SHMQ_SOLE_PRODUCER, NULL);
    shmq_t *h = join(q, "h");
    assert_int_equal(shmq_close(h), 0);
    leave(g);
    leave(sole);
    helper_finish(q);
}

/* Who made a group died before it had settled where: its place has been overwritten. */
static void passed_by_a_sole_producer(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = create(&attr), *g = join(q, "g");
    _Atomic uint64_t *groups = &q->segment.control->groups;
    shmq_t *sole = helper_open(helper_name("a"), SHMQ_SOLE_PRODUCER, NULL);
    char bytes[100] = {0};

    (void)state;
    atomic_fetch_and(groups, ~(uint64_t)1);
    for (int i = 0; i < 200; i++)
        assert_int_equal(shmq_put(sole, bytes, sizeof(bytes), 0), 0);
    atomic_fetch_or(groups, 1);
    int rc, put = 0;
    while ((rc = shmq_put(sole, bytes, sizeof(bytes), 0)) == 0)
        put++;
    assert_int_equal(rc, -EAGAIN);
    assert_in_range(put, 10, 40);
    assert_in_range(helper_group(g).dropped_count, 200, 240);
    while (shmq_get(g, bytes, sizeof(bytes), NULL, SHMQ_NOWAIT) == sizeof(bytes))
        ;
    send_all(sole, "a");
    assert_true(reads(g, "a"));
    leave(g);
    leave(sole);
    helper_finish(q);
}

static int stream(void *arg)
{
    shmq_t *sole;

    if (shmq_open(&sole, arg, SHMQ_SOLE_PRODUCER, NULL) != 0)
        return 1;
    for (uint32_t i = 0; i < 200000; i++)
        if (shmq_put(sole, &i, sizeof(i), HELPER_LATE_NS) != 0)
            return 2;
    return shmq_close(sole) == 0 ? 0 : 3;
}

static bool has_sole_producer(void *q)
{
    return helper_stats(q).sole_producer;
}

/* Groups made while it puts begin somewhere, and miss nothing from there on. */
static void made_while_it_puts(void **state)
{
    shmq_t *q = create(NULL);
    static char name[64];
    struct shmq_info info;
    uint32_t number;

    (void)state;
    snprintf(name, sizeof(name), "%s", helper_name("a"));
    pid_t child = helper_fork(stream, name);
    /* A group that is being made just then, on a busy machine for long, would refuse it. */
    assert_true(helper_await(has_sole_producer, q));
    for (int i = 0; i < 50; i++) {
        shmq_t *g = join(q, "g");
        uint64_t next = 0;
        for (int n = 0; n < 200; n++) {
            ssize_t rc = shmq_get(g, &number, sizeof(number), &info, SHMQ_MS(100));
            if (rc == -ETIMEDOUT)
                break; /* it has put all */
            assert_int_equal(rc, 4);
            assert_int_equal(info.id, number + 1);
            if (next != 0)
                assert_int_equal(info.id, next);
            next = info.id + 1;
        }
        assert_int_equal(shmq_unsubscribe(q, "g"), 0);
        leave(g);
    }
    assert_int_equal(helper_wait(child), 0);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(groups_see_all_and_members_compete),
        HELPER_TEST(only_groups_read),
        HELPER_TEST(a_handle_outlives_its_topics),
        HELPER_TEST(as_many_as_there_can_be),
        HELPER_TEST(starts),
        HELPER_TEST(history_without_a_group),
        HELPER_TEST(back_and_full),
        HELPER_TEST(removed_before_it_began),
        HELPER_TEST(sought),
        HELPER_TEST(sought_under_a_sleeper),
        HELPER_TEST(unsubscribed_under_its_members),
        HELPER_TEST(visited_when_it_is_gone),
        HELPER_TEST(unsubscribed_for_room),
        HELPER_TEST(lag_hold_and_drop),
        HELPER_TEST(lag_drop_beside_a_lease),
        HELPER_TEST(filtered),
        HELPER_TEST(filters_are_checked),
        HELPER_TEST(filtered_ones_do_not_pile_up),
        HELPER_TEST(paused_and_resumed),
        HELPER_TEST(a_queue_paused),
        HELPER_TEST(durable_over_its_members),
        HELPER_TEST(history_lost),
        HELPER_TEST(beside_a_sole_producer),
        HELPER_TEST(passed_by_a_sole_producer),
        HELPER_TEST(made_while_it_puts),
    };

    return helper_run(argc, argv, tests);
}
