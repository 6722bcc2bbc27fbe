/*
 * policy.c - see policy.h.
 */
#include "group/policy.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

#define LEASE_DEFAULT_NS     ((int64_t)30 * 1000000000)
#define RETRY_MAX_DEFAULT_NS ((int64_t)3600 * 1000000000)

int sq_policy_check(const struct sq_policy_shm *given, struct sq_policy_shm *policy)
{
    struct sq_policy_shm p = *given;

    p.dead_letter[sizeof(p.dead_letter) - 1] = '\0';
    if (p.lease_ns < 0)
        return sq_fail(-EINVAL, "lease_ns %lld is negative", (long long)p.lease_ns);
    if (p.lease_ns == 0)
        p.lease_ns = LEASE_DEFAULT_NS;
    if (p.retry > SHMQ_RETRY_RANDOM)
        return sq_fail(-EINVAL, "retry strategy %u is none of enum shmq_retry", p.retry);
    if (p.retry_max_ns == 0)
        p.retry_max_ns =
            RETRY_MAX_DEFAULT_NS > p.retry_delay_ns ? RETRY_MAX_DEFAULT_NS : p.retry_delay_ns;
    if (p.retry_delay_ns < 0 || p.retry_max_ns < p.retry_delay_ns)
        return sq_fail(-EINVAL,
                       "retry_first_ns %lld is negative or more than retry_greatest_ns %lld",
                       (long long)p.retry_delay_ns, (long long)p.retry_max_ns);
    if (p.retry_factor == 0)
        p.retry_factor = 2;
    if (!(p.retry_factor >= 1 && p.retry_factor <= 1e6))
        return sq_fail(-EINVAL, "retry_factor %g is not between 1 and 1e6", p.retry_factor);
    if (!(p.retry_jitter >= 0 && p.retry_jitter <= 1))
        return sq_fail(-EINVAL, "retry_jitter %g is not between 0 and 1", p.retry_jitter);
    if (p.lag > SHMQ_LAG_DROP)
        return sq_fail(-EINVAL, "lag policy %u is none of enum shmq_lag", p.lag);
    if (p.dead_letter_expired > 1)
        return sq_fail(-EINVAL, "dead_letter_expired is %u, not 0 or 1", p.dead_letter_expired);
    if (p.dead_letter_ttl_ns < 0)
        return sq_fail(-EINVAL, "dead_letter_ttl_ns %lld is negative",
                       (long long)p.dead_letter_ttl_ns);
    if (p.dead_letter_ttl_ns > 0 && p.dead_letter[0] == '\0')
        return sq_fail(-EINVAL, "dead_letter_ttl_ns is given, and dead_letter names no queue");
    if (strlen(p.dead_letter) > SHMQ_NAME_LONGEST)
        return sq_fail(-EINVAL, "the dead-letter queue's name is longer than %d",
                       SHMQ_NAME_LONGEST);
    *policy = p;
    return 0;
}

struct sq_policy_shm sq_policy_in(const struct shmq_policy *p)
{
    struct sq_policy_shm in = {
        .lease_ns = p->lease_ns,
        .max_attempts = p->max_attempts,
        .retry = p->retry,
        .retry_delay_ns = p->retry_first_ns,
        .retry_max_ns = p->retry_greatest_ns,
        .retry_factor = p->retry_factor,
        .retry_jitter = p->retry_jitter,
        .lag = p->lag,
        .dead_letter_expired = p->dead_letter_expired,
        .dead_letter_ttl_ns = p->dead_letter_ttl_ns,
    };

    memcpy(in.dead_letter, p->dead_letter, sizeof(in.dead_letter));
    return in;
}

struct shmq_policy sq_policy_out(const struct sq_policy_shm *p)
{
    struct shmq_policy out = {
        .lease_ns = p->lease_ns,
        .max_attempts = p->max_attempts,
        .retry = p->retry,
        .retry_first_ns = p->retry_delay_ns,
        .retry_greatest_ns = p->retry_max_ns,
        .retry_factor = p->retry_factor,
        .retry_jitter = p->retry_jitter,
        .lag = p->lag,
        .dead_letter_expired = p->dead_letter_expired,
        .dead_letter_ttl_ns = p->dead_letter_ttl_ns,
    };

    static_assert(sizeof(out.dead_letter) == sizeof(p->dead_letter), "a name and its zero");
    memcpy(out.dead_letter, p->dead_letter, sizeof(out.dead_letter));
    return out;
}

/* Uniform in [0, 1): splitmix64 (S. Vigna, public domain). */
static double uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* d * f^(n-1), by squaring: no slower after a million attempts. */
static double exponential(double first, double factor, uint32_t n)
{
    for (n -= n > 0; n > 0; n /= 2, factor *= factor)
        if (n % 2 != 0)
            first *= factor;
    return first;
}

/* So many that jitter and cap make the same of all there is beyond. */
#define ENDLESS 1e300

static double fibonacci(double first, uint32_t n)
{
    double a = 0, b = 1;

    while (n-- > 1 && b < ENDLESS / first) { /* at most some 1,400 times */
        double next = a + b;
        a = b;
        b = next;
    }
    return b * first;
}

int64_t sq_policy_delay_ns(const struct sq_policy_shm *p, uint32_t attempts, uint64_t *random)
{
    double cap = (double)p->retry_max_ns, first = (double)p->retry_delay_ns, delay;
    double n = attempts > 0 ? attempts : 1;

    if (p->retry_delay_ns <= 0 || p->retry_max_ns <= 0)
        return 0;
    switch (p->retry) {
    case SHMQ_RETRY_LINEAR:
        delay = first * n;
        break;
    case SHMQ_RETRY_EXPONENTIAL:
        delay = exponential(first, p->retry_factor, attempts);
        break;
    case SHMQ_RETRY_FIBONACCI:
        delay = fibonacci(first, attempts);
        break;
    case SHMQ_RETRY_RANDOM:
        delay = uniform(random) * (first * n < cap ? first * n : cap);
        break;
    default:
        delay = first;
    }
    /* Infinity less infinity would be no number. */
    if (delay > ENDLESS)
        delay = ENDLESS;
    if (p->retry_jitter > 0)
        delay += delay * p->retry_jitter * (2 * uniform(random) - 1);
    /* Written so that a number that is none, from damaged bytes, is 0. */
    if (!(delay > 0))
        return 0;
    return delay < cap ? (int64_t)delay : p->retry_max_ns;
}
