/*
 * format_sample.h - queues with a bit of everything that a file can hold, as files.
 *
 * Each format that there has been has its samples in tests/fuzz/corpus/formatN/.  They were
 * written by `make format-samples` when the format was new and never change again:
 * test_old_format.c reads them all.
 */
#ifndef FORMAT_SAMPLE_H
#define FORMAT_SAMPLE_H

#include "shmq.h"

enum sample {
    SAMPLE_SNAPSHOT,   /* of a topic by priority */
    SAMPLE_JOURNAL,    /* of a topic, rewritten once and gone on with */
    SAMPLE_COMPRESSED, /* a snapshot of a unique queue whose payloads are compressed */
    SAMPLES
};

extern const char *const sample_names[SAMPLES];

/*
 * In samples times are over when they are read, or far from it: what is still delayed then
 * is due at this time, and what has not expired yet expires then.  CLOCK_REALTIME: the
 * year 2200.
 */
#define SAMPLE_LATER_NS SHMQ_SEC(7258118400)

/*
 * Make the queue `name`, which there must not be, and of that the file `path`; the queue is
 * removed.  0; -ENOTSUP the library is built without liblz4; whatever else goes wrong ends
 * the program.
 */
int sample_make(enum sample which, const char *name, const char *path);

#endif
