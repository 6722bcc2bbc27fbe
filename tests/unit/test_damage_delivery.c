/*
 * test_damage_delivery.c - a segment with leases, delays, dead letters, keys and groups
 * that somebody has written into.
 *
 * As test_damage.c: each 4-byte word of every part that delivery uses is overwritten in
 * turn, before a handle is opened or under one that is open; then all calls are made.
 * Each must return, in its time, a result or an error that is documented; after
 * shmq_purge(), and for what a group is set to after setting it anew, it must work again.
 * Half of the values, by chance; with ALL in the environment all.
 */
#include "support/damage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout.h"

enum {
    VALUES = 6,
    IDS = 9,
};
#define SHORTER_NS ((int64_t)100000)

static int target_flags;
static shmq_t *keeper, *keepers_group; /* have the leases */

/* --- the calls ---------------------------------------------------------------- */

/* Check the result of a call, and return it; the next one begins. */
static int64_t is_fine(const char *call, int64_t rc, int64_t most_ns)
{
    static const int documented[] = {EAGAIN, ETIMEDOUT, EMSGSIZE,  EBADMSG, ESTALE, ENOENT,
                                     EBUSY,  EEXIST,    ECANCELED, ENOSPC,  0};

    damage_is_fine(call, rc, most_ns, documented);
    damage_begin();
    return rc;
}

static void read_all(const struct shmq_msg *msg)
{
    volatile unsigned sum = 0;
    struct shmq_header header;
    size_t place = 0;

    for (size_t i = 0; i < msg->length; i++)
        sum += ((const unsigned char *)msg->data)[i];
    for (size_t i = 0; i < msg->key_length; i++)
        sum += ((const unsigned char *)msg->key)[i];
    for (int i = 0; i < 10 && shmq_header_next(msg, &place, &header) == 1; i++)
        sum += (unsigned)strlen(header.value);
    (void)sum;
}

static void look(shmq_t *q)
{
    struct shmq_stats stats = {.size = sizeof(stats)};
    struct shmq_group_stats groups[3];
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct shmq_policy policy;
    struct shmq_info info;
    char *buffer = malloc(512);
    uint64_t place = 0;
    int64_t rc = 0;

    damage_begin();
    is_fine("stats", shmq_stats(q, &stats), 0);
    is_fine("group_stats", shmq_group_stats(q, &groups[0]), 0);
    is_fine("groups", shmq_groups(q, groups, 3), 0);
    is_fine("depth", shmq_depth(q), 0);
    is_fine("policy_of", shmq_policy_of(q, &policy), 0);
    is_fine("peek", shmq_peek(q, buffer, 512, &info), 0);
    for (int i = 0; i < 40 && rc >= 0; i++) {
        rc = is_fine("inspect", shmq_inspect(q, 15, &place, &msg, buffer, 512), 0);
        if (rc >= 0)
            read_all(&msg);
    }
    for (uint64_t id = 1; id <= IDS; id++)
        if (is_fine("find", shmq_find(q, id, &msg, buffer, 512), 0) >= 0)
            read_all(&msg);
    is_fine("join", shmq_join(q, SHMQ_NOWAIT), 0);
    free(buffer);
}

static void send_some(shmq_t *q)
{
    const struct shmq_header header = {"colour", "blue"};
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.data = "sent";
    msg.length = 4;
    msg.headers = &header;
    msg.header_count = 1;
    msg.key_length = 5;
    damage_begin();
    for (int i = 0; i < 4; i++) {
        msg.key = i % 2 == 0 ? "key-1" : i == 1 ? "key-x" : "key-y";
        msg.priority = i;
        msg.delay_ns = i == 3 ? SHMQ_SEC(100) : 0;
        is_fine("send", shmq_send(q, &msg, SHMQ_NOWAIT), SHMQ_MS(10));
    }
}

