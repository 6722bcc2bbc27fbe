/*
 * crc.c - see crc.h.
 *
 * By the processor's own instruction where it has one (SSE 4.2, three streams at a time,
 * since each instruction waits three cycles for the one before: V. Gopal and others, "Fast
 * CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel 2011; the way the
 * streams are put together by tables of shifts is M. Adler's), else eight bytes at a time by
 * tables (M. Kounavis and F. Berry, "A Systematic Approach to Building High Performance
 * Software-based CRC Generators", 2005).  The tables are made at the first call.
 */
#include "crc.h"

#include <pthread.h>
#include <string.h>

enum {
    POLYNOMIAL = (int)0x82f63b78, /* reflected */
    STREAM_BYTES = 1024,          /* of each of three */
};

static struct {
    pthread_once_t once;
    uint32_t slice[8][256];
    uint32_t shift[4][256]; /* over STREAM_BYTES zeros */
} tables = {.once = PTHREAD_ONCE_INIT};

static uint32_t step(uint32_t crc, unsigned char byte)
{
    return tables.slice[0][(crc ^ byte) & 0xff] ^ crc >> 8;
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
    /* Shifting is linear: of each bit, and then of each byte's value at each place. */
    uint32_t of_bit[32];
    for (int bit = 0; bit < 32; bit++) {
        of_bit[bit] = (uint32_t)1 << bit;
        for (int i = 0; i < STREAM_BYTES; i++)
            of_bit[bit] = step(of_bit[bit], 0);
    }
    for (int place = 0; place < 4; place++)
        for (uint32_t n = 0; n < 256; n++)
            for (int bit = 0; bit < 8; bit++)
                tables.shift[place][n] ^= (n >> bit & 1) != 0 ? of_bit[8 * place + bit] : 0;
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

static uint32_t shift(uint32_t crc)
{
    return tables.shift[0][crc & 0xff] ^ tables.shift[1][crc >> 8 & 0xff] ^
           tables.shift[2][crc >> 16 & 0xff] ^ tables.shift[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc,
                                                                 const unsigned char *p, size_t n)
{
    uint64_t a = crc;

    for (; n >= 3 * STREAM_BYTES; n -= 3 * STREAM_BYTES, p += 3 * STREAM_BYTES) {
        uint64_t b = 0, c = 0;
        for (int i = 0; i < STREAM_BYTES; i += 8) {
            a = __builtin_ia32_crc32di(a, load_8(p + i));
            b = __builtin_ia32_crc32di(b, load_8(p + STREAM_BYTES + i));
            c = __builtin_ia32_crc32di(c, load_8(p + 2 * STREAM_BYTES + i));
        }
        a = shift(shift((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
    }
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
