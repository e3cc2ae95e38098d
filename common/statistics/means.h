// means.h: whether two means differ, where neither the spread nor the number of observations need be equal
// (Welch 1947). Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_MEANS_H
#define SKINSIGHT_COMMON_STATISTICS_MEANS_H

#include <stddef.h>
#include <stdint.h>

#include "common/statistics/interval.h"

// What a test needs to know of a sample. variance: with n - 1; NaN for fewer than two.
struct moments {
    double n, mean, variance;
};
// Values of one group follow each other and depend on each other: then n is the number of groups, and
// variance / n the variance of the mean as sums of groups show it (a ratio estimate's). NULL: each value is
// one of its own.
struct moments moments_of(const double *values, const int64_t *groups, size_t count);

// Of a - b. All but the difference NaN where a sample has fewer than two observations or neither has any
// spread.
struct welch {
    double difference, t, df;
    double p, p_greater; // two-sided; that a's mean is greater
    struct interval interval;
};
struct welch welch_test(const struct moments *a, const struct moments *b, double level);

#endif
