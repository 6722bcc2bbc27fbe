/*
 * test_roles.c - who is attached, who has a side alone, and what becomes of both
 * at death, fork and exec.
 */
#include "support/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layout.h"

static char name[64];

static int try_open(int flags)
{
    shmq_t *q;
    int rc = shmq_open(&q, name, flags, NULL);

    shmq_close(q);
    return rc;
}

static shmq_t *create(int flags)
{
    snprintf(name, sizeof(name), "%s", helper_name("a"));
    return helper_open(name, SHMQ_CREATE | SHMQ_EXCL | flags, NULL);
}

/* --- sole ------------------------------------------------------------------------ */

static void one_sole_user_a_side(void **state)
{
    shmq_t *p = create(SHMQ_SOLE_PRODUCER);
    shmq_t *c = helper_open(name, SHMQ_SOLE_CONSUMER, NULL);
    shmq_t *shared = helper_open(name, 0, NULL);
    struct shmq_buf one = {"x", 1};
    struct shmq_info info;
    char buffer[8];
    void *data;

    (void)state;
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER), -EBUSY);
    assert_int_equal(try_open(SHMQ_SOLE_CONSUMER), -EBUSY);
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER), -EBUSY);
    assert_int_equal(shmq_put(shared, "x", 1, SHMQ_FOREVER), -EBUSY);
    assert_int_equal(shmq_put_many(shared, &one, 1, SHMQ_FOREVER), -EBUSY);
    assert_int_equal(shmq_reserve(shared, 1, &data, SHMQ_FOREVER), -EBUSY);
    assert_int_equal(shmq_put(c, "x", 1, SHMQ_FOREVER), -EBUSY);
    assert_int_equal(shmq_put(p, "hello", 5, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(shared, buffer, 8, NULL, SHMQ_FOREVER), -EBUSY);
    assert_int_equal(shmq_get_many(shared, buffer, 8, &info, 1, 0, SHMQ_FOREVER), -EBUSY);
    assert_int_equal(shmq_purge(shared), -EBUSY);
    assert_int_equal(shmq_peek(shared, buffer, 8, NULL), 5);
    assert_int_equal(shmq_get(c, buffer, 8, NULL, SHMQ_NOWAIT), 5);
    assert_int_equal(shmq_purge(c), 0);
    /* The role is free with its holder's handle. */
    assert_int_equal(shmq_close(p), 0);
    assert_int_equal(shmq_put(shared, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_close(c), 0);
    assert_int_equal(shmq_get(shared, buffer, 8, NULL, SHMQ_NOWAIT), 1);
    /* Now the sides are shared ones. */
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER), -EBUSY);
    assert_int_equal(try_open(SHMQ_SOLE_CONSUMER), -EBUSY);
    assert_int_equal(shmq_close(shared), 0);
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER), 0);
    assert_int_equal(shmq_unlink(name), 0);
}

/* Opening or looking takes no side. */
static void sides_are_taken_by_use(void **state)
{
    shmq_t *q = create(0), *r = helper_open(name, SHMQ_RDONLY, NULL);
    char buffer[8];

    (void)state;
    assert_int_equal(shmq_depth(q), 0);
    assert_int_equal(shmq_peek(q, buffer, 8, NULL), -EAGAIN);
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER), 0);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER), -EBUSY);
    assert_int_equal(try_open(SHMQ_SOLE_CONSUMER), 0);
    assert_int_equal(shmq_close(r), 0);
    helper_finish(q);
}

