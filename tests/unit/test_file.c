/*
 * test_file.c - files opened with care, locked, replaced whole (file/file.h); no room on the disk.
 */
#include "support/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/frame_writer.h"

static const char *const folder = folder_path;
static struct sq_file_path path;

static int setup(void **state)
{
    int rc = folder_setup(state);

    snprintf(path.text, sizeof(path.text), "%s", folder_file);
    return rc;
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, folder_teardown)

/* Replace the file by one with this text: the descriptor, or an error. */
static int replace(const char *text, enum sq_file_end end)
{
    struct sq_file_out out;
    int rc = sq_file_begin(&out, &path);

    if (rc < 0)
        return rc;
    rc = sq_file_put(&out, text, strlen(text));
    if (rc == 0)
        return sq_file_finish(&out, end);
    sq_file_abandon(&out);
    return rc;
}

static void holds(int fd, const char *text)
{
    struct sq_file_bytes bytes;

    assert_int_equal(sq_file_read(fd, &bytes), 0);
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.bytes, text, bytes.size);
    sq_file_free(&bytes);
}

static void paths(void **state)
{
    struct sq_file_path p;
    char longest[2000];

    (void)state;
    assert_int_equal(sq_file_path(&p, NULL), -EINVAL);
    assert_int_equal(sq_file_path(&p, ""), -EINVAL);
    assert_int_equal(sq_file_path(&p, "/tmp/"), -EINVAL);
    assert_int_equal(sq_file_path(&p, "/tmp/.."), -EINVAL);
    assert_int_equal(sq_file_path(&p, "/no/such/folder/x"), -ENOENT);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(sq_file_path(&p, longest), -ENAMETOOLONG);
    assert_int_equal(sq_file_path(&p, "/x"), 0);
    assert_string_equal(p.text, "/x");
    assert_int_equal(sq_file_path(&p, "x"), 0);
    assert_int_equal(p.text[0], '/');
}

static void locks(void **state)
{
    (void)state;
    assert_int_equal(sq_file_open(&path, SQ_FILE_SHARED), -ENOENT);
    int one = replace("one", SQ_FILE_NEW);
    assert_cmp(one, >=, 0);
    assert_int_equal(replace("two", SQ_FILE_NEW), -EEXIST);
    assert_int_equal(sq_file_open(&path, SQ_FILE_SHARED), -EAGAIN); /* one has it alone */
    assert_int_equal(sq_file_share(one), 0);
    int two = sq_file_open(&path, SQ_FILE_SHARED);
    assert_cmp(two, >=, 0);
    assert_int_equal(sq_file_open(&path, SQ_FILE_ALONE), -EBUSY);
    close(one);
    holds(two, "one");
    int three = replace("three", SQ_FILE_REPLACE);
    assert_cmp(three, >=, 0);
    assert_true(sq_file_is_at(three, &path));
    assert_false(sq_file_is_at(two, &path));
    holds(two, "one"); /* who has the old one open still has it */
    assert_int_equal(sq_file_open(&path, SQ_FILE_ALONE), -EBUSY);
    close(two);
    close(three);
    int alone = sq_file_open(&path, SQ_FILE_ALONE);
    assert_cmp(alone, >=, 0);
    holds(alone, "three");
    close(alone);
}

static void traps(void **state)
{
    (void)state;
    assert_int_equal(symlink("/etc/passwd", path.text), 0);
    assert_int_equal(sq_file_open(&path, SQ_FILE_SHARED), -EPROTO);
    unlink(path.text);
    assert_int_equal(mkfifo(path.text, 0600), 0);
    assert_int_equal(sq_file_open(&path, SQ_FILE_SHARED), -EPROTO);
    assert_int_equal(sq_file_open(&path, SQ_FILE_ALONE), -EPROTO);
    unlink(path.text);
    assert_int_equal(mkdir(path.text, 0700), 0);
    assert_int_equal(sq_file_open(&path, SQ_FILE_SHARED), -EPROTO);
    rmdir(path.text);
    if (geteuid() != 0)
        return;
    close(replace("x", SQ_FILE_REPLACE));
    assert_int_equal(chown(path.text, 12345, (gid_t)-1), 0);
    assert_int_equal(sq_file_open(&path, SQ_FILE_SHARED), -EACCES);
    assert_true(helper_detail_names(path.text, "12345"));
}

