/*
 * test_old_format.c - files of every format since format 2 can be read: the samples in
 * tests/fuzz/corpus/formatN/ (format_sample.h) give back the queues that they were written from, in
 * any year and on any machine.  So do samples that are written here and now.
 */
#include "support/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "file/format.h"
#include "message/compress.h"
#include "support/format_sample.h"

/* The formats with samples in the corpus, and how many each has. */
static const struct {
    unsigned number;
    enum sample samples;
} formats[] = {{2, SAMPLE_COMPRESSED + 1}};

/* Where things are in a file's header, in all these formats. */
enum { CREATED_AT = 48, NAME_AT = 56, NAME_ROOM = 208, CHECK_AT = 592 };

enum { FILE_MAX = 1 << 16, GROUPS = 4 };

static char folder[64], file[96], name[64];

static int setup(void **state)
{
    strcpy(folder, "/tmp/shmq-format-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(file, sizeof(file), "%s/file", folder);
    snprintf(name, sizeof(name), "%s", helper_name("a"));
    return helper_setup(state);
}

static int teardown(void **state)
{
    unlink(file);
    int rc = rmdir(folder);

    if (rc != 0)
        print_error("left behind: something in %s\n", folder);
    return helper_teardown(state) != 0 ? -1 : rc;
}

#define FORMAT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* --- a queue as text ------------------------------------------------------------- */

/* Nanoseconds as whole seconds: two clocks are not read at the same moment. */
static long long seconds(int64_t ns)
{
    return (long long)((ns + SHMQ_SEC(1) / 2) / SHMQ_SEC(1));
}

static void add_bytes(FILE *to, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < length; i++)
        if (i > 0 && i + 1 == length && length > 100)
            fprintf(to, "%c (%zu bytes)", at[i], length);
        else if (i < 20 || length <= 100)
            fprintf(to, at[i] >= ' ' && at[i] <= '~' ? "%c" : "\\%02x", at[i]);
}

static void add_policy(FILE *to, const struct shmq_policy *p)
{
    fprintf(to, "  lease %lld, tries %u, retry %u: %lld ms to %lld s, times %.2f, jitter %.2f\n",
            seconds(p->lease_ns), p->max_attempts, p->retry, (long long)p->retry_first_ns / 1000000,
            seconds(p->retry_greatest_ns), p->retry_factor, p->retry_jitter);
    fprintf(to, "  lag %u, dead letters to '%s' for %lld, if expired %u\n", p->lag, p->dead_letter,
            seconds(p->dead_letter_ttl_ns), p->dead_letter_expired);
}

static void add_attr(FILE *to, shmq_t *q)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    assert_int_equal(shmq_attr_of(q, &attr), 0);
    fprintf(to, "kind %u, order %u, full %u, mode %o\n", attr.kind, attr.order, attr.full,
            attr.mode);
    fprintf(to, "  %llu bytes, messages %llu of %llu, groups %u, pending %u, compressed from %u\n",
            (unsigned long long)attr.capacity_bytes, (unsigned long long)attr.max_messages,
            (unsigned long long)attr.max_message_bytes, attr.max_groups, attr.pending_count,
            attr.compress_bytes);
    add_policy(to, &attr.policy);
}

/* What a message is, for all groups.  It was put soon after the queue was created. */
static void add_details(FILE *to, const struct shmq_msg *msg, int64_t created_ns)
{
    struct shmq_header header;
    size_t place = 0;

    assert_in_range(msg->put_ns + helper_wall_ns() - helper_now_ns() - created_ns + SHMQ_SEC(1), 0,
                    SHMQ_SEC(3600));
    fprintf(to, " '");
    add_bytes(to, msg->data, msg->length);
    fprintf(to, "'");
    if (msg->key_length > 0) {
        fprintf(to, " key '");
        add_bytes(to, msg->key, msg->key_length);
        fprintf(to, "'");
    }
    if (msg->type != 0)
        fprintf(to, " type %u", msg->type);
    if (msg->priority != 0)
        fprintf(to, " priority %d", msg->priority);
    if (msg->correlation != 0)
        fprintf(to, " correlation %llu", (unsigned long long)msg->correlation);
    if (msg->ttl_ns == 1)
        fprintf(to, " expired");
    else if (msg->ttl_ns != 0)
        fprintf(to, " until %lld", seconds(msg->ttl_ns + helper_wall_ns()));
    while (shmq_header_next(msg, &place, &header) == 1)
        fprintf(to, " %s=\"%s\"", header.name, header.value);
}

