/*
 * test_frame.c - files frame by frame: what was written is read, and what is cut, flipped
 * or torn is told to be that.
 */
#include "file/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support/file_builder.h"
#include "support/helper.h"

/* --- what is read -------------------------------------------------------------- */

struct found {
    enum sq_read last; /* what ended it */
    unsigned count;
    uint64_t off; /* of that */
    int rc;       /* of sq_reader_begin() */
};

/* Read all; each frame must be the same as the `whole` file's at that place. */
static struct found read_all(const unsigned char *bytes, uint64_t size,
                             const struct made_file *whole)
{
    struct found found = {.last = SQ_READ_END};
    const struct sq_frame *frame;
    struct sq_reader reader;

    found.rc = sq_reader_begin(&reader, bytes, size);
    if (found.rc < 0)
        return found;
    while ((found.last = sq_reader_next(&reader, &frame)) == SQ_READ_FRAME) {
        uint64_t off = (uint64_t)((const unsigned char *)frame - bytes);
        assert_cmp(off + sizeof(*frame) + frame->bytes, <=, size);
        assert_cmp(off + sizeof(*frame) + frame->bytes, <=, whole->size);
        assert_memory_equal(frame, whole->bytes + off, sizeof(*frame) + frame->bytes);
        found.count++;
        found.off = reader.off;
    }
    found.off = reader.off;
    return found;
}

/* A copy of exactly so many bytes, so that a sanitizer sees who reads on. */
static unsigned char *copy_of(const struct made_file *f, uint64_t size)
{
    unsigned char *bytes = malloc(size > 0 ? size : 1);

    assert_non_null(bytes);
    memcpy(bytes, f->bytes, size);
    return bytes;
}

/* --- round trips ----------------------------------------------------------------- */

static void test_round_trip(void **state)
{
    struct helper_random random = helper_seed();
    unsigned char content[3000];
    struct made_file f;
    uint64_t offs[100];
    uint32_t lengths[100];

    (void)state;
    made_begin(&f, 0);
    for (unsigned i = 0; i < 100; i++) {
        lengths[i] = i < 20 ? i : (uint32_t)(helper_random(&random) % sizeof(content));
        for (uint32_t k = 0; k < lengths[i]; k++)
            content[k] = (unsigned char)(i + k);
        f.synced_off = f.size;
        offs[i] = made_frame(&f, 1 + i % (SQ_FRAME_KINDS - 1), content, lengths[i]);
        assert_int_equal(offs[i] % SQ_FRAME_ALIGN, 0);
    }
    struct sq_reader reader;
    const struct sq_frame *frame;
    assert_int_equal(sq_reader_begin(&reader, f.bytes, f.size), 0);
    assert_string_equal(sq_reader_header(&reader)->queue, "made");
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(reader.off, offs[i]);
        assert_int_equal(sq_reader_next(&reader, &frame), SQ_READ_FRAME);
        assert_int_equal(frame->kind, 1 + i % (SQ_FRAME_KINDS - 1));
        assert_int_equal(frame->number, i + 1);
        assert_int_equal(frame->bytes, lengths[i]);
        assert_int_equal(frame->synced_off, offs[i]);
        const unsigned char *bytes = sq_frame_content(frame);
        for (uint32_t k = 0; k < lengths[i]; k++)
            assert_int_equal(bytes[k], (unsigned char)(i + k));
    }
    assert_int_equal(sq_reader_next(&reader, &frame), SQ_READ_END);
    assert_int_equal(sq_reader_next(&reader, &frame), SQ_READ_END);
    made_free(&f);
}

/* However the content is in pieces, the frame is the same. */
static void test_pieces(void **state)
{
    const char text[] = "what is in a frame may come in up to four pieces";
    struct sq_frame one, other;

    (void)state;
    sq_frame_make(&one, 7, SQ_FRAME_RECORDS, 3, 4096, &(struct sq_piece){text, sizeof(text)}, 1);
    for (size_t a = 0; a < sizeof(text); a++)
        for (size_t b = a; b < sizeof(text); b += 5) {
            struct sq_piece p[SQ_PIECES_MAX] = {
                {text, a}, {text + a, b - a}, {NULL, 0}, {text + b, sizeof(text) - b}};
            sq_frame_make(&other, 7, SQ_FRAME_RECORDS, 3, 4096, p, SQ_PIECES_MAX);
            assert_memory_equal(&one, &other, sizeof(one));
        }
    sq_frame_make(&other, 8, SQ_FRAME_RECORDS, 3, 4096, &(struct sq_piece){text, sizeof(text)}, 1);
    assert_int_not_equal(one.check, other.check);
}

