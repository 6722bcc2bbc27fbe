/*
 * check_findings.c - see check_findings.h.
 */
#include "shmq-check/check_findings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "group/key_index.h"
#include "group/pending_rebuild.h"
#include "message/unpack.h"

enum { FINDINGS_MAX = 100 };

/* --- findings ------------------------------------------------------------------- */

static void __attribute__((format(printf, 3, 4)))
find(struct findings *f, bool derived, const char *format, ...)
{
    va_list args;

    if (f->count == FINDINGS_MAX)
        return; /* that will do */
    if (f->count == f->room) {
        size_t room = f->room == 0 ? 8 : 2 * f->room;
        struct finding *list = realloc(f->list, room * sizeof(*list));
        if (list == NULL) {
            f->failed = true;
            return;
        }
        f->list = list;
        f->room = room;
    }
    struct finding *one = &f->list[f->count++];
    one->derived = derived;
    va_start(args, format);
    vsnprintf(one->text, sizeof(one->text), format, args);
    va_end(args);
}

void exam_add(struct findings *f, const struct findings *from, bool derived)
{
    for (size_t i = 0; i < from->count; i++)
        if (from->list[i].derived == derived)
            find(f, derived, "%s", from->list[i].text);
}

static bool has(const struct findings *f, const struct finding *one)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].derived == one->derived && strcmp(f->list[i].text, one->text) == 0)
            return true;
    return false;
}

void exam_keep_common(struct findings *f, const struct findings *again, bool derived)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].derived != derived || has(again, &f->list[i]))
            f->list[kept++] = f->list[i];
    f->count = kept;
}

size_t exam_count(const struct findings *f, bool derived)
{
    size_t n = 0;

    for (size_t i = 0; i < f->count; i++)
        n += f->list[i].derived == derived;
    return n;
}

void exam_free(struct findings *f)
{
    free(f->list);
    *f = (struct findings){.list = NULL};
}

const char *exam_group_name(const struct sq_ring *ring, char *buffer, size_t size)
{
    const char *name = ring->group->delivery.name;

    if ((ring->kind & SHMQ_TOPIC) == 0)
        return "the queue";
    snprintf(buffer, size, "group %.*s", (int)strnlen(name, SHMQ_GROUP_LONGEST), name);
    return buffer;
}

/* --- an examination ---------------------------------------------------------------- */

struct exam {
    const struct look *look;
    struct findings *found;
    struct check_counts *counts;
    uint64_t *ids; /* of messages that some group needs, those in entries first */
    size_t id_count, id_room, held_count;
    uint64_t met; /* groups whose cursors were met, a bit each */
};

static void need(struct exam *x, uint64_t id)
{
    if (x->id_count == x->id_room) {
        size_t room = x->id_room == 0 ? 1024 : 2 * x->id_room;
        uint64_t *ids = realloc(x->ids, room * sizeof(*ids));
        if (ids == NULL) {
            x->found->failed = true;
            return;
        }
        x->ids = ids;
        x->id_room = room;
    }
    x->ids[x->id_count++] = id;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x == *y ? 0 : *x < *y ? -1 : 1;
}

/* --- records ------------------------------------------------------------------------ */

static void exam_message(struct exam *x, const struct sq_view *view)
{
    const char *name, *value;
    struct sq_unpacked *plain;
    size_t off = 0;
    int rc;

    do
        rc = sq_headers_next(view->headers, view->header_bytes, &off, &name, &value);
    while (rc > 0);
    if (rc < 0)
        find(x->found, false, "message %llu: its headers are damaged",
             (unsigned long long)view->id);
    if ((view->flags & SQ_EXTENSION_COMPRESSED) == 0)
        return;
    if (sq_unpack(view, &plain) == -EBADMSG)
        find(x->found, false, "message %llu: its compressed payload is damaged",
             (unsigned long long)view->id);
    free(plain);
}

/* The groups that have not come to the record at `pos` yet. */
static void count_fresh(struct exam *x, uint64_t pos, uint64_t tail, const struct sq_view *view)
{
    bool needed = false;

    for (uint64_t bits = sq_ring_groups(&x->look->ring); bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        uint64_t cursor = sq_load(&x->look->groups[i].cursor_pos);
        if (!look_spans(x->look, cursor) || tail - cursor < tail - pos)
            continue;
        x->counts->groups[i].fresh++;
        needed = true;
    }
    if (needed)
        need(x, view->id);
    else if (x->held_count == 0 ||
             bsearch(&view->id, x->ids, x->held_count, sizeof(*x->ids), by_number) == NULL)
        x->counts->history++;
}

