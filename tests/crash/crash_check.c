/*
 * crash_check.c - what must hold once the victim is dead.
 *
 *  1. What is in the queue is what was there before, with the victim's operation
 *     done wholly or not at all, and done for certain if it had returned.
 *  2. Whoever slept gets on within the bound; survivors put and get at once,
 *     through a handle from before and through a new one.
 *  3. When both sides have been entered, all derived fields are what the truth
 *     says; ids neither repeat nor leave one out.
 *  4. The dead one's slot is free after a sweep, and its roles can be claimed.
 */
#include "crash/crash.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the victim reported is what it should be. */
static bool check_report(struct crash_scene *s)
{
    const struct crash_page *page = s->page;
    const struct crash_op *op = s->op;
    bool many = op->hands_out && op->takes > 1;
    int64_t due = op->puts > 1 || many ? CRASH_BATCH : 0;

    if (op->hands_out && !many)
        return crash_is_item(s, 0, page->got, page->rc, page->infos, "the victim's get");
    if (op->takes > 0 && op->puts == 0 && !many)
        due = op->takes;
    if (page->rc != due)
        return crash_fail(s, "the victim's operation returned %lld (%s)", (long long)page->rc,
                          shmq_strerror((int)page->rc));
    for (unsigned i = 0; many && i < op->takes; i++)
        if (!crash_is_item(s, i, page->got + page->infos[i].offset, (ssize_t)page->infos[i].length,
                           &page->infos[i], "the victim's get"))
            return false;
    return true;
}

/* --- what is there ---------------------------------------------------------- */

static unsigned browse(struct crash_scene *s, shmq_t *q, struct crash_item *found,
                       uint64_t *first_id)
{
    unsigned char bytes[CRASH_CAPACITY];
    struct shmq_info info;
    uint64_t place = 0;
    unsigned n = 0;
    ssize_t rc;

    while ((rc = shmq_browse(q, &place, bytes, sizeof(bytes), &info)) >= 0 && n < CRASH_FILL + 8) {
        struct message_head head;
        if (!message_whole(bytes, rc, &head))
            crash_fail(s, "browse shows a torn message");
        if (n == 0)
            *first_id = info.id;
        else if (info.id != *first_id + n)
            crash_fail(s, "browse shows id %llu after %llu", (unsigned long long)info.id,
                       (unsigned long long)(*first_id + n - 1));
        found[n++] = (struct crash_item){head.source, head.seq};
    }
    if (rc != -EAGAIN)
        crash_fail(s, "browse ends with %s", shmq_strerror((int)rc));
    return n;
}

/* Whether `found` is what was there, less `takes`, and `puts` of the victim's. */
static bool matches(const struct crash_scene *s, const struct crash_item *found, unsigned n,
                    uint64_t first_id, unsigned takes, unsigned puts)
{
    unsigned kept = s->item_count - takes;

    if (takes > s->item_count || n != kept + puts ||
        memcmp(found, s->items + takes, kept * sizeof(found[0])) != 0)
        return false;
    for (unsigned i = 0; i < puts; i++)
        if (found[kept + i].source != FROM_VICTIM || found[kept + i].seq != i)
            return false;
    return n == 0 || first_id == s->first_id + takes;
}

/* Take what is found for what is known, if it can be. */
static bool adopt(struct crash_scene *s)
{
    struct crash_item found[CRASH_FILL + 16];
    bool done = s->page->done != 0;
    uint64_t first_id = 0;
    shmq_t *reader;
    int rc = shmq_open(&reader, s->name, SHMQ_RDONLY, NULL);

    if (rc != 0)
        return crash_fail(s, "a reader cannot attach: %s", shmq_strerror(rc));
    unsigned n = browse(s, reader, found, &first_id);
    shmq_close(reader);
    unsigned takes = s->takes, puts = s->puts;
    bool all = matches(s, found, n, first_id, takes, puts);
    bool dropped = s->op->full == SHMQ_FULL_DROP && matches(s, found, n, first_id, takes, 0);
    bool none = matches(s, found, n, first_id, 0, 0);
    if (!(all || (!done && (dropped || none))))
        return crash_fail(s, "%u messages are there from id %llu, of %u before", n,
                          (unsigned long long)first_id, s->item_count);
    if (all ? takes + puts > 0 : dropped)
        s->happened = true;
    for (unsigned i = 0; (all || dropped) && i < takes; i++)
        crash_pop(s);
    for (uint32_t i = 0; all && i < puts; i++)
        crash_push(s, FROM_VICTIM, i);
    return true;
}

/* --- carrying on ------------------------------------------------------------- */

/* Those who put and get now: a handle from before and a fresh one, and where
 * the victim was alone its successor, alone or not. */
