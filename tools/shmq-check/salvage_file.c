/*
 * salvage_file.c - reading a file on after damage, see salvage.h.
 *
 * It is read twice: first to see which messages there are, so that each has its index
 * whatever the order in which the file says it, and then frame by frame.  Of several records
 * with one id the last counts: a put that was not finished has left ids that others got, and
 * the frame that says so may be what is lost.  (The base's copy of a message comes before
 * those that were copied from the old journal; the marks that follow say the same of them.)
 */
#include "shmq-check/salvage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* --- stretches ----------------------------------------------------------------- */

bool salvage_span(struct sq_reader *reader, struct salvage_span *span)
{
    uint64_t off = reader->off;

    *span = (struct salvage_span){.off = off};
    if (!sq_reader_step(reader, &span->frame)) {
        if (sq_reader_is_at_end(reader))
            return false;
        span->wrong = sq_reader_wrong(reader);
        span->frame = sq_reader_pass(reader);
        if (span->frame == NULL && !sq_reader_skip(reader)) {
            span->bytes = reader->size - off;
            while (reader->bytes[off + span->bytes - 1] == 0)
                span->bytes--; /* zeros that were written ahead; there is something before */
            reader->off = reader->size;
            return true;
        }
    }
    span->bytes = reader->off - off;
    return true;
}

/* --- losses and doubts ------------------------------------------------------------ */

int salvage_room(void **array, size_t *room, size_t count, size_t size)
{
    size_t more = *room == 0 ? 16 : *room + *room / 2;

    if (count < *room)
        return 0;
    void *grown = more > SIZE_MAX / size ? NULL : realloc(*array, more * size);
    if (grown == NULL)
        return sq_fail(-ENOMEM, "no memory for what was found");
    *array = grown;
    *room = more;
    return 0;
}

int salvage_note(struct salvage *s, uint64_t off, uint64_t bytes, uint32_t kind, const char *wrong)
{
    int rc = salvage_room((void **)&s->losses, &s->loss_room, s->loss_count, sizeof(*s->losses));

    if (rc < 0)
        return rc;
    struct salvage_loss *loss = &s->losses[s->loss_count++];
    *loss = (struct salvage_loss){.off = off, .bytes = bytes, .kind = kind};
    snprintf(loss->wrong, sizeof(loss->wrong), "%s", wrong);
    return 0;
}

void salvage_open(struct salvage *s, uint32_t index, uint64_t from)
{
    struct salvage_group *g = &s->groups[index];

    if (!g->open)
        g->from = from;
    g->open = true;
}

int salvage_close(struct salvage *s, uint32_t index, uint64_t to)
{
    struct salvage_group *g = &s->groups[index];

    if (!g->open)
        return 0;
    g->open = false;
    int rc = salvage_room((void **)&g->doubts, &g->room, g->count, sizeof(*g->doubts));
    if (rc == 0)
        g->doubts[g->count++] = (struct salvage_doubt){g->from, to};
    return rc;
}

/* The file says anew all that there is about the group. */
static void begin_group(struct salvage *s, uint32_t index)
{
    s->groups[index].since = ++s->begun;
    s->groups[index].open = false;
    s->groups[index].count = 0;
}

void salvage_make_group(struct salvage *s, uint32_t index, uint64_t finished_id)
{
    struct sq_image_group *g = &s->image.groups[index];
    bool topic = (s->header.kind & SHMQ_TOPIC) != 0;

    free(g->items);
    *g = (struct sq_image_group){.there = true};
    g->attr.group = index;
    g->attr.mode = topic ? SQ_GROUP_NAMED : 0;
    g->attr.finished_id = finished_id;
    g->attr.policy = s->header.policy;
    if (topic)
        snprintf(g->attr.name, sizeof(g->attr.name), "salvaged-%u", index);
    s->groups[index].since = ++s->begun;
    salvage_open(s, index, 0);
}

