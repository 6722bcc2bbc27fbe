/*
 * power_snapshot.c - a power cut at any moment of saving: power_snapshot [--states N] [--saves N]
 * [--seed N].  A run is the same each time, so that STATE='...' of a failure repeats it.
 *
 * A child puts, takes and saves at random under record.so, and writes down beside what the
 * queue holds at each save.  Then each state in which the disk could be left is made
 * (disk/states.h), and a queue is made of the file.  After a save that has returned the file
 * must be there, and hold what that save or the one that was under way had to write: all of
 * it, in order, once, byte for byte.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/place.h"
#include "disk/states.h"
#include "shmq.h"

enum { SAVES_MAX = 400, IDS_MAX = 4096, LONGEST = 3000 };

/* What the child shares with the parent: not a file, so that it is not in the log. */
struct shared {
    uint32_t saves;                   /* that were begun */
    uint64_t next[SAVES_MAX];         /* of each: ids from here on had not been put, ... */
    uint8_t gone[SAVES_MAX][IDS_MAX]; /* ... and these were finished */
};

static struct shared *shared;
static struct disk_place disk;
static char queue[64];
static uint64_t seed = 1;

static void must(bool good, const char *what, long long figure)
{
    if (good)
        return;
    fprintf(stderr, "power_snapshot: %s: %lld (%s)\n", what, figure, shmq_last_error_detail());
    exit(1);
}

static uint64_t random_of(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*state >> 33) % below;
}

/* A message's bytes follow from its id. */
static size_t payload(uint64_t id, unsigned char *bytes)
{
    uint64_t state = id * 77 + 5;
    size_t length = random_of(&state, random_of(&state, 4) == 0 ? LONGEST : 100);

    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)random_of(&state, 256);
    return length;
}

/* --- the run that is recorded ----------------------------------------------------------- */

static void note(const char *what, unsigned n)
{
    char text[32];

    snprintf(text, sizeof(text), "%s %u", what, n);
    must(disk_say(text), "no recorder", 0);
}

static void put_some(shmq_t *q, uint64_t *state, uint64_t *next)
{
    unsigned char bytes[LONGEST];

    for (uint64_t n = random_of(state, 12); n > 0 && *next < IDS_MAX; n--, ++*next) {
        struct shmq_msg msg = SHMQ_MSG_INIT;

        msg.data = bytes;
        msg.length = payload(*next, bytes);
        if (random_of(state, 3) == 0) {
            msg.key = "key";
            msg.key_length = 3;
        }
        int rc = shmq_send(q, &msg, SHMQ_NOWAIT);
        if (rc == -EAGAIN)
            return;
        must(rc == 0 && msg.id == *next, "send", rc);
    }
}

/* Take some, finish most of them, and give others back. */
static void take_some(shmq_t *q, uint64_t *state, uint8_t *gone)
{
    for (uint64_t n = random_of(state, 12); n > 0; n--) {
        struct shmq_msg msg = SHMQ_MSG_INIT;
        int rc = shmq_receive(q, &msg, SHMQ_NOWAIT);

        if (rc == -EAGAIN)
            return;
        must(rc == 0, "receive", rc);
        uint64_t id = msg.id;
        if (random_of(state, 4) == 0) {
            rc = shmq_nack(q, &msg, random_of(state, 2) ? 0 : SHMQ_SEC(3600), 0);
        } else {
            rc = shmq_ack(q, &msg);
            gone[id] = 1;
        }
        must(rc == 0, "end of a lease", rc);
    }
}

static int run_saves(unsigned saves)
{
    static uint8_t gone[IDS_MAX];
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    uint64_t state = seed, next = 1;
    char path[128];
    shmq_t *q;

    attr.capacity_bytes = 256 * 1024;
    snprintf(path, sizeof(path), "%s/file", disk.folder);
    int rc = shmq_open(&q, queue, SHMQ_CREATE | SHMQ_EXCL, &attr);
    must(rc == 0, "open", rc);
    for (unsigned i = 0; i < saves; i++) {
        put_some(q, &state, &next);
        take_some(q, &state, gone);
        shared->next[i] = next;
        memcpy(shared->gone[i], gone, sizeof(gone));
        shared->saves = i + 1;
        rc = shmq_save(q, path);
        must(rc == 0, "save", rc);
        note("saved", i + 1);
    }
    shmq_close(q);
    return shmq_unlink(queue) == 0 ? 0 : 1;
}

/* --- looking at a state --------------------------------------------------------------------- */

/* Does the queue hold just what save `n` (from 0) had to write? */
static bool holds(shmq_t *q, unsigned n)
{
    static uint8_t seen[IDS_MAX];
    static unsigned char buffer[LONGEST + 2048], expected[LONGEST];
    uint64_t place = 0, count = 0, should = 0;
    ssize_t length;

    memset(seen, 0, sizeof(seen));
    for (;;) {
        struct shmq_msg msg = SHMQ_MSG_INIT;

        length = shmq_inspect(q, 15, &place, &msg, buffer, sizeof(buffer));
        if (length < 0)
            break;
        if (msg.id == 0 || msg.id >= shared->next[n] || shared->gone[n][msg.id] || seen[msg.id]++)
            return false;
        if (payload(msg.id, expected) != msg.length || memcmp(msg.data, expected, msg.length) != 0)
            return false;
        count++;
    }
    for (uint64_t id = 1; id < shared->next[n]; id++)
        should += !shared->gone[n][id];
    return length == -EAGAIN && count == should;
}