static void receive_some(shmq_t *q)
{
    struct shmq_msg msgs[5];
    int64_t rc;

    damage_begin();
    for (int i = 0; i < 5; i++) {
        msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
        rc = is_fine("receive", shmq_receive(q, &msgs[i], i == 0 ? SHORTER_NS : SHMQ_NOWAIT),
                     SHMQ_MS(10));
        if (rc < 0)
            continue;
        read_all(&msgs[i]);
        if (i == 0)
            is_fine("ack", shmq_ack(q, &msgs[i]), SHMQ_SEC(1));
        else if (i == 1)
            is_fine("nack", shmq_nack(q, &msgs[i], SHMQ_MS(1), SHMQ_TO_BACK), SHMQ_SEC(1));
        else if (i == 2)
            is_fine("reject", shmq_reject(q, &msgs[i], 3, "text"), SHMQ_SEC(1));
        else
            is_fine("touch", shmq_touch(q, &msgs[i], SHMQ_SEC(9)), SHMQ_SEC(1));
    }
    is_fine("ack_upto", shmq_ack_upto(q, 4), SHMQ_SEC(1));
}

static void change_some(shmq_t *q)
{
    char buffer[64];

    damage_begin();
    for (uint64_t id = 1; id <= IDS; id++)
        if (id % 3 != 0)
            is_fine("update", shmq_update(q, id, "updated", 3 + id % 5, SHMQ_NOWAIT), SHMQ_MS(10));
    is_fine("remove", shmq_remove(q, 3), SHMQ_SEC(1));
    is_fine("remove", shmq_remove(q, 4), SHMQ_SEC(1));
    is_fine("redrive", shmq_redrive(q, 0), SHMQ_SEC(1));
    is_fine("pause", shmq_pause(q), SHMQ_SEC(1));
    is_fine("resume", shmq_resume(q), SHMQ_SEC(1));
    is_fine("get", shmq_get(q, buffer, 64, NULL, SHMQ_NOWAIT), SHMQ_MS(10));
    is_fine("seek", shmq_seek(q, SHMQ_EARLIEST, 0), SHMQ_SEC(1));
}

/* Until it is full, so that space is made. */
static void fill(shmq_t *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char key[16], data[100] = "";
    int64_t rc = 0;

    msg.data = data;
    msg.length = sizeof(data);
    damage_begin();
    for (int i = 0; i < 60 && rc >= 0; i++) {
        msg.key = key;
        msg.key_length = (size_t)snprintf(key, sizeof(key), "fill-%d", i);
        rc = is_fine("send", shmq_send(q, &msg, SHMQ_NOWAIT), SHMQ_MS(10));
    }
    is_fine("send of too much", shmq_send(q, &msg, SHORTER_NS), SHORTER_NS);
}

/* --- the way out ---------------------------------------------------------------- */

static void must_work(shmq_t *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT, got = SHMQ_MSG_INIT;

    msg.data = "again";
    msg.length = msg.key_length = 5;
    msg.key = "again";
    for (int i = 0; i < 3; i++) {
        int rc = shmq_send(q, &msg, SHMQ_NOWAIT);
        if (rc != 0)
            damage_give_up("after purge: send", rc);
        do { /* what was leased, and comes back */
            rc = shmq_receive(q, &got, SHMQ_NOWAIT);
            if (rc != 0)
                damage_give_up("after purge: receive", rc);
            if (got.id != msg.id)
                shmq_ack(q, &got);
        } while (got.id != msg.id);
        if (got.length != 5 || memcmp(got.data, "again", 5) != 0)
            damage_give_up("after purge: another message", (int64_t)got.length);
        rc = shmq_ack(q, &got);
        if (rc != 0)
            damage_give_up("after purge: ack", rc);
    }
}

static void purge(shmq_t *q)
{
    damage_begin();
    int64_t rc = is_fine("purge", shmq_purge(q), SHMQ_SEC(1));
    if (rc < 0)
        damage_give_up("purge", rc);
}

/* As if who has the leases had closed its handles, so that they pin the ring no more. */
static void keepers_leave(void)
{
    const struct sq_header_shm *h = (const void *)damage_target.image;
    struct sq_slot_shm *slots = (void *)(damage_target.object + h->slots_off);
    struct sq_control_shm *control = (void *)(damage_target.object + h->control_off);

    for (int i = 0; i <= (keepers_group != NULL); i++)
        slots[i].state = SQ_SLOT_FREE;
    control->departures++;
}

