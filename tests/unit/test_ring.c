/*
 * test_ring.c - the record ring against a plain list of what should be in it.
 *
 * Random steps with a seed; after each the ring answers as the list does, and
 * every so often it is checked as a whole.  Positions start shortly before they
 * wrap at 2^64.
 */
#include "support/helper.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "group/group.h"
#include "group/group_bulk.h"
#include "ring/ring_browse.h"

enum {
    MODEL_MAX = 4096,
    STEPS = 50000, /* for each of four rings */
    BATCH_MAX = 6,
};

struct model {
    struct sq_ring ring;
    struct helper_random random;
    struct {
        uint64_t id;
        uint32_t length;
    } waiting[MODEL_MAX]; /* a circle: first to first + count */
    uint64_t first, count, used_bytes, next_id, peak, dropped, purged, got_bytes, put_bytes;
    uint64_t browse_pos, browse_id; /* a walk that goes on */
};

static uint64_t below(struct model *m, uint64_t n)
{
    return helper_random(&m->random) % n;
}

/* --- the ring ---------------------------------------------------------------- */

static const _Atomic uint64_t only_group = 1;

static void ring_make(struct sq_ring *ring, uint64_t capacity, uint64_t max_messages)
{
    uint64_t start = 0 - 5 * capacity - 512;
    int fd = memfd_create("ring", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, (off_t)capacity), 0);
    unsigned char *bytes = mmap(NULL, 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(bytes, MAP_FAILED);
    for (int i = 0; i < 2; i++)
        assert_ptr_not_equal(mmap(bytes + (uint64_t)i * capacity, capacity, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_FIXED, fd, 0),
                             MAP_FAILED);
    close(fd);
    *ring = (struct sq_ring){
        .home = ring,
        .producer = aligned_alloc(SQ_SEPARATE, sizeof(struct sq_producer_shm)),
        .groups = aligned_alloc(SQ_SEPARATE, sizeof(struct sq_group_shm)),
        .group_count = 1,
        .group_bits = &only_group,
        .bytes = bytes,
        .capacity_bytes = capacity,
        .max_messages = max_messages,
        .max_message_bytes = capacity - SQ_RECORD_HEADER_BYTES,
    };
    ring->group = ring->groups;
    memset(ring->producer, 0, sizeof(*ring->producer));
    memset(ring->group, 0, sizeof(*ring->group));
    sq_lock_own(ring->producer, sizeof(*ring->producer));
    sq_lock_own(ring->groups, sizeof(*ring->groups));
    sq_store(&ring->producer->next_id, 1);
    ring->producer->low_id = 1;
    sq_store(&ring->producer->tail_pos, start);
    ring->producer->low_pos = ring->group->known_tail_pos = start;
    sq_store(&ring->group->cursor_pos, start);
    sq_store(&ring->group->held_pos, UINT64_MAX); /* a group without pending entries */
}

static void ring_free(struct sq_ring *ring)
{
    munmap(ring->bytes, 2 * ring->capacity_bytes);
    sq_lock_freed(ring->producer);
    sq_lock_freed(ring->groups);
    free(ring->producer);
    free(ring->group);
}

/* --- payloads tell their id ---------------------------------------------------- */

static void payload_write(unsigned char *to, uint64_t id, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        to[i] = (unsigned char)(id * 31 + i);
}

static void payload_check(const unsigned char *from, uint64_t id, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        if (from[i] != (unsigned char)(id * 31 + i))
            fail_msg("byte %u of message %llu", i, (unsigned long long)id);
}

static uint32_t random_length(struct model *m)
{
    switch (below(m, 12)) {
    case 0:
        return 0;
    case 1: /* long, up to the longest */
        return (uint32_t)below(m, m->ring.max_message_bytes + 1);
    case 2:
        return (uint32_t)below(m, m->ring.capacity_bytes / 4);
    default:
        return (uint32_t)below(m, 64);
    }
}

