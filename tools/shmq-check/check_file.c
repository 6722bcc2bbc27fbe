/*
 * check_file.c - shmq-check of a file, see check.h.
 *
 * The verdict is the library's own.  Then the file is read on as who salvages does, which
 * shows all that is wrong, and not only the first of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "common/cli.h"
#include "shmq-check/check.h"

struct checking {
    const struct check_request *request;
    struct check_bytes file;
    struct salvage salvage;
    struct check_counts counts;
    struct text out;
};

/* Read it on.  What says it is no file may be what is damaged. */
static int read_on(struct checking *c)
{
    int rc = salvage_read(&c->salvage, c->file.bytes.bytes, c->file.bytes.size, c->file.written_ns);

    if (c->file.verdict == CHECK_FOREIGN) {
        if (rc < 0)
            return rc == -EPROTO ? 0 : rc;
        c->file.verdict = CHECK_REFUSED;
        snprintf(c->file.why, sizeof(c->file.why), "%s (offset 0)", c->salvage.header_wrong);
    }
    if (rc == 0)
        rc = check_count(c->file.verdict == CHECK_REFUSED ? &c->salvage.image : &c->file.image,
                         &c->counts);
    return rc;
}

/* --- showing ------------------------------------------------------------------------- */

static void show_frame(struct text *out, bool json, const struct salvage_span *span,
                       const char *comma)
{
    const struct sq_frame *frame = span->frame;

    if (!json) {
        text_format(out, "%12llu %10llu  %-8s", (unsigned long long)span->off,
                    (unsigned long long)span->bytes, frame != NULL ? check_kind(frame->kind) : "-");
        if (frame != NULL)
            text_format(out, " %8llu %12llu", (unsigned long long)frame->number,
                        (unsigned long long)frame->synced_off);
        text_format(out, "%s%s\n", span->wrong != NULL ? "  " : "",
                    span->wrong != NULL ? span->wrong : "");
        return;
    }
    text_format(out, "%s{\"offset\":%llu,\"bytes\":%llu", comma, (unsigned long long)span->off,
                (unsigned long long)span->bytes);
    if (frame != NULL)
        text_format(out, ",\"kind\":\"%s\",\"number\":%llu,\"synced_off\":%llu",
                    check_kind(frame->kind), (unsigned long long)frame->number,
                    (unsigned long long)frame->synced_off);
    if (span->wrong != NULL)
        text_format(out, ",\"wrong\":\"%s\"", span->wrong);
    text_add(out, "}");
}

static void show_frames(struct checking *c)
{
    struct sq_reader reader = c->salvage.reader;
    struct salvage_span span;
    const char *comma = "";

    if (c->request->json)
        text_add(&c->out, ",\"frames\":[");
    else
        text_format(&c->out, "%12s %10s  %-8s %8s %12s\n", "OFFSET", "BYTES", "KIND", "NUMBER",
                    "SYNCED");
    for (; salvage_span(&reader, &span); comma = ",")
        show_frame(&c->out, c->request->json, &span, comma);
    if (c->request->json)
        text_add(&c->out, "]");
}

static void show_kinds(struct checking *c)
{
    const uint64_t *kinds = c->salvage.kinds;
    struct text list = {0};
    uint64_t all = 0;

    for (uint32_t kind = 1; kind < SQ_FRAME_KINDS; kind++) {
        all += kinds[kind];
        if (c->request->json)
            text_format(&list, "%s\"%s\":%llu", kind > 1 ? "," : "", check_kind(kind),
                        (unsigned long long)kinds[kind]);
        else if (kinds[kind] > 0)
            text_format(&list, "%s%llu %s", list.length > 0 ? ", " : "",
                        (unsigned long long)kinds[kind], check_kind(kind));
    }
    text_append(&list, "", 1);
    if (c->request->json)
        text_format(&c->out, ",\"frame_kinds\":{%s}", list.data);
    else
        check_line(&c->out, "frames", "%llu whole%s%s", (unsigned long long)all,
                   all > 0 ? ": " : "", list.data);
    text_free(&list);
}

static void show_losses(struct checking *c)
{
    const struct salvage *s = &c->salvage;
    bool torn = c->file.verdict == CHECK_TORN;

    if (c->request->json)
        text_add(&c->out, ",\"lost\":[");
    for (size_t i = 0; i < s->loss_count; i++) {
        const struct salvage_loss *l = &s->losses[i];
        if (!c->request->json) {
            check_line(&c->out, torn ? "torn" : "damage", "offset %llu, %llu bytes%s%s: %s",
                       (unsigned long long)l->off, (unsigned long long)l->bytes,
                       l->kind != 0 ? " of " : "", l->kind != 0 ? check_kind(l->kind) : "",
                       l->wrong);
            continue;
        }
        text_format(&c->out, "%s{\"offset\":%llu,\"bytes\":%llu,\"kind\":", i > 0 ? "," : "",
                    (unsigned long long)l->off, (unsigned long long)l->bytes);
        text_format(&c->out, l->kind != 0 ? "\"%s\"" : "null", check_kind(l->kind));
        text_add(&c->out, ",\"wrong\":");
        text_json_string(&c->out, l->wrong, strlen(l->wrong));
        text_add(&c->out, "}");
    }
    if (c->request->json)
        text_add(&c->out, "]");
}

