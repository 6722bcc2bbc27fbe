/*
 * test_journal.c - what a call has said is in the file, whoever is killed.
 */
#include "support/folder.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "handle/handle.h"

static const char *const file = folder_file, *const name = folder_queue;

static shmq_t *open_journal(unsigned journal, int flags)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    attr.snapshot = file;
    attr.journal = journal;
    return helper_open(name, SHMQ_CREATE | flags, &attr);
}

/* The queue is gone, as after a crash of the machine; made anew from its file. */
static shmq_t *revive(unsigned journal)
{
    assert_int_equal(shmq_unlink(name), 0);
    return open_journal(journal, SHMQ_EXCL);
}

static void put_number(shmq_t *q, unsigned n)
{
    assert_int_equal(shmq_put(q, &n, sizeof(n), HELPER_LATE_NS), 0);
}

static void expect_number(shmq_t *q, unsigned n)
{
    unsigned got = 0;

    assert_int_equal(shmq_get(q, &got, sizeof(got), NULL, SHMQ_NOWAIT), sizeof(got));
    assert_int_equal(got, n);
}

static void expect_empty(shmq_t *q)
{
    unsigned got;

    assert_int_equal(shmq_get(q, &got, sizeof(got), NULL, SHMQ_NOWAIT), -EAGAIN);
}

/* --- put, get, acknowledged --------------------------------------------------- */

struct deed {
    unsigned journal;
    _Atomic unsigned put, got, acked;
};

/* Put, get and acknowledge without end: three are put, one is taken, one acknowledged. */
static int work(void *arg)
{
    struct deed *d = arg;
    shmq_t *q = open_journal(d->journal, 0);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    for (unsigned n = 1; n < 2000; n++) {
        put_number(q, n);
        atomic_store(&d->put, n);
        if (n % 3 == 0) {
            unsigned got;
            if (shmq_get(q, &got, sizeof(got), NULL, HELPER_LATE_NS) != sizeof(got))
                return 1;
            atomic_store(&d->got, got);
        } else if (n % 3 == 1) {
            if (shmq_receive(q, &msg, HELPER_LATE_NS) != 0 || shmq_ack(q, &msg) != 0)
                return 2;
            atomic_fetch_add(&d->acked, 1);
        }
    }
    pause();
    return 0;
}

static bool has_put(void *arg)
{
    return atomic_load(&((struct deed *)arg)->put) >= 500;
}

static void kill_all(unsigned journal)
{
    struct deed *d = helper_shared(sizeof(*d));
    unsigned got = 0, first = 0, last = 0;

    d->journal = journal;
    pid_t child = helper_fork(work, d);
    assert_true(helper_await(has_put, d));
    helper_kill(child);
    shmq_t *q = revive(journal);
    /* All that was put, in order, once; but for what was taken, which comes no more. */
    while (shmq_get(q, &got, sizeof(got), NULL, SHMQ_NOWAIT) == sizeof(got)) {
        if (first == 0)
            first = got;
        else
            assert_int_equal(got, last + 1);
        last = got;
    }
    unsigned put = atomic_load(&d->put), acked = atomic_load(&d->acked);
    unsigned done = put / 3 + acked; /* within one of each that were under way */
    assert_in_range(last, put, put + 1);
    assert_cmp(first, >, atomic_load(&d->got));
    assert_in_range(first, done, done + 3);
    helper_finish(q);
}

static void test_kill_os(void **state)
{
    (void)state;
    kill_all(SHMQ_JOURNAL_OS);
}

static void test_kill_always(void **state)
{
    (void)state;
    kill_all(SHMQ_JOURNAL_ALWAYS);
}

