/*
 * test_lock.c - the locks: who owns one, whether that owner lives, how long one
 * waits for it, and what becomes of a dead or senseless owner's.
 */
#include "support/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handle/handle.h"

static bool lives(shmq_t *q, uint32_t owner)
{
    return sq_attach_owner_lives(&q->segment, &q->attachment, owner);
}

static void one_owner(void **state)
{
    struct sq_lock_shm lock = {0};

    (void)state;
    assert_int_equal(sq_lock_try(&lock, 7), 0);
    assert_int_equal(sq_lock_try(&lock, 7), -EBUSY);
    assert_int_equal(sq_lock_try(&lock, 8), -EBUSY);
    assert_int_equal(sq_lock_take_over(&lock, 8, 9), -EBUSY); /* 8 does not have it */
    assert_int_equal(sq_lock_take_over(&lock, 7, 9), 0);
    assert_int_equal(sq_lock_take_over(&lock, 7, 10), -EBUSY); /* only one takes over */
    sq_lock_taken(&lock, SQ_RANK_LEAF);
    sq_lock_free(&lock);
    assert_int_equal(sq_lock_try(&lock, 8), 0);
}

static void words_tell_apart(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot < SQ_SLOT_COUNT; slot++)
        for (uint32_t generation = 0; generation < 4; generation++) {
            uint32_t word = sq_lock_word(slot, generation);
            assert_int_not_equal(word, 0);
            assert_int_not_equal(word, sq_lock_word(slot, generation + 1));
            assert_int_not_equal(word, sq_lock_word(slot + 1, generation));
        }
}

static void who_lives(void **state)
{
    shmq_t *a = helper_open(helper_name("q"), SHMQ_CREATE, NULL);
    shmq_t *b = helper_open(helper_name("q"), 0, NULL);
    uint32_t first = b->attachment.owner;

    (void)state;
    assert_true(lives(a, a->attachment.owner) && lives(a, first));
    shmq_close(b);
    assert_false(lives(a, first));
    b = helper_open(helper_name("q"), 0, NULL);
    for (int i = 0; i < SQ_SLOT_COUNT && b->attachment.slot != 1; i++) {
        shmq_close(b);
        b = helper_open(helper_name("q"), 0, NULL);
    }
    /* The same slot, another owner. */
    assert_int_equal(b->attachment.slot, 1);
    assert_true(lives(a, b->attachment.owner));
    assert_false(lives(a, first));
    /* Words that no handle ever had. */
    assert_false(lives(a, UINT32_MAX));
    assert_false(lives(a, 1u << SQ_OWNER_SLOT_BITS));
    assert_false(lives(a, sq_lock_word(SQ_SLOT_COUNT + 5, 1)));
    shmq_close(b);
    shmq_close(a);
    shmq_unlink(helper_name("q"));
}

/* A descriptor that the application has closed, and perhaps used for something
 * else, tells nothing: nobody is called dead by it. */
static void without_a_descriptor(void **state)
{
    shmq_t *a = helper_open(helper_name("q"), SHMQ_CREATE, NULL);
    shmq_t *b = helper_open(helper_name("q"), 0, NULL);
    int fd = dup(a->segment.fd);
    int other = memfd_create("other", MFD_CLOEXEC);

    (void)state;
    dup2(other, a->segment.fd);
    assert_true(lives(a, b->attachment.owner));
    dup2(fd, a->segment.fd);
    close(fd);
    close(other);
    shmq_close(b);
    shmq_close(a);
    shmq_unlink(helper_name("q"));
}

/* The lock of a dead owner, and one that damage made nobody's. */
static void taken_over(void **state)
{
    shmq_t *a = helper_open(helper_name("q"), SHMQ_CREATE, NULL);
    shmq_t *b = helper_open(helper_name("q"), 0, NULL);
    uint32_t senseless[] = {b->attachment.owner, UINT32_MAX, 1, 0x80000000u, 4095};
    struct shmq_stats stats = {.size = sizeof(stats)};
    char buffer[8];

    (void)state;
    shmq_close(b);
    for (size_t i = 0; i < 5; i++) {
        atomic_store(&a->segment.ring.producer->lock.owner, senseless[i]);
        assert_int_equal(shmq_put(a, "x", 1, SHMQ_NOWAIT), 0);
        atomic_store(&a->segment.ring.group->lock.owner, senseless[i]);
        assert_int_equal(shmq_get(a, buffer, 8, NULL, SHMQ_NOWAIT), 1);
    }
    assert_int_equal(shmq_stats(a, &stats), 0);
    assert_int_equal(stats.recoveries, 10);
    shmq_close(a);
    shmq_unlink(helper_name("q"));
}