/* Who has to do something on the other side takes that from nobody for long. */
static void visits_leave_sides_free(void **state)
{
    struct shmq_attr attr = helper_attr(65536);
    char bytes[1000] = {0};
    int rc;

    (void)state;
    snprintf(name, sizeof(name), "%s", helper_name("a"));
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(shmq_seek(q, SHMQ_LATEST, 0), 0);
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER), 0);
    /* What is held must be slid away, which takes the consumer's side. */
    shmq_t *c = helper_open(name, SHMQ_SOLE_CONSUMER, NULL);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    msg.data = "held";
    msg.length = 4;
    msg.delay_ns = SHMQ_SEC(1000);
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    while ((rc = shmq_put(q, bytes, sizeof(bytes), SHMQ_NOWAIT)) == 0)
        ;
    assert_int_equal(rc, -EAGAIN);
    while (shmq_get(c, bytes, sizeof(bytes), NULL, SHMQ_NOWAIT) >= 0)
        ;
    assert_int_equal(shmq_close(c), 0);
    for (int i = 0; i < 30; i++)
        assert_int_equal(shmq_put(q, bytes, sizeof(bytes), SHMQ_NOWAIT), 0);
    assert_int_equal(try_open(SHMQ_SOLE_CONSUMER), 0);
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER), -EBUSY);
    assert_cmp(shmq_get(q, bytes, sizeof(bytes), NULL, SHMQ_NOWAIT), >=, 0);
    /* Its own claim stays. */
    assert_int_equal(shmq_seek(q, SHMQ_LATEST, 0), 0);
    assert_int_equal(try_open(SHMQ_SOLE_CONSUMER), -EBUSY);
    helper_finish(q);
}

static int hold_alone(void *arg)
{
    shmq_t *q;

    if (shmq_open(&q, name, *(int *)arg, NULL) != 0)
        return 1;
    for (int i = 0; i < 10; i++)
        if ((*(int *)arg & SHMQ_SOLE_PRODUCER) && shmq_put(q, "x", 1, SHMQ_NOWAIT) != 0)
            return 2;
    raise(SIGSTOP);
    return 3;
}

/* Killed, and what it had noted for itself is behind the truth. */
static void takeover_after_a_kill(void **state)
{
    int flags = SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER;
    shmq_t *q = create(0);
    struct shmq_info info;
    char buffer[8];

    (void)state;
    for (int i = 0; i < 4; i++) {
        pid_t child = helper_fork_stopped(hold_alone, &flags);
        assert_int_equal(try_open(SHMQ_SOLE_PRODUCER), -EBUSY);
        assert_int_equal(helper_stats(q).sole_producer, 1);
        helper_kill(child);
        /* Alternately alone and shared; both repair. */
        shmq_t *heir = helper_open(name, i % 2 ? 0 : flags, NULL);
        assert_int_equal(shmq_depth(heir), 10);
        assert_int_equal(shmq_put(heir, "y", 1, SHMQ_NOWAIT), 0);
        for (int n = 1; n <= 11; n++) {
            assert_int_equal(shmq_get(heir, buffer, 8, &info, SHMQ_NOWAIT), 1);
            assert_int_equal(info.id, i * 11 + n);
        }
        assert_int_equal(shmq_close(heir), 0);
        assert_int_equal(helper_stats(q).recoveries, 2 * (i + 1));
    }
    helper_finish(q);
}

/* The same, with the derived ids as a death in the middle of a put leaves them. */
static void takeover_repairs(void **state)
{
    int flags = SHMQ_SOLE_PRODUCER;
    shmq_t *q = create(0);
    char path[256];

    (void)state;
    pid_t child = helper_fork_stopped(hold_alone, &flags);
    snprintf(path, sizeof(path), "/dev/shm/shmq.%s", name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint64_t next_id;
    off_t off = SQ_PRODUCER_OFF + offsetof(struct sq_producer_shm, next_id);
    assert_int_equal(pread(fd, &next_id, 8, off), 8);
    assert_int_equal(next_id, 11);
    next_id = 10; /* as if the tail had just been stored */
    assert_int_equal(pwrite(fd, &next_id, 8, off), 8);
    close(fd);
    helper_kill(child);
    shmq_t *heir = helper_open(name, SHMQ_SOLE_PRODUCER, NULL);
    assert_int_equal(shmq_depth(heir), 10);
    assert_int_equal(shmq_put(heir, "y", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(helper_stats(q).put_count, 11);
    assert_int_equal(shmq_close(heir), 0);
    helper_finish(q);
}

/* --- fork ------------------------------------------------------------------------- */

static int use_parents_sole(void *arg)
{
    char buffer[8];

    if (shmq_put(arg, "x", 1, SHMQ_NOWAIT) != -EBUSY)
        return 1;
    if (shmq_get(arg, buffer, 8, NULL, SHMQ_NOWAIT) != -EBUSY)
        return 2;
    if (shmq_depth(arg) != 1 || shmq_peek(arg, buffer, 8, NULL) != 6)
        return 3;
    return shmq_close(arg) == 0 ? 0 : 4;
}

static void child_of_a_sole_holder(void **state)
{
    shmq_t *q = create(SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER);
    char buffer[8];

    (void)state;
    assert_int_equal(shmq_put(q, "parent", 6, SHMQ_NOWAIT), 0);
    assert_int_equal(helper_wait(helper_fork(use_parents_sole, q)), 0);
    /* Its close() took nothing of ours. */
    assert_int_equal(helper_stats(q).sole_producer, 1);
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER), -EBUSY);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 6);
    helper_finish(q);
}

