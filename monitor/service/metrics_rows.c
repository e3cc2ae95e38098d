// metrics_rows.c: the table.
#include "monitor/service/metrics_rows.h"

static const char *const records[RECORD_KINDS] = {"prediction", "feedback"};

#define LABEL(key, texts) .label = key, .values = texts, .count = sizeof(texts) / sizeof *(texts)
#define NO_LABEL          .count = 1
#define SAMPLED(keys)     .label = keys

static const struct metric_row rows[MONITOR_METRIC_COUNT] = {
    [MONITOR_RECORDS] = {"skinsight_monitor_records", METRIC_GAUGE, "records",
                         "Records taken from the topics since the start.", LABEL("kind", records)},
    [MONITOR_REFUSED] = {"skinsight_monitor_records_refused", METRIC_GAUGE, "records",
                         "Of them those that are no such records.", NO_LABEL},
    [MONITOR_COMMITTED_AT] = {"skinsight_monitor_committed_timestamp_seconds", METRIC_GAUGE, "Unix seconds",
                              "The newest transaction of the archive; 0: none since the start.", NO_LABEL},
    [MONITOR_COLLECTS] = {"skinsight_monitor_collects", METRIC_GAUGE, "0 or 1",
                          "1 while the topics are followed into the archive.", NO_LABEL},
    [MONITOR_BOARD_AT] = {"skinsight_monitor_board_timestamp_seconds", METRIC_GAUGE, "Unix seconds",
                          "When alarms and latencies were last worked out; 0: not all of them yet.",
                          NO_LABEL},
    [MONITOR_ALARM_STATE] =
        {"skinsight_alarm_state", METRIC_GAUGE, "0 to 3",
         "State of an alarm: 0 ok, 1 insufficient, 2 warning, 3 critical. rule is plain or "
         "calibrated.",
         SAMPLED("alarm, rule")},
    [MONITOR_ALARM_VALUE] = {"skinsight_alarm_value", METRIC_GAUGE, "as the alarm",
                             "What the alarm compares with its limit.", SAMPLED("alarm, rule")},
    [MONITOR_ALARM_LIMIT] = {"skinsight_alarm_limit", METRIC_GAUGE, "as the alarm", "The limit.",
                             SAMPLED("alarm, rule")},
    [MONITOR_ALARM_ARL0] = {"skinsight_alarm_arl0_days", METRIC_GAUGE, "days",
                            "Days between false alarms that the alarm declares.", SAMPLED("alarm, rule")},
    [MONITOR_LATENCY] = {"skinsight_latency_quantile_seconds", METRIC_GAUGE, "s",
                         "Exact quantiles of the last 28 days, from the records' time stamps.",
                         SAMPLED("component, quantile")},
    [MONITOR_DESIRED] = {"skinsight_desired_workers", METRIC_GAUGE, "workers",
                         "How many workers are wanted, as /v1/scale says; absent where not known yet.",
                         SAMPLED("")},
    [MONITOR_READY_WORKERS] = {"skinsight_ready_workers", METRIC_GAUGE, "workers",
                               "Workers that answer and are ready; absent where none answers.", SAMPLED("")},
    [MONITOR_SCALE_HELD] = {"skinsight_scale_held", METRIC_GAUGE, "0 or 1",
                            "1 while an input of the scale advice is missing, and it holds still.", NO_LABEL},
    [MONITOR_BACKLOG] = {"skinsight_backlog_jobs", METRIC_GAUGE, "jobs",
                         "Jobs of both priorities that are not answered; absent where no worker answers.",
                         SAMPLED("")},
    [MONITOR_ARRIVALS] = {"skinsight_arrival_jobs_per_second", METRIC_GAUGE, "jobs/s",
                          "Jobs that arrive, smoothed.", SAMPLED("")},
    [MONITOR_CAPACITY] = {"skinsight_worker_capacity_jobs_per_second", METRIC_GAUGE, "jobs/s",
                          "What one busy worker answers; absent where none was busy yet.", SAMPLED("")},
    [MONITOR_P99] =
        {"skinsight_fleet_p99_seconds", METRIC_GAUGE, "s",
         "P99 in the workers over the last whole minute; absent where fewer than 299 were answered.",
         SAMPLED("")},
    [MONITOR_COST_PER_1000] =
        {"skinsight_cost_per_1000_analyses", METRIC_GAUGE, "the price table's currency",
         "Of the workers there are at the present arrivals; absent without a price table or load.",
         SAMPLED("currency")},
};

const struct metric_table monitor_metrics = {rows, MONITOR_METRIC_COUNT, "monitor/service/metrics_rows.c",
                                             "monitor_listen"};
