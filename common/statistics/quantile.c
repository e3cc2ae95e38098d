// quantile.c: how many of n values lie below the p-quantile is binomial.
#include "common/statistics/quantile.h"

#include "common/statistics/special.h"

double quantile_of_sorted(const double *sorted, size_t count, double p)
{
    double at = p * (double)(count - 1);
    size_t below = (size_t)at;
    double above = below + 1 < count ? sorted[below + 1] : sorted[below];
    return sorted[below] + (at - (double)below) * (above - sorted[below]);
}

static double binomial_cdf(int64_t k, int64_t n, double p)
{
    return k < 0 ? 0 : k >= n ? 1 : special_beta_cdf(1 - p, (double)(n - k), (double)(k + 1));
}

// The least k whose distribution function reaches `wanted`.
static int64_t binomial_quantile(int64_t n, double p, double wanted)
{
    int64_t low = -1, high = n;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (binomial_cdf(middle, n, p) >= wanted)
            high = middle;
        else
            low = middle;
    }
    return high;
}

struct rank_interval quantile_ranks(int64_t n, double p, double level)
{
    return (struct rank_interval){binomial_quantile(n, p, (1 - level) / 2),
                                  binomial_quantile(n, p, (1 + level) / 2) + 1};
}

int64_t quantile_exceedances(int64_t n, double p, double level)
{
    int64_t most = binomial_quantile(n, 1 - p, 1 - level);
    return binomial_cdf(most, n, 1 - p) <= 1 - level ? most : most - 1;
}