static void test_sample_is_valid(void **state)
{
    const uint32_t kinds[] = {0, SHMQ_TOPIC};
    const struct sq_frame *frame;
    struct sq_reader reader;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct made_file f;
        made_sample(&f, kinds[i]);
        assert_int_equal(sq_reader_begin(&reader, f.bytes, f.size), 0);
        while (sq_reader_next(&reader, &frame) == SQ_READ_FRAME)
            assert_null(sq_frame_valid(f.header, frame));
        assert_int_equal(reader.off, f.size);
        assert_int_equal(reader.number, f.number);
        made_free(&f);
    }
}

/* --- headers ---------------------------------------------------------------------- */

static int begin(const void *bytes, uint64_t size)
{
    struct sq_reader reader;

    return sq_reader_begin(&reader, bytes, size);
}

static void test_headers(void **state)
{
    struct made_file f;

    (void)state;
    made_begin(&f, 0);
    assert_int_equal(begin("", 0), -EPROTO);
    assert_int_equal(begin("shmqfil", 7), -EPROTO);
    assert_int_equal(begin(f.bytes, SQ_FILE_HEADER_BYTES), 0);
    assert_int_equal(begin(f.bytes, SQ_FILE_HEADER_BYTES - 1), -EBADMSG);

    f.header->order = 0x04030201;
    assert_int_equal(begin(f.bytes, f.size), -EPROTO);
    f.header->order = SQ_FILE_ORDER;
    f.header->format++;
    assert_int_equal(begin(f.bytes, f.size), -EPROTO);
    sq_file_header_seal(f.header);
    f.header->incompatible = 1;
    sq_file_header_seal(f.header);
    assert_int_equal(begin(f.bytes, f.size), -EPROTO);
    f.header->incompatible = 0;
    sq_file_header_seal(f.header);
    assert_int_equal(begin(f.bytes, f.size), 0);
    made_free(&f);
}

/* What a right check does not make right. */
static void test_header_values(void **state)
{
    struct made_file f;
    struct sq_file_header good;

    (void)state;
    made_begin(&f, 0);
    good = *f.header;
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        *f.header = good;                                                                          \
        change;                                                                                    \
        sq_file_header_seal(f.header);                                                             \
        assert_int_equal(begin(f.bytes, f.size), -EBADMSG);                                        \
    } while (0)
    REFUSED(memset(f.header->queue, 'x', sizeof(f.header->queue)));
    REFUSED(f.header->queue[0] = '\0');
    REFUSED(memcpy(f.header->queue, "../x", 5));
    REFUSED(f.header->capacity_bytes = 0);
    REFUSED(f.header->capacity_bytes = 65537);
    REFUSED(f.header->group_count = 0);
    REFUSED(f.header->group_count = SQ_GROUPS_MAX + 1);
    REFUSED(f.header->entry_count = SQ_ENTRIES_MAX + 1);
    REFUSED(f.header->queue_order = SHMQ_PRIORITY + 1);
    REFUSED(f.header->full = SHMQ_FULL_DROP + 1);
    REFUSED(f.header->kind = 1);
#undef REFUSED
    made_free(&f);
}

/* --- cut and flipped ----------------------------------------------------------------- */

/* Each length of a file: its whole frames, and then a torn end or none. */
static void test_cut_anywhere(void **state)
{
    struct made_file f;
    unsigned before = 0;

    (void)state;
    made_sample(&f, SHMQ_TOPIC);
    for (uint64_t size = 0; size < f.size; size++) {
        unsigned char *bytes = copy_of(&f, size);
        struct found found = read_all(bytes, size, &f);
        if (size < SQ_FILE_HEADER_BYTES) {
            assert_int_equal(found.rc, size < 8 ? -EPROTO : -EBADMSG);
        } else {
            assert_int_equal(found.rc, 0);
            assert_cmp(found.count, >=, before);
            assert_cmp(found.count, <, f.number);
            assert_int_equal(found.last, found.off == size ? SQ_READ_END : SQ_READ_TORN);
            before = found.count;
        }
        free(bytes);
    }
    assert_int_equal(before, f.number - 1);
    made_free(&f);
}

