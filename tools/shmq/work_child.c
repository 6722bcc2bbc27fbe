/*
 * work_child.c - see work_child.h.
 */
#include "shmq/work_child.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/text.h"

extern char **environ;

/* --- the environment ------------------------------------------------------------ */

#define HEADER_PREFIX "SHMQ_HEADER_"

/* NAME=VALUE, one after another, each ended by a NUL; and then as execve() wants it. */
struct environment {
    struct text text;
    size_t count;
    char **list;
};

/* Is it a variable that a message may have set?  Of one that does not, the command is
 * not to see what ours was. */
static bool is_ours(const char *variable)
{
    static const char *const names[] = {
        "SHMQ_QUEUE=", "SHMQ_ID=",  "SHMQ_ATTEMPTS=",    "SHMQ_PRIORITY=",
        "SHMQ_TYPE=",  "SHMQ_KEY=", "SHMQ_CORRELATION=", HEADER_PREFIX};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void end_variable(struct environment *e)
{
    text_append(&e->text, "", 1);
    e->count++;
}

static void add_number(struct environment *e, const char *name, int64_t value)
{
    text_format(&e->text, "%s=%" PRId64, name, value);
    end_variable(e);
}

/* The type as put takes it: one character, or a number. */
static void add_type(struct environment *e, uint32_t type)
{
    if (type < 0x7f && isgraph((int)type) && !isdigit((int)type))
        text_format(&e->text, "SHMQ_TYPE=%c", (int)type);
    else
        text_format(&e->text, "SHMQ_TYPE=%" PRIu32, type);
    end_variable(e);
}

/* Is NAME=..., at `from` in the text and not yet ended, there before? */
static bool is_double(const struct environment *e, size_t from, size_t name_length)
{
    for (size_t at = 0; at < from; at += strlen(e->text.data + at) + 1)
        if (strncmp(e->text.data + at, e->text.data + from, name_length + 1) == 0)
            return true;
    return false;
}

/* SHMQ_HEADER_NAME=VALUE.  Of names that become the same, the first one stays. */
static void add_header(struct environment *e, const struct shmq_header *header)
{
    size_t from = e->text.length;

    text_add(&e->text, HEADER_PREFIX);
    for (const char *c = header->name; *c; c++) {
        char plain = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
        text_append(&e->text, &plain, 1);
    }
    size_t name_length = e->text.length - from;
    text_format(&e->text, "=%s", header->value);
    if (is_double(e, from, name_length))
        e->text.length = from;
    else
        end_variable(e);
}

static int add_message(struct environment *e, const char *queue, const struct shmq_msg *msg)
{
    struct shmq_header header;
    size_t walk = 0;
    int rc;

    text_format(&e->text, "SHMQ_QUEUE=%s", queue);
    end_variable(e);
    add_number(e, "SHMQ_ID", (int64_t)msg->id);
    add_number(e, "SHMQ_ATTEMPTS", msg->attempts);
    add_number(e, "SHMQ_PRIORITY", msg->priority);
    if (msg->type != SHMQ_TYPE_NONE)
        add_type(e, msg->type);
    if (msg->correlation != 0) {
        text_format(&e->text, "SHMQ_CORRELATION=%" PRIu64, msg->correlation);
        end_variable(e);
    }
    /* A key with a NUL byte could only be had cut short, as another one. */
    if (msg->key_length > 0 && !memchr(msg->key, '\0', msg->key_length)) {
        text_add(&e->text, "SHMQ_KEY=");
        text_append(&e->text, msg->key, msg->key_length);
        end_variable(e);
    }
    while ((rc = shmq_header_next(msg, &walk, &header)) == 1)
        add_header(e, &header);
    return rc;
}

static int make_environment(struct environment *e, const char *queue, const struct shmq_msg *msg)
{
    int rc = add_message(e, queue, msg);

    for (char **variable = environ; *variable; variable++) {
        if (is_ours(*variable))
            continue;
        text_add(&e->text, *variable);
        end_variable(e);
    }
    e->list = rc == 0 ? calloc(e->count + 1, sizeof(*e->list)) : NULL;
    if (!e->list)
        return rc == 0 ? -ENOMEM : rc;
    char *at = e->text.data;
    for (size_t i = 0; i < e->count; i++, at += strlen(at) + 1)
        e->list[i] = at;
    return 0;
}

/* --- the command ------------------------------------------------------------------ */

int work_child_find(const char *command)
{
    const char *path = getenv("PATH"), *end;
    int error = ENOENT;
    char file[4096];

    if (strchr(command, '/'))
        return access(command, X_OK) == 0 ? 0 : -errno;
    for (path = path ? path : "/bin:/usr/bin"; *command; path = end + 1) {
        end = path + strcspn(path, ":");
        snprintf(file, sizeof(file), "%.*s/%s", (int)(end - path), end > path ? path : ".",
                 command);
        if (access(file, X_OK) == 0)
            return 0;
        if (errno == EACCES)
            error = EACCES;
        if (*end == '\0')
            break;
    }
    return -error;
}

/* --- the process ------------------------------------------------------------------ */

/* The payload as a file in memory, to be read from its beginning; or a negative errno. */
static int make_input(const struct shmq_msg *msg)
{
    const char *bytes = msg->data;
    size_t left = msg->length;
    int fd = memfd_create("shmq-message", MFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    while (left > 0) {
        ssize_t n = write(fd, bytes, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            n = -errno;
            close(fd);
            return (int)n;
        }
        bytes += n;
        left -= (size_t)n;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/*
 * In the child, before the command: only what may be called after a fork of a process
 * with threads.  `report` tells the parent why there is no command.
 */
static void become(char **command, char **environment, int input, pid_t parent,
                   const sigset_t *mask, int report)
{
    static const int changed[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

    /* If the parent died before the request was made, nobody would kill us. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(127);
    /* Of its own, so that a terminal's ^C is ours to deal with. */
    setpgid(0, 0);
    for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
        struct sigaction action;

        /* What is ignored on purpose stays so; SIGPIPE was by us. */
        if (sigaction(changed[i], NULL, &action) == 0 &&
            (action.sa_handler != SIG_IGN || changed[i] == SIGPIPE))
            signal(changed[i], SIG_DFL);
    }
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (dup2(input, STDIN_FILENO) >= 0) {
        environ = environment;
        execvp(command[0], command);
    }
    int error = errno;
    (void)!write(report, &error, sizeof(error));
    _exit(127);
}

/* Fork, with all signals blocked until the child has its own handlers. */
static pid_t fork_child(char **command, char **environment, int input, int report)
{
    pid_t parent = getpid();
    sigset_t all, before, mask;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    mask = before;
    sigdelset(&mask, SIGCHLD); /* that is blocked for our keeper */
    pid_t pid = fork();
    if (pid == 0)
        become(command, environment, input, parent, &mask, report);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

/* 0 once the command runs. */
static int run(char **command, char **environment, int input, pid_t *pid)
{
    int report[2], error = 0;
    ssize_t n;

    if (pipe2(report, O_CLOEXEC) != 0)
        return -errno;
    *pid = fork_child(command, environment, input, report[1]);
    if (*pid < 0)
        error = errno;
    close(report[1]);
    if (*pid > 0) {
        do
            n = read(report[0], &error, sizeof(error));
        while (n < 0 && errno == EINTR);
        if (error != 0)
            waitpid(*pid, NULL, 0);
    }
    close(report[0]);
    return -error;
}

int work_child_start(const char *queue, char **command, const struct shmq_msg *msg, pid_t *pid)
{
    struct environment e = {0};
    int rc = make_environment(&e, queue, msg);

    if (rc == 0) {
        int input = make_input(msg);
        rc = input < 0 ? input : run(command, e.list, input, pid);
        if (input >= 0)
            close(input);
    }
    free(e.list);
    text_free(&e.text);
    return rc;
}
