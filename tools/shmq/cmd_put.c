/*
 * cmd_put.c - shmq put: a message of the command line, standard input as one
 * message, or each of its lines.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/text.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/input.h"
#include "shmq/message_options.h"

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
    "  --id            print the id of each message\n"
    "  --help          show this\n"
    "\n"
    "What goes along with it, with each line if there are several:\n" MESSAGE_HELP;

enum { BATCH = 256 };

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
    struct message_options options;
    bool show_ids;
    struct shmq_msg *msgs; /* BATCH of them where plain calls do not do; else NULL */
    uint64_t twin;         /* -EEXIST: who has the key already */
};

/* --- putting --------------------------------------------------------------- */

/*
 * Complain about `error`.  Of many messages it matters how many were put, or
 * the rest could not be put later.
 */
static int put_failure(const struct putter *p, int error)
{
    char what[320], detail[64];

    if (p->lines)
        snprintf(what, sizeof(what), "put %s: after %llu messages", p->name,
                 (unsigned long long)p->put_count);
    else
        snprintf(what, sizeof(what), "put %s", p->name);
    if (error == -EINTR) {
        cli_complain(what, "interrupted", NULL, NULL);
    } else if (error == -EAGAIN || error == -ETIMEDOUT) {
        cli_complain(what, "there was no room in time", NULL,
                     "allow more with --timeout, or see with 'shmq-stat' whether anybody gets");
    } else if (error == -EEXIST) {
        snprintf(detail, sizeof(detail), "its id is %llu", (unsigned long long)p->twin);
        cli_complain(what, "a message with this key is there already", detail,
                     "wait until that one is finished, or give another --key");
    } else {
        return cli_failure(error, "%s", what);
    }
    return CLI_NOTHING;
}

/* Those just put, messages[0..count), have their ids in p->msgs. */
static int show_ids(struct putter *p, int count)
{
    struct text out = {0};

    for (int i = 0; p->show_ids && i < count; i++)
        text_format(&out, "%llu\n", (unsigned long long)p->msgs[i].id);
    return text_print(&out);
}

/* As shmq_put_many(), with all that goes along. */
static int put_some(struct putter *p, const struct shmq_buf *messages, unsigned count,
                    int64_t timeout_ns)
{
    int done;

    if (!p->msgs)
        return shmq_put_many(p->q, messages, count, timeout_ns);
    for (unsigned i = 0; i < count; i++) {
        p->msgs[i] = p->options.msg;
        p->msgs[i].data = messages[i].data;
        p->msgs[i].length = messages[i].length;
    }
    done = shmq_send_many(p->q, p->msgs, count, timeout_ns);
    if (done == -EEXIST)
        p->twin = p->msgs[0].id;
    return done;
}

/* Put them all: CLI_DONE, or an exit code after complaining. */
static int put_all(struct putter *p, const struct shmq_buf *messages, unsigned count)
{
    int64_t deadline = cli_deadline(p->timeout_ns);

    while (count > 0) {
        int done;

        if (cli_stopped())
            return put_failure(p, -EINTR);
        done = put_some(p, messages, count, cli_slice(deadline));
        if (done > 0 && show_ids(p, done) != CLI_DONE)
            return CLI_FAILURE;
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

/* Standard input could not be read: what was put by then matters here, too. */
static int read_failure(const struct putter *p, const struct input *in, int error)
{
    return error == -EINTR ? put_failure(p, error) : input_failure(in, error);
}

static int put_whole_input(struct putter *p, struct input *in)
{
    for (;;) {
        ssize_t n = input_read_some(in);

        if (n < 0)
            return read_failure(p, in, (int)n);
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
        ssize_t n = input_read_some(in);
        int status;

        if (n < 0)
            return read_failure(p, in, (int)n);
        if (n == 0)
            return partial ? put_one(p, in->data + in->start, partial) : CLI_DONE;
        status = put_whole_lines(p, in, in->start + partial);
        if (status != CLI_DONE)
            return status;
    }
}

/* --- the command ----------------------------------------------------------- */

/* What the queue takes, and whether plain calls do. */
static int look_at_queue(struct putter *p)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    int error = shmq_attr_of(p->q, &attr);

    if (error)
        return error;
    p->longest = attr.max_message_bytes && attr.max_message_bytes < attr.capacity_bytes
                     ? attr.max_message_bytes
                     : attr.capacity_bytes;
    /* Only what is sent is compressed. */
    if (!p->options.given && !p->show_ids && attr.compress_bytes == 0)
        return 0;
    p->msgs = calloc(BATCH, sizeof(*p->msgs));
    return p->msgs ? 0 : -ENOMEM;
}

static int put_input(struct putter *p)
{
    struct input in = {0};
    int status;

    if (p->message)
        status = put_one(p, p->message, strlen(p->message));
    else if (p->lines)
        status = put_lines(p, &in);
    else
        status = put_whole_input(p, &in);
    input_free(&in);
    return status;
}

static int run_put(struct putter *p)
{
    int status, error = shmq_open(&p->q, p->name, p->create ? SHMQ_CREATE : 0, NULL);

    if (error)
        return cli_failure(error, "put %s", p->name);
    error = look_at_queue(p);
    status = error ? cli_failure(error, "put %s", p->name) : put_input(p);
    shmq_close(p->q);
    free(p->msgs);
    return status;
}

enum { OPT_TIMEOUT = 256, OPT_LINES, OPT_CREATE, OPT_ID };

static int put_option(struct putter *p, int code, char *value, char **argv)
{
    if (message_is_option(code))
        return message_option("put", code, value, &p->options);
    switch (code) {
    case '0':
        p->separator = '\0';
        p->lines = true;
        return CLI_DONE;
    case OPT_LINES:
        p->lines = true;
        return CLI_DONE;
    case OPT_CREATE:
        p->create = true;
        return CLI_DONE;
    case OPT_ID:
        p->show_ids = true;
        return CLI_DONE;
    case OPT_TIMEOUT:
        if (!cli_parse_duration(value, &p->timeout_ns))
            return cli_usage("put", "--timeout '%s' is not a time such as 250ms or 10s", value);
        return CLI_DONE;
    default:
        return cli_bad_option("put", code, argv);
    }
}

/* -1, or an exit code. */
static int read_command_line(struct putter *p, int argc, char **argv)
{
    static const struct option options[] = {
        {"lines", no_argument, NULL, OPT_LINES},
        {"null", no_argument, NULL, '0'},
        {"timeout", required_argument, NULL, OPT_TIMEOUT},
        {"create", no_argument, NULL, OPT_CREATE},
        {"id", no_argument, NULL, OPT_ID},
        {"help", no_argument, NULL, 'h'},
        MESSAGE_OPTIONS,
        {0},
    };
    int code, status;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":0h" MESSAGE_LETTERS, options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(put_help);
        status = put_option(p, code, optarg, argv);
        if (status != CLI_DONE)
            return status;
    }
    if (argc - optind < 1 || argc - optind > 2)
        return cli_usage("put", "the name of a queue and at most one message are needed");
    p->name = argv[optind];
    p->message = argc - optind == 2 ? argv[optind + 1] : NULL;
    if (p->message && p->lines)
        return cli_usage("put", "--lines and --null read standard input, so no message goes along");
    return -1;
}

int cmd_put(int argc, char **argv)
{
    struct putter p = {
        .separator = '\n', .timeout_ns = SHMQ_FOREVER, .options = {.msg = SHMQ_MSG_INIT}};
    int status = read_command_line(&p, argc, argv);

    if (status < 0)
        status = run_put(&p);
    message_options_free(&p.options);
    return status;
}
