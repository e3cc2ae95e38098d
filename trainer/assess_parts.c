// assess_parts.c: what card.md and ethics.md have in common.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/assess.h"
#include "trainer/lineage.h"

void assess_add_warning(struct markdown *page, const struct assessment *assessment)
{
    if (!assessment->manifest->trained)
        markdown_add(page, "**Not trained for these classes: the diagnoses mean nothing.**\n\n");
    markdown_add(page,
                 "**Not for clinical use.** The model directory holds no clearance by an authority, and no "
                 "study on patients in care.\n\n");
}

void assess_add_data(struct markdown *page, const struct assessment *assessment)
{
    const struct evaluation *evaluation = assessment->evaluation;
    char weights[DIGEST_TEXT_SIZE], data[DIGEST_TEXT_SIZE];
    digest_text(&evaluation->weights_sha256, weights);
    digest_text(&evaluation->data_sha256, data);
    markdown_add(page, "- Model: `%s`, `%s`, computed in `%s`; weights `%s`\n",
                 assessment->manifest->model_version, assessment->manifest->architecture,
                 evaluation->precision, weights);
    markdown_add(page, "- Images: %zu of %zu lesions, the part `%s` of the data `%s`\n", evaluation->images,
                 evaluation->lesions, dataset_part_names[evaluation->part], data);
    if (!evaluation->figures.accuracy.reason)
        markdown_add(page, "- Intervals are at the level %g\n", evaluation->figures.accuracy.level);
    if (evaluation->part == PART_TRAIN)
        markdown_add(page,
                     "\n**The model was trained on these images: the figures say how well it remembers.**\n");
    else if (evaluation->part == PART_VALIDATION)
        markdown_add(page,
                     "\n**Temperature and threshold were chosen on these images, and perhaps the epoch: "
                     "new images would give worse figures.**\n");
    if (evaluation->part != PART_TRAIN && lineage_has_others(assessment->manifest, &evaluation->data_sha256))
        markdown_add(
            page,
            "\n**The model may have learnt these images: it, or one that it started or learnt from, was "
            "trained on other data or another split of them, or does not say on what.**\n");
    markdown_add(page, "\n");
}

static const char *setting(const struct manifest *manifest, const char *name)
{
    const cJSON *recipe = cJSON_GetObjectItemCaseSensitive(manifest->training, "recipe");
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(recipe, name));
    return text ? text : "";
}

void assess_add_balance(struct markdown *page, const struct assessment *assessment)
{
    const struct manifest *manifest = assessment->manifest;
    if (strcmp(setting(manifest, "sampler"), "weighted") == 0 ||
        strcmp(setting(manifest, "class_weights"), "inverse") == 0 ||
        strtod(setting(manifest, "logit_adjustment"), NULL) > 0)
        markdown_add(page, "**It was trained to favour no class, however rare: its probability of a rare "
                           "diagnosis is greater than how often that is met.**\n\n");
}

void assess_add_estimate(struct markdown *page, const struct estimate *estimate)
{
    if (estimate->reason) {
        markdown_add(page, " not enough evidence: ");
        markdown_quote(page, estimate->reason);
        markdown_add(page, " | | %zu |", estimate->n);
    } else {
        markdown_add(page, " %.3f | %.3f to %.3f | %zu |", estimate->value, estimate->low, estimate->high,
                     estimate->n);
    }
}

static void add_targets(struct markdown *page, const struct evaluation *evaluation)
{
    struct clinical_target targets[CLINICAL_TARGETS];
    clinical_targets(evaluation, targets);
    markdown_add(
        page, "The clinic's targets. One is met where the whole interval is above it, and not met where none "
              "of it is.\n\n"
              "| figure | measured | interval | n | target | verdict |\n|---|---|---|---|---|---|\n");
    for (int i = 0; i < CLINICAL_TARGETS; i++) {
        markdown_add(page, "| %s |", targets[i].name);
        assess_add_estimate(page, targets[i].estimate);
        markdown_add(page, " above %.2f | %s |\n", targets[i].above,
                     target_verdict_names[clinical_target_judge(&targets[i])]);
    }
    markdown_add(page, "| end to end on one T4 | not measured here | | | below 500 ms | %s |\n\n",
                 target_verdict_names[TARGET_NOT_ENOUGH]);
}

