/*
 * test_policy.c - how long a message rests before its next try: each strategy by its
 * formula, the cap, the jitter's bounds, and whatever bytes a damaged segment may have;
 * and what a policy may say.
 */
#include "support/helper.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "group/policy.h"

#define HOUR_NS SHMQ_SEC(3600)

static struct sq_policy_shm policy_of(uint32_t retry, int64_t first_ns, int64_t greatest_ns)
{
    struct sq_policy_shm policy = {
        .retry = retry, .retry_delay_ns = first_ns, .retry_max_ns = greatest_ns};

    assert_int_equal(sq_policy_check(&policy, &policy), 0);
    return policy;
}

static int64_t rest(const struct sq_policy_shm *policy, uint32_t attempts)
{
    uint64_t random = 1;

    return sq_policy_delay_ns(policy, attempts, &random);
}

/* --- the formulas -------------------------------------------------------------- */

static void fixed(void **state)
{
    struct sq_policy_shm policy = policy_of(SHMQ_RETRY_FIXED, SHMQ_MS(250), 0);

    (void)state;
    for (uint32_t n = 0; n < 1000; n += 7)
        assert_int_equal(rest(&policy, n), SHMQ_MS(250));
    policy = policy_of(SHMQ_RETRY_FIXED, 0, 0);
    assert_int_equal(rest(&policy, 5), 0);
}

static void linear(void **state)
{
    struct sq_policy_shm policy = policy_of(SHMQ_RETRY_LINEAR, SHMQ_MS(10), SHMQ_SEC(1));

    (void)state;
    assert_int_equal(rest(&policy, 0), SHMQ_MS(10));
    for (uint32_t n = 1; n <= 100; n++)
        assert_int_equal(rest(&policy, n), SHMQ_MS(10) * n);
    assert_int_equal(rest(&policy, 101), SHMQ_SEC(1));
    assert_int_equal(rest(&policy, UINT32_MAX), SHMQ_SEC(1));
}

/* d f^(n-1): 1 s, 2, 4, 8, 16, then the cap of 30. */
static void exponential(void **state)
{
    struct sq_policy_shm policy = policy_of(SHMQ_RETRY_EXPONENTIAL, SHMQ_SEC(1), SHMQ_SEC(30));
    static const int64_t seconds[] = {1, 1, 2, 4, 8, 16, 30, 30};

    (void)state;
    for (uint32_t n = 0; n < 8; n++)
        assert_int_equal(rest(&policy, n), SHMQ_SEC(seconds[n]));
    assert_int_equal(rest(&policy, UINT32_MAX), SHMQ_SEC(30));
    policy.retry_factor = 1.5;
    assert_int_equal(rest(&policy, 4), SHMQ_MS(3375));
    policy.retry_factor = 1; /* stays, however often */
    assert_int_equal(rest(&policy, UINT32_MAX), SHMQ_SEC(1));
    policy.retry_factor = 1e6;
    policy.retry_max_ns = INT64_MAX;
    assert_int_equal(rest(&policy, 2), SHMQ_SEC(1000000));
    assert_cmp(rest(&policy, UINT32_MAX), >=, INT64_MAX / 2); /* the cap, and not 0 */
    policy.retry_delay_ns = 0;                                /* and no time is lost over it */
    int64_t begun_ns = helper_now_ns();
    for (int i = 0; i < 100; i++)
        assert_int_equal(rest(&policy, UINT32_MAX), 0);
    assert_cmp(helper_now_ns() - begun_ns, <, HELPER_LATE_NS);
}

static void fibonacci(void **state)
{
    struct sq_policy_shm policy = policy_of(SHMQ_RETRY_FIBONACCI, SHMQ_MS(1), HOUR_NS);
    static const int64_t times[] = {1, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89};

    (void)state;
    for (uint32_t n = 0; n < sizeof(times) / sizeof(times[0]); n++)
        assert_int_equal(rest(&policy, n), SHMQ_MS(times[n]));
    assert_int_equal(rest(&policy, 33), SHMQ_MS(3524578));
    assert_int_equal(rest(&policy, 34), HOUR_NS);
    assert_int_equal(rest(&policy, UINT32_MAX), HOUR_NS);
    policy.retry_delay_ns = 0;
    assert_int_equal(rest(&policy, UINT32_MAX), 0);
}

