/*
 * salvage_ring.c - the records of a live queue that stand in a row, see salvage_queue.h.
 *
 * What is at a position that records lead to, and is none, was damaged, or led to by one that
 * was.  Or it is none any more, since all groups have passed it: those that had it last have
 * an entry for it, and are looked at again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "shmq-check/salvage_queue.h"

/* --- where the records are ------------------------------------------------------------ */

void salvage_find_row(struct salvaging *v)
{
    struct look *l = v->look;

    look_mend_end(l);
    v->end = sq_load(&l->producer->tail_pos) & ~(uint64_t)(SQ_RECORD_ALIGN - 1);
    sq_store(&l->producer->tail_pos, v->end);
    if (l->astray == 0 && (look_start(l, &v->start) || sq_ring_groups(&l->ring) == 0))
        return;
    uint64_t low = l->producer->low_pos;
    v->start = look_spans(l, low) ? low : v->end - l->ring.capacity_bytes;
}

/* --- records in a row -------------------------------------------------------------------- */

/*
 * The groups whose cursor is at or before `pos`, and not known yet: all before message `id` is
 * passed.  Where something between was passed meanwhile, or is damaged, it counts what the
 * group says, which may be ahead of its cursor; but then there were entries when these were
 * read, after it.
 */
static void locate_groups(struct salvaging *v, uint64_t pos, uint64_t id)
{
    uint64_t bits = sq_ring_groups(&v->look->ring) & ~v->located & ~v->look->astray;

    v->last_located = 0;
    for (; bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        uint64_t cursor = sq_load(&v->look->groups[i].cursor_pos);
        uint64_t finished = sq_load(&v->look->groups[i].finished_id);
        if (v->end - cursor < v->end - pos)
            continue;
        v->s->image.groups[i].attr.finished_id =
            cursor == pos || finished > id - 1 ? id - 1 : finished;
        v->last_located |= (uint64_t)1 << i;
    }
    v->located |= v->last_located;
}

/* Whether records go on at `pos` in such a way that it is the last one that was wrong: its
 * length or its id. */
static bool last_was_wrong(const struct salvaging *v, uint64_t pos, uint64_t damaged)
{
    struct sq_walk walk = {pos, v->end, 0};
    struct sq_view view;

    if (pos == v->end)
        return false;
    return pos - v->last_pos < damaged - v->last_pos ||
           (sq_record_next(&v->look->ring, &walk, &view) >= 0 && view.id <= v->last_id);
}

/* The walk is at what was passed meanwhile: go on where that ends. */
static void pass_passed(struct salvaging *v, struct sq_walk *walk)
{
    uint64_t now = look_start_now(v->look);

    *walk =
        (struct sq_walk){now - walk->pos < walk->end - walk->pos ? now : walk->end, walk->end, 0};
    v->last_pos = walk->pos;
}

/* The walk is at what is no record: go on behind it. */
static int pass_damage(struct salvaging *v, struct sq_walk *walk)
{
    struct sq_image *image = &v->s->image;
    uint64_t pos = walk->pos, id = walk->id != 0 ? walk->id : v->last_id + 1, from = pos;
    char why[100];

    look_why(&v->look->ring, pos, walk->end, id, why, sizeof(why));
    *walk = (struct sq_walk){look_resync(&v->look->ring, v->last_pos, walk->end, v->before_id),
                             walk->end, 0};
    if (last_was_wrong(v, walk->pos, pos)) {
        if (image->message_count > 0 && image->messages[image->message_count - 1].id == v->last_id)
            image->message_count--;
        v->located &= ~v->last_located;
        v->last_id = v->before_id;
        from = v->last_pos;
        snprintf(why, sizeof(why), "its length or its id is wrong");
    }
    v->last_pos = walk->pos;
    v->before_id = v->last_id;
    return salvage_note(v->s, from, walk->pos - from, SQ_FRAME_RECORDS, why);
}

/* One step of the walk.  0 or a negative errno. */
static int take_next(struct salvaging *v, struct sq_walk *walk)
{
    struct sq_record_shm *copy = NULL;
    uint64_t pos = walk->pos;
    struct sq_view view;

    int rc = sq_record_next(&v->look->ring, walk, &view);
    if (rc == -EBADMSG && look_follow(v->look)) /* it was updated since */
        rc = sq_record_next(&v->look->ring, walk, &view);
    bool damaged = rc == -EBADMSG, counts = rc == SQ_MET_MESSAGE || rc == SQ_MET_GONE;
    rc = rc == SQ_MET_MESSAGE ? salvage_copy(&v->look->ring, &view, &copy) : 0;
    if (look_passed(v->look, pos)) { /* whatever was read */
        free(copy);
        walk->pos = pos;
        pass_passed(v, walk);
        return rc == -ENOMEM ? rc : 0;
    }
    if (damaged)
        return pass_damage(v, walk);
    if (counts) {
        v->last_pos = pos;
        v->before_id = v->last_id;
        v->last_id = view.id;
        locate_groups(v, pos, view.id);
    }
    return copy != NULL ? salvage_add(v, copy) : rc == -ENOMEM ? rc : 0;
}

int salvage_row(struct salvaging *v)
{
    struct sq_walk walk = {v->start, v->end, 0};
    int rc = 0;

    v->last_pos = v->start;
    v->last_id = v->before_id = look_id_before(v->look);
    while (rc == 0 && walk.pos != walk.end)
        rc = take_next(v, &walk);
    if (v->last_id > v->s->facts.last_id)
        v->s->facts.last_id = v->last_id;
    return rc;
}
