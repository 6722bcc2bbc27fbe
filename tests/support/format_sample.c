/*
 * format_sample.c - see format_sample.h.
 */
#include "support/format_sample.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *const sample_names[SAMPLES] = {"snapshot", "journal", "compressed"};

/* --- what must not fail ---------------------------------------------------------- */

static int64_t must(int64_t rc, const char *what)
{
    if (rc >= 0)
        return rc;
    fprintf(stderr, "sample: %s: %s (%s)\n", what, shmq_strerror((int)rc),
            shmq_last_error_detail());
    exit(1);
}

static shmq_t *create(const char *name, int flags, const struct shmq_attr *attr)
{
    shmq_t *q;

    must(shmq_open(&q, name, SHMQ_CREATE | SHMQ_EXCL | flags, attr), name);
    return q;
}

static shmq_t *join(shmq_t *q, const char *name, const struct shmq_group_attr *attr)
{
    shmq_t *g;

    must(shmq_subscribe(q, name, attr, &g), name);
    return g;
}

/* Send a text with whatever is set in `msg`.  Returns its id. */
static uint64_t put(shmq_t *q, struct shmq_msg msg, const char *text)
{
    msg.size = sizeof(msg);
    msg.data = text;
    msg.length = strlen(text);
    msg.key_length = msg.key != NULL ? strlen(msg.key) : 0;
    must(shmq_send(q, &msg, SHMQ_NOWAIT), text);
    return msg.id;
}

static struct shmq_msg take(shmq_t *g)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    must(shmq_receive(g, &msg, SHMQ_NOWAIT), "receive");
    return msg;
}

static void take_and_ack(shmq_t *g)
{
    struct shmq_msg msg = take(g);

    must(shmq_ack(g, &msg), "ack");
}

static void take_and_nack(shmq_t *g, int64_t delay_ns, int flags)
{
    struct shmq_msg msg = take(g);

    must(shmq_nack(g, &msg, delay_ns, flags), "nack");
}

static void take_and_reject(shmq_t *g, uint32_t reason)
{
    struct shmq_msg msg = take(g);

    must(shmq_reject(g, &msg, reason, NULL), "reject");
}

static void update(shmq_t *q, uint64_t id, const char *text)
{
    must(shmq_update(q, id, text, strlen(text), SHMQ_NOWAIT), "update");
}

