// charts.h: the charts of what the model says, one step a day, and the plain rules beside them.
//
// A chart begins at nothing and begins anew after each alarm. What an alarm is, its limit decides
// (limits.h); the same steps run on real days and on simulated ones. Pure; any thread.
#ifndef SKINSIGHT_MONITOR_DRIFT_CHARTS_H
#define SKINSIGHT_MONITOR_DRIFT_CHARTS_H

#include "monitor/drift/features.h"
#include "monitor/drift/limits.h"

// What the model says while all is well.
struct drift_baseline {
    double n;
    double shares[LESION_CLASSES]; // with half an answer more of each
    double means[DRIFT_MEANS], sds[DRIFT_MEANS];
    double rates[DRIFT_RATES], rate_trials[DRIFT_RATES];
};
void drift_baseline_of(const struct drift_output *output, struct drift_baseline *baseline);

enum { DRIFT_WEEK = 7, DRIFT_LEAST_OF_RATES = 50 };
struct drift_chart {
    int days; // since it began
    int64_t week[DRIFT_WEEK][LESION_CLASSES];
    double up, down;
};

// The chart's value behind this day: an alarm where it reaches the limit. NaN: too little to say. A day
// without pictures leaves it as it is.
//
// class_mix: Pearson's X2 of the last 7 days' classes, those with fewer than 5 expected together.
// entropy, confidence: CUSUM of standardised daily means, slack 0.5, both sides. The rates: CUSUM of
// Bernoulli trials for odds times 1.5 and through 1.5.
double drift_chart_next(struct drift_chart *chart, enum drift_chart_kind kind,
                        const struct drift_baseline *baseline, const struct drift_output *day);

// ---- input: looks ----

// Days are gathered until they have DRIFT_LEAST pictures: a look. An alarm is where the third least of the
// last five looks' least adjusted p reaches down to the limit: three of five.
enum { DRIFT_LOOKS = 5, DRIFT_HITS = 3 };
struct drift_looks {
    int count;
    double p[DRIFT_LOOKS];
};
// The value behind this look: -log10 of that p; NaN: there were not three yet.
double drift_looks_next(struct drift_looks *looks, double least_p);
// The average number of looks until an alarm where each one hits with this probability, whatever the others
// do.
double drift_looks_run_length(double hit);

// ---- plain rules ----

#define DRIFT_PLAIN_KL 0.1

// One day of a rule: whether it is in alarm. week: counts of the last 7 days; full: there are 7.
struct drift_plain_day {
    const struct drift_output *day;
    const int64_t *week;
    bool full;
    double greatest_kl; // of the numbers of this day
};
// value: what the rule looks at; limit: what it compares with. False also where it can't tell, with a value
// of NaN: fewer answers than DRIFT_LEAST_OF_RATES, or a baseline of fewer than DRIFT_LEAST where it is asked.
bool drift_plain_judge(enum drift_plain_rule rule, const struct drift_baseline *baseline,
                       const struct drift_plain_day *day, double *value, double *limit);

#endif
