// value_range.h: how far numbers lie from those expected, as a share of what these span. Static functions, so
// that a test or a benchmark includes it and nothing is linked.
#ifndef SKINSIGHT_TESTS_SUPPORT_VALUE_RANGE_H
#define SKINSIGHT_TESTS_SUPPORT_VALUE_RANGE_H

#include <math.h>

// The largest minus the smallest.
static inline float value_range(const float *values, int count)
{
    float low = values[0], high = values[0];
    for (int i = 1; i < count; i++) {
        low = fminf(low, values[i]);
        high = fmaxf(high, values[i]);
    }
    return high - low;
}

// The largest difference as a share of the expected values' range; INFINITY where one is no number.
static inline double worst_share(const float *found, const float *expected, int count)
{
    double worst = 0;
    for (int i = 0; i < count; i++) {
        double difference = fabs((double)found[i] - (double)expected[i]);
        worst = isnan(difference) ? INFINITY : fmax(worst, difference);
    }
    return worst / (double)value_range(expected, count);
}

#endif
