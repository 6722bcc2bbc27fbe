/*
 * test_send.c - messages with more to them: what is accepted, and that it arrives.
 */
#include "support/helper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what makes no sense ------------------------------------------------------------- */

/* Refused, with a detail that has both words; nothing is put. */
static bool refused(shmq_t *q, struct shmq_msg msg, const char *one, const char *other)
{
    int rc = shmq_send(q, &msg, SHMQ_NOWAIT), many = shmq_send_many(q, &msg, 1, SHMQ_NOWAIT);

    if (rc != -EINVAL || many != -EINVAL)
        print_error("%d, %d for a message with a wrong %s\n", rc, many, one);
    return rc == -EINVAL && many == -EINVAL && helper_detail_names(one, other) &&
           shmq_depth(q) == 0;
}

static void what_makes_no_sense(void **state)
{
    const struct shmq_msg good = SHMQ_MSG_INIT;
    shmq_t *q = helper_create(NULL);
    char key[1025] = "";
    struct shmq_msg msg;

    (void)state;
    msg = good, msg.size = 8;
    assert_true(refused(q, msg, "size", "8"));
    msg = good, msg.length = 5;
    assert_true(refused(q, msg, "data", "5"));
    msg = good, msg.key_length = 7;
    assert_true(refused(q, msg, "key", "7"));
    msg = good, msg.key = key, msg.key_length = 1025;
    assert_true(refused(q, msg, "key", "1025"));
    msg = good, msg.delay_ns = -5;
    assert_true(refused(q, msg, "delay_ns", "-5"));
    msg = good, msg.due_ns = -6;
    assert_true(refused(q, msg, "due_ns", "-6"));
    msg = good, msg.ttl_ns = -7;
    assert_true(refused(q, msg, "ttl_ns", "-7"));
    msg = good, msg.due_ns = 1, msg.delay_ns = 1;
    assert_true(refused(q, msg, "due_ns", "delay_ns"));
    msg = good, msg.header_count = 3;
    assert_true(refused(q, msg, "headers", "3"));
    msg = good, msg.header_block = "no zero at the end", msg.header_bytes = 5;
    assert_true(refused(q, msg, "header_block", ""));
    msg = good, msg.header_block = "name\0value", msg.header_bytes = 5; /* no value */
    assert_true(refused(q, msg, "header_block", ""));
    assert_int_equal(shmq_send(q, &(struct shmq_msg)SHMQ_MSG_INIT, -2), -EINVAL);
    msg = good;
    assert_int_equal(shmq_send_many(q, &msg, 1, -2), -EINVAL);
    assert_int_equal(shmq_depth(q), 0);
    helper_finish(q);
}

static bool header_refused(shmq_t *q, const char *name, const char *value, const char *named)
{
    const struct shmq_header headers[] = {{"fine", "fine"}, {name, value}};
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.headers = headers;
    msg.header_count = 2;
    return refused(q, msg, "header", named);
}

static void headers_that_make_no_sense(void **state)
{
    shmq_t *q = helper_create(NULL);
    char *long_name = malloc(300), *long_value = malloc(70000);

    (void)state;
    memset(long_name, 'n', 300);
    long_name[256] = '\0';
    memset(long_value, 'v', 70000);
    long_value[65536] = '\0';
    assert_true(header_refused(q, NULL, "x", "[1]"));
    assert_true(header_refused(q, "", "x", "[1]"));
    assert_true(header_refused(q, "a b", "x", "[1]"));
    assert_true(header_refused(q, "a=b", "x", "[1]"));
    assert_true(header_refused(q, "a\tb", "x", "[1]"));
    assert_true(header_refused(q, "\xc3\xa4", "x", "[1]"));
    assert_true(header_refused(q, long_name, "x", "255"));
    assert_true(header_refused(q, "n", NULL, "n"));
    assert_true(header_refused(q, "n", long_value, "65535"));
    assert_true(header_refused(q, "fine", "again", "twice"));
    struct shmq_header *many = calloc(1025, sizeof(*many));
    struct shmq_msg msg = SHMQ_MSG_INIT;
    msg.headers = many;
    msg.header_count = 1025;
    assert_true(refused(q, msg, "1025", "headers"));
    free(many);
    free(long_name);
    free(long_value);
    helper_finish(q);
}

/* --- what arrives ----------------------------------------------------------------------- */

static void nothing_more_to_it(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_msg msg;

    (void)state;
    helper_send(q, "");
    assert_int_equal(shmq_put(q, "plain", 5, SHMQ_NOWAIT), 0);
    for (int i = 0; i < 2; i++) {
        msg = helper_receive(q);
        assert_true(helper_is(&msg, i == 0 ? "" : "plain"));
        assert_int_equal(msg.type, SHMQ_TYPE_NONE);
        assert_int_equal(msg.priority, 0);
        assert_int_equal(msg.ttl_ns, 0);
        assert_int_equal(msg.key_length, 0);
        assert_int_equal(msg.header_bytes, 0);
        assert_int_equal(msg.correlation, 0);
        assert_null(shmq_header_value(&msg, "x"));
        assert_int_equal(shmq_ack(q, &msg), 0);
    }
    helper_finish(q);
}

