/*
 * crash_step.c - a victim: forked, single-stepped up to a point, killed there.
 *
 * A step over a system call that sleeps does not come back.  When the operation
 * is one that waits, that is noticed after some milliseconds: if the kill point
 * is there, the victim is killed asleep; else it is given what it waits for.
 * Taking a slow step for a sleep does no harm, since what is checked afterwards
 * follows from what was done.
 */
#include "crash.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define ASLEEP_AFTER_NS SHMQ_MS(4)

/* Stop for the tracer: what follows is stepped. */
static void begin_stepping(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("int3" ::: "memory");
#else
    raise(SIGTRAP);
#endif
}

static void be_victim(struct crash_scene *s)
{
    const struct crash_op *op = s->op;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (op->ready != CRASH_NO_HANDLE) {
        if (shmq_open(&s->handle, s->name, op->flags, NULL) != 0)
            _exit(1);
        for (int role = 0; role < 2; role++)
            if ((op->ready >> role & 1) != 0 && sq_make_ready(s->handle, (enum sq_role)role) != 0)
                _exit(2);
    }
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(3);
    begin_stepping();
    op->act(s);
    s->page->done = 1;
    for (;;)
        pause();
}

/* What the victim waits for. */
static bool release(struct crash_scene *s)
{
    s->woken = true;
    return s->op->waits == SQ_ROLE_CONSUMER ? crash_give(s, s->survivor, FROM_WAKER, 0)
                                            : crash_take(s, s->survivor);
}

/* Wait for the end of a step that may sleep.  1: it sleeps. */
static int await_step(struct crash_scene *s, int *status)
{
    int64_t until_ns = 0;

    for (unsigned looks = 0;; looks++) {
        if (waitpid(s->victim, status, WNOHANG) == s->victim)
            return 0;
        if (looks < 64)
            continue;
        int64_t now_ns = helper_now_ns();
        if (until_ns == 0)
            until_ns = now_ns + ASLEEP_AFTER_NS;
        if (now_ns > until_ns)
            return 1;
        sched_yield();
    }
}

/* One step.  1: the victim sleeps in it, 0 done, -1 it is no more. */
static int step(struct crash_scene *s, bool last)
{
    int status;

    if (ptrace(PTRACE_SINGLESTEP, s->victim, NULL, NULL) != 0)
        return -1;
    if (s->op->waits >= 0 && !s->woken) {
        if (await_step(s, &status) != 0) {
            if (last)
                return 1;
            if (!release(s) || waitpid(s->victim, &status, 0) != s->victim)
                return -1;
        }
    } else if (waitpid(s->victim, &status, 0) != s->victim) {
        return -1;
    }
    return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP ? 0 : -1;
}

int64_t crash_step(struct crash_scene *s)
{
    int64_t steps = 0;
    int status, rc = 0;

    s->victim = fork();
    if (s->victim == 0)
        be_victim(s);
    if (waitpid(s->victim, &status, 0) != s->victim || !WIFSTOPPED(status)) {
        crash_fail(s, "the victim cannot begin (status %#x)", (unsigned)status);
        return -1;
    }
    ptrace(PTRACE_SETOPTIONS, s->victim, NULL, PTRACE_O_EXITKILL);
    while (rc == 0 && steps < (int64_t)s->point && s->page->done == 0) {
        rc = step(s, steps + 1 == (int64_t)s->point);
        steps++;
    }
    s->killed_ns = helper_now_ns();
    helper_kill(s->victim);
    if (rc < 0) {
        crash_fail(s, "the victim ended by itself, or for want of a wake");
        return -1;
    }
    return steps;
}
