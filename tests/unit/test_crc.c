/*
 * test_crc.c - CRC-32C against RFC 3720's vectors and against the definition, by the
 * processor's instruction and by tables.
 */
#include "base/crc.h"

#include <stdlib.h>
#include <string.h>

#include "support/helper.h"

enum {
    THREE_LONG = 3 * SQ_CRC_LONG_BYTES,
    THREE_SHORT = 3 * SQ_CRC_SHORT_BYTES,
    LENGTH_MAX = 2 * THREE_LONG + 2 * THREE_SHORT + 9,
};

typedef uint32_t way(uint32_t crc, const void *data, size_t bytes);

static way *const ways[] = {sq_crc32c, sq_crc32c_by_tables};

/* RFC 3720, B.4. */
static void test_vectors(void **state)
{
    unsigned char bytes[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                               0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                               0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};

    (void)state;
    for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
        assert_int_equal(ways[w](0, bytes, 48), 0xd9963a56);
        assert_int_equal(ways[w](0, "123456789", 9), 0xe3069283);
        assert_int_equal(ways[w](0, "", 0), 0);
        unsigned char some[32];
        memset(some, 0, 32);
        assert_int_equal(ways[w](0, some, 32), 0x8a9136aa);
        memset(some, 0xff, 32);
        assert_int_equal(ways[w](0, some, 32), 0x62a8ab43);
        for (int i = 0; i < 32; i++)
            some[i] = (unsigned char)i;
        assert_int_equal(ways[w](0, some, 32), 0x46dd794e);
        for (int i = 0; i < 32; i++)
            some[i] = (unsigned char)(31 - i);
        assert_int_equal(ways[w](0, some, 32), 0x113fdb5c);
    }
}

/* Every length at an alignment, the bytes checked bit by bit from the definition. */
static void test_lengths(void **state)
{
    struct helper_random random = helper_seed();
    unsigned char *room = malloc(LENGTH_MAX + 16);

    (void)state;
    assert_non_null(room);
    for (size_t i = 0; i < LENGTH_MAX + 16; i++)
        room[i] = (unsigned char)helper_random(&random);
    for (size_t odd = 0; odd < 8; odd++) {
        uint32_t bitwise = ~(uint32_t)0;
        for (size_t n = 0; n <= LENGTH_MAX; n++) {
            /* All short ones and those about whole streams at each, others at one. */
            size_t beyond = n % THREE_LONG;
            if (n <= 256 || beyond <= 9 || beyond % THREE_SHORT <= 9 || n % 8 == odd)
                for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
                    if (ways[w](0, room + odd, n) != ~bitwise)
                        fail_msg("way %zu, alignment %zu, length %zu", w, odd, n);
            bitwise ^= room[odd + n];
            for (int bit = 0; bit < 8; bit++)
                bitwise = bitwise >> 1 ^ ((bitwise & 1) != 0 ? 0x82f63b78u : 0);
        }
    }
    free(room);
}

/* Bytes in pieces have the check of the whole. */
static void test_pieces(void **state)
{
    struct helper_random random = helper_seed();
    unsigned char bytes[5000];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)helper_random(&random);
    uint32_t whole = sq_crc32c(0, bytes, sizeof(bytes));
    for (int round = 0; round < 200; round++) {
        uint32_t crc = 0;
        size_t at = 0;
        while (at < sizeof(bytes)) {
            size_t n = helper_random(&random) % 2000 % (sizeof(bytes) - at) + 1;
            crc = ways[round % 2](crc, bytes + at, n);
            at += n;
        }
        assert_int_equal(crc, whole);
    }
}

/* What the check was before some bytes. */
static void test_before(void **state)
{
    struct helper_random random = helper_seed();
    unsigned char bytes[100];

    (void)state;
    for (int round = 0; round < 200; round++) {
        uint32_t crc = (uint32_t)helper_random(&random);
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (unsigned char)helper_random(&random);
        for (size_t n = 0; n <= sizeof(bytes); n++)
            assert_int_equal(sq_crc32c_before(sq_crc32c(crc, bytes, n), bytes, n), crc);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(test_vectors),
        HELPER_TEST(test_lengths),
        HELPER_TEST(test_pieces),
        HELPER_TEST(test_before),
    };

    return helper_run(argc, argv, tests);
}
