/*
 * crash_file_scene.c - the file around a victim of `crash_file`, who died before it comes,
 * and who comes beside.
 */
#include "crash/crash_file.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "disk/place.h"
#include "file/file.h"
#include "persist/journal.h"
#include "persist/pin.h"

bool keep_fail(struct keep_scene *k, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return delivery_fail(&k->live, "%s", text);
}

bool keep_has_own(const struct keep_scene *k)
{
    return !k->live.file.other;
}

int keep_save(struct keep_scene *k, shmq_t *q)
{
    return shmq_save(q, keep_has_own(k) ? NULL : k->live.file.path);
}

/* --- folders ---------------------------------------------------------------------- */

static char base[64];

static void remove_folder(void)
{
    char inner[80];

    snprintf(inner, sizeof(inner), "%s/in", base);
    rmdir(inner);
    rmdir(base);
}

/* In memory if there is room for files, too: a kill does not need a disk. */
static bool have_folder(void)
{
    char inner[80];

    if (base[0] != '\0')
        return true;
    strcpy(base, "/dev/shm/t-keep-XXXXXX");
    if (mkdtemp(base) == NULL) {
        strcpy(base, "/tmp/t-keep-XXXXXX");
        if (mkdtemp(base) == NULL)
            return false;
    }
    atexit(remove_folder);
    snprintf(inner, sizeof(inner), "%s/in", base);
    return mkdir(inner, 0700) == 0;
}

/* --- who died before ------------------------------------------------------------------ */

static int die_saving(struct keep_scene *k, shmq_t *q, struct sq_deadline *deadline)
{
    struct sq_file_path path;
    struct sq_file_out out;

    if (sq_make_ready_attached(q, deadline) != 0 || sq_pin_enter(q, deadline) != 0 ||
        sq_file_path(&path, k->live.file.path) != 0 || sq_file_begin(&out, &path) != 0 ||
        sq_file_put(&out, "half a file", 11) != 0 || sq_file_flush(&out) != 0)
        return 2;
    sq_pin_all(q);
    return raise(SIGKILL);
}

/* A frame's header is there, and not what it is of. */
static int die_appending(shmq_t *q)
{
    struct sq_frame_queue queue = {.next_id = 1, .part_id = 1};
    struct sq_piece piece = {&queue, sizeof(queue)};
    struct sq_frame frame;

    if (sq_journal_file_enter(q) != 0)
        return 3;
    struct sq_journal_end end = sq_journal_file_end(q->segment.file);
    sq_frame_make(&frame, q->own_file->salt, SQ_FRAME_QUEUE, end.number + 1, 0, &piece, 1);
    if (sq_file_write_at(q->own_file->journal_fd_plus_one - 1, &frame, sizeof(frame), end.off) != 0)
        return 4;
    return raise(SIGKILL);
}

/* The frame is there, and the store of the tail is not. */
static int die_putting(struct keep_scene *k, shmq_t *q, struct sq_deadline *deadline)
{
    const struct sq_ring *ring = &q->segment.ring;
    struct sq_promise promise;

    if (sq_enter(q, SQ_ROLE_PRODUCER, deadline) != 0)
        return 5;
    uint64_t tail = sq_load(&ring->producer->tail_pos), id = sq_load(&ring->producer->next_id);
    size_t length = delivery_length(&k->op->delivery, (unsigned)id - 1);
    void *payload = sq_ring_write_header(ring, tail, id, (uint32_t)length, 0, 1);
    message_build(payload, FROM_CORPSE, (uint32_t)id - 1, length);
    if (sq_journal_records(q, tail, tail + sq_record_bytes(length), &promise) != 0)
        return 6;
    return raise(SIGKILL);
}

static int die(void *arg)
{
    struct keep_scene *k = arg;
    struct sq_deadline deadline = sq_deadline_in(HELPER_LATE_NS);
    shmq_t *q;

    if (shmq_open(&q, k->live.name, 0, NULL) != 0)
        return 1;
    switch (k->op->plan->corpse) {
    case KEEP_DEAD_SAVER:
        return die_saving(k, q, &deadline);
    case KEEP_DEAD_APPENDER:
        return die_appending(q);
    case KEEP_DEAD_SYNCER:
        return sq_journal_file_lock(q, &q->segment.file->sync, &deadline) < 0 ? 7 : raise(SIGKILL);
    case KEEP_DEAD_PUTTER:
        return die_putting(k, q, &deadline);
    case KEEP_DEAD_SAVING:
    case KEEP_NOBODY:
        break;
    }
    return 8;
}

/* Somebody who saves dies at some system call.  How many it came to is learned first. */
static bool open_to_save(void *arg)
{
    struct keep_scene *k = arg;

    return shmq_open(&k->live.own.queue, k->live.name, 0, NULL) == 0;
}

static void save_until_death(void *arg)
{
    struct keep_scene *k = arg;

    keep_save(k, k->live.own.queue);
}

static bool die_at_some_call(struct keep_scene *k)
{
    static const struct keep_op *learned;
    static unsigned calls;
    struct crash_victim first = {
        .arg = k,
        .prepare = open_to_save,
        .act = save_until_death,
        .done = &k->live.page->corpse_done,
        .point = CRASH_TO_END,
        .manner = CRASH_CALLS,
    };

    if (learned == k->op)
        first.point = (unsigned)((uint64_t)k->live.victim.point * 2654435761u % calls);
    int64_t came = crash_step(&first);
    if (came < 0)
        return keep_fail(k, "of the one before: %s", first.wrong);
    if (learned != k->op)
        calls = (unsigned)came + 1;
    learned = k->op;
    return true;
}