static void forget_first(struct model *m)
{
    m->used_bytes -= sq_record_bytes(m->waiting[m->first].length);
    m->first = (m->first + 1) % MODEL_MAX;
    m->count--;
}

/* --- steps ---------------------------------------------------------------------- */

static bool model_has_room(const struct model *m, uint64_t bytes, uint64_t count)
{
    return m->used_bytes + bytes <= m->ring.capacity_bytes &&
           (m->ring.max_messages == 0 || m->count + count <= m->ring.max_messages);
}

static void append(struct model *m)
{
    unsigned n = (unsigned)below(m, BATCH_MAX) + 1;
    uint32_t lengths[BATCH_MAX];
    uint64_t bytes = 0, payload_bytes = 0, tail = sq_load(&m->ring.producer->tail_pos);

    for (unsigned i = 0; i < n; i++) {
        lengths[i] = random_length(m);
        bytes += sq_record_bytes(lengths[i]);
    }
    bool room = model_has_room(m, bytes, n);
    assert_int_equal(sq_ring_seems_roomy(&m->ring, bytes, n), room);
    if (bytes > m->ring.capacity_bytes)
        return;                               /* no caller asks for it */
    if (sq_ring_has_room(&m->ring, bytes, n)) /* by an old look: never more than there is */
        assert_true(room);
    else
        assert_int_equal(sq_ring_look_room(&m->ring, bytes, n), room ? 0 : -EAGAIN);
    if (!room)
        return;
    for (unsigned i = 0; i < n; i++) {
        uint64_t id = m->next_id++;
        payload_write(sq_ring_write_header(&m->ring, tail, id, lengths[i], 0, 1), id, lengths[i]);
        tail += sq_record_bytes(lengths[i]);
        payload_bytes += lengths[i];
        uint64_t at = (m->first + m->count++) % MODEL_MAX;
        m->waiting[at].id = id;
        m->waiting[at].length = lengths[i];
    }
    m->used_bytes += bytes;
    m->put_bytes += payload_bytes;
    if (m->count > m->peak)
        m->peak = m->count;
    sq_ring_publish(&m->ring, tail, m->next_id, payload_bytes);
}

static void take(struct model *m)
{
    uint64_t n = below(m, BATCH_MAX) + 1, payload_bytes = 0;
    struct sq_walk walk;
    int rc = sq_ring_begin_take(&m->ring, &walk);

    assert_int_equal(rc, m->count > 0 ? 0 : -EAGAIN);
    if (rc < 0)
        return;
    while (n-- > 0 && walk.pos != walk.end) {
        uint32_t length = 0;
        struct sq_record_shm *record = sq_walk_step(&m->ring, &walk, &length);
        assert_non_null(record);
        assert_int_equal(walk.id - 1, m->waiting[m->first].id);
        assert_int_equal(length, m->waiting[m->first].length);
        payload_check(sq_record_payload(record), walk.id - 1, length);
        payload_bytes += length;
        forget_first(m);
    }
    m->got_bytes += payload_bytes;
    sq_ring_end_take(&m->ring, &walk, payload_bytes);
}

static void drop(struct model *m)
{
    uint32_t length = random_length(m);
    uint64_t bytes = sq_record_bytes(length);

    uint64_t most = m->ring.max_messages;
    uint64_t pos = sq_load(&m->ring.producer->tail_pos) + bytes - m->ring.capacity_bytes;

    assert_int_equal(sq_group_drop(&m->ring, pos, most == 0 ? UINT64_MAX : most - 1), 0);
    while (!model_has_room(m, bytes, 1)) {
        forget_first(m);
        m->dropped++;
    }
}

static void purge(struct model *m)
{
    assert_int_equal(sq_group_purge(&m->ring), m->count);
    m->purged += m->count;
    while (m->count > 0)
        forget_first(m);
}

