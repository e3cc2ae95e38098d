// bootstrap.h: intervals of any figure by drawing the data again (Efron 1979), whole clusters at a time:
// images of one lesion or patient are not independent. Percentile intervals, seeded; moved, where the figure
// is biased. Pure but for the callback.
#ifndef SKINSIGHT_COMMON_STATISTICS_BOOTSTRAP_H
#define SKINSIGHT_COMMON_STATISTICS_BOOTSTRAP_H

#include <stddef.h>
#include <stdint.h>

#include "common/statistics/interval.h"

struct bootstrap {
    const uint32_t *clusters; // (count): number of each row's cluster, 0 .. cluster_count - 1
    size_t count, cluster_count;
    int replicates; // 2,000 as a rule
    double level;
    uint64_t seed;
    // The figure of a sample: rows (row_count) may hold a row several times. NaN: it has none, and is left
    // out.
    double (*figure)(void *context, const size_t *rows, size_t row_count);
    void *context;
    // NULL, or the figure of the data itself: the interval is moved by what the replicates' mean is off it.
    // For a figure that drawing again makes greater, as a calibration error: it would lie above its estimate.
    const double *estimate;
};

// NaN to NaN where fewer than half of the replicates have the figure.
struct interval bootstrap_interval(const struct bootstrap *bootstrap);

#endif
