/*
 * group_steps.c - see group_scene.h: each step does the same to the ring and to the
 * reference, and compares what both say.
 */
#include "group/group_bulk.h"
#include "group/group_lease.h"
#include "reference/group_scene.h"

#define SAY_ID(m) ((unsigned long long)(m)->id)

static int group_of(const struct scene *s, const struct step *step)
{
    return (int)(step->args[0] % s->config.group_count);
}

static uint32_t owner_of(const struct scene *s, uint32_t arg)
{
    return s->owners[arg % SCENE_OWNERS];
}

/* --- room ------------------------------------------------------------------------- */

/* A scene's unit of time is a millisecond here. */
static int64_t clock_ns(const struct scene *s)
{
    return s->ref.now_ns * 1000000;
}

static uint64_t compact(struct scene *s)
{
    uint64_t low = scene_low(s);
    uint64_t freed = sq_ring_compact(&s->ring, sq_ring_groups(&s->ring), clock_ns(s));

    scene_say(s, "compact: %llu bytes\n", (unsigned long long)freed);
    scene_check_compacted(s, freed, low);
    return freed;
}

/* It is said at once or, if it has just been done, after a while, that compaction is
 * worth it. */
static void check_not_wanted(struct scene *s)
{
    s->events[EVENT_NOT_WANTED]++;
    if (sq_ring_compact_wanted(&s->ring, clock_ns(s) + 1000000000)) {
        s->events[EVENT_WANTED_LATER]++;
        return;
    }
    uint64_t freed = compact(s);
    if (freed > SCENE_CAPACITY / 16)
        scene_fail(s, "compaction was not wanted, and freed %llu bytes", (unsigned long long)freed);
}

static int drop(struct scene *s, int group, uint64_t pos, uint64_t depth)
{
    struct sq_ring ring = scene_ring(s, group);
    struct ref_group *g = &s->ref.groups[group];
    unsigned held = ref_held(&s->ref, group);
    uint64_t dropped = g->counts.dropped;
    int rc = sq_group_drop(&ring, pos, depth);
    bool done = ref_drop(&s->ref, group, pos, depth);

    held -= ref_held(&s->ref, group);
    s->events[EVENT_DROPPED_HELD] += held;
    s->events[EVENT_DROPPED_FRESH] += g->counts.dropped - dropped - held;
    s->events[EVENT_DROP_REFUSED] += !done;
    scene_say(s, "drop in group %d to position %llu, depth %llu: %llu, %d\n", group,
              (unsigned long long)pos, (unsigned long long)depth,
              (unsigned long long)(g->counts.dropped - dropped), rc);
    scene_same(s, "dropping", rc, done ? 0 : -EAGAIN);
    return rc;
}

static int look_room(struct scene *s, uint64_t bytes, uint64_t count)
{
    int rc = sq_ring_look_room(&s->ring, bytes, count);

    scene_check_room(s, bytes, count, rc);
    return rc;
}

/* As api/producer.c does.  0 or -EAGAIN. */
static int make_room(struct scene *s, uint64_t bytes, uint64_t count)
{
    uint64_t max = s->config.max_messages;
    int rc;

    if (sq_ring_has_room(&s->ring, bytes, count)) {
        scene_check_room(s, bytes, count, 0); /* by an old look: never more than there is */
        return 0;
    }
    rc = look_room(s, bytes, count);
    if (rc == -EAGAIN && sq_ring_compact_wanted(&s->ring, clock_ns(s))) {
        compact(s);
        rc = look_room(s, bytes, count);
        s->events[EVENT_COMPACTED_FOR_PUT] += rc == 0;
    } else if (rc == -EAGAIN) {
        check_not_wanted(s);
    }
    if (rc == 0 || !s->config.full_drop)
        return rc;
    for (uint32_t i = 0; i < s->config.group_count; i++)
        if (scene_has(s, i) && drop(s, (int)i, s->ref.tail + bytes - SCENE_CAPACITY,
                                    max == 0 ? UINT64_MAX : max - count) < 0)
            return -EAGAIN;
    rc = look_room(s, bytes, count);
    scene_same(s, "room after dropping", rc, 0);
    return rc;
}

/* --- putting ------------------------------------------------------------------------ */

static uint32_t length_of(uint32_t arg)
{
    switch (arg % 24) {
    case 1:
        return arg / 24 % (SCENE_CAPACITY - SQ_RECORD_HEADER_BYTES - SQ_EXTENSION_BYTES - 16);
    case 2:
    case 3:
        return arg / 24 % 1024;
    default:
        return arg / 24 % 80;
    }
}

static struct ref_message message_of(const struct scene *s, const struct step *step)
{
    const uint32_t *a = step->args;
    struct ref_message m = {.length = length_of(a[1]), .key = REF_NONE, .put_ns = s->ref.now_ns};

    if (a[2] % 4 != 0)
        m.priority = (int32_t)(a[2] / 4 % 5) - 2;
    if (a[3] % 4 == 1)
        m.due_ns = s->ref.now_ns + a[3] / 4 % 60;
    if (a[4] % 5 == 1)
        m.expiry_ns = s->ref.now_ns + 1 + a[4] / 5 % 100;
    if (s->config.unique || a[5] % 4 == 1)
        m.key = (int)(a[5] / 4 % SCENE_KEYS);
    m.type = a[6] % 3;
    if (a[7] % 8 > 3 && !s->config.unique)
        m = (struct ref_message){.length = m.length, .key = REF_NONE, .put_ns = m.put_ns};
    return m;
}

/* Write the message beyond the tail.  False: its key is there. */
static bool write_unless_there(struct scene *s, const struct ref_message *m)
{
    const struct sq_ring *ring = &s->ring;
    uint64_t tail = s->ref.tail, id = s->ref.next_id, there = ref_key_owner(&s->ref, m->key);
    char key[32];
    uint32_t bytes = scene_key(key, m->key);

    if (s->config.unique) {
        scene_same(s, "who has the key", (int64_t)sq_key_index_find(ring, key, bytes),
                   (int64_t)there);
        if (there != 0) {
            scene_say(s, "put: message %llu has the key\n", (unsigned long long)there);
            s->events[EVENT_KEY_TAKEN]++;
            return false;
        }
        scene_same(s, "adding a key", sq_key_index_add(ring, key, bytes, id, tail), 0);
    }
    scene_write(s, tail, id, 0, m);
    return true;
}

