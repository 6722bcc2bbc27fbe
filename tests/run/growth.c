/*
 * growth.c - usage: growth ORDER DEPTH PAIRS.  Put DEPTH messages into a queue of
 * that order (fifo, lifo, priority), then PAIRS times one more and get one.
 * growth.sh counts the instructions.
 *
 * With priorities each is drawn from 0 to 1000 below the one got last, so that
 * the new ones are as mixed among those that wait as these are among themselves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shmq.h"

struct load {
    shmq_t *q;
    uint32_t order;
    uint64_t random;
    int32_t message[16]; /* the first says what its priority is */
};

static int put(struct load *load)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    if (load->order != SHMQ_PRIORITY)
        return shmq_put(load->q, load->message, sizeof(load->message), SHMQ_NOWAIT);
    load->random = load->random * 6364136223846793005u + 1442695040888963407u;
    load->message[0] -= (int32_t)((load->random >> 33) % 1001);
    msg.data = load->message;
    msg.length = sizeof(load->message);
    msg.priority = load->message[0];
    return shmq_send(load->q, &msg, SHMQ_NOWAIT);
}

static int run(struct load *load, long depth, long pairs)
{
    int rc = 0;

    while (rc == 0 && shmq_depth(load->q) < depth) {
        rc = put(load);
        load->message[0] = 0;
    }
    for (long i = 0; rc == 0 && i < pairs; i++) {
        rc = put(load);
        if (rc == 0 &&
            shmq_get(load->q, load->message, sizeof(load->message), NULL, SHMQ_NOWAIT) < 0)
            rc = 3;
    }
    return rc;
}

int main(int argc, char **argv)
{
    static const char *const orders[] = {"fifo", "lifo", "priority"};
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    struct load load = {.order = 3};
    char name[64];

    if (argc != 4)
        return 2;
    for (uint32_t i = 0; i < 3; i++)
        if (strcmp(argv[1], orders[i]) == 0)
            load.order = i;
    if (load.order == 3)
        return 2;
    snprintf(name, sizeof(name), "t-%d-growth", (int)getpid());
    attr.capacity_bytes = 128 << 20;
    attr.order = load.order;
    if (shmq_open(&load.q, name, SHMQ_CREATE | SHMQ_EXCL, &attr) != 0)
        return 3;
    int rc = run(&load, atol(argv[2]), atol(argv[3]));
    if (rc != 0)
        fprintf(stderr, "growth: %s (%s)\n", shmq_strerror(rc), shmq_last_error_detail());
    shmq_close(load.q);
    shmq_unlink(name);
    return rc == 0 ? 0 : 3;
}
