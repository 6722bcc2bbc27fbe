/*
 * damage.c - see damage.h.
 */
#include "support/damage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CASES_PER_CHILD = 500,
    FAILURES_MAX = 20,
    HANG_S = 80,    /* a case takes milliseconds */
    LATE_MS = 2000, /* of work; a hang takes longer */
};

struct damage_target damage_target;

static unsigned *now; /* shared with the child: which case of its batch */
static int64_t call_begun_ns, worked_before_ns;

/* --- the object ------------------------------------------------------------------ */

void damage_map(void)
{
    struct damage_target *t = &damage_target;
    char path[256];
    struct stat st;

    snprintf(path, sizeof(path), "/dev/shm/shmq.%.64s", t->name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    t->bytes = (size_t)st.st_size;
    t->object = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(t->object, MAP_FAILED);
    close(fd);
    t->image = malloc(t->bytes);
    assert_non_null(t->image);
    memcpy(t->image, t->object, t->bytes);
    now = helper_shared(sizeof(*now));
    t->word_count = 0;
}

void damage_unmap(void)
{
    struct damage_target *t = &damage_target;

    memcpy(t->object, t->image, t->bytes);
    munmap(t->object, t->bytes);
    munmap(now, sizeof(*now));
    free(t->image);
}

void damage_add_words(uint64_t off, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += 4) {
        assert_cmp(damage_target.word_count, <, DAMAGE_WORDS_MAX);
        damage_target.offs[damage_target.word_count++] = (uint32_t)(off + at);
    }
}

/* --- in a child --------------------------------------------------------------------- */

void damage_begin(void)
{
    call_begun_ns = helper_now_ns();
    worked_before_ns = helper_cpu_ns();
}

int64_t damage_is_fine(const char *call, int64_t rc, int64_t most_ns, const int *errors)
{
    int64_t took_ns = helper_now_ns() - call_begun_ns;
    int64_t worked_ns = helper_cpu_ns() - worked_before_ns;
    bool known = rc >= 0 && rc < INT32_MAX;

    for (; *errors != 0; errors++)
        known |= rc == -*errors;
    if (known && took_ns <= HELPER_LATE_NS && worked_ns <= most_ns + SHMQ_MS(LATE_MS))
        return rc;
    print_error("%s: %lld after %lld us, %lld us of work (%s)\n", call, (long long)rc,
                (long long)took_ns / 1000, (long long)worked_ns / 1000, shmq_last_error_detail());
    _exit(2);
}

void damage_give_up(const char *what, int64_t rc)
{
    print_error("%s: %lld (%s)\n", what, (long long)rc, shmq_last_error_detail());
    _exit(3);
}

int damage_open(const struct damage *d, shmq_t **q)
{
    int rc = 0;

    *q = NULL;
    memcpy(damage_target.object, damage_target.image, damage_target.bytes);
    if (d->live)
        rc = shmq_open(q, damage_target.name, 0, NULL);
    for (unsigned i = 0; i < d->count; i++)
        memcpy(damage_target.object + d->hits[i].off, &d->hits[i].value, 4);
    return d->live ? rc : shmq_open(q, damage_target.name, 0, NULL);
}

/* --- many cases ------------------------------------------------------------------------ */

struct batch {
    const struct damage *cases;
    unsigned count;
    void (*one_case)(const struct damage *d);
};

static int run_batch(void *arg)
{
    const struct batch *b = arg;

    for (*now = 0; *now < b->count; ++*now) {
        alarm(HANG_S); /* kills us */
        b->one_case(&b->cases[*now]);
    }
    return 0;
}

static int run(struct batch batch)
{
    return helper_wait(helper_fork(run_batch, &batch));
}

static void show(const struct damage *d, int status)
{
    print_error("status %d: CASE=\"%d", status, d->live);
    for (unsigned i = 0; i < d->count; i++)
        print_error(" %u %#x", d->hits[i].off, d->hits[i].value);
    print_error("\"\n");
}

/* The case that is to be repeated. */
static struct damage read_case(const char *text)
{
    char *end;
    struct damage d = {.live = strtoul(text, &end, 0) != 0};

    while (*end != '\0' && d.count < DAMAGE_HITS_MAX) {
        d.hits[d.count].off = (uint32_t)strtoul(end, &end, 0);
        d.hits[d.count++].value = (uint32_t)strtoul(end, &end, 0);
    }
    return d;
}

void damage_run(const struct damage *cases, unsigned count,
                void (*one_case)(const struct damage *d))
{
    unsigned failures = 0;
    const char *only = getenv("CASE");
    struct damage one;

    if (only != NULL) {
        one = read_case(only);
        cases = &one;
        count = 1;
    }
    for (unsigned done = 0; done < count && failures < FAILURES_MAX;) {
        unsigned n = count - done < CASES_PER_CHILD ? count - done : CASES_PER_CHILD;
        int status = run((struct batch){cases + done, n, one_case});
        if (status == 0) {
            done += n;
            continue;
        }
        done += *now; /* to the one that failed, and go on after it */
        failures++;
        show(&cases[done++], status);
    }
    assert_int_equal(failures, 0);
}