void assess_add_figures(struct markdown *page, const struct assessment *assessment)
{
    const struct figures *figures = &assessment->evaluation->figures;
    const struct {
        const char *name;
        const struct estimate *estimate;
    } shown[] = {{"accuracy", &figures->accuracy},
                 {"balanced accuracy", &figures->balanced_accuracy},
                 {"macro AUROC", &figures->macro_auroc},
                 {"melanoma sensitivity", &figures->melanoma_sensitivity},
                 {"melanoma specificity", &figures->melanoma_specificity},
                 {"specificity (benign called benign)", &figures->specificity},
                 {"expected calibration error", &figures->ece},
                 {"calibration error, mean of the classes", &figures->ece_classwise}};
    markdown_add(page,
                 "At the most probable class:\n\n| figure | estimate | interval | n |\n|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        markdown_add(page, "| %s |", shown[i].name);
        assess_add_estimate(page, shown[i].estimate);
        markdown_add(page, "\n");
    }
    markdown_add(page, "\nBrier score %.3f. ", figures->brier);
    if (isfinite(figures->nll))
        markdown_add(page, "Negative log-likelihood %.3f. ", figures->nll);
    markdown_add(
        page,
        "Were the probabilities true, the expected calibration error would be %.3f on average. Logits are "
        "divided by the temperature %.6g.\n\n",
        figures->ece_null, (double)assessment->manifest->temperature);
    add_targets(page, assessment->evaluation);
}

void assess_add_classes(struct markdown *page, const struct assessment *assessment)
{
    const struct figures *figures = &assessment->evaluation->figures;
    markdown_add(page, "| class | images | sensitivity | interval | n | AUROC | interval | n |\n"
                       "|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < LESION_CLASSES; i++) {
        const struct class_figures *of = &figures->classes[i];
        markdown_add(page, "| %s, %s | %zu |", lesion_codes[i], lesion_names[i], of->n);
        assess_add_estimate(page, &of->sensitivity);
        assess_add_estimate(page, &of->auroc);
        markdown_add(page, "\n");
    }
    markdown_add(page, "\n");
}

void assess_add_operating_point(struct markdown *page, const struct assessment *assessment)
{
    const struct operating_point *point = &assessment->evaluation->operating_point;
    if (point->reason) {
        markdown_add(page, "No threshold for melanoma is proposed: ");
        markdown_quote(page, point->reason);
        markdown_add(page, ".\n\n");
        return;
    }
    markdown_add(
        page,
        "Proposed threshold: an image is called melanoma from a probability of %.6f on. It was chosen "
        "on the part `validation`. Nothing applies it: a person writes thresholds into the policy.\n\n",
        point->threshold);
}

// The operator's own words stand alone in a block, so that nobody takes them for a finding.
static void add_statement(struct markdown *page, const char *what, const char *words)
{
    if (!*words) {
        markdown_add(page, "%s: not stated.\n\n", what);
        return;
    }
    markdown_add(page, "%s, as the operator states it:\n\n> ", what);
    markdown_quote(page, words);
    markdown_add(page, "\n\n");
}

void assess_add_origin(struct markdown *page, const struct assessment *assessment)
{
    const char *licence = assessment->manifest->licence;
    add_statement(page, "Licence of the weights", strcmp(licence, MANIFEST_NO_LICENCE) == 0 ? "" : licence);
    add_statement(page, "Origin of the weights", assessment->weights_origin);
    add_statement(page, "Origin of the data", assessment->data_origin);
    add_statement(page, "Licence of the data", assessment->data_licence);
}
