// power.c: sizes from normal theory; McNemar's power as a sum over the number of pairs that differ.
#include "common/statistics/power.h"

#include <math.h>

#include "common/statistics/numeric.h"
#include "common/statistics/special.h"

static double critical_z(const struct comparison_plan *plan)
{
    return special_normal_quantile(1 - (plan->two_sided ? plan->alpha / 2 : plan->alpha));
}

static double square(double value)
{
    return value * value;
}

// The variance of a difference of shares, times the size of arm a.
static double variance_of(double share_a, double share_b, double ratio)
{
    return share_a * (1 - share_a) + share_b * (1 - share_b) / ratio;
}

double size_for_shares(const struct comparison_plan *plan, double share_a, double share_b)
{
    double pooled = (share_a + plan->ratio * share_b) / (1 + plan->ratio);
    return square((critical_z(plan) * sqrt(variance_of(pooled, pooled, plan->ratio)) +
                   special_normal_quantile(plan->power) * sqrt(variance_of(share_a, share_b, plan->ratio))) /
                  (share_a - share_b));
}

double size_for_non_inferiority(const struct comparison_plan *plan, double share_a, double share_b,
                                double margin)
{
    double z = special_normal_quantile(1 - plan->alpha) + special_normal_quantile(plan->power);
    return share_a - share_b + margin > 0
               ? variance_of(share_a, share_b, plan->ratio) * square(z / (share_a - share_b + margin))
               : INFINITY;
}

double power_for_means(double n, double difference, double sd, double alpha, bool two_sided)
{
    double df = 2 * (n - 1), critical = special_student_quantile(1 - (two_sided ? alpha / 2 : alpha), df);
    return special_noncentral_student_tail(critical, df, sqrt(n / 2) * fabs(difference) / sd);
}

struct means_plan {
    const struct comparison_plan *plan;
    double difference, sd;
};

static double power_at(void *context, double n)
{
    const struct means_plan *means = context;
    return power_for_means(n, means->difference, means->sd, means->plan->alpha, means->plan->two_sided);
}

double size_for_means(const struct comparison_plan *plan, double difference, double sd)
{
    // By normal theory it is less than that of the t-test, by little where it is large.
    double z = critical_z(plan) + special_normal_quantile(plan->power),
           normal = 2 * square(z * sd / difference);
    struct means_plan means = {plan, difference, sd};
    return numeric_reach(&(struct rising_function){power_at, &means}, plan->power, fmax(2, normal),
                         2 * normal + 100);
}

// P(X >= k) of n trials.
static double binomial_upper(int64_t k, int64_t n, double p)
{
    return k <= 0 ? 1 : k > n ? 0 : special_beta_cdf(p, (double)k, (double)(n - k + 1));
}

double mcnemar_power(int64_t n, double worse, double better, double alpha)
{
    double differ = worse + better, power = 0;
    int64_t critical = 0; // better ones of the pairs that differ, at least which the test rejects
    if (!(differ > 0))
        return 0;
    for (int64_t pairs = 0; pairs <= n; pairs++) {
        while (binomial_upper(critical, pairs, 0.5) > alpha)
            critical++;
        power += special_binomial_pmf((double)pairs, (double)n, differ) *
                 binomial_upper(critical, pairs, better / differ);
    }
    return power;
}
