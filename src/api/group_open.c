/*
 * group_open.c - making, removing and steering groups.
 *
 * A group is there when its bit in control->groups is set, which is the last thing done
 * to make it; who dies before leaves nothing.  Handles know their group by its number's
 * generation, which each removal counts up before it clears the bit: who dies in between
 * leaves a group that has lost its members, and can be opened again.
 */
#include "api/consumer.h"
#include "api/group_stats.h"
#include "api/open.h"
#include "api/producer.h"
#include "base/error.h"
#include "group/policy.h"
#include "group/seek.h"
#include "group/table.h"
#include "handle/handle_groups.h"
#include "handle/poll_pipe.h"
#include "persist/journal_sync.h"
#include "segment/segment_attr.h"
#include "sync/futex.h"

/* --- making -------------------------------------------------------------------------- */

static int check_name(const char *name)
{
    struct sq_path path;

    if (name == NULL || name[0] == '/' || sq_segment_path(name, &path) < 0 ||
        strlen(name) > SHMQ_GROUP_LONGEST)
        return sq_fail(-EINVAL, "a group's name has 1 to %d of the characters of queues' names",
                       SHMQ_GROUP_LONGEST);
    return 0;
}

/* Copy a filter's text, if there is one and it fits. */
static int copy_text(char *to, size_t size, const char *from, const char *what)
{
    if (from == NULL)
        return 0;
    if (from[0] == '\0' || strlen(from) >= size)
        return sq_fail(-EINVAL, "%s is empty or longer than %zu bytes", what, size - 1);
    strcpy(to, from);
    return 0;
}

static int check_attr(const struct shmq_group_attr *given, struct shmq_group_attr *attr,
                      const struct shmq_policy *policy)
{
    *attr = (struct shmq_group_attr)SHMQ_GROUP_INIT;
    if (given != NULL) {
        if (given->size < sizeof(*given))
            return sq_fail(-EINVAL, "attr->size is %zu; use SHMQ_GROUP_INIT", given->size);
        *attr = *given;
    }
    if (attr->start > SHMQ_AT_PART)
        return sq_fail(-EINVAL, "start %u is none of enum shmq_start", attr->start);
    if ((attr->filter_header == NULL) != (attr->filter_header_value == NULL))
        return sq_fail(-EINVAL, "filter_header and filter_header_value belong together");
    if (attr->has_policy == 0) {
        attr->policy = *policy;
        return 0;
    }
    return sq_segment_given_policy(&attr->policy);
}

static int set_filter(struct sq_group_shm *g, const struct shmq_group_attr *attr)
{
    struct sq_delivery_shm *d = &g->delivery;
    int rc = copy_text(d->filter_key, sizeof(d->filter_key), attr->filter_key, "filter_key");

    if (rc == 0)
        rc = copy_text(d->filter_header, sizeof(d->filter_header), attr->filter_header,
                       "filter_header");
    if (rc == 0 && attr->filter_header_value != NULL && attr->filter_header_value[0] != '\0')
        rc = copy_text(d->filter_value, sizeof(d->filter_value), attr->filter_header_value,
                       "filter_header_value");
    d->filter_type = attr->filter_type;
    if (attr->filter_type != 0 || attr->filter_key != NULL || attr->filter_header != NULL)
        sq_store(&g->mode, sq_load(&g->mode) | SQ_GROUP_FILTERED);
    return rc;
}

/* Groups are held: the number of group `name`; group_count: there is none. */
static uint32_t find_group(const struct sq_ring *ring, const char *name)
{
    for (uint64_t bits = sq_ring_groups(ring); bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        if (strncmp(ring->groups[i].delivery.name, name, SHMQ_GROUP_LONGEST) == 0)
            return i;
    }
    return ring->group_count;
}

/*
 * The group is there.  A sole producer goes on meanwhile: take the position anew, now that it
 * sees that we are there.  When we die before that, it finds the group beyond its reach,
 * and moves it to the tail (ring/ring.c).
 */
static void start_beside_sole(struct shmq *g, const struct sq_ring *ring)
{
    enum { TRIES = 1000 };
    struct sq_seek target;

    atomic_thread_fence(memory_order_seq_cst);
    if (!sq_membarrier())
        atomic_fetch_or(&g->segment.control->notices, SQ_NOTICE_FENCE);
    /* A record there says its id.  If none comes, next_id is no longer behind. */
    target.pos = sq_load_acquire(&ring->producer->tail_pos);
    target.id = 0;
    for (int i = 0; i < TRIES && target.id == 0; i++) {
        if (sq_load_acquire(&ring->producer->tail_pos) != target.pos)
            target.id = sq_record_own_id(sq_record_at(ring, target.pos));
        sq_pause();
    }
    if (target.id == 0)
        target.id = sq_load(&ring->producer->next_id);
    sq_seek_set(ring->group, &target);
    ring->group->delivery.start_id = target.id;
}