static void put(struct scene *s, const struct step *step)
{
    struct ref_message m = message_of(s, step);
    uint64_t bytes = scene_record_bytes(&m);

    if (s->ref.message_count == REF_MESSAGES || s->ref.record_count == REF_RECORDS ||
        make_room(s, bytes, 1) < 0 || s->failed || !write_unless_there(s, &m))
        return;
    sq_ring_publish(&s->ring, s->ref.tail + bytes, s->ref.next_id + 1, m.length);
    const struct ref_message *put = ref_put(&s->ref, &m, bytes);
    s->events[EVENT_PUT]++;
    s->events[EVENT_PUT_PLAIN] += scene_is_plain(&m);
    s->events[EVENT_WRAPPED] += s->ref.tail < put->pos;
    scene_say(s,
              "put message %llu, %u bytes at %llu, priority %d, delay %lld, ttl %lld, key %d, "
              "type %u\n",
              SAY_ID(put), m.length, (unsigned long long)put->pos, m.priority,
              m.due_ns == 0 ? 0LL : (long long)(m.due_ns - s->ref.now_ns),
              m.expiry_ns == 0 ? 0LL : (long long)(m.expiry_ns - s->ref.now_ns), m.key, m.type);
}

/* --- picking ------------------------------------------------------------------------ */

/* Reviving forgets the attempts, so a lease of before may look like this one. */
static void relocate_alike(struct scene *s, const struct scene_lease *l)
{
    for (int i = 0; i < SCENE_LEASES; i++)
        if (s->leases[i].group == l->group && s->leases[i].lease.word == l->lease.word &&
            s->leases[i].lease.id == l->lease.id)
            s->leases[i].pos = l->pos;
}

static struct scene_lease *remember(struct scene *s, int group, const struct sq_lease *lease,
                                    const struct ref_entry *h)
{
    struct scene_lease *l = &s->leases[s->lease_count++ % SCENE_LEASES];

    *l = (struct scene_lease){.group = group,
                              .lease = *lease,
                              .id = s->ref.messages[h->message].id,
                              .pos = s->ref.messages[h->message].pos,
                              .attempts = h->attempts,
                              .owner = h->owner};
    relocate_alike(s, l);
    return l;
}

/* The ring says that there is a dead letter to make. */
static void take_doomed(struct scene *s, int group, const struct sq_pick *pick, uint32_t owner)
{
    struct sq_ring ring = scene_ring(s, group);
    const struct ref_message *m = ref_find(&s->ref, pick->doomed.id);
    int e = m == NULL ? REF_NONE : ref_entry_of(&s->ref, group, (int)(m - s->ref.messages));

    s->events[EVENT_DOOMED]++;
    if (e == REF_NONE || !ref_may_die(&s->ref, group, e)) {
        scene_fail(s, "message %llu of group %d is not the next to be a dead letter",
                   (unsigned long long)pick->doomed.id, group);
        return;
    }
    struct ref_entry *h = &s->ref.groups[group].held[e];
    uint32_t reason = ring.entries[pick->doomed.entry].reason;
    scene_say(s, "group %d: message %llu is to be a dead letter\n", group, SAY_ID(m));
    scene_same(s, "the reason", reason & ~SQ_REASON_AGAIN, h->reason);
    scene_same(s, "whether somebody died making it", (reason & SQ_REASON_AGAIN) != 0, h->again);
    scene_same(s, "the last owner", pick->last_owner, h->owner);
    scene_same(s, "attempts of a dead letter", sq_word_attempts(pick->doomed.word), h->attempts);
    s->events[EVENT_DEAD_LETTER_AGAIN] += h->again;
    h->state = REF_DYING;
    h->owner = owner;
    h->at_ns = REF_NEVER;
    remember(s, group, &pick->doomed, h)->dying = true;
}

static bool any_doomed(const struct scene *s, int group)
{
    for (int e = 0; e < REF_HELD; e++)
        if (ref_may_die(&s->ref, group, e))
            return true;
    return false;
}

static void note_pick(struct scene *s, int group, const struct ref_counts *before, unsigned fresh,
                      unsigned doomed_and_dead)
{
    const struct ref_group *g = &s->ref.groups[group];
    uint64_t expired = g->counts.expired - before->expired;

    s->events[EVENT_FILTERED] += g->counts.filtered - before->filtered;
    s->events[EVENT_LEASE_OVER] += g->counts.lost - before->lost;
    if (fresh != ref_fresh(&s->ref, group))
        s->events[EVENT_EXPIRED_FRESH] += expired;
    else
        s->events[EVENT_EXPIRED_HELD] += expired;
    if (ref_in_state(&s->ref, group, REF_DOOMED) + ref_in_state(&s->ref, group, REF_PARKED) >
            doomed_and_dead &&
        expired == 0)
        s->events[EVENT_OUT_OF_ATTEMPTS]++;
}

/* What the reference picks.  0, SQ_PICK_DOOMED, -EAGAIN. */
static int ref_try(struct scene *s, int group, bool to_lease, struct ref_pick *pick)
{
    struct ref_counts before = s->ref.groups[group].counts;
    unsigned fresh = ref_fresh(&s->ref, group);
    unsigned dead =
        ref_in_state(&s->ref, group, REF_DOOMED) + ref_in_state(&s->ref, group, REF_PARKED);
    int rc = SQ_PICK_DOOMED;

    *pick = (struct ref_pick){REF_NONE, REF_NONE, 0};
    s->ref.groups[group].full = false;
    bool dies = ref_end_overdue(&s->ref, group);
    if (s->ref.groups[group].paused) {
        rc = -EAGAIN;
        s->events[EVENT_PAUSED] += dies || ref_fresh(&s->ref, group) > 0;
    } else if (!dies) {
        ref_pick(&s->ref, group, to_lease, pick);
        rc = pick->message != REF_NONE ? 0 : any_doomed(s, group) ? SQ_PICK_DOOMED : -EAGAIN;
    }
    note_pick(s, group, &before, fresh, dead);
    if (s->ref.groups[group].full) {
        s->events[EVENT_WALK_FULL]++;
        s->events[EVENT_TABLE_FULL] += pick->message == REF_NONE;
        s->events[EVENT_HELD_INSTEAD] += pick->entry != REF_NONE;
    }
    return rc;
}

