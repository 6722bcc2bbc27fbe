/*
 * check_queue.c - shmq-check of a queue that may be in use, see check.h.
 *
 * The object is mapped to be read only, and nothing is locked: whoever uses the queue does
 * not notice.  What is wrong counts if it is in several looks (check_findings.h).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "common/cli.h"
#include "persist/snapshot.h"
#include "segment/attach.h"
#include "segment/segment_attr.h"
#include "shmq-check/check_findings.h"
#include "shmq-check/salvage_queue.h"

enum { LOOKS_MIN = 3, LOOKS_MAX = 50, PAUSE_NS = 20 * 1000 * 1000 };

struct checking {
    const struct check_request *request;
    struct sq_path path;
    struct sq_segment segment;
    struct look look; /* the last one */
    struct findings found;
    unsigned looks, still_looks;
    struct check_counts counts;
    struct check_bytes file; /* the queue's own, if there is one */
    bool file_read;
    struct text out, notes;
    unsigned note_count;
};

/* --- looking --------------------------------------------------------------------- */

/* What is wrong now must have been wrong before. */
static void compare(struct checking *c, const struct findings *now)
{
    if (c->looks == 1)
        exam_add(&c->found, now, false);
    else
        exam_keep_common(&c->found, now, false);
    if (!c->look.is_still)
        return;
    if (++c->still_looks == 1)
        exam_add(&c->found, now, true);
    else
        exam_keep_common(&c->found, now, true);
}

/* Whether more looks can tell no more. */
static bool is_certain(const struct checking *c)
{
    if (c->found.count == 0)
        return c->still_looks > 0 || (c->look.is_sole && c->looks >= LOOKS_MIN);
    if (exam_count(&c->found, false) > 0)
        return c->looks >= LOOKS_MIN;
    return c->still_looks >= LOOKS_MIN;
}

static int look_again(struct checking *c)
{
    struct findings now = {.list = NULL};

    look_free(&c->look);
    int rc = look_take(&c->look, &c->segment);
    if (rc == 0)
        rc = exam_look(&c->look, &now, &c->counts);
    c->looks++;
    if (rc == 0)
        compare(c, &now);
    exam_free(&now);
    return rc;
}

static int look(struct checking *c)
{
    int rc = look_again(c);

    while (rc == 0 && !is_certain(c) && c->looks < LOOKS_MAX) {
        cli_sleep_until(cli_now_ns() + PAUSE_NS);
        rc = look_again(c);
    }
    /* One that was in too few looks may be of the moment. */
    const struct findings none = {.list = NULL};
    if (c->still_looks < LOOKS_MIN)
        exam_keep_common(&c->found, &none, true);
    return rc;
}

/* --- notes ------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) note(struct checking *c, const char *format, ...)
{
    char line[400];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (!c->request->json) {
        check_line(&c->notes, "note", "%s", line);
        return;
    }
    text_add(&c->notes, c->note_count++ > 0 ? "," : "");
    text_json_string(&c->notes, line, strlen(line));
}

/* Who a lock's word names. */
static void note_lock(struct checking *c, const char *what, uint32_t owner)
{
    const struct sq_attachment nobody = {.slot = -1};
    uint32_t slot = (owner & ((1u << SQ_OWNER_SLOT_BITS) - 1)) - 1;

    if (owner == 0)
        return;
    if (!sq_attach_owner_lives(&c->segment, &nobody, owner))
        note(c,
             "%s lock was left by the dead; whoever comes next takes it over, and puts in "
             "order what it protects",
             what);
    else
        note(c, "%s lock is held just now, by process %d (%.16s)", what, c->segment.slots[slot].pid,
             c->segment.slots[slot].command);
}

