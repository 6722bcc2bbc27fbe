/*
 * test_disk.c - the means of crash/power_snapshot.c: record.so and the states that are made of its
 * log, on small programs of which it is known what a power cut can leave.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk/place.h"
#include "disk/states.h"
#include "support/helper.h"

enum { SMALL = 1024, LARGE = 1500 };

static struct disk_place place;

/* --- what is recorded: run in a child ------------------------------------------------ */

static void fill(int fd, char c, size_t length)
{
    char bytes[LARGE];

    memset(bytes, c, sizeof(bytes));
    if (pwrite(fd, bytes, length, 0) != (ssize_t)length)
        _exit(20);
}

/* Write, overwrite, replace; `careful`: sync the new one before it takes the name. */
static int replace(bool careful)
{
    int dir = open(place.folder, O_RDONLY | O_DIRECTORY);
    char f[128], g[128];

    snprintf(f, sizeof(f), "%s/f", place.folder);
    snprintf(g, sizeof(g), "%s/g", place.folder);
    int fd = open(f, O_RDWR | O_CREAT, 0600);
    fill(fd, 'a', SMALL);
    if (fdatasync(fd) != 0 || fsync(dir) != 0)
        return 21;
    disk_say("1");
    fill(fd, 'b', SMALL);
    if (fdatasync(fd) != 0)
        return 22;
    disk_say("2");
    fd = open(g, O_RDWR | O_CREAT, 0600);
    fill(fd, 'c', LARGE);
    if (careful && fsync(fd) != 0)
        return 23;
    if (rename(g, f) != 0 || fsync(dir) != 0)
        return 24;
    disk_say("3");
    return 0;
}

/* The errno of the first call that fails; 100: a write was short; 0: none. */
static int meet_fault(void)
{
    char f[128];
    struct iovec parts[] = {{"abcd", 4}, {"efgh", 4}};

    snprintf(f, sizeof(f), "%s/f", place.folder);
    int fd = open(f, O_RDWR | O_CREAT, 0600); /* 1 */
    if (fd < 0)
        return errno;
    ssize_t n = pwritev(fd, parts, 2, 0); /* 2 */
    if (n != 8)
        return n < 0 ? errno : 100;
    if (ftruncate(fd, 4096) != 0 || fdatasync(fd) != 0) /* 3, 4 */
        return errno;
    return unlink(f) == 0 ? 0 : errno; /* 5 */
}

static int run_program(char **argv)
{
    disk_place_at(&place, argv[2]);
    if (strcmp(argv[1], "careful") == 0)
        return replace(true);
    if (strcmp(argv[1], "careless") == 0)
        return replace(false);
    return meet_fault();
}

/* --- the tests -------------------------------------------------------------------------- */

static int setup(void **state)
{
    (void)state;
    return disk_place_make(&place, "shmq-disk");
}

static int teardown(void **state)
{
    (void)state;
    disk_place_remove(&place);
    return access(place.base, F_OK) == 0 ? -1 : 0;
}

/* Run one of the programs above under the recorder; its exit code. */
static int record(const char *program, const char *fail)
{
    const char *arguments[] = {program, place.base, NULL};
    int status = disk_run(&place, fail, arguments);

    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* What was met, over all states. */
struct seen {
    unsigned missing, short_a, torn_ab, torn_ba, old, whole_c, part_c, wrong;
};

static size_t read_file(const char *name, char *bytes, size_t size)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", place.made, name);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, bytes, size);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? SIZE_MAX : (size_t)n;
}

static bool all(const char *bytes, size_t n, char c)
{
    while (n > 0)
        if (bytes[--n] != c)
            return false;
    return true;
}