static void compare_pick(struct scene *s, int group, const struct sq_pick *pick,
                         const struct ref_pick *ref)
{
    scene_same(s, "the message picked", (int64_t)pick->view.id,
               (int64_t)s->ref.messages[ref->message].id);
    scene_same(s, "whether it is fresh", pick->entry == SQ_NONE, ref->entry == REF_NONE);
    scene_same(s, "its attempts", pick->attempts, ref->attempts);
    if (!s->failed)
        scene_check_view(s, &pick->view, &s->ref.messages[ref->message]);
    if (s->failed)
        scene_say(s, "group %d picks message %llu, and should pick %llu\n", group,
                  (unsigned long long)pick->view.id,
                  (unsigned long long)s->ref.messages[ref->message].id);
}

/* Pick on both.  0: something is picked. */
static int pick_both(struct scene *s, int group, uint32_t owner, bool to_lease,
                     struct sq_pick *pick, struct ref_pick *ref)
{
    struct sq_ring ring = scene_ring(s, group);
    const struct sq_pending_shm *p = &ring.group->pending;
    int rc = sq_group_pick(&ring, s->ref.now_ns, owner, to_lease, pick);
    int should_be = ref_try(s, group, to_lease, ref);

    if (rc != should_be)
        scene_say(s, "group %d picks %s, and should %s (%d, %d)\n", group,
                  rc == 0   ? "a message"
                  : rc == 1 ? "a dead letter"
                            : "nothing",
                  should_be == 0   ? "a message"
                  : should_be == 1 ? "a dead letter"
                                   : "nothing",
                  rc, should_be);
    scene_same(s, "picking", rc, should_be);
    if (s->failed)
        return -EAGAIN;
    if (rc == SQ_PICK_DOOMED)
        take_doomed(s, group, pick, owner);
    else if (rc == 0)
        compare_pick(s, group, pick, ref);
    if (!s->ref.groups[group].has_overdue)
        scene_same(s, "next_due_ns after a pick", sq_load(&p->next_due_ns),
                   rc == SQ_PICK_DOOMED ? sq_load(&p->next_due_ns) : ref_next_due(&s->ref, group));
    if (rc == -EAGAIN) {
        scene_say(s, "group %d: nothing\n", group);
        s->events[EVENT_NOTHING]++;
        /* Or whoever waits for a message would not sleep. */
        scene_same(s, "whether there seems to be something", sq_group_seems_ready(&ring), false);
    }
    return s->failed ? -EAGAIN : rc;
}

static void lease_both(struct scene *s, int group, const struct sq_pick *pick,
                       const struct ref_pick *ref, uint32_t owner, int64_t until_ns)
{
    struct sq_ring ring = scene_ring(s, group);
    struct sq_lease lease;
    int rc = sq_group_lease(&ring, pick, owner, until_ns, &lease);
    int e = ref_lease(&s->ref, group, ref, owner, until_ns);

    scene_same(s, "leasing", rc, 0);
    if (s->failed)
        return;
    const struct ref_entry *h = &s->ref.groups[group].held[e];
    scene_say(s, "receive in group %d by owner %u until %lld: message %llu, attempt %u\n", group,
              owner, (long long)until_ns, SAY_ID(&s->ref.messages[h->message]), h->attempts);
    s->events[ref->entry == REF_NONE ? EVENT_FRESH : EVENT_RETURNED]++;
    remember(s, group, &lease, h);
}

/* By the shortcut.  False: it is not for this. */
static bool receive_shortly(struct scene *s, int group, uint32_t owner, int64_t until_ns)
{
    struct sq_ring ring = scene_ring(s, group);
    struct sq_fast_lease taken;
    struct ref_pick ref;
    struct sq_view view;
    int rc = sq_fast_path_lease(&ring, s->ref.now_ns, until_ns, owner, &taken);

    if (rc == SQ_SLOW_PATH)
        return false;
    scene_say(s, "receive in group %d by owner %u until %lld, shortly: %d\n", group, owner,
              (long long)until_ns, rc);
    scene_same(s, "the shortcut", rc, ref_try(s, group, true, &ref));
    s->events[rc == 0 ? EVENT_SHORT_LEASE : EVENT_SHORT_NOTHING]++;
    if (s->failed || rc != 0)
        return true;
    const struct ref_message *m = &s->ref.messages[ref.message];
    scene_same(s, "the message leased shortly", (int64_t)taken.lease.id, (int64_t)m->id);
    scene_same(s, "whether it is fresh", ref.entry, REF_NONE);
    if (s->failed)
        return true;
    scene_same(s, "its view", sq_record_view(&ring, m->pos, m->id, &view), 0);
    scene_check_view(s, &view, m);
    if (view.payload != sq_record_payload(taken.record) || view.payload_bytes != taken.length)
        scene_fail(s, "the shortcut shows another payload");
    int e = ref_lease(&s->ref, group, &ref, owner, until_ns);
    remember(s, group, &taken.lease, &s->ref.groups[group].held[e]);
    return true;
}

static void receive(struct scene *s, const struct step *step)
{
    int group = group_of(s, step);
    uint32_t owner = owner_of(s, step->args[1]);
    int64_t until_ns = s->ref.now_ns + 1 + step->args[2] % (step->args[3] % 4 == 1 ? 30 : 300);
    struct sq_pick pick;
    struct ref_pick ref;

    if (step->args[4] % 2 == 1 && receive_shortly(s, group, owner, until_ns))
        return;
    if (pick_both(s, group, owner, true, &pick, &ref) == 0)
        lease_both(s, group, &pick, &ref, owner, until_ns);
}

