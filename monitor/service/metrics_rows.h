// metrics_rows.h: the table of what the monitor measures. Its labels are closed lists of the program's own:
// nothing of a request or a record becomes one.
#ifndef SKINSIGHT_MONITOR_SERVICE_METRICS_ROWS_H
#define SKINSIGHT_MONITOR_SERVICE_METRICS_ROWS_H

#include "common/program/metrics.h"

enum monitor_metric {
    MONITOR_RECORDS,
    MONITOR_REFUSED,
    MONITOR_COMMITTED_AT,
    MONITOR_COLLECTS,
    MONITOR_BOARD_AT,
    MONITOR_ALARM_STATE,
    MONITOR_ALARM_VALUE,
    MONITOR_ALARM_LIMIT,
    MONITOR_ALARM_ARL0,
    MONITOR_LATENCY,
    MONITOR_DESIRED,
    MONITOR_READY_WORKERS,
    MONITOR_SCALE_HELD,
    MONITOR_BACKLOG,
    MONITOR_ARRIVALS,
    MONITOR_CAPACITY,
    MONITOR_P99,
    MONITOR_COST_PER_1000,
    MONITOR_METRIC_COUNT
};

enum monitor_record { RECORD_PREDICTION, RECORD_FEEDBACK, RECORD_KINDS };

extern const struct metric_table monitor_metrics;

#endif