/*
 * Groups and the group's side are held, and P, or else (`beside` a sole producer that we
 * must not wait for) the target is the tail.
 */
static int build_group(struct shmq *g, uint32_t i, const char *name,
                       const struct shmq_group_attr *attr, bool beside, struct sq_promise *promise)
{
    struct sq_ring ring = g->segment.ring;
    struct sq_seek target = {sq_load_acquire(&ring.producer->tail_pos),
                             sq_load(&ring.producer->next_id)};
    struct sq_policy_shm policy = sq_policy_in(&attr->policy);
    int rc = 0;

    sq_ring_read_as(&ring, i);
    /* Nothing is looked at that P may be overwriting. */
    if (!beside)
        rc = sq_seek_find(&ring, (int)attr->start, attr->start_at, &target);
    if (rc < 0)
        return sq_fail(rc, "the ring's history is damaged");
    sq_seek_begin(&ring, name, &policy, &target);
    rc = set_filter(ring.group, attr);
    if (rc == 0 && !beside) {
        rc = sq_ring_rebuild_consumer(&ring); /* counts the removed ones, */
        sq_group_set_got(&ring, 0);           /* which were not handed out */
    }
    if (rc == 0 && sq_journal_writes(g))
        rc = sq_journal_about(g, &ring, false, promise);
    if (rc < 0)
        return rc;
    atomic_fetch_or(&g->segment.control->groups, (uint64_t)1 << i);
    if (beside)
        start_beside_sole(g, &ring);
    else
        sq_seek_seen(&ring);
    if (beside && sq_journal_writes(g)) /* else with what the group writes next */
        sq_journal_group(g, &ring, promise);
    return 0;
}

/* The side keeps out who would see to the poll of the group that was here before. */
static int make_group(struct shmq *g, uint32_t i, const char *name,
                      const struct shmq_group_attr *attr, bool beside, struct sq_promise *promise,
                      struct sq_deadline *deadline)
{
    int rc = sq_enter_group(g, i, deadline);

    if (rc < 0)
        return rc;
    rc = build_group(g, i, name, attr, beside, promise);
    sq_leave_group(g, i);
    return rc;
}

/* Groups are held: have `g` read as the group, which is made if need be. */
static int open_group(struct shmq *g, const char *name, const struct shmq_group_attr *attr,
                      struct sq_promise *promise, struct sq_deadline *deadline)
{
    struct sq_ring *ring = &g->segment.ring;
    uint64_t bits = sq_ring_groups(ring);
    uint32_t i = find_group(ring, name);
    bool make = i == ring->group_count;
    int rc = 0;

    sq_assert_held(&g->segment.control->groups_lock);
    if (make) {
        for (i = 0; i < ring->group_count && (bits >> i & 1) != 0; i++)
            ;
        if (i == ring->group_count)
            return sq_fail(-ENOSPC, "the topic has its %u groups", ring->group_count);
        /* Beside shared producers any start is exact; beside a sole one only the tail will do. */
        rc = sq_visit(g, SQ_ROLE_PRODUCER, deadline);
        bool entered = rc == 0;
        if (rc == -EBUSY && attr->start == SHMQ_LATEST)
            rc = 0;
        /* Members of one that had the number may come, to see that it is no more theirs. */
        if (rc == 0)
            rc = make_group(g, i, name, attr, !entered, promise, deadline);
        if (entered)
            sq_end_visit(g, SQ_ROLE_PRODUCER);
    }
    if (rc < 0)
        return rc;
    sq_ring_read_as(ring, i);
    g->groupless = false;
    g->generation = sq_load(&ring->group->generation);
    sq_note_group(g);
    return 0;
}

int shmq_subscribe(shmq_t *q, const char *name, const struct shmq_group_attr *given, shmq_t **g)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    struct sq_promise promise = {0};
    struct shmq_group_attr attr;

    *g = NULL;
    if ((q->segment.ring.kind & SHMQ_TOPIC) == 0)
        return sq_fail(-EINVAL, "the queue is no topic: create it with SHMQ_TOPIC");
    if (q->segment.readable_only)
        return sq_fail(-EACCES, "the handle was opened with SHMQ_RDONLY");
    int rc = check_name(name);
    if (rc == 0)
        rc = check_attr(given, &attr, &q->segment.attr.policy);
    if (rc < 0)
        return rc;
    int cancel = sq_cancel_hold();
    rc = sq_open_again(g, q);
    if (rc == 0) {
        rc = sq_hold_groups(*g, &deadline);
        if (rc == 0) {
            rc = open_group(*g, name, &attr, &promise, &deadline);
            sq_release_groups(*g);
        }
        if (rc == 0)
            rc = sq_journal_sync_promise(*g, &promise);
        if (rc < 0) {
            shmq_close(*g);
            *g = NULL;
        }
    }
    sq_cancel_release(cancel);
    return rc;
}

