/*
 * cmd_admin.c - shmq create, purge and rm: making, emptying and removing a queue.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "shmq.h"
#include "shmq_commands.h"

static const char create_help[] =
    "Usage: shmq create NAME [OPTION ...]\n"
    "Make the queue NAME.  It must not exist yet.\n"
    "\n"
    "  --capacity SIZE          bytes of the ring, such as 64K or 1G (1M)\n"
    "  --max-messages N         at most so many messages wait (as many as fit)\n"
    "  --max-message-size SIZE  longest message (as long as the ring holds)\n"
    "  --full block|fail|drop   what a put does when there is no room: wait, fail at\n"
    "                           once, or drop the oldest messages (block)\n"
    "  --mode MODE              permission bits, octal (0600)\n"
    "  --exist-ok               an existing queue is fine, and stays as it is\n"
    "  --help                   show this\n";

struct create_options {
    struct shmq_attr attr;
    bool exist_ok;
};

enum { OPT_CAPACITY = 256, OPT_MESSAGES, OPT_MESSAGE_SIZE, OPT_FULL, OPT_MODE, OPT_EXIST_OK };

static bool parse_full(const char *text, uint32_t *full)
{
    static const char *const names[] = {
        [SHMQ_FULL_BLOCK] = "block", [SHMQ_FULL_FAIL] = "fail", [SHMQ_FULL_DROP] = "drop"};

    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *full = i;
            return true;
        }
    }
    return false;
}

/* One option that is understood: CLI_DONE or CLI_USAGE. */
static int create_option(struct create_options *o, int code, const char *value)
{
    switch (code) {
    case OPT_CAPACITY:
        if (!cli_parse_size(value, &o->attr.capacity_bytes) || o->attr.capacity_bytes == 0)
            return cli_usage("create", "--capacity '%s' is not a size such as 64K or 1M", value);
        break;
    case OPT_MESSAGES:
        if (!cli_parse_count(value, &o->attr.max_messages) || o->attr.max_messages == 0)
            return cli_usage("create", "--max-messages '%s' is not a whole number from 1", value);
        break;
    case OPT_MESSAGE_SIZE:
        if (!cli_parse_size(value, &o->attr.max_message_bytes) || o->attr.max_message_bytes == 0)
            return cli_usage("create", "--max-message-size '%s' is not a size such as 4K", value);
        break;
    case OPT_FULL:
        if (!parse_full(value, &o->attr.full))
            return cli_usage("create", "--full '%s' is not block, fail or drop", value);
        break;
    case OPT_MODE:
        if (!cli_parse_mode(value, &o->attr.mode) || o->attr.mode == 0)
            return cli_usage("create", "--mode '%s' is not octal bits such as 0660", value);
        break;
    default:
        o->exist_ok = true;
        break;
    }
    return CLI_DONE;
}

int cmd_create(int argc, char **argv)
{
    static const struct option options[] = {
        {"capacity", required_argument, NULL, OPT_CAPACITY},
        {"max-messages", required_argument, NULL, OPT_MESSAGES},
        {"max-message-size", required_argument, NULL, OPT_MESSAGE_SIZE},
        {"full", required_argument, NULL, OPT_FULL},
        {"mode", required_argument, NULL, OPT_MODE},
        {"exist-ok", no_argument, NULL, OPT_EXIST_OK},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct create_options o = {.attr = SHMQ_ATTR_INIT};
    shmq_t *q;
    int code, status, error;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(create_help);
        if (code == '?' || code == ':')
            return cli_bad_option("create", code, argv);
        status = create_option(&o, code, optarg);
        if (status != CLI_DONE)
            return status;
    }
    if (argc - optind != 1)
        return cli_usage("create", "one name of a queue is needed");
    error = shmq_open(&q, argv[optind], SHMQ_CREATE | (o.exist_ok ? 0 : SHMQ_EXCL), &o.attr);
    if (error)
        return cli_failure(error, "create %s", argv[optind]);
    shmq_close(q);
    return CLI_DONE;
}

static const char purge_help[] = "Usage: shmq purge NAME\n"
                                 "Remove all messages from the queue NAME and print how many.\n"
                                 "It also makes a queue with a damaged message usable again.\n"
                                 "\n"
                                 "  --help  show this\n";

int cmd_purge(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    char line[32];
    shmq_t *q;
    int64_t removed;
    int code, error;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(purge_help);
        return cli_bad_option("purge", code, argv);
    }
    if (argc - optind != 1)
        return cli_usage("purge", "one name of a queue is needed");
    error = shmq_open(&q, argv[optind], 0, NULL);
    if (error)
        return cli_failure(error, "purge %s", argv[optind]);
    removed = shmq_purge(q);
    if (removed < 0)
        cli_failure((int)removed, "purge %s", argv[optind]);
    shmq_close(q);
    if (removed < 0)
        return cli_status_of((int)removed);
    snprintf(line, sizeof(line), "%lld\n", (long long)removed);
    return cli_print(line);
}

static const char rm_help[] =
    "Usage: shmq rm [-f] NAME ...\n"
    "Remove queues and the messages in them.  Processes that use one are told.\n"
    "\n"
    "  -f, --force  a queue that does not exist is fine\n"
    "  --help       show this\n";

int cmd_rm(int argc, char **argv)
{
    static const struct option options[] = {
        {"force", no_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'}, {0}};
    bool force = false;
    int code, status = CLI_DONE;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":fh", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(rm_help);
        if (code != 'f')
            return cli_bad_option("rm", code, argv);
        force = true;
    }
    if (optind == argc)
        return cli_usage("rm", "at least one name of a queue is needed");
    for (; optind < argc; optind++) {
        int error = shmq_unlink(argv[optind]);

        if (error && !(force && error == -ENOENT)) {
            int failed = cli_failure(error, "rm %s", argv[optind]);

            status = failed > status ? failed : status;
        }
    }
    return status;
}
