/*
 * policy_options.h - a group's policy on the command line: options that set it, and how it
 * is printed.  Its names are those of the options.
 */
#ifndef SHMQ_POLICY_OPTIONS_H
#define SHMQ_POLICY_OPTIONS_H

#include <getopt.h>

#include "common/text.h"
#include "shmq.h"

enum policy_code {
    POLICY_LEASE = 512,
    POLICY_MAX_ATTEMPTS,
    POLICY_RETRY,
    POLICY_RETRY_FIRST,
    POLICY_RETRY_MAX,
    POLICY_RETRY_FACTOR,
    POLICY_RETRY_JITTER,
    POLICY_LAG,
    POLICY_DEAD_LETTER,
    POLICY_DEAD_LETTER_TTL,
    POLICY_DEAD_LETTER_EXPIRED,
    POLICY_DROP_EXPIRED,
    POLICY_END,
};

/* For the options of getopt_long(). */
#define POLICY_OPTIONS                                                                             \
    {"lease", required_argument, NULL, POLICY_LEASE},                                              \
        {"max-attempts", required_argument, NULL, POLICY_MAX_ATTEMPTS},                            \
        {"retry", required_argument, NULL, POLICY_RETRY},                                          \
        {"retry-first", required_argument, NULL, POLICY_RETRY_FIRST},                              \
        {"retry-most", required_argument, NULL, POLICY_RETRY_MAX},                                 \
        {"retry-factor", required_argument, NULL, POLICY_RETRY_FACTOR},                            \
        {"retry-jitter", required_argument, NULL, POLICY_RETRY_JITTER},                            \
        {"lag", required_argument, NULL, POLICY_LAG},                                              \
        {"dead-letter", required_argument, NULL, POLICY_DEAD_LETTER},                              \
        {"dead-letter-ttl", required_argument, NULL, POLICY_DEAD_LETTER_TTL},                      \
        {"dead-letter-expired", no_argument, NULL, POLICY_DEAD_LETTER_EXPIRED},                    \
    {                                                                                              \
        "drop-expired", no_argument, NULL, POLICY_DROP_EXPIRED                                     \
    }

/* For the help of a command. */
#define POLICY_HELP                                                                                \
    "How it hands messages out on lease:\n"                                                        \
    "  --lease TIME             a consumer may keep a message so long (30s)\n"                     \
    "  --max-attempts N         deliveries in all, 0: no limit (0)\n"                              \
    "  --retry STRATEGY         how rests before retries grow: fixed, linear,\n"                   \
    "                           exponential, fibonacci or random (fixed)\n"                        \
    "  --retry-first TIME       the first rest (0)\n"                                              \
    "  --retry-most TIME        the longest rest (1h)\n"                                           \
    "  --retry-factor F         of exponential (2)\n"                                              \
    "  --retry-jitter SHARE     0 to 1: 0.1 makes rests up to a tenth longer or\n"                 \
    "                           shorter (0)\n"                                                     \
    "  --dead-letter QUEUE      where dead letters go; '' parks them (parked)\n"                   \
    "  --dead-letter-ttl TIME   they expire there so long after; 0: never (0)\n"                   \
    "  --dead-letter-expired    expired messages become dead letters, too\n"                       \
    "  --drop-expired           they do not (the default)\n"                                       \
    "  --lag hold|drop|default  when it does not keep up and the ring is full: producers\n"        \
    "                           wait, or it loses its oldest; default: as --full says\n"

/* Is it one of these? */
static inline int policy_is_option(int code)
{
    return code >= POLICY_LEASE && code < POLICY_END;
}

/* Set what the option says: CLI_DONE, or CLI_USAGE after complaining. */
int policy_option(const char *command, int code, const char *value, struct shmq_policy *policy);

/*
 * Options to be applied to a policy that is known only later; all zero at first.
 * For each code its value, or NULL; an option without a value has "".
 */
struct policy_changes {
    const char *values[POLICY_END - POLICY_LEASE];
    int any;
};

/* Note an option, which must make sense.  As policy_option(). */
int policy_note(const char *command, int code, const char *value, struct policy_changes *changes);
void policy_apply(const struct policy_changes *changes, struct shmq_policy *policy);

/* A line for each name: `lease 30s`. */
void policy_add_lines(struct text *out, const struct shmq_policy *policy);

/* One JSON object, with the members of struct shmq_policy. */
void policy_add_json(struct text *out, const struct shmq_policy *policy);

#endif
