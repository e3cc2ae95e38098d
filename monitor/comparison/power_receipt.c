// power_receipt.c: power of exact tests, and a search for the size. The power of an exact test rises in a
// saw's teeth, so that the least size that has it tells little; the search goes up by hundredths from what
// normal theory gives.
#include "monitor/comparison/power_receipt.h"

#include <math.h>

#include "common/statistics/power.h"
#include "common/statistics/special.h"
#include "common/statistics/two_by_two.h"

enum { STEPS_MOST = 60, PAIRS_EXACT_MOST = 20000 };

static struct comparison_plan plan_of(const struct power_design *design, double ratio)
{
    return (struct comparison_plan){design->alpha, design->wanted, false, ratio};
}

static double ab_power(const struct power_design *design, int64_t n_a, int64_t n_b)
{
    return fisher_power((struct true_share){n_b, design->p1}, (struct true_share){n_a, design->p0},
                        design->alpha);
}

// Of a test of two shares with its size given, which is the inverse of size_for_shares.
static double normal_power(const struct power_design *design, double n_a, double n_b)
{
    double p0 = design->p0, p1 = design->p1, pooled = (n_a * p0 + n_b * p1) / (n_a + n_b);
    double under_null = sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b));
    double error = sqrt(p0 * (1 - p0) / n_a + p1 * (1 - p1) / n_b);
    double critical = special_normal_quantile(1 - design->alpha) * under_null;
    return special_normal_tail((critical - (p1 - p0)) / error);
}

static double paired_power(const struct power_design *design, int64_t n)
{
    return mcnemar_power(n, design->worse, design->p1 - design->p0 + design->worse, design->alpha);
}

static struct power_size ab_size(const struct power_design *design, double ratio)
{
    const struct comparison_plan plan = plan_of(design, ratio);
    double n = size_for_shares(&plan, design->p0, design->p1);
    struct power_size size = {(int64_t)ceil(n), (int64_t)ceil(n * ratio), false};
    for (int i = 0; i < STEPS_MOST; i++) {
        double power = ab_power(design, size.a, size.b);
        size.exact = power >= design->wanted;
        if (size.exact || isnan(power))
            return size;
        n += fmax(1, n / 100);
        size = (struct power_size){(int64_t)ceil(n), (int64_t)ceil(n * ratio), false};
    }
    return size;
}

// By halving: the power rises but for the teeth.
static struct power_size paired_size(const struct power_design *design)
{
    int64_t low = 1, high = PAIRS_EXACT_MOST;
    if (paired_power(design, high) < design->wanted)
        return (struct power_size){0, 0, false};
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (paired_power(design, middle) >= design->wanted)
            high = middle;
        else
            low = middle;
    }
    return (struct power_size){high, high, true};
}

double power_of_design(const struct power_design *design)
{
    if (design->n_a < 1 || (!design->paired && design->n_b < 1))
        return NAN;
    double power =
        design->paired ? paired_power(design, design->n_a) : ab_power(design, design->n_a, design->n_b);
    return isnan(power) ? normal_power(design, (double)design->n_a, (double)design->n_b) : power;
}

void power_receipt_make(const struct power_design *design, struct power_receipt *receipt)
{
    double ratio = design->paired ? 1 : (double)design->n_b / (double)design->n_a;
    const struct comparison_plan plan = plan_of(design, ratio);
    *receipt = (struct power_receipt){
        .same_ratio = ab_size(design, ratio), .equal_arms = ab_size(design, 1), .pairs = paired_size(design)};
    receipt->power = power_of_design(design);
    receipt->decides = receipt->power >= design->wanted;
    double not_worse = size_for_non_inferiority(&plan, design->p0, design->p0, design->margin);
    receipt->not_worse_a = (int64_t)ceil(not_worse);
    receipt->not_worse_b = (int64_t)ceil(not_worse * ratio);
}
