/*
 * lease_storm_work.c - what a producer and a consumer of the lease storm do.
 */
#include "storm/lease_storm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/message.h"

void lease_wrong(const char *format, ...)
{
    va_list args;

    if (lease_board->wrong++ != 0)
        return;
    va_start(args, format);
    vsnprintf(lease_board->what, sizeof(lease_board->what), format, args);
    va_end(args);
}

/* --- producing -------------------------------------------------------------------- */

static size_t some_length(uint64_t *seed)
{
    uint32_t r = message_random(seed);

    return sizeof(struct message_head) + (r % 2 == 0 ? r / 2 % 64 : r / 2 % LEASE_PAYLOAD);
}

/* Some plain, some with more to them. */
static void dress(const struct lease_variant *v, struct shmq_msg *msg, char key[16], uint64_t *seed)
{
    uint32_t r = message_random(seed);

    if (v->order == SHMQ_PRIORITY)
        msg->priority = (int32_t)(r % 7) - 3;
    if ((v->traits & LEASE_NACKS) != 0 && r / 8 % 4 == 0)
        msg->delay_ns = SHMQ_MS(r / 32 % 20);
    if ((v->traits & LEASE_LETTERS) != 0 && r / 1024 % 16 == 0)
        msg->ttl_ns = SHMQ_MS(1 + r / 16384 % 50);
    if ((v->traits & LEASE_UNIQUE) == 0)
        return;
    snprintf(key, 16, "key %u", r % LEASE_KEYS);
    msg->key = key;
    msg->key_length = strlen(key);
}

/* Send some.  How many, or an error. */
static int send_some(const struct lease_variant *v, shmq_t *q, uint32_t generation, uint32_t seq,
                     unsigned n, uint64_t *seed)
{
    static unsigned char bytes[LEASE_HAND][LEASE_PAYLOAD + 128];
    struct shmq_msg msgs[LEASE_HAND];
    char keys[LEASE_HAND][16];
    int64_t timeout_ns = SHMQ_MS(message_random(seed) % 5);

    for (unsigned i = 0; i < n; i++) {
        msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
        msgs[i].data = bytes[i];
        msgs[i].length = some_length(seed);
        message_build(bytes[i], generation, seq + i, msgs[i].length);
        dress(v, &msgs[i], keys[i], seed);
    }
    if (n > 1)
        return shmq_send_many(q, msgs, n, timeout_ns);
    if ((v->traits & LEASE_UNIQUE) == 0 && message_random(seed) % 2 == 0)
        return shmq_put(q, msgs[0].data, msgs[0].length, timeout_ns) == 0 ? 1 : -EAGAIN;
    int rc = shmq_send(q, &msgs[0], timeout_ns);
    return rc == 0 ? 1 : rc;
}

static bool is_full(int rc)
{
    return rc == -EAGAIN || rc == -ETIMEDOUT || rc == -EEXIST;
}