/* A stretch is lost in which a group may have done something. */
static void doubt_groups(struct salvage *s)
{
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++)
        if (s->image.groups[i].there)
            salvage_open(s, i, s->image.has_base ? s->image.groups[i].attr.finished_id : 0);
}

static int lose(struct salvage *s, const struct salvage_span *span, const char *wrong)
{
    uint32_t kind = span->frame == NULL ? 0 : span->frame->kind;

    if (kind == 0 || kind == SQ_FRAME_GROUP || kind == SQ_FRAME_ENTRIES || kind == SQ_FRAME_UNGROUP)
        doubt_groups(s);
    return salvage_note(s, span->off, span->bytes, kind, wrong);
}

/* --- the first time: what there is ------------------------------------------------- */

static int add_id(struct salvage *s, uint64_t id)
{
    struct sq_image *image = &s->image;
    int rc = salvage_room((void **)&image->messages, &image->message_room, image->message_count,
                          sizeof(*image->messages));

    if (rc == 0)
        image->messages[image->message_count++] = (struct sq_image_message){id, NULL};
    return rc;
}

static uint64_t record_total(const struct sq_record_shm *record)
{
    return sq_align_up((uint64_t)record->length + SQ_RECORD_HEADER_BYTES, SQ_RECORD_ALIGN);
}

static int see_records(struct salvage *s, const struct sq_frame *frame)
{
    const unsigned char *at = sq_frame_content(frame), *end = at + frame->bytes;
    struct salvage_facts *f = &s->facts;
    int rc = 0;

    while (rc == 0 && at < end) {
        const struct sq_record_shm *record = (const void *)at;
        uint64_t total = record_total(record), id = record->id & SQ_ID_REST;
        f->record_bytes += total;
        f->longest_bytes = total > f->longest_bytes ? total : f->longest_bytes;
        f->newest_ns = record->put_ns > f->newest_ns ? record->put_ns : f->newest_ns;
        at += total;
        if (id >= SQ_ID_MAX - 1) /* no other could come after it */
            continue;
        f->last_id = id > f->last_id ? id : f->last_id;
        rc = add_id(s, id);
    }
    return rc;
}

static void see_group(struct salvage_facts *f, const struct sq_frame_group *g)
{
    if (g->group >= SQ_GROUPS_MAX)
        return;
    f->is_topic = f->is_topic || g->name[0] != '\0';
    f->group_count = g->group >= f->group_count ? g->group + 1 : f->group_count;
    if (!f->has_policy)
        f->policy = g->policy;
    f->has_policy = true;
}

static void see_entries(struct salvage_facts *f, const struct sq_frame *frame)
{
    const struct sq_frame_entries *e = sq_frame_content(frame);
    const struct sq_frame_item *items = (const void *)(e + 1);

    if (e->group >= SQ_GROUPS_MAX || (frame->bytes - sizeof(*e)) / sizeof(*items) < e->count)
        return;
    f->is_topic = f->is_topic || e->group > 0;
    f->group_count = e->group >= f->group_count ? e->group + 1 : f->group_count;
    for (uint32_t i = 0; i < e->count; i++)
        if (items[i].entry < SQ_ENTRIES_MAX && items[i].entry >= f->entry_count)
            f->entry_count = items[i].entry + 1;
}

static int see(struct salvage *s, const struct sq_file_header *bounds, const struct sq_frame *frame)
{
    struct salvage_facts *f = &s->facts;

    switch (frame->kind) {
    case SQ_FRAME_SESSION:
        if (frame->bytes == sizeof(struct sq_frame_session) && !f->has_session) {
            const struct sq_frame_session *session = sq_frame_content(frame);
            f->has_session = true;
            f->realtime_ns = session->realtime_ns;
        }
        return 0;
    case SQ_FRAME_GROUP:
        if (frame->bytes == sizeof(struct sq_frame_group))
            see_group(f, sq_frame_content(frame));
        return 0;
    case SQ_FRAME_ENTRIES:
        if (frame->bytes >= sizeof(struct sq_frame_entries))
            see_entries(f, frame);
        return 0;
    case SQ_FRAME_RECORDS:
        return sq_frame_valid(bounds, frame) == NULL ? see_records(s, frame) : 0;
    default:
        return 0;
    }
}