/* Each bit of a file: refused, or the frames before it; nothing else is let through but
 * what is in no frame's content. */
static void test_flipped_anywhere(void **state)
{
    struct made_file f;

    (void)state;
    made_sample(&f, 0);
    unsigned char *bytes = copy_of(&f, f.size);
    for (uint64_t at = 0; at < f.size; at++) {
        unsigned char flip = (unsigned char)(1u << at % 8);
        bytes[at] ^= flip;
        struct found found = read_all(bytes, f.size, &f);
        bytes[at] ^= flip;
        if (at < offsetof(struct sq_file_header, check) + 4) {
            assert_int_not_equal(found.rc, 0);
            continue;
        }
        assert_int_equal(found.rc, 0);
        if (found.count < f.number) { /* a frame was hit: none from there on */
            assert_cmp(found.off, <=, at);
            assert_int_equal(found.last, SQ_READ_TORN);
        } else { /* between the header's end and the first frame, or padding */
            assert_int_equal(bytes[at], 0);
        }
    }
    free(bytes);
    made_free(&f);
}

/* --- torn or damaged ------------------------------------------------------------------ */

static struct found read_it(const struct made_file *f, const struct made_file *whole)
{
    unsigned char *bytes = copy_of(f, f->size);
    struct found found = read_all(bytes, f->size, whole);

    free(bytes);
    return found;
}

/* Ten records; frame `at` is spoiled, and those from `knows` on say that all before
 * them was on the disk (10: none does). */
static struct found spoil(unsigned at, unsigned knows, uint64_t from, uint64_t bytes)
{
    struct made_file f, whole;
    uint64_t offs[10];

    made_begin(&f, 0);
    for (unsigned i = 0; i < 10; i++) {
        f.synced_off = i >= knows ? f.size : SQ_FILE_HEADER_BYTES;
        offs[i] = made_record(&f, i + 1, 0, "some text that is longer than others");
    }
    whole = f;
    whole.bytes = copy_of(&f, f.size);
    memset(f.bytes + offs[at] + from, 0, bytes);
    struct found found = read_it(&f, &whole);
    assert_int_equal(found.rc, 0);
    assert_int_equal(found.count, at);
    assert_int_equal(found.off, offs[at]);
    made_free(&whole);
    made_free(&f);
    return found;
}

static void test_torn_or_bad(void **state)
{
    (void)state;
    for (unsigned at = 1; at < 10; at++) {
        assert_int_equal(spoil(at, 10, 40, 8).last, SQ_READ_TORN);
        assert_int_equal(spoil(at, 10, 0, 8).last, SQ_READ_TORN);
        assert_int_equal(spoil(at, at, 40, 8).last, at == 9 ? SQ_READ_TORN : SQ_READ_BAD);
        for (unsigned knows = at + 1; knows < 10; knows++) {
            assert_int_equal(spoil(at, knows, 40, 8).last, SQ_READ_BAD);
            assert_int_equal(spoil(at, knows, 0, 96).last, SQ_READ_BAD); /* all of it */
        }
    }
}

/* A later frame whose content is torn still knows what was on the disk before it. */
static void test_torn_knows(void **state)
{
    struct made_file f;

    (void)state;
    made_begin(&f, 0);
    uint64_t first = made_record(&f, 1, 0, "one");
    f.synced_off = f.size;
    uint64_t second = made_record(&f, 2, 0, "two");
    f.bytes[first + 40]++;
    f.bytes[second + 60]++;
    assert_int_equal(read_it(&f, &f).last, SQ_READ_BAD);
    made_free(&f);
    /* As many frames as may have been in so many bytes: the shortest there are. */
    made_begin(&f, 0);
    first = made_base(&f);
    made_base(&f);
    made_base(&f);
    f.synced_off = f.size;
    made_base(&f);
    memset(f.bytes + first, 0, 3 * sizeof(struct sq_frame));
    assert_int_equal(read_it(&f, &f).last, SQ_READ_BAD);
    made_free(&f);
}

