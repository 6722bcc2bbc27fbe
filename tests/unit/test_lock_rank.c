/*
 * test_lock_rank.c - the order of locks, who holds which, and bugs: with SQ_CHECK a breach
 * ends the process, without it nothing looks.
 *
 * A child process commits each breach, in a queue that nobody else uses.
 */
#include "support/helper.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handle/handle.h"
#include "handle/handle_groups.h"
#include "persist/journal_file.h"
#include "persist/pin.h"

#ifdef SQ_CHECK
#define CHECKED true
#else
#define CHECKED false
#endif

static shmq_t *q; /* a topic with two groups and a file, the child's own */
static char name[64];
static struct sq_deadline deadline;

/* --- in good order ----------------------------------------------------------------- */

static void nothing(void)
{
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
}

static void enter(enum sq_role role)
{
    assert_int_equal(sq_enter(q, role, &deadline), 0);
}

static void enter_group(uint32_t group)
{
    assert_int_equal(sq_enter_group(q, group, &deadline), 0);
}

/* All that a queue has, first to last. */
static void all_in_order(void)
{
    uint64_t entered;

    assert_int_equal(sq_hold(q, &q->segment.control->redrive_lock, &deadline), 0);
    assert_int_equal(sq_pin_enter(q, &deadline), 0);
    assert_int_equal(sq_hold_groups(q, &deadline), 0);
    enter(SQ_ROLE_PRODUCER);
    assert_int_equal(sq_enter_groups(q, &entered, &deadline), 0);
    assert_int_equal(entered, 3);
    assert_int_equal(sq_journal_file_lock(q, &q->segment.file->lock, &deadline), 0);
    sq_assert_held(&q->segment.ring.producer->lock);
    sq_assert_groups_held(&q->segment.ring, entered);
    sq_journal_file_leave(q);
    sq_leave_groups(q, entered);
    sq_leave(q, SQ_ROLE_PRODUCER);
    sq_release_groups(q);
    sq_pin_leave(q);
    sq_lock_free(&q->segment.control->redrive_lock);
    sq_assert_none_held(SQ_RANK_REDRIVE);
}

/* A lock that is only tried may come at any time. */
static void tried(void)
{
    struct sq_lock_shm *saver = &q->segment.file->saver;

    enter(SQ_ROLE_PRODUCER);
    assert_int_equal(sq_lock_try(saver, q->attachment.owner), 0);
    sq_lock_tried(saver, SQ_RANK_SAVER);
    sq_lock_free(saver);
    sq_leave(q, SQ_ROLE_PRODUCER);
}

/* A reservation does not restrict what its thread does meanwhile. */
static void meanwhile(void)
{
    void *data;

    assert_int_equal(shmq_reserve(q, 1, &data, SHMQ_NOWAIT), 0);
    assert_int_equal(sq_hold_groups(q, &deadline), 0);
    sq_release_groups(q);
    sq_assert_none_held(SQ_RANK_REDRIVE);
    sq_assert_held(&q->segment.ring.producer->lock);
    assert_int_equal(shmq_commit(q, 1), 0);
}

