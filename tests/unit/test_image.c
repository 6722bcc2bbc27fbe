/*
 * test_image.c - what frames come to: messages, updates, removals, groups and what they
 * hold; what is said twice; and what makes no sense and is refused.
 */
#include "file/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group/pending.h"
#include "support/file_builder.h"
#include "support/helper.h"

static int image_of(struct sq_image *image, const struct made_file *f)
{
    return sq_image_read(image, f->bytes, f->size);
}

/* The file is read, or fail the test. */
static void read_image(struct sq_image *image, const struct made_file *f)
{
    assert_int_equal(image_of(image, f), 0);
}

/* The file is refused, and the detail says why. */
static void assert_refused(const struct made_file *f, const char *why)
{
    struct sq_image image;

    assert_int_equal(image_of(&image, f), -EBADMSG);
    if (strstr(shmq_last_error_detail(), why) == NULL)
        fail_msg("not '%s': %s", why, shmq_last_error_detail());
    sq_image_free(&image);
}

/* And where. */
static void assert_refused_at(const struct made_file *f, uint64_t off)
{
    char place[60];

    snprintf(place, sizeof(place), "damaged at offset %llu:", (unsigned long long)off);
    assert_refused(f, place);
}

/* Whether message `id` has this text; NULL: was removed; "-": there is none. */
static bool says(const struct sq_image *image, uint64_t id, const char *text)
{
    const struct sq_image_message *m = sq_image_find(image, id);

    if (m == NULL)
        return text != NULL && strcmp(text, "-") == 0;
    if (m->id != id || m->record == NULL || text == NULL)
        return m->id == id && m->record == NULL && text == NULL;
    return m->record->length == strlen(text) && memcmp(m->record + 1, text, m->record->length) == 0;
}

/* The state of a group's entry, and whose it is; SQ_FREE if there is none. */
static uint32_t holds(const struct sq_image *image, uint32_t group, uint32_t entry, uint64_t *id)
{
    const struct sq_image_group *g = &image->groups[group];

    *id = 0;
    if (entry >= g->item_count || sq_word_state(g->items[entry].word) == SQ_FREE)
        return SQ_FREE;
    *id = g->items[entry].id;
    return sq_word_state(g->items[entry].word);
}

#define assert_holds(image, group, entry, state, of)                                               \
    do {                                                                                           \
        uint64_t held_id;                                                                          \
        assert_int_equal(holds(image, group, entry, &held_id), state);                             \
        assert_int_equal(held_id, of);                                                             \
    } while (0)

/* --- messages -------------------------------------------------------------------- */

static void test_sample(void **state)
{
    const uint32_t kinds[] = {0, SHMQ_TOPIC};
    struct sq_image image;
    struct made_file f;

    (void)state;
    for (int i = 0; i < 2; i++) {
        made_sample(&f, kinds[i]);
        read_image(&image, &f);
        assert_int_equal(image.frame_count, f.number);
        assert_int_equal(image.end_off, f.size);
        assert_false(image.is_torn);
        assert_true(says(&image, 1, "one") && says(&image, 2, "two, anew"));
        assert_true(says(&image, 3, NULL) && says(&image, 4, NULL));
        assert_true(says(&image, 5, "five") && says(&image, 6, "six"));
        assert_true(says(&image, 0, "-") && says(&image, 7, "-"));
        assert_int_equal(image.queue.next_id, 7);
        assert_holds(&image, 0, 0, SQ_WAITING, 1);
        assert_holds(&image, 0, 1, SQ_PARKED, 5);
        assert_int_equal(image.groups[0].attr.finished_id, 5);
        assert_int_equal(image.groups[0].items[1].at_ns, 1000500);
        assert_int_equal(sq_image_realtime(&image, sq_image_find(&image, 1)->record, 1000),
                         1001000);
        assert_true(image.groups[0].there && !image.groups[1].there && !image.groups[2].there);
        assert_int_equal(image.groups[3].there, i == 1);
        assert_string_equal(image.groups[3].attr.name, i == 1 ? "other" : "");
        sq_image_free(&image);
        made_free(&f);
    }
}