/* A frame that says that just this place was not yet on the disk knows nothing of it. */
static void test_synced_up_to_there(void **state)
{
    struct made_file f;

    (void)state;
    made_begin(&f, 0);
    uint64_t off = made_record(&f, 1, 0, "one");
    f.synced_off = off;
    made_record(&f, 2, 0, "two");
    f.bytes[off + 40]++;
    assert_int_equal(read_it(&f, &f).last, SQ_READ_TORN);
    f.bytes[off + 40]--;
    f.size = off;
    f.number = 0;
    made_record(&f, 1, 0, "one");
    f.synced_off = off + 1;
    made_record(&f, 2, 0, "two");
    f.bytes[off + 40]++;
    assert_int_equal(read_it(&f, &f).last, SQ_READ_BAD);
    made_free(&f);
}

static void test_zeros_behind(void **state)
{
    struct made_file f, whole;

    (void)state;
    made_sample(&f, 0);
    whole = f;
    f.size += 100003;
    struct found found = read_it(&f, &whole);
    assert_int_equal(found.last, SQ_READ_END);
    assert_int_equal(found.count, whole.number);
    assert_int_equal(found.off, whole.size);
    f.bytes[f.size - 1] = 1;
    assert_int_equal(read_it(&f, &whole).last, SQ_READ_TORN);
    f.bytes[f.size - 1] = 0;
    /* Zeros, and then a frame that knows what was there. */
    f.size = whole.size + 4096;
    f.number += 5;
    f.synced_off = whole.size + 512;
    made_record(&f, 9, 0, "nine");
    found = read_it(&f, &whole);
    assert_int_equal(found.last, SQ_READ_BAD);
    assert_int_equal(found.off, whole.size);
    made_free(&f);
}

/* What is a frame of another file, or a payload that looks like one, is none. */
static void test_false_frames(void **state)
{
    struct made_file f, other;

    (void)state;
    made_begin(&other, 0);
    other.header->salt++;
    other.number = 1;
    other.synced_off = SQ_FILE_HEADER_BYTES + 64;
    made_record(&other, 1, 0, "of another file");
    made_begin(&f, 0);
    made_record(&f, 1, 0, "one");
    uint64_t end = f.size;
    memcpy(f.bytes + f.size, other.bytes + SQ_FILE_HEADER_BYTES, other.size - SQ_FILE_HEADER_BYTES);
    f.size += other.size - SQ_FILE_HEADER_BYTES;
    struct found found = read_it(&f, &f);
    assert_int_equal(found.last, SQ_READ_TORN);
    assert_int_equal(found.off, end);
    made_free(&f);
    made_free(&other);
}

/* A frame with a number that is not its turn: an old one, or from further on. */
static void test_numbers(void **state)
{
    struct made_file f;

    (void)state;
    for (int step = -2; step <= 2; step++) {
        made_begin(&f, 0);
        made_base(&f);
        made_base(&f);
        f.number += (uint64_t)(int64_t)step;
        made_base(&f);
        struct found found = read_it(&f, &f);
        assert_int_equal(found.count, step == 0 ? 3 : 2);
        assert_int_equal(found.last, step == 0 ? SQ_READ_END : SQ_READ_TORN);
        made_free(&f);
    }
}

/* --- skipping ------------------------------------------------------------------------- */

static void test_skip(void **state)
{
    const struct sq_frame *frame;
    struct sq_reader reader;
    struct made_file f;
    uint64_t offs[10];

    (void)state;
    made_begin(&f, 0);
    for (unsigned i = 0; i < 10; i++) {
        f.synced_off = f.size;
        offs[i] = made_record(&f, i + 1, 0, "some text");
    }
    f.bytes[offs[0]]++;                                    /* the first */
    memset(f.bytes + offs[3], 0x55, offs[5] - offs[3]);    /* two in a row */
    f.bytes[offs[7] + offsetof(struct sq_frame, bytes)]++; /* a length */
    f.bytes[offs[9] + 50]++;                               /* the last */
    const unsigned whole[] = {1, 2, 5, 6, 8};
    assert_int_equal(sq_reader_begin(&reader, f.bytes, f.size), 0);
    unsigned count = 0;
    for (;;) {
        enum sq_read read = sq_reader_next(&reader, &frame);
        if (read == SQ_READ_FRAME) {
            assert_cmp(count, <, 5);
            assert_ptr_equal(frame, f.bytes + offs[whole[count]]);
            assert_int_equal(frame->number, whole[count] + 1);
            count++;
            continue;
        }
        assert_int_equal(read, count == 5 ? SQ_READ_TORN : SQ_READ_BAD);
        if (!sq_reader_skip(&reader))
            break;
    }
    assert_int_equal(count, 5);
    made_free(&f);
}

