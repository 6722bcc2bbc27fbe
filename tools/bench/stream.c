/*
 * stream.c - the workloads that count messages a second: one to one, batches,
 * many to many, a crowd of producers, with acknowledgements, with delayed ones, with a
 * journal.
 *
 * Producers send until they are told to stop.  Each payload is written whole:
 * its first word names the producer and counts its messages, its last word is
 * the complement, the bytes between are set.  Consumers copy it into a buffer of
 * their own and check both words and the order; at the end nothing may be
 * missing or doubled.  The parent reads the consumers' counts at both ends of a
 * window in the middle of the run, so neither start nor drain is measured, and
 * no clock is read by those who send and receive.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/crew.h"

#define END_MARK UINT64_MAX
enum { PRODUCER_SHIFT = 48 };

struct stream {
    bool batch;
};

static void message_fill(unsigned char *message, size_t size, uint64_t word)
{
    uint64_t last = ~word;
    memcpy(message, &word, sizeof word);
    if (size < 16)
        return;
    if (size > 16)
        memset(message + 8, (int)(word & 0xff), size - 16);
    memcpy(message + size - 8, &last, sizeof last);
}

static int send_ends(struct control *control, struct channel *channel, unsigned char *buffer)
{
    const struct transport *t = channel->transport;
    if (atomic_fetch_add(&control->producers_done, 1) + 1 < channel->producers ||
        (t->traits & TRAIT_SPREAD))
        return 0;
    message_fill(buffer, channel->size, END_MARK);
    for (unsigned i = 0; i < channel->consumers; i++) {
        int error = t->send(channel, buffer);
        if (error)
            return child_fail(control, error, "send of the end mark");
    }
    return 0;
}

static int produce(struct control *control, struct channel *channel, void *arg)
{
    const struct stream *stream = arg;
    const struct transport *t = channel->transport;
    size_t size = channel->size;
    unsigned step = stream->batch ? BATCH : 1;
    unsigned char *buffer = aligned_alloc(4096, (size * step + 4095) / 4096 * 4096);
    int error = buffer ? t->open(channel, SIDE_PRODUCER) : -ENOMEM;
    if (error)
        return child_fail(control, error, "open of the producer's side");
    memset(buffer, 0, size * step);
    child_ready(control);
    uint64_t word = (uint64_t)channel->number << PRODUCER_SHIFT, first = word;
    while (!atomic_load_explicit(&control->stop, memory_order_relaxed)) {
        if (stream->batch) {
            for (unsigned i = 0; i < BATCH; i++)
                message_fill(buffer + i * size, size, word++);
            for (unsigned done = 0; done < BATCH;) {
                int sent = t->send_batch(channel, buffer + done * size, BATCH - done);
                if (sent <= 0)
                    return child_fail(control, sent, "send of a batch");
                done += (unsigned)sent;
            }
        } else {
            message_fill(buffer, size, word++);
            error = t->send(channel, buffer);
            if (error)
                return child_fail(control, error, "send");
        }
    }
    control->sent[channel->number] = word - first;
    error = send_ends(control, channel, buffer);
    child_linger(control, channel->consumers);
    if (t->close)
        t->close(channel, SIDE_PRODUCER);
    return error;
}

/* What a consumer knows of each producer's messages. */
struct account {
    uint64_t next[MAX_SIDE], count[MAX_SIDE], sum[MAX_SIDE];
    uint64_t total;
};

/* 0, 1 at the end mark, or -EBADMSG. */
static inline int account_check(struct account *account, const unsigned char *message, size_t size,
                                bool strict)
{
    uint64_t word, last;
    memcpy(&word, message, sizeof word);
    memcpy(&last, message + size - 8, sizeof last);
    if (size >= 16 && last != ~word)
        return -EBADMSG;
    if (word == END_MARK)
        return 1;
    uint64_t producer = word >> PRODUCER_SHIFT;
    uint64_t sequence = word & ((1ull << PRODUCER_SHIFT) - 1);
    if (producer >= MAX_SIDE)
        return -EBADMSG;
    if (strict ? sequence != account->next[producer] : sequence < account->next[producer])
        return -EBADMSG;
    account->next[producer] = sequence + 1;
    account->count[producer]++;
    account->sum[producer] += sequence;
    account->total++;
    return 0;
}

/* Receives until the end; 0 or an error. */
static int consume_all(struct control *control, struct channel *channel, unsigned char *buffer,
                       bool batch, struct account *account)
{
    const struct transport *t = channel->transport;
    size_t size = channel->size;
    bool strict = channel->consumers == 1;
    _Atomic uint64_t *tally = &control->received[channel->number].count;
    for (;;) {
        bool over = (t->traits & TRAIT_SPREAD) &&
                    atomic_load(&control->producers_done) == channel->producers;
        int count = 1;
        if (batch)
            count = t->receive_batch(channel, buffer, BATCH);
        else {
            int error = t->receive(channel, buffer);
            if (error == -ETIMEDOUT && (t->traits & TRAIT_SPREAD)) {
                if (over)
                    return 0;
                continue;
            }
            if (error)
                return child_fail(control, error, "receive");
        }
        if (count <= 0)
            return child_fail(control, count, "receive of a batch");
        for (int i = 0; i < count; i++) {
            int kind = account_check(account, buffer + (size_t)i * size, size, strict);
            if (kind == 1)
                return 0;
            if (kind < 0)
                return child_fail(control, kind, "a message came wrong");
        }
        atomic_store_explicit(tally, account->total, memory_order_relaxed);
    }
}

