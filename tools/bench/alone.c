/*
 * alone.c - the workloads of one process that puts and gets by itself: among many
 * messages that wait, and into a topic with several groups.  They never sleep, so
 * that their CPU time is what counts, whatever others do with the core.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/crew.h"

enum { PAIRS = 1024, PUTS = 4096 };

struct alone {
    double seconds;
    unsigned depth;
};

static int pairs(struct channel *channel, void *message, unsigned count)
{
    const struct transport *t = channel->transport;
    int error = 0;
    for (unsigned i = 0; !error && i < count; i++) {
        error = t->send(channel, message);
        if (!error)
            error = t->receive(channel, message);
    }
    return error;
}

/*
 * Millions of pairs of a put and a get a second, with so many waiting before each.
 * Before the clock starts as many pairs as wait have gone through.
 */
static int time_pairs(struct control *control, struct channel *channel, void *arg)
{
    const struct alone *alone = arg;
    const struct transport *t = channel->transport;
    unsigned char *message = calloc(1, channel->size);
    int error = message ? t->open(channel, SIDE_PRODUCER) : -ENOMEM;
    if (error)
        return child_fail(control, error, "open for the pairs");
    for (unsigned i = 0; !error && i < alone->depth; i++)
        error = t->send(channel, message);
    if (!error)
        error = pairs(channel, message, alone->depth);
    if (error)
        return child_fail(control, error, "filling the queue");
    child_ready(control);
    uint64_t count = 0;
    double start = cpu_seconds(), end = start;
    for (; !error && end - start < alone->seconds; end = cpu_seconds()) {
        error = pairs(channel, message, PAIRS);
        count += PAIRS;
    }
    if (error)
        return child_fail(control, error, "a put and a get");
    control->figure[0] = (double)count / (end - start) / 1e6;
    t->close(channel, SIDE_PRODUCER);
    return 0;
}

static int round_priority(const struct round *round, double figures[FIGURES])
{
    static const unsigned depths[FIGURES] = {1000, 10000, 100000};
    int error = 0;
    for (int i = 0; !error && i < FIGURES; i++) {
        struct channel channel = {.capacity_bytes = depths[i] * (round->size + 192)};
        struct alone alone = {.seconds = round->options->seconds, .depth = depths[i]};
        double figure[2] = {0};
        error = channel_make(&channel, round->transport, round->size, 1, 1, NULL);
        if (!error)
            error = crew_alone(0, &channel, time_pairs, &alone, alone.seconds * 10 + 20, figure);
        figures[i] = figure[0];
        channel_drop(&channel);
    }
    return error;
}

/* Nanoseconds of one put: puts some, takes them out again for each group untimed. */
static int time_puts(struct control *control, struct channel *channel, void *arg)
{
    const struct alone *alone = arg;
    const struct transport *t = channel->transport;
    unsigned char *messages = calloc(BATCH, channel->size);
    int error = messages ? t->open(channel, SIDE_PRODUCER) : -ENOMEM;
    if (error)
        return child_fail(control, error, "open for the puts");
    child_ready(control);
    uint64_t count = 0;
    double spent = 0, end = now_seconds() + alone->seconds;
    while (!error && now_seconds() < end) {
        double start = cpu_seconds();
        for (int i = 0; !error && i < PUTS; i++)
            error = t->send(channel, messages);
        spent += cpu_seconds() - start;
        count += PUTS;
        for (unsigned g = 0; g < channel->consumers; g++) {
            channel->number = g;
            for (int left = PUTS; !error && left > 0;) {
                int got = t->receive_batch(channel, messages, BATCH);
                error = got > 0 ? 0 : got < 0 ? got : -EPROTO;
                left -= got;
            }
        }
    }
    if (error)
        return child_fail(control, error, "a put to the groups");
    control->figure[0] = spent * 1e9 / (double)count;
    t->close(channel, SIDE_PRODUCER);
    return 0;
}

/* Adds half of what a put costs with so many groups. */
static int puts_to(const struct round *round, unsigned groups, double *ns)
{
    struct channel channel = {0};
    struct alone alone = {.seconds = round->options->seconds / 2};
    double figure[2] = {0};
    int error = channel_make(&channel, round->transport, round->size, 1, groups, NULL);
    if (!error)
        error = crew_alone(0, &channel, time_puts, &alone, alone.seconds * 10 + 20, figure);
    *ns += figure[0] / 2;
    channel_drop(&channel);
    return error;
}

/* In both orders, so that a drift of the clock rate meets both alike. */
static int round_topic(const struct round *round, double figures[FIGURES])
{
    int error = puts_to(round, 1, &figures[0]);
    if (!error)
        error = puts_to(round, MAX_GROUPS, &figures[1]);
    if (!error)
        error = puts_to(round, MAX_GROUPS, &figures[1]);
    return error ? error : puts_to(round, 1, &figures[0]);
}

static const size_t small[] = {64, 0};

const struct workload work_priority = {
    .name = "priority",
    .title = "a put and a get by one process, with so many waiting",
    .unit = "M pairs/s",
    .figures = {"1,000", "10,000", "100,000"},
    .needs = TRAIT_WAITING,
    .sizes = small,
    .round = round_priority,
};

const struct workload work_topic = {
    .name = "topic",
    .title = "a put to a topic with 1 and with 8 groups",
    .unit = "ns",
    .figures = {"1 group", "8 groups"},
    .needs = TRAIT_TOPIC,
    .sizes = small,
    .round = round_topic,
};
