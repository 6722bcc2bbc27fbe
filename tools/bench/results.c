/*
 * results.c - the store of results, and the few statistics the reports need.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

struct result *result_add(struct results *all, const struct round *round,
                          const struct workload *workload)
{
    if (all->count == all->room) {
        size_t room = all->room ? all->room * 2 : 64;
        struct result *list = realloc(all->list, room * sizeof *list);
        if (!list)
            abort();
        all->list = list;
        all->room = room;
    }
    struct result *result = &all->list[all->count++];
    memset(result, 0, sizeof *result);
    result->workload = workload;
    result->transport = round->transport;
    result->size = round->size;
    return result;
}

const struct result *result_find(const struct results *all, const struct workload *workload,
                                 size_t size, const char *transport)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct result *r = &all->list[i];
        if (r->workload == workload && r->size == size && r->rounds > 0 && !r->failed &&
            strcmp(r->transport->name, transport) == 0)
            return r;
    }
    return NULL;
}

const struct result *result_base(const struct results *all, const struct result *of)
{
    static const char *const names[] = {"shmq",    "shmq-sole", "shmq-always",
                                        "shmq-os", "shmq-save", NULL};
    const struct result *base = NULL;
    for (const char *const *name = names; *name && !base; name++)
        base = result_find(all, of->workload, of->size, *name);
    return base;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(const double *values, unsigned count)
{
    double sorted[MAX_REPEAT];
    if (count == 0)
        return 0;
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_value);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

double least(const double *values, unsigned count)
{
    double least_so_far = count ? values[0] : 0;
    for (unsigned i = 1; i < count; i++)
        if (values[i] < least_so_far)
            least_so_far = values[i];
    return least_so_far;
}

double greatest(const double *values, unsigned count)
{
    double greatest_so_far = count ? values[0] : 0;
    for (unsigned i = 1; i < count; i++)
        if (values[i] > greatest_so_far)
            greatest_so_far = values[i];
    return greatest_so_far;
}

double median_ratio(const double *a, const double *b, unsigned count)
{
    double ratios[MAX_REPEAT];
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++)
        if (b[i] > 0)
            ratios[n++] = a[i] / b[i];
    return median(ratios, n);
}