/* Returned, delayed, rejected, leased: each is so again. */
static void test_states(void **state)
{
    (void)state;
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);
    struct shmq_msg msgs[5];

    for (int i = 0; i < 5; i++) {
        char text[16];
        snprintf(text, sizeof(text), "m%d", i);
        helper_send(q, text);
    }
    for (int i = 0; i < 5; i++)
        msgs[i] = helper_receive(q);
    assert_int_equal(shmq_ack(q, &msgs[2]), 0);
    assert_int_equal(shmq_nack(q, &msgs[0], SHMQ_SEC(1000), 0), 0);
    assert_int_equal(shmq_reject(q, &msgs[1], SHMQ_REASON_VALIDATION, NULL), 0);
    assert_int_equal(shmq_nack(q, &msgs[3], 0, 0), 0);
    assert_int_equal(shmq_close(q), 0);
    q = revive(SHMQ_JOURNAL_OS);
    struct shmq_group_stats stats = helper_group(q);
    assert_int_equal(stats.delayed, 1);
    assert_int_equal(stats.dead, 1);
    assert_int_equal(stats.waiting, 2);
    assert_true(helper_takes(q, "m3"));
    assert_true(helper_takes(q, "m4"));
    assert_true(helper_takes(q, NULL));
    helper_finish(q);
}

/* Several put, also many at once: each batch whole. */
static void test_many(void **state)
{
    (void)state;
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);
    struct shmq_buf bufs[32];
    struct shmq_info infos[16];
    unsigned numbers[32], space[64];

    for (unsigned i = 0; i < 32; i++) {
        numbers[i] = i;
        bufs[i] = (struct shmq_buf){&numbers[i], sizeof(numbers[i])};
    }
    assert_int_equal(shmq_put_many(q, bufs, 32, SHMQ_NOWAIT), 32);
    assert_int_equal(helper_file_stats(q).write_count, 1);
    assert_int_equal(shmq_get_many(q, space, sizeof(space), infos, 16, 0, 0), 16);
    assert_int_equal(helper_file_stats(q).write_count, 2);
    assert_int_equal(shmq_close(q), 0);
    q = revive(SHMQ_JOURNAL_OS);
    for (unsigned i = 16; i < 32; i++)
        expect_number(q, i);
    expect_empty(q);
    helper_finish(q);
}

/* --- two who append, and one who is killed ------------------------------------- */

struct pair {
    _Atomic unsigned put[2];
    _Atomic unsigned turn, wanted;
    _Atomic unsigned allowed; /* as many each: not more than the ring holds */
};

static int put_own(void *arg)
{
    struct pair *p = arg;
    unsigned self = atomic_fetch_add(&p->turn, 1);
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);

    for (unsigned n = 1; n < 30000; n++) {
        while (n > atomic_load(&p->allowed))
            helper_pass(SHMQ_MS(1));
        put_number(q, self << 16 | n);
        atomic_store(&p->put[self], n);
    }
    pause();
    return 0;
}

static bool both_put(void *arg)
{
    struct pair *p = arg;

    return atomic_load(&p->put[0]) >= 100 && atomic_load(&p->put[1]) >= 100;
}

static bool other_goes_on(void *arg)
{
    struct pair *p = arg;

    return atomic_load(&p->put[0]) + atomic_load(&p->put[1]) >= atomic_load(&p->wanted);
}

static void test_two(void **state)
{
    (void)state;
    struct pair *p = helper_shared(sizeof(*p));
    unsigned got, last[2] = {0, 0};

    atomic_store(&p->allowed, 5000);
    pid_t one = helper_fork(put_own, p), two = helper_fork(put_own, p);
    assert_true(helper_await(both_put, p));
    helper_kill(one);
    atomic_store(&p->wanted, atomic_load(&p->put[0]) + atomic_load(&p->put[1]) + 300);
    atomic_store(&p->allowed, 10000);
    assert_true(helper_await(other_goes_on, p));
    helper_kill(two);
    shmq_t *q = revive(SHMQ_JOURNAL_OS);
    while (shmq_get(q, &got, sizeof(got), NULL, SHMQ_NOWAIT) == sizeof(got)) {
        assert_cmp(got >> 16, <, 2);
        assert_int_equal(got & 0xffff, last[got >> 16] + 1);
        last[got >> 16]++;
    }
    for (int i = 0; i < 2; i++)
        assert_cmp(last[i] - atomic_load(&p->put[i]), <=, 1);
    helper_finish(q);
}

/* --- no room ------------------------------------------------------------------- */