static bool open_survivors(struct crash_scene *s)
{
    int sole = s->victim.point % 2 == 0 ? s->op->flags : 0;
    int rc = 0;

    if (s->fresh != NULL)
        return true;
    if (s->survivor == NULL)
        rc = shmq_open(&s->survivor, s->name, 0, NULL);
    if (rc == 0)
        rc = shmq_open(&s->fresh, s->name, sole, NULL);
    if (rc != 0)
        return crash_fail(s, "cannot attach%s: %s (%s)", sole != 0 ? " alone" : "",
                          shmq_strerror(rc), shmq_last_error_detail());
    s->putter[0] = (sole & SHMQ_SOLE_PRODUCER) != 0 ? s->fresh : s->survivor;
    s->getter[0] = (sole & SHMQ_SOLE_CONSUMER) != 0 ? s->fresh : s->survivor;
    s->putter[1] = s->getter[1] = s->fresh;
    return true;
}

static bool sleeper_is_done(void *arg)
{
    return ((struct crash_page *)arg)->sleeper_done != 0;
}

/* The sleeper goes on by itself if the victim gave it cause to, else as soon as
 * a survivor does. */
static bool settle_sleeper(struct crash_scene *s)
{
    bool gets = s->op->sleeper == SQ_ROLE_CONSUMER;
    const struct sq_ring *ring = &s->survivor->segment.ring;

    /* The other side tells what the victim did: the sleeper has not that side. */
    s->happened = gets ? sq_load(&ring->producer->tail_pos) != s->tail_before
                       : sq_load(&ring->group->cursor_pos) != s->cursor_before;
    s->takes = s->puts = 0;
    if (!s->happened) {
        if (s->page->done != 0)
            return crash_fail(s, "nothing has happened");
        if (!open_survivors(s) || !(gets ? crash_give(s, s->putter[0], FROM_PROBE, s->probes++)
                                         : crash_take(s, s->getter[0])))
            return false;
    } else if (gets) {
        crash_push(s, FROM_VICTIM, 0);
    } else {
        crash_pop(s);
    }
    if (!helper_await(sleeper_is_done, s->page))
        return crash_fail(s, "the sleeper does not go on");
    int rc = helper_wait(s->sleeper);
    s->sleeper = 0;
    if (rc != 0)
        return crash_fail(s, "the sleeper ended with %d", rc);
    if (!gets) {
        crash_push(s, FROM_SLEEPER, 0);
        return s->page->sleeper_rc == 0 || crash_fail(s, "the sleeper's put failed");
    }
    if (!crash_is_item(s, 0, s->page->sleeper_got, s->page->sleeper_rc, &s->page->sleeper_info,
                       "the sleeper"))
        return false;
    crash_pop(s);
    return true;
}

static bool check_derived(struct crash_scene *s)
{
    const char *wrong = sq_ring_valid(&s->survivor->segment.ring);

    if (wrong != NULL)
        return crash_fail(s, "%s", wrong);
    if (shmq_depth(s->fresh) != (int64_t)s->item_count)
        return crash_fail(s, "the depth is %lld, not %u", (long long)shmq_depth(s->fresh),
                          s->item_count);
    return true;
}

/* Enter both sides and change nothing: that alone must repair. */
static bool look_in(struct crash_scene *s)
{
    void *data;
    int rc = 0;

    if (s->op->full != SHMQ_FULL_DROP)
        rc = shmq_reserve(s->putter[0], 0, &data, SHMQ_NOWAIT);
    if (s->op->full != SHMQ_FULL_DROP && rc == 0)
        rc = shmq_abort(s->putter[0]);
    if (rc != 0 && !(rc == -EAGAIN && s->item_count == CRASH_FILL))
        return crash_fail(s, "a survivor's reserve and abort: %s", shmq_strerror(rc));
    ssize_t length = shmq_get(s->getter[0], NULL, 0, NULL, SHMQ_NOWAIT);
    if (length != (s->item_count > 0 ? -EMSGSIZE : -EAGAIN))
        return crash_fail(s, "a survivor's get without a buffer: %zd", length);
    return s->op->full == SHMQ_FULL_DROP || check_derived(s);
}

static bool carry_on(struct crash_scene *s)
{
    for (int i = 0; i < 2; i++) {
        bool any = s->item_count > 0;
        if ((any && !crash_take(s, s->getter[i])) ||
            !crash_give(s, s->putter[i], FROM_PROBE, s->probes++) ||
            (!any && !crash_take(s, s->getter[i])))
            return false;
    }
    return check_derived(s);
}

/* All that is left, in order, then nothing. */
static bool drain(struct crash_scene *s)
{
    unsigned char bytes[CRASH_CAPACITY];

    while (s->item_count > 0)
        if (!crash_take(s, s->getter[1]))
            return false;
    ssize_t rc = shmq_get(s->getter[0], bytes, sizeof(bytes), NULL, SHMQ_NOWAIT);
    if (rc != -EAGAIN)
        return crash_fail(s, "a drained queue gives %zd", rc);
    return true;
}

/* --- afterwards ---------------------------------------------------------------- */

