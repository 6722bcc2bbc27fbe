/*
 * cmd_export.c - shmq export: all messages of a queue as lines of JSON, in the order of
 * their ids, for shmq import, for other programs, and for people.
 *
 * shmq_inspect() shows first what was handed out or set aside before, in no order, and then
 * the others in order, of which there may be many.  So the queue is walked twice: first to
 * see up to where there is no order; then what comes up to there is kept, and merged with
 * the rest.  Of a queue in use some may come and go meanwhile, and be out of order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cli.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/message_printer.h"

static const char export_help[] =
    "Usage: shmq export NAME [--group GROUP]\n"
    "Print the messages of the queue NAME that are not finished, in whatever state, in the\n"
    "order of their ids: each with all that it has as a JSON object on a line.  None is\n"
    "taken.  'shmq import' reads them.\n"
    "\n"
    "  --group GROUP  of a topic: what this group has not finished\n"
    "  --help         show this\n";

enum { ALL_STATES = SHMQ_WAITING | SHMQ_DELAYED | SHMQ_LEASED | SHMQ_DEAD };

/* A message that waits for its turn among the others. */
struct kept {
    uint64_t id;
    char *line;
    size_t length;
};

struct exporter {
    struct reader r;
    struct kept *kept;
    size_t count, room; /* of them */
    size_t written;     /* of them */
};

/* --- one message -------------------------------------------------------------- */

/* As text where that says exactly the same. */
static void add_bytes(struct text *out, const char *text_name, const char *other_name,
                      const void *bytes, size_t length)
{
    bool text = text_is_utf8(bytes, length) && !(length && memchr(bytes, 0, length));

    text_format(out, ",\"%s\":", text ? text_name : other_name);
    if (text)
        text_json_string(out, bytes, length);
    else
        text_json_base64(out, bytes, length);
}

static void add_header_value(struct text *out, const char *value)
{
    size_t length = strlen(value);

    if (text_is_utf8(value, length)) {
        text_json_string(out, value, length);
        return;
    }
    text_add(out, "{\"base64\":");
    text_json_base64(out, value, length);
    text_add(out, "}");
}

static void add_headers(struct text *out, const struct shmq_msg *msg)
{
    struct shmq_header header;
    const char *comma = "";
    size_t walk = 0;

    text_add(out, ",\"headers\":{");
    while (shmq_header_next(msg, &walk, &header) == 1) {
        text_add(out, comma);
        text_json_string(out, header.name, strlen(header.name));
        text_add(out, ":");
        add_header_value(out, header.value);
        comma = ",";
    }
    text_add(out, "}");
}

static void add_line(struct text *out, const struct shmq_msg *msg)
{
    int64_t wall_ns = cli_wall_ns(), age_ns = cli_now_ns() - msg->put_ns;

    text_format(out, "{\"id\":%llu,\"state\":\"%s\",\"put_time\":", (unsigned long long)msg->id,
                message_state(msg->state));
    text_json_time(out, wall_ns - age_ns);
    text_add(out, ",\"type\":");
    message_add_json_type(out, msg->type);
    text_format(out, ",\"priority\":%d", msg->priority);
    if (msg->key_length > 0)
        add_bytes(out, "key", "key_base64", msg->key, msg->key_length);
    add_headers(out, msg);
    /* A number of more than 63 bits is more than most readers take. */
    text_format(
        out, msg->correlation > INT64_MAX ? ",\"correlation\":\"%llu\"" : ",\"correlation\":%llu",
        (unsigned long long)msg->correlation);
    text_format(out, ",\"attempts\":%u", msg->attempts);
    if (msg->due_ns > 0) {
        text_add(out, ",\"due_time\":");
        text_json_time(out, msg->due_ns);
    }
    if (msg->ttl_ns > 0)
        text_format(out, ",\"ttl_ns\":%lld", (long long)msg->ttl_ns);
    if (msg->state == SHMQ_DEAD)
        text_format(out, ",\"reason\":%u", msg->reason);
    add_bytes(out, "text", "base64", msg->data, msg->length);
    text_add(out, "}\n");
}

