/*
 * main.c - shmq-bench: runs every workload over every transport and reports.
 *
 * The rounds of one workload are interleaved: each repeat runs all transports
 * once, so that what the machine does meanwhile meets all of them, and figures
 * are compared within a repeat.
 *
 * Exit codes: 0 done, 2 usage, 3 a round failed, 130 interrupted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/crew.h"
#include "bench/options.h"

const struct workload *const workloads[] = {
    &work_one_to_one, &work_batch,   &work_many,     &work_pingpong,
    &work_one_core,   &work_poll,    &work_idle,     &work_attached,
    &work_producers,  &work_lease,   &work_priority, &work_topic,
    &work_delay,      &work_durable, &work_journal,  &work_journal_pair,
    &work_file,       &work_beside,  NULL,
};

/* What needs one of these has nothing to do with the peers that are not built. */
static const unsigned not_for_peers = TRAIT_CROWD | TRAIT_LEASE | TRAIT_WAITING | TRAIT_TOPIC |
                                      TRAIT_DELAY | TRAIT_DURABLE | TRAIT_WRITTEN | TRAIT_JOURNAL |
                                      TRAIT_FILED | TRAIT_SAVED;

/* A thousand processes and several seconds a time: once is enough when in haste. */
static unsigned rounds_of(const struct options *options, const struct workload *workload)
{
    return workload == &work_idle && options->repeat > 2 ? (options->quick ? 1 : 2)
                                                         : options->repeat;
}

static bool wanted(const struct options *options, const struct transport *transport)
{
    if (!options_list_has(options->transports, transport->name))
        return false;
    return options->peers || !(transport->traits & TRAIT_PEER);
}

static const char *refusal(const struct transport *transport, const struct workload *workload,
                           size_t size)
{
    unsigned consumers = workload == &work_many ? 4 : 1;
    if (transport->missing)
        return transport->missing;
    return transport->refuses ? transport->refuses(size, consumers) : NULL;
}

/* Lists who takes part; those that cannot are noted with the reason. */
static unsigned enter(struct results *all, const struct options *options,
                      const struct workload *workload, size_t size)
{
    unsigned count = 0;
    for (const struct transport *const *t = transports; *t; t++) {
        bool able = ((*t)->traits & workload->needs) == workload->needs;
        bool absent = (*t)->missing && !(workload->needs & not_for_peers);
        if (!wanted(options, *t) || (!able && !absent))
            continue;
        struct round round = {options, *t, size};
        struct result *result = result_add(all, &round, workload);
        const char *why = refusal(*t, workload, size);
        if (why)
            snprintf(result->note, sizeof result->note, "%s%s",
                     (*t)->missing ? "not built: " : "skipped: ", why);
        count++;
    }
    return count;
}

static int run_one(struct result *result, const struct options *options, unsigned repeat)
{
    double figures[FIGURES] = {0};
    struct round round = {options, result->transport, result->size};
    if (result->failed || result->note[0])
        return 0;
    int error = result->workload->round(&round, figures);
    if (interrupted())
        return -EINTR;
    if (error) {
        result->failed = true;
        snprintf(result->note, sizeof result->note, "%s", round_error());
        fprintf(stderr, "shmq-bench: %s over %s, %zu bytes: %s\n", result->workload->name,
                result->transport->name, result->size, result->note);
        return error;
    }
    for (int f = 0; f < FIGURES; f++)
        result->value[f][repeat] = figures[f];
    result->rounds = repeat + 1;
    return 0;
}

/* All repeats of one workload and size; returns 1 if a round failed. */
static int run_workload(struct results *all, const struct options *options,
                        const struct workload *workload, size_t size)
{
    size_t first = all->count;
    unsigned count = enter(all, options, workload, size);
    int failed = 0;
    for (unsigned repeat = 0; repeat < rounds_of(options, workload); repeat++) {
        for (unsigned i = 0; i < count; i++) {
            int error = run_one(&all->list[first + i], options, repeat);
            if (error == -EINTR)
                return -EINTR;
            failed |= error != 0;
        }
    }
    if (count && !options->json)
        report_table(stdout, all, workload, size);
    return failed;
}

static int run_all(struct results *all, const struct options *options)
{
    int failed = 0;
    for (const struct workload *const *w = workloads; *w; w++) {
        if (!options_list_has(options->only, (*w)->name))
            continue;
        const size_t *sizes = options->size_count ? options->sizes : (*w)->sizes;
        for (unsigned i = 0; options->size_count ? i < options->size_count : sizes[i] != 0; i++) {
            int error = run_workload(all, options, *w, sizes[i]);
            if (error < 0)
                return error;
            failed |= error;
        }
    }
    return failed;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct results all = {0};
    struct bar bars[MAX_BARS];
    unsigned bar_count = 0;
    int done = options_parse(&options, argc, argv);
    if (done >= 0)
        return done;
    catch_signals();
    ticks_per_ns();
    options.busy = machine_busy();
    if (!options.json) {
        report_machine(stdout, &options);
        printf("%.0f%% of the processors were in use by others at the start%s\n", options.busy,
               options.busy > 5 ? ": figures will be off" : "");
        printf("%u rounds of %g s each; medians, least and most\n", options.repeat,
               options.seconds);
    }
    int failed = run_all(&all, &options);
    if (failed == -EINTR) {
        fprintf(stderr, "shmq-bench: interrupted\n");
        free(all.list);
        return 130;
    }
    if (options.bars)
        bar_count = bars_judge(&all, bars);
    if (options.json)
        report_json(stdout, &all, &options, bars, bar_count);
    else if (options.bars)
        report_bars(stdout, bars, bar_count);
    free(all.list);
    return failed ? 3 : 0;
}