static void get(struct scene *s, const struct step *step)
{
    int group = group_of(s, step);
    struct sq_ring ring = scene_ring(s, group);
    struct sq_pick pick;
    struct ref_pick ref;

    if (pick_both(s, group, owner_of(s, step->args[1]), false, &pick, &ref) != 0)
        return;
    scene_say(s, "get in group %d: message %llu\n", group, (unsigned long long)pick.view.id);
    if (step->args[2] % 8 == 1)
        return; /* its buffer was too small */
    s->events[ref.entry == REF_NONE ? EVENT_FRESH : EVENT_RETURNED]++;
    ref_finish(&s->ref, group, &ref);
    scene_same(s, "getting", sq_group_finish(&ring, &pick), 0);
}

static void look(struct scene *s, const struct step *step)
{
    int group = group_of(s, step);
    struct sq_ring ring = scene_ring(s, group);
    struct ref_pick ref;
    int64_t found_expiry_ns;
    int rc = sq_group_look(&ring, s->ref.now_ns, &found_expiry_ns);
    int should_be = ref_try(s, group, true, &ref);

    scene_say(s, "look in group %d: %d\n", group, rc);
    scene_same(s, "looking", rc, should_be == SQ_PICK_DOOMED ? 0 : should_be);
    int64_t expiry_ns = should_be == 0 ? s->ref.messages[ref.message].expiry_ns : 0;
    scene_same(s, "when what was found expires", found_expiry_ns,
               expiry_ns != 0 ? expiry_ns : SQ_NEVER);
}

/* --- the ends of a lease ----------------------------------------------------------------- */

/* The entry that a lease is of, if it goes on, or REF_NONE. */
static int entry_of(struct scene *s, const struct scene_lease *l)
{
    const struct ref_message *m = ref_find(&s->ref, l->id);
    int e = m == NULL ? REF_NONE : ref_entry_of(&s->ref, l->group, (int)(m - s->ref.messages));

    if (e == REF_NONE)
        return e;
    const struct ref_entry *h = &s->ref.groups[l->group].held[e];
    bool goes_on = h->state == (l->dying ? REF_DYING : REF_LEASED) && h->owner == l->owner &&
                   h->attempts == l->attempts;
    return goes_on ? e : REF_NONE;
}

/* A remembered lease of that kind, most often one that goes on; NULL: none. */
static struct scene_lease *choose_lease(struct scene *s, uint32_t arg, bool dying)
{
    uint64_t count = s->lease_count < SCENE_LEASES ? s->lease_count : SCENE_LEASES;
    bool any = arg % 16 == 15;

    for (uint64_t i = 0; i < count; i++) {
        struct scene_lease *l = &s->leases[(arg / 16 + i) % count];
        if (l->id != 0 && l->dying == dying && (any || entry_of(s, l) != REF_NONE))
            return l;
    }
    return NULL;
}

static void ack(struct scene *s, const struct step *step)
{
    struct scene_lease *l = choose_lease(s, step->args[1], false);

    if (l == NULL)
        return;
    struct sq_ring ring = scene_ring(s, l->group);
    int e = entry_of(s, l), rc = SQ_SLOW_PATH;
    if (step->args[2] % 2 == 1)
        rc = sq_fast_path_ack(&ring, &l->lease);
    s->events[EVENT_SHORT_ACK] += rc == 0;
    if (rc == SQ_SLOW_PATH)
        rc = sq_group_ack(&ring, &l->lease);
    scene_say(s, "ack in group %d message %llu: %d\n", l->group, (unsigned long long)l->id, rc);
    scene_same(s, "ack", rc, e == REF_NONE ? -ECANCELED : 0);
    s->events[e == REF_NONE ? EVENT_STALE : EVENT_ACKED]++;
    if (e != REF_NONE)
        ref_ack(&s->ref, l->group, e);
}

static void reject_lease(struct scene *s, struct scene_lease *l, uint32_t reason)
{
    struct sq_ring ring = scene_ring(s, l->group);
    struct sq_lease lease = l->lease;
    int e = entry_of(s, l), rc = sq_group_reject(&ring, &lease, reason, s->ref.now_ns);
    bool dead_letter = s->ref.groups[l->group].dead_letter;

    scene_say(s, "reject in group %d message %llu, reason %u: %d\n", l->group,
              (unsigned long long)l->id, reason, rc);
    scene_same(s, "reject", rc, e == REF_NONE ? -ECANCELED : dead_letter ? 1 : 0);
    if (e == REF_NONE) {
        s->events[EVENT_STALE]++;
        return;
    }
    ref_reject(&s->ref, l->group, e, reason);
    l->dying = dead_letter;
    if (dead_letter) {
        l->lease = lease; /* it goes on, with another word */
        relocate_alike(s, l);
    }
    s->events[EVENT_PARKED] += !dead_letter;
}

static void reject(struct scene *s, const struct step *step)
{
    struct scene_lease *l = choose_lease(s, step->args[1], false);

    if (l != NULL)
        reject_lease(s, l, step->args[2] % 12);
}

/* There are 255 sequences before those of messages still to be put. */
static bool may_go_back(struct scene *s, int group)
{
    enum { BACK_SEQUENCES = 255 };

    if (s->backs_id != s->ref.next_id)
        memset(s->backs, 0, sizeof(s->backs));
    s->backs_id = s->ref.next_id;
    return s->backs[group]++ < BACK_SEQUENCES;
}

