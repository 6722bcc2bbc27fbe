/*
 * growth.c - usage: growth DEPTH PAIRS.  Put DEPTH messages, then PAIRS times one
 * more and get one.  growth.sh counts the instructions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shmq.h"

int main(int argc, char **argv)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    char name[64], message[64] = "";
    shmq_t *q;
    int rc = 0;

    if (argc != 3)
        return 2;
    long depth = atol(argv[1]), pairs = atol(argv[2]);
    snprintf(name, sizeof(name), "t-%d-growth", (int)getpid());
    attr.capacity_bytes = 128 << 20;
    if (shmq_open(&q, name, SHMQ_CREATE | SHMQ_EXCL, &attr) != 0)
        return 3;
    while (rc == 0 && shmq_depth(q) < depth)
        rc = shmq_put(q, message, sizeof(message), SHMQ_NOWAIT);
    for (long i = 0; rc == 0 && i < pairs; i++) {
        rc = shmq_put(q, message, sizeof(message), SHMQ_NOWAIT);
        if (rc == 0 && shmq_get(q, message, sizeof(message), NULL, SHMQ_NOWAIT) < 0)
            rc = 3;
    }
    shmq_close(q);
    shmq_unlink(name);
    return rc == 0 ? 0 : 3;
}
