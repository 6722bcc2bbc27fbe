/*
 * json_import.c - a line of shmq export, read with jansson; without that library there is
 * no reading.  See json_import.h.
 *
 * Members that only tell what became of a message (id, state, put_time, attempts, reason)
 * are passed over: it is a new message.  Any other that is not known is a mistake.
 */
#include "shmq/json_import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"

#ifndef SHMQ_WITH_JANSSON

bool json_line_supported(void)
{
    return false;
}

bool json_line_read(struct json_line *l, const char *text, size_t length)
{
    (void)text;
    (void)length;
    snprintf(l->why, sizeof(l->why), "this program was built without jansson");
    return false;
}

void json_line_free(struct json_line *l)
{
    *l = (struct json_line){0};
}

#else

#include <jansson.h>

bool json_line_supported(void)
{
    return true;
}

/* --- values -------------------------------------------------------------------- */

/* Refuse the line: false. */
__attribute__((format(printf, 2, 3))) static bool refuse(struct json_line *l, const char *format,
                                                         ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(l->why, sizeof(l->why), format, args);
    va_end(args);
    /* It may have bytes of the line in it. */
    for (char *c = l->why; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return false;
}

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Whole groups of four, with = at the end.  False: it is no base64. */
static bool decode(const char *text, size_t length, unsigned char *to, size_t *count)
{
    size_t pads = 0;

    *count = 0;
    if (length % 4 != 0)
        return false;
    while (pads < 2 && pads < length && text[length - 1 - pads] == '=')
        pads++;
    for (size_t i = 0; i < length; i += 4) {
        unsigned group = 0;
        size_t have = i + 4 == length ? 4 - pads : 4;

        for (size_t k = 0; k < 4; k++) {
            int value = k < have ? digit(text[i + k]) : 0;
            if (value < 0)
                return false;
            group = group << 6 | (unsigned)value;
        }
        for (size_t k = 0; k + 1 < have; k++)
            to[(*count)++] = (unsigned char)(group >> (16 - 8 * k));
        /* Bits that say nothing are 0, or two texts would mean the same. */
        if (have < 4 && (group & ((1u << (8 * (4 - have))) - 1)) != 0)
            return false;
    }
    return true;
}

static bool read_base64(struct json_line *l, const char *name, const json_t *value,
                        const void **bytes, size_t *length)
{
    if (!json_is_string(value))
        return refuse(l, "\"%s\" is not a string", name);
    void **list = realloc(l->bytes, (l->byte_count + 1) * sizeof(*list));
    if (!list)
        return refuse(l, "out of memory");
    l->bytes = list;
    /* One byte more, for the NUL that a header's value ends with. */
    unsigned char *memory = calloc(1, json_string_length(value) + 1);
    if (!memory)
        return refuse(l, "out of memory");
    l->bytes[l->byte_count++] = memory;
    if (!decode(json_string_value(value), json_string_length(value), memory, length))
        return refuse(l, "\"%s\" is not base64", name);
    *bytes = memory;
    return true;
}

static bool read_string(struct json_line *l, const char *name, const json_t *value,
                        const void **bytes, size_t *length)
{
    if (!json_is_string(value))
        return refuse(l, "\"%s\" is not a string", name);
    *bytes = json_string_value(value);
    *length = json_string_length(value);
    return true;
}

static bool read_integer(struct json_line *l, const char *name, const json_t *value, int64_t least,
                         int64_t most, int64_t *number)
{
    if (!json_is_integer(value))
        return refuse(l, "\"%s\" is not a whole number", name);
    *number = json_integer_value(value);
    if (*number < least || *number > most)
        return refuse(l, "\"%s\" is not from %lld to %lld", name, (long long)least,
                      (long long)most);
    return true;
}

/* --- members -------------------------------------------------------------------- */

static bool read_payload(struct json_line *l, const char *name, const json_t *value)
{
    if (l->msg.data)
        return refuse(l, "\"text\" and \"base64\" are both given");
    return name[0] == 't' ? read_string(l, name, value, &l->msg.data, &l->msg.length)
                          : read_base64(l, name, value, &l->msg.data, &l->msg.length);
}

static bool read_key(struct json_line *l, const char *name, const json_t *value)
{
    if (l->msg.key)
        return refuse(l, "\"key\" and \"key_base64\" are both given");
    if (json_is_null(value))
        return true;
    return name[3] == '\0' ? read_string(l, name, value, &l->msg.key, &l->msg.key_length)
                           : read_base64(l, name, value, &l->msg.key, &l->msg.key_length);
}

static bool read_type(struct json_line *l, const char *name, const json_t *value)
{
    int64_t number = 0;

    if (json_is_null(value))
        return true;
    if (json_is_string(value) && json_string_length(value) == 1 &&
        cli_parse_type(json_string_value(value), &l->msg.type))
        return true;
    if (json_is_string(value))
        return refuse(l, "\"%s\" is not one character or a number", name);
    if (!read_integer(l, name, value, 0, UINT32_MAX, &number))
        return false;
    l->msg.type = (uint32_t)number;
    return true;
}

static bool read_priority(struct json_line *l, const char *name, const json_t *value)
{
    int64_t number = 0;

    if (!read_integer(l, name, value, INT32_MIN, INT32_MAX, &number))
        return false;
    l->msg.priority = (int32_t)number;
    return true;
}

static bool read_header(struct json_line *l, const char *name, const json_t *value)
{
    const json_t *coded = json_is_object(value) ? json_object_get(value, "base64") : NULL;
    struct shmq_header *header = &l->headers[l->msg.header_count];
    const void *bytes;
    size_t length;

    if (coded && json_object_size(value) == 1) {
        if (!read_base64(l, "base64", coded, &bytes, &length))
            return false;
    } else if (json_is_string(value)) {
        bytes = json_string_value(value);
        length = json_string_length(value);
    } else {
        return refuse(l, "header \"%.80s\" is not a string", name);
    }
    if (length != strlen(bytes))
        return refuse(l, "header \"%.80s\" has a NUL", name);
    *header = (struct shmq_header){.name = name, .value = bytes};
    l->msg.header_count++;
    return true;
}

static bool read_headers(struct json_line *l, const char *name, const json_t *value)
{
    json_t *object = (json_t *)(uintptr_t)value;

    if (!json_is_object(value))
        return refuse(l, "\"%s\" is not an object", name);
    l->headers = calloc(json_object_size(value) + 1, sizeof(*l->headers));
    if (!l->headers)
        return refuse(l, "out of memory");
    l->msg.headers = l->headers;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
        if (!read_header(l, json_object_iter_key(at), json_object_iter_value(at)))
            return false;
    return true;
}

/* As a number, or if it is too large for most programs, as a string. */
static bool read_correlation(struct json_line *l, const char *name, const json_t *value)
{
    int64_t number = 0;

    if (json_is_string(value) && cli_parse_count(json_string_value(value), &l->msg.correlation))
        return true;
    if (json_is_string(value))
        return refuse(l, "\"%s\" is not a whole number", name);
    if (!read_integer(l, name, value, 0, INT64_MAX, &number))
        return false;
    l->msg.correlation = (uint64_t)number;
    return true;
}

static bool read_due_time(struct json_line *l, const char *name, const json_t *value)
{
    if (!json_is_string(value) || !cli_parse_moment(json_string_value(value), &l->msg.due_ns))
        return refuse(l, "\"%s\" is not a time such as \"2026-11-23T10:30:00Z\"", name);
    return true;
}

static bool read_delay(struct json_line *l, const char *name, const json_t *value)
{
    return read_integer(l, name, value, 0, INT64_MAX, &l->msg.delay_ns);
}

static bool read_ttl(struct json_line *l, const char *name, const json_t *value)
{
    return read_integer(l, name, value, 1, INT64_MAX, &l->msg.ttl_ns);
}

static bool pass_over(struct json_line *l, const char *name, const json_t *value)
{
    (void)l;
    (void)name;
    (void)value;
    return true;
}

static const struct {
    const char *name;
    bool (*read)(struct json_line *l, const char *name, const json_t *value);
} members[] = {
    {"text", read_payload},      {"base64", read_payload}, {"key", read_key},
    {"key_base64", read_key},    {"type", read_type},      {"priority", read_priority},
    {"headers", read_headers},   {"ttl_ns", read_ttl},     {"correlation", read_correlation},
    {"due_time", read_due_time}, {"delay_ns", read_delay}, {"id", pass_over},
    {"state", pass_over},        {"put_time", pass_over},  {"attempts", pass_over},
    {"reason", pass_over},
};

static bool read_member(struct json_line *l, const char *name, const json_t *value)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (strcmp(name, members[i].name) == 0)
            return members[i].read(l, name, value);
    return refuse(l, "there is no member \"%.80s\"", name);
}

bool json_line_read(struct json_line *l, const char *text, size_t length)
{
    json_error_t error;
    json_t *root;

    *l = (struct json_line){.msg = SHMQ_MSG_INIT};
    root =
        json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    l->root = root;
    if (!root)
        return refuse(l, "not JSON, at column %d: %.100s", error.column, error.text);
    if (!json_is_object(root))
        return refuse(l, "not a JSON object");
    for (void *at = json_object_iter(root); at; at = json_object_iter_next(root, at))
        if (!read_member(l, json_object_iter_key(at), json_object_iter_value(at)))
            return false;
    if (!l->msg.data)
        return refuse(l, "neither \"text\" nor \"base64\" is given");
    if (l->msg.delay_ns > 0 && l->msg.due_ns > 0)
        return refuse(l, "\"delay_ns\" and \"due_time\" are both given");
    return true;
}

void json_line_free(struct json_line *l)
{
    json_decref(l->root);
    free(l->headers);
    for (size_t i = 0; i < l->byte_count; i++)
        free(l->bytes[i]);
    free(l->bytes);
    *l = (struct json_line){0};
}

#endif
