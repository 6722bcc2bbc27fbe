/*
 * states.c - see states.h.  Each state is made anew from the log: from one prefix to the
 * next what is known of files and names is carried on, and what a state has of that is
 * decided file by file.
 */
#include "disk/states.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/log.h"
#include "disk/place.h"

enum { SECTOR = 512, FILES_MAX = 4096, NAME_MAX = 256 };

struct entry {
    struct disk_entry e;
    const unsigned char *data;
    char name[NAME_MAX], other[NAME_MAX];
    int file; /* index of files, -1: none */
};

/* A file's bytes as they are on the disk for sure, and what is not synced: entries. */
struct file {
    uint64_t ino;
    unsigned char *bytes;
    size_t size;
    size_t *pending, count, room;
    bool forgotten; /* nobody can open it any more */
};

/* Names, and the files that they mean. */
struct names {
    struct {
        char name[NAME_MAX];
        int file;
    } list[64];
    int count;
};

struct builder {
    const struct disk_plan *plan;
    unsigned char *log;
    struct entry *entries;
    size_t count;
    struct file *files;
    int file_count;
    struct names names;    /* synced */
    size_t *pending_names; /* entries */
    size_t pending_count;
    uint64_t random;
};

static void *must(void *memory)
{
    if (!memory) {
        perror("states");
        exit(99);
    }
    return memory;
}

static uint64_t random_of(struct builder *b, uint64_t below)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return (b->random * 0x2545f4914f6cdd1dULL >> 11) % below;
}

/* --- the log ----------------------------------------------------------------------- */

static bool copy_name(char *to, const unsigned char *from, size_t length)
{
    if (length >= NAME_MAX || memchr(from, '/', length))
        return false;
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

/* The entry at *at.  False: the log makes no sense. */
static bool read_entry(struct builder *b, size_t size, size_t *at)
{
    struct entry *x = &b->entries[b->count];
    uint64_t length;

    if (size - *at < sizeof(x->e))
        return false;
    memcpy(&x->e, b->log + *at, sizeof(x->e));
    *at += sizeof(x->e);
    length = (uint64_t)x->e.name_bytes + x->e.other_bytes + x->e.data_bytes;
    if (length > size - *at || !copy_name(x->name, b->log + *at, x->e.name_bytes) ||
        !copy_name(x->other, b->log + *at + x->e.name_bytes, x->e.other_bytes))
        return false;
    x->data = b->log + *at + x->e.name_bytes + x->e.other_bytes;
    *at += length;
    b->count++;
    return true;
}

static int read_log(struct builder *b)
{
    struct stat st;
    size_t at = 0, room = 0;
    int fd = open(b->plan->log, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0) {
        b->log = must(malloc((size_t)st.st_size + 1));
        n = read(fd, b->log, (size_t)st.st_size);
    }
    close(fd);
    if (n < 0 || n != st.st_size)
        return -EIO;
    while (at < (size_t)n) {
        if (b->count == room) {
            room = room ? room * 2 : 1024;
            b->entries = must(realloc(b->entries, room * sizeof(*b->entries)));
        }
        if (!read_entry(b, (size_t)n, &at))
            return -EPROTO;
    }
    b->pending_names = must(calloc(b->count + 1, sizeof(*b->pending_names)));
    return 0;
}

/* --- what is known up to a prefix ------------------------------------------------------ */

/* The file that has this inode now: the last one that was created with it. */
static int file_of(const struct builder *b, uint64_t ino)
{
    for (int i = b->file_count - 1; i >= 0; i--)
        if (b->files[i].ino == ino)
            return i;
    return -1;
}

static void resize(unsigned char **bytes, size_t *size, size_t to)
{
    *bytes = must(realloc(*bytes, to + 1));
    if (to > *size)
        memset(*bytes + *size, 0, to - *size);
    *size = to;
}

/* Make the change to a file's bytes; of a write only sectors that `keep` says. */
static void apply(unsigned char **bytes, size_t *size, const struct entry *x, struct builder *torn)
{
    size_t from = (size_t)x->e.off, to = from + x->e.data_bytes;

    if (x->e.op == DISK_RESIZE) {
        resize(bytes, size, from);
        return;
    }
    if (to > *size)
        resize(bytes, size, to);
    while (from < to) {
        size_t next = (from / SECTOR + 1) * SECTOR;
        size_t n = (next < to ? next : to) - from;

        if (!torn || random_of(torn, 2) == 0)
            memcpy(*bytes + from, x->data + (from - (size_t)x->e.off), n);
        from += n;
    }
}

static int find_name(const struct names *names, const char *name)
{
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->list[i].name, name) == 0)
            return i;
    return -1;
}