static void note_locks(struct checking *c)
{
    const struct sq_file_shm *f = c->segment.file;
    char buffer[SHMQ_GROUP_LONGEST + 10], what[SHMQ_GROUP_LONGEST + 32];

    note_lock(c, "the groups'", sq_load(&c->segment.control->groups_lock.owner));
    note_lock(c, "the producers'", sq_load(&c->look.producer->lock.owner));
    for (uint64_t bits = sq_ring_groups(&c->look.ring); bits != 0; bits &= bits - 1) {
        struct sq_ring ring = look_as(&c->look, (uint32_t)__builtin_ctzll(bits));
        snprintf(what, sizeof(what), "the consumers' (%s)",
                 exam_group_name(&ring, buffer, sizeof(buffer)));
        note_lock(c, what, sq_load(&ring.group->lock.owner));
    }
    note_lock(c, "the saver's", sq_load(&f->saver.owner));
    note_lock(c, "the journal's", sq_load(&f->lock.owner));
    note_lock(c, "the journal's sync", sq_load(&f->sync.owner));
}

/* Those attached; the dead among them are swept within a second of somebody's looking. */
static unsigned note_slots(struct checking *c)
{
    unsigned attached = 0;

    for (uint32_t i = 0; i < sq_attach_slots(&c->segment); i++) {
        const struct sq_slot_shm *slot = &c->segment.slots[i];
        if (sq_load_acquire(&slot->state) == SQ_SLOT_FREE)
            continue;
        if (sq_attach_alive(&c->segment, i))
            attached++;
        else if (sq_load(&slot->state) != SQ_SLOT_FREE)
            note(c,
                 "process %d (%.16s) died attached; whoever uses the queue next clears up "
                 "after it",
                 slot->pid, slot->command);
    }
    return attached;
}

/* Leases of handles that are no more. */
static void note_leases(struct checking *c)
{
    for (uint64_t bits = sq_ring_groups(&c->look.ring); bits != 0; bits &= bits - 1) {
        struct sq_ring ring = look_as(&c->look, (uint32_t)__builtin_ctzll(bits));
        const struct sq_attachment nobody = {.slot = -1};
        char buffer[SHMQ_GROUP_LONGEST + 10];
        uint64_t lost = 0;
        for (uint32_t e = 0; e < ring.entry_count; e++) {
            uint64_t word = sq_load(&ring.entries[e].word);
            lost += sq_state_is_lease(sq_word_state(word)) &&
                    !sq_attach_owner_lives(&c->segment, &nobody, sq_word_owner(word));
        }
        if (lost > 0)
            note(c, "%s: %llu messages are leased by the dead, and come back to whoever is next",
                 exam_group_name(&ring, buffer, sizeof(buffer)), (unsigned long long)lost);
    }
}

static void note_looks(struct checking *c)
{
    if (c->still_looks > 0 || exam_count(&c->found, false) > 0)
        return;
    note(c, c->look.is_sole
                ? "somebody has a side alone, so counts and lists were not compared"
                : "the queue did not stand still, so counts and lists were not compared");
}

/* --- its file ------------------------------------------------------------------------- */

static void read_file(struct checking *c)
{
    const struct sq_file_shm *f = c->segment.file;

    c->file.path = c->segment.file_path.text;
    if (c->file.path[0] == '\0')
        return;
    if (sq_load(&f->error) != 0)
        note(c, "saving to the file fails: %s", strerror(sq_load(&f->error)));
    int rc = check_look_at(&c->file);
    c->file_read = rc == 0;
    if (rc < 0)
        note(c, "the file cannot be read: %s", strerror(-rc));
    else if (c->file.verdict == CHECK_FOREIGN)
        note(c, "the file is not the queue's: %s", c->file.why);
    else if (c->file.verdict != CHECK_REFUSED &&
             strncmp(c->file.image.header->queue, sq_segment_name(&c->path),
                     sizeof(c->file.image.header->queue)) != 0)
        note(c, "the file is that of queue %s", c->file.image.header->queue);
}

static bool file_is_damaged(const struct checking *c)
{
    return c->file_read && c->file.verdict == CHECK_REFUSED;
}

