/*
 * cmd_get.c - shmq get and shmq peek: printing messages, with or without taking
 * them.
 *
 * A message that was taken exists nowhere else.  So get takes only what it can
 * print: it waits until standard output accepts something and has a reader,
 * takes a small burst, and writes all of it before it looks at anything else.
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
#include "text.h"

static const char get_help[] =
    "Usage: shmq get NAME [OPTION ...]\n"
    "Take the oldest message from the queue NAME and print it and a newline.\n"
    "\n"
    "  -n, --count COUNT  take up to so many messages (1)\n"
    "  --follow           take messages until interrupted\n"
    "  --timeout TIME     wait at most so long for each message, such as 250ms, 10s\n"
    "                     or 5m; 0 does not wait (for ever)\n"
    "  --json             print each message as a JSON object on a line\n"
    "  -0, --null         end each message with NUL in place of a newline\n"
    "  --raw              end it with nothing\n"
    "  --help             show this\n";

static const char peek_help[] =
    "Usage: shmq peek NAME [OPTION ...]\n"
    "Print the oldest message of the queue NAME and a newline, without taking it.\n"
    "\n"
    "  -n, --count COUNT  print up to so many messages, oldest first (1)\n"
    "  --all              print all of them\n"
    "  --json             print each message as a JSON object on a line\n"
    "  -0, --null         end each message with NUL in place of a newline\n"
    "  --raw              end it with nothing\n"
    "  --help             show this\n";

enum { BURST = 64, BUFFER_BYTES = 64 * 1024 };

struct reader {
    const char *command;
    const char *name;
    uint64_t count; /* messages at most */
    int64_t timeout_ns;
    bool json;
    const char *end; /* of a message, as printed */
    size_t end_length;
    shmq_t *q;
    char *buffer;
    size_t size;
    struct text out;
};

/* --- common ---------------------------------------------------------------- */

/* Make the buffer hold `needed` bytes, or twice as many as now. */
static int grow(struct reader *r, size_t needed)
{
    size_t size = needed > r->size ? needed : r->size * 2;
    char *buffer = realloc(r->buffer, size);

    if (!buffer)
        return -ENOMEM;
    r->buffer = buffer;
    r->size = size;
    return 0;
}

static void add_message(struct reader *r, const char *payload, const struct shmq_info *info)
{
    if (r->json)
        text_json_message(&r->out, payload, info);
    else
        text_append(&r->out, payload, info->length);
    text_append(&r->out, r->end, r->end_length);
}

/* Complain, unless it only says that nothing came. */
static int failure(const struct reader *r, int error)
{
    bool quiet = error == -EAGAIN || error == -EINTR ||
                 (error == -ETIMEDOUT && r->timeout_ns != SHMQ_NOWAIT);

    return quiet ? CLI_NOTHING : cli_failure(error, "%s %s", r->command, r->name);
}

static int output_failure(const struct reader *r, int error, unsigned lost)
{
    char what[256], detail[96] = "";

    snprintf(what, sizeof(what), "%s %s: standard output", r->command, r->name);
    if (lost > 0)
        snprintf(detail, sizeof(detail), "up to %u messages were taken and not written", lost);
    cli_complain(what, strerror(-error), detail, NULL);
    return CLI_FAILURE;
}

static int run(struct reader *r, int flags, int (*print)(struct reader *r))
{
    int status, error = shmq_open(&r->q, r->name, flags, NULL);

    if (error)
        return cli_failure(error, "%s %s", r->command, r->name);
    error = grow(r, BUFFER_BYTES);
    status = error ? failure(r, error) : print(r);
    text_free(&r->out);
    free(r->buffer);
    shmq_close(r->q);
    return status;
}

/* --- get ------------------------------------------------------------------- */

/*
 * Room for a whole burst as it will be printed, so that memory cannot run out
 * after it was taken.  At worst each byte becomes \u00XX in JSON.
 */
static void reserve_output(struct reader *r)
{
    size_t member_bytes = 256;

    text_reserve(&r->out, r->json ? 6 * r->size + BURST * member_bytes : r->size + BURST);
}

/*
 * Take a burst of at most `count`: how many, or a negative errno.  Waits in
 * slices so that a signal and a reader that left are noticed.
 */
static int take(struct reader *r, struct shmq_info *infos, unsigned count)
{
    int64_t deadline = cli_deadline(r->timeout_ns);

    for (;;) {
        int64_t slice = cli_slice(deadline);
        int n = cli_wait_writable(STDOUT_FILENO);

        if (n < 0)
            return n;
        reserve_output(r);
        infos[0].length = 0;
        n = shmq_get_many(r->q, r->buffer, r->size, infos, count, SHMQ_NOWAIT, slice);
        if (n == -EMSGSIZE) {
            n = grow(r, infos[0].length);
            if (n)
                return n;
        } else if (n != -EINTR && (n != -ETIMEDOUT || cli_now_ns() >= deadline)) {
            return n;
        }
        if (cli_stopped())
            return -EINTR;
    }
}

