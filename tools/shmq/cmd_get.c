/*
 * cmd_get.c - shmq get: taking messages and printing them.
 *
 * Either the messages are received on lease, written, and only then acknowledged, so
 * that those of a get that is killed are handed out again.  Or, in a queue that hands
 * out what was put in its order and nothing else, they are taken at once, which is
 * much faster; then they exist nowhere else.
 *
 * In both ways get takes only what it can print: it waits until standard output
 * accepts something and has a reader, takes a small burst, and writes all of it
 * before it looks at anything else.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cli.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/message_printer.h"

static const char get_help[] =
    "Usage: shmq get NAME [OPTION ...]\n"
    "Take the next message from the queue NAME and print it and a newline.\n"
    "\n"
    "  -n, --count COUNT  take up to so many messages (1)\n"
    "  --follow           take messages until interrupted\n"
    "  --timeout TIME     wait at most so long for each message, such as 250ms, 10s\n"
    "                     or 5m; 0 does not wait (for ever)\n"
    "  --group GROUP      of a topic: take what this group has, which is made if it\n"
    "                     is not there\n"
    "  --from PLACE       where a group that is made starts: latest, earliest, part,\n"
    "                     an id, or a time such as 10m, so long ago (latest)\n"
    "  --safe             messages are finished only after they were printed; those\n"
    "                     of a get that is killed are handed out again\n"
    "  --json             print each message with all that it has as a JSON object\n"
    "                     on a line; implies --safe\n"
    "  -0, --null         end each message with NUL in place of a newline\n"
    "  --raw              end it with nothing\n"
    "  --help             show this\n";

enum { BURST = 64, BURST_BYTES = 64 * 1024 };

/* A reader comes first, so that one of the other is known. */
struct getter {
    struct reader r;
    struct shmq_group_attr start; /* of a group that is made */
    const char *from;             /* NULL: not said */
    bool safe;
    bool failed; /* a lease was over before its message was finished */
    /* A burst, in the one way or the other. */
    struct shmq_info infos[BURST];
    struct shmq_msg msgs[BURST];
    size_t ends[BURST]; /* where in the output each of them ends */
};

/* --- taking ---------------------------------------------------------------- */

/*
 * Take up to `count` at once.  There is room for a whole burst as it will be printed
 * before, so that memory cannot run out after.  How many, or a negative errno.
 */
static int take_burst(struct getter *g, unsigned count, int64_t timeout_ns)
{
    struct reader *r = &g->r;
    int n;

    do {
        text_reserve(&r->out, r->size + BURST);
        g->infos[0].length = 0;
        n = shmq_get_many(r->t.g, r->buffer, r->size, g->infos, count, SHMQ_NOWAIT, timeout_ns);
    } while (n == -EMSGSIZE && (n = reader_grow(r, g->infos[0].length)) == 0);
    for (int i = 0; i < n; i++)
        reader_add_plain(r, r->buffer + g->infos[i].offset, &g->infos[i]);
    return n;
}

/* Receive up to `count`, no more than a reader takes in one go.  As take_burst(). */
static int receive_burst(struct getter *g, unsigned count, int64_t timeout_ns)
{
    struct reader *r = &g->r;
    unsigned n = 0;

    while (n < count && r->out.length < BURST_BYTES) {
        struct shmq_msg *msg = &g->msgs[n];
        int error;

        *msg = (struct shmq_msg)SHMQ_MSG_INIT;
        error = shmq_receive(r->t.g, msg, n == 0 ? timeout_ns : SHMQ_NOWAIT);
        if (error)
            return n == 0 ? error : (int)n;
        reader_add(r, msg, 0);
        g->ends[n++] = r->out.length;
    }
    return (int)n;
}

/*
 * Add a burst of at most `count` to the output: how many, or a negative errno.  Waits
 * in slices so that a signal and a reader that left are noticed.
 */
static int add_burst(struct getter *g, unsigned count)
{
    int64_t deadline = cli_deadline(g->r.timeout_ns);

    for (;;) {
        int64_t slice = cli_slice(deadline);
        int n = cli_wait_writable(STDOUT_FILENO);

        if (n < 0)
            return n;
        n = g->safe ? receive_burst(g, count, slice) : take_burst(g, count, slice);
        if (n != -EINTR && (n != -ETIMEDOUT || cli_now_ns() >= deadline))
            return n;
        if (cli_stopped())
            return -EINTR;
    }
}

/* --- printing -------------------------------------------------------------- */

/* Acknowledge the first `count` of the burst, which have been written. */
static void finish(struct getter *g, unsigned count)
{
    int done = count > 0 ? shmq_ack_many(g->r.t.g, g->msgs, count) : 0;
    char what[256], why[96];

    if (done == (int)count)
        return;
    g->failed = true;
    if (done < 0) {
        target_failure(&g->r.t, done);
        return;
    }
    snprintf(what, sizeof(what), "%s %s", g->r.t.command, g->r.t.name);
    snprintf(why, sizeof(why), "%u messages were printed after their lease had ended",
             count - (unsigned)done);
    cli_complain(what, why, NULL,
                 "they are handed out again; give more time with a longer --lease, see "
                 "'shmq policy'");
}