static int without_room(void *arg)
{
    struct rlimit limit;
    unsigned n = 0, got;

    (void)arg;
    signal(SIGXFSZ, SIG_IGN);
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);
    put_number(q, n++);
    put_number(q, n++);
    struct shmq_file_stats before = helper_file_stats(q);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = before.file_bytes + 100;
    setrlimit(RLIMIT_FSIZE, &limit);
    unsigned put = n;
    int rc;
    while ((rc = shmq_put(q, &put, sizeof(put), SHMQ_NOWAIT)) == 0 && put < 10)
        put++;
    if (rc != -EFBIG || helper_file_stats(q).error != EFBIG || shmq_depth(q) != put)
        return 1;
    for (unsigned i = 0; i < put - 1; i++)
        if (shmq_get(q, &got, sizeof(got), NULL, SHMQ_NOWAIT) != sizeof(got) || got != i)
            return 2;
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    n = 77;
    if (shmq_put(q, &n, sizeof(n), SHMQ_NOWAIT) != 0)
        return 3;
    if (shmq_get(q, &got, sizeof(got), NULL, SHMQ_NOWAIT) != sizeof(got) || got != put - 1)
        return 4;
    /* That gets could not be written is told until the file was rewritten. */
    struct shmq_file_stats after = helper_file_stats(q);
    if (after.error != EFBIG && after.generation == before.generation)
        return 5;
    shmq_close(q);
    return 0;
}

static void test_no_room(void **state)
{
    (void)state;
    assert_int_equal(helper_wait(helper_fork(without_room, NULL)), 0);
    shmq_t *q = revive(SHMQ_JOURNAL_OS);
    expect_number(q, 77);
    expect_empty(q);
    helper_finish(q);
}

/* --- shared syncs ---------------------------------------------------------------- */

enum { PRODUCERS = 8, EACH = 100 };

static int put_always(void *arg)
{
    (void)arg;
    shmq_t *q = open_journal(SHMQ_JOURNAL_ALWAYS, 0);
    for (unsigned n = 0; n < EACH; n++)
        put_number(q, n);
    shmq_close(q);
    return 0;
}

static void test_shared_sync(void **state)
{
    (void)state;
    shmq_t *q = open_journal(SHMQ_JOURNAL_ALWAYS, 0);

    helper_at_once(PRODUCERS, put_always, NULL);
    struct shmq_file_stats stats = helper_file_stats(q);
    assert_int_equal(stats.write_count, PRODUCERS * EACH);
    assert_cmp(stats.sync_count, >=, EACH);
    assert_cmp(stats.sync_count, <, PRODUCERS * EACH);
    assert_int_equal(stats.synced_bytes, stats.file_bytes);
    print_message("%llu messages, %llu syncs\n", (unsigned long long)stats.write_count,
                  (unsigned long long)stats.sync_count);
    helper_finish(q);
}

/* Who puts alone waits for one sync a put, and no more. */
static void test_own_sync(void **state)
{
    (void)state;
    shmq_t *q = open_journal(SHMQ_JOURNAL_ALWAYS, 0);

    for (unsigned n = 0; n < EACH; n++)
        put_number(q, n);
    assert_int_equal(helper_file_stats(q).sync_count, EACH);
    helper_finish(q);
}

static void test_sync(void **state)
{
    (void)state;
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);

    put_number(q, 1);
    assert_cmp(helper_file_stats(q).synced_bytes, <, helper_file_stats(q).file_bytes);
    assert_int_equal(shmq_sync(q, 1, HELPER_LATE_NS), 0);
    assert_int_equal(helper_file_stats(q).synced_bytes, helper_file_stats(q).file_bytes);
    assert_int_equal(shmq_sync(q, 2, HELPER_LATE_NS), -EINVAL);
    helper_finish(q);
}

/* --- rewritten ------------------------------------------------------------------- */

static void test_rewritten(void **state)
{
    (void)state;
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);
    struct shmq_msg msg;

    for (unsigned n = 0; n < 100; n++)
        put_number(q, n);
    msg = helper_receive(q);
    for (unsigned n = 1; n < 90; n++)
        expect_number(q, n);
    uint64_t before = helper_file_stats(q).file_bytes;
    assert_int_equal(shmq_save(q, NULL), 0);
    assert_cmp(helper_file_stats(q).file_bytes, <, before);
    put_number(q, 100);
    assert_int_equal(shmq_ack(q, &msg), 0);
    assert_int_equal(shmq_close(q), 0);
    q = revive(SHMQ_JOURNAL_OS);
    for (unsigned n = 90; n <= 100; n++)
        expect_number(q, n);
    expect_empty(q);
    helper_finish(q);
}

