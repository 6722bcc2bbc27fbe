/*
 * ring.c - the record ring: positions and bytes (ring.h).
 *
 *      cursor_pos                      tail_pos
 *          v                              v
 *     .....[record][record]...[record]....|..... capacity bytes, then the same again
 *
 * P appends records at the tail; C takes them at its group's cursor.
 *
 * Invariants, for whoever holds both sides:
 *  1. cursor <= tail <= cursor + capacity, and both are multiples of 8.
 *  2. From the cursor to the tail there are whole records.  Their ids are consecutive; a copy,
 *     which updates an earlier message, repeats that one's id and does not count.
 *  3. next_id is the last record's id plus one, and finished_id the first one's minus one.
 *     Without records, finished_id == next_id - 1.
 *  4. low_pos <= cursor, and known_tail_pos <= tail.
 *
 * A topic has several groups, or none, each with a cursor: what is said here of the cursor
 * holds for each.  Behind the lowest cursor P keeps as much history as there is room for.  It
 * begins at history_pos, which is always the position of a record.
 *
 * Crash rule.  A put writes its records beyond the tail, stores the tail, and then next_id.  A
 * get stores finished_id, and then the cursor.  So a P that dies may leave next_id too low, and
 * a C that dies may leave finished_id too high, while the truth, tail and cursor, is right at
 * every instruction.  A rebuild takes both ids from the records.  If no record is left, C has
 * finished all that P put, and its finished_id is exact: had C died before it stored the cursor,
 * a record would be left.  So the larger of the two ids is right.  (A C that died while it
 * moved back left finished_id too low; then, too, the larger is right.)
 *
 * P may read the record at the cursor although C may pass it at any time: only P overwrites
 * records, or a sole consumer that compacts, which try_group_low() allows for.  A reader without
 * a side copies first, and then checks that the cursor has not passed what it copied.
 */
#include "ring/ring.h"

#include "ring/record.h"

/* --- where space ends -------------------------------------------------- */

/* The id of a record that may be finished and written over meanwhile: then what it says
 * is thrown away by try_group_low().  A thread sanitizer need not know. */
SQ_RACY uint64_t peek_id(const struct sq_ring *ring, uint64_t pos)
{
    return sq_record_own_id(sq_record_at(ring, pos));
}

/* As group_low(); 1: the cursor has moved meanwhile. */
static int try_group_low(const struct sq_ring *ring, const struct sq_group_shm *g, uint64_t tail,
                         uint64_t *low, uint64_t *depth)
{
    /* The cursor first: it pairs with the release in sq_ring_end_take(), and an entry
     * that the cursor has passed is then in the other two. */
    uint64_t cursor = sq_load_acquire(&g->cursor_pos);
    uint64_t held = sq_load_acquire(&g->held_pos), held_count = sq_load(&g->held_count);
    uint64_t next_id = sq_load(&ring->producer->next_id);

    if (!sq_ring_spans(ring, cursor, tail))
        return -EBADMSG;
    uint64_t id = cursor == tail ? next_id : peek_id(ring, cursor);
    /* C may have passed it and slid another record there (group/ring_compact.c): what was
     * read means something only if the cursor has not moved. */
    atomic_thread_fence(memory_order_acquire);
    if (sq_unlikely(sq_load(&g->cursor_pos) != cursor))
        return 1;
    if (id == 0) /* a copy is there, or what was updated */
        id = sq_load(&g->finished_id) + 1;
    /* A record takes at least its header: more ids than that is damage. */
    if (next_id - id > (tail - cursor) / SQ_RECORD_HEADER_BYTES || held_count > ring->entry_count)
        return -EBADMSG;
    uint64_t gone = sq_load(&g->gone_count);
    *low = cursor;
    *depth = next_id - id + held_count;
    if (gone <= *depth)
        *depth -= gone;
    if (held == UINT64_MAX)
        return 0;
    if (!sq_ring_spans(ring, held, tail))
        return -EBADMSG;
    if (tail - held > tail - cursor)
        *low = held;
    return 0;
}

/* Where a group's unfinished messages begin, and how many there are. */
static int group_low(const struct sq_ring *ring, const struct sq_group_shm *g, uint64_t tail,
                     uint64_t *low, uint64_t *depth)
{
    int rc;

    do
        rc = try_group_low(ring, g, tail, low, depth);
    while (sq_unlikely(rc > 0)); /* ends: it can pass only what there is, then it is at the tail */
    return rc;
}

