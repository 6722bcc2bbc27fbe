/*
 * message_options.c - what a message has besides its payload, see message_options.h.
 */
#include "shmq/message_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"

/* --- options --------------------------------------------------------------- */

bool message_is_option(int code)
{
    return (code >= MESSAGE_AT && code <= MESSAGE_CORRELATION) ||
           (code > 0 && code < 256 && strchr("pdktH", code));
}

bool message_split_header(char *text, struct shmq_header *header)
{
    char *equals = strchr(text, '=');

    if (!equals || equals == text)
        return false;
    *equals = '\0';
    *header = (struct shmq_header){.name = text, .value = equals + 1};
    return true;
}

static int add_header(const char *command, char *value, struct message_options *o)
{
    struct shmq_header *headers = realloc(o->headers, (o->header_count + 1) * sizeof(*o->headers));

    if (!headers) {
        cli_complain(command, strerror(ENOMEM), NULL, "allow the program more memory");
        exit(CLI_FAILURE);
    }
    o->headers = headers;
    if (!message_split_header(value, &headers[o->header_count]))
        return cli_usage(command, "--header '%s' is not of the form NAME=VALUE", value);
    o->msg.headers = headers;
    o->msg.header_count = ++o->header_count;
    return CLI_DONE;
}

static int set_moment(const char *command, const char *value, struct message_options *o)
{
    if (!cli_parse_moment(value, &o->msg.due_ns) || o->msg.due_ns == 0)
        return cli_usage(command,
                         "--at '%s' is not seconds since the epoch or a time such as "
                         "2026-11-23T10:30:00Z",
                         value);
    return CLI_DONE;
}

static int set_field(const char *command, int code, char *value, struct message_options *o)
{
    switch (code) {
    case 'p':
        if (!cli_parse_int32(value, &o->msg.priority))
            return cli_usage(command, "--priority '%s' is not a whole number of 32 bits", value);
        return CLI_DONE;
    case 'd':
        if (!cli_parse_duration(value, &o->msg.delay_ns))
            return cli_usage(command, "--delay '%s' is not a time such as 250ms or 10s", value);
        return CLI_DONE;
    case MESSAGE_AT:
        return set_moment(command, value, o);
    case MESSAGE_TTL:
        if (!cli_parse_duration(value, &o->msg.ttl_ns) || o->msg.ttl_ns == 0)
            return cli_usage(command, "--ttl '%s' is not a time above 0 such as 10s", value);
        return CLI_DONE;
    case 'k':
        o->msg.key = value;
        o->msg.key_length = strlen(value);
        return *value ? CLI_DONE : cli_usage(command, "--key must not be empty");
    case 't':
        if (!cli_parse_type(value, &o->msg.type))
            return cli_usage(command, "--type '%s' is not one character or a number", value);
        return CLI_DONE;
    case 'H':
        return add_header(command, value, o);
    default:
        if (!cli_parse_count(value, &o->msg.correlation))
            return cli_usage(command, "--correlation '%s' is not a whole number", value);
        return CLI_DONE;
    }
}

int message_option(const char *command, int code, char *value, struct message_options *o)
{
    int status = set_field(command, code, value, o);

    o->given = true;
    if (status == CLI_DONE && o->msg.delay_ns > 0 && o->msg.due_ns != 0)
        return cli_usage(command, "--delay and --at contradict each other");
    return status;
}

void message_options_free(struct message_options *o)
{
    free(o->headers);
    o->headers = NULL;
}

/* --- printing -------------------------------------------------------------- */

const char *message_state(uint32_t state)
{
    switch (state) {
    case SHMQ_WAITING:
        return "waiting";
    case SHMQ_DELAYED:
        return "delayed";
    case SHMQ_LEASED:
        return "leased";
    case SHMQ_DEAD:
        return "dead";
    default:
        return "unknown";
    }
}

/* Would -t take the character for this type? */
static bool is_character(uint32_t type)
{
    return type > ' ' && type < 0x7f && (type < '0' || type > '9');
}

struct figure message_type(uint32_t type)
{
    struct figure f;

    snprintf(f.s, sizeof(f.s), is_character(type) ? "%c" : "%u", type);
    return f;
}

static void add_origin(struct text *out, uint64_t id, int64_t put_ns)
{
    int64_t age_ns = cli_now_ns() - put_ns;

    text_format(out, "{\"id\":%llu,\"put_time\":", (unsigned long long)id);
    text_json_time(out, cli_wall_ns() - age_ns);
    text_format(out, ",\"age_ns\":%lld", (long long)age_ns);
}

static void add_payload(struct text *out, const void *payload, size_t length)
{
    text_format(out, ",\"length\":%zu", length);
    text_json_bytes(out, "message", "base64", payload, length);
    text_add(out, "}");
}

void message_add_json_type(struct text *out, uint32_t type)
{
    if (type == SHMQ_TYPE_NONE)
        text_add(out, "null");
    else if (is_character(type))
        text_json_string(out, message_type(type).s, 1);
    else
        text_format(out, "%u", type);
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
        text_json_string(out, header.value, strlen(header.value));
        comma = ",";
    }
    text_add(out, "}");
}

void message_add_json(struct text *out, const struct shmq_msg *msg, unsigned form)
{
    add_origin(out, msg->id, msg->put_ns);
    if (form & MESSAGE_STATE)
        text_format(out, ",\"state\":\"%s\"", message_state(msg->state));
    text_add(out, ",\"type\":");
    message_add_json_type(out, msg->type);
    text_format(out, ",\"priority\":%d", msg->priority);
    if (msg->key_length > 0)
        text_json_bytes(out, "key", "key_base64", msg->key, msg->key_length);
    else
        text_add(out, ",\"key\":null");
    add_headers(out, msg);
    text_format(out, ",\"correlation\":%llu,\"attempts\":%u", (unsigned long long)msg->correlation,
                msg->attempts);
    if (msg->ttl_ns > 0)
        text_format(out, ",\"ttl_ns\":%lld", (long long)msg->ttl_ns);
    int64_t delay_ns = msg->due_ns - cli_wall_ns();
    if (delay_ns > 0)
        text_format(out, ",\"delay_ns\":%lld", (long long)delay_ns);
    if ((form & MESSAGE_STATE) && msg->state == SHMQ_DEAD)
        text_format(out, ",\"reason\":%u,\"dead_for_ns\":%lld", msg->reason,
                    (long long)(cli_now_ns() - msg->since_ns));
    add_payload(out, msg->data, msg->length);
}

void message_add_json_plain(struct text *out, const void *payload, const struct shmq_info *info)
{
    add_origin(out, info->id, info->put_ns);
    add_payload(out, payload, info->length);
}
