/*
 * cmd_work.c - shmq work: a command for each message.
 *
 * Two threads.  The first receives and starts commands; the second, the keeper, waits
 * for their ends, acknowledges, returns or rejects their messages, and renews the leases
 * meanwhile.  SIGCHLD is blocked in both, so that the keeper cannot miss one.
 *
 * A message is a command's standard input as a file in memory, not as a pipe: nobody
 * has to feed it, and a command that does not read it holds up nobody.
 *
 * If this program is killed, its leases go back to the queue within a second; the
 * commands die with it (PR_SET_PDEATHSIG), so as not to work on beside the next one.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/cli.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/queue_target.h"
#include "shmq/work_child.h"

static const char help[] =
    "Usage: shmq work NAME [OPTION ...] [--] COMMAND [ARGUMENT ...]\n"
    "Run COMMAND for each message of the queue NAME, with the message on its standard\n"
    "input.  When it exits with 0 the message is done; with 65 it is rejected; otherwise\n"
    "it is given back, to be tried again as the queue's policy says.\n"
    "\n"
    "  --group GROUP      work on what this group of a topic has\n"
    "  -j, --jobs N       run up to N commands at a time (1)\n"
    "  -n, --count COUNT  end after so many messages\n"
    "  --once             the same as -n 1\n"
    "  --timeout TIME     end when no message has come for so long and no command runs;\n"
    "                     0 works on what is there (for ever)\n"
    "  --help             show this\n"
    "\n"
    "COMMAND finds in its environment SHMQ_QUEUE, SHMQ_ID, SHMQ_ATTEMPTS, SHMQ_PRIORITY,\n"
    "SHMQ_TYPE, SHMQ_KEY, SHMQ_CORRELATION and for each header SHMQ_HEADER_NAME.\n"
    "SIGINT, SIGTERM and SIGHUP let the commands end and start none; a second one kills\n"
    "them and gives their messages back.\n";

enum { JOBS_MAX = 1024, TICK_LONGEST_MS = 500, WAIT_MS = 100 };

/* A command that runs. */
struct job {
    pid_t pid;  /* 0: none */
    bool ended; /* only its message's lease is yet to be ended */
    struct shmq_msg msg;
    int64_t renewed_ns;
};

struct work {
    struct target t;
    uint64_t jobs_most, count;
    int64_t timeout_ns;
    char **command;
    pthread_mutex_t lock; /* for all below */
    pthread_cond_t ended; /* a command did */
    struct job *jobs;
    unsigned running;
    bool over;   /* the keeper may end */
    bool killed; /* the commands were */
    pthread_t keeper;
};

/* --- signals ----------------------------------------------------------------- */

static volatile sig_atomic_t signals;

static void note_signal(int number)
{
    (void)number;
    if (signals < 2)
        signals++;
}

/* From now on they are counted, and none kills us: that is for the commands. */
static void count_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = note_signal}, before;
    sigset_t child;

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    signal(SIGCHLD, SIG_DFL); /* ignored, it would take the exit codes with it */
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child, NULL);
}

static bool stopped(void)
{
    return signals > 0 || cli_stopped();
}

/* --- the keeper, and what it shares -------------------------------------------- */

static void complain_of_message(const struct work *w, const struct shmq_msg *msg, int error)
{
    cli_failure(error, "work %s: message %llu", w->t.name, (unsigned long long)msg->id);
}

/* The command ended: do to its message what its exit code says. */
static void apply_status(struct work *w, struct shmq_msg *msg, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1, rc;
    char text[64];

    if (code >= 0)
        snprintf(text, sizeof(text), "the command exited with %d", code);
    else
        snprintf(text, sizeof(text), "the command was killed by signal %d", WTERMSIG(status));
    do {
        if (code == 0)
            rc = shmq_ack(w->t.g, msg);
        else if (code == EX_DATAERR)
            rc = shmq_reject(w->t.g, msg, SHMQ_REASON_VALIDATION, text);
        else
            rc = shmq_fail(w->t.g, msg, SHMQ_BY_POLICY, 0, text);
    } while ((rc == -ETIMEDOUT || rc == -EINTR) && !stopped());
    if (rc < 0)
        complain_of_message(w, msg, rc);
}