/* Puts, as long as that can be. */
struct putting {
    shmq_t *q;
    unsigned last;
};

/* After its file was removed; once more, if it was healed before this put. */
static bool is_refused(void *arg)
{
    struct putting *p = arg;
    unsigned n = p->last + 1;

    unlink(file);
    int rc = shmq_put(p->q, &n, sizeof(n), SHMQ_NOWAIT);

    p->last += rc == 0;
    return rc == -ENOENT;
}

/* The file is removed: soon an error, and the queue goes on; and it can be written anew, with
 * what was put meanwhile. */
static void test_removed(void **state)
{
    (void)state;
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);
    struct putting p = {q, 1};

    put_number(q, 1);
    assert_true(helper_await(is_refused, &p));
    assert_true(helper_file_stats(q).error == ENOENT || helper_file_stats(q).generation > 1);
    assert_int_equal(shmq_save(q, NULL), 0);
    put_number(q, p.last + 1);
    assert_int_equal(shmq_close(q), 0);
    q = revive(SHMQ_JOURNAL_OS);
    for (unsigned n = 1; n <= p.last + 1; n++)
        expect_number(q, n);
    expect_empty(q);
    helper_finish(q);
}

/* Groups made, moved, paused and removed; a message updated, another removed. */
static void test_groups(void **state)
{
    (void)state;
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, SHMQ_TOPIC), *a, *b;
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;

    assert_int_equal(shmq_subscribe(q, "a", &attr, &a), 0);
    assert_int_equal(shmq_subscribe(q, "b", &attr, &b), 0);
    helper_send(q, "one");
    uint64_t two = helper_send(q, "two"), three = helper_send(q, "three");
    helper_send(q, "four");
    assert_true(helper_takes(a, "one"));
    assert_int_equal(shmq_update(q, two, "2", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_remove(q, three), 0);
    assert_int_equal(shmq_pause(a), 0);
    assert_int_equal(shmq_unsubscribe(q, "b"), 0);
    assert_int_equal(shmq_close(b), 0);
    assert_int_equal(shmq_close(a), 0);
    assert_int_equal(shmq_close(q), 0);
    q = revive(SHMQ_JOURNAL_OS);
    assert_int_equal(shmq_groups(q, NULL, 0), 1);
    assert_int_equal(shmq_subscribe(q, "a", NULL, &a), 0);
    assert_int_equal(helper_group(a).paused, 1);
    assert_int_equal(shmq_resume(a), 0);
    assert_true(helper_takes(a, "2"));
    assert_true(helper_takes(a, "four"));
    assert_true(helper_takes(a, NULL));
    assert_int_equal(shmq_close(a), 0);
    helper_finish(q);
}

/* Who is a member of a removed group still, and has a message of it, writes nothing more of
 * that: the file would have entries of a group that it has not. */
static void test_removed_group(void **state)
{
    (void)state;
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, SHMQ_TOPIC), *g;
    struct shmq_msg msgs[2] = {SHMQ_MSG_INIT, SHMQ_MSG_INIT};
    char buffer[16];

    assert_int_equal(shmq_subscribe(q, "a", NULL, &g), 0);
    helper_send(q, "one");
    msgs[0] = helper_receive(g);
    assert_int_equal(shmq_unsubscribe(q, "a"), 0);
    uint64_t written = helper_file_stats(q).write_count;
    assert_int_equal(shmq_get(g, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT), -ESTALE);
    assert_int_equal(shmq_receive(g, &msgs[1], SHMQ_NOWAIT), -ESTALE);
    assert_int_equal(shmq_ack_many(g, msgs, 1), -ESTALE);
    assert_int_equal(shmq_ack_upto(g, 1), -ESTALE);
    assert_int_equal(helper_file_stats(q).write_count, written);
    assert_int_equal(shmq_close(g), 0);
    assert_int_equal(shmq_close(q), 0);
    q = revive(SHMQ_JOURNAL_OS);
    assert_int_equal(shmq_groups(q, NULL, 0), 0);
    helper_finish(q);
}

struct inherited {
    shmq_t *q, *g;
    _Atomic bool alone; /* the parent has closed its own */
};

