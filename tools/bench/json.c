/*
 * json.c - the same as report.c, for programs.
 */
#include <string.h>

#include "bench/bench.h"

static void string_print(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fputc('\\', out);
        if (c < 0x20)
            fprintf(out, "\\u%04x", (unsigned)c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void member(FILE *out, const char *name, const char *value, const char *after)
{
    fprintf(out, "\"%s\": ", name);
    string_print(out, value);
    fputs(after, out);
}

static void machine_print(FILE *out, const struct options *options)
{
    fputs("  \"machine\": {", out);
    member(out, "cpu", machine_cpu(), ", ");
    member(out, "kernel", machine_kernel(), ", ");
    member(out, "compiler", machine_compiler(), ", ");
    member(out, "disk", options->disk, ", ");
    fprintf(out, "\"busy_percent\": %.1f},\n", options->busy);
    fprintf(out, "  \"repeat\": %u, \"seconds\": %g,\n  \"transports\": [", options->repeat,
            options->seconds);
    for (const struct transport *const *t = transports; *t; t++) {
        fputs(t == transports ? "\n    {" : ",\n    {", out);
        member(out, "name", (*t)->name, "");
        if ((*t)->missing) {
            fputs(", ", out);
            member(out, "missing", (*t)->missing, "");
        } else if ((*t)->version) {
            fputs(", ", out);
            member(out, "version", (*t)->version(), "");
        }
        fputc('}', out);
    }
    fputs("],\n", out);
}

static void result_print(FILE *out, const struct results *all, const struct result *r)
{
    fputs("    {", out);
    member(out, "workload", r->workload->name, ", ");
    fprintf(out, "\"size\": %zu, ", r->size);
    member(out, "transport", r->transport->name, ", ");
    member(out, "unit", r->workload->unit, "");
    if (r->failed || r->rounds == 0) {
        fputs(r->failed ? ", \"failed\": " : ", \"skipped\": ", out);
        string_print(out, r->note);
    }
    for (int f = 0; r->rounds && !r->failed && f < FIGURES && r->workload->figures[f]; f++) {
        fputs(", ", out);
        string_print(out, r->workload->figures[f]);
        fprintf(out, ": {\"median\": %.6g, \"min\": %.6g, \"max\": %.6g, \"rounds\": [",
                median(r->value[f], r->rounds), least(r->value[f], r->rounds),
                greatest(r->value[f], r->rounds));
        for (unsigned i = 0; i < r->rounds; i++)
            fprintf(out, "%s%.6g", i ? ", " : "", r->value[f][i]);
        fputs("]}", out);
    }
    const struct result *base = result_base(all, r);
    if (base && r->rounds && base->rounds == r->rounds)
        fprintf(out, ", \"ratio_to_shmq\": %.6g",
                median_ratio(r->value[0], base->value[0], r->rounds));
    fputc('}', out);
}

void report_json(FILE *out, const struct results *all, const struct options *options,
                 const struct bar *bars, unsigned bar_count)
{
    fputs("{\n", out);
    machine_print(out, options);
    fputs("  \"results\": [\n", out);
    for (size_t i = 0; i < all->count; i++) {
        result_print(out, all, &all->list[i]);
        fputs(i + 1 < all->count ? ",\n" : "\n", out);
    }
    fputs("  ],\n  \"bars\": [\n", out);
    for (unsigned i = 0; i < bar_count; i++) {
        fputs("    {", out);
        member(out, "what", bars[i].what, ", ");
        member(out, "bar", bars[i].rule, ", ");
        member(out, "figure", bars[i].figure, ", ");
        member(out, "verdict", bars[i].verdict, i + 1 < bar_count ? "},\n" : "}\n");
    }
    fputs("  ]\n}\n", out);
}
