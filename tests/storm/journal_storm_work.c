/*
 * journal_storm_work.c - what producers, consumers and who saves do in the storm.
 */
#include "storm/journal_storm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

/* Wait for the end. */
static void rest(void)
{
    for (;;)
        helper_pass(SHMQ_SEC(1));
}

/* --- producing ----------------------------------------------------------------------- */

/* Put some, from number `seq` on.  How many, or an error. */
static int put_some(shmq_t *q, uint32_t generation, uint32_t seq, unsigned n, uint64_t *seed)
{
    static unsigned char bytes[4][STORM_PAYLOAD];
    struct shmq_msg msgs[4];

    for (unsigned i = 0; i < n; i++) {
        size_t room = message_random(seed) % 8 == 0 ? STORM_PAYLOAD : 100;
        msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
        msgs[i].data = bytes[i];
        msgs[i].length = sizeof(struct message_head) +
                         message_random(seed) % (room - sizeof(struct message_head));
        msgs[i].priority = (int32_t)((seq + i) % 3);
        message_build(bytes[i], generation, seq + i, msgs[i].length);
    }
    if (n > 1)
        return shmq_send_many(q, msgs, n, SHMQ_SEC(1));
    int rc = message_random(seed) % 2 == 0 ? shmq_put(q, msgs[0].data, msgs[0].length, SHMQ_SEC(1))
                                           : shmq_send(q, &msgs[0], SHMQ_SEC(1));
    return rc == 0 ? 1 : rc;
}

void storm_produce(shmq_t *q, uint32_t generation, uint64_t seed)
{
    uint32_t seq = 0;

    while (seq + 4 <= STORM_NUMBERS) {
        unsigned n = message_random(&seed) % 6 == 0 ? 2 + message_random(&seed) % 3 : 1;
        storm_board->generation[generation].begun = seq + n;
        int rc = put_some(q, generation, seq, n, &seed);
        if (rc < 0 && rc != -ETIMEDOUT)
            storm_wrong("a put: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
        seq += rc > 0 ? (uint32_t)rc : 0;
        storm_board->generation[generation].returned = seq;
        storm_board->generation[generation].begun = seq;
        storm_board->puts += rc > 0 ? (uint32_t)rc : 0;
    }
    rest();
}

/* --- consuming --------------------------------------------------------------------------- */

/* A message that came: whole, and not acknowledged before.  Its index on the board. */
static _Atomic uint8_t *look_at(const struct shmq_msg *msg)
{
    struct message_head head;

    if (!message_whole(msg->data, (ssize_t)msg->length, &head) ||
        head.source >= STORM_GENERATIONS || head.seq >= STORM_NUMBERS) {
        storm_wrong("message %llu is torn", (unsigned long long)msg->id);
        return NULL;
    }
    _Atomic uint8_t *ack = &storm_board->ack[head.source][head.seq];
    /* Who was about to acknowledge it may have been killed. */
    if (*ack == STORM_ACKED)
        storm_wrong("number %u of %u was acknowledged, and came again", head.seq, head.source);
    return ack;
}

/* Acknowledge, or give back. */
static void end_lease(shmq_t *q, struct shmq_msg *msg, _Atomic uint8_t *ack, uint32_t r)
{
    int rc;

    if (r % 8 == 0) {
        rc = shmq_nack(q, msg, r / 8 % 2 == 0 ? 0 : SHMQ_MS(r / 16 % 4), 0);
    } else {
        *ack = STORM_ACKING;
        rc = shmq_ack(q, msg);
        *ack = rc == 0 ? STORM_ACKED : STORM_NOT_ACKED;
        storm_board->acks++;
    }
    if (rc != 0 && rc != -ETIMEDOUT)
        storm_wrong("the end of a lease: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
}

void storm_consume(shmq_t *q, uint64_t seed)
{
    struct shmq_msg msgs[3];

    for (;;) {
        unsigned n = message_random(&seed) % 4 == 0 ? 3 : 1;
        for (unsigned i = 0; i < 3; i++)
            msgs[i] = (struct shmq_msg)SHMQ_MSG_INIT;
        int rc = shmq_receive_many(q, msgs, n, 0, SHMQ_MS(20));
        if (rc < 0 && rc != -ETIMEDOUT && rc != -EAGAIN)
            storm_wrong("a receive: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
        for (int i = 0; i < rc; i++) {
            _Atomic uint8_t *ack = look_at(&msgs[i]);
            if (ack == NULL)
                return;
            end_lease(q, &msgs[i], ack, message_random(&seed));
        }
    }
}

/* --- saving ----------------------------------------------------------------------------------- */

void storm_save(shmq_t *q, const char *other)
{
    for (unsigned i = 0;; i++) {
        int rc = shmq_save(q, i % 4 == 3 ? other : NULL);
        if (rc != 0 && rc != -ETIMEDOUT)
            storm_wrong("a save: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
        storm_board->saves++;
    }
}
