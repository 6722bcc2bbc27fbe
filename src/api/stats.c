/*
 * stats.c - the counters, the attached processes, the queues of the machine.
 *
 * Reads without a lock while the queue moves on, so that a stopped lock holder
 * cannot keep an operator from seeing that it is stopped.  Of two counters of
 * which one runs ahead, the one that lags is read first.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "api/group_stats.h"
#include "base/error.h"
#include "group/group_bulk.h"
#include "group/table.h"
#include "segment/segment_attr.h"
#include "segment/segment_reopen.h"

static void count_attached(const struct shmq *q, struct shmq_stats *st)
{
    const struct sq_segment *s = &q->segment;

    for (uint32_t i = 0, count = sq_attach_slots(s); i < count; i++) {
        if (!sq_attach_taken(s, &q->attachment, i))
            continue;
        st->attached++;
        st->sleeping_producers += sq_load(&s->slots[i].sleeping_producers);
        st->sleeping_consumers += sq_load(&s->slots[i].sleeping_consumers);
    }
}

/* Add a group's share.  Of a topic's groups: the sum of what was handed out and lost,
 * and the depth and age of the one furthest behind. */
static void fill_group(const struct sq_ring *ring, struct shmq_stats *st, uint64_t *used)
{
    const struct sq_group_shm *g = ring->group;
    uint64_t held = sq_load_acquire(&g->held_pos), low = sq_load_acquire(&g->cursor_pos);
    uint64_t tail = sq_load(&ring->producer->tail_pos);

    if (held != UINT64_MAX && tail - held > tail - low)
        low = held;
    if (tail - low > *used)
        *used = tail - low;
    st->dropped_count += sq_load(&g->dropped_count);
    st->purged_count += sq_load(&g->purged_count);
    st->got_count += sq_group_got(ring);
    st->got_bytes += sq_load(&g->got_bytes);
    uint64_t depth = sq_group_waiting(ring);
    int64_t age_ns = sq_group_oldest_ns(ring, sq_clock_ns());
    if (depth > st->depth)
        st->depth = depth;
    if (age_ns > st->oldest_age_ns)
        st->oldest_age_ns = age_ns;
}

static void fill(const struct shmq *q, struct shmq_stats *st)
{
    const struct sq_control_shm *c = q->segment.control;
    const struct sq_producer_shm *p = q->segment.ring.producer;
    const struct sq_group_shm *g = q->segment.ring.group;

    const struct sq_ring *ring = &q->segment.ring;
    uint64_t used = 0;

    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1) {
        struct sq_ring one = *ring;
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        sq_ring_read_as(&one, i);
        fill_group(&one, st, &used);
    }
    uint64_t put = sq_load_acquire(&p->next_id) - 1;
    st->put_count = put;
    st->put_bytes = sq_load(&p->put_bytes);
    st->peak_depth = sq_load(&p->peak_depth);
    if (st->peak_depth < st->depth)
        st->peak_depth = st->depth;
    st->capacity_bytes = q->segment.attr.capacity_bytes;
    st->max_messages = q->segment.attr.max_messages;
    st->used_bytes = used <= st->capacity_bytes ? used : st->capacity_bytes;
    st->full_wait_count = sq_load(&p->waits.count);
    st->full_wait_ns = sq_load(&p->waits.total_ns);
    st->empty_wait_count = sq_load(&g->waits.count);
    st->empty_wait_ns = sq_load(&g->waits.total_ns);
    st->sole_producer = sq_load(&p->sole) != 0;
    st->sole_consumer = sq_load(&g->sole) != 0;
    st->created_ns = q->segment.created_ns;
    st->recoveries = sq_load(&c->recovery_count);
    st->dead_count = sq_load(&c->dead_processes);
    for (int i = 0; i < SHMQ_HISTOGRAM_BUCKETS; i++)
        st->wait_histogram[i] = sq_load(&g->waited[i]);
}

int shmq_stats(shmq_t *q, struct shmq_stats *stats)
{
    struct shmq_stats now = {.size = sizeof(now)};
    size_t size = stats->size;

    if (size < offsetof(struct shmq_stats, wait_histogram))
        return sq_fail(-EINVAL, "stats->size is %zu; set it to sizeof(struct shmq_stats)", size);
    fill(q, &now);
    count_attached(q, &now);
    now.unlinked = sq_segment_is_unlinked(&q->segment);
    memset(stats, 0, size);
    memcpy(stats, &now, size < sizeof(now) ? size : sizeof(now));
    stats->size = size;
    return 0;
}

int shmq_attached(shmq_t *q, struct shmq_process *list, unsigned count)
{
    const struct sq_segment *s = &q->segment;
    unsigned found = 0;

    for (uint32_t i = 0, slots = sq_attach_slots(s); i < slots; i++) {
        const struct sq_slot_shm *slot = &s->slots[i];
        if (!sq_attach_taken(s, &q->attachment, i))
            continue;
        if (found < count) {
            list[found] = (struct shmq_process){
                .pid = slot->pid,
                .flags = slot->flags,
                .attached_ns = slot->attached_ns,
                .sleeping_producers = sq_load(&slot->sleeping_producers),
                .sleeping_consumers = sq_load(&slot->sleeping_consumers),
            };
            memcpy(list[found].command, slot->command, sizeof(list[found].command) - 1);
        }
        found++;
    }
    return (int)found;
}

int shmq_list(int (*each)(const char *name, void *arg), void *arg)
{
    static const char prefix[] = "shmq.";
    int rc = 0, cancel = sq_cancel_hold();
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;

    if (dir == NULL)
        rc = sq_fail(-errno, "cannot read /dev/shm");
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        struct sq_path path;
        const char *name = entry->d_name + sizeof(prefix) - 1;
        if (strncmp(entry->d_name, prefix, sizeof(prefix) - 1) == 0 &&
            sq_segment_path(name, &path) == 0)
            rc = each(name, arg);
    }
    if (dir != NULL)
        closedir(dir);
    sq_cancel_release(cancel);
    return rc;
}
