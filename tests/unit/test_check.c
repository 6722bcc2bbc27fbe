/*
 * test_check.c - shmq-check of queues that are in use: nothing is wrong with those in
 * order, whatever they hold and whoever uses them meanwhile; whatever word of one that is
 * damaged is another, nothing crashes, what matters is found, and all messages but the one
 * whose record was hit are saved.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handle/handle.h"
#include "segment/segment_attr.h"
#include "shmq-check/check_findings.h"
#include "shmq-check/salvage_queue.h"
#include "support/folder.h"

static const char *const saved = folder_file;

/* --- queues that hold all there is -------------------------------------------------- */

static uint64_t send(shmq_t *q, const char *text, int32_t priority, int64_t delay_ns)
{
    const struct shmq_header header = {"colour", "blue"};
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char key[24];

    snprintf(key, sizeof(key), "key-%s", text);
    msg.data = text;
    msg.length = strlen(text);
    msg.key = key;
    msg.key_length = strlen(key);
    msg.headers = &header;
    msg.header_count = 1;
    msg.priority = priority;
    msg.delay_ns = delay_ns;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    return msg.id;
}

/*
 * Messages 1 to 12 of which the group has acknowledged one, leased one, delayed and parked
 * others; some are updated, and one removed.  What is not finished, as bits by id.
 */
static uint64_t fill(shmq_t *q, shmq_t *g)
{
    struct shmq_msg msg[4];
    uint64_t left = 0;

    for (int i = 1; i <= 12; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%0*d", i, i);
        left |= (uint64_t)1 << send(q, text, i % 3, i == 9 ? SHMQ_SEC(3600) : 0);
    }
    for (int i = 0; i < 4; i++)
        msg[i] = helper_receive(g); /* the first stays leased */
    assert_int_equal(shmq_nack(g, &msg[1], SHMQ_SEC(3600), 0), 0);
    assert_int_equal(shmq_reject(g, &msg[2], SHMQ_REASON_PROCESSING, "no"), 0);
    assert_int_equal(shmq_ack(g, &msg[3]), 0);
    left &= ~((uint64_t)1 << msg[3].id);
    return left;
}