/* What is set, not made: set it anew. */
static void set_anew(shmq_t *q)
{
    const struct shmq_policy policy = {0};
    int rc = shmq_policy_set(q, &policy);

    if (rc == 0)
        rc = shmq_resume(q);
    if (rc != 0)
        damage_give_up("policy_set, resume", rc);
}

static bool is_beyond_recovery(const struct damage *d)
{
    return d->hits[0].off == SQ_CONTROL_OFF + offsetof(struct sq_control_shm, notices);
}

/* All groups are emptied, removed and made anew. */
static void recover_topic(shmq_t *q)
{
    struct shmq_group_stats groups[2];
    shmq_t *g;

    int n = shmq_groups(q, groups, 2);
    for (int i = 0; i < n && i < 2; i++) {
        damage_begin();
        if (shmq_subscribe(q, groups[i].name, NULL, &g) == 0) { /* it has a name still */
            purge(g);
            shmq_close(g);
        }
        damage_begin();
        is_fine("unsubscribe", shmq_unsubscribe(q, groups[i].name), SHMQ_SEC(1));
    }
    damage_begin();
    int64_t rc = is_fine("subscribe", shmq_subscribe(q, "g", NULL, &g), SHMQ_SEC(1));
    if (rc < 0)
        damage_give_up("subscribe", rc);
    must_work(g);
    shmq_close(g);
}

/* --- one case ------------------------------------------------------------------- */

static void use(shmq_t *q)
{
    look(q);
    send_some(q);
    receive_some(q);
    look(q);
    change_some(q);
    fill(q);
    look(q);
}

static void use_topic(shmq_t *q)
{
    shmq_t *g = NULL;

    damage_begin();
    if (is_fine("subscribe", shmq_subscribe(q, "g", NULL, &g), SHMQ_SEC(1)) == 0)
        use(g);
    damage_begin();
    is_fine("part_begin", shmq_part_begin(q), SHMQ_SEC(1));
    shmq_close(g);
}

static void one_case(const struct damage *d)
{
    shmq_t *q;
    int rc = damage_open(d, &q);

    if (rc != 0)
        damage_give_up("open", rc);
    if ((target_flags & SHMQ_TOPIC) != 0) {
        use_topic(q);
        keepers_leave();
        if (!is_beyond_recovery(d))
            recover_topic(q);
    } else {
        use(q);
        if (!is_beyond_recovery(d)) {
            purge(q);
            shmq_ack_upto(q, UINT64_MAX);
            keepers_leave();
            purge(q);
            set_anew(q);
            must_work(q);
        }
    }
    shmq_close(q);
}

/* --- every word ------------------------------------------------------------------ */

/* Those that are something, and one more after each such run. */
static void add_used_words(uint64_t off, uint64_t bytes)
{
    bool before = true;

    for (uint64_t at = 0; at < bytes; at += 4) {
        uint32_t word;
        memcpy(&word, damage_target.image + off + at, 4);
        if (word != 0 || before)
            damage_add_words(off + at, 4);
        before = word != 0;
    }
}

static void list_words(void)
{
    const struct sq_header_shm *h = (const void *)damage_target.image;

    damage_add_words(h->control_off, sizeof(struct sq_control_shm));
    damage_add_words(h->producer_off, sizeof(struct sq_producer_shm));
    damage_add_words(h->groups_off, sizeof(struct sq_group_shm));
    add_used_words(h->pending_off, h->pending_bytes);
    add_used_words(h->keys_off, h->key_count * sizeof(struct sq_key_shm));
    add_used_words(h->ring_off, h->capacity_bytes);
}

static void create(int flags, uint32_t order)
{
    struct shmq_attr attr = helper_attr(4096);

    attr.order = order;
    attr.pending_count = 32;
    if ((flags & SHMQ_TOPIC) != 0)
        attr.max_groups = 2;
    snprintf(damage_target.name, sizeof(damage_target.name), "%s", helper_name("a"));
    target_flags = flags;
    keeper = helper_open(damage_target.name, SHMQ_CREATE | flags, &attr);
    keepers_group = NULL;
}

