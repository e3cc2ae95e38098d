// resample.c: draws clusters with replacement and counts them.
#include "monitor/labels/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/counter_random.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"
#include "common/statistics/quantile.h"

enum { PURPOSE = 0x70617469 }; // "pati"

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void draw(const struct resample *resample, int index, uint32_t *drawn, uint32_t *times)
{
    const struct random_stream stream = {resample->seed, PURPOSE};
    memset(drawn, 0, resample->cluster_count * sizeof *drawn);
    for (size_t i = 0; i < resample->cluster_count; i++)
        drawn[counter_random_below(&stream, (uint64_t)index * resample->cluster_count + i,
                                   resample->cluster_count)]++;
    for (size_t i = 0; i < resample->count; i++)
        times[i] = drawn[resample->clusters[i]];
}

// values: (replicates) of one figure; they are sorted.
static struct interval interval_of(double *values, const struct resample *resample, double move_to)
{
    size_t found = 0, replicates = (size_t)resample->replicates;
    double sum = 0;
    for (size_t i = 0; i < replicates; i++)
        if (!isnan(values[i])) {
            sum += values[i];
            values[found++] = values[i];
        }
    if (found == 0 || 2 * found < replicates)
        return (struct interval){NAN, NAN};
    qsort(values, found, sizeof *values, by_value);
    double shift = isnan(move_to) ? 0 : move_to - sum / (double)found;
    return (struct interval){quantile_of_sorted(values, found, (1 - resample->level) / 2) + shift,
                             quantile_of_sorted(values, found, (1 + resample->level) / 2) + shift};
}

void resample_intervals(const struct resample *resample, struct interval *intervals)
{
    size_t replicates = (size_t)resample->replicates, figure_count = resample->figure_count;
    uint32_t *drawn = memory_alloc((resample->cluster_count + 1) * sizeof *drawn);
    uint32_t *times = memory_alloc((resample->count + 1) * sizeof *times);
    double *values = memory_alloc((figure_count * replicates + 1) * sizeof *values);
    // Seconds of work; at a stop nobody reads what it comes to (report_make).
    for (int i = 0; i < resample->replicates && !shutdown_requested(); i++) {
        double figures[RESAMPLE_FIGURES_MOST];
        draw(resample, i, drawn, times);
        resample->figures(resample->context, times, figures);
        for (size_t f = 0; f < figure_count; f++)
            values[f * replicates + (size_t)i] = figures[f];
    }
    for (size_t f = 0; f < figure_count; f++)
        intervals[f] =
            interval_of(values + f * replicates, resample, resample->move_to ? resample->move_to[f] : NAN);
    free(drawn);
    free(times);
    free(values);
}

int resample_replicates(size_t count, size_t visits_per_row, double work)
{
    double visits = (double)(count + 1) * (double)visits_per_row;
    return (int)fmin(2000, fmax(200, work / visits));
}
