/*
 * cmd_save.c - shmq save and load: queues to files and back.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"
#include "shmq.h"
#include "shmq/commands.h"

static const char save_help[] =
    "Usage: shmq save NAME [FILE]\n"
    "Write all that the queue NAME holds to FILE, or to its own file ('shmq create\n"
    "--snapshot'), which is replaced if it is this queue's.  Nobody who uses the queue is stopped. "
    " 'shmq load' makes a queue of it.\n"
    "\n"
    "      --help  show this\n";

static const char load_help[] = "Usage: shmq load FILE [--name NAME]\n"
                                "Make a queue of what 'shmq save' has written.\n"
                                "\n"
                                "      --name NAME  call it NAME, and not as it was called\n"
                                "      --help       show this\n";

/* The library speaks of queues; here it is the file that matters. */
static int failure(int error, const char *what)
{
    bool damaged = error == -EBADMSG || error == -EPROTO;

    cli_complain(what, damaged ? shmq_strerror(error) : strerror(-error), shmq_last_error_detail(),
                 NULL);
    return cli_status_of(error);
}

int cmd_save(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    shmq_t *q;
    int code;

    while ((code = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(save_help);
        return cli_bad_option("save", code, argv);
    }
    if (argc - optind != 1 && argc - optind != 2)
        return cli_usage("save", "NAME is needed, and perhaps FILE");
    const char *name = argv[optind], *file = argv[optind + 1]; /* NULL ends them */
    int rc = shmq_open(&q, name, 0, NULL);
    if (rc < 0)
        return cli_failure(rc, "%s", name);
    rc = shmq_save(q, file);
    int status = rc < 0 ? failure(rc, file != NULL ? file : name) : CLI_DONE;
    shmq_close(q);
    return status;
}

int cmd_load(int argc, char **argv)
{
    static const struct option options[] = {
        {"name", required_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *name = NULL;
    int code;

    while ((code = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(load_help);
        if (code != 'n')
            return cli_bad_option("load", code, argv);
        name = optarg;
    }
    if (argc - optind != 1)
        return cli_usage("load", "FILE is needed");
    int rc = shmq_load(name, argv[optind]);
    return rc < 0 ? failure(rc, argv[optind]) : CLI_DONE;
}