/* The state of a message in a group; with `details` also what it is. */
static void add_message(FILE *to, const struct shmq_msg *msg, int64_t created_ns, bool details)
{
    static const char *const states[] = {[SHMQ_WAITING] = "waits",
                                         [SHMQ_DELAYED] = "delayed",
                                         [SHMQ_LEASED] = "leased",
                                         [SHMQ_DEAD] = "dead"};

    fprintf(to, "  %llu %s", (unsigned long long)msg->id, states[msg->state]);
    if (msg->attempts > 0)
        fprintf(to, ", tries %u", msg->attempts);
    if (msg->due_ns != 0)
        fprintf(to, ", due %lld", seconds(msg->due_ns));
    if (msg->state == SHMQ_DEAD) {
        fprintf(to, ", reason %u", msg->reason);
        assert_in_range(msg->since_ns - msg->put_ns, 0, SHMQ_SEC(3600));
    }
    if (details)
        add_details(to, msg, created_ns);
    fprintf(to, "\n");
}

struct line {
    uint64_t id;
    char *text;
};

static int by_id(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/* All messages that the group has not finished, by id, with details unless in *known. */
static void add_messages(FILE *to, shmq_t *g, int64_t created_ns, uint64_t *known)
{
    static uint64_t buffer[1 << 10];
    struct shmq_msg msg = SHMQ_MSG_INIT;
    struct line lines[32];
    uint64_t place = 0;
    size_t count = 0, size;
    ssize_t n;

    while ((n = shmq_inspect(g, SHMQ_WAITING | SHMQ_DELAYED | SHMQ_LEASED | SHMQ_DEAD, &place, &msg,
                             buffer, sizeof(buffer))) >= 0) {
        assert_in_range(count, 0, sizeof(lines) / sizeof(lines[0]) - 1);
        FILE *one = open_memstream(&lines[count].text, &size);
        add_message(one, &msg, created_ns, (*known >> msg.id & 1) == 0);
        fclose(one);
        *known |= (uint64_t)1 << msg.id;
        lines[count++].id = msg.id;
    }
    assert_int_equal(n, -EAGAIN);
    qsort(lines, count, sizeof(lines[0]), by_id);
    for (size_t i = 0; i < count; i++) {
        fputs(lines[i].text, to);
        free(lines[i].text);
    }
}

static void add_group(FILE *to, shmq_t *g, const struct shmq_group_stats *s, int64_t created_ns,
                      uint64_t *known)
{
    struct shmq_policy policy;

    fprintf(to, "group '%s'%s\n", s->name, s->paused ? " paused" : "");
    assert_int_equal(shmq_policy_of(g, &policy), 0);
    add_policy(to, &policy);
    fprintf(to, "  acked %llu\n", (unsigned long long)s->acked_count);
    add_messages(to, g, created_ns, known);
}

static int by_name(const void *a, const void *b)
{
    const struct shmq_group_stats *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* To be freed. */
static char *describe(shmq_t *q, int64_t created_ns)
{
    struct shmq_group_stats list[GROUPS];
    struct shmq_stats stats = helper_stats(q);
    int count = shmq_groups(q, list, GROUPS);
    uint64_t known = 0;
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    add_attr(to, q);
    fprintf(to, "  put %llu\n", (unsigned long long)stats.put_count);
    assert_in_range(count, 1, GROUPS);
    qsort(list, (size_t)count, sizeof(list[0]), by_name);
    for (int i = 0; i < count; i++) {
        shmq_t *g = q;
        if (list[i].name[0] != '\0')
            assert_int_equal(shmq_subscribe(q, list[i].name, NULL, &g), 0);
        add_group(to, g, &list[i], created_ns, &known);
        if (g != q)
            shmq_close(g);
    }
    fclose(to);
    return text;
}

/* --- what is expected ------------------------------------------------------------- */

static const char *const expected[SAMPLES] = {
    [SAMPLE_SNAPSHOT] =
        "kind 32, order 2, full 0, mode 640\n"
        "  65536 bytes, messages 32 of 5000, groups 4, pending 32, compressed from 0\n"
        "  lease 20, tries 2, retry 1: 7000 ms to 3600 s, times 2.00, jitter 0.00\n"
        "  lag 0, dead letters to '' for 0, if expired 0\n"
        "  put 14\n"
        "group 'all'\n"
        "  lease 20, tries 2, retry 1: 7000 ms to 3600 s, times 2.00, jitter 0.00\n"
        "  lag 0, dead letters to '' for 0, if expired 0\n"
        "  acked 1\n"
        "  2 dead, tries 1, reason 1 'rejected' priority 8\n"
        "  3 dead, tries 2, reason 5 'out of attempts' priority 7\n"
        "  4 delayed, tries 1, due 7258118400 'resting' priority 6\n"
        "  5 waits, tries 1 'leased' priority 5\n"
        "  6 waits, tries 1 'given back' key 'k' priority 4\n"
        "  7 waits 'all that goes along' key 'user.7' type 83 priority -2147483648 correlation "
        "18446744073709551615 lang=\"en\" empty=\"\" x=\"a=b c\"\n"
        "  8 delayed, due 7258118400 'delayed'\n"
        "  9 waits 'short-lived' until 7258118400\n"
        "  10 waits 'after the update' key 'u' priority 3\n"
        "  12 waits '' priority 3\n"
        "  13 waits 'delayed no longer'\n"
        "  14 waits 'expired' expired\n"
        "group 'halted' paused\n"
        "  lease 20, tries 2, retry 1: 7000 ms to 3600 s, times 2.00, jitter 0.00\n"
        "  lag 0, dead letters to '' for 0, if expired 0\n"
        "  acked 0\n"
        "  1 waits 'finished' priority 9\n"
        "  2 waits\n"
        "  3 waits\n"
        "  4 waits\n"
        "  5 waits\n"
        "  6 waits\n"
        "  7 waits\n"
        "  8 delayed, due 7258118400\n"
        "  9 waits\n"
        "  10 waits\n"
        "  12 waits\n"
        "  13 waits\n"
        "  14 waits\n"
        "group 'picky'\n"
        "  lease 77, tries 0, retry 2: 250 ms to 600 s, times 1.50, jitter 0.25\n"
        "  lag 2, dead letters to 'sample.dead' for 86400, if expired 1\n"
        "  acked 0\n"
        "  1 waits\n"
        "  2 waits\n"
        "  3 waits\n"
        "  4 waits\n"
        "  5 waits\n"
        "  6 waits\n"
        "  7 waits\n"
        "  8 delayed, due 7258118400\n"
        "  9 waits\n"
        "  10 waits\n"
        "  12 waits\n"
        "  13 waits\n"
        "  14 waits\n",
    [SAMPLE_JOURNAL] =
        "kind 32, order 0, full 1, mode 600\n"
        "  65536 bytes, messages 0 of 65512, groups 3, pending 16, compressed from 0\n"
        "  lease 30, tries 0, retry 0: 0 ms to 3600 s, times 2.00, jitter 0.00\n"
        "  lag 0, dead letters to '' for 0, if expired 0\n"
        "  put 13\n"
        "group 'one'\n"
        "  lease 11, tries 5, retry 3: 0 ms to 3600 s, times 2.00, jitter 0.00\n"
        "  lag 0, dead letters to '' for 0, if expired 0\n"
        "  acked 1\n"
        "  2 dead, tries 1, reason 200 'base 2' key 'base 2'\n"
        "  3 waits, tries 1 'base 3' key 'base 3'\n"
        "  5 delayed, tries 1, due 7258118400 'base 5' key 'base 5'\n"
        "  6 dead, tries 1, reason 4 'base 6' key 'base 6'\n"
        "  7 waits 'batch 1'\n"
        "  8 waits 'batch\\002'\n"
        "  9 waits 'after the update' key 'u' name=\"value\"\n"
        "  11 delayed, due 7258118400 'delayed' type 1000\n"
        "  12 waits 'short-lived' correlation 5 until 7258118400\n"
        "  13 waits 'expired' expired\n"
        "group 'two' paused\n"
        "  lease 30, tries 0, retry 0: 0 ms to 3600 s, times 2.00, jitter 0.00\n"
        "  lag 0, dead letters to '' for 0, if expired 0\n"
        "  acked 0\n"
        "  1 waits 'base 1' key 'base 1'\n"
        "  2 waits\n"
        "  3 waits\n"
        "  4 waits 'base 4' key 'base 4'\n"
        "  5 waits\n"
        "  6 waits\n"
        "  7 waits\n"
        "  8 waits\n"
        "  9 waits\n"
        "  11 delayed, due 7258118400\n"
        "  12 waits\n"
        "  13 waits\n",
    [SAMPLE_COMPRESSED] =
        "kind 64, order 1, full 0, mode 600\n"
        "  65536 bytes, messages 20 of 65512, groups 1, pending 64, compressed from 100\n"
        "  lease 30, tries 0, retry 0: 0 ms to 3600 s, times 2.00, jitter 0.00\n"
        "  lag 0, dead letters to '' for 0, if expired 0\n"
        "  put 6\n"
        "group ''\n"
        "  lease 30, tries 0, retry 0: 0 ms to 3600 s, times 2.00, jitter 0.00\n"
        "  lag 0, dead letters to '' for 0, if expired 0\n"
        "  acked 1\n"
        "  1 waits 'aaaaaaaaaaaaaaaaaaaaa (600 bytes)' key 'a'\n"
        "  2 waits 'bbbbbbbbbbbbbbbbbbbbb (1200 bytes)' key 'b'\n"
        "  3 delayed, tries 1, due 7258118400 'ccccccccccccccccccccc (1800 bytes)' key 'c'\n"
        "  4 waits, tries 1 'ddddddddddddddddddddd (2400 bytes)' key 'd'\n"
        "  5 dead, tries 1, reason 3 'eeeeeeeeeeeeeeeeeeeee (3000 bytes)' key 'e'\n",
};

/* What shmq_load() returns. */
static int verdict(enum sample which)
{
    const uint32_t one = 1;

    if (*(const unsigned char *)&one != 1)
        return -EPROTO; /* the samples were written on a little-endian machine */
    return which == SAMPLE_COMPRESSED ? sq_compress_supported() : 0;
}

static void is_as_expected(shmq_t *q, enum sample which, int64_t created_ns)
{
    char *text = describe(q, created_ns);
    bool is = strcmp(text, expected[which]) == 0;

    if (!is)
        fprintf(stderr, "%s is:\n%sand not:\n%s", sample_names[which], text, expected[which]);
    free(text);
    assert_true(is);
}

/* The group receives these messages in this order, and no others. */
static void comes(shmq_t *g, const uint64_t *ids, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct shmq_msg msg = helper_receive(g);
        assert_int_equal(msg.id, ids[i]);
        assert_int_equal(shmq_ack(g, &msg), 0);
    }
    assert_true(helper_takes(g, NULL));
}

/* The same for the group of this name, resumed if it is paused.  The caller closes it. */
static shmq_t *group_gets(shmq_t *q, const char *group, const struct shmq_group_attr *attr,
                          const uint64_t *ids, unsigned count)
{
    shmq_t *g;

    assert_int_equal(shmq_subscribe(q, group, attr, &g), 0);
    if (helper_group(g).paused) {
        assert_true(helper_takes(g, NULL));
        assert_int_equal(shmq_resume(g), 0);
    }
    comes(g, ids, count);
    return g;
}

/* All messages but the last differ from the filter in one thing: the group gets only that. */
static void filters(shmq_t *q, shmq_t *picky)
{
    static const struct {
        uint32_t type;
        const char *key;
        struct shmq_header header;
    } sent[] = {{SHMQ_TYPE_OBJECT, "user.8", {"lang", "en"}},
                {SHMQ_TYPE_STRING, "users", {"lang", "en"}},
                {SHMQ_TYPE_STRING, "user.8", {"long", "en"}},
                {SHMQ_TYPE_STRING, "user.8", {"lang", "de"}},
                {SHMQ_TYPE_STRING, "user.8", {"lang", "en"}}};
    struct shmq_msg msg = SHMQ_MSG_INIT;

    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
        msg.type = sent[i].type;
        msg.key = sent[i].key;
        msg.key_length = strlen(sent[i].key);
        msg.headers = &sent[i].header;
        msg.header_count = 1;
        assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    }
    comes(picky, &msg.id, 1);
}

