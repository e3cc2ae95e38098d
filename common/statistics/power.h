// power.h: what a comparison can tell before it begins: its power, and the size it needs. Sizes are not
// rounded: the caller rounds up. Pure functions. (Of Fisher's test: two_by_two.h.)
#ifndef SKINSIGHT_COMMON_STATISTICS_POWER_H
#define SKINSIGHT_COMMON_STATISTICS_POWER_H

#include <stdbool.h>
#include <stdint.h>

struct comparison_plan {
    double alpha; // of both sides together, where there are two
    double power;
    bool two_sided;
    double ratio; // size of arm b over that of arm a: 1 for equal arms, 9 for 10 % against 90 %
};
// The size of arm a. By normal theory, variance pooled under the null hypothesis (R's power.prop.test).
double size_for_shares(const struct comparison_plan *plan, double share_a, double share_b);
// That a's share is not lower than b's by the margin or more, one-sided, whatever plan->two_sided says.
double size_for_non_inferiority(const struct comparison_plan *plan, double share_a, double share_b,
                                double margin);

// Student's test of means that are `difference` apart, n in each arm (R's power.t.test).
double power_for_means(double n, double difference, double sd, double alpha, bool two_sided);
double size_for_means(const struct comparison_plan *plan, double difference,
                      double sd); // of each arm, ratio 1
// The exact McNemar test, one-sided, of n pairs: in `better` of them the new one alone is right, in `worse`
// the old one alone.
double mcnemar_power(int64_t n, double worse, double better, double alpha);

#endif
