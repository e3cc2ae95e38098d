// label_free.h: what calibrated probabilities say of a model's performance before any diagnosis is known
// (CBPE: NannyML). It is true while they are calibrated, and blind to all that breaks that. Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_LABEL_FREE_H
#define SKINSIGHT_COMMON_STATISTICS_LABEL_FREE_H

#include <stddef.h>

struct expected_performance {
    double true_positives, false_positives, false_negatives, true_negatives; // expected numbers
    double sensitivity, specificity, accuracy, auroc; // from those; NaN where they have no denominator
};
// probabilities: (count) of being positive; called so from `cut` on.
struct expected_performance performance_expected(const double *probabilities, size_t count, double cut);

#endif
