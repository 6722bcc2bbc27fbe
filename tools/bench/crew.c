/*
 * crew.c - see crew.h.
 *
 * Children die with the parent (PR_SET_PDEATHSIG) and are only ever killed by
 * their own pid.  Nothing here is shared with the transports' own memory, so
 * that a transport's lines are the only ones that travel during a round.
 */
#include "bench/crew.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t signalled;
static char last_error[240];

static void on_signal(int number)
{
    signalled = number;
}

void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool interrupted(void)
{
    return signalled != 0;
}

const char *round_error(void)
{
    return last_error;
}

int round_fail(int error, const char *what)
{
    if (error)
        snprintf(last_error, sizeof last_error, "%s: %s", what, strerror(-error));
    else
        snprintf(last_error, sizeof last_error, "%s", what);
    return error ? error : -EPROTO;
}

double now_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

double cpu_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

uint64_t ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
#endif
}

double ticks_per_ns(void)
{
    static double rate;
    if (rate == 0.0) {
        double start = now_seconds();
        uint64_t first = ticks();
        while (now_seconds() - start < 0.05)
            ;
        double end = now_seconds();
        rate = (double)(ticks() - first) / ((end - start) * 1e9);
    }
    return rate;
}

void *shared_map(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void shared_unmap(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}

int crew_begin(struct crew *crew)
{
    memset(crew, 0, sizeof *crew);
    crew->control = shared_map(sizeof *crew->control);
    return crew->control ? 0 : round_fail(-ENOMEM, "shared memory of a round");
}

static void pin(int cpu)
{
    if (cpu < 0)
        return;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)(cpu % (int)(cpus > 0 ? cpus : 1)), &set);
    sched_setaffinity(0, sizeof set, &set);
}

int crew_add(struct crew *crew, int cpu, child_fn *work, struct channel *channel, void *arg)
{
    if (crew->count == MAX_CREW)
        return round_fail(-E2BIG, "too many processes in a round");
    fflush(NULL);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return round_fail(-errno, "fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        pin(cpu);
        _exit(work(crew->control, channel, arg) ? 1 : 0);
    }
    crew->pid[crew->count++] = pid;
    return 0;
}

void child_ready(struct control *control)
{
    atomic_fetch_add(&control->ready, 1);
    while (!atomic_load(&control->go))
        usleep(200);
}

int child_fail(struct control *control, int error, const char *what)
{
    if (atomic_fetch_add(&control->failed, 1) == 0)
        snprintf(control->error, sizeof control->error, "%s: %s", what, strerror(-error));
    return error;
}

void child_linger(struct control *control, unsigned consumers)
{
    for (int i = 0; i < 2000 && atomic_load(&control->consumers_done) < consumers; i++)
        usleep(1000);
}

/* A failure of a child or a signal, as an error; else 0. */
static int crew_trouble(struct crew *crew)
{
    if (signalled)
        return round_fail(-EINTR, "interrupted");
    if (atomic_load(&crew->control->failed)) {
        usleep(1000);
        return round_fail(0, crew->control->error[0] ? crew->control->error : "a child failed");
    }
    return 0;
}

int crew_release(struct crew *crew)
{
    double deadline = now_seconds() + 20;
    while (atomic_load(&crew->control->ready) < crew->count) {
        int error = crew_trouble(crew);
        if (error)
            return error;
        if (now_seconds() > deadline)
            return round_fail(-ETIMEDOUT, "a child did not get ready");
        usleep(500);
    }
    atomic_store(&crew->control->go, 1);
    return 0;
}

int crew_sleep(struct crew *crew, double seconds)
{
    double end = now_seconds() + seconds;
    for (;;) {
        double left = end - now_seconds();
        if (left <= 0)
            return crew_trouble(crew);
        if (left > 0.1)
            left = 0.1;
        struct timespec ts = {.tv_nsec = (long)(left * 1e9)};
        nanosleep(&ts, NULL);
        int error = crew_trouble(crew);
        if (error)
            return error;
    }
}

static uint64_t received(const struct control *control, unsigned count)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += atomic_load_explicit(&control->received[i].count, memory_order_relaxed);
    return sum;
}

int crew_measure(struct crew *crew, unsigned count, double seconds, double *rate)
{
    struct control *control = crew->control;
    int error = crew_release(crew);
    for (int i = 0; !error && received(control, count) == 0; i++)
        error = i < 300 ? crew_sleep(crew, 0.01) : round_fail(-ETIMEDOUT, "nothing came");
    if (!error)
        error = crew_sleep(crew, seconds / 10 + 0.005);
    if (error)
        return error;
    uint64_t first = received(control, count);
    double start = now_seconds();
    error = crew_sleep(crew, seconds);
    uint64_t last = received(control, count);
    double end = now_seconds();
    *rate = (double)(last - first) / (end - start) / 1e6;
    atomic_store(&control->stop, 1);
    return error;
}

int crew_join(struct crew *crew, double seconds)
{
    double deadline = now_seconds() + seconds;
    int bad = 0;
    for (unsigned i = 0; i < crew->count;) {
        int status;
        pid_t pid = waitpid(crew->pid[i], &status, WNOHANG);
        if (pid == crew->pid[i] || (pid < 0 && errno == ECHILD)) {
            if (pid > 0 && status != 0)
                bad++;
            crew->pid[i] = crew->pid[--crew->count];
            i = 0;
            continue;
        }
        if (++i < crew->count)
            continue;
        int error = crew_trouble(crew);
        if (error)
            return error;
        if (now_seconds() > deadline)
            return round_fail(-ETIMEDOUT, "a child hung");
        i = 0;
        usleep(500);
    }
    int error = crew_trouble(crew);
    if (error)
        return error;
    return bad ? round_fail(0, "a child was killed or failed") : 0;
}

void crew_end(struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++)
        kill(crew->pid[i], SIGKILL);
    for (unsigned i = 0; i < crew->count; i++)
        while (waitpid(crew->pid[i], NULL, 0) < 0 && errno == EINTR)
            ;
    crew->count = 0;
    shared_unmap(crew->control, sizeof *crew->control);
    crew->control = NULL;
}

int crew_alone(int cpu, struct channel *channel, child_fn *work, void *arg, double seconds,
               double figure[2])
{
    struct crew crew;
    int error = crew_begin(&crew);
    if (error)
        return error;
    error = crew_add(&crew, cpu, work, channel, arg);
    if (!error)
        error = crew_release(&crew);
    if (!error)
        error = crew_join(&crew, seconds);
    memcpy(figure, crew.control->figure, sizeof crew.control->figure);
    crew_end(&crew);
    return error;
}

int channel_make(struct channel *channel, const struct transport *transport, size_t size,
                 unsigned producers, unsigned consumers, struct channel *other)
{
    static unsigned serial;
    size_t capacity = channel->capacity_bytes;
    const char *folder = channel->folder;
    memset(channel, 0, sizeof *channel);
    channel->transport = transport;
    channel->size = size;
    channel->capacity_bytes = capacity ? capacity : size > 16384 ? 4u << 20 : 1u << 20;
    channel->folder = folder;
    channel->producers = producers;
    channel->consumers = consumers;
    channel->other = other;
    snprintf(channel->name, sizeof channel->name, "shmq-bench.%d.%u", (int)getpid(), serial++);
    int error = transport->create(channel);
    return error ? round_fail(error, "creating the channel") : 0;
}

void channel_drop(struct channel *channel)
{
    if (channel->transport)
        channel->transport->destroy(channel);
    memset(channel, 0, sizeof *channel);
}
