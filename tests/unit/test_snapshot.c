/*
 * test_snapshot.c - a queue saved to a file, and made of it again.
 */
#include "support/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "group/pending_rebuild.h"
#include "handle/handle.h"

enum { ALL_STATES = SHMQ_WAITING | SHMQ_DELAYED | SHMQ_LEASED | SHMQ_DEAD };

static const char *const file = folder_file, *const name = folder_queue;

/* --- comparing queues --------------------------------------------------------------- */

/* A message as it is told by shmq_inspect(). */
struct seen {
    struct shmq_msg msg;
    char bytes[600];
    ssize_t length;
};

struct contents {
    struct seen *store;
    struct seen **list; /* by id */
    size_t count;
};

static int by_id(const void *a, const void *b)
{
    uint64_t x = (*(struct seen *const *)a)->msg.id, y = (*(struct seen *const *)b)->msg.id;

    return (x > y) - (x < y);
}

static struct contents look(shmq_t *q)
{
    enum { MOST = 4000 };
    struct contents c = {malloc(MOST * sizeof(*c.store)), malloc(MOST * sizeof(*c.list)), 0};
    uint64_t place = 0;

    assert_non_null(c.store);
    assert_non_null(c.list);
    for (;;) {
        struct seen *s = c.list[c.count] = &c.store[c.count];
        s->msg = (struct shmq_msg)SHMQ_MSG_INIT;
        s->length = shmq_inspect(q, ALL_STATES, &place, &s->msg, s->bytes, sizeof(s->bytes));
        if (s->length == -EAGAIN)
            break;
        assert_cmp(s->length, >=, 0);
        assert_cmp(++c.count, <, MOST);
    }
    qsort(c.list, c.count, sizeof(*c.list), by_id);
    return c;
}

static void same_times(int64_t a, int64_t b)
{
    assert_int_equal(a != 0, b != 0);
    assert_cmp(llabs(a - b), <, SHMQ_SEC(60)); /* the tests use hours */
}

/* As `a` was, but that what was leased waits. */
static void same_contents(shmq_t *one, shmq_t *other)
{
    struct contents a = look(one), b = look(other);

    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        const struct shmq_msg *x = &a.list[i]->msg, *y = &b.list[i]->msg;
        assert_int_equal(x->id, y->id);
        assert_int_equal(x->state == SHMQ_LEASED ? SHMQ_WAITING : x->state, y->state);
        assert_int_equal(x->attempts, y->attempts);
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->priority, y->priority);
        assert_int_equal(x->correlation, y->correlation);
        assert_int_equal(x->key_length, y->key_length);
        assert_memory_equal(x->key, y->key, x->key_length);
        assert_int_equal(x->header_bytes, y->header_bytes);
        assert_memory_equal(x->header_block, y->header_block, x->header_bytes);
        assert_int_equal(a.list[i]->length, b.list[i]->length);
        assert_memory_equal(x->data, y->data, x->length);
        if (x->state == SHMQ_DEAD)
            assert_int_equal(x->reason, y->reason);
        same_times(x->ttl_ns, y->ttl_ns);
        if (x->state == SHMQ_DELAYED)
            same_times(x->due_ns, y->due_ns);
        same_times(x->put_ns, y->put_ns);
    }
    free(a.list);
    free(a.store);
    free(b.list);
    free(b.store);
}

static shmq_t *load(const char *as)
{
    assert_int_equal(shmq_load(as, file), 0);
    return helper_open(as, 0, NULL);
}

static void save(shmq_t *q)
{
    assert_int_equal(shmq_save(q, file), 0);
}

static void is_whole(shmq_t *q)
{
    const char *wrong = sq_ring_valid(&q->segment.ring);

    if (wrong == NULL)
        wrong = sq_pending_valid(&q->segment.ring);
    if (wrong != NULL)
        print_error("%s\n", wrong);
    assert_null(wrong);
}

static void finish(shmq_t *q, const char *suffix)
{
    assert_int_equal(shmq_close(q), 0);
    assert_int_equal(shmq_unlink(helper_name(suffix)), 0);
}