/* --- waiting -------------------------------------------------------------------- */

static int wait_for_nothing(int64_t timeout_ns)
{
    struct sq_deadline deadline = sq_deadline_in(timeout_ns);
    struct sq_patience patience = {0};
    int rc;

    do
        rc = sq_patience_wait(&patience, &deadline);
    while (rc == 0);
    assert_true(sq_patience_is_long(&patience));
    return rc;
}

static void in_its_time(void **state)
{
    static const int64_t timeouts_ns[] = {SHMQ_NOWAIT, 1, SHMQ_MS(1), SHMQ_MS(30)};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        int64_t least_ns = timeouts_ns[i] == SHMQ_NOWAIT ? SHMQ_MS(10) : timeouts_ns[i];
        int64_t begun_ns = helper_now_ns();
        assert_int_equal(wait_for_nothing(timeouts_ns[i]), -ETIMEDOUT);
        int64_t took_ns = helper_now_ns() - begun_ns;
        assert_cmp(took_ns, >=, least_ns);
        assert_cmp(took_ns, <, HELPER_LATE_NS);
    }
}

static void a_signal_ends_it(void **state)
{
    struct sigaction action = {.sa_handler = helper_on_signal, .sa_flags = SA_RESTART}, old;

    (void)state;
    sigaction(SIGALRM, &action, &old);
    /* Again and again, since a signal between two naps is not noticed. */
    ualarm(20000, 1000);
    assert_int_equal(wait_for_nothing(HELPER_LATE_NS), -EINTR);
    ualarm(0, 0);
    sigaction(SIGALRM, &old, NULL);
}

/* --- two PID namespaces ----------------------------------------------------------- */

struct container {
    const char *name;
    _Atomic int stage;
    _Atomic int put;
};

/* Process 1 of a namespace of its own: holds the putting side, and stays. */
static int hold(void *arg)
{
    struct container *c = arg;
    shmq_t *q;
    void *place;

    if (getpid() != 1 || shmq_open(&q, c->name, 0, NULL) != 0 ||
        shmq_reserve(q, 8, &place, HELPER_LATE_NS) != 0)
        return 1;
    atomic_store(&c->stage, 1);
    for (;;)
        pause();
}

/* Process 1 of another: can tell that the holder lives, and when it is dead. */
static int contend(void *arg)
{
    struct container *c = arg;
    shmq_t *q;

    if (getpid() != 1 || shmq_open(&q, c->name, 0, NULL) != 0)
        return 1;
    atomic_store(&c->put, shmq_put(q, "x", 1, SHMQ_MS(300)));
    atomic_store(&c->stage, 2);
    atomic_store(&c->put, shmq_put(q, "x", 1, HELPER_LATE_NS));
    return shmq_close(q);
}

static pid_t fork_contained(int (*body)(void *arg), void *arg)
{
    int own = open("/proc/self/ns/pid_for_children", O_RDONLY | O_CLOEXEC);

    assert_int_equal(unshare(CLONE_NEWPID), 0);
    pid_t child = helper_fork(body, arg);
    assert_int_equal(setns(own, CLONE_NEWPID), 0);
    close(own);
    return child;
}

static bool holds(void *arg)
{
    return atomic_load(&((struct container *)arg)->stage) == 1;
}

static bool has_contended(void *arg)
{
    return atomic_load(&((struct container *)arg)->stage) == 2;
}

static void two_containers(void **state)
{
    struct container *c = helper_shared(sizeof(*c));
    static char name[128];

    (void)state;
    if (geteuid() != 0)
        skip(); /* needs root */
    snprintf(name, sizeof(name), "%s", helper_name("q"));
    c->name = name;
    shmq_t *q = helper_open(name, SHMQ_CREATE, NULL);
    pid_t holder = fork_contained(hold, c);
    assert_true(helper_await(holds, c));
    pid_t other = fork_contained(contend, c);
    assert_true(helper_await(has_contended, c));
    assert_int_equal(c->put, -ETIMEDOUT); /* the holder's number is the same, and it lives */
    helper_kill(holder);
    assert_int_equal(helper_wait(other), 0);
    assert_int_equal(c->put, 0);
    assert_int_equal(shmq_depth(q), 1);
    shmq_close(q);
    shmq_unlink(name);
    munmap(c, sizeof(*c));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(one_owner),        HELPER_TEST(words_tell_apart),
        HELPER_TEST(who_lives),        HELPER_TEST(without_a_descriptor),
        HELPER_TEST(taken_over),       HELPER_TEST(in_its_time),
        HELPER_TEST(a_signal_ends_it), HELPER_TEST(two_containers),
    };

    return helper_run(argc, argv, tests);
}