/* Nothing is there that the program cannot have left. */
static int look(const struct disk_state *s, void *arg)
{
    struct seen *seen = arg;
    char x[LARGE + 1];
    size_t n = read_file("f", x, sizeof(x));
    unsigned long done = strtoul(s->note, NULL, 10);

    if (n == SIZE_MAX) {
        seen->missing++;
        return done == 0 ? 0 : 1; /* it was synced, and so was the folder */
    }
    if (n == LARGE && all(x, n, 'c')) {
        seen->whole_c++;
        return done < 2;
    }
    if (done == 3 || n > SMALL || memchr(x, 'c', n)) {
        seen->part_c++;
        return 0;
    }
    if (done == 0) {
        seen->short_a += n < SMALL || !all(x, n, 'a');
        return memchr(x, 'b', n) != NULL;
    }
    if (n != SMALL) {
        seen->part_c++; /* the new one, with nothing in it yet */
        return done < 2;
    }
    seen->old += all(x, n, 'a');
    seen->torn_ab += all(x, 512, 'a') && all(x + 512, 512, 'b');
    seen->torn_ba += all(x, 512, 'b') && all(x + 512, 512, 'a');
    for (size_t i = 0; i < n; i += 512)
        seen->wrong += !all(x + i, 512, 'b') && !(done < 2 && all(x + i, 512, 'a'));
    return 0;
}

static struct seen look_at_all(const char *program, unsigned variants)
{
    struct seen seen = {0};
    struct disk_plan plan = {.log = place.log,
                             .folder = place.made,
                             .seed = 7,
                             .variants = variants,
                             .check = look,
                             .arg = &seen};

    assert_int_equal(record(program, NULL), 0);
    assert_cmp(disk_states(&plan), >, 5 * (int64_t)variants);
    return seen;
}

static void test_careful(void **state)
{
    (void)state;
    struct seen seen = look_at_all("careful", 60);
    assert_cmp(seen.missing, >, 0);
    assert_cmp(seen.short_a, >, 0);
    assert_cmp(seen.torn_ab, >, 0);
    assert_cmp(seen.torn_ba, >, 0);
    assert_cmp(seen.old, >, 0);
    assert_cmp(seen.whole_c, >, 0);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.part_c, 0);
}

/* The well-known mistake is found. */
static void test_careless(void **state)
{
    (void)state;
    struct seen seen = look_at_all("careless", 60);
    assert_cmp(seen.part_c, >, 0);
    assert_cmp(seen.whole_c, >, 0);
}

static int stop_at(const struct disk_state *s, void *arg)
{
    if (arg)
        *(uint64_t *)arg = s->number;
    return arg && s->number == 5 ? 42 : 0;
}

static void test_plan(void **state)
{
    uint64_t number = 0;
    struct disk_plan plan = {
        .log = place.log, .folder = place.made, .variants = 2, .check = stop_at, .arg = &number};

    (void)state;
    assert_int_equal(disk_states(&plan), -ENOENT);
    assert_int_equal(record("careful", NULL), 0);
    assert_int_equal(disk_states(&plan), -42);
    assert_int_equal(number, 5);
    plan.most = 4;
    plan.arg = NULL;
    int64_t n = disk_states(&plan);
    assert_in_range(n, 4, 6); /* the last prefix always */
    assert_int_equal(truncate(place.log, 50), 0);
    plan.most = 0;
    assert_int_equal(disk_states(&plan), -EPROTO);
}

static void test_faults(void **state)
{
    static const struct {
        const char *fail;
        int result;
    } cases[] = {{"99:EIO", 0},        {"1:ENOSPC", ENOSPC}, {"2:ENOSPC", ENOSPC}, {"2:SHORT", 100},
                 {"3:ENOSPC", ENOSPC}, {"4:EIO", EIO},       {"5:EIO", EIO},       {"2+:EIO", EIO}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(record("fault", cases[i].fail), cases[i].result);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_careful, setup, teardown),
        cmocka_unit_test_setup_teardown(test_careless, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plan, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
    };

    if (argc == 3)
        return run_program(argv);
    return helper_run(argc, argv, tests);
}
