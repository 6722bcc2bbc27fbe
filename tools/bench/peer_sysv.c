/*
 * peer_sysv.c - a System V message queue, with msg_qbytes raised where that is
 * allowed.  Messages longer than kernel.msgmax cannot be sent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include "bench/bench.h"

struct sysv_message {
    long type;
    unsigned char bytes[];
};

/* Each process copies through a message of its own; the parent's tells the identifier. */
struct sysv {
    int id;
    struct sysv_message *message;
};

static const char *sysv_refuses(size_t size, unsigned consumers)
{
    static char text[80];
    (void)consumers;
    struct msginfo info;
    if (msgctl(0, IPC_INFO, (struct msqid_ds *)(void *)&info) < 0)
        return "no System V queues in this kernel";
    if (size <= (size_t)info.msgmax)
        return NULL;
    snprintf(text, sizeof text, "kernel.msgmax is %d", info.msgmax);
    return text;
}

static int sysv_create(struct channel *channel)
{
    struct sysv *sysv = calloc(1, sizeof *sysv);
    if (!sysv)
        return -ENOMEM;
    sysv->message = calloc(1, sizeof *sysv->message + channel->size);
    sysv->id = sysv->message ? msgget(IPC_PRIVATE, IPC_CREAT | 0600) : -1;
    if (sysv->id < 0) {
        int error = sysv->message ? -errno : -ENOMEM;
        free(sysv->message);
        free(sysv);
        return error;
    }
    struct msqid_ds ds;
    if (msgctl(sysv->id, IPC_STAT, &ds) == 0) {
        ds.msg_qbytes = channel->capacity_bytes;
        (void)msgctl(sysv->id, IPC_SET, &ds);
    }
    channel->state = sysv;
    return 0;
}

static int sysv_open(struct channel *channel, enum side side)
{
    (void)channel;
    (void)side;
    return 0;
}

static void sysv_destroy(struct channel *channel)
{
    struct sysv *sysv = channel->state;
    if (!sysv)
        return;
    msgctl(sysv->id, IPC_RMID, NULL);
    free(sysv->message);
    free(sysv);
}

static int sysv_send(struct channel *channel, const void *message)
{
    struct sysv *sysv = channel->state;
    sysv->message->type = 1;
    memcpy(sysv->message->bytes, message, channel->size);
    return msgsnd(sysv->id, sysv->message, channel->size, 0) < 0 ? -errno : 0;
}

static int sysv_receive(struct channel *channel, void *message)
{
    struct sysv *sysv = channel->state;
    ssize_t n = msgrcv(sysv->id, sysv->message, channel->size, 0, 0);
    if (n < 0)
        return -errno;
    memcpy(message, sysv->message->bytes, channel->size);
    return (size_t)n == channel->size ? 0 : -EBADMSG;
}

const struct transport transport_sysv = {
    .name = "sysv-mq",
    .traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_MANY | TRAIT_PEER,
    .refuses = sysv_refuses,
    .create = sysv_create,
    .open = sysv_open,
    .destroy = sysv_destroy,
    .send = sysv_send,
    .receive = sysv_receive,
};