static void meet_cursors(struct exam *x, uint64_t pos)
{
    for (uint64_t bits = sq_ring_groups(&x->look->ring); bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        if (sq_load(&x->look->groups[i].cursor_pos) == pos)
            x->met |= (uint64_t)1 << i;
    }
}

/*
 * What is at walk->pos is no record, or the last one, behind message `before`, is wrong and
 * led there.  False: it was passed meanwhile; all that follows is of another time.
 */
static bool exam_damaged(struct exam *x, struct sq_walk *walk, uint64_t last, uint64_t before)
{
    const struct sq_ring *ring = &x->look->ring;
    uint64_t pos = walk->pos;
    char why[100];

    look_why(ring, pos, walk->end, walk->id, why, sizeof(why));
    if (look_passed(x->look, pos))
        return false;
    find(x->found, false, "the record at position %llu: %s", (unsigned long long)pos, why);
    walk->pos = look_resync(ring, last, walk->end, before);
    walk->id = 0;
    /* A cursor in what is lost cannot be told to be wrong. */
    for (uint64_t at = last; at != walk->pos; at += SQ_RECORD_ALIGN)
        meet_cursors(x, at);
    return true;
}

/* All records in a row. */
static void exam_records(struct exam *x)
{
    const struct sq_ring *ring = &x->look->ring;
    struct sq_walk walk = {.end = sq_load(&x->look->producer->tail_pos)};
    uint64_t last, last_id = look_id_before(x->look), before_id = last_id;
    struct sq_view view;

    if (!look_start(x->look, &walk.pos))
        return;
    last = walk.pos;
    while (walk.pos != walk.end) {
        uint64_t pos = walk.pos;
        meet_cursors(x, pos);
        int met = sq_record_next(ring, &walk, &view);
        if (met < 0 && !exam_damaged(x, &walk, last, before_id)) {
            x->met = UINT64_MAX;
            return;
        }
        last = met < 0 ? walk.pos : pos;
        if (met == SQ_MET_MESSAGE || met == SQ_MET_GONE) {
            before_id = last_id;
            last_id = view.id;
        }
        if (met == SQ_MET_MESSAGE) {
            count_fresh(x, pos, walk.end, &view);
            exam_message(x, &view);
        }
    }
    meet_cursors(x, walk.end);
}

/* --- groups --------------------------------------------------------------------------- */

static void exam_entry(struct exam *x, const struct sq_ring *ring, uint32_t e, const char *name,
                       struct check_group *counts)
{
    const struct sq_entry_shm *entry = &ring->entries[e];
    enum sq_entry_state state = sq_word_state(sq_load(&entry->word));
    struct sq_view view;

    /* One that the cursor has not passed is about to be made. */
    if (state == SQ_FREE || entry->id > sq_load(&ring->group->finished_id))
        return;
    if (state >= SQ_ENTRY_STATES) {
        find(x->found, false, "%s: entry %u (message %llu) is in no state that there is", name, e,
             (unsigned long long)entry->id);
        return;
    }
    int rc = sq_record_view(ring, entry->pos, entry->id, &view);
    if (rc == -EBADMSG) {
        find(x->found, false, "%s: entry %u: message %llu is not at position %llu", name, e,
             (unsigned long long)entry->id, (unsigned long long)entry->pos);
        return;
    }
    if (rc < 0)
        return; /* removed */
    counts->states[state]++;
    need(x, entry->id);
    exam_message(x, &view);
}

static void exam_twice(struct exam *x, const char *name, size_t from)
{
    qsort(x->ids + from, x->id_count - from, sizeof(*x->ids), by_number);
    for (size_t i = from + 1; i < x->id_count; i++)
        if (x->ids[i] == x->ids[i - 1])
            find(x->found, false, "%s: two entries have message %llu", name,
                 (unsigned long long)x->ids[i]);
}