/* Each length of a file: refused, or what all frames before the cut say. */
static void test_cut_anywhere(void **state)
{
    uint64_t base_end = 0;
    struct sq_image image;
    struct made_file f;

    (void)state;
    made_sample(&f, SHMQ_TOPIC);
    struct sq_reader reader;
    const struct sq_frame *frame;
    sq_reader_begin(&reader, f.bytes, f.size);
    while (sq_reader_next(&reader, &frame) == SQ_READ_FRAME)
        if (frame->kind == SQ_FRAME_BASE)
            base_end = reader.off;
    for (uint64_t size = 0; size <= f.size; size++) {
        unsigned char *bytes = malloc(size + 1);
        assert_non_null(bytes);
        memcpy(bytes, f.bytes, size);
        int rc = sq_image_read(&image, bytes, size);
        if (size < base_end) {
            assert_one_of(rc, -EBADMSG, size < 8 ? -EPROTO : -EBADMSG);
        } else {
            assert_int_equal(rc, 0);
            assert_int_equal(image.is_torn, image.end_off != size);
            assert_true(says(&image, 1, "one"));
            assert_true(says(&image, 2, "two") || says(&image, 2, "two, anew"));
        }
        sq_image_free(&image);
        free(bytes);
    }
    made_free(&f);
}

/* An update that no mark makes true is none; the last one before its mark holds. */
static void test_updates(void **state)
{
    struct sq_image image;
    struct made_file f;

    (void)state;
    made_empty(&f, 0);
    made_record(&f, 1, 0, "1");
    made_record(&f, 2, 0, "2");
    made_record(&f, 1, SQ_RECORD_COPY, "1a");
    made_record(&f, 2, SQ_RECORD_COPY, "2a");
    made_record(&f, 2, SQ_RECORD_COPY, "2b");
    made_mark(&f, SQ_MARK_UPDATED, 2);
    made_record(&f, 2, SQ_RECORD_COPY, "2c");
    made_record(&f, 3, 0, "3");
    read_image(&image, &f);
    assert_true(says(&image, 1, "1") && says(&image, 2, "2b") && says(&image, 3, "3"));
    assert_int_equal(image.message_count, 3);
    sq_image_free(&image);
    made_mark(&f, SQ_MARK_UPDATED, 1);
    made_mark(&f, SQ_MARK_UPDATED, 2);
    made_record(&f, SQ_ID_GONE | 1, SQ_RECORD_COPY, "");
    read_image(&image, &f);
    assert_true(says(&image, 1, "1a") && says(&image, 2, "2c"));
    sq_image_free(&image);
    made_mark(&f, SQ_MARK_UPDATED, 1); /* to what was gone when it was written */
    read_image(&image, &f);
    assert_true(says(&image, 1, NULL));
    sq_image_free(&image);
    made_mark(&f, SQ_MARK_UPDATED, 3);
    assert_refused(&f, "update");
    made_free(&f);
}

static void test_removals(void **state)
{
    struct sq_image image;
    struct made_file f;

    (void)state;
    made_empty(&f, 0);
    made_record(&f, 7, 0, "7");
    made_record(&f, SQ_ID_GONE | 8, 0, "");
    made_record(&f, 10, 0, "10");
    made_entry(&f, 0, 8, 0, SQ_LEASED, 7);
    made_entry(&f, 0, 9, 1, SQ_WAITING, 8);
    made_entry(&f, 0, 9, 2, SQ_WAITING, 9); /* a gap */
    made_mark(&f, SQ_MARK_GONE, 7);
    made_mark(&f, SQ_MARK_GONE, 3); /* long finished */
    read_image(&image, &f);
    assert_true(says(&image, 7, NULL) && says(&image, 8, NULL) && says(&image, 9, "-"));
    assert_true(says(&image, 10, "10"));
    for (uint32_t i = 0; i < 3; i++)
        assert_holds(&image, 0, i, SQ_FREE, 0);
    assert_int_equal(image.queue.next_id, 11);
    sq_image_free(&image);
    made_free(&f);
}

