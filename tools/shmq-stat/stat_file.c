/*
 * stat_file.c - what shmq-stat says of the file that keeps a queue, see stat_file.h.
 */
#include "shmq-stat/stat_file.h"

#include <string.h>

static bool has_file(const struct watched *one)
{
    return one->file.path[0] != '\0';
}

static const char *kind_of(const struct shmq_file_stats *f)
{
    static const char *const kinds[] = {"snapshot", "journal os", "journal interval",
                                        "journal always"};

    return kinds[f->journal < sizeof(kinds) / sizeof(kinds[0]) ? f->journal : 0];
}

static uint64_t unsynced(const struct shmq_file_stats *f)
{
    return f->file_bytes > f->synced_bytes ? f->file_bytes - f->synced_bytes : 0;
}

static double failed_for(const struct watched *one)
{
    return (double)(one->now_ns - one->file.failed_ns);
}

/* --- table ----------------------------------------------------------------- */

/* What is printed to a terminal has no control characters. */
static void add_path(struct text *out, const char *path)
{
    for (; *path != '\0'; path++)
        text_format(out, "%c", (unsigned char)*path < 0x20 || *path == 0x7f ? '?' : *path);
}

unsigned stat_file_lines(struct text *out, const struct watched *one)
{
    const struct shmq_file_stats *f = &one->file;

    if (f->cut_bytes != 0)
        text_format(out, "  made of a file whose last %s were torn, and cut off\n",
                    figure_bytes((double)f->cut_bytes).s);
    if (!has_file(one))
        return f->cut_bytes != 0;
    text_format(out, "  %s ", kind_of(f));
    add_path(out, f->path);
    text_format(out, ": %s", figure_bytes((double)f->file_bytes).s);
    if (f->journal == SHMQ_JOURNAL_NONE)
        text_format(out, ", saved %s ago, lag %s%s", figure_duration((double)f->saved_age_ns).s,
                    figure_count((double)f->lag).s, f->stale ? "" : ", nothing new");
    else
        text_format(out, ", not on the disk %s", figure_bytes((double)unsynced(f)).s);
    if (f->error != 0)
        text_format(out, "; for %s: %s", figure_duration(failed_for(one)).s,
                    shmq_strerror(-f->error));
    text_add(out, "\n");
    return 1 + (f->cut_bytes != 0);
}

/* --- JSON ------------------------------------------------------------------ */

void stat_file_json(struct text *out, const struct watched *one)
{
    const struct shmq_file_stats *f = &one->file;

    if (!has_file(one)) {
        text_add(out, ",\"file\":null");
        return;
    }
    text_add(out, ",\"file\":{\"kind\":");
    text_json_string(out, kind_of(f), strlen(kind_of(f)));
    text_json_bytes(out, "path", "path_base64", f->path, strlen(f->path));
    text_format(out, ",\"error\":%d,\"error_text\":", f->error);
    if (f->error != 0)
        text_json_string(out, shmq_strerror(-f->error), strlen(shmq_strerror(-f->error)));
    else
        text_add(out, "null");
    text_format(out, ",\"failed_for_ns\":%lld",
                f->error != 0 ? (long long)(one->now_ns - f->failed_ns) : 0);
    text_format(out, ",\"saved_age_ns\":%lld,\"saved_id\":%llu,\"lag\":%llu,\"stale\":%s",
                (long long)f->saved_age_ns, (unsigned long long)f->saved_id,
                (unsigned long long)f->lag, f->stale ? "true" : "false");
    text_format(out, ",\"generation\":%llu,\"file_bytes\":%llu,\"synced_bytes\":%llu",
                (unsigned long long)f->generation, (unsigned long long)f->file_bytes,
                (unsigned long long)f->synced_bytes);
    text_format(out, ",\"write_count\":%llu,\"sync_count\":%llu,\"cut_bytes\":%llu}",
                (unsigned long long)f->write_count, (unsigned long long)f->sync_count,
                (unsigned long long)f->cut_bytes);
}

/* --- Prometheus ------------------------------------------------------------ */

static double error_of(const struct watched *one)
{
    return one->file.error;
}

static double lag_of(const struct watched *one)
{
    return (double)one->file.lag;
}

static double age_of(const struct watched *one)
{
    return (double)one->file.saved_age_ns / 1e9;
}

static double bytes_of(const struct watched *one)
{
    return (double)one->file.file_bytes;
}

static double unsynced_of(const struct watched *one)
{
    return (double)unsynced(&one->file);
}

static double writes_of(const struct watched *one)
{
    return (double)one->file.write_count;
}

static double syncs_of(const struct watched *one)
{
    return (double)one->file.sync_count;
}

static const struct field {
    const char *metric, *type, *help;
    double (*value)(const struct watched *one);
} fields[] = {
    {"error", "gauge", "Error number of the last try to write the file, 0 for none", error_of},
    {"lag_messages", "gauge", "Messages put since the snapshot", lag_of},
    {"saved_age_seconds", "gauge", "Time since the file was last written whole", age_of},
    {"bytes", "gauge", "Bytes of the file", bytes_of},
    {"unsynced_bytes", "gauge", "Bytes of the journal not known to be on the disk", unsynced_of},
    {"writes_total", "counter", "Writes to the journal", writes_of},
    {"syncs_total", "counter", "Times the journal was put on the disk", syncs_of},
};

void stat_file_prometheus(struct text *out, const struct watch *w)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const struct field *f = &fields[i];

        text_format(out, "# HELP shmq_file_%s %s.\n# TYPE shmq_file_%s %s\n", f->metric, f->help,
                    f->metric, f->type);
        for (size_t k = 0; k < w->count; k++)
            if (w->list[k].fresh && has_file(&w->list[k]))
                text_format(out, "shmq_file_%s{queue=\"%s\"} %.15g\n", f->metric, w->list[k].name,
                            f->value(&w->list[k]));
    }
}