static void send(int number, int32_t priority, int64_t delay_ns)
{
    const struct shmq_header headers[] = {{"colour", "blue"}, {"shape", "round"}};
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char key[16];

    msg.key = key;
    msg.key_length = (size_t)snprintf(key, sizeof(key), "key-%d", number);
    msg.data = "some content";
    msg.length = 12;
    msg.type = 7;
    msg.priority = priority;
    msg.delay_ns = delay_ns;
    msg.ttl_ns = SHMQ_SEC(1000);
    msg.headers = headers;
    msg.header_count = 2;
    assert_int_equal(shmq_send(keeper, &msg, SHMQ_NOWAIT), 0);
}

/* One each that is leased, parked, returned, resting; delayed and waiting ones. */
static void make_states(shmq_t *q)
{
    for (int i = 1; i <= 4; i++)
        send(i, 10 - i, 0);
    send(5, 0, SHMQ_SEC(1000));
    for (int i = 1; i <= 4; i++) {
        struct shmq_msg msg = helper_receive(q);
        if (i == 2)
            assert_int_equal(shmq_reject(q, &msg, 3, NULL), 0);
        if (i == 3)
            assert_int_equal(shmq_nack(q, &msg, 0, 0), 0);
        if (i == 3) {
            msg = helper_receive(q);
            assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(1000), 0), 0);
        }
        if (i == 4)
            assert_int_equal(shmq_nack(q, &msg, 0, 0), 0);
    }
    send(6, 0, 0);
    assert_int_equal(shmq_update(keeper, 6, "updated content", 15, SHMQ_NOWAIT), 0);
    send(7, 0, 0);
}

static void every_word(void)
{
    struct helper_random random = helper_seed();

    damage_map();
    list_words();
    struct damage *cases = calloc((size_t)damage_target.word_count * VALUES, sizeof(*cases));
    unsigned n = 0;
    bool all = getenv("ALL") != NULL;
    for (unsigned word = 0; word < damage_target.word_count; word++)
        for (uint32_t v = 0; v < VALUES; v++) {
            uint32_t r = (uint32_t)helper_random(&random);
            /* Small ones look the most like good ones; the sign bit overflows. */
            const uint32_t small = r >> 31 != 0 ? r % 4096 : r % 65536;
            const uint32_t values[VALUES] = {0, UINT32_MAX, (uint32_t)1 << 31, small, r, r * 3};
            if (all || helper_random(&random) % 2 == 0)
                cases[n++] =
                    (struct damage){(r >> 16 ^ v) & 1, 1, {{damage_target.offs[word], values[v]}}};
        }
    damage_run(cases, n, one_case);
    free(cases);
    damage_unmap();
    if (keepers_group != NULL)
        assert_int_equal(shmq_close(keepers_group), 0);
    assert_int_equal(shmq_close(keeper), 0);
    assert_int_equal(shmq_unlink(damage_target.name), 0);
}

static void a_priority_queue(void **state)
{
    (void)state;
    create(0, SHMQ_PRIORITY);
    make_states(keeper);
    every_word();
}

static void a_unique_queue(void **state)
{
    (void)state;
    create(SHMQ_UNIQUE, SHMQ_FIFO);
    make_states(keeper);
    every_word();
}

static void a_topic(void **state)
{
    struct shmq_group_attr picky = SHMQ_GROUP_INIT;
    shmq_t *h;

    (void)state;
    create(SHMQ_TOPIC, SHMQ_FIFO);
    picky.filter_type = 7;
    picky.filter_key = "key-*";
    assert_int_equal(shmq_subscribe(keeper, "g", &picky, &keepers_group), 0);
    assert_int_equal(shmq_subscribe(keeper, "h", NULL, &h), 0);
    make_states(keepers_group);
    struct shmq_msg msg = helper_receive(h);
    assert_int_equal(shmq_ack(h, &msg), 0);
    assert_int_equal(shmq_close(h), 0);
    every_word();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(a_priority_queue),
        HELPER_TEST(a_unique_queue),
        HELPER_TEST(a_topic),
    };

    return helper_run(argc, argv, tests);
}