/* Groups are held: take it away from everybody. */
static int remove_group(struct shmq *q, const char *name, struct sq_promise *promise,
                        struct sq_deadline *deadline)
{
    struct sq_ring ring = q->segment.ring;
    uint32_t i = find_group(&ring, name);

    sq_assert_held(&q->segment.control->groups_lock);
    if (i == ring.group_count)
        return sq_fail(-ENOENT, "no group %s", name);
    int rc = sq_enter_group(q, i, deadline);
    if (rc < 0)
        return rc;
    sq_ring_read_as(&ring, i);
    rc = sq_journal_writes(q) ? sq_journal_remove_group(q, &ring, promise) : 0;
    if (rc < 0) {
        sq_leave_group(q, i);
        return rc;
    }
    /* Its handles first: once it is gone, producers overwrite what they would read. */
    atomic_fetch_add(&ring.group->generation, 1);
    atomic_fetch_and(&q->segment.control->groups, ~((uint64_t)1 << i));
    sq_leave_group(q, i);
    sq_cond_wake(&ring.group->items, UINT32_MAX);
    sq_cond_wake(&ring.group->done, UINT32_MAX);
    sq_poll_pipe_update(q, i);
    sq_cond_wake(&ring.group->notifiers, UINT32_MAX);
    sq_wake(q, SQ_ROLE_PRODUCER, UINT32_MAX);
    return 0;
}

int shmq_unsubscribe(shmq_t *q, const char *name)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    struct sq_promise promise = {0};

    if ((q->segment.ring.kind & SHMQ_TOPIC) == 0)
        return sq_fail(-EINVAL, "the queue is no topic");
    /* Any name that a group has: one that was damaged can be removed, too. */
    int rc = name == NULL ? check_name(name) : 0;
    if (rc == 0) /* attaches, in a child after fork() */
        rc = sq_make_ready_attached(q, &deadline);
    if (rc == 0)
        rc = sq_hold_groups(q, &deadline);
    if (rc < 0)
        return rc;
    rc = remove_group(q, name, &promise, &deadline);
    sq_release_groups(q);
    return rc < 0 ? rc : sq_journal_sync_promise(q, &promise);
}

/* --- steering ------------------------------------------------------------------------- */

/* P and C: move the group. */
static int move_group(struct shmq *q, int start, uint64_t at, struct sq_promise *promise)
{
    const struct sq_ring *ring = &q->segment.ring;

    sq_consumer_end_overdue(q, ring);
    uint64_t got = sq_group_got(ring);
    int rc = sq_seek_move(ring, start, at);
    if (rc < 0)
        return rc == -EBUSY ? sq_fail(rc, "messages of the group are leased")
                            : sq_fail(rc, "the ring's history is damaged");
    sq_group_set_got(ring, got);
    /* There are no entries now. */
    return sq_journal_writes(q) ? sq_journal_about(q, ring, false, promise) : 0;
}

int shmq_seek(shmq_t *q, int start, uint64_t at)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));

    if (start < SHMQ_LATEST || start > SHMQ_AT_PART)
        return sq_fail(-EINVAL, "start %d is none of enum shmq_start", start);
    struct sq_promise promise = {0};
    int rc = sq_visit(q, SQ_ROLE_PRODUCER, &deadline);
    if (rc < 0)
        return rc;
    rc = sq_visit(q, SQ_ROLE_CONSUMER, &deadline);
    if (rc == 0) {
        rc = sq_consumer_check_group(q);
        if (rc == 0)
            rc = move_group(q, start, at, &promise);
        sq_end_visit(q, SQ_ROLE_CONSUMER);
    }
    sq_end_visit(q, SQ_ROLE_PRODUCER);
    sq_consumer_wake(q, 1);
    return rc < 0 ? rc : sq_journal_sync_promise(q, &promise);
}

int shmq_part_begin(shmq_t *q)
{
    struct sq_deadline deadline = sq_deadline_in(SHMQ_SEC(1));
    struct sq_producer_shm *p = q->segment.ring.producer;
    int rc = sq_visit(q, SQ_ROLE_PRODUCER, &deadline);

    if (rc < 0)
        return rc;
    struct sq_promise promise = {0};
    sq_store(&p->part_id, sq_load(&p->next_id));
    if (sq_journal_writes(q))
        rc = sq_journal_part(q, &promise);
    sq_end_visit(q, SQ_ROLE_PRODUCER);
    sq_producer_wake(q, 0);
    return rc < 0 ? rc : sq_journal_sync_promise(q, &promise);
}
