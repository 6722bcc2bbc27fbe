/*
 * test_restore.c - queues that are opened with a file: made of it, saved now and then and
 * at the end, beside others who open them at once.
 */
#include "support/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handle/handle.h"

static const char *const file = folder_file, *const name = folder_queue;

static struct shmq_attr file_attr(void)
{
    struct shmq_attr attr = helper_attr(1 << 16);

    attr.snapshot = file;
    return attr;
}

static shmq_t *open_kept(const struct shmq_attr *attr)
{
    return helper_open(name, SHMQ_CREATE, attr);
}

/* As when the machine goes down: the memory is gone, the file is there. */
static void go_down(shmq_t *q)
{
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(name), 0);
}

/* --- one process ------------------------------------------------------------------- */

static void kept(void **state)
{
    struct shmq_attr attr = file_attr(), said = SHMQ_ATTR_INIT;
    struct shmq_msg msg;

    (void)state;
    attr.max_messages = 77;
    shmq_t *q = open_kept(&attr);
    assert_int_equal(access(file, F_OK), 0); /* at once, so that trouble is known */
    assert_int_equal(shmq_attr_of(q, &said), 0);
    assert_string_equal(said.snapshot, file);
    helper_send(q, "one");
    helper_send(q, "two");
    assert_true(helper_takes(q, "one"));
    assert_int_equal(helper_file_stats(q).lag, 2);
    assert_int_equal(helper_file_stats(q).stale, 1);
    assert_int_equal(shmq_save(q, NULL), 0);
    assert_int_equal(helper_file_stats(q).lag, 0);
    assert_int_equal(helper_file_stats(q).stale, 0);
    assert_int_equal(helper_file_stats(q).saved_id, 2);
    msg = helper_receive(q);
    assert_int_equal(shmq_save(q, NULL), 0);
    helper_send(q, "not saved");
    go_down(q);

    attr.max_messages = 5; /* the file's attributes hold */
    q = open_kept(&attr);
    said = (struct shmq_attr)SHMQ_ATTR_INIT;
    assert_int_equal(shmq_attr_of(q, &said), 0);
    assert_int_equal(said.max_messages, 77);
    assert_int_equal(helper_file_stats(q).saved_id, 2);
    assert_int_equal(helper_file_stats(q).stale, 0);
    msg = helper_receive(q);
    assert_true(helper_is(&msg, "two"));
    assert_int_equal(msg.id, 2);
    assert_int_equal(msg.attempts, 2);
    assert_int_equal(shmq_ack(q, &msg), 0);
    assert_int_equal(helper_send(q, "three"), 3);
    /* The queue that is there wins. */
    shmq_t *second = open_kept(&attr);
    assert_true(helper_takes(second, "three"));
    assert_int_equal(shmq_close(second), 0);
    go_down(q);
}

static void attributes(void **state)
{
    struct shmq_attr attr = helper_attr(1 << 16);
    shmq_t *q;

    (void)state;
    attr.save_ns = SHMQ_SEC(1);
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EINVAL);
    assert_true(helper_detail_names("save_ns", "snapshot"));
    attr = file_attr();
    attr.save_ns = 1;
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EINVAL);
    attr.save_ns = 0;
    attr.snapshot = "";
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EINVAL);
    attr.snapshot = "/tmp/no/such/folder/file";
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -ENOENT);
    assert_int_equal(shmq_open(&q, name, 0, NULL), -ENOENT);
}

static bool has_saved_three(void *q)
{
    return helper_file_stats(q).saved_id == 3;
}

static bool is_not_stale(void *q)
{
    return !helper_file_stats(q).stale;
}

static void by_number_and_time(void **state)
{
    struct shmq_attr attr = file_attr();

    (void)state;
    attr.save_changes = 3;
    shmq_t *q = open_kept(&attr);
    for (int i = 0; i < 3; i++)
        helper_send(q, "x");
    assert_true(helper_await(has_saved_three, q));
    go_down(q);
    assert_int_equal(unlink(file), 0);

    attr.save_changes = 0;
    attr.save_ns = SHMQ_MS(20);
    q = open_kept(&attr);
    helper_send(q, "x");
    assert_true(helper_takes(q, "x"));
    assert_true(helper_await(is_not_stale, q));
    uint64_t generation = helper_file_stats(q).generation;
    helper_pass(SHMQ_MS(100)); /* nothing changes, nothing is saved */
    assert_int_equal(helper_file_stats(q).generation, generation);
    go_down(q);
}