static void show_file(struct checking *c)
{
    static const char *const verdicts[] = {"whole", "torn at its end", "damaged", "foreign"};
    static const char *const kinds[] = {"snapshot", "journal os", "journal interval",
                                        "journal always"};
    const struct sq_file_shm *f = c->segment.file;
    const char *verdict = c->file_read ? verdicts[c->file.verdict] : "not read";
    const char *kind = kinds[c->segment.attr.journal & 3];
    uint64_t generation = sq_load(&f->generation);

    if (c->file.path[0] == '\0') {
        text_add(&c->out, c->request->json ? ",\"file\":null" : "");
    } else if (c->request->json) {
        text_add(&c->out, ",\"file\":{\"path\":");
        text_json_string(&c->out, c->file.path, strlen(c->file.path));
        text_format(&c->out,
                    ",\"kind\":\"%s\",\"generation\":%llu,\"error\":%d,\"verdict\":\"%s\"}", kind,
                    (unsigned long long)generation, sq_load(&f->error), verdict);
    } else {
        check_line(&c->out, "file", "%s (%s, generation %llu): %s", c->file.path, kind,
                   (unsigned long long)generation, verdict);
        if (file_is_damaged(c))
            check_line(&c->out, "damage", "%s", c->file.why);
    }
}

/* --- showing ---------------------------------------------------------------------------- */

static void show_ring(struct checking *c, unsigned attached)
{
    const struct sq_producer_shm *p = c->look.producer;
    uint64_t tail = sq_load(&p->tail_pos), next_id = sq_load(&p->next_id), start = tail;

    look_start(&c->look, &start);
    if (c->request->json)
        text_format(&c->out,
                    ",\"total_bytes\":%llu,\"first_pos\":%llu,\"tail_pos\":%llu,\"next_id\":%llu,"
                    "\"attached\":%u",
                    (unsigned long long)c->segment.header->total_bytes, (unsigned long long)start,
                    (unsigned long long)tail, (unsigned long long)next_id, attached);
    else
        check_line(&c->out, "ring", "positions %llu to %llu, next id %llu; %s in all; %u attached",
                   (unsigned long long)start, (unsigned long long)tail, (unsigned long long)next_id,
                   figure_bytes((double)c->segment.header->total_bytes).s, attached);
}

static void show_findings(struct checking *c)
{
    if (c->request->json)
        text_add(&c->out, ",\"damage\":[");
    for (size_t i = 0; i < c->found.count; i++) {
        const char *text = c->found.list[i].text;
        if (!c->request->json) {
            check_line(&c->out, "damage", "%s", text);
            continue;
        }
        text_add(&c->out, i > 0 ? "," : "");
        text_json_string(&c->out, text, strlen(text));
    }
    if (c->request->json)
        text_add(&c->out, "]");
}

static void show(struct checking *c)
{
    struct sq_file_header header;
    bool json = c->request->json, damaged = c->found.count > 0 || file_is_damaged(c);

    unsigned attached = note_slots(c);
    note_locks(c);
    note_leases(c);
    note_looks(c);
    if (json)
        text_format(&c->out, "{\"object\":\"%s\"", c->path.text);
    sq_snapshot_header(&c->segment, sq_segment_name(&c->path), &header);
    check_show_queue(&c->out, json, &header);
    show_ring(c, attached);
    check_show_counts(&c->out, json, &c->counts);
    show_file(c);
    show_findings(c);
    if (json) {
        text_add(&c->out, ",\"notes\":[");
        text_append(&c->out, c->notes.data != NULL ? c->notes.data : "", c->notes.length);
        text_format(&c->out, "],\"verdict\":\"%s\"", damaged ? "damaged" : "sound");
    } else {
        text_append(&c->out, c->notes.data != NULL ? c->notes.data : "", c->notes.length);
        check_line(&c->out, "verdict", damaged ? "damaged" : "sound");
    }
}

/* --- a new file ----------------------------------------------------------------------------- */

