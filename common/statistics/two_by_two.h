// two_by_two.h: whether two shares from independent trials differ, exactly: no large numbers are supposed.
// Pure functions; they allocate a few numbers for each trial.
#ifndef SKINSIGHT_COMMON_STATISTICS_TWO_BY_TWO_H
#define SKINSIGHT_COMMON_STATISTICS_TWO_BY_TWO_H

#include "common/statistics/interval.h"

enum alternative {
    ALTERNATIVE_GREATER, // a's share is greater than b's
    ALTERNATIVE_LESS,
    ALTERNATIVE_TWO_SIDED,
};

// Fisher's test, with the number of all successes given. Two-sided: all tables that are no likelier than this
// one, as R and SciPy have it.
double fisher_p(struct share a, struct share b, enum alternative alternative);
// The odds ratio of the greatest likelihood under the same condition, which lies nearer to 1 than the plain
// one: 0 or infinite at the ends, NaN where only one table is possible.
double fisher_odds_ratio(struct share a, struct share b);

// Tests that give nothing but the trials, and take the worst common share for the null hypothesis: they find
// more than Fisher's at the same level. Boschloo's orders the tables by Fisher's p, Barnard's by the pooled
// z-score. Two-sided: twice the lesser of both sides. Where more than TWO_BY_TWO_MOST_TRIALS were made in
// all, NaN: Fisher's test is near enough by then. Without trials in a or in b 1.
enum { TWO_BY_TWO_MOST_TRIALS = 20000 };
double boschloo_p(struct share a, struct share b, enum alternative alternative);
double barnard_p(struct share a, struct share b, enum alternative alternative);

// The probability that Fisher's test (greater) comes out at most alpha, where the shares are true. As above
// NaN for too many trials.
struct true_share {
    int64_t trials;
    double share;
};
double fisher_power(struct true_share a, struct true_share b, double alpha);

#endif