static void set_name(struct names *names, const char *name, int file)
{
    int i = find_name(names, name);

    if (i < 0 && names->count == (int)(sizeof(names->list) / sizeof(names->list[0])))
        exit(98);
    if (i < 0)
        strcpy(names->list[i = names->count++].name, name);
    names->list[i].file = file;
}

static void drop_name(struct names *names, const char *name)
{
    int i = find_name(names, name);

    if (i >= 0)
        names->list[i] = names->list[--names->count];
}

static void apply_name(struct names *names, const struct entry *x)
{
    if (x->e.op == DISK_UNLINK || x->e.op == DISK_RENAME)
        drop_name(names, x->name);
    if (x->e.op == DISK_CREATE)
        set_name(names, x->name, x->file);
    if (x->e.op == DISK_RENAME || x->e.op == DISK_LINK)
        set_name(names, x->other, x->file);
}

static void sync_file(struct builder *b, struct file *f)
{
    for (size_t i = 0; i < f->count; i++)
        apply(&f->bytes, &f->size, &b->entries[f->pending[i]], NULL);
    f->count = 0;
}

/* Nothing is under way with names: files that have none now will never have one. */
static void forget_files(struct builder *b)
{
    for (int i = 0; i < b->file_count; i++) {
        struct file *f = &b->files[i];
        bool named = false;

        for (int n = 0; n < b->names.count; n++)
            named = named || b->names.list[n].file == i;
        if (named || f->forgotten)
            continue;
        free(f->bytes);
        free(f->pending);
        *f = (struct file){.ino = f->ino, .forgotten = true};
    }
}

/* Go on by one entry. */
static void step(struct builder *b, size_t n)
{
    struct entry *x = &b->entries[n];

    if (x->e.op == DISK_CREATE) {
        if (b->file_count == FILES_MAX)
            exit(97);
        b->files[b->file_count++] = (struct file){.ino = x->e.ino};
    }
    x->file = file_of(b, x->e.ino);
    switch (x->e.op) {
    case DISK_WRITE:
    case DISK_RESIZE:
        if (x->file >= 0 && !b->files[x->file].forgotten) {
            struct file *f = &b->files[x->file];

            if (f->count == f->room) {
                f->room = f->room ? f->room * 2 : 16;
                f->pending = must(realloc(f->pending, f->room * sizeof(*f->pending)));
            }
            f->pending[f->count++] = n;
        }
        break;
    case DISK_SYNC:
        if (x->file >= 0)
            sync_file(b, &b->files[x->file]);
        break;
    case DISK_SYNC_FOLDER:
        for (size_t i = 0; i < b->pending_count; i++)
            apply_name(&b->names, &b->entries[b->pending_names[i]]);
        b->pending_count = 0;
        forget_files(b);
        break;
    case DISK_NOTE:
        break;
    default:
        b->pending_names[b->pending_count++] = n;
        break;
    }
}

/* --- a state ----------------------------------------------------------------------------- */

/* The file's bytes in this state, to be freed. */
static unsigned char *choose_bytes(struct builder *b, const struct file *f, unsigned variant,
                                   size_t *size)
{
    unsigned char *bytes = must(malloc(f->size + 1));
    /* How willing: mostly there, mostly not, or half. */
    uint64_t keep = 1 + random_of(b, 3);

    memcpy(bytes, f->bytes ? f->bytes : (unsigned char *)"", f->size);
    *size = f->size;
    for (size_t i = 0; variant > 0 && i < f->count; i++) {
        const struct entry *x = &b->entries[f->pending[i]];
        bool all = variant == 1 || random_of(b, 4) < keep;

        if (all)
            apply(&bytes, size, x, NULL);
        else if (x->e.op == DISK_WRITE && random_of(b, 2) == 0)
            apply(&bytes, size, x, b);
    }
    /* The size may be older than the data, but not than the last sync. */
    if (variant > 1 && *size > f->size && random_of(b, 4) == 0)
        *size = f->size + random_of(b, *size - f->size + 1);
    return bytes;
}

static void write_file(struct builder *b, const char *path, const struct file *f, unsigned variant)
{
    size_t size;
    unsigned char *bytes = choose_bytes(b, f, variant, &size);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) {
        perror(path);
        exit(99);
    }
    close(fd);
    free(bytes);
}