static void show_lost(struct checking *c, const struct salvage *s)
{
    for (size_t i = 0; !c->request->json && i < s->loss_count; i++)
        check_line(&c->out, "lost", "position %llu, %llu bytes: %s",
                   (unsigned long long)s->losses[i].off, (unsigned long long)s->losses[i].bytes,
                   s->losses[i].wrong);
}

static int repair(struct checking *c)
{
    struct salvage *s = calloc(1, sizeof(*s));
    struct salvage_copies copies = {.list = NULL};
    int rc = s == NULL ? -ENOMEM : 0, repaired = 0;

    look_free(&c->look); /* as it is now, and not when it was checked */
    if (rc == 0)
        rc = look_take(&c->look, &c->segment);
    if (rc == 0)
        rc = salvage_queue(s, &c->look, sq_segment_name(&c->path), &copies);
    if (rc < 0) {
        cli_complain(c->request->target, strerror(-rc), shmq_last_error_detail(), NULL);
        repaired = -CLI_FAILURE;
    } else {
        show_lost(c, s);
        repaired = check_repair(c->request, s, &c->out);
    }
    if (s != NULL)
        salvage_free(s);
    free(s);
    salvage_copies_free(&copies);
    return repaired;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int conclude(const struct checking *c)
{
    const struct check_request *r = c->request;
    char advice[SQ_FILE_PATH_BYTES + 300], buffer[SQ_FILE_PATH_BYTES + 16];
    const char *path = check_repaired(r, buffer, sizeof(buffer));

    if (c->found.count == 0 && !file_is_damaged(c))
        return CLI_DONE;
    if (c->found.count == 0) {
        snprintf(advice, sizeof(advice), "the queue is sound: 'shmq save %s' writes a new file",
                 r->target);
        cli_complain(r->target, "its file is damaged", c->file.why, advice);
        return CHECK_DAMAGED;
    }
    if (r->repair)
        snprintf(advice, sizeof(advice),
                 "'shmq rm %s' and 'shmq load %s' make a queue of what was saved", r->target, path);
    else
        snprintf(advice, sizeof(advice), "'shmq-check %s --repair' saves what can be read to %s",
                 r->target, path);
    cli_complain(r->target, "damaged", c->found.list[0].text, advice);
    return CHECK_DAMAGED;
}

/* The object cannot be used at all. */
static int cannot_attach(const struct check_request *r, int rc)
{
    if (rc != -EBADMSG)
        return cli_failure(rc, "%s", r->target) == CLI_USAGE ? CLI_USAGE : CLI_FAILURE;
    cli_complain(r->target, "damaged", shmq_last_error_detail(),
                 "who is attached can still use it; nothing else tells how to read it");
    return CHECK_DAMAGED;
}

static int run(struct checking *c)
{
    int rc = sq_segment_path(c->request->target, &c->path), repaired = 0;

    if (rc == 0)
        rc = sq_segment_attach(&c->segment, &c->path, SHMQ_RDONLY);
    if (rc < 0)
        return cannot_attach(c->request, rc);
    rc = look(c);
    if (rc < 0) {
        cli_complain(c->request->target, strerror(-rc), shmq_last_error_detail(), NULL);
        return CLI_FAILURE;
    }
    read_file(c);
    show(c);
    if (c->request->repair)
        repaired = repair(c);
    if (repaired < 0)
        return -repaired;
    text_add(&c->out, c->request->json ? "}\n" : "");
    rc = text_print(&c->out);
    return rc != CLI_DONE ? rc : conclude(c);
}

int check_queue(const struct check_request *request)
{
    struct checking *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        cli_complain(request->target, strerror(ENOMEM), NULL, NULL);
        return CLI_FAILURE;
    }
    c->request = request;
    c->segment.fd = -1;
    int status = run(c);
    look_free(&c->look);
    sq_segment_close(&c->segment);
    check_let_go(&c->file);
    exam_free(&c->found);
    text_free(&c->out);
    text_free(&c->notes);
    free(c);
    return status;
}
