// sequential.c: the e-process in closed form; limits by following the distribution of the sum of what was
// seen (z times the root of the information) from look to look (Armitage, McPherson and Rowe 1969).
#include "common/statistics/sequential.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/numeric.h"
#include "common/statistics/special.h"

static double log_beta(double a, double b)
{
    int sign;
    return lgamma_r(a, &sign) + lgamma_r(b, &sign) - lgamma_r(a + b, &sign);
}

double e_process_log_two_sided(int64_t improved, int64_t worsened)
{
    double i = (double)improved, w = (double)worsened;
    return (i + w) * log(2) + log_beta(i + 1, w + 1);
}

double e_process_log(int64_t improved, int64_t worsened)
{
    // 1 - I_x(a, b) = I_{1-x}(b, a), which keeps its digits where it is small.
    return e_process_log_two_sided(improved, worsened) + log(2) +
           log(special_beta_cdf(0.5, (double)worsened + 1, (double)improved + 1));
}

double sequential_spent(enum spending spending, double alpha, double information)
{
    if (spending == SPENDING_POCOCK)
        return alpha * log(1 + (M_E - 1) * information);
    return 2 * special_normal_tail(-special_normal_quantile(alpha / 2) / sqrt(information));
}

enum { NODES = 256 };
static const double FARTHEST = 9;    // standard deviations: what lies beyond counts as nothing
static const double MOST_LIMIT = 38; // beyond, a tail is below the least double

// Of the sum, among what has not stopped: density at each node.
struct sum_density {
    struct quadrature_node nodes[NODES];
    double density[NODES];
    double information;
};

static double normal_density(double z)
{
    return exp(-z * z / 2) / sqrt(2 * M_PI);
}

static void place_nodes(struct sum_density *sum, bool two_sided, double limit, double information)
{
    double sd = sqrt(information), high = fmin(limit, FARTHEST) * sd;
    numeric_quadrature(two_sided ? -high : -FARTHEST * sd, high, sum->nodes, NODES);
    sum->information = information;
}

static void first_density(struct sum_density *sum)
{
    double sd = sqrt(sum->information);
    for (int i = 0; i < NODES; i++)
        sum->density[i] = normal_density(sum->nodes[i].at / sd) / sd;
}

static void next_density(const struct sum_density *before, struct sum_density *sum)
{
    double sd = sqrt(sum->information - before->information);
    for (int i = 0; i < NODES; i++) {
        sum->density[i] = 0;
        for (int j = 0; j < NODES; j++)
            sum->density[i] += before->nodes[j].weight * before->density[j] *
                               normal_density((sum->nodes[i].at - before->nodes[j].at) / sd) / sd;
    }
}

struct next_look {
    const struct sum_density *before;
    double information;
};

// The probability of going on until this look and stopping above, negated, so that it rises with the limit.
static double not_stopped(void *context, double limit)
{
    const struct next_look *look = context;
    const struct sum_density *before = look->before;
    double sd = sqrt(look->information - before->information), bound = limit * sqrt(look->information),
           sum = 0;
    for (int j = 0; j < NODES; j++)
        sum += before->nodes[j].weight * before->density[j] *
               special_normal_tail((bound - before->nodes[j].at) / sd);
    return -sum;
}

static bool rises(const struct sequential_plan *plan)
{
    double before = 0;
    for (int i = 0; i < plan->looks; i++) {
        if (!(plan->information[i] >= before + 0.01 - 1e-12))
            return false;
        before = plan->information[i];
    }
    return before <= 1 && plan->looks <= SEQUENTIAL_MOST_LOOKS;
}

void sequential_limits(const struct sequential_plan *plan, double *limits)
{
    // Of one side: both are alike, and nothing crosses both.
    double sides = plan->two_sided ? 2 : 1, spent = 0;
    bool possible = rises(plan);
    struct sum_density *sums = memory_alloc(2 * sizeof *sums);
    for (int i = 0; i < plan->looks; i++) {
        if (!possible) {
            limits[i] = NAN;
            continue;
        }
        double information = plan->information[i];
        double until_now = sequential_spent(plan->spending, plan->alpha / sides, information),
               now = until_now - spent;
        struct sum_density *sum = &sums[i % 2], *before = &sums[1 - i % 2];
        struct rising_function stopping = {not_stopped, &(struct next_look){before, information}};
        if (!(now > 0))
            limits[i] = INFINITY;
        else
            limits[i] =
                i == 0 ? -special_normal_quantile(now) : numeric_reach(&stopping, -now, 0, MOST_LIMIT);
        place_nodes(sum, plan->two_sided, limits[i], information);
        if (i == 0)
            first_density(sum);
        else
            next_density(before, sum);
        spent = until_now;
    }
    free(sums);
}

double conditional_power(double z, double information, double critical, double drift)
{
    double rest = 1 - information;
    return special_normal_tail((critical - z * sqrt(information) - drift * rest) / sqrt(rest));
}

struct interval confidence_sequence_at(const struct confidence_sequence *sequence, double estimate,
                                       double error, double n)
{
    double two_logs = -2 * log(sequence->alpha);
    double tuned = n * (two_logs + log(two_logs + 1)) / sequence->planned_n; // n rho^2
    double half = error * sqrt(2 * (tuned + 1) / tuned * log(sqrt(tuned + 1) / sequence->alpha));
    return (struct interval){estimate - half, estimate + half};
}
