/*
 * make_corpus.c - writes files made by support/file_builder.h into a directory.
 *
 * Usage: make_corpus corpus|files|samples DIRECTORY
 *
 * `corpus`: what the fuzzer begins with, as tests/fuzz/fuzz_file.c takes it; the result is
 * tests/fuzz/corpus/file.  `files`: whole, torn and damaged ones for the tests of the tools.
 * `samples`: those of today's format (support/format_sample.h), into a folder formatN that is
 * not there yet.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support/file_builder.h"
#include "support/format_sample.h"

static const char *directory;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static FILE *create(const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        fail(path);
    return file;
}

static void end(FILE *file)
{
    if (fclose(file) != 0)
        fail("write");
}

/* The whole file, or with what fuzz_file.c wants before it and no room behind the
 * header's struct. */
static void save(const char *name, const struct made_file *f)
{
    FILE *file = create(name);

    fwrite(f->bytes, 1, f->size, file);
    end(file);
}

static void save_short(const char *name, const struct made_file *f, int mode, int spoiled)
{
    FILE *file = create(name);

    fputc(mode, file);
    fputc(spoiled, file);
    fwrite(f->bytes, 1, sizeof(struct sq_file_header), file);
    fwrite(f->bytes + SQ_FILE_HEADER_BYTES, 1, f->size - SQ_FILE_HEADER_BYTES, file);
    end(file);
}

/* One message with all that may stand in an extension. */
static void add_extended(struct made_file *f, uint64_t id)
{
    struct {
        struct sq_record_shm head;
        struct sq_extension_shm extension;
        char rest[40];
    } r = {
        .head = {.length = sizeof(r) - sizeof(r.head), .tag = SQ_RECORD_EXTENDED, .put_ns = 5},
        .extension = {.bytes = sizeof(r.extension) + 24,
                      .type = 'T',
                      .priority = -3,
                      .key_bytes = 4,
                      .header_bytes = 16,
                      .due_ns = 1000,
                      .expiry_ns = 1000000},
    };

    memcpy(r.rest, "key1name\0value\0n\0v\0", 20);
    memcpy(r.rest + 24, "the payload here", 16);
    sq_store(&r.head.id, id);
    made_frame(f, SQ_FRAME_RECORDS, &r, sizeof(r));
}

static void make_corpus(void)
{
    struct made_file f;

    made_sample(&f, 0);
    add_extended(&f, 7);
    save_short("plain", &f, 3, 0);
    save_short("spoiled", &f, 7, 6);
    save_short("headless", &f, 11, 0);
    save_short("as-it-is", &f, 2, 0);
    made_free(&f);
    made_sample(&f, SHMQ_TOPIC);
    save_short("topic", &f, 3, 0);
    made_free(&f);
    made_begin(&f, 0);
    made_base(&f);
    save_short("base", &f, 3, 0);
    made_free(&f);
}

/* A plain queue whose frames all say that what is before them was on the disk. */
static void make_synced(struct made_file *f)
{
    char text[40];

    made_begin(f, 0);
    made_session(f, 1000000);
    made_group(f, 0, "", 2);
    made_base(f);
    for (uint64_t id = 1; id <= 6; id++) {
        f->synced_off = f->size;
        snprintf(text, sizeof(text), "message %llu", (unsigned long long)id);
        made_record(f, id, 0, text);
        if (id == 2)
            made_entry(f, 0, 2, 0, SQ_PARKED, 1);
    }
}

static void make_damaged(void)
{
    struct made_file f;

    make_synced(&f);
    save("synced", &f);
    /* Frames: session, group, base, records 1 and 2, entries, records 3 to 6; all
     * records' frames have equal length. */
    uint64_t last = f.size - sq_frame_total(40), third = f.size - 4 * sq_frame_total(40);
    f.bytes[third + 60]++;
    save("damaged", &f);
    f.bytes[third + 60]--;
    f.bytes[last + 60]++;
    save("torn", &f);
    f.bytes[last + 60]--;
    f.bytes[100]++;
    save("bad-header", &f);
    f.bytes[100]--;
    f.size += 5000;
    save("zeros", &f);
    f.size = SQ_FILE_HEADER_BYTES + 100;
    save("no-base", &f);
    made_free(&f);
}

static void make_files(void)
{
    struct made_file f;

    made_sample(&f, 0);
    add_extended(&f, 7);
    save("plain", &f);
    made_free(&f);
    made_sample(&f, SHMQ_TOPIC);
    save("topic", &f);
    made_free(&f);
    make_damaged();
    made_begin(&f, 0);
    made_group(&f, 0, "", 0);
    made_base(&f);
    made_record(&f, 1, 0, "one");
    made_entry(&f, 0, 5, 0, SQ_WAITING, 5); /* past all messages */
    save("senseless", &f);
    made_free(&f);
}

/*
 * The clock of this program, and of the library in it, begins in 2020: times that are over
 * in a sample are over wherever it is read, even if the clock there is behind.
 */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    enum { BEGINNING_S = 1577836800 };
    static time_t since_s;
    int rc = (int)syscall(SYS_clock_gettime, clock, now);

    if (rc != 0 || clock != CLOCK_REALTIME)
        return rc;
    if (since_s == 0)
        since_s = now->tv_sec;
    now->tv_sec += BEGINNING_S - since_s;
    return 0;
}

static void make_samples(void)
{
    char folder[4000], path[4096], name[64];

    snprintf(folder, sizeof(folder), "%s/format%u", directory, SQ_FILE_FORMAT);
    if (mkdir(folder, 0777) != 0)
        fail(folder);
    for (enum sample which = 0; which < SAMPLES; which++) {
        snprintf(name, sizeof(name), "sample.%s", sample_names[which]);
        snprintf(path, sizeof(path), "%s/%s", folder, sample_names[which]);
        if (sample_make(which, name, path) < 0)
            fprintf(stderr, "%s: not without liblz4\n", path);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*make)(void);
    } kinds[] = {{"corpus", make_corpus}, {"files", make_files}, {"samples", make_samples}};

    for (size_t i = 0; argc == 3 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(argv[1], kinds[i].name) == 0) {
            directory = argv[2];
            kinds[i].make();
            return 0;
        }
    fprintf(stderr, "usage: make_corpus corpus|files|samples DIRECTORY\n");
    return 2;
}
