/*
 * test_compact.c - journals that are rewritten, and synced now and then, by themselves.
 */
#include "support/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "file/format.h"
#include "handle/hooks.h"

enum { MIB = 1 << 20, MESSAGE = 1000 };

static const char *const file = folder_file, *const name = folder_queue;

static shmq_t *open_journal(unsigned journal, int64_t save_ns)
{
    struct shmq_attr attr = helper_attr(8 * MIB);

    attr.snapshot = file;
    attr.journal = journal;
    attr.save_ns = save_ns;
    return helper_open(name, SHMQ_CREATE, &attr);
}

/* The queue is gone, as after a crash of the machine; made anew from its file. */
static shmq_t *revive(unsigned journal)
{
    assert_int_equal(shmq_unlink(name), 0);
    return open_journal(journal, 0);
}

static off_t size_on_disk(void)
{
    struct stat st;

    return stat(file, &st) == 0 ? st.st_size : -1;
}

static void put_number(shmq_t *q, unsigned n)
{
    unsigned char bytes[MESSAGE] = {0};

    memcpy(bytes, &n, sizeof(n));
    assert_int_equal(shmq_put(q, bytes, sizeof(bytes), HELPER_LATE_NS), 0);
}

static void expect_number(shmq_t *q, unsigned n)
{
    unsigned char bytes[MESSAGE];
    unsigned got = 0;

    assert_int_equal(shmq_get(q, bytes, sizeof(bytes), NULL, HELPER_LATE_NS), MESSAGE);
    memcpy(&got, bytes, sizeof(got));
    assert_int_equal(got, n);
}

static bool is_short(void *arg)
{
    (void)arg;
    return size_on_disk() < 2 * MIB;
}

/* --- rewritten by itself -------------------------------------------------------- */

static bool has_one_more(void *arg)
{
    return helper_file_stats(arg).generation > 1;
}

/* Much passes, little is there at a time: the file stays short all along. */
static void stream(void **state)
{
    const unsigned modes[] = {SHMQ_JOURNAL_OS, SHMQ_JOURNAL_INTERVAL, SHMQ_JOURNAL_ALWAYS};

    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        shmq_t *q = open_journal(modes[i], 0);
        unsigned count = modes[i] == SHMQ_JOURNAL_ALWAYS ? 1200 : 20000;
        off_t longest = 0;
        put_number(q, 0);
        for (unsigned n = 1; n <= count; n++) {
            put_number(q, n);
            expect_number(q, n - 1);
            if (size_on_disk() > longest)
                longest = size_on_disk();
        }
        assert_in_range(longest, MIB, 8 * MIB);
        assert_true(helper_await(has_one_more, q));
        assert_true(helper_await(is_short, NULL));
        put_number(q, count + 1);
        assert_int_equal(shmq_close(q), 0);
        q = revive(modes[i]);
        expect_number(q, count);
        expect_number(q, count + 1);
        assert_int_equal(shmq_depth(q), 0);
        helper_finish(q);
        assert_int_equal(unlink(file), 0);
    }
}

/* Much is there, and then no more. */
static void drained(void **state)
{
    enum { COUNT = 7000 };
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);

    (void)state;
    for (unsigned n = 0; n < COUNT; n++)
        put_number(q, n);
    assert_cmp(size_on_disk(), >=, COUNT * MESSAGE);
    for (unsigned n = 0; n < COUNT; n++)
        expect_number(q, n);
    assert_true(helper_await(is_short, NULL));
    assert_int_equal(helper_file_stats(q).error, 0);
    helper_finish(q);
}

/* Messages of which some are longer than what is read of a journal at once. */
enum { LENGTH_MAX = 150000, KEPT = 8 };

static size_t length_of(unsigned n)
{
    return sizeof(n) + (n % 16 == 0 ? n * 7919 % LENGTH_MAX : n * 31 % 500);
}