static void at_the_end(void **state)
{
    struct shmq_attr attr = file_attr();

    (void)state;
    attr.save_at_end = 1;
    shmq_t *q = open_kept(&attr), *second = open_kept(NULL);
    helper_send(q, "x");
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(helper_file_stats(second).saved_id, 0); /* not the last one */
    assert_int_equal(shmq_close(second), 0);
    assert_int_equal(shmq_unlink(name), 0);
    q = open_kept(&attr);
    assert_true(helper_takes(q, "x"));
    go_down(q);
}

/* --- trouble ------------------------------------------------------------------------- */

static void trouble_at_creation(void **state)
{
    struct shmq_attr attr = file_attr();
    shmq_t *q, *other;

    (void)state;
    assert_int_equal(symlink("/etc/passwd", file), 0);
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EPROTO);
    assert_int_equal(unlink(file), 0);
    int fd = open(file, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "a letter", 8), 8);
    close(fd);
    assert_int_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), -EPROTO);
    assert_int_equal(truncate(file, 0), 0); /* an emptied file is no empty queue */
    assert_int_not_equal(shmq_open(&q, name, SHMQ_CREATE, &attr), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(shmq_open(&q, name, 0, NULL), -ENOENT);
    /* Another queue's, in use and not. */
    q = open_kept(&attr);
    assert_int_equal(shmq_open(&other, helper_name("b"), SHMQ_CREATE, &attr), -EBUSY);
    /* Its own, while those who have the old queue are still there. */
    assert_int_equal(shmq_unlink(name), 0);
    assert_int_equal(shmq_open(&other, name, SHMQ_CREATE, &attr), -EBUSY);
    assert_int_equal(shmq_save(q, NULL), -ESTALE);
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_open(&other, helper_name("b"), SHMQ_CREATE, &attr), -EBUSY);
    assert_int_equal(shmq_open(&other, helper_name("b"), 0, NULL), -ENOENT);
}

static void trouble_later(void **state)
{
    struct shmq_attr attr = file_attr();
    char aside[128];

    (void)state;
    shmq_t *q = open_kept(&attr);
    helper_send(q, "x");
    /* Removed: it is made again. */
    assert_int_equal(unlink(file), 0);
    shmq_t *second = open_kept(&attr); /* uses the queue all the same */
    assert_int_equal(helper_file_stats(q).error, ENOENT);
    assert_cmp(helper_file_stats(q).failed_ns, >, 0);
    assert_int_equal(shmq_save(second, NULL), 0);
    assert_int_equal(helper_file_stats(q).error, 0);
    assert_int_equal(shmq_close(second), 0);
    /* The folder is gone. */
    snprintf(aside, sizeof(aside), "%s-aside", folder_path);
    assert_int_equal(rename(folder_path, aside), 0);
    assert_int_equal(shmq_save(q, NULL), -ENOENT);
    assert_int_equal(helper_file_stats(q).error, ENOENT);
    helper_send(q, "y"); /* goes on */
    assert_int_equal(helper_file_stats(q).lag, 1);
    assert_int_equal(rename(aside, folder_path), 0);
    assert_int_equal(shmq_save(q, NULL), 0);
    assert_int_equal(helper_file_stats(q).error, 0);
    /* Emptied by somebody else: what is in memory is more. */
    assert_int_equal(truncate(file, 0), 0);
    assert_int_equal(shmq_save(q, NULL), 0);
    go_down(q);
    q = open_kept(&attr);
    assert_true(helper_takes(q, "x"));
    assert_true(helper_takes(q, "y"));
    go_down(q);
}

/* --- several processes ------------------------------------------------------------------ */

static int opens(void *arg)
{
    struct shmq_attr attr = file_attr();
    _Atomic uint32_t *got = arg;
    char buffer[16];
    shmq_t *q;

    if (shmq_open(&q, name, SHMQ_CREATE, &attr) != 0)
        return 1;
    while (shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT) > 0)
        atomic_fetch_add(got, 1);
    shmq_close(q);
    return 0;
}

/* The file is restored once, however many come at once. */
static void all_at_once(void **state)
{
    struct shmq_attr attr = file_attr();
    _Atomic uint32_t *got = helper_shared(4096);

    (void)state;
    shmq_t *q = open_kept(&attr);
    for (int i = 0; i < 10; i++)
        helper_send(q, "x");
    assert_int_equal(shmq_save(q, NULL), 0);
    go_down(q);
    for (int round = 0; round < 20; round++) {
        atomic_store(got, 0);
        helper_at_once(4, opens, (void *)got);
        assert_int_equal(atomic_load(got), 10);
        assert_int_equal(shmq_unlink(name), 0);
    }
    /* And made once, where there is none. */
    for (int round = 0; round < 20; round++) {
        unlink(file);
        helper_at_once(4, opens, (void *)got);
        assert_int_equal(shmq_unlink(name), 0);
    }
    munmap((void *)got, 4096);
}

