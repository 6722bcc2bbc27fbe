/*
 * message_printer.c - what the commands that print messages have in common, see message_printer.h.
 */
#include "shmq/message_printer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"

enum { BUFFER_BYTES = 64 * 1024 };

/* --- options --------------------------------------------------------------- */

int reader_option(struct reader *r, int code, char **argv)
{
    switch (code) {
    case 'n':
        if (!cli_parse_count(optarg, &r->count) || r->count == 0)
            return cli_usage(r->t.command, "--count '%s' is not a whole number from 1", optarg);
        return CLI_DONE;
    case READER_ALL:
        r->count = UINT64_MAX;
        return CLI_DONE;
    case READER_JSON:
        r->json = true;
        return CLI_DONE;
    case READER_GROUP:
        r->t.group = optarg;
        return CLI_DONE;
    case '0':
    case READER_RAW:
        r->end = "";
        r->end_length = code == '0' ? 1 : 0;
        return CLI_DONE;
    case READER_TIMEOUT:
        if (!cli_parse_duration(optarg, &r->timeout_ns))
            return cli_usage(r->t.command, "--timeout '%s' is not a time such as 250ms or 10s",
                             optarg);
        return CLI_DONE;
    default:
        return cli_bad_option(r->t.command, code, argv);
    }
}

int reader_check(const struct reader *r, bool counted, const char *endless)
{
    if (counted && endless)
        return cli_usage(r->t.command, "--count and %s contradict each other", endless);
    if (r->json && *r->end == '\0')
        return cli_usage(r->t.command, "--json prints lines, so it excludes --null and --raw");
    return CLI_DONE;
}

int reader_command_line(struct reader *r, int argc, char **argv, const struct option *options,
                        const char *help)
{
    bool counted = false, endless = false;
    int code, status;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":n:0h", options, NULL)) != -1) {
        if (code == 'h')
            return cli_print(help);
        status = reader_option(r, code, argv);
        if (status != CLI_DONE)
            return status;
        counted = counted || code == 'n';
        endless = endless || code == READER_ALL;
    }
    if (argc - optind != 1)
        return cli_usage(r->t.command, "one name of a queue is needed");
    r->t.name = argv[optind];
    status = reader_check(r, counted, endless ? "--all" : NULL);
    return status == CLI_DONE ? -1 : status;
}

/* --- printing -------------------------------------------------------------- */

int reader_grow(struct reader *r, size_t needed)
{
    size_t size = needed > r->size ? needed : r->size * 2;
    char *buffer = realloc(r->buffer, size);

    if (!buffer)
        return -ENOMEM;
    r->buffer = buffer;
    r->size = size;
    return 0;
}

int reader_run(struct reader *r, int flags, enum target_need need, int (*print)(struct reader *r))
{
    int error, status = target_open(&r->t, flags, need);

    if (status != CLI_DONE)
        return status;
    error = reader_grow(r, BUFFER_BYTES);
    status = error ? reader_failure(r, error) : print(r);
    text_free(&r->out);
    free(r->buffer);
    target_close(&r->t);
    return status;
}

ssize_t reader_inspect(struct reader *r, shmq_t *g, unsigned states, uint64_t *walk,
                       struct shmq_msg *msg)
{
    ssize_t n;

    do {
        *msg = (struct shmq_msg)SHMQ_MSG_INIT;
        n = shmq_inspect(g, states, walk, msg, r->buffer, r->size);
    } while (n == -EMSGSIZE && (n = reader_grow(r, msg->length)) == 0);
    return n;
}

ssize_t reader_find(struct reader *r, shmq_t *g, uint64_t id, struct shmq_msg *msg)
{
    ssize_t n;

    do {
        *msg = (struct shmq_msg)SHMQ_MSG_INIT;
        n = shmq_find(g, id, msg, r->buffer, r->size);
    } while (n == -EMSGSIZE && (n = reader_grow(r, msg->length)) == 0);
    return n;
}

void reader_add_plain(struct reader *r, const void *payload, const struct shmq_info *info)
{
    if (r->json)
        message_add_json_plain(&r->out, payload, info);
    else
        text_append(&r->out, payload, info->length);
    text_append(&r->out, r->end, r->end_length);
}

void reader_add(struct reader *r, const struct shmq_msg *msg, unsigned form)
{
    if (r->json)
        message_add_json(&r->out, msg, form);
    else
        text_append(&r->out, msg->data, msg->length);
    text_append(&r->out, r->end, r->end_length);
}

int reader_failure(const struct reader *r, int error)
{
    bool quiet = error == -EAGAIN || error == -EINTR ||
                 (error == -ETIMEDOUT && r->timeout_ns != SHMQ_NOWAIT);

    return quiet ? CLI_NOTHING : target_failure(&r->t, error);
}

int reader_output_failure(const struct reader *r, int error, const char *detail)
{
    char what[256];

    snprintf(what, sizeof(what), "%s %s: standard output", r->t.command, r->t.name);
    cli_complain(what, strerror(-error), detail, NULL);
    return CLI_FAILURE;
}
