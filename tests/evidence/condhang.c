/*
 * condhang.c - why shmq has a condition variable of its own.
 *
 * Shows what a process-shared pthread_cond_t does after a process that waited on
 * it was killed.  Each round kills one waiter, starts a live one, and has a
 * third process signal three times.  With glibc before 2.41 the signaller hangs
 * for ever from some round on: the killed waiter stays counted in its group,
 * and the signal that must close the group waits for it to leave.
 *
 * It is documentation, not a test: the exit status is 0 whether or not this libc
 * hangs.  Hung processes are killed, nothing is left behind (the memory is
 * anonymous, and the children die with their parent), and it ends in 10 s.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

enum { ROUND_COUNT = 6, SIGNAL_COUNT = 3, SETTLE_MS = 50, PATIENCE_MS = 500, TOTAL_S = 9 };

struct shared {
    pthread_mutex_t lock;
    pthread_cond_t cond;
};

static void fail(const char *what, int err)
{
    errno = err;
    perror(what);
    exit(1);
}

static void sleep_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

static void init(struct shared *s)
{
    pthread_mutexattr_t ma;
    pthread_condattr_t ca;
    int err;

    pthread_mutexattr_init(&ma);
    pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST);
    if ((err = pthread_mutex_init(&s->lock, &ma)) != 0)
        fail("pthread_mutex_init", err);
    pthread_mutexattr_destroy(&ma);

    pthread_condattr_init(&ca);
    pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
    if ((err = pthread_cond_init(&s->cond, &ca)) != 0)
        fail("pthread_cond_init", err);
    pthread_condattr_destroy(&ca);
}

static void lock(struct shared *s)
{
    if (pthread_mutex_lock(&s->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&s->lock);
}

static void wait_once(struct shared *s)
{
    lock(s);
    if (pthread_cond_wait(&s->cond, &s->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void signal_some(struct shared *s)
{
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        lock(s);
        pthread_cond_signal(&s->cond);
        pthread_mutex_unlock(&s->lock);
        sleep_ms(1);
    }
}

static pid_t start(void (*body)(struct shared *), struct shared *s)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0)
        fail("fork", errno);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            body(s);
        _exit(0);
    }
    return pid;
}

/* Waits a while for a child to end, and kills it where it does not. */
static bool ends(pid_t pid)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += 5) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return true;
        sleep_ms(5);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return false;
}

int main(void)
{
    int hung_count = 0;
    int missed_count = 0;
    struct shared *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (s == MAP_FAILED)
        fail("mmap", errno);
    init(s);
    alarm(TOTAL_S); /* the children die with this process */
#ifdef __GLIBC__
    printf("glibc %s\n", gnu_get_libc_version());
#else
    printf("a libc that is not glibc\n");
#endif
    for (int round = 1; round <= ROUND_COUNT; round++) {
        pid_t victim = start(wait_once, s);
        sleep_ms(SETTLE_MS);
        kill(victim, SIGKILL);
        waitpid(victim, NULL, 0);

        pid_t waiter = start(wait_once, s);
        sleep_ms(SETTLE_MS);
        bool returned = ends(start(signal_some, s));
        bool woke = ends(waiter);

        hung_count += !returned;
        missed_count += !woke;
        printf("round %d: signaller %s, live waiter %s\n", round, returned ? "returned" : "HUNG",
               woke ? "woke" : "NOT WOKEN");
        fflush(stdout);
    }
    printf("%d of %d signallers hung, %d of %d live waiters were not woken\n", hung_count,
           ROUND_COUNT, missed_count, ROUND_COUNT);
    munmap(s, sizeof *s);
    return 0;
}