/* Several in a frame, of all lengths, and as many as make all arrays grow. */
static void test_many(void **state)
{
    enum { COUNT = 3000 };
    unsigned char *bytes = calloc(COUNT, 64);
    struct sq_image image;
    struct made_file f;
    size_t at = 0;

    (void)state;
    assert_non_null(bytes);
    made_empty(&f, 0);
    f.header->entry_count = COUNT;
    sq_file_header_seal(f.header);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct sq_record_shm *record = (void *)(bytes + at);
        record->length = i % 33;
        sq_store(&record->id, i + 1);
        memset(record + 1, (int)(i % 251), i % 33);
        at += sq_align_up(sizeof(*record) + i % 33, 8);
    }
    made_frame(&f, SQ_FRAME_RECORDS, bytes, at);
    for (uint32_t i = 0; i < COUNT; i += 7)
        made_entry(&f, 0, COUNT, i, SQ_WAITING, i + 1);
    read_image(&image, &f);
    assert_int_equal(image.message_count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct sq_image_message *m = sq_image_find(&image, i + 1);
        assert_non_null(m);
        assert_int_equal(m->record->length, i % 33);
        assert_holds(&image, 0, i, i % 7 == 0 ? SQ_WAITING : SQ_FREE, i % 7 == 0 ? i + 1 : 0);
    }
    sq_image_free(&image);
    made_free(&f);
    free(bytes);
}

/* --- groups ---------------------------------------------------------------------- */

static void test_groups(void **state)
{
    struct sq_image image;
    struct made_file f;

    (void)state;
    made_begin(&f, SHMQ_TOPIC);
    made_session(&f, 100);
    for (uint64_t id = 1; id <= 4; id++)
        made_record(&f, id, 0, "m");
    made_group(&f, 0, "a", 0);
    made_group(&f, 2, "c", 2);
    made_base(&f);
    made_entry(&f, 0, 3, 5, SQ_LEASED, 2);
    made_entry(&f, 2, 4, 63, SQ_DELAYED, 4);
    made_entry(&f, 0, 3, 5, SQ_FREE, 2);
    made_entry(&f, 0, 4, 0, SQ_DYING, 1);
    read_image(&image, &f);
    assert_holds(&image, 0, 5, SQ_FREE, 0);
    assert_holds(&image, 0, 0, SQ_DYING, 1);
    assert_holds(&image, 2, 63, SQ_DELAYED, 4);
    assert_int_equal(image.groups[0].attr.finished_id, 4);
    assert_int_equal(image.groups[2].attr.start_id, 1);
    sq_image_free(&image);
    /* A group that goes takes all along; another in its place has nothing. */
    made_ungroup(&f, 2);
    made_group(&f, 2, "d", 1);
    made_ungroup(&f, 0);
    made_ungroup(&f, 3); /* which never was */
    read_image(&image, &f);
    assert_false(image.groups[0].there);
    assert_true(image.groups[2].there);
    assert_string_equal(image.groups[2].attr.name, "d");
    assert_holds(&image, 2, 63, SQ_FREE, 0);
    assert_int_equal(image.groups[2].attr.finished_id, 1);
    sq_image_free(&image);
    /* It goes without a word, too, when another has its name. */
    made_group(&f, 1, "d", 3);
    made_entry(&f, 2, 4, 1, SQ_WAITING, 3);
    read_image(&image, &f);
    assert_true(image.groups[1].there && !image.groups[0].there && !image.groups[2].there);
    sq_image_free(&image);
    made_free(&f);
    made_begin(&f, SHMQ_TOPIC);
    made_entry(&f, 0, 4, 0, SQ_FREE, 1);
    assert_refused(&f, "not there");
    made_free(&f);
}

