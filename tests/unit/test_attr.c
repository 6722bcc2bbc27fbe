/*
 * test_attr.c - names, flags and attributes: the good ones are taken as given,
 * the bad ones refused, and of two that contradict each other both are named.
 */
#include "support/helper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int try_open(const char *name, int flags, const struct shmq_attr *attr)
{
    shmq_t *q;
    int rc = shmq_open(&q, name, flags, attr);

    if (rc != 0)
        assert_null(q);
    shmq_close(q);
    return rc;
}

static void names(void **state)
{
    static const char *const bad[] = {"",     "/",    "a/b", "//a", "a b", "a\n",
                                      "\xff", "a\\b", "a:b", "a*",  "/a/"};
    char name[300], with_slash[301];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(try_open(bad[i], SHMQ_CREATE, NULL), -EINVAL);
        assert_int_equal(shmq_unlink(bad[i]), -EINVAL);
    }
    assert_int_equal(try_open(NULL, SHMQ_CREATE, NULL), -EINVAL);
    assert_int_equal(shmq_unlink(NULL), -EINVAL);
    snprintf(name, sizeof(name), "%s", helper_name("azAZ09._-"));
    memset(name + strlen(name), 'x', 201 - strlen(name));
    name[201] = '\0';
    assert_int_equal(try_open(name, SHMQ_CREATE, NULL), -EINVAL);
    assert_true(helper_detail_names("200", "201"));
    name[200] = '\0';
    assert_int_equal(try_open(name, SHMQ_CREATE, NULL), 0);
    snprintf(with_slash, sizeof(with_slash), "/%s", name);
    assert_int_equal(try_open(with_slash, 0, NULL), 0);
    assert_int_equal(shmq_unlink(with_slash), 0);
    assert_int_equal(try_open(name, 0, NULL), -ENOENT);
    assert_int_equal(shmq_unlink(name), -ENOENT);
}

static int seen(const char *name, void *arg)
{
    return strcmp(name, arg) == 0 ? 7 : 0;
}

static void list(void **state)
{
    shmq_t *q = helper_create(NULL);

    (void)state;
    assert_int_equal(shmq_list(seen, (void *)(uintptr_t)helper_name("a")), 7);
    assert_int_equal(shmq_list(seen, (void *)(uintptr_t)helper_name("b")), 0);
    helper_finish(q);
}

static void flags(void **state)
{
    static const struct {
        int flags;
        const char *one, *other;
    } bad[] = {
        {SHMQ_EXCL, "SHMQ_EXCL", "SHMQ_CREATE"},
        {SHMQ_RDONLY | SHMQ_CREATE, "SHMQ_RDONLY", "SHMQ_CREATE"},
        {SHMQ_RDONLY | SHMQ_SOLE_PRODUCER, "SHMQ_RDONLY", "SHMQ_SOLE_PRODUCER"},
        {SHMQ_RDONLY | SHMQ_SOLE_CONSUMER, "SHMQ_RDONLY", "SHMQ_SOLE_CONSUMER"},
        {1 << 30 | SHMQ_CREATE, "0x40000000", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(try_open(helper_name("a"), bad[i].flags, NULL), -EINVAL);
        assert_true(helper_detail_names(bad[i].one, bad[i].other));
    }
    assert_int_equal(try_open(helper_name("a"), 0, NULL), -ENOENT);
}

/* A sole consumer and full=drop: with attributes as given, and as they are. */
static void sole_consumer_and_drop(void **state)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    (void)state;
    attr.full = SHMQ_FULL_DROP;
    assert_int_equal(try_open(helper_name("a"), SHMQ_CREATE | SHMQ_SOLE_CONSUMER, &attr), -EINVAL);
    assert_true(helper_detail_names("SHMQ_SOLE_CONSUMER", "full=drop"));
    /* Refused means that there is nothing now. */
    assert_int_equal(try_open(helper_name("a"), 0, NULL), -ENOENT);
    shmq_t *q = helper_create(&attr);
    assert_int_equal(try_open(helper_name("a"), SHMQ_SOLE_CONSUMER, NULL), -EINVAL);
    assert_true(helper_detail_names("SHMQ_SOLE_CONSUMER", "full=drop"));
    assert_int_equal(try_open(helper_name("a"), SHMQ_SOLE_PRODUCER, NULL), 0);
    helper_finish(q);
}