/* The least of all groups' lows, and the greatest depth. */
static int least_low(const struct sq_ring *ring, uint64_t tail, uint64_t *low, uint64_t *depth)
{
    uint64_t bits, one, deep;

    if (sq_likely((ring->kind & SHMQ_TOPIC) == 0))
        return group_low(ring, ring->group, tail, low, depth);
    *low = tail;
    *depth = 0;
    bits = sq_ring_groups(ring);
    while (bits != 0) {
        unsigned i = (unsigned)__builtin_ctzll(bits);
        bits &= bits - 1;
        if (group_low(ring, &ring->groups[i], tail, &one, &deep) < 0)
            return -EBADMSG;
        if (tail - one > tail - *low)
            *low = one;
        if (deep > *depth)
            *depth = deep;
    }
    return 0;
}

/*
 * The lower one of `low` and what a saver still has to read.  To be asked after the
 * groups: who sees a cursor that moved after the saver had looked at its group then sees the
 * pin, too.
 */
static uint64_t pinned(const struct sq_ring *ring, uint64_t tail, uint64_t low)
{
    uint64_t pin = ring->pin == NULL ? SQ_NO_PIN : sq_load_acquire(ring->pin);

    if (sq_likely(pin == SQ_NO_PIN))
        return low;
    if (!sq_ring_spans(ring, pin, tail))
        pin = ring->producer->low_pos; /* nothing is let go yet */
    return sq_ring_spans(ring, pin, tail) && tail - pin > tail - low ? pin : low;
}

/* Where the groups are, or for a topic where its history is. */
int sq_ring_look_low(const struct sq_ring *ring)
{
    struct sq_producer_shm *p = ring->producer;
    uint64_t tail = sq_load(&p->tail_pos), low, depth;
    int rc = least_low(ring, tail, &low, &depth);

    sq_assert_held(&ring->producer->lock);
    if (rc < 0 || sq_load(&p->next_id) >= SQ_ID_MAX)
        return -EBADMSG;
    low = pinned(ring, tail, low);
    p->low_id = sq_load(&p->next_id) - depth;
    p->least_pos = p->low_pos = low;
    if ((ring->kind & SHMQ_TOPIC) == 0)
        return 0;
    if (!sq_ring_spans(ring, p->history_pos, tail))
        p->history_pos = low; /* damaged: there is none any more that can be told */
    if (tail - p->history_pos > tail - low)
        p->low_pos = p->history_pos;
    return 0;
}

/* P: let go of history, oldest first, until `bytes` fit and some more, so that not
 * every put has to do this. */
static void forget_history(const struct sq_ring *ring, uint64_t bytes)
{
    struct sq_producer_shm *p = ring->producer;
    uint64_t tail = sq_load(&p->tail_pos), ahead = ring->capacity_bytes / 16;

    if (p->low_pos != p->history_pos)
        return;
    while (p->low_pos != p->least_pos &&
           bytes + ahead > ring->capacity_bytes - (tail - p->low_pos)) {
        uint64_t next = sq_record_end(ring, p->low_pos, p->least_pos);
        p->history_pos = p->low_pos = next == p->low_pos ? p->least_pos : next;
    }
}

int sq_ring_look_room(const struct sq_ring *ring, uint64_t bytes, uint64_t count)
{
    const struct sq_producer_shm *p = ring->producer;
    int rc = sq_ring_look_low(ring);

    if (rc < 0)
        return rc;
    forget_history(ring, bytes);
    if (bytes > ring->capacity_bytes - (sq_load(&p->tail_pos) - p->low_pos))
        return -EAGAIN;
    if (ring->max_messages != 0 && sq_load(&p->next_id) + count - p->low_id > ring->max_messages)
        return -EAGAIN;
    return 0;
}

bool sq_ring_seems_roomy(const struct sq_ring *ring, uint64_t bytes, uint64_t count)
{
    uint64_t low, depth;

    /* The groups first, by the tail before them: it only grows.  Pairs with the release
     * in sq_ring_publish(): the records are there. */
    uint64_t tail = sq_load_acquire(&ring->producer->tail_pos);
    if (least_low(ring, tail, &low, &depth) < 0)
        return true;
    tail = sq_load_acquire(&ring->producer->tail_pos);
    if (!sq_ring_spans(ring, low, tail))
        return true;
    if (sq_unlikely(sq_ring_is_pinned(ring))) {
        uint64_t pin = sq_load(ring->pin);
        if (pin != SQ_NO_PIN && !sq_ring_spans(ring, pin, tail))
            return false; /* for a moment, and then we are woken */
        if (pin != SQ_NO_PIN && tail - pin > tail - low)
            low = pin;
    }
    if (bytes > ring->capacity_bytes - (tail - low))
        return false;
    return ring->max_messages == 0 || depth + count <= ring->max_messages;
}

