/*
 * test_salvage.c - what shmq-check saves of damaged files (tools/shmq-check/salvage.h): whatever
 * byte is flipped, wherever a file is cut, whichever frame is gone, all other messages are in the
 * new file, in order, once, and a queue is made of it; and its verdict is shmq_load()'s.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "group/pending.h"
#include "shmq-check/check.h"
#include "support/file_builder.h"
#include "support/folder.h"

/* In memory: each of some thousand files is written and removed. */
static const char *const damaged = folder_file, *const saved = folder_other;

/* --- files --------------------------------------------------------------------- */

enum { MESSAGES_MAX = 16 };

static uint64_t of_journal(struct made_file *f,
                           uint64_t (*add)(struct made_file *, uint64_t, uint32_t, const char *),
                           uint64_t id, uint32_t tag, const char *text)
{
    f->synced_off = f->size;
    return add(f, id, tag, text);
}

#define add_record(f, id, tag, text) of_journal(f, made_record, id, tag, text)

/*
 * A journal of a queue or a topic: 1 waits, 2 is parked, 3 was acknowledged, 4 updated, 5
 * removed, 6 to 8 are fresh, to group 0.  A topic's other group has passed nothing.
 */
static void make_journal(struct made_file *f, uint32_t kind)
{
    bool topic = kind == SHMQ_TOPIC;

    made_begin(f, kind);
    made_session(f, SHMQ_SEC(1000000));
    made_queue(f, 5);
    made_group(f, 0, topic ? "first" : "", 1);
    made_entry(f, 0, 1, 0, SQ_WAITING, 1);
    if (topic)
        made_group(f, 2, "other", 0);
    made_record(f, 1, 0, "one");
    made_record(f, 2, 0, "two");
    made_record(f, 3, 0, "three");
    made_record(f, 4, 0, "four");
    made_base(f);
    add_record(f, 5, 0, "five");
    f->synced_off = f->size;
    made_entry(f, 0, 2, 1, SQ_PARKED, 2);
    add_record(f, 6, 0, "six");
    f->synced_off = f->size;
    made_entry(f, 0, 3, 2, SQ_LEASED, 3);
    made_entry(f, 0, 3, 2, SQ_FREE, 0);
    add_record(f, 7, 0, "seven");
    add_record(f, 4, SQ_RECORD_COPY, "four, anew");
    made_mark(f, SQ_MARK_UPDATED, 4);
    f->synced_off = f->size;
    made_mark(f, SQ_MARK_GONE, 5);
    add_record(f, 8, 0, "eight");
}

/* The frame that the byte at `at` is of; NULL: none. */
static const struct sq_frame *frame_of(const struct made_file *f, uint64_t at)
{
    const struct sq_frame *frame;
    struct sq_reader reader;

    assert_int_equal(sq_reader_begin(&reader, f->bytes, f->size), 0);
    while (sq_reader_step(&reader, &frame))
        if (at < reader.off)
            return at < SQ_FILE_HEADER_BYTES ? NULL : frame;
    return NULL;
}

/* Whether it has the record of message `id`, and it is no update. */
static bool has_record(const struct sq_frame *frame, uint64_t id)
{
    const struct sq_record_shm *record = sq_frame_content(frame);

    return frame->kind == SQ_FRAME_RECORDS && record->id == id &&
           (record->tag & SQ_RECORD_COPY) == 0;
}

/* --- what comes out ------------------------------------------------------------- */

/* What a group hands out, in order, and has parked. */
struct got {
    uint64_t ids[MESSAGES_MAX];
    char texts[MESSAGES_MAX][24]; /* by id */
    unsigned count;
    uint64_t parked; /* bits by id */
};

static void note(struct got *got, const struct shmq_msg *msg)
{
    assert_cmp(msg->id, <, MESSAGES_MAX);
    assert_cmp(got->count, <, MESSAGES_MAX);
    snprintf(got->texts[msg->id], sizeof(got->texts[0]), "%.*s", (int)msg->length,
             (const char *)msg->data);
}

