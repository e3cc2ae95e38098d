// divergence.h: how far what is seen lies from a reference: distributions over bins, numbers, counts. In
// every function p is the current distribution and q the reference, shares of `bins` bins each. Pure
// functions that allocate nothing.
#ifndef SKINSIGHT_COMMON_STATISTICS_DIVERGENCE_H
#define SKINSIGHT_COMMON_STATISTICS_DIVERGENCE_H

#include <stddef.h>
#include <stdint.h>

// Jeffreys' prior: half an observation in each bin, so that a bin nobody has seen yet makes nothing infinite.
#define DIVERGENCE_PRIOR 0.5

// shares[i] = (counts[i] + prior) / (sum of counts + bins * prior). No count is negative. Without counts and
// prior the shares are NaN.
void divergence_shares(const int64_t *counts, size_t bins, double prior, double *shares);

// Kullback-Leibler, p from q, in nats: infinite where p has a bin that q has not.
double divergence_kl(const double *p, const double *q, size_t bins);
// Jensen-Shannon's distance (the root of the divergence) with logarithms of base 2: 0 to 1.
double divergence_js(const double *p, const double *q, size_t bins);
// Population stability index: the sum of both Kullback-Leibler divergences.
double divergence_psi(const double *p, const double *q, size_t bins);
double divergence_total_variation(const double *p, const double *q, size_t bins); // half the sum of |p - q|
double divergence_greatest(const double *p, const double *q,
                           size_t bins); // the greatest |p - q| (L infinity)
double divergence_hellinger(const double *p, const double *q, size_t bins); // 0 to 1
double divergence_entropy(const double *p, size_t bins);                    // of p alone, in nats

// Numbers, ascending, each with its weight >= 0; weights NULL: equal ones. What they are scaled to is no
// matter.
struct weighted_values {
    const double *values, *weights;
    size_t count;
};
// Wasserstein's distance of order 1 (the earth mover's), in the unit of the values. NaN where one of them
// has no weight.
double divergence_wasserstein(const struct weighted_values *p, const struct weighted_values *q);

// The likelihood-ratio test of counts. Without counts, or with one bin alone, nothing can differ: p is 1.
struct g_test {
    double g, df, p;
};
// Whether counts come from q, whose shares are known: g = 2 n KL(counts || q) with bins - 1 degrees of
// freedom. For a reference that is much larger than what is compared; q has no zero where there are counts.
struct g_test divergence_g_known(const int64_t *counts, const double *q, size_t bins);
// Whether both counts come from one distribution. Bins that are empty in both do not count.
struct g_test divergence_g_two_samples(const int64_t *counts, const int64_t *reference, size_t bins);

#endif
