/*
 * test_damage.c - a segment that somebody has written into.
 *
 * Each 4-byte word of every part is overwritten in turn, with 0, with all ones, the
 * sign bit and random values, before a handle is opened and under one that is open; then
 * all calls are made.  Each must return, in its time, a result or an error that
 * is documented; after shmq_purge() the queue must work again, unless what was
 * hit is a lock (nobody can tell whether it is held) or the mark that the name
 * is gone.  A child makes the calls, so that a crash or a hang is seen.
 */
#include "support/damage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout.h"

enum { VALUES = 6, ROUNDS = 400 };
#define SHORT_NS   SHMQ_MS(20)
#define SHORTER_NS ((int64_t)300000)

static size_t mode_off; /* of the group */

/* --- the calls ---------------------------------------------------------------- */

/* Check the result of a call, since damage_begin(), and return it. */
static int64_t is_fine(const char *call, int64_t rc, int64_t most_ns)
{
    static const int documented[] = {EAGAIN, ETIMEDOUT, EMSGSIZE, EBADMSG, ESTALE, 0};

    return damage_is_fine(call, rc, most_ns, documented);
}

static void look(shmq_t *q)
{
    struct shmq_stats stats = {.size = sizeof(stats)};
    struct shmq_process list[4];
    struct shmq_info info;
    char *buffer = malloc(64);
    uint64_t place = 0;
    int64_t rc = 0;

    damage_begin();
    is_fine("stats", shmq_stats(q, &stats), 0);
    is_fine("attached", shmq_attached(q, list, 4), 0);
    is_fine("depth", shmq_depth(q), 0);
    is_fine("peek", shmq_peek(q, buffer, 64, &info), 0);
    for (int i = 0; i < 20 && rc >= 0; i++)
        rc = is_fine("browse", shmq_browse(q, &place, buffer, 64, &info), 0);
    free(buffer);
}

static void put_some(shmq_t *q)
{
    struct shmq_buf batch[] = {{"one", 3}, {"and two", 7}};
    void *data;

    damage_begin();
    is_fine("put", shmq_put(q, "hello", 5, SHORT_NS), SHORT_NS);
    damage_begin();
    is_fine("put at once", shmq_put(q, "hello", 5, SHMQ_NOWAIT), SHMQ_MS(10));
    damage_begin();
    is_fine("put_many", shmq_put_many(q, batch, 2, SHORT_NS), SHORT_NS);
    damage_begin();
    if (is_fine("reserve", shmq_reserve(q, 50, &data, SHORT_NS), SHORT_NS) == 0) {
        memset(data, 'x', 50);
        is_fine("commit", shmq_commit(q, 20), 0);
    }
    damage_begin();
    if (is_fine("reserve", shmq_reserve(q, 50, &data, SHORT_NS), SHORT_NS) == 0)
        is_fine("abort", shmq_abort(q), 0);
}

static void get_some(shmq_t *q)
{
    struct shmq_info infos[3];
    char *buffer = malloc(64);
    int64_t rc = 0;

    damage_begin();
    is_fine("get", shmq_get(q, buffer, 64, infos, SHORT_NS), SHORT_NS);
    damage_begin();
    is_fine("get_many", shmq_get_many(q, buffer, 64, infos, 3, SHORTER_NS, SHORT_NS), SHORT_NS);
    damage_begin();
    for (int i = 0; i < 200 && rc >= 0; i++)
        rc = is_fine("get at once", shmq_get(q, buffer, 64, infos, SHMQ_NOWAIT), SHMQ_MS(10));
    damage_begin();
    is_fine("get of nothing", shmq_get(q, buffer, 64, infos, SHORTER_NS), SHORTER_NS);
    free(buffer);
}

static void fill(shmq_t *q)
{
    int64_t rc = 0;

    damage_begin();
    for (int i = 0; i < 200 && rc >= 0; i++)
        rc = is_fine("put at once", shmq_put(q, "fill", 4, SHMQ_NOWAIT), SHMQ_MS(10));
    damage_begin();
    is_fine("put of too much", shmq_put(q, "fill", 4, SHORTER_NS), SHORTER_NS);
}