/* Empty a group of the queue. */
static void drain(shmq_t *q, struct got *got)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char buffer[64];
    uint64_t place = 0;

    *got = (struct got){.count = 0};
    while (shmq_inspect(q, SHMQ_DEAD, &place, &msg, buffer, sizeof(buffer)) >= 0) {
        note(got, &msg);
        got->parked |= (uint64_t)1 << msg.id;
    }
    while (shmq_receive(q, &msg, SHMQ_NOWAIT) == 0) {
        note(got, &msg);
        got->ids[got->count++] = msg.id;
        assert_int_equal(shmq_ack(q, &msg), 0);
    }
}

/* Make a queue of the file and empty the group (NULL: it is no topic). */
static void load_and_drain(const char *file, const char *group, struct got *got)
{
    shmq_t *q, *g = NULL;

    assert_int_equal(shmq_load(helper_name("a"), file), 0);
    assert_int_equal(shmq_open(&q, helper_name("a"), 0, NULL), 0);
    if (group != NULL)
        assert_int_equal(shmq_subscribe(q, group, NULL, &g), 0);
    drain(g != NULL ? g : q, got);
    shmq_close(g);
    shmq_close(q);
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
}

/* Write the new file, or fail the test. */
static void write_saved(const struct salvage *s)
{
    struct sq_file_path path;
    struct sq_file_out out;

    unlink(saved);
    assert_int_equal(sq_file_path(&path, saved), 0);
    assert_int_equal(sq_file_begin(&out, &path), 0);
    assert_int_equal(salvage_write(s, &out), 0);
    int fd = sq_file_finish(&out, SQ_FILE_NEW);
    assert_cmp(fd, >=, 0);
    close(fd);
}

/* A salvage of the bytes, and a new file. */
static void salvage(struct salvage *s, const struct made_file *f)
{
    /* Exactly so many bytes, so that a sanitizer sees who reads on. */
    unsigned char *bytes = malloc(f->size > 0 ? f->size : 1);

    assert_non_null(bytes);
    memcpy(bytes, f->bytes, f->size);
    assert_int_equal(salvage_read(s, bytes, f->size, SHMQ_SEC(2000000)), 0);
    write_saved(s);
    salvage_free(s);
    free(bytes);
}

static void salvage_and_drain(const struct made_file *f, const char *group, struct got *got)
{
    struct salvage s;

    salvage(&s, f);
    load_and_drain(saved, group, got);
}

/* Each once; as bits. */
static uint64_t once(const struct got *got)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < got->count; i++) {
        assert_int_equal(bits & (uint64_t)1 << got->ids[i], 0);
        bits |= (uint64_t)1 << got->ids[i];
    }
    assert_int_equal(bits & got->parked, 0);
    return bits;
}

/* And in ascending order. */
static uint64_t in_order(const struct got *got)
{
    for (unsigned i = 1; i < got->count; i++)
        assert_cmp(got->ids[i], >, got->ids[i - 1]);
    return once(got);
}

enum {
    ONE = 1 << 1,
    TWO = 1 << 2,
    THREE = 1 << 3,
    FOUR = 1 << 4,
    FIVE = 1 << 5,
    SIX = 1 << 6,
    SEVEN = 1 << 7,
    EIGHT = 1 << 8,
};

static void says(const struct got *got, uint64_t id, const char *text)
{
    assert_string_equal(got->texts[id], text);
}

/* --- whole files ------------------------------------------------------------------ */

