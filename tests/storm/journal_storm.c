/*
 * journal_storm.c - a storm that nobody survives: several processes put, take on lease,
 * acknowledge and rewrite the journal; in the middle of that perhaps one is killed, and then
 * all at once, the segment is removed, and the queue is made of its file anew.  Every message whose
 * put had returned and whose acknowledgement had not is there, once, whole and in its producer's
 * order; what was acknowledged does not come back.
 *
 *     journal_storm [SECONDS] [--seed N]
 *
 * The time is spent in epochs, each with a new queue: with each mode of a journal, on a disk
 * and in memory, with somebody who saves and without.
 */
#include "storm/journal_storm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "disk/place.h"
#include "support/message.h"

#define EPOCH_NS SHMQ_MS(1500)

static const struct storm_variant variants[] = {
    {"os", "/dev/shm", SHMQ_JOURNAL_OS, SHMQ_FIFO, 256 << 10, true, false},
    {"always", "/tmp", SHMQ_JOURNAL_ALWAYS, SHMQ_FIFO, 256 << 10, false, false},
    {"always, saved", "/dev/shm", SHMQ_JOURNAL_ALWAYS, SHMQ_PRIORITY, 256 << 10, true, true},
    {"interval", "/dev/shm", SHMQ_JOURNAL_INTERVAL, SHMQ_FIFO, 64 << 10, false, true},
    {"always, on disk", "/tmp", SHMQ_JOURNAL_ALWAYS, SHMQ_PRIORITY, 256 << 10, true, true},
    {"os, tight", "/dev/shm", SHMQ_JOURNAL_OS, SHMQ_LIFO, 32 << 10, true, true},
};
enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

struct storm_board *storm_board;

/* --- workers ------------------------------------------------------------------------------ */

int storm_open(const struct storm_epoch *e, shmq_t **q)
{
    struct shmq_attr attr = helper_attr(e->variant->capacity_bytes);

    attr.order = e->variant->order;
    attr.pending_count = 4096;
    attr.snapshot = e->file;
    attr.journal = e->variant->journal;
    if (attr.journal == SHMQ_JOURNAL_INTERVAL)
        attr.save_ns = SHMQ_MS(2);
    return shmq_open(q, e->name, SHMQ_CREATE, &attr);
}