static void everything(void **state)
{
    const struct shmq_header headers[] = {
        {"a", "1"}, {"empty", ""}, {"text", "with blanks, = and \xc3\xa4"}};
    static const char key[] = {0, 1, (char)0xff, 0, '='};
    shmq_t *q = helper_create(NULL);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct shmq_header header;
    size_t place = 0;

    (void)state;
    msg.data = "payload";
    msg.length = 7;
    msg.type = UINT32_MAX;
    msg.priority = INT32_MIN;
    msg.key = key;
    msg.key_length = sizeof(key);
    msg.correlation = UINT64_MAX;
    msg.headers = headers;
    msg.header_count = 3;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(msg.id, 1);
    struct shmq_msg got = helper_receive(q);
    assert_true(helper_is(&got, "payload"));
    assert_int_equal(got.id, 1);
    assert_int_equal(got.type, UINT32_MAX);
    assert_int_equal(got.priority, INT32_MIN);
    assert_int_equal(got.key_length, sizeof(key));
    assert_memory_equal(got.key, key, sizeof(key));
    assert_int_equal(got.correlation, UINT64_MAX);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(shmq_header_value(&got, headers[i].name), headers[i].value);
        assert_int_equal(shmq_header_next(&got, &place, &header), 1);
        assert_string_equal(header.name, headers[i].name);
        assert_string_equal(header.value, headers[i].value);
    }
    assert_int_equal(shmq_header_next(&got, &place, &header), 0);
    assert_null(shmq_header_value(&got, "A"));
    /* Sent on as it was received. */
    struct shmq_msg on = SHMQ_MSG_INIT;
    on.header_block = got.header_block;
    on.header_bytes = got.header_bytes;
    assert_int_equal(shmq_send(q, &on, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_ack(q, &got), 0);
    got = helper_receive(q);
    assert_string_equal(shmq_header_value(&got, "text"), headers[2].value);
    assert_int_equal(shmq_ack(q, &got), 0);
    /* Plain gets give the payload alone. */
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    char buffer[64];
    struct shmq_info info;
    uint64_t walk = 0;
    assert_int_equal(shmq_peek(q, buffer, 64, &info), 7);
    assert_int_equal(shmq_browse(q, &walk, buffer, 64, &info), 7);
    assert_int_equal(shmq_get(q, buffer, 7, &info, SHMQ_NOWAIT), 7);
    assert_memory_equal(buffer, "payload", 7);
    assert_int_equal(info.length, 7);
    helper_finish(q);
}

/* The longest of each, at once. */
static void the_longest(void **state)
{
    struct shmq_attr attr = helper_attr(1 << 20);
    shmq_t *q = helper_create(&attr);
    struct shmq_header *headers = calloc(1024, sizeof(*headers));
    char names[1024][24], *value = malloc(65536), *key = malloc(1024);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    memset(value, 'v', 65535);
    value[65535] = '\0';
    memset(key, 'k', 1024);
    for (int i = 0; i < 1024; i++) {
        snprintf(names[i], sizeof(names[i]), "name-%d", i);
        headers[i] = (struct shmq_header){names[i], i == 500 ? value : names[i]};
    }
    msg.headers = headers;
    msg.header_count = 1024;
    msg.key = key;
    msg.key_length = 1024;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    struct shmq_msg got = helper_receive(q);
    assert_int_equal(got.key_length, 1024);
    assert_memory_equal(got.key, key, 1024);
    assert_string_equal(shmq_header_value(&got, "name-500"), value);
    assert_string_equal(shmq_header_value(&got, "name-1023"), "name-1023");
    assert_int_equal(shmq_ack(q, &got), 0);
    free(headers);
    free(value);
    free(key);
    helper_finish(q);
}

/* Of all lengths of key, headers and payload: where one ends and the next begins. */
static void of_all_lengths(void **state)
{
    shmq_t *q = helper_create(NULL);
    char text[64];

    (void)state;
    memset(text, 't', sizeof(text));
    for (size_t key = 0; key < 10; key++)
        for (size_t value = 0; value < 10; value++)
            for (size_t length = 0; length < 10; length++) {
                char of_header[16] = "";
                memset(of_header, 'v', value);
                const struct shmq_header header = {"h", of_header};
                struct shmq_msg msg = SHMQ_MSG_INIT;
                msg.data = text;
                msg.length = length;
                msg.key = "kkkkkkkkkk";
                msg.key_length = key;
                msg.headers = &header;
                msg.header_count = value > 0;
                assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
                struct shmq_msg got = helper_receive(q);
                assert_int_equal(got.length, length);
                assert_memory_equal(got.data, text, length);
                assert_int_equal(got.key_length, key);
                assert_memory_equal(got.key, "kkkkkkkkkk", key);
                if (value > 0)
                    assert_string_equal(shmq_header_value(&got, "h"), of_header);
                assert_int_equal(shmq_ack(q, &got), 0);
            }
    helper_finish(q);
}

