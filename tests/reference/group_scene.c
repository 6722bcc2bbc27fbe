/*
 * group_scene.c - see group_scene.h.
 */
#include "reference/group_scene.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "group/table.h"
#include "support/helper.h"

enum { KEY_CELLS = 256 }; /* at most half of them are taken: 4096 / 80 messages */

const char *const scene_event_names[EVENT_COUNT] = {
    [EVENT_PUT] = "put",
    [EVENT_PUT_PLAIN] = "put without extension",
    [EVENT_NO_BYTES] = "put refused: no bytes",
    [EVENT_NO_COUNT] = "put refused: max_messages",
    [EVENT_KEY_TAKEN] = "put refused: key",
    [EVENT_COMPACTED] = "compaction freed something",
    [EVENT_COMPACTED_FOR_PUT] = "compaction made room for a put",
    [EVENT_COMPACTED_SHARED] = "compaction moved what two groups held",
    [EVENT_LEASED_IN_THE_WAY] = "compaction met a lease",
    [EVENT_NOT_WANTED] = "compaction not wanted where no room",
    [EVENT_WANTED_LATER] = "compaction wanted after a while",
    [EVENT_WRAPPED] = "positions passed 2^64",
    [EVENT_FRESH] = "picked a fresh one",
    [EVENT_RETURNED] = "picked a returned one",
    [EVENT_NOTHING] = "picked nothing",
    [EVENT_DOOMED] = "picked a doomed one",
    [EVENT_TABLE_FULL] = "nothing to lease: table full",
    [EVENT_WALK_FULL] = "walk or pick found the table full",
    [EVENT_SHORT_LEASE] = "leased by the shortcut",
    [EVENT_SHORT_NOTHING] = "found nothing by the shortcut",
    [EVENT_SHORT_ACK] = "acknowledged by the shortcut",
    [EVENT_HELD_INSTEAD] = "a held one leased instead of a fresh one",
    [EVENT_FILTERED] = "filtered",
    [EVENT_EXPIRED_FRESH] = "expired before it was taken up",
    [EVENT_EXPIRED_HELD] = "expired while held",
    [EVENT_OUT_OF_ATTEMPTS] = "out of attempts",
    [EVENT_LEASE_OVER] = "lease ended by time",
    [EVENT_OWNER_LOST] = "lease ended by its owner's death",
    [EVENT_BURIER_LOST] = "burier died",
    [EVENT_DEAD_LETTER_AGAIN] = "made a dead letter at the second attempt",
    [EVENT_SENT] = "dead letter sent",
    [EVENT_NOT_SENT] = "dead letter not sent",
    [EVENT_PARKED] = "parked",
    [EVENT_ACKED] = "acknowledged",
    [EVENT_STALE] = "stale lease refused",
    [EVENT_NACKED] = "nack",
    [EVENT_NACKED_DELAYED] = "nack with delay",
    [EVENT_NACKED_BACK] = "nack to the back",
    [EVENT_TOUCHED] = "touch",
    [EVENT_OLDEST_LEASE] = "oldest lease",
    [EVENT_LEASES_UPTO] = "leases up to an id",
    [EVENT_PURGED] = "purge",
    [EVENT_REVIVED] = "revived",
    [EVENT_REVIVAL_REFUSED] = "revival refused: key",
    [EVENT_DROPPED_FRESH] = "dropped a fresh one",
    [EVENT_DROPPED_HELD] = "dropped a held one",
    [EVENT_DROP_REFUSED] = "drop met a lease",
    [EVENT_REMOVED_FRESH] = "removed a fresh one",
    [EVENT_REMOVED_HELD] = "removed a held one",
    [EVENT_REMOVED_BOTH] = "removed what is held here and fresh there",
    [EVENT_UPDATED_FRESH] = "updated a fresh one",
    [EVENT_UPDATED_HELD] = "updated a held one",
    [EVENT_UPDATED_BOTH] = "updated what is held here and fresh there",
    [EVENT_UPDATED_AGAIN] = "updated again",
    [EVENT_CHANGE_BUSY] = "change refused: leased",
    [EVENT_HEAP_OVERFLOWED] = "rebuilt within a step",
    [EVENT_REBUILT] = "rebuilt after scribbling",
    [EVENT_SUBSCRIBED] = "made a group",
    [EVENT_SUBSCRIBED_BEHIND] = "made a group that has something to read",
    [EVENT_SUBSCRIBED_ALONE] = "made a group at the earliest, the only one",
    [EVENT_UNSUBSCRIBED] = "removed a group",
    [EVENT_NO_GROUP] = "removed the last group",
    [EVENT_SOUGHT_ON] = "moved a group on",
    [EVENT_SOUGHT_BACK] = "moved a group back",
    [EVENT_SOUGHT_HELD] = "moved a group that held something",
    [EVENT_SEEK_BUSY] = "move refused: leased",
    [EVENT_PAUSED] = "nothing, since it is paused",
    [EVENT_RESUMED] = "resumed",
    [EVENT_DIED_IN_PUT] = "died in a put",
    [EVENT_DIED_IN_LEASE] = "died in a lease",
    [EVENT_DIED_IN_LEASE_OF_UPDATED] = "died in a lease of an updated one",
    [EVENT_DIED_IN_UPDATE] = "died in an update",
};

