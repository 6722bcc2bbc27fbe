/*
 * policy_options.c - a group's policy on the command line, see policy_options.h.
 */
#include "shmq/policy_options.h"

#include <stdio.h>
#include <string.h>

#include "common/cli.h"

static const char *const retries[] = {
    [SHMQ_RETRY_FIXED] = "fixed",
    [SHMQ_RETRY_LINEAR] = "linear",
    [SHMQ_RETRY_EXPONENTIAL] = "exponential",
    [SHMQ_RETRY_FIBONACCI] = "fibonacci",
    [SHMQ_RETRY_RANDOM] = "random",
};

static const char *const lags[] = {
    [SHMQ_LAG_DEFAULT] = "default", [SHMQ_LAG_HOLD] = "hold", [SHMQ_LAG_DROP] = "drop"};

enum {
    RETRY_COUNT = sizeof(retries) / sizeof(retries[0]),
    LAG_COUNT = sizeof(lags) / sizeof(lags[0]),
};

/* The index of `text` among the names, or -1. */
static int index_of(const char *text, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    return -1;
}

static const char *name_at(uint32_t index, const char *const *names, uint32_t count)
{
    return index < count ? names[index] : "unknown";
}

/* --- options --------------------------------------------------------------- */

static int set_time(const char *command, const char *option, const char *value, bool zero,
                    int64_t *ns)
{
    if (cli_parse_duration(value, ns) && (zero || *ns > 0))
        return CLI_DONE;
    return cli_usage(command, "--%s '%s' is not a time%s such as 250ms or 10s", option, value,
                     zero ? "" : " above 0");
}

static int set_attempts(const char *command, const char *value, uint32_t *attempts)
{
    uint64_t count;

    if (!cli_parse_count(value, &count) || count > UINT32_MAX)
        return cli_usage(command, "--max-attempts '%s' is not a whole number", value);
    *attempts = (uint32_t)count;
    return CLI_DONE;
}

static int set_retry(const char *command, const char *value, uint32_t *retry)
{
    int index = index_of(value, retries, RETRY_COUNT);

    if (index < 0)
        return cli_usage(
            command, "--retry '%s' is not fixed, linear, exponential, fibonacci or random", value);
    *retry = (uint32_t)index;
    return CLI_DONE;
}

static int set_lag(const char *command, const char *value, uint32_t *lag)
{
    int index = index_of(value, lags, LAG_COUNT);

    if (index < 0)
        return cli_usage(command, "--lag '%s' is not hold, drop or default", value);
    *lag = (uint32_t)index;
    return CLI_DONE;
}

static int set_dead_letter(const char *command, const char *value, struct shmq_policy *policy)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";
    size_t length = strlen(value);

    /* It is opened when somebody dies, which is too late to learn of a slip. */
    if (value[strspn(value, allowed)] != '\0')
        return cli_usage(command, "--dead-letter '%s' is not the name of a queue", value);
    if (length > SHMQ_NAME_LONGEST)
        return cli_usage(command, "--dead-letter '%.40s...' is too long for a queue's name", value);
    /* All of the field, as a queue's attributes are compared and checked by bytes. */
    memset(policy->dead_letter, 0, sizeof(policy->dead_letter));
    memcpy(policy->dead_letter, value, length);
    return CLI_DONE;
}

int policy_option(const char *command, int code, const char *value, struct shmq_policy *policy)
{
    switch (code) {
    case POLICY_LEASE:
        return set_time(command, "lease", value, false, &policy->lease_ns);
    case POLICY_MAX_ATTEMPTS:
        return set_attempts(command, value, &policy->max_attempts);
    case POLICY_RETRY:
        return set_retry(command, value, &policy->retry);
    case POLICY_RETRY_FIRST:
        return set_time(command, "retry-first", value, true, &policy->retry_first_ns);
    case POLICY_RETRY_MAX:
        return set_time(command, "retry-most", value, false, &policy->retry_greatest_ns);
    case POLICY_RETRY_FACTOR:
        if (cli_parse_real(value, &policy->retry_factor) && policy->retry_factor >= 1)
            return CLI_DONE;
        return cli_usage(command, "--retry-factor '%s' is not a number from 1", value);
    case POLICY_RETRY_JITTER:
        if (cli_parse_real(value, &policy->retry_jitter) && policy->retry_jitter <= 1)
            return CLI_DONE;
        return cli_usage(command, "--retry-jitter '%s' is not a number from 0 to 1", value);
    case POLICY_LAG:
        return set_lag(command, value, &policy->lag);
    case POLICY_DEAD_LETTER:
        return set_dead_letter(command, value, policy);
    case POLICY_DEAD_LETTER_TTL:
        return set_time(command, "dead-letter-ttl", value, true, &policy->dead_letter_ttl_ns);
    case POLICY_DEAD_LETTER_EXPIRED:
    default:
        policy->dead_letter_expired = code == POLICY_DEAD_LETTER_EXPIRED;
        return CLI_DONE;
    }
}