static void put_length(shmq_t *q, unsigned n)
{
    static unsigned char bytes[LENGTH_MAX + sizeof(n)];

    memset(bytes, (int)(n % 251), length_of(n));
    memcpy(bytes, &n, sizeof(n));
    assert_int_equal(shmq_put(q, bytes, length_of(n), HELPER_LATE_NS), 0);
}

static void expect_length(shmq_t *q, unsigned n)
{
    static unsigned char bytes[LENGTH_MAX + sizeof(n)];
    unsigned got = 0;

    assert_int_equal(shmq_get(q, bytes, sizeof(bytes), NULL, HELPER_LATE_NS), length_of(n));
    memcpy(&got, bytes, sizeof(got));
    assert_int_equal(got, n);
    for (size_t i = sizeof(n); i < length_of(n); i++)
        assert_int_equal(bytes[i], n % 251);
}

struct lengths {
    _Atomic bool stop;
    _Atomic unsigned last; /* that was put; KEPT before it are there */
};

static int put_lengths(void *arg)
{
    struct lengths *l = arg;
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);

    for (unsigned n = 1; !atomic_load(&l->stop); n++) {
        put_length(q, n);
        if (n > KEPT)
            expect_length(q, n - KEPT);
        atomic_store(&l->last, n);
    }
    shmq_close(q);
    return 0;
}

static bool has_many(void *arg)
{
    return atomic_load(&((struct lengths *)arg)->last) > 500;
}

/* It is rewritten again and again while messages of all lengths are appended. */
static void of_all_lengths(void **state)
{
    struct lengths *l = helper_shared(sizeof(*l));
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);

    (void)state;
    pid_t child = helper_fork(put_lengths, l);
    assert_true(helper_await(has_many, l));
    for (int i = 0; i < 20; i++)
        assert_int_equal(shmq_save(q, NULL), 0);
    atomic_store(&l->stop, true);
    assert_int_equal(helper_wait(child), 0);
    unsigned last = atomic_load(&l->last);
    assert_int_equal(shmq_close(q), 0);
    q = revive(SHMQ_JOURNAL_OS);
    assert_int_equal(shmq_depth(q), KEPT);
    for (unsigned n = last - KEPT + 1; n <= last; n++)
        expect_length(q, n);
    helper_finish(q);
}

struct family {
    shmq_t *q;
    _Atomic int begin;
    _Atomic unsigned put;
    unsigned seen;    /* of these, by the process that waits */
    _Atomic int done; /* 1 well, 2 not */
    _Atomic int end;
};

static bool may_begin(void *arg)
{
    return atomic_load(&((struct family *)arg)->begin) != 0;
}

static bool may_end(void *arg)
{
    return atomic_load(&((struct family *)arg)->end) != 0;
}

static bool is_done(void *arg)
{
    return atomic_load(&((struct family *)arg)->done) != 0;
}

static bool goes_on(void *arg)
{
    struct family *f = arg;

    return is_done(f) || atomic_load(&f->put) > f->seen;
}

/* Has a handle of its parent's, who is no more. */
static int orphan(void *arg)
{
    struct family *f = arg;

    if (!helper_await(may_begin, f))
        return 1;
    for (unsigned n = 0; n < 20000; n++) {
        put_number(f->q, n);
        expect_number(f->q, n);
        atomic_store(&f->put, n);
    }
    atomic_store(&f->done, is_short(NULL) && helper_file_stats(f->q).generation > 1 ? 1 : 2);
    return helper_await(may_end, f) ? 0 : 1;
}

static int parent_of_orphan(void *arg)
{
    struct family *f = arg;

    f->q = open_journal(SHMQ_JOURNAL_OS, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(orphan(f));
    return pid > 0 ? 0 : 1;
}

/* A forked child has no thread for it, and does it itself. */
static void by_a_forked_child(void **state)
{
    struct family *f = helper_shared(sizeof(*f));

    (void)state;
    assert_int_equal(helper_wait(helper_fork(parent_of_orphan, f)), 0);
    atomic_store(&f->begin, 1);
    while (!is_done(f)) {
        f->seen = atomic_load(&f->put);
        assert_true(helper_await(goes_on, f));
    }
    assert_int_equal(atomic_load(&f->done), 1);
    atomic_store(&f->end, 1);
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);
    assert_int_equal(shmq_depth(q), 0);
    helper_finish(q);
}

