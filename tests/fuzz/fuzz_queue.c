/*
 * fuzz_queue.c - see fuzz_queue.h.
 *
 * The object that a queue is created in has no name until it is whole: all is done where it
 * is filled, and then creating it fails.
 */
#include "fuzz/fuzz_queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "group/group_bulk.h"
#include "group/group_lease.h"
#include "group/pending_rebuild.h"
#include "group/table.h"
#include "persist/restore.h"

enum {
    CAPACITY_MAX = 1 << 18,
    ENTRIES_MAX = 1 << 12, /* of all groups */
    OWNER = 77,
};

/* Messages of the image that a group has yet to finish, and those that it has parked. */
static void count(const struct sq_image *image, const struct sq_image_group *g,
                  uint64_t *unfinished, uint64_t *parked)
{
    *unfinished = *parked = 0;
    for (size_t i = 0; i < image->message_count; i++)
        *unfinished +=
            image->messages[i].record != NULL && image->messages[i].id > g->attr.finished_id;
    for (uint32_t e = 0; e < g->item_count; e++) {
        enum sq_entry_state state = sq_word_state(g->items[e].word);
        *unfinished += state != SQ_FREE && state != SQ_PARKED;
        *parked += state == SQ_PARKED;
    }
}

/* What is handed out, or becomes a dead letter, must be there to be read. */
static bool take_one(const struct sq_ring *ring, int64_t now_ns)
{
    struct sq_lease lease;
    struct sq_pick pick;
    int rc = sq_group_pick(ring, now_ns, OWNER, true, &pick);

    if (rc == -EAGAIN)
        return false;
    if (rc == SQ_PICK_DOOMED) {
        REQUIRE(sq_group_dead_letter_made(ring, &pick.doomed, true, now_ns) == 0);
        return true;
    }
    REQUIRE(rc == 0);
    REQUIRE(pick.view.payload >= ring->bytes &&
            pick.view.payload + pick.view.payload_bytes <= ring->bytes + 2 * ring->capacity_bytes);
    REQUIRE(sq_group_lease(ring, &pick, OWNER, SQ_NEVER, &lease) == 0);
    REQUIRE(sq_group_ack(ring, &lease) == 0);
    return true;
}

/* At the end of all times a group has nothing left that is not parked. */
static void drain(const struct sq_ring *ring)
{
    struct sq_group_shm *g = ring->group;
    uint64_t most = 2 * (ring->capacity_bytes / SQ_RECORD_HEADER_BYTES + ring->entry_count) + 2;
    uint64_t taken = 0;

    sq_store(&g->mode, sq_load(&g->mode) & ~(uint32_t)SQ_GROUP_PAUSED);
    for (int64_t now_ns = 0;; now_ns = SQ_NEVER - 1) {
        while (take_one(ring, now_ns))
            REQUIRE(++taken <= most);
        if (now_ns != 0)
            break;
    }
    REQUIRE(sq_group_backlog(ring) == 0);
}

static void must_be_valid(const char *wrong)
{
    if (wrong == NULL)
        return;
    fprintf(stderr, "the queue is not valid: %s\n", wrong);
    abort();
}

static int fill(struct sq_segment *segment, void *arg)
{
    const struct sq_image *image = arg;
    int rc = sq_restore_fill(segment, image);

    if (rc < 0)
        return rc;
    for (uint64_t bits = sq_ring_groups(&segment->ring); bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        struct sq_ring one = segment->ring;
        uint64_t unfinished, parked;
        sq_ring_read_as(&one, i);
        REQUIRE(image->groups[i].there);
        must_be_valid(sq_ring_valid(&one));
        must_be_valid(sq_pending_valid(&one));
        count(image, &image->groups[i], &unfinished, &parked);
        uint64_t dead = sq_load(&one.group->pending.parked);
        /* What had no attempts left when it was leased is parked now. */
        REQUIRE(sq_group_backlog(&one) + dead == unfinished + parked && dead >= parked);
        drain(&one);
        must_be_valid(sq_pending_valid(&one));
    }
    return -ECANCELED;
}

void fuzz_queue(const struct sq_image *image)
{
    static const struct sq_path nowhere = {"/dev/shm/shmq.fuzz/nothing"};
    struct sq_origin origin = {fill, (void *)(uintptr_t)image};
    struct sq_segment segment;
    struct shmq_attr attr;

    if (sq_restore_attr(image, &attr) < 0 || attr.capacity_bytes > CAPACITY_MAX ||
        (uint64_t)attr.pending_count * attr.max_groups > ENTRIES_MAX)
        return;
    int rc = sq_segment_create(&segment, &nowhere, &attr, &origin);
    REQUIRE(rc == -ECANCELED || rc == -ENOBUFS || rc == -EBADMSG);
}
