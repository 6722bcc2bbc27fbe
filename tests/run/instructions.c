/*
 * instructions.c - usage: instructions plain|many|lease|next.  Moves messages of 64 bytes
 * through a queue with one shared handle.  instructions.sh counts what the calls cost.
 *
 * The counted rounds move 8,192 messages: 11 times around the ring of 64 KiB, in which a
 * message takes 88 bytes.  So all periodic work is in the figures, each in its share: a turn
 * of the ring, a look for room, the sample of every 64th message.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shmq.h"

enum { BATCH = 32, ROUNDS = 256, LENGTH = 64 };

struct load {
    shmq_t *q;
    struct shmq_msg held; /* what shmq_next() received last */
    unsigned char payload[LENGTH];
};

/*
 * Replaces libc's: a clock that stands still.  The first message of each clock tick costs
 * more, and how many ticks fall into a run depends on the machine.
 */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    (void)clock;
    *t = (struct timespec){.tv_sec = 1000000};
    return 0;
}

static int put_batch(struct load *load)
{
    int rc = 0;

    for (int i = 0; i < BATCH && rc == 0; i++)
        rc = shmq_put(load->q, load->payload, LENGTH, SHMQ_NOWAIT);
    return rc;
}

static int plain(struct load *load)
{
    ssize_t rc = put_batch(load);

    for (int i = 0; i < BATCH && rc >= 0; i++)
        rc = shmq_get(load->q, load->payload, LENGTH, NULL, SHMQ_NOWAIT);
    return rc < 0 ? (int)rc : 0;
}

static int many(struct load *load)
{
    unsigned char buffer[BATCH * LENGTH];
    struct shmq_info infos[BATCH];
    struct shmq_buf messages[BATCH];

    for (int i = 0; i < BATCH; i++)
        messages[i] = (struct shmq_buf){load->payload, LENGTH};
    int rc = shmq_put_many(load->q, messages, BATCH, SHMQ_NOWAIT);
    if (rc == BATCH)
        rc = shmq_get_many(load->q, buffer, sizeof(buffer), infos, BATCH, SHMQ_NOWAIT, SHMQ_NOWAIT);
    return rc == BATCH ? 0 : rc < 0 ? rc : -EAGAIN;
}

static int lease(struct load *load)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    int rc = put_batch(load);

    for (int i = 0; i < BATCH && rc == 0; i++) {
        rc = shmq_receive(load->q, &msg, SHMQ_NOWAIT);
        if (rc == 0)
            rc = shmq_ack(load->q, &msg);
    }
    return rc;
}

static int next(struct load *load)
{
    int rc = put_batch(load);

    for (int i = 0; i < BATCH && rc == 0; i++)
        rc = shmq_next(load->q, &load->held, SHMQ_NOWAIT);
    return rc;
}

/* instructions.sh resets the counts here: the first round also does what is done only once. */
static __attribute__((noinline)) void count_from_here(void)
{
    __asm__ volatile("");
}

static int run(struct load *load, int (*round)(struct load *load))
{
    int rc = round(load);

    count_from_here();
    for (int i = 0; i < ROUNDS && rc == 0; i++)
        rc = round(load);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*round)(struct load *load);
    } ways[] = {{"plain", plain}, {"many", many}, {"lease", lease}, {"next", next}};
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    struct load load = {.held = SHMQ_MSG_INIT};
    char name[64];
    size_t way = 0;

    while (way < 4 && (argc != 2 || strcmp(argv[1], ways[way].name) != 0))
        way++;
    if (way == 4)
        return 2;
    snprintf(name, sizeof(name), "t-%d-instructions", (int)getpid());
    attr.capacity_bytes = 64 << 10;
    if (shmq_open(&load.q, name, SHMQ_CREATE | SHMQ_EXCL, &attr) != 0)
        return 3;
    int rc = run(&load, ways[way].round);
    if (rc != 0)
        fprintf(stderr, "instructions: %s (%s)\n", shmq_strerror(rc), shmq_last_error_detail());
    shmq_close(load.q);
    shmq_unlink(name);
    return rc == 0 ? 0 : 3;
}
