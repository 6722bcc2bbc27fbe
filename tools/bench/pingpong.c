/*
 * pingpong.c - the workloads that take the time of a round trip: blocking on two
 * cores, blocking on one, and polling.
 *
 * One process sends a message through one channel and waits for it to come back
 * through another.  One reading of the cheapest clock a round trip ends it and
 * starts the next; it is the same for every transport and part of the figure.
 * Only the first and the last word of the payload are written and checked, so
 * that the figure is the way, not the filling.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/crew.h"

enum { WARM_UP = 200, MAX_SAMPLES = 1 << 20 };

struct rally {
    struct channel *ping;
    struct channel *pong;
    bool poll;
    uint64_t length_ticks;
};

static int rally_send(const struct rally *rally, struct channel *channel, unsigned char *message,
                      uint64_t word)
{
    const struct transport *t = channel->transport;
    memcpy(message, &word, sizeof word);
    memcpy(message + channel->size - 8, &word, sizeof word);
    if (!rally->poll)
        return t->send(channel, message);
    int error;
    do {
        error = t->try_send(channel, message);
    } while (error == -EAGAIN);
    return error;
}

static int rally_receive(const struct rally *rally, struct channel *channel, unsigned char *message,
                         uint64_t *word)
{
    const struct transport *t = channel->transport;
    int error;
    do {
        error = rally->poll ? t->try_receive(channel, message) : t->receive(channel, message);
    } while (error == (rally->poll ? -EAGAIN : -ETIMEDOUT));
    if (error)
        return error;
    memcpy(word, message, sizeof *word);
    return memcmp(message, message + channel->size - 8, sizeof *word) ? -EBADMSG : 0;
}

static int rally_open(struct control *control, struct channel *out, struct channel *in,
                      unsigned char **message)
{
    *message = calloc(1, out->size + 64);
    int error = *message ? in->transport->open(in, SIDE_CONSUMER) : -ENOMEM;
    if (!error)
        error = out->transport->open(out, SIDE_PRODUCER);
    if (error)
        return child_fail(control, error, "open of a ping-pong");
    return 0;
}

static void rally_close(struct control *control, struct channel *out, struct channel *in)
{
    atomic_fetch_add(&control->consumers_done, 1);
    child_linger(control, 2);
    if (out->transport->close) {
        out->transport->close(out, SIDE_PRODUCER);
        in->transport->close(in, SIDE_CONSUMER);
    }
}

/* Word 0 ends the game. */
static int serve(struct control *control, struct channel *channel, void *arg)
{
    const struct rally *rally = arg;
    (void)channel;
    unsigned char *message;
    int error = rally_open(control, rally->ping, rally->pong, &message);
    if (error)
        return error;
    child_ready(control);
    uint64_t last = 0, end = 0, word = 0, back;
    uint32_t count = 0;
    for (;;) {
        word++;
        error = rally_send(rally, rally->ping, message, word);
        if (!error)
            error = rally_receive(rally, rally->pong, message, &back);
        if (!error && back != word)
            error = -EBADMSG;
        if (error)
            return child_fail(control, error, "ping");
        uint64_t now = ticks();
        if (word > WARM_UP) {
            uint64_t took = now - last;
            control->samples[count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
            if (now > end || count == MAX_SAMPLES)
                break;
        } else {
            end = now + rally->length_ticks;
        }
        last = now;
    }
    control->sample_count = count;
    error = rally_send(rally, rally->ping, message, 0);
    rally_close(control, rally->ping, rally->pong);
    return error ? child_fail(control, error, "last ping") : 0;
}

static int answer(struct control *control, struct channel *channel, void *arg)
{
    const struct rally *rally = arg;
    (void)channel;
    unsigned char *message;
    int error = rally_open(control, rally->pong, rally->ping, &message);
    if (error)
        return error;
    child_ready(control);
    for (;;) {
        uint64_t word;
        error = rally_receive(rally, rally->ping, message, &word);
        if (!error && word == 0)
            break;
        if (!error)
            error = rally_send(rally, rally->pong, message, word);
        if (error)
            return child_fail(control, error, "pong");
    }
    rally_close(control, rally->pong, rally->ping);
    return 0;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void percentiles(struct control *control, double figures[FIGURES])
{
    static const double share[FIGURES] = {0.5, 0.99, 0.999};
    uint32_t count = control->sample_count;
    qsort(control->samples, count, sizeof control->samples[0], by_size);
    for (int i = 0; i < FIGURES; i++) {
        uint32_t at = (uint32_t)((double)(count - 1) * share[i]);
        figures[i] = control->samples[at] / ticks_per_ns() / 1000.0;
    }
}

static int rally_run(const struct round *round, bool poll, int other_cpu, double figures[FIGURES])
{
    struct crew crew;
    struct channel ping = {0}, pong = {0};
    struct rally rally = {.ping = &ping, .pong = &pong, .poll = poll};
    rally.length_ticks = (uint64_t)(round->options->seconds * 1e9 * ticks_per_ns());
    int error = crew_begin(&crew);
    if (error)
        return error;
    error = channel_make(&ping, round->transport, round->size, 1, 1, NULL);
    if (!error)
        error = channel_make(&pong, round->transport, round->size, 1, 1, &ping);
    if (!error)
        error = crew_add(&crew, other_cpu, answer, NULL, &rally);
    if (!error)
        error = crew_add(&crew, 0, serve, NULL, &rally);
    if (!error)
        error = crew_release(&crew);
    if (!error)
        error = crew_join(&crew, round->options->seconds + 20);
    if (!error && crew.control->sample_count == 0)
        error = round_fail(-ENODATA, "no round trip was timed");
    if (!error)
        percentiles(crew.control, figures);
    crew_end(&crew);
    channel_drop(&pong);
    channel_drop(&ping);
    return error;
}

static int round_two_cores(const struct round *round, double figures[FIGURES])
{
    return rally_run(round, false, 1, figures);
}

static int round_one_core(const struct round *round, double figures[FIGURES])
{
    return rally_run(round, false, 0, figures);
}

static int round_poll(const struct round *round, double figures[FIGURES])
{
    return rally_run(round, true, 1, figures);
}

static const size_t small[] = {64, 0};

const struct workload work_pingpong = {
    .name = "ping-pong",
    .title = "round trip, blocking, a core each",
    .unit = "us",
    .figures = {"p50", "p99", "p99.9"},
    .needs = TRAIT_STREAM | TRAIT_BLOCKS,
    .sizes = small,
    .round = round_two_cores,
};

const struct workload work_one_core = {
    .name = "one-core",
    .title = "round trip, blocking, both on one core",
    .unit = "us",
    .figures = {"p50", "p99", "p99.9"},
    .needs = TRAIT_STREAM | TRAIT_BLOCKS,
    .sizes = small,
    .round = round_one_core,
};

const struct workload work_poll = {
    .name = "poll",
    .title = "round trip, polling, a core each",
    .unit = "us",
    .figures = {"p50", "p99", "p99.9"},
    .needs = TRAIT_POLLS,
    .sizes = small,
    .round = round_poll,
};
