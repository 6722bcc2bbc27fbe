/*
 * cli_parse.c - numbers, times and the like as people type them, see cli.h.
 */
#include "common/cli.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "shmq.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Read digits at *text and move it past them. */
static bool read_digits(const char **text, uint64_t *value)
{
    if (!is_digit(**text))
        return false;
    *value = 0;
    for (; is_digit(**text); (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');

        if (*value > (UINT64_MAX - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return true;
}

bool cli_parse_count(const char *text, uint64_t *value)
{
    return read_digits(&text, value) && *text == '\0';
}

bool cli_parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    const char *unit;
    unsigned shift;

    if (!read_digits(&text, bytes))
        return false;
    if (*text == '\0')
        return true;
    unit = strchr(units, toupper((unsigned char)*text));
    if (!unit)
        return false;
    text++;
    if (*text != '\0' && strcasecmp(text, "iB") != 0 && strcasecmp(text, "B") != 0)
        return false;
    shift = 10 * (unsigned)(unit - units + 1);
    if (*bytes > UINT64_MAX >> shift)
        return false;
    *bytes <<= shift;
    return true;
}

/* Nanoseconds in a unit of time; 0: no such unit. */
static int64_t unit_ns(const char *unit)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"", 1000000000},
        {"s", 1000000000},
        {"ms", 1000000},
        {"us", 1000},
        {"ns", 1},
        {"m", (int64_t)60 * 1000000000},
        {"min", (int64_t)60 * 1000000000},
        {"h", (int64_t)3600 * 1000000000},
        {"d", (int64_t)86400 * 1000000000},
    };

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(unit, units[i].name) == 0)
            return units[i].ns;
    return 0;
}

bool cli_parse_duration(const char *text, int64_t *ns)
{
    uint64_t whole = 0;
    const char *fraction = NULL;
    bool digits = is_digit(*text);
    int64_t unit, sum;

    if (digits && !read_digits(&text, &whole))
        return false;
    if (*text == '.') {
        fraction = ++text;
        while (is_digit(*text))
            text++;
        digits = digits || text > fraction;
    }
    unit = unit_ns(text);
    if (!digits || unit == 0 || whole > (uint64_t)(INT64_MAX / unit))
        return false;
    sum = (int64_t)whole * unit;
    for (int64_t worth = unit / 10; fraction && is_digit(*fraction); fraction++, worth /= 10) {
        int64_t part = worth * (*fraction - '0');

        if (sum > INT64_MAX - part)
            return false;
        sum += part;
    }
    *ns = sum;
    return true;
}

bool cli_parse_mode(const char *text, uint32_t *mode)
{
    uint32_t bits = 0;

    if (*text == '\0' || strlen(text) > 5)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '7')
            return false;
        bits = bits * 8 + (uint32_t)(*text - '0');
    }
    *mode = bits;
    return bits <= 0777;
}

bool cli_is_number(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    size_t fraction = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    size_t point = text[whole] == '.' ? 1 : 0;

    return whole + fraction > 0 && text[whole + point + fraction] == '\0';
}

bool cli_parse_int32(const char *text, int32_t *value)
{
    bool negative = *text == '-';
    uint64_t size;

    if (!cli_parse_count(text + (negative ? 1 : 0), &size) || size > (uint64_t)INT32_MAX + negative)
        return false;
    *value = (int32_t)(negative ? -(int64_t)size : (int64_t)size);
    return true;
}

bool cli_parse_real(const char *text, double *value)
{
    if (!cli_is_number(text))
        return false;
    *value = strtod(text, NULL);
    return isfinite(*value);
}

bool cli_parse_type(const char *text, uint32_t *type)
{
    uint64_t number;

    if (cli_parse_count(text, &number)) {
        *type = (uint32_t)number;
        return number <= UINT32_MAX;
    }
    if (!isgraph((unsigned char)text[0]) || text[1] != '\0')
        return false;
    *type = (unsigned char)text[0];
    return true;
}

/* --- points of time -------------------------------------------------------- */

/* Just so many digits at *text; move it past them. */
static bool read_fixed(const char **text, int digits, int *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++, (*text)++) {
        if (!is_digit(**text))
            return false;
        *value = *value * 10 + (**text - '0');
    }
    return true;
}

/* `separator` and two digits up to `most`. */
static bool read_pair(const char **text, char separator, int most, int *value)
{
    if (separator && *(*text)++ != separator)
        return false;
    return read_fixed(text, 2, value) && *value <= most;
}

/* YYYY-MM-DD, which must exist. */
static bool read_date(const char **text, struct tm *tm)
{
    struct tm same;
    int year, month, day;

    if (!read_fixed(text, 4, &year) || !read_pair(text, '-', 12, &month) ||
        !read_pair(text, '-', 31, &day) || month == 0 || day == 0)
        return false;
    *tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_isdst = -1};
    same = *tm;
    timegm(&same);
    return same.tm_mday == day;
}

/* HH:MM, HH:MM:SS or that with a fraction. */
static bool read_time(const char **text, struct tm *tm, int64_t *ns)
{
    if (!read_pair(text, 0, 23, &tm->tm_hour) || !read_pair(text, ':', 59, &tm->tm_min))
        return false;
    if (**text != ':')
        return true;
    if (!read_pair(text, ':', 59, &tm->tm_sec))
        return false;
    if (**text != '.')
        return true;
    if (!is_digit(*++*text))
        return false;
    for (int64_t worth = 100000000; is_digit(**text); (*text)++, worth /= 10)
        *ns += worth * (**text - '0');
    return true;
}

/* The zone, to the end of the text: nothing for local time, Z, +HH:MM, +HHMM or +HH. */
static bool read_zone(const char *text, struct tm *tm, time_t *seconds)
{
    int sign = *text == '-' ? -1 : 1, hours, minutes = 0;

    if (*text == '\0') {
        *seconds = mktime(tm);
        return true;
    }
    *seconds = timegm(tm);
    if (*text == 'Z' || *text == 'z')
        return text[1] == '\0';
    if ((*text != '+' && *text != '-') || (text++, !read_pair(&text, 0, 23, &hours)))
        return false;
    if (*text != '\0' && !read_pair(&text, (char)(*text == ':' ? ':' : 0), 59, &minutes))
        return false;
    *seconds -= sign * (hours * 3600 + minutes * 60);
    return *text == '\0';
}

bool cli_parse_moment(const char *text, int64_t *ns)
{
    struct tm tm;
    time_t seconds;
    int64_t fraction = 0;

    if (cli_is_number(text))
        return cli_parse_duration(text, ns);
    if (!read_date(&text, &tm))
        return false;
    if ((*text == 'T' || *text == 't' || *text == ' ') &&
        (text++, !read_time(&text, &tm, &fraction)))
        return false;
    if (!read_zone(text, &tm, &seconds) || seconds < 0 || seconds > INT64_MAX / 1000000000 - 1)
        return false;
    *ns = (int64_t)seconds * 1000000000 + fraction;
    return true;
}
