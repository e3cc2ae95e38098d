// clinical_targets.h: what a clinic wants of a model, beside what was measured. Pure functions.
#ifndef SKINSIGHT_TRAINER_CLINICAL_TARGETS_H
#define SKINSIGHT_TRAINER_CLINICAL_TARGETS_H

#include "trainer/evaluate.h"

// Met when the whole interval is above.
struct clinical_target {
    const char *field; // "metrics.balanced_accuracy" of report.json
    const char *name;
    const struct estimate *estimate; // of the evaluation
    double above;
};
enum { CLINICAL_TARGETS = 7 };
enum target_verdict { TARGET_MET, TARGET_MISSED, TARGET_NOT_ENOUGH, TARGET_VERDICTS };
extern const char *const target_verdict_names[TARGET_VERDICTS]; // for people

// At the most probable class, and at melanoma's operating point.
void clinical_targets(const struct evaluation *evaluation, struct clinical_target targets[CLINICAL_TARGETS]);
enum target_verdict clinical_target_judge(const struct clinical_target *target);

void clinical_targets_write(struct json_writer *json, const struct evaluation *evaluation);
void clinical_targets_draw(struct html *page, const struct evaluation *evaluation);

#endif
