/*
 * salvage_decide.c - deciding what is in doubt, and writing the new file; see salvage.h.
 *
 *     in entries only, by id         | in a row: from the first that is fresh to some group
 *     +----+----+------+------+------+----+----+----+----+----+
 *     | 17 | 18 | 4711 | ...         | 90 | 91 | 93 | 94 | 95 |    (92 cannot be read)
 *     +----+----+------+------+------+----+----+----+----+----+
 *                                     ^ row_id              next_id
 *
 * A queue made of the file counts messages by their ids from the first fresh one on, so that
 * each one missing takes room there.  Where that would be more than the queue has, the row
 * begins later and what is before becomes entries, which may be far apart.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "segment/segment.h"
#include "segment/segment_attr.h"
#include "shmq-check/salvage.h"

/* A group that is being mended. */
struct mending {
    struct salvage *s;
    struct sq_image_group *g;
    unsigned char *seen; /* messages that have an entry, a bit each */
    uint32_t next_free;  /* entries before this one are taken */
    uint32_t made;       /* entries that were added */
};

static size_t index_of(const struct salvage *s, const struct sq_image_message *m)
{
    return (size_t)(m - s->image.messages);
}

static bool has_bit(const unsigned char *bits, size_t at)
{
    return (bits[at / 8] >> at % 8 & 1) != 0;
}

static void set_bit(unsigned char *bits, size_t at)
{
    bits[at / 8] = (unsigned char)(bits[at / 8] | 1u << at % 8);
}

static uint64_t record_total(const struct sq_record_shm *record)
{
    return sq_align_up((uint64_t)record->length + SQ_RECORD_HEADER_BYTES, SQ_RECORD_ALIGN);
}

bool salvage_keeps(const struct salvage *s, const struct sq_image_message *m)
{
    return m->record != NULL && (m->id >= s->row_id || has_bit(s->kept, index_of(s, m)));
}

/* --- entries -------------------------------------------------------------------------- */

/* Whether the group takes such messages at all. */
static bool wants(const struct sq_frame_group *attr, const struct sq_record_shm *record)
{
    struct sq_group_shm group;
    struct sq_view view;

    if ((attr->mode & SQ_GROUP_FILTERED) == 0)
        return true;
    memset(&group, 0, sizeof(group));
    group.delivery.filter_type = attr->filter_type;
    memcpy(group.delivery.filter_key, attr->filter_key, sizeof(attr->filter_key));
    memcpy(group.delivery.filter_header, attr->filter_header, sizeof(attr->filter_header));
    memcpy(group.delivery.filter_value, attr->filter_value, sizeof(attr->filter_value));
    return sq_record_view_own(record, &view) < 0 || sq_group_wants(&group, &view);
}

static int have_items(struct sq_image_group *g, uint32_t count)
{
    if (count <= g->item_count)
        return 0;
    uint32_t room = count < 64 ? 64 : count + count / 2;
    struct sq_frame_item *grown = realloc(g->items, (size_t)room * sizeof(*grown));
    if (grown == NULL)
        return sq_fail(-ENOMEM, "no memory for %u entries", room);
    memset(grown + g->item_count, 0, (size_t)(room - g->item_count) * sizeof(*grown));
    g->items = grown;
    g->item_count = room;
    return 0;
}

static int add_entry(struct mending *m, uint64_t id)
{
    struct sq_image_group *g = m->g;

    while (m->next_free < g->item_count && (g->items[m->next_free].word & 0xff) != SQ_FREE)
        m->next_free++;
    if (m->next_free >= SQ_ENTRIES_MAX)
        return sq_fail(-E2BIG, "more messages are in doubt than a queue can hold");
    int rc = have_items(g, m->next_free + 1);
    if (rc == 0)
        g->items[m->next_free] = (struct sq_frame_item){
            .entry = m->next_free,
            .word = sq_word(SQ_WAITING, 0, 0),
            .id = id,
            .seq = sq_seq(id),
        };
    m->next_free++;
    m->made++;
    return rc;
}

