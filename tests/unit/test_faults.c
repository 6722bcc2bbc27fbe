/*
 * test_faults.c - each system call by which a journal is written fails once, or from there on
 * all do: no room, an error of the disk, a short write.  The call says so, and what had been in
 * the file stays; the queue goes on; once the fault is gone all is in the file again.
 */
#include "support/faulty.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/contents.h"

/* --- a queue with a bit of everything ------------------------------------------------- */

struct scene {
    uint32_t journal;
    int flags;
    shmq_t *q, *g; /* the queue, and what reads it */
    struct shmq_msg leased[2];
    uint64_t waiting; /* a message that nobody has come to */
};

/* What a trial is about. */
struct trial {
    const char *name;
    int64_t (*act)(struct scene *s);
    enum {
        UNDONE = 1, /* if it fails, nothing has happened in memory */
        DONE = 2,   /* it has all the same */
        GOT = 4,    /* it does not even say so */
        TOPIC = 8,
        FREE = 16,  /* nothing is leased */
        COLD = 32,  /* by a handle that has not written anything yet */
        OTHER = 64, /* not about messages */
    } traits;
};

static shmq_t *open_scene(const struct scene *s, int flags)
{
    struct shmq_attr attr = helper_attr(1 << 16);

    attr.snapshot = faulty_file;
    attr.journal = s->journal;
    attr.pending_count = 64;
    return helper_open(helper_name("a"), SHMQ_CREATE | flags, &attr);
}

static void send_more(shmq_t *q, const char *text, int64_t delay_ns)
{
    const struct shmq_header header = {"name", "value"};
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.data = text;
    msg.length = strlen(text);
    msg.key = "key";
    msg.key_length = 3;
    msg.headers = &header;
    msg.header_count = 1;
    msg.delay_ns = delay_ns;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
}

static void begin(struct scene *s, const struct trial *t)
{
    s->flags = (t->traits & TOPIC) != 0 ? SHMQ_TOPIC : 0;
    s->q = s->g = open_scene(s, s->flags | SHMQ_EXCL);
    if (s->flags != 0) {
        assert_int_equal(shmq_subscribe(s->q, "one", NULL, &s->g), 0);
        shmq_t *two;
        assert_int_equal(shmq_subscribe(s->q, "two", NULL, &two), 0);
        shmq_close(two);
    }
    helper_send(s->q, "to be parked");
    helper_send(s->q, "leased");
    helper_send(s->q, "leased, too");
    struct shmq_msg msg = helper_receive(s->g);
    assert_int_equal(shmq_reject(s->g, &msg, SHMQ_REASON_VALIDATION, NULL), 0);
    for (int i = 0; i < 2; i++)
        s->leased[i] = helper_receive(s->g);
    for (int i = 0; i < 2 && (t->traits & FREE) != 0; i++)
        assert_int_equal(shmq_ack(s->g, &s->leased[i]), 0);
    send_more(s->q, "delayed", SHMQ_SEC(3600));
    s->waiting = helper_send(s->q, "waiting");
    send_more(s->q, "waiting, too", 0);
    if ((t->traits & COLD) != 0) {
        shmq_t *cold = open_scene(s, 0);
        assert_int_equal(shmq_close(s->q), 0);
        s->q = s->g = cold;
    }
}

static void end(struct scene *s)
{
    if (s->g != s->q)
        assert_int_equal(shmq_close(s->g), 0);
    assert_int_equal(shmq_close(s->q), 0);
    assert_int_equal(shmq_unlink(helper_name("a")), 0);
}

/* --- what is tried ---------------------------------------------------------------------- */

static int64_t put(struct scene *s)
{
    return shmq_put(s->q, "new", 3, SHMQ_NOWAIT);
}

static int64_t put_many(struct scene *s)
{
    const struct shmq_buf bufs[] = {{"one", 3}, {"another", 7}};

    return shmq_put_many(s->q, bufs, 2, SHMQ_NOWAIT);
}

static int64_t send_one(struct scene *s)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.key = "k";
    msg.key_length = 1;
    return shmq_send(s->q, &msg, SHMQ_NOWAIT);
}

static int64_t commit(struct scene *s)
{
    void *data;

    assert_int_equal(shmq_reserve(s->q, 10, &data, SHMQ_NOWAIT), 0);
    memcpy(data, "in place", 8);
    return shmq_commit(s->q, 8);
}

static int64_t get(struct scene *s)
{
    char buffer[64];

    return shmq_get(s->g, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT);
}

static int64_t get_many(struct scene *s)
{
    struct shmq_info infos[2];
    char buffer[128];

    return shmq_get_many(s->g, buffer, sizeof(buffer), infos, 2, 0, SHMQ_NOWAIT);
}

