/*
 * faulty.h - for tests in which system calls on a queue's file fail (disk/faults.c): a folder
 * in memory, and what is in it afterwards.
 */
#ifndef FAULTY_H
#define FAULTY_H

#include "disk/place.h"
#include "support/helper.h"

enum { FAULTY_KINDS = 5, FAULTY_MAX = 200 };

/* In which ways calls fail: behind the number of the first that does, for disk_fail(). */
extern const char *const faulty_kinds[FAULTY_KINDS];

extern char faulty_folder[80];
extern char faulty_file[96], faulty_other[96]; /* in it */

/* As helper_run(), in the program started again under record.so. */
#define faulty_run(argc, argv, tests)                                                              \
    faulty_run_tests(argc, argv, tests, sizeof(tests) / sizeof((tests)[0]))
int faulty_run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t count);

/* How many files there are in the folder. */
unsigned faulty_count(void);

/* Whether there are no more than `count`; but where removing one was to fail, too. */
bool faulty_is_clean(const struct disk_calls *calls, const char *how, unsigned count);
/* Remove all of them. */
void faulty_clean(void);

/* Whether a queue made of a file has these contents (contents.h), or those (NULL: no others);
 * if not that is told. */
bool faulty_is_in(const char *path, const char *one, const char *or_other);

/* Whether it is an error that may be told when calls failed in this way. */
bool faulty_may_say(int64_t rc, const char *how);

/* Whether such a call failed that what was to be done cannot have been done.  `ahead`: what is
 * written may be zeros ahead, which are not needed. */
bool faulty_is_vital(const struct disk_calls *calls, const char *how, bool ahead);

/* 0 is; anything else is told. */
bool faulty_is_good(int rc, const char *what);

#endif