/* Evenly between 0 and min(d n, the cap). */
static void evenly(void **state)
{
    enum { DRAWS = 20000, TENTHS = 10 };
    struct sq_policy_shm policy = policy_of(SHMQ_RETRY_RANDOM, SHMQ_SEC(1), SHMQ_SEC(5));
    struct helper_random seed = helper_seed();

    (void)state;
    for (uint32_t n = 1; n <= 8; n++) {
        int64_t most = SHMQ_SEC(n < 5 ? n : 5);
        unsigned counts[TENTHS] = {0};
        uint64_t random = seed.state;
        for (int i = 0; i < DRAWS; i++) {
            int64_t ns = sq_policy_delay_ns(&policy, n, &random);
            assert_in_range(ns, 0, most);
            counts[ns * TENTHS / (most + 1)]++;
        }
        for (int i = 0; i < TENTHS; i++) /* 2000 each; ten deviations off is no chance */
            assert_in_range(counts[i], 1601, 2399);
    }
}

/* --- the jitter, the cap --------------------------------------------------------- */

/* A tenth shorter or longer, both ends nearly reached; never beyond the cap. */
static void jitter(void **state)
{
    struct sq_policy_shm policy = policy_of(SHMQ_RETRY_LINEAR, SHMQ_SEC(1), SHMQ_SEC(4));
    struct helper_random seed = helper_seed();
    uint64_t random = seed.state;

    (void)state;
    policy.retry_jitter = 0.1;
    for (uint32_t n = 1; n <= 6; n++) {
        int64_t about = SHMQ_SEC(n), least = INT64_MAX, greatest = 0;
        for (int i = 0; i < 5000; i++) {
            int64_t ns = sq_policy_delay_ns(&policy, n, &random);
            least = ns < least ? ns : least;
            greatest = ns > greatest ? ns : greatest;
        }
        assert_cmp(greatest, <=, SHMQ_SEC(4));
        /* The jitter comes first, then the cap. */
        int64_t low = about - about / 10, high = about + about / 10;
        if (high > SHMQ_SEC(4))
            high = SHMQ_SEC(4);
        if (low > SHMQ_SEC(4))
            low = SHMQ_SEC(4);
        assert_in_range(least, low - 1, low + about / 100);
        assert_cmp(greatest, <=, high);
        assert_cmp(greatest, >=, high - about / 100);
    }
    policy.retry_jitter = 1; /* from nothing to the double */
    for (int i = 0; i < 5000; i++) {
        int64_t ns = sq_policy_delay_ns(&policy, 1, &random);
        assert_in_range(ns, 0, SHMQ_SEC(2));
    }
}

/* What is too long for a number is no shorter than the cap for that. */
static void jitter_of_the_infinite(void **state)
{
    struct sq_policy_shm policy = policy_of(SHMQ_RETRY_EXPONENTIAL, SHMQ_SEC(1), SHMQ_SEC(3600));
    struct helper_random seed = helper_seed();
    uint64_t random = seed.state;

    (void)state;
    policy.retry_jitter = 0.1;
    policy.retry_factor = 1e6;
    for (int i = 0; i < 100; i++)
        assert_int_equal(sq_policy_delay_ns(&policy, 60, &random), SHMQ_SEC(3600));
    policy.retry_factor = 2;
    for (int i = 0; i < 100; i++)
        assert_int_equal(sq_policy_delay_ns(&policy, 1200, &random), SHMQ_SEC(3600));
}

/* First the jitter, then the cap: what is beyond it by more than the jitter takes is at it. */
static void cap_after_the_jitter(void **state)
{
    static const uint32_t growing[] = {SHMQ_RETRY_LINEAR, SHMQ_RETRY_EXPONENTIAL,
                                       SHMQ_RETRY_FIBONACCI};
    struct helper_random seed = helper_seed();
    uint64_t random = seed.state;

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct sq_policy_shm policy = policy_of(growing[i], SHMQ_SEC(1), SHMQ_SEC(10));
        policy.retry_jitter = 0.9;
        for (int n = 0; n < 200; n++)
            assert_int_equal(sq_policy_delay_ns(&policy, 101, &random), SHMQ_SEC(10));
    }
}

/* The same state of the random numbers gives the same rest; and it moves on. */
static void random_is_the_callers(void **state)
{
    struct sq_policy_shm policy = policy_of(SHMQ_RETRY_RANDOM, SHMQ_SEC(1), 0);
    uint64_t one = 42, other = 42;

    (void)state;
    int64_t first = sq_policy_delay_ns(&policy, 1, &one);
    assert_int_equal(sq_policy_delay_ns(&policy, 1, &other), first);
    assert_int_equal(one, other);
    assert_int_not_equal(sq_policy_delay_ns(&policy, 1, &one), first);
}

/* --- damage ------------------------------------------------------------------------ */