/* --- words --------------------------------------------------------------------- */

void scene_fail(struct scene *s, const char *format, ...)
{
    va_list args;

    if (s->failed)
        return;
    s->failed = true;
    va_start(args, format);
    vsnprintf(s->failure, sizeof(s->failure), format, args);
    va_end(args);
}

void scene_say(const struct scene *s, const char *format, ...)
{
    va_list args;

    if (!s->verbose)
        return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

void scene_same(struct scene *s, const char *what, int64_t is, int64_t should_be)
{
    if (is != should_be)
        scene_fail(s, "%s is %lld and should be %lld", what, (long long)is, (long long)should_be);
}

/* --- memory ---------------------------------------------------------------------- */

static void *zeroed(uint64_t bytes)
{
    void *memory = aligned_alloc(SQ_SEPARATE, (size_t)sq_align_up(bytes, SQ_SEPARATE));

    assert_non_null(memory);
    memset(memory, 0, (size_t)bytes);
    return memory;
}

void scene_make(struct scene *s)
{
    int fd = memfd_create("ring", MFD_CLOEXEC);
    uint64_t capacity = SCENE_CAPACITY;

    memset(s, 0, sizeof(*s));
    assert_int_equal(ftruncate(fd, (off_t)capacity), 0);
    unsigned char *bytes = mmap(NULL, 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(bytes, MAP_FAILED);
    for (uint64_t i = 0; i < 2; i++)
        assert_ptr_not_equal(mmap(bytes + i * capacity, capacity, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_FIXED, fd, 0),
                             MAP_FAILED);
    close(fd);
    s->ring.bytes = bytes;
    s->ring.capacity_bytes = capacity;
    s->ring.max_message_bytes = capacity - SQ_RECORD_HEADER_BYTES;
    s->ring.producer = zeroed(sizeof(struct sq_producer_shm));
    s->ring.groups = zeroed(REF_GROUPS * sizeof(struct sq_group_shm));
    s->ring.tables = zeroed(REF_GROUPS * sq_table_bytes(REF_HELD));
    s->ring.keys = zeroed(KEY_CELLS * sizeof(struct sq_key_shm));
    s->ring.group_bits = &s->group_bits;
    sq_lock_own(s->ring.producer, sizeof(struct sq_producer_shm));
    sq_lock_own(s->ring.groups, REF_GROUPS * sizeof(struct sq_group_shm));
}

void scene_free(struct scene *s)
{
    munmap(s->ring.bytes, 2 * s->ring.capacity_bytes);
    sq_lock_freed(s->ring.producer);
    sq_lock_freed(s->ring.groups);
    free(s->ring.producer);
    free(s->ring.groups);
    free(s->ring.tables);
    free(s->ring.keys);
}

struct sq_ring scene_ring(const struct scene *s, int group)
{
    struct sq_ring ring = s->ring;

    sq_ring_read_as(&ring, (uint32_t)group);
    return ring;
}

void scene_begin(struct scene *s, const struct scene_config *config)
{
    struct sq_ring *ring = &s->ring;
    struct sq_producer_shm *p = ring->producer;

    s->config = *config;
    s->failed = false;
    s->lease_count = s->steps_done = s->backs_id = 0;
    for (uint32_t i = 0; i < SCENE_OWNERS; i++)
        s->owners[i] = i + 1;
    memset(ring->bytes, 0, SCENE_CAPACITY);
    memset(p, 0, sizeof(*p));
    memset(ring->groups, 0, REF_GROUPS * sizeof(struct sq_group_shm));
    memset(ring->tables, 0, REF_GROUPS * sq_table_bytes(REF_HELD));
    memset(ring->keys, 0, KEY_CELLS * sizeof(struct sq_key_shm));
    ring->home = ring;
    ring->order = config->order;
    ring->kind = config->unique ? SHMQ_UNIQUE : config->group_count > 1 ? SHMQ_TOPIC : 0;
    ring->entry_count = config->entry_count;
    ring->table_bytes = sq_table_bytes(config->entry_count);
    ring->key_count = config->unique ? KEY_CELLS : 0;
    ring->max_messages = config->max_messages;
    ring->group_count = config->group_count;
    sq_ring_read_as(ring, 0);
    sq_store(&s->group_bits, 0);
    sq_store(&p->next_id, 1);
    p->low_id = 1;
    sq_store(&p->tail_pos, config->start_pos);
    p->low_pos = p->least_pos = p->history_pos = config->start_pos;
    ref_begin(&s->ref, config->order, ring->kind, config->entry_count, config->start_pos);
    memset(s->leases, 0, sizeof(s->leases));
    for (uint32_t i = 0; i < config->group_count; i++) {
        struct sq_group_shm *g = &ring->groups[i];
        sq_store(&g->cursor_pos, config->start_pos); /* where the others are looked for */
        scene_start_group(s, (int)i, SHMQ_LATEST, 0);
    }
}

/* --- records ------------------------------------------------------------------------ */

bool scene_is_plain(const struct ref_message *m)
{
    return m->type == 0 && m->priority == 0 && m->due_ns == 0 && m->expiry_ns == 0 &&
           m->key == REF_NONE;
}

uint32_t scene_key(char *text, int key)
{
    return key == REF_NONE ? 0 : (uint32_t)sprintf(text, "key %d", key * 37);
}

static uint32_t extension_bytes(const struct ref_message *m)
{
    char key[32];

    if (scene_is_plain(m))
        return 0;
    return (uint32_t)sq_align_up(SQ_EXTENSION_BYTES + scene_key(key, m->key), SQ_RECORD_ALIGN);
}

uint64_t scene_record_bytes(const struct ref_message *m)
{
    return sq_record_bytes((uint64_t)extension_bytes(m) + m->length);
}

void scene_write(const struct scene *s, uint64_t pos, uint64_t id, uint32_t tag,
                 const struct ref_message *m)
{
    uint32_t extension = extension_bytes(m);
    struct sq_extension_shm e = {
        .bytes = extension,
        .type = m->type,
        .priority = m->priority,
        .due_ns = m->due_ns,
        .expiry_ns = m->expiry_ns,
    };
    unsigned char *to =
        sq_ring_write_header(&s->ring, pos, id, extension + m->length,
                             tag | (extension != 0 ? SQ_RECORD_EXTENDED : 0), m->put_ns);

    if (extension != 0) {
        memset(to, 0, extension);
        e.key_bytes = (uint16_t)scene_key((char *)to + sizeof(e), m->key);
        memcpy(to, &e, sizeof(e));
        to += extension;
    }
    for (uint32_t i = 0; i < m->length; i++)
        to[i] = (unsigned char)(id * 31 + m->version * 7 + i);
}

/* --- deaths --------------------------------------------------------------------------- */

/* Everything that is derived, and only that.  What is counted up for good stays. */
void scene_scribble(struct scene *s, int group, uint32_t seed)
{
    struct sq_ring ring = scene_ring(s, group);
    struct sq_group_shm *g = ring.group;
    struct sq_pending_shm *p = &g->pending;
    struct helper_random random = {(uint64_t)seed * 2 + 1};
    uint64_t table = sq_table_bytes(ring.entry_count);
    uint64_t entries = ring.entry_count * sizeof(struct sq_entry_shm);

    helper_random(&random);
    for (uint32_t e = 0; e < ring.entry_count; e++) {
        struct sq_entry_shm *entry = &ring.entries[e];
        entry->pos_prev = (uint32_t)helper_random(&random) % (ring.entry_count + 1);
        entry->pos_next = (uint32_t)helper_random(&random);
        entry->time_prev = (uint32_t)helper_random(&random) % (ring.entry_count + 1);
        entry->time_next = (uint32_t)helper_random(&random);
    }
    for (uint64_t i = entries; i < table; i++)
        ring.tables[(uint64_t)group * ring.table_bytes + i] = (unsigned char)helper_random(&random);
    uint64_t back_seq = p->back_seq;
    for (size_t i = 0; i < sizeof(*p); i++)
        ((unsigned char *)p)[i] = (unsigned char)helper_random(&random);
    p->back_seq = back_seq;
    sq_store(&g->held_pos, helper_random(&random));
    sq_store(&g->held_count, helper_random(&random));
    sq_store(&g->gone_count, helper_random(&random));
    g->known_tail_pos = helper_random(&random);
    sq_store(&g->mode, sq_load(&g->mode) ^ (helper_random(&random) % 2 * SQ_GROUP_HOLDS));
    /* May run ahead of the truth, where a record tells. */
    sq_store(&g->finished_id, sq_load(&g->finished_id) +
                                  helper_random(&random) % 3 * (ref_fresh(&s->ref, group) > 0));
    if (ring.key_count != 0)
        for (uint32_t i = 0; i < ring.key_count; i++)
            ring.keys[i] = (struct sq_key_shm){helper_random(&random), helper_random(&random) % 4,
                                               helper_random(&random)};
}
