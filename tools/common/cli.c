/*
 * cli.c - what the command-line tools have in common, see cli.h.
 */
#include "common/cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shmq.h"

/* --- errors ---------------------------------------------------------------- */

/* Print `text` with its control characters masked, so that it stays one line. */
static void print_masked(const char *before, const char *text, const char *after)
{
    fputs(before, stderr);
    for (; *text; text++)
        fputc(iscntrl((unsigned char)*text) ? '?' : *text, stderr);
    fputs(after, stderr);
}

void cli_complain(const char *what, const char *why, const char *detail, const char *advice)
{
    fflush(stdout);
    flockfile(stderr);
    print_masked("", program_invocation_short_name, ": ");
    print_masked("", what, ": ");
    print_masked("", why, "");
    if (detail && *detail)
        print_masked(" (", detail, ")");
    if (advice && *advice)
        print_masked(": ", advice, "");
    fputc('\n', stderr);
    funlockfile(stderr);
}

/* What to do about an error of the library. */
static const char *advice_for(int error)
{
    switch (-error) {
    case ENOENT:
        return "'shmq ls' shows which queues there are, 'shmq create' makes one";
    case EEXIST:
        return "choose another name, or accept it with --exist-ok";
    case EACCES:
        return "'shmq ls -l' shows its owner and mode";
    case ECANCELED:
        return "give more time with a longer --lease, see 'shmq policy'";
    case ENOTSUP:
        return "use a library that was built with it";
    case EINVAL:
        return "see --help, or the manual page for what is allowed";
    case ENOSPC:
        return "remove a queue that nobody needs with 'shmq rm', or create a smaller one";
    case EMSGSIZE:
        return "create the queue with a larger --capacity or --max-message-size";
    case EBUSY:
    case EUSERS:
        return "'shmq-stat --processes' shows who uses it";
    case EAGAIN:
    case ETIMEDOUT:
        return "allow more time with --timeout, or see who is attached with 'shmq-stat "
               "--processes'";
    case ESTALE:
        return "run it again to use the queue that has the name now";
    case EBADMSG:
        return "'shmq-check NAME --repair' saves what can be read, 'shmq purge' makes it usable "
               "again";
    case EPROTO:
        return "use the shmq version that made it, or remove it with 'shmq rm'";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files, see ulimit(1)";
    case EPIPE:
        return "keep the reader of standard output open";
    default:
        return NULL;
    }
}

int cli_status_of(int error)
{
    switch (-error) {
    case 0:
        return CLI_DONE;
    case EAGAIN:
    case ETIMEDOUT:
    case EINTR:
        return CLI_NOTHING;
    case EINVAL:
        return CLI_USAGE;
    default:
        return CLI_FAILURE;
    }
}

int cli_failure(int error, const char *format, ...)
{
    char what[320];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    cli_complain(what, shmq_strerror(error), shmq_last_error_detail(), advice_for(error));
    return cli_status_of(error);
}

int cli_usage(const char *command, const char *format, ...)
{
    char why[320];
    char advice[96];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    snprintf(advice, sizeof(advice), "see '%s%s%s --help'", program_invocation_short_name,
             command ? " " : "", command ? command : "");
    cli_complain(command ? command : "command line", why, NULL, advice);
    return CLI_USAGE;
}

int cli_bad_option(const char *command, int code, char **argv)
{
    const char *given = argv[optind - 1];

    if (code == ':' && strncmp(given, "--", 2) == 0)
        return cli_usage(command, "option '%s' needs a value", given);
    if (code == ':')
        return cli_usage(command, "option '-%c' needs a value", optopt);
    if (optopt != 0 && strncmp(given, "--", 2) != 0)
        return cli_usage(command, "unknown option '-%c'", optopt);
    if (optopt != 0)
        return cli_usage(command, "option '%s' takes no value", given);
    return cli_usage(command, "unknown option '%s'", given);
}

int cli_print(const char *text)
{
    if (fputs(text, stdout) == EOF || fflush(stdout) != 0) {
        cli_complain("standard output", strerror(errno), NULL, NULL);
        return CLI_FAILURE;
    }
    return CLI_DONE;
}

int cli_print_version(void)
{
    char line[96];

    snprintf(line, sizeof(line), "%s %s\n", program_invocation_short_name, shmq_version());
    return cli_print(line);
}

/* --- stopping and time ----------------------------------------------------- */

static volatile sig_atomic_t stop_signal;

static void note_signal(int number)
{
    stop_signal = number;
}

/*
 * A standard descriptor that is closed would be the next one opened, and what
 * is printed would go into a queue.  So fill the gap with one that only fails.
 */
static void fill_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

void cli_start(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction before;

        /* One that the parent ignores, as nohup does, stays ignored. */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    fill_standard_descriptors();
}

bool cli_stopped(void)
{
    return stop_signal != 0;
}

static int64_t now_by(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t cli_now_ns(void)
{
    return now_by(CLOCK_MONOTONIC);
}

int64_t cli_wall_ns(void)
{
    return now_by(CLOCK_REALTIME);
}

int64_t cli_deadline(int64_t timeout_ns)
{
    int64_t now = cli_now_ns();

    return timeout_ns < 0 || timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
}

int64_t cli_slice(int64_t deadline_ns)
{
    int64_t left = deadline_ns - cli_now_ns();

    if (left <= 0)
        return SHMQ_NOWAIT;
    return left < CLI_SLICE_NS ? left : CLI_SLICE_NS;
}

void cli_sleep_until(int64_t deadline_ns)
{
    int64_t slice;

    while (!cli_stopped() && (slice = cli_slice(deadline_ns)) > 0) {
        struct timespec time = {.tv_nsec = (long)slice};

        nanosleep(&time, NULL);
    }
}

static int wait_for(int fd, short event)
{
    while (!cli_stopped()) {
        struct pollfd p = {.fd = fd, .events = event};
        int ready = poll(&p, 1, (int)(CLI_SLICE_NS / 1000000));

        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready <= 0)
            continue;
        if (p.revents & POLLNVAL)
            return -EBADF;
        if (event == POLLOUT && (p.revents & (POLLERR | POLLHUP)))
            return -EPIPE;
        return 0;
    }
    return -EINTR;
}

int cli_wait_readable(int fd)
{
    return wait_for(fd, POLLIN);
}

int cli_wait_writable(int fd)
{
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    return wait_for(fd, POLLOUT);
}

/* --- names of queues ------------------------------------------------------- */

static int add_name(const char *name, void *arg)
{
    struct cli_names *names = arg;
    char *copy = strdup(name);
    char **list = realloc(names->list, (names->count + 1) * sizeof(*list));

    if (list)
        names->list = list;
    if (!list || !copy) {
        free(copy);
        return -ENOMEM;
    }
    names->list[names->count++] = copy;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int cli_names_load(struct cli_names *names)
{
    int error;

    *names = (struct cli_names){0};
    error = shmq_list(add_name, names);
    if (error)
        cli_names_free(names);
    else if (names->count > 0)
        qsort(names->list, names->count, sizeof(*names->list), compare_names);
    return error;
}

void cli_names_free(struct cli_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct cli_names){0};
}
