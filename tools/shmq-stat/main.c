/*
 * main.c - the command shmq-stat: figures of queues, once or at intervals.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/text.h"
#include "shmq-stat/stat_report.h"
#include "shmq-stat/stat_watch.h"
#include "shmq.h"

static const char help[] =
    "Usage: shmq-stat [OPTION ...] [NAME ...] [INTERVAL [COUNT]]\n"
    "Show the figures of the queues NAME, or of all, without touching them: once,\n"
    "or every INTERVAL seconds, COUNT times.  The first report has totals since the\n"
    "queue was created; later ones have events a second.\n"
    "\n"
    "  --json            every figure, each queue as a JSON object on a line\n"
    "  --prometheus      all queues in the Prometheus text format, once\n"
    "  --processes       who is attached\n"
    "  --histogram       how long messages waited, as bars\n"
    "  --dead            the dead letters in the queues by reason and age; with --json\n"
    "                    or --prometheus these as well\n"
    "  --priorities      how many messages there are of each priority; likewise\n"
    "  -q, --queue NAME  a queue whose name is a number (or give it after --)\n"
    "  --help            show this\n"
    "  --version         show the version\n"
    "\n"
    "DEPTH messages wait and fill FULL% of the queue, the OLDEST for so long.  PUT\n"
    "and GOT count messages, IN and OUT payload bytes, DROP messages dropped for want\n"
    "of room.  PWAIT producers and CWAIT consumers sleep, of ATTACH handles.  RECOV\n"
    "counts dead owners of a lock or role that were cleaned up after.  A line follows\n"
    "for each group of a topic, and for what is leased, delayed or dead.\n";

enum form { FORM_TABLE, FORM_JSON, FORM_PROMETHEUS, FORM_PROCESSES, FORM_HISTOGRAM };

struct request {
    enum form form;
    int64_t interval_ns; /* 0: one report */
    uint64_t count;      /* of reports; 0: without end */
    struct watch watch;
};

/* --- the command line ------------------------------------------------------ */

/* Arguments before `--`, which may be names or numbers. */
struct arguments {
    char **list;
    int count;
};

static int add_queue(struct request *r, const char *name)
{
    int error = watch_add(&r->watch, name);

    return error ? cli_failure(error, "%s", name) : -1;
}

static int set_form(struct request *r, enum form form)
{
    if (r->form != FORM_TABLE && r->form != form)
        return cli_usage(NULL, "choose one of --json, --prometheus, --processes, --histogram");
    r->form = form;
    return -1;
}

/* Handle one result of getopt_long(): -1 to go on, or the exit code. */
static int take_option(struct request *r, struct arguments *a, int code, char **argv)
{
    switch (code) {
    case 1:
        a->list[a->count++] = optarg;
        return -1;
    case 'q':
        return add_queue(r, optarg);
    case 'j':
        return set_form(r, FORM_JSON);
    case 'p':
        return set_form(r, FORM_PROMETHEUS);
    case 'a':
        return set_form(r, FORM_PROCESSES);
    case 'H':
        return set_form(r, FORM_HISTOGRAM);
    case 'd':
        r->watch.want_dead = true;
        return -1;
    case 'P':
        r->watch.want_priorities = true;
        return -1;
    case 'h':
        return cli_print(help);
    case 'V':
        return cli_print_version();
    default:
        return cli_bad_option(NULL, code, argv);
    }
}

/* The last one or two arguments may be numbers: INTERVAL [COUNT]. */
static int take_interval(struct request *r, struct arguments *a)
{
    int numbers = 0;

    while (numbers < 2 && numbers < a->count && cli_is_number(a->list[a->count - 1 - numbers]))
        numbers++;
    if (numbers == 0)
        return -1;
    a->count -= numbers;
    if (!cli_parse_duration(a->list[a->count], &r->interval_ns) || r->interval_ns == 0)
        return cli_usage(NULL, "interval '%s' is not a time above 0", a->list[a->count]);
    if (numbers == 2 && (!cli_parse_count(a->list[a->count + 1], &r->count) || r->count == 0))
        return cli_usage(NULL, "count '%s' is not a whole number from 1", a->list[a->count + 1]);
    if (r->form == FORM_PROMETHEUS)
        return cli_usage(NULL, "--prometheus reports once, so it excludes an interval");
    return -1;
}