/*
 * next_id - low_id has passed the peak, but low_id may be old.  Looking costs
 * two lines of the consumer's; when that was in vain twice within a few puts
 * (the consumer keeps up), it is done without for a while (sq_ring_publish()).  So the peak
 * may miss 32.
 */
void sq_ring_look_peak(const struct sq_ring *ring)
{
    enum { OFTEN = 8 };
    struct sq_producer_shm *p = ring->producer;
    uint64_t next_id = sq_load(&p->next_id);

    if (sq_ring_look_low(ring) < 0)
        return;
    if (next_id - p->low_id > sq_load(&p->peak_depth)) {
        sq_store(&p->peak_depth, next_id - p->low_id);
        return;
    }
    p->peak_pause = next_id - p->peak_futile_id <= OFTEN;
    p->peak_futile_id = next_id;
}

void sq_ring_sample(const struct sq_ring *ring, int64_t waited_ns)
{
    unsigned bucket = waited_ns < 2 ? 0 : 63 - (unsigned)__builtin_clzll((uint64_t)waited_ns);

    sq_assert_held(&ring->group->lock);
    if (bucket >= SHMQ_HISTOGRAM_BUCKETS)
        bucket = SHMQ_HISTOGRAM_BUCKETS - 1;
    _Atomic uint64_t *n = &ring->group->waited[bucket];
    sq_store(n, sq_load(n) + 1);
}

/* --- emptying ---------------------------------------------------------- */

int64_t sq_ring_reset(const struct sq_ring *ring)
{
    struct sq_producer_shm *p = ring->producer;
    struct sq_group_shm *g = ring->group;
    uint64_t next_id = sq_load(&p->next_id), finished = sq_load(&g->finished_id);
    uint64_t tail = sq_load(&p->tail_pos) & ~(uint64_t)(SQ_RECORD_ALIGN - 1);

    sq_assert_held(&ring->producer->lock);
    sq_assert_held(&ring->group->lock);
    /* Ids must not repeat; of two counters, of which one may be damaged, the
     * larger is safe unless it is absurd. */
    if (next_id <= finished && finished < SQ_ID_MAX)
        next_id = finished + 1;
    if (next_id == 0 || next_id >= SQ_ID_MAX)
        next_id = finished < SQ_ID_MAX / 2 ? finished + 1 + ring->capacity_bytes : 1;
    uint64_t lost = finished < next_id ? next_id - 1 - finished : 0;
    if (lost > ring->capacity_bytes / SQ_RECORD_HEADER_BYTES)
        lost = 0; /* no one can tell */
    sq_store(&g->purged_count, sq_load(&g->purged_count) + lost);
    sq_store(&g->finished_id, next_id - 1);
    sq_store(&p->tail_pos, tail);
    sq_store_release(&g->cursor_pos, tail);
    sq_store(&p->next_id, next_id);
    g->known_tail_pos = tail;
    sq_store(&g->gone_count, 0);
    if (sq_ring_groups(ring) == (uint64_t)1 << sq_ring_group_index(ring)) {
        p->history_pos = tail;
        p->low_pos = p->least_pos = pinned(ring, tail, tail);
        p->low_id = next_id;
    }
    return (int64_t)lost;
}

/* --- without a lock ---------------------------------------------------- */

uint64_t sq_ring_depth(const struct sq_ring *ring)
{
    uint64_t finished = sq_load_acquire(&ring->group->finished_id);
    uint64_t next_id = sq_load(&ring->producer->next_id);
    uint64_t gone = sq_load(&ring->group->gone_count);

    /* Next_id lags behind a put that a get has already seen. */
    return next_id > finished + gone ? next_id - 1 - finished - gone : 0;
}

/* --- derived from the truth -------------------------------------------- */

/* What there is from a position to the tail. */
struct extent {
    uint64_t first, next; /* ids; 0 where there is none */
    uint64_t gone;        /* how many were removed */
};

static int walk_all(const struct sq_ring *ring, uint64_t pos, uint64_t tail, struct extent *all)
{
    struct sq_walk walk = {pos, tail, 0};
    struct sq_view view;

    *all = (struct extent){0};
    if (!sq_ring_spans(ring, pos, tail))
        return -EBADMSG;
    while (walk.pos != walk.end) {
        int met = sq_record_next(ring, &walk, &view);
        if (met < 0)
            return -EBADMSG;
        if (all->first == 0 && walk.id != 0)
            all->first = walk.id - 1;
        all->gone += met == SQ_MET_GONE;
    }
    all->next = walk.id;
    return 0;
}

