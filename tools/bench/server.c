/*
 * server.c - see server.h.
 *
 * A server dies with shmq-bench (PR_SET_PDEATHSIG), however that ends, and is
 * killed and waited for at the end of its round.  It has a process group of its
 * own, so that Ctrl-C reaches shmq-bench alone, which ends it in order.
 */
#include "bench/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/disk.h"

bool server_there(const char *program)
{
    const char *path = getenv("PATH");
    for (const char *p = path ? path : ""; *p;) {
        char file[4096];
        size_t n = strcspn(p, ":");
        int length = snprintf(file, sizeof file, "%.*s/%s", (int)n, p, program);
        if (length > 0 && (size_t)length < sizeof file && access(file, X_OK) == 0)
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

void server_version(const char *command, char *line, size_t size)
{
    FILE *pipe = popen(command, "r");
    line[0] = '\0';
    if (!pipe)
        return;
    if (!fgets(line, (int)size, pipe))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    pclose(pipe);
}

int server_prepare(struct server *server, const char *name)
{
    memset(server, 0, sizeof *server);
    snprintf(server->folder, sizeof server->folder, "/tmp/%.64s", name);
    snprintf(server->socket, sizeof server->socket, "%s/socket", server->folder);
    if (mkdir(server->folder, 0700) == 0)
        return 0;
    int error = -errno;
    server->folder[0] = '\0';
    return error;
}

static int server_connect(const struct server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    memcpy(address.sun_path, server->socket, sizeof server->socket);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static void run(char *const argv[], pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    execvp(argv[0], argv);
    _exit(127);
}

int server_start(struct server *server, char *const argv[])
{
    fflush(NULL);
    pid_t parent = getpid();
    server->pid = fork();
    if (server->pid == 0)
        run(argv, parent);
    if (server->pid < 0) {
        server->pid = 0;
        return -errno;
    }
    for (int i = 0; i < 5000; i++) {
        int fd = server_connect(server);
        if (fd >= 0) {
            close(fd);
            return 0;
        }
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            server->pid = 0;
            return -ECHILD;
        }
        usleep(1000);
    }
    return -ETIMEDOUT;
}

void server_stop(struct server *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (server->folder[0])
        folder_remove(server->folder);
    memset(server, 0, sizeof *server);
}

int wire_open(struct wire *wire, const struct server *server, size_t room)
{
    memset(wire, 0, sizeof *wire);
    wire->fd = server_connect(server);
    if (wire->fd < 0)
        return wire->fd;
    wire->room = room < 65536 ? 65536 : room;
    wire->in = malloc(wire->room);
    wire->out = malloc(wire->room);
    return wire->in && wire->out ? 0 : -ENOMEM;
}

void wire_close(struct wire *wire)
{
    close(wire->fd);
    free(wire->in);
    free(wire->out);
}

void wire_add(struct wire *wire, const void *data, size_t length)
{
    if (length > wire->room - wire->pending)
        abort();
    memcpy(wire->out + wire->pending, data, length);
    wire->pending += length;
}

void wire_print(struct wire *wire, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (length < 0 || (size_t)length >= sizeof text)
        abort();
    wire_add(wire, text, (size_t)length);
}

int wire_flush(struct wire *wire)
{
    for (size_t done = 0; done < wire->pending;) {
        ssize_t n = send(wire->fd, wire->out + done, wire->pending - done, MSG_NOSIGNAL);
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    wire->pending = 0;
    return 0;
}

/* Reads more behind what is there, which is moved to the front if need be. */
static int wire_fill(struct wire *wire)
{
    if (wire->at == wire->have)
        wire->at = wire->have = 0;
    if (wire->have == wire->room) {
        if (wire->at == 0)
            return -EMSGSIZE;
        wire->have -= wire->at;
        memmove(wire->in, wire->in + wire->at, wire->have);
        wire->at = 0;
    }
    ssize_t n = recv(wire->fd, wire->in + wire->have, wire->room - wire->have, 0);
    if (n <= 0)
        return n < 0 ? -errno : -EPIPE;
    wire->have += (size_t)n;
    return 0;
}

int wire_line(struct wire *wire, char **line)
{
    for (;;) {
        char *start = wire->in + wire->at;
        char *end = memchr(start, '\n', wire->have - wire->at);
        if (end && end > start) {
            end[-1] = '\0';
            *line = start;
            wire->at = (size_t)(end + 1 - wire->in);
            return 0;
        }
        int error = end ? -EPROTO : wire_fill(wire);
        if (error)
            return error;
    }
}

int wire_block(struct wire *wire, void *data, size_t length)
{
    while (wire->have - wire->at < length + 2) {
        int error = wire_fill(wire);
        if (error)
            return error;
    }
    memcpy(data, wire->in + wire->at, length);
    wire->at += length + 2;
    return 0;
}
