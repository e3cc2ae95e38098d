// null_streams.h: what a chart says of simulated streams in which nothing changes. Where no formula gives a
// chart's limit (windows that overlap, looks once a day, classes that are merged) it comes from here. Each
// stream begins as the chart would and is looked at `looks` times; drawn from seeds (random_draws.h) they
// give the same limit again. Pure but for the callbacks.
#ifndef SKINSIGHT_COMMON_STATISTICS_NULL_STREAMS_H
#define SKINSIGHT_COMMON_STATISTICS_NULL_STREAMS_H

#include <stdint.h>

struct null_streams {
    void (*begin)(void *context, uint64_t stream);
    // The charted figure at the next look, 0 or more, or NaN; alarm where it is at least the limit.
    double (*look)(void *context);
    void *context;
    int streams, looks; // 10,000 of the wanted run length as a rule
};
// Average number of looks until the alarm. Streams that end before it count as if alarms came evenly: all
// looks over all alarms. Infinite without an alarm.
double null_streams_run_length(const struct null_streams *streams, double limit);
// The least limit that runs at least run_length looks, which lies just above one of the figures seen. NaN
// where even the greatest of them is too low: there were too few streams or looks.
double null_streams_limit(const struct null_streams *streams, double run_length);

#endif
