/*
 * heap.c - see heap.h.  The children of i are 4i + 1 to 4i + 4.
 */
#include "group/heap.h"

/* Without a branch: which of two is less cannot be foretold. */
SQ_HOT bool less(const struct sq_heap_item_shm *a, const struct sq_heap_item_shm *b)
{
    return (a->major < b->major) | ((a->major == b->major) & (a->minor < b->minor));
}

/* Put `item` where i is, or as far above as it belongs. */
static void rise(struct sq_heap_item_shm *items, uint32_t i, struct sq_heap_item_shm item)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / 4;
        if (!less(&item, &items[parent]))
            break;
        items[i] = items[parent];
        i = parent;
    }
    items[i] = item;
}

bool sq_heap_push(const struct sq_heap *heap, struct sq_heap_item_shm item)
{
    uint32_t i = *heap->count;

    if (i >= heap->limit)
        return false;
    *heap->count = i + 1;
    rise(heap->items, i, item);
    return true;
}

/* The least of four siblings, of which the first is `child`. */
SQ_HOT uint32_t least_of_four(const struct sq_heap_item_shm *items, uint32_t child)
{
    uint32_t a = child + less(&items[child + 1], &items[child]);
    uint32_t b = child + 2 + less(&items[child + 3], &items[child + 2]);

    return less(&items[b], &items[a]) ? b : a;
}

/*
 * The gap goes down along the least children to the bottom, and the last item rises from
 * there (R. W. Floyd): it came from the bottom, and most often goes back there.
 */
void sq_heap_pop(const struct sq_heap *heap)
{
    struct sq_heap_item_shm *items = heap->items;
    uint32_t count = *heap->count - 1, i = 0, child = 1;

    *heap->count = count;
    while (child + 3 < count) {
        uint32_t least = least_of_four(items, child);
        items[i] = items[least];
        i = least;
        child = 4 * i + 1;
    }
    if (child < count) {
        uint32_t least = child;
        for (uint32_t j = child + 1; j < count; j++)
            if (less(&items[j], &items[least]))
                least = j;
        items[i] = items[least];
        i = least;
    }
    rise(items, i, items[count]);
}

bool sq_heap_valid(const struct sq_heap *heap)
{
    uint32_t count = *heap->count;

    if (count > heap->limit)
        return false;
    for (uint32_t i = 1; i < count; i++)
        if (less(&heap->items[i], &heap->items[(i - 1) / 4]))
            return false;
    return true;
}