/* The first message after `id`. */
static size_t first_after(const struct sq_image *image, uint64_t id)
{
    size_t low = 0, high = image->message_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (image->messages[middle].id <= id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Let those of the messages from `from` + 1 to `to` wait that are in no entry. */
static int wait_again(struct mending *m, uint64_t from, uint64_t to)
{
    const struct sq_image *image = &m->s->image;
    int rc = 0;

    for (size_t i = first_after(image, from);
         rc == 0 && i < image->message_count && image->messages[i].id <= to; i++) {
        const struct sq_image_message *message = &image->messages[i];
        if (message->record == NULL || has_bit(m->seen, i) || !wants(&m->g->attr, message->record))
            continue;
        set_bit(m->seen, i);
        rc = add_entry(m, message->id);
    }
    return rc;
}

/* Whether it is one of a message that can be read, and the only one. */
static bool is_sound(const struct mending *m, const struct sq_frame_item *item)
{
    const struct sq_image_message *message = sq_image_find(&m->s->image, item->id);

    return message != NULL && message->record != NULL && item->id <= m->g->attr.finished_id &&
           !has_bit(m->seen, index_of(m->s, message));
}

static int mend_items(struct mending *m, uint32_t index)
{
    const struct salvage_group *doubts = &m->s->groups[index];
    struct sq_image_group *g = m->g;
    int rc = 0;

    for (uint32_t e = 0; e < g->item_count; e++) {
        if ((g->items[e].word & 0xff) == SQ_FREE)
            continue;
        if (is_sound(m, &g->items[e]))
            set_bit(m->seen, index_of(m->s, sq_image_find(&m->s->image, g->items[e].id)));
        else
            g->items[e] = (struct sq_frame_item){.entry = e};
    }
    for (size_t i = 0; rc == 0 && i < doubts->count; i++) {
        uint64_t finished_id = g->attr.finished_id, to = doubts->doubts[i].to;
        rc = wait_again(m, doubts->doubts[i].from, to < finished_id ? to : finished_id);
    }
    m->s->in_doubt += m->made;
    if (rc == 0 && g->attr.finished_id < m->s->row_id - 1) {
        rc = wait_again(m, g->attr.finished_id, m->s->row_id - 1);
        g->attr.finished_id = m->s->row_id - 1;
    }
    return rc;
}

static int mend_group(struct salvage *s, uint32_t index)
{
    struct mending m = {.s = s, .g = &s->image.groups[index]};
    size_t bytes = s->image.message_count / 8 + 1;
    int rc = salvage_close(s, index, m.g->attr.finished_id);

    m.seen = calloc(bytes, 1);
    if (rc == 0 && m.seen == NULL)
        rc = sq_fail(-ENOMEM, "no memory for %zu messages", s->image.message_count);
    if (rc == 0)
        rc = mend_items(&m, index);
    for (size_t i = 0; rc == 0 && i < bytes; i++)
        s->kept[i] |= m.seen[i];
    for (uint32_t e = 0; rc == 0 && e < m.g->item_count; e++)
        if ((m.g->items[e].word & 0xff) != SQ_FREE && e >= s->header.entry_count)
            s->header.entry_count = e + 1;
    free(m.seen);
    return rc;
}

/* --- positions -------------------------------------------------------------------------- */

static void raise_next(struct salvage *s, uint64_t id)
{
    if (id < SQ_ID_MAX - 1 && id >= s->image.queue.next_id)
        s->image.queue.next_id = id + 1;
}

/* Ids are not given again, whatever says that there were some. */
static void find_next(struct salvage *s)
{
    struct sq_image *image = &s->image;

    if (image->queue.next_id == 0 || image->queue.next_id >= SQ_ID_MAX)
        image->queue.next_id = 1;
    raise_next(s, s->facts.last_id);
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++) {
        struct sq_image_group *g = &image->groups[i];
        if (!g->there)
            continue;
        for (uint32_t e = 0; e < g->item_count; e++)
            if ((g->items[e].word & 0xff) != SQ_FREE)
                raise_next(s, g->items[e].id);
        raise_next(s, g->attr.finished_id);
        if (g->attr.finished_id >= image->queue.next_id)
            g->attr.finished_id = 0;
    }
    if (image->queue.part_id > image->queue.next_id)
        image->queue.part_id = image->queue.next_id;
}

/* How many bytes a row may take in a queue, of which most should be messages. */
static uint64_t row_most(const struct salvage *s)
{
    enum { GAPS_MIN = 1 << 20, GAPS_TIMES = 4 };
    const struct sq_image *image = &s->image;
    uint64_t bytes = 0;

    for (size_t i = 0; i < image->message_count; i++)
        if (image->messages[i].record != NULL)
            bytes += record_total(image->messages[i].record);
    bytes = GAPS_TIMES * bytes + GAPS_MIN;
    return bytes < 2 * s->header.capacity_bytes ? bytes : 2 * s->header.capacity_bytes;
}

/* Where the row can begin: at what is fresh, if so many ids have room, and of a topic as
 * much before that as does. */
static void find_row(struct salvage *s)
{
    const struct sq_image *image = &s->image;
    bool topic = (s->header.kind & SHMQ_TOPIC) != 0;
    uint64_t finished_id = image->queue.next_id - 1, row = image->queue.next_id, bytes = 0;
    uint64_t most = row_most(s);

    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++)
        if (image->groups[i].there && image->groups[i].attr.finished_id < finished_id)
            finished_id = image->groups[i].attr.finished_id;
    for (size_t i = image->message_count; i-- > 0;) {
        const struct sq_image_message *m = &image->messages[i];
        if (m->record == NULL)
            continue;
        if (m->id <= finished_id && !topic)
            break;
        bytes += (row - m->id - 1) * SQ_RECORD_HEADER_BYTES + record_total(m->record);
        if (bytes > (m->id > finished_id ? most : most / 2))
            break;
        row = m->id;
    }
    s->row_id = row;
}