static int finds_ten(void *arg)
{
    struct shmq_attr attr = file_attr();

    (void)arg;
    attr.journal = SHMQ_JOURNAL_OS;
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    return shmq_depth(q) == 10 && shmq_close(q) == 0 ? 0 : 1;
}

/* With a journal the file is replaced by who restores it: the others wait for the queue. */
static void all_at_once_with_a_journal(void **state)
{
    struct shmq_attr attr = file_attr();

    (void)state;
    attr.journal = SHMQ_JOURNAL_OS;
    shmq_t *q = open_kept(&attr);
    for (int i = 0; i < 10; i++)
        helper_send(q, "x");
    go_down(q);
    for (int round = 0; round < 40; round++) {
        helper_at_once(4, finds_ten, NULL);
        assert_int_equal(shmq_unlink(name), 0);
    }
}

static int saves_until_killed(void *arg)
{
    shmq_t *q = helper_open(name, 0, NULL);

    while (shmq_save(q, NULL) == 0)
        atomic_fetch_add((_Atomic uint32_t *)arg, 1);
    return 1;
}

static bool has_saved(void *arg)
{
    return atomic_load((_Atomic uint32_t *)arg) > 2;
}

/* Killed wherever: the file is whole, nobody waits for ever, nothing is left beside it. */
static void killed_savers(void **state)
{
    struct shmq_attr attr = file_attr();
    _Atomic uint32_t *saves = helper_shared(4096);
    char buffer[64] = {0};

    (void)state;
    shmq_t *q = open_kept(&attr);
    for (int round = 0; round < 20; round++) {
        atomic_store(saves, 0);
        pid_t saver = helper_fork(saves_until_killed, (void *)saves);
        assert_true(helper_await(has_saved, (void *)saves));
        helper_pass(round * 100000);
        helper_kill(saver);
        for (int i = 0; i < 2000; i++) { /* more than the ring holds */
            assert_int_equal(shmq_put(q, buffer, sizeof(buffer), HELPER_LATE_NS), 0);
            assert_int_equal(shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT), 64);
        }
    }
    assert_int_equal(shmq_save(q, NULL), 0); /* and removes what is left */
    assert_int_equal(sq_load(&q->segment.file->pin_pos), SQ_NO_PIN);
    go_down(q);
    munmap((void *)saves, 4096);
}

/* A topic's journal has all that was ever put since its base; the queue made of it is as
 * large as it was, and has as much history as there is room for. */
static void history_that_has_room(void **state)
{
    enum { COUNT = 300 };
    struct shmq_attr attr = file_attr(), said = SHMQ_ATTR_INIT;
    struct shmq_group_attr from = SHMQ_GROUP_INIT;
    char text[1000] = "text";
    shmq_t *g;

    (void)state;
    attr.journal = SHMQ_JOURNAL_OS;
    shmq_t *q = helper_open(name, SHMQ_CREATE | SHMQ_TOPIC, &attr);
    assert_int_equal(shmq_subscribe(q, "g", NULL, &g), 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(shmq_put(q, text, sizeof(text), SHMQ_NOWAIT), 0);
        if (i < COUNT - 2)
            assert_int_equal(shmq_get(g, text, sizeof(text), NULL, SHMQ_NOWAIT), sizeof(text));
    }
    shmq_close(g);
    go_down(q);

    q = helper_open(name, SHMQ_CREATE | SHMQ_TOPIC, &attr);
    assert_int_equal(shmq_attr_of(q, &said), 0);
    assert_int_equal(said.capacity_bytes, attr.capacity_bytes);
    assert_int_equal(shmq_subscribe(q, "g", NULL, &g), 0);
    assert_int_equal(shmq_depth(g), 2);
    shmq_close(g);
    from.start = SHMQ_EARLIEST;
    assert_int_equal(shmq_subscribe(q, "new", &from, &g), 0);
    assert_in_range(shmq_depth(g), 60, 64);
    shmq_close(g);
    go_down(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(kept),
        FOLDER_TEST(attributes),
        FOLDER_TEST(by_number_and_time),
        FOLDER_TEST(at_the_end),
        FOLDER_TEST(trouble_at_creation),
        FOLDER_TEST(trouble_later),
        FOLDER_TEST(all_at_once),
        FOLDER_TEST(all_at_once_with_a_journal),
        FOLDER_TEST(history_that_has_room),
        FOLDER_TEST(killed_savers),
    };

    return helper_run(argc, argv, tests);
}