/* After its file was removed; once more, if it was healed before this put. */
static bool is_refused(void *arg)
{
    unsigned char bytes[MESSAGE] = {0};
    unsigned n = 2;

    unlink(file);
    memcpy(bytes, &n, sizeof(n));
    return shmq_put(arg, bytes, sizeof(bytes), SHMQ_NOWAIT) == -ENOENT;
}

static bool has_no_error(void *arg)
{
    return helper_file_stats(arg).error == 0;
}

/* A file that was removed is there again, and whole, within a second or so. */
static void healed(void **state)
{
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);

    (void)state;
    put_number(q, 1);
    assert_true(helper_await(is_refused, q));
    int64_t depth = shmq_depth(q);
    assert_true(helper_await(has_no_error, q));
    put_number(q, 2);
    assert_int_equal(shmq_close(q), 0);
    q = revive(SHMQ_JOURNAL_OS);
    assert_int_equal(shmq_depth(q), depth + 1);
    expect_number(q, 1);
    for (; depth > 0; depth--)
        expect_number(q, 2);
    helper_finish(q);
}

/* An open that is refused closes its handle, which may have to sync or save as any other. */
static void refused_opens(void **state)
{
    struct shmq_attr attr = helper_attr(8 * MIB);
    shmq_t *other;

    (void)state;
    attr.snapshot = file;
    attr.journal = SHMQ_JOURNAL_INTERVAL;
    attr.save_ns = SHMQ_SEC(3600);
    shmq_t *q = helper_open(name, SHMQ_CREATE | SHMQ_SOLE_PRODUCER, &attr);
    put_number(q, 1);
    assert_int_equal(shmq_open(&other, name, SHMQ_SOLE_PRODUCER, NULL), -EBUSY);
    expect_number(q, 1);
    helper_finish(q);
    assert_int_equal(unlink(file), 0);

    attr = helper_attr(8 * MIB);
    attr.snapshot = file;
    attr.save_at_end = 1;
    attr.full = SHMQ_FULL_DROP;
    q = helper_open(name, SHMQ_CREATE, &attr);
    shmq_t *second = helper_open(name, 0, NULL);
    put_number(q, 2);
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_close(second), 0);
    assert_int_equal(shmq_open(&other, name, SHMQ_SOLE_CONSUMER, NULL), -EINVAL);
    q = helper_open(name, 0, NULL);
    expect_number(q, 2);
    helper_finish(q);
}

/* The path in the segment is no path any more: whoever opens the queue then is told so. */
static void damaged_path(void **state)
{
    shmq_t *q = open_journal(SHMQ_JOURNAL_INTERVAL, SHMQ_SEC(3600)), *second;

    (void)state;
    put_number(q, 1);
    q->segment.file->path[0] = '\0';
    assert_int_equal(shmq_open(&second, name, 0, NULL), 0);
    assert_int_equal(shmq_put(second, "x", 1, SHMQ_NOWAIT), -EBADMSG);
    assert_int_equal(shmq_close(second), 0);
    q->segment.file->path[0] = '/';
    expect_number(q, 1);
    helper_finish(q);
}

/* --- damage on the way ------------------------------------------------------------ */

/* A handle whose thread has ended: nothing is rewritten unless the test asks for it. */
static shmq_t *open_without_thread(void)
{
    shmq_t *q = open_journal(SHMQ_JOURNAL_OS, 0);

    sq_hook_drop(q, SQ_HOOK_SAVER);
    return q;
}

/* How the child's rewriting of the journal ended. */
struct rewriting {
    int rc;
    char detail[256];
};

