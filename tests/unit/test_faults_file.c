/*
 * test_faults_file.c - each system call fails, as in test_faults.c, by which a file is created,
 * restored, loaded, saved, or saved at the end; and by which a journal is rewritten while
 * others go on putting.
 */
#include "support/faulty.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/contents.h"

/* --- queues -------------------------------------------------------------------------------- */

static uint32_t journal; /* of those that are made */

static struct shmq_attr attr_of(void)
{
    struct shmq_attr attr = helper_attr(1 << 17);

    attr.snapshot = faulty_file;
    attr.journal = journal;
    attr.pending_count = 64;
    return attr;
}

static shmq_t *open_queue(int flags)
{
    struct shmq_attr attr = attr_of();

    return helper_open(helper_name("a"), SHMQ_CREATE | flags, &attr);
}

static void fill(shmq_t *q)
{
    for (int i = 0; i < 20; i++)
        helper_send(q, i % 2 == 0 ? "some text" : "some other, which is longer");
    assert_true(helper_takes(q, "some text"));
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(3600), 0), 0);
    msg = helper_receive(q);
    assert_int_equal(shmq_reject(q, &msg, SHMQ_REASON_PROCESSING, NULL), 0);
}

/* A queue and its file, which has all of it. */
static shmq_t *make(void)
{
    shmq_t *q = open_queue(SHMQ_EXCL);

    fill(q);
    assert_int_equal(shmq_save(q, NULL), 0);
    return q;
}

static void go_down(shmq_t *q)
{
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
}

static bool is_there(const char *suffix)
{
    shmq_t *q;
    int rc = shmq_open(&q, helper_name(suffix), 0, NULL);

    if (rc == 0)
        shmq_close(q);
    return rc != -ENOENT;
}

/* An error is told if there was one, and must be if nothing can have been done. */
static void check_error(int rc, const struct disk_calls *calls, const char *how)
{
    if (rc < 0 ? calls->failed > 0 && faulty_may_say(rc, how)
               : !faulty_is_vital(calls, how, journal == SHMQ_JOURNAL_ALWAYS))
        return;
    print_error("%s, in %s: %d (%s)\n", how, calls->first, rc, shmq_last_error_detail());
    fail();
}

/* The queue goes on: what is put is in the file, if need be after a save, and nothing else is
 * beside that. */
static void works(shmq_t *q)
{
    helper_send(q, "more");
    assert_true(faulty_is_good(shmq_save(q, NULL), "then a save"));
    assert_int_equal(helper_file_stats(q).error, 0);
    char *text = contents_of(q);
    assert_true(faulty_is_in(faulty_file, text, NULL));
    free(text);
    assert_int_equal(faulty_count(), 1);
}

/* --- creating and restoring ------------------------------------------------------------------- */

static struct disk_calls create(const char *how)
{
    struct shmq_attr attr = attr_of();
    shmq_t *q;

    disk_fail(how);
    int rc = shmq_open(&q, helper_name("a"), SHMQ_CREATE | SHMQ_EXCL, &attr);
    struct disk_calls calls = disk_calls();
    disk_fail("");
    check_error(rc, &calls, how);
    if (rc < 0) {
        assert_false(is_there("a"));
        assert_true(faulty_is_clean(&calls, how, 0));
        q = open_queue(SHMQ_EXCL);
    }
    works(q);
    go_down(q);
    return calls;
}

static struct disk_calls restore(const char *how)
{
    struct shmq_attr attr = attr_of();
    shmq_t *q = make();
    char *before = contents_of(q);

    go_down(q);
    disk_fail(how);
    int rc = shmq_open(&q, helper_name("a"), SHMQ_CREATE, &attr);
    struct disk_calls calls = disk_calls();
    disk_fail("");
    check_error(rc, &calls, how);
    if (rc < 0) {
        assert_false(is_there("a"));
        assert_true(faulty_is_clean(&calls, how, 1));
        assert_true(faulty_is_in(faulty_file, before, NULL));
        q = open_queue(SHMQ_EXCL);
    }
    char *after = contents_of(q);
    assert_string_equal(before, after);
    works(q);
    go_down(q);
    free(before);
    free(after);
    return calls;
}

