// clinical_targets.c: the targets of the product, and their verdicts. The time from end to end is one too;
// `skinsight-worker bench` measures it.
#include "trainer/clinical_targets.h"

#include <string.h>

const char *const target_verdict_names[TARGET_VERDICTS] = {"met", "not met", "not enough evidence"};

void clinical_targets(const struct evaluation *evaluation, struct clinical_target targets[CLINICAL_TARGETS])
{
    const struct figures *figures = &evaluation->figures;
    const struct operating_point *point = &evaluation->operating_point;
    const struct clinical_target all[CLINICAL_TARGETS] = {
        {"metrics.balanced_accuracy", "balanced accuracy", &figures->balanced_accuracy, 0.82},
        {"metrics.macro_auroc", "macro AUROC", &figures->macro_auroc, 0.95},
        {"metrics.melanoma_sensitivity", "melanoma sensitivity", &figures->melanoma_sensitivity, 0.92},
        {"metrics.specificity", "specificity (benign called benign)", &figures->specificity, 0.85},
        {"atypical.balanced_accuracy", "sensitivity on atypical lesions (mean of the classes)",
         &evaluation->atypical.balanced_accuracy, 0.80},
        {"operating_point.sensitivity", "melanoma sensitivity at the operating point", &point->sensitivity,
         0.92},
        {"operating_point.specificity", "melanoma specificity at the operating point", &point->specificity,
         0.85},
    };
    memcpy(targets, all, sizeof all);
}

enum target_verdict clinical_target_judge(const struct clinical_target *target)
{
    const struct estimate *estimate = target->estimate;
    return estimate->reason || (estimate->low <= target->above && estimate->high > target->above)
               ? TARGET_NOT_ENOUGH
           : estimate->low > target->above ? TARGET_MET
                                           : TARGET_MISSED;
}

void clinical_targets_write(struct json_writer *json, const struct evaluation *evaluation)
{
    static const char *const verdicts[] = {"met", "missed", "not_enough"};
    struct clinical_target targets[CLINICAL_TARGETS];
    clinical_targets(evaluation, targets);
    json_add_array(json, "targets");
    for (int i = 0; i < CLINICAL_TARGETS; i++) {
        json_add_object(json, NULL);
        json_add_text(json, "figure", targets[i].field);
        json_add_double(json, "above", targets[i].above);
        json_add_text(json, "verdict", verdicts[clinical_target_judge(&targets[i])]);
        json_end_object(json);
    }
    json_end_array(json);
}

void clinical_targets_draw(struct html *page, const struct evaluation *evaluation)
{
    static const char *const headings[] = {"Figure", "Target", "Measured", "Images", "Verdict", NULL};
    struct clinical_target targets[CLINICAL_TARGETS];
    clinical_targets(evaluation, targets);
    html_element(page, "h2", "The clinic's targets");
    html_table_begin(page, "Met: the whole interval is above the target; not met: none of it", headings);
    for (int i = 0; i < CLINICAL_TARGETS; i++) {
        html_row_begin(page);
        html_cell(page, "%s", targets[i].name);
        html_number(page, "above %.2f", targets[i].above);
        estimate_cell(page, targets[i].estimate);
        html_number(page, "%zu", targets[i].estimate->n);
        html_cell(page, "%s", target_verdict_names[clinical_target_judge(&targets[i])]);
        html_row_end(page);
    }
    html_table_end(page);
}
