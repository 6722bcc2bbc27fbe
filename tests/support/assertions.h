/*
 * assertions.h - assertions that print what they found: both numbers, and for a negative errno
 * its name and shmq_last_error_detail().  Some replace cmocka's of the same name.
 */
#ifndef ASSERTIONS_H
#define ASSERTIONS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Any integer. */
struct assert_number {
    uint64_t bits;
    bool is_unsigned; /* so that its highest bit is no sign */
};

#define ASSERT_UNSIGNED(x) _Generic((x), unsigned long : 1, unsigned long long : 1, default : 0)
#define ASSERT_NUMBER(x)   ((struct assert_number){(uint64_t)(x), ASSERT_UNSIGNED(x)})

/* assert_cmp(a, <, b): of <, <=, >, >=, == and !=. */
#define assert_cmp(a, op, b)                                                                       \
    assert_holds_between(ASSERT_NUMBER(a), #op, ASSERT_NUMBER(b), #a " " #op " " #b, __FILE__,     \
                         __LINE__)

#undef assert_int_equal
#define assert_int_equal(a, b)                                                                     \
    assert_holds_between(ASSERT_NUMBER(a), "==", ASSERT_NUMBER(b), #a " == " #b, __FILE__, __LINE__)

#undef assert_int_not_equal
#define assert_int_not_equal(a, b)                                                                 \
    assert_holds_between(ASSERT_NUMBER(a), "!=", ASSERT_NUMBER(b), #a " != " #b, __FILE__, __LINE__)

#undef assert_in_range
#define assert_in_range(value, least, most)                                                        \
    assert_is_within(ASSERT_NUMBER(value), ASSERT_NUMBER(least), ASSERT_NUMBER(most),              \
                     #value " is in " #least " to " #most, __FILE__, __LINE__)

/* assert_one_of(value, this, that, ...) */
#define assert_one_of(value, ...)                                                                  \
    assert_is_among((int64_t)(value), (const int64_t[]){__VA_ARGS__},                              \
                    sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                      \
                    #value " is one of " #__VA_ARGS__, __FILE__, __LINE__)

void assert_holds_between(struct assert_number a, const char *op, struct assert_number b,
                          const char *text, const char *file, int line);
void assert_is_within(struct assert_number value, struct assert_number least,
                      struct assert_number most, const char *text, const char *file, int line);
void assert_is_among(int64_t value, const int64_t *list, size_t count, const char *text,
                     const char *file, int line);

#endif
