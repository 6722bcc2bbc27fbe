/*
 * salvage_queue.c - see salvage_queue.h.
 *
 * Where a position makes no sense there are others to go by.  The tail: records go on from a
 * position that does, by consecutive ids.  A group's cursor: what is in the ring from where
 * space ended, as producers last saw it, and in no entry of the group, is in doubt.  An
 * entry's position, or its id: the record with the other.
 */
#include "shmq-check/salvage_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "group/table.h"
#include "persist/capture.h"
#include "persist/snapshot.h"

/* --- messages -------------------------------------------------------------------- */

int salvage_copy(const struct sq_ring *ring, const struct sq_view *view,
                 struct sq_record_shm **copy)
{
    const unsigned char *from = sq_record_payload(sq_record_at(ring, view->pos));
    uint64_t length = (uint64_t)(view->payload - from) + view->payload_bytes;
    struct sq_view again;

    *copy = NULL;
    if (view->id >= SQ_ID_MAX - 1)
        return -EBADMSG; /* no other could come after it */
    struct sq_record_shm *c = malloc(sizeof(*c) + sq_align_up(length, SQ_RECORD_ALIGN));
    if (c == NULL)
        return sq_fail(-ENOMEM, "no memory for a record");
    *c = (struct sq_record_shm){.length = (uint32_t)length,
                                .tag = view->tag & ~(uint32_t)SQ_RECORD_COPY,
                                .put_ns = view->put_ns};
    sq_store(&c->id, view->id);
    memcpy(c + 1, from, length);
    if (sq_record_view_own(c, &again) < 0) {
        free(c);
        return -EBADMSG;
    }
    *copy = c;
    return 0;
}

int salvage_add(struct salvaging *v, struct sq_record_shm *copy)
{
    struct sq_image *image = &v->s->image;
    struct salvage_copies *c = v->copies;
    int rc = salvage_room((void **)&c->list, &c->room, c->count, sizeof(*c->list));

    if (rc < 0) {
        free(copy);
        return rc;
    }
    c->list[c->count++] = copy;
    rc = salvage_room((void **)&image->messages, &image->message_room, image->message_count,
                      sizeof(*image->messages));
    if (rc == 0)
        image->messages[image->message_count++] =
            (struct sq_image_message){sq_load(&copy->id), copy};
    if (sq_load(&copy->id) > v->s->facts.last_id)
        v->s->facts.last_id = sq_load(&copy->id);
    return rc;
}

/* --- groups, but for their cursors ------------------------------------------------- */

static int take_group(struct salvaging *v, uint32_t index)
{
    struct salvage *s = v->s;
    struct sq_ring ring = look_as(v->look, index);
    struct sq_image_group *g = &s->image.groups[index];
    bool topic = (ring.kind & SHMQ_TOPIC) != 0;

    salvage_make_group(s, index, 0);
    s->groups[index].open = false;
    char made_up[sizeof(g->attr.name)];
    memcpy(made_up, g->attr.name, sizeof(made_up));
    sq_capture_about(&ring, &g->attr);
    g->attr.mode &= SQ_GROUP_PAUSED | SQ_GROUP_FILTERED;
    g->attr.mode |= topic ? SQ_GROUP_NAMED : 0;
    if (!topic)
        memset(g->attr.name, 0, sizeof(g->attr.name));
    else if (!salvage_is_name(g->attr.name))
        memcpy(g->attr.name, made_up, sizeof(made_up));
    for (uint32_t i = 0; topic && i < index; i++)
        if (s->image.groups[i].there && strcmp(s->image.groups[i].attr.name, g->attr.name) == 0)
            memcpy(g->attr.name, made_up, sizeof(made_up));
    g->items = calloc(ring.entry_count, sizeof(*g->items));
    if (g->items == NULL)
        return sq_fail(-ENOMEM, "no memory for %u entries", ring.entry_count);
    g->item_count = ring.entry_count;
    return 0;
}

/* The record of an entry as that is now; `ring` is of `look` (or NULL).  0; 1 it is finished,
 * or removed; -EBADMSG; -ENOMEM. */
static int copy_held(struct look *look, const struct sq_ring *ring,
                     const struct sq_entry_shm *theirs, const struct sq_entry_shm *ours,
                     struct sq_record_shm **copy)
{
    bool was_free = sq_word_state(sq_load(&ours->word)) == SQ_FREE;
    uint64_t id = ours->id;
    struct sq_view view;