/* --- the way out ---------------------------------------------------------------- */

static bool within(uint32_t off, size_t start, size_t bytes)
{
    return off >= start && off - start < bytes;
}

static bool can_recover(const struct damage *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        uint32_t off = d->hits[i].off;
        if (within(off, SQ_CONTROL_OFF + offsetof(struct sq_control_shm, notices), 4))
            return false;
        /* That a group is paused can be no damage as far as anybody can tell. */
        if (within(off, mode_off, 4) && (d->hits[i].value & ~(uint32_t)SQ_GROUP_HOLDS) != 0 &&
            (d->hits[i].value &
             ~(uint32_t)(SQ_GROUP_PAUSED | SQ_GROUP_DONE_AWAITED | SQ_GROUP_HOLDS)) == 0)
            return false;
    }
    return true;
}

static void must_work(shmq_t *q)
{
    char buffer[8];

    for (int i = 0; i < 3; i++) {
        struct shmq_info info;
        int put = shmq_put(q, "again", 5, SHORT_NS);
        ssize_t got = shmq_get(q, buffer, 8, &info, SHORT_NS);
        if (put == 0 && got == 5 && memcmp(buffer, "again", 5) == 0)
            continue;
        damage_give_up("after purge: put or get", put != 0 ? put : got);
    }
}

static void purge(shmq_t *q, const struct damage *d)
{
    damage_begin();
    int64_t rc = is_fine("purge", shmq_purge(q), SHMQ_SEC(1));
    if (!can_recover(d))
        return;
    if (rc < 0)
        damage_give_up("purge", rc);
    must_work(q);
}

/* --- one case ------------------------------------------------------------------- */

static void one_case(const struct damage *d)
{
    shmq_t *q;
    int rc = damage_open(d, &q);

    if (rc == -EPROTO || (rc == -EBADMSG && !d->live))
        return;
    if (rc != 0)
        damage_give_up("open", rc);
    look(q);
    put_some(q);
    look(q);
    get_some(q);
    fill(q);
    look(q);
    purge(q, d);
    shmq_close(q);
}

/* --- many cases ------------------------------------------------------------------ */

static void list_words(void)
{
    const struct sq_header_shm *h = (const void *)damage_target.image;

    mode_off = h->groups_off + offsetof(struct sq_group_shm, mode);
    damage_add_words(0, sizeof(*h));
    damage_add_words(h->control_off, sizeof(struct sq_control_shm));
    damage_add_words(h->producer_off, sizeof(struct sq_producer_shm));
    damage_add_words(h->slots_off, 4 * h->slot_bytes);
    damage_add_words(h->slots_off + (h->slot_count - 1) * h->slot_bytes, h->slot_bytes);
    damage_add_words(h->groups_off, sizeof(struct sq_group_shm));
    damage_add_words(h->ring_off + 4096 - 32, 32); /* the messages lie across the end */
    damage_add_words(h->ring_off, 96);
}