static void change(shmq_t *q, uint64_t updated, uint64_t removed)
{
    assert_int_equal(shmq_update(q, updated, "longer than before", 18, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_remove(q, removed), 0);
}

static struct shmq_attr small_attr(uint32_t order)
{
    struct shmq_attr attr = helper_attr(65536);

    attr.order = order;
    attr.pending_count = 32;
    return attr;
}

/* --- looking -------------------------------------------------------------------------- */

static void attach(struct sq_segment *segment, int flags)
{
    struct sq_path path;

    assert_int_equal(sq_segment_path(helper_name("a"), &path), 0);
    assert_int_equal(sq_segment_attach(segment, &path, flags), 0);
}

/* Examine the queue in one look: what is wrong, and how many messages are not finished. */
static uint64_t exam(const struct sq_segment *segment, struct findings *found)
{
    struct check_counts *counts = malloc(sizeof(*counts));
    struct look look;

    assert_non_null(counts);
    *found = (struct findings){.list = NULL};
    assert_int_equal(look_take(&look, segment), 0);
    assert_int_equal(exam_look(&look, found, counts), 0);
    look_free(&look);
    uint64_t messages = counts->messages;
    free(counts);
    return messages;
}

static unsigned count_bits(uint64_t bits)
{
    return (unsigned)__builtin_popcountll(bits);
}

/* Nothing is wrong, and these are not finished. */
static void is_sound(uint64_t left)
{
    struct sq_segment segment;
    struct findings found;

    attach(&segment, SHMQ_RDONLY);
    assert_int_equal(exam(&segment, &found), count_bits(left));
    if (found.count > 0)
        fail_msg("%s", found.list[0].text);
    exam_free(&found);
    sq_segment_close(&segment);
}

/* --- saving --------------------------------------------------------------------------- */

/* Whether some group of the new file has yet to finish it. */
static bool is_left(const struct sq_image *image, const struct sq_image_message *m)
{
    for (uint32_t i = 0; m->record != NULL && i < SQ_GROUPS_MAX; i++) {
        const struct sq_image_group *g = &image->groups[i];
        if (g->there && m->id > g->attr.finished_id)
            return true;
        for (uint32_t e = 0; g->there && e < g->item_count; e++)
            if ((g->items[e].word & 0xff) != SQ_FREE && g->items[e].id == m->id)
                return true;
    }
    return false;
}

/* How many that are, and the last one. */
static struct {
    uint64_t count, last_id;
} was_saved;

static uint64_t read_saved(const struct sq_file_out *out)
{
    struct sq_image *image = calloc(1, sizeof(*image));
    struct sq_file_bytes bytes;
    uint64_t left = 0;

    assert_non_null(image);
    assert_int_equal(sq_file_read(out->fd, &bytes), 0);
    int verdict = check_judge(bytes.bytes, bytes.size, image);
    if (verdict != CHECK_WHOLE)
        fail_msg("verdict %d (%s)", verdict, shmq_last_error_detail());
    was_saved.count = was_saved.last_id = 0;
    for (size_t i = 0; i < image->message_count; i++)
        if (is_left(image, &image->messages[i])) {
            left |= (uint64_t)1 << (image->messages[i].id & 63);
            was_saved.last_id = image->messages[i].id;
            was_saved.count++;
        }
    sq_image_free(image);
    sq_file_free(&bytes);
    free(image);
    return left;
}

/* Save what a look shows to a file: what is left in that, as bits by id. */
static uint64_t save_look(struct look *look)
{
    struct salvage *s = calloc(1, sizeof(*s));
    struct salvage_copies copies;
    struct sq_file_path path;
    struct sq_file_out out;

    assert_non_null(s);
    assert_int_equal(salvage_queue(s, look, "saved", &copies), 0);
    assert_int_equal(sq_file_path(&path, saved), 0);
    assert_int_equal(sq_file_begin(&out, &path), 0);
    assert_int_equal(salvage_write(s, &out), 0);
    assert_int_equal(sq_file_flush(&out), 0);
    uint64_t left = read_saved(&out);
    sq_file_abandon(&out);
    salvage_free(s);
    salvage_copies_free(&copies);
    free(s);
    return left;
}

static uint64_t save(const struct sq_segment *segment)
{
    struct look look;

    assert_int_equal(look_take(&look, segment), 0);
    uint64_t left = save_look(&look);
    look_free(&look);
    return left;
}

static void saves(uint64_t left)
{
    struct sq_segment segment;

    attach(&segment, SHMQ_RDONLY);
    assert_int_equal(save(&segment), left);
    sq_segment_close(&segment);
}

/* --- sound ones -------------------------------------------------------------------------- */

static void in_any_order(void **state)
{
    const uint32_t orders[] = {SHMQ_FIFO, SHMQ_LIFO, SHMQ_PRIORITY};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct shmq_attr attr = small_attr(orders[i]);
        shmq_t *q = helper_create(&attr);
        is_sound(0);
        uint64_t left = fill(q, q);
        is_sound(left);
        saves(left);
        change(q, 7, 6);
        left &= ~((uint64_t)1 << 6);
        is_sound(left);
        saves(left);
        helper_finish(q);
    }
}

static void a_unique_one(void **state)
{
    struct shmq_attr attr = small_attr(SHMQ_FIFO);
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_UNIQUE, &attr);

    (void)state;
    uint64_t left = fill(q, q);
    is_sound(left);
    saves(left);
    helper_finish(q);
}

static void a_topic(void **state)
{
    struct shmq_attr attr = small_attr(SHMQ_FIFO);
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, &attr), *g, *other;

    (void)state;
    assert_int_equal(shmq_subscribe(q, "some", NULL, &g), 0);
    assert_int_equal(shmq_subscribe(q, "other", NULL, &other), 0);
    uint64_t left = fill(q, g);
    assert_true(helper_takes(other, "1"));
    is_sound(left | 1 << 4); /* the one that some has acknowledged other has not */
    saves(left | 1 << 4);
    shmq_close(g);
    shmq_close(other);
    helper_finish(q);
}

/* With more gone through it than it holds, so that positions have wrapped. */
static void gone_round(void **state)
{
    struct shmq_attr attr = small_attr(SHMQ_FIFO);
    char text[1000] = "text";
    shmq_t *q = helper_create(&attr);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(shmq_put(q, text, sizeof(text), SHMQ_NOWAIT), 0);
        if (i >= 50)
            assert_int_equal(shmq_get(q, text, sizeof(text), NULL, SHMQ_NOWAIT), sizeof(text));
    }
    uint64_t left = 0;
    for (unsigned id = 951; id <= 1000; id++)
        left |= (uint64_t)1 << (id & 63);
    is_sound(left);
    saves(left);
    helper_finish(q);
}

