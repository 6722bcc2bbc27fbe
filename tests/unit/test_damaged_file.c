/*
 * test_damaged_file.c - files cut at every byte, and with every byte flipped, made queues of:
 * an error, or what all before the damage says, and then it is told how much was cut off;
 * never anything else.
 */
#include "support/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/format.h"
#include "support/contents.h"

enum { ENDS_MAX = 64 };

static const char *const file = folder_file, *const damaged = folder_other;

/* A file, and what a queue made of it has that is cut at one of these places. */
static struct whole {
    unsigned char *bytes;
    size_t size;
    size_t base_end, synced_off;
    struct {
        size_t off;
        char *text;
    } ends[ENDS_MAX];
    unsigned count; /* 0: too many; what it has is told by the file cut at a frame's end */
} whole;

static int teardown(void **state)
{
    for (unsigned i = 0; i < whole.count; i++)
        free(whole.ends[i].text);
    free(whole.bytes);
    whole = (struct whole){.count = 0};
    return folder_teardown(state);
}

#define DAMAGE_TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup_in_memory, teardown)

/* --- a file ----------------------------------------------------------------------------- */

static shmq_t *open_kept(uint32_t journal, uint64_t capacity_bytes, int flags)
{
    struct shmq_attr attr = helper_attr(capacity_bytes);

    attr.snapshot = file;
    attr.journal = journal;
    attr.pending_count = capacity_bytes == 4096 ? 16 : 1024;
    attr.max_groups = (flags & SHMQ_TOPIC) != 0 ? 2 : 0;
    return helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL | flags, &attr);
}

/* Up to here the file says what is in the queue now. */
static void note(shmq_t *q)
{
    assert_in_range(whole.count, 0, ENDS_MAX - 1);
    whole.ends[whole.count].off = helper_file_stats(q).file_bytes;
    whole.ends[whole.count++].text = contents_of(q);
}

static void finish(shmq_t *q)
{
    struct stat st;

    size_t size = helper_file_stats(q).file_bytes; /* not the zeros behind that */
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    assert_cmp((size_t)st.st_size, >=, size);
    whole.size = size;
    whole.bytes = malloc(size);
    assert_non_null(whole.bytes);
    assert_int_equal(read(fd, whole.bytes, size), size);
    close(fd);
}

/* Where frames begin and end, and how much of the file they know to be on the disk. */
static void find_frames(uint64_t kinds)
{
    const struct sq_frame *frame;
    struct sq_reader reader;
    uint64_t seen = 0;

    assert_int_equal(sq_reader_begin(&reader, whole.bytes, whole.size), 0);
    whole.synced_off = whole.base_end = 0;
    while (sq_reader_next(&reader, &frame) == SQ_READ_FRAME) {
        seen |= (uint64_t)1 << frame->kind;
        if (frame->kind == SQ_FRAME_BASE)
            whole.base_end = reader.off;
        if (frame->synced_off > whole.synced_off)
            whole.synced_off = frame->synced_off;
    }
    assert_int_equal(reader.off, whole.size);
    assert_int_equal(seen & kinds, kinds);
}

/* --- damage -------------------------------------------------------------------------------- */