static void what_the_dead_left(void **state)
{
    struct sq_file_out out, next;
    char left[128];

    (void)state;
    snprintf(left, sizeof(left), "%s/queue.tmp-0123456789abcdef", folder);
    close(open(left, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(sq_file_begin(&out, &path), 0);
    assert_int_equal(access(left, F_OK), -1);
    /* But not what somebody is writing. */
    assert_int_equal(sq_file_begin(&next, &path), 0);
    assert_int_equal(access(out.temporary.text, F_OK), 0);
    sq_file_abandon(&next);
    int fd = sq_file_finish(&out, SQ_FILE_REPLACE);
    assert_cmp(fd, >=, 0);
    close(fd);
}

/* A folder where nobody may write: as another user, if we are root. */
static int cannot_write(void *arg)
{
    (void)arg;
    if (geteuid() == 0 && setuid(12345) != 0)
        return 2;
    return replace("new", SQ_FILE_REPLACE) == -EACCES ? 0 : 1;
}

static void a_folder_to_read(void **state)
{
    (void)state;
    int fd = replace("old", SQ_FILE_REPLACE);
    assert_int_equal(chmod(folder, 0555), 0);
    assert_int_equal(helper_wait(helper_fork(cannot_write, NULL)), 0);
    assert_int_equal(chmod(folder, 0700), 0);
    holds(fd, "old");
    close(fd);
}

/* A disk of 64 KiB: the old file stays, and nothing is left beside it. */
static void a_full_disk(void **state)
{
    static char text[200000];

    (void)state;
    if (geteuid() != 0 || mount("shmq", folder, "tmpfs", 0, "size=64k") != 0)
        skip();
    memset(text, 'x', sizeof(text) - 1);
    int fd = replace("old", SQ_FILE_REPLACE);
    int rc = replace(text, SQ_FILE_REPLACE);
    struct sq_file_bytes bytes;
    int read = sq_file_read(fd, &bytes);
    uint64_t size = bytes.size;
    sq_file_free(&bytes);
    close(fd);
    unlink(path.text);
    int left = rmdir(folder) != 0 && errno == EBUSY ? 0 : 1;
    assert_int_equal(umount(folder), 0);
    assert_int_equal(rc, -ENOSPC);
    assert_int_equal(read, 0);
    assert_int_equal(size, 3);
    assert_int_equal(left, 0);
}

/* Cut off between the look at its size and reading: what there is, and no signal. */
static void cut_off(void **state)
{
    struct sq_file_bytes bytes;

    (void)state;
    int fd = replace("0123456789", SQ_FILE_REPLACE);
    assert_int_equal(sq_file_read(fd, &bytes), 0);
    assert_int_equal(truncate(path.text, 4), 0);
    assert_memory_equal(bytes.bytes, "0123456789", 10); /* ours */
    sq_file_free(&bytes);
    holds(fd, "0123");
    close(fd);
}

/* What stands behind the header's last field is zeros, and not what the memory held. */
static void header_page(void **state)
{
    const size_t end = offsetof(struct sq_file_header, check) + sizeof(uint32_t);
    struct sq_file_header header;
    struct sq_file_bytes bytes;
    struct sq_file_out out;
    struct sq_frames frames = {.out = &out};

    (void)state;
    memset(&header, 0xff, sizeof(header));
    assert_int_equal(sq_file_begin(&out, &path), 0);
    assert_int_equal(sq_frames_begin(&frames, &header), 0);
    int fd = sq_file_finish(&out, SQ_FILE_REPLACE);
    assert_int_equal(sq_file_read(fd, &bytes), 0);
    assert_int_equal(bytes.size, SQ_FILE_HEADER_BYTES);
    assert_memory_equal(bytes.bytes, &header, end);
    for (size_t i = end; i < bytes.size; i++)
        assert_int_equal(((const unsigned char *)bytes.bytes)[i], 0);
    sq_file_free(&bytes);
    close(fd);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(paths),
        FILE_TEST(locks),
        FILE_TEST(traps),
        FILE_TEST(what_the_dead_left),
        FILE_TEST(a_folder_to_read),
        FILE_TEST(a_full_disk),
        FILE_TEST(cut_off),
        FILE_TEST(header_page),
    };

    return helper_run(argc, argv, tests);
}
