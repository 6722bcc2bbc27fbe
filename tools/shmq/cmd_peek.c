/*
 * cmd_peek.c - shmq peek: the next messages, without taking them.
 *
 * Of a queue whose messages are only ever taken as they were put, they are had
 * without a lock.  Otherwise some may wait that were handed out or set aside before,
 * and then it takes the lock of those who get, and permission to write, to see them.
 * Where that cannot be had, what can be seen without is better than nothing.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cli.h"
#include "shmq.h"
#include "shmq/commands.h"
#include "shmq/message_printer.h"

static const char peek_help[] =
    "Usage: shmq peek NAME [OPTION ...]\n"
    "Print the next message of the queue NAME and a newline, without taking it.\n"
    "\n"
    "  -n, --count COUNT  print up to so many messages (1)\n"
    "  --all              print all that wait\n"
    "  --group GROUP      of a topic: what this group is to get next\n"
    "  --json             print each message as a JSON object on a line\n"
    "  -0, --null         end each message with NUL in place of a newline\n"
    "  --raw              end it with nothing\n"
    "  --help             show this\n"
    "\n"
    "'shmq browse' shows all that there is to a message, and also those that are\n"
    "delayed, leased or dead.\n";

/* --- in the order of puts, without a lock ----------------------------------- */

static int print_browsed(struct reader *r)
{
    uint64_t walk = 0, shown = 0;

    while (shown < r->count && !cli_stopped()) {
        struct shmq_info info = {0};
        ssize_t n = shmq_browse(r->t.g, &walk, r->buffer, r->size, &info);
        int error = n == -EMSGSIZE ? reader_grow(r, info.length) : 0;

        if (error)
            return reader_failure(r, error);
        if (n == -EMSGSIZE)
            continue;
        if (n == -EAGAIN && shown > 0)
            return CLI_DONE;
        if (n < 0)
            return reader_failure(r, (int)n);
        reader_add_plain(r, r->buffer, &info);
        shown++;
        error = text_write(&r->out, STDOUT_FILENO);
        if (error)
            return reader_output_failure(r, error, "");
    }
    return cli_stopped() ? CLI_NOTHING : CLI_DONE;
}

/* --- in the order in which they are handed out -------------------------------- */

/* A message that waits; the least one comes first. */
struct waiting {
    int64_t major;
    uint64_t minor;
    uint64_t id;
};

struct waiting_list {
    struct waiting *items;
    size_t count;
    size_t size;
};

static int compare(const void *a, const void *b)
{
    const struct waiting *x = a, *y = b;

    if (x->major != y->major)
        return x->major < y->major ? -1 : 1;
    return x->minor < y->minor ? -1 : x->minor > y->minor;
}

static int add_waiting(struct waiting_list *list, const struct shmq_msg *msg, uint32_t order)
{
    if (list->count == list->size) {
        size_t size = list->size ? 2 * list->size : 256;
        struct waiting *items = realloc(list->items, size * sizeof(*items));

        if (!items)
            return -ENOMEM;
        list->items = items;
        list->size = size;
    }
    list->items[list->count++] =
        (struct waiting){.major = order == SHMQ_PRIORITY ? -(int64_t)msg->priority : 0,
                         .minor = order == SHMQ_LIFO ? ~msg->id : msg->id,
                         .id = msg->id};
    return 0;
}

/* All that wait, in order: 0 or a negative errno. */
static int list_waiting(struct reader *r, shmq_t *g, uint32_t order, struct waiting_list *list)
{
    struct shmq_msg msg;
    uint64_t walk = 0;
    ssize_t n;

    while ((n = reader_inspect(r, g, SHMQ_WAITING, &walk, &msg)) >= 0 && !cli_stopped()) {
        int error = add_waiting(list, &msg, order);

        if (error)
            return error;
    }
    if (list->count > 0)
        qsort(list->items, list->count, sizeof(*list->items), compare);
    return n == -EAGAIN || n >= 0 ? 0 : (int)n;
}

/* The exit code. */
static int print_list(struct reader *r, shmq_t *g, const struct waiting_list *list)
{
    uint64_t shown = 0;

    for (size_t i = 0; i < list->count && shown < r->count && !cli_stopped(); i++) {
        struct shmq_msg msg;
        ssize_t n = reader_find(r, g, list->items[i].id, &msg);
        int error;

        /* It has been taken meanwhile. */
        if (n == -ENOENT || (n >= 0 && msg.state != SHMQ_WAITING))
            continue;
        if (n < 0)
            return reader_failure(r, (int)n);
        reader_add(r, &msg, MESSAGE_STATE);
        shown++;
        error = text_write(&r->out, STDOUT_FILENO);
        if (error)
            return reader_output_failure(r, error, "");
    }
    return shown == 0 || cli_stopped() ? CLI_NOTHING : CLI_DONE;
}

/* Print them in order; the exit code, or -1 if that cannot be done. */
static int print_in_order(struct reader *r, uint32_t order)
{
    struct waiting_list list = {0};
    shmq_t *g = r->t.g;
    int status = -1;

    /* Without a group the handle is one that only reads. */
    if (!r->t.group && shmq_open(&g, r->t.name, 0, NULL) != 0)
        return -1;
    int error = list_waiting(r, g, order, &list);
    if (error == 0)
        status = print_list(r, g, &list);
    else if (error == -ENOTSUP) /* what could be printed instead are no bytes of the message's */
        status = reader_failure(r, error);
    free(list.items);
    if (g != r->t.g)
        shmq_close(g);
    return status;
}

/* Can messages wait that were handed out or set aside before? */
static bool was_delivered(const struct shmq_group_stats *g)
{
    return g->acked_count || g->nacked_count || g->lost_lease_count || g->leased || g->delayed ||
           g->dead;
}

static int print_next(struct reader *r)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    struct shmq_group_stats stats;
    int status = -1, error = shmq_attr_of(r->t.q, &attr);

    if (!error)
        error = shmq_group_stats(r->t.g, &stats);
    if (!error && (attr.order != SHMQ_FIFO || attr.compress_bytes || was_delivered(&stats)))
        status = print_in_order(r, attr.order);
    return status >= 0 ? status : print_browsed(r);
}

/* --- the command --------------------------------------------------------------- */

int cmd_peek(int argc, char **argv)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'n'},
        {"all", no_argument, NULL, READER_ALL},
        {"group", required_argument, NULL, READER_GROUP},
        {"json", no_argument, NULL, READER_JSON},
        {"null", no_argument, NULL, '0'},
        {"raw", no_argument, NULL, READER_RAW},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct reader r = READER_INIT("peek");
    int status = reader_command_line(&r, argc, argv, options, peek_help);

    return status >= 0 ? status
                       : reader_run(&r, r.t.group ? 0 : SHMQ_RDONLY, TARGET_GROUP, print_next);
}
