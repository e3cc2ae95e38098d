// missed_limit.h: what a chart of missed melanomas looks for, where who was told to wait seldom gets a label,
// and the limit that follows. Pure; any thread.
//
// A missed melanoma becomes known `ratio` times as often as a referred one, so that of the known ones fewer
// are missed than of all. The chart's score is the likelihood ratio of what is known then: a miss at an audit
// of two per cent says as much as it does where everybody is looked at, and no miss among many says little.
#ifndef SKINSIGHT_MONITOR_LABELS_MISSED_LIMIT_H
#define SKINSIGHT_MONITOR_LABELS_MISSED_LIMIT_H

#include <stddef.h>
#include <stdint.h>

#include "common/statistics/control_chart.h"

#define MISSED_SHARE_WELL 0.10
#define MISSED_SHARE_BAD  0.20

// Share of labels among who waits over that among the referred, and the standard error of its logarithm.
struct missed_visibility {
    double ratio, log_error;
};

// The share of missed melanomas among the known ones, where it is `share` among all.
double missed_share_known(double share, double ratio);
// The scores of one known melanoma.
struct bernoulli_cusum missed_scores(double ratio);

// The chart's melanomas, as each could be known.
struct missed_chart {
    const struct missed_visibility *visibilities;
    size_t count;  // at least one
    double a_day;  // known melanomas
    uint64_t seed; // of the simulation
};
struct missed_limit {
    double limit, arl0_days, delay_days; // delay of MISSED_SHARE_BAD, from a chart that stands at nothing
};
// From simulated streams, each of which has a true ratio drawn from what its melanoma's leaves open. NaN: too
// few streams reached the wanted time.
struct missed_limit missed_limit_find(const struct missed_chart *chart, double wanted_days);

#endif