/* A sweep at a time `later` leaves `due` slots in use. */
static bool sweep(struct crash_scene *s, int64_t later_ns, int due)
{
    struct sq_segment *segment = &s->survivor->segment;
    int used = 0;

    sq_attach_sweep(segment, &s->survivor->attachment, helper_now_ns() + later_ns,
                    SQ_SWEEP_EVERY_NS);
    for (uint32_t i = 0; i < segment->slot_count; i++)
        used += sq_load(&segment->slots[i].state) != SQ_SLOT_FREE;
    return used == due || crash_fail(s, "%d slots are in use after a sweep, not %d", used, due);
}

/* For some, before a new handle comes and takes the dead one's slot. */
static bool sweep_early(struct crash_scene *s)
{
    return s->victim.point % 4 < 2 || s->fresh != NULL || sweep(s, SHMQ_SEC(2), 1);
}

static bool check_slots(struct crash_scene *s)
{
    struct shmq_stats stats = {.size = sizeof(stats)};
    struct shmq_process list[16];
    int n = shmq_attached(s->survivor, list, 16);

    for (int i = 0; i < n; i++)
        if (list[i].pid != getpid())
            return crash_fail(s, "process %d is listed as attached", (int)list[i].pid);
    if (n != 2)
        return crash_fail(s, "%d handles are listed as attached, not 2", n);
    if (!sweep(s, SHMQ_SEC(4), 2))
        return false;
    shmq_stats(s->survivor, &stats);
    s->recoveries = (unsigned)stats.recoveries;
    if (stats.sleeping_consumers + stats.sleeping_producers != 0)
        return crash_fail(s, "the dead are counted as sleepers");
    return true;
}

/* With all handles closed, somebody else takes both sides alone. */
static bool check_succession(struct crash_scene *s)
{
    int flags = SHMQ_SOLE_PRODUCER;

    if (s->op->full != SHMQ_FULL_DROP)
        flags |= SHMQ_SOLE_CONSUMER;
    shmq_close(s->fresh);
    shmq_close(s->survivor);
    s->fresh = s->survivor = s->putter[0] = s->putter[1] = s->getter[0] = s->getter[1] = NULL;
    int rc = shmq_open(&s->fresh, s->name, flags, NULL);
    if (rc != 0)
        return crash_fail(s, "no one can be alone: %s", shmq_last_error_detail());
    return crash_give(s, s->fresh, FROM_PROBE, s->probes++) && crash_take(s, s->fresh);
}

/* The name is gone: what is left is handed out, then everybody is told so. */
static void check_gone(struct crash_scene *s)
{
    struct shmq_stats stats = {.size = sizeof(stats)};
    unsigned char bytes[CRASH_CAPACITY];
    shmq_t *other;

    s->happened = true;
    shmq_stats(s->survivor, &stats);
    if (stats.unlinked == 0)
        crash_fail(s, "the removed name is not noticed");
    while (s->item_count > 0 && crash_take(s, s->survivor))
        continue;
    if (shmq_get(s->survivor, bytes, sizeof(bytes), NULL, HELPER_LATE_NS) != -ESTALE ||
        shmq_put(s->survivor, bytes, 20, HELPER_LATE_NS) != -ESTALE)
        crash_fail(s, "a queue without a name goes on");
    int rc = shmq_open(&other, s->name, SHMQ_CREATE | SHMQ_EXCL, NULL);
    if (rc != 0)
        crash_fail(s, "the name cannot be used again: %s", shmq_strerror(rc));
    shmq_close(other);
}

/* A creator has left a whole queue or none. */
static bool settle_creation(struct crash_scene *s)
{
    int rc = shmq_open(&s->survivor, s->name, 0, NULL);

    s->happened = rc == 0;
    if (rc == -ENOENT && s->page->done == 0)
        rc = shmq_open(&s->survivor, s->name, SHMQ_CREATE | SHMQ_EXCL, NULL);
    if (rc != 0)
        return crash_fail(s, "the queue can be neither opened nor made: %s (%s)", shmq_strerror(rc),
                          shmq_last_error_detail());
    return true;
}

void crash_check(struct crash_scene *s)
{
    char path[128];

    snprintf(path, sizeof(path), "/dev/shm/shmq.%s", s->name);
    if (s->page->done != 0 && !check_report(s))
        return;
    if (s->op->kind == CRASH_CREATE && !settle_creation(s))
        return;
    if (s->op->kind == CRASH_UNLINK) {
        if (access(path, F_OK) != 0) {
            check_gone(s);
            return;
        }
        if (s->page->done != 0) {
            crash_fail(s, "the name is still there");
            return;
        }
    }
    if (s->op->sleeper >= 0 && !settle_sleeper(s))
        return;
    if (adopt(s) && sweep_early(s) && open_survivors(s) && look_in(s) && carry_on(s) && drain(s) &&
        check_slots(s))
        check_succession(s);
}
