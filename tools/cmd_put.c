/*
 * cmd_put.c - shmq put: a message of the command line, standard input as one
 * message, or each of its lines.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "shmq.h"
#include "shmq_commands.h"

static const char put_help[] =
    "Usage: shmq put NAME [MESSAGE] [OPTION ...]\n"
    "Append MESSAGE to the queue NAME; without it, all of standard input as one\n"
    "message, or with --lines each line, without its newline, as one.\n"
    "\n"
    "  --lines         one message a line, put as soon as the line is read\n"
    "  -0, --null      like --lines, but NUL ends a message\n"
    "  --timeout TIME  wait at most so long for room, such as 250ms, 10s or 5m;\n"
    "                  0 does not wait (for ever)\n"
    "  --create        create the queue if it does not exist\n"
    "  --help          show this\n";

enum { BATCH = 256, READ_BYTES = 64 * 1024 };

struct putter {
    const char *name;
    const char *message; /* NULL: standard input */
    bool lines;
    char separator;
    bool create;
    int64_t timeout_ns;
    shmq_t *q;
    size_t longest;     /* message the queue takes */
    uint64_t put_count; /* messages put so far */
};

/* What was read of standard input and not put yet: data[start..end). */
struct input {
    char *data;
    size_t start;
    size_t end;
    size_t size;
};

/* --- putting --------------------------------------------------------------- */

/*
 * Complain about `error`.  Of many messages it matters how many were put, or
 * the rest could not be put later.
 */
static int put_failure(const struct putter *p, int error)
{
    char what[320];

    if (p->lines)
        snprintf(what, sizeof(what), "put %s: after %llu messages", p->name,
                 (unsigned long long)p->put_count);
    else
        snprintf(what, sizeof(what), "put %s", p->name);
    if (error == -EINTR)
        cli_complain(what, "interrupted", NULL, NULL);
    else if (error == -EAGAIN || error == -ETIMEDOUT)
        cli_complain(what, "there was no room in time", NULL,
                     "allow more with --timeout, or see with 'shmq-stat' whether anybody gets");
    else
        return cli_failure(error, "%s", what);
    return CLI_NOTHING;
}

/* Put them all: CLI_DONE, or an exit code after complaining. */
static int put_all(struct putter *p, const struct shmq_buf *messages, unsigned count)
{
    int64_t deadline = cli_deadline(p->timeout_ns);

    while (count > 0) {
        int done;

        if (cli_stopped())
            return put_failure(p, -EINTR);
        done = shmq_put_many(p->q, messages, count, cli_slice(deadline));
        if (done > 0) {
            messages += done;
            count -= (unsigned)done;
            p->put_count += (unsigned)done;
            deadline = cli_deadline(p->timeout_ns);
        } else if (done == -ETIMEDOUT && cli_now_ns() < deadline) {
            continue;
        } else if (done != -EINTR) {
            return put_failure(p, done);
        }
    }
    return CLI_DONE;
}

static int put_one(struct putter *p, const void *data, size_t length)
{
    struct shmq_buf one = {data, length};

    return put_all(p, &one, 1);
}

/* --- standard input -------------------------------------------------------- */

static int too_long(const struct putter *p)
{
    char what[256], detail[96];

    snprintf(what, sizeof(what), "put %s: message %llu", p->name,
             (unsigned long long)p->put_count + 1);
    snprintf(detail, sizeof(detail), "the queue takes messages up to %zu bytes", p->longest);
    cli_complain(what, shmq_strerror(-EMSGSIZE), detail,
                 "create the queue with a larger --capacity or --max-message-size");
    return CLI_FAILURE;
}

/* Make room to read: move what is left to the front, or grow. */
static bool make_room(struct input *in)
{
    size_t size = in->size ? in->size * 2 : 2 * READ_BYTES;
    char *data;

    if (in->start > 0) {
        memmove(in->data, in->data + in->start, in->end - in->start);
        in->end -= in->start;
        in->start = 0;
    }
    if (in->size - in->end >= READ_BYTES)
        return true;
    data = realloc(in->data, size);
    if (!data)
        return false;
    in->data = data;
    in->size = size;
    return true;
}