static void nack(struct scene *s, const struct step *step)
{
    struct scene_lease *l = choose_lease(s, step->args[1], false);
    int64_t due_ns = step->args[2] % 3 == 1 ? s->ref.now_ns + 1 + step->args[2] / 3 % 60 : 0;
    bool to_back = step->args[3] % 3 == 1;

    if (l == NULL)
        return;
    uint32_t most = s->ref.groups[l->group].max_attempts;
    if (most != 0 && l->attempts >= most) {
        reject_lease(s, l, SHMQ_REASON_ATTEMPTS);
        return;
    }
    struct sq_ring ring = scene_ring(s, l->group);
    to_back = to_back && may_go_back(s, l->group);
    int e = entry_of(s, l), rc = sq_group_nack(&ring, &l->lease, due_ns, to_back);
    scene_say(s, "nack in group %d message %llu until %lld%s: %d\n", l->group,
              (unsigned long long)l->id, (long long)due_ns, to_back ? " to the back" : "", rc);
    scene_same(s, "nack", rc, e == REF_NONE ? -ECANCELED : 0);
    if (e == REF_NONE) {
        s->events[EVENT_STALE]++;
        return;
    }
    ref_nack(&s->ref, l->group, e, due_ns, to_back);
    s->events[to_back ? EVENT_NACKED_BACK : due_ns > 0 ? EVENT_NACKED_DELAYED : EVENT_NACKED]++;
}

static void make_dead_letter(struct scene *s, const struct step *step)
{
    struct scene_lease *l = choose_lease(s, step->args[1], true);
    bool sent = step->args[2] % 4 != 1;

    if (l == NULL)
        return;
    struct sq_ring ring = scene_ring(s, l->group);
    int e = entry_of(s, l), rc = sq_group_dead_letter_made(&ring, &l->lease, sent, s->ref.now_ns);
    scene_say(s, "make a dead letter in group %d message %llu, %s: %d\n", l->group,
              (unsigned long long)l->id, sent ? "sent" : "not sent", rc);
    scene_same(s, "making a dead letter", rc, e == REF_NONE ? -ECANCELED : 0);
    if (e == REF_NONE) {
        s->events[EVENT_STALE]++;
        return;
    }
    ref_dead_letter_made(&s->ref, l->group, e, sent);
    s->events[sent ? EVENT_SENT : EVENT_NOT_SENT]++;
}

static void touch(struct scene *s, const struct step *step)
{
    struct scene_lease *l = choose_lease(s, step->args[1], false);
    int64_t until_ns = s->ref.now_ns + 1 + step->args[2] % 200;

    if (l == NULL)
        return;
    struct sq_ring ring = scene_ring(s, l->group);
    int e = entry_of(s, l), rc = sq_group_touch(&ring, &l->lease, until_ns);
    scene_say(s, "touch in group %d message %llu until %lld: %d\n", l->group,
              (unsigned long long)l->id, (long long)until_ns, rc);
    scene_same(s, "touch", rc, e == REF_NONE ? -ECANCELED : 0);
    if (e != REF_NONE)
        s->ref.groups[l->group].held[e].at_ns = until_ns;
    s->events[e == REF_NONE ? EVENT_STALE : EVENT_TOUCHED]++;
}

/* Whether it is leased by this owner, with an id up to `most`. */
static bool is_owned(const struct scene *s, const struct ref_entry *h, uint32_t owner,
                     uint64_t most)
{
    return h->state == REF_LEASED && h->owner == owner && s->ref.messages[h->message].id <= most;
}

/* The first lease of an owner, or all of them up to an id, as they end. */
static void oldest(struct scene *s, const struct step *step)
{
    int group = group_of(s, step), left = 0, all;
    struct sq_ring ring = scene_ring(s, group);
    struct ref_entry *held = s->ref.groups[group].held;
    uint32_t owner = owner_of(s, step->args[1]), next = ring.group->pending.lease_first;
    uint64_t most = step->args[2] % 3 == 1 ? UINT64_MAX : step->args[2] / 3 % s->ref.next_id;
    struct sq_lease lease;

    for (int e = 0; e < REF_HELD; e++)
        left += is_owned(s, &held[e], owner, most);
    all = left;
    if (step->args[2] % 2 == 0 && left > 1)
        left = 1;
    s->events[EVENT_OLDEST_LEASE] += left == 1;
    s->events[EVENT_LEASES_UPTO] += left > 1;
    if (left == all)
        all = REF_NONE; /* none will be left */
    while (left-- > 0 && !s->failed) {
        int64_t first_ns = INT64_MAX;
        for (int e = 0; e < REF_HELD; e++)
            if (is_owned(s, &held[e], owner, most) && held[e].at_ns < first_ns)
                first_ns = held[e].at_ns;
        scene_same(s, "a lease", sq_group_next_lease(&ring, &next, owner, most, &lease), 0);
        if (s->failed)
            return;
        scene_say(s, "ack in group %d the first of owner %u: message %llu\n", group, owner,
                  (unsigned long long)lease.id);
        const struct ref_message *m = ref_find(&s->ref, lease.id);
        int e = m == NULL ? REF_NONE : ref_entry_of(&s->ref, group, (int)(m - s->ref.messages));
        if (e == REF_NONE || !is_owned(s, &held[e], owner, most))
            scene_fail(s, "message %llu is not leased by %u", (unsigned long long)lease.id, owner);
        else
            scene_same(s, "the end of the first lease", held[e].at_ns, first_ns);
        scene_same(s, "its ack", sq_group_ack(&ring, &lease), 0);
        if (!s->failed)
            ref_ack(&s->ref, group, e);
    }
    if (all == REF_NONE && !s->failed)
        scene_same(s, "no lease", sq_group_next_lease(&ring, &next, owner, most, &lease), -ENOENT);
}

/* --- deaths of owners ------------------------------------------------------------------ */

static bool is_owner(const void *arg, uint32_t owner)
{
    return *(const uint32_t *)arg == owner;
}

static void owner_dies(struct scene *s, const struct step *step)
{
    uint32_t *owner = &s->owners[step->args[1] % SCENE_OWNERS];

    scene_say(s, "owner %u dies\n", *owner);
    for (uint32_t i = 0; i < s->config.group_count; i++) {
        if (!scene_has(s, i))
            continue;
        struct sq_ring ring = scene_ring(s, (int)i);
        int lost = sq_group_return_lost(&ring, is_owner, owner, s->ref.now_ns), should_be = 0;
        for (int e = 0; e < REF_HELD; e++) {
            const struct ref_entry *h = &s->ref.groups[i].held[e];
            if ((h->state != REF_LEASED && h->state != REF_DYING) || h->owner != *owner)
                continue;
            s->events[h->state == REF_DYING ? EVENT_BURIER_LOST : EVENT_OWNER_LOST]++;
            ref_end_lease(&s->ref, (int)i, e);
            should_be++;
        }
        scene_same(s, "how many leases were lost", lost, should_be);
    }
    *owner += 16; /* its successor is another generation */
}

