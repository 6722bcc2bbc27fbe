/*
 * cmd_import.c - shmq import: what shmq export has written, or other lines of that kind,
 * put into a queue.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/input.h"
#include "shmq/json_import.h"

static const char import_help[] =
    "Usage: shmq import NAME [FILE] [OPTION ...]\n"
    "Append the messages in FILE, or on standard input, to the queue NAME.  Each is a JSON\n"
    "object on a line, as 'shmq export' prints them; all but \"text\" or \"base64\" may be left\n"
    "out.  They are new messages: ids, states and attempts do not come along.  Each is put\n"
    "as soon as its line is read.\n"
    "\n"
    "A line that is wrong stops it: those before it were put, it and the others were not.\n"
    "\n"
    "  --skip-bad      pass over wrong lines, and count them\n"
    "  --timeout TIME  wait at most so long for room, such as 250ms, 10s or 5m;\n"
    "                  0 does not wait (for ever)\n"
    "  --help          show this\n";

enum { SHOWN_MAX = 10 }; /* of lines passed over, one by one */

struct importer {
    const char *name;
    bool skip_bad;
    int64_t timeout_ns;
    shmq_t *q;
    uint64_t line; /* the number of the current one, from 1 */
    uint64_t put_count, bad_count;
};

/* Stop here, with what is there by now and what is not. */
static int stop(const struct importer *m, const char *why, const char *detail, int status)
{
    char what[320], advice[160];

    snprintf(what, sizeof(what), "import %s: line %llu", m->name, (unsigned long long)m->line);
    snprintf(advice, sizeof(advice), "%llu messages of the lines before were put; go on from here",
             (unsigned long long)m->put_count);
    cli_complain(what, why, detail, advice);
    return status;
}

/* A line that is wrong: CLI_DONE where it is passed over, or an exit code. */
static int bad_line(struct importer *m, const char *why, const char *detail)
{
    char what[320];

    if (!m->skip_bad)
        return stop(m, why, detail, CLI_FAILURE);
    if (++m->bad_count > SHOWN_MAX)
        return CLI_DONE;
    snprintf(what, sizeof(what), "import %s: line %llu", m->name, (unsigned long long)m->line);
    cli_complain(what, why, detail, "passed over");
    return CLI_DONE;
}

/* Is it the message that is wrong, and not the queue? */
static bool is_of_message(int error)
{
    return error == -EINVAL || error == -EMSGSIZE || error == -EEXIST;
}

static int put_message(struct importer *m, struct shmq_msg *msg)
{
    int64_t deadline = cli_deadline(m->timeout_ns);
    int error;

    do {
        if (cli_stopped())
            return stop(m, "interrupted", NULL, CLI_NOTHING);
        error = shmq_send(m->q, msg, cli_slice(deadline));
    } while (error == -EINTR || (error == -ETIMEDOUT && cli_now_ns() < deadline));
    if (error == 0) {
        m->put_count++;
        return CLI_DONE;
    }
    if (error == -EEXIST)
        return bad_line(m, "a message with this key is there already", NULL);
    if (is_of_message(error))
        return bad_line(m, shmq_strerror(error), shmq_last_error_detail());
    if (error == -EAGAIN || error == -ETIMEDOUT)
        return stop(m, "there was no room in time", NULL, CLI_NOTHING);
    return stop(m, shmq_strerror(error), shmq_last_error_detail(), cli_status_of(error));
}

static bool is_blank(const char *text, size_t length)
{
    while (length > 0 && strchr(" \t\r", text[length - 1]) && text[length - 1])
        length--;
    return length == 0;
}

static int import_line(struct importer *m, const char *text, size_t length)
{
    struct json_line line = {0};
    int status;

    m->line++;
    if (is_blank(text, length))
        return CLI_DONE;
    if (json_line_read(&line, text, length))
        status = put_message(m, &line.msg);
    else
        status = bad_line(m, line.why, NULL);
    json_line_free(&line);
    return status;
}

/* Each whole line in the buffer; the bytes before `scanned` are known to have no end. */
static int import_lines(struct importer *m, struct input *in, size_t scanned)
{
    int status = CLI_DONE;
    char *end;

    while (status == CLI_DONE && in->end > scanned &&
           (end = memchr(in->data + scanned, '\n', in->end - scanned))) {
        status = import_line(m, in->data + in->start, (size_t)(end - in->data) - in->start);
        in->start = (size_t)(end - in->data) + 1;
        scanned = in->start;
    }
    return status;
}

static int import_input(struct importer *m, struct input *in)
{
    for (;;) {
        size_t partial = in->end - in->start;
        ssize_t n = input_read_some(in);
        int status;

        if (n == 0) /* the last line has no end */
            return partial ? import_line(m, in->data + in->start, partial) : CLI_DONE;
        if (n < 0) {
            m->line++;
            return n == -EINTR ? stop(m, "interrupted", NULL, CLI_NOTHING)
                               : stop(m, strerror((int)-n), in->name, CLI_FAILURE);
        }
        status = import_lines(m, in, in->start + partial);
        if (status != CLI_DONE)
            return status;
    }
}

static int run_import(struct importer *m, const char *file)
{
    struct input in = {0};
    int status, error = file ? input_open(&in, file) : 0;

    if (error)
        return input_failure(&in, error);
    error = shmq_open(&m->q, m->name, 0, NULL);
    if (error) {
        input_free(&in);
        return cli_failure(error, "import %s", m->name);
    }
    status = import_input(m, &in);
    if (m->bad_count > 0)
        fprintf(stderr, "shmq: import %s: %llu messages were put, %llu lines passed over\n",
                m->name, (unsigned long long)m->put_count, (unsigned long long)m->bad_count);
    shmq_close(m->q);
    input_free(&in);
    return status;
}

int cmd_import(int argc, char **argv)
{
    static const struct option options[] = {{"skip-bad", no_argument, NULL, 's'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct importer m = {.timeout_ns = SHMQ_FOREVER};
    const char *file;
    int code;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(import_help);
        if (code == 's')
            m.skip_bad = true;
        else if (code != 't')
            return cli_bad_option("import", code, argv);
        else if (!cli_parse_duration(optarg, &m.timeout_ns))
            return cli_usage("import", "--timeout '%s' is not a time such as 250ms or 10s", optarg);
    }
    if (argc - optind < 1 || argc - optind > 2)
        return cli_usage("import", "the name of a queue and at most one file are needed");
    m.name = argv[optind];
    file = argc - optind == 2 && strcmp(argv[optind + 1], "-") != 0 ? argv[optind + 1] : NULL;
    if (!json_line_supported()) {
        cli_complain("import", "this program was built without the library jansson", NULL,
                     "build it with libjansson-dev there, or put lines with 'shmq put --lines'");
        return CLI_FAILURE;
    }
    return run_import(&m, file);
}
