// late_labels.h: what late labels say of the answers, for a performance report. Cohorts by week with
// their maturity, sensitivity corrected for who gets a label at all, areas under the curve, calibration, what
// the probabilities let expect before labels come, subgroups, and the alarm for missed melanomas.
//
// A walk is added analysis by analysis; the document is written from what was kept. Memory: 80 bytes for each
// labelled analysis, some hundred for each week. One thread.
#ifndef SKINSIGHT_MONITOR_LABELS_LATE_LABELS_H
#define SKINSIGHT_MONITOR_LABELS_LATE_LABELS_H

#include "monitor/labels/cohort.h"
#include "monitor/report/report.h"

struct late_labels {
    struct cohorts cohorts;
    struct labelled_list list;
    int64_t from, to, known_at; // Unix ms; known_at: as of when labels are known
};

// REJECTED: the time is longer than cohorts are made for. There is something to release all the same.
enum status late_labels_init(struct late_labels *labels, int64_t from, int64_t to, int64_t known_at,
                             struct error *err) MUST_CHECK;
void late_labels_release(struct late_labels *labels);
// A prediction (no failed analysis) with from <= at < to, in the order of their times.
enum status late_labels_add(struct late_labels *labels, const struct analysis *analysis,
                            struct error *err) MUST_CHECK;
// Adds "cohorts", "performance", "subgroups", "fairness", the alarms, and what the page shows of them. Once.
// false_alarms_per_year: that the chart of missed melanomas may give.
enum status late_labels_write(struct late_labels *labels, double false_alarms_per_year, cJSON *document,
                              struct error *err) MUST_CHECK;
// What the page shows of the cohorts that are in the document already.
enum status late_labels_show(const struct late_labels *labels, cJSON *document, struct error *err) MUST_CHECK;

#endif
