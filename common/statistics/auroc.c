// auroc.c: areas, and DeLong's components. A component is, for a positive, the share of negatives below it,
// for a negative the share of positives above it; the area is their mean, the variance comes from theirs.
#include "common/statistics/auroc.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/special.h"

struct scored {
    double score;
    size_t index;
};

static int by_score(const void *left, const void *right)
{
    const struct scored *a = left, *b = right;
    return (a->score > b->score) - (a->score < b->score);
}

// components: (count), of positives and negatives alike, in the order of the scores.
static void components_of(const double *scores, const bool *is_positive, size_t count, double *components)
{
    struct scored *sorted = memory_alloc((count + 1) * sizeof *sorted);
    double all[2] = {0, 0}, below[2] = {0, 0}; // negatives, positives
    for (size_t i = 0; i < count; i++) {
        sorted[i] = (struct scored){scores[i], i};
        all[is_positive[i]]++;
    }
    qsort(sorted, count, sizeof *sorted, by_score);
    for (size_t first = 0, end; first < count; first = end) {
        double tied[2] = {0, 0};
        for (end = first; end < count && sorted[end].score == sorted[first].score; end++)
            tied[is_positive[sorted[end].index]]++;
        for (size_t i = first; i < end; i++)
            components[sorted[i].index] = is_positive[sorted[i].index]
                                              ? (below[0] + tied[0] / 2) / all[0]
                                              : 1 - (below[1] + tied[1] / 2) / all[1];
        below[0] += tied[0];
        below[1] += tied[1];
    }
    free(sorted);
}

static double mean_of(const double *values, const bool *is_positive, bool wanted, size_t count)
{
    double sum = 0, n = 0;
    for (size_t i = 0; i < count; i++)
        if (is_positive[i] == wanted) {
            sum += values[i];
            n++;
        }
    return sum / n;
}

// DeLong's covariance of the areas that two sets of components belong to; of one with itself the variance.
static double covariance(const double *a, const double *b, const bool *is_positive, size_t count)
{
    double total = 0;
    for (int wanted = 0; wanted < 2; wanted++) {
        double mean_a = mean_of(a, is_positive, wanted, count),
               mean_b = mean_of(b, is_positive, wanted, count);
        double sum = 0, n = 0;
        for (size_t i = 0; i < count; i++)
            if (is_positive[i] == (bool)wanted) {
                sum += (a[i] - mean_a) * (b[i] - mean_b);
                n++;
            }
        total += sum / (n - 1) / n;
    }
    return total;
}

static struct auroc from_components(const double *components, const bool *is_positive, size_t count)
{
    struct auroc auroc = {.estimate = NAN, .variance = NAN};
    for (size_t i = 0; i < count; i++)
        auroc.positives += is_positive[i];
    auroc.negatives = count - auroc.positives;
    if (auroc.positives == 0 || auroc.negatives == 0)
        return auroc;
    auroc.estimate = mean_of(components, is_positive, true, count);
    if (auroc.positives > 1 && auroc.negatives > 1)
        auroc.variance = covariance(components, components, is_positive, count);
    return auroc;
}

struct auroc auroc_of(const double *scores, const bool *is_positive, size_t count)
{
    double *components = memory_alloc((count + 1) * sizeof *components);
    components_of(scores, is_positive, count, components);
    struct auroc auroc = from_components(components, is_positive, count);
    free(components);
    return auroc;
}

struct interval auroc_interval(const struct auroc *auroc, double level)
{
    double a = auroc->estimate;
    if (!(auroc->variance >= 0) || !(a > 0 && a < 1))
        return (struct interval){0, 1};
    double logit = log(a / (1 - a)), z = special_normal_quantile((1 + level) / 2);
    double half = z * sqrt(auroc->variance) / (a * (1 - a)); // the delta method
    return (struct interval){1 / (1 + exp(half - logit)), 1 / (1 + exp(-half - logit))};
}

struct auroc_comparison auroc_compare(const double *scores_a, const double *scores_b, const bool *is_positive,
                                      size_t count)
{
    double *a = memory_alloc((count + 1) * sizeof *a), *b = memory_alloc((count + 1) * sizeof *b);
    components_of(scores_a, is_positive, count, a);
    components_of(scores_b, is_positive, count, b);
    struct auroc_comparison result = {.a = from_components(a, is_positive, count),
                                      .b = from_components(b, is_positive, count),
                                      .covariance = NAN,
                                      .p = 1};
    if (result.a.variance >= 0) {
        result.covariance = covariance(a, b, is_positive, count);
        double variance = result.a.variance + result.b.variance - 2 * result.covariance;
        if (variance > 0) {
            result.z = (result.a.estimate - result.b.estimate) / sqrt(variance);
            result.p = 2 * special_normal_tail(fabs(result.z));
        }
    }
    free(a);
    free(b);
    return result;
}