static void a_whole_file(void **state)
{
    struct made_file f;
    struct got got;

    (void)state;
    make_journal(&f, 0);
    salvage_and_drain(&f, NULL, &got);
    assert_int_equal(in_order(&got), ONE | FOUR | SIX | SEVEN | EIGHT);
    assert_int_equal(got.parked, TWO);
    says(&got, 1, "one");
    says(&got, 4, "four, anew");
    says(&got, 2, "two");
    made_free(&f);
    make_journal(&f, SHMQ_TOPIC);
    salvage_and_drain(&f, "other", &got);
    assert_int_equal(in_order(&got), ONE | TWO | THREE | FOUR | SIX | SEVEN | EIGHT);
    assert_int_equal(got.parked, 0);
    salvage_and_drain(&f, "first", &got);
    assert_int_equal(in_order(&got), ONE | FOUR | SIX | SEVEN | EIGHT);
    assert_int_equal(got.parked, TWO);
    made_free(&f);
}

/* What is said of messages is the same in the new file: times, too, of all sessions. */
static void times(void **state)
{
    const struct sq_image_message *m;
    struct sq_file_bytes bytes;
    struct sq_image image;
    struct made_file f;
    struct salvage s;

    (void)state;
    make_journal(&f, 0);
    made_session(&f, SHMQ_SEC(3000000));
    made_record(&f, 9, 0, "nine");
    made_entry(&f, 0, 4, 3, SQ_DELAYED, 4);
    salvage(&s, &f);
    int fd = open(saved, O_RDONLY);
    assert_int_equal(sq_file_read(fd, &bytes), 0);
    close(fd);
    assert_int_equal(sq_image_read(&image, bytes.bytes, bytes.size), 0);
    m = sq_image_find(&image, 1);
    assert_int_equal(sq_image_realtime(&image, m->record, m->record->put_ns),
                     SHMQ_SEC(1000000) + 1000);
    m = sq_image_find(&image, 9);
    assert_int_equal(sq_image_realtime(&image, m->record, m->record->put_ns),
                     SHMQ_SEC(3000000) + 1000);
    assert_int_equal(image.groups[0].items[3].at_ns, SHMQ_SEC(3000000) + 500);
    assert_int_equal(image.header->generation, f.header->generation + 1);
    assert_string_equal(image.header->queue, "made");
    sq_image_free(&image);
    sq_file_free(&bytes);
    made_free(&f);
}

/* --- every byte ---------------------------------------------------------------------- */

