// estimates.h: estimates as JSON, and why there is none where evidence is thin. A small allocation of cJSON's
// aborts (json.h), so nothing here fails.
#ifndef SKINSIGHT_MONITOR_LABELS_ESTIMATES_H
#define SKINSIGHT_MONITOR_LABELS_ESTIMATES_H

#include "monitor/labels/cohort.h"
#include "monitor/labels/judgement.h"
#include "monitor/report/report.h"

#define ESTIMATE_LEVEL 0.95

// How often the ill are referred, or the well are not: from JUDGEMENT_LEAST_POSITIVES verified ones on.
struct verified_rate {
    struct share verified;       // what the naive share is made of
    struct verified_share share; // with what is supposed of the others
};
struct verified_rate rate_of_sensitivity(const struct verified_groups *groups);
struct verified_rate rate_of_specificity(const struct verified_groups *groups);
cJSON *estimate_naive(const struct verified_rate *rate);
cJSON *estimate_corrected(const struct verified_rate *rate);
cJSON *estimate_bounds(const struct verified_rate *rate); // [low, high]; null: not enough are verified

cJSON *estimate_judged(const struct judgement *judgement, enum judged_figure figure);
cJSON *estimate_auroc(const struct judgement *judgement, int lesion);
cJSON *estimate_share(struct share share, int64_t least, const char *reason); // Clopper and Pearson's

void estimate_add_number(cJSON *object, const char *name, double value); // null where it is not finite

enum { DAY_TEXT_SIZE = 16 };
void day_text(int64_t unix_ms, char text[DAY_TEXT_SIZE]); // "2026-11-23", UTC

#endif