/* One that was not removed after all, since who did it died, is told of anew. */
static void test_group_stays(void **state)
{
    struct sq_frame_group again = {
        .group = 2, .mode = SQ_GROUP_NAMED, .name = "c", .finished_id = 2, .keeps_entries = 1};
    struct sq_image image;
    struct made_file f;

    (void)state;
    made_begin(&f, SHMQ_TOPIC);
    made_record(&f, 1, 0, "1");
    made_record(&f, 2, 0, "2");
    made_group(&f, 2, "c", 0);
    made_base(&f);
    made_entry(&f, 2, 2, 7, SQ_DELAYED, 1);
    made_ungroup(&f, 2);
    read_image(&image, &f);
    assert_false(image.groups[2].there);
    sq_image_free(&image);
    made_frame(&f, SQ_FRAME_GROUP, &again, sizeof(again));
    read_image(&image, &f);
    assert_true(image.groups[2].there);
    assert_holds(&image, 2, 7, SQ_DELAYED, 1);
    assert_int_equal(image.groups[2].attr.finished_id, 2);
    sq_image_free(&image);
    made_free(&f);
}

/* What the cursor has not passed is fresh, whoever was making an entry of it. */
static void test_beyond_the_cursor(void **state)
{
    struct sq_image image;
    struct made_file f;

    (void)state;
    made_empty(&f, 0);
    made_record(&f, 1, 0, "1");
    made_record(&f, 2, 0, "2");
    made_entry(&f, 0, 1, 0, SQ_LEASED, 1);
    made_entry(&f, 0, 1, 1, SQ_LEASED, 2);
    read_image(&image, &f);
    assert_holds(&image, 0, 0, SQ_LEASED, 1);
    assert_holds(&image, 0, 1, SQ_FREE, 0);
    sq_image_free(&image);
    made_free(&f);
}

/* --- said twice; sessions ----------------------------------------------------------- */

/* As a compaction leaves it: the base has all, and frames follow that it has already. */
static void test_frames_twice(void **state)
{
    struct sq_image once, twice;
    struct made_file f;

    (void)state;
    made_sample(&f, SHMQ_TOPIC);
    uint64_t from = SQ_FILE_HEADER_BYTES, to = f.size;
    read_image(&once, &f);
    while (from < to) {
        const struct sq_frame *frame = (const void *)(f.bytes + from);
        made_frame(&f, frame->kind, frame + 1, frame->bytes);
        from += sq_frame_total(frame->bytes);
    }
    read_image(&twice, &f);
    assert_int_equal(once.message_count, twice.message_count);
    for (size_t i = 0; i < once.message_count; i++) {
        const struct sq_record_shm *a = once.messages[i].record, *b = twice.messages[i].record;
        assert_int_equal(once.messages[i].id, twice.messages[i].id);
        assert_int_equal(a == NULL, b == NULL);
        if (a != NULL) {
            assert_int_equal(a->length, b->length);
            assert_memory_equal(a + 1, b + 1, a->length);
        }
    }
    for (uint32_t g = 0; g < SQ_GROUPS_MAX; g++) {
        assert_int_equal(once.groups[g].there, twice.groups[g].there);
        assert_memory_equal(&once.groups[g].attr, &twice.groups[g].attr,
                            sizeof(once.groups[g].attr));
        assert_int_equal(once.groups[g].item_count, twice.groups[g].item_count);
        if (once.groups[g].item_count > 0)
            assert_memory_equal(once.groups[g].items, twice.groups[g].items,
                                once.groups[g].item_count * sizeof(*once.groups[g].items));
    }
    assert_int_equal(once.queue.next_id, twice.queue.next_id);
    sq_image_free(&once);
    sq_image_free(&twice);
    made_free(&f);
}

