/*
 * journal_storm_check.c - whether all is there that was promised, and nothing that was not;
 * and in which moments all were killed.
 */
#include "storm/journal_storm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file/image.h"
#include "handle/handle.h"
#include "persist/journal_file.h"
#include "support/message.h"

/* --- moments ---------------------------------------------------------------------------- */

/* What the file says, as it was left. */
static void look_at_file(struct storm_epoch *e, const struct sq_file_shm *f)
{
    struct storm_moments *m = e->moments;
    struct sq_image *image = calloc(1, sizeof(*image));
    struct sq_file_bytes bytes = {0};
    int fd = open(e->file, O_RDONLY | O_CLOEXEC);

    if (image == NULL)
        abort();
    if (fd >= 0 && sq_file_read(fd, &bytes) == 0 &&
        sq_image_read(image, bytes.bytes, bytes.size) == 0) {
        uint64_t generation = sq_load(&f->generation);
        m->replaced += image->header->generation != generation;
        m->beyond +=
            image->header->generation == generation && image->end_off > sq_load(&f->end_off);
        m->torn += image->is_torn;
    }
    sq_image_free(image);
    free(image);
    sq_file_free(&bytes);
    if (fd >= 0)
        close(fd);
}

/* Whether there is a file that somebody was writing. */
static bool is_left(const struct storm_epoch *e)
{
    DIR *dir = opendir(e->folder);
    bool left = false;

    for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;)
        left = left || strstr(d->d_name, ".tmp-") != NULL;
    closedir(dir);
    return left;
}

void storm_note_moment(struct storm_epoch *e, shmq_t *q)
{
    struct storm_moments *m = e->moments;

    m->kills++;
    m->temporary += is_left(e);
    m->no_queue += q == NULL;
    if (q == NULL)
        return;
    const struct sq_file_shm *f = q->segment.file;
    const struct sq_producer_shm *p = q->segment.ring.producer;
    m->lock += sq_load(&f->lock.owner) != 0;
    m->sync += sq_load(&f->sync.owner) != 0;
    m->saver += sq_load(&f->saver.owner) != 0;
    m->producer += sq_load(&p->lock.owner) != 0;
    m->consumer += sq_load(&q->segment.ring.group->lock.owner) != 0;
    m->unput += sq_load(&f->journal_pos) != sq_load(&p->tail_pos);
    m->unsynced += sq_synced_off(sq_load(&f->synced), sq_load(&f->generation)) == 0;
    look_at_file(e, f);
}

/* --- messages ---------------------------------------------------------------------------- */

/* Of each number of each generation of the epoch: it is there. */
struct seen {
    uint8_t *there;
    uint32_t first, count;
};

static uint8_t *seen_at(const struct seen *seen, uint32_t generation, uint32_t number)
{
    return &seen->there[(size_t)(generation - seen->first) * STORM_NUMBERS + number];
}

struct found {
    uint64_t id;
    uint32_t generation, number;
};

