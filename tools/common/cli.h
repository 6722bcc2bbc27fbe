/*
 * cli.h - what the command-line tools have in common: exit codes, the form of
 * an error line, numbers as people type them (cli_parse.c), stopping on a
 * signal, time.
 */
#ifndef SHMQ_CLI_H
#define SHMQ_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of every tool. */
enum cli_status {
    CLI_DONE = 0,    /* did what was asked */
    CLI_NOTHING = 1, /* nothing there, nothing came, or no room, in time */
    CLI_USAGE = 2,   /* the command line is wrong */
    CLI_FAILURE = 3, /* anything else */
};

/* Longest sleep in one go, so that a signal just before it is noticed soon. */
#define CLI_SLICE_NS ((int64_t)500 * 1000 * 1000)

/* --- numbers: false when `text` is not one or does not fit ---------------- */

/* A whole number, decimal. */
bool cli_parse_count(const char *text, uint64_t *value);

/* Bytes: a whole number, and K, M, G or T for powers of 1024. */
bool cli_parse_size(const char *text, uint64_t *bytes);

/* A time: `1.5`, `10s`, `250ms`, `100us`, `5ns`, `5m`, `1h`; bare: seconds. */
bool cli_parse_duration(const char *text, int64_t *ns);

/* A whole number that may be negative. */
bool cli_parse_int32(const char *text, int32_t *value);

/* A number from 0, which may have a fraction. */
bool cli_parse_real(const char *text, double *value);

/* A message's type: a number, or one character that is no digit. */
bool cli_parse_type(const char *text, uint32_t *type);

/*
 * A point of time, as nanoseconds of CLOCK_REALTIME: seconds since the epoch, or as
 * in ISO 8601 `2026-11-23T10:30:00`, with or without the time, seconds, a fraction
 * and the zone, which is the local one, `Z`, or such as `+02:00`.
 */
bool cli_parse_moment(const char *text, int64_t *ns);

/* Permission bits, octal, up to 0777. */
bool cli_parse_mode(const char *text, uint32_t *mode);

/* Is it digits with at most one point, that is, a duration without a unit? */
bool cli_is_number(const char *text);

/* --- errors ---------------------------------------------------------------- */

/*
 * Print `PROGRAM: what: why (detail): advice` on stderr, in one line.  `detail`
 * and `advice` may be NULL or empty.
 */
void cli_complain(const char *what, const char *why, const char *detail, const char *advice);

/* Complain that the library failed with `error` at what the format says. */
int cli_failure(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Complain about the command line of `command` (NULL: of the program). */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Complain about what getopt_long() returned as '?' or ':'. */
int cli_bad_option(const char *command, int code, char **argv);

/* The exit code that stands for an error of the library. */
int cli_status_of(int error);

/* Print help or such on stdout. */
int cli_print(const char *text);

/* Print `PROGRAM VERSION` on stdout. */
int cli_print_version(void);

/* --- stopping and time ----------------------------------------------------- */

/*
 * Call this first.  Let SIGINT, SIGTERM and SIGHUP only set a flag the first
 * time, unless they are ignored; the second one kills.  Ignore SIGPIPE, so that
 * writing fails, and see that descriptors 0 to 2 are taken.
 */
void cli_start(void);

/* Has one of these signals come? */
bool cli_stopped(void);

int64_t cli_now_ns(void);  /* CLOCK_MONOTONIC */
int64_t cli_wall_ns(void); /* CLOCK_REALTIME */

/* When a timeout that starts now is over; INT64_MAX for SHMQ_FOREVER. */
int64_t cli_deadline(int64_t timeout_ns);

/* How long to wait now: until the deadline, but at most CLI_SLICE_NS. */
int64_t cli_slice(int64_t deadline_ns);

/* Sleep until then, or until a signal says to stop. */
void cli_sleep_until(int64_t deadline_ns);

/*
 * Wait until `fd` can be read, or written.  0, -EINTR when stopped, -EPIPE when
 * nobody reads what would be written, -EBADF when it is closed.
 */
int cli_wait_readable(int fd);
int cli_wait_writable(int fd);

/* --- names of queues ------------------------------------------------------- */

struct cli_names {
    char **list;
    size_t count;
};

/* The names of all queues, sorted: 0 or a negative errno. */
int cli_names_load(struct cli_names *names);
void cli_names_free(struct cli_names *names);

#endif
