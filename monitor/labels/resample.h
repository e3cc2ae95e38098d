// resample.h: intervals of several figures at once by drawing patients again (Efron 1979). bootstrap.h asks
// for one figure of a list of rows; here each row says how often it was drawn, so that what was sorted once
// stays sorted, and an area under the curve costs one pass. Seeded. Pure but for the callback.
#ifndef SKINSIGHT_MONITOR_LABELS_RESAMPLE_H
#define SKINSIGHT_MONITOR_LABELS_RESAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/statistics/interval.h"

enum { RESAMPLE_FIGURES_MOST = 16 };

struct resample {
    const uint32_t *clusters; // (count): number of each row's cluster, 0 .. cluster_count - 1
    size_t count, cluster_count;
    int replicates;
    uint64_t seed;
    double level;
    size_t figure_count; // at most RESAMPLE_FIGURES_MOST
    // times: (count), how often each row is in the sample. NaN: the sample has no such figure.
    void (*figures)(void *context, const uint32_t *times, double *figures);
    void *context;
    // (figure_count), or NULL: NaN, or the figure of the data, where drawing again makes it greater: its
    // interval is moved by what the replicates' mean is off it.
    const double *move_to;
};

// intervals: (figure_count); NaN to NaN where fewer than half of the replicates have the figure. Ends early,
// with intervals that mean nothing, where the process is asked to stop (shutdown.h).
void resample_intervals(const struct resample *resample, struct interval *intervals);

// As many replicates as `work` row visits allow, from 200 to 2,000: of the data alone, so that the same data
// give the same interval.
int resample_replicates(size_t count, size_t visits_per_row, double work);

#endif