static bool is_alone(void *arg)
{
    return atomic_load(&((struct inherited *)arg)->alone);
}

static int remove_grown(void *arg)
{
    static char big[(1 << 20) + (1 << 18)];
    struct inherited *i = arg;

    if (!helper_await(is_alone, i) || shmq_put(i->q, big, sizeof(big), SHMQ_SEC(10)) != 0 ||
        shmq_get(i->g, big, sizeof(big), NULL, SHMQ_NOWAIT) != (ssize_t)sizeof(big))
        return 1;
    uint64_t generation = helper_file_stats(i->q).generation;
    sq_store(&i->q->segment.file->journal.look_off, 0);
    if (shmq_unsubscribe(i->q, "a") != 0)
        return 2;
    return helper_file_stats(i->q).error != 0                 ? 3
           : helper_file_stats(i->q).generation == generation ? 4
                                                              : 0;
}

/* Who removes a group, and finds that the file has grown, rewrites it where there is no
 * thread for that.  The rewriting keeps groups from being removed: that must be over. */
static void test_removed_grown(void **state)
{
    struct inherited *i = helper_shared(sizeof(*i));
    struct shmq_attr attr = helper_attr(4 << 20);

    (void)state;
    attr.snapshot = file;
    attr.journal = SHMQ_JOURNAL_OS;
    i->q = helper_open(name, SHMQ_CREATE | SHMQ_TOPIC, &attr);
    assert_int_equal(shmq_subscribe(i->q, "a", NULL, &i->g), 0);
    pid_t child = helper_fork(remove_grown, i);
    assert_int_equal(shmq_close(i->g), 0);
    assert_int_equal(shmq_close(i->q), 0);
    atomic_store(&i->alone, true);
    assert_int_equal(helper_wait(child), 0);
    shmq_t *q = revive(SHMQ_JOURNAL_OS);
    assert_int_equal(shmq_groups(q, NULL, 0), 0);
    helper_finish(q);
    munmap(i, sizeof(*i));
}

/* A group that was made is on the disk when that returns. */
static void test_group_synced(void **state)
{
    (void)state;
    shmq_t *q = open_journal(SHMQ_JOURNAL_ALWAYS, SHMQ_TOPIC), *g;
    uint64_t before = helper_file_stats(q).file_bytes;

    assert_int_equal(shmq_subscribe(q, "a", NULL, &g), 0);
    assert_cmp(helper_file_stats(q).file_bytes, >, before);
    assert_int_equal(helper_file_stats(q).synced_bytes, helper_file_stats(q).file_bytes);
    assert_int_equal(shmq_close(g), 0);
    helper_finish(q);
}

/* What was dropped for want of room does not come back, and what is left fits. */
static void test_drop(void **state)
{
    (void)state;
    struct shmq_attr attr = helper_attr(4096);
    unsigned got, n;

    attr.full = SHMQ_FULL_DROP;
    attr.snapshot = file;
    attr.journal = SHMQ_JOURNAL_OS;
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    for (n = 0; n < 1000; n++)
        put_number(q, n);
    int64_t depth = shmq_depth(q);
    assert_int_equal(shmq_close(q), 0);
    q = revive(SHMQ_JOURNAL_OS);
    assert_int_equal(shmq_depth(q), depth);
    while (shmq_get(q, &got, sizeof(got), NULL, SHMQ_NOWAIT) == sizeof(got))
        assert_int_equal(got, 1000 - depth--);
    assert_int_equal(depth, 0);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(test_kill_os),       FOLDER_TEST(test_kill_always),
        FOLDER_TEST(test_states),        FOLDER_TEST(test_many),
        FOLDER_TEST(test_two),           FOLDER_TEST(test_no_room),
        FOLDER_TEST(test_shared_sync),   FOLDER_TEST(test_sync),
        FOLDER_TEST(test_rewritten),     FOLDER_TEST(test_own_sync),
        FOLDER_TEST(test_removed),       FOLDER_TEST(test_groups),
        FOLDER_TEST(test_removed_group), FOLDER_TEST(test_drop),
        FOLDER_TEST(test_group_synced),  FOLDER_TEST(test_removed_grown),
    };

    return helper_run(argc, argv, tests);
}
