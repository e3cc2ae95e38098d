// verification.h: sensitivity and specificity where not everybody's diagnosis was verified, because a model's
// "no" is rarely followed up. From the verified alone, sensitivity looks better than it is. Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_VERIFICATION_H
#define SKINSIGHT_COMMON_STATISTICS_VERIFICATION_H

#include <stdint.h>

#include "common/statistics/interval.h"

// Patients whom the model called positive, or negative.
struct verified_group {
    int64_t diseased, healthy; // as verified
    int64_t unverified;
};

// NaN where a figure can't be computed: none with the disease (or without) was verified, or, for `corrected`,
// nobody of a group that has patients.
struct verified_share {
    double naive;     // of the verified alone
    double corrected; // Begg and Greenes 1983: whether one is verified depends on the model's answer alone
    struct interval interval; // of `corrected`, on the logit scale; 0 to 1 where it has no variance
    // With every unverified negative diseased, or every one healthy; unverified positives as the verified
    // ones.
    struct interval bounds;
};

struct verification {
    struct verified_share sensitivity, specificity;
};
struct verification verification_correct(struct verified_group positive, struct verified_group negative,
                                         double level);

#endif