static int64_t ack(struct scene *s)
{
    return shmq_ack(s->g, &s->leased[0]);
}

static int64_t ack_many(struct scene *s)
{
    return shmq_ack_many(s->g, s->leased, 2);
}

static int64_t next(struct scene *s)
{
    return shmq_next(s->g, &s->leased[1], SHMQ_NOWAIT);
}

static int64_t nack(struct scene *s)
{
    return shmq_nack(s->g, &s->leased[0], SHMQ_SEC(3600), 0);
}

static int64_t reject(struct scene *s)
{
    return shmq_reject(s->g, &s->leased[1], 77, NULL);
}

static int64_t redrive(struct scene *s)
{
    return shmq_redrive(s->g, 0);
}

static int64_t purge(struct scene *s)
{
    return shmq_purge(s->g);
}

static int64_t update(struct scene *s)
{
    return shmq_update(s->g, s->waiting, "updated", 7, SHMQ_NOWAIT);
}

static int64_t remove_one(struct scene *s)
{
    return shmq_remove(s->g, s->waiting);
}

static int64_t subscribe(struct scene *s)
{
    shmq_t *g;
    int rc = shmq_subscribe(s->q, "three", NULL, &g);

    shmq_close(g);
    return rc;
}

static int64_t unsubscribe(struct scene *s)
{
    return shmq_unsubscribe(s->q, "two");
}

static int64_t seek(struct scene *s)
{
    return shmq_seek(s->g, SHMQ_LATEST, 0);
}

static int64_t stop(struct scene *s)
{
    return shmq_pause(s->g);
}

static int64_t set_policy(struct scene *s)
{
    struct shmq_policy policy;

    assert_int_equal(shmq_policy_of(s->g, &policy), 0);
    policy.lease_ns = SHMQ_SEC(77);
    return shmq_policy_set(s->g, &policy);
}

static int64_t part(struct scene *s)
{
    return shmq_part_begin(s->q);
}

static int64_t sync_all(struct scene *s)
{
    return shmq_sync(s->q, 0, HELPER_LATE_NS);
}

static int64_t save(struct scene *s)
{
    return shmq_save(s->q, NULL);
}

static const struct trial journal_trials[] = {
    {"put", put, UNDONE},
    {"put, the handle's first", put, UNDONE | FREE | COLD},
    {"put_many", put_many, UNDONE},
    {"send", send_one, UNDONE},
    {"commit", commit, UNDONE},
    {"get", get, GOT},
    {"get_many", get_many, GOT},
    {"ack", ack, DONE},
    {"ack_many", ack_many, DONE},
    {"next", next, DONE},
    {"nack", nack, DONE},
    {"reject", reject, DONE},
    {"redrive", redrive, DONE},
    {"purge", purge, DONE},
    {"update", update, UNDONE},
    {"update, the handle's first", update, UNDONE | FREE | COLD},
    {"remove", remove_one, UNDONE},
    {"subscribe", subscribe, UNDONE | TOPIC},
    {"unsubscribe", unsubscribe, UNDONE | TOPIC},
    {"seek", seek, DONE | TOPIC | FREE},
    {"pause", stop, DONE | OTHER},
    {"policy_set", set_policy, DONE | OTHER},
    {"part_begin", part, DONE | OTHER},
    {"sync", sync_all, UNDONE},
    {"save", save, UNDONE},
    {"save, a topic's", save, UNDONE | TOPIC},
    {"save, the handle's first", save, UNDONE | FREE | COLD},
};
enum { TRIALS = sizeof(journal_trials) / sizeof(journal_trials[0]) };

/* --- trying -------------------------------------------------------------------------------- */

/* What came of it. */
struct outcome {
    char how[32];
    int64_t rc;
    struct disk_calls calls;
    struct shmq_file_stats stats;
    bool healed;          /* a thread of the library has rewritten the file since */
    char *before, *after; /* in memory */
};

static void act(struct scene *s, const struct trial *t, struct outcome *o)
{
    uint64_t generation = helper_file_stats(s->q).generation;

    o->before = contents_of(s->q);
    disk_fail(o->how);
    o->rc = t->act(s);
    o->calls = disk_calls();
    disk_fail("");
    o->stats = helper_file_stats(s->q);
    o->healed = o->stats.generation > generation;
    o->after = contents_of(s->q);
}

/* What it said, what is known of the file and what is in memory after that: as it should be? */
static bool went_well(const struct trial *t, const struct outcome *o, bool always)
{
    bool vital = faulty_is_vital(&o->calls, o->how, always);

    if (o->rc >= 0)
        return (t->traits & GOT) != 0 ? !vital || o->stats.error != 0 || o->healed
                                      : !vital && o->stats.error == 0;
    if (o->calls.failed == 0 || !faulty_may_say(o->rc, o->how) || (t->traits & GOT) != 0)
        return false;
    if (!o->healed && (o->stats.error == 0 || o->stats.failed_ns == 0))
        return false;
    /* It is there, but perhaps not on the disk: there is one error for that. */
    return (t->traits & UNDONE) == 0 || strcmp(o->before, o->after) == 0 || o->rc == -EIO;
}