/* A look that is old: all that it shows is finished, and others stand where it was, so many
 * bytes shorter. */
static void look_back(size_t shorter)
{
    enum { RECORDS = 128 }; /* in a ring */
    struct check_counts *counts = malloc(sizeof(*counts));
    struct shmq_attr attr = small_attr(SHMQ_FIFO);
    struct findings found = {.list = NULL};
    struct sq_segment segment;
    struct look look;
    char text[65536 / RECORDS - SQ_RECORD_HEADER_BYTES] = "text";

    assert_non_null(counts);
    shmq_t *q = helper_create(&attr);
    for (int i = 0; i < 20; i++)
        assert_int_equal(shmq_put(q, text, sizeof(text), SHMQ_NOWAIT), 0);
    attach(&segment, SHMQ_RDONLY);
    assert_int_equal(look_take(&look, &segment), 0);
    assert_true(look.is_still);
    for (int i = 0; i < RECORDS + 20; i++) {
        assert_cmp(shmq_get(q, text, sizeof(text), NULL, SHMQ_NOWAIT), >, 0);
        assert_int_equal(shmq_put(q, text, sizeof(text) - shorter, SHMQ_NOWAIT), 0);
    }
    assert_int_equal(exam_look(&look, &found, counts), 0);
    assert_false(look.is_still);
    if (found.count > 0)
        fail_msg("%s", found.list[0].text);
    exam_free(&found);
    assert_int_equal(save_look(&look), 0);
    look_free(&look);
    sq_segment_close(&segment);
    helper_finish(q);
    free(counts);
}

static void an_old_look(void **state)
{
    (void)state;
    look_back(0); /* records stand where they did */
    look_back(8); /* or do not */
}

/* --- in use ----------------------------------------------------------------------------------- */

static char in_use[64];

/* Put, update, remove, as long as it lives. */
static void keep_putting(shmq_t *q)
{
    static const char text[] = "some text, of which nobody knows how long it is";
    char key[16];

    for (unsigned i = 0;; i++) {
        struct shmq_msg msg = SHMQ_MSG_INIT;
        msg.data = text + i % 40;
        msg.length = sizeof(text) - i % 40;
        msg.priority = (int32_t)(i % 4);
        msg.delay_ns = i % 16 == 0 ? SHMQ_MS(1) : 0;
        msg.key = key;
        msg.key_length = (size_t)snprintf(key, sizeof(key), "%u", i % 50);
        if (shmq_send(q, &msg, SHMQ_MS(10)) != 0)
            continue;
        if (i % 5 == 0)
            shmq_update(q, msg.id, msg.data, msg.length, SHMQ_NOWAIT);
        if (i % 7 == 0)
            shmq_remove(q, msg.id);
    }
}

static void keep_receiving(shmq_t *q)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    for (unsigned i = 0;; i++) {
        if (shmq_receive(q, &msg, SHMQ_MS(10)) != 0)
            continue;
        if (i % 3 == 0)
            shmq_nack(q, &msg, i % 2 == 0 ? SHMQ_MS(1) : 0, 0);
        else
            shmq_ack(q, &msg);
    }
}

static int go_on(void *arg)
{
    static const char *const groups[] = {"some", "other"};
    int number = *(int *)arg;
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    shmq_t *q = helper_open(in_use, 0, NULL), *g = q;

    shmq_attr_of(q, &attr);
    if (number < 2)
        keep_putting(q);
    if ((attr.kind & SHMQ_TOPIC) != 0)
        shmq_subscribe(q, groups[number % 2], NULL, &g);
    keep_receiving(g);
    return 0;
}

/* Look several times, as shmq-check does: nothing is found that is not there. */
static void look_again(const struct sq_segment *segment)
{
    struct findings found, again;

    exam(segment, &found);
    for (int looks = 0; looks < 2 && found.count > 0; looks++) {
        helper_pass(SHMQ_MS(2));
        exam(segment, &again);
        exam_keep_common(&found, &again, false);
        exam_keep_common(&found, &again, true);
        exam_free(&again);
    }
    if (found.count > 0)
        fail_msg("%s", found.list[0].text);
    exam_free(&found);
}

