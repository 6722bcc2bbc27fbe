/*
 * crash_file.c - die at every instruction of what touches a queue's file: saving, restoring,
 * and all that writes to a journal.
 *
 * As `crash`; options are told in crash_main.c.  Classes of operations: "file", those that
 * save and restore; of the others "always", those with a journal that syncs, and "journal",
 * the rest.
 *
 * What must hold after each death:
 *
 *  1. A queue made of the file, as it is at that moment, has every message that had been put
 *     and was not finished by a call that has returned: in order, once, byte for byte, with
 *     the deliveries it had when a call last said something of it.  The dead one's operation
 *     is in it wholly, or not at all, and certainly if it had returned.
 *  2. The same of the queue itself, whose survivors get on at once, through handles from
 *     before and through new ones (crash_delivery_check.c); and they save at once.
 *  3. The file keeps up: when they have been in each side, it says what the queue says.
 *  4. After the next save nothing is left beside the file, and nothing in /dev/shm; when all
 *     have left, nobody has the file's lock, and it makes a queue again.
 */
#include "crash/crash_file.h"
#include "crash/crash_main.h"

#include <string.h>

enum {
    LONG_STEPS = 4000, /* saving, restoring, and what waits for one that is dead */
    RARELY = 5,        /* each kill point stands for so many (stride_of()) */
};

static struct delivery_page *page;

static struct crash_result attempt(unsigned number, unsigned point, enum crash_manner manner)
{
    static struct keep_scene k; /* large */
    struct crash_result r = {.steps = -1};
    struct crash_victim *v = &k.live.victim;

    k = (struct keep_scene){.op = keep_op_at(number)};
    k.live.page = k.made.page = page;
    *v = (struct crash_victim){.point = point, .manner = manner};
    if (keep_begin(&k))
        r.steps = point == CRASH_TO_END && manner != CRASH_CALLS ? crash_trace(v) : crash_step(v);
    if (r.steps == -1 && v->wrong[0] != '\0')
        keep_fail(&k, "%s", v->wrong);
    if (r.steps >= 0) {
        if (point == CRASH_TO_END)
            v->point = (unsigned)r.steps;
        keep_check(&k);
    }
    keep_end(&k);
    r.failed = k.live.failures + k.made.failures > 0;
    r.happened = k.live.happened || k.made.happened;
    r.recoveries = k.live.recoveries;
    return r;
}

static const char *name_of(unsigned op)
{
    return keep_op_at(op)->name;
}

static bool is_file_op(const struct keep_op *op)
{
    return op->plan->kind != KEEP_NOTHING;
}

/* Where the one before dies somewhere else each time, or has been waited for; where the other
 * comes; where what syncs is as what only writes but for its end, or all is much alike. */
static unsigned stride_of(unsigned op)
{
    const struct keep_op *o = keep_op_at(op);
    const struct keep_plan *plan = o->plan;

    return o->delivery.corpse == DEAD_SAME || plan->corpse == KEEP_DEAD_SAVING ||
                   plan->corpse == KEEP_DEAD_SYNCER || plan->beside != KEEP_ALONE ||
                   (o->journal == SHMQ_JOURNAL_ALWAYS && (plan->journals & KEEP_OS) != 0) ||
                   plan->alike
               ? RARELY
               : 1;
}

static bool takes_long(unsigned op)
{
    return is_file_op(keep_op_at(op)) || keep_op_at(op)->plan->takes_long;
}

static bool is_of(unsigned op, const char *word)
{
    const struct keep_op *o = keep_op_at(op);

    if (strcmp(word, "file") == 0)
        return is_file_op(o);
    if (strcmp(word, "always") == 0)
        return !is_file_op(o) && o->journal == SHMQ_JOURNAL_ALWAYS;
    return strcmp(word, "journal") == 0 && !is_file_op(o) && o->journal != SHMQ_JOURNAL_ALWAYS;
}

int main(int argc, char **argv)
{
    struct crash_suite suite = {.program = "crash_file",
                                .count = keep_op_count(),
                                .long_steps = LONG_STEPS,
                                .name = name_of,
                                .stride = stride_of,
                                .is_of = is_of,
                                .takes_long = takes_long,
                                .attempt = attempt};

    page = helper_shared(sizeof(*page));
    return crash_main(&suite, argc, argv);
}