int policy_note(const char *command, int code, const char *value, struct policy_changes *changes)
{
    struct shmq_policy trial = {0};

    changes->any = 1;
    /* Of these two the last one holds. */
    if (code == POLICY_DEAD_LETTER_EXPIRED || code == POLICY_DROP_EXPIRED)
        changes->values[POLICY_DEAD_LETTER_EXPIRED - POLICY_LEASE] =
            changes->values[POLICY_DROP_EXPIRED - POLICY_LEASE] = NULL;
    changes->values[code - POLICY_LEASE] = value ? value : "";
    return policy_option(command, code, value, &trial);
}

void policy_apply(const struct policy_changes *changes, struct shmq_policy *policy)
{
    for (int code = POLICY_LEASE; code < POLICY_END; code++)
        if (changes->values[code - POLICY_LEASE])
            policy_option("", code, changes->values[code - POLICY_LEASE], policy);
}

/* --- printing -------------------------------------------------------------- */

/* Exact, and as an option takes it: the largest unit that leaves no fraction. */
static void add_time(struct text *out, const char *name, int64_t ns)
{
    static const struct {
        int64_t ns;
        const char *name;
    } units[] = {
        {(int64_t)86400 * 1000000000, "d"},
        {(int64_t)3600 * 1000000000, "h"},
        {(int64_t)60 * 1000000000, "m"},
        {1000000000, "s"},
        {1000000, "ms"},
        {1000, "us"},
        {1, "ns"},
    };
    size_t i = ns == 0 ? 3 : 0;

    while (ns % units[i].ns != 0)
        i++;
    text_format(out, "%-19s  %lld%s\n", name, (long long)(ns / units[i].ns), units[i].name);
}

void policy_add_lines(struct text *out, const struct shmq_policy *policy)
{
    add_time(out, "lease", policy->lease_ns);
    text_format(out, "%-19s  %u\n", "max-attempts", policy->max_attempts);
    text_format(out, "%-19s  %s\n", "retry", name_at(policy->retry, retries, RETRY_COUNT));
    add_time(out, "retry-first", policy->retry_first_ns);
    add_time(out, "retry-most", policy->retry_greatest_ns);
    text_format(out, "%-19s  %g\n", "retry-factor", policy->retry_factor);
    text_format(out, "%-19s  %g\n", "retry-jitter", policy->retry_jitter);
    text_format(out, "%-19s  %s\n", "dead-letter",
                policy->dead_letter[0] ? policy->dead_letter : "(parked)");
    add_time(out, "dead-letter-ttl", policy->dead_letter_ttl_ns);
    text_format(out, "%-19s  %s\n", "dead-letter-expired",
                policy->dead_letter_expired ? "yes" : "no");
    text_format(out, "%-19s  %s\n", "lag", name_at(policy->lag, lags, LAG_COUNT));
}

void policy_add_json(struct text *out, const struct shmq_policy *policy)
{
    text_format(out, "{\"lease_ns\":%lld,\"max_attempts\":%u,\"retry\":\"%s\"",
                (long long)policy->lease_ns, policy->max_attempts,
                name_at(policy->retry, retries, RETRY_COUNT));
    text_format(out, ",\"retry_first_ns\":%lld,\"retry_greatest_ns\":%lld",
                (long long)policy->retry_first_ns, (long long)policy->retry_greatest_ns);
    text_format(out, ",\"retry_factor\":%.17g,\"retry_jitter\":%.17g", policy->retry_factor,
                policy->retry_jitter);
    text_add(out, ",\"dead_letter\":");
    if (policy->dead_letter[0])
        text_json_string(out, policy->dead_letter,
                         strnlen(policy->dead_letter, sizeof(policy->dead_letter)));
    else
        text_add(out, "null");
    text_format(out, ",\"dead_letter_ttl_ns\":%lld,\"dead_letter_expired\":%s,\"lag\":\"%s\"}",
                (long long)policy->dead_letter_ttl_ns,
                policy->dead_letter_expired ? "true" : "false",
                name_at(policy->lag, lags, LAG_COUNT));
}
