/*
 * durable.c - the workloads of putting into files: each message on the disk before its
 * put returns, by one producer and by eight, and each in a file, which outlives the
 * processes.
 *
 * The floor of the first is one process that writes and syncs, also beside eight
 * producers.  At the end of each round the files alone must hold as many messages as
 * were put.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/crew.h"

enum { CROWD = 8, PUTS = 4096, MOST_A_SECOND = 200000 };

static int put_until_told(struct control *control, struct channel *channel, void *arg)
{
    (void)arg;
    const struct transport *t = channel->transport;
    unsigned char *message = calloc(1, channel->size);
    int error = message ? t->open(channel, SIDE_PRODUCER) : -ENOMEM;
    if (error)
        return child_fail(control, error, "open of a producer's side");
    child_ready(control);
    uint64_t sent = 0;
    while (!error && !atomic_load_explicit(&control->stop, memory_order_relaxed)) {
        memcpy(message, &sent, sizeof sent);
        error = t->send(channel, message);
        if (!error)
            atomic_store_explicit(&control->received[channel->number].count, ++sent,
                                  memory_order_relaxed);
    }
    if (error)
        return child_fail(control, error, "a put onto the disk");
    if (t->close)
        t->close(channel, SIDE_PRODUCER);
    return 0;
}

static int verify_kept(struct channel *channel, const struct control *control)
{
    uint64_t count = 0, sent = 0;
    for (unsigned i = 0; i < channel->producers; i++)
        sent += atomic_load(&control->received[i].count);
    int error = channel->transport->kept ? channel->transport->kept(channel, &count) : 0;
    if (error)
        return round_fail(error, "reading what is on the disk");
    return count == sent || !channel->transport->kept
               ? 0
               : round_fail(-EBADMSG, "messages on the disk were lost or doubled");
}

/* Nobody receives: there is to be room for all that could ever be put. */
static int durable_run(const struct round *round, unsigned producers, double *rate)
{
    struct crew crew;
    double seconds = round->options->seconds, most = (seconds * 1.2 + 1) * MOST_A_SECOND;
    struct channel channel = {.folder = round->options->folder,
                              .capacity_bytes = (size_t)most * (round->size + 32)};
    int error = crew_begin(&crew);
    if (error)
        return error;
    error = channel_make(&channel, round->transport, round->size, producers, 0, NULL);
    for (unsigned i = 0; !error && i < producers; i++) {
        channel.number = i;
        error = crew_add(&crew, ANY_CPU, put_until_told, &channel, NULL);
    }
    if (!error)
        error = crew_measure(&crew, producers, seconds, rate);
    if (!error)
        error = crew_join(&crew, 20);
    if (!error)
        error = verify_kept(&channel, crew.control);
    *rate *= 1e6;
    crew_end(&crew);
    channel_drop(&channel);
    return error;
}

static int round_durable(const struct round *round, double figures[FIGURES])
{
    bool is_floor = round->transport->traits & TRAIT_FLOOR;
    int error = durable_run(round, 1, &figures[0]);
    return error ? error : durable_run(round, is_floor ? 1 : CROWD, &figures[1]);
}

/* Some puts, one or a batch a call, timed; then all is taken out again, untimed. */
static int put_some(struct channel *channel, void *messages, unsigned step, double *spent)
{
    const struct transport *t = channel->transport;
    int error = 0;
    double start = now_seconds();
    for (int i = 0; !error && i < PUTS; i += (int)step) {
        int sent = step == 1 ? t->send(channel, messages) : t->send_batch(channel, messages, step);
        error = sent < 0 ? sent : step > 1 && sent != (int)step ? -EAGAIN : 0;
    }
    *spent += now_seconds() - start;
    for (int left = PUTS; !error && left > 0;) {
        int got = t->receive_batch(channel, messages, BATCH);
        error = got > 0 ? 0 : got < 0 ? got : -EPROTO;
        left -= got;
    }
    return error;
}

/* By the clock on the wall: a put may have to wait for the disk all the same.  Not pinned:
 * the handle has a thread of its own, which rewrites the journal again and again. */
static int time_puts(struct control *control, struct channel *channel, void *arg)
{
    const double *seconds = arg;
    unsigned char *messages = calloc(BATCH, channel->size);
    int error = messages ? channel->transport->open(channel, SIDE_PRODUCER) : -ENOMEM;
    if (error)
        return child_fail(control, error, "open for the puts");
    child_ready(control);
    uint64_t count = 0;
    double spent[2] = {0}, end = now_seconds() + *seconds;
    while (!error && now_seconds() < end) {
        error = put_some(channel, messages, 1, &spent[0]);
        if (!error)
            error = put_some(channel, messages, BATCH, &spent[1]);
        count += PUTS;
    }
    if (error)
        return child_fail(control, error, "a put into a file");
    for (int i = 0; i < 2; i++)
        control->figure[i] = (double)count / spent[i] / 1e6;
    if (channel->transport->close)
        channel->transport->close(channel, SIDE_PRODUCER);
    return 0;
}

static int round_journal(const struct round *round, double figures[FIGURES])
{
    struct channel channel = {.folder = round->options->folder};
    double seconds = round->options->seconds;
    int error = channel_make(&channel, round->transport, round->size, 1, 1, NULL);
    if (!error)
        error = crew_alone(ANY_CPU, &channel, time_puts, &seconds, seconds * 10 + 20, figures);
    channel_drop(&channel);
    return error;
}

static const size_t small[] = {64, 0};

const struct workload work_durable = {
    .name = "durable",
    .title = "puts on the disk when they return",
    .unit = "messages/s",
    .figures = {"1 producer", "8"},
    .needs = TRAIT_DURABLE,
    .sizes = small,
    .round = round_durable,
};

const struct workload work_journal = {
    .name = "journal",
    .title = "one process, puts in a file when they return",
    .unit = "M messages/s",
    .figures = {"one a call", "32 a call"},
    .needs = TRAIT_WRITTEN,
    .sizes = small,
    .round = round_journal,
};
