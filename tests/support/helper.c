/*
 * helper.c - see helper.h.
 */
#include "support/helper.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "handle/handle.h"

enum { CHILDREN_MAX = 64 };

static int descriptors_before;
static pid_t children[CHILDREN_MAX]; /* forked by this test, perhaps reaped since */
static unsigned child_count;

const char *helper_name(const char *suffix)
{
    static char name[128];

    snprintf(name, sizeof(name), "t-%d-%s", (int)getpid(), suffix);
    return name;
}

static int64_t read_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t helper_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t helper_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t helper_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/* --- leaving nothing behind --------------------------------------------- */

unsigned helper_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    unsigned n = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static int count_descriptors(void)
{
    return (int)helper_entries("/proc/self/fd");
}

/* Queues of ours that are left; removes them. */
static int remove_queues(void)
{
    char prefix[64], path[512];
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;
    int n = 0;

    snprintf(prefix, sizeof(prefix), "shmq.t-%d-", (int)getpid());
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        print_error("left behind: /dev/shm/%s\n", entry->d_name);
        snprintf(path, sizeof(path), "/dev/shm/%s", entry->d_name);
        unlink(path);
        n++;
    }
    closedir(dir);
    return n;
}

/* So that the tests that follow do not find them as well: whether any was there. */
static bool end_children(void)
{
    bool any = false;

    for (unsigned i = 0; i < child_count && i < CHILDREN_MAX; i++) {
        if (waitpid(children[i], NULL, WNOHANG) != 0)
            continue; /* not ours any more, or just ended */
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
        any = true;
    }
    return any;
}

int helper_setup(void **state)
{
    (void)state;
    remove_queues();
    child_count = 0;
    descriptors_before = count_descriptors();
    return 0;
}

int helper_teardown(void **state)
{
    int bad = remove_queues();
    int descriptors = count_descriptors();
    pid_t child;

    (void)state;
    while ((child = waitpid(-1, NULL, WNOHANG)) != -1) {
        print_error("left behind: a child\n");
        bad++;
        if (child == 0 && !end_children())
            break; /* it ends with us: helper_fork() */
    }
    if (descriptors != descriptors_before) {
        print_error("left behind: %d descriptors\n", descriptors - descriptors_before);
        bad++;
    }
    return bad == 0 ? 0 : -1;
}

/* --- the program ----------------------------------------------------------- */

static int list(const struct CMUnitTest *tests, size_t count)
{
    for (size_t i = 0; i < count; i++)
        puts(tests[i].name);
    return 0;
}

int helper_run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t count)
{
    const char *program = strrchr(argv[0], '/') == NULL ? argv[0] : strrchr(argv[0], '/') + 1;

    if (argc > 2 || (argc == 2 && argv[1][0] == '-' && strcmp(argv[1], "--list") != 0)) {
        fprintf(stderr, "usage: %s [--list | NAME]\n", program);
        return 2;
    }
    if (argc < 2)
        return _cmocka_run_group_tests(program, tests, count, NULL, NULL);
    if (strcmp(argv[1], "--list") == 0)
        return list(tests, count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(tests[i].name, argv[1]) == 0)
            return _cmocka_run_group_tests(program, &tests[i], 1, NULL, NULL);
    fprintf(stderr, "%s: there is no test \"%s\"; --list shows them\n", program, argv[1]);
    return 2;
}

/* --- children ------------------------------------------------------------ */

pid_t helper_fork(int (*body)(void *arg), void *arg)
{
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* or it would go on to the next test */
        int status = body(arg);
        if (status != 0 && shmq_last_error_detail()[0] != '\0')
            print_error("a child returns %d (%s)\n", status, shmq_last_error_detail());
        _exit(status);
    }
    assert_cmp(child, >, 0);
    if (child_count < CHILDREN_MAX)
        children[child_count++] = child;
    return child;
}

pid_t helper_fork_stopped(int (*body)(void *arg), void *arg)
{
    pid_t child = helper_fork(body, arg);

    assert_true(helper_await(helper_is_stopped, &child));
    return child;
}

static int hold_one(void *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    if (shmq_receive(q, &msg, HELPER_LATE_NS) != 0)
        return 1;
    raise(SIGSTOP);
    return shmq_close(q) == 0 ? 0 : 2;
}

pid_t helper_holder(shmq_t *q)
{
    return helper_fork_stopped(hold_one, q);
}

struct gate {
    _Atomic unsigned awaited;
    int (*body)(void *arg);
    void *arg;
};

static int pass_gate(void *arg)
{
    struct gate *gate = arg;

    gate->awaited--;
    while (gate->awaited > 0)
        sched_yield();
    return gate->body(gate->arg);
}

void helper_at_once(unsigned count, int (*body)(void *arg), void *arg)
{
    struct gate *gate = helper_shared(sizeof(*gate));
    pid_t crew[CHILDREN_MAX];

    assert_cmp(count, <=, CHILDREN_MAX);
    *gate = (struct gate){count, body, arg};
    for (unsigned i = 0; i < count; i++)
        crew[i] = helper_fork(pass_gate, gate);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(helper_wait(crew[i]), 0);
    munmap(gate, sizeof(*gate));
}