/* Whatever the bytes are: at least 0, at most the cap, and soon. */
static void damaged(void **state)
{
    static const double numbers[] = {0,    -1,       1,         1e300,  -1e300,   NAN,
                                     -NAN, INFINITY, -INFINITY, 1e-300, 1.0000001};
    static const int64_t times[] = {0, 1, -1, SHMQ_SEC(1), HOUR_NS, INT64_MAX, INT64_MIN};
    static const uint32_t attempts[] = {0, 1, 2, 3, 100, (1 << 24) - 1, UINT32_MAX};
    enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };
    struct helper_random seed = helper_seed();
    uint64_t random = seed.state;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct sq_policy_shm policy;
        for (size_t b = 0; b < sizeof(policy); b++)
            ((unsigned char *)&policy)[b] = (unsigned char)helper_random(&seed);
        if (helper_random(&seed) % 2 == 0)
            policy.retry = (uint32_t)(helper_random(&seed) % 6);
        if (helper_random(&seed) % 4 != 0) {
            policy.retry_delay_ns = times[helper_random(&seed) % 7];
            policy.retry_max_ns = times[helper_random(&seed) % 7];
            policy.retry_factor = numbers[helper_random(&seed) % NUMBERS];
            policy.retry_jitter = numbers[helper_random(&seed) % NUMBERS];
        }
        int64_t cap = policy.retry_max_ns > 0 ? policy.retry_max_ns : 0;
        int64_t ns = sq_policy_delay_ns(&policy, attempts[helper_random(&seed) % 7], &random);
        assert_in_range(ns, 0, cap);
    }
}

/* --- what a policy may say ------------------------------------------------------------ */

static void defaults(void **state)
{
    struct sq_policy_shm given = {0}, policy;

    (void)state;
    memset(&policy, 0xff, sizeof(policy));
    assert_int_equal(sq_policy_check(&given, &policy), 0);
    assert_int_equal(policy.lease_ns, SHMQ_SEC(30));
    assert_int_equal(policy.max_attempts, 0);
    assert_int_equal(policy.retry_max_ns, HOUR_NS);
    assert_int_equal(policy.retry_factor, 2);
    assert_int_equal(policy.retry_jitter, 0);
    given.retry_delay_ns = 2 * HOUR_NS; /* the default cap makes room for it */
    assert_int_equal(sq_policy_check(&given, &policy), 0);
    assert_int_equal(policy.retry_max_ns, 2 * HOUR_NS);
}

static void refused(const struct sq_policy_shm *policy, const char *word)
{
    struct sq_policy_shm checked;

    assert_int_equal(sq_policy_check(policy, &checked), -EINVAL);
    assert_true(helper_detail_names(word, ""));
}

static void refusals(void **state)
{
    const struct sq_policy_shm good = {.retry_delay_ns = 5, .retry_max_ns = 9};
    struct sq_policy_shm p = good;

    (void)state;
    assert_int_equal(sq_policy_check(&good, &p), 0);
    p = good;
    p.lease_ns = -1;
    refused(&p, "lease_ns");
    p = good;
    p.retry = SHMQ_RETRY_RANDOM + 1;
    refused(&p, "retry");
    p = good;
    p.retry_delay_ns = -1;
    refused(&p, "retry_first_ns");
    p = good;
    p.retry_delay_ns = 10;
    refused(&p, "retry_greatest_ns");
    p = good;
    p.retry_max_ns = -1;
    refused(&p, "retry_greatest_ns");
    p = good;
    p.lag = SHMQ_LAG_DROP + 1;
    refused(&p, "lag");
    p = good;
    p.dead_letter_expired = 2;
    refused(&p, "dead_letter_expired");
    p = good;
    memset(p.dead_letter, 'x', sizeof(p.dead_letter));
    refused(&p, "dead-letter");
    static const double factors[] = {0.5, -2, 1.1e6, NAN, INFINITY};
    for (int i = 0; i < 5; i++) {
        p = good;
        p.retry_factor = factors[i];
        refused(&p, "retry_factor");
    }
    static const double jitters[] = {-0.1, 1.1, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        p = good;
        p.retry_jitter = jitters[i];
        refused(&p, "retry_jitter");
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(fixed),
        HELPER_TEST(linear),
        HELPER_TEST(exponential),
        HELPER_TEST(fibonacci),
        HELPER_TEST(evenly),
        HELPER_TEST(jitter),
        HELPER_TEST(jitter_of_the_infinite),
        HELPER_TEST(cap_after_the_jitter),
        HELPER_TEST(random_is_the_callers),
        HELPER_TEST(damaged),
        HELPER_TEST(defaults),
        HELPER_TEST(refusals),
    };

    return helper_run(argc, argv, tests);
}
