/*
 * storm_threads.c - the storm among threads of one process: nobody is killed, but
 * all share two handles, or one.
 */
#include <pthread.h>
#include <time.h>

#include "storm/storm.h"
#include "support/message.h"

/*
 * Two handles map the queue at two addresses.  ThreadSanitizer, which knows
 * memory by its address, would not see that what was published through one was
 * read through the other; for it all threads share one.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ONE_HANDLE true
#endif
#elif defined(__SANITIZE_THREAD__)
#define ONE_HANDLE true
#endif
#ifndef ONE_HANDLE
#define ONE_HANDLE false
#endif

struct thread {
    pthread_t thread;
    shmq_t *q;
    int number; /* of a consumer */
    uint32_t generation;
    uint64_t seed;
};

static void *thread_produces(void *arg)
{
    struct thread *t = arg;

    storm_produce(t->q, t->generation, t->seed);
    return NULL;
}

static void *thread_consumes(void *arg)
{
    struct thread *t = arg;

    storm_consume(t->q, t->number, t->seed);
    return NULL;
}

static void pause_until(struct storm_epoch *e, int64_t until_ns)
{
    struct timespec beat = {0, 500000};

    e->progress.at_ns = helper_now_ns();
    while (storm_goes_on(e, helper_now_ns(), until_ns)) {
        nanosleep(&beat, NULL);
        storm_watch(e, helper_now_ns());
    }
}

/* Those who wait for ever get a message each, until all have ended. */
static void join_consumers(struct storm_epoch *e, struct thread *consumers)
{
    for (int i = 0; i < STORM_SIDE; i++) {
        struct timespec beat = {0, 500000};
        while (pthread_tryjoin_np(consumers[i].thread, NULL) != 0) {
            if (shmq_depth(e->monitor) == 0 && !storm_put_one(e->monitor))
                storm_wrong("a put at the end: %s", shmq_last_error_detail());
            nanosleep(&beat, NULL);
        }
    }
}

void storm_run_threads(const struct storm_variant *variant, int64_t length_ns, uint64_t seed,
                       struct storm_totals *totals)
{
    struct storm_epoch e = {.variant = variant, .seed = seed, .totals = totals};
    struct thread producers[STORM_SIDE] = {0}, consumers[STORM_SIDE] = {0};
    int64_t begun_ns = helper_now_ns();

    storm_open(&e);
    shmq_t *second = ONE_HANDLE ? NULL : helper_open(e.name, 0, NULL);
    shmq_t *handles[2] = {e.monitor, ONE_HANDLE ? e.monitor : second};
    for (int i = 0; i < STORM_SIDE; i++) {
        producers[i] = (struct thread){.q = handles[i % 2], .seed = message_random(&e.seed)};
        producers[i].generation = e.generations++;
        consumers[i] =
            (struct thread){.q = handles[i % 2], .number = i, .seed = message_random(&e.seed)};
        pthread_create(&producers[i].thread, NULL, thread_produces, &producers[i]);
        pthread_create(&consumers[i].thread, NULL, thread_consumes, &consumers[i]);
    }
    pause_until(&e, begun_ns + length_ns);
    storm_board->phase = STORM_PRODUCERS_END;
    for (int i = 0; i < STORM_SIDE; i++)
        pthread_join(producers[i].thread, NULL);
    storm_board->phase = STORM_CONSUMERS_END;
    join_consumers(&e, consumers);
    shmq_close(second);
    storm_settle(&e);
    storm_close(&e, begun_ns);
}