/* What is said to be wrong with the second of three frames, at `off`. */
static void wrong_is(struct made_file *f, uint64_t off, uint64_t size, const char *what)
{
    unsigned char *bytes = copy_of(f, size);
    const struct sq_frame *frame;
    struct sq_reader reader;

    assert_int_equal(sq_reader_begin(&reader, bytes, size), 0);
    assert_true(sq_reader_step(&reader, &frame));
    assert_false(sq_reader_step(&reader, &frame));
    assert_int_equal(reader.off, off);
    assert_string_equal(sq_reader_wrong(&reader), what);
    /* Only one whose content alone is wrong is stepped over. */
    frame = sq_reader_pass(&reader);
    assert_int_equal(frame != NULL, strcmp(what, "a frame's content is damaged") == 0);
    if (frame != NULL) {
        assert_int_equal(frame->number, 2);
        assert_true(sq_reader_step(&reader, &frame));
        assert_true(sq_reader_is_at_end(&reader));
    }
    free(bytes);
}

static void test_what_is_wrong(void **state)
{
    struct made_file f;

    (void)state;
    made_begin(&f, 0);
    made_record(&f, 1, 0, "one");
    uint64_t off = made_record(&f, 2, 0, "two"), end = f.size;
    made_record(&f, 3, 0, "three");
    struct sq_frame *second = (void *)(f.bytes + off), was = *second;
    wrong_is(&f, off, off + 20, "a frame's header is cut");
    wrong_is(&f, off, end - 1, "a frame is cut");
    f.bytes[off + 60]++;
    wrong_is(&f, off, f.size, "a frame's content is damaged");
    f.bytes[off + 60]--;
    second->number++;
    wrong_is(&f, off, f.size, "a frame's header is damaged");
    memset(second, 0, sizeof(*second));
    wrong_is(&f, off, f.size, "zeros where a frame should be");
    struct sq_piece piece = {second + 1, was.bytes};
    sq_frame_make(second, MADE_SALT, was.kind, 5, 0, &piece, 1);
    wrong_is(&f, off, f.size, "frames before this one are missing");
    sq_frame_make(second, MADE_SALT, was.kind, 1, 0, &piece, 1);
    wrong_is(&f, off, f.size, "a frame of earlier on");
    made_free(&f);
}

/* Frames are gone, and the bytes they had, too: the next one stands where they did, and says
 * that more was on the disk than is before it. */
static void test_skip_what_is_missing(void **state)
{
    const struct sq_frame *frame;
    struct sq_reader reader;
    struct made_file f;

    (void)state;
    made_begin(&f, 0);
    made_record(&f, 1, 0, "one");
    f.number += 10;
    f.synced_off = f.size + 10000;
    uint64_t off = made_record(&f, 12, 0, "twelve");
    assert_int_equal(sq_reader_begin(&reader, f.bytes, f.size), 0);
    assert_true(sq_reader_step(&reader, &frame));
    assert_false(sq_reader_step(&reader, &frame));
    assert_true(sq_reader_skip(&reader));
    assert_int_equal(reader.off, off);
    assert_true(sq_reader_step(&reader, &frame));
    assert_int_equal(frame->number, 12);
    assert_false(sq_reader_skip(&reader));
    made_free(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(test_round_trip),       HELPER_TEST(test_pieces),
        HELPER_TEST(test_sample_is_valid),  HELPER_TEST(test_headers),
        HELPER_TEST(test_header_values),    HELPER_TEST(test_cut_anywhere),
        HELPER_TEST(test_flipped_anywhere), HELPER_TEST(test_torn_or_bad),
        HELPER_TEST(test_torn_knows),       HELPER_TEST(test_synced_up_to_there),
        HELPER_TEST(test_zeros_behind),     HELPER_TEST(test_false_frames),
        HELPER_TEST(test_numbers),          HELPER_TEST(test_skip),
        HELPER_TEST(test_what_is_wrong),    HELPER_TEST(test_skip_what_is_missing),
    };

    return helper_run(argc, argv, tests);
}
