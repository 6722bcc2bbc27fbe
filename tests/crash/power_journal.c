/*
 * power_journal.c - a power cut at any moment of writing a journal, and of rewriting it:
 * power_journal [--states N] [--deeds N] [--seed N] [--config NAME [--place FOLDER]] | --list.
 *
 * Each configuration has a run under record.so, and then each state in which the disk could
 * be left is made (disk/states.h), and a queue is made of the file; `--states` is about how
 * many of them there are of each run.  Runs differ, so the one that fails is kept:
 * its --config, --seed, --place and STATE='...' make the same state again.
 */
#include "crash/power_journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct journal_config configs[] = {
    {"fifo", SHMQ_JOURNAL_ALWAYS, SHMQ_FIFO, 0, 128 << 10, 0},
    {"priority", SHMQ_JOURNAL_ALWAYS, SHMQ_PRIORITY, 0, 256 << 10, 4},
    {"topic", SHMQ_JOURNAL_ALWAYS, SHMQ_FIFO, SHMQ_TOPIC, 256 << 10, 4},
    {"unique", SHMQ_JOURNAL_OS, SHMQ_FIFO, SHMQ_UNIQUE, 256 << 10, 3},
    {"lifo", SHMQ_JOURNAL_OS, SHMQ_LIFO, 0, 256 << 10, 0},
    {"topic, os", SHMQ_JOURNAL_OS, SHMQ_FIFO, SHMQ_TOPIC, 128 << 10, 0},
    {"interval", SHMQ_JOURNAL_INTERVAL, SHMQ_PRIORITY, 0, 256 << 10, 0},
};

enum { CONFIGS = sizeof(configs) / sizeof(configs[0]), STATES = 2000, DEEDS = 300 };

static struct disk_place place;
static char queue[64];

void journal_must(bool good, const char *what, long long figure)
{
    if (good)
        return;
    fprintf(stderr, "power_journal: %s: %lld (%s)\n", what, figure, shmq_last_error_detail());
    exit(1);
}

/* --- looking at the states of a run --------------------------------------------------- */

/* What is known up to a prefix, and what was seen of all of them. */
struct look {
    const struct journal_shared *shared;
    bool made;         /* the queue had been made */
    uint32_t returned; /* deeds */
    struct book low;   /* what was promised, ... */
    struct book last;  /* ... and all there ever was */
    struct book is;    /* the state */
    uint64_t none, promised, more, under_way, again;
};

static void add_deeds(struct book *b, const struct journal_shared *s, uint32_t count)
{
    while (b->deeds < count) {
        const char *wrong = book_add(b, &s->deeds[b->deeds]);
        journal_must(wrong == NULL, wrong, b->deeds);
    }
}

static void hear(const char *text, void *arg)
{
    struct look *l = arg;
    uint32_t n = (uint32_t)strtoul(text + 2, NULL, 10);
    bool always = l->low.config->journal == SHMQ_JOURNAL_ALWAYS;

    l->made = true;
    if (text[0] == 'D' && n > l->returned)
        l->returned = n;
    if (text[0] == 'L' || always || (n > 0 && l->shared->deeds[n - 1].kind == DEED_SYNC))
        add_deeds(&l->low, l->shared, n);
}

static int complain(const struct disk_state *s, const struct look *l, const char *what, int rc)
{
    fprintf(stderr,
            "power_journal --config '%s' --seed %" PRIu64 ", STATE='%" PRIu64 " %u', "
            "%u deeds of which %u were promised: %s: %d (%s)\n",
            l->low.config->name, s->seed, s->prefix, s->variant, l->returned, l->low.deeds, what,
            rc, rc < 0 ? shmq_last_error_detail() : "");
    return 1;
}

/* After how many deeds the queue is as it is; that is in l->is then. */
static const char *compare(struct look *l, shmq_t *q)
{
    static struct found found;
    static char text[400];
    const char *why, *first = NULL;
    const char *wrong = journal_find(q, &l->last, &found);

    if (wrong == NULL)
        wrong = journal_drain(q, &l->last, &found);
    if (wrong != NULL)
        return wrong;
    l->is = l->low;
    for (;;) {
        if (journal_same(&l->is, &found, &why))
            return NULL;
        if (first == NULL) {
            snprintf(text, sizeof(text), "after %u deeds: %s", l->is.deeds, why);
            first = text;
        }
        if (l->is.deeds >= l->returned + 1 || l->is.deeds >= l->shared->count)
            break;
        add_deeds(&l->is, l->shared, l->is.deeds + 1);
    }
    size_t used = strlen(text);
    snprintf(text + used, sizeof(text) - used, "; after %u deeds: %s", l->is.deeds, why);
    return text;
}

