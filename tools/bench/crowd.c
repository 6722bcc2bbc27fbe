/*
 * crowd.c - the workloads with many processes that do nothing: what a thousand
 * sleeping consumers cost, and what 64 attached processes add to a put.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/crew.h"

enum { SLEEPERS = 1000, IDLERS = 64, PUTS = 4096 };

static int sleep_in_get(struct control *control, struct channel *channel, void *arg)
{
    (void)arg;
    unsigned char *message = calloc(1, channel->size);
    int error = message ? channel->transport->open(channel, SIDE_CONSUMER) : -ENOMEM;
    if (error)
        return child_fail(control, error, "open of a sleeping consumer");
    atomic_fetch_add(&control->ready, 1);
    error = channel->transport->receive(channel, message);
    return child_fail(control, error ? error : -EPROTO, "receive from an empty queue");
}

static int stay_attached(struct control *control, struct channel *channel, void *arg)
{
    (void)arg;
    int error = channel->transport->open(channel, SIDE_CONSUMER);
    if (error)
        return child_fail(control, error, "open of an idle process");
    atomic_fetch_add(&control->ready, 1);
    for (;;)
        pause();
}

/* Waits for children that never return; they are killed at the end. */
static int crew_settle(struct crew *crew)
{
    int error = crew_release(crew);
    return error ? error : crew_sleep(crew, 0.2);
}

/* The time all children have run so far, in nanoseconds; negative: an error. */
static double crew_cpu_ns(const struct crew *crew)
{
    double sum = 0;
    for (unsigned i = 0; i < crew->count; i++) {
        char path[64];
        unsigned long long ran = 0;
        snprintf(path, sizeof path, "/proc/%d/schedstat", (int)crew->pid[i]);
        FILE *file = fopen(path, "r");
        if (!file || fscanf(file, "%llu", &ran) != 1)
            sum = -1e300;
        if (file)
            fclose(file);
        sum += (double)ran;
    }
    return sum;
}

static int round_idle(const struct round *round, double figures[FIGURES])
{
    struct crew crew;
    struct channel channel = {0};
    int error = crew_begin(&crew);
    if (error)
        return error;
    error = channel_make(&channel, round->transport, round->size, 1, SLEEPERS, NULL);
    for (unsigned i = 0; !error && i < SLEEPERS; i++)
        error = crew_add(&crew, ANY_CPU, sleep_in_get, &channel, NULL);
    if (!error)
        error = crew_settle(&crew);
    if (!error)
        error = crew_sleep(&crew, 1.0);
    double before = error ? 0 : crew_cpu_ns(&crew), start = now_seconds();
    if (!error)
        error = crew_sleep(&crew, round->options->quick ? 2.0 : 3.0);
    double after = error ? 0 : crew_cpu_ns(&crew), end = now_seconds();
    if (!error && (before < 0 || after < 0))
        error = round_fail(-ENOENT, "/proc/PID/schedstat");
    figures[0] = (after - before) / ((end - start) * 1e9) * 100.0;
    crew_end(&crew);
    channel_drop(&channel);
    return error;
}

/* Nanoseconds of one put: fills part of the queue, empties it untimed, again. */
static int time_puts(struct control *control, struct channel *channel, void *arg)
{
    const double *seconds = arg;
    const struct transport *t = channel->transport;
    unsigned char *message = calloc(1, channel->size);
    int error = message ? t->open(channel, SIDE_PRODUCER) : -ENOMEM;
    if (error)
        return child_fail(control, error, "open for the puts");
    child_ready(control);
    uint64_t spent = 0, count = 0;
    double end = now_seconds() + *seconds;
    while (!error && now_seconds() < end) {
        uint64_t start = ticks();
        for (int i = 0; !error && i < PUTS; i++)
            error = t->send(channel, message);
        spent += ticks() - start;
        count += PUTS;
        for (int i = 0; !error && i < PUTS; i++)
            error = t->receive(channel, message);
    }
    if (error)
        return child_fail(control, error, "put");
    control->figure[0] = (double)spent / ticks_per_ns() / (double)count;
    atomic_store(&control->consumers_done, 1);
    for (;;)
        pause();
}

/* Adds half of what one put costs beside so many idle processes. */
static int puts_beside(const struct round *round, unsigned idlers, double *ns)
{
    struct crew crew;
    struct channel channel = {0};
    double seconds = round->options->seconds / 2;
    int error = crew_begin(&crew);
    if (error)
        return error;
    error = channel_make(&channel, round->transport, round->size, 1, idlers + 1, NULL);
    for (unsigned i = 0; !error && i < idlers; i++)
        error = crew_add(&crew, ANY_CPU, stay_attached, &channel, NULL);
    if (!error)
        error = crew_add(&crew, 0, time_puts, &channel, &seconds);
    if (!error)
        error = crew_release(&crew);
    double patience = now_seconds() + seconds + 20;
    while (!error && !atomic_load(&crew.control->consumers_done))
        error = now_seconds() < patience ? crew_sleep(&crew, 0.01)
                                         : round_fail(-ETIMEDOUT, "the puts hung");
    *ns += crew.control->figure[0] / 2;
    crew_end(&crew);
    channel_drop(&channel);
    return error;
}

/* In both orders, so that a drift of the clock rate meets both alike. */
static int round_attached(const struct round *round, double figures[FIGURES])
{
    int error = puts_beside(round, 0, &figures[0]);
    if (!error)
        error = puts_beside(round, IDLERS, &figures[1]);
    if (!error)
        error = puts_beside(round, IDLERS, &figures[1]);
    return error ? error : puts_beside(round, 0, &figures[0]);
}

static const size_t small[] = {64, 0};

const struct workload work_idle = {
    .name = "idle",
    .title = "a thousand processes asleep in a get",
    .unit = "% of one core",
    .figures = {"% CPU"},
    .needs = TRAIT_CROWD,
    .sizes = small,
    .round = round_idle,
};

const struct workload work_attached = {
    .name = "attached",
    .title = "a put alone, and with 64 idle processes attached",
    .unit = "ns",
    .figures = {"alone", "with 64"},
    .needs = TRAIT_CROWD,
    .sizes = small,
    .round = round_attached,
};
