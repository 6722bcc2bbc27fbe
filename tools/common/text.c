/*
 * text.c - text that is built up before it is written, see text.h.
 */
#include "common/text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cli.h"

/* --- the buffer ------------------------------------------------------------ */

void text_reserve(struct text *t, size_t more)
{
    size_t size = t->size ? t->size : 4096;
    char *data;

    if (more <= t->size - t->length)
        return;
    while (size - t->length < more) {
        if (size > SIZE_MAX / 2)
            break;
        size *= 2;
    }
    data = size - t->length < more ? NULL : realloc(t->data, size);
    if (!data) {
        cli_complain("output", strerror(ENOMEM), NULL, "allow the program more memory");
        exit(CLI_FAILURE);
    }
    t->data = data;
    t->size = size;
}

void text_append(struct text *t, const void *bytes, size_t length)
{
    if (length == 0)
        return;
    text_reserve(t, length);
    memcpy(t->data + t->length, bytes, length);
    t->length += length;
}

void text_add(struct text *t, const char *string)
{
    text_append(t, string, strlen(string));
}

void text_format(struct text *t, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return;
    text_reserve(t, (size_t)length + 1);
    va_start(args, format);
    vsnprintf(t->data + t->length, (size_t)length + 1, format, args);
    va_end(args);
    t->length += (size_t)length;
}

void text_free(struct text *t)
{
    free(t->data);
    *t = (struct text){0};
}

int text_write(struct text *t, int fd)
{
    size_t done = 0;
    int error = 0;

    while (done < t->length && !error) {
        ssize_t n = write(fd, t->data + done, t->length - done);

        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};

            poll(&p, 1, -1);
        } else if (errno != EINTR) {
            error = -errno;
        }
    }
    if (error)
        memmove(t->data, t->data + done, t->length - done);
    t->length -= done;
    return error;
}

int text_print(struct text *t)
{
    int error = text_write(t, STDOUT_FILENO);

    text_free(t);
    if (!error)
        return CLI_DONE;
    cli_complain("standard output", strerror(-error), NULL, NULL);
    return CLI_FAILURE;
}

/* --- JSON ------------------------------------------------------------------ */

/* Length of the UTF-8 character at `s`, 0 when it is none. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t code;

    if (length <= 1)
        return length;
    if (s[0] > 0xf4 || left < length)
        return 0;
    code = s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return length;
}

bool text_is_utf8(const void *bytes, size_t length)
{
    const unsigned char *s = bytes;

    for (size_t i = 0, n; i < length; i += n) {
        n = utf8_length(s + i, length - i);
        if (n == 0)
            return false;
    }
    return true;
}

static void json_character(struct text *t, const unsigned char *s, size_t length)
{
    static const char letters[] = "\"\"\\\\\nn\tt\rr\bb\ff";
    const char *letter = NULL;

    for (size_t i = 0; letters[i]; i += 2)
        if (length == 1 && (unsigned char)letters[i] == s[0])
            letter = &letters[i + 1];
    if (length == 0) {
        text_add(t, "\\ufffd");
    } else if (letter) {
        text_add(t, "\\");
        text_append(t, letter, 1);
    } else if (s[0] < 0x20) {
        text_format(t, "\\u%04x", s[0]);
    } else {
        text_append(t, s, length);
    }
}

void text_json_string(struct text *t, const void *bytes, size_t length)
{
    const unsigned char *s = bytes;

    text_add(t, "\"");
    for (size_t i = 0; i < length;) {
        size_t n = utf8_length(s + i, length - i);

        json_character(t, s + i, n);
        i += n ? n : 1;
    }
    text_add(t, "\"");
}

void text_json_base64(struct text *t, const void *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = bytes;

    text_add(t, "\"");
    for (size_t i = 0; i < length; i += 3) {
        size_t have = length - i < 3 ? length - i : 3;
        uint32_t group = (uint32_t)s[i] << 16;
        char four[4];

        if (have > 1)
            group |= (uint32_t)s[i + 1] << 8;
        if (have > 2)
            group |= s[i + 2];
        for (size_t k = 0; k < 4; k++)
            four[k] = k <= have ? digits[group >> (18 - 6 * k) & 63] : '=';
        text_append(t, four, sizeof(four));
    }
    text_add(t, "\"");
}

void text_json_time(struct text *t, int64_t wall_ns)
{
    /* Rounded: a time that was read in milliseconds, and is known to a microsecond since, is
     * printed as it was. */
    int64_t wall_ms = wall_ns / 1000000 + (wall_ns % 1000000 >= 500000);
    time_t seconds = (time_t)(wall_ms / 1000);
    char buffer[40];
    struct tm tm;

    if (!gmtime_r(&seconds, &tm)) {
        text_add(t, "null");
        return;
    }
    strftime(buffer, sizeof(buffer), "%Y-%m-%dT%H:%M:%S", &tm);
    text_format(t, "\"%s.%03dZ\"", buffer, (int)(wall_ms % 1000));
}

void text_json_bytes(struct text *t, const char *name, const char *other, const void *bytes,
                     size_t length)
{
    bool utf8 = text_is_utf8(bytes, length);

    text_format(t, ",\"%s\":", utf8 ? name : other);
    if (utf8)
        text_json_string(t, bytes, length);
    else
        text_json_base64(t, bytes, length);
}

size_t text_excerpt(struct text *t, const void *bytes, size_t length, size_t width)
{
    const unsigned char *s = bytes;
    size_t shown = 0;

    for (size_t i = 0; i < length; shown++) {
        size_t n = utf8_length(s + i, length - i);

        if (shown == width) {
            text_add(t, "...");
            return shown + 3;
        }
        /* U+0080 to U+009F control a terminal as well. */
        if (n == 0 || s[i] < 0x20 || s[i] == 0x7f || (s[i] == 0xc2 && s[i + 1] < 0xa0))
            text_add(t, ".");
        else
            text_append(t, s + i, n);
        i += n ? n : 1;
    }
    return shown;
}

/* --- figures --------------------------------------------------------------- */

static struct figure three_digits(double value, const char *unit)
{
    struct figure f;
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

    snprintf(f.s, sizeof(f.s), "%.*f%s", decimals, value, unit);
    return f;
}

struct figure figure_count(double count)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    struct figure f;
    size_t i = 0;

    if (count < 99999.5) {
        bool small = count > 0 && count < 9.95 && (double)(int)count < count;

        snprintf(f.s, sizeof(f.s), "%.*f", small ? 1 : 0, count);
        return f;
    }
    for (; count >= 999.5 && i < 6; i++)
        count /= 1000;
    return three_digits(count, units[i]);
}

struct figure figure_bytes(double bytes)
{
    static const char *const units[] = {"", "K", "M", "G", "T", "P", "E"};
    struct figure f;
    size_t i = 0;

    if (bytes < 1023.5) {
        snprintf(f.s, sizeof(f.s), "%.0f", bytes);
        return f;
    }
    for (; bytes >= 999.5 && i < 6; i++)
        bytes /= 1024;
    return three_digits(bytes, units[i]);
}

struct figure figure_duration(double ns)
{
    static const struct {
        double ns;
        const char *name;
    } units[] = {{86400e9, "d"}, {3600e9, "h"}, {60e9, "m"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    struct figure f;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (ns >= units[i].ns * (i < 3 ? 1 : 0.9995))
            return three_digits(ns / units[i].ns, units[i].name);
    snprintf(f.s, sizeof(f.s), "%.0f%s", ns, ns > 0 ? "ns" : "");
    return f;
}