int helper_wait(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void helper_kill(pid_t child)
{
    kill(child, SIGKILL);
    helper_wait(child);
}

bool helper_await(bool (*condition)(void *arg), void *arg)
{
    int64_t until_ns = helper_now_ns() + HELPER_LATE_NS;
    struct timespec pause = {0, 200000};

    while (!condition(arg)) {
        if (helper_now_ns() > until_ns)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

void helper_on_signal(int signal)
{
    (void)signal;
}

struct shmq_stats helper_stats(shmq_t *q)
{
    struct shmq_stats stats = {.size = sizeof(stats)};

    assert_int_equal(shmq_stats(q, &stats), 0);
    return stats;
}

struct shmq_file_stats helper_file_stats(shmq_t *q)
{
    struct shmq_file_stats stats = {.size = sizeof(stats)};

    assert_int_equal(shmq_file_stats(q, &stats), 0);
    return stats;
}

bool helper_consumer_sleeps(void *queue)
{
    return helper_stats(queue).sleeping_consumers > 0;
}

bool helper_producer_sleeps(void *queue)
{
    return helper_stats(queue).sleeping_producers > 0;
}

/* The letter in /proc/PID/stat; 0: there is no such process. */
static char state_of(pid_t pid)
{
    char path[64], line[512] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (file == NULL)
        return 0;
    char *got = fgets(line, sizeof(line), file);
    fclose(file);
    char *end = got != NULL ? strrchr(line, ')') : NULL;
    return end != NULL ? end[2] : '\0';
}

bool helper_is_stopped(void *pid)
{
    char state = state_of(*(pid_t *)pid);

    return state == 'T' || state == 't';
}

bool helper_is_asleep(void *pid)
{
    return state_of(*(pid_t *)pid) == 'S';
}

shmq_t *helper_open(const char *name, int flags, const struct shmq_attr *attr)
{
    shmq_t *q = NULL;

    assert_int_equal(shmq_open(&q, name, flags, attr), 0);
    return q;
}

shmq_t *helper_create(const struct shmq_attr *attr)
{
    return helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL, attr);
}

void helper_finish(shmq_t *q)
{
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
}

/* --- time ------------------------------------------------------------------ */

struct sleepers {
    const struct sq_group_shm *joined; /* or NULL */
    struct sq_cond_shm *cond;
};

static struct sleepers sleepers_of(shmq_t *q, enum helper_sleepers who)
{
    struct sq_group_shm *g = q->segment.ring.group;

    if (who == HELPER_JOINERS)
        return (struct sleepers){g, &g->done};
    return (struct sleepers){
        NULL, sq_side_cond(q, who == HELPER_PRODUCERS ? SQ_ROLE_PRODUCER : SQ_ROLE_CONSUMER)};
}

static bool are_announced(void *sleepers)
{
    struct sleepers *s = sleepers;

    return sq_cond_has_sleepers(s->cond) &&
           (s->joined == NULL || (sq_load(&s->joined->mode) & SQ_GROUP_DONE_AWAITED) != 0);
}

void helper_expect_wake(shmq_t *q, enum helper_sleepers who)
{
    struct sleepers s = sleepers_of(q, who);

    assert_true(helper_await(are_announced, &s));
    sq_store(&s.cond->waker_cpu, 0);
}

bool helper_has_woken(shmq_t *q, enum helper_sleepers who)
{
    return sq_load(&sleepers_of(q, who).cond->waker_cpu) != 0;
}

struct shmq_attr helper_attr(uint64_t capacity_bytes)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    attr.capacity_bytes = capacity_bytes;
    return attr;
}

bool helper_detail_names(const char *one, const char *other)
{
    const char *detail = shmq_last_error_detail();

    if (strstr(detail, one) != NULL && strstr(detail, other) != NULL)
        return true;
    print_error("\"%s\" and \"%s\" are not both in: %s\n", one, other, detail);
    return false;
}

/* --- messages --------------------------------------------------------------- */

uint64_t helper_send(shmq_t *q, const char *text)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.data = text;
    msg.length = strlen(text);
    assert_int_equal(shmq_send(q, &msg, HELPER_LATE_NS), 0);
    return msg.id;
}

struct shmq_msg helper_receive(shmq_t *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    int rc = shmq_receive(q, &msg, HELPER_LATE_NS);

    if (rc != 0)
        print_error("receive: %s (%s)\n", shmq_strerror(rc), shmq_last_error_detail());
    assert_int_equal(rc, 0);
    return msg;
}

bool helper_is(const struct shmq_msg *msg, const char *text)
{
    if (msg->length == strlen(text) && memcmp(msg->data, text, msg->length) == 0)
        return true;
    print_error("message %llu is \"%.*s\", not \"%s\"\n", (unsigned long long)msg->id,
                (int)msg->length, (const char *)msg->data, text);
    return false;
}

bool helper_takes(shmq_t *q, const char *text)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    int rc = shmq_receive(q, &msg, SHMQ_NOWAIT);

    if (text == NULL) {
        if (rc == -EAGAIN)
            return true;
        print_error("nothing was to be there: %d, \"%.*s\"\n", rc, (int)msg.length,
                    (const char *)msg.data);
        return false;
    }
    if (rc != 0) {
        print_error("receive of \"%s\": %s (%s)\n", text, shmq_strerror(rc),
                    shmq_last_error_detail());
        return false;
    }
    bool is = helper_is(&msg, text);
    return shmq_ack(q, &msg) == 0 && is;
}

struct shmq_group_stats helper_group(shmq_t *q)
{
    struct shmq_group_stats stats;

    assert_int_equal(shmq_group_stats(q, &stats), 0);
    return stats;
}

void helper_pass(int64_t ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};

    while (nanosleep(&t, &t) != 0)
        assert_int_equal(errno, EINTR);
}

void *helper_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

struct helper_random helper_seed(void)
{
    const char *given = getenv("SEED");
    struct helper_random random = {(uint64_t)helper_now_ns() | 1};

    if (given != NULL)
        random.state = strtoull(given, NULL, 10) | 1;
    print_message("             SEED=%llu\n", (unsigned long long)random.state);
    return random;
}

/* xorshift64* */
uint64_t helper_random(struct helper_random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * 0x2545f4914f6cdd1du;
}