static void reset(struct model *m)
{
    /* It believes the counters, which are in order here. */
    assert_int_equal(sq_ring_reset(&m->ring), m->count);
    m->purged += m->count;
    while (m->count > 0)
        forget_first(m);
}

/* The first waiting message that the walk has not shown, or -1. */
static int64_t next_to_browse(const struct model *m, uint64_t after_id)
{
    for (uint64_t i = 0; i < m->count; i++)
        if (m->waiting[(m->first + i) % MODEL_MAX].id > after_id)
            return (int64_t)((m->first + i) % MODEL_MAX);
    return -1;
}

static void browse(struct model *m)
{
    static unsigned char buffer[1 << 16];
    bool anew = below(m, 4) == 0;
    uint64_t cursor = sq_load(&m->ring.group->cursor_pos),
             size = below(m, 8) == 0 ? below(m, 64) : sizeof(buffer);
    struct shmq_info info;

    if (anew) { /* position 0 means the start unless it is in the ring: after 2^64 bytes */
        m->browse_pos = cursor > UINT64_MAX / 2 ? cursor : 0;
        m->browse_id = 0;
    }
    int64_t at = next_to_browse(m, m->browse_id);
    ssize_t n = sq_ring_browse(&m->ring, &m->browse_pos, buffer, size, &info);
    if (at < 0) {
        assert_int_equal(n, -EAGAIN);
        return;
    }
    assert_int_equal(info.id, m->waiting[at].id);
    assert_int_equal(info.length, m->waiting[at].length);
    if (m->waiting[at].length > size) {
        assert_int_equal(n, -EMSGSIZE); /* and it is the next one again */
        return;
    }
    assert_int_equal(n, m->waiting[at].length);
    payload_check(buffer, info.id, (uint32_t)n);
    m->browse_id = info.id;
}

/* --- what deaths leave -------------------------------------------------------- */

/* P died: next_id may be too low (if messages of P's last put are there or were
 * finished), what P keeps for itself is anything that it once was. */
static void rebuild_producer(struct model *m)
{
    struct sq_producer_shm *p = m->ring.producer;
    uint64_t lag = below(m, m->count + 1);

    sq_store(&p->next_id, m->next_id - lag);
    p->low_pos = sq_load(&m->ring.group->cursor_pos) - 8 * below(m, 100);
    p->low_id = helper_random(&m->random);
    assert_int_equal(sq_ring_rebuild_producer(&m->ring), 0);
    assert_int_equal(sq_load(&p->next_id), m->next_id);
    assert_int_equal(p->low_pos, sq_load(&m->ring.group->cursor_pos));
    assert_int_equal(p->low_id, m->count > 0 ? m->waiting[m->first].id : m->next_id);
    assert_null(sq_ring_valid(&m->ring));
}

/* C died: finished_id may be ahead, by as many as it was about to take. */
static void rebuild_consumer(struct model *m)
{
    struct sq_group_shm *g = m->ring.group;
    uint64_t finished = sq_load(&g->finished_id);

    sq_store(&g->finished_id, finished + below(m, m->count + 1));
    g->known_tail_pos = helper_random(&m->random);
    assert_int_equal(sq_ring_rebuild_consumer(&m->ring), 0);
    assert_int_equal(sq_load(&g->finished_id), finished);
    assert_int_equal(g->known_tail_pos, sq_load(&m->ring.producer->tail_pos));
    assert_null(sq_ring_valid(&m->ring));
}

/* P died between tail and next_id, and all of its messages were taken since. */
static void died_and_drained(struct model *m)
{
    uint64_t lag = m->count;

    purge(m);
    sq_store(&m->ring.producer->next_id, m->next_id - lag);
    assert_int_equal(sq_ring_rebuild_producer(&m->ring), 0);
    assert_int_equal(sq_load(&m->ring.producer->next_id), m->next_id);
    assert_null(sq_ring_valid(&m->ring));
}

