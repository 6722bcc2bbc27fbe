/*
 * server.h - peers that are daemons: started for one channel on a Unix socket in a
 * folder of its own, ended with it, and spoken to by a buffered connection.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct server {
    pid_t pid;
    char folder[80];
    char socket[96];
};

/* Whether `program` is in PATH. */
bool server_there(const char *program);
/* The first line that a command prints; "" if none. */
void server_version(const char *command, char *line, size_t size);
/* Makes the folder and fills in both names. */
int server_prepare(struct server *server, const char *name);
/* Starts the program and waits until it answers at the socket. */
int server_start(struct server *server, char *const argv[]);
/* Kills it, waits for its end and removes the folder; fine if it was not started. */
void server_stop(struct server *server);

/* One connection.  Requests are gathered in `out` and sent with wire_flush(). */
struct wire {
    int fd;
    size_t room; /* of each of the two buffers */
    size_t at, have;
    char *in;
    size_t pending;
    char *out;
};

/* `room`: of the longest burst of requests or replies that the caller makes. */
int wire_open(struct wire *wire, const struct server *server, size_t room);
void wire_close(struct wire *wire);
void wire_add(struct wire *wire, const void *data, size_t length);
void wire_print(struct wire *wire, const char *format, ...) __attribute__((format(printf, 2, 3)));
int wire_flush(struct wire *wire);
/* The next line of the reply, its CR LF cut off; valid until the next read. */
int wire_line(struct wire *wire, char **line);
/* The next `length` bytes of the reply, and the CR LF behind them. */
int wire_block(struct wire *wire, void *data, size_t length);

#endif
