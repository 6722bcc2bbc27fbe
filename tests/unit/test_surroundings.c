/*
 * test_surroundings.c - what a queue may find around it: no room, no permission,
 * something else in its place, limits, a name that was removed.  Each is made
 * real; what needs root is skipped without.
 */
#include "support/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"

enum { SKIP = 77, OTHER_USER = 65534 };

static char name[64], path[128];

static void set_name(void)
{
    snprintf(name, sizeof(name), "%s", helper_name("a"));
    snprintf(path, sizeof(path), "/dev/shm/shmq.%s", name);
}

static int try_open(int flags, const struct shmq_attr *attr)
{
    shmq_t *q;
    int rc = shmq_open(&q, name, flags, attr);

    shmq_close(q);
    return rc;
}

/* In a child, what must hold: otherwise it ends with the line. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%d: %s: %s\n", __LINE__, #condition, shmq_last_error_detail());       \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static void in_child(int (*body)(void *arg))
{
    int status;

    set_name();
    status = helper_wait(helper_fork(body, NULL));
    if (status == SKIP) {
        print_message("needs root\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* --- no room ------------------------------------------------------------------- */

static int small_file_system(void *arg)
{
    struct shmq_attr small = helper_attr(4096);
    char buffer[8];
    shmq_t *q;

    (void)arg;
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return SKIP;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=1m") != 0)
        return SKIP;
    CHECK(try_open(SHMQ_CREATE, NULL) == -ENOSPC);
    CHECK(helper_detail_names("needs", "free") && helper_detail_names("1048576", ""));
    CHECK(try_open(0, NULL) == -ENOENT);
    /* Nothing was used up by it: a small one fits, and holds what it says it holds. */
    for (int lap = 0; lap < 3; lap++) {
        CHECK(shmq_open(&q, name, SHMQ_CREATE, &small) == 0);
        while (shmq_put(q, "12345678", 8, SHMQ_NOWAIT) == 0)
            continue;
        CHECK(shmq_depth(q) == 128);
        CHECK(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT) == 8);
        shmq_close(q);
        CHECK(shmq_unlink(name) == 0);
    }
    /* Fill up with small ones until there is none left: an error, never SIGBUS. */
    int n = 0, rc;
    do {
        snprintf(name, sizeof(name), "fill-%d", n++);
        rc = try_open(SHMQ_CREATE, &small);
    } while (rc == 0 && n < 100);
    CHECK(rc == -ENOSPC && n > 2);
    CHECK(shmq_open(&q, "fill-0", 0, NULL) == 0);
    while (shmq_put(q, "12345678", 8, SHMQ_NOWAIT) == 0)
        continue;
    CHECK(shmq_depth(q) == 128);
    return 0;
}

static void no_room(void **state)
{
    (void)state;
    in_child(small_file_system);
}

/* --- permissions ------------------------------------------------------------------ */

static void other_users_queue(void **state)
{
    struct shmq_attr attr = helper_attr(4096);

    (void)state;
    set_name();
    if (geteuid() != 0) {
        print_message("needs root\n");
        skip();
    }
    shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(seteuid(OTHER_USER), 0);
    assert_int_equal(try_open(0, NULL), -EACCES);
    assert_int_equal(try_open(SHMQ_RDONLY, NULL), -EACCES);
    assert_int_equal(try_open(SHMQ_CREATE, NULL), -EACCES);
    int removed = shmq_unlink(name);
    assert_int_equal(seteuid(0), 0);
    assert_one_of(removed, -EACCES, -EPERM);
    helper_finish(q);
    /* Readable for all: to look at only. */
    attr.mode = 0644;
    q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(seteuid(OTHER_USER), 0);
    assert_int_equal(try_open(0, NULL), -EACCES);
    assert_int_equal(try_open(SHMQ_RDONLY, NULL), 0);
    assert_int_equal(seteuid(0), 0);
    helper_finish(q);
    /* One that another user has made: only knowingly. */
    attr.mode = 0666;
    assert_int_equal(seteuid(OTHER_USER), 0);
    q = helper_open(name, SHMQ_CREATE, &attr);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(try_open(SHMQ_CREATE, NULL), -EACCES);
    assert_true(helper_detail_names("65534", "SHMQ_CREATE"));
    assert_int_equal(try_open(0, NULL), 0);
    helper_finish(q);
}

