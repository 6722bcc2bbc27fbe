/*
 * crc.c - see crc.h.
 *
 * By the processor's own instruction where it has one (SSE 4.2, three streams at a time,
 * since each instruction waits three cycles for the one before: V. Gopal and others, "Fast
 * CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel 2011; the way the
 * streams are put together by tables of shifts is M. Adler's; long streams are what the
 * processor fetches ahead best, short ones do for what is left), else eight bytes at a time by
 * tables (M. Kounavis and F. Berry, "A Systematic Approach to Building High Performance
 * Software-based CRC Generators", 2005).  The tables are made at the first call.
 */
#include "base/crc.h"

#include <pthread.h>
#include <string.h>

enum {
    POLYNOMIAL = (int)0x82f63b78,   /* reflected */
    LONG_BYTES = SQ_CRC_LONG_BYTES, /* of each of three streams */
    SHORT_BYTES = SQ_CRC_SHORT_BYTES,
};

static struct {
    pthread_once_t once;
    uint32_t slice[8][256];
    uint32_t over_long[4][256]; /* shifts over so many zeros */
    uint32_t over_short[4][256];
} tables = {.once = PTHREAD_ONCE_INIT};

static uint32_t step(uint32_t crc, unsigned char byte)
{
    return tables.slice[0][(crc ^ byte) & 0xff] ^ crc >> 8;
}

static uint32_t shift(uint32_t by[4][256], uint32_t crc)
{
    return by[0][crc & 0xff] ^ by[1][crc >> 8 & 0xff] ^ by[2][crc >> 16 & 0xff] ^ by[3][crc >> 24];
}

/* Shifting is linear: of each bit, and then of each byte's value at each place. */
static void make_shift(uint32_t by[4][256], const uint32_t of_bit[32])
{
    for (int place = 0; place < 4; place++)
        for (uint32_t n = 0; n < 256; n++)
            for (int bit = 0; bit < 8; bit++)
                by[place][n] ^= (n >> bit & 1) != 0 ? of_bit[8 * place + bit] : 0;
}

static void make_tables(void)
{
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t crc = n;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) != 0 ? crc >> 1 ^ (uint32_t)POLYNOMIAL : crc >> 1;
        tables.slice[0][n] = crc;
    }
    for (uint32_t n = 0; n < 256; n++)
        for (int k = 1; k < 8; k++)
            tables.slice[k][n] = step(tables.slice[k - 1][n], 0);
    uint32_t of_bit[32];
    for (int bit = 0; bit < 32; bit++) {
        of_bit[bit] = (uint32_t)1 << bit;
        for (int i = 0; i < SHORT_BYTES; i++)
            of_bit[bit] = step(of_bit[bit], 0);
    }
    make_shift(tables.over_short, of_bit);
    for (int bit = 0; bit < 32; bit++)
        for (int i = SHORT_BYTES; i < LONG_BYTES; i += SHORT_BYTES)
            of_bit[bit] = shift(tables.over_short, of_bit[bit]);
    make_shift(tables.over_long, of_bit);
}

static uint64_t load_8(const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, 8);
    return word;
}

static uint32_t by_tables(uint32_t crc, const unsigned char *p, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t w = load_8(p) ^ crc;
        crc = 0;
        for (int k = 0; k < 8; k++)
            crc ^= tables.slice[7 - k][w >> 8 * k & 0xff];
    }
#endif
    for (; n > 0; n--)
        crc = step(crc, *p++);
    return crc;
}

#if defined(__x86_64__)

/* Three streams of `bytes` each. */
__attribute__((target("sse4.2"))) static uint64_t streams(uint64_t a, const unsigned char *p,
                                                          size_t bytes, uint32_t by[4][256])
{
    uint64_t b = 0, c = 0;

    for (size_t i = 0; i < bytes; i += 8) {
        a = __builtin_ia32_crc32di(a, load_8(p + i));
        b = __builtin_ia32_crc32di(b, load_8(p + bytes + i));
        c = __builtin_ia32_crc32di(c, load_8(p + 2 * bytes + i));
    }
    return shift(by, shift(by, (uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc,
                                                                 const unsigned char *p, size_t n)
{
    uint64_t a = crc;

    for (; n >= 3 * LONG_BYTES; n -= 3 * LONG_BYTES, p += 3 * LONG_BYTES)
        a = streams(a, p, LONG_BYTES, tables.over_long);
    for (; n >= 3 * SHORT_BYTES; n -= 3 * SHORT_BYTES, p += 3 * SHORT_BYTES)
        a = streams(a, p, SHORT_BYTES, tables.over_short);
    for (; n >= 8; n -= 8, p += 8)
        a = __builtin_ia32_crc32di(a, load_8(p));
    for (; n > 0; n--)
        a = __builtin_ia32_crc32qi((uint32_t)a, *p++);
    return (uint32_t)a;
}

static uint32_t compute(uint32_t crc, const unsigned char *p, size_t n)
{
    return __builtin_cpu_supports("sse4.2") ? by_instruction(crc, p, n) : by_tables(crc, p, n);
}

#else

static uint32_t compute(uint32_t crc, const unsigned char *p, size_t n)
{
    return by_tables(crc, p, n);
}

#endif

uint32_t sq_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    pthread_once(&tables.once, make_tables);
    return ~compute(~crc, data, bytes);
}

uint32_t sq_crc32c_by_tables(uint32_t crc, const void *data, size_t bytes)
{
    pthread_once(&tables.once, make_tables);
    return ~by_tables(~crc, data, bytes);
}

uint32_t sq_crc32c_before(uint32_t crc, const void *data, size_t bytes)
{
    const unsigned char *p = data;

    crc = ~crc;
    while (bytes-- > 0) {
        for (int bit = 0; bit < 8; bit++) /* the polynomial's highest bit tells which it was */
            crc = crc >> 31 != 0 ? (crc ^ (uint32_t)POLYNOMIAL) << 1 | 1 : crc << 1;
        crc ^= p[bytes];
    }
    return ~crc;
}