    for (int tries = 0; tries < 100; tries++) {
        uint64_t pos = sq_load((_Atomic uint64_t *)(uintptr_t)&theirs->pos);
        int rc = id == 0 ? -EBADMSG : sq_record_view(ring, pos, id, &view);
        *copy = NULL;
        if (rc == -EBADMSG && look != NULL && look_follow(look))
            continue; /* it was updated since */
        rc = rc == 0 ? salvage_copy(ring, &view, copy) : rc == -ENOENT ? 1 : rc;
        /* It may have been slid elsewhere, or finished, and written over. */
        atomic_thread_fence(memory_order_acquire);
        bool ended = sq_load((_Atomic uint64_t *)(uintptr_t)&theirs->id) != id ||
                     (sq_word_state(sq_load(&theirs->word)) == SQ_FREE && !was_free);
        if (!ended && sq_load((_Atomic uint64_t *)(uintptr_t)&theirs->pos) == pos)
            return rc;
        free(*copy);
        *copy = NULL;
        if (ended)
            return 1;
    }
    return -EBADMSG;
}

/*
 * There is no such record where the entry says.  If the position is wrong, the record is
 * elsewhere, and will be looked for.  If it is the id that is wrong, there is another one,
 * which then is in doubt.
 */
static int take_astray(struct salvaging *v, const struct sq_ring *ring, uint32_t index,
                       const struct sq_entry_shm *entry)
{
    struct sq_record_shm *copy;
    struct sq_view view;
    int rc =
        salvage_room((void **)&v->missing, &v->missing_room, v->missing_count, sizeof(*v->missing));

    if (rc < 0)
        return rc;
    v->missing[v->missing_count++] = entry->id;
    if (sq_record_view(ring, entry->pos, 0, &view) != 0)
        return 0;
    rc = salvage_copy(ring, &view, &copy);
    if (rc < 0)
        return rc == -EBADMSG ? 0 : rc;
    salvage_open(v->s, index, view.id - 1);
    rc = salvage_close(v->s, index, view.id);
    if (rc == 0)
        return salvage_add(v, copy);
    free(copy);
    return rc;
}

/* Entries that are in the list of positions, a bit each: one that is free all the same has a
 * word that is wrong. */
static unsigned char *list_entries(const struct sq_ring *ring)
{
    unsigned char *listed = calloc(ring->entry_count / 8 + 1, 1);
    uint32_t e = ring->group->pending.pos_first;

    for (uint32_t steps = 0; listed != NULL && e < ring->entry_count && steps < ring->entry_count;
         steps++, e = ring->entries[e].pos_next)
        listed[e / 8] = (unsigned char)(listed[e / 8] | 1u << e % 8);
    return listed;
}

static int take_entry(struct salvaging *v, const struct sq_ring *ring, uint32_t index, uint32_t e,
                      bool listed)
{
    const struct sq_entry_shm *entry = &ring->entries[e];
    struct sq_ring theirs = v->look->segment->ring;
    struct sq_frame_item *item = &v->s->image.groups[index].items[e];
    uint64_t word = sq_load(&entry->word);
    struct sq_record_shm *copy = NULL;

    if (sq_word_state(word) == SQ_FREE && !listed)
        return 0;
    if (sq_word_state(word) == SQ_FREE || sq_word_state(word) >= SQ_ENTRY_STATES)
        word = sq_word(SQ_WAITING, 0, 0);
    sq_ring_read_as(&theirs, index);
    int rc = copy_held(v->look, ring, &theirs.entries[e], entry, &copy);
    if (rc == 1 || rc == -ENOMEM)
        return rc < 0 ? rc : 0;
    *item = sq_frame_item_of(e, entry, word);
    item->at_ns = sq_image_realtime(&v->s->image, entry, entry->at_ns);
    return rc == 0 ? salvage_add(v, copy) : take_astray(v, ring, index, entry);
}

static int take_groups(struct salvaging *v)
{
    int rc = 0;

    for (uint64_t bits = sq_ring_groups(&v->look->ring); rc == 0 && bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        struct sq_ring ring = look_as(v->look, i);
        unsigned char *listed = list_entries(&ring);
        rc =
            listed == NULL ? sq_fail(-ENOMEM, "no memory for a list of entries") : take_group(v, i);
        for (uint32_t e = 0; rc == 0 && e < ring.entry_count; e++)
            rc = take_entry(v, &ring, i, e, (listed[e / 8] >> e % 8 & 1) != 0);
        free(listed);
    }
    return rc;
}

/* --- what is left ---------------------------------------------------------------------------- */

/* What was passed meanwhile has an entry, if it is not finished.  It counts as not passed.
 * What was put meanwhile is left alone. */