static void no_false_alarms(void **state)
{
    const int kinds[] = {0, SHMQ_UNIQUE, SHMQ_TOPIC, 0};
    struct sq_segment segment;
    pid_t children[4];

    (void)state;
    strcpy(in_use, helper_name("a"));
    for (int kind = 0; kind < 4; kind++) {
        struct shmq_attr attr = small_attr(kind == 3 ? SHMQ_PRIORITY : SHMQ_FIFO);
        shmq_t *q = helper_open(in_use, SHMQ_CREATE | kinds[kind], &attr);
        for (int i = 0; i < 4; i++)
            children[i] = helper_fork(go_on, &i);
        attach(&segment, SHMQ_RDONLY);
        for (int i = 0; i < 150 || helper_stats(q).put_count < 5000; i++) {
            look_again(&segment);
            if (i % 5 == 0)
                save(&segment);
        }
        sq_segment_close(&segment);
        for (int i = 0; i < 4; i++)
            helper_kill(children[i]);
        helper_finish(q);
    }
}

static int put_and_return(void *arg)
{
    shmq_t *q = helper_open(in_use, 0, NULL);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    for (unsigned i = 0;; i++) {
        if (*(int *)arg == 0)
            shmq_put(q, "some text", i % 10, SHMQ_MS(10));
        else if (shmq_receive(q, &msg, SHMQ_MS(10)) == 0)
            shmq_nack(q, &msg, i % 2 == 0 ? SHMQ_MS(1) : 0, i % 3 == 0 ? SHMQ_TO_BACK : 0);
    }
    return 0;
}

/* Nothing is finished, only moved: wherever it is, it is saved. */
static void nothing_is_missed(void **state)
{
    struct shmq_attr attr = small_attr(SHMQ_FIFO);
    struct sq_segment segment;
    pid_t children[3];

    (void)state;
    strcpy(in_use, helper_name("a"));
    attr.pending_count = 1024;
    shmq_t *q = helper_create(&attr);
    for (int i = 0; i < 3; i++)
        children[i] = helper_fork(put_and_return, &i);
    attach(&segment, SHMQ_RDONLY);
    for (int i = 0; i < 200 || helper_stats(q).put_count < 1000; i++) {
        uint64_t put = helper_stats(q).put_count;
        save(&segment);
        assert_int_equal(was_saved.count, was_saved.last_id);
        assert_cmp(was_saved.count, >=, put);
    }
    sq_segment_close(&segment);
    for (int i = 0; i < 3; i++)
        helper_kill(children[i]);
    helper_finish(q);
}

/* --- damaged ones -------------------------------------------------------------------------------
 */

/* The message whose record, or updated record, has the byte at `pos`; 0: none. */
static uint64_t record_at(const struct sq_ring *ring, uint64_t pos)
{
    uint64_t at = 0, end, tail = sq_load(&ring->producer->tail_pos);

    for (; at < tail && (end = sq_record_end(ring, at, tail)) > at; at = end) {
        const struct sq_record_shm *record = sq_record_at(ring, at);
        struct sq_view view;
        if (pos >= end)
            continue;
        if ((record->tag & SQ_RECORD_COPY) != 0)
            return record->id & SQ_ID_REST;
        return sq_record_view(ring, at, 0, &view) == -EBADMSG ? 0 : view.id;
    }
    return 0;
}

static const uint32_t values[] = {0, UINT32_MAX, 1, 8, 256, 1 << 20};

/* Word after word of `bytes` at `part`: nothing crashes, and all of `left` is saved, but what
 * has its record there. */
static void damage_words(struct sq_segment *rw, void *part, size_t bytes, uint64_t left)
{
    const unsigned char *ring = rw->ring.bytes;
    struct findings found;
    uint32_t *words = part;

    for (size_t i = 0; i < bytes / 4; i++) {
        uint32_t was = words[i];
        uint64_t must = left, pos = (uint64_t)((const unsigned char *)&words[i] - ring);
        if (pos < rw->ring.capacity_bytes)
            must &= ~((uint64_t)1 << record_at(&rw->ring, pos));
        for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            words[i] = v < 2 ? values[v] : was ^ values[v];
            exam(rw, &found);
            uint64_t have = save(rw);
            words[i] = was;
            exam_free(&found);
            if ((have & must) != must)
                fail_msg("word %zu, value %zu: %#llx of %#llx are saved", i, v,
                         (unsigned long long)have, (unsigned long long)must);
        }
    }
}