/* --- all of it ---------------------------------------------------------------------------- */

static void purge(struct scene *s, const struct step *step)
{
    int group = group_of(s, step);
    struct sq_ring ring = scene_ring(s, group);
    int64_t purged = sq_group_purge(&ring);

    scene_say(s, "purge group %d: %lld\n", group, (long long)purged);
    scene_same(s, "purge", purged, ref_purge(&s->ref, group));
    s->events[EVENT_PURGED] += purged > 0;
}

/* Where several that are parked have the same key, the ring chooses which one waits. */
static void follow_choice(struct scene *s, int group)
{
    struct sq_ring ring = scene_ring(s, group);

    for (int e = 0; e < REF_HELD; e++) {
        struct ref_entry *h = &s->ref.groups[group].held[e];
        if (h->state != REF_PARKED)
            continue;
        const struct ref_message *m = &s->ref.messages[h->message];
        uint32_t found = sq_pending_find(&ring, m->id);
        if (found == SQ_NONE || sq_word_state(sq_load(&ring.entries[found].word)) != SQ_WAITING)
            continue;
        if (ref_key_owner(&s->ref, m->key) != 0)
            scene_fail(s, "message %llu waits again, and another has its key", SAY_ID(m));
        h->state = REF_WAITING;
        h->attempts = h->owner = 0;
    }
}

static void revive(struct scene *s, const struct step *step)
{
    int group = group_of(s, step);
    struct sq_ring ring = scene_ring(s, group);
    unsigned parked = ref_in_state(&s->ref, group, REF_PARKED);
    uint64_t id = 0;

    if (step->args[2] % 2 == 1) {
        int e = (int)(step->args[1] % REF_HELD);
        if (s->ref.groups[group].held[e].state == REF_PARKED)
            id = s->ref.messages[s->ref.groups[group].held[e].message].id;
    }
    int64_t revived = sq_group_revive(&ring, id);
    scene_say(s, "revive in group %d message %llu: %lld\n", group, (unsigned long long)id,
              (long long)revived);
    if (s->config.unique)
        follow_choice(s, group);
    int64_t more = ref_revive(&s->ref, group, id);
    scene_same(s, "reviving", revived,
               s->config.unique && more == 0
                   ? (int64_t)parked - ref_in_state(&s->ref, group, REF_PARKED)
                   : more);
    s->events[EVENT_REVIVED] += revived > 0;
    s->events[EVENT_REVIVAL_REFUSED] += id == 0 && revived < parked;
}

static void drop_step(struct scene *s, const struct step *step)
{
    int group = group_of(s, step);
    uint64_t depth = ref_fresh(&s->ref, group) + ref_held(&s->ref, group);
    uint64_t pos = s->ref.tail + step->args[1] % (SCENE_CAPACITY / 8) * 8 - SCENE_CAPACITY;

    drop(s, group, pos, step->args[2] % 3 == 1 ? step->args[2] / 3 % (depth + 1) : UINT64_MAX);
}

/* --- by id -------------------------------------------------------------------------------- */

/* Some message, most often one that is not finished; NULL: there was none yet. */
static struct ref_message *choose_message(struct scene *s, uint32_t arg)
{
    unsigned count = s->ref.message_count;

    for (unsigned i = 0; i < count; i++) {
        struct ref_message *m = &s->ref.messages[(arg / 2 + i) % count];
        bool unfinished = arg % 16 == 15;
        for (uint32_t g = 0; g < s->config.group_count; g++)
            unfinished |= ref_is_unfinished(&s->ref, (int)g, m);
        if (unfinished)
            return m;
    }
    return NULL;
}

/* How the groups have it: 1 an entry, 2 fresh, 3 both. */
static unsigned how_had(const struct scene *s, const struct ref_message *m)
{
    unsigned how = 0;

    for (uint32_t i = 0; i < s->config.group_count; i++) {
        how |= ref_entry_of(&s->ref, (int)i, (int)(m - s->ref.messages)) != REF_NONE;
        how |= (unsigned)ref_is_fresh(&s->ref, (int)i, m) << 1;
    }
    return how;
}

static void remove_from_group(struct scene *s, int group, const struct ref_message *m,
                              const struct sq_view *view)
{
    struct sq_ring ring = scene_ring(s, group);
    uint32_t e = sq_pending_find(&ring, m->id);
    _Atomic uint64_t *removed = &ring.group->delivery.removed_count;

    sq_store(removed, sq_load(removed) + 1);
    scene_same(s, "whether it has an entry", e != SQ_NONE,
               ref_entry_of(&s->ref, group, (int)(m - s->ref.messages)) != REF_NONE);
    if (e != SQ_NONE) {
        scene_same(s, "removing an entry", sq_group_finish_entry(&ring, e), 0);
    } else {
        sq_store(&ring.group->gone_count, sq_load(&ring.group->gone_count) + 1);
        sq_group_release_key(&ring, view);
        scene_same(s, "passing the removed", sq_group_pass_removed(&ring), 0);
    }
}