static int by_id(const void *a, const void *b)
{
    const struct sq_image_message *x = a, *y = b;

    return x->id == y->id ? 0 : x->id < y->id ? -1 : 1;
}

void salvage_sort(struct sq_image *image)
{
    size_t once = 0;

    if (image->message_count == 0)
        return;
    qsort(image->messages, image->message_count, sizeof(*image->messages), by_id);
    for (size_t i = 0; i < image->message_count; i++)
        if (once == 0 || image->messages[i].id != image->messages[once - 1].id)
            image->messages[once++] = image->messages[i];
    image->message_count = once;
}

static int look_through(struct salvage *s)
{
    struct sq_file_header bounds = {.capacity_bytes = UINT64_MAX}; /* if those are not known */
    struct sq_reader reader = s->reader;
    struct salvage_span span;
    int rc = 0;

    while (rc == 0 && salvage_span(&reader, &span))
        if (span.wrong == NULL)
            rc = see(s, s->header_wrong == NULL ? &s->header : &bounds, span.frame);
    salvage_sort(&s->image);
    return rc;
}

/* --- the second time: what is said --------------------------------------------------- */

static int take_records(struct salvage *s, const struct sq_frame *frame)
{
    const unsigned char *at = sq_frame_content(frame), *end = at + frame->bytes;
    size_t count = s->image.message_count;

    while (at < end) {
        const struct sq_record_shm *record = (const void *)at;
        struct sq_image_message *m = sq_image_find(&s->image, record->id & SQ_ID_REST);
        at += record_total(record);
        if (m == NULL || ((record->tag & SQ_RECORD_COPY) != 0 || (record->id & SQ_ID_GONE) != 0))
            continue;
        m->record = record;
        size_t index = (size_t)(m - s->image.messages);
        s->message_end = index >= s->message_end ? index + 1 : s->message_end;
    }
    int rc = sq_image_add(&s->image, frame); /* the updates among them */
    s->image.message_count = count;          /* but no messages that were not to be */
    return rc;
}

static int take_queue(struct salvage *s, const struct sq_frame_queue *queue)
{
    if (queue->next_id == 0 || queue->next_id > SQ_ID_MAX)
        return sq_fail(-EBADMSG, "the next message's id is %llu",
                       (unsigned long long)queue->next_id);
    s->image.queue = *queue;
    for (; s->message_end > 0 && s->image.messages[s->message_end - 1].id >= queue->next_id;
         s->message_end--)
        s->image.messages[s->message_end - 1].record = NULL;
    return 0;
}

/* Whether there was this group, which the file says is removed: so its entries are known, if
 * it was not. */
static bool was_there(const struct salvage *s, uint32_t index)
{
    return !s->image.groups[index].there && s->groups[index].since > 0;
}

static int take_group(struct salvage *s, const struct sq_frame *frame)
{
    const struct sq_frame_group *attr = sq_frame_content(frame);
    bool is_new = attr->keeps_entries == 0;

    if (is_new)
        begin_group(s, attr->group);
    else if (!s->image.groups[attr->group].there && !was_there(s, attr->group))
        salvage_open(s, attr->group, 0);
    int rc = sq_image_add(&s->image, frame);
    return rc == 0 && !is_new ? salvage_close(s, attr->group, attr->finished_id) : rc;
}

static int take_entries(struct salvage *s, const struct sq_frame *frame)
{
    const struct sq_frame_entries *e = sq_frame_content(frame);

    if (was_there(s, e->group)) {
        s->image.groups[e->group].there = true; /* that it is, after all, is lost */
        salvage_open(s, e->group, s->image.groups[e->group].attr.finished_id);
    } else if (!s->image.groups[e->group].there) {
        salvage_make_group(s, e->group, e->finished_id);
    }
    int rc = sq_image_add(&s->image, frame);
    return rc == 0 ? salvage_close(s, e->group, e->finished_id) : rc;
}

