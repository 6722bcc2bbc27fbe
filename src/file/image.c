/*
 * image.c - see image.h: frames, applied one after another.
 *
 * A journal may say some things twice: a rewrite copies the frames that were appended
 * while it wrote the base.  So a message that is there already is passed over, entries and
 * positions are what they are, not what changed in them, and entries may be of a group that
 * the base does not have, since it was removed meanwhile, as a later frame says.
 *
 * Of the dead it says what they were about to do.  Who dies making a group leaves one that
 * perhaps never was: when there is another of that name, there never was.  Who dies removing
 * one leaves it perhaps in use: then it is told of anew, with the entries that it has had.
 */
#include "file/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Room for `count` in an array.  0 or -ENOMEM. */
static int make_room(void **array, size_t *room, size_t count, size_t size)
{
    if (count <= *room)
        return 0;
    size_t more = *room + *room / 2 > count + 64 ? *room + *room / 2 : count + 64;
    void *grown = more > SIZE_MAX / size ? NULL : realloc(*array, more * size);
    if (grown == NULL)
        return sq_fail(-ENOMEM, "no memory for %zu messages", more);
    *array = grown;
    *room = more;
    return 0;
}

struct sq_image_message *sq_image_find(const struct sq_image *image, uint64_t id)
{
    size_t low = 0, high = image->message_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (image->messages[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < image->message_count && image->messages[low].id == id ? &image->messages[low]
                                                                       : NULL;
}

static int64_t add_times(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? INT64_MAX : INT64_MIN) : sum;
}

int64_t sq_image_realtime(const struct sq_image *image, const void *record, int64_t ns)
{
    const struct sq_image_session *s = image->sessions;
    size_t low = 0, high = image->session_count;

    while (low < high) { /* the first that begins behind the record */
        size_t middle = low + (high - low) / 2;
        if (s[middle].from <= (const unsigned char *)record)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? ns : add_times(ns, s[low - 1].realtime_ns);
}

/* --- kinds of frames --------------------------------------------------------- */

static int add_session(struct sq_image *image, const struct sq_frame_session *session)
{
    int rc = make_room((void **)&image->sessions, &image->session_room, image->session_count + 1,
                       sizeof(*image->sessions));

    if (rc == 0)
        image->sessions[image->session_count++] =
            (struct sq_image_session){(const void *)session, session->realtime_ns};
    return rc;
}

/* There is room for it. */
static void add_message(struct sq_image *image, const struct sq_record_shm *record)
{
    bool gone = (record->id & SQ_ID_GONE) != 0;
    uint64_t id = record->id & SQ_ID_REST;

    if (image->message_count > 0 && id <= image->messages[image->message_count - 1].id)
        return; /* there already, or was finished when the base was written */
    image->messages[image->message_count++] = (struct sq_image_message){id, gone ? NULL : record};
}

static int add_copy(struct sq_image *image, const struct sq_record_shm *record)
{
    bool gone = (record->id & SQ_ID_GONE) != 0;
    int rc = make_room((void **)&image->copies, &image->copy_room, image->copy_count + 1,
                       sizeof(*image->copies));

    if (rc == 0)
        image->copies[image->copy_count++] =
            (struct sq_image_message){record->id & SQ_ID_REST, gone ? NULL : record};
    return rc;
}

static int add_records(struct sq_image *image, const struct sq_frame *frame)
{
    const unsigned char *at = sq_frame_content(frame), *end = at + frame->bytes;
    size_t most = image->message_count + frame->bytes / SQ_RECORD_HEADER_BYTES;
    int rc =
        make_room((void **)&image->messages, &image->message_room, most, sizeof(*image->messages));

    while (rc == 0 && at < end) {
        const struct sq_record_shm *record = (const void *)at;
        if ((record->tag & SQ_RECORD_COPY) != 0)
            rc = add_copy(image, record);
        else
            add_message(image, record);
        at += sq_align_up((uint64_t)record->length + SQ_RECORD_HEADER_BYTES, SQ_RECORD_ALIGN);
    }
    return rc;
}

static int add_mark(struct sq_image *image, const struct sq_frame_mark *mark)
{
    struct sq_image_message *message = sq_image_find(image, mark->id);

    if (message == NULL)
        return 0; /* it was finished when the base was written */
    if (mark->what == SQ_MARK_GONE) {
        message->record = NULL;
        return 0;
    }
    for (size_t i = image->copy_count; i > 0; i--)
        if (image->copies[i - 1].id == mark->id) {
            message->record = image->copies[i - 1].record;
            return 0;
        }
    return sq_fail(-EBADMSG, "a mark of an update that is not there");
}

static void clear_group(struct sq_image_group *g)
{
    free(g->items);
    *g = (struct sq_image_group){0};
}

static int add_group(struct sq_image *image, const struct sq_frame_group *attr)
{
    struct sq_image_group *g = &image->groups[attr->group];

    for (uint32_t i = 0; image->has_base && i < SQ_GROUPS_MAX; i++)
        if (strcmp(image->groups[i].attr.name, attr->name) == 0)
            image->groups[i].there = false;
    if (attr->keeps_entries == 0)
        clear_group(g);
    g->there = true;
    g->said_off = image->end_off;
    g->attr = *attr;
    return 0;
}

/* Not by realloc(): what is never written to of zeroed memory is not there. */
static int have_items(struct sq_image_group *g, uint32_t count)
{
    if (count <= g->item_count)
        return 0;
    uint32_t room = g->item_count == 0 ? 64 : g->item_count + g->item_count / 2;
    if (room < count)
        room = count;
    struct sq_frame_item *grown = calloc(room, sizeof(*grown));
    if (grown == NULL)
        return sq_fail(-ENOMEM, "no memory for %u entries", room);
    if (g->item_count > 0)
        memcpy(grown, g->items, (size_t)g->item_count * sizeof(*grown));
    free(g->items);
    g->items = grown;
    g->item_count = room;
    return 0;
}

static int add_entries(struct sq_image *image, const struct sq_frame_entries *e)
{
    const struct sq_frame_item *items = (const void *)(e + 1);
    struct sq_image_group *g = &image->groups[e->group];
    int rc = 0;

    if (!g->there)
        return image->has_base ? 0 : sq_fail(-EBADMSG, "entries of a group that is not there");
    for (uint32_t i = 0; rc == 0 && i < e->count; i++) {
        rc = have_items(g, items[i].entry + 1);
        if (rc < 0)
            break;
        struct sq_frame_item *item = &g->items[items[i].entry];
        *item = items[i];
        item->at_ns = sq_image_realtime(image, e, item->at_ns);
    }
    if (rc < 0)
        return rc;
    g->said_off = image->end_off;
    g->attr.finished_id = e->finished_id;
    g->attr.back_seq = e->back_seq;
    g->attr.acked_count = e->acked_count;
    g->attr.got_bytes = e->got_bytes;
    return 0;
}

/* --- all of them ---------------------------------------------------------------- */

void sq_image_begin(struct sq_image *image, const struct sq_file_header *header)
{
    *image = (struct sq_image){.header = header, .queue = {.next_id = 1, .part_id = 1}};
}

static int add_queue(struct sq_image *image, const struct sq_frame_queue *queue)
{
    if (queue->next_id == 0 || queue->next_id > SQ_ID_MAX)
        return sq_fail(-EBADMSG, "the next message's id is %llu",
                       (unsigned long long)queue->next_id);
    memcpy(&image->queue, queue, sizeof(image->queue));
    /* Those that somebody had written, who died before they were put. */
    while (image->message_count > 0 &&
           image->messages[image->message_count - 1].id >= queue->next_id)
        image->message_count--;
    return 0;
}

static int add_frame(struct sq_image *image, const struct sq_frame *frame)
{
    const void *content = sq_frame_content(frame);

    switch ((enum sq_frame_kind)frame->kind) {
    case SQ_FRAME_SESSION:
        return add_session(image, content);
    case SQ_FRAME_QUEUE:
        return add_queue(image, content);
    case SQ_FRAME_GROUP:
        return add_group(image, content);
    case SQ_FRAME_ENTRIES:
        return add_entries(image, content);
    case SQ_FRAME_UNGROUP:
        image->groups[((const struct sq_frame_entries *)content)->group].there = false;
        return 0;
    case SQ_FRAME_RECORDS:
        return add_records(image, frame);
    case SQ_FRAME_MARK:
        return add_mark(image, content);
    case SQ_FRAME_BASE:
        image->has_base = true;
        return 0;
    case SQ_FRAME_KINDS:
        break;
    }
    return 0;
}

int sq_image_add(struct sq_image *image, const struct sq_frame *frame)
{
    const char *wrong = sq_frame_valid(image->header, frame);
    int rc = wrong != NULL ? sq_fail(-EBADMSG, "%s", wrong) : add_frame(image, frame);

    if (rc == 0)
        image->frame_count++;
    return rc;
}

/* The detail that is there, and where. */
static int fail_at(uint64_t off)
{
    return sq_fail(-EBADMSG, "the file is damaged at offset %llu: %.160s", (unsigned long long)off,
                   shmq_last_error_detail());
}

/*
 * What a group holds must be messages that there were, each once.  One that is not there
 * any more was removed while the base was written; one that the cursor has not passed is
 * no entry yet, and comes as a fresh message.
 */
static int check_item(const struct sq_image *image, const struct sq_image_group *g,
                      struct sq_frame_item *item, unsigned char *seen)
{
    const struct sq_image_message *message = sq_image_find(image, item->id);

    if (item->id == 0 || item->id >= image->queue.next_id)
        return sq_fail(-EBADMSG, "group %u holds message %llu, which there never was",
                       g->attr.group, (unsigned long long)item->id);
    if (message == NULL || message->record == NULL || item->id > g->attr.finished_id) {
        *item = (struct sq_frame_item){.entry = item->entry};
        return 0;
    }
    size_t at = (size_t)(message - image->messages);
    if ((seen[at / 8] >> at % 8 & 1) != 0)
        return sq_fail(-EBADMSG, "group %u holds message %llu twice", g->attr.group,
                       (unsigned long long)item->id);
    seen[at / 8] = (unsigned char)(seen[at / 8] | 1u << at % 8);
    return 0;
}

static int check_group(const struct sq_image *image, struct sq_image_group *g)
{
    int rc = 0;

    if (g->attr.finished_id >= image->queue.next_id)
        return sq_fail(-EBADMSG, "group %u is past all messages", g->attr.group);
    for (uint32_t i = 0; i < g->attr.group; i++)
        if (image->groups[i].there && strcmp(image->groups[i].attr.name, g->attr.name) == 0)
            return sq_fail(-EBADMSG, "groups %u and %u have one name", i, g->attr.group);
    unsigned char *seen = calloc(image->message_count / 8 + 1, 1);
    if (seen == NULL)
        return sq_fail(-ENOMEM, "no memory for %zu messages", image->message_count);
    for (uint32_t i = 0; rc == 0 && i < g->item_count; i++)
        if ((g->items[i].word & 0xff) != SQ_FREE)
            rc = check_item(image, g, &g->items[i], seen);
    free(seen);
    return rc;
}

int sq_image_check(struct sq_image *image)
{
    int rc = 0;

    if (!image->has_base)
        return sq_fail(-EBADMSG, "the file ends at offset %llu, before its base is complete",
                       (unsigned long long)image->end_off);
    if (image->message_count > 0) {
        uint64_t last = image->messages[image->message_count - 1].id;
        if (image->queue.next_id <= last)
            image->queue.next_id = last + 1;
    }
    if (image->queue.next_id >= SQ_ID_MAX)
        return sq_fail(-EBADMSG, "the file is damaged: its messages' ids are too great");
    /* The part may have begun later than what a snapshot has ends. */
    if (image->queue.part_id > image->queue.next_id)
        image->queue.part_id = image->queue.next_id;
    for (uint32_t i = 0; rc == 0 && i < SQ_GROUPS_MAX; i++)
        if (image->groups[i].there) {
            rc = check_group(image, &image->groups[i]);
            rc = rc == -EBADMSG ? fail_at(image->groups[i].said_off) : rc;
        }
    return rc;
}

int sq_image_read(struct sq_image *image, const void *bytes, uint64_t size)
{
    const struct sq_frame *frame;
    struct sq_reader reader;
    enum sq_read read;
    int rc = sq_reader_begin(&reader, bytes, size);

    sq_image_begin(image, bytes);
    if (rc < 0)
        return rc;
    for (;;) {
        image->end_off = reader.off;
        read = sq_reader_next(&reader, &frame);
        if (read != SQ_READ_FRAME)
            break;
        rc = sq_image_add(image, frame);
        if (rc == -EBADMSG)
            return fail_at(image->end_off);
        if (rc < 0)
            return rc;
    }
    image->is_torn = read == SQ_READ_TORN;
    if (read == SQ_READ_BAD || (image->is_torn && !image->has_base)) {
        sq_fail(-EBADMSG, "%s", sq_reader_wrong(&reader));
        return fail_at(reader.off);
    }
    return sq_image_check(image);
}

int sq_image_advise(int rc)
{
    if (rc != -EBADMSG)
        return rc;
    return sq_fail(rc, "%.180s; 'shmq-check --repair' saves what can be read",
                   shmq_last_error_detail());
}

void sq_image_free(struct sq_image *image)
{
    for (uint32_t i = 0; i < SQ_GROUPS_MAX; i++)
        free(image->groups[i].items);
    free(image->messages);
    free(image->copies);
    free(image->sessions);
}
