// missed.h: whether melanomas are missed more often than they should be: a Bernoulli CUSUM over melanomas in
// the order in which they became known, 0.10 missed while all is well, made to see 0.20 (control_chart.h).
// Missed: answered "monitor". It sees what gets a label: where lesions that were not referred get none,
// nothing is missed, and the alarm says insufficient.
#ifndef SKINSIGHT_MONITOR_LABELS_MISSED_H
#define SKINSIGHT_MONITOR_LABELS_MISSED_H

#include "monitor/labels/labelled.h"
#include "monitor/report/report.h"

#define MISSED_SHARE_WELL 0.10
#define MISSED_SHARE_BAD  0.20
enum { MISSED_LEAST = 10 }; // melanomas

// Over how many days the list's melanomas came, and how many false alarms a year the chart may give.
struct missed_options {
    double days, false_alarms_per_year;
};
// Adds the alarm "missed_melanoma" and its chart.
enum status missed_write(const struct labelled_list *list, const struct missed_options *options,
                         cJSON *document, struct error *err) MUST_CHECK;

#endif
