// auroc.h: the area under the ROC curve: the probability that a positive has a greater score than a negative,
// ties counted half (Mann and Whitney), and its variance after DeLong, DeLong and Clarke-Pearson 1988, by
// mid-ranks (Sun and Xu 2014) in n log n. Images of one lesion are a cluster: then the variance is
// Obuchowski's (1997), which is DeLong's where each image is a cluster of its own. Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_AUROC_H
#define SKINSIGHT_COMMON_STATISTICS_AUROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/statistics/interval.h"

struct auroc {
    double estimate; // NaN without a positive or a negative
    double variance; // NaN with fewer than two of either, or clusters with them
    size_t positives, negatives;
    size_t positive_clusters, negative_clusters; // that have one
};

// What is scored. clusters: (count), each below count, or NULL: each image is its own.
struct scored_images {
    const bool *is_positive; // (count)
    const uint32_t *clusters;
    size_t count;
};

// The same images scored by one or two models. scores: (count); none is NaN.
struct auroc auroc_of(const struct scored_images *images, const double *scores);
// On the logit scale, which keeps it in 0 to 1; without a variance 0 to 1.
struct interval auroc_interval(const struct auroc *auroc, double level);

// The standard error that an area would have, before anything is scored (Hanley and McNeil 1982).
double auroc_expected_error(double area, double positives, double negatives);

// Paired: whether two models' areas differ, two-sided.
struct auroc_comparison {
    struct auroc a, b;
    double covariance, z, p; // z of a - b; z 0 and p 1 where the difference has no variance
};
struct auroc_comparison auroc_compare(const struct scored_images *images, const double *scores_a,
                                      const double *scores_b);

#endif
