/*
 * crash_delivery_dead.c - who died before the victim comes, and what that one left.
 */
#include "crash/crash_delivery.h"

#include <signal.h>
#include <string.h>

#include "group/pending.h"
#include "group/table.h"
#include "handle/handle_groups.h"

/* Take a fresh message half, and garble what is derived. */
static void garble(const struct sq_ring *ring, uint32_t owner)
{
    struct sq_group_shm *g = ring->group;
    struct sq_pending_shm *p = &g->pending;
    uint64_t cursor = sq_load(&g->cursor_pos), id = sq_load(&g->finished_id) + 1;
    uint32_t e = sq_pending_take(ring);

    if (e != SQ_NONE && cursor != sq_load(&ring->producer->tail_pos)) {
        ring->entries[e].pos = cursor;
        ring->entries[e].id = id;
        ring->entries[e].at_ns = SQ_NEVER;
        sq_store(&ring->entries[e].word, sq_word(SQ_LEASED, 1, owner));
        sq_store(&g->finished_id, id);
    }
    p->pos_first = p->pos_last = p->lease_first = p->lease_last = p->free_first = SQ_NONE;
    p->ready_count = p->timed_count = 1;
    sq_store(&p->waiting, 3);
    sq_store(&p->leased, 0);
    sq_store(&p->delayed, 2);
    sq_store(&p->next_due_ns, SQ_NEVER);
    if (ring->key_count != 0)
        memset(ring->keys, 0, ring->key_count / 2 * sizeof(ring->keys[0]));
}

static int die_inside(void *arg)
{
    struct delivery_scene *s = arg;
    struct sq_deadline deadline = sq_deadline_in(HELPER_LATE_NS);
    uint64_t entered;
    shmq_t *q;

    if (shmq_open(&q, s->name, 0, NULL) != 0)
        return 1;
    if (s->op->corpse == DEAD_GROUPS)
        return sq_hold_groups(q, &deadline) != 0 ? 2 : raise(SIGKILL);
    if (sq_enter(q, SQ_ROLE_PRODUCER, &deadline) != 0 ||
        sq_enter_groups(q, &entered, &deadline) != 0)
        return 3;
    for (; entered != 0; entered &= entered - 1) {
        struct sq_ring ring = q->segment.ring;
        sq_ring_read_as(&ring, (uint32_t)__builtin_ctzll(entered));
        garble(&ring, q->attachment.owner);
    }
    return raise(SIGKILL);
}

/* Die having sent a dead letter for the first message. */
static int die_burying(void *arg)
{
    struct delivery_scene *s = arg;
    struct sq_deadline deadline = sq_deadline_in(HELPER_LATE_NS);
    unsigned char bytes[DELIVERY_CAPACITY];
    struct shmq_msg msg;
    struct sq_pick pick;
    shmq_t *q, *to;

    delivery_message(s->op, 0, FROM_SEED, bytes, &msg);
    struct shmq_header headers[] = {{"shmq-reason", "5"}, {"shmq-attempts", "1"},
                                    {"shmq-id", "1"},     {"shmq-queue", s->name},
                                    {"shmq-group", ""},   {"n", "v"}};
    msg.headers = headers;
    msg.header_count = sizeof(headers) / sizeof(headers[0]);
    if (shmq_open(&q, s->name, 0, NULL) != 0 || shmq_open(&to, s->letters, 0, NULL) != 0 ||
        sq_enter(q, SQ_ROLE_CONSUMER, &deadline) != 0 ||
        sq_group_pick(&q->segment.ring, sq_clock_ns(), q->attachment.owner, true, &pick) !=
            SQ_PICK_DOOMED)
        return 1;
    sq_leave(q, SQ_ROLE_CONSUMER);
    return shmq_send(to, &msg, SHMQ_NOWAIT) != 0 ? 2 : raise(SIGKILL);
}

/* Steps of an operation that was run as that of the one who died before. */
static struct {
    const struct delivery_op *op;
    unsigned steps;
} learned;

/* Somebody dies in the operation, and leaves it to the victim, who begins it anew. */
static bool die_same(struct delivery_scene *s)
{
    const struct sq_ring *ring = &s->survivor.queue->segment.ring;
    uint64_t tail = sq_load(&ring->producer->tail_pos);
    struct crash_victim first = {
        .operation = &learned, /* none of the suite's */
        .arg = s,
        .prepare = delivery_prepare,
        .act = delivery_act,
        .done = &s->page->corpse_done,
        .point = CRASH_TO_END,
        .manner = CRASH_STEPS,
    };

    if (learned.op == s->op && learned.steps > 0)
        first.point = (unsigned)((uint64_t)s->victim.point * 2654435761u % learned.steps);
    delivery_prepare_messages(s);
    int64_t steps = crash_step(&first);
    if (steps < 0)
        return delivery_fail(s, "of the one before: %s", first.wrong);
    if (first.point == CRASH_TO_END) {
        learned.op = s->op;
        learned.steps = (unsigned)steps;
    }
    if (sq_load(&ring->producer->tail_pos) == tail ||
        (sq_record_at(ring, tail)->tag & SQ_RECORD_COPY) != 0)
        return true; /* no message was added */
    for (unsigned g = 0; g < s->group_count; g++) {
        strcpy(s->before[g], s->after[g]);
        strcat(s->after[g], "F");
    }
    return true;
}

bool delivery_make_corpse(struct delivery_scene *s)
{
    if (s->op->corpse == NOBODY)
        return true;
    if (s->op->corpse == DEAD_SAME)
        return die_same(s);
    int rc = helper_wait(helper_fork(s->op->corpse == DEAD_BURIER ? die_burying : die_inside, s));
    return rc == 1000 + SIGKILL || delivery_fail(s, "the corpse ended with %d", rc);
}
