/*
 * error.c - error values explained.
 *
 * A value is for programs, the detail for people.  The detail lives in a
 * thread-local buffer, so no call has to allocate to fail.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shmq.h"

static _Thread_local char detail[256];

int sq_fail(int error, const char *format, ...)
{
    char text[sizeof(detail)];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args); /* the detail may be an argument */
    va_end(args);
    strcpy(detail, text);
    return error;
}

int sq_fail_plainly(int error)
{
    detail[0] = '\0';
    return error;
}

const char *shmq_last_error_detail(void)
{
    return detail;
}

const char *shmq_version(void)
{
    return SHMQ_VERSION;
}

static const struct {
    int error;
    const char *sentence;
} sentences[] = {
    {0, "success"},
    {EACCES, "permission denied, or the handle is read-only"},
    {EAGAIN, "the queue is empty, or full"},
    {EBADMSG, "the queue's segment or file is damaged"},
    {EBUSY, "another has this side of the queue alone, or has the message leased"},
    {ECANCELED, "the lease had ended, and the message may be in other hands"},
    {EEXIST, "a queue of this name, or a message with this key, is there already"},
    {EINTR, "a signal handler ran while the call waited"},
    {EINVAL, "an argument is wrong"},
    {EMFILE, "this process has too many files open"},
    {EMSGSIZE, "the message is too long for the queue or the buffer"},
    {ENFILE, "this machine has too many files open"},
    {ENOENT, "there is no such queue, group or message"},
    {ENOMEM, "out of memory"},
    {ENOSPC, "the shared-memory file system has no room for the queue"},
    {EPROTO, "this is not a shmq queue, or one of another format"},
    {ENOTSUP, "this library is built without what the message or queue needs"},
    {ESTALE, "the queue or the group was removed"},
    {ETIMEDOUT, "the time was over"},
    {EUSERS, "too many handles are attached to the queue"},
};

const char *shmq_strerror(int error)
{
    if (error < 0)
        error = (int)-(unsigned)error; /* INT_MIN has no opposite */
    for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
        if (sentences[i].error == error)
            return sentences[i].sentence;
    return "unknown error";
}
