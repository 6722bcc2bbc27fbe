/*
 * main.c - the command shmq-check: what is wrong with a queue, or a file of one, and
 * a new file of what can still be read.
 *
 * The only tool that knows the library from inside: it reads what others refuse.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "common/cli.h"
#include "shmq-check/check.h"

static const char help[] =
    "Usage: shmq-check [OPTION ...] NAME|FILE [--repair [OUT]]\n"
    "Check a file that 'shmq save' or a journal has written, or a queue that is in use,\n"
    "without changing or stopping it.\n"
    "\n"
    "      --repair     write what can be read to the new file OUT (NAME.repaired or\n"
    "                   FILE.repaired), of which 'shmq load' makes a queue\n"
    "      --frames     list what is in the file\n"
    "      --json       print one JSON object\n"
    "  -q, --queue NAME the queue NAME, even if there is a file of that name\n"
    "  -f, --file FILE  the file FILE, even if it is not there\n"
    "      --help       show this\n"
    "      --version    show the version\n"
    "\n"
    "What has a slash in it, or is there, is a file, and anything else a queue.\n"
    "Exits with 0 if there is no damage, and with 1 if there is, repaired or not.\n";

enum target { TARGET_ANY, TARGET_QUEUE, TARGET_FILE };

static int take_target(struct check_request *r, enum target *kind, enum target is)
{
    if (r->target != NULL)
        return cli_usage(NULL, "one NAME or FILE at a time");
    r->target = optarg;
    *kind = is;
    return -1;
}

/* Handle one result of getopt_long(): -1 to go on, or the exit code. */
static int take_option(struct check_request *r, enum target *kind, int code, char **argv)
{
    switch (code) {
    case 'r':
        r->repair = true;
        r->out = optarg != NULL ? optarg : r->out;
        return -1;
    case 'F':
        r->frames = true;
        return -1;
    case 'j':
        r->json = true;
        return -1;
    case 'q':
        return take_target(r, kind, TARGET_QUEUE);
    case 'f':
        return take_target(r, kind, TARGET_FILE);
    case 'h':
        return cli_print(help);
    case 'V':
        return cli_print_version();
    default:
        return cli_bad_option(NULL, code, argv);
    }
}

/* Returns -1 or an exit code. */
static int read_command_line(struct check_request *r, enum target *kind, int argc, char **argv)
{
    static const struct option options[] = {
        {"repair", optional_argument, NULL, 'r'}, {"frames", no_argument, NULL, 'F'},
        {"json", no_argument, NULL, 'j'},         {"queue", required_argument, NULL, 'q'},
        {"file", required_argument, NULL, 'f'},   {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {0},
    };
    int code, status = -1;

    opterr = 0;
    while (status < 0 && (code = getopt_long(argc, argv, ":q:f:hV", options, NULL)) != -1)
        status = take_option(r, kind, code, argv);
    if (status >= 0)
        return status;
    if (r->target == NULL && optind < argc)
        r->target = argv[optind++];
    if (r->target == NULL)
        return cli_usage(NULL, "NAME or FILE is needed");
    if (r->repair && r->out == NULL && optind < argc)
        r->out = argv[optind++];
    if (optind < argc)
        return cli_usage(NULL, "'%s' is one argument too many", argv[optind]);
    return -1;
}

int main(int argc, char **argv)
{
    struct check_request r = {.target = NULL};
    enum target kind = TARGET_ANY;

    cli_start();
    int status = read_command_line(&r, &kind, argc, argv);
    if (status >= 0)
        return status;
    if (kind == TARGET_ANY)
        kind = strchr(r.target, '/') != NULL || access(r.target, F_OK) == 0 ? TARGET_FILE
                                                                            : TARGET_QUEUE;
    if (kind == TARGET_QUEUE && r.frames)
        return cli_usage(NULL, "--frames is about a file, and %s is a queue", r.target);
    return kind == TARGET_FILE ? check_file(&r) : check_queue(&r);
}