static int seek_in_child(void *arg)
{
    return -shmq_seek(arg, SHMQ_EARLIEST, 0);
}

/* To seek wants both sides, the consumer's for good: the child is told at once whose it is. */
static void child_of_a_sole_consumer_seeks(void **state)
{
    shmq_t *q = create(SHMQ_SOLE_CONSUMER);

    (void)state;
    assert_int_equal(helper_wait(helper_fork(seek_in_child, q)), EBUSY);
    helper_finish(q);
}

static int put_from_child(void *arg)
{
    struct shmq_process list[2];
    int attached = shmq_put(arg, "child", 5, SHMQ_NOWAIT) == 0 ? shmq_attached(arg, list, 2) : 0;

    /* It has a slot of its own from its first call on. */
    return attached == 2 && (list[0].pid == getpid() || list[1].pid == getpid()) ? 0 : 1;
}

static void child_uses_its_copy(void **state)
{
    shmq_t *q = create(0);
    char buffer[8];
    void *data;

    (void)state;
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(helper_wait(helper_fork(put_from_child, q)), 0);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 1);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 5);
    assert_int_equal(helper_stats(q).attached, 1);
    /* What the parent has reserved stays the parent's. */
    assert_int_equal(shmq_reserve(q, 8, &data, SHMQ_NOWAIT), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(shmq_commit(q, 8) == -EINVAL && shmq_put(q, "x", 1, SHMQ_NOWAIT) == -ETIMEDOUT &&
                      shmq_close(q) == 0
                  ? 0
                  : 1);
    assert_int_equal(helper_wait(child), 0);
    assert_int_equal(shmq_commit(q, 8), 0);
    assert_int_equal(shmq_depth(q), 1);
    helper_finish(q);
}

static pthread_key_t last_word;

/* Called as a thread ends; by its second turn all others of that kind have been called. */
static void end_child(void *turn)
{
    if (++*(int *)turn > 1)
        _exit(0);
    pthread_setspecific(last_word, turn);
}

/* Has something reserved when it forks; the child reserves, too, and both threads end. */
static void *reserve_and_fork(void *q)
{
    static pid_t child;
    static int turn;
    void *data;

    if (shmq_reserve(q, 8, &data, SHMQ_NOWAIT) != 0)
        return NULL;
    child = fork();
    if (child != 0) {
        shmq_commit(q, 8);
        return &child;
    }
    alarm(20);
    if (shmq_reserve(q, 8, &data, SHMQ_SEC(10)) != 0 || shmq_commit(q, 8) != 0 ||
        shmq_close(q) != 0 || pthread_setspecific(last_word, &turn) != 0)
        _exit(1);
    return NULL;
}

static void child_reserves_as_its_parent_did(void **state)
{
    shmq_t *q = create(0);
    pthread_t thread;
    void *child;

    (void)state;
    assert_int_equal(pthread_key_create(&last_word, end_child), 0);
    assert_int_equal(pthread_create(&thread, NULL, reserve_and_fork, q), 0);
    assert_int_equal(pthread_join(thread, &child), 0);
    assert_non_null(child);
    assert_int_equal(helper_wait(*(pid_t *)child), 0);
    pthread_key_delete(last_word);
    assert_int_equal(shmq_depth(q), 2);
    helper_finish(q);
}

static int grandparent(void *arg)
{
    int *to_parent = arg;
    shmq_t *q;

    if (shmq_open(&q, name, SHMQ_SOLE_PRODUCER, NULL) != 0)
        return 1;
    pid_t grandchild = fork();
    if (grandchild == 0) {
        alarm(20); /* never touches its copy of the handle */
        for (;;)
            pause();
    }
    if (write(to_parent[1], &grandchild, sizeof(grandchild)) != sizeof(grandchild))
        return 1;
    for (;;)
        pause();
}

static bool is_alone(void *queue)
{
    return helper_stats(queue).attached == 1;
}

