/*
 * crash_scene.c - the queue around a victim, and what is known to be in it.
 */
#include "crash/crash.h"
#include "crash/crash_main.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

bool crash_fail(struct crash_scene *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    crash_complain(&s->failures, s->op->name, s->victim.point, s->page->done != 0, format, args);
    va_end(args);
    return false;
}

size_t crash_length(const struct crash_op *op, uint32_t seq)
{
    static const size_t lengths[] = {57, 16, 150, 33};

    return op->seeds == CRASH_FILL ? CRASH_LENGTH : lengths[seq % 4];
}

/* --- what is in the queue ------------------------------------------------- */

void crash_push(struct crash_scene *s, uint32_t source, uint32_t seq)
{
    s->items[s->item_count++] = (struct crash_item){source, seq};
}

void crash_pop(struct crash_scene *s)
{
    s->item_count--;
    s->first_id++;
    memmove(s->items, s->items + 1, s->item_count * sizeof(s->items[0]));
}

bool crash_is_item(struct crash_scene *s, unsigned index, const void *bytes, ssize_t length,
                   const struct shmq_info *info, const char *who)
{
    const struct crash_item *item = &s->items[index];
    struct message_head head;

    if (index >= s->item_count)
        return crash_fail(s, "%s: a message too many (%zd)", who, length);
    if (length < 0)
        return crash_fail(s, "%s: %s (%s)", who, shmq_strerror((int)length),
                          shmq_last_error_detail());
    if (!message_whole(bytes, length, &head))
        return crash_fail(s, "%s: a torn message of %zd bytes", who, length);
    if (head.source != item->source || head.seq != item->seq)
        return crash_fail(s, "%s: message %u of %u where %u of %u was due", who, head.seq,
                          head.source, item->seq, item->source);
    if (info->id != s->first_id + index || info->length != (size_t)length)
        return crash_fail(s, "%s: id %llu, due %llu", who, (unsigned long long)info->id,
                          (unsigned long long)(s->first_id + index));
    return true;
}

bool crash_give(struct crash_scene *s, shmq_t *q, uint32_t source, uint32_t seq)
{
    unsigned char bytes[CRASH_CAPACITY];
    size_t length = crash_length(s->op, seq);

    message_build(bytes, source, seq, length);
    int rc = shmq_put(q, bytes, length, HELPER_LATE_NS);
    if (rc != 0)
        return crash_fail(s, "a survivor's put: %s (%s)", shmq_strerror(rc),
                          shmq_last_error_detail());
    crash_push(s, source, seq);
    return true;
}

bool crash_take(struct crash_scene *s, shmq_t *q)
{
    unsigned char bytes[CRASH_CAPACITY];
    struct shmq_info info;
    ssize_t rc = shmq_get(q, bytes, sizeof(bytes), &info, HELPER_LATE_NS);

    if (!crash_is_item(s, 0, bytes, rc, &info, "a survivor's get"))
        return false;
    crash_pop(s);
    return true;
}

/* --- others in the scene --------------------------------------------------- */

/* Die in the middle of the role's work: the truth is stored, the rest is not. */
static int die_inside(void *arg)
{
    struct crash_scene *s = arg;
    enum sq_role role = s->op->corpse == SQ_ROLE_PRODUCER ? SQ_ROLE_PRODUCER : SQ_ROLE_CONSUMER;
    struct sq_deadline deadline = sq_deadline_in(HELPER_LATE_NS);
    size_t length = crash_length(s->op, 0);
    shmq_t *q;

    if (shmq_open(&q, s->name, s->op->flags, NULL) != 0 || sq_enter(q, role, &deadline) != 0)
        return 1;
    const struct sq_ring *ring = &q->segment.ring;
    if (role == SQ_ROLE_PRODUCER) {
        uint64_t tail = sq_load(&ring->producer->tail_pos);
        uint64_t id = sq_load(&ring->producer->next_id);
        void *payload = sq_ring_write_header(ring, tail, id, (uint32_t)length, 0, 1);
        message_build(payload, FROM_CORPSE, 0, length);
        sq_store(&ring->producer->tail_pos, tail + sq_record_bytes(length));
    } else {
        sq_store(&ring->group->finished_id, sq_load(&ring->group->finished_id) + 1);
    }
    return raise(SIGKILL);
}

static int sleep_in_get(void *arg)
{
    struct crash_scene *s = arg;
    struct crash_page *page = s->page;
    shmq_t *q;

    if (shmq_open(&q, s->name, 0, NULL) != 0)
        return 1;
    page->sleeper_rc = shmq_get(q, page->sleeper_got, sizeof(page->sleeper_got),
                                &page->sleeper_info, SHMQ_FOREVER);
    page->sleeper_done = 1;
    return 0;
}

static int sleep_in_put(void *arg)
{
    struct crash_scene *s = arg;
    unsigned char bytes[CRASH_LENGTH];
    shmq_t *q;

    if (shmq_open(&q, s->name, 0, NULL) != 0)
        return 1;
    message_build(bytes, FROM_SLEEPER, 0, sizeof(bytes));
    s->page->sleeper_rc = shmq_put(q, bytes, sizeof(bytes), SHMQ_FOREVER);
    s->page->sleeper_done = 1;
    return 0;
}