/* --- plain ------------------------------------------------------------------------------ */

static void plain_messages(void **state)
{
    shmq_t *q = helper_create(NULL);
    struct shmq_info info;
    char buffer[16];

    (void)state;
    for (int i = 0; i < 10; i++) {
        buffer[0] = (char)('0' + i);
        assert_int_equal(shmq_put(q, buffer, 1, SHMQ_NOWAIT), 0);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(shmq_get(q, buffer, 16, NULL, SHMQ_NOWAIT), 1);
    save(q);
    shmq_t *again = load(helper_name("b"));
    is_whole(again);
    same_contents(q, again);
    for (int i = 4; i < 10; i++) {
        assert_int_equal(shmq_get(again, buffer, 16, &info, SHMQ_NOWAIT), 1);
        assert_int_equal(buffer[0], '0' + i);
        assert_int_equal(info.id, i + 1);
    }
    assert_int_equal(shmq_get(again, buffer, 16, NULL, SHMQ_NOWAIT), -EAGAIN);
    /* Ids go on. */
    assert_int_equal(shmq_put(again, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(again, buffer, 16, &info, SHMQ_NOWAIT), 1);
    assert_int_equal(info.id, 11);
    /* The first one did not notice, and its file can be replaced. */
    assert_int_equal(shmq_depth(q), 6);
    save(q);
    finish(again, "b");
    helper_finish(q);
}

static void an_empty_queue(void **state)
{
    struct shmq_attr attr = helper_attr(8192), loaded = SHMQ_ATTR_INIT;
    struct shmq_info info;
    char buffer[16];
    struct stat st;

    (void)state;
    attr.max_messages = 7;
    attr.full = SHMQ_FULL_FAIL;
    attr.mode = 0640;
    attr.policy.max_attempts = 9;
    shmq_t *q = helper_create(&attr);
    assert_int_equal(shmq_put(q, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(q, buffer, 16, NULL, SHMQ_NOWAIT), 1);
    save(q);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    shmq_t *again = load(helper_name("b"));
    assert_int_equal(shmq_attr_of(again, &loaded), 0);
    assert_int_equal(loaded.max_messages, 7);
    assert_int_equal(loaded.full, SHMQ_FULL_FAIL);
    assert_int_equal(loaded.mode, 0640);
    assert_int_equal(loaded.policy.max_attempts, 9);
    assert_int_equal(loaded.capacity_bytes, 8192);
    assert_int_equal(shmq_get(again, buffer, 16, &info, SHMQ_NOWAIT), -EAGAIN);
    assert_int_equal(shmq_put(again, "x", 1, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_get(again, buffer, 16, &info, SHMQ_NOWAIT), 1);
    assert_int_equal(info.id, 2);
    assert_int_equal(shmq_load(helper_name("b"), file), -EEXIST);
    finish(again, "b");
    helper_finish(q);
}

/* --- everything ---------------------------------------------------------------------------- */

static void send_any(shmq_t *q, struct helper_random *random, unsigned i)
{
    struct shmq_header headers[2] = {{"colour", "blue"}, {"n", ""}};
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char text[300], key[32];

    memset(text, 'a' + (int)(i % 26), sizeof(text));
    msg.data = text;
    msg.length = helper_random(random) % sizeof(text);
    msg.type = helper_random(random) % 3 == 0 ? 'O' : 0;
    msg.priority = (int32_t)(helper_random(random) % 5) - 2;
    msg.key_length = (size_t)snprintf(key, sizeof(key), "key-%u", i);
    msg.key = key;
    if (helper_random(random) % 2 == 0) {
        msg.headers = headers;
        msg.header_count = 2;
    }
    if (helper_random(random) % 4 == 0)
        msg.delay_ns = SHMQ_SEC(3600);
    if (helper_random(random) % 4 == 0)
        msg.ttl_ns = SHMQ_SEC(7200);
    msg.correlation = helper_random(random) % 3;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
}

static void do_any(shmq_t *q, struct helper_random *random, unsigned i)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    int rc = shmq_receive(q, &msg, SHMQ_NOWAIT);

    if (rc == -EAGAIN)
        return;
    assert_int_equal(rc, 0);
    uint64_t id = msg.id;
    switch (helper_random(random) % 8) {
    case 0:
    case 1:
        assert_int_equal(shmq_ack(q, &msg), 0);
        break;
    case 2:
        assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(3600), 0), 0);
        break;
    case 3:
        assert_int_equal(shmq_nack(q, &msg, 0, SHMQ_TO_BACK), 0);
        break;
    case 4:
        assert_int_equal(shmq_reject(q, &msg, SHMQ_REASON_VALIDATION, "no"), 0);
        break;
    case 5:
        assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(3600), 0), 0);
        assert_int_equal(shmq_update(q, id, "changed", 7, SHMQ_NOWAIT), 0);
        break;
    case 6:
        assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(3600), 0), 0);
        assert_int_equal(shmq_remove(q, id), 0);
        break;
    default:
        break; /* stays leased */
    }
    /* Of those that no consumer has come to. */
    if (i % 16 == 7)
        shmq_remove(q, sq_load(&q->segment.ring.producer->next_id) - 1);
    if (i % 16 == 3)
        shmq_update(q, sq_load(&q->segment.ring.producer->next_id) - 1, "new", 3, SHMQ_NOWAIT);
}