static int consume(struct control *control, struct channel *channel, void *arg)
{
    const struct stream *stream = arg;
    const struct transport *t = channel->transport;
    size_t bytes = (channel->size * (stream->batch ? BATCH : 1) + 4095) / 4096 * 4096;
    unsigned char *buffer = aligned_alloc(4096, bytes);
    struct account *account = calloc(1, sizeof *account);
    int error = buffer && account ? t->open(channel, SIDE_CONSUMER) : -ENOMEM;
    if (error)
        return child_fail(control, error, "open of the consumer's side");
    memset(buffer, 0, bytes);
    child_ready(control);
    error = consume_all(control, channel, buffer, stream->batch, account);
    for (unsigned i = 0; i < channel->producers; i++) {
        atomic_fetch_add(&control->got_count[i], account->count[i]);
        atomic_fetch_add(&control->got_sum[i], account->sum[i]);
    }
    atomic_fetch_add(&control->consumers_done, 1);
    child_linger(control, channel->consumers);
    if (t->close)
        t->close(channel, SIDE_CONSUMER);
    return error;
}

static int verify(const struct control *control, unsigned producers)
{
    for (unsigned i = 0; i < producers; i++) {
        uint64_t sent = control->sent[i];
        uint64_t sum = sent ? (sent & 1 ? (sent - 1) / 2 * sent : sent / 2 * (sent - 1)) : 0;
        if (control->got_count[i] != sent || control->got_sum[i] != sum)
            return round_fail(-EBADMSG, "messages were lost or doubled");
    }
    return 0;
}

/* Producers and consumers on their own cores when there is one of each. */
static int stream_run(const struct round *round, unsigned producers, unsigned consumers, bool batch,
                      double *rate)
{
    struct crew crew;
    struct channel channel = {.folder = round->options->folder};
    struct stream stream = {.batch = batch};
    bool pinned = producers == 1 && consumers == 1;
    int error = crew_begin(&crew);
    if (error)
        return error;
    error = channel_make(&channel, round->transport, round->size, producers, consumers, NULL);
    for (unsigned i = 0; !error && i < consumers; i++) {
        channel.number = i;
        error = crew_add(&crew, pinned ? 1 : ANY_CPU, consume, &channel, &stream);
    }
    for (unsigned i = 0; !error && i < producers; i++) {
        channel.number = i;
        error = crew_add(&crew, pinned ? 0 : ANY_CPU, produce, &channel, &stream);
    }
    if (!error)
        error = crew_measure(&crew, consumers, round->options->seconds, rate);
    if (!error)
        error = crew_join(&crew, 20);
    if (!error)
        error = verify(crew.control, producers);
    crew_end(&crew);
    channel_drop(&channel);
    return error;
}

static int round_one_to_one(const struct round *round, double figures[FIGURES])
{
    return stream_run(round, 1, 1, false, figures);
}

static int round_batch(const struct round *round, double figures[FIGURES])
{
    return stream_run(round, 1, 1, true, figures);
}

static int round_many(const struct round *round, double figures[FIGURES])
{
    return stream_run(round, 4, 4, false, figures);
}

static int round_producers(const struct round *round, double figures[FIGURES])
{
    int error = stream_run(round, 4, 4, false, &figures[0]);
    return error ? error : stream_run(round, MAX_SIDE, 4, false, &figures[1]);
}

static int round_lease(const struct round *round, double figures[FIGURES])
{
    return stream_run(round, 1, 1, round->transport->traits & TRAIT_IN_BATCHES, figures);
}

static const size_t all_sizes[] = {8, 64, 256, 1024, 4096, 65536, 0};
static const size_t small[] = {64, 0};

const struct workload work_one_to_one = {
    .name = "one-to-one",
    .title = "one producer, one consumer, a core each",
    .unit = "M messages/s",
    .figures = {"M/s"},
    .needs = TRAIT_STREAM,
    .sizes = all_sizes,
    .round = round_one_to_one,
};

const struct workload work_batch = {
    .name = "batch",
    .title = "one producer, one consumer, a core each, batches of 32",
    .unit = "M messages/s",
    .figures = {"M/s"},
    .needs = TRAIT_BATCH,
    .sizes = small,
    .round = round_batch,
};

const struct workload work_many = {
    .name = "many",
    .title = "4 producers, 4 consumers, not pinned",
    .unit = "M messages/s",
    .figures = {"M/s"},
    .needs = TRAIT_STREAM | TRAIT_MANY,
    .sizes = small,
    .round = round_many,
};

const struct workload work_producers = {
    .name = "producers",
    .title = "4 and 64 producers, 4 consumers, not pinned",
    .unit = "M messages/s",
    .figures = {"from 4", "from 64"},
    .needs = TRAIT_STREAM | TRAIT_CROWD,
    .sizes = small,
    .round = round_producers,
};

const struct workload work_lease = {
    .name = "lease",
    .title = "one to one, a core each, received on lease and acknowledged",
    .unit = "M messages/s",
    .figures = {"M/s"},
    .needs = TRAIT_LEASE,
    .sizes = small,
    .round = round_lease,
};

const struct workload work_delay = {
    .name = "delay",
    .title = "one to one, a core each, past 1,000 delayed messages",
    .unit = "M messages/s",
    .figures = {"M/s"},
    .needs = TRAIT_DELAY,
    .sizes = small,
    .round = round_one_to_one,
};

const struct workload work_journal_pair = {
    .name = "journal-pair",
    .title = "one to one, a core each, puts and gets in a file when they return",
    .unit = "M messages/s",
    .figures = {"M/s"},
    .needs = TRAIT_JOURNAL,
    .sizes = small,
    .round = round_one_to_one,
};