static void use_snapshot(shmq_t *q)
{
    static const uint64_t to_all[] = {5, 6, 10, 12, 9, 13, 7};
    static const uint64_t to_halted[] = {1, 2, 3, 4, 5, 6, 10, 12, 9, 13, 7};
    static const uint64_t of_part[] = {10, 12, 13}, picked[] = {7};
    struct shmq_group_attr attr = {.size = sizeof(attr), .start = SHMQ_AT_PART};
    shmq_t *all = group_gets(q, "all", NULL, to_all, 7);
    struct shmq_group_stats s = helper_group(all);

    assert_int_equal(s.delivered_count, 7 + 7);
    assert_int_equal(s.redelivered_count, 1 + 2);
    assert_int_equal(s.nacked_count, 3);
    assert_int_equal(s.lost_lease_count, 1);
    assert_int_equal(s.expired_count, 1);
    assert_int_equal(s.dead_by_reason[SHMQ_REASON_VALIDATION], 1);
    assert_int_equal(s.dead_by_reason[SHMQ_REASON_ATTEMPTS], 1);
    shmq_t *picky = group_gets(q, "picky", NULL, picked, 1);
    shmq_close(group_gets(q, "halted", NULL, to_halted, 11));
    shmq_close(group_gets(q, "new", &attr, of_part, 3));
    /* The topic still has the messages that all groups have finished. */
    assert_int_equal(shmq_seek(all, SHMQ_EARLIEST, 0), 0);
    comes(all, to_halted, 11);
    filters(q, picky);
    shmq_close(picky);
    shmq_close(all);
}

