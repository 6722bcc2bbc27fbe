/*
 * epochs.h - what the storms share: a command line, epochs in turn, one for each variant at
 * least, workers that are stopped and continued, and whether there is progress.
 */
#ifndef EPOCHS_H
#define EPOCHS_H

#include "support/helper.h"

/* PROGRAM [SECONDS] [--seed N] [--threads] */
struct epochs_args {
    int64_t seconds;
    uint64_t seed;
    bool threads;
};

/* Read them, and print the seed; anything else ends the program.  Without SECONDS 10, with
 * threads 5. */
struct epochs_args epochs_begin(int argc, char **argv, bool may_have_threads);

/* Memory that all processes share, zeroed.  Or the program ends. */
void *epochs_board(size_t bytes);

/*
 * Run epochs until the time is over or one fails, each between helper_setup() and
 * helper_teardown(): one for each of `count` variants, and then from the first again.  They
 * share the time, and none lasts longer than `longest_ns`.  Epoch number `i` gets the seed and
 * `i`.  How many failed.
 */
unsigned epochs_run(const struct epochs_args *args, unsigned count, int64_t longest_ns,
                    bool (*epoch)(void *arg, unsigned variant, int64_t length_ns, uint64_t seed),
                    void *arg);

struct epochs_worker {
    pid_t pid;              /* 0: ended */
    int64_t continue_at_ns; /* 0: not stopped */
};

/* Stop it; and continue those whose time has come. */
void epochs_stop(struct epochs_worker *w, int64_t continue_at_ns);
void epochs_continue(struct epochs_worker *workers, unsigned count, int64_t now_ns);

/* Whether all have ended; reaps.  Another end than by return 0 is `wrong`. */
bool epochs_ended(struct epochs_worker *workers, unsigned count,
                  void (*wrong)(const char *format, ...));

struct epochs_progress {
    uint64_t last;
    int64_t at_ns, longest_gap_ns;
};

/* How far things are now.  How long there has been no progress. */
int64_t epochs_note(struct epochs_progress *p, uint64_t progress, int64_t now_ns);

/* Whether it is not yet until_ns, or there has been no progress for a second. */
bool epochs_goes_on(const struct epochs_progress *p, int64_t now_ns, int64_t until_ns);

#endif