static int rewrite(void *arg)
{
    struct rewriting *r = arg;
    shmq_t *q = open_without_thread();

    r->rc = shmq_save(q, NULL);
    snprintf(r->detail, sizeof(r->detail), "%s", shmq_last_error_detail());
    shmq_close(q);
    return 0;
}

/* The child has noted where the journal ends. */
static bool is_pinned(void *arg)
{
    return sq_ring_is_pinned(&((shmq_t *)arg)->segment.ring);
}

static void flip(off_t at)
{
    int fd = open(file, O_RDWR);
    char byte;

    assert_cmp(fd, >=, 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Which file it is, and what is in it. */
struct sight {
    ino_t number;
    uint32_t sum;
};

static struct sight look_at_file(void)
{
    unsigned char *bytes = malloc((size_t)size_on_disk());
    int fd = open(file, O_RDONLY);
    struct stat st;

    assert_cmp(fd, >=, 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
    struct sight sight = {st.st_ino, sq_crc32c(0, bytes, (size_t)st.st_size)};
    free(bytes);
    close(fd);
    return sight;
}

/*
 * A child rewrites the journal; meanwhile messages 2 and 3 are appended, and the byte that
 * is `at` bytes behind the beginning of their frames is flipped (-1: none is).
 */
static void rewrite_damaged(shmq_t *q, off_t at, struct rewriting *r, struct sight *sight)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(10));

    /* The child notes where the journal ends and then waits for this side. */
    assert_int_equal(sq_enter(q, SQ_ROLE_CONSUMER, &deadline), 0);
    sq_lock_kept(&q->segment.ring.group->lock); /* as if by another; we go on putting */
    pid_t child = helper_fork(rewrite, r);
    assert_true(helper_await(is_pinned, q));
    off_t end = (off_t)helper_file_stats(q).file_bytes;
    put_number(q, 2);
    put_number(q, 3);
    if (at >= 0)
        flip(end + at);
    *sight = look_at_file();
    sq_leave(q, SQ_ROLE_CONSUMER);
    assert_int_equal(helper_wait(child), 0);
}

/* False: the child waited for longer than the second that it allows, and so saw nothing. */
static bool try_damage(void *arg)
{
    struct rewriting *r = helper_shared(sizeof(*r));
    off_t at = *(const off_t *)arg;
    shmq_t *q = open_without_thread();
    struct sight before;

    put_number(q, 1);
    rewrite_damaged(q, at, r, &before);
    bool in_time = r->rc != -ETIMEDOUT;
    if (in_time && at >= 0) {
        struct sight after = look_at_file();
        assert_int_equal(r->rc, -EBADMSG);
        assert_non_null(strstr(r->detail, "the journal is damaged at offset"));
        assert_int_equal(helper_file_stats(q).error, EBADMSG);
        assert_int_equal(helper_file_stats(q).generation, 1);
        assert_int_equal(after.number, before.number);
        assert_int_equal(after.sum, before.sum);
        /* The damage lies before the end that is noted now, and is not copied. */
        assert_int_equal(shmq_save(q, NULL), 0);
    } else if (in_time) {
        assert_int_equal(r->rc, 0);
    }
    if (in_time) {
        assert_int_equal(helper_file_stats(q).error, 0);
        assert_int_equal(helper_file_stats(q).generation, 2);
        assert_int_equal(shmq_close(q), 0);
        q = revive(SHMQ_JOURNAL_OS);
        for (unsigned n = 1; n <= 3; n++)
            expect_number(q, n);
    }
    helper_finish(q);
    assert_int_equal(unlink(file), 0);
    munmap(r, sizeof(*r));
    return in_time;
}

/* A frame that is to be copied has been damaged on the disk: the old journal stays, and the
 * next rewriting makes a whole one. */
static void damage_is_not_copied(void **state)
{
    const uint32_t record = SQ_RECORD_HEADER_BYTES + MESSAGE;
    const off_t frame = (off_t)sq_frame_total(record);
    off_t places[] = {
        -1,
        offsetof(struct sq_frame, check),
        offsetof(struct sq_frame, kind),
        offsetof(struct sq_frame, bytes),
        offsetof(struct sq_frame, content_check),
        sizeof(struct sq_frame),
        sizeof(struct sq_frame) + record / 2,
        frame + (off_t)offsetof(struct sq_frame, kind),
        frame + (off_t)(sizeof(struct sq_frame) + record) - 1,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        assert_true(helper_await(try_damage, &places[i]));
}

/* --- now and then on the disk ----------------------------------------------------- */

static bool is_synced(void *arg)
{
    struct shmq_file_stats stats = helper_file_stats(arg);

    return stats.synced_bytes == stats.file_bytes && stats.stale == 0;
}

static void synced_by_time(void **state)
{
    shmq_t *q = open_journal(SHMQ_JOURNAL_INTERVAL, SHMQ_MS(20));

    (void)state;
    for (unsigned n = 0; n < 5; n++) {
        put_number(q, n);
        assert_true(helper_await(is_synced, q));
        assert_in_range(helper_file_stats(q).sync_count, n + 1, 1000000);
    }
    assert_int_equal(helper_file_stats(q).lag, 0);
    assert_int_equal(helper_file_stats(q).generation, 1);
    helper_finish(q);
}

/* Of more handles the first that finds it due does it. */
static void synced_once(void **state)
{
    shmq_t *qs[8];

    (void)state;
    for (int i = 0; i < 8; i++)
        qs[i] = open_journal(SHMQ_JOURNAL_INTERVAL, SHMQ_SEC(1));
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    assert_int_equal(shmq_attr_of(qs[0], &attr), 0);
    assert_int_equal(attr.journal, SHMQ_JOURNAL_INTERVAL);
    put_number(qs[0], 1);
    assert_true(helper_await(is_synced, qs[7]));
    assert_int_equal(helper_file_stats(qs[7]).sync_count, 1);
    for (int i = 1; i < 8; i++)
        assert_int_equal(shmq_close(qs[i]), 0);
    helper_finish(qs[0]);
}

static int64_t default_interval(void)
{
    shmq_t *q = open_journal(SHMQ_JOURNAL_INTERVAL, 0);
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    assert_int_equal(shmq_attr_of(q, &attr), 0);
    helper_finish(q);
    assert_int_equal(unlink(file), 0);
    return attr.save_ns;
}

/* Who closes has put on the disk what was not; and what was not is there after a kill. */
static void synced_at_the_end(void **state)
{
    (void)state;
    assert_int_equal(default_interval(), SHMQ_SEC(1));
    shmq_t *q = open_journal(SHMQ_JOURNAL_INTERVAL, SHMQ_SEC(1000));
    put_number(q, 1);
    assert_int_equal(shmq_sync(q, 1, HELPER_LATE_NS), 0);
    put_number(q, 2);
    assert_false(is_synced(q));
    assert_int_equal(shmq_close(q), 0);
    q = open_journal(SHMQ_JOURNAL_INTERVAL, 0);
    assert_true(is_synced(q));
    put_number(q, 3);
    assert_int_equal(shmq_sync(q, 0, HELPER_LATE_NS), 0);
    assert_true(is_synced(q));
    put_number(q, 4);
    assert_int_equal(shmq_close(q), 0);
    q = revive(SHMQ_JOURNAL_OS);
    for (unsigned n = 1; n <= 4; n++)
        expect_number(q, n);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(stream),
        FOLDER_TEST(drained),
        FOLDER_TEST(of_all_lengths),
        FOLDER_TEST(by_a_forked_child),
        FOLDER_TEST(healed),
        FOLDER_TEST(synced_by_time),
        FOLDER_TEST(synced_once),
        FOLDER_TEST(synced_at_the_end),
        FOLDER_TEST(damage_is_not_copied),
        FOLDER_TEST(refused_opens),
        FOLDER_TEST(damaged_path),
    };

    return helper_run(argc, argv, tests);
}