static void test_sessions(void **state)
{
    struct sq_image image;
    struct made_file f;

    (void)state;
    made_begin(&f, 0);
    made_record(&f, 1, 0, "before any");
    made_group(&f, 0, "", 0);
    made_base(&f);
    for (int i = 1; i <= 100; i++) {
        made_session(&f, i == 50 ? INT64_MAX : i * 1000);
        made_record(&f, (uint64_t)i + 1, 0, "in it");
        made_entry(&f, 0, (uint64_t)i + 1, (uint32_t)i % 64, SQ_DELAYED, (uint64_t)i + 1);
    }
    read_image(&image, &f);
    assert_int_equal(sq_image_realtime(&image, sq_image_find(&image, 1)->record, 7), 7);
    for (int i = 1; i <= 100; i++) {
        const void *record = sq_image_find(&image, (uint64_t)i + 1)->record;
        assert_int_equal(sq_image_realtime(&image, record, 7), i == 50 ? INT64_MAX : i * 1000 + 7);
        assert_int_equal(sq_image_realtime(&image, record, INT64_MAX), INT64_MAX);
    }
    assert_int_equal(image.groups[0].items[100 % 64].at_ns, 100500);
    sq_image_free(&image);
    made_free(&f);
    made_empty(&f, 0);
    made_session(&f, INT64_MIN);
    made_record(&f, 1, 0, "x");
    read_image(&image, &f);
    assert_int_equal(sq_image_realtime(&image, image.messages[0].record, -1), INT64_MIN);
    sq_image_free(&image);
    made_free(&f);
}

/* --- what makes no sense ---------------------------------------------------------------- */

/* A base, one frame more, and it is refused, because of `why`, at its place. */
static void refuse(enum sq_frame_kind kind, const void *content, size_t bytes, const char *why)
{
    struct sq_image image;
    struct made_file f;

    made_empty(&f, 0);
    made_record(&f, 1, 0, "1");
    uint64_t off = made_frame(&f, kind, content, bytes);
    assert_refused(&f, why);
    assert_refused_at(&f, off);
    /* Who reads on has all that was before, and may go on. */
    sq_image_begin(&image, f.header);
    struct sq_reader reader;
    const struct sq_frame *frame;
    assert_int_equal(sq_reader_begin(&reader, f.bytes, f.size), 0);
    made_record(&f, 2, 0, "2");
    reader.size = f.size;
    while (sq_reader_next(&reader, &frame) == SQ_READ_FRAME)
        assert_int_equal(sq_image_add(&image, frame),
                         reader.off - sq_frame_total(frame->bytes) == off ? -EBADMSG : 0);
    assert_int_equal(sq_image_check(&image), 0);
    assert_int_equal(image.message_count, 2);
    assert_true(says(&image, 1, "1") && says(&image, 2, "2"));
    assert_int_equal(image.frame_count, f.number - 1);
    sq_image_free(&image);
    made_free(&f);
}

static void test_shapes_refused(void **state)
{
    const enum sq_frame_kind kinds[] = {SQ_FRAME_SESSION, SQ_FRAME_QUEUE,   SQ_FRAME_GROUP,
                                        SQ_FRAME_ENTRIES, SQ_FRAME_UNGROUP, SQ_FRAME_MARK,
                                        SQ_FRAME_RECORDS, SQ_FRAME_BASE};
    static const unsigned char zeros[2000];

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        refuse(kinds[i], zeros, kinds[i] == SQ_FRAME_BASE ? 8 : 12, "");
    refuse(SQ_FRAME_GROUP, zeros, sizeof(struct sq_frame_group) + 8, "group's length");
    refuse(SQ_FRAME_QUEUE, zeros, sizeof(struct sq_frame_queue), "next message");
    struct sq_frame_queue queue = {.next_id = SQ_ID_MAX + 1};
    refuse(SQ_FRAME_QUEUE, &queue, sizeof(queue), "next message");
    struct sq_frame_mark mark = {.what = 3, .id = 1};
    refuse(SQ_FRAME_MARK, &mark, sizeof(mark), "mark");
    mark = (struct sq_frame_mark){.what = SQ_MARK_GONE, .id = 0};
    refuse(SQ_FRAME_MARK, &mark, sizeof(mark), "mark");
    mark = (struct sq_frame_mark){.what = SQ_MARK_UPDATED, .id = 1};
    refuse(SQ_FRAME_MARK, &mark, sizeof(mark), "update that is not there");
}