static void write_damaged(const unsigned char *bytes, size_t size)
{
    int fd = open(damaged, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

/* Make a queue of it: 0, what it has, and how much was cut off; or an error. */
static int load(char **text, uint64_t *cut)
{
    int rc = shmq_load(helper_name("b"), damaged);

    *text = NULL;
    if (rc < 0) {
        assert_one_of(rc, -EBADMSG, -EPROTO);
        if (rc == -EBADMSG)
            assert_string_not_equal(shmq_last_error_detail(), "");
        return rc;
    }
    shmq_t *q = helper_open(helper_name("b"), 0, NULL);
    *cut = helper_file_stats(q).cut_bytes;
    *text = contents_of(q);
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(helper_name("b")), 0);
    return 0;
}

/* What is to be had of the file up to `size`, to be freed; NULL: nothing. */
static char *said_up_to(size_t size, size_t *end)
{
    const struct sq_frame *frame;
    struct sq_reader reader;
    char *text = NULL;
    uint64_t lost = 0;

    *end = SQ_FILE_HEADER_BYTES;
    assert_int_equal(sq_reader_begin(&reader, whole.bytes, whole.size), 0);
    while (sq_reader_next(&reader, &frame) == SQ_READ_FRAME && reader.off <= size)
        *end = reader.off;
    if (*end < whole.base_end)
        return NULL;
    if (whole.count == 0) {
        write_damaged(whole.bytes, *end);
        assert_int_equal(load(&text, &lost), 0);
        assert_int_equal(lost, 0);
        return text;
    }
    unsigned i = 0;
    while (i + 1 < whole.count && whole.ends[i + 1].off <= *end)
        i++;
    return strdup(whole.ends[i].text);
}

static void fail_at(const char *what, size_t at, int rc, const char *text, const char *should)
{
    print_error("%s at %zu: %d (%s)\n%sin place of\n%s", what, at, rc,
                rc < 0 ? shmq_last_error_detail() : "", text == NULL ? "" : text,
                should == NULL ? "an error\n" : should);
    fail();
}

/* How much of the end is told to be torn: none of it where it is all zeros, as what was
 * written ahead is. */
static uint64_t torn_bytes(size_t end, size_t size)
{
    for (size_t i = end; i < size; i++)
        if (whole.bytes[i] != 0)
            return size - end;
    return 0;
}

static void cut(size_t size)
{
    size_t end;
    char *should = said_up_to(size, &end), *text;
    uint64_t lost = 0;

    write_damaged(whole.bytes, size);
    int rc = load(&text, &lost);
    if ((rc < 0) != (should == NULL) || (should != NULL && strcmp(text, should) != 0) ||
        (rc == 0 && lost != torn_bytes(end, size)))
        fail_at("cut", size, rc, text, should);
    free(should);
    free(text);
}

/* Whether nothing is said by this byte: behind the header, or what pads a frame. */
static bool is_padding(size_t at)
{
    const struct sq_frame *frame;
    struct sq_reader reader;

    if (at < SQ_FILE_HEADER_BYTES)
        return at >= offsetof(struct sq_file_header, check) + sizeof(uint32_t);
    assert_int_equal(sq_reader_begin(&reader, whole.bytes, whole.size), 0);
    while (sq_reader_next(&reader, &frame) == SQ_READ_FRAME && reader.off <= at)
        ;
    return at >= reader.off - sq_frame_padding(frame->bytes);
}

/* All, where the byte says nothing; what is before its frame, where that may be torn; or an
 * error. */
static void flip(size_t at, unsigned char bits)
{
    size_t end;
    char *should = said_up_to(is_padding(at) ? whole.size : at, &end), *text;
    uint64_t lost = 0;

    whole.bytes[at] ^= bits;
    write_damaged(whole.bytes, whole.size);
    whole.bytes[at] ^= bits;
    int rc = load(&text, &lost);
    bool good;
    if (is_padding(at))
        good = rc == 0 && lost == 0 && strcmp(text, should) == 0;
    else if (should != NULL && end >= whole.synced_off)
        good = rc == 0 && lost == whole.size - end && strcmp(text, should) == 0;
    else
        good = rc < 0;
    if (!good)
        fail_at("flipped", at, rc, text, should);
    free(should);
    free(text);
}

/* --- all frames ------------------------------------------------------------------------------- */

/* All kinds of frames behind a base, each with what the queue has then. */
static void make_plain(uint32_t journal)
{
    shmq_t *q = open_kept(journal, 4096, 0);

    note(q);
    uint64_t first = helper_send(q, "one");
    note(q);
    uint64_t second = helper_send(q, "two");
    note(q);
    helper_send(q, "three");
    note(q);
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(3600), 0), 0);
    note(q);
    assert_int_equal(shmq_update(q, second, "2", 1, SHMQ_NOWAIT), 0);
    note(q);
    assert_true(helper_takes(q, "2"));
    note(q);
    assert_int_equal(shmq_remove(q, first), 0);
    note(q);
    assert_int_equal(shmq_part_begin(q), 0);
    note(q);
    msg = helper_receive(q);
    assert_int_equal(shmq_reject(q, &msg, SHMQ_REASON_PROCESSING, NULL), 0);
    note(q);
    helper_send(q, "four");
    note(q);
    finish(q);
    find_frames(1 << SQ_FRAME_SESSION | 1 << SQ_FRAME_QUEUE | 1 << SQ_FRAME_GROUP |
                1 << SQ_FRAME_ENTRIES | 1 << SQ_FRAME_RECORDS | 1 << SQ_FRAME_MARK |
                1 << SQ_FRAME_BASE);
}