/* Write the burst.  CLI_DONE, or an exit code after complaining. */
static int write_burst(struct getter *g, unsigned count)
{
    size_t whole = g->r.out.length, written;
    int error = text_write(&g->r.out, STDOUT_FILENO);
    char detail[96];
    unsigned done = 0;

    if (!g->safe) {
        snprintf(detail, sizeof(detail), "up to %u messages were taken and not written", count);
        return error ? reader_output_failure(&g->r, error, detail) : CLI_DONE;
    }
    written = whole - g->r.out.length;
    while (done < count && g->ends[done] <= written)
        done++;
    finish(g, done);
    for (unsigned i = done; i < count; i++)
        shmq_nack(g->r.t.g, &g->msgs[i], SHMQ_NOWAIT, 0);
    snprintf(detail, sizeof(detail), "%u messages went back into the queue", count - done);
    return error ? reader_output_failure(&g->r, error, detail) : CLI_DONE;
}

static int print_taken(struct getter *g)
{
    struct reader *r = &g->r;
    uint64_t left = r->count;

    while (left > 0) {
        int status, n = add_burst(g, left < BURST ? (unsigned)left : BURST);

        if (n == -EPIPE || n == -EBADF)
            return reader_output_failure(r, n, "");
        if (n == -EINTR || (n < 0 && left == r->count))
            return reader_failure(r, n);
        if (n < 0)
            return reader_failure(r, n) == CLI_NOTHING ? CLI_DONE : cli_status_of(n);
        status = write_burst(g, (unsigned)n);
        if (status != CLI_DONE)
            return status;
        left -= (unsigned)n;
    }
    return CLI_DONE;
}

/* --- the command ----------------------------------------------------------- */

/*
 * Join the group, and decide in which way to take.  Only of a queue in the order of
 * puts is all that shmq_get() says all that there is to say.
 */
static int prepare(struct getter *g)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    struct target *t = &g->r.t;
    int error = shmq_attr_of(t->q, &attr);
    bool topic = (attr.kind & SHMQ_TOPIC) != 0;

    if (error)
        return target_failure(t, error);
    if (t->group && !topic)
        return cli_usage(t->command, "%s is no topic, so it has no group %s", t->name, t->group);
    if (!t->group && topic)
        return cli_usage(t->command, "%s is a topic, so --group is needed", t->name);
    g->safe = g->safe || g->r.json || topic || attr.order != SHMQ_FIFO;
    if (t->group) {
        shmq_t *member;

        error = shmq_subscribe(t->q, t->group, &g->start, &member);
        if (error)
            return target_failure(t, error);
        t->g = member;
    }
    return CLI_DONE;
}

static int print_all(struct reader *r)
{
    struct getter *g = (struct getter *)r;
    int status = prepare(g);

    if (status == CLI_DONE)
        status = print_taken(g);
    return status <= CLI_NOTHING && g->failed ? CLI_FAILURE : status;
}

enum { OPT_FROM = 300, OPT_SAFE };

static int get_option(struct getter *g, int code, char **argv)
{
    if (code == OPT_SAFE) {
        g->safe = true;
        return CLI_DONE;
    }
    if (code != OPT_FROM)
        return reader_option(&g->r, code, argv);
    g->from = optarg;
    if (!target_parse_start(optarg, &g->start.start, &g->start.start_at))
        return cli_usage("get", "--from '%s' is not " START_ADVICE, optarg);
    return CLI_DONE;
}

/* -1, or an exit code. */
static int read_command_line(struct getter *g, int argc, char **argv)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'n'},
        {"follow", no_argument, NULL, READER_ALL},
        {"timeout", required_argument, NULL, READER_TIMEOUT},
        {"group", required_argument, NULL, READER_GROUP},
        {"from", required_argument, NULL, OPT_FROM},
        {"safe", no_argument, NULL, OPT_SAFE},
        {"json", no_argument, NULL, READER_JSON},
        {"null", no_argument, NULL, '0'},
        {"raw", no_argument, NULL, READER_RAW},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    bool counted = false, endless = false;
    int code, status;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":n:0h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(get_help);
        status = get_option(g, code, argv);
        if (status != CLI_DONE)
            return status;
        counted = counted || code == 'n';
        endless = endless || code == READER_ALL;
    }
    if (argc - optind != 1)
        return cli_usage("get", "one name of a queue is needed");
    if (g->from && !g->r.t.group)
        return cli_usage("get", "--from says where a group starts, so --group is needed");
    g->r.t.name = argv[optind];
    status = reader_check(&g->r, counted, endless ? "--follow" : NULL);
    return status == CLI_DONE ? -1 : status;
}

int cmd_get(int argc, char **argv)
{
    struct getter g = {.r = READER_INIT("get"), .start = SHMQ_GROUP_INIT};
    int status = read_command_line(&g, argc, argv);

    return status >= 0 ? status : reader_run(&g.r, 0, TARGET_ALONE, print_all);
}