static void each_word(void **state)
{
    struct shmq_attr attr = small_attr(SHMQ_FIFO);
    shmq_t *q = helper_create(&attr);
    struct sq_segment rw;

    (void)state;
    uint64_t left = fill(q, q);
    change(q, 7, 6);
    change(q, 2, 11);
    left &= ~((uint64_t)1 << 6 | (uint64_t)1 << 11);
    is_sound(left);
    attach(&rw, 0);
    const struct sq_ring *ring = &rw.ring;
    assert_int_equal(ring->producer->low_pos, 0);
    damage_words(&rw, ring->bytes, sq_load(&ring->producer->tail_pos) + 32, left);
    damage_words(&rw, ring->producer, sizeof(*ring->producer), left);
    damage_words(&rw, ring->group, sizeof(*ring->group), left);
    damage_words(&rw, ring->entries, 6 * sizeof(*ring->entries), left);
    is_sound(left);
    sq_segment_close(&rw);
    helper_finish(q);
}

/* What must not be, and what is said of it. */
static void what_matters_is_found(void **state)
{
    struct shmq_attr attr = small_attr(SHMQ_FIFO);
    shmq_t *q = helper_create(&attr);
    struct sq_segment rw;

    (void)state;
    uint64_t left = fill(q, q);
    change(q, 7, 6);
    left &= ~((uint64_t)1 << 6);
    attach(&rw, 0);
    struct sq_group_shm *g = rw.ring.group;
    struct sq_producer_shm *p = rw.ring.producer;
    struct sq_record_shm *record = sq_record_at(&rw.ring, sq_load(&g->cursor_pos));
    struct sq_entry_shm *entry = &rw.ring.entries[1];
#define FINDS(place, value, what)                                                                  \
    do {                                                                                           \
        __typeof__(place) was_there = (place);                                                     \
        struct findings found;                                                                     \
        (place) = (value);                                                                         \
        exam(&rw, &found);                                                                         \
        (place) = was_there;                                                                       \
        if (found.count == 0 || strstr(found.list[0].text, what) == NULL)                          \
            fail_msg("not '%s': %s", what, found.count > 0 ? found.list[0].text : "nothing");      \
        exam_free(&found);                                                                         \
    } while (0)
    FINDS(record->length, 1000000, "it says that it has 1000000 bytes");
    FINDS(record->tag, 0x100, "its tag is 0x100");
    FINDS(record->tag, SQ_RECORD_EXTENDED | SQ_RECORD_SAMPLED | 8, "its tag is 0xb");
    FINDS(record->id, 4711, "its id is 6, not 4712"); /* the first one tells */
    FINDS(record->id, SQ_ID_MOVED | 8, "the update is not where it says");
    FINDS(*(uint32_t *)(void *)(record + 1), 1000000, "its extension is damaged");
    FINDS(g->cursor_pos, 1 << 30, "is not within the ring");
    FINDS(g->cursor_pos, sq_load(&g->cursor_pos) + 8, "the record at position");
    FINDS(p->tail_pos, 8, "is not");
    FINDS(entry->word, 99, "is in no state");
    FINDS(entry->pos, entry->pos + 8, "is not at position");
    FINDS(entry->id, 1, "is not at position");
    FINDS(rw.ring.entries[0], rw.ring.entries[1], "two entries have message 2");
    FINDS(g->finished_id, 3, "finished_id");
    FINDS(g->held_count, 5, "miscounted");
    FINDS(g->pending.leased, 5, "miscounted");
    FINDS(g->pending.used_end, 1000000, "more entries");
    FINDS(g->gone_count, 5, "gone_count");
    FINDS(p->next_id, 5, "next_id");
#undef FINDS
    is_sound(left);
    sq_segment_close(&rw);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST_MEMORY(in_any_order),
        FOLDER_TEST_MEMORY(a_unique_one),
        FOLDER_TEST_MEMORY(a_topic),
        FOLDER_TEST_MEMORY(gone_round),
        FOLDER_TEST_MEMORY(an_old_look),
        FOLDER_TEST_MEMORY(no_false_alarms),
        FOLDER_TEST_MEMORY(nothing_is_missed),
        FOLDER_TEST_MEMORY(each_word),
        FOLDER_TEST_MEMORY(what_matters_is_found),
    };

    return helper_run(argc, argv, tests);
}
