/*
 * test_group.c - a ring with its groups against plain lists (reference/group_scene.h): a million
 * random steps, in scenes of every kind.
 *
 * When a scene fails, its steps are shortened as long as they fail, and shown.  SEED
 * repeats a failure; STEPS sets how many steps there are in all.
 */
#include "support/helper.h"

#include <stdio.h>
#include <stdlib.h>

#include "group/group_lease.h"
#include "group/pending_rebuild.h"
#include "reference/group_scene.h"

enum { STEPS_DEFAULT = 1000000 };

/* How often each kind of step is done, of a sum. */
static const unsigned weights[STEP_KINDS] = {
    [STEP_PUT] = 260,         [STEP_RECEIVE] = 200,    [STEP_GET] = 50,
    [STEP_LOOK] = 10,         [STEP_ACK] = 130,        [STEP_NACK] = 60,
    [STEP_REJECT] = 15,       [STEP_DEAD_LETTER] = 40, [STEP_TOUCH] = 20,
    [STEP_OLDEST] = 30,       [STEP_TIME] = 90,        [STEP_OWNER_DIES] = 8,
    [STEP_PURGE] = 1,         [STEP_REVIVE] = 8,       [STEP_DROP] = 5,
    [STEP_REMOVE] = 25,       [STEP_UPDATE] = 30,      [STEP_COMPACT] = 8,
    [STEP_REBUILD] = 8,       [STEP_DIE_IN_PUT] = 3,   [STEP_DIE_IN_LEASE] = 6,
    [STEP_DIE_IN_UPDATE] = 3, [STEP_SUBSCRIBE] = 20,   [STEP_UNSUBSCRIBE] = 4,
    [STEP_SEEK] = 8,          [STEP_PAUSE] = 12,       [STEP_PART] = 4,
};

static uint32_t below(struct helper_random *random, uint64_t n)
{
    return (uint32_t)(helper_random(random) >> 8) % (uint32_t)n;
}

static struct scene_config random_config(struct helper_random *random, unsigned number)
{
    static const uint32_t tables[] = {8, 11, 16, 24, 40, 64};
    unsigned shape = number / 3 % 4; /* one group, unique, two groups, three */
    struct scene_config c = {
        .order = number % 3,
        .unique = shape == 1,
        .group_count = shape < 2 ? 1 : shape,
        .entry_count = tables[below(random, 6)],
        .start_pos = 0 - 8 * (uint64_t)below(random, SCENE_CAPACITY),
        .full_drop = below(random, 3) == 0,
    };

    if (below(random, 3) != 0)
        c.max_messages = 4 + below(random, c.entry_count - 3);
    /* As segment/segment_attr.c has it: with another order all that waits has a place in the table.
     */
    if (c.order != SHMQ_FIFO && (c.max_messages == 0 || c.max_messages > c.entry_count))
        c.max_messages = c.entry_count;
    for (uint32_t i = 0; i < c.group_count; i++) {
        c.max_attempts[i] = below(random, 2) * (1 + below(random, 4));
        c.dead_letter[i] = below(random, 2) == 0;
        c.dead_letter_expired[i] = below(random, 2) == 0;
        c.filter_type[i] = shape >= 2 && below(random, 3) == 0 ? 1 + below(random, 2) : 0;
    }
    return c;
}

static void say_config(const struct scene_config *c)
{
    static const char *const orders[] = {"fifo", "lifo", "priority"};

    printf("%s%s, %u entries, max_messages %llu, start %llu%s\n", orders[c->order],
           c->unique ? ", unique" : "", c->entry_count, (unsigned long long)c->max_messages,
           (unsigned long long)c->start_pos, c->full_drop ? ", full=drop" : "");
    for (uint32_t i = 0; i < c->group_count; i++)
        printf("group %u: max_attempts %u%s%s, filter %u\n", i, c->max_attempts[i],
               c->dead_letter[i] ? ", dead letters sent" : "",
               c->dead_letter_expired[i] ? ", expired ones too" : "", c->filter_type[i]);
}

/* --- steps ------------------------------------------------------------------------ */

struct trial {
    struct scene *scene;
    struct scene_config config;
};

static bool fails(void *arg, const struct step *steps, unsigned count)
{
    struct trial *t = arg;

    scene_begin(t->scene, &t->config);
    for (unsigned i = 0; i < count; i++)
        if (!scene_step(t->scene, &steps[i]))
            return true;
    return false;
}

static void report(struct trial *t, struct step *steps, unsigned count)
{
    enum { SECONDS = 60 };

    printf("a scene fails after %u steps: %s\n", count, t->scene->failure);
    fflush(stdout);
    t->scene->careful = true;
    count = shrink(steps, count, fails, t, SECONDS);
    printf("\n%u steps are enough.\n", count);
    say_config(&t->config);
    t->scene->verbose = true;
    fails(t, steps, count);
    t->scene->verbose = t->scene->careful = false;
    printf("%s\n", t->scene->failure);
    fflush(stdout);
}

