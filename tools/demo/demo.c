/*
 * demo.c - shmq at its main job, on real input, with accidents.
 *
 * usage: demo SHMQ-STAT [DIR ...]
 *
 * Three producers put every line of all regular files under the given folders
 * (this project's sources and /usr/share) into one queue, two consumers get
 * them, and shmq-stat shows the depth each second.  On the way one consumer and
 * one producer are killed with SIGKILL and replaced; the new producer goes on
 * after the last line that was put.  In the end every line is accounted for.
 *
 * A line's message is a struct head and its bytes.  The consumers note each line
 * by producer and sequence number in a page all share.  Lines of more than
 * LONGEST bytes go in pieces, each counted as a line.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shmq.h"

enum {
    PRODUCERS = 3,
    CONSUMERS = 2,
    LONGEST = 60000,
    LINES_MAX = 1 << 26,   /* that one producer may put */
    LINES_WANTED = 200000, /* at least; a small input is read again */
    SECONDS_READING = 12,  /* no further file is begun after that */
    KILL_CONSUMER_AT = 30000,
    KILL_PRODUCER_AT = 10000,
};

enum { LINE = 1, MARKER, END };

struct head {
    uint32_t kind;
    uint32_t producer;
    uint64_t sequence; /* of the producer's lines, from 0 */
    uint64_t check;    /* of the bytes */
};

/* What a producer has done; its successor goes on from it. */
struct progress {
    _Atomic uint64_t files;  /* whole files put */
    _Atomic uint64_t before; /* lines in those */
    _Atomic uint64_t begun;  /* lines put, and perhaps one more */
    _Atomic uint64_t put;    /* lines whose put has returned */
    uint64_t resume;         /* set by the parent: lines not to put again */
    _Atomic bool done;
};

struct consumer {
    _Atomic uint64_t got;    /* messages */
    _Atomic uint64_t rounds; /* gets begun */
    _Atomic bool noting;     /* has a message that is not yet noted */
    _Atomic uint64_t torn, disorder;
};

struct shared {
    int64_t started_ns;
    struct progress progress[PRODUCERS];
    struct consumer consumer[CONSUMERS + 1];
    _Atomic bool marker_seen;
    _Atomic uint64_t id[PRODUCERS][LINES_MAX]; /* of the line's message; 0: not come */
    _Atomic uint64_t doubled;
};

static struct shared *shared;
static char **files;
static size_t file_count, file_room;
static char queue_name[64];

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what, int rc)
{
    fprintf(stderr, "demo: %s: %s (%s)\n", what, shmq_strerror(rc), shmq_last_error_detail());
    exit(3);
}

static uint64_t check_of(const unsigned char *bytes, size_t n)
{
    uint64_t sum = n * 0x9e3779b97f4a7c15u, word;

    for (; n >= 8; n -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        sum = (sum ^ word) * 0x100000001b3u;
    }
    while (n-- > 0)
        sum = (sum ^ *bytes++) * 0x100000001b3u;
    return sum;
}

/* --- the input ------------------------------------------------------------ */

static int note_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)where;
    if (type != FTW_F || !S_ISREG(st->st_mode) || st->st_size == 0)
        return 0;
    if (file_count == file_room) {
        file_room = file_room * 2 + 1024;
        files = realloc(files, file_room * sizeof(*files));
        if (files == NULL)
            die("the list of files", -ENOMEM);
    }
    files[file_count] = strdup(path);
    if (files[file_count++] == NULL)
        die("the list of files", -ENOMEM);
    return 0;
}

struct text {
    unsigned char *bytes;
    size_t length, at;
};

/* The producer's file number `n`; producers take files in turn, and begin again
 * at the first when all are read. */
static bool open_text(unsigned producer, uint64_t n, struct text *text)
{
    uint64_t share = (file_count + PRODUCERS - 1 - producer) / PRODUCERS;
    struct stat st;
    int fd =
        share == 0 ? -1 : open(files[producer + (n % share) * PRODUCERS], O_RDONLY | O_CLOEXEC);

    *text = (struct text){0};
    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        text->bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        text->length = text->bytes == MAP_FAILED ? 0 : (size_t)st.st_size;
    }
    close(fd);
    return text->length > 0;
}

