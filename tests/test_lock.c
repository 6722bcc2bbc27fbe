/*
 * test_lock.c - the robust lock alone: the death of its owner, its time, its
 * refusal of what is no lock any more.
 */
#include "helper.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lock.h"

struct shared {
    struct sq_lock_shm lock;
    _Atomic int owner;
};

static struct shared *make(void)
{
    struct shared *s =
        mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(s, MAP_FAILED);
    assert_int_equal(sq_lock_init(&s->lock), 0);
    return s;
}

static int take_and_stay(void *arg)
{
    struct shared *s = arg;

    if (sq_lock_try(&s->lock) != 0)
        return 1;
    atomic_store(&s->owner, getpid());
    for (;;)
        pause();
}

static bool is_owned(void *arg)
{
    return atomic_load(&((struct shared *)arg)->owner) != 0;
}

static pid_t owner_of(struct shared *s)
{
    atomic_store(&s->owner, 0);
    pid_t child = helper_fork(take_and_stay, s);
    assert_true(helper_await(is_owned, s));
    return child;
}

static void take_and_free(void **state)
{
    struct shared *s = make();

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sq_lock_try(&s->lock), 0);
        assert_int_equal(sq_lock_try(&s->lock), -EBUSY);
        sq_lock_free(&s->lock);
    }
    munmap(s, sizeof(*s));
}

static void owner_dies(void **state)
{
    struct shared *s = make();
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(5));

    (void)state;
    for (int i = 0; i < 3; i++) {
        helper_kill(owner_of(s));
        assert_int_equal(i == 1 ? sq_lock_take(&s->lock, &deadline) : sq_lock_try(&s->lock),
                         SQ_LOCK_OWNER_DIED);
        sq_lock_consistent(&s->lock);
        assert_int_equal(sq_lock_try(&s->lock), -EBUSY);
        sq_lock_free(&s->lock);
        assert_int_equal(sq_lock_try(&s->lock), 0);
        sq_lock_free(&s->lock);
    }
    munmap(s, sizeof(*s));
}

/* Freed without having been made consistent, it is lost: an error, no hang.  (After
 * glibc has said so once, it holds the lock, and says "busy".) */
static void never_repaired(void **state)
{
    struct shared *s = make();
    struct sq_deadline deadline = sq_deadline_in(SHMQ_MS(20));

    (void)state;
    helper_kill(owner_of(s));
    assert_int_equal(sq_lock_try(&s->lock), SQ_LOCK_OWNER_DIED);
    sq_lock_free(&s->lock);
    assert_int_equal(sq_lock_take(&s->lock, &deadline), -EBADMSG);
    assert_true(sq_lock_take(&s->lock, &deadline) < 0);
    munmap(s, sizeof(*s));
}

static void in_its_time(void **state)
{
    static const int64_t timeouts_ns[] = {SHMQ_NOWAIT, 1, SHMQ_MS(1), SHMQ_MS(30)};
    struct shared *s = make();
    pid_t child = owner_of(s);

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct sq_deadline deadline = sq_deadline_in(timeouts_ns[i]);
        int64_t least_ns = timeouts_ns[i] == SHMQ_NOWAIT ? SHMQ_MS(10) : timeouts_ns[i];
        int64_t begun_ns = helper_now_ns();
        assert_int_equal(sq_lock_take(&s->lock, &deadline), -ETIMEDOUT);
        int64_t took_ns = helper_now_ns() - begun_ns;
        assert_true(took_ns >= least_ns && took_ns < least_ns + SHMQ_MS(500));
    }
    helper_kill(child);
    munmap(s, sizeof(*s));
}

static void on_signal(int signal)
{
    (void)signal;
}

static void a_signal_ends_it(void **state)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(9));
    struct shared *s = make();
    pid_t child = owner_of(s);

    (void)state;
    sigaction(SIGALRM, &action, &old);
    /* Again and again, since a signal between two naps is not noticed. */
    ualarm(20000, 1000);
    int64_t begun_ns = helper_now_ns();
    assert_int_equal(sq_lock_take(&s->lock, &deadline), -EINTR);
    assert_true(helper_now_ns() - begun_ns < SHMQ_SEC(5));
    ualarm(0, 0);
    sigaction(SIGALRM, &old, NULL);
    helper_kill(child);
    munmap(s, sizeof(*s));
}

static void damaged(void **state)
{
    struct shared *s = make();
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(5));
    struct sq_lock_shm good = s->lock;
    int kind = SQ_LOCK_KIND;
    unsigned found = 0;

    (void)state;
    for (size_t at = 0; at + 4 <= sizeof(good); at += 4) {
        if (memcmp((char *)&good + at, &kind, 4) != 0)
            continue;
        found++;
        for (int value = 0; value < 256; value++) {
            if (value == SQ_LOCK_KIND)
                continue;
            memcpy((char *)&s->lock + at, &value, 4);
            assert_int_equal(sq_lock_try(&s->lock), -EBADMSG);
            assert_int_equal(sq_lock_take(&s->lock, &deadline), -EBADMSG);
        }
    }
    assert_int_equal(found, 1);
    munmap(s, sizeof(*s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(take_and_free), HELPER_TEST(owner_dies),       HELPER_TEST(never_repaired),
        HELPER_TEST(in_its_time),   HELPER_TEST(a_signal_ends_it), HELPER_TEST(damaged),
    };

    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
