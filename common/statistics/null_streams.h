// null_streams.h: what a chart says of simulated streams in which nothing changes. Where no formula gives a
// chart's limit (windows that overlap, looks once a day, classes that are merged) it comes from here. Each
// stream begins as the chart would and is looked at `looks` times. Seeded: equal arguments give equal limits.
// Pure but for the callbacks.
#ifndef SKINSIGHT_COMMON_STATISTICS_NULL_STREAMS_H
#define SKINSIGHT_COMMON_STATISTICS_NULL_STREAMS_H

#include <stddef.h>
#include <stdint.h>

#include "common/statistics/control_chart.h"
#include "common/statistics/random_draws.h"

struct null_streams {
    void (*begin)(void *context, uint64_t stream);
    double (*look)(
        void *context); // the charted figure at the next look, >= 0; alarm where it is >= the limit
    void *context;
    int streams, looks; // 10,000 of the wanted run length as a rule
};
// Average number of looks until the alarm. Streams that end before it count as if alarms came evenly: all
// looks over all alarms. Infinite without an alarm.
double null_streams_run_length(const struct null_streams *streams, double limit);
// The least limit that runs at least run_length looks, which lies just above one of the figures seen. NaN
// where even the greatest of them is too low: there were too few streams or looks.
double null_streams_limit(const struct null_streams *streams, double run_length);

enum { NULL_STREAM_DAYS = 7, NULL_STREAM_MOST_CLASSES = 32 };

// Pearson's statistic of the classes of the last seven days, looked at daily, classes that expect fewer than
// five merged. A stream begins with six days that are not looked at.
struct class_mix_stream {
    const double *shares;              // (classes), sum 1
    size_t classes;                    // up to NULL_STREAM_MOST_CLASSES
    int64_t volumes[NULL_STREAM_DAYS]; // analyses on each day of the week
    uint64_t seed;
    struct random_draws draws; // of the stream itself, from here on
    int64_t day, counts[NULL_STREAM_DAYS][NULL_STREAM_MOST_CLASSES];
};
void class_mix_begin(void *class_mix_stream, uint64_t stream);
double class_mix_look(void *class_mix_stream);

// A CUSUM of events that is looked at once a day; with two sides the greater of both sums.
struct daily_cusum_stream {
    struct bernoulli_cusum more, fewer; // all 0: there is no such side
    double p;
    int64_t volumes[NULL_STREAM_DAYS];
    uint64_t seed;
    struct random_draws draws; // of the stream itself, from here on
    int64_t day;
    double more_sum, fewer_sum;
};
void daily_cusum_begin(void *daily_cusum_stream, uint64_t stream);
double daily_cusum_look(void *daily_cusum_stream);

#endif
