/*
 * crash_step.c - a victim: forked, single-stepped up to a point, killed there.
 *
 * A step over a system call that sleeps does not come back.  When the operation
 * is one that waits, that is noticed after some milliseconds: if the kill point
 * is there, the victim is killed asleep; else it is given what it waits for.
 * Taking a slow step for a sleep does no harm, since what is checked afterwards
 * follows from what was done.
 *
 * A step costs some 20 us, and thousands of them for each of thousands of points
 * take long.  So the first run of an operation (crash_trace()) notes where each
 * step was.  Later ones run freely to a breakpoint at the last place before the
 * kill point that is reached for the first time there, and step from there on.
 * Operations that wait are always stepped.
 */
#include "crash.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
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
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (op->ready != CRASH_NO_HANDLE) {
        if (shmq_open(&s->handle, s->name, op->flags, NULL) != 0)
            _exit(1);
        for (int role = 0; role < 2; role++)
            if ((op->ready >> role & 1) != 0 &&
                sq_make_ready(s->handle, (enum sq_role)role, &deadline) != 0)
                _exit(2);
    }
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(3);
    begin_stepping();
    op->act(s);
    s->page->done = 1;
    begin_stepping(); /* the end of a run without steps */
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

/* --- running freely to a place ---------------------------------------------- */

/* Where the operation last traced was at each step, and the latest step before
 * it that came to its place for the first time. */
static struct {
    const struct crash_op *op;
    unsigned count, room;
    uintptr_t *place;
    unsigned *first;
} trace;

#if defined(__x86_64__)
#define RIP ((void *)offsetof(struct user_regs_struct, rip))

static uintptr_t where(pid_t victim)
{
    return (uintptr_t)ptrace(PTRACE_PEEKUSER, victim, RIP, NULL);
}

/* Let the victim run until it comes to `place`.  False: it took another way. */
static bool run_to(struct crash_scene *s, uintptr_t place)
{
    void *at = (void *)place;
    long word = ptrace(PTRACE_PEEKTEXT, s->victim, at, NULL);
    int status;

    if (ptrace(PTRACE_POKETEXT, s->victim, at, (word & ~0xffL) | 0xcc) != 0 ||
        ptrace(PTRACE_CONT, s->victim, NULL, NULL) != 0 ||
        waitpid(s->victim, &status, 0) != s->victim || !WIFSTOPPED(status))
        return false;
    if (s->page->done != 0 || where(s->victim) != place + 1)
        return false;
    ptrace(PTRACE_POKETEXT, s->victim, at, word);
    return ptrace(PTRACE_POKEUSER, s->victim, RIP, place) == 0;
}
#else
static uintptr_t where(pid_t victim)
{
    (void)victim;
    return 0;
}

static bool run_to(struct crash_scene *s, uintptr_t place)
{
    (void)s;
    (void)place;
    return false;
}
#endif

static void note_place(struct crash_scene *s)
{
    if (trace.count == trace.room) {
        trace.room += 4096;
        trace.place = realloc(trace.place, trace.room * sizeof(trace.place[0]));
        trace.first = realloc(trace.first, trace.room * sizeof(trace.first[0]));
        if (trace.place == NULL || trace.first == NULL)
            abort();
    }
    unsigned i = trace.count++;
    trace.place[i] = where(s->victim);
    trace.first[i] = i;
    for (unsigned j = 0; j < i; j++)
        if (trace.place[j] == trace.place[i]) {
            trace.first[i] = trace.first[i - 1];
            break;
        }
}

/* Come near the kill point.  The steps this stands for, or CRASH_ASTRAY. */
static int64_t approach(struct crash_scene *s)
{
    if (s->only_steps || trace.op != s->op || s->op->waits >= 0 || s->point >= trace.count)
        return 0;
    unsigned near = trace.first[s->point];
    if (near == 0)
        return 0;
    return run_to(s, trace.place[near]) ? (int64_t)near : CRASH_ASTRAY;
}

/* --- the whole ----------------------------------------------------------------- */

static int64_t step_and_kill(struct crash_scene *s, bool tracing)
{
    int status, rc = 0;

    s->victim = fork();
    if (s->victim == 0)
        be_victim(s);
    if (waitpid(s->victim, &status, 0) != s->victim || !WIFSTOPPED(status)) {
        crash_fail(s, "the victim cannot begin (status %#x)", (unsigned)status);
        return -1;
    }
    ptrace(PTRACE_SETOPTIONS, s->victim, NULL, PTRACE_O_EXITKILL);
    int64_t steps = tracing ? 0 : approach(s);
    while (rc == 0 && steps >= 0 && steps < (int64_t)s->point && s->page->done == 0) {
        if (tracing)
            note_place(s);
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

int64_t crash_trace(struct crash_scene *s)
{
    trace.op = s->op;
    trace.count = 0;
#if !defined(__x86_64__)
    trace.op = NULL; /* always step */
#endif
    return step_and_kill(s, true);
}

int64_t crash_step(struct crash_scene *s)
{
    return step_and_kill(s, false);
}