/* Look after the commands that run.  With the lock, but for settling, which may have to wait. */
static void look_after(struct work *w, int64_t third_ns)
{
    for (uint64_t i = 0; i < w->jobs_most; i++) {
        struct job *job = &w->jobs[i];
        int status;

        if (job->pid == 0)
            continue;
        if (waitpid(job->pid, &status, WNOHANG) == job->pid) {
            job->ended = true;
            pthread_mutex_unlock(&w->lock);
            apply_status(w, &job->msg, status);
            pthread_mutex_lock(&w->lock);
            *job = (struct job){0};
            w->running--;
            pthread_cond_signal(&w->ended);
        } else if (cli_now_ns() - job->renewed_ns >= third_ns &&
                   shmq_touch(w->t.g, &job->msg, 0) != -ETIMEDOUT) {
            job->renewed_ns = cli_now_ns(); /* or it is lost, as settling it will say */
        }
    }
}

/* Wait until a child ended, or for a while; a third of the lease. */
static int64_t wait_for_children(struct work *w)
{
    int64_t tick_ns = SHMQ_MS(TICK_LONGEST_MS), third_ns = tick_ns;
    struct shmq_policy policy;
    sigset_t child;

    if (shmq_policy_of(w->t.g, &policy) == 0)
        third_ns = policy.lease_ns / 3;
    if (third_ns < tick_ns)
        tick_ns = third_ns > SHMQ_MS(1) ? third_ns : SHMQ_MS(1);
    struct timespec tick = {.tv_nsec = (long)tick_ns};
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigtimedwait(&child, NULL, &tick);
    return third_ns;
}

static void *keep(void *arg)
{
    struct work *w = arg;

    pthread_mutex_lock(&w->lock);
    while (!w->over) {
        pthread_mutex_unlock(&w->lock);
        int64_t third_ns = wait_for_children(w);
        pthread_mutex_lock(&w->lock);
        look_after(w, third_ns);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static int start_keeper(struct work *w)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->keeper, NULL, keep, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static void end_keeper(struct work *w)
{
    pthread_mutex_lock(&w->lock);
    w->over = true;
    pthread_mutex_unlock(&w->lock);
    pthread_kill(w->keeper, SIGCHLD); /* for which it waits */
    pthread_join(w->keeper, NULL);
}

/* --- receiving ------------------------------------------------------------------- */

/* With the lock, after a second signal: end the commands, each with what it has started. */
static void kill_commands(struct work *w)
{
    for (uint64_t i = 0; i < w->jobs_most; i++)
        if (w->jobs[i].pid != 0 && !w->jobs[i].ended)
            kill(-w->jobs[i].pid, SIGKILL);
    w->killed = w->killed || w->running > 0;
}

/* Wait until at most `most` commands run. */
static void wait_for_commands(struct work *w, unsigned most, bool until_stopped)
{
    pthread_mutex_lock(&w->lock);
    while (w->running > most && !(until_stopped && stopped())) {
        struct timespec until;

        if (signals > 1)
            kill_commands(w);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)SHMQ_MS(WAIT_MS);
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&w->ended, &w->lock, &until);
    }
    pthread_mutex_unlock(&w->lock);
}

