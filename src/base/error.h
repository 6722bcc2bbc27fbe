/*
 * error.h - the figures behind a failure, kept per thread.
 */
#ifndef SQ_ERROR_H
#define SQ_ERROR_H

/*
 * Remember a sentence for shmq_last_error_detail() and return `error` (a
 * negative errno), so that a failing function can end with it.  The
 * sentence that is there may be among the arguments.
 */
int sq_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For an error that says all itself: forget an older sentence, return `error`. */
int sq_fail_plainly(int error);

#endif
