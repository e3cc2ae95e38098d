// auroc.c: areas, and DeLong's components. A component is, for a positive, the share of negatives below it,
// for a negative the share of positives above it; the area is their mean, the variance comes from theirs,
// summed over each cluster.
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

// Of one cluster, [0] negatives and [1] positives: how many, and the sums of two models' components less
// their means.
struct cluster {
    double n[2], a[2], b[2];
};

static struct cluster *sum_clusters(const struct scored_images *images, const double *a, const double *b)
{
    struct cluster *clusters = memory_alloc((images->count + 1) * sizeof *clusters);
    for (int kind = 0; kind < 2; kind++) {
        double mean_a = mean_of(a, images->is_positive, kind, images->count);
        double mean_b = mean_of(b, images->is_positive, kind, images->count);
        for (size_t i = 0; i < images->count; i++) {
            if (images->is_positive[i] != (bool)kind)
                continue;
            struct cluster *cluster = &clusters[images->clusters ? images->clusters[i] : i];
            cluster->n[kind]++;
            cluster->a[kind] += a[i] - mean_a;
            cluster->b[kind] += b[i] - mean_b;
        }
    }
    return clusters;
}

// Obuchowski's covariance of the areas that two sets of components belong to; of one with itself the
// variance. A cluster with positives and negatives adds the product of both sums: they move together.
static double covariance(const struct scored_images *images, const double *a, const double *b)
{
    struct cluster *clusters = sum_clusters(images, a, b);
    double n[2] = {0, 0}, have[2] = {0, 0}, products[2] = {0, 0}, crossed = 0, all = 0;
    for (size_t c = 0; c < images->count; c++) {
        const struct cluster *of = &clusters[c];
        for (int kind = 0; kind < 2; kind++) {
            n[kind] += of->n[kind];
            have[kind] += of->n[kind] > 0;
            products[kind] += of->a[kind] * of->b[kind];
        }
        crossed += of->a[0] * of->b[1] + of->a[1] * of->b[0];
        all += of->n[0] + of->n[1] > 0;
    }
    free(clusters);
    if (have[0] < 2 || have[1] < 2)
        return NAN;
    return have[0] / (have[0] - 1) * products[0] / (n[0] * n[0]) +
           have[1] / (have[1] - 1) * products[1] / (n[1] * n[1]) + all / (all - 1) * crossed / (n[0] * n[1]);
}

// How many clusters have a positive, or a negative.
static size_t count_clusters(const struct scored_images *images, bool wanted)
{
    bool *seen = memory_alloc(images->count + 1);
    size_t found = 0;
    for (size_t i = 0; i < images->count; i++) {
        size_t cluster = images->clusters ? images->clusters[i] : i;
        if (images->is_positive[i] == wanted && !seen[cluster]) {
            seen[cluster] = true;
            found++;
        }
    }
    free(seen);
    return found;
}

static struct auroc from_components(const struct scored_images *images, const double *components)
{
    struct auroc auroc = {.estimate = NAN, .variance = NAN};
    for (size_t i = 0; i < images->count; i++)
        auroc.positives += images->is_positive[i];
    auroc.negatives = images->count - auroc.positives;
    if (auroc.positives == 0 || auroc.negatives == 0)
        return auroc;
    auroc.estimate = mean_of(components, images->is_positive, true, images->count);
    auroc.variance = covariance(images, components, components);
    auroc.positive_clusters = count_clusters(images, true);
    auroc.negative_clusters = count_clusters(images, false);
    return auroc;
}

struct auroc auroc_of(const struct scored_images *images, const double *scores)
{
    double *components = memory_alloc((images->count + 1) * sizeof *components);
    components_of(scores, images->is_positive, images->count, components);
    struct auroc auroc = from_components(images, components);
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

double auroc_expected_error(double area, double positives, double negatives)
{
    double two_positives = area / (2 - area), two_negatives = 2 * area * area / (1 + area);
    double variance = area * (1 - area) + (positives - 1) * (two_positives - area * area) +
                      (negatives - 1) * (two_negatives - area * area);
    return sqrt(variance / (positives * negatives));
}

struct auroc_comparison auroc_compare(const struct scored_images *images, const double *scores_a,
                                      const double *scores_b)
{
    size_t count = images->count;
    double *a = memory_alloc((count + 1) * sizeof *a), *b = memory_alloc((count + 1) * sizeof *b);
    components_of(scores_a, images->is_positive, count, a);
    components_of(scores_b, images->is_positive, count, b);
    struct auroc_comparison result = {
        .a = from_components(images, a), .b = from_components(images, b), .covariance = NAN, .p = 1};
    if (result.a.variance >= 0) {
        result.covariance = covariance(images, a, b);
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