/* What is had by looking at all messages goes with forms that have room for it. */
static int check_wanted(const struct request *r)
{
    const struct watch *w = &r->watch;

    if (r->form == FORM_JSON || r->form == FORM_PROMETHEUS ||
        (r->form == FORM_TABLE && !(w->want_dead && w->want_priorities)))
        return -1;
    if (w->want_dead)
        return cli_usage(NULL, "--dead goes with --json and --prometheus, or alone");
    if (w->want_priorities)
        return cli_usage(NULL, "--priorities goes with --json and --prometheus, or alone");
    return -1;
}

/* Returns -1 or an exit code; the arguments end up in front of argv. */
static int read_command_line(struct request *r, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},        {"prometheus", no_argument, NULL, 'p'},
        {"processes", no_argument, NULL, 'a'},   {"histogram", no_argument, NULL, 'H'},
        {"dead", no_argument, NULL, 'd'},        {"priorities", no_argument, NULL, 'P'},
        {"queue", required_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},     {0},
    };
    struct arguments a = {.list = argv};
    int code, status = -1;

    opterr = 0;
    /* '-': each argument is reported in its place, so that those after "--" show. */
    while (status < 0 && (code = getopt_long(argc, argv, "-:q:hV", options, NULL)) != -1)
        status = take_option(r, &a, code, argv);
    if (status < 0)
        status = take_interval(r, &a);
    for (int i = 0; status < 0 && i < a.count; i++)
        status = add_queue(r, a.list[i]);
    for (; status < 0 && optind < argc; optind++)
        status = add_queue(r, argv[optind]);
    if (status < 0)
        status = check_wanted(r);
    r->watch.all = r->watch.count == 0;
    r->watch.want_processes = r->form == FORM_JSON || r->form == FORM_PROCESSES;
    return status;
}

/* --- reports --------------------------------------------------------------- */

static void report(struct text *out, struct table *table, const struct request *r)
{
    switch (r->form) {
    case FORM_TABLE:
        if (r->watch.want_dead)
            stat_dead_table(out, &r->watch);
        else if (r->watch.want_priorities)
            stat_priority_table(out, &r->watch);
        else
            report_table(out, table, &r->watch);
        break;
    case FORM_JSON:
        report_json(out, &r->watch);
        break;
    case FORM_PROMETHEUS:
        report_prometheus(out, &r->watch);
        break;
    case FORM_PROCESSES:
        report_processes(out, &r->watch);
        break;
    case FORM_HISTOGRAM:
        report_histogram(out, &r->watch);
        break;
    }
}

static int run(struct request *r)
{
    struct table table = {0};
    struct text out = {0};
    int64_t next = cli_now_ns();
    int error = 0;

    for (uint64_t done = 1; !error; done++) {
        int64_t now;

        watch_sample(&r->watch);
        report(&out, &table, r);
        error = text_write(&out, STDOUT_FILENO);
        if (r->interval_ns == 0 || done == r->count || !watch_goes_on(&r->watch))
            break;
        now = cli_now_ns();
        next = r->interval_ns > INT64_MAX - now ? INT64_MAX : next + r->interval_ns;
        /* After a pause of the whole machine, do not catch up in a rush. */
        next = next < now ? now : next;
        cli_sleep_until(next);
        if (cli_stopped())
            break;
    }
    text_free(&out);
    if (error) {
        cli_complain("standard output", strerror(-error), NULL, NULL);
        return CLI_FAILURE;
    }
    return r->watch.status;
}

int main(int argc, char **argv)
{
    struct request r = {.form = FORM_TABLE};
    int status;

    cli_start();
    status = read_command_line(&r, argc, argv);
    if (status < 0)
        status = run(&r);
    watch_free(&r.watch);
    return status;
}