static void use_journal(shmq_t *q)
{
    static const uint64_t to_one[] = {3, 7, 8, 9, 12}, of_part[] = {12};
    static const uint64_t to_two[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12};
    struct shmq_group_attr attr = {.size = sizeof(attr), .start = SHMQ_AT_PART};

    shmq_close(group_gets(q, "one", NULL, to_one, 5));
    shmq_close(group_gets(q, "two", NULL, to_two, 10));
    shmq_close(group_gets(q, "new", &attr, of_part, 1));
}

static void use_compressed(shmq_t *q)
{
    static const uint64_t order[] = {7, 4, 2, 1};
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.key_length = 1;
    msg.key = "c";
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), -EEXIST);
    assert_int_equal(msg.id, 3);
    msg.key = "e"; /* the message with this key is parked */
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    assert_int_equal(msg.id, 7);
    comes(q, order, 4);
}

static void (*const use[SAMPLES])(shmq_t *q) = {
    [SAMPLE_SNAPSHOT] = use_snapshot,
    [SAMPLE_JOURNAL] = use_journal,
    [SAMPLE_COMPRESSED] = use_compressed,
};

/* --- files ------------------------------------------------------------------------ */

struct bytes {
    unsigned char at[FILE_MAX];
    size_t count;
};

static void read_file(const char *path, struct bytes *b)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, b->at, sizeof(b->at));

    if (n < 0)
        print_error("%s: %s\n", path, strerror(errno));
    assert_in_range(n, CHECK_AT, FILE_MAX - 1);
    b->count = (size_t)n;
    close(fd);
}