static bool start_sleeper(struct crash_scene *s)
{
    bool gets = s->op->sleeper == SQ_ROLE_CONSUMER;

    s->sleeper = helper_fork(gets ? sleep_in_get : sleep_in_put, s);
    if (!helper_await(gets ? helper_consumer_sleeps : helper_producer_sleeps, s->survivor))
        return crash_fail(s, "the sleeper does not fall asleep");
    return true;
}

/* --- the victim --------------------------------------------------------------- */

static bool prepare(void *arg)
{
    struct crash_scene *s = arg;
    struct sq_deadline deadline = sq_deadline_in(HELPER_LATE_NS);
    const struct crash_op *op = s->op;

    if (op->ready == CRASH_NO_HANDLE)
        return true;
    if (shmq_open(&s->handle, s->name, op->flags, NULL) != 0)
        return false;
    for (int role = 0; role < 2; role++)
        if ((op->ready >> role & 1) != 0 &&
            sq_make_ready(s->handle, (enum sq_role)role, &deadline) != 0)
            return false;
    return true;
}

static void act(void *arg)
{
    struct crash_scene *s = arg;

    s->op->act(s);
}

/* What the victim waits for. */
static bool release(void *arg)
{
    struct crash_scene *s = arg;

    return s->op->waits == SQ_ROLE_CONSUMER ? crash_give(s, s->survivor, FROM_WAKER, 0)
                                            : crash_take(s, s->survivor);
}

static void describe_victim(struct crash_scene *s)
{
    s->victim.operation = s->op;
    s->victim.arg = s;
    s->victim.prepare = prepare;
    s->victim.act = act;
    s->victim.release = s->op->waits >= 0 ? release : NULL;
    s->victim.done = &s->page->done;
}

/* --- the whole -------------------------------------------------------------- */

static bool fill(struct crash_scene *s)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    shmq_t *q;

    attr.capacity_bytes = CRASH_CAPACITY;
    attr.full = s->op->full;
    int rc = shmq_open(&q, s->name, SHMQ_CREATE | SHMQ_EXCL, &attr);
    if (rc != 0)
        return crash_fail(s, "create: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
    bool good = true;
    for (uint32_t i = 0; good && i < s->op->seeds; i++)
        good = crash_give(s, q, FROM_SEED, i);
    shmq_close(q);
    return good;
}

/* A handle from before the death, ready on the sides the victim leaves to it. */
static bool open_survivor(struct crash_scene *s)
{
    struct sq_deadline deadline = sq_deadline_in(HELPER_LATE_NS);
    int rc = shmq_open(&s->survivor, s->name, 0, NULL);

    if (rc == 0 && (s->op->flags & SHMQ_SOLE_PRODUCER) == 0)
        rc = sq_make_ready(s->survivor, SQ_ROLE_PRODUCER, &deadline);
    if (rc == 0 && (s->op->flags & SHMQ_SOLE_CONSUMER) == 0)
        rc = sq_make_ready(s->survivor, SQ_ROLE_CONSUMER, &deadline);
    return rc == 0 || crash_fail(s, "the survivor cannot attach: %s", shmq_strerror(rc));
}

bool crash_scene_begin(struct crash_scene *s)
{
    const struct crash_op *op = s->op;

    memset(s->page, 0, sizeof(*s->page));
    describe_victim(s);
    s->first_id = 1;
    s->takes = op->takes;
    s->puts = op->puts;
    snprintf(s->name, sizeof(s->name), "%s", helper_name("crash"));
    crash_prepare_messages(op);
    if (op->kind == CRASH_CREATE)
        return true;
    if (!fill(s))
        return false;
    if (op->corpse >= 0) {
        int rc = helper_wait(helper_fork(die_inside, s));
        if (rc != 1000 + SIGKILL)
            return crash_fail(s, "the corpse ended with %d", rc);
        if (op->corpse == SQ_ROLE_PRODUCER)
            crash_push(s, FROM_CORPSE, 0);
    }
    /* After a dead sole owner the victim is to be the first that comes. */
    if (!(op->corpse >= 0 && op->flags != 0) && !open_survivor(s))
        return false;
    if (s->survivor == NULL && shmq_open(&s->survivor, s->name, 0, NULL) != 0)
        return crash_fail(s, "the survivor cannot attach");
    if (op->sleeper >= 0 && !start_sleeper(s))
        return false;
    s->tail_before = sq_load(&s->survivor->segment.ring.producer->tail_pos);
    s->cursor_before = sq_load(&s->survivor->segment.ring.group->cursor_pos);
    return true;
}

void crash_scene_end(struct crash_scene *s)
{
    if (s->sleeper > 0)
        helper_kill(s->sleeper);
    shmq_close(s->fresh);
    shmq_close(s->survivor);
    shmq_unlink(s->name);
}
