/*
 * group_moves.c - see group_scene.h: steps that make, move, pause and remove groups, as
 * api/group_open.c and api/group_control.c do.
 */
#include "reference/group_scene.h"

static const char *const starts[] = {
    [SHMQ_LATEST] = "latest", [SHMQ_EARLIEST] = "earliest", [SHMQ_AT_ID] = "id",
    [SHMQ_AT_TIME] = "time",  [SHMQ_AT_PART] = "part",
};

/* Where to start, of a step's numbers. */
static void choose_start(const struct scene *s, uint32_t arg, int *start, uint64_t *at)
{
    uint32_t more = arg / 8;

    *start = (int)(arg % 5);
    *at = 0;
    if (*start == SHMQ_AT_ID)
        *at = more % (s->ref.next_id + 2);
    if (*start == SHMQ_AT_TIME)
        *at = (uint64_t)s->ref.now_ns - more % 400;
}

/* A lease of before may look like one to come, which only its group tells apart. */
static void forget_leases(struct scene *s, int group)
{
    for (int i = 0; i < SCENE_LEASES; i++)
        if (s->leases[i].group == group)
            s->leases[i].id = 0;
}

static void say_start(const struct scene *s, const char *what, int group, int start, uint64_t at)
{
    const struct ref_group *g = &s->ref.groups[group];

    scene_say(s, "%s group %d at %s %llu: record %u of %u\n", what, group, starts[start],
              (unsigned long long)at, g->cursor, s->ref.record_count);
}

void scene_start_group(struct scene *s, int group, int start, uint64_t at)
{
    struct sq_ring ring = scene_ring(s, group);
    struct sq_policy_shm policy = {.max_attempts = s->config.max_attempts[group],
                                   .dead_letter_expired = s->config.dead_letter_expired[group]};
    struct ref_group *rg = &s->ref.groups[group];
    struct sq_seek target;

    if (s->config.dead_letter[group])
        strcpy(policy.dead_letter, "graves");
    scene_same(s, "finding a target", sq_seek_find(&ring, start, at, &target), 0);
    sq_seek_begin(&ring, "", &policy, &target);
    if (s->config.filter_type[group] != 0) {
        ring.group->delivery.filter_type = s->config.filter_type[group];
        sq_store(&ring.group->mode, sq_load(&ring.group->mode) | SQ_GROUP_FILTERED);
    }
    scene_same(s, "deriving what is before it", sq_ring_rebuild_consumer(&ring), 0);
    sq_group_set_got(&ring, 0);
    atomic_fetch_or(&s->group_bits, (uint64_t)1 << group);
    sq_seek_seen(&ring);
    ref_group_begin(&s->ref, group, scene_history(s), start, at);
    rg->filter_type = s->config.filter_type[group];
    rg->max_attempts = s->config.max_attempts[group];
    rg->dead_letter = s->config.dead_letter[group];
    rg->dead_letter_expired = s->config.dead_letter_expired[group];
    s->backs[group] = 0;
}

void scene_subscribe(struct scene *s, const struct step *step)
{
    uint32_t group = step->args[0] % s->config.group_count;
    uint64_t at;
    int start;

    if (scene_has(s, group))
        return;
    choose_start(s, step->args[1], &start, &at);
    scene_start_group(s, (int)group, start, at);
    say_start(s, "make", (int)group, start, at);
    s->events[EVENT_SUBSCRIBED]++;
    s->events[EVENT_SUBSCRIBED_BEHIND] += s->ref.groups[group].cursor < s->ref.record_count;
    s->events[EVENT_SUBSCRIBED_ALONE] += start == SHMQ_EARLIEST && s->group_bits == (uint64_t)1
                                                                                        << group;
}

/* Of a queue that is no topic the group is there for good. */
void scene_unsubscribe(struct scene *s, const struct step *step)
{
    uint32_t group = step->args[0] % s->config.group_count;

    if ((s->ring.kind & SHMQ_TOPIC) == 0)
        return;
    scene_say(s, "remove group %u\n", group);
    atomic_fetch_add(&s->ring.groups[group].generation, 1);
    atomic_fetch_and(&s->group_bits, ~((uint64_t)1 << group));
    ref_group_end(&s->ref, (int)group);
    forget_leases(s, (int)group);
    s->events[EVENT_UNSUBSCRIBED]++;
    s->events[EVENT_NO_GROUP] += s->group_bits == 0;
}

void scene_seek(struct scene *s, const struct step *step)
{
    int group = (int)(step->args[0] % s->config.group_count), start;
    struct sq_ring ring = scene_ring(s, group);
    struct ref_group *g = &s->ref.groups[group];
    unsigned held = ref_held(&s->ref, group);
    bool busy =
        ref_in_state(&s->ref, group, REF_LEASED) + ref_in_state(&s->ref, group, REF_DYING) > 0;
    uint64_t at, got = sq_group_got(&ring), history = scene_history(s);
    uint32_t before = g->cursor;

    choose_start(s, step->args[1], &start, &at);
    int rc = sq_seek_move(&ring, start, at);
    scene_same(s, "moving a group", rc, busy ? -EBUSY : 0);
    s->events[EVENT_SEEK_BUSY] += busy;
    if (s->failed || busy)
        return;
    sq_group_set_got(&ring, got);
    ref_seek(&s->ref, group, history, start, at);
    forget_leases(s, group);
    say_start(s, "move", group, start, at);
    s->events[g->cursor < before ? EVENT_SOUGHT_BACK : EVENT_SOUGHT_ON]++;
    s->events[EVENT_SOUGHT_HELD] += held > 0;
}

void scene_pause(struct scene *s, const struct step *step)
{
    int group = (int)(step->args[0] % s->config.group_count);
    struct sq_group_shm *g = scene_ring(s, group).group;
    bool paused = step->args[1] % 4 == 1;
    uint32_t mode = sq_load(&g->mode) & ~(uint32_t)SQ_GROUP_PAUSED;

    sq_store(&g->mode, paused ? mode | SQ_GROUP_PAUSED : mode);
    s->events[EVENT_RESUMED] += s->ref.groups[group].paused && !paused;
    s->ref.groups[group].paused = paused;
    scene_say(s, "%s group %d\n", paused ? "pause" : "resume", group);
}

void scene_part(struct scene *s, const struct step *step)
{
    (void)step;
    s->ref.part_id = s->ref.next_id;
    sq_store(&s->ring.producer->part_id, sq_load(&s->ring.producer->next_id));
    scene_say(s, "a part begins with message %llu\n", (unsigned long long)s->ref.part_id);
}
