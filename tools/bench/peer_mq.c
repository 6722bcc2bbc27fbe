/*
 * peer_mq.c - a POSIX message queue, as deep as the system lets this user make
 * it: fs.mqueue.msg_max and RLIMIT_MSGQUEUE bind ordinary users, root only the
 * kernel's own ceiling.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/bench.h"

struct posix_mq {
    mqd_t queue;
};

static long system_limit(const char *path, long otherwise)
{
    long value = otherwise;
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%ld", &value) != 1)
            value = otherwise;
        fclose(file);
    }
    return value;
}

static mqd_t mq_make(const char *name, size_t size, long slots)
{
    struct mq_attr attr = {.mq_maxmsg = slots, .mq_msgsize = (long)size};
    return mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
}

/* A privileged process may go beyond the limit: trying tells. */
static const char *mq_refuses(size_t size, unsigned consumers)
{
    static char text[80];
    char name[64];
    (void)consumers;
    snprintf(name, sizeof name, "/shmq-bench.%d.probe", (int)getpid());
    mqd_t probe = mq_make(name, size, 1);
    if (probe != (mqd_t)-1) {
        mq_close(probe);
        mq_unlink(name);
        return NULL;
    }
    snprintf(text, sizeof text, "%s; fs.mqueue.msgsize_max is %ld", strerror(errno),
             system_limit("/proc/sys/fs/mqueue/msgsize_max", 8192));
    return text;
}

static int mq_create(struct channel *channel)
{
    char name[72];
    snprintf(name, sizeof name, "/%s", channel->name);
    struct rlimit limit = {64u << 20, 64u << 20};
    (void)setrlimit(RLIMIT_MSGQUEUE, &limit);
    struct posix_mq *mq = calloc(1, sizeof *mq);
    if (!mq)
        return -ENOMEM;
    long most = system_limit("/proc/sys/fs/mqueue/msg_max", 10);
    long slots = (long)channel_slots(channel, 10);
    while ((mq->queue = mq_make(name, channel->size, slots)) == (mqd_t)-1 && slots > 1 &&
           (errno == EINVAL || errno == EMFILE || errno == ENOSPC))
        slots = slots > most && slots / 2 < most ? most : slots / 2;
    if (mq->queue == (mqd_t)-1) {
        int error = -errno;
        free(mq);
        return error;
    }
    channel->state = mq;
    return 0;
}

/* The descriptor is inherited by fork. */
static int mq_open_side(struct channel *channel, enum side side)
{
    (void)channel;
    (void)side;
    return 0;
}

static void mq_destroy(struct channel *channel)
{
    char name[72];
    struct posix_mq *mq = channel->state;
    if (!mq)
        return;
    snprintf(name, sizeof name, "/%s", channel->name);
    mq_close(mq->queue);
    mq_unlink(name);
    free(mq);
}

static int mq_send_one(struct channel *channel, const void *message)
{
    const struct posix_mq *mq = channel->state;
    return mq_send(mq->queue, message, channel->size, 0) < 0 ? -errno : 0;
}

static int mq_receive_one(struct channel *channel, void *message)
{
    const struct posix_mq *mq = channel->state;
    ssize_t n = mq_receive(mq->queue, message, channel->size, NULL);
    if (n < 0)
        return -errno;
    return (size_t)n == channel->size ? 0 : -EBADMSG;
}

const struct transport transport_mq = {
    .name = "posix-mq",
    .traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_MANY | TRAIT_PEER,
    .refuses = mq_refuses,
    .create = mq_create,
    .open = mq_open_side,
    .destroy = mq_destroy,
    .send = mq_send_one,
    .receive = mq_receive_one,
};