static void close_text(struct text *text)
{
    if (text->length > 0)
        munmap(text->bytes, text->length);
}

/* The next line, without its newline. */
static bool next_line(struct text *text, const unsigned char **line, size_t *length)
{
    size_t left = text->length - text->at;

    if (left == 0)
        return false;
    *line = text->bytes + text->at;
    const unsigned char *newline = memchr(*line, '\n', left < LONGEST ? left : LONGEST);
    if (newline != NULL)
        *length = (size_t)(newline - *line);
    else
        *length = left < LONGEST ? left : LONGEST;
    text->at += *length + (newline != NULL);
    return true;
}

static bool more_to_read(unsigned producer, uint64_t file, uint64_t lines)
{
    uint64_t share = (file_count + PRODUCERS - 1 - producer) / PRODUCERS;

    if (lines >= LINES_MAX - (1 << 22))
        return false;
    if (file < share)
        return now_ns() - shared->started_ns < SHMQ_SEC(SECONDS_READING);
    return share > 0 && lines < LINES_WANTED / PRODUCERS + 1;
}

/* --- producers ------------------------------------------------------------- */

static void put_line(shmq_t *q, unsigned producer, uint64_t sequence, const unsigned char *line,
                     size_t length)
{
    struct progress *progress = &shared->progress[producer];
    void *data;
    int rc;

    atomic_store(&progress->begun, sequence + 1);
    rc = shmq_reserve(q, sizeof(struct head) + length, &data, SHMQ_FOREVER);
    if (rc < 0)
        die("reserve", rc);
    memcpy((char *)data + sizeof(struct head), line, length);
    *(struct head *)data = (struct head){LINE, producer, sequence, check_of(line, length)};
    rc = shmq_commit(q, sizeof(struct head) + length);
    if (rc < 0)
        die("commit", rc);
    atomic_store(&progress->put, sequence + 1);
}

static int produce(unsigned producer)
{
    struct progress *progress = &shared->progress[producer];
    uint64_t sequence = progress->before, file = progress->files, resume = progress->resume;
    shmq_t *q;
    int rc = shmq_open(&q, queue_name, 0, NULL);

    if (rc < 0)
        die("open", rc);
    while (more_to_read(producer, file, sequence)) {
        const unsigned char *line;
        struct text text;
        size_t length;
        if (open_text(producer, file, &text))
            while (next_line(&text, &line, &length)) {
                if (sequence >= resume)
                    put_line(q, producer, sequence, line, length);
                sequence++;
            }
        close_text(&text);
        file++;
        /* A successor that finds only one of the two stored would miscount. */
        atomic_store(&progress->files, UINT64_MAX);
        atomic_store(&progress->before, sequence);
        atomic_store(&progress->files, file);
    }
    atomic_store(&progress->done, true);
    shmq_close(q);
    return 0;
}

/* --- consumers -------------------------------------------------------------- */

static bool note_line(struct consumer *me, const struct head *head, size_t length, uint64_t id,
                      uint64_t *last)
{
    const unsigned char *bytes = (const unsigned char *)(head + 1);

    if (length < sizeof(*head) || head->producer >= PRODUCERS || head->sequence >= LINES_MAX ||
        head->check != check_of(bytes, length - sizeof(*head))) {
        me->torn++;
        return false;
    }
    if (atomic_exchange(&shared->id[head->producer][head->sequence], id) != 0)
        shared->doubled++;
    if (head->sequence < last[head->producer])
        me->disorder++;
    last[head->producer] = head->sequence;
    return true;
}

