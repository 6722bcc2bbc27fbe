/*
 * storm_work.c - what a producer and a consumer of the storm do.
 */
#include "storm/storm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/message.h"

void storm_wrong(const char *format, ...)
{
    va_list args;

    if (storm_board->wrong++ != 0)
        return;
    va_start(args, format);
    vsnprintf(storm_board->what, sizeof(storm_board->what), format, args);
    va_end(args);
}

/* --- producing --------------------------------------------------------------- */

/* Half of them short, since many and short is what strains the locks. */
static size_t some_length(uint64_t *seed)
{
    uint32_t r = message_random(seed);

    return sizeof(struct message_head) + (r % 2 == 0 ? r / 2 % 64 : r / 2 % (STORM_PAYLOAD + 1));
}

static int64_t some_timeout(uint64_t *seed)
{
    uint32_t r = message_random(seed);

    return r % 4 == 0 ? SHMQ_FOREVER : SHMQ_MS(r / 4 % 5);
}

static int put_batch(shmq_t *q, uint32_t generation, uint32_t seq, unsigned n, uint64_t *seed)
{
    unsigned char bytes[STORM_BATCH][STORM_LENGTH];
    struct shmq_buf batch[STORM_BATCH];

    for (unsigned i = 0; i < n; i++) {
        batch[i] = (struct shmq_buf){bytes[i], some_length(seed)};
        message_build(bytes[i], generation, seq + i, batch[i].length);
    }
    return shmq_put_many(q, batch, n, some_timeout(seed));
}

static int put_in_place(shmq_t *q, uint32_t generation, uint32_t seq, uint64_t *seed)
{
    size_t length = some_length(seed);
    void *data;
    int rc = shmq_reserve(q, STORM_LENGTH, &data, some_timeout(seed));

    if (rc != 0)
        return rc;
    message_build(data, generation, seq, length);
    if (message_random(seed) % 8 == 0) {
        rc = shmq_abort(q);
        return rc == 0 ? -EAGAIN : rc;
    }
    rc = shmq_commit(q, length);
    return rc == 0 ? 1 : rc;
}

static int put_plain(shmq_t *q, uint32_t generation, uint32_t seq, uint64_t *seed)
{
    unsigned char bytes[STORM_LENGTH];
    size_t length = some_length(seed);

    message_build(bytes, generation, seq, length);
    int rc = shmq_put(q, bytes, length, some_timeout(seed));
    return rc == 0 ? 1 : rc;
}

void storm_produce(shmq_t *q, uint32_t generation, uint64_t seed)
{
    struct storm_generation *g = &storm_board->generation[generation];

    while (storm_board->phase == STORM_RUN) {
        uint32_t kind = message_random(&seed) % 8, seq = g->returned;
        unsigned n = kind == 0 ? 1 + message_random(&seed) % STORM_BATCH : 1;
        g->begun = seq + n;
        int rc = kind == 0   ? put_batch(q, generation, seq, n, &seed)
                 : kind == 1 ? put_in_place(q, generation, seq, &seed)
                             : put_plain(q, generation, seq, &seed);
        if (rc > 0)
            g->returned = seq + (uint32_t)rc;
        else if (rc != -EAGAIN && rc != -ETIMEDOUT)
            storm_wrong("a put: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
        g->begun = g->returned;
    }
}

bool storm_put_one(shmq_t *q)
{
    struct storm_generation *g = &storm_board->generation[0];
    unsigned char bytes[sizeof(struct message_head)];

    message_build(bytes, 0, g->returned, sizeof(bytes));
    if (shmq_put(q, bytes, sizeof(bytes), HELPER_LATE_NS) != 0)
        return false;
    g->begun = ++g->returned;
    return true;
}

/* --- consuming --------------------------------------------------------------- */

void storm_log(const void *bytes, const struct shmq_info *info)
{
    struct message_head head;

    if (!message_whole(bytes, (ssize_t)info->length, &head))
        storm_wrong("a torn message, id %llu, %zu bytes", (unsigned long long)info->id,
                    info->length);
    else if (info->id == 0 || info->id > STORM_LOG || head.source >= STORM_GENERATIONS)
        storm_wrong("id %llu of generation %u", (unsigned long long)info->id, head.source);
    else if (atomic_exchange(&storm_board->log[info->id - 1],
                             (uint64_t)head.source << 32 | (head.seq + 1)) != 0)
        storm_wrong("id %llu was handed out twice", (unsigned long long)info->id);
}

void storm_consume(shmq_t *q, int number, uint64_t seed)
{
    unsigned char bytes[STORM_BATCH * (STORM_LENGTH + 8)];
    struct shmq_info infos[STORM_BATCH];
    uint64_t last_id = 0;

    for (;;) {
        uint32_t r = message_random(&seed);
        bool many = r % 4 == 0, forever = r / 4 % 8 == 0;
        unsigned n = many ? STORM_BATCH : 1;
        int64_t timeout_ns = forever ? SHMQ_FOREVER : SHMQ_MS(r / 32 % 20);
        storm_board->in_hand[number] = n;
        int64_t rc = many ? shmq_get_many(q, bytes, sizeof(bytes), infos, n, SHMQ_MS(r / 1024 % 2),
                                          timeout_ns)
                          : shmq_get(q, bytes, sizeof(bytes), infos, timeout_ns);
        unsigned got = rc < 0 ? 0 : many ? (unsigned)rc : 1;
        for (unsigned i = 0; i < got; i++) {
            if (infos[i].id <= last_id)
                storm_wrong("id %llu came after %llu", (unsigned long long)infos[i].id,
                            (unsigned long long)last_id);
            last_id = infos[i].id;
            storm_log(bytes + (many ? infos[i].offset : 0), &infos[i]);
        }
        storm_board->in_hand[number] = 0;
        if (rc < 0 && rc != -EAGAIN && rc != -ETIMEDOUT)
            storm_wrong("a get: %s (%s)", shmq_strerror((int)rc), shmq_last_error_detail());
        if (storm_board->phase == STORM_CONSUMERS_END && (rc <= 0 || forever))
            return;
    }
}