/* Both hand out the same from now on. */
static void same_order(shmq_t *one, shmq_t *other)
{
    struct shmq_msg a = SHMQ_MSG_INIT, b = SHMQ_MSG_INIT;
    int rc;

    while ((rc = shmq_next(one, &a, SHMQ_NOWAIT)) == 0) {
        assert_int_equal(shmq_next(other, &b, SHMQ_NOWAIT), 0);
        assert_int_equal(a.id, b.id);
        assert_int_equal(a.attempts, b.attempts);
        assert_int_equal(a.length, b.length);
        assert_memory_equal(a.data, b.data, a.length);
    }
    assert_int_equal(rc, -EAGAIN);
    assert_int_equal(shmq_next(other, &b, SHMQ_NOWAIT), -EAGAIN);
}

static void any_queue(uint32_t order, int flags)
{
    struct helper_random random = helper_seed();
    struct shmq_attr attr = helper_attr(1 << 20);

    attr.order = order;
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_EXCL | flags, &attr);
    for (unsigned i = 0; i < 600; i++) {
        send_any(q, &random, i);
        if (helper_random(&random) % 2 == 0)
            do_any(q, &random, i);
    }
    save(q);
    shmq_t *again = load(helper_name("b"));
    is_whole(q);
    is_whole(again);
    same_contents(q, again);
    struct shmq_group_stats a = helper_group(q), b = helper_group(again);
    assert_int_equal(a.backlog, b.backlog);
    assert_int_equal(a.waiting + a.leased, b.waiting);
    assert_int_equal(a.delayed, b.delayed);
    assert_int_equal(a.dead, b.dead);
    assert_int_equal(a.acked_count, b.acked_count);
    /* What was leased waits here as well once its owner has left, in its own place. */
    assert_int_equal(shmq_close(q), 0);
    q = helper_open(helper_name("a"), 0, NULL);
    same_order(q, again);
    /* And of what was made of a file another can be made. */
    assert_int_equal(unlink(file), 0);
    save(again);
    shmq_t *third = load(helper_name("c"));
    is_whole(third);
    same_contents(again, third);
    finish(third, "c");
    finish(again, "b");
    helper_finish(q);
}

static void fifo(void **state)
{
    (void)state;
    any_queue(SHMQ_FIFO, 0);
}

static void lifo(void **state)
{
    (void)state;
    any_queue(SHMQ_LIFO, 0);
}

static void by_priority(void **state)
{
    (void)state;
    any_queue(SHMQ_PRIORITY, 0);
}