/* --- all of it ------------------------------------------------------------------------------ */

static void mend_about(struct salvage *s, uint32_t index)
{
    struct sq_frame_group *attr = &s->image.groups[index].attr;
    struct sq_policy_shm policy;

    attr->keeps_entries = 0;
    if (sq_segment_policy(&attr->policy, &policy) < 0)
        attr->policy = s->header.policy;
}

/* Of two groups with one name the end of the one that began first is lost. */
static void end_namesakes(struct salvage *s)
{
    struct sq_image_group *groups = s->image.groups;

    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++)
        for (uint32_t k = 0; k < SQ_GROUPS_MAX; k++) {
            if (!groups[i].there || !groups[k].there || s->groups[i].since >= s->groups[k].since ||
                strcmp(groups[i].attr.name, groups[k].attr.name) != 0)
                continue;
            free(groups[i].items);
            groups[i] = (struct sq_image_group){.there = false};
        }
}

int salvage_mend(struct salvage *s)
{
    struct sq_image *image = &s->image;
    int rc = 0;

    image->has_base = true;
    end_namesakes(s);
    if ((s->header.kind & SHMQ_TOPIC) == 0 && !image->groups[0].there)
        salvage_make_group(s, 0, 0);
    find_next(s);
    find_row(s);
    s->kept = calloc(image->message_count / 8 + 1, 1);
    if (s->kept == NULL)
        return sq_fail(-ENOMEM, "no memory for %zu messages", image->message_count);
    for (uint32_t i = 0; rc == 0 && i < SQ_GROUPS_MAX; i++) {
        if (!image->groups[i].there)
            continue;
        mend_about(s, i);
        rc = mend_group(s, i);
    }
    for (size_t i = 0; rc == 0 && i < image->message_count; i++)
        s->saved += salvage_keeps(s, &image->messages[i]);
    return rc;
}