static void make_topic(void)
{
    shmq_t *q = open_kept(SHMQ_JOURNAL_OS, 4096, SHMQ_TOPIC), *g;

    note(q);
    assert_int_equal(shmq_subscribe(q, "a", NULL, &g), 0);
    note(q);
    helper_send(q, "one");
    note(q);
    assert_true(helper_takes(g, "one"));
    note(q);
    assert_int_equal(shmq_close(g), 0);
    assert_int_equal(shmq_unsubscribe(q, "a"), 0);
    note(q);
    helper_send(q, "two");
    note(q);
    finish(q);
    find_frames(1 << SQ_FRAME_GROUP | 1 << SQ_FRAME_UNGROUP | 1 << SQ_FRAME_BASE);
}

/* A snapshot: a base alone. */
static void make_snapshot(void)
{
    shmq_t *q = open_kept(SHMQ_JOURNAL_NONE, 4096, 0);

    helper_send(q, "one");
    helper_send(q, "two");
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(3600), 0), 0);
    assert_int_equal(shmq_save(q, NULL), 0);
    note(q);
    finish(q);
    find_frames(1 << SQ_FRAME_ENTRIES | 1 << SQ_FRAME_RECORDS | 1 << SQ_FRAME_BASE);
}

static void damage_everywhere(void)
{
    static const unsigned char patterns[] = {0x01, 0xff, 0x80, 0x10};

    for (size_t i = 0; i <= whole.size; i++)
        cut(i);
    for (size_t i = 0; i < whole.size; i++) {
        flip(i, patterns[i % 4]);
        flip(i, patterns[(i + 1) % 4]);
    }
    print_message("             %zu bytes, each cut at and flipped twice\n", whole.size);
}

static void a_snapshot(void **state)
{
    (void)state;
    make_snapshot();
    damage_everywhere();
}

static void a_journal(void **state)
{
    (void)state;
    make_plain(SHMQ_JOURNAL_OS);
    assert_int_equal(whole.synced_off, whole.base_end); /* so its end may be torn */
    damage_everywhere();
}

/* All but the last frame is known to have been on the disk. */
static void a_synced_journal(void **state)
{
    (void)state;
    make_plain(SHMQ_JOURNAL_ALWAYS);
    assert_cmp(whole.synced_off, >, whole.base_end + 500);
    damage_everywhere();
}

static void a_topic(void **state)
{
    (void)state;
    make_topic();
    damage_everywhere();
}

/* A large one, synced in the middle, in some places. */
static void a_large_journal(void **state)
{
    enum { MESSAGES = 3000, SAMPLES = 60 };
    struct helper_random random = helper_seed();
    static char text[900];

    (void)state;
    shmq_t *q = open_kept(SHMQ_JOURNAL_OS, 4 << 20, 0);
    for (int i = 0; i < MESSAGES; i++) {
        memset(text, 'a' + i % 26, sizeof(text));
        int length = (int)(helper_random(&random) % (i % 8 == 0 ? sizeof(text) : 60));
        text[length] = '\0';
        helper_send(q, text);
        if (i % 3 == 0) {
            struct shmq_msg msg = helper_receive(q);
            assert_int_equal(i % 30 == 0 ? shmq_reject(q, &msg, 99, NULL) : shmq_ack(q, &msg), 0);
        }
        if (i == MESSAGES / 2)
            assert_int_equal(shmq_sync(q, 0, HELPER_LATE_NS), 0);
    }
    finish(q);
    find_frames(1 << SQ_FRAME_ENTRIES | 1 << SQ_FRAME_RECORDS | 1 << SQ_FRAME_BASE);
    assert_in_range(whole.synced_off, whole.size / 3, whole.size - whole.size / 3);
    for (int i = 0; i < SAMPLES; i++) {
        cut(helper_random(&random) % whole.size);
        flip(helper_random(&random) % whole.size,
             (unsigned char)(1 + helper_random(&random) % 255));
    }
    print_message("             %zu bytes, at %d places\n", whole.size, 2 * SAMPLES);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        DAMAGE_TEST(a_snapshot), DAMAGE_TEST(a_journal),       DAMAGE_TEST(a_synced_journal),
        DAMAGE_TEST(a_topic),    DAMAGE_TEST(a_large_journal),
    };

    return helper_run(argc, argv, tests);
}
