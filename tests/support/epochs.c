/*
 * epochs.c - see epochs.h.
 */
#include "support/epochs.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct epochs_args epochs_begin(int argc, char **argv, bool may_have_threads)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 'r'},
        {"threads", no_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    struct epochs_args args = {.seed = 1};
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'r')
            args.seed = strtoull(optarg, NULL, 10);
        else if (c == 't' && may_have_threads)
            args.threads = true;
        else
            exit(2);
    }
    args.seconds = optind < argc ? strtol(argv[optind], NULL, 10) : args.threads ? 5 : 10;
    if (args.seconds <= 0)
        exit(3);
    printf("seed %llu\n", (unsigned long long)args.seed);
    return args;
}

void *epochs_board(size_t bytes)
{
    void *board = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (board == MAP_FAILED)
        exit(3);
    return board;
}

unsigned epochs_run(const struct epochs_args *args, unsigned count, int64_t longest_ns,
                    bool (*epoch)(void *arg, unsigned variant, int64_t length_ns, uint64_t seed),
                    void *arg)
{
    int64_t end_ns = helper_now_ns() + SHMQ_SEC(args->seconds);
    int64_t length_ns = SHMQ_SEC(args->seconds) / count;
    unsigned failed = 0;

    if (length_ns > longest_ns)
        length_ns = longest_ns;
    for (unsigned i = 0; failed == 0 && (i < count || helper_now_ns() + length_ns / 2 < end_ns);
         i++) {
        helper_setup(NULL);
        failed += !epoch(arg, i % count, length_ns, args->seed + i);
        failed += helper_teardown(NULL) != 0;
    }
    return failed;
}

void epochs_stop(struct epochs_worker *w, int64_t continue_at_ns)
{
    kill(w->pid, SIGSTOP);
    w->continue_at_ns = continue_at_ns;
}

void epochs_continue(struct epochs_worker *workers, unsigned count, int64_t now_ns)
{
    for (struct epochs_worker *w = workers; w < workers + count; w++) {
        if (w->pid == 0 || w->continue_at_ns == 0 || w->continue_at_ns > now_ns)
            continue;
        kill(w->pid, SIGCONT);
        w->continue_at_ns = 0;
    }
}

bool epochs_ended(struct epochs_worker *workers, unsigned count,
                  void (*wrong)(const char *format, ...))
{
    bool all = true;

    for (struct epochs_worker *w = workers; w < workers + count; w++) {
        int status;
        if (w->pid == 0)
            continue;
        if (waitpid(w->pid, &status, WNOHANG) != w->pid) {
            all = false;
            continue;
        }
        w->pid = 0;
        if (status != 0)
            wrong("a worker ended with status %#x", (unsigned)status);
    }
    return all;
}

int64_t epochs_note(struct epochs_progress *p, uint64_t progress, int64_t now_ns)
{
    if (progress != p->last) {
        p->last = progress;
        p->at_ns = now_ns;
        return 0;
    }
    int64_t gap_ns = now_ns - p->at_ns;
    if (gap_ns > p->longest_gap_ns)
        p->longest_gap_ns = gap_ns;
    return gap_ns;
}

bool epochs_goes_on(const struct epochs_progress *p, int64_t now_ns, int64_t until_ns)
{
    return now_ns < until_ns || now_ns - p->at_ns > SHMQ_SEC(1);
}