/* What waits comes in order, and the next put has the next id. */
static bool works(shmq_t *q, uint64_t next, uint64_t or_next)
{
    struct shmq_msg msg = SHMQ_MSG_INIT;
    uint64_t last = 0;
    int rc;

    while ((rc = shmq_receive(q, &msg, SHMQ_NOWAIT)) == 0) {
        uint64_t id = msg.id;

        if (id <= last || shmq_ack(q, &msg) != 0) {
            fprintf(stderr, "power_snapshot: id %" PRIu64 " came after %" PRIu64 "\n", id, last);
            return false;
        }
        last = id;
        msg = (struct shmq_msg)SHMQ_MSG_INIT;
    }
    msg = (struct shmq_msg)SHMQ_MSG_INIT;
    int sent = shmq_send(q, &msg, SHMQ_NOWAIT);
    if (rc == -EAGAIN && sent == 0 && (msg.id == next || msg.id == or_next))
        return true;
    fprintf(stderr,
            "power_snapshot: after %" PRIu64 " receive says %d, send %d with id %" PRIu64
            " in place of %" PRIu64 "\n",
            last, rc, sent, msg.id, next);
    return false;
}

struct tally {
    uint64_t none, old, new;
};

static int complain(const struct disk_state *s, const char *what, int rc)
{
    fprintf(stderr,
            "power_snapshot --seed %" PRIu64 ", STATE='%" PRIu64 " %u', after '%s': %s: %d (%s)\n",
            s->seed, s->prefix, s->variant, s->note, what, rc,
            rc < 0 ? shmq_last_error_detail() : "");
    return 1;
}

static int check(const struct disk_state *s, void *arg)
{
    struct tally *tally = arg;
    unsigned saved = (unsigned)s->notes;
    char path[128], name[80];
    shmq_t *q;

    snprintf(path, sizeof(path), "%s/file", s->folder);
    snprintf(name, sizeof(name), "%s.again", queue);
    int rc = shmq_load(name, path);
    if (rc == -ENOENT && saved == 0) {
        tally->none++;
        return 0;
    }
    if (rc < 0)
        return complain(s, "no queue could be made", rc);
    rc = shmq_open(&q, name, 0, NULL);
    if (rc < 0)
        return complain(s, "open", rc);
    /* Both may hold the same messages, and then differ in the next id. */
    bool old = saved > 0 && holds(q, saved - 1);
    bool new = saved < shared->saves &&holds(q, saved);
    tally->old += old;
    tally->new += new && !old;
    if (!old && !new)
        rc = complain(s, "it holds something else than what was saved", 0);
    else if (!works(q, shared->next[old ? saved - 1 : saved],
                    shared->next[new ? saved : saved - 1]))
        rc = complain(s, "what it holds does not come in order", 0);
    shmq_close(q);
    shmq_unlink(name);
    return rc;
}

/* --- all of it ----------------------------------------------------------------------------- */

static void record(unsigned saves)
{
    char count[16], number[24];
    const char *arguments[] = {"--run", disk.base, queue, count, number, NULL};

    snprintf(count, sizeof(count), "%u", saves);
    snprintf(number, sizeof(number), "%" PRIu64, seed);
    int status = disk_run(&disk, NULL, arguments);
    must(status == 0, "the run that is recorded", status);
}

static void clean_up(void)
{
    char name[80];

    disk_place_remove(&disk);
    snprintf(name, sizeof(name), "%s.again", queue);
    shmq_unlink(name);
    shmq_unlink(queue);
}

static void map_shared(void)
{
    shared = disk_share(&disk, sizeof(*shared));
    must(shared != NULL, "mmap", errno);
}

static void set_up(void)
{
    must(disk_place_make(&disk, "shmq-crash") == 0, "mkdir", errno);
    snprintf(queue, sizeof(queue), "crash-files-%d", (int)getpid());
    atexit(clean_up);
    map_shared();
}

static int usage(void)
{
    fprintf(stderr, "usage: power_snapshot [--states N] [--saves N] [--seed N]\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct tally tally = {0};
    struct disk_plan plan = {.variants = 12, .most = 10500, .check = check, .arg = &tally};
    unsigned saves = 220;

    if (argc == 6 && strcmp(argv[1], "--run") == 0) {
        disk_place_at(&disk, argv[2]);
        snprintf(queue, sizeof(queue), "%s", argv[3]);
        seed = strtoull(argv[5], NULL, 10);
        map_shared();
        return run_saves((unsigned)strtoul(argv[4], NULL, 10));
    }
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return usage();
        if (strcmp(argv[i], "--states") == 0)
            plan.most = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--saves") == 0)
            saves = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else
            return usage();
    }
    must(saves > 0 && saves <= SAVES_MAX, "--saves is from 1 to 400, not", saves);
    set_up();
    record(saves);
    plan.log = disk.log;
    plan.folder = disk.made;
    plan.seed = seed;
    int64_t n = disk_states(&plan);
    must(n > 0, "states", n);
    printf("power_snapshot: %" PRId64 " states of %u saves (seed %" PRIu64 "): no file yet %" PRIu64
           ", the last save %" PRIu64 ", the one under way %" PRIu64 "\n",
           n, saves, seed, tally.none, tally.old, tally.new);
    must(disk_is_one() || (tally.none > 0 && tally.old > 0 && tally.new > 0),
         "too few kinds of states", 0);
    return 0;
}
