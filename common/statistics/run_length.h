// run_length.h: how long a chart of control_chart.h runs on average until its alarm, in observations: with
// shift 0 or p = p0 the time between false alarms, otherwise the delay of detection of a change that was
// there from the start. And the limit for a wanted run length. Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_RUN_LENGTH_H
#define SKINSIGHT_COMMON_STATISTICS_RUN_LENGTH_H

#include "common/statistics/control_chart.h"

// Bernoulli CUSUM that is looked at after each observation, where events have probability p: a Markov chain
// on a lattice, which errs by less than 1 %. NaN where it takes too many states: limits far above 10, or both
// probabilities below 0.001. (Looks once a day need limits of their own: null_streams.h.)
double bernoulli_cusum_run_length(const struct bernoulli_cusum *cusum, double limit, double p);
// The least limit that runs at least run_length at p. NaN as above.
double bernoulli_cusum_limit(const struct bernoulli_cusum *cusum, double p, double run_length);

// One side of the CUSUM of standardised normal observations; shift: their mean, towards that side. limit: up
// to 30. By quadrature of the integral equation, to 1e-8; infinite where it is 1e12 or more.
double normal_cusum_run_length(double k, double limit, double shift);
double normal_cusum_limit(double k, double run_length); // without shift; NaN above 30 or for 1e12

// Of two charts side by side, as the two sides of a CUSUM.
double run_length_of_both(double a, double b);

#endif