static struct disk_calls load(const char *how)
{
    shmq_t *q = make();
    char *before = contents_of(q);

    disk_fail(how);
    int rc = shmq_load(helper_name("b"), faulty_file);
    struct disk_calls calls = disk_calls();
    disk_fail("");
    check_error(rc, &calls, how);
    if (rc < 0) {
        assert_false(is_there("b"));
        assert_int_equal(shmq_load(helper_name("b"), faulty_file), 0);
    }
    shmq_t *loaded = helper_open(helper_name("b"), 0, NULL);
    char *after = contents_of(loaded);
    assert_string_equal(before, after);
    assert_int_equal(shmq_close(loaded), 0);
    assert_int_equal(shmq_unlink(helper_name("b")), 0);
    works(q);
    go_down(q);
    free(before);
    free(after);
    return calls;
}

/* --- saving ------------------------------------------------------------------------------------
 */

static struct disk_calls save_to(const char *how, const char *path, bool is_new)
{
    const char *target = path == NULL ? faulty_file : path;
    shmq_t *q = make();
    char *before = contents_of(q);

    if (path != NULL && !is_new)
        assert_int_equal(shmq_save(q, path), 0);
    helper_send(q, "not saved yet");
    char *after = contents_of(q);
    disk_fail(how);
    int rc = shmq_save(q, path);
    struct disk_calls calls = disk_calls();
    disk_fail("");
    check_error(rc, &calls, how);
    assert_true(faulty_is_clean(&calls, how, path == NULL ? 1 : 2));
    struct shmq_file_stats stats = helper_file_stats(q);
    bool failed = path == NULL && rc < 0;
    assert_int_equal(stats.error, failed ? -rc : 0);
    if (failed) {
        assert_cmp(stats.failed_ns, >, 0);
        assert_cmp(stats.lag, >, 0);
    }
    if (rc >= 0 || !is_new || access(target, F_OK) == 0)
        assert_true(faulty_is_in(target, after, rc < 0 ? before : NULL));
    assert_true(faulty_is_good(shmq_save(q, path), "then a save"));
    assert_true(faulty_is_in(target, after, NULL));
    if (path != NULL)
        assert_int_equal(unlink(path), 0);
    works(q);
    go_down(q);
    free(before);
    free(after);
    return calls;
}

static struct disk_calls save(const char *how)
{
    return save_to(how, NULL, false);
}

static struct disk_calls save_new(const char *how)
{
    return save_to(how, faulty_other, true);
}

static struct disk_calls save_over(const char *how)
{
    return save_to(how, faulty_other, false);
}

/* Saved by the last who closes, who cannot say that it failed; but the queue is there, and
 * knows. */
static struct disk_calls save_at_end(const char *how)
{
    struct shmq_attr attr = attr_of();
    shmq_t *q;

    attr.save_at_end = 1;
    assert_int_equal(shmq_open(&q, helper_name("a"), SHMQ_CREATE | SHMQ_EXCL, &attr), 0);
    char *before = contents_of(q);
    fill(q);
    char *after = contents_of(q);
    disk_fail(how);
    assert_int_equal(shmq_close(q), 0);
    struct disk_calls calls = disk_calls();
    disk_fail("");
    q = helper_open(helper_name("a"), 0, NULL);
    bool failed = helper_file_stats(q).error != 0;
    assert_true(failed || !faulty_is_vital(&calls, how, false));
    assert_true(faulty_is_in(faulty_file, after, failed ? before : NULL));
    assert_int_equal(shmq_close(q), 0);
    assert_true(faulty_is_in(faulty_file, after, NULL));
    q = helper_open(helper_name("a"), 0, NULL);
    works(q);
    go_down(q);
    free(before);
    free(after);
    return calls;
}

/* --- beside others -------------------------------------------------------------------------------
 */

