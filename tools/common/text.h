/*
 * text.h - text that is built up before it is written: a growing buffer, JSON,
 * and figures short enough for a table.
 */
#ifndef SHMQ_TEXT_H
#define SHMQ_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shmq.h"

/* A growing buffer; all zero is an empty one. */
struct text {
    char *data;
    size_t length;
    size_t size;
};

/* Where memory runs out these end the program with CLI_FAILURE. */
void text_reserve(struct text *t, size_t more);
void text_append(struct text *t, const void *bytes, size_t length);
void text_add(struct text *t, const char *string);
void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *t);

/*
 * Write it all to `fd` and empty the buffer: 0 or a negative errno, and the buffer
 * then has what was not written.  A signal does not stop it: what is in the buffer
 * may exist nowhere else.
 */
int text_write(struct text *t, int fd);

/* Write it all to standard output, free it, and return an exit code. */
int text_print(struct text *t);

/* --- JSON ------------------------------------------------------------------ */

bool text_is_utf8(const void *bytes, size_t length);

/* A JSON string; bytes that are not UTF-8 become U+FFFD. */
void text_json_string(struct text *t, const void *bytes, size_t length);

/* The bytes in base64, as a JSON string. */
void text_json_base64(struct text *t, const void *bytes, size_t length);

/* A point of time by CLOCK_REALTIME as a JSON string, in UTC, or null. */
void text_json_time(struct text *t, int64_t wall_ns);

/*
 * A comma, and a member: `name` and the bytes as a string when they are valid UTF-8,
 * `other` and base64 when they are not.
 */
void text_json_bytes(struct text *t, const char *name, const char *other, const void *bytes,
                     size_t length);

/*
 * The beginning of it for people: up to `width` characters, control characters and
 * what is not UTF-8 as dots, and `...` if there is more.  How many characters it added.
 */
size_t text_excerpt(struct text *t, const void *bytes, size_t length, size_t width);

/* --- figures of at most 7 characters or so --------------------------------- */

struct figure {
    char s[24];
};

struct figure figure_count(double count); /* 0.5 17 99999 123k 4.56M */
struct figure figure_bytes(double bytes); /* 512 1.50K 3.00M, powers of 1024 */
struct figure figure_duration(double ns); /* 5ns 1.20us 15.0ms 2.50s 1.5h */

#endif