/* As api/message_admin.c does. */
static void remove_step(struct scene *s, const struct step *step)
{
    struct ref_message *m = choose_message(s, step->args[1]);
    struct sq_view view;

    if (m == NULL)
        return;
    int rc = ref_changeable(&s->ref, m);
    scene_say(s, "remove message %llu: %d\n", SAY_ID(m), rc);
    s->events[EVENT_CHANGE_BUSY] += rc == -EBUSY;
    if (rc < 0)
        return;
    s->events[how_had(s, m) == 1   ? EVENT_REMOVED_HELD
              : how_had(s, m) == 2 ? EVENT_REMOVED_FRESH
                                   : EVENT_REMOVED_BOTH]++;
    scene_same(s, "looking at it", sq_record_view(&s->ring, m->pos, m->id, &view), 0);
    if (s->failed)
        return;
    sq_record_remove(&s->ring, view.pos);
    for (uint32_t i = 0; i < s->config.group_count; i++)
        if (ref_is_unfinished(&s->ref, (int)i, m))
            remove_from_group(s, (int)i, m, &view);
    uint32_t fresh = 0;
    for (uint32_t i = 0; i < s->config.group_count; i++)
        fresh |= (uint32_t)ref_is_fresh(&s->ref, (int)i, m) << i;
    ref_remove(&s->ref, m);
    for (uint32_t i = 0; i < s->config.group_count; i++)
        if ((fresh >> i & 1) != 0)
            ref_pass_removed(&s->ref, (int)i);
}

/* Room, and the new record behind the tail.  False: no room. */
static bool append_copy(struct scene *s, const struct ref_message *old, struct ref_message *copy,
                        uint32_t length, uint64_t *bytes)
{
    *copy = *old;
    copy->length = length;
    copy->version++;
    *bytes = scene_record_bytes(copy);
    if (s->ref.record_count == REF_RECORDS || *bytes > SCENE_CAPACITY ||
        make_room(s, *bytes, 0) < 0 || s->failed || ref_changeable(&s->ref, old) != 0)
        return false; /* to make room may have dropped it */
    copy->pos = s->ref.tail;
    scene_write(s, s->ref.tail, old->id, SQ_RECORD_COPY, copy);
    sq_ring_publish(&s->ring, s->ref.tail + *bytes, s->ref.next_id, length);
    return true;
}

static void move_entries(struct scene *s, const struct ref_message *m, uint64_t to)
{
    struct sq_view view;

    for (uint32_t i = 0; i < s->config.group_count; i++) {
        struct sq_ring ring = scene_ring(s, (int)i);
        uint32_t e = scene_has(s, i) ? sq_pending_find(&ring, m->id) : SQ_NONE;
        if (e != SQ_NONE)
            scene_same(s, "moving an entry", sq_pending_move(&ring, e, to), 0);
        if (ring.key_count != 0 && sq_record_view(&ring, m->pos, m->id, &view) == 0)
            sq_key_index_move(&ring, &view, to);
    }
}

/* Groups at the end pass the update at once. */
static void pass_update(struct scene *s, uint64_t from)
{
    for (uint32_t i = 0; i < s->config.group_count; i++) {
        struct sq_group_shm *g = &s->ring.groups[i];
        if (!scene_has(s, i) || sq_load(&g->cursor_pos) != from)
            continue;
        g->known_tail_pos = s->ref.tail;
        sq_store_release(&g->cursor_pos, s->ref.tail);
        s->ref.groups[i].cursor = s->ref.record_count;
    }
}

static void update(struct scene *s, const struct step *step)
{
    struct ref_message *m = choose_message(s, step->args[1]), copy;
    uint64_t bytes;

    if (m == NULL)
        return;
    int rc = ref_changeable(&s->ref, m);
    s->events[EVENT_CHANGE_BUSY] += rc == -EBUSY;
    if (rc < 0 || !append_copy(s, m, &copy, length_of(step->args[2]), &bytes))
        return;
    scene_say(s, "update message %llu to %u bytes at %llu\n", SAY_ID(m), copy.length,
              (unsigned long long)copy.pos);
    s->events[how_had(s, m) == 1   ? EVENT_UPDATED_HELD
              : how_had(s, m) == 2 ? EVENT_UPDATED_FRESH
                                   : EVENT_UPDATED_BOTH]++;
    s->events[EVENT_UPDATED_AGAIN] += m->version > 0;
    sq_record_move(&s->ring, m->pos, copy.pos);
    move_entries(s, m, copy.pos);
    ref_update(&s->ref, m, copy.length, bytes);
    pass_update(s, copy.pos);
}

/* --- deaths in the middle -------------------------------------------------------------------- */

static void rebuild_group(struct scene *s, int group)
{
    struct sq_ring ring = scene_ring(s, group);

    scene_same(s, "rebuilding", sq_group_rebuild(&ring), 0);
    if (!s->failed)
        scene_same(s, "next_due_ns", sq_load(&ring.group->pending.next_due_ns),
                   s->ref.groups[group].has_overdue ? sq_load(&ring.group->pending.next_due_ns)
                                                    : ref_next_due(&s->ref, group));
}

static void rebuild(struct scene *s, const struct step *step)
{
    int group = group_of(s, step);
    struct sq_producer_shm *p = s->ring.producer;

    scene_say(s, "rebuild group %d\n", group);
    if (step->args[1] % 4 != 0)
        scene_scribble(s, group, step->args[2]);
    rebuild_group(s, group);
    if (step->args[3] % 2 == 1) {
        p->low_pos = scene_low(s);
        p->low_id = step->args[4];
        scene_same(s, "rebuilding P's side", sq_ring_rebuild_producer(&s->ring), 0);
    }
    s->events[EVENT_REBUILT]++;
}

/* A put whose producer dies before it has stored the tail, or after. */
static void die_in_put(struct scene *s, const struct step *step)
{
    struct sq_producer_shm *p = s->ring.producer;
    struct ref_message m = message_of(s, step);
    uint64_t bytes = scene_record_bytes(&m);

    if (s->ref.message_count == REF_MESSAGES || s->ref.record_count == REF_RECORDS ||
        make_room(s, bytes, 1) < 0 || s->failed || !write_unless_there(s, &m))
        return;
    scene_say(s, "die in a put of %u bytes, %s the tail is stored\n", m.length,
              step->args[0] % 2 == 1 ? "after" : "before");
    if (step->args[0] % 2 == 1) {
        sq_store_release(&p->tail_pos, s->ref.tail + bytes);
        ref_put(&s->ref, &m, bytes);
    }
    scene_same(s, "rebuilding P's side", sq_ring_rebuild_producer(&s->ring), 0);
    if (s->config.unique) /* it died with that side as well */
        rebuild_group(s, 0);
    s->events[EVENT_DIED_IN_PUT]++;
}

