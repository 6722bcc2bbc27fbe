/*
 * test_keep.c - a queue's own file: made of it, saved from time to time, and at the end.
 */
#include "helper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue.h"

static char folder[64], file[96], beside[128];
static char name[64];

static int setup(void **state)
{
    strcpy(folder, "/tmp/shmq-test-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(file, sizeof(file), "%s/queue", folder);
    snprintf(beside, sizeof(beside), "%s.tmp", file);
    snprintf(name, sizeof(name), "%s", helper_name("a"));
    return helper_setup(state);
}

static int teardown(void **state)
{
    unlink(file);
    int rc = rmdir(folder);

    if (rc != 0)
        print_error("left behind: something in %s\n", folder);
    return helper_teardown(state) != 0 ? -1 : rc;
}

#define KEEP_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static struct shmq_attr kept(void)
{
    struct shmq_attr attr = helper_attr(65536);

    attr.snapshot = file;
    return attr;
}

static struct shmq_file_stats stats_of(shmq_t *q)
{
    struct shmq_file_stats st = {.size = sizeof(st)};

    assert_int_equal(shmq_file_stats(q, &st), 0);
    return st;
}

/* As after a restart of the machine: the segment is gone. */
static void forget(shmq_t *q)
{
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(name), 0);
}

static void made_of_its_file(void **state)
{
    struct shmq_attr attr = kept(), of = SHMQ_ATTR_INIT;

    (void)state;
    attr.max_messages = 9;
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(access(file, F_OK), -1);
    helper_send(q, "one");
    helper_send(q, "two");
    assert_int_equal(stats_of(q).saved_ns, 0);
    assert_true(stats_of(q).lag_count > 0);
    assert_int_equal(shmq_save(q, NULL), 0);
    assert_true(stats_of(q).saved_ns > 0);
    assert_int_equal(stats_of(q).saved_id, 3);
    assert_int_equal(stats_of(q).lag_count, 0);
    assert_string_equal(stats_of(q).path, file);
    helper_send(q, "lost");
    /* Where a queue is, the file does not matter. */
    shmq_t *other = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(shmq_depth(other), 3);
    assert_int_equal(shmq_close(other), 0);
    forget(q);

    attr.max_messages = 5; /* the file's hold */
    q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(shmq_attr_of(q, &of), 0);
    assert_int_equal(of.max_messages, 9);
    assert_string_equal(of.snapshot, file);
    assert_true(helper_takes(q, "one"));
    assert_true(helper_takes(q, "two"));
    assert_true(helper_takes(q, NULL));
    assert_int_equal(helper_send(q, "next"), 3);
    assert_int_equal(access(beside, F_OK), -1);
    forget(q);
}

static void a_relative_path(void **state)
{
    struct shmq_attr attr = kept();
    char before[256];

    (void)state;
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(folder), 0);
    attr.snapshot = "queue";
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(shmq_save(q, NULL), 0);
    assert_int_equal(access(file, F_OK), 0);
    forget(q);
}

static void attributes_checked(void **state)
{
    struct shmq_attr attr = helper_attr(65536);
    shmq_t *q;

    (void)state;
    attr.save_at_end = 1;
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EINVAL);
    attr = kept();
    attr.save_at_end = 2;
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EINVAL);
    attr = kept();
    attr.save_ns = -1;
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EINVAL);
    attr = kept();
    attr.snapshot = "";
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EINVAL);
    attr.snapshot = "/nowhere/at/all";
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -ENOENT);
    assert_int_equal(shmq_open(&q, name, 0, NULL), -ENOENT); /* nothing was made */
}

/* Trouble with the file when the queue is made: nothing is made, nothing touched. */
static void a_file_that_is_none(void **state)
{
    struct shmq_attr attr = kept();
    struct stat st;
    shmq_t *q;

    (void)state;
    FILE *f = fopen(file, "w");
    fputs("dear diary", f);
    fclose(f);
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EPROTO);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 10);
    unlink(file);
    /* Another queue's. */
    shmq_t *other = helper_open(helper_name("b"), SHMQ_CREATE, NULL);
    assert_int_equal(shmq_save(other, file), 0);
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EPROTO);
    assert_true(helper_detail_names("another queue", file));
    assert_int_equal(shmq_close(other), 0);
    assert_int_equal(shmq_unlink(helper_name("b")), 0);
    /* Cut off. */
    unlink(file);
    q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(shmq_save(q, NULL), 0);
    forget(q);
    assert_int_equal(truncate(file, 4200), 0);
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EBADMSG);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 4200);
    assert_int_equal(access(beside, F_OK), -1);
}

static void saved_by_the_last(void **state)
{
    struct shmq_attr attr = kept();

    (void)state;
    attr.save_at_end = 1;
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr), *other = helper_open(name, 0, NULL);
    helper_send(q, "x");
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(shmq_close(other), 0);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(shmq_unlink(name), 0);
    q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(sq_load(&q->segment.control->saver.owner), 0);
    assert_true(helper_takes(q, "x"));
    /* Not of a queue that was removed. */
    unlink(file);
    assert_int_equal(shmq_unlink(name), 0);
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(access(file, F_OK), -1);
}

static int opens_and_closes(void *arg)
{
    shmq_t *q = helper_open(name, 0, NULL);

    (void)arg;
    helper_send(q, "y");
    return shmq_close(q);
}

/* Several that close at once: whoever is last has saved all. */
static void several_leave_at_once(void **state)
{
    enum { MANY = 6 };
    struct shmq_attr attr = kept();
    pid_t children[MANY];

    (void)state;
    attr.save_at_end = 1;
    for (int round = 0; round < 5; round++) {
        shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
        for (int i = 0; i < MANY; i++)
            children[i] = helper_fork(opens_and_closes, NULL);
        /* One of them, or we. */
        assert_int_equal(shmq_close(q), 0);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(helper_wait(children[i]), 0);
        assert_int_equal(shmq_unlink(name), 0);
    }
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(shmq_depth(q), 5 * MANY);
    forget(q);
}