static void unique(void **state)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    any_queue(SHMQ_FIFO, SHMQ_UNIQUE);
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_UNIQUE, NULL);
    msg.key = "k";
    msg.key_length = 1;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    unlink(file);
    save(q);
    shmq_t *again = load(helper_name("d"));
    assert_int_equal(shmq_send(again, &msg, SHMQ_NOWAIT), -EEXIST);
    assert_int_equal(msg.id, 1);
    finish(again, "d");
    helper_finish(q);
}

/* --- what becomes of leases ---------------------------------------------------------------- */

static void a_lease_too_many(void **state)
{
    struct shmq_attr attr = helper_attr(8192);
    struct shmq_msg msg;

    (void)state;
    attr.policy.max_attempts = 2;
    shmq_t *q = helper_create(&attr);
    helper_send(q, "poison");
    helper_send(q, "twice");
    helper_send(q, "once");
    msg = helper_receive(q);
    assert_int_equal(shmq_nack(q, &msg, 0, 0), 0);
    msg = helper_receive(q); /* its last try */
    assert_int_equal(msg.attempts, 2);
    helper_receive(q); /* has one more */
    save(q);
    shmq_t *again = load(helper_name("b"));
    assert_true(helper_takes(again, "twice"));
    assert_true(helper_takes(again, "once"));
    assert_true(helper_takes(again, NULL));
    struct shmq_group_stats st = helper_group(again);
    assert_int_equal(st.dead, 1);
    assert_int_equal(st.dead_by_reason[SHMQ_REASON_ATTEMPTS], 1);
    finish(again, "b");
    helper_finish(q);
}

/* shmq_join() waits for what was not finished when it was saved. */
static void unfinished(void **state)
{
    struct shmq_msg msg;

    (void)state;
    shmq_t *q = helper_create(NULL);
    helper_send(q, "x");
    msg = helper_receive(q);
    save(q);
    assert_int_equal(shmq_ack(q, &msg), 0);
    shmq_t *again = load(helper_name("b"));
    assert_int_equal(shmq_join(q, SHMQ_NOWAIT), 0);
    assert_int_equal(shmq_join(again, SHMQ_NOWAIT), -ETIMEDOUT);
    msg = helper_receive(again);
    assert_int_equal(msg.attempts, 2);
    assert_int_equal(shmq_ack(again, &msg), 0);
    assert_int_equal(shmq_join(again, SHMQ_NOWAIT), 0);
    finish(again, "b");
    helper_finish(q);
}

static void what_fell_due_meanwhile(void **state)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    (void)state;
    shmq_t *q = helper_create(NULL);
    msg.delay_ns = SHMQ_MS(20);
    msg.data = "late";
    msg.length = 4;
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    msg.delay_ns = 0;
    msg.ttl_ns = SHMQ_MS(20);
    msg.data = "dead";
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
    save(q);
    helper_pass(SHMQ_MS(50));
    shmq_t *again = load(helper_name("b"));
    assert_true(helper_takes(again, "late"));
    assert_true(helper_takes(again, NULL));
    assert_int_equal(helper_group(again).expired_count, 1);
    finish(again, "b");
    helper_finish(q);
}

/* --- topics -------------------------------------------------------------------------------- */

static shmq_t *join(shmq_t *topic, const char *group, uint32_t start, const char *key)
{
    struct shmq_group_attr attr = SHMQ_GROUP_INIT;
    shmq_t *g;

    attr.start = start;
    attr.filter_key = key;
    assert_int_equal(shmq_subscribe(topic, group, &attr, &g), 0);
    return g;
}

static void send_key(shmq_t *q, const char *key, const char *text)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;

    msg.key = key;
    msg.key_length = strlen(key);
    msg.data = text;
    msg.length = strlen(text);
    assert_int_equal(shmq_send(q, &msg, SHMQ_NOWAIT), 0);
}