static void test_groups_refused(void **state)
{
    struct sq_frame_group g = {.group = 1};

    (void)state;
    refuse(SQ_FRAME_GROUP, &g, sizeof(g), "group's number");
    g.group = 0;
    strcpy(g.name, "named");
    refuse(SQ_FRAME_GROUP, &g, sizeof(g), "group's name");
    memset(g.name, 0, sizeof(g.name));
    memset(g.filter_key, 'x', sizeof(g.filter_key));
    refuse(SQ_FRAME_GROUP, &g, sizeof(g), "filter");
    struct made_file f;
    made_begin(&f, SHMQ_TOPIC);
    made_group(&f, 0, "a", 0);
    uint64_t off = made_group(&f, 2, "a", 0);
    made_base(&f);
    assert_refused(&f, "one name");
    assert_refused_at(&f, off);
    made_free(&f);
    made_begin(&f, SHMQ_TOPIC);
    made_group(&f, 0, "a/b", 0);
    made_base(&f);
    assert_refused(&f, "group's name");
    made_free(&f);
    made_empty(&f, 0);
    made_record(&f, 1, 0, "1");
    off = made_entry(&f, 0, 2, 0, SQ_FREE, 0);
    assert_refused(&f, "past all messages");
    assert_refused_at(&f, off);
    made_free(&f);
}

static void test_entries_refused(void **state)
{
    struct {
        struct sq_frame_entries head;
        struct sq_frame_item items[2];
    } e = {{.group = 0, .count = 1, .finished_id = 0}, {{.entry = 64}, {.entry = 1}}};
    const size_t one = sizeof(e.head) + sizeof(e.items[0]);

    (void)state;
    refuse(SQ_FRAME_ENTRIES, &e, one, "entry's number");
    e.items[0] = (struct sq_frame_item){.entry = 1, .word = SQ_ENTRY_STATES};
    refuse(SQ_FRAME_ENTRIES, &e, one, "state");
    refuse(SQ_FRAME_ENTRIES, &e, sizeof(e), "number of entries");
    e.head.count = UINT32_MAX;
    refuse(SQ_FRAME_ENTRIES, &e, one, "number of entries");
    e.head.count = 0;
    refuse(SQ_FRAME_UNGROUP, &e, one, "group's end");
    e.head = (struct sq_frame_entries){.group = 1};
    refuse(SQ_FRAME_ENTRIES, &e, sizeof(e.head), "of their group");
    refuse(SQ_FRAME_UNGROUP, &e, sizeof(e.head), "of their group");

    struct made_file f;
    made_empty(&f, 0);
    made_record(&f, 1, 0, "1");
    made_entry(&f, 0, 1, 0, SQ_WAITING, 1);
    made_entry(&f, 0, 1, 9, SQ_PARKED, 1);
    assert_refused(&f, "twice");
    made_entry(&f, 0, 1, 0, SQ_FREE, 1);
    made_entry(&f, 0, 1, 3, SQ_LEASED, 2);
    assert_refused(&f, "there never was");
    made_entry(&f, 0, 1, 3, SQ_LEASED, 0);
    assert_refused(&f, "there never was");
    made_free(&f);
}

