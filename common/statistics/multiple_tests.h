// multiple_tests.h: p-values of several tests that are read together, adjusted for there being several: each
// is compared with the level itself. Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_MULTIPLE_TESTS_H
#define SKINSIGHT_COMMON_STATISTICS_MULTIPLE_TESTS_H

#include <stddef.h>

// p and adjusted: (count), in the same order; they may be the same array. No p is NaN.
// Bounds the share of false ones among those found (Benjamini and Hochberg 1995).
void adjust_false_discovery_rate(const double *p, size_t count, double *adjusted);
// Bounds the probability of finding any false one (Holm 1979).
void adjust_holm(const double *p, size_t count, double *adjusted);

#endif
