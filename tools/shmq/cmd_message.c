/*
 * cmd_message.c - shmq update, remove, purge and redrive: changing what is in a
 * queue.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/input.h"
#include "shmq/queue_target.h"

static int print_count(int64_t count)
{
    char line[32];

    snprintf(line, sizeof(line), "%lld\n", (long long)count);
    return cli_print(line);
}

/* --- update ---------------------------------------------------------------- */

static const char update_help[] =
    "Usage: shmq update NAME ID [MESSAGE] [OPTION ...]\n"
    "Replace the bytes of the message ID of the queue NAME by MESSAGE, or without it\n"
    "by all of standard input.  Its place, key, headers and all else stay.\n"
    "\n"
    "  --timeout TIME  wait at most so long for room, such as 250ms, 10s or 5m;\n"
    "                  0 does not wait (for ever)\n"
    "  --help          show this\n";

struct updater {
    struct target t;
    uint64_t id;
    const char *message; /* NULL: standard input */
    int64_t timeout_ns;
};

static int update_with(const struct updater *u, const void *data, size_t length)
{
    int64_t deadline = cli_deadline(u->timeout_ns);
    int error;

    do
        error = shmq_update(u->t.q, u->id, data, length, cli_slice(deadline));
    while ((error == -EINTR || (error == -ETIMEDOUT && cli_now_ns() < deadline)) && !cli_stopped());
    if (error == -ENOENT)
        return target_no_message(&u->t, u->id);
    return error ? target_failure(&u->t, error) : CLI_DONE;
}

static int update(struct updater *u)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    struct input in = {0};
    int error, status = target_open(&u->t, 0, TARGET_ALONE);

    if (status != CLI_DONE)
        return status;
    error = shmq_attr_of(u->t.q, &attr);
    if (error)
        status = target_failure(&u->t, error);
    else if (u->message)
        status = update_with(u, u->message, strlen(u->message));
    else if ((status = input_read_all(&in, attr.capacity_bytes)) == CLI_DONE)
        status = update_with(u, in.data, in.end);
    input_free(&in);
    target_close(&u->t);
    return status;
}

static bool parse_id(const char *text, uint64_t *id)
{
    return cli_parse_count(text, id) && *id > 0;
}

int cmd_update(int argc, char **argv)
{
    static const struct option options[] = {
        {"timeout", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct updater u = {.t.command = "update", .timeout_ns = SHMQ_FOREVER};
    int code;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(update_help);
        if (code != 't')
            return cli_bad_option("update", code, argv);
        if (!cli_parse_duration(optarg, &u.timeout_ns))
            return cli_usage("update", "--timeout '%s' is not a time such as 250ms or 10s", optarg);
    }
    if (argc - optind < 2 || argc - optind > 3)
        return cli_usage("update", "the name of a queue, the id of a message and at most one "
                                   "message are needed");
    if (!parse_id(argv[optind + 1], &u.id))
        return cli_usage("update", "'%s' is not a whole number from 1", argv[optind + 1]);
    u.t.name = argv[optind];
    u.message = argv[optind + 2];
    return update(&u);
}

/* --- remove ---------------------------------------------------------------- */

static const char remove_help[] = "Usage: shmq remove NAME ID ...\n"
                                  "Remove the messages ID from the queue NAME, for all groups.\n"
                                  "\n"
                                  "  --help  show this\n";

int cmd_remove(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    struct target t = {.command = "remove"};
    int code, status, worst = CLI_DONE;
    uint64_t id;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(remove_help);
        return cli_bad_option("remove", code, argv);
    }
    if (argc - optind < 2)
        return cli_usage("remove", "the name of a queue and the ids of messages are needed");
    for (int i = optind + 1; i < argc; i++)
        if (!parse_id(argv[i], &id))
            return cli_usage("remove", "'%s' is not a whole number from 1", argv[i]);
    t.name = argv[optind];
    status = target_open(&t, 0, TARGET_ALONE);
    if (status != CLI_DONE)
        return status;
    for (int i = optind + 1; i < argc && parse_id(argv[i], &id); i++) {
        int error = shmq_remove(t.q, id);

        status = error == -ENOENT ? target_no_message(&t, id)
                 : error          ? target_failure(&t, error)
                                  : CLI_DONE;
        worst = status > worst ? status : worst;
    }
    target_close(&t);
    return worst;
}

/* --- purge and redrive ------------------------------------------------------ */

static const char purge_help[] =
    "Usage: shmq purge NAME [--group GROUP]\n"
    "Remove all messages from the queue NAME and print how many.  It also makes a\n"
    "queue with a damaged message usable again.\n"
    "\n"
    "  --group GROUP  of a topic: for this group only\n"
    "  --help         show this\n";

static const char redrive_help[] =
    "Usage: shmq redrive NAME [OPTION ...]\n"
    "Put dead letters back where they came from and print how many: those that are\n"
    "parked in the queue NAME wait again, and those that were sent to it, being the\n"
    "dead-letter queue of others, go back to these.\n"
    "\n"
    "  --id ID        only the one with this id in NAME\n"
    "  --group GROUP  of a topic: what is parked in this group\n"
    "  --help         show this\n";

/* The option --group, and --id where `id` is not NULL, and a name.  -1 or exit code. */
static int read_command_line(struct target *t, int argc, char **argv, const char *help,
                             uint64_t *id)
{
    static const struct option options[] = {{"group", required_argument, NULL, 'g'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"id", required_argument, NULL, 'i'},
                                            {0}};
    static const struct option without_id[] = {
        {"group", required_argument, NULL, 'g'}, {"help", no_argument, NULL, 'h'}, {0}};
    int code;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", id ? options : without_id, NULL)) != -1) {
        if (code == 'h')
            return cli_print(help);
        if (code == 'g')
            t->group = optarg;
        else if (code != 'i')
            return cli_bad_option(t->command, code, argv);
        else if (!parse_id(optarg, id))
            return cli_usage(t->command, "--id '%s' is not a whole number from 1", optarg);
    }
    if (argc - optind != 1)
        return cli_usage(t->command, "one name of a queue is needed");
    t->name = argv[optind];
    return -1;
}

int cmd_purge(int argc, char **argv)
{
    struct target t = {.command = "purge"};
    int status = read_command_line(&t, argc, argv, purge_help, NULL);
    int64_t removed;

    if (status >= 0)
        return status;
    status = target_open(&t, 0, TARGET_GROUP);
    if (status != CLI_DONE)
        return status;
    removed = shmq_purge(t.g);
    status = removed < 0 ? target_failure(&t, (int)removed) : print_count(removed);
    target_close(&t);
    return status;
}

int cmd_redrive(int argc, char **argv)
{
    struct target t = {.command = "redrive"};
    uint64_t id = 0;
    int status = read_command_line(&t, argc, argv, redrive_help, &id);
    int64_t count;

    if (status >= 0)
        return status;
    status = target_open(&t, 0, TARGET_GROUP);
    if (status != CLI_DONE)
        return status;
    count = shmq_redrive(t.g, id);
    if (count == -ENOENT && id != 0)
        status = target_no_message(&t, id);
    else
        status = count < 0 ? target_failure(&t, (int)count) : print_count(count);
    target_close(&t);
    return status;
}
