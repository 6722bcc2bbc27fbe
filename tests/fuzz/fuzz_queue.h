/*
 * fuzz_queue.h - within the fuzzer: a queue made of an image, and used.
 */
#ifndef FUZZ_QUEUE_H
#define FUZZ_QUEUE_H

#include "file/image.h"

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "not %s (%s)\n", #what, shmq_last_error_detail());                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/*
 * Make a queue of what was read, in memory that nobody else can come to, if it is not too
 * large: it must be sound, have what the image has, and hand out all of that.
 */
void fuzz_queue(const struct sq_image *image);

#endif
