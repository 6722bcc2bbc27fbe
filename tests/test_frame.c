/*
 * test_frame.c - CRC-32C, frames, and what a reader makes of bytes that are none.
 */
#include "helper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc.h"
#include "frame.h"

/* --- CRC-32C -------------------------------------------------------------------- */

static uint32_t bit_by_bit(uint32_t crc, const unsigned char *bytes, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static void crc_vectors(void **state)
{
    unsigned char bytes[48];

    (void)state;
    /* RFC 3720, B.4 */
    memset(bytes, 0, 32);
    assert_int_equal(sq_crc32c(0, bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, 32);
    assert_int_equal(sq_crc32c(0, bytes, 32), 0x62a8ab43u);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(sq_crc32c(0, bytes, 32), 0x46dd794eu);
    assert_int_equal(sq_crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(sq_crc32c(0, "", 0), 0);
}

static void crc_of_all_lengths(void **state)
{
    static unsigned char bytes[10008];
    struct helper_random random = helper_seed();

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)helper_random(&random);
    for (size_t n = 0; n < 10000; n = n < 300 ? n + 1 : n + n / 7)
        for (size_t at = 0; at < 8; at += 3) {
            uint32_t all = bit_by_bit(0, bytes + at, n);
            assert_int_equal(sq_crc32c(0, bytes + at, n), all);
            size_t part = n / 3;
            uint32_t first = sq_crc32c(0, bytes + at, part);
            assert_int_equal(sq_crc32c(first, bytes + at + part, n - part), all);
        }
}

/* --- a file in memory -------------------------------------------------------------- */

enum { ROOM = 1 << 16, SALT = 12345 };

struct bytes {
    _Alignas(8) unsigned char at[ROOM];
    uint64_t size;
    uint64_t number;
};

static void begin(struct bytes *b)
{
    struct sq_file_header h = {
        .salt = SALT, .queue = "q", .capacity_bytes = 4096, .group_count = 1, .entry_count = 64};

    memset(b, 0, sizeof(*b));
    sq_file_header_seal(&h);
    memcpy(b->at, &h, sizeof(h));
    b->size = SQ_FILE_HEADER_BYTES;
}

/* Append a frame, of which `bytes` are `fill`; where it begins. */
static uint64_t append(struct bytes *b, size_t bytes, unsigned char fill, uint64_t synced_off)
{
    static unsigned char content[ROOM];
    struct sq_piece pieces[2] = {{content, bytes / 2}, {content + bytes / 2, bytes - bytes / 2}};
    struct sq_frame frame;
    uint64_t at = b->size;

    memset(content, fill, bytes);
    sq_frame_make(&frame, SALT, SQ_FRAME_RECORDS, ++b->number, synced_off, pieces, 2);
    memcpy(b->at + at, &frame, sizeof(frame));
    memcpy(b->at + at + sizeof(frame), content, bytes);
    b->size += sq_frame_total((uint32_t)bytes);
    return at;
}

/* How many whole frames there are, and what is behind them. */
static unsigned count(const struct bytes *b, enum sq_read *end)
{
    const struct sq_frame *frame;
    struct sq_reader reader;
    unsigned n = 0;

    assert_int_equal(sq_reader_begin(&reader, b->at, b->size), 0);
    while ((*end = sq_reader_next(&reader, &frame)) == SQ_READ_FRAME)
        n++;
    return n;
}

static struct bytes b;

static void round_trip(void **state)
{
    const struct sq_frame *frame;
    struct sq_reader reader;

    (void)state;
    begin(&b);
    for (unsigned n = 0; n < 40; n++)
        append(&b, n, (unsigned char)n, 0);
    assert_int_equal(sq_reader_begin(&reader, b.at, b.size), 0);
    for (unsigned n = 0; n < 40; n++) {
        assert_int_equal(sq_reader_next(&reader, &frame), SQ_READ_FRAME);
        assert_int_equal(frame->bytes, n);
        assert_int_equal(frame->number, n + 1);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(((const unsigned char *)sq_frame_content(frame))[i], n);
    }
    assert_int_equal(sq_reader_next(&reader, &frame), SQ_READ_END);
    b.size += 1000; /* zeros behind are the end as well */
    assert_int_equal(sq_reader_next(&(struct sq_reader){b.at, b.size, reader.off, 40, SALT}, &frame),
                     SQ_READ_END);
}

static void cut_anywhere(void **state)
{
    enum sq_read end;

    (void)state;
    begin(&b);
    uint64_t second, third;
    append(&b, 20, 1, 0);
    second = append(&b, 33, 2, 0);
    third = b.size;
    for (; b.size > SQ_FILE_HEADER_BYTES; b.size--) {
        unsigned whole = b.size >= third ? 2 : b.size >= second ? 1 : 0;
        assert_int_equal(count(&b, &end), whole);
        /* What is cut is padding at the most, or torn. */
        assert_true(end == SQ_READ_END || end == SQ_READ_TORN);
    }
}

static void flipped_anywhere(void **state)
{
    enum sq_read end;

    (void)state;
    begin(&b);
    append(&b, 20, 1, 0);
    uint64_t second = append(&b, 32, 2, 0), third = append(&b, 8, 3, 0);
    for (uint64_t i = second; i < third; i++)
        for (int bit = 0; bit < 8; bit++) {
            b.at[i] ^= (unsigned char)(1 << bit);
            assert_int_equal(count(&b, &end), 1);
            assert_int_equal(end, SQ_READ_TORN); /* nothing says that it was on the disk */
            b.at[i] ^= (unsigned char)(1 << bit);
        }
    append(&b, 8, 4, third); /* this says so */
    for (uint64_t i = second; i < third; i++) {
        b.at[i] ^= 1;
        assert_int_equal(count(&b, &end), 1);
        assert_int_equal(end, SQ_READ_BAD);
        b.at[i] ^= 1;
    }
    /* The third had not been. */
    b.at[third] ^= 1;
    assert_int_equal(count(&b, &end), 2);
    assert_int_equal(end, SQ_READ_TORN);
}

static void skipping_damage(void **state)
{
    const struct sq_frame *frame;
    struct sq_reader reader;

    (void)state;
    begin(&b);
    append(&b, 20, 1, 0);
    uint64_t second = append(&b, 500, 2, 0), third = append(&b, 8, 3, 0);
    append(&b, 8, 4, third);
    b.at[second + 40] ^= 1;
    assert_int_equal(sq_reader_begin(&reader, b.at, b.size), 0);
    assert_int_equal(sq_reader_next(&reader, &frame), SQ_READ_FRAME);
    assert_int_equal(sq_reader_next(&reader, &frame), SQ_READ_BAD);
    assert_int_equal(reader.off, second);
    assert_true(sq_reader_skip(&reader));
    assert_int_equal(reader.off, third);
    assert_int_equal(sq_reader_next(&reader, &frame), SQ_READ_FRAME);
    assert_int_equal(frame->number, 3);
    assert_int_equal(sq_reader_next(&reader, &frame), SQ_READ_FRAME);
    assert_int_equal(sq_reader_next(&reader, &frame), SQ_READ_END);
    assert_false(sq_reader_skip(&reader));
}

/* What is in a payload is no frame, even if it was one in another file. */
static void frames_of_another_file(void **state)
{
    enum sq_read end;

    (void)state;
    begin(&b);
    append(&b, 20, 1, 0);
    struct sq_frame frame;
    sq_frame_make(&frame, SALT + 1, SQ_FRAME_RECORDS, 2, 0, NULL, 0);
    memcpy(b.at + b.size, &frame, sizeof(frame));
    b.size += sizeof(frame);
    assert_int_equal(count(&b, &end), 1);
    assert_int_equal(end, SQ_READ_TORN);
}

static void headers(void **state)
{
    struct sq_reader reader;

    (void)state;
    begin(&b);
    for (uint64_t n = 0; n < SQ_FILE_HEADER_BYTES; n += 8)
        assert_true(sq_reader_begin(&reader, b.at, n) < 0);
    for (size_t i = 0; i < offsetof(struct sq_file_header, check); i++) {
        b.at[i] ^= 4;
        int rc = sq_reader_begin(&reader, b.at, b.size);
        assert_true(rc == -EPROTO || rc == -EBADMSG);
        b.at[i] ^= 4;
    }
    assert_int_equal(sq_reader_begin(&reader, b.at, b.size), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(crc_vectors),      HELPER_TEST(crc_of_all_lengths),
        HELPER_TEST(round_trip),       HELPER_TEST(cut_anywhere),
        HELPER_TEST(flipped_anywhere), HELPER_TEST(skipping_damage),
        HELPER_TEST(frames_of_another_file), HELPER_TEST(headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
