/*
 * cmd_admin.c - shmq create and rm: making and removing a queue.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/policy_options.h"
#include "shmq/queue_target.h"

static const char create_help[] =
    "Usage: shmq create NAME [OPTION ...]\n"
    "Make the queue NAME.  It must not exist yet.\n"
    "\n"
    "  --capacity SIZE          bytes of the ring, such as 64K or 1G (1M)\n"
    "  --max-messages N         at most so many messages wait (as many as fit)\n"
    "  --max-message-size SIZE  longest message (as long as the ring holds)\n"
    "  --full block|fail|drop   what a put does when there is no room: wait, fail at\n"
    "                           once, or drop the oldest messages (block)\n"
    "  --order fifo|lifo|priority\n"
    "                           in which messages are handed out: as they were put,\n"
    "                           the last one first, or the highest priority first\n"
    "                           (fifo)\n"
    "  --topic                  read by groups, each of which sees all messages\n"
    "  --groups N               of a topic: at most so many groups, 1 to 64 (16)\n"
    "  --unique                 one key at most once among messages not finished\n"
    "  --pending N              at most so many leased, delayed, returned or parked\n"
    "                           messages a group; with another order than fifo all\n"
    "                           that wait count (1024; capacity / 64)\n"
    "  --compress SIZE          compress what is sent and has so many bytes (never)\n"
    "  --mode MODE              permission bits, octal (0600)\n"
    "  --snapshot FILE          the file that keeps the contents: if it is there, the queue\n"
    "                           is made of it, as it was\n"
    "  --save-every TIME        saved to that so often, if something changed\n"
    "  --save-changes N         saved when N messages were put or finished\n"
    "  --save-at-end            saved when the last process that uses the queue leaves\n"
    "  --journal os|always|TIME what is put and finished is written to that at once; is on\n"
    "                           the disk before a command ends; or so often\n"
    "  --exist-ok               an existing queue is fine, and stays as it is\n"
    "  --help                   show this\n"
    "\n" POLICY_HELP;

struct create_options {
    struct shmq_attr attr;
    int flags;
};

enum {
    OPT_CAPACITY = 256,
    OPT_MESSAGES,
    OPT_MESSAGE_SIZE,
    OPT_FULL,
    OPT_ORDER,
    OPT_TOPIC,
    OPT_GROUPS,
    OPT_UNIQUE,
    OPT_PENDING,
    OPT_COMPRESS,
    OPT_MODE,
    OPT_SNAPSHOT,
    OPT_SAVE_EVERY,
    OPT_SAVE_CHANGES,
    OPT_SAVE_AT_END,
    OPT_JOURNAL,
    OPT_EXIST_OK,
};

/* The index of `text` among `count` names, stored in *index. */
static bool parse_name(const char *text, const char *const *names, uint32_t count, uint32_t *index)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

static bool parse_full(const char *text, uint32_t *full)
{
    static const char *const names[] = {
        [SHMQ_FULL_BLOCK] = "block", [SHMQ_FULL_FAIL] = "fail", [SHMQ_FULL_DROP] = "drop"};

    return parse_name(text, names, sizeof(names) / sizeof(names[0]), full);
}

static bool parse_order(const char *text, uint32_t *order)
{
    static const char *const names[] = {
        [SHMQ_FIFO] = "fifo", [SHMQ_LIFO] = "lifo", [SHMQ_PRIORITY] = "priority"};

    return parse_name(text, names, sizeof(names) / sizeof(names[0]), order);
}

/* A whole number from 1 to `most`. */
static bool parse_number(const char *text, uint64_t most, uint32_t *number)
{
    uint64_t value;

    if (!cli_parse_count(text, &value) || value == 0 || value > most)
        return false;
    *number = (uint32_t)value;
    return true;
}

/* An option about sizes: CLI_DONE or CLI_USAGE. */
static int size_option(struct shmq_attr *attr, int code, const char *value)
{
    uint64_t bytes;

    switch (code) {
    case OPT_CAPACITY:
        if (!cli_parse_size(value, &attr->capacity_bytes) || attr->capacity_bytes == 0)
            return cli_usage("create", "--capacity '%s' is not a size such as 64K or 1M", value);
        break;
    case OPT_MESSAGES:
        if (!cli_parse_count(value, &attr->max_messages) || attr->max_messages == 0)
            return cli_usage("create", "--max-messages '%s' is not a whole number from 1", value);
        break;
    case OPT_MESSAGE_SIZE:
        if (!cli_parse_size(value, &attr->max_message_bytes) || attr->max_message_bytes == 0)
            return cli_usage("create", "--max-message-size '%s' is not a size such as 4K", value);
        break;
    case OPT_GROUPS:
        if (!parse_number(value, GROUPS_MAX, &attr->max_groups))
            return cli_usage("create", "--groups '%s' is not a whole number from 1 to %d", value,
                             GROUPS_MAX);
        break;
    case OPT_PENDING:
        if (!parse_number(value, UINT32_MAX, &attr->pending_count))
            return cli_usage("create", "--pending '%s' is not a whole number from 1", value);
        break;
    default:
        if (!cli_parse_size(value, &bytes) || bytes == 0 || bytes > UINT32_MAX)
            return cli_usage("create", "--compress '%s' is not a size such as 1K", value);
        attr->compress_bytes = (uint32_t)bytes;
        break;
    }
    return CLI_DONE;
}

