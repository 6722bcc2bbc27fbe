/*
 * message_options.h - what a message has besides its payload, on the command line: options
 * that give it, and all of it as JSON.
 */
#ifndef SHMQ_MESSAGE_OPTIONS_H
#define SHMQ_MESSAGE_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

#include "common/text.h"
#include "shmq.h"

enum message_code {
    MESSAGE_AT = 768,
    MESSAGE_TTL,
    MESSAGE_CORRELATION,
};

/* For the options of getopt_long(), and its letters. */
#define MESSAGE_LETTERS "p:d:k:t:H:"
#define MESSAGE_OPTIONS                                                                            \
    {"priority", required_argument, NULL, 'p'}, {"delay", required_argument, NULL, 'd'},           \
        {"key", required_argument, NULL, 'k'}, {"type", required_argument, NULL, 't'},             \
        {"header", required_argument, NULL, 'H'}, {"at", required_argument, NULL, MESSAGE_AT},     \
        {"ttl", required_argument, NULL, MESSAGE_TTL},                                             \
    {                                                                                              \
        "correlation", required_argument, NULL, MESSAGE_CORRELATION                                \
    }

/* For the help of a command. */
#define MESSAGE_HELP                                                                               \
    "  -p, --priority N     from -2147483648 to 2147483647, higher ones first (0)\n"               \
    "  -d, --delay TIME     not to be handed out before so long from now\n"                        \
    "  --at WHEN            not before then: seconds since the epoch, or a time such\n"            \
    "                       as 2026-11-23T10:30 (local) or 2026-11-23T10:30:00Z\n"                 \
    "  --ttl TIME           expires so long from now (never)\n"                                    \
    "  -k, --key KEY        key\n"                                                                 \
    "  -t, --type TYPE      one character, or a number\n"                                          \
    "  -H, --header K=V     header K with the value V; may be given again\n"                       \
    "  --correlation N      a number that goes along\n"

/* What the options have given; all zero but for `msg`, which is SHMQ_MSG_INIT. */
struct message_options {
    struct shmq_msg msg; /* all but payload and headers */
    struct shmq_header *headers;
    unsigned header_count;
    bool given; /* any of them */
};

/* Is it one of these? */
bool message_is_option(int code);

/*
 * Note what the option says, whose value stays in use: CLI_DONE, or CLI_USAGE after
 * complaining.  Where memory runs out it ends the program.
 */
int message_option(const char *command, int code, char *value, struct message_options *o);

void message_options_free(struct message_options *o);

/* Split `K=V` where it stands.  False: there is no `=`, or no K. */
bool message_split_header(char *text, struct shmq_header *header);

enum message_form {
    MESSAGE_STATE = 1, /* with its state, as of shmq_find() and shmq_inspect() */
};

/* All there is of a received message, as one JSON object. */
void message_add_json(struct text *out, const struct shmq_msg *msg, unsigned form);

/* The same of what shmq_get() and shmq_browse() say, which is less. */
void message_add_json_plain(struct text *out, const void *payload, const struct shmq_info *info);

/* A type as a JSON value: a string of a character, a number, or null. */
void message_add_json_type(struct text *out, uint32_t type);

/* The name of an enum shmq_state. */
const char *message_state(uint32_t state);

/* A type as -t takes it: a character that is no digit, or a number. */
struct figure message_type(uint32_t type);

#endif