static int by_id(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/* All that is in the queue, whole and once; how many. */
static size_t find_all(shmq_t *q, const struct seen *seen, struct found **list)
{
    static char buffer[STORM_PAYLOAD + 256];
    struct shmq_msg msg = SHMQ_MSG_INIT;
    size_t count = 0, room = 0;
    uint64_t place = 0;
    ssize_t n;

    *list = NULL;
    while ((n = shmq_inspect(q, SHMQ_WAITING | SHMQ_DELAYED | SHMQ_LEASED | SHMQ_DEAD, &place, &msg,
                             buffer, sizeof(buffer))) >= 0) {
        struct message_head head;
        if (!message_whole(msg.data, (ssize_t)msg.length, &head) || head.source < seen->first ||
            head.source - seen->first >= seen->count || head.seq >= STORM_NUMBERS) {
            storm_wrong("message %llu is torn, or invented", (unsigned long long)msg.id);
            break;
        }
        if ((*seen_at(seen, head.source, head.seq))++ != 0)
            storm_wrong("number %u of %u is there twice", head.seq, head.source);
        if (count == room) {
            room = room == 0 ? 256 : 2 * room;
            *list = realloc(*list, room * sizeof(**list));
            if (*list == NULL)
                abort();
        }
        (*list)[count++] = (struct found){msg.id, head.source, head.seq};
    }
    if (n < 0 && n != -EAGAIN)
        storm_wrong("looking: %s (%s)", shmq_strerror((int)n), shmq_last_error_detail());
    return count;
}

/* Ids are in the order of puts, and each producer's numbers ascend with them. */
static void check_order(struct found *list, size_t count, uint32_t first, uint32_t generations)
{
    uint32_t *next = calloc(generations, sizeof(*next));

    if (next == NULL)
        abort();
    if (count > 0)
        qsort(list, count, sizeof(*list), by_id);
    for (size_t i = 0; i < count; i++) {
        uint32_t *n = &next[list[i].generation - first];
        if (list[i].number < *n)
            storm_wrong("number %u of %u has a later id than %u", list[i].number,
                        list[i].generation, *n - 1);
        *n = list[i].number + 1;
    }
    free(next);
}

/* One message: is it as it must be?  What was under way is settled. */
static void check_one(struct storm_epoch *e, uint32_t generation, uint32_t number, bool there)
{
    uint32_t returned = storm_board->generation[generation].returned;
    uint32_t begun = storm_board->generation[generation].begun;
    _Atomic uint8_t *ack = &storm_board->ack[generation][number];
    bool was_put = number < returned;

    if (number >= returned && number < begun) {
        was_put = there || *ack != STORM_NOT_ACKED;
        e->moments->put_held += was_put;
        e->moments->put_lost += !was_put;
    }
    if (!was_put && there)
        storm_wrong("number %u of %u was never put", number, generation);
    if (*ack == STORM_ACKED && there)
        storm_wrong("number %u of %u was acknowledged, and is there", number, generation);
    if (was_put && *ack == STORM_NOT_ACKED && !there)
        storm_wrong("number %u of %u is lost", number, generation);
    if (*ack == STORM_ACKING) {
        e->moments->ack_held += !there;
        e->moments->ack_lost += there;
        *ack = there ? STORM_NOT_ACKED : STORM_ACKED;
    }
}

/* Of several that were put at once all are there or none. */
static void settle_generation(struct storm_epoch *e, const struct seen *seen, uint32_t generation)
{
    uint32_t returned = storm_board->generation[generation].returned;
    uint32_t begun = storm_board->generation[generation].begun, held = 0;

    for (uint32_t number = returned; number < begun; number++)
        held += *seen_at(seen, generation, number) != 0 ||
                storm_board->ack[generation][number] != STORM_NOT_ACKED;
    if (held != 0 && held != begun - returned)
        storm_wrong("of %u that were put at once %u are there", begun - returned, held);
    for (uint32_t number = 0; number < STORM_NUMBERS; number++)
        check_one(e, generation, number, *seen_at(seen, generation, number) != 0);
    if (held != 0)
        storm_board->generation[generation].returned = begun;
    storm_board->generation[generation].begun = storm_board->generation[generation].returned;
}

void storm_check(struct storm_epoch *e, shmq_t *q)
{
    struct seen seen = {.first = e->first, .count = e->generations - e->first};
    struct found *list;

    seen.there = calloc((size_t)seen.count + 1, STORM_NUMBERS);
    if (seen.there == NULL)
        abort();
    size_t count = find_all(q, &seen, &list);
    if (storm_board->wrong == 0)
        check_order(list, count, seen.first, seen.count);
    for (uint32_t g = seen.first; g < e->generations && storm_board->wrong == 0; g++)
        settle_generation(e, &seen, g);
    free(list);
    free(seen.there);
}