/* A scene has its own likings, so that tables fill up in some and rings in others. */
static unsigned random_weights(struct helper_random *random, unsigned *own)
{
    unsigned sum = 0;

    for (int i = 0; i < STEP_KINDS; i++) {
        static const unsigned factors[] = {1, 2, 4, 4, 4, 4, 8, 16}; /* quarters */
        own[i] = weights[i] * factors[below(random, 8)];
        sum += own[i];
    }
    return sum;
}

static struct step random_step(struct helper_random *random, const unsigned *own, unsigned sum)
{
    unsigned at = below(random, sum);
    struct step step = {0};

    while (at >= own[step.kind])
        at -= own[step.kind++];
    for (int i = 0; i < STEP_ARGS; i++)
        step.args[i] = (uint32_t)(helper_random(random) >> 16);
    return step;
}

static void check_events(const struct scene *s)
{
    bool all = true;

    for (int i = 0; i < EVENT_COUNT; i++) {
        if (getenv("EVENTS") != NULL)
            printf("%9llu %s\n", (unsigned long long)s->events[i], scene_event_names[i]);
        if (s->events[i] == 0)
            printf("this never happened: %s\n", scene_event_names[i]);
        all &= s->events[i] != 0;
    }
    fflush(stdout);
    assert_true(all);
}

static void random_steps(void **state)
{
    static struct scene scene;
    static struct step steps[SCENE_STEPS];
    const char *given = getenv("STEPS");
    uint64_t most = given != NULL ? strtoull(given, NULL, 10) : STEPS_DEFAULT, done = 0;
    struct helper_random random = helper_seed();
    unsigned own[STEP_KINDS];

    (void)state;
    scene_make(&scene);
    for (unsigned number = 0; done < most; number++) {
        struct trial t = {&scene, random_config(&random, number)};
        unsigned sum = random_weights(&random, own);
        unsigned count = 200 + below(&random, SCENE_STEPS - 200);
        scene_begin(&scene, &t.config);
        for (unsigned i = 0; i < count; i++, done++) {
            steps[i] = random_step(&random, own, sum);
            if (scene_step(&scene, &steps[i]))
                continue;
            report(&t, steps, i + 1);
            fail();
        }
    }
    check_events(&scene);
    scene_free(&scene);
}

/* --- the back ---------------------------------------------------------------------- */

static void put_empty(struct scene *s)
{
    const struct ref_message empty = {.key = REF_NONE};
    uint64_t id = sq_load(&s->ring.producer->next_id), bytes = scene_record_bytes(&empty);
    uint64_t tail = sq_load(&s->ring.producer->tail_pos);

    scene_write(s, tail, id, 0, &empty);
    sq_ring_publish(&s->ring, tail + bytes, id + 1, 0);
}

/* Receive `id` and give it back behind the others. */
static void rotate(struct scene *s, uint64_t id)
{
    struct sq_ring ring = scene_ring(s, 0);
    struct sq_pick pick;
    struct sq_lease lease;

    assert_int_equal(sq_group_pick(&ring, 1, 1, true, &pick), 0);
    assert_int_equal(pick.view.id, id);
    assert_int_equal(sq_group_lease(&ring, &pick, 1, 1000, &lease), 0);
    assert_int_equal(sq_group_nack(&ring, &lease, 0, true), 0);
}

/* However often messages go to the back, each has its turn; and one that is put
 * meanwhile is not behind many of them. */
static void ever_to_the_back(void **state)
{
    enum { MESSAGES = 5, ROUNDS = 4000, MORE = 8 };
    static struct scene s;

    (void)state;
    scene_make(&s);
    for (uint32_t order = SHMQ_FIFO; order <= SHMQ_PRIORITY; order++) {
        struct scene_config config = {.order = order, .group_count = 1, .entry_count = 16};
        scene_begin(&s, &config);
        for (int i = 0; i < MESSAGES; i++)
            put_empty(&s);
        for (uint64_t i = 0; i < (uint64_t)MESSAGES * ROUNDS; i++) {
            uint64_t id = i % MESSAGES + 1;
            rotate(&s, order == SHMQ_LIFO ? MESSAGES + 1 - id : id);
        }
        assert_null(sq_pending_valid(&s.ring));
        if (order != SHMQ_FIFO)
            continue;
        for (int i = 0; i < MORE; i++)
            put_empty(&s);
        struct sq_pick pick;
        uint64_t before = 0;
        while (sq_group_pick(&s.ring, 1, 1, false, &pick) == 0 && pick.view.id != 1) {
            assert_int_equal(sq_group_finish(&s.ring, &pick), 0);
            before += pick.view.id > MESSAGES;
        }
        assert_cmp(before, <, MORE);
    }
    scene_free(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(ever_to_the_back),
        HELPER_TEST(random_steps),
    };

    return helper_run(argc, argv, tests);
}