/* --- the order ---------------------------------------------------------------- */

static ssize_t next_message(struct exporter *e, uint64_t *walk, struct shmq_msg *msg)
{
    return cli_stopped() ? -EINTR : reader_inspect(&e->r, e->r.t.g, ALL_STATES, walk, msg);
}

/* How many messages come before those that are in order up to the end. */
static ssize_t look_for_order(struct exporter *e, size_t *unordered)
{
    uint64_t walk = 0, last = 0;
    struct shmq_msg msg;
    ssize_t n;

    *unordered = 0;
    for (size_t i = 0; (n = next_message(e, &walk, &msg)) >= 0; i++) {
        if (msg.id < last)
            *unordered = i;
        last = msg.id;
    }
    return n == -EAGAIN ? 0 : n;
}

static void keep(struct exporter *e, const struct shmq_msg *msg)
{
    struct text line = {0};

    if (e->count == e->room) {
        e->room = e->room ? e->room * 2 : 256;
        e->kept = realloc(e->kept, e->room * sizeof(*e->kept));
        if (!e->kept) {
            cli_complain("export", strerror(ENOMEM), NULL, "allow the program more memory");
            exit(CLI_FAILURE);
        }
    }
    add_line(&line, msg);
    e->kept[e->count++] = (struct kept){msg->id, line.data, line.length};
}

static int compare_kept(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

/* Write those kept with ids below `id`: CLI_DONE, or an exit code after complaining. */
static int write_kept(struct exporter *e, uint64_t id)
{
    int error = 0;

    for (; e->written < e->count && e->kept[e->written].id < id && !error; e->written++) {
        struct kept *k = &e->kept[e->written];

        text_append(&e->r.out, k->line, k->length);
        free(k->line);
        k->line = NULL;
        error = text_write(&e->r.out, STDOUT_FILENO);
    }
    return error ? reader_output_failure(&e->r, error, "") : CLI_DONE;
}

static int write_message(struct exporter *e, const struct shmq_msg *msg)
{
    int error, status = write_kept(e, msg->id);

    if (status != CLI_DONE)
        return status;
    add_line(&e->r.out, msg);
    error = text_write(&e->r.out, STDOUT_FILENO);
    return error ? reader_output_failure(&e->r, error, "") : CLI_DONE;
}

static int export_all(struct reader *r)
{
    struct exporter *e = (struct exporter *)r;
    int status = CLI_DONE;
    size_t unordered;
    uint64_t walk = 0;
    struct shmq_msg msg;
    ssize_t n = look_for_order(e, &unordered);

    for (size_t i = 0; n >= 0 && status == CLI_DONE; i++) {
        n = next_message(e, &walk, &msg);
        if ((i == unordered || n < 0) && e->written == 0 && e->count > 1)
            qsort(e->kept, e->count, sizeof(*e->kept), compare_kept);
        if (n >= 0 && i < unordered)
            keep(e, &msg);
        else if (n >= 0)
            status = write_message(e, &msg);
    }
    if (status == CLI_DONE && n != -EAGAIN)
        return reader_failure(r, (int)n);
    return status == CLI_DONE ? write_kept(e, UINT64_MAX) : status;
}

int cmd_export(int argc, char **argv)
{
    static const struct option options[] = {
        {"group", required_argument, NULL, READER_GROUP}, {"help", no_argument, NULL, 'h'}, {0}};
    struct exporter e = {.r = READER_INIT("export")};
    int code, status;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(export_help);
        status = reader_option(&e.r, code, argv);
        if (status != CLI_DONE)
            return status;
    }
    if (argc - optind != 1)
        return cli_usage("export", "one name of a queue is needed");
    e.r.t.name = argv[optind];
    status = reader_run(&e.r, 0, TARGET_GROUP, export_all);
    for (; e.written < e.count; e.written++)
        free(e.kept[e.written].line);
    free(e.kept);
    return status;
}
