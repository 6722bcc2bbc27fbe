/*
 * crash_step.c - see crash_step.h.
 *
 * A step over a system call that sleeps does not come back.  When the operation
 * is one that waits, that is noticed after some milliseconds: if the kill point
 * is there, the victim is killed asleep; else it is given what it waits for.
 * Taking a slow step for a sleep does no harm, since what is checked afterwards
 * follows from what was done.
 *
 * A step costs some 20 us, and thousands of them for each of thousands of points
 * take long.  So the first run of an operation (crash_trace()) notes where each
 * step was.  Later ones run freely to a breakpoint at the last address before the
 * kill point (is_ours()) that is reached for the first time there, and step from there on.
 * Operations that wait are always stepped.
 *
 * Of a victim only the thread that performs the operation runs: others that this starts
 * stay where they begin, and those from before must have ended.
 */
#include "crash/crash_step.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/helper.h"

#define ASLEEP_AFTER_NS SHMQ_MS(4)

enum {
    TRACE_ADDRESSES = 1 << 16, /* more than an operation has instructions */
};

/* Stop for the tracer: what follows is stepped. */
static void begin_stepping(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("int3" ::: "memory");
#else
    raise(SIGTRAP);
#endif
}

static void be_victim(struct crash_victim *v)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!v->prepare(v->arg))
        _exit(1);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(3);
    begin_stepping();
    v->act(v->arg);
    *v->done = 1;
    begin_stepping(); /* the end of a run without steps */
    for (;;)
        pause();
}

/* If it stopped since it has started a thread: that one stays where it begins. */
static bool is_new_thread(struct crash_victim *v, int status)
{
    unsigned long thread;

    if (status >> 8 != (SIGTRAP | PTRACE_EVENT_CLONE << 8))
        return false;
    if (ptrace(PTRACE_GETEVENTMSG, v->pid, NULL, &thread) == 0 && v->thread_count < CRASH_THREADS)
        v->threads[v->thread_count++] = (pid_t)thread;
    return true;
}

/* Let it go on in this manner of ptrace() until it stops.  False: it has ended. */
static bool go(struct crash_victim *v, enum __ptrace_request how, int *status)
{
    do
        if (ptrace(how, v->pid, NULL, NULL) != 0 || waitpid(v->pid, status, 0) != v->pid)
            return false;
    while (is_new_thread(v, *status));
    return WIFSTOPPED(*status);
}

/* Give it what it waits for. */
static bool release(struct crash_victim *v)
{
    v->released = true;
    return v->release(v->arg);
}

