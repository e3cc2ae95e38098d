// interval.h: how sure a share is: two-sided intervals of successes among trials. Pure functions. level is
// the coverage, 0.95 as a rule. trials 0 gives 0 to 1 (a difference: -1 to 1).
#ifndef SKINSIGHT_COMMON_STATISTICS_INTERVAL_H
#define SKINSIGHT_COMMON_STATISTICS_INTERVAL_H

#include <stdint.h>

struct interval {
    double low, high;
};

struct share {
    int64_t successes, trials; // 0 <= successes <= trials
};

struct interval interval_wilson(struct share share, double level); // Wilson 1927, for showing
// The same of fewer trials than were made, because they depend on each other (clustered.h).
struct interval interval_wilson_of(double successes, double trials, double level);
struct interval interval_clopper_pearson(struct share share, double level); // exact (1934), for gates
struct interval interval_jeffreys(struct share share, double level);        // Brown, Cai and DasGupta 2001
// Of a - b from independent trials: Newcombe 1998, method 10 (from Wilson's).
struct interval interval_newcombe(struct share a, struct share b, double level);

// The exact one-sided lower bound: what a gate demands to be at least its floor.
double lower_bound_clopper_pearson(struct share share, double level);

#endif