static void contradictions(void **state)
{
    static const struct {
        struct shmq_attr attr;
        const char *one, *other;
    } bad[] = {
        {{.size = sizeof(struct shmq_attr), .capacity_bytes = 4096, .max_message_bytes = 4073},
         "max_message_bytes",
         "capacity_bytes"},
        {{.size = sizeof(struct shmq_attr), .max_message_bytes = UINT64_MAX},
         "max_message_bytes",
         "capacity_bytes"},
        {{.size = sizeof(struct shmq_attr), .capacity_bytes = 4096, .max_messages = 171},
         "max_messages",
         "capacity_bytes"},
        {{.size = sizeof(struct shmq_attr), .capacity_bytes = UINT64_MAX},
         "capacity_bytes",
         "limit"},
        {{.size = sizeof(struct shmq_attr), .capacity_bytes = ((uint64_t)1 << 40) + 1},
         "capacity_bytes",
         ""},
        {{.size = sizeof(struct shmq_attr), .full = 3}, "full", "3"},
        {{.size = sizeof(struct shmq_attr), .mode = 01600}, "mode", "01600"},
        {{.size = sizeof(struct shmq_attr), .mode = 0400}, "mode", "0400"},
        {{.size = sizeof(struct shmq_attr), .mode = 0066}, "mode", "owner"},
        {{.size = 0}, "size", "SHMQ_ATTR_INIT"},
        {{.size = 7}, "size", "7"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(try_open(helper_name("a"), SHMQ_CREATE, &bad[i].attr), -EINVAL);
        assert_true(helper_detail_names(bad[i].one, bad[i].other));
        assert_int_equal(try_open(helper_name("a"), 0, NULL), -ENOENT);
    }
}

static void defaults_and_rounding(void **state)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    shmq_t *q = helper_create(NULL);

    (void)state;
    assert_int_equal(shmq_attr_of(q, &attr), 0);
    assert_int_equal(attr.size, sizeof(attr));
    assert_int_equal(attr.capacity_bytes, 1 << 20);
    assert_int_equal(attr.max_messages, 0);
    assert_int_equal(attr.max_message_bytes, (1 << 20) - 24);
    assert_int_equal(attr.full, SHMQ_FULL_BLOCK);
    assert_int_equal(attr.mode, 0600);
    helper_finish(q);
    attr = (struct shmq_attr){.size = sizeof(attr),
                              .capacity_bytes = 5000,
                              .max_messages = 170,
                              .max_message_bytes = 17,
                              .full = SHMQ_FULL_FAIL,
                              .mode = 0640};
    q = helper_create(&attr);
    /* Who attaches gets what is in force, whatever he asks for. */
    attr.max_messages = 1;
    shmq_t *r = helper_open(helper_name("a"), SHMQ_CREATE, &attr);
    assert_int_equal(shmq_attr_of(r, &attr), 0);
    assert_int_equal(attr.capacity_bytes, 8192);
    assert_int_equal(attr.max_messages, 170);
    assert_int_equal(attr.max_message_bytes, 17);
    assert_int_equal(attr.full, SHMQ_FULL_FAIL);
    assert_int_equal(attr.mode, 0640);
    assert_int_equal(shmq_close(r), 0);
    helper_finish(q);
    attr = helper_attr(1);
    q = helper_create(&attr);
    assert_int_equal(shmq_attr_of(q, &attr), 0);
    assert_int_equal(attr.capacity_bytes, sysconf(_SC_PAGESIZE));
    helper_finish(q);
}

/* Programs compiled with an older or a newer struct. */
static void struct_grows(void **state)
{
    struct {
        struct shmq_attr known;
        uint64_t later[2];
    } longer = {SHMQ_ATTR_INIT, {0, 0}};
    struct shmq_attr older = SHMQ_ATTR_INIT;

    (void)state;
    longer.known.size = sizeof(longer);
    longer.known.capacity_bytes = 4096;
    shmq_t *q = helper_create(&longer.known);
    longer.later[1] = 7;
    assert_int_equal(shmq_attr_of(q, &longer.known), 0);
    assert_int_equal(longer.known.capacity_bytes, 4096);
    assert_int_equal(longer.known.size, sizeof(longer));
    assert_int_equal(longer.later[1], 0);
    longer.later[1] = (uint64_t)1 << 56;
    assert_int_equal(try_open(helper_name("b"), SHMQ_CREATE, &longer.known), -EINVAL);
    /* The last byte is named, and how many the library knows. */
    char byte[32], known[32];
    snprintf(byte, sizeof(byte), "attr byte %zu", sizeof(longer) - 1);
    snprintf(known, sizeof(known), "%zu", sizeof(longer.known));
    assert_true(helper_detail_names(byte, known));
    /* The old caller knew only the size and the capacity. */
    older.size = offsetof(struct shmq_attr, max_messages);
    older.mode = 0777;
    assert_int_equal(shmq_attr_of(q, &older), 0);
    assert_int_equal(older.capacity_bytes, 4096);
    assert_int_equal(older.mode, 0777);
    helper_finish(q);
    q = helper_create(&older);
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    assert_int_equal(shmq_attr_of(q, &attr), 0);
    assert_int_equal(attr.capacity_bytes, 4096);
    assert_int_equal(attr.mode, 0600);
    attr.size = 4;
    assert_int_equal(shmq_attr_of(q, &attr), -EINVAL);
    helper_finish(q);
}

static void mode_despite_umask(void **state)
{
    static const mode_t modes[] = {0600, 0660, 0666, 0777, 0640};
    mode_t old = umask(0077);
    struct shmq_attr attr = helper_attr(4096);
    char path[256];
    struct stat st;

    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        attr.mode = modes[i];
        umask(i % 2 ? 0777 : 0027);
        shmq_t *q = helper_create(&attr);
        snprintf(path, sizeof(path), "/dev/shm/shmq.%s", helper_name("a"));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode, S_IFREG | modes[i]);
        helper_finish(q);
    }
    umask(old);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(names),          HELPER_TEST(list),
        HELPER_TEST(flags),          HELPER_TEST(sole_consumer_and_drop),
        HELPER_TEST(contradictions), HELPER_TEST(defaults_and_rounding),
        HELPER_TEST(struct_grows),   HELPER_TEST(mode_despite_umask),
    };

    return helper_run(argc, argv, tests);
}