/* A living child that never used its copy does not keep its dead parent alive. */
static void dead_parent_of_a_living_child(void **state)
{
    shmq_t *q = create(0);
    pid_t grandchild = 0;
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t child = helper_fork(grandparent, fds);
    assert_int_equal(read(fds[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    assert_int_equal(helper_stats(q).attached, 2);
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER), -EBUSY);
    helper_kill(child);
    assert_int_equal(kill(grandchild, 0), 0);
    /* It may not yet have run to the end of its fork(). */
    assert_true(helper_await(is_alone, q));
    assert_int_equal(shmq_attached(q, NULL, 0), 1);
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER), 0);
    kill(grandchild, SIGKILL);
    close(fds[0]);
    close(fds[1]);
    helper_finish(q);
}

/* Forks while other threads open, close and use handles. */
static void *open_and_close(void *stop)
{
    char buffer[8];

    while (!*(volatile bool *)stop) {
        shmq_t *q;
        if (shmq_open(&q, name, 0, NULL) != 0 || shmq_put(q, "x", 1, HELPER_LATE_NS) != 0 ||
            shmq_get(q, buffer, 8, NULL, HELPER_LATE_NS) != 1)
            return stop;
        shmq_close(q);
    }
    return NULL;
}

static void forks_among_threads(void **state)
{
    volatile bool stop = false;
    shmq_t *q = create(0);
    pthread_t threads[2];
    void *failed;

    (void)state;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, open_and_close, (void *)(uintptr_t)&stop);
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            _exit(shmq_put(q, "x", 1, HELPER_LATE_NS) == 0 && shmq_close(q) == 0 ? 0 : 1);
        }
        assert_int_equal(helper_wait(child), 0);
    }
    stop = true;
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(shmq_depth(q), 100);
    assert_int_equal(helper_stats(q).attached, 1);
    helper_finish(q);
}

/* --- exec -------------------------------------------------------------------------- */

/* Nothing of a queue is open in a program that was executed. */
static void exec_closes(void **state)
{
    shmq_t *q = create(0), *r = helper_open(name, SHMQ_RDONLY, NULL);
    char command[256];

    (void)state;
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    pid_t child = helper_fork(put_from_child, q); /* one reopened in a child, too */
    assert_int_equal(helper_wait(child), 0);
    /* Compare objects, not names: the path of the log may contain anything. */
    snprintf(command, sizeof(command),
             "for fd in /proc/self/fd/*; do [ ! $fd -ef /dev/shm/shmq.%s ] || exit 1; done", name);
    for (int forked = 0; forked < 2; forked++) {
        child = fork();
        if (child == 0) {
            if (forked)
                shmq_depth(q);
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
            _exit(99);
        }
        assert_int_equal(helper_wait(child), 0);
    }
    assert_int_equal(shmq_close(r), 0);
    helper_finish(q);
}

static int open_and_exec(void *arg)
{
    shmq_t *q;

    (void)arg;
    if (shmq_open(&q, name, SHMQ_SOLE_PRODUCER, NULL) != 0)
        return 1;
    execl("/bin/sleep", "sleep", "60", (char *)NULL);
    return 1;
}

static bool is_sleep(void *pid)
{
    char path[64], text[16] = "";

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)*(pid_t *)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, 5);
    close(fd);
    return n == 5 && memcmp(text, "sleep", 5) == 0;
}

static void exec_frees_slot_and_role(void **state)
{
    shmq_t *q = create(0);
    pid_t child = helper_fork(open_and_exec, NULL);

    (void)state;
    assert_true(helper_await(is_sleep, &child));
    assert_true(helper_await(is_alone, q)); /* the kernel closes a moment later */
    assert_int_equal(try_open(SHMQ_SOLE_PRODUCER), 0);
    helper_kill(child);
    helper_finish(q);
}

/* --- slots -------------------------------------------------------------------------- */

static int attach_and_stop(void *arg)
{
    shmq_t *q;

    (void)arg;
    if (shmq_open(&q, name, SHMQ_SOLE_CONSUMER, NULL) != 0)
        return 1;
    raise(SIGSTOP);
    return 0;
}

