/*
 * assertions.c - see assertions.h.
 */
#include "support/assertions.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shmq.h"

static bool is_negative(struct assert_number n)
{
    return !n.is_unsigned && (int64_t)n.bits < 0;
}

static bool is_less(struct assert_number a, struct assert_number b)
{
    return is_negative(a) != is_negative(b) ? is_negative(a) : a.bits < b.bits;
}

/* Two numbers are equal if their bits are, as in cmocka. */
static bool holds(struct assert_number a, const char *op, struct assert_number b)
{
    bool or_equal = op[1] == '=';

    if (op[0] == '<')
        return is_less(a, b) || (or_equal && a.bits == b.bits);
    if (op[0] == '>')
        return is_less(b, a) || (or_equal && a.bits == b.bits);
    return (a.bits == b.bits) == (op[0] == '=');
}

static const char *errno_name(struct assert_number n)
{
    bool is_errno = is_negative(n) && (int64_t)n.bits > -4096;

    return is_errno ? strerrorname_np((int)-(int64_t)n.bits) : NULL;
}

static void print_number(const char *before, struct assert_number n)
{
    const char *name = errno_name(n);

    print_error(is_negative(n) ? "%s%" PRId64 : "%s%" PRIu64, before, n.bits);
    if (name != NULL)
        print_error(" (-%s)", name);
    else if (n.bits > 9)
        print_error(" (%#" PRIx64 ")", n.bits);
}

/* Fail the test, since `text` does not hold for these numbers. */
static void fail_with(const char *text, const struct assert_number *numbers, size_t count,
                      const char *file, int line)
{
    const char *detail = shmq_last_error_detail();
    bool any_errno = false;

    print_error("not so: %s\n", text);
    for (size_t i = 0; i < count; i++) {
        print_number(i == 0 ? "    with " : ", ", numbers[i]);
        any_errno = any_errno || errno_name(numbers[i]) != NULL;
    }
    print_error("\n");
    if (any_errno && detail[0] != '\0')
        print_error("    the last error: %s\n", detail);
    _fail(file, line);
}

void assert_holds_between(struct assert_number a, const char *op, struct assert_number b,
                          const char *text, const char *file, int line)
{
    if (!holds(a, op, b))
        fail_with(text, (struct assert_number[]){a, b}, 2, file, line);
}

void assert_is_within(struct assert_number value, struct assert_number least,
                      struct assert_number most, const char *text, const char *file, int line)
{
    if (is_less(value, least) || is_less(most, value))
        fail_with(text, (struct assert_number[]){value, least, most}, 3, file, line);
}

void assert_is_among(int64_t value, const int64_t *list, size_t count, const char *text,
                     const char *file, int line)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == value)
            return;
    fail_with(text, &(struct assert_number){(uint64_t)value, false}, 1, file, line);
}
