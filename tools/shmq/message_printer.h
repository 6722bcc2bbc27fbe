/*
 * message_printer.h - what the commands that print messages have in common: their options,
 * a buffer that grows, the form of a message, and what to say when it fails.
 */
#ifndef SHMQ_MESSAGE_PRINTER_H
#define SHMQ_MESSAGE_PRINTER_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/text.h"
#include "shmq/message_options.h"
#include "shmq/queue_target.h"

struct reader {
    struct target t;
    uint64_t count; /* messages at most */
    int64_t timeout_ns;
    bool json;
    const char *end; /* of a message, as printed */
    size_t end_length;
    char *buffer;
    size_t size;
    struct text out;
};

/* What it is before any option. */
#define READER_INIT(name)                                                                          \
    {                                                                                              \
        .t.command = (name), .count = 1, .timeout_ns = SHMQ_FOREVER, .end = "\n", .end_length = 1  \
    }

/* Codes of options that reader_option() knows, besides those that are letters. */
enum reader_code {
    READER_ALL = 256, /* all messages, without an end */
    READER_TIMEOUT,
    READER_JSON,
    READER_RAW,
    READER_GROUP,
};

/*
 * Take the option: `n`, `0`, those above.  Others are complained about.  CLI_DONE or
 * CLI_USAGE.
 */
int reader_option(struct reader *r, int code, char **argv);

/* Contradictions among the options: CLI_DONE or CLI_USAGE. */
int reader_check(const struct reader *r, bool counted, const char *endless);

/*
 * Read a command line whose options are all of that kind, with just the name of a
 * queue beside them.  -1 or an exit code.
 */
int reader_command_line(struct reader *r, int argc, char **argv, const struct option *options,
                        const char *help);

/* Make the buffer hold `needed` bytes, or twice as many as now.  0 or -ENOMEM. */
int reader_grow(struct reader *r, size_t needed);

/*
 * Open the queue and the group, let `print` do its work, and close them.  Its exit
 * code, or that of what failed before.
 */
int reader_run(struct reader *r, int flags, enum target_need need, int (*print)(struct reader *r));

/* As shmq_inspect() and shmq_find() of a handle, into the buffer, which grows. */
ssize_t reader_inspect(struct reader *r, shmq_t *g, unsigned states, uint64_t *walk,
                       struct shmq_msg *msg);
ssize_t reader_find(struct reader *r, shmq_t *g, uint64_t id, struct shmq_msg *msg);

/* Add a message in the form asked for. */
void reader_add_plain(struct reader *r, const void *payload, const struct shmq_info *info);
void reader_add(struct reader *r, const struct shmq_msg *msg, unsigned form);

/* Complain about `error`, unless it only says that nothing came.  The exit code. */
int reader_failure(const struct reader *r, int error);

/* Complain that standard output failed; `detail` may be empty. */
int reader_output_failure(const struct reader *r, int error, const char *detail);

#endif