static void who_is_attached(void **state)
{
    shmq_t *q = create(0);
    struct shmq_process list[3];
    char buffer[8];

    (void)state;
    pid_t child = helper_fork_stopped(attach_and_stop, NULL);
    assert_int_equal(shmq_attached(q, list, 3), 2);
    int its = list[0].pid == child ? 0 : 1;
    assert_int_equal(list[its].pid, child);
    assert_int_equal(list[its].flags, SHMQ_SOLE_CONSUMER);
    assert_string_equal(list[its].command, "test_roles");
    assert_int_equal(list[1 - its].pid, getpid());
    helper_kill(child);
    assert_int_equal(shmq_attached(q, list, 3), 1);
    assert_int_equal(helper_stats(q).attached, 1);
    assert_int_equal(helper_stats(q).dead_count, 0);
    /* Who sleeps looks each second, and cleans up unless somebody just did. */
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_MS(2100)), -ETIMEDOUT);
    assert_int_equal(helper_stats(q).dead_count, 1);
    helper_finish(q);
}

static bool attaching_has_cleaned(void *q)
{
    assert_int_equal(try_open(0), 0);
    return helper_stats(q).dead_count == 20;
}

/* So does who attaches, unless somebody did within the last second. */
static void slots_are_used_again(void **state)
{
    shmq_t *q = create(0);

    (void)state;
    for (int i = 1; i <= 20; i++) {
        pid_t child = helper_fork_stopped(attach_and_stop, NULL);
        helper_kill(child);
    }
    assert_true(helper_await(attaching_has_cleaned, q));
    helper_finish(q);
}

/* All but a few slots are held by one descriptor, as segment/attach.c's picture has it. */
static int hold_slots(uint32_t first, uint32_t count)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = ((off_t)1 << 60) + 64 + first,
                         .l_len = count};
    const uint32_t used = SQ_SLOT_USED;
    struct sq_header_shm header;
    char path[256];

    snprintf(path, sizeof(path), "/dev/shm/shmq.%s", name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    assert_int_equal(pread(fd, &header, sizeof(header), 0), sizeof(header));
    for (uint32_t i = first; i < first + count; i++)
        assert_int_equal(pwrite(fd, &used, 4, (off_t)(header.slots_off + i * header.slot_bytes)),
                         4);
    return fd;
}

static void all_slots_taken(void **state)
{
    enum { FREE = 10 };
    shmq_t *handles[FREE], *one_more;

    (void)state;
    handles[0] = create(0);
    int fd = hold_slots(1, SQ_SLOT_COUNT - FREE);
    for (int i = 1; i < FREE; i++)
        handles[i] = helper_open(name, 0, NULL);
    assert_int_equal(shmq_attached(handles[7], NULL, 0), SQ_SLOT_COUNT);
    assert_int_equal(shmq_open(&one_more, name, 0, NULL), -EUSERS);
    assert_true(helper_detail_names("2048", ""));
    /* A reader needs none. */
    assert_int_equal(try_open(SHMQ_RDONLY), 0);
    assert_int_equal(shmq_close(handles[5]), 0);
    handles[5] = helper_open(name, 0, NULL);
    assert_int_equal(shmq_put(handles[5], "x", 1, SHMQ_NOWAIT), 0);
    /* The holder dies: its slots are free. */
    close(fd);
    assert_int_equal(try_open(0), 0);
    assert_int_equal(shmq_attached(handles[7], NULL, 0), FREE);
    for (int i = 0; i < FREE; i++)
        assert_int_equal(shmq_close(handles[i]), 0);
    assert_int_equal(shmq_unlink(name), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(one_sole_user_a_side),
        HELPER_TEST(sides_are_taken_by_use),
        HELPER_TEST(visits_leave_sides_free),
        HELPER_TEST(takeover_after_a_kill),
        HELPER_TEST(takeover_repairs),
        HELPER_TEST(child_of_a_sole_holder),
        HELPER_TEST(child_uses_its_copy),
        HELPER_TEST(dead_parent_of_a_living_child),
        HELPER_TEST(forks_among_threads),
        HELPER_TEST(exec_closes),
        HELPER_TEST(exec_frees_slot_and_role),
        HELPER_TEST(who_is_attached),
        HELPER_TEST(slots_are_used_again),
        HELPER_TEST(all_slots_taken),
        HELPER_TEST(child_of_a_sole_consumer_seeks),
        HELPER_TEST(child_reserves_as_its_parent_did),
    };

    return helper_run(argc, argv, tests);
}