static void make_folder(struct builder *b, unsigned variant)
{
    static struct names names;
    char path[4096], first[4096];
    /* Mostly names change in order, but that is not promised. */
    size_t upto = random_of(b, b->pending_count + 1);
    bool in_order = random_of(b, 4) != 0;

    names = b->names;
    for (size_t i = 0; variant > 0 && i < b->pending_count; i++)
        if (variant == 1 || (in_order ? i < upto : random_of(b, 2) == 0))
            apply_name(&names, &b->entries[b->pending_names[i]]);
    disk_empty(b->plan->folder);
    for (int i = 0; i < names.count; i++) {
        int same = 0;

        if (names.list[i].file < 0)
            continue;
        while (names.list[same].file != names.list[i].file)
            same++;
        snprintf(path, sizeof(path), "%s/%s", b->plan->folder, names.list[i].name);
        snprintf(first, sizeof(first), "%s/%s", b->plan->folder, names.list[same].name);
        if (same == i)
            write_file(b, path, &b->files[names.list[i].file], variant);
        else if (link(first, path) != 0)
            exit(99);
    }
}

/* --- all of them --------------------------------------------------------------------------- */

/* Of this prefix: one, if all is on the disk. */
static unsigned states_of(const struct builder *b)
{
    bool pending = b->pending_count > 0;

    for (int i = 0; i < b->file_count; i++)
        pending = pending || b->files[i].count > 0;
    return pending ? b->plan->variants : 1;
}

bool disk_is_one(void)
{
    return getenv("STATE") != NULL;
}

static bool is_chosen(size_t prefix, unsigned variant)
{
    size_t its_prefix = 0;
    unsigned its_variant = 0;

    return !disk_is_one() || (sscanf(getenv("STATE"), "%zu %u", &its_prefix, &its_variant) == 2 &&
                              its_prefix == prefix && its_variant == variant);
}

/* The first `count` states of the prefix of `n` entries. */
static int check_prefix(struct builder *b, struct disk_state *s, size_t n, unsigned count)
{
    int rc = 0;

    s->prefix = n;
    for (unsigned v = 0; v < count && rc == 0; v++, s->number++) {
        if (!is_chosen(n, v))
            continue;
        s->variant = v;
        s->seed = b->plan->seed;
        /* So that a state depends on nothing but its place. */
        b->random = (b->plan->seed + 1) * 0x9e3779b97f4a7c15ULL ^ (n * 1000003 + v + 1);
        b->random += b->random == 0;
        for (int i = 0; i < 4; i++)
            random_of(b, 2);
        make_folder(b, v);
        rc = b->plan->check(s, b->plan->arg);
    }
    return rc > 0 ? -rc : rc;
}

static void begin(struct builder *b)
{
    for (int i = 0; i < b->file_count; i++) {
        free(b->files[i].bytes);
        free(b->files[i].pending);
    }
    memset(b->files, 0, FILES_MAX * sizeof(*b->files));
    b->pending_count = 0;
    b->file_count = b->names.count = 0;
}

static uint64_t count_states(struct builder *b)
{
    uint64_t all = states_of(b);

    for (size_t n = 0; n < b->count; n++) {
        step(b, n);
        all += states_of(b);
    }
    begin(b);
    return all;
}

/* Whether entry `n` is a note, which is heard. */
static bool hear(struct builder *b, struct disk_state *s, size_t n)
{
    static char note[1024];
    const struct entry *x = &b->entries[n];

    if (x->e.op != DISK_NOTE)
        return false;
    snprintf(note, sizeof(note), "%.*s", (int)x->e.data_bytes, (const char *)x->data);
    s->note = note;
    s->notes++;
    if (b->plan->note)
        b->plan->note(note, b->plan->arg);
    return true;
}

int64_t disk_states(const struct disk_plan *plan)
{
    struct builder b = {.plan = plan};
    struct disk_state s = {.folder = plan->folder, .note = ""};
    int rc = read_log(&b);

    b.files = must(calloc(FILES_MAX, sizeof(*b.files)));
    double all = rc == 0 ? (double)count_states(&b) : 0, most = (double)plan->most, due = 0;
    double part = most > 0 && all > most ? most / all : 1;
    for (size_t n = 0; rc == 0 && n <= b.count; n++) {
        bool noted = n > 0 && hear(&b, &s, n - 1);

        if (n > 0)
            step(&b, n - 1);
        unsigned count = states_of(&b);
        due += part * count;
        if (due < count && n < b.count)
            count = noted; /* what was promised just before is there at the least */
        due -= count;
        rc = check_prefix(&b, &s, n, count);
    }
    disk_empty(plan->folder);
    begin(&b);
    free(b.files);
    free(b.pending_names);
    free(b.entries);
    free(b.log);
    return rc < 0 ? rc : (int64_t)s.number;
}
