/*
 * format_sample.h - queues with a bit of everything that a file can hold, as files.
 *
 * Each file format has samples in tests/fuzz/corpus/formatN/, written by `make format-samples` when
 * the format was new.  They never change again; test_old_format.c reads them all.  What a new
 * format adds goes into a new sample, behind the others: those stay as they are, since the
 * samples of all formats are compared with the same description.
 */
#ifndef FORMAT_SAMPLE_H
#define FORMAT_SAMPLE_H

#include "shmq.h"

enum sample {
    SAMPLE_SNAPSHOT,   /* of a topic by priority */
    SAMPLE_JOURNAL,    /* of a topic, rewritten once, with frames after that */
    SAMPLE_COMPRESSED, /* a snapshot of a unique queue whose payloads are compressed */
    SAMPLES
};

extern const char *const sample_names[SAMPLES];

/*
 * A delay or a life in a sample is either over or ends in the year 2200, at this time of
 * CLOCK_REALTIME.
 */
#define SAMPLE_LATER_NS SHMQ_SEC(7258118400)

/*
 * Create the queue `name`, which must not exist, write the file `path` from it, and remove the
 * queue.  Returns 0, or -ENOTSUP if the library is built without liblz4; any other failure
 * ends the program.
 */
int sample_make(enum sample which, const char *name, const char *path);

#endif
