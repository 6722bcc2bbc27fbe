/*
 * stat_report.h - the forms in which shmq-stat prints what it has read.
 */
#ifndef SHMQ_STAT_REPORT_H
#define SHMQ_STAT_REPORT_H

#include "common/text.h"
#include "shmq-stat/stat_watch.h"

/* How far the table has come, for its header. */
struct table {
    unsigned rows;  /* since the header */
    bool rates;     /* the header speaks of rates */
    int name_width; /* of the first column */
};

/*
 * Each adds one report on the queues just sampled.  Figures that count events
 * are totals in a queue's first report, and of the interval later.
 */
void report_table(struct text *out, struct table *table, const struct watch *w);
void report_json(struct text *out, const struct watch *w);
void report_prometheus(struct text *out, const struct watch *w);
void report_processes(struct text *out, const struct watch *w);
void report_histogram(struct text *out, const struct watch *w);

#endif