/* What it said that it did is in the file; else that, or what was. */
static bool is_kept(const struct outcome *o)
{
    bool sure = o->rc >= 0 && o->stats.error == 0;

    return faulty_is_in(faulty_file, o->after, sure ? NULL : o->before);
}

/* What a group has done is written with what it does next. */
static bool goes_on(struct scene *s, const struct trial *t)
{
    char buffer[64];

    helper_send(s->q, "for the group");
    if ((t->traits & (DONE | GOT)) == 0 || (t->traits & OTHER) != 0)
        return true;
    if (shmq_get(s->g, buffer, sizeof(buffer), NULL, HELPER_LATE_NS) < 0)
        return false;
    char *text = contents_of(s->q);
    bool is = faulty_is_in(faulty_file, text, NULL);
    free(text);
    return is;
}

/* Once nothing fails any more a put can be written again, and when the file was rewritten all
 * is in it; after a sync that failed that must come first. */
static bool recovers(struct scene *s, const struct trial *t, bool rewrite)
{
    if (rewrite && !faulty_is_good(shmq_save(s->q, NULL), "then a save"))
        return false;
    int rc = shmq_put(s->q, "more", 4, HELPER_LATE_NS);
    if (rc == -EIO && strstr(shmq_last_error_detail(), "must be rewritten") != NULL) {
        if (!faulty_is_good(shmq_save(s->q, NULL), "then a save"))
            return false;
        rc = shmq_put(s->q, "more", 4, HELPER_LATE_NS);
    }
    if (!faulty_is_good(rc, "then a put") || !goes_on(s, t))
        return false;
    /* But that it was not written is known until the file was rewritten. */
    if (helper_file_stats(s->q).error != 0 && !faulty_is_good(shmq_save(s->q, NULL), "then a save"))
        return false;
    return helper_file_stats(s->q).error == 0 && helper_file_stats(s->q).lag == 0;
}

/* All that is in memory is in the file, and nothing is beside it; and it comes back. */
static void restart(struct scene *s)
{
    char *before = contents_of(s->q);

    assert_true(faulty_is_in(faulty_file, before, NULL));
    assert_int_equal(shmq_save(s->q, NULL), 0); /* which removes what was left beside it */
    assert_int_equal(faulty_count(), 1);
    end(s);
    s->q = s->g = open_scene(s, SHMQ_EXCL);
    char *after = contents_of(s->q);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* One queue, one fault.  False: no call failed, since there are fewer. */
static bool try_once(struct scene *s, const struct trial *t, unsigned n, const char *kind)
{
    bool rewrite = (n + (strstr(kind, "ENOSPC") != NULL)) % 2 == 0; /* the one or the other */
    struct outcome o;

    snprintf(o.how, sizeof(o.how), "%u%s", n, kind);
    begin(s, t);
    act(s, t, &o);
    if (!went_well(t, &o, s->journal == SHMQ_JOURNAL_ALWAYS) || !is_kept(&o) ||
        !recovers(s, t, rewrite)) {
        print_error("%s (journal %u), %s, in %s: %lld\n", t->name, s->journal, o.how, o.calls.first,
                    (long long)o.rc);
        fail();
    }
    restart(s);
    end(s);
    assert_int_equal(unlink(faulty_file), 0);
    free(o.before);
    free(o.after);
    return o.calls.all >= n;
}

static void try_all(uint32_t journal)
{
    struct scene s = {.journal = journal};
    unsigned tries = 0;

    for (unsigned i = 0; i < TRIALS; i++)
        for (unsigned k = 0; k < FAULTY_KINDS; k++) {
            unsigned n = 1;
            while (try_once(&s, &journal_trials[i], n, faulty_kinds[k]) && n < FAULTY_MAX)
                n++;
            /* Where all calls wait for the disk there is nothing to be synced. */
            bool idle = journal == SHMQ_JOURNAL_ALWAYS && journal_trials[i].act == sync_all;
            assert_in_range(n, idle ? 1 : 2, FAULTY_MAX - 1);
            tries += n;
        }
    print_message("             %u queues, each with a fault\n", tries);
}

static void journal_always(void **state)
{
    (void)state;
    try_all(SHMQ_JOURNAL_ALWAYS);
}

static void journal_os(void **state)
{
    (void)state;
    try_all(SHMQ_JOURNAL_OS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(journal_always),
        HELPER_TEST(journal_os),
    };

    return faulty_run(argc, argv, tests);
}
