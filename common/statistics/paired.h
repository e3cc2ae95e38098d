// paired.h: two models on the same images. Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_PAIRED_H
#define SKINSIGHT_COMMON_STATISTICS_PAIRED_H

#include <stdint.h>

// McNemar's test on the pairs in which one alone is right: b that only the first has, c that only the second
// has. Two-sided.
struct mcnemar {
    int64_t b, c;
    double p;                    // exact, from the binomial distribution
    double mid_p;                // Fagerland, Lydersen and Laake 2013
    double chi_square;           // without correction, 1 degree of freedom
    double chi_square_corrected; // Edwards'
};
struct mcnemar mcnemar_test(int64_t b, int64_t c);

#endif
