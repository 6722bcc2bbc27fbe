/*
 * cmd_browse.c - shmq browse and find: looking at messages wherever they stand.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cli.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/message_printer.h"

/* --- browse ---------------------------------------------------------------- */

static const char browse_help[] =
    "Usage: shmq browse NAME [OPTION ...]\n"
    "Show the messages of the queue NAME that are not finished, without taking them:\n"
    "first those that were handed out or set aside before, then others as they were\n"
    "put.\n"
    "\n"
    "  --state STATE,...  only those waiting, delayed, leased or dead\n"
    "  --group GROUP      of a topic: how they stand in this group\n"
    "  -n, --count COUNT  show up to so many (all)\n"
    "  --json             print each message with all that it has as a JSON object\n"
    "                     on a line, in place of a table\n"
    "  --help             show this\n";

enum { EXCERPT_WIDTH = 40, KEY_WIDTH = 16, ALL_STATES = 15 };

struct browser {
    struct reader r;
    unsigned states;
};

static void add_row(struct text *out, const struct shmq_msg *msg)
{
    int64_t age_ns = cli_now_ns() - msg->put_ns;
    size_t width;

    text_format(out, "%8llu %-7s %5d %5u %7s %7s %5s ", (unsigned long long)msg->id,
                message_state(msg->state), msg->priority, msg->attempts,
                figure_duration((double)(age_ns < 0 ? 0 : age_ns)).s,
                figure_bytes((double)msg->length).s,
                msg->type == SHMQ_TYPE_NONE ? "-" : message_type(msg->type).s);
    width = text_excerpt(out, msg->key_length ? msg->key : "-",
                         msg->key_length ? msg->key_length : 1, KEY_WIDTH - 3);
    text_format(out, "%*s ", (int)(KEY_WIDTH - width), "");
    text_excerpt(out, msg->data, msg->length, EXCERPT_WIDTH);
    text_add(out, "\n");
}

static int print_inspected(struct reader *r)
{
    const struct browser *b = (const struct browser *)r;
    uint64_t walk = 0, shown = 0;

    for (; shown < r->count && !cli_stopped(); shown++) {
        struct shmq_msg msg;
        ssize_t n = reader_inspect(r, r->t.g, b->states, &walk, &msg);
        int error;

        if (n == -EAGAIN && shown > 0)
            return CLI_DONE;
        if (n < 0)
            return reader_failure(r, (int)n);
        if (shown == 0 && !r->json)
            text_format(&r->out, "%8s %-7s %5s %5s %7s %7s %5s %-*s %s\n", "ID", "STATE", "PRIO",
                        "TRIES", "AGE", "BYTES", "TYPE", KEY_WIDTH, "KEY", "MESSAGE");
        if (r->json)
            reader_add(r, &msg, MESSAGE_STATE);
        else
            add_row(&r->out, &msg);
        error = text_write(&r->out, STDOUT_FILENO);
        if (error)
            return reader_output_failure(r, error, "");
    }
    return cli_stopped() ? CLI_NOTHING : CLI_DONE;
}

/* STATE,... into `states`. */
static bool parse_states(const char *text, unsigned *states)
{
    *states = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        unsigned state = SHMQ_WAITING;

        for (; state <= SHMQ_DEAD; state *= 2) {
            const char *name = message_state(state);

            if (strlen(name) == length && strncmp(text, name, length) == 0)
                break;
        }
        if (state > SHMQ_DEAD)
            return false;
        *states |= state;
        if (text[length] == '\0')
            return true;
        text += length + 1;
    }
}

int cmd_browse(int argc, char **argv)
{
    static const struct option options[] = {
        {"state", required_argument, NULL, 's'}, {"group", required_argument, NULL, READER_GROUP},
        {"count", required_argument, NULL, 'n'}, {"json", no_argument, NULL, READER_JSON},
        {"help", no_argument, NULL, 'h'},        {0},
    };
    struct browser b = {.r = READER_INIT("browse"), .states = ALL_STATES};
    int code, status;

    b.r.count = UINT64_MAX;
    opterr = 0;
    while ((code = getopt_long(argc, argv, ":n:h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(browse_help);
        if (code == 's' && !parse_states(optarg, &b.states))
            return cli_usage("browse", "--state '%s' is not of waiting, delayed, leased, dead",
                             optarg);
        status = code == 's' ? CLI_DONE : reader_option(&b.r, code, argv);
        if (status != CLI_DONE)
            return status;
    }
    if (argc - optind != 1)
        return cli_usage("browse", "one name of a queue is needed");
    b.r.t.name = argv[optind];
    return reader_run(&b.r, 0, TARGET_GROUP, print_inspected);
}

/* --- find ------------------------------------------------------------------ */

static const char find_help[] =
    "Usage: shmq find NAME ID [OPTION ...]\n"
    "Print the message ID of the queue NAME and a newline, wherever it stands, without\n"
    "taking it.\n"
    "\n"
    "  --group GROUP  of a topic: as it stands in this group\n"
    "  --json         print it with all that it has as a JSON object on a line\n"
    "  --raw          end it with nothing\n"
    "  --help         show this\n";

struct finder {
    struct reader r;
    uint64_t id;
};

static int print_found(struct reader *r)
{
    const struct finder *f = (const struct finder *)r;
    struct shmq_msg msg;
    ssize_t n;
    int error;

    n = reader_find(r, r->t.g, f->id, &msg);
    if (n == -ENOENT)
        return target_no_message(&r->t, f->id);
    if (n < 0)
        return target_failure(&r->t, (int)n);
    reader_add(r, &msg, MESSAGE_STATE);
    error = text_write(&r->out, STDOUT_FILENO);
    return error ? reader_output_failure(r, error, "") : CLI_DONE;
}

int cmd_find(int argc, char **argv)
{
    static const struct option options[] = {
        {"group", required_argument, NULL, READER_GROUP},
        {"json", no_argument, NULL, READER_JSON},
        {"raw", no_argument, NULL, READER_RAW},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct finder f = {.r = READER_INIT("find")};
    int code, status;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(find_help);
        status = reader_option(&f.r, code, argv);
        if (status != CLI_DONE)
            return status;
    }
    if (argc - optind != 2)
        return cli_usage("find", "the name of a queue and the id of a message are needed");
    if (!cli_parse_count(argv[optind + 1], &f.id) || f.id == 0)
        return cli_usage("find", "'%s' is not a whole number from 1", argv[optind + 1]);
    f.r.t.name = argv[optind];
    status = reader_check(&f.r, false, NULL);
    return status == CLI_DONE ? reader_run(&f.r, 0, TARGET_GROUP, print_found) : status;
}