/* Frames of two records, of which the second is wrong: the first is not taken either. */
static void test_records_refused(void **state)
{
    struct {
        struct sq_record_shm first, second;
        struct sq_extension_shm extension;
    } r;
    const size_t two = 2 * sizeof(struct sq_record_shm);

    (void)state;
#define REFUSED(change, many, why)                                                                 \
    do {                                                                                           \
        memset(&r, 0, sizeof(r));                                                                  \
        sq_store(&r.first.id, 2);                                                                  \
        sq_store(&r.second.id, 3);                                                                 \
        r.extension.bytes = sizeof(r.extension);                                                   \
        change;                                                                                    \
        refuse(SQ_FRAME_RECORDS, &r, many, why);                                                   \
    } while (0)
    REFUSED(r.second.length = 1, two, "length");
    REFUSED(r.second.length = UINT32_MAX, two, "length");
    REFUSED(, two - 8, "cut");
    REFUSED(r.second.tag = 8, two, "tag");
    REFUSED(sq_store(&r.second.id, 0), two, "id");
    REFUSED(sq_store(&r.second.id, SQ_ID_GONE), two, "id");
    REFUSED(sq_store(&r.second.id, SQ_ID_MAX), two, "id");
    REFUSED(sq_store(&r.second.id, SQ_ID_MOVED | 3), two, "id");
    REFUSED((sq_store(&r.second.id, SQ_ID_MOVED | 3), r.second.tag = SQ_RECORD_COPY), two, "id");
    REFUSED(r.second.tag = SQ_RECORD_EXTENDED, two, "extension");
#define EXTENSION_REFUSED(change)                                                                  \
    REFUSED((r.second.tag = SQ_RECORD_EXTENDED, r.second.length = sizeof(r.extension), change),    \
            sizeof(r), "extension")
    EXTENSION_REFUSED(r.extension.bytes = 56);
    EXTENSION_REFUSED(r.extension.bytes = 40);
    EXTENSION_REFUSED(r.extension.bytes = 47);
    EXTENSION_REFUSED(r.extension.key_bytes = 1);
    EXTENSION_REFUSED(r.extension.header_bytes = UINT32_MAX);
    EXTENSION_REFUSED(r.extension.flags = 2);
#undef EXTENSION_REFUSED
#undef REFUSED
}

static void test_no_base(void **state)
{
    struct made_file f;

    (void)state;
    made_begin(&f, 0);
    assert_refused(&f, "base");
    made_group(&f, 0, "", 0);
    assert_refused(&f, "base");
    made_free(&f);
}

static void test_damage_is_told(void **state)
{
    struct sq_image image;
    struct made_file f;

    (void)state;
    made_empty(&f, 0);
    made_record(&f, 1, 0, "1");
    uint64_t off = made_record(&f, 2, 0, "2");
    uint64_t end = f.size;
    f.synced_off = end;
    made_record(&f, 3, 0, "3");
    f.bytes[off + 40]++;
    assert_refused_at(&f, off);
    assert_refused(&f, "a frame's content is damaged");
    f.size = end; /* and torn, without the frame that knows */
    read_image(&image, &f);
    assert_true(image.is_torn);
    assert_int_equal(image.end_off, off);
    assert_int_equal(image.message_count, 1);
    sq_image_free(&image);
    made_free(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(test_sample),
        HELPER_TEST(test_cut_anywhere),
        HELPER_TEST(test_updates),
        HELPER_TEST(test_removals),
        HELPER_TEST(test_many),
        HELPER_TEST(test_groups),
        HELPER_TEST(test_group_stays),
        HELPER_TEST(test_beyond_the_cursor),
        HELPER_TEST(test_frames_twice),
        HELPER_TEST(test_sessions),
        HELPER_TEST(test_shapes_refused),
        HELPER_TEST(test_groups_refused),
        HELPER_TEST(test_entries_refused),
        HELPER_TEST(test_records_refused),
        HELPER_TEST(test_no_base),
        HELPER_TEST(test_damage_is_told),
    };

    return helper_run(argc, argv, tests);
}
