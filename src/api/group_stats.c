/*
 * group_stats.c - the groups' figures, read without a lock (as stats.c does).
 */
#include "api/group_stats.h"
#include "base/error.h"
#include "group/group_bulk.h"
#include "group/table.h"

/* Of those that the cursor has passed, how many are held or were not handed out. */
static uint64_t count_others(const struct sq_ring *ring)
{
    const struct sq_group_shm *g = ring->group;
    const struct sq_delivery_shm *d = &g->delivery;

    return sq_load(&g->dropped_count) + sq_load(&g->purged_count) + sq_load(&d->removed_count) -
           sq_load(&g->gone_count) + sq_load(&d->sent_count) + sq_load(&d->filtered_count) +
           sq_load(&g->held_count) +
           (sq_policy_of(g)->dead_letter_expired != 0 ? 0 : sq_load(&d->expired_count));
}

uint64_t sq_group_got(const struct sq_ring *ring)
{
    const struct sq_group_shm *g = ring->group;
    uint64_t others = count_others(ring); /* below 0 where others' removed ones are ahead */
    uint64_t passed = sq_load_acquire(&g->finished_id) + 1 - g->delivery.start_id;
    int64_t got = (int64_t)(passed - others);

    return got > 0 ? (uint64_t)got : 0;
}

void sq_group_set_got(const struct sq_ring *ring, uint64_t got)
{
    struct sq_group_shm *g = ring->group;

    sq_assert_held(&ring->group->lock);
    g->delivery.start_id = sq_load(&g->finished_id) + 1 - count_others(ring) - got;
}

int64_t sq_group_oldest_ns(const struct sq_ring *ring, int64_t now_ns)
{
    uint64_t pos = sq_load_acquire(&ring->group->held_pos);
    uint64_t tail = sq_load_acquire(&ring->producer->tail_pos);
    uint64_t cursor = sq_load(&ring->group->cursor_pos);
    int64_t put_ns;

    if (pos == UINT64_MAX || tail - pos < tail - cursor)
        pos = cursor;
    if (pos == tail || !sq_ring_spans(ring, pos, tail) || tail - pos < SQ_RECORD_HEADER_BYTES)
        return 0;
    memcpy(&put_ns, &sq_record_at(ring, pos)->put_ns, sizeof(put_ns));
    int64_t age_ns = sq_elapsed_ns(now_ns, put_ns);
    return age_ns > 0 ? age_ns : 1;
}

static uint32_t count_members(const struct shmq *q, uint32_t group)
{
    const struct sq_segment *s = &q->segment;
    uint32_t members = 0;

    for (uint32_t i = 0, count = sq_attach_slots(s); i < count; i++)
        members += s->slots[i].group == group && sq_attach_taken(s, &q->attachment, i);
    return members;
}

static void fill(const struct shmq *q, const struct sq_ring *ring, struct shmq_group_stats *st)
{
    const struct sq_group_shm *g = ring->group;
    const struct sq_delivery_shm *d = &g->delivery;
    int64_t now_ns = sq_clock_ns(), due_ns = sq_load(&g->pending.next_due_ns);
    uint64_t got = sq_group_got(ring), acked = sq_load(&d->acked_count);

    memset(st, 0, sizeof(*st));
    memcpy(st->name, d->name, SHMQ_GROUP_LONGEST);
    st->waiting = sq_group_waiting(ring);
    st->delayed = sq_load(&g->pending.delayed);
    st->leased = sq_load(&g->pending.leased);
    st->dead = sq_load(&g->pending.parked);
    st->backlog = st->waiting + st->delayed + st->leased;
    /* Leases are counted; what was got at once is what was not acknowledged. */
    st->delivered_count = sq_load(&d->delivered_count) + (got > acked ? got - acked : 0);
    st->redelivered_count = sq_load(&d->redelivered_count);
    st->acked_count = acked;
    st->nacked_count = sq_load(&d->nacked_count);
    st->lost_lease_count = sq_load(&d->lost_lease_count);
    st->dead_count = sq_load(&d->dead_count);
    for (int i = 0; i < 8; i++)
        st->dead_by_reason[i] = sq_load(&d->dead_by_reason[i]);
    st->expired_count = sq_load(&d->expired_count);
    st->dropped_count = sq_load(&g->dropped_count);
    st->filtered_count = sq_load(&d->filtered_count);
    st->oldest_age_ns = sq_group_oldest_ns(ring, now_ns);
    if (due_ns != SQ_NEVER && due_ns != 0)
        st->next_due_ns = due_ns > now_ns ? due_ns - now_ns : 1;
    st->members = count_members(q, sq_ring_group_index(ring));
    st->paused = (sq_load(&g->mode) & SQ_GROUP_PAUSED) != 0;
}

int shmq_group_stats(shmq_t *q, struct shmq_group_stats *stats)
{
    if (q->groupless)
        return sq_fail(-EINVAL, "the handle reads as no group; shmq_groups() lists them");
    if (sq_consumer_is_stale(q))
        return sq_fail(-ESTALE, "the group was removed");
    fill(q, &q->segment.ring, stats);
    return 0;
}

int shmq_groups(shmq_t *q, struct shmq_group_stats *list, unsigned count)
{
    unsigned found = 0;

    for (uint64_t bits = sq_ring_groups(&q->segment.ring); bits != 0; bits &= bits - 1) {
        struct sq_ring one = q->segment.ring;
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        sq_ring_read_as(&one, i);
        if (found < count)
            fill(q, &one, &list[found]);
        found++;
    }
    return (int)found;
}