static void compare(struct model *m)
{
    const struct sq_group_shm *g = m->ring.group;
    const struct sq_producer_shm *p = m->ring.producer;
    const char *wrong = sq_ring_valid(&m->ring);

    if (wrong != NULL)
        fail_msg("%s", wrong);
    assert_int_equal(sq_ring_depth(&m->ring), m->count);
    assert_int_equal(sq_ring_has_items(&m->ring), m->count > 0);
    assert_int_equal(sq_load(&p->tail_pos) - sq_load(&g->cursor_pos), m->used_bytes);
    assert_int_equal(sq_load(&p->next_id), m->next_id);
    assert_int_equal(sq_load(&p->put_bytes), m->put_bytes);
    assert_int_equal(sq_load(&g->got_bytes), m->got_bytes);
    assert_int_equal(sq_load(&g->dropped_count), m->dropped);
    assert_int_equal(sq_load(&g->purged_count), m->purged);
    uint64_t peak = sq_load(&p->peak_depth);
    assert_cmp(peak, <=, m->peak);
    assert_cmp(peak + 32 + BATCH_MAX, >=, m->peak);
}

static void step(struct model *m)
{
    uint64_t what = below(m, 1000);

    if (what < 400)
        append(m);
    else if (what < 780)
        take(m);
    else if (what < 930)
        browse(m);
    else if (what < 960)
        drop(m);
    else if (what < 976)
        rebuild_producer(m);
    else if (what < 992)
        rebuild_consumer(m);
    else if (what < 995)
        died_and_drained(m);
    else if (what < 998)
        purge(m);
    else
        reset(m);
}

static void random_steps(void **state)
{
    static const struct {
        uint64_t capacity, max_messages;
    } rings[] = {{4096, 0}, {4096, 7}, {8192, 0}, {65536, 100}};
    struct helper_random random = helper_seed();
    struct model *m = malloc(sizeof(*m));

    (void)state;
    for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
        memset(m, 0, sizeof(*m));
        m->random.state = helper_random(&random) | 1;
        m->next_id = 1;
        ring_make(&m->ring, rings[i].capacity, rings[i].max_messages);
        for (unsigned n = 0; n < STEPS; n++) {
            step(m);
            if (n % 8 == 0)
                compare(m);
        }
        assert_cmp(sq_load(&m->ring.producer->tail_pos), <, UINT64_MAX / 2); /* it has wrapped */
        ring_free(&m->ring);
    }
    free(m);
}

/* --- single points ------------------------------------------------------------ */

static void copies(void **state)
{
    unsigned char from[512], to[512];

    (void)state;
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (unsigned char)(i * 89 + 1);
    for (size_t n = 0; n <= 300; n++) {
        memset(to, 0, sizeof(to));
        sq_copy(to + 8, from, n);
        assert_memory_equal(to + 8, from, n);
        assert_int_equal(to[7], 0);
        assert_int_equal(to[8 + n], 0);
    }
}

static void histogram(void **state)
{
    struct sq_ring ring;

    (void)state;
    ring_make(&ring, 4096, 0);
    static const struct {
        int64_t waited_ns;
        int bucket;
    } cases[] = {{-5, 0},
                 {0, 0},
                 {1, 0},
                 {2, 1},
                 {3, 1},
                 {4, 2},
                 {1023, 9},
                 {1024, 10},
                 {((int64_t)1 << 47) - 1, 46},
                 {(int64_t)1 << 47, 47},
                 {INT64_MAX, 47}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _Atomic uint64_t *bucket = &ring.group->waited[cases[i].bucket];
        uint64_t before = sq_load(bucket);
        sq_ring_sample(&ring, cases[i].waited_ns);
        assert_int_equal(sq_load(bucket), before + 1);
    }
    ring_free(&ring);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(random_steps),
        HELPER_TEST(copies),
        HELPER_TEST(histogram),
    };

    return helper_run(argc, argv, tests);
}
