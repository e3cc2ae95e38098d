// limits_find.h: fills a reference's limits by simulation (limits.h says of what). Takes some seconds.
#ifndef SKINSIGHT_MONITOR_DRIFT_LIMITS_FIND_H
#define SKINSIGHT_MONITOR_DRIFT_LIMITS_FIND_H

#include "common/statistics/random_draws.h"
#include "monitor/drift/charts.h"
#include "monitor/drift/reference_build.h"

// reference: all but its limits is there; rows: its pictures. A chart that the reference has too little for
// has no limit (NaN).
void drift_limits_find(struct drift_reference *reference, const struct drift_rows *rows, double budget,
                       uint64_t seed);

// ---- its parts, which tests look at ----

// A simulated clinic, as one chart sees it: begin and look of null_streams.h.
struct drift_stream {
    struct drift_baseline baseline;
    const double *weekdays; // (7)
    const double *effects;  // (DRIFT_CHARTS)
    enum drift_chart_kind kind;
    enum drift_plain_rule rule; // where kind is DRIFT_CHARTS: of a plain rule, 1 in alarm and 0 else
    bool shifted;               // by the kind's drift_shifts
    bool known;                 // the baseline is the truth itself
    uint64_t seed;

    struct drift_baseline truth;
    struct random_draws draws;
    struct drift_chart chart;
    int64_t day;
};
// The limit of the stream's kind; NaN: there is too little for it.
struct drift_limit drift_limit_of_chart(struct drift_stream *stream, double arl0_days);
void drift_stream_begin(void *drift_stream, uint64_t stream);
double drift_stream_look(void *drift_stream);

#endif