void lease_produce(const struct lease_variant *v, shmq_t *q, uint32_t generation, uint64_t seed)
{
    uint32_t seq = 0;

    while (lease_board->phase == LEASE_RUN) {
        unsigned n = message_random(&seed) % 8 == 0 ? 2 + message_random(&seed) % 3 : 1;
        lease_board->generation[generation].begun = seq + n;
        int rc = send_some(v, q, generation, seq, n, &seed);
        if (rc < 0 && !is_full(rc))
            lease_wrong("a send: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
        seq += rc > 0 ? (uint32_t)rc : 0;
        lease_board->generation[generation].returned = seq;
        lease_board->generation[generation].begun = seq;
    }
}

/* --- consuming -------------------------------------------------------------------- */

/* It was lost, and is here again. */
static void note_return(struct lease_note *note)
{
    int64_t lost_ns = atomic_exchange(&note->lost_ns, 0);

    if (lost_ns == 0)
        return;
    uint32_t i = lease_board->times++;
    if (i < LEASE_TIMES)
        lease_board->times_us[i] = (uint32_t)((helper_now_ns() - lost_ns) / 1000);
}

/* Whether its bytes are what was put.  They need not be once the lease has ended. */
static bool check_bytes(const struct lease_variant *v, shmq_t *g, struct shmq_msg *msg)
{
    struct message_head head;
    uint64_t none = 0;
    bool whole = message_whole(msg->data, (ssize_t)msg->length, &head);
    uint64_t content = (uint64_t)head.source << 32 | (head.seq + 1);

    if ((v->traits & LEASE_EXPIRES) != 0 && shmq_touch(g, msg, 0) == -ECANCELED)
        return false;
    if (!whole)
        lease_wrong("message %llu is torn", (unsigned long long)msg->id);
    else if (!atomic_compare_exchange_strong(&lease_board->content[msg->id - 1], &none, content) &&
             none != content)
        lease_wrong("message %llu was another before", (unsigned long long)msg->id);
    return true;
}

/* What has been received is whole, what it was before, and not yet acknowledged. */
static void note_delivery(const struct lease_variant *v, shmq_t *g, unsigned group,
                          struct shmq_msg *msg)
{
    if (msg->id == 0 || msg->id > LEASE_LOG) {
        lease_wrong("id %llu", (unsigned long long)msg->id);
        return;
    }
    struct lease_note *note = &lease_board->note[group][msg->id - 1];
    note->delivered++;
    note_return(note);
    /* Where leases end, it may be another's soon, and acknowledged; so this first. */
    bool was_acked = note->acked != 0;
    if (!check_bytes(v, g, msg))
        return;
    if (was_acked)
        lease_wrong("message %llu was acknowledged and is handed out again, the %uth time",
                    (unsigned long long)msg->id, msg->attempts);
    uint32_t before = atomic_exchange(&note->attempts, msg->attempts);
    if (before >= msg->attempts && (v->traits & LEASE_EXPIRES) == 0)
        lease_wrong("message %llu had %u attempts and now %u", (unsigned long long)msg->id, before,
                    msg->attempts);
}

/* One in hand: how it was noted there, and the log of it. */
struct grip {
    shmq_t *g;
    _Atomic uint64_t *hand;
    struct lease_note *note;
    struct shmq_msg *msg;
};

static void check_end(const struct lease_variant *v, int rc, const char *what)
{
    if (rc < 0 && !(rc == -ECANCELED && (v->traits & LEASE_EXPIRES) != 0))
        lease_wrong("%s: %s (%s)", what, shmq_strerror(rc), shmq_last_error_detail());
}

static void acknowledge(const struct lease_variant *v, const struct grip *grip)
{
    *grip->hand |= LEASE_ACKING;
    int rc = shmq_ack(grip->g, grip->msg);
    if (rc == 0 && grip->note->acked++ != 0)
        lease_wrong("message %llu was acknowledged twice", (unsigned long long)grip->msg->id);
    *grip->hand = 0;
    check_end(v, rc, "an ack");
}

/* Deal with a message in one of the ways of the variant. */
static void deal(const struct lease_variant *v, const struct grip *grip, uint64_t *seed)
{
    uint32_t r = message_random(seed);
    int rc;

    if (r % 16 == 0) {
        rc = shmq_touch(grip->g, grip->msg, 0);
        check_end(v, rc, "a touch");
        if (rc < 0) {
            *grip->hand = 0;
            return;
        }
    }
    r /= 16;
    if ((v->traits & LEASE_NACKS) != 0 && r % 4 == 0) {
        *grip->hand = 0;
        rc = shmq_nack(grip->g, grip->msg, r / 4 % 2 == 0 ? SHMQ_BY_POLICY : SHMQ_MS(r / 8 % 5),
                       r / 64 % 4 == 0 ? SHMQ_TO_BACK : 0);
        check_end(v, rc, "a nack");
    } else if ((v->traits & LEASE_LETTERS) != 0 && r % 32 == 1) {
        *grip->hand = 0;
        rc = shmq_reject(grip->g, grip->msg, SHMQ_REASON_VALIDATION, "of the storm");
        check_end(v, rc, "a reject");
    } else {
        acknowledge(v, grip);
    }
}

/* Now and then the work takes a while. */
static void work(uint64_t *seed)
{
    uint32_t r = message_random(seed);
    struct timespec some = {0, (long)(r / 64 % 3000) * 1000};

    if (r % 64 == 0)
        nanosleep(&some, NULL);
}

static int receive(shmq_t *g, struct shmq_msg *msgs, unsigned n, uint32_t r)
{
    int64_t timeout_ns = SHMQ_MS(r % 20);

    for (unsigned i = 0; i < n; i++)
        msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
    if (n > 1)
        return shmq_receive_many(g, msgs, n, SHMQ_MS(r / 32 % 2), timeout_ns);
    int rc = shmq_receive(g, msgs, timeout_ns);
    return rc == 0 ? 1 : rc;
}

void lease_consume(const struct lease_variant *v, shmq_t *g, unsigned group, int worker,
                   uint64_t seed)
{
    _Atomic uint64_t *hand = lease_board->hand[worker];
    struct shmq_msg msgs[LEASE_HAND];

    while (lease_board->phase != LEASE_CONSUMERS_END) {
        unsigned n = message_random(&seed) % 4 == 0 ? LEASE_HAND : 1;
        int rc = receive(g, msgs, n, message_random(&seed));
        for (int i = 0; i < rc; i++) {
            hand[i] = msgs[i].id;
            note_delivery(v, g, group, &msgs[i]);
        }
        if (rc > 0)
            work(&seed);
        for (int i = 0; i < rc && lease_board->wrong == 0; i++) {
            struct grip grip = {g, &hand[i], &lease_board->note[group][msgs[i].id - 1], &msgs[i]};
            deal(v, &grip, &seed);
        }
        if (rc < 0 && rc != -EAGAIN && rc != -ETIMEDOUT)
            lease_wrong("a receive: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
    }
}