/* Read once, as much as there is: bytes, 0 at the end, or a negative errno. */
static ssize_t read_some(struct input *in)
{
    for (;;) {
        int error = cli_wait_readable(STDIN_FILENO);
        ssize_t n;

        if (error)
            return error;
        if (!make_room(in))
            return -ENOMEM;
        n = read(STDIN_FILENO, in->data + in->end, in->size - in->end);
        if (n >= 0)
            in->end += (size_t)n;
        if (n >= 0)
            return n;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

static int read_failure(const struct putter *p, int error)
{
    if (error == -EINTR)
        return put_failure(p, error);
    cli_complain("standard input", strerror(-error), NULL, NULL);
    return CLI_FAILURE;
}

static int put_whole_input(struct putter *p, struct input *in)
{
    for (;;) {
        ssize_t n = read_some(in);

        if (n < 0)
            return read_failure(p, (int)n);
        if (in->end > p->longest)
            return too_long(p);
        if (n == 0)
            return put_one(p, in->data, in->end);
    }
}

/*
 * Put each whole line in the buffer; the bytes before `scanned` are known to
 * have no separator.
 */
static int put_whole_lines(struct putter *p, struct input *in, size_t scanned)
{
    struct shmq_buf batch[BATCH];
    unsigned count = 0;
    int status;
    char *end;

    while ((end = memchr(in->data + scanned, p->separator, in->end - scanned))) {
        size_t length = (size_t)(end - in->data) - in->start;

        if (count == BATCH || length > p->longest) {
            status = put_all(p, batch, count);
            if (status != CLI_DONE)
                return status;
            count = 0;
        }
        if (length > p->longest)
            return too_long(p);
        batch[count++] = (struct shmq_buf){in->data + in->start, length};
        in->start += length + 1;
        scanned = in->start;
    }
    status = put_all(p, batch, count);
    if (status == CLI_DONE && in->end - in->start > p->longest)
        return too_long(p);
    return status;
}

static int put_lines(struct putter *p, struct input *in)
{
    for (;;) {
        size_t partial = in->end - in->start;
        ssize_t n = read_some(in);
        int status;

        if (n < 0)
            return read_failure(p, (int)n);
        if (n == 0)
            return partial ? put_one(p, in->data + in->start, partial) : CLI_DONE;
        status = put_whole_lines(p, in, in->start + partial);
        if (status != CLI_DONE)
            return status;
    }
}

/* --- the command ----------------------------------------------------------- */

static int open_queue(struct putter *p)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    int error = shmq_open(&p->q, p->name, p->create ? SHMQ_CREATE : 0, NULL);

    if (error)
        return cli_failure(error, "put %s", p->name);
    error = shmq_attr_of(p->q, &attr);
    if (error) {
        cli_failure(error, "put %s", p->name);
        shmq_close(p->q);
        return CLI_FAILURE;
    }
    p->longest = attr.max_message_bytes && attr.max_message_bytes < attr.capacity_bytes
                     ? attr.max_message_bytes
                     : attr.capacity_bytes;
    return CLI_DONE;
}

static int run_put(struct putter *p)
{
    struct input in = {0};
    int status = open_queue(p);

    if (status != CLI_DONE)
        return status;
    if (p->message)
        status = put_one(p, p->message, strlen(p->message));
    else if (p->lines)
        status = put_lines(p, &in);
    else
        status = put_whole_input(p, &in);
    free(in.data);
    shmq_close(p->q);
    return status;
}

int cmd_put(int argc, char **argv)
{
    static const struct option options[] = {
        {"lines", no_argument, NULL, 'l'},         {"null", no_argument, NULL, '0'},
        {"timeout", required_argument, NULL, 't'}, {"create", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},          {0},
    };
    struct putter p = {.separator = '\n', .timeout_ns = SHMQ_FOREVER};
    int code;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":0h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(put_help);
        if (code == '?' || code == ':')
            return cli_bad_option("put", code, argv);
        p.lines = p.lines || code == 'l' || code == '0';
        p.create = p.create || code == 'c';
        if (code == '0')
            p.separator = '\0';
        if (code == 't' && !cli_parse_duration(optarg, &p.timeout_ns))
            return cli_usage("put", "--timeout '%s' is not a time such as 250ms or 10s", optarg);
    }
    if (argc - optind < 1 || argc - optind > 2)
        return cli_usage("put", "the name of a queue and at most one message are needed");
    p.name = argv[optind];
    p.message = argc - optind == 2 ? argv[optind + 1] : NULL;
    if (p.message && p.lines)
        return cli_usage("put", "--lines and --null read standard input, so no message goes along");
    return run_put(&p);
}
