// alarms.h: the charts and plain rules run over the days of a report: what they say at its end, since when,
// and how often they alarmed. Pure; one thread.
#ifndef SKINSIGHT_MONITOR_DRIFT_ALARMS_H
#define SKINSIGHT_MONITOR_DRIFT_ALARMS_H

#include "monitor/drift/window.h"

// A chart begins anew after an alarm, and a change that lasts alarms again: alarms at most this far apart are
// one.
enum { DRIFT_HOLD_DAYS = 14 };

// Of each day of the report; the caller's.
struct drift_run_days {
    double *values; // NaN: nothing new
    bool *alarms;
};

struct drift_run {
    struct drift_limit limit;
    double value;  // at the end; NaN: too little to say
    int64_t n;     // pictures that it has seen; of a plain rule, on its last day
    int64_t since; // Unix ms of the first of the alarms that still hold at the end; -1: none do
    int alarms;    // in the report
};

// The charts on daily output: all but CHART_INPUT.
void drift_run_chart(const struct drift_windows *windows, const struct drift_reference *reference,
                     enum drift_chart_kind kind, const struct drift_run_days *days, struct drift_run *run);
// The looks of one stratum.
void drift_run_looks(const struct drift_windows *windows, const struct drift_reference *reference,
                     size_t stratum, const struct drift_run_days *days, struct drift_run *run);
// alarms counts the days in alarm; the state is that of the last day with pictures.
void drift_run_plain(const struct drift_windows *windows, const struct drift_reference *reference,
                     enum drift_plain_rule rule, const struct drift_run_days *days, struct drift_run *run);

// "ok", "warning" (it alarmed earlier in the report), "critical", "insufficient".
const char *drift_run_state(const struct drift_run *run);

#endif
