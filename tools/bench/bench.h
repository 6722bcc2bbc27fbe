/*
 * bench.h - what the parts of shmq-bench share: transports, workloads, results.
 *
 * A transport is one way to hand messages from process to process.  Every
 * workload is written once, against struct transport, and run over each of
 * them.  A channel is one direction of one transport; a ping-pong uses two.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "bench/channel.h"

enum {
    MAX_REPEAT = 99,
    MAX_SIZES = 16,
    MAX_TRANSPORTS = 48,
    FIGURES = 3,          /* a round yields up to so many figures */
    BATCH = 32,           /* messages a batch */
    MAX_GROUPS = 8,       /* of a topic */
    MAX_MESSAGE = 1 << 20 /* longest message that --size accepts */
};

struct options {
    bool peers;
    bool bars;
    bool json;
    bool quick;
    double busy; /* machine_busy() before the first round */
    unsigned repeat;
    double seconds;          /* length of a round */
    size_t sizes[MAX_SIZES]; /* as given; 0 of them: the workload's own */
    unsigned size_count;
    const char *folder;     /* for what is kept in files */
    char disk[1400];        /* that folder and its file system (disk.h) */
    const char *only;       /* comma-separated workloads; NULL: all */
    const char *transports; /* comma-separated transports; NULL: all */
};

/* One round to run: one workload, one transport, one message size. */
struct round {
    const struct options *options;
    const struct transport *transport;
    size_t size;
};

struct workload {
    const char *name;  /* as given to --only */
    const char *title; /* as printed over its table */
    const char *unit;
    const char *figures[FIGURES]; /* heads of the columns; NULL: not used */
    unsigned needs;               /* traits of the transports it can run on */
    const size_t *sizes;          /* ends with 0 */
    /* Runs one round; 0, or a negative errno with the reason in round_error(). */
    int (*round)(const struct round *round, double figures[FIGURES]);
};

extern const struct workload *const workloads[];   /* ends with NULL */
extern const struct transport *const transports[]; /* ends with NULL */

extern const struct workload work_one_to_one, work_batch, work_many, work_producers;
extern const struct workload work_pingpong, work_one_core, work_poll;
extern const struct workload work_idle, work_attached;
extern const struct workload work_lease, work_delay, work_priority, work_topic;
extern const struct workload work_durable, work_journal, work_journal_pair, work_file, work_beside;

/* All rounds of one workload over one transport with one size. */
struct result {
    const struct workload *workload;
    const struct transport *transport;
    size_t size;
    unsigned rounds; /* that went well */
    double value[FIGURES][MAX_REPEAT];
    bool failed;
    char note[160]; /* why there are no figures */
};

struct results {
    struct result *list;
    size_t count;
    size_t room;
};

/* NULL when that was not measured, or failed. */
const struct result *result_find(const struct results *all, const struct workload *workload,
                                 size_t size, const char *transport);
struct result *result_add(struct results *all, const struct round *round,
                          const struct workload *workload);
/* The result the ratios of `of` refer to: shmq's in the same table. */
const struct result *result_base(const struct results *all, const struct result *of);
double median(const double *values, unsigned count);
double least(const double *values, unsigned count);
double greatest(const double *values, unsigned count);
/* The median of the ratios round by round; 0 where there is nothing to divide. */
double median_ratio(const double *a, const double *b, unsigned count);

/* One bar: a figure that shmq is to reach. */
struct bar {
    char what[64];
    char rule[80];
    char figure[120];
    const char *verdict; /* "pass", "short" or "not measured" */
};

enum { MAX_BARS = 48 };

unsigned bars_judge(const struct results *all, struct bar bars[MAX_BARS]);

void report_machine(FILE *out, const struct options *options);
void report_table(FILE *out, const struct results *all, const struct workload *workload,
                  size_t size);
void report_bars(FILE *out, const struct bar *bars, unsigned count);
void report_json(FILE *out, const struct results *all, const struct options *options,
                 const struct bar *bars, unsigned bar_count);
/* "AMD EPYC", "Linux 6.1", "gcc 12.2"; static. */
const char *machine_cpu(void);
const char *machine_kernel(void);
const char *machine_compiler(void);
/* The share of all processors that is in use while we sleep half a second, in percent. */
double machine_busy(void);

#endif