/* The child does not hold what its parent holds. */
static void not_inherited(void)
{
    int status;
    void *data;

    assert_int_equal(shmq_reserve(q, 1, &data, SHMQ_NOWAIT), 0);
    pid_t child = fork();
    if (child == 0) {
        sq_lock_taken(&q->segment.ring.producer->lock, SQ_RANK_PRODUCER);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(shmq_commit(q, 1), 0);
}

/* --- breaches ---------------------------------------------------------------------- */

static void producer_after_group(void)
{
    enter_group(0);
    enter(SQ_ROLE_PRODUCER);
}

static void groups_descending(void)
{
    enter_group(1);
    enter_group(0);
}

static void groups_lock_after_producer(void)
{
    enter(SQ_ROLE_PRODUCER);
    assert_int_equal(sq_hold_groups(q, &deadline), 0);
}

static void saver_after_groups_lock(void)
{
    assert_int_equal(sq_hold_groups(q, &deadline), 0);
    assert_int_equal(sq_pin_enter(q, &deadline), 0);
}

static void sync_with_a_side(void)
{
    enter_group(0);
    assert_int_equal(sq_journal_file_lock(q, &q->segment.file->sync, &deadline), 0);
}

static void group_after_journal(void)
{
    assert_int_equal(sq_journal_file_lock(q, &q->segment.file->lock, &deadline), 0);
    enter_group(0);
}

/* Of two handles, as of two queues. */
static void two_producers(void)
{
    shmq_t *other = helper_open(name, 0, NULL);

    assert_int_equal(shmq_put(other, "x", 1, SHMQ_NOWAIT), 0);
    enter(SQ_ROLE_PRODUCER);
    assert_int_equal(shmq_put(other, "x", 1, SHMQ_NOWAIT), -ETIMEDOUT);
}

static void two_leaves(void)
{
    static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER;

    sq_mutex_lock(&a, SQ_RANK_LEAF);
    sq_mutex_lock(&b, SQ_RANK_LEAF);
}

static void twice(void)
{
    struct sq_deadline now = sq_deadline_in(SHMQ_NOWAIT);

    enter(SQ_ROLE_PRODUCER);
    assert_int_equal(sq_enter(q, SQ_ROLE_PRODUCER, &now), -ETIMEDOUT);
}

static void producer_not_held(void)
{
    sq_ring_look_low(&q->segment.ring);
}

static void group_not_held(void)
{
    struct sq_walk walk;

    enter(SQ_ROLE_PRODUCER);
    sq_ring_begin_take(&q->segment.ring, &walk);
}

static void journal_not_held(void)
{
    sq_journal_file_end(q->segment.file);
}

static void *use_side(void *role)
{
    (void)role;
    sq_ring_look_low(&q->segment.ring);
    return NULL;
}

static void held_by_another_thread(void)
{
    pthread_t thread;

    enter(SQ_ROLE_PRODUCER);
    assert_int_equal(pthread_create(&thread, NULL, use_side, NULL), 0);
    pthread_join(thread, NULL);
}

static void waits_with_a_side(void)
{
    enter_group(0);
    sq_assert_none_held(SQ_RANK_PRODUCER);
}

static void freed_unheld(void)
{
    sq_lock_free(&q->segment.ring.producer->lock);
}

static void bug(void)
{
    int n = 1;

    SQ_BUG_ON(n++ == 1);
    if (n != (CHECKED ? 2 : 1)) /* without SQ_CHECK it is not even looked at */
        _exit(1);
}

static void bug_of_the_library(void)
{
    struct sq_producer_shm *p = q->segment.ring.producer;

    enter(SQ_ROLE_PRODUCER); /* more bytes than there are in the ring */
    sq_ring_write_header(&q->segment.ring, sq_load(&p->tail_pos), 1, UINT32_MAX - 64, 0, 0);
}

static const struct breach {
    const char *name;
    void (*act)(void);
    const char *says[2]; /* NULL: it is none */
} breaches[] = {
    {"nothing", nothing, {NULL}},
    {"all in order", all_in_order, {NULL}},
    {"tried", tried, {NULL}},
    {"meanwhile", meanwhile, {NULL}},
    {"not inherited", not_inherited, {NULL}},
    {"producer after group", producer_after_group, {"the producer's side", "the side of group 0"}},
    {"groups descending", groups_descending, {"the side of group 0", "the side of group 1"}},
    {"groups_lock after producer", groups_lock_after_producer, {"groups_lock", "producer's side"}},
    {"saver after groups_lock", saver_after_groups_lock, {"saver", "groups_lock"}},
    {"sync with a side", sync_with_a_side, {"sync", "the side of group 0"}},
    {"group after journal", group_after_journal, {"the side of group 0", "the journal's lock"}},
    {"two producers",
     two_producers,
     {"the producer's side is wanted", "holds the producer's side"}},
    {"two leaves", two_leaves, {"a leaf is wanted", "a leaf\n"}},
    {"twice", twice, {"the producer's side is wanted by the thread that holds it", ""}},
    {"producer not held", producer_not_held, {"&ring->producer->lock is not held", "ring.c:"}},
    {"group not held", group_not_held, {"&ring->group->lock is not held", "ring.h:"}},
    {"journal not held", journal_not_held, {"&f->lock is not held", "journal_file.h:"}},
    {"held by another thread", held_by_another_thread, {"producer->lock is not held", ""}},
    {"waits with a side", waits_with_a_side, {"the side of group 0 is held", "test_lock_rank.c:"}},
    {"freed unheld", freed_unheld, {"lock_rank.c:", "a lock is freed by"}},
    {"bug", bug, {"a bug: n++ == 1", "test_lock_rank.c:"}},
    {"bug of the library", bug_of_the_library, {"capacity_bytes", "ring.h:"}},
};

/* --- trying them ------------------------------------------------------------------- */

static int try_one(void *arg)
{
    const struct breach *b = arg;
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    alarm(20);
    deadline = sq_deadline_in(SHMQ_SEC(5));
    nothing(); /* claims the side */
    b->act();
    return 0;
}

/* How it ended, as helper_wait() has it, and what it said. */
static int outcome(const struct breach *b, char *said, size_t size)
{
    int fds[2];
    size_t used = 0;
    ssize_t n;

    assert_int_equal(pipe(fds), 0);
    int own = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    pid_t child = helper_fork(try_one, (void *)(uintptr_t)b);
    dup2(own, STDERR_FILENO);
    close(own);
    while ((n = read(fds[0], said + used, size - 1 - used)) > 0)
        used += (size_t)n;
    said[used] = '\0';
    close(fds[0]);
    return helper_wait(child);
}

static bool is_as_it_should_be(const struct breach *b)
{
    static char said[1 << 16];
    bool ends = CHECKED && b->says[0] != NULL;
    int rc = outcome(b, said, sizeof(said));

    if (rc == (ends ? 1000 + SIGABRT : 0) &&
        (ends ? strstr(said, b->says[0]) != NULL && strstr(said, b->says[1]) != NULL
              : said[0] == '\0'))
        return true;
    print_error("%s: ended with %d, and said: %s\n", b->name, rc, said);
    return false;
}

static void breaches_end_the_process(void **state)
{
    char folder[] = "/tmp/shmq-ranks-XXXXXX", file[64];
    shmq_t *group[2];
    bool all = true;

    (void)state;
    if (!CHECKED)
        print_message("             built without SQ_CHECK: nothing is to be found\n");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/file", folder);
    for (size_t i = 0; i < sizeof(breaches) / sizeof(breaches[0]); i++) {
        struct shmq_attr attr = helper_attr(65536);
        snprintf(name, sizeof(name), "%s", helper_name("a"));
        attr.snapshot = file;
        attr.max_groups = 2;
        q = helper_open(name, SHMQ_CREATE | SHMQ_EXCL | SHMQ_TOPIC, &attr);
        assert_int_equal(shmq_subscribe(q, "a", NULL, &group[0]), 0);
        assert_int_equal(shmq_subscribe(q, "b", NULL, &group[1]), 0);
        all &= is_as_it_should_be(&breaches[i]);
        assert_int_equal(shmq_close(group[0]), 0);
        assert_int_equal(shmq_close(group[1]), 0);
        assert_int_equal(shmq_close(q), 0);
        assert_int_equal(shmq_unlink(name), 0);
        assert_int_equal(unlink(file), 0);
    }
    assert_int_equal(rmdir(folder), 0);
    assert_true(all);
}

/* A sole handle's side is held, although its lock is not taken. */
static void sole_sides_count(void **state)
{
    shmq_t *sole = helper_create(NULL);
    int rc;

    (void)state;
    assert_int_equal(shmq_close(sole), 0);
    rc = shmq_open(&sole, helper_name("a"), SHMQ_SOLE_PRODUCER | SHMQ_SOLE_CONSUMER, NULL);
    assert_int_equal(rc, 0);
    deadline = sq_deadline_in(SHMQ_SEC(5));
    assert_int_equal(sq_enter(sole, SQ_ROLE_PRODUCER, &deadline), 0);
    assert_int_equal(sq_load(&sole->segment.ring.producer->lock.owner), 0);
    sq_assert_held(&sole->segment.ring.producer->lock);
    assert_int_equal(sq_enter(sole, SQ_ROLE_CONSUMER, &deadline), 0);
    sq_assert_held(&sole->segment.ring.group->lock);
    sq_leave(sole, SQ_ROLE_CONSUMER);
    sq_leave(sole, SQ_ROLE_PRODUCER);
    sq_assert_none_held(SQ_RANK_REDRIVE);
    helper_finish(sole);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(breaches_end_the_process),
        HELPER_TEST(sole_sides_count),
    };

    return helper_run(argc, argv, tests);
}
