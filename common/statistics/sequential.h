// sequential.h: comparisons that are looked at more than once. A fixed test that is looked at daily finds
// something in the end; these keep their error rate. Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_SEQUENTIAL_H
#define SKINSIGHT_COMMON_STATISTICS_SEQUENTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/statistics/interval.h"

// Evidence from pairs in which one of two models alone is right, at any time, as often as one likes: under
// the null hypothesis a mean of at most 1 whenever one stops, so that it ever reaches 1 / alpha with a
// probability of at most alpha. The mixture of likelihood ratios over the share of improved pairs, uniform
// over (1/2, 1), or over (0, 1) for both sides. The natural logarithm, as the evidence itself may leave the
// range of doubles.
double e_process_log(int64_t improved, int64_t worsened);
double e_process_log_two_sided(int64_t improved, int64_t worsened);

// Looks at planned shares of the information, with an error that is spent along the way (Lan and DeMets
// 1983).
enum spending {
    SPENDING_OBRIEN_FLEMING, // hardly anything early
    SPENDING_POCOCK,         // about evenly
};
enum { SEQUENTIAL_MOST_LOOKS = 64 };
struct sequential_plan {
    enum spending spending;
    double alpha;
    bool two_sided;            // alpha is of both sides together
    const double *information; // (looks), rising by at least 0.01, the last one at most 1
    int looks;                 // up to SEQUENTIAL_MOST_LOOKS
};
// What is spent until this share of the information.
double sequential_spent(enum spending spending, double alpha, double information);
// limits: (looks): the z-score at which to stop, of either sign where the plan is two-sided. Infinite where
// what may be spent is nothing. All NaN where the information does not rise as above.
void sequential_limits(const struct sequential_plan *plan, double *limits);
// The probability that the last look's z-score reaches `critical`, from z now and a drift: the z-score that
// is expected of the whole information. z / sqrt(information) is the drift as seen. information < 1.
double conditional_power(double z, double information, double critical, double drift);

// An interval that holds at all times at once (Waudby-Smith and others 2021), narrowest about where planned_n
// observations were made. error: standard error of the estimate from n observations.
struct confidence_sequence {
    double alpha, planned_n;
};
struct interval confidence_sequence_at(const struct confidence_sequence *sequence, double estimate,
                                       double error, double n);

#endif