/* No record tells the next id: it is beyond all that a group has passed. */
static uint64_t next_id_of_none(const struct sq_ring *ring)
{
    uint64_t next = sq_load(&ring->producer->next_id);

    for (uint32_t i = 0; i < ring->group_count; i++) {
        uint64_t finished = sq_load(&ring->groups[i].finished_id);
        if ((sq_ring_groups(ring) >> i & 1) != 0 && next <= finished)
            next = finished + 1;
    }
    return next;
}

int sq_ring_rebuild_producer(const struct sq_ring *ring)
{
    struct sq_producer_shm *p = ring->producer;
    uint64_t tail = sq_load(&p->tail_pos);
    struct extent all;
    int rc = -EBADMSG;

    sq_assert_held(&ring->producer->lock);
    if ((ring->kind & SHMQ_TOPIC) != 0 && sq_ring_groups(ring) == 0 &&
        !sq_ring_spans(ring, p->history_pos, tail))
        p->history_pos = tail; /* damaged, and nothing else tells where records begin */
    /* A topic's history has the last ids even where no group does. */
    if ((ring->kind & SHMQ_TOPIC) != 0)
        rc = walk_all(ring, p->history_pos, tail, &all);
    for (uint64_t bits = sq_ring_groups(ring); rc < 0 && bits != 0; bits &= bits - 1) {
        unsigned i = (unsigned)__builtin_ctzll(bits);
        rc = walk_all(ring, sq_load_acquire(&ring->groups[i].cursor_pos), tail, &all);
    }
    if (rc < 0)
        return rc;
    sq_store(&p->next_id, all.next != 0 ? all.next : next_id_of_none(ring));
    return sq_ring_look_low(ring);
}

/* A topic's group whose cursor P has passed, since who made it beside a sole producer died
 * before it had a start: there is nothing for it but the tail. */
static uint64_t go_to_tail(const struct sq_ring *ring, uint64_t tail, uint64_t next_id)
{
    struct sq_group_shm *g = ring->group;
    uint64_t finished = sq_load(&g->finished_id);

    if (finished < next_id && next_id < SQ_ID_MAX) {
        sq_store(&g->dropped_count, sq_load(&g->dropped_count) + next_id - 1 - finished);
        sq_store(&g->finished_id, next_id - 1);
    }
    sq_store_release(&g->cursor_pos, tail);
    return tail;
}

int sq_ring_rebuild_consumer(const struct sq_ring *ring)
{
    struct sq_group_shm *g = ring->group;
    uint64_t cursor = sq_load(&g->cursor_pos);
    /* Before the tail, so that it is not beyond what we find there. */
    uint64_t next_id = sq_load_acquire(&ring->producer->next_id);
    uint64_t tail = sq_load_acquire(&ring->producer->tail_pos);
    struct extent all;

    sq_assert_held(&ring->group->lock);
    if ((ring->kind & SHMQ_TOPIC) != 0 && (int64_t)(tail - cursor) > (int64_t)ring->capacity_bytes)
        cursor = go_to_tail(ring, tail, next_id);
    int rc = walk_all(ring, cursor, tail, &all);
    if (rc < 0)
        return rc;
    g->known_tail_pos = tail;
    sq_store(&g->gone_count, all.gone);
    if (all.next != 0)
        sq_store(&g->finished_id, all.first - 1);
    else if (sq_load(&g->finished_id) < next_id - 1 && next_id - 1 < SQ_ID_MAX)
        sq_store(&g->finished_id, next_id - 1); /* who went back died before the cursor did */
    return 0;
}

const char *sq_ring_valid(const struct sq_ring *ring)
{
    const struct sq_producer_shm *p = ring->producer;
    const struct sq_group_shm *g = ring->group;
    uint64_t cursor = sq_load(&g->cursor_pos), tail = sq_load(&p->tail_pos);
    struct extent all;

    if (walk_all(ring, cursor, tail, &all) < 0)
        return "the records between cursor and tail are damaged";
    if (all.next == 0)
        all.first = all.next = sq_load(&p->next_id);
    if (sq_load(&p->next_id) != all.next)
        return "next_id is not the last id plus one";
    if (sq_load(&g->gone_count) != all.gone)
        return "gone_count is not that of the removed messages";
    if (sq_load(&g->finished_id) != all.first - 1)
        return "finished_id is not the first id minus one";
    if (tail - p->low_pos > ring->capacity_bytes)
        return "low_pos is not behind the tail";
    if (tail - g->known_tail_pos > tail - cursor)
        return "known_tail_pos is not between cursor and tail";
    return NULL;
}