static int consume(unsigned number)
{
    struct consumer *me = &shared->consumer[number];
    static _Alignas(8) unsigned char buffer[sizeof(struct head) + LONGEST];
    const struct head *head = (const struct head *)(const void *)buffer;
    uint64_t last[PRODUCERS] = {0};
    struct shmq_info info;
    shmq_t *q;
    int rc = shmq_open(&q, queue_name, 0, NULL);

    if (rc < 0)
        die("open", rc);
    for (;;) {
        me->noting = false;
        me->rounds++;
        ssize_t n = shmq_get(q, buffer, sizeof(buffer), &info, SHMQ_FOREVER);
        me->noting = true;
        if (n < 0)
            die("get", (int)n);
        if (head->kind == END)
            break;
        if (head->kind == MARKER)
            shared->marker_seen = true;
        else
            note_line(me, head, (size_t)n, info.id, last);
        me->got++;
    }
    me->noting = false;
    shmq_close(q);
    return 0;
}

static pid_t start(int (*body)(unsigned), unsigned argument)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(body(argument));
    }
    if (child < 0)
        die("fork", -errno);
    return child;
}

static void reap(pid_t child)
{
    int status;

    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        exit(3);
}

static void nap(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static uint64_t got_in_all(void)
{
    uint64_t sum = 0;

    for (int i = 0; i <= CONSUMERS; i++)
        sum += shared->consumer[i].got;
    return sum;
}

/* --- accidents ---------------------------------------------------------------- */

static void kill_consumer(pid_t *consumers)
{
    while (got_in_all() < KILL_CONSUMER_AT)
        nap();
    kill(consumers[0], SIGKILL);
    reap(consumers[0]);
    consumers[0] = start(consume, CONSUMERS);
    printf("-- killed consumer %d, started %d in its place\n", 0, (int)consumers[0]);
}

/* All that was put before now is noted, when this returns: a marker put now has
 * come, and each consumer has since finished with what it had. */
static void await_noted(shmq_t *q)
{
    struct head marker = {.kind = MARKER};
    int rc;

    shared->marker_seen = false;
    rc = shmq_put(q, &marker, sizeof(marker), SHMQ_SEC(10));
    if (rc < 0)
        die("put", rc);
    while (!shared->marker_seen)
        nap();
    for (int i = 1; i <= CONSUMERS; i++) {
        uint64_t rounds = shared->consumer[i].rounds;
        while (shared->consumer[i].noting && shared->consumer[i].rounds == rounds)
            nap();
    }
}

static void kill_producer(shmq_t *q, pid_t *producers, unsigned victim)
{
    struct progress *progress = &shared->progress[victim];

    while (progress->put < KILL_PRODUCER_AT)
        nap();
    kill(producers[victim], SIGKILL);
    reap(producers[victim]);
    uint64_t put = progress->put, begun = progress->begun;
    /* The last line it began: did that one get into the queue? */
    await_noted(q);
    if (begun > put && shared->id[victim][put] != 0)
        put++;
    if (progress->files == UINT64_MAX) { /* killed while it kept its books: from the start */
        progress->before = 0;
        progress->files = 0;
    }
    progress->done = false;
    progress->resume = put;
    producers[victim] = start(produce, victim);
    printf("-- killed producer %u after its line %llu, started %d to go on\n", victim,
           (unsigned long long)put, (int)producers[victim]);
}

/* --- the account --------------------------------------------------------------- */

/* Count again, from the files alone. */
static uint64_t recount(unsigned producer)
{
    uint64_t lines = 0;

    for (uint64_t file = 0; file < shared->progress[producer].files; file++) {
        const unsigned char *line;
        struct text text;
        size_t length;
        if (open_text(producer, file, &text))
            while (next_line(&text, &line, &length))
                lines++;
        close_text(&text);
    }
    return lines;
}

static void name_line(unsigned producer, uint64_t sequence)
{
    uint64_t at = 0, share = (file_count + PRODUCERS - 1 - producer) / PRODUCERS;

    for (uint64_t file = 0;; file++) {
        const unsigned char *line;
        struct text text;
        size_t length;
        uint64_t number = 1;
        if (open_text(producer, file, &text))
            for (; next_line(&text, &line, &length); number++)
                if (at++ == sequence) {
                    printf("   in the killed consumer's hands: %s line %llu\n",
                           files[producer + (file % share) * PRODUCERS],
                           (unsigned long long)number);
                    close_text(&text);
                    return;
                }
        close_text(&text);
    }
}

static int account(void)
{
    uint64_t lines = 0, missing = 0, disorder = 0, torn = 0, miscounted = 0;

    for (unsigned p = 0; p < PRODUCERS; p++) {
        uint64_t last_id = 0, put = shared->progress[p].put;
        miscounted += recount(p) != put;
        lines += put;
        for (uint64_t i = 0; i < put; i++) {
            uint64_t id = shared->id[p][i];
            if (id == 0) {
                missing++;
                if (missing == 1)
                    name_line(p, i);
                continue;
            }
            disorder += id <= last_id;
            last_id = id;
        }
    }
    for (int i = 0; i <= CONSUMERS; i++) {
        torn += shared->consumer[i].torn;
        disorder += shared->consumer[i].disorder;
    }
    printf("%llu lines of %zu files: %llu doubled, %llu torn, %llu out of order, %llu missing "
           "(at most 1, the killed consumer's)\n",
           (unsigned long long)lines, file_count, (unsigned long long)shared->doubled,
           (unsigned long long)torn, (unsigned long long)disorder, (unsigned long long)missing);
    if (miscounted > 0)
        printf("the files have another number of lines than were put\n");
    return lines < LINES_WANTED || shared->doubled + torn + disorder + miscounted > 0 ||
           missing > 1;
}

static bool queue_is_left(void)
{
    char path[128];

    snprintf(path, sizeof(path), "/dev/shm/shmq.%s", queue_name);
    return access(path, F_OK) == 0;
}

static void run(shmq_t *q, const char *stat_program)
{
    pid_t producers[PRODUCERS], consumers[CONSUMERS], stat;
    struct head end = {.kind = END};

    stat = fork();
    if (stat == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(stat_program, stat_program, queue_name, "1", (char *)NULL);
        die(stat_program, -errno);
    }
    for (unsigned i = 0; i < CONSUMERS; i++)
        consumers[i] = start(consume, i);
    for (unsigned i = 0; i < PRODUCERS; i++)
        producers[i] = start(produce, i);
    kill_consumer(consumers);
    kill_producer(q, producers, 1);
    for (unsigned i = 0; i < PRODUCERS; i++)
        reap(producers[i]);
    for (unsigned i = 0; i < CONSUMERS; i++)
        shmq_put(q, &end, sizeof(end), SHMQ_FOREVER);
    for (unsigned i = 0; i < CONSUMERS; i++)
        reap(consumers[i]);
    kill(stat, SIGINT);
    waitpid(stat, NULL, 0);
}

int main(int argc, char **argv)
{
    shmq_t *q;

    setvbuf(stdout, NULL, _IOLBF, 0); /* in step with what shmq-stat prints */
    if (argc < 3) {
        fprintf(stderr, "usage: demo SHMQ-STAT DIR ...\n");
        return 2;
    }
    snprintf(queue_name, sizeof(queue_name), "demo-%d", (int)getpid());
    for (int i = 2; i < argc; i++)
        nftw(argv[i], note_file, 32, FTW_PHYS);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared == MAP_FAILED)
        die("mmap", -errno);
    int rc = shmq_open(&q, queue_name, SHMQ_CREATE | SHMQ_EXCL, NULL);
    if (rc < 0)
        die("create", rc);
    printf("%d producers, %d consumers, %zu files\n", PRODUCERS, CONSUMERS, file_count);
    shared->started_ns = now_ns();
    run(q, argv[1]);
    double seconds = (double)(now_ns() - shared->started_ns) / 1e9;
    shmq_close(q);
    shmq_unlink(queue_name);
    rc = account();
    if (queue_is_left()) {
        printf("/dev/shm is not clean\n");
        rc = 1;
    }
    printf("%s after %.1f s of moving lines\n", rc == 0 ? "all accounted for" : "FAILED", seconds);
    return rc;
}