/* Queues are made from a copy: a journal is written to. */
static void write_file(const struct bytes *b)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, b->at, b->count), b->count);
    close(fd);
}

static int64_t created_ns(const struct bytes *b)
{
    int64_t ns;

    memcpy(&ns, b->at + CREATED_AT, sizeof(ns));
    return ns;
}

/* Make it a file of another queue, whose name is this test's own. */
static void rename_queue(struct bytes *b, const char *to)
{
    memset(b->at + NAME_AT, 0, NAME_ROOM);
    memcpy(b->at + NAME_AT, to, strlen(to));
    uint32_t check = sq_crc32c(0, b->at, CHECK_AT);
    memcpy(b->at + CHECK_AT, &check, sizeof(check));
}

/* --- tests ---------------------------------------------------------------------------- */

static void finish(shmq_t *q)
{
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(name), 0);
}

static void is_loaded(enum sample which, const struct bytes *b)
{
    write_file(b);
    int rc = shmq_load(name, file);
    if (rc != verdict(which))
        print_error("%s: %s\n", sample_names[which], shmq_last_error_detail());
    assert_int_equal(rc, verdict(which));
    if (rc == 0) {
        shmq_t *q = helper_open(name, 0, NULL);
        is_as_expected(q, which, created_ns(b));
        use[which](q);
        finish(q);
    }
    assert_int_equal(unlink(file), 0);
}