/* --- sizes --------------------------------------------------------------------------------- */

static void too_long(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    static char data[4096];
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    shmq_t *q = helper_create(&attr);
    msg.data = data;
    msg.length = 4096 - 24;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_purge(q), 1);
    msg.type = 1; /* takes 48 bytes more */
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), -EMSGSIZE);
    msg.length = 4096 - 24 - 48;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_purge(q), 1);
    msg.length = 4096;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), -EMSGSIZE);
    helper_finish(q);
    attr.max_message_bytes = 10;
    q = helper_create(&attr);
    msg.length = 10; /* of payload: key and headers do not count */
    msg.key = data;
    msg.key_length = 100;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    msg.length = 11;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), -EMSGSIZE);
    assert_true(helper_detail_names("11", "10"));
    assert_int_equal(shmq_send_many(q, &msg, 1, SHMQ_NOWAIT), -EMSGSIZE);
    helper_finish(q);
}

static void full(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    attr.max_messages = 2;
    shmq_t *q = helper_create(&attr);
    msg.type = 1;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_send(q, &msg, SHMQ_MS(5)), -ETIMEDOUT);
    struct shmq_msg held = helper_receive(q);
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), -EAGAIN); /* not finished: it counts */
    assert_int_equal(shmq_ack(q, &held), 0);
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(msg.id, 3);
    helper_finish(q);
}

/* --- many ------------------------------------------------------------------------------------ */

static void many_whole_or_not_at_all(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    static char data[600];
    struct shmq_msg msgs[8];

    (void)state;
    for (int i = 0; i < 8; i++) {
        msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
        msgs[i].data = data;
        msgs[i].length = 600;
        msgs[i].type = (uint32_t)i + 1;
    }
    /* A wrong one anywhere refuses all. */
    msgs[3].ttl_ns = -1;
    assert_int_equal(shmq_send_many(q, msgs, 5, SHMQ_NOWAIT), -EINVAL);
    assert_int_equal(shmq_depth(q), 0);
    msgs[3].ttl_ns = 0;
    /* Six fit into an empty ring: not all of them while one is there. */
    const char *first = "sixty-four bytes and the header's are what the others do not leave";
    helper_send(q, first);
    assert_int_equal(shmq_send_many(q, msgs, 6, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_depth(q), 1);
    assert_true(helper_takes(q, first));
    assert_int_equal(shmq_send_many(q, msgs, 6, SHMQ_NOWAIT), 6);
    assert_int_equal(shmq_depth(q), 6);
    for (uint32_t i = 0; i < 6; i++) {
        struct shmq_msg got = helper_receive(q);
        assert_int_equal(got.id, msgs[i].id);
        assert_int_equal(got.type, i + 1);
        assert_int_equal(shmq_ack(q, &got), 0);
    }
    /* A larger batch in parts. */
    assert_int_equal(shmq_send_many(q, msgs, 8, SHMQ_NOWAIT), 6);
    assert_int_equal(shmq_send_many(q, msgs, 0, SHMQ_NOWAIT), 0);
    helper_finish(q);
}

static void a_batch_with_delays_and_priorities(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    struct shmq_msg msgs[4];

    (void)state;
    attr.order = SHMQ_PRIORITY;
    shmq_t *q = helper_create(&attr);
    for (int i = 0; i < 4; i++) {
        msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
        msgs[i].priority = i;
    }
    msgs[3].delay_ns = SHMQ_SEC(100);
    assert_int_equal(shmq_send_many(q, msgs, 4, SHMQ_NOWAIT), 4);
    for (int i = 2; i >= 0; i--) {
        struct shmq_msg got = helper_receive(q);
        assert_int_equal(got.priority, i);
        assert_int_equal(shmq_ack(q, &got), 0);
    }
    assert_true(helper_takes(q, NULL));
    helper_finish(q);
}

/* Programs that were built with them must go on working. */
static void sizes_of_structs(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct shmq_msg), 184);
    assert_int_equal(offsetof(struct shmq_msg, lease), 152);
    assert_int_equal(sizeof(struct shmq_header), 16);
    assert_int_equal(sizeof(struct shmq_policy), 272);
    assert_int_equal(sizeof(struct shmq_attr), 368);
    assert_int_equal(sizeof(struct shmq_group_attr), 328);
    assert_int_equal(sizeof(struct shmq_group_stats), 264);
    assert_int_equal(sizeof(struct shmq_worker_attr), 40);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    assert_int_equal(msg.size, sizeof(msg));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(what_makes_no_sense),
        HELPER_TEST(headers_that_make_no_sense),
        HELPER_TEST(nothing_more_to_it),
        HELPER_TEST(everything),
        HELPER_TEST(the_longest),
        HELPER_TEST(of_all_lengths),
        HELPER_TEST(too_long),
        HELPER_TEST(full),
        HELPER_TEST(many_whole_or_not_at_all),
        HELPER_TEST(a_batch_with_delays_and_priorities),
        HELPER_TEST(sizes_of_structs),
    };

    return helper_run(argc, argv, tests);
}
