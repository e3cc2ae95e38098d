// means.h: whether two means differ, where neither the spread nor the number of observations need be equal
// (Welch 1947). Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_MEANS_H
#define SKINSIGHT_COMMON_STATISTICS_MEANS_H

#include <stddef.h>

#include "common/statistics/interval.h"

// What a test needs to know of a sample. variance: with n - 1; NaN for fewer than two.
struct moments {
    double n, mean, variance;
};
struct moments moments_of(const double *values, size_t count);

// Of a - b. All but the difference NaN where a sample has fewer than two observations or neither has any
// spread.
struct welch {
    double difference, t, df;
    double p, p_greater; // two-sided; that a's mean is greater
    struct interval interval;
};
struct welch welch_test(const struct moments *a, const struct moments *b, double level);

#endif