static int take_passed(struct salvaging *v, uint32_t index, uint64_t last_id)
{
    struct sq_ring theirs = v->look->segment->ring;
    uint64_t finished_id = v->s->image.groups[index].attr.finished_id;
    struct sq_record_shm *copy;
    int rc = 0;

    sq_ring_read_as(&theirs, index);
    for (uint32_t e = 0; rc >= 0 && e < theirs.entry_count; e++) {
        struct sq_entry_shm entry = {
            .id = sq_load((_Atomic uint64_t *)(uintptr_t)&theirs.entries[e].id)};
        sq_store(&entry.word, sq_load_acquire(&theirs.entries[e].word));
        if (sq_word_state(sq_load(&entry.word)) == SQ_FREE || entry.id <= finished_id ||
            entry.id > last_id)
            continue;
        rc = copy_held(NULL, &theirs, &theirs.entries[e], &entry, &copy);
        rc = rc == 0 ? salvage_add(v, copy) : rc == -EBADMSG ? 0 : rc;
    }
    return rc < 0 ? rc : 0;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x == *y ? 0 : *x < *y ? -1 : 1;
}

/* Look for the records of entries whose position is wrong, everywhere. */
static int find_missing(struct salvaging *v)
{
    const struct sq_ring *ring = &v->look->ring;
    uint64_t pos = v->end - ring->capacity_bytes;
    struct sq_view view;
    int rc = 0;

    if (v->missing_count > 0)
        qsort(v->missing, v->missing_count, sizeof(*v->missing), by_number);
    for (; rc == 0 && v->missing_count > 0 && pos != v->end; pos += SQ_RECORD_ALIGN) {
        uint64_t id = sq_load(&sq_record_at(ring, pos)->id);
        if (bsearch(&id, v->missing, v->missing_count, sizeof(id), by_number) == NULL ||
            sq_record_view(ring, pos, id, &view) != 0)
            continue;
        struct sq_record_shm *copy;
        rc = salvage_copy(ring, &view, &copy);
        rc = rc == 0 ? salvage_add(v, copy) : rc == -EBADMSG ? 0 : rc;
    }
    return rc;
}

/* Groups that have passed all; those whose cursor makes no sense have, and all is in doubt. */
static int locate_others(struct salvaging *v)
{
    struct salvage *s = v->s;
    uint64_t next_id = sq_load(&v->look->producer->next_id);
    int rc = 0;

    if (next_id < SQ_ID_MAX && next_id > s->facts.last_id + 1)
        s->facts.last_id = next_id - 1;
    for (uint64_t bits = sq_ring_groups(&v->look->ring); rc == 0 && bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        const struct sq_group_shm *g = &v->look->groups[i];
        uint64_t finished = sq_load(&g->finished_id), passed_id = s->facts.last_id;
        if ((v->located >> i & 1) != 0)
            continue;
        /* Or what it had not come to was all passed while it was to be read. */
        if ((v->look->astray >> i & 1) == 0 && sq_load(&g->cursor_pos) != v->end &&
            finished < passed_id)
            passed_id = finished;
        s->image.groups[i].attr.finished_id = passed_id;
        if ((v->look->astray >> i & 1) != 0) {
            salvage_open(s, i, 0);
            rc = salvage_close(s, i, s->facts.last_id);
        }
    }
    return rc;
}

static int take_all(struct salvaging *v)
{
    struct sq_image *image = &v->s->image;
    int64_t realtime_ns = sq_clock_offset_ns();
    int rc =
        salvage_room((void **)&image->sessions, &image->session_room, 0, sizeof(*image->sessions));

    if (rc == 0) {
        image->sessions[image->session_count++] = (struct sq_image_session){NULL, realtime_ns};
        salvage_find_row(v);
        rc = take_groups(v);
    }
    if (rc == 0)
        rc = salvage_row(v);
    if (rc == 0)
        rc = find_missing(v);
    if (rc == 0)
        rc = locate_others(v);
    uint64_t last_id = v->s->facts.last_id;
    for (uint32_t i = 0; rc == 0 && i < SQ_GROUPS_MAX; i++)
        if (image->groups[i].there)
            rc = take_passed(v, i, last_id);
    salvage_sort(image);
    image->queue.part_id = sq_load(&v->look->producer->part_id);
    image->queue.put_bytes = sq_load(&v->look->producer->put_bytes);
    return rc == 0 ? salvage_mend(v->s) : rc;
}

int salvage_queue(struct salvage *s, struct look *look, const char *name,
                  struct salvage_copies *copies)
{
    struct salvaging v = {.s = s, .look = look, .copies = copies};

    memset(s, 0, sizeof(*s));
    *copies = (struct salvage_copies){.list = NULL};
    s->any = true;
    sq_snapshot_header(look->segment, name, &s->header);
    sq_image_begin(&s->image, &s->header);
    int rc = take_all(&v);
    free(v.missing);
    return rc;
}

void salvage_copies_free(struct salvage_copies *copies)
{
    for (size_t i = 0; i < copies->count; i++)
        free(copies->list[i]);
    free(copies->list);
    *copies = (struct salvage_copies){.list = NULL};
}