/* How long it is until the year 2200. */
static int64_t until_later(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return SAMPLE_LATER_NS - ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

/* --- a topic by priority --------------------------------------------------------- */

static shmq_t *join_picky(shmq_t *q)
{
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;

    attr.filter_type = SHMQ_TYPE_STRING;
    attr.filter_key = "user.*";
    attr.filter_header = "lang";
    attr.filter_header_value = "en";
    attr.has_policy = 1;
    attr.policy = (struct shmq_policy){
        .lease_ns = SHMQ_SEC(77),
        .retry = SHMQ_RETRY_EXPONENTIAL,
        .retry_first_ns = SHMQ_MS(250),
        .retry_greatest_ns = SHMQ_SEC(600),
        .retry_factor = 1.5,
        .retry_jitter = 0.25,
        .lag = SHMQ_LAG_DROP,
        .dead_letter_expired = 1,
        .dead_letter_ttl_ns = SHMQ_SEC(86400),
        .dead_letter = "sample.dead",
    };
    return join(q, "picky", &attr);
}

/* The messages that group "all" has received. */
static void put_first(shmq_t *q)
{
    put(q, (struct shmq_msg){.priority = 9}, "finished");               /* 1 */
    put(q, (struct shmq_msg){.priority = 8}, "rejected");               /* 2 */
    put(q, (struct shmq_msg){.priority = 7}, "out of attempts");        /* 3 */
    put(q, (struct shmq_msg){.priority = 6}, "resting");                /* 4 */
    put(q, (struct shmq_msg){.priority = 5}, "leased");                 /* 5 */
    put(q, (struct shmq_msg){.priority = 4, .key = "k"}, "given back"); /* 6 */
}

static void put_rest(shmq_t *q)
{
    const struct shmq_header headers[] = {{"lang", "en"}, {"empty", ""}, {"x", "a=b c"}};
    struct shmq_msg msg = {
        .type = SHMQ_TYPE_STRING,
        .priority = INT32_MIN,
        .key = "user.7",
        .headers = headers,
        .header_count = 3,
        .correlation = UINT64_MAX,
    };

    put(q, msg, "all that goes along"); /* 7 */
    put(q, (struct shmq_msg){.due_ns = SAMPLE_LATER_NS}, "delayed");
    put(q, (struct shmq_msg){.ttl_ns = until_later()}, "short-lived"); /* 9 */
    must(shmq_part_begin(q), "part");
    uint64_t updated = put(q, (struct shmq_msg){.priority = 3, .key = "u"}, "before"); /* 10 */
    uint64_t removed = put(q, (struct shmq_msg){.priority = 3}, "removed");
    update(q, updated, "after the update");
    must(shmq_remove(q, removed), "remove");
    put(q, (struct shmq_msg){.priority = 3}, ""); /* 12 */
    put(q, (struct shmq_msg){.delay_ns = 1}, "delayed no longer");
    put(q, (struct shmq_msg){.ttl_ns = 1}, "expired"); /* 14 */
}

static void make_snapshot(const char *name, const char *path)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    attr.capacity_bytes = 1 << 16; /* on machines with pages of 64 KiB, too */
    attr.max_message_bytes = 5000;
    attr.order = SHMQ_PRIORITY;
    attr.mode = 0640;
    attr.max_groups = 4;
    attr.pending_count = 32;
    attr.policy.lease_ns = SHMQ_SEC(20);
    attr.policy.max_attempts = 2;
    attr.policy.retry = SHMQ_RETRY_LINEAR;
    attr.policy.retry_first_ns = SHMQ_SEC(7);
    shmq_t *q = create(name, SHMQ_TOPIC, &attr), *all = join(q, "all", NULL);
    shmq_t *picky = join_picky(q), *halted = join(q, "halted", NULL);
    put_first(q);
    take_and_ack(all);
    take_and_reject(all, SHMQ_REASON_VALIDATION);
    take_and_nack(all, 0, 0);
    take_and_nack(all, 0, 0); /* its last attempt */
    take_and_nack(all, until_later(), 0);
    take(all);
    take_and_nack(all, 0, 0);
    must(shmq_pause(halted), "pause");
    put_rest(q);
    must(shmq_save(q, path), path);
    shmq_close(halted);
    shmq_close(picky);
    shmq_close(all);
    shmq_close(q);
}

/* --- a topic's journal ------------------------------------------------------------- */

static shmq_t *begin_journal(const char *name, const char *path)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;

    attr.capacity_bytes = 1 << 16;
    attr.full = SHMQ_FULL_FAIL;
    attr.max_groups = 3;
    attr.pending_count = 16;
    attr.snapshot = path;
    attr.journal = SHMQ_JOURNAL_ALWAYS;
    return create(name, SHMQ_TOPIC, &attr);
}

/* What the base of the rewritten journal has: finished, parked, waiting and fresh ones. */
static void fill_base(shmq_t *q, shmq_t *one)
{
    for (int i = 1; i <= 6; i++) {
        char text[] = {'b', 'a', 's', 'e', ' ', (char)('0' + i), '\0'};
        put(q, (struct shmq_msg){.key = text}, text);
    }
    take_and_ack(one);
    take_and_reject(one, 200);
    take_and_nack(one, 0, SHMQ_TO_BACK);
    must(shmq_save(q, NULL), "rewriting");
}

static void set_policy(shmq_t *g)
{
    struct shmq_policy policy;

    must(shmq_policy_of(g, &policy), "policy");
    policy.lease_ns = SHMQ_SEC(11);
    policy.max_attempts = 5;
    policy.retry = SHMQ_RETRY_FIBONACCI;
    must(shmq_policy_set(g, &policy), "policy");
}

