// subgroups.h: whether melanomas are found as often in every group: by skin type as entered (I and II, III
// and IV, V and VI), age, site and capture device. A group's sensitivity is compared with everybody else's:
// within five points (pass), beyond them (fail), or not enough evidence for either (insufficient); the
// intervals of one property hold together (Bonferroni). Pure but for the document.
#ifndef SKINSIGHT_MONITOR_LABELS_SUBGROUPS_H
#define SKINSIGHT_MONITOR_LABELS_SUBGROUPS_H

#include "monitor/labels/labelled.h"
#include "monitor/report/report.h"

#define SUBGROUP_MARGIN 0.05

// pass, fail or insufficient: where an interval of a difference lies.
const char *subgroup_state(double low, double high);

// Adds "subgroups", "fairness" (each two groups of skin types) and its alarm. rows: those
// whose labels count; list: whose sites and devices they name.
enum status subgroups_write(const struct labelled *rows, size_t count, const struct labelled_list *list,
                            cJSON *document, struct error *err) MUST_CHECK;

#endif
