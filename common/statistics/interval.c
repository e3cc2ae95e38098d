// interval.c: intervals of shares.
#include "common/statistics/interval.h"

#include <math.h>

#include "common/statistics/special.h"

static double estimate(struct share share)
{
    return (double)share.successes / (double)share.trials;
}

struct interval interval_wilson_of(double successes, double trials, double level)
{
    if (trials == 0)
        return (struct interval){0, 1};
    double n = trials, p = successes / trials, z = special_normal_quantile((1 + level) / 2);
    double centre = p + z * z / (2 * n), half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    double scale = 1 + z * z / n;
    // Where the estimate is an end of the scale, so is the bound; rounding must not say otherwise.
    return (struct interval){successes == 0 ? 0 : (centre - half) / scale,
                             successes == trials ? 1 : (centre + half) / scale};
}

struct interval interval_wilson(struct share share, double level)
{
    return interval_wilson_of((double)share.successes, (double)share.trials, level);
}

// Tails of level/2 outside, from the beta distribution.
static struct interval beta_interval(struct share share, double level, double low_shift, double high_shift)
{
    double x = (double)share.successes, rest = (double)(share.trials - share.successes);
    double tail = (1 - level) / 2;
    return (struct interval){
        share.successes == 0 ? 0 : special_beta_quantile(tail, x + low_shift, rest + high_shift),
        share.successes == share.trials ? 1
                                        : special_beta_quantile(1 - tail, x + high_shift, rest + low_shift)};
}

struct interval interval_clopper_pearson(struct share share, double level)
{
    return beta_interval(share, level, 0, 1);
}

struct interval interval_jeffreys(struct share share, double level)
{
    double a = (double)share.successes + 0.5, b = (double)(share.trials - share.successes) + 0.5;
    double tail = (1 - level) / 2;
    return (struct interval){special_beta_quantile(tail, a, b), special_beta_quantile(1 - tail, a, b)};
}

struct interval interval_newcombe(struct share a, struct share b, double level)
{
    if (a.trials == 0 || b.trials == 0)
        return (struct interval){-1, 1};
    const struct interval of_a = interval_wilson(a, level), of_b = interval_wilson(b, level);
    double pa = estimate(a), pb = estimate(b), difference = pa - pb;
    return (struct interval){difference - hypot(pa - of_a.low, of_b.high - pb),
                             difference + hypot(of_a.high - pa, pb - of_b.low)};
}

double lower_bound_clopper_pearson(struct share share, double level)
{
    if (share.successes == 0)
        return 0;
    return special_beta_quantile(1 - level, (double)share.successes,
                                 (double)(share.trials - share.successes) + 1);
}