/* What is appended to the rewritten journal. */
static void go_on(shmq_t *q, shmq_t *one, shmq_t *two)
{
    const struct shmq_header header = {"name", "value"};
    const struct shmq_buf batch[] = {{"batch 1", 7}, {"batch\0002", 7}};
    char buffer[32];

    set_policy(one);
    must(shmq_pause(two), "pause");
    shmq_close(join(q, "gone", NULL));
    must(shmq_unsubscribe(q, "gone"), "unsubscribe");
    must(shmq_put_many(q, batch, 2, SHMQ_NOWAIT), "a batch"); /* 7, 8 */
    uint64_t updated =
        put(q, (struct shmq_msg){.key = "u", .headers = &header, .header_count = 1}, "before");
    uint64_t removed = put(q, (struct shmq_msg){.key = "r"}, "removed"); /* 10 */
    update(q, updated, "after the update");
    must(shmq_remove(q, removed), "remove");
    must(shmq_part_begin(q), "part");
    put(q, (struct shmq_msg){.due_ns = SAMPLE_LATER_NS, .type = 1000}, "delayed"); /* 11 */
    put(q, (struct shmq_msg){.ttl_ns = until_later(), .correlation = 5}, "short-lived");
    must(shmq_get(one, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT), "get"); /* base 4 */
    take_and_nack(one, until_later(), 0);
    take_and_reject(one, SHMQ_REASON_DEPENDENCY);
    take(one); /* batch 1: a journal does not record leases */
    put(q, (struct shmq_msg){.ttl_ns = 1}, "expired"); /* 13 */
}

static void make_journal(const char *name, const char *path)
{
    struct shmq_file_stats stats = {.size = sizeof(stats)};
    shmq_t *q = begin_journal(name, path), *one = join(q, "one", NULL), *two = join(q, "two", NULL);

    fill_base(q, one);
    go_on(q, one, two);
    must(shmq_file_stats(q, &stats), "stats");
    shmq_close(two);
    shmq_close(one);
    shmq_close(q);
    /* Keep some of the zeros that were written ahead. */
    must(truncate(path, (off_t)(stats.file_bytes / 4096 + 1) * 4096), path);
}

/* --- a unique queue, compressed ------------------------------------------------------ */

static int make_compressed(const char *name, const char *path)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    char text[3001];
    shmq_t *q;

    attr.capacity_bytes = 1 << 16;
    attr.max_messages = 20;
    attr.order = SHMQ_LIFO;
    attr.compress_bytes = 100;
    int rc = shmq_open(&q, name, SHMQ_CREATE | SHMQ_EXCL | SHMQ_UNIQUE, &attr);
    if (rc == -ENOTSUP)
        return rc;
    must(rc, name);
    for (char c = 'a'; c <= 'e'; c++) {
        const char key[] = {c, '\0'};
        memset(text, c, sizeof(text));
        text[(c - 'a' + 1) * 600] = '\0';
        put(q, (struct shmq_msg){.key = key}, text);
    }
    put(q, (struct shmq_msg){.key = "f"}, "too short");
    take_and_ack(q);                         /* f */
    take_and_reject(q, SHMQ_REASON_TIMEOUT); /* e, whose key is free again */
    take(q);                                 /* d */
    take_and_nack(q, until_later(), 0);      /* c */
    must(shmq_save(q, path), path);
    return shmq_close(q);
}

int sample_make(enum sample which, const char *name, const char *path)
{
    struct timespec tick = {0, SHMQ_MS(50)};
    int rc = 0;

    if (which == SAMPLE_SNAPSHOT)
        make_snapshot(name, path);
    else if (which == SAMPLE_JOURNAL)
        make_journal(name, path);
    else
        rc = make_compressed(name, path);
    if (rc == 0)
        must(shmq_unlink(name), name);
    nanosleep(&tick, NULL); /* the coarse clock reaches the times that are to be over */
    return rc;
}