/* --- something else in its place --------------------------------------------------- */

static void refused(int with_create)
{
    alarm(20); /* a FIFO must not hang us */
    assert_int_equal(try_open(0, NULL), -EPROTO);
    assert_int_equal(try_open(SHMQ_RDONLY, NULL), -EPROTO);
    assert_int_equal(try_open(SHMQ_CREATE, NULL), with_create);
    assert_int_equal(try_open(SHMQ_CREATE | SHMQ_EXCL, NULL), -EEXIST);
    alarm(0);
}

static void write_file(const void *bytes, size_t length)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

static void other_objects(void **state)
{
    char text[4096];

    (void)state;
    set_name();
    write_file("", 0);
    refused(-EPROTO);
    write_file("short", 5);
    refused(-EPROTO);
    memset(text, 'x', sizeof(text));
    write_file(text, sizeof(text));
    refused(-EPROTO);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    refused(-EPROTO);
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused(-EPROTO);
    unlink(path);
    /* Never followed, though it leads to a good queue. */
    shmq_t *q = helper_open(helper_name("b"), SHMQ_CREATE, NULL);
    char target[128];
    snprintf(target, sizeof(target), "/dev/shm/shmq.%s", helper_name("b"));
    assert_int_equal(symlink(target, path), 0);
    refused(-EPROTO);
    unlink(path);
    assert_int_equal(symlink("/nonexistent", path), 0);
    refused(-EPROTO);
    unlink(path);
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(helper_name("b")), 0);
}

/* As segment/segment.c computes it: so that what is changed is all that is wrong. */
static uint64_t check_of(const struct sq_header_shm *header)
{
    const unsigned char *bytes = (const unsigned char *)header;
    uint64_t sum = 0xcbf29ce484222325u;

    for (size_t i = 0; i < offsetof(struct sq_header_shm, check); i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

static void other_headers(void **state)
{
    static const struct {
        size_t off;
        const char *detail;
    } fields[] = {
        {offsetof(struct sq_header_shm, magic), "magic"},
        {offsetof(struct sq_header_shm, format), "format"},
        {offsetof(struct sq_header_shm, incompatible), "features"},
        {offsetof(struct sq_header_shm, lock_stamp), "lock"},
        {offsetof(struct sq_header_shm, cond_stamp), "cond"},
        {offsetof(struct sq_header_shm, header_bytes), "parts"},
        {offsetof(struct sq_header_shm, slot_count), "parts"},
        {offsetof(struct sq_header_shm, slots_off), "parts"},
        {offsetof(struct sq_header_shm, ring_off), "parts"},
        {offsetof(struct sq_header_shm, total_bytes), "parts"},
        {offsetof(struct sq_header_shm, capacity_bytes), "parts"},
    };
    struct sq_header_shm good, bad;
    struct stat st;

    (void)state;
    set_name();
    assert_int_equal(try_open(SHMQ_CREATE, NULL), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &good, sizeof(good), 0), sizeof(good));
    assert_int_equal(check_of(&good), good.check);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        bad = good;
        ((unsigned char *)&bad)[fields[i].off + 2] ^= 0x41;
        bad.check = check_of(&bad);
        assert_int_equal(pwrite(fd, &bad, sizeof(bad), 0), sizeof(bad));
        assert_int_equal(try_open(0, NULL), -EPROTO);
        assert_true(helper_detail_names(fields[i].detail, ""));
    }
    assert_int_equal(pwrite(fd, &good, sizeof(good), 0), sizeof(good));
    assert_int_equal(try_open(0, NULL), 0);
    fstat(fd, &st);
    for (off_t cut = 1; cut < st.st_size; cut = cut * 4 + 1) {
        assert_int_equal(ftruncate(fd, st.st_size - cut), 0);
        assert_int_equal(try_open(0, NULL), -EPROTO);
    }
    close(fd);
    assert_int_equal(shmq_unlink(name), 0);
}

/* --- the name is removed -------------------------------------------------------------- */

static void *wait_in_get(void *queue)
{
    char buffer[8];

    return (void *)(intptr_t)shmq_get(queue, buffer, 8, NULL, SHMQ_FOREVER);
}

