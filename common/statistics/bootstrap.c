// bootstrap.c: draws clusters with replacement and lists their rows.
#include "common/statistics/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/counter_random.h"
#include "common/base/memory.h"
#include "common/statistics/quantile.h"

enum { PURPOSE = 0x626f6f74 }; // "boot"

// Rows by cluster: those of cluster c are rows[first[c]] .. rows[first[c + 1] - 1].
struct grouped {
    size_t *first, *rows;
};

static struct grouped group_rows(const struct bootstrap *bootstrap)
{
    struct grouped grouped = {memory_alloc((bootstrap->cluster_count + 2) * sizeof(size_t)),
                              memory_alloc((bootstrap->count + 1) * sizeof(size_t))};
    size_t *next = grouped.first + 1; // while filling, one place ahead
    for (size_t i = 0; i < bootstrap->count; i++)
        next[bootstrap->clusters[i] + 1]++;
    for (size_t c = 1; c < bootstrap->cluster_count; c++)
        next[c] += next[c - 1];
    for (size_t i = 0; i < bootstrap->count; i++)
        grouped.rows[next[bootstrap->clusters[i]]++] = i;
    return grouped;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

// The rows of a replicate, which may be more than the data's.
struct sample {
    size_t *rows, count, capacity;
};

static void append(struct sample *sample, const size_t *rows, size_t count)
{
    if (sample->count + count > sample->capacity) {
        sample->capacity = 2 * (sample->count + count);
        sample->rows = memory_realloc(sample->rows, sample->capacity * sizeof *sample->rows);
    }
    memcpy(sample->rows + sample->count, rows, count * sizeof *rows);
    sample->count += count;
}

// Draws as many clusters as there are.
static double replicate(const struct bootstrap *bootstrap, const struct grouped *grouped, int index,
                        struct sample *sample)
{
    const struct random_stream stream = {bootstrap->seed, PURPOSE};
    sample->count = 0;
    for (size_t i = 0; i < bootstrap->cluster_count; i++) {
        uint64_t draw = (uint64_t)index * bootstrap->cluster_count + i;
        size_t c = (size_t)counter_random_below(&stream, draw, bootstrap->cluster_count);
        append(sample, grouped->rows + grouped->first[c], grouped->first[c + 1] - grouped->first[c]);
    }
    return bootstrap->figure(bootstrap->context, sample->rows, sample->count);
}

struct interval bootstrap_interval(const struct bootstrap *bootstrap)
{
    struct grouped grouped = group_rows(bootstrap);
    struct sample sample = {0};
    double *figures = memory_alloc((size_t)bootstrap->replicates * sizeof *figures);
    double sum = 0;
    size_t found = 0;
    for (int i = 0; i < bootstrap->replicates; i++) {
        double figure = replicate(bootstrap, &grouped, i, &sample);
        if (isnan(figure))
            continue;
        figures[found++] = figure;
        sum += figure;
    }
    struct interval interval = {NAN, NAN};
    if (2 * found >= (size_t)bootstrap->replicates) {
        double shift = bootstrap->estimate ? *bootstrap->estimate - sum / (double)found : 0;
        qsort(figures, found, sizeof *figures, by_value);
        interval = (struct interval){quantile_of_sorted(figures, found, (1 - bootstrap->level) / 2) + shift,
                                     quantile_of_sorted(figures, found, (1 + bootstrap->level) / 2) + shift};
    }
    free(figures);
    free(sample.rows);
    free(grouped.first);
    free(grouped.rows);
    return interval;
}