static void make_target(void)
{
    struct shmq_attr attr = helper_attr(4096);
    shmq_t *q = helper_create(&attr);
    snprintf(damage_target.name, sizeof(damage_target.name), "%s", helper_name("a"));
    for (int i = 0; i < 127; i++)
        assert_int_equal(shmq_put(q, "12345678", 8, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_purge(q), 127);
    for (int i = 0; i < 4; i++)
        assert_int_equal(shmq_put(q, "waiting", 7, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_close(q), 0);
    damage_map();
    list_words();
}

static void unmake_target(void)
{
    damage_unmap();
    assert_int_equal(shmq_unlink(damage_target.name), 0);
}

static void every_word(bool live)
{
    struct helper_random random = helper_seed();

    make_target();
    struct damage *cases = calloc((size_t)damage_target.word_count * VALUES, sizeof(*cases));
    unsigned n = 0;
    for (unsigned word = 0; word < damage_target.word_count; word++)
        for (int v = 0; v < VALUES; v++) {
            uint32_t r = (uint32_t)helper_random(&random);
            /* Small ones look the most like good ones; the sign bit overflows. */
            const uint32_t values[VALUES] = {0, UINT32_MAX, (uint32_t)1 << 31, r % 4096, r, r * 3};
            cases[n].live = live;
            cases[n].count = 1;
            cases[n].hits[0].off = damage_target.offs[word];
            cases[n++].hits[0].value = values[v];
        }
    damage_run(cases, n, one_case);
    free(cases);
    unmake_target();
}

static void every_word_before_attaching(void **state)
{
    (void)state;
    every_word(false);
}

static void every_word_under_a_handle(void **state)
{
    (void)state;
    every_word(true);
}

static void several_words(void **state)
{
    struct helper_random random = helper_seed();
    struct damage *cases = calloc(ROUNDS, sizeof(*cases));

    (void)state;
    make_target();
    for (int i = 0; i < ROUNDS; i++) {
        cases[i].live = true;
        cases[i].count = (unsigned)(helper_random(&random) % DAMAGE_HITS_MAX) + 1;
        for (unsigned hit = 0; hit < cases[i].count; hit++) {
            uint64_t r = helper_random(&random);
            cases[i].hits[hit].off = damage_target.offs[r % damage_target.word_count];
            r = helper_random(&random);
            cases[i].hits[hit].value = (uint32_t)(r >> (r % 64));
        }
    }
    damage_run(cases, ROUNDS, one_case);
    free(cases);
    unmake_target();
}

/* Who purges enters the producer's side as well, and does not stay there. */
static void purging_claims_nothing(void **state)
{
    shmq_t *sole;

    (void)state;
    make_target();
    const struct sq_header_shm *h = (const void *)damage_target.image;
    struct sq_record_shm *third = (void *)(damage_target.object + h->ring_off + 32);
    shmq_t *q = helper_open(damage_target.name, 0, NULL);
    third->length = 100000;
    assert_cmp(shmq_purge(q), >, 0);
    assert_int_equal(shmq_open(&sole, damage_target.name, SHMQ_SOLE_PRODUCER, NULL), 0);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), -EBUSY);
    assert_int_equal(shmq_put(sole, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_close(sole), 0);
    assert_int_equal(shmq_close(q), 0);
    unmake_target();
}

/* The messages before the damage can be seen, and the rest is purged. */
static void what_is_left_can_be_read(void **state)
{
    struct shmq_info info;
    uint64_t place = 0;
    char buffer[64];

    (void)state;
    make_target();
    const struct sq_header_shm *h = (const void *)damage_target.image;
    struct sq_record_shm *third = (void *)(damage_target.object + h->ring_off + 32);
    shmq_t *q = helper_open(damage_target.name, 0, NULL);
    assert_int_equal(third->id, 130);
    third->length = 100000;
    assert_int_equal(shmq_browse(q, &place, buffer, 64, &info), 7);
    assert_int_equal(shmq_browse(q, &place, buffer, 64, &info), 7);
    assert_int_equal(shmq_browse(q, &place, buffer, 64, &info), -EBADMSG);
    assert_int_equal(shmq_get(q, buffer, 64, &info, SHMQ_NOWAIT), 7);
    assert_int_equal(shmq_get(q, buffer, 64, &info, SHMQ_NOWAIT), 7);
    for (int i = 0; i < 3; i++)
        assert_int_equal(shmq_get(q, buffer, 64, &info, SHMQ_FOREVER), -EBADMSG);
    assert_int_equal(shmq_peek(q, buffer, 64, &info), -EBADMSG);
    assert_int_equal(shmq_depth(q), 2);
    assert_int_equal(shmq_put(q, "behind", 6, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_purge(q), 3);
    assert_int_equal(shmq_put(q, "again", 5, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(q, buffer, 64, &info, SHMQ_FOREVER), 5);
    assert_int_equal(info.id, 133);
    assert_int_equal(shmq_close(q), 0);
    unmake_target();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(every_word_before_attaching),
        HELPER_TEST(every_word_under_a_handle),
        HELPER_TEST(several_words),
        HELPER_TEST(what_is_left_can_be_read),
        HELPER_TEST(purging_claims_nothing),
    };

    return helper_run(argc, argv, tests);
}
