/*
 * files.c - the workloads of whole files: saving 256 MiB of messages and loading them
 * again, and what a put costs while that is saved again and again.
 *
 * A message counts with its record's header, as it is in memory and in the file.  The
 * floor writes as many bytes, 1 MiB at a time, and syncs, and reads them again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/crew.h"

enum {
    FILE_BYTES = 256 << 20,
    RECORD_BYTES = 24,
    PACE_NS = 1000, /* from put to put, beside the saving */
    MAX_PACED = 1 << 19,
};

static unsigned messages_of(const struct channel *channel, size_t bytes)
{
    return (unsigned)(bytes / (channel->size + RECORD_BYTES));
}

static int fill(struct channel *channel, unsigned char *message, unsigned count)
{
    int error = 0;
    for (unsigned i = 0; !error && i < count; i++) {
        memset(message, (int)i, channel->size);
        error = channel->transport->send(channel, message);
    }
    return error;
}

/* Seconds that saving and loading takes. */
static int save_and_load(struct control *control, struct channel *channel, void *arg)
{
    (void)arg;
    const struct transport *t = channel->transport;
    unsigned char *message = malloc(channel->size);
    int error = message ? t->open(channel, SIDE_PRODUCER) : -ENOMEM;
    if (!error)
        error = fill(channel, message, messages_of(channel, FILE_BYTES));
    if (error)
        return child_fail(control, error, "filling the queue");
    child_ready(control);
    double start = now_seconds();
    error = t->save(channel);
    if (error)
        return child_fail(control, error, "saving");
    control->figure[0] = now_seconds() - start;
    start = now_seconds();
    error = t->load(channel);
    if (error)
        return child_fail(control, error, "loading");
    control->figure[1] = now_seconds() - start;
    if (t->close)
        t->close(channel, SIDE_PRODUCER);
    return 0;
}

static int round_file(const struct round *round, double figures[FIGURES])
{
    struct channel channel = {.folder = round->options->folder, .capacity_bytes = FILE_BYTES};
    uint64_t count = 0;
    int error = channel_make(&channel, round->transport, round->size, 1, 1, NULL);
    if (!error)
        error = crew_alone(0, &channel, save_and_load, NULL, 60, figures);
    for (int i = 0; !error && i < 2; i++)
        figures[i] = FILE_BYTES / figures[i] / 1e6;
    if (!error && round->transport->kept)
        error = round->transport->kept(&channel, &count);
    if (!error && round->transport->kept && count != messages_of(&channel, FILE_BYTES))
        error = round_fail(-EBADMSG, "messages were lost or doubled in the file");
    channel_drop(&channel);
    return error;
}

/* --- puts beside the saving ------------------------------------------------------ */

/* What both processes know of each other. */
struct beside {
    double seconds;
    _Atomic uint32_t *saving; /* 1: begin */
    _Atomic uint32_t *saves;  /* how many times it was saved */
};

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Puts and gets a message a microsecond, for so long and until it was saved so often;
 * the 99.9th percentile of the puts in *us. */
static int pace(struct control *control, struct channel *channel, unsigned char *message,
                const struct beside *beside, uint32_t saves, double *us)
{
    const struct transport *t = channel->transport;
    uint64_t interval = (uint64_t)(PACE_NS * ticks_per_ns());
    uint32_t *samples = control->samples, count = 0;
    uint64_t next = ticks();
    double end = now_seconds() + beside->seconds;
    int error = 0;
    while (!error && (count % 1024 || now_seconds() < end || atomic_load(beside->saves) < saves)) {
        while ((int64_t)(ticks() - next) < 0)
            cpu_pause();
        uint64_t start = ticks();
        error = t->send(channel, message);
        uint64_t took = ticks() - start;
        samples[count++ % MAX_PACED] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
        if (!error)
            error = t->receive(channel, message);
        next += interval;
        if ((int64_t)(ticks() - next) > 0)
            next = ticks();
    }
    count = count < MAX_PACED ? count : MAX_PACED;
    qsort(samples, count, sizeof *samples, by_size);
    *us = samples[(uint32_t)((count - 1) * 0.999)] / ticks_per_ns() / 1000.0;
    return error;
}

static int put_beside(struct control *control, struct channel *channel, void *arg)
{
    struct beside *beside = arg;
    const struct transport *t = channel->transport;
    unsigned char *message = malloc(channel->size);
    int error = message ? t->open(channel, SIDE_PRODUCER) : -ENOMEM;
    /* All of the ring is filled once, so that none of it is new to this process; then half
     * of it is taken out. */
    if (!error)
        error = fill(channel, message, messages_of(channel, channel->capacity_bytes));
    for (unsigned i = messages_of(channel, FILE_BYTES); !error && i > 0; i--)
        error = t->receive(channel, message);
    if (error)
        return child_fail(control, error, "filling the queue");
    child_ready(control);
    error = pace(control, channel, message, beside, 0, &control->figure[0]); /* warms up */
    if (!error)
        error = pace(control, channel, message, beside, 0, &control->figure[0]);
    atomic_store(beside->saving, 1);
    if (!error)
        error = pace(control, channel, message, beside, 2, &control->figure[1]);
    atomic_store(&control->stop, 1);
    if (error)
        return child_fail(control, error, "a put or a get beside the saving");
    t->close(channel, SIDE_PRODUCER);
    return 0;
}

static int save_often(struct control *control, struct channel *channel, void *arg)
{
    struct beside *beside = arg;
    const struct transport *t = channel->transport;
    int error = t->open(channel, SIDE_CONSUMER);
    if (error)
        return child_fail(control, error, "open for saving");
    child_ready(control);
    while (!atomic_load(beside->saving))
        usleep(1000);
    while (!error && !atomic_load(&control->stop)) {
        error = t->save(channel);
        atomic_fetch_add(beside->saves, 1);
    }
    if (error)
        return child_fail(control, error, "saving");
    t->close(channel, SIDE_CONSUMER);
    return 0;
}

static int round_beside(const struct round *round, double figures[FIGURES])
{
    struct crew crew;
    struct channel channel = {.folder = round->options->folder, .capacity_bytes = 2 * FILE_BYTES};
    int error = crew_begin(&crew);
    if (error)
        return error;
    struct beside beside = {.seconds = round->options->seconds,
                            .saving = &crew.control->producers_done,
                            .saves = &crew.control->consumers_done};
    error = channel_make(&channel, round->transport, round->size, 1, 1, NULL);
    if (!error)
        error = crew_add(&crew, 0, put_beside, &channel, &beside);
    if (!error)
        error = crew_add(&crew, 1, save_often, &channel, &beside);
    if (!error)
        error = crew_release(&crew);
    if (!error)
        error = crew_join(&crew, round->options->seconds * 2 + 60);
    for (int i = 0; i < 2; i++)
        figures[i] = crew.control->figure[i];
    crew_end(&crew);
    channel_drop(&channel);
    return error;
}

static const size_t two_sizes[] = {64, 1024, 0};

const struct workload work_file = {
    .name = "file",
    .title = "256 MiB of messages to the disk, and from a file in memory",
    .unit = "MB/s",
    .figures = {"save", "load"},
    .needs = TRAIT_FILED,
    .sizes = two_sizes,
    .round = round_file,
};

const struct workload work_beside = {
    .name = "beside-save",
    .title = "p99.9 of a put, one a microsecond, alone and while 256 MiB are saved",
    .unit = "us",
    .figures = {"idle", "saving"},
    .needs = TRAIT_SAVED,
    .sizes = (const size_t[]){64, 0},
    .round = round_beside,
};