static bool make_corpse(struct keep_scene *k)
{
    if (k->op->plan->corpse == KEEP_NOBODY)
        return true;
    if (k->op->plan->corpse == KEEP_DEAD_SAVING)
        return die_at_some_call(k);
    int rc = helper_wait(helper_fork(die, k));
    return rc == 1000 + SIGKILL || keep_fail(k, "the corpse ended with %d", rc);
}

/* --- who comes beside ------------------------------------------------------------------- */

static int open_beside(void *arg)
{
    struct keep_scene *k = arg;
    shmq_t *q;
    int rc = delivery_create(&k->live, 0, &q);

    if (rc != 0)
        keep_fail(k, "who opens it beside: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
    else
        shmq_close(q);
    return rc != 0;
}

static int sync_beside(void *arg)
{
    struct keep_scene *k = arg;
    shmq_t *q;
    int rc = shmq_open(&q, k->live.name, 0, NULL);

    if (rc == 0)
        rc = shmq_sync(q, 0, HELPER_LATE_NS);
    if (rc != 0)
        keep_fail(k, "who syncs beside: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
    return rc != 0;
}

/* The victim stands at its last place: give the other time to come to wait for it. */
static void come_beside(void *arg)
{
    struct keep_scene *k = arg;

    k->beside =
        helper_fork(k->op->plan->beside == KEEP_OPENS_BESIDE ? open_beside : sync_beside, k);
    helper_pass(SHMQ_MS(2));
}

bool keep_await_beside(struct keep_scene *k)
{
    if (k->beside == 0)
        return true;
    int rc = helper_wait(k->beside);
    k->beside = 0;
    if (rc != 0)
        return keep_fail(k, "who came beside ended with %d", rc);
    return delivery_in_time(&k->live, k->live.victim.killed_ns, "waiting beside the dead one");
}

/* --- the whole -------------------------------------------------------------------------- */

/* What is leased waits again once nobody is attached; it may have counted, or not. */
static void forget_leases(struct delivery_scene *s)
{
    for (unsigned g = 0; g < s->group_count; g++)
        for (unsigned i = 0; s->before[g][i] != '\0'; i++)
            if (s->before[g][i] == 'S') {
                s->before[g][i] = s->after[g][i] = 'R';
                s->attempts[g][i]--;
            }
}

static bool nothing_to_prepare(void *scene)
{
    (void)scene;
    return true;
}

/* Only the file is left. */
static bool put_away(struct keep_scene *k)
{
    struct delivery_scene *s = &k->live;
    int rc = k->op->plan->built == SHMQ_JOURNAL_NONE ? shmq_save(s->survivor.queue, NULL) : 0;

    delivery_close(&s->survivor);
    if (rc == 0)
        rc = shmq_unlink(s->name);
    forget_leases(s);
    s->file.journal = k->op->journal;
    s->file.other = k->op->plan->kind == KEEP_LOADS;
    s->victim.prepare = nothing_to_prepare;
    return rc == 0 || keep_fail(k, "saving: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
}

/* Of a full ring that is pinned the survivor finishes what it has: there would be room. */
static bool finish_pinned(struct delivery_scene *s)
{
    for (unsigned i = 0; s->before[0][i] == 'S'; i++) {
        if (shmq_ack(s->survivor.group[0], &s->held[0][i]) != 0)
            return delivery_fail(s, "ack: %s", shmq_last_error_detail());
        s->before[0][i] = s->after[0][i] = '.';
    }
    return true;
}

static bool ready(struct delivery_scene *s)
{
    struct keep_scene *k = (struct keep_scene *)s;

    if (!make_corpse(k))
        return false;
    if (k->op->plan->corpse == KEEP_DEAD_SAVER && (s->op->traits & FILLS) != 0)
        return finish_pinned(s);
    if (k->op->plan->kind == KEEP_SAVES_AT_END)
        delivery_close(&s->survivor); /* the victim is to be the last */
    return true;
}

bool keep_begin(struct keep_scene *k)
{
    struct delivery_scene *s = &k->live;
    enum keep_kind kind = k->op->plan->kind;
    bool from_file = kind == KEEP_RESTORES || kind == KEEP_LOADS;

    s->op = &k->op->delivery;
    k->made.op = &k->op->of_file;
    sq_crc32c(0, "", 0); /* makes its tables, which takes long to step through */
    if (!have_folder())
        return keep_fail(k, "no folder: %s", strerror(errno));
    snprintf(k->copy, sizeof(k->copy), "%s/copy", base);
    snprintf(k->folder, sizeof(k->folder), "%s/in", base);
    snprintf(s->file.path, sizeof(s->file.path), "%s/in/file", base);
    s->file.other = kind == KEEP_SAVES_OTHER || kind == KEEP_SAVES_OVER;
    s->file.saved_at_once = kind == KEEP_SAVES_OVER;
    s->file.save_at_end = kind == KEEP_SAVES_AT_END;
    s->file.journal = from_file ? k->op->plan->built : k->op->journal;
    s->file.ready = ready;
    if (kind == KEEP_CREATES) {
        delivery_init(s);
        s->victim.prepare = nothing_to_prepare;
    } else if (!delivery_begin(s) || (from_file && !put_away(k))) {
        return false;
    }
    s->victim.last = k->op->plan->beside == KEEP_ALONE ? NULL : come_beside;
    return true;
}

void keep_end(struct keep_scene *k)
{
    if (k->beside != 0)
        helper_kill(k->beside);
    delivery_end(&k->live);
    delivery_end(&k->made);
    disk_empty(k->folder);
    disk_empty(base);
}