static void a_topic(void **state)
{
    struct shmq_group_stats list[8];

    (void)state;
    shmq_t *q = helper_open(helper_name("a"), SHMQ_CREATE | SHMQ_TOPIC, NULL);
    send_key(q, "old", "0"); /* history: nobody's yet */
    shmq_t *slow = join(q, "slow", SHMQ_LATEST, NULL), *fast = join(q, "fast", SHMQ_LATEST, NULL);
    shmq_t *some = join(q, "some", SHMQ_LATEST, "b*");
    send_key(q, "a1", "1");
    send_key(q, "b2", "2");
    assert_int_equal(shmq_part_begin(q), 0);
    send_key(q, "b3", "3");
    send_key(q, "a4", "4");
    for (const char *text = "123"; *text != 0; text++) {
        char one[2] = {*text, 0};
        assert_true(helper_takes(fast, one));
    }
    struct shmq_msg held = helper_receive(slow);
    assert_int_equal(shmq_nack(slow, &held, SHMQ_SEC(3600), 0), 0);
    assert_true(helper_takes(slow, "2"));
    assert_int_equal(shmq_pause(some), 0);
    save(q);

    shmq_t *again = load(helper_name("b"));
    assert_int_equal(shmq_groups(again, list, 8), 3);
    shmq_t *g = join(again, "fast", SHMQ_LATEST, NULL);
    assert_true(helper_takes(g, "4"));
    assert_true(helper_takes(g, NULL));
    assert_int_equal(shmq_close(g), 0);
    g = join(again, "slow", SHMQ_LATEST, NULL);
    assert_int_equal(helper_group(g).delayed, 1);
    assert_true(helper_takes(g, "3"));
    is_whole(g);
    assert_int_equal(shmq_close(g), 0);
    g = join(again, "some", SHMQ_LATEST, NULL);
    assert_true(helper_takes(g, NULL));
    assert_int_equal(helper_group(g).paused, 1);
    assert_int_equal(shmq_resume(g), 0);
    assert_true(helper_takes(g, "2"));
    assert_true(helper_takes(g, "3"));
    assert_true(helper_takes(g, NULL));
    assert_int_equal(shmq_close(g), 0);
    /* History and parts are there for new groups. */
    g = join(again, "new", SHMQ_EARLIEST, NULL);
    assert_true(helper_takes(g, "0"));
    assert_int_equal(shmq_close(g), 0);
    g = join(again, "part", SHMQ_AT_PART, NULL);
    assert_true(helper_takes(g, "3"));
    assert_int_equal(shmq_close(g), 0);

    shmq_close(slow);
    shmq_close(fast);
    shmq_close(some);
    finish(again, "b");
    helper_finish(q);
}

/* --- trouble --------------------------------------------------------------------------------- */

