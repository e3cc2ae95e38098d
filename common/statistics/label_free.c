// label_free.c: each prediction is positive with its probability. For the area under the curve it is ranked
// against all others, and counts half against itself, as ties do.
#include "common/statistics/label_free.h"

#include <stdlib.h>

#include "common/base/memory.h"

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double expected_auroc(const double *probabilities, size_t count)
{
    double *sorted = memory_alloc((count + 1) * sizeof *sorted);
    double negatives_below = 0, positives = 0, pairs = 0;
    for (size_t i = 0; i < count; i++)
        sorted[i] = probabilities[i];
    qsort(sorted, count, sizeof *sorted, by_value);
    for (size_t first = 0, end; first < count; first = end) {
        double tied = 0;
        for (end = first; end < count && sorted[end] == sorted[first]; end++)
            tied++;
        double negatives = tied * (1 - sorted[first]);
        pairs += tied * sorted[first] * (negatives_below + negatives / 2);
        positives += tied * sorted[first];
        negatives_below += negatives;
    }
    free(sorted);
    return pairs / (positives * negatives_below);
}

struct expected_performance performance_expected(const double *probabilities, size_t count, double cut)
{
    struct expected_performance of = {0};
    for (size_t i = 0; i < count; i++) {
        double p = probabilities[i];
        *(p >= cut ? &of.true_positives : &of.false_negatives) += p;
        *(p >= cut ? &of.false_positives : &of.true_negatives) += 1 - p;
    }
    of.sensitivity = of.true_positives / (of.true_positives + of.false_negatives);
    of.specificity = of.true_negatives / (of.true_negatives + of.false_positives);
    of.accuracy = (of.true_positives + of.true_negatives) / (double)count;
    of.auroc = expected_auroc(probabilities, count);
    return of;
}
