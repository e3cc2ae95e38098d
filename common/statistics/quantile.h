// quantile.h: quantiles of what was seen, and what they tell of the quantile itself, exactly, whatever the
// distribution. Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_QUANTILE_H
#define SKINSIGHT_COMMON_STATISTICS_QUANTILE_H

#include <stddef.h>
#include <stdint.h>

// Quantile of sorted values, linear between them (R's type 7, NumPy's default). count > 0.
double quantile_of_sorted(const double *sorted, size_t count, double p);

// Of n ascending values, the low-th and the high-th enclose the p-quantile with at least this confidence:
// each side errs by at most half of the rest. 0 and n + 1: there are too few for that side.
struct rank_interval {
    int64_t low, high;
};
struct rank_interval quantile_ranks(int64_t n, double p, double level);

// The most of n values that may lie above a limit for the p-quantile to be at most the limit with this
// confidence, one-sided. -1: n is too small for any.
int64_t quantile_exceedances(int64_t n, double p, double level);

#endif