static void be_worker(const struct storm_epoch *e, int worker, uint32_t generation, uint64_t seed)
{
    shmq_t *q;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int rc = storm_open(e, &q);
    if (rc != 0)
        storm_wrong("a worker cannot attach: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
    else if (worker < STORM_PRODUCERS)
        storm_produce(q, generation, seed);
    else if (worker < STORM_SAVER)
        storm_consume(q, seed);
    else
        storm_save(q, e->other);
    _exit(1);
}

static void start_all(struct storm_epoch *e)
{
    for (int i = 0; i < STORM_WORKERS; i++) {
        uint32_t generation = i < STORM_PRODUCERS ? e->generations++ : 0;
        uint64_t seed = message_random(&e->seed);
        e->worker[i] = 0;
        if (i == STORM_SAVER && !e->variant->saves)
            continue;
        e->worker[i] = fork();
        if (e->worker[i] == 0)
            be_worker(e, i, generation, seed);
    }
}

static void pause_us(struct storm_epoch *e, unsigned most)
{
    helper_pass((int64_t)(message_random(&e->seed) % most) * 1000);
}

/* One or two, and the others go on for a while with what those have left. */
static void kill_some(struct storm_epoch *e)
{
    for (unsigned n = message_random(&e->seed) % 3; n > 0; n--) {
        pid_t *pid = &e->worker[message_random(&e->seed) % STORM_WORKERS];
        if (*pid > 0)
            helper_kill(*pid);
        *pid = 0;
        pause_us(e, 15000);
    }
}

/* One right after the other, from any of them on. */
static void kill_all(struct storm_epoch *e)
{
    unsigned from = message_random(&e->seed) % STORM_WORKERS;

    for (unsigned i = 0; i < STORM_WORKERS; i++) {
        pid_t pid = e->worker[(from + i) % STORM_WORKERS];
        if (pid > 0)
            kill(pid, SIGKILL);
    }
    for (int i = 0; i < STORM_WORKERS; i++)
        if (e->worker[i] > 0)
            helper_wait(e->worker[i]);
}

/* --- a round -------------------------------------------------------------------------------- */

/* What was saved to another file, if anything, is whole. */
static void check_other(const struct storm_epoch *e)
{
    char name[80];

    if (!e->variant->saves || access(e->other, F_OK) != 0)
        return;
    snprintf(name, sizeof(name), "%s-other", e->name);
    int rc = shmq_load(name, e->other);
    if (rc != 0)
        storm_wrong("what was saved cannot be loaded: %s (%s)", shmq_strerror(rc),
                    shmq_last_error_detail());
    shmq_unlink(name);
}

/* The queue is made of its file, and looked at. */
static void come_back(struct storm_epoch *e)
{
    shmq_t *q;
    int rc = storm_open(e, &q);

    if (rc != 0) {
        storm_wrong("no queue can be made: %s (%s)", shmq_strerror(rc), shmq_last_error_detail());
        return;
    }
    storm_check(e, q);
    shmq_close(q);
}

static void one_round(struct storm_epoch *e)
{
    shmq_t *monitor = NULL;

    if (e->variant->many) /* the first of the workers makes it once more */
        shmq_unlink(e->name);
    start_all(e);
    pause_us(e, 30000);
    kill_some(e);
    shmq_open(&monitor, e->name, SHMQ_RDONLY, NULL);
    pause_us(e, 500);
    kill_all(e);
    storm_note_moment(e, monitor);
    shmq_close(monitor);
    shmq_unlink(e->name);
    come_back(e);
    check_other(e);
}

/* --- an epoch ----------------------------------------------------------------------------------
 */

static void begin(struct storm_epoch *e)
{
    char number[16];

    snprintf(e->folder, sizeof(e->folder), "%s/shmq-storm-XXXXXX", e->variant->folder);
    if (mkdtemp(e->folder) == NULL)
        storm_wrong("no folder: %s", strerror(errno));
    snprintf(e->file, sizeof(e->file), "%s/file", e->folder);
    snprintf(e->other, sizeof(e->other), "%s/other", e->folder);
    snprintf(number, sizeof(number), "storm%u", e->first);
    snprintf(e->name, sizeof(e->name), "%s", helper_name(number));
    come_back(e); /* an empty one */
}

static void end(struct storm_epoch *e)
{
    shmq_unlink(e->name);
    disk_empty(e->folder);
    rmdir(e->folder);
}

static void run_epoch(struct storm_epoch *e, int64_t until_ns)
{
    uint64_t rounds = e->moments->kills, puts = storm_board->puts, saves = storm_board->saves;

    begin(e);
    while (helper_now_ns() < until_ns && storm_board->wrong == 0 &&
           e->generations + STORM_PRODUCERS < STORM_GENERATIONS)
        one_round(e);
    end(e);
    printf("%-16s %5llu times all were killed, %7llu puts, %5llu saves\n", e->variant->name,
           (unsigned long long)(e->moments->kills - rounds),
           (unsigned long long)(storm_board->puts - puts),
           (unsigned long long)(storm_board->saves - saves));
    fflush(stdout);
}

/* --- main ----------------------------------------------------------------------------------------
 */

static void report(const struct storm_moments *m)
{
#define N(field) ((unsigned long long)m->field)
    printf("%llu times: %llu while the queue was being made; locks were had: of the journal %llu, "
           "of a sync %llu, of who saves %llu, of producers %llu, of consumers %llu\n",
           N(kills), N(no_queue), N(lock), N(sync), N(saver), N(producer), N(consumer));
    printf("written and not put %llu; a frame beyond the end %llu, a torn one %llu; the file "
           "replaced %llu, not synced since %llu, another left beside %llu\n",
           N(unput), N(beyond), N(torn), N(replaced), N(unsynced), N(temporary));
    printf("under way: puts that held %llu, that did not %llu; acknowledgements that held %llu, "
           "that did not %llu\n",
           N(put_held), N(put_lost), N(ack_held), N(ack_lost));
#undef N
}

struct run {
    struct storm_moments moments;
    uint32_t generations;
};

static bool run_one(void *arg, unsigned variant, int64_t length_ns, uint64_t seed)
{
    struct run *run = arg;
    struct storm_epoch e = {.variant = &variants[variant],
                            .first = run->generations,
                            .generations = run->generations,
                            .seed = seed,
                            .moments = &run->moments};

    run_epoch(&e, helper_now_ns() + length_ns);
    run->generations = e.generations;
    return storm_board->wrong == 0;
}

int main(int argc, char **argv)
{
    struct epochs_args args = epochs_begin(argc, argv, false);
    struct run run = {0};
    const struct storm_moments *m = &run.moments;

    storm_board = epochs_board(sizeof(*storm_board));
    unsigned failed = epochs_run(&args, VARIANTS, EPOCH_NS, run_one, &run);
    if (storm_board->wrong != 0)
        printf("  %s (%u in all)\n", storm_board->what, (unsigned)storm_board->wrong);
    report(m);
    /* Where only a few rounds were to be had in the time, it may be that none was. */
    if (m->kills > 50 && (m->put_held + m->put_lost == 0 || m->ack_held + m->ack_lost == 0)) {
        printf("  nobody was killed while a call was under way\n");
        failed++;
    }
    return failed == 0 ? 0 : 1;
}