/* Whether there is more behind the offset where shmq_load() would cut. */
static bool has_more(const struct checking *c)
{
    uint64_t whole = 0;

    for (uint32_t kind = 1; kind < SQ_FRAME_KINDS; kind++)
        whole += c->salvage.kinds[kind];
    return whole > c->file.image.frame_count;
}

static void show_verdict(struct checking *c)
{
    static const char *const names[] = {"whole", "torn", "damaged", "foreign"};

    if (c->request->json) {
        text_format(&c->out, ",\"verdict\":\"%s\"", names[c->file.verdict]);
        if (c->file.verdict == CHECK_REFUSED) {
            text_add(&c->out, ",\"why\":");
            text_json_string(&c->out, c->file.why, strlen(c->file.why));
        }
        return;
    }
    if (c->file.verdict == CHECK_REFUSED)
        check_line(&c->out, "verdict", "damaged: %s", c->file.why);
    else if (c->file.verdict == CHECK_TORN)
        check_line(&c->out, "verdict", "no damage; its end was torn off, and will be cut%s",
                   has_more(c) ? ", with whole frames behind that, which --repair saves" : "");
    else
        check_line(&c->out, "verdict", "whole");
}

static void show(struct checking *c)
{
    const struct sq_file_header *h = &c->salvage.header;
    bool json = c->request->json;

    if (json) {
        text_add(&c->out, "{\"file\":");
        text_json_string(&c->out, c->request->target, strlen(c->request->target));
        text_format(&c->out, ",\"bytes\":%llu", (unsigned long long)c->file.bytes.size);
    } else {
        check_line(&c->out, "file", "%s, %llu bytes", c->request->target,
                   (unsigned long long)c->file.bytes.size);
    }
    check_show_queue(&c->out, json, h);
    if (json) {
        text_format(&c->out, ",\"format\":%u,\"generation\":%llu,\"written\":", h->format,
                    (unsigned long long)h->generation);
        text_json_time(&c->out, h->written_ns);
    } else {
        check_line(&c->out, "written", "%s, generation %llu, format %u",
                   check_time(h->written_ns).s, (unsigned long long)h->generation, h->format);
        if (c->salvage.header_wrong != NULL)
            check_line(&c->out, "header", "%s; what is said of the queue may be wrong",
                       c->salvage.header_wrong);
        if (c->salvage.times_guessed)
            check_line(&c->out, "times",
                       "how to read them is lost; the newest message counts as "
                       "put %s",
                       check_time(c->file.written_ns).s);
    }
    if (c->request->frames)
        show_frames(c);
    show_kinds(c);
    check_show_counts(&c->out, json, &c->counts);
    show_losses(c);
    show_verdict(c);
}

/* --- all of it -------------------------------------------------------------------------- */

/* The line on standard error. */
static int conclude(const struct checking *c, int repaired)
{
    const struct check_request *r = c->request;
    char advice[2 * SQ_FILE_PATH_BYTES], buffer[SQ_FILE_PATH_BYTES + 16];

    if (c->file.verdict != CHECK_REFUSED)
        return CLI_DONE;
    const char *path = check_repaired(r, buffer, sizeof(buffer));
    if (repaired > 0)
        snprintf(advice, sizeof(advice), "nothing of it can be saved; go back to an older copy");
    else if (r->repair)
        snprintf(advice, sizeof(advice), "'shmq load %s' makes a queue of what was saved", path);
    else
        snprintf(advice, sizeof(advice), "'shmq-check %s --repair' saves what can be read to %s",
                 r->target, path);
    cli_complain(r->target, "damaged", c->file.why, advice);
    return CHECK_DAMAGED;
}

static int run(struct checking *c)
{
    int rc = check_look_at(&c->file), repaired = 0;

    if (rc == 0)
        rc = read_on(c);
    if (rc < 0) {
        cli_complain(c->request->target, strerror(-rc), shmq_last_error_detail(),
                     rc == -ENOENT ? "give the path of a file, or the name of a queue" : NULL);
        return CLI_FAILURE;
    }
    if (c->file.verdict == CHECK_FOREIGN) {
        cli_complain(c->request->target, "cannot be checked", c->file.why,
                     "give a file that 'shmq save' or a queue's journal has written");
        return CLI_FAILURE;
    }
    show(c);
    if (c->request->repair)
        repaired = check_repair(c->request, &c->salvage, &c->out);
    if (repaired < 0)
        return -repaired;
    text_add(&c->out, c->request->json ? "}\n" : "");
    rc = text_print(&c->out);
    return rc != CLI_DONE ? rc : conclude(c, repaired);
}

int check_file(const struct check_request *request)
{
    struct checking *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        cli_complain(request->target, strerror(ENOMEM), NULL, NULL);
        return CLI_FAILURE;
    }
    c->request = request;
    c->file.path = request->target;
    int status = run(c);
    salvage_free(&c->salvage);
    check_let_go(&c->file);
    text_free(&c->out);
    free(c);
    return status;
}