/* A receive whose consumer dies between the entry's word and the cursor. */
static void die_in_lease(struct scene *s, const struct step *step)
{
    int group = group_of(s, step);
    struct sq_ring ring = scene_ring(s, group);
    struct sq_delivery_shm *d = &ring.group->delivery;
    struct sq_lease lease;
    struct sq_pick pick;
    struct ref_pick ref;

    if (pick_both(s, group, 99, true, &pick, &ref) != 0 || ref.entry != REF_NONE)
        return;
    uint64_t cursor = sq_load(&ring.group->cursor_pos);
    scene_same(s, "leasing", sq_group_lease(&ring, &pick, 99, s->ref.now_ns + 10, &lease), 0);
    scene_say(s, "die in group %d receiving message %llu\n", group,
              (unsigned long long)pick.view.id);
    sq_store(&ring.group->cursor_pos, cursor);
    sq_store(&d->delivered_count, sq_load(&d->delivered_count) - 1);
    rebuild_group(s, group);
    s->events[s->ref.messages[ref.message].version > 0 ? EVENT_DIED_IN_LEASE_OF_UPDATED
                                                       : EVENT_DIED_IN_LEASE]++;
}

/* An update whose producer dies before the old record points to the new one, or after
 * that and before the entries do; it had all the groups' sides. */
static void die_in_update(struct scene *s, const struct step *step)
{
    struct ref_message *m = choose_message(s, step->args[1]), copy;
    uint64_t bytes;

    if (m == NULL || ref_changeable(&s->ref, m) != 0 ||
        !append_copy(s, m, &copy, length_of(step->args[2]), &bytes))
        return;
    scene_say(s, "die in an update of message %llu at %llu, %s it is true\n", SAY_ID(m),
              (unsigned long long)copy.pos, step->args[3] % 2 == 1 ? "after" : "before");
    if (step->args[3] % 2 == 1) {
        sq_record_move(&s->ring, m->pos, copy.pos);
        ref_update(&s->ref, m, copy.length, bytes);
    } else {
        ref_lose_update(&s->ref, m, bytes);
    }
    for (uint32_t i = 0; i < s->config.group_count; i++)
        if (scene_has(s, i))
            rebuild_group(s, (int)i);
    s->events[EVENT_DIED_IN_UPDATE]++;
}

/* --- one step ------------------------------------------------------------------------------- */

static void pass_time(struct scene *s, const struct step *step)
{
    s->ref.now_ns += 1 + (step->args[1] % 16 == 15 ? step->args[1] % 300 : step->args[1] % 20);
    scene_say(s, "now it is %lld\n", (long long)s->ref.now_ns);
}

static void compact_step(struct scene *s, const struct step *step)
{
    (void)step;
    if (s->group_bits != 0) /* else it is never wanted, and would forget the history */
        compact(s);
}

static void (*const actions[STEP_KINDS])(struct scene *s, const struct step *step) = {
    [STEP_PUT] = put,
    [STEP_RECEIVE] = receive,
    [STEP_GET] = get,
    [STEP_LOOK] = look,
    [STEP_ACK] = ack,
    [STEP_NACK] = nack,
    [STEP_REJECT] = reject,
    [STEP_DEAD_LETTER] = make_dead_letter,
    [STEP_TOUCH] = touch,
    [STEP_OLDEST] = oldest,
    [STEP_TIME] = pass_time,
    [STEP_OWNER_DIES] = owner_dies,
    [STEP_PURGE] = purge,
    [STEP_REVIVE] = revive,
    [STEP_DROP] = drop_step,
    [STEP_REMOVE] = remove_step,
    [STEP_UPDATE] = update,
    [STEP_COMPACT] = compact_step,
    [STEP_SUBSCRIBE] = scene_subscribe,
    [STEP_UNSUBSCRIBE] = scene_unsubscribe,
    [STEP_SEEK] = scene_seek,
    [STEP_PAUSE] = scene_pause,
    [STEP_PART] = scene_part,
    [STEP_REBUILD] = rebuild,
    [STEP_DIE_IN_PUT] = die_in_put,
    [STEP_DIE_IN_LEASE] = die_in_lease,
    [STEP_DIE_IN_UPDATE] = die_in_update,
};

static bool derives_anew(uint32_t kind)
{
    return kind == STEP_PURGE || kind == STEP_REBUILD || kind == STEP_SUBSCRIBE ||
           kind == STEP_SEEK || kind >= STEP_DIE_IN_PUT;
}

/* Steps of a group, which is told by the first of their numbers. */
static bool is_of_group(uint32_t kind)
{
    switch (kind) {
    case STEP_RECEIVE:
    case STEP_GET:
    case STEP_LOOK:
    case STEP_OLDEST:
    case STEP_PURGE:
    case STEP_REVIVE:
    case STEP_DROP:
    case STEP_REBUILD:
    case STEP_UNSUBSCRIBE:
    case STEP_SEEK:
    case STEP_PAUSE:
    case STEP_DIE_IN_LEASE:
        return true;
    default:
        return false;
    }
}

bool scene_step(struct scene *s, const struct step *step)
{
    enum { MARK = 7 };

    if (is_of_group(step->kind) && !scene_has(s, step->args[0] % s->config.group_count))
        return true;
    for (uint32_t i = 0; i < s->config.group_count; i++)
        s->ring.groups[i].pending.departures_seen = MARK;
    actions[step->kind](s, step);
    for (uint32_t i = 0; i < s->config.group_count; i++)
        if (s->ring.groups[i].pending.departures_seen != MARK && !derives_anew(step->kind))
            s->events[EVENT_HEAP_OVERFLOWED]++;
    if (!s->failed)
        scene_check_counts(s);
    if (!s->failed && (++s->steps_done % 8 == 0 || step->kind >= STEP_PURGE || s->careful))
        scene_check_all(s);
    return !s->failed;
}