static bool is_saved(void *arg)
{
    return stats_of(arg).saved_ns != 0 && stats_of(arg).lag_count == 0;
}

static void from_time_to_time(void **state)
{
    struct shmq_attr attr = kept();

    (void)state;
    attr.save_ns = SHMQ_MS(5);
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    helper_send(q, "x");
    assert_true(helper_await(is_saved, q));
    assert_int_equal(stats_of(q).saved_id, 2);
    assert_int_equal(stats_of(q).kept, 1);
    /* Nothing changes: nothing is written. */
    int64_t saved_ns = stats_of(q).saved_ns;
    helper_pass(SHMQ_MS(50));
    assert_int_equal(stats_of(q).saved_ns, saved_ns);
    assert_true(helper_takes(q, "x"));
    assert_true(helper_await(is_saved, q));
    forget(q);
    q = helper_open(name, SHMQ_CREATE, &attr);
    assert_true(helper_takes(q, NULL));
    assert_int_equal(helper_send(q, "y"), 2);
    forget(q);
}

static bool is_saved_once(void *arg)
{
    return stats_of(arg).saved_ns != 0;
}

static void after_so_many_changes(void **state)
{
    struct shmq_attr attr = kept();

    (void)state;
    attr.save_changes = 10;
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    for (int i = 0; i < 5; i++)
        helper_send(q, "x");
    helper_pass(SHMQ_MS(150));
    assert_int_equal(stats_of(q).saved_ns, 0);
    for (int i = 0; i < 5; i++)
        helper_send(q, "x");
    assert_true(helper_await(is_saved_once, q));
    assert_int_equal(stats_of(q).saved_id, 11);
    forget(q);
}

static int keeps_until_killed(void *arg)
{
    shmq_t *q = helper_open(name, 0, NULL);
    _Atomic int *there = arg;

    while (sq_load(&q->segment.file->keeper.owner) != q->attachment.owner)
        usleep(1000);
    atomic_store(there, 1);
    pause();
    return 0;
}

static bool is_set(void *flag)
{
    return atomic_load((_Atomic int *)flag) != 0;
}

/* Another takes over from the one that kept the file. */
static void the_keeper_dies(void **state)
{
    struct shmq_attr attr = kept();
    _Atomic int *there = helper_shared(sizeof(*there));

    (void)state;
    attr.save_ns = SHMQ_MS(20);
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    pid_t child = helper_fork(keeps_until_killed, there);
    assert_int_equal(shmq_close(q), 0); /* the child's turn */
    assert_true(helper_await(is_set, there));
    q = helper_open(name, 0, NULL);
    helper_kill(child);
    helper_send(q, "x");
    assert_true(helper_await(is_saved, q));
    assert_int_equal(sq_load(&q->segment.file->keeper.owner), q->attachment.owner);
    forget(q);
}

static bool is_failing(void *arg)
{
    return stats_of(arg).failed_ns != 0;
}

/* The folder is gone: the queue goes on in memory, and says so; when it is back, it saves. */
static void trouble_shows(void **state)
{
    struct shmq_attr attr = kept();
    char moved[96];

    (void)state;
    snprintf(moved, sizeof(moved), "%s.moved", folder);
    attr.save_ns = SHMQ_MS(5);
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(rename(folder, moved), 0);
    helper_send(q, "x");
    assert_true(helper_await(is_failing, q));
    assert_int_equal(stats_of(q).error, -ENOENT);
    assert_true(stats_of(q).lag_count > 0);
    assert_true(helper_takes(q, "x"));
    assert_int_equal(rename(moved, folder), 0);
    helper_send(q, "y");
    assert_true(helper_await(is_saved, q));
    assert_int_equal(stats_of(q).failed_ns, 0);
    forget(q);
}

static int restores(void *arg)
{
    struct shmq_attr attr = kept();
    _Atomic int *go = arg;

    while (atomic_load(go) == 0)
        ;
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    char buffer[8];
    int rc = (int)shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT);
    shmq_close(q);
    return rc == 1 ? 0 : 1;
}

/* Who opens at once restores once: each message is there for one of them. */
static void restored_once(void **state)
{
    enum { MANY = 6, ROUNDS = 10 };
    struct shmq_attr attr = kept();
    _Atomic int *go = helper_shared(sizeof(*go));
    pid_t children[MANY];

    (void)state;
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    for (int i = 0; i < MANY; i++)
        helper_send(q, "z");
    assert_int_equal(shmq_save(q, NULL), 0);
    forget(q);
    for (int round = 0; round < ROUNDS; round++) {
        atomic_store(go, 0);
        for (int i = 0; i < MANY; i++)
            children[i] = helper_fork(restores, go);
        atomic_store(go, 1);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(helper_wait(children[i]), 0);
        q = helper_open(name, 0, NULL);
        assert_true(helper_takes(q, NULL));
        forget(q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEEP_TEST(made_of_its_file),    KEEP_TEST(a_relative_path),
        KEEP_TEST(attributes_checked),  KEEP_TEST(a_file_that_is_none),
        KEEP_TEST(saved_by_the_last),   KEEP_TEST(several_leave_at_once),
        KEEP_TEST(from_time_to_time),   KEEP_TEST(after_so_many_changes),
        KEEP_TEST(the_keeper_dies),     KEEP_TEST(trouble_shows),
        KEEP_TEST(restored_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
