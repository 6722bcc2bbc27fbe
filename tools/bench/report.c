/*
 * report.c - what a person reads: the machine, a table for each workload and
 * size, and the bars.
 */
#include <string.h>

#include "bench/bench.h"

void report_machine(FILE *out, const struct options *options)
{
    fprintf(out, "%s; %s; %s\n", machine_cpu(), machine_kernel(), machine_compiler());
    fprintf(out, "files in %s\n", options->disk);
    const char *last = "";
    for (const struct transport *const *t = transports; *t; t++) {
        if ((*t)->missing) {
            fprintf(out, "%s: not built, %s\n", (*t)->name, (*t)->missing);
        } else if ((*t)->version && strcmp((*t)->version(), last) != 0) {
            last = (*t)->version();
            fprintf(out, "%s: %s\n", (*t)->name, last);
        }
    }
}

void report_table(FILE *out, const struct results *all, const struct workload *workload,
                  size_t size)
{
    fprintf(out, "\n%s: %s, %zu bytes, %s\n", workload->name, workload->title, size,
            workload->unit);
    fprintf(out, "%-16s", "");
    for (int f = 0; f < FIGURES && workload->figures[f]; f++)
        fprintf(out, "  %9s %-18s", workload->figures[f], "(least..most)");
    fprintf(out, "  to shmq\n");
    for (size_t i = 0; i < all->count; i++) {
        const struct result *r = &all->list[i];
        if (r->workload != workload || r->size != size)
            continue;
        fprintf(out, "%-16s", r->transport->name);
        if (r->failed || r->rounds == 0) {
            fprintf(out, "  %s%s\n", r->failed ? "failed: " : "", r->note);
            continue;
        }
        for (int f = 0; f < FIGURES && workload->figures[f]; f++) {
            char range[48];
            const double *v = r->value[f];
            snprintf(range, sizeof range, "(%.4g..%.4g)", least(v, r->rounds),
                     greatest(v, r->rounds));
            fprintf(out, "  %9.4g %-18s", median(v, r->rounds), range);
        }
        const struct result *base = result_base(all, r);
        if (base && base->rounds == r->rounds)
            fprintf(out, "  %.3gx", median_ratio(r->value[0], base->value[0], r->rounds));
        fprintf(out, "\n");
    }
    fflush(out);
}

void report_bars(FILE *out, const struct bar *bars, unsigned count)
{
    fprintf(out, "\nBars (ratios are medians of the ratios within each repeat)\n");
    for (unsigned i = 0; i < count; i++)
        fprintf(out, "%-12s  %-44s  %s\n%14s%s\n", bars[i].verdict, bars[i].what, bars[i].rule, "",
                bars[i].figure);
}