/* Open it as after a restart, and once more: what that made of the file must do as well. */
static int open_twice(struct look *l, const char *path, const char **wrong)
{
    struct shmq_attr attr = SHMQ_ATTR_INIT;
    static struct found found;
    const char *why;
    shmq_t *q;

    attr.snapshot = path;
    for (int i = 0; i < 2; i++) {
        attr.journal = i == 0 ? l->low.config->journal : SHMQ_JOURNAL_OS; /* drained faster */
        int rc = shmq_open(&q, queue, SHMQ_CREATE | SHMQ_EXCL, &attr);
        if (rc < 0)
            return rc;
        *wrong = i == 0 ? journal_find(q, &l->last, &found) : compare(l, q);
        shmq_close(q);
        shmq_unlink(queue);
        if (*wrong != NULL)
            return 0;
    }
    *wrong = journal_same(&l->is, &found, &why) ? NULL : "at the second time it is another";
    l->again++;
    return 0;
}

static int load_once(struct look *l, const char *path, const char **wrong)
{
    char name[80];
    shmq_t *q;

    snprintf(name, sizeof(name), "%s.again", queue);
    int rc = shmq_load(name, path);
    if (rc < 0)
        return rc;
    rc = shmq_open(&q, name, 0, NULL);
    journal_must(rc == 0, "open", rc);
    *wrong = compare(l, q);
    shmq_close(q);
    shmq_unlink(name);
    return 0;
}

static int check(const struct disk_state *s, void *arg)
{
    struct look *l = arg;
    const char *wrong = NULL;
    char path[128];

    snprintf(path, sizeof(path), "%s/file", s->folder);
    bool is_there = access(path, F_OK) == 0;
    if (!is_there && !l->made) {
        l->none++;
        return 0;
    }
    int rc = !is_there            ? -ENOENT
             : s->number % 8 == 0 ? open_twice(l, path, &wrong)
                                  : load_once(l, path, &wrong);
    if (rc < 0)
        return complain(s, l, "no queue could be made", rc);
    if (wrong != NULL)
        return complain(s, l, wrong, 0);
    l->promised += l->is.deeds == l->low.deeds;
    l->more += l->is.deeds > l->low.deeds;
    l->under_way += l->is.deeds > l->returned;
    return 0;
}

/* --- a configuration ----------------------------------------------------------------------- */

static void count_kinds(const struct journal_shared *s)
{
    unsigned counts[DEED_KINDS] = {0};

    for (uint32_t i = 0; i < s->count; i++)
        counts[s->deeds[i].kind] += s->deeds[i].rc == 0;
    printf("   deeds:");
    for (unsigned i = 0; i < DEED_KINDS; i++)
        printf(" %u", counts[i]);
    printf("\n");
}

/* The queue is named after the place, so that it has the same name if that is kept. */
static void name_queue(void)
{
    snprintf(queue, sizeof(queue), "crash-journal%s", strrchr(place.base, '-'));
}

/* Run and record: configuration `n`, or the flood. */
static void record(unsigned n, uint64_t seed, unsigned deeds)
{
    char which[16], number[24], many[16];

    journal_must(disk_place_make(&place, "shmq-power") == 0, "mkdir", errno);
    name_queue();
    const char *arguments[] = {"--run", place.base, queue, which, number, many, NULL};
    snprintf(which, sizeof(which), "%u", n);
    snprintf(number, sizeof(number), "%" PRIu64, seed);
    snprintf(many, sizeof(many), "%u", deeds);
    int status = disk_run(&place, NULL, arguments);
    journal_must(status == 0, "the run that is recorded", status);
}

static void take_up(const char *base)
{
    disk_place_at(&place, base);
    name_queue();
    mkdir(place.made, 0700);
}

static void remove_made(void)
{
    disk_empty(place.made);
    rmdir(place.made);
}

