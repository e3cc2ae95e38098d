// control_chart.h: charts that notice a lasting change. Each starts at 0 and, after an alarm, again. How long
// they run without a change: run_length.h, null_streams.h. Pure functions; the caller keeps the sums.
#ifndef SKINSIGHT_COMMON_STATISTICS_CONTROL_CHART_H
#define SKINSIGHT_COMMON_STATISTICS_CONTROL_CHART_H

#include <stdbool.h>
#include <stdint.h>

// CUSUM (Page 1954): sum <- max(0, sum + score); alarm where sum >= limit. Of standardised normal
// observations the score is z - k for a rise and -z - k for a fall, with k 0.5 for a change by 1.
double cusum_next(double sum, double score);

// Scores of events that have probability p0 while all is well: the logarithms of the likelihood ratio to p1.
// p1 > p0 watches for more events, p1 < p0 for fewer; a two-sided chart is one of each. 0 < p0, p1 < 1, and
// they differ.
struct bernoulli_cusum {
    double event, none; // of an observation with the event, and without
};
struct bernoulli_cusum bernoulli_cusum_for(double p0, double p1);
// The score of several observations at once, as of a day. events <= observations.
double bernoulli_cusum_score(const struct bernoulli_cusum *cusum, int64_t events, int64_t observations);

// Page and Hinkley's test for a mean that rises, with forgetting. It has no run length to declare: what it
// says is secondary.
struct page_hinkley {
    double slack, threshold, forgetting; // 0.005, 50 and 0.9999 as a rule
    int64_t warm_up;                     // the first observation that may alarm; 30 as a rule
    int64_t count;                       // of the chart itself from here on; 0 starts it
    double mean, sum, least;
};
bool page_hinkley_add(struct page_hinkley *chart, double value); // true: alarm, and the chart starts anew

#endif