/* Somebody who goes on putting. */
struct putter {
    pthread_t thread;
    shmq_t *q;
    _Atomic bool ending;
    _Atomic unsigned put;
    int rc;
};

static void *put_on(void *arg)
{
    struct putter *p = arg;

    while (p->rc == 0 && !p->ending) {
        p->rc = shmq_put(p->q, "it goes on", 10, SHMQ_NOWAIT);
        p->put += p->rc == 0;
        if (p->rc == -EAGAIN || p->rc == -ETIMEDOUT) /* full; or who saves has the side */
            p->rc = 0;
    }
    return NULL;
}

static bool has_put_more(void *arg)
{
    struct putter *p = arg;

    return p->put >= 20 || p->rc != 0;
}

/* The journal is rewritten, and a call of who does it fails: nothing of what others put
 * meanwhile is lost.  If it is the sync that fails the file is broken for all. */
static struct disk_calls rewrite(const char *how)
{
    struct putter p = {.rc = 0};
    shmq_t *q = open_queue(SHMQ_EXCL);

    p.q = open_queue(0);
    assert_int_equal(pthread_create(&p.thread, NULL, put_on, &p), 0);
    assert_true(helper_await(has_put_more, &p));
    disk_fail(how);
    int rc = shmq_save(q, NULL);
    struct disk_calls calls = disk_calls();
    disk_fail("");
    p.ending = true;
    pthread_join(p.thread, NULL);
    char *text = contents_of(q);
    check_error(rc, &calls, how);
    assert_one_of(p.rc, 0, rc, -EIO);
    assert_true(faulty_is_in(faulty_file, text, NULL));
    free(text);
    assert_int_equal(shmq_close(p.q), 0);
    go_down(q);
    return calls;
}

/* --- all of it
 * --------------------------------------------------------------------------------------- */

struct trial {
    const char *name;
    struct disk_calls (*act)(const char *how);
    uint32_t journal;
};

static void try_all(const struct trial *t, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned tries = 0;
        for (unsigned k = 0; k < FAULTY_KINDS; k++) {
            struct disk_calls calls;
            unsigned n = 0;
            journal = t[i].journal;
            do {
                char how[32];
                snprintf(how, sizeof(how), "%u%s", ++n, faulty_kinds[k]);
                calls = t[i].act(how);
                faulty_clean();
            } while (calls.all >= n && n < FAULTY_MAX);
            assert_in_range(n, 4, FAULTY_MAX - 1);
            tries += n;
        }
        print_message("             %s (journal %u): %u times\n", t[i].name, t[i].journal, tries);
    }
}

static void creating(void **state)
{
    const struct trial trials[] = {
        {"create", create, SHMQ_JOURNAL_NONE},   {"create", create, SHMQ_JOURNAL_ALWAYS},
        {"restore", restore, SHMQ_JOURNAL_NONE}, {"restore", restore, SHMQ_JOURNAL_OS},
        {"load", load, SHMQ_JOURNAL_OS},
    };

    (void)state;
    try_all(trials, sizeof(trials) / sizeof(trials[0]));
}

static void saving(void **state)
{
    const struct trial trials[] = {
        {"save", save, SHMQ_JOURNAL_NONE},
        {"save to a new file", save_new, SHMQ_JOURNAL_NONE},
        {"save over another", save_over, SHMQ_JOURNAL_NONE},
        {"save over another", save_over, SHMQ_JOURNAL_OS},
        {"save at the end", save_at_end, SHMQ_JOURNAL_NONE},
    };

    (void)state;
    try_all(trials, sizeof(trials) / sizeof(trials[0]));
}

static void rewriting(void **state)
{
    const struct trial trials[] = {
        {"rewrite beside others", rewrite, SHMQ_JOURNAL_OS},
        {"rewrite beside others", rewrite, SHMQ_JOURNAL_ALWAYS},
    };

    (void)state;
    try_all(trials, sizeof(trials) / sizeof(trials[0]));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(creating),
        HELPER_TEST(saving),
        HELPER_TEST(rewriting),
    };

    return faulty_run(argc, argv, tests);
}
