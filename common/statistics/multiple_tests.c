// multiple_tests.c: both procedures walk along the sorted p-values and never let the adjusted ones fall.
#include "common/statistics/multiple_tests.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"

struct ranked {
    double p;
    size_t index;
};

static int by_p(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    return (a->p > b->p) - (a->p < b->p);
}

static struct ranked *sort_by_p(const double *p, size_t count)
{
    struct ranked *ranked = memory_alloc((count + 1) * sizeof *ranked);
    for (size_t i = 0; i < count; i++)
        ranked[i] = (struct ranked){p[i], i};
    qsort(ranked, count, sizeof *ranked, by_p);
    return ranked;
}

void adjust_false_discovery_rate(const double *p, size_t count, double *adjusted)
{
    struct ranked *ranked = sort_by_p(p, count);
    double least = 1;
    for (size_t i = count; i-- > 0;) {
        least = fmin(least, ranked[i].p * (double)count / (double)(i + 1));
        adjusted[ranked[i].index] = least;
    }
    free(ranked);
}

void adjust_holm(const double *p, size_t count, double *adjusted)
{
    struct ranked *ranked = sort_by_p(p, count);
    double greatest = 0;
    for (size_t i = 0; i < count; i++) {
        greatest = fmin(1, fmax(greatest, ranked[i].p * (double)(count - i)));
        adjusted[ranked[i].index] = greatest;
    }
    free(ranked);
}