static int print_taken(struct reader *r)
{
    struct shmq_info infos[BURST];
    uint64_t left = r->count;

    while (left > 0) {
        int n = take(r, infos, left < BURST ? (unsigned)left : BURST);
        int error;

        if (n == -EPIPE || n == -EBADF)
            return output_failure(r, n, 0);
        if (n == -EINTR || (n < 0 && left == r->count))
            return failure(r, n);
        if (n < 0)
            return failure(r, n) == CLI_NOTHING ? CLI_DONE : cli_status_of(n);
        for (int i = 0; i < n; i++)
            add_message(r, r->buffer + infos[i].offset, &infos[i]);
        error = text_write(&r->out, STDOUT_FILENO);
        if (error)
            return output_failure(r, error, (unsigned)n);
        left -= (unsigned)n;
    }
    return CLI_DONE;
}

/* --- peek ------------------------------------------------------------------ */

static int print_browsed(struct reader *r)
{
    uint64_t place = 0, shown = 0;

    while (shown < r->count && !cli_stopped()) {
        struct shmq_info info = {0};
        ssize_t n = shmq_browse(r->q, &place, r->buffer, r->size, &info);
        int error = n == -EMSGSIZE ? grow(r, info.length) : 0;

        if (error)
            return failure(r, error);
        if (n == -EMSGSIZE)
            continue;
        if (n == -EAGAIN && shown > 0)
            return CLI_DONE;
        if (n < 0)
            return failure(r, (int)n);
        add_message(r, r->buffer, &info);
        shown++;
        error = text_write(&r->out, STDOUT_FILENO);
        if (error)
            return output_failure(r, error, 0);
    }
    return cli_stopped() ? CLI_NOTHING : CLI_DONE;
}

/* --- the command lines ----------------------------------------------------- */

/* Options that both have, and the arguments: -1 or the exit code. */
static int reader_option(struct reader *r, int code, char **argv)
{
    switch (code) {
    case 'n':
        if (!cli_parse_count(optarg, &r->count) || r->count == 0)
            return cli_usage(r->command, "--count '%s' is not a whole number from 1", optarg);
        return -1;
    case 'a':
        r->count = UINT64_MAX;
        return -1;
    case 'j':
        r->json = true;
        return -1;
    case '0':
    case 'r':
        r->end = "";
        r->end_length = code == '0' ? 1 : 0;
        return -1;
    case 't':
        if (!cli_parse_duration(optarg, &r->timeout_ns))
            return cli_usage(r->command, "--timeout '%s' is not a time such as 250ms or 10s",
                             optarg);
        return -1;
    default:
        return cli_bad_option(r->command, code, argv);
    }
}

static int read_options(struct reader *r, int argc, char **argv, const struct option *options,
                        const char *help)
{
    bool counted = false, endless = false, ended = false;
    int code, status;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":n:0h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(help);
        status = reader_option(r, code, argv);
        if (status >= 0)
            return status;
        counted = counted || code == 'n';
        endless = endless || code == 'a';
        ended = ended || code == '0' || code == 'r';
    }
    if (argc - optind != 1)
        return cli_usage(r->command, "one name of a queue is needed");
    if (counted && endless)
        return cli_usage(r->command, "--count and %s contradict each other",
                         help == get_help ? "--follow" : "--all");
    if (r->json && ended)
        return cli_usage(r->command, "--json prints lines, so it excludes --null and --raw");
    r->name = argv[optind];
    return -1;
}

int cmd_get(int argc, char **argv)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'n'},   {"follow", no_argument, NULL, 'a'},
        {"timeout", required_argument, NULL, 't'}, {"json", no_argument, NULL, 'j'},
        {"null", no_argument, NULL, '0'},          {"raw", no_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},          {0},
    };
    struct reader r = {
        .command = "get", .count = 1, .timeout_ns = SHMQ_FOREVER, .end = "\n", .end_length = 1};
    int status = read_options(&r, argc, argv, options, get_help);

    return status >= 0 ? status : run(&r, 0, print_taken);
}

int cmd_peek(int argc, char **argv)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'n'},
        {"all", no_argument, NULL, 'a'},
        {"json", no_argument, NULL, 'j'},
        {"null", no_argument, NULL, '0'},
        {"raw", no_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct reader r = {.command = "peek", .count = 1, .end = "\n", .end_length = 1};
    int status = read_options(&r, argc, argv, options, peek_help);

    return status >= 0 ? status : run(&r, SHMQ_RDONLY, print_browsed);
}
