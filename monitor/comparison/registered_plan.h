// registered_plan.h: a comparison's plan with its receipt, as it is registered before the start and as a
// report shows it beside what was seen. A design that cannot decide is never registered.
#ifndef SKINSIGHT_MONITOR_COMPARISON_REGISTERED_PLAN_H
#define SKINSIGHT_MONITOR_COMPARISON_REGISTERED_PLAN_H

#include <cjson/cJSON.h>

#include "monitor/archive/plans.h"
#include "monitor/comparison/power_receipt.h"

// Which models, and when it is registered. share_b: of the patients; of pairs not looked at.
struct plan_subject {
    const char *name, *model_a, *model_b;
    double share_b;
    int64_t registered_at; // Unix ms
};
void registered_plan_make(const struct plan_subject *subject, const struct power_design *design,
                          const struct power_receipt *receipt, struct archive_plan *plan);

// What the report knows. Of pairs seen_a is of both. began: Unix ms of b's first answer; -1: none.
struct plan_progress {
    int64_t seen_a, seen_b, began;
};
// Adds "plan" to "comparison"; plan NULL: null, and "plan_missing" says why.
void registered_plan_write(const struct archive_plan *plan, const struct plan_progress *progress,
                           cJSON *comparison);

#endif
