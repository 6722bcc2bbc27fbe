/*
 * test_compress.c - payloads that are compressed on their way: nobody notices but
 * the ring.  A library built without liblz4 says so.
 */
#include "support/helper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LONG = 10000, THRESHOLD = 1000 };

static char text[LONG], noise[LONG];

static shmq_t *make(void **state)
{
    struct shmq_attr attr = helper_attr(65536);
    shmq_t *q;

    attr.compress_bytes = THRESHOLD;
    int rc = shmq_open(&q, helper_name("a"), SHMQ_CREATE | SHMQ_EXCL, &attr);
    (void)state;
    if (rc == -ENOTSUP)
        skip(); /* built without */
    assert_int_equal(rc, 0);
    struct helper_random random = helper_seed();
    for (int i = 0; i < LONG; i++) {
        text[i] = "all work and no play "[i % 21];
        noise[i] = (char)helper_random(&random);
    }
    return q;
}

static uint64_t send(shmq_t *q, const char *data, size_t length)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.data = data;
    msg.length = length;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    return msg.id;
}

/* Long ones that can be made shorter take less of the ring; others are as they were. */
static void takes_less_room(void **state)
{
    shmq_t *q = make(state);

    send(q, text, LONG);
    uint64_t compressed = helper_stats(q).used_bytes;
    assert_in_range(compressed, 100, LONG / 10);
    send(q, noise, LONG);
    uint64_t both = helper_stats(q).used_bytes;
    assert_in_range(both - compressed, LONG, LONG + 100);
    send(q, text, THRESHOLD - 1);
    assert_in_range(helper_stats(q).used_bytes - both, THRESHOLD - 1, THRESHOLD + 100);
    helper_finish(q);
}

static void comes_out_as_it_was(void **state)
{
    shmq_t *q = make(state);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct shmq_info info[2];
    char *buffer = malloc(2 * LONG);

    for (int i = 0; i < 2; i++) {
        send(q, text, LONG);
        send(q, noise, LONG);
    }
    /* Received, and again after it was given back. */
    for (uint32_t i = 1; i <= 2; i++) {
        assert_int_equal(shmq_receive(q, &msg, SHMQ_NOWAIT), 0);
        assert_int_equal(msg.length, LONG);
        assert_memory_equal(msg.data, text, LONG);
        assert_int_equal(msg.attempts, i);
        assert_int_equal(i == 1 ? shmq_nack(q, &msg, 0, 0) : shmq_ack(q, &msg), 0);
    }
    /* Got, one and several; too small a buffer says what it takes. */
    assert_int_equal(shmq_get(q, buffer, LONG, info, SHMQ_NOWAIT), LONG);
    assert_memory_equal(buffer, noise, LONG);
    assert_int_equal(shmq_get(q, buffer, LONG - 1, info, SHMQ_NOWAIT), -EMSGSIZE);
    assert_int_equal(info[0].length, LONG);
    assert_int_equal(shmq_find(q, 3, &msg, buffer, 2 * LONG), LONG);
    assert_memory_equal(msg.data, text, LONG);
    assert_int_equal(shmq_get_many(q, buffer, 2 * LONG, info, 2, 0, SHMQ_NOWAIT), 2);
    assert_memory_equal(buffer + info[0].offset, text, LONG);
    assert_memory_equal(buffer + info[1].offset, noise, LONG);
    free(buffer);
    helper_finish(q);
}

static struct shmq_msg receive_text(shmq_t *q)
{
    send(q, text, LONG);
    struct shmq_msg msg = helper_receive(q);
    assert_memory_equal(msg.data, text, LONG);
    return msg;
}

/* Whatever ends a lease frees the memory, once: of copies, of none, with the handle. */
static void memory_goes_with_the_lease(void **state)
{
    shmq_t *q = make(state), *topic, *g;

    struct shmq_msg msg = receive_text(q), copy = msg, last = receive_text(q);
    assert_int_equal(shmq_ack(q, &msg), 0);
    assert_int_equal(shmq_ack(q, &copy), -ECANCELED);
    assert_int_equal(shmq_ack(q, &copy), -EINVAL);
    assert_memory_equal(last.data, text, LONG);
    assert_int_equal(shmq_ack_upto(q, last.id), 1);
    assert_int_equal(shmq_ack(q, &last), -ECANCELED);
    msg = receive_text(q);
    assert_int_equal(shmq_task_done(q), 0);
    msg = receive_text(q); /* and it is closed with that */
    struct shmq_attr attr = helper_attr(65536);
    attr.compress_bytes = THRESHOLD;
    topic = helper_open(helper_name("topic"), SHMQ_CREATE | SHMQ_TOPIC, &attr);
    assert_int_equal(shmq_subscribe(topic, "g", NULL, &g), 0);
    send(topic, text, LONG);
    msg = helper_receive(g);
    assert_int_equal(shmq_unsubscribe(topic, "g"), 0);
    assert_int_equal(shmq_touch(g, &msg, 0), -ESTALE);
    assert_memory_equal(msg.data, text, LONG); /* that lets one read on */
    assert_int_equal(shmq_ack(g, &msg), -ESTALE);
    assert_int_equal(shmq_ack(g, &msg), -EINVAL);
    assert_int_equal(shmq_close(g), 0);
    assert_int_equal(shmq_close(topic), 0);
    assert_int_equal(shmq_unlink(helper_name("topic")), 0);
    helper_finish(q);
}

/* Updates are stored as they are; dead letters are put anew. */
static void updates_and_dead_letters(void **state)
{
    shmq_t *q = make(state), *dead;
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct shmq_policy policy;
    char *buffer = malloc(LONG);

    assert_int_equal(shmq_policy_of(q, &policy), 0);
    strcpy(policy.dead_letter, helper_name("dead"));
    assert_int_equal(shmq_policy_set(q, &policy), 0);
    uint64_t id = send(q, text, LONG);
    assert_int_equal(shmq_receive(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_reject(q, &msg, SHMQ_REASON_VALIDATION, "no"), 0);
    dead = helper_open(helper_name("dead"), 0, NULL);
    assert_int_equal(shmq_get(dead, buffer, LONG, NULL, SHMQ_NOWAIT), LONG);
    assert_memory_equal(buffer, text, LONG);
    assert_int_equal(shmq_close(dead), 0);
    assert_int_equal(shmq_unlink(helper_name("dead")), 0);
    id = send(q, text, LONG);
    assert_int_equal(shmq_update(q, id, noise, 5000, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(q, buffer, LONG, NULL, SHMQ_NOWAIT), 5000);
    assert_memory_equal(buffer, noise, 5000);
    free(buffer);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(takes_less_room),
        HELPER_TEST(comes_out_as_it_was),
        HELPER_TEST(memory_goes_with_the_lease),
        HELPER_TEST(updates_and_dead_letters),
    };

    return helper_run(argc, argv, tests);
}