static void exam_entries(struct exam *x, uint32_t index)
{
    struct sq_ring ring = look_as(x->look, index);
    struct check_group *counts = &x->counts->groups[index];
    char buffer[SHMQ_GROUP_LONGEST + 10];
    const char *name = exam_group_name(&ring, buffer, sizeof(buffer));
    size_t from = x->id_count;

    counts->there = true;
    memcpy(counts->name, ring.group->delivery.name, sizeof(counts->name) - 1);
    counts->finished_id = sq_load(&ring.group->finished_id);
    for (uint32_t e = 0; e < ring.entry_count; e++)
        exam_entry(x, &ring, e, name, counts);
    if (x->id_count > from)
        exam_twice(x, name, from);
}

/* After the records. */
static void exam_cursor(struct exam *x, uint32_t index)
{
    struct sq_ring ring = look_as(x->look, index);
    uint64_t cursor = sq_load(&ring.group->cursor_pos);
    char buffer[SHMQ_GROUP_LONGEST + 10];
    const char *name = exam_group_name(&ring, buffer, sizeof(buffer));

    if (!look_spans(x->look, cursor))
        find(x->found, false, "%s: its place, position %llu, is not within the ring (tail %llu)",
             name, (unsigned long long)cursor,
             (unsigned long long)sq_load(&x->look->producer->tail_pos));
    else if ((x->met >> index & 1) == 0)
        find(x->found, false, "%s: its place, position %llu, is at no record", name,
             (unsigned long long)cursor);
}

/* --- what is derived --------------------------------------------------------------------- */

/* Each message of a unique queue that has a key is in the index with it. */
static void exam_keys(struct exam *x, const struct sq_ring *ring)
{
    struct sq_walk walk = {sq_load(&ring->group->cursor_pos), sq_load(&ring->producer->tail_pos),
                           0};
    struct sq_view view;

    while (ring->key_count != 0 && walk.pos != walk.end) {
        int met = sq_record_next(ring, &walk, &view);
        if (met < 0)
            return;
        if (met == SQ_MET_MESSAGE && view.key_bytes > 0 &&
            sq_key_index_find(ring, view.key, view.key_bytes) == 0)
            find(x->found, true, "the key of message %llu is not in the index",
                 (unsigned long long)view.id);
    }
}

static void exam_derived(struct exam *x)
{
    for (uint64_t bits = sq_ring_groups(&x->look->ring); bits != 0; bits &= bits - 1) {
        struct sq_ring ring = look_as(x->look, (uint32_t)__builtin_ctzll(bits));
        char buffer[SHMQ_GROUP_LONGEST + 10];
        const char *name = exam_group_name(&ring, buffer, sizeof(buffer));
        const char *wrong = sq_ring_valid(&ring);
        if (wrong != NULL)
            find(x->found, true, "%s: %s", name, wrong);
        wrong = sq_pending_valid(&ring);
        if (wrong != NULL)
            find(x->found, true, "%s: %s", name, wrong);
        exam_keys(x, &ring);
    }
}

/* --- all of it ------------------------------------------------------------------------------ */

static void count_needed(struct exam *x)
{
    if (x->id_count > 0)
        qsort(x->ids, x->id_count, sizeof(*x->ids), by_number);
    for (size_t i = 0; i < x->id_count; i++)
        x->counts->messages += i == 0 || x->ids[i] != x->ids[i - 1];
}

int exam_look(struct look *look, struct findings *found, struct check_counts *counts)
{
    struct exam x = {.look = look, .found = found, .counts = counts};

    memset(counts, 0, sizeof(*counts));
    for (uint64_t bits = sq_ring_groups(&look->ring); bits != 0; bits &= bits - 1)
        exam_entries(&x, (uint32_t)__builtin_ctzll(bits));
    x.held_count = x.id_count;
    if (x.held_count > 0)
        qsort(x.ids, x.held_count, sizeof(*x.ids), by_number);
    exam_records(&x);
    for (uint64_t bits = sq_ring_groups(&look->ring); bits != 0; bits &= bits - 1)
        exam_cursor(&x, (uint32_t)__builtin_ctzll(bits));
    count_needed(&x);
    free(x.ids);
    /* Where truth is damaged there is nothing to derive. */
    look->is_still = look->is_still && found->count == 0;
    if (look->is_still) {
        exam_derived(&x);
        look->is_still = look_is_as_it_was(look); /* so the records are those of then */
        found->count = look->is_still ? found->count : 0;
    }
    return found->failed ? sq_fail(-ENOMEM, "no memory for what was found") : 0;
}