static int journal_option(struct shmq_attr *attr, const char *value)
{
    if (strcmp(value, "os") == 0)
        attr->journal = SHMQ_JOURNAL_OS;
    else if (strcmp(value, "always") == 0)
        attr->journal = SHMQ_JOURNAL_ALWAYS;
    else if (cli_parse_duration(value, &attr->save_ns) && attr->save_ns > 0)
        attr->journal = SHMQ_JOURNAL_INTERVAL;
    else
        return cli_usage("create", "--journal '%s' is not os, always or a time such as 1s", value);
    return CLI_DONE;
}

/* An option about the queue's file: CLI_DONE or CLI_USAGE. */
static int file_option(struct shmq_attr *attr, int code, const char *value)
{
    switch (code) {
    case OPT_SNAPSHOT:
        attr->snapshot = value;
        break;
    case OPT_SAVE_EVERY:
        if (!cli_parse_duration(value, &attr->save_ns) || attr->save_ns <= 0)
            return cli_usage("create", "--save-every '%s' is not a time such as 10s", value);
        break;
    case OPT_SAVE_CHANGES:
        if (!cli_parse_count(value, &attr->save_changes) || attr->save_changes == 0)
            return cli_usage("create", "--save-changes '%s' is not a whole number from 1", value);
        break;
    case OPT_JOURNAL:
        return journal_option(attr, value);
    default:
        attr->save_at_end = 1;
        break;
    }
    return CLI_DONE;
}

/* One option that is understood: CLI_DONE or CLI_USAGE. */
static int create_option(struct create_options *o, int code, const char *value)
{
    if (policy_is_option(code))
        return policy_option("create", code, value, &o->attr.policy);
    switch (code) {
    case OPT_FULL:
        if (!parse_full(value, &o->attr.full))
            return cli_usage("create", "--full '%s' is not block, fail or drop", value);
        return CLI_DONE;
    case OPT_ORDER:
        if (!parse_order(value, &o->attr.order))
            return cli_usage("create", "--order '%s' is not fifo, lifo or priority", value);
        return CLI_DONE;
    case OPT_MODE:
        if (!cli_parse_mode(value, &o->attr.mode) || o->attr.mode == 0)
            return cli_usage("create", "--mode '%s' is not octal bits such as 0660", value);
        return CLI_DONE;
    case OPT_TOPIC:
        o->flags |= SHMQ_TOPIC;
        return CLI_DONE;
    case OPT_UNIQUE:
        o->flags |= SHMQ_UNIQUE;
        return CLI_DONE;
    case OPT_EXIST_OK:
        o->flags &= ~SHMQ_EXCL;
        return CLI_DONE;
    case OPT_SNAPSHOT:
    case OPT_SAVE_EVERY:
    case OPT_SAVE_CHANGES:
    case OPT_SAVE_AT_END:
    case OPT_JOURNAL:
        return file_option(&o->attr, code, value);
    default:
        return size_option(&o->attr, code, value);
    }
}

int cmd_create(int argc, char **argv)
{
    static const struct option options[] = {
        {"capacity", required_argument, NULL, OPT_CAPACITY},
        {"max-messages", required_argument, NULL, OPT_MESSAGES},
        {"max-message-size", required_argument, NULL, OPT_MESSAGE_SIZE},
        {"full", required_argument, NULL, OPT_FULL},
        {"order", required_argument, NULL, OPT_ORDER},
        {"topic", no_argument, NULL, OPT_TOPIC},
        {"groups", required_argument, NULL, OPT_GROUPS},
        {"unique", no_argument, NULL, OPT_UNIQUE},
        {"pending", required_argument, NULL, OPT_PENDING},
        {"compress", required_argument, NULL, OPT_COMPRESS},
        {"mode", required_argument, NULL, OPT_MODE},
        {"snapshot", required_argument, NULL, OPT_SNAPSHOT},
        {"save-every", required_argument, NULL, OPT_SAVE_EVERY},
        {"save-changes", required_argument, NULL, OPT_SAVE_CHANGES},
        {"save-at-end", no_argument, NULL, OPT_SAVE_AT_END},
        {"journal", required_argument, NULL, OPT_JOURNAL},
        {"exist-ok", no_argument, NULL, OPT_EXIST_OK},
        {"help", no_argument, NULL, 'h'},
        POLICY_OPTIONS,
        {0},
    };
    struct create_options o = {.attr = SHMQ_ATTR_INIT, .flags = SHMQ_CREATE | SHMQ_EXCL};
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
    if (o.attr.max_groups && !(o.flags & SHMQ_TOPIC))
        return cli_usage("create", "--groups is of topics, so --topic is needed");
    error = shmq_open(&q, argv[optind], o.flags, &o.attr);
    if (error)
        return cli_failure(error, "create %s", argv[optind]);
    shmq_close(q);
    return CLI_DONE;
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