/* Take a step that may sleep, and wait for its end.  1: it sleeps. */
static int step_perhaps(struct crash_victim *v, int *status)
{
    int64_t until_ns = 0;

    if (ptrace(PTRACE_SINGLESTEP, v->pid, NULL, NULL) != 0)
        return -1;
    for (unsigned looks = 0;; looks++) {
        if (waitpid(v->pid, status, WNOHANG) == v->pid)
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
static int step(struct crash_victim *v, bool last)
{
    int status, rc;

    if (v->release != NULL && !v->released) {
        rc = step_perhaps(v, &status);
        if (rc < 0)
            return rc;
        if (rc > 0 && last)
            return 1;
        if (rc > 0 && (!release(v) || waitpid(v->pid, &status, 0) != v->pid))
            return -1;
    } else if (!go(v, PTRACE_SINGLESTEP, &status)) {
        return -1;
    }
    return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP ? 0 : -1;
}

/* --- running freely to an address --------------------------------------------- */

/* Where the operation last traced was at each step, and the latest step before
 * it that came to an address of ours for the first time. */
static struct {
    const void *operation;
    unsigned count, room;
    uintptr_t *address;
    unsigned *first, *visit;
    struct {
        uintptr_t address;
        unsigned count;
    } seen[TRACE_ADDRESSES];
} trace;

#if defined(__x86_64__)
#define RIP ((void *)offsetof(struct user_regs_struct, rip))

static uintptr_t where(pid_t victim)
{
    return (uintptr_t)ptrace(PTRACE_PEEKUSER, victim, RIP, NULL);
}

/* Let the victim run until it comes to `address`.  False: it took another way. */
static bool run_to(struct crash_victim *v, uintptr_t address)
{
    void *at = (void *)address;
    long word = ptrace(PTRACE_PEEKTEXT, v->pid, at, NULL);
    int status;

    if (ptrace(PTRACE_POKETEXT, v->pid, at, (word & ~0xffL) | 0xcc) != 0 ||
        !go(v, PTRACE_CONT, &status))
        return false;
    if (*v->done != 0 || where(v->pid) != address + 1)
        return false;
    ptrace(PTRACE_POKETEXT, v->pid, at, word);
    return ptrace(PTRACE_POKEUSER, v->pid, RIP, address) == 0;
}
#else
static uintptr_t where(pid_t victim)
{
    (void)victim;
    return 0;
}

static bool run_to(struct crash_victim *v, uintptr_t address)
{
    (void)v;
    (void)address;
    return false;
}
#endif

/* How often the operation has been at `address` before this. */
static unsigned count_visit(uintptr_t address)
{
    size_t i = (size_t)(address * 0x9e3779b97f4a7c15u >> 40) % TRACE_ADDRESSES;

    while (trace.seen[i].address != 0 && trace.seen[i].address != address)
        i = (i + 1) % TRACE_ADDRESSES;
    trace.seen[i].address = address;
    return trace.seen[i].count++;
}

/* Within the library, and not in the C library, whose ways depend on what was done before:
 * where its heap has room, say. */
static bool is_ours(uintptr_t address)
{
    extern const char __executable_start[], etext[];

    return address >= (uintptr_t)__executable_start && address < (uintptr_t)etext;
}

static void note_address(struct crash_victim *v)
{
    if (trace.count == trace.room) {
        trace.room += 4096;
        trace.address = realloc(trace.address, trace.room * sizeof(trace.address[0]));
        trace.first = realloc(trace.first, trace.room * sizeof(trace.first[0]));
        trace.visit = realloc(trace.visit, trace.room * sizeof(trace.visit[0]));
        if (trace.address == NULL || trace.first == NULL || trace.visit == NULL)
            abort();
    }
    unsigned i = trace.count++;
    trace.address[i] = where(v->pid);
    trace.visit[i] = count_visit(trace.address[i]);
    bool is_first = trace.visit[i] == 0 && is_ours(trace.address[i]);
    trace.first[i] = i == 0 || is_first ? i : trace.first[i - 1];
}

bool crash_is_early(unsigned point, unsigned times)
{
    return point >= trace.count || (trace.visit[point] < times && is_ours(trace.address[point]));
}

/* Come near the kill point.  The steps this stands for, or CRASH_ASTRAY. */
static int64_t approach(struct crash_victim *v)
{
    if (v->manner == CRASH_STEPS || trace.operation != v->operation || v->release != NULL ||
        trace.count == 0)
        return 0;
    unsigned near = trace.first[v->point < trace.count ? v->point : trace.count - 1];
    if (near == 0)
        return 0;
    return run_to(v, trace.address[near]) ? (int64_t)near : CRASH_ASTRAY;
}

/* --- the whole ----------------------------------------------------------------- */

/* Fork the victim, and have it stop before its operation. */
static bool start(struct crash_victim *v)
{
    int status;

    v->pid = fork();
    if (v->pid == 0)
        be_victim(v);
    if (waitpid(v->pid, &status, 0) != v->pid || !WIFSTOPPED(status)) {
        snprintf(v->wrong, sizeof(v->wrong), "the victim cannot begin (status %#x)",
                 (unsigned)status);
        return false;
    }
    ptrace(PTRACE_SETOPTIONS, v->pid, NULL,
           PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE);
    if (v->begin != NULL && !v->begin(v->arg)) {
        helper_kill(v->pid);
        return false;
    }
    return true;
}

/* It may have ended by itself, and be reaped. */
static void finish(struct crash_victim *v)
{
    int status;

    if (v->last != NULL)
        v->last(v->arg);
    v->killed_ns = helper_now_ns();
    kill(v->pid, SIGKILL);
    while (v->thread_count > 0)
        if (waitpid(v->threads[v->thread_count - 1], &status, __WALL) < 0 || !WIFSTOPPED(status))
            v->thread_count--;
    while (waitpid(v->pid, &status, 0) == v->pid && WIFSTOPPED(status))
        ;
}

static int64_t step_and_kill(struct crash_victim *v, bool tracing)
{
    int rc = 0;

    if (!start(v))
        return -1;
    int64_t steps = tracing ? 0 : approach(v);
    while (rc == 0 && steps >= 0 && steps < (int64_t)v->point && *v->done == 0) {
        if (tracing)
            note_address(v);
        rc = step(v, steps + 1 == (int64_t)v->point);
        steps++;
    }
    finish(v);
    if (rc < 0) {
        snprintf(v->wrong, sizeof(v->wrong), "the victim ended by itself, or for want of a wake");
        return -1;
    }
    return steps;
}

static int64_t call_and_kill(struct crash_victim *v)
{
    int64_t calls = 0;
    int status;

    if (!start(v))
        return -1;
    while (calls < (int64_t)v->point && go(v, PTRACE_SYSCALL, &status) &&
           WSTOPSIG(status) == (SIGTRAP | 0x80))
        calls++;
    finish(v);
    return calls;
}

int64_t crash_trace(struct crash_victim *v)
{
    trace.operation = v->operation;
    trace.count = 0;
    memset(trace.seen, 0, sizeof(trace.seen));
#if !defined(__x86_64__)
    trace.operation = NULL; /* always step */
#endif
    return step_and_kill(v, true);
}

int64_t crash_step(struct crash_victim *v)
{
    return v->manner == CRASH_CALLS ? call_and_kill(v) : step_and_kill(v, false);
}