/* What is in doubt of the base ends there. */
static int take_base(struct salvage *s, const struct sq_frame *frame)
{
    int rc = sq_image_add(&s->image, frame);

    for (uint32_t i = 0; rc == 0 && i < SQ_GROUPS_MAX; i++)
        if (s->image.groups[i].there)
            rc = salvage_close(s, i, s->image.groups[i].attr.finished_id);
    return rc;
}

static int take(struct salvage *s, const struct sq_frame *frame)
{
    switch (frame->kind) {
    case SQ_FRAME_QUEUE:
        return take_queue(s, sq_frame_content(frame));
    case SQ_FRAME_RECORDS:
        return take_records(s, frame);
    case SQ_FRAME_GROUP:
        return take_group(s, frame);
    case SQ_FRAME_ENTRIES:
        return take_entries(s, frame);
    case SQ_FRAME_BASE:
        return take_base(s, frame);
    default:
        return sq_image_add(&s->image, frame);
    }
}

/* A frame that is whole; what it says may make no sense all the same. */
static int take_whole(struct salvage *s, const struct salvage_span *span)
{
    const char *wrong = sq_frame_valid(&s->header, span->frame);
    int rc = wrong != NULL ? -EBADMSG : take(s, span->frame);

    s->any = true;
    s->kinds[span->frame->kind]++;
    if (rc == -EBADMSG)
        return lose(s, span, wrong != NULL ? wrong : shmq_last_error_detail());
    return rc;
}

/* The times of what stands before the first frame that tells how to read them. */
static int first_session(struct salvage *s, int64_t file_ns)
{
    struct sq_image *image = &s->image;
    const struct salvage_facts *f = &s->facts;
    int64_t realtime_ns = f->realtime_ns;

    s->times_guessed = !f->has_session && f->newest_ns != INT64_MIN;
    if (s->times_guessed && __builtin_sub_overflow(file_ns, f->newest_ns, &realtime_ns))
        realtime_ns = 0;
    int rc = salvage_room((void **)&image->sessions, &image->session_room, image->session_count,
                          sizeof(*image->sessions));
    if (rc == 0)
        image->sessions[image->session_count++] =
            (struct sq_image_session){s->reader.bytes, realtime_ns};
    return rc;
}

static int read_through(struct salvage *s)
{
    struct sq_reader reader = s->reader;
    struct salvage_span span;
    int rc = 0;

    while (rc == 0 && salvage_span(&reader, &span))
        rc = span.wrong == NULL ? take_whole(s, &span) : lose(s, &span, span.wrong);
    /* A position beyond all messages, of which none is lost, is none. */
    for (uint32_t i = 0; rc == 0 && s->loss_count == 0 && i < SQ_GROUPS_MAX; i++)
        if (s->image.groups[i].there && s->image.groups[i].attr.finished_id > s->facts.last_id &&
            s->image.groups[i].attr.finished_id >= s->image.queue.next_id)
            salvage_open(s, i, 0);
    return rc;
}

int salvage_read(struct salvage *s, const void *bytes, uint64_t size, int64_t file_ns)
{
    memset(s, 0, sizeof(*s));
    s->facts.newest_ns = INT64_MIN;
    sq_image_begin(&s->image, &s->header);
    int rc = salvage_head(s, bytes, size);
    if (rc == 0)
        rc = look_through(s);
    if (rc == 0 && s->header_wrong != NULL) {
        salvage_believe(s);
        rc = salvage_note(s, 0, SQ_FILE_HEADER_BYTES < size ? SQ_FILE_HEADER_BYTES : size, 0,
                          s->header_wrong);
    }
    if (rc == 0)
        rc = first_session(s, file_ns);
    if (rc == 0)
        rc = read_through(s);
    return rc < 0 ? rc : salvage_mend(s);
}

void salvage_free(struct salvage *s)
{
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++)
        free(s->groups[i].doubts);
    free(s->losses);
    free(s->kept);
    sq_image_free(&s->image);
}
