/*
 * check.h - what the parts of shmq-check have in common: what is asked for, what was found,
 * and how that is told.
 */
#ifndef SHMQ_CHECK_H
#define SHMQ_CHECK_H

#include "common/text.h"
#include "shmq-check/salvage.h"

/* Beside the exit codes of every tool (common/cli.h). */
enum { CHECK_DAMAGED = 1 };

struct check_request {
    const char *target; /* the file's path, or the queue's name */
    bool json;
    bool frames; /* list each frame of the file */
    bool repair;
    const char *out; /* where to; NULL: the target's name and .repaired */
};

/* Check and perhaps repair, and say what there is to say.  An exit code. */
int check_file(const struct check_request *request);
int check_queue(const struct check_request *request);

/* --- a file (check_load.c) ----------------------------------------------------- */

enum check_verdict {
    CHECK_WHOLE,
    CHECK_TORN,    /* shmq_load() takes it, and cuts its end off */
    CHECK_REFUSED, /* it does not: damage */
    CHECK_FOREIGN, /* it is none, or of another format */
};

/*
 * What shmq_load() makes of a file's bytes, and the image (to be freed whatever is
 * returned) of one that it takes.  If not, the detail says why.  Or -ENOMEM.
 */
int check_judge(const void *bytes, uint64_t size, struct sq_image *image);

/* A file as it is on the disk. */
struct check_bytes {
    const char *path;
    struct sq_file_bytes bytes;
    int64_t written_ns; /* when it was last written to */
    enum check_verdict verdict;
    char why[256];         /* if it is not taken */
    struct sq_image image; /* if it is */
};

/*
 * Read and judge `f->path`; the rest is zero.  Nothing is locked, and so a file may be read
 * while somebody writes to it: what is wrong must be so when it is read again.  To be let go
 * of whatever is returned: 0 or a negative errno.
 */
int check_look_at(struct check_bytes *f);
void check_let_go(struct check_bytes *f);

/* --- figures (check_report.c) ----------------------------------------------------- */

/* How it stands with a group's messages. */
struct check_group {
    bool there;
    char name[SHMQ_GROUP_LONGEST + 1];
    uint64_t finished_id;             /* all up to this id are passed */
    uint64_t fresh;                   /* messages behind that */
    uint64_t states[SQ_ENTRY_STATES]; /* entries */
};

struct check_counts {
    struct check_group groups[SQ_GROUPS_MAX];
    uint64_t messages; /* that some group has not finished */
    uint64_t history;  /* of a topic: others that groups can go back to */
};

/* As they would be in a queue made of it.  0 or -ENOMEM. */
int check_count(const struct sq_image *image, struct check_counts *counts);

/* A line: what it is about, and what there is. */
void check_line(struct text *out, const char *about, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The lines or JSON members `messages` and `groups`. */
void check_show_counts(struct text *out, bool json, const struct check_counts *counts);

/* What a queue is: the line or JSON members. */
void check_show_queue(struct text *out, bool json, const struct sq_file_header *header);

/* Of an enum sq_frame_kind; 0: "?". */
const char *check_kind(uint32_t kind);

/* A point of time by CLOCK_REALTIME, in UTC. */
struct figure check_time(int64_t wall_ns);

/* --- a new file (check_repair.c) ---------------------------------------------------- */

/*
 * Write what is salvaged to where the request says, and read it again.  Then `text` has
 * what there is to say of that.  0; 1 nothing could be read, and there is no new file; or
 * complain, and return the negated exit code.
 */
int check_repair(const struct check_request *request, const struct salvage *s, struct text *text);

/* The path of the new file. */
const char *check_repaired(const struct check_request *request, char *buffer, size_t size);

#endif