static unsigned running(struct work *w)
{
    pthread_mutex_lock(&w->lock);
    unsigned n = w->running;
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* Receive in slices, so that a signal is noticed.  While commands run the time is not
 * over: what they are at may come back. */
static int receive(struct work *w, struct shmq_msg *msg)
{
    int64_t deadline = cli_deadline(w->timeout_ns);

    while (!stopped()) {
        int rc = shmq_receive(w->t.g, msg, cli_slice(deadline));

        if (rc == 0 || (rc != -EINTR && rc != -ETIMEDOUT && rc != -EAGAIN))
            return rc;
        if (rc == -EINTR || cli_now_ns() < deadline)
            continue;
        unsigned before = running(w);
        if (before == 0)
            return -ETIMEDOUT;
        wait_for_commands(w, before - 1, true);
        deadline = cli_deadline(w->timeout_ns);
    }
    return -EINTR;
}

/* Start the command for a message, as a free job.  An exit code. */
static int start(struct work *w, struct shmq_msg *msg)
{
    struct job *job = w->jobs, begun = {.msg = *msg, .renewed_ns = cli_now_ns()};

    pthread_mutex_lock(&w->lock);
    while (job->pid != 0)
        job++;
    int rc = work_child_start(w->t.name, w->command, msg, &begun.pid);
    if (rc == 0) {
        *job = begun;
        w->running++;
    }
    pthread_mutex_unlock(&w->lock);
    if (rc == 0)
        return CLI_DONE;
    /* Too long for a command's environment: no command will ever take it. */
    if (rc == -E2BIG && shmq_reject(w->t.g, msg, SHMQ_REASON_PROCESSING,
                                    "too long for the environment of a command") == 0)
        return CLI_DONE;
    shmq_nack(w->t.g, msg, 0, 0);
    cli_complain(w->command[0], strerror(-rc), NULL, "the message was given back");
    return CLI_FAILURE;
}

static int work_on_all(struct work *w)
{
    uint64_t begun = 0;
    int rc = 0, status = CLI_DONE;

    while (begun < w->count && status == CLI_DONE) {
        struct shmq_msg msg = SHMQ_MSG_INIT;

        wait_for_commands(w, (unsigned)w->jobs_most - 1, true);
        rc = receive(w, &msg);
        if (rc < 0)
            break;
        status = start(w, &msg);
        begun++;
    }
    wait_for_commands(w, 0, false);
    if (rc < 0 && rc != -EINTR && rc != -ETIMEDOUT)
        return target_failure(&w->t, rc);
    if (status == CLI_DONE && (w->killed || (begun == 0 && rc == -ETIMEDOUT)))
        status = CLI_NOTHING;
    return status;
}

/* --- the command line --------------------------------------------------------------- */

static int with_keeper(struct work *w)
{
    pthread_condattr_t monotonic;

    w->jobs = calloc((size_t)w->jobs_most, sizeof(*w->jobs));
    if (!w->jobs)
        return target_failure(&w->t, -ENOMEM);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->ended, &monotonic);
    count_signals();
    int status, rc = start_keeper(w);
    if (rc < 0) {
        status = target_failure(&w->t, rc);
    } else {
        status = work_on_all(w);
        end_keeper(w);
    }
    free(w->jobs);
    return status;
}

static int with_queue(struct work *w)
{
    int status = target_open(&w->t, 0, TARGET_GROUP);

    if (status == CLI_DONE) {
        status = with_keeper(w);
        target_close(&w->t);
    }
    return status;
}

static int read_option(struct work *w, int code, char **argv)
{
    switch (code) {
    case 'g':
        w->t.group = optarg;
        return -1;
    case 'j':
        if (!cli_parse_count(optarg, &w->jobs_most) || w->jobs_most == 0 || w->jobs_most > JOBS_MAX)
            return cli_usage("work", "--jobs '%s' is not a whole number from 1 to %d", optarg,
                             JOBS_MAX);
        return -1;
    case 'n':
        if (!cli_parse_count(optarg, &w->count) || w->count == 0)
            return cli_usage("work", "--count '%s' is not a whole number from 1", optarg);
        return -1;
    case 'o':
        w->count = 1;
        return -1;
    case 't':
        if (!cli_parse_duration(optarg, &w->timeout_ns))
            return cli_usage("work", "--timeout '%s' is not a time such as 250ms or 10s", optarg);
        return -1;
    default:
        return cli_bad_option("work", code, argv);
    }
}

/* Options end at the command, so the queue's name is taken out of their way first. */
int cmd_work(int argc, char **argv)
{
    static const struct option options[] = {
        {"group", required_argument, NULL, 'g'},
        {"jobs", required_argument, NULL, 'j'},
        {"count", required_argument, NULL, 'n'},
        {"once", no_argument, NULL, 'o'},
        {"timeout", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct work w = {
        .t = {.command = "work"}, .jobs_most = 1, .count = UINT64_MAX, .timeout_ns = SHMQ_FOREVER};
    int code, status;

    opterr = 0;
    for (;;) {
        while ((code = getopt_long(argc, argv, "+:j:n:h", options, NULL)) != -1) {
            if (code == 'h')
                return cli_print(help);
            status = read_option(&w, code, argv);
            if (status >= 0)
                return status;
        }
        if (w.t.name || optind >= argc)
            break;
        w.t.name = argv[optind++];
    }
    if (!w.t.name)
        return cli_usage("work", "the name of a queue is needed");
    if (optind >= argc)
        return cli_usage("work", "a command is needed");
    w.command = argv + optind;
    int error = work_child_find(w.command[0]);
    if (error < 0) {
        cli_complain(w.command[0], strerror(-error), NULL, "name a command that can be run");
        return CLI_FAILURE;
    }
    return with_queue(&w);
}
