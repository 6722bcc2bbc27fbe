/*
 * test_heap.c - the heap of a pending table against a plain unordered list.
 *
 * Random pushes and pops, in heaps of 1 to 70 places, with many equal elements; after
 * each step the heap's top is a least element of the list, and a pop takes just that
 * one element off.
 */
#include "support/helper.h"

#include <stdlib.h>
#include <string.h>

#include "group/heap.h"

enum {
    LIMIT_MAX = 70,
    ROUNDS = 400,
    STEPS = 600,
};

struct heap_test {
    struct helper_random random;
    struct sq_heap heap;
    uint32_t count; /* the heap's */
    struct sq_heap_item_shm list[LIMIT_MAX];
    uint32_t listed;
};

static uint64_t below(struct heap_test *t, uint64_t n)
{
    return helper_random(&t->random) % n;
}

static void make(struct heap_test *t, uint32_t limit)
{
    size_t bytes = (size_t)sq_heap_bytes(limit) + SQ_LINE;

    t->count = t->listed = 0;
    t->heap = (struct sq_heap){aligned_alloc(SQ_LINE, bytes), &t->count, limit};
    assert_non_null(t->heap.items);
    memset(t->heap.items, 0xa5, bytes);
}

/* A few values only, so that equals are common; and the extremes. */
static struct sq_heap_item_shm random_item(struct heap_test *t, uint32_t entry)
{
    static const uint64_t extremes[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, (uint64_t)1 << 63};
    uint64_t minor = below(t, 4) == 0 ? extremes[below(t, 5)] : below(t, 40);
    uint32_t major = below(t, 3) == 0 ? (uint32_t)extremes[below(t, 4)] : (uint32_t)below(t, 3);

    return (struct sq_heap_item_shm){major, entry, minor};
}

static bool is_less(const struct sq_heap_item_shm *a, const struct sq_heap_item_shm *b)
{
    return a->major < b->major || (a->major == b->major && a->minor < b->minor);
}

static void push(struct heap_test *t, uint32_t entry)
{
    struct sq_heap_item_shm item = random_item(t, entry);
    bool room = t->listed < t->heap.limit;

    assert_int_equal(sq_heap_push(&t->heap, item), room);
    if (room)
        t->list[t->listed++] = item;
}

static void check_top(const struct heap_test *t)
{
    const struct sq_heap_item_shm *top = sq_heap_top(&t->heap);

    assert_int_equal(t->count, t->listed);
    assert_int_equal(top == NULL, t->listed == 0);
    for (uint32_t i = 0; i < t->listed; i++)
        assert_false(is_less(&t->list[i], top));
}

static void pop(struct heap_test *t)
{
    const struct sq_heap_item_shm *top = sq_heap_top(&t->heap);
    struct sq_heap_item_shm taken;
    uint32_t i = 0;

    if (top == NULL)
        return;
    taken = *top;
    while (i < t->listed && memcmp(&t->list[i], &taken, sizeof(taken)) != 0)
        i++;
    assert_cmp(i, <, t->listed); /* it was put in, and not taken before */
    t->list[i] = t->list[--t->listed];
    sq_heap_pop(&t->heap);
}

static void steps(struct heap_test *t)
{
    uint64_t pushes = below(t, 60) + 20; /* of 100 */

    for (uint32_t n = 0; n < STEPS; n++) {
        if (below(t, 100) < pushes)
            push(t, n);
        else
            pop(t);
        check_top(t);
        assert_true(sq_heap_valid(&t->heap));
    }
    while (t->listed > 0) {
        pop(t);
        check_top(t);
    }
    assert_null(sq_heap_top(&t->heap));
}

static void random_steps(void **state)
{
    static struct heap_test t;

    (void)state;
    t.random = helper_seed();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        make(&t, 1 + (uint32_t)below(&t, LIMIT_MAX));
        steps(&t);
        free(t.heap.items);
    }
}

/* Whatever went in comes out sorted. */
static void sorts(void **state)
{
    static struct heap_test t;
    struct sq_heap_item_shm last = {0, 0, 0};

    (void)state;
    t.random = helper_seed();
    make(&t, LIMIT_MAX);
    for (uint32_t i = 0; i < LIMIT_MAX; i++)
        push(&t, i);
    while (sq_heap_top(&t.heap) != NULL) {
        struct sq_heap_item_shm top = *sq_heap_top(&t.heap);
        assert_false(is_less(&top, &last));
        last = top;
        sq_heap_pop(&t.heap);
    }
    free(t.heap.items);
}

/* sq_heap_valid() finds each single element that is less than its parent. */
static void valid_finds_disorder(void **state)
{
    static struct heap_test t;

    (void)state;
    t.random = helper_seed();
    make(&t, LIMIT_MAX);
    for (uint32_t i = 0; i < LIMIT_MAX; i++)
        assert_true(sq_heap_push(&t.heap, (struct sq_heap_item_shm){1, i, i + 10}));
    assert_true(sq_heap_valid(&t.heap));
    for (uint32_t i = 1; i < LIMIT_MAX; i++) {
        struct sq_heap_item_shm good = t.heap.items[i];
        t.heap.items[i].minor = 1;
        assert_false(sq_heap_valid(&t.heap));
        t.heap.items[i] = (struct sq_heap_item_shm){0, good.entry, UINT64_MAX};
        assert_false(sq_heap_valid(&t.heap));
        t.heap.items[i] = good;
    }
    t.count = LIMIT_MAX + 1; /* a count that cannot be: nothing is read */
    assert_false(sq_heap_valid(&t.heap));
    assert_null(sq_heap_top(&t.heap));
    assert_false(sq_heap_push(&t.heap, (struct sq_heap_item_shm){0, 0, 0}));
    free(t.heap.items);
}

/* Four siblings share a line. */
static void siblings_share_a_line(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 64; i++) {
        uint64_t first = (SQ_HEAP_SKIP + 4 * (uint64_t)i + 1) * sizeof(struct sq_heap_item_shm);
        assert_int_equal(first / SQ_LINE,
                         (first + 4 * sizeof(struct sq_heap_item_shm) - 1) / SQ_LINE);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(random_steps),
        HELPER_TEST(sorts),
        HELPER_TEST(valid_finds_disorder),
        HELPER_TEST(siblings_share_a_line),
    };

    return helper_run(argc, argv, tests);
}