static void end_place(bool keep)
{
    if (keep)
        remove_made();
    else
        disk_place_remove(&place);
    place.base[0] = '\0';
}

static void look_begin(struct look *l, const struct journal_config *config)
{
    memset(l, 0, sizeof(*l));
    l->shared = disk_share(&place, sizeof(*l->shared));
    journal_must(l->shared != NULL, "shared memory", errno);
    book_begin(&l->low, config);
    book_begin(&l->last, config);
    add_deeds(&l->last, l->shared, l->shared->count);
}

static void cut_power(unsigned n, uint64_t seed, uint64_t most, bool verbose)
{
    static struct look l;
    struct disk_plan plan = {
        .log = place.log,
        .folder = place.made,
        .seed = seed,
        .variants = 8,
        .most = most,
        .check = check,
        .note = hear,
        .arg = &l,
    };

    look_begin(&l, &configs[n]);
    int64_t states = disk_states(&plan);
    journal_must(states > 0, "states", states);
    printf("%-10s %6" PRId64 " states of %u deeds, %u times rewritten (%u deeds meanwhile): "
           "%" PRIu64 " as promised, %" PRIu64 " with more (%" PRIu64 " of a deed under way), "
           "%" PRIu64 " without a file; %" PRIu64 " opened twice\n",
           configs[n].name, states, l.shared->count, l.shared->saves, l.shared->meanwhile,
           l.promised, l.more, l.under_way, l.none, l.again);
    if (verbose)
        count_kinds(l.shared);
    journal_must(disk_is_one() || (l.promised > 0 && l.more > 0 && l.under_way > 0 && l.again > 0 &&
                                   l.shared->saves > 0),
                 "too few kinds of states", 0);
}

/* What was recorded of a run that failed is kept. */
static void clean_up(void)
{
    char name[80];

    if (place.base[0] == '\0')
        return;
    remove_made();
    fprintf(stderr, "power_journal: its run is kept for --place %s\n", place.base);
    snprintf(name, sizeof(name), "%s.again", queue);
    shmq_unlink(name);
    shmq_unlink(queue);
}

/* In the run that is recorded: --run PLACE QUEUE CONFIG SEED DEEDS. */
static int run(char **argv)
{
    unsigned n = (unsigned)strtoul(argv[4], NULL, 10);
    uint64_t seed = strtoull(argv[5], NULL, 10);

    disk_place_at(&place, argv[2]);
    if (n >= CONFIGS)
        return flood_run(&place, argv[3], seed);
    return journal_run(&place, &configs[n], argv[3], seed, (unsigned)strtoul(argv[6], NULL, 10));
}

static int list(void)
{
    for (unsigned n = 0; n <= CONFIGS; n++)
        puts(n < CONFIGS ? configs[n].name : "flood");
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: power_journal [--states N] [--deeds N] [--seed N]\n"
                    "           [--config NAME [--place FOLDER]] | --list\n");
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, states = STATES, deeds = DEEDS;
    const char *only = NULL, *kept = NULL;
    bool found = false;

    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list();
    if (argc == 7 && strcmp(argv[1], "--run") == 0)
        return run(argv);
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return usage();
        if (strcmp(argv[i], "--states") == 0)
            states = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--deeds") == 0)
            deeds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--config") == 0)
            only = argv[i + 1];
        else if (strcmp(argv[i], "--place") == 0)
            kept = argv[i + 1];
        else
            return usage();
    }
    if (kept != NULL && (only == NULL || strrchr(kept, '-') == NULL))
        return usage();
    journal_must(deeds > 0 && deeds <= DEEDS_MAX, "--deeds", (long long)deeds);
    atexit(clean_up);
    for (unsigned n = 0; n <= CONFIGS; n++) {
        if (only != NULL && strcmp(only, n < CONFIGS ? configs[n].name : "flood") != 0)
            continue;
        if (kept != NULL)
            take_up(kept);
        else
            record(n, seed, (unsigned)deeds);
        if (n < CONFIGS)
            cut_power(n, seed, states, only != NULL);
        else
            flood_check(&place, queue, seed, states);
        fflush(stdout);
        end_place(kept != NULL);
        found = true;
    }
    return found ? 0 : usage();
}
