// missed.h: whether melanomas are missed more often than they should be: a CUSUM over melanomas in the order
// in which they became known, 0.10 of all missed while all is well, made to see 0.20 (missed_limit.h).
// Missed: answered "monitor".
//
// It sees what gets a label. How much more seldom those who wait get one is taken from the cohorts: for each
// melanoma from the frozen ones of the thirteen weeks up to its own, else from all frozen ones, else from all
// labels so far. Supposed is that among those with the same answer melanomas get labels as often as others.
// Where fewer than MISSED_LEAST of those who wait have labels nothing can be said, and the alarm says
// insufficient.
#ifndef SKINSIGHT_MONITOR_LABELS_MISSED_H
#define SKINSIGHT_MONITOR_LABELS_MISSED_H

#include "monitor/labels/cohort.h"
#include "monitor/report/report.h"

enum { MISSED_LEAST = 10 }; // melanomas; labels of those who wait, and of those who were referred

// Over how many days the list's melanomas came, and how many false alarms a year the chart may give.
struct missed_options {
    double days, false_alarms_per_year;
    uint64_t seed; // of the limit's simulation
};
// Adds the alarm "missed_melanoma", "missed_melanomas" with what the limit was made from, and the chart. The
// cohorts are closed, and the list is theirs.
enum status missed_write(const struct cohorts *cohorts, const struct labelled_list *list,
                         const struct missed_options *options, cJSON *document, struct error *err) MUST_CHECK;

#endif