static void write_file(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_cmp(fd, >=, 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void not_written_over(void **state)
{
    char other[128];

    (void)state;
    shmq_t *q = helper_create(NULL);
    write_file(file, "a letter", 8);
    assert_int_equal(shmq_save(q, file), -EPROTO);
    assert_int_equal(shmq_load(helper_name("b"), file), -EPROTO);
    unlink(file);
    assert_int_equal(symlink("/dev/null", file), 0);
    assert_int_equal(shmq_save(q, file), -EPROTO);
    assert_int_equal(shmq_load(helper_name("b"), file), -EPROTO);
    assert_true(helper_detail_names(file, "symbolic link"));
    unlink(file);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_int_equal(shmq_save(q, file), -EPROTO);
    assert_int_equal(shmq_load(helper_name("b"), file), -EPROTO);
    rmdir(file);
    /* Another queue's. */
    save(q);
    shmq_t *second = helper_open(helper_name("c"), SHMQ_CREATE, NULL);
    assert_int_equal(shmq_save(second, file), -EBUSY);
    assert_true(helper_detail_names("file of queue", helper_name("a")));
    finish(second, "c");
    snprintf(other, sizeof(other), "%s/nowhere/x", folder_path);
    assert_int_equal(shmq_save(q, other), -ENOENT);
    assert_int_equal(shmq_load(NULL, other), -ENOENT);
    assert_int_equal(shmq_save(q, ""), -EINVAL);
    assert_int_equal(shmq_save(q, NULL), -EINVAL);
    shmq_t *reader = helper_open(helper_name("a"), SHMQ_RDONLY, NULL);
    assert_int_equal(shmq_save(reader, file), -EACCES);
    shmq_close(reader);
    helper_finish(q);
}

/* The file may grow to half of what it needs: the old one stays, and is what it was. */
static int saves_too_much(void *arg)
{
    struct rlimit limit = {8192, 8192};

    (void)arg;
    signal(SIGXFSZ, SIG_IGN);
    shmq_t *q = helper_open(name, 0, NULL);
    setrlimit(RLIMIT_FSIZE, &limit);
    int rc = shmq_save(q, file);
    shmq_close(q);
    return rc == -EFBIG ? 0 : 1;
}

static void no_room_for_it(void **state)
{
    static char large[20000];

    (void)state;
    shmq_t *q = helper_create(NULL);
    helper_send(q, "old");
    save(q);
    assert_int_equal(shmq_put(q, large, sizeof(large), SHMQ_NOWAIT), 0);
    assert_int_equal(helper_wait(helper_fork(saves_too_much, NULL)), 0);
    shmq_t *again = load(helper_name("b"));
    assert_true(helper_takes(again, "old"));
    assert_true(helper_takes(again, NULL));
    finish(again, "b");
    /* And the queue goes on, with all its room. */
    assert_int_equal(sq_load(&q->segment.file->pin_pos), UINT64_MAX);
    save(q);
    helper_finish(q);
}

/* --- beside others ------------------------------------------------------------------------------
 */

static int dies_while_saving(void *arg)
{
    shmq_t *q = helper_open(name, 0, NULL);
    struct sq_file_shm *c = q->segment.file;

    (void)arg;
    /* As a saver that is killed when it has pinned the ring. */
    sq_store(&c->pin_pos, sq_load(&q->segment.ring.group->cursor_pos));
    sq_store(&c->saver.owner, q->attachment.owner);
    raise(SIGKILL);
    return 0;
}

static void a_dead_saver(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    static char half[1500];
    char buffer[1500];

    (void)state;
    shmq_t *q = helper_create(&attr);
    for (int i = 0; i < 2; i++)
        assert_int_equal(shmq_put(q, half, sizeof(half), SHMQ_NOWAIT), 0);
    assert_int_equal(helper_wait(helper_fork(dies_while_saving, NULL)), 1000 + SIGKILL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT), 1500);
    /* No room, but nobody who needs it. */
    assert_int_equal(shmq_put(q, half, sizeof(half), HELPER_LATE_NS), 0);
    assert_int_equal(sq_load(&q->segment.file->pin_pos), UINT64_MAX);
    assert_int_equal(helper_wait(helper_fork(dies_while_saving, NULL)), 1000 + SIGKILL);
    save(q);
    assert_int_equal(sq_load(&q->segment.file->pin_pos), UINT64_MAX);
    helper_finish(q);
}

/* A full ring waits for a saver that lives. */
static void a_pinned_ring(void **state)
{
    struct shmq_attr attr = helper_attr(4096);
    static char half[1500];
    char buffer[1500];

    (void)state;
    shmq_t *q = helper_create(&attr);
    struct sq_file_shm *c = q->segment.file;
    for (int i = 0; i < 2; i++)
        assert_int_equal(shmq_put(q, half, sizeof(half), SHMQ_NOWAIT), 0);
    sq_store(&c->pin_pos, 0);
    sq_store(&c->saver.owner, q->attachment.owner);
    assert_int_equal(shmq_get(q, buffer, sizeof(buffer), NULL, SHMQ_NOWAIT), 1500);
    assert_int_equal(shmq_put(q, half, sizeof(half), SHMQ_NOWAIT), -EAGAIN);
    sq_store(&c->pin_pos, 1528); /* it has written the first */
    assert_int_equal(shmq_put(q, half, sizeof(half), SHMQ_NOWAIT), 0);
    sq_store(&c->pin_pos, UINT64_MAX);
    sq_store(&c->saver.owner, 0);
    helper_finish(q);
}

struct traffic {
    _Atomic uint64_t put, got; /* ids: the last that a put, a get returned */
    /* The producer ends first: without a consumer it would wait for room in vain. */
    _Atomic bool producer_ends, consumer_ends;
};

static int puts_on(void *arg)
{
    struct traffic *t = arg;
    shmq_t *q = helper_open(name, 0, NULL);
    struct shmq_msg msg = SHMQ_MSG_INIT;
    char text[200] = {0};

    while (!atomic_load(&t->producer_ends)) {
        uint64_t next = atomic_load(&t->put) + 1;
        memcpy(text, &next, sizeof(next));
        msg.data = text;
        msg.length = 8 + next % 190;
        if (shmq_send(q, &msg, HELPER_LATE_NS) != 0 || msg.id != next)
            return 1;
        atomic_store(&t->put, next);
    }
    return shmq_close(q);
}

static int gets_on(void *arg)
{
    struct traffic *t = arg;
    shmq_t *q = helper_open(name, 0, NULL);
    struct shmq_msg msg = SHMQ_MSG_INIT;

    while (!atomic_load(&t->consumer_ends)) {
        int rc = shmq_receive(q, &msg, SHMQ_MS(10));
        if (rc == -ETIMEDOUT)
            continue;
        /* Some stay behind, and are in the way; not so many that they fill the ring. */
        if (rc == 0 && msg.id % 50 == 0 && msg.id < 5000)
            rc = shmq_nack(q, &msg, SHMQ_SEC(3600), 0);
        else if (rc == 0)
            rc = shmq_ack(q, &msg);
        if (rc != 0)
            return 1;
        if (msg.id > atomic_load(&t->got))
            atomic_store(&t->got, msg.id);
    }
    return shmq_close(q);
}

/* What was saved while others put and got: from some message between what they had got
 * before and after, in order, up to at least what they had put before. */
static void check_saved(uint64_t got_before, uint64_t put_before, uint64_t got_after)
{
    shmq_t *again = load(helper_name("b"));
    struct contents c = look(again);
    uint64_t first = 0, last = 0;

    is_whole(again);
    for (size_t i = 0; i < c.count; i++) {
        const struct shmq_msg *m = &c.list[i]->msg;
        uint64_t number;
        memcpy(&number, m->data, sizeof(number));
        assert_int_equal(number, m->id);
        assert_int_equal(m->length, 8 + number % 190);
        if (m->state == SHMQ_DELAYED)
            continue;
        if (last != 0 && m->id % 50 != 0 && last % 50 != 0)
            assert_int_equal(m->id, last + 1);
        first = first == 0 ? m->id : first;
        last = m->id;
    }
    if (first != 0)
        assert_in_range(first, got_before, got_after + 2);
    if (last != 0 && put_before > got_after + 1)
        assert_cmp(last, >=, put_before);
    free(c.list);
    free(c.store);
    finish(again, "b");
}

static void in_a_storm(void **state)
{
    struct shmq_attr attr = helper_attr(64 << 10);
    struct traffic *t = helper_shared(sizeof(*t));

    (void)state;
    attr.pending_count = 8192;
    shmq_t *q = helper_create(&attr);
    pid_t producer = helper_fork(puts_on, t), consumer = helper_fork(gets_on, t);
    for (int i = 0; i < 30; i++) {
        uint64_t got = atomic_load(&t->got), put = atomic_load(&t->put);
        save(q);
        check_saved(got, put, atomic_load(&t->got));
    }
    atomic_store(&t->producer_ends, true);
    assert_int_equal(helper_wait(producer), 0);
    atomic_store(&t->consumer_ends, true);
    assert_int_equal(helper_wait(consumer), 0);
    assert_cmp(atomic_load(&t->put), >, 100);
    munmap(t, sizeof(*t));
    helper_finish(q);
}

/* Two at once: one after the other. */
static int saves_often(void *arg)
{
    shmq_t *q = helper_open(name, 0, NULL);
    int rc = 0;

    (void)arg;
    for (int i = 0; rc == 0 && i < 20; i++)
        rc = shmq_save(q, file);
    shmq_close(q);
    return rc == 0 ? 0 : 1;
}

static void two_savers(void **state)
{
    (void)state;
    shmq_t *q = helper_create(NULL);
    helper_send(q, "x");
    pid_t one = helper_fork(saves_often, NULL), other = helper_fork(saves_often, NULL);
    assert_int_equal(helper_wait(one), 0);
    assert_int_equal(helper_wait(other), 0);
    shmq_t *again = load(helper_name("b"));
    assert_true(helper_takes(again, "x"));
    finish(again, "b");
    helper_finish(q);
}

static void beside_sole_ones(void **state)
{
    struct shmq_msg msg;
    shmq_t *p, *c;

    (void)state;
    shmq_t *q = helper_create(NULL);
    assert_int_equal(shmq_open(&p, helper_name("a"), SHMQ_SOLE_PRODUCER, NULL), 0);
    assert_int_equal(shmq_open(&c, helper_name("a"), SHMQ_SOLE_CONSUMER, NULL), 0);
    for (const char *text = "1234"; *text != 0; text++)
        assert_int_equal(shmq_put(p, text, 1, SHMQ_NOWAIT), 0);
    assert_true(helper_takes(c, "1"));
    save(q);
    msg = helper_receive(c);
    assert_int_equal(shmq_save(q, file), -EBUSY);
    save(c); /* itself can */
    shmq_t *again = load(helper_name("b"));
    assert_true(helper_takes(again, "2"));
    assert_true(helper_takes(again, "3"));
    finish(again, "b");
    assert_int_equal(shmq_ack(c, &msg), 0);
    save(q);
    again = load(helper_name("b"));
    assert_true(helper_takes(again, "3"));
    assert_true(helper_takes(again, "4"));
    assert_true(helper_takes(again, NULL));
    finish(again, "b");
    shmq_close(p);
    shmq_close(c);
    helper_finish(q);
}

/* --- damaged files
 * -------------------------------------------------------------------------------- */

static void *read_whole(size_t *size)
{
    struct stat st;
    int fd = open(file, O_RDONLY);

    assert_int_equal(fstat(fd, &st), 0);
    char *bytes = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
    close(fd);
    *size = (size_t)st.st_size;
    return bytes;
}

/* A file that is not whole makes no queue. */
static void refuse(const char *bytes, size_t size)
{
    write_file(file, bytes, size);
    assert_one_of(shmq_load(helper_name("b"), file), -EBADMSG, -EPROTO);
}

static void cut_and_flipped(void **state)
{
    size_t size;

    (void)state;
    shmq_t *q = helper_create(NULL);
    send_key(q, "k", "one");
    send_key(q, "k", "two");
    struct shmq_msg msg = helper_receive(q);
    assert_int_equal(shmq_nack(q, &msg, SHMQ_SEC(3600), 0), 0);
    save(q);
    char *bytes = read_whole(&size);
    for (size_t n = 0; n < size; n += n < 3900 && n > 700 ? 100 : 1)
        refuse(bytes, n);
    for (size_t i = 0; i < size; i++) {
        /* Between the header's fields and the first frame nothing is looked at. */
        if (i >= sizeof(struct sq_header_shm) && i < 4096)
            continue;
        bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
        if (i < 4096 && i >= 700)
            continue;
        refuse(bytes, size);
        bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
    }
    free(bytes);
    helper_finish(q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(plain_messages),
        FOLDER_TEST(an_empty_queue),
        FOLDER_TEST(fifo),
        FOLDER_TEST(lifo),
        FOLDER_TEST(by_priority),
        FOLDER_TEST(unique),
        FOLDER_TEST(a_lease_too_many),
        FOLDER_TEST(unfinished),
        FOLDER_TEST(what_fell_due_meanwhile),
        FOLDER_TEST(a_topic),
        FOLDER_TEST(not_written_over),
        FOLDER_TEST(no_room_for_it),
        FOLDER_TEST(a_dead_saver),
        FOLDER_TEST(a_pinned_ring),
        FOLDER_TEST(in_a_storm),
        FOLDER_TEST(two_savers),
        FOLDER_TEST(beside_sole_ones),
        FOLDER_TEST(cut_and_flipped),
    };

    return helper_run(argc, argv, tests);
}