/* The queue is opened with the file, saved to it in today's format, and opened once more. */
static void is_opened(enum sample which, struct bytes *b)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    int64_t made_ns = created_ns(b);

    if (verdict(which) != 0)
        return;
    attr.snapshot = file;
    attr.journal = which == SAMPLE_JOURNAL ? SHMQ_JOURNAL_ALWAYS : SHMQ_JOURNAL_NONE;
    rename_queue(b, name);
    write_file(b);
    for (int i = 0; i < 2; i++) {
        shmq_t *q = helper_open(name, SHMQ_CREATE, &attr);
        is_as_expected(q, which, made_ns);
        assert_int_equal(shmq_save(q, NULL), 0);
        finish(q);
    }
    assert_int_equal(unlink(file), 0);
}

static void of_old(void **state)
{
    static struct bytes b;
    char path[512];

    (void)state;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        for (enum sample which = 0; which < formats[i].samples; which++) {
            snprintf(path, sizeof(path), "%s/format%u/%s", TEST_CORPUS, formats[i].number,
                     sample_names[which]);
            read_file(path, &b);
            is_loaded(which, &b);
            is_opened(which, &b);
        }
}

/* The samples that `make format-samples` would write. */
static void of_today(void **state)
{
    static struct bytes b;

    (void)state;
    for (enum sample which = 0; which < SAMPLES; which++) {
        if (sample_make(which, name, file) == -ENOTSUP)
            continue;
        read_file(file, &b);
        is_loaded(which, &b);
        is_opened(which, &b);
    }
}

/* Today's format has all its samples in the corpus. */
static void all_have_samples(void **state)
{
    const size_t last = sizeof(formats) / sizeof(formats[0]) - 1;

    (void)state;
    assert_int_equal(formats[last].number, SQ_FILE_FORMAT);
    assert_int_equal(formats[last].samples, SAMPLES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FORMAT_TEST(of_old),
        FORMAT_TEST(of_today),
        FORMAT_TEST(all_have_samples),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