static void removed(int (*remove_it)(const char *), const char *what, bool wakes)
{
    shmq_t *q = helper_open(name, SHMQ_CREATE | SHMQ_EXCL, NULL);
    shmq_t *other = helper_open(name, 0, NULL);
    char buffer[8];
    pthread_t thread;
    void *rc;

    assert_int_equal(pthread_create(&thread, NULL, wait_in_get, q), 0);
    helper_expect_wake(q, HELPER_CONSUMERS);
    int64_t begun_ns = helper_now_ns();
    assert_int_equal(remove_it(what), 0);
    assert_int_equal(helper_has_woken(q, HELPER_CONSUMERS), wakes);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, -ESTALE);
    assert_cmp(helper_now_ns() - begun_ns, <, HELPER_LATE_NS);
    assert_int_equal(shmq_put(other, "x", 1, SHMQ_FOREVER), -ESTALE);
    assert_int_equal(shmq_get(other, buffer, 8, NULL, SHMQ_NOWAIT), -ESTALE);
    /* One of the same name is another queue. */
    shmq_t *young = helper_open(name, SHMQ_CREATE | SHMQ_EXCL, NULL);
    assert_int_equal(shmq_put(young, "new", 3, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_FOREVER), -ESTALE);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), -ESTALE);
    assert_int_equal(helper_stats(q).unlinked, 1);
    assert_int_equal(helper_stats(young).unlinked, 0);
    assert_int_equal(shmq_get(young, buffer, 8, NULL, SHMQ_NOWAIT), 3);
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_close(other), 0);
    assert_int_equal(shmq_close(young), 0);
    assert_int_equal(shmq_unlink(name), 0);
}

static void name_removed(void **state)
{
    (void)state;
    set_name();
    removed(shmq_unlink, name, true);
    removed(unlink, path, false); /* it looks around itself */
}

static void what_is_left_is_handed_out(void **state)
{
    char buffer[8];

    (void)state;
    set_name();
    shmq_t *q = helper_open(name, SHMQ_CREATE, NULL);
    assert_int_equal(shmq_put(q, "one", 3, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_put(q, "two", 3, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_unlink(name), 0);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), -ESTALE);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_NOWAIT), 3);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_FOREVER), 3);
    assert_int_equal(shmq_get(q, buffer, 8, NULL, SHMQ_FOREVER), -ESTALE);
    assert_int_equal(shmq_close(q), 0);
}

/* --- limits ------------------------------------------------------------------------------ */

static int few_descriptors(void *arg)
{
    struct rlimit limit = {3, 3};

    (void)arg;
    CHECK(try_open(SHMQ_CREATE, NULL) == 0);
    for (int fd = 3; fd < 100; fd++)
        close(fd);
    setrlimit(RLIMIT_NOFILE, &limit);
    CHECK(try_open(0, NULL) == -EMFILE);
    CHECK(try_open(SHMQ_CREATE, NULL) == -EMFILE);
    CHECK(shmq_unlink(name) == 0);
    CHECK(try_open(SHMQ_CREATE, NULL) == -EMFILE);
    return 0;
}

static void descriptor_limit(void **state)
{
    (void)state;
    in_child(few_descriptors);
}

static int little_address_space(void *arg)
{
    struct rlimit limit = {256 << 20, 256 << 20};
    struct shmq_attr large = helper_attr((uint64_t)512 << 20);

    (void)arg;
    setrlimit(RLIMIT_AS, &limit);
    CHECK(try_open(SHMQ_CREATE, &large) == -ENOMEM);
    CHECK(helper_detail_names("address space", ""));
    CHECK(try_open(0, NULL) == -ENOENT);
    CHECK(try_open(SHMQ_CREATE, NULL) == 0);
    CHECK(shmq_unlink(name) == 0);
    return 0;
}

static void address_space_limit(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip();
#endif
    in_child(little_address_space);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(no_room),          HELPER_TEST(other_users_queue),
        HELPER_TEST(other_objects),    HELPER_TEST(other_headers),
        HELPER_TEST(name_removed),     HELPER_TEST(what_is_left_is_handed_out),
        HELPER_TEST(descriptor_limit), HELPER_TEST(address_space_limit),
    };

    return helper_run(argc, argv, tests);
}