/* The verdict is that of shmq_load(). */
static void agree(const struct made_file *f)
{
    struct sq_image image;
    int verdict = check_judge(f->bytes, f->size, &image);
    int fd = open(damaged, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    sq_image_free(&image);
    assert_int_equal(write(fd, f->bytes, f->size), f->size);
    close(fd);
    int rc = shmq_load(helper_name("a"), damaged);
    if (rc == 0)
        assert_int_equal(shmq_unlink(helper_name("a")), 0);
    if (rc != (verdict == CHECK_REFUSED ? -EBADMSG : verdict == CHECK_FOREIGN ? -EPROTO : 0))
        fail_msg("verdict %d, load %d (%s)", verdict, rc, shmq_last_error_detail());
}

/* What group 0 must have, and may have, if that frame is lost. */
static void expect(const struct sq_frame *frame, uint64_t *must, uint64_t *may)
{
    *must = ONE | TWO | FOUR | SIX | SEVEN | EIGHT;
    for (uint64_t id = 1; id <= 8; id++)
        if (frame != NULL && has_record(frame, id))
            *must &= ~((uint64_t)1 << id);
    *may = *must;
    if (frame != NULL && has_record(frame, 4)) /* but there is the update */
        *must |= FOUR, *may |= FOUR;
    /* That it was acknowledged, or removed, is not known. */
    if (frame != NULL && (frame->kind == SQ_FRAME_ENTRIES || frame->kind == SQ_FRAME_GROUP))
        *may |= THREE;
    if (frame != NULL && frame->kind == SQ_FRAME_MARK)
        *may |= FIVE;
}

static void check_flipped(const struct made_file *f, const struct made_file *whole, uint64_t at)
{
    const struct sq_frame *frame = frame_of(whole, at);
    uint64_t must, may;
    struct got got;

    expect(frame, &must, &may);
    /* Of a frame whose header is damaged it is not known what it was. */
    if (frame != NULL && at < (uint64_t)((const unsigned char *)(frame + 1) - whole->bytes))
        may |= THREE;
    salvage_and_drain(f, NULL, &got);
    /* The order may be what is damaged of the header. */
    uint64_t all = (frame == NULL ? once(&got) : in_order(&got)) | got.parked;
    if ((all & must) != must || (all & ~may) != 0)
        fail_msg("offset %llu: has %#llx, must have %#llx, may %#llx", (unsigned long long)at,
                 (unsigned long long)all, (unsigned long long)must, (unsigned long long)may);
}

/* Each byte: what it says agrees with what is loaded, and all else is saved. */
static void each_byte_flipped(void **state)
{
    struct made_file f, whole;

    (void)state;
    make_journal(&f, 0);
    make_journal(&whole, 0);
    for (uint64_t at = 0; at < f.size; at++) {
        /* What is behind the header's struct, to the first frame, means nothing. */
        if (at >= sizeof(struct sq_file_header) + 8 && at < SQ_FILE_HEADER_BYTES)
            continue;
        f.bytes[at] ^= (unsigned char)(1u << at % 8);
        agree(&f);
        check_flipped(&f, &whole, at);
        f.bytes[at] = whole.bytes[at];
    }
    made_free(&f);
    made_free(&whole);
}

/* Each length: what the frames before the cut say. */
static void cut_anywhere(void **state)
{
    struct made_file f, whole;
    struct salvage s;
    uint64_t before = 0;

    (void)state;
    make_journal(&f, 0);
    whole = f;
    for (f.size = 0; f.size <= whole.size; f.size++) {
        if (f.size > 16 && f.size < SQ_FILE_HEADER_BYTES - 16)
            continue;
        unsigned char *bytes = malloc(f.size + 1);
        assert_non_null(bytes);
        memcpy(bytes, f.bytes, f.size);
        assert_int_equal(salvage_read(&s, bytes, f.size, 0), 0);
        assert_cmp(s.saved + 1, >=, before); /* one may be removed */
        before = s.saved;
        assert_int_equal(s.image.end_off, 0);
        salvage_free(&s);
        free(bytes);
        if (f.size % 8 == 0 || f.size < 16)
            agree(&f);
    }
    assert_int_equal(before, 6);
    made_free(&f);
}

/* --- whole frames that are gone ------------------------------------------------------- */

/* Spoil a frame's content, or (`all`) its header as well, so that nothing tells what it
 * was. */
static void spoil_at(struct made_file *f, uint64_t off, bool all)
{
    struct sq_frame *frame = (void *)(f->bytes + off);

    if (all)
        frame->check++;
    else if (frame->bytes > 0)
        ((unsigned char *)(frame + 1))[0] ^= 1;
}

static void spoil(struct made_file *f, uint64_t number)
{
    const struct sq_frame *frame;
    struct sq_reader reader;

    assert_int_equal(sq_reader_begin(&reader, f->bytes, f->size), 0);
    while (sq_reader_step(&reader, &frame))
        if (frame->number == number) {
            spoil_at(f, (uint64_t)((const unsigned char *)frame - f->bytes), true);
            return;
        }
    fail_msg("there is no frame %llu", (unsigned long long)number);
}

/* Two neighbours, of which one is the group's. */
static void two_in_a_row(void **state)
{
    uint64_t must, may, other_must, other_may;
    const struct sq_frame *frame;
    struct sq_reader reader;
    struct made_file f;
    struct got got;

    (void)state;
    for (uint64_t number = 1; number < 19; number++) {
        make_journal(&f, 0);
        must = UINT64_MAX;
        assert_int_equal(sq_reader_begin(&reader, f.bytes, f.size), 0);
        while (sq_reader_step(&reader, &frame))
            if (frame->number == number || frame->number == number + 1) {
                expect(frame, &other_must, &other_may);
                must &= other_must;
            }
        may = must | THREE | FIVE;
        spoil(&f, number + 1);
        spoil(&f, number);
        salvage_and_drain(&f, NULL, &got);
        uint64_t all = in_order(&got) | got.parked;
        if ((all & must) != must || (all & ~may) != 0)
            fail_msg("frames %llu: has %#llx, must have %#llx", (unsigned long long)number,
                     (unsigned long long)all, (unsigned long long)must);
        made_free(&f);
    }
}

/* Bytes cut out of the middle: numbers tell that frames are missing, though nothing else is
 * between. */
static void cut_out(void **state)
{
    const struct sq_frame *frame;
    struct sq_reader reader;
    struct made_file f;
    struct got got;
    uint64_t from = 0, to = 0;

    (void)state;
    make_journal(&f, 0);
    assert_int_equal(sq_reader_begin(&reader, f.bytes, f.size), 0);
    while (sq_reader_step(&reader, &frame)) {
        if (has_record(frame, 5))
            from = reader.off - sq_frame_total(frame->bytes);
        if (has_record(frame, 6))
            to = reader.off;
    }
    memmove(f.bytes + from, f.bytes + to, f.size - to);
    f.size -= to - from;
    agree(&f);
    salvage_and_drain(&f, NULL, &got);
    /* That 2 was parked is lost, so it waits again. */
    assert_int_equal(in_order(&got), ONE | TWO | THREE | FOUR | SEVEN | EIGHT);
    made_free(&f);
}

/* --- what is in doubt ------------------------------------------------------------------ */

/* Only what may have happened in the lost frame is in doubt, not what was finished before or
 * after it. */
static void between_two_places(void **state)
{
    struct made_file f;
    struct got got;

    (void)state;
    for (int all = 0; all < 2; all++) {
        make_journal(&f, 0);
        made_record(&f, 9, 0, "nine");
        made_entry(&f, 0, 4, 1, SQ_FREE, 0); /* 2 and 4 are finished */
        uint64_t lost = made_entry(&f, 0, 7, 3, SQ_WAITING, 6);
        made_entry(&f, 0, 8, 4, SQ_LEASED, 8);
        spoil_at(&f, lost, all == 1);
        salvage_and_drain(&f, NULL, &got);
        /* 6 did wait, 7 was finished: neither is known.  8 is leased, 9 fresh. */
        assert_int_equal(in_order(&got), ONE | SIX | SEVEN | EIGHT | 1 << 9);
        assert_int_equal(got.parked, 0);
        made_free(&f);
    }
}

/* A place that comes with the last frame of several, of which the first is lost. */
static void entries_in_two_frames(void **state)
{
    struct made_file f;
    struct got got;

    (void)state;
    made_empty(&f, 0);
    for (uint64_t id = 1; id <= 4; id++)
        made_record(&f, id, 0, "text");
    uint64_t lost = made_entry(&f, 0, 0, 0, SQ_PARKED, 1); /* the place is still the old one */
    made_entry(&f, 0, 3, 1, SQ_PARKED, 2);                 /* 3 is finished */
    spoil_at(&f, lost, false);
    salvage_and_drain(&f, NULL, &got);
    assert_int_equal(in_order(&got), ONE | THREE | FOUR);
    assert_int_equal(got.parked, TWO);
    made_free(&f);
}

/* Who put 5 died before it was true, which the lost frame says; the next 5 is the one. */
static void ids_given_twice(void **state)
{
    struct made_file f;
    struct got got;

    (void)state;
    made_empty(&f, 4);
    made_record(&f, 5, 0, "never put");
    made_record(&f, 6, 0, "never put");
    uint64_t lost = made_queue(&f, 5);
    made_record(&f, 5, 0, "put");
    salvage_and_drain(&f, NULL, &got);
    assert_int_equal(in_order(&got), FIVE);
    spoil_at(&f, lost, true);
    salvage_and_drain(&f, NULL, &got);
    assert_int_equal(in_order(&got), FIVE | SIX);
    says(&got, 5, "put");
    says(&got, 6, "never put");
    made_free(&f);
}

/* As a compaction leaves it: what the base has lost is said again behind it. */
static void said_again(void **state)
{
    struct made_file f;
    struct got got;

    (void)state;
    made_begin(&f, 0);
    made_session(&f, 0);
    made_group(&f, 0, "", 0);
    uint64_t lost = made_record(&f, 1, 0, "one");
    made_record(&f, 2, 0, "two, anew");
    made_base(&f);
    made_record(&f, 1, 0, "one");
    made_record(&f, 2, 0, "two");
    made_record(&f, 2, SQ_RECORD_COPY, "two, anew");
    made_mark(&f, SQ_MARK_UPDATED, 2);
    spoil_at(&f, lost, false);
    salvage_and_drain(&f, NULL, &got);
    assert_int_equal(in_order(&got), ONE | TWO);
    says(&got, 2, "two, anew");
    made_free(&f);
}

/* --- groups that are lost ------------------------------------------------------------------ */

static void a_topics_group(void **state)
{
    struct made_file f;
    struct got got;

    (void)state;
    make_journal(&f, SHMQ_TOPIC);
    spoil(&f, 3);
    salvage_and_drain(&f, "salvaged-0", &got);
    assert_int_equal(in_order(&got), ONE | FOUR | SIX | SEVEN | EIGHT);
    assert_int_equal(got.parked, TWO);
    salvage_and_drain(&f, "other", &got);
    assert_int_equal(in_order(&got), ONE | TWO | THREE | FOUR | SIX | SEVEN | EIGHT);
    made_free(&f);
}

/* The end of a group is lost, and another one has its name since. */
static void a_namesake(void **state)
{
    struct made_file f;
    struct got got;

    (void)state;
    make_journal(&f, SHMQ_TOPIC);
    uint64_t lost = made_ungroup(&f, 2);
    made_group(&f, 1, "other", 6);
    spoil_at(&f, lost, false);
    agree(&f);
    salvage_and_drain(&f, "other", &got);
    assert_int_equal(in_order(&got), SEVEN | EIGHT);
    made_free(&f);
}

/* Somebody died removing a group, which goes on: it has what it had, unless the frame that
 * says so is what is lost.  Then what is between is in doubt. */
static void a_group_that_goes_on(void **state)
{
    struct sq_frame_group about = {.mode = SQ_GROUP_NAMED,
                                   .finished_id = 3,
                                   .start_id = 1,
                                   .keeps_entries = 1,
                                   .name = "first"};
    struct made_file f;
    struct got got;

    (void)state;
    for (int lose = 0; lose < 2; lose++) {
        make_journal(&f, SHMQ_TOPIC);
        about.policy = f.header->policy;
        made_ungroup(&f, 0);
        uint64_t on = made_frame(&f, SQ_FRAME_GROUP, &about, sizeof(about));
        made_entry(&f, 0, 7, 2, SQ_LEASED, 4); /* 6 and 7 are finished */
        if (lose)
            spoil_at(&f, on, false);
        agree(&f);
        salvage_and_drain(&f, "first", &got);
        assert_int_equal(in_order(&got), ONE | FOUR | EIGHT | (lose ? SIX | SEVEN : 0));
        assert_int_equal(got.parked, TWO);
        made_free(&f);
    }
}

/* What the group never wanted is not in doubt. */
static void a_filter(void **state)
{
    struct sq_frame_group about = {.mode = SQ_GROUP_NAMED | SQ_GROUP_FILTERED,
                                   .finished_id = 1,
                                   .start_id = 1,
                                   .filter_type = 'x',
                                   .name = "some"};
    struct made_file f;
    struct got got;

    (void)state;
    made_begin(&f, SHMQ_TOPIC);
    about.policy = f.header->policy;
    made_session(&f, 0);
    made_frame(&f, SQ_FRAME_GROUP, &about, sizeof(about));
    uint64_t lost = made_entry(&f, 0, 1, 0, SQ_WAITING, 1);
    made_record(&f, 1, 0, "of no type");
    made_base(&f);
    spoil_at(&f, lost, false);
    salvage_and_drain(&f, "some", &got);
    assert_int_equal(got.count, 0);
    made_free(&f);
}

/* --- far apart, and many --------------------------------------------------------------------- */

/* An old message, and others a million ids on, of which nothing tells how they stand: a row
 * of all ids would be larger than any queue. */
static void far_apart(void **state)
{
    struct salvage s;
    struct made_file f;
    char text[16];
    shmq_t *q;

    (void)state;
    made_begin(&f, 0);
    made_session(&f, 0);
    uint64_t lost = made_group(&f, 0, "", 5);
    made_record(&f, 5, 0, "old");
    for (uint64_t id = 50000000; id < 50000100; id++)
        made_record(&f, id, 0, "young");
    made_base(&f);
    spoil_at(&f, lost, true);
    salvage(&s, &f);
    assert_int_equal(shmq_load(helper_name("a"), saved), 0);
    assert_int_equal(shmq_open(&q, helper_name("a"), 0, NULL), 0);
    assert_int_equal(shmq_depth(q), 101);
    assert_int_equal(shmq_get(q, text, sizeof(text), NULL, SHMQ_NOWAIT), 3);
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    assert_int_equal(shmq_attr_of(q, &attr), 0);
    assert_int_equal(attr.capacity_bytes, 65536);
    shmq_close(q);
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
    made_free(&f);
}

/* More in doubt than the queue had entries. */
static void more_than_entries(void **state)
{
    struct salvage s;
    struct made_file f;
    shmq_t *q;

    (void)state;
    made_empty(&f, 0);
    for (uint64_t id = 1; id <= 1000; id++)
        made_record(&f, id, 0, "text");
    uint64_t lost = made_entry(&f, 0, 500, 0, SQ_LEASED, 1);
    made_entry(&f, 0, 1000, 1, SQ_LEASED, 1000);
    spoil_at(&f, lost, true);
    salvage(&s, &f);
    assert_int_equal(shmq_load(helper_name("a"), saved), 0);
    assert_int_equal(shmq_open(&q, helper_name("a"), 0, NULL), 0);
    assert_int_equal(shmq_depth(q), 1000);
    for (uint64_t id = 1; id <= 1000; id++) {
        struct shmq_msg msg = helper_receive(q);
        assert_int_equal(msg.id, id);
        assert_int_equal(shmq_ack(q, &msg), 0);
    }
    shmq_close(q);
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
    made_free(&f);
}

/* --- header and times ------------------------------------------------------------------------ */

/* The first block is zeros: not even the salt is known. */
static void no_header(void **state)
{
    const uint32_t kinds[] = {0, SHMQ_TOPIC};
    struct made_file f;
    struct salvage s;
    struct got got;

    (void)state;
    for (int i = 0; i < 4; i++) {
        make_journal(&f, kinds[i % 2]);
        if (i >= 2) /* and neither is where the frames begin */
            spoil_at(&f, SQ_FILE_HEADER_BYTES, true);
        memset(f.bytes, 0, SQ_FILE_HEADER_BYTES);
        agree(&f);
        assert_int_equal(salvage_read(&s, f.bytes, f.size, 0), 0);
        assert_non_null(s.header_wrong);
        assert_int_equal(s.header.kind, kinds[i % 2]);
        assert_int_equal(s.header.mode, 0600);
        assert_string_equal(s.header.queue, "salvaged");
        salvage_free(&s);
        salvage_and_drain(&f, i % 2 == 1 ? "first" : NULL, &got);
        assert_int_equal(in_order(&got), ONE | FOUR | SIX | SEVEN | EIGHT);
        assert_int_equal(got.parked, TWO);
        made_free(&f);
    }
}

static void no_file_of_ours(void **state)
{
    struct helper_random random = helper_seed();
    struct made_file f;
    struct salvage s;

    (void)state;
    made_begin(&f, 0);
    f.size = 100000;
    for (int i = 0; i < 3; i++) {
        for (uint64_t at = 0; at < f.size; at++)
            f.bytes[at] = i == 0 ? 'a' : i == 1 ? 0 : (unsigned char)helper_random(&random);
        assert_int_equal(salvage_read(&s, f.bytes, f.size, 0), -EPROTO);
        salvage_free(&s);
    }
    made_free(&f);
    /* Of another format, which it says itself. */
    make_journal(&f, 0);
    f.header->incompatible = 1;
    sq_file_header_seal(f.header);
    assert_int_equal(salvage_read(&s, f.bytes, f.size, 0), -EPROTO);
    salvage_free(&s);
    made_free(&f);
}

/* A message that would have expired within the hour, if the file's times mean what they
 * would without the frame that is lost. */
static void no_times(void **state)
{
    struct {
        struct sq_record_shm head;
        struct sq_extension_shm extension;
        char text[8];
    } record = {
        .head = {.length = sizeof(record) - sizeof(record.head),
                 .tag = SQ_RECORD_EXTENDED,
                 .put_ns = SHMQ_SEC(5)},
        .extension = {.bytes = sizeof(record.extension), .expiry_ns = SHMQ_SEC(3605)},
        .text = "short",
    };
    struct made_file f;
    struct salvage s;
    struct got got;

    (void)state;
    made_begin(&f, 0);
    int64_t now_ns = (int64_t)time(NULL) * SHMQ_SEC(1);
    uint64_t lost = made_session(&f, now_ns - SHMQ_SEC(5));
    made_group(&f, 0, "", 0);
    sq_store(&record.head.id, 1);
    made_frame(&f, SQ_FRAME_RECORDS, &record, sizeof(record));
    made_base(&f);
    spoil_at(&f, lost, true);
    assert_int_equal(salvage_read(&s, f.bytes, f.size, now_ns), 0);
    assert_true(s.times_guessed);
    write_saved(&s);
    salvage_free(&s);
    load_and_drain(saved, NULL, &got);
    assert_int_equal(in_order(&got), ONE);
    made_free(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST_MEMORY(a_whole_file),
        FOLDER_TEST_MEMORY(times),
        FOLDER_TEST_MEMORY(each_byte_flipped),
        FOLDER_TEST_MEMORY(cut_anywhere),
        FOLDER_TEST_MEMORY(two_in_a_row),
        FOLDER_TEST_MEMORY(cut_out),
        FOLDER_TEST_MEMORY(between_two_places),
        FOLDER_TEST_MEMORY(entries_in_two_frames),
        FOLDER_TEST_MEMORY(ids_given_twice),
        FOLDER_TEST_MEMORY(said_again),
        FOLDER_TEST_MEMORY(a_topics_group),
        FOLDER_TEST_MEMORY(a_namesake),
        FOLDER_TEST_MEMORY(a_group_that_goes_on),
        FOLDER_TEST_MEMORY(a_filter),
        FOLDER_TEST_MEMORY(far_apart),
        FOLDER_TEST_MEMORY(more_than_entries),
        FOLDER_TEST_MEMORY(no_header),
        FOLDER_TEST_MEMORY(no_file_of_ours),
        FOLDER_TEST_MEMORY(no_times),
    };

    return helper_run(argc, argv, tests);
}
