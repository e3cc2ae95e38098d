// evaluation.c: what follows from predictions: figures, the operating point, subgroups; and report.json.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "trainer/clinical_targets.h"

void evaluation_release(struct evaluation *evaluation)
{
    predictions_release(&evaluation->predictions);
    free(evaluation->subgroups);
    cJSON_Delete(evaluation->document);
    *evaluation = (struct evaluation){0};
}

// ---- subgroups ----

// Writes a sample's group, "" where it is not known, and returns its place among the groups.
typedef int group_namer(const struct sample *sample, char text[SUBGROUP_TEXT]);

static int age_group(const struct sample *sample, char text[SUBGROUP_TEXT])
{
    static const int ends[] = {30, 50, 70};
    static const char *const names[] = {"below 30", "30 to 49", "50 to 69", "70 and above"};
    int group = 0;
    text[0] = '\0';
    if (isnan(sample->age))
        return 0;
    while (group < 3 && sample->age >= ends[group])
        group++;
    snprintf(text, SUBGROUP_TEXT, "%s", names[group]);
    return group;
}

static int sex_group(const struct sample *sample, char text[SUBGROUP_TEXT])
{
    snprintf(text, SUBGROUP_TEXT, "%.60s", sample->sex);
    return 0;
}

static int location_group(const struct sample *sample, char text[SUBGROUP_TEXT])
{
    snprintf(text, SUBGROUP_TEXT, "%.60s", sample->location);
    return 0;
}

static int skin_type_group(const struct sample *sample, char text[SUBGROUP_TEXT])
{
    snprintf(text, SUBGROUP_TEXT, "%.60s", sample->skin_type);
    return 0;
}

// A measured tone of the skin, by the bounds of Chardon et al. 1991; no Fitzpatrick type follows from it.
static int ita_group(const struct sample *sample, char text[SUBGROUP_TEXT])
{
    static const double ends[] = {55, 41, 28, 10, -30};
    static const char *const names[] = {"above 55", "41 to 55",  "28 to 41",
                                        "10 to 28", "-30 to 10", "-30 and below"};
    int group = 0;
    text[0] = '\0';
    if (isnan(sample->ita))
        return 0;
    while (group < 5 && sample->ita <= ends[group])
        group++;
    snprintf(text, SUBGROUP_TEXT, "%s", names[group]);
    return group;
}

struct grouped_row {
    char text[SUBGROUP_TEXT];
    int place;
    size_t row;
};

struct grouped_rows {
    const struct grouped_row *rows;
    size_t count;
};

static int by_group(const void *left, const void *right)
{
    const struct grouped_row *a = left, *b = right;
    bool unknown[2] = {!a->text[0], !b->text[0]};
    if (unknown[0] != unknown[1])
        return unknown[0] ? 1 : -1;
    int order = a->place != b->place ? a->place - b->place : strcmp(a->text, b->text);
    return order ? order : (a->row > b->row) - (a->row < b->row);
}

static void add_group(struct evaluation *evaluation, const char *by, const char *value,
                      struct grouped_rows of, const struct figures_options *options)
{
    const struct grouped_row *rows = of.rows;
    size_t count = of.count;
    size_t *list = memory_alloc((count + 1) * sizeof *list);
    evaluation->subgroups = memory_realloc(evaluation->subgroups,
                                           (evaluation->subgroup_count + 1) * sizeof *evaluation->subgroups);
    struct subgroup *group = &evaluation->subgroups[evaluation->subgroup_count++];
    for (size_t i = 0; i < count; i++)
        list[i] = rows[i].row;
    group->by = by;
    snprintf(group->value, sizeof group->value, "%s", value);
    figures_of_group(&evaluation->predictions, (struct row_list){list, count}, options, &group->figures);
    free(list);
}

static size_t end_of_value(const struct grouped_row *rows, size_t first, size_t count)
{
    size_t end = first;
    while (end < count && strcmp(rows[end].text, rows[first].text) == 0)
        end++;
    return end;
}

static void add_groups(struct evaluation *evaluation, const char *by, group_namer *name,
                       const struct sample *const *samples, const struct figures_options *options)
{
    size_t count = evaluation->predictions.count;
    int values = 0;
    char other[SUBGROUP_TEXT];
    struct grouped_row *rows = memory_alloc((count + 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        rows[i].place = name(samples[i], rows[i].text);
        rows[i].row = i;
    }
    qsort(rows, count, sizeof *rows, by_group);
    for (size_t first = 0, end; first < count && rows[0].text[0]; first = end) {
        const char *value = rows[first].text[0] ? rows[first].text : "unknown";
        end = end_of_value(rows, first, count);
        if (rows[first].text[0] && ++values > SUBGROUP_VALUES) {
            int joined = 1; // the known values that are left
            for (; end < count && rows[end].text[0]; joined++)
                end = end_of_value(rows, end, count);
            snprintf(other, sizeof other, "other (%d values)", joined);
            value = other;
        }
        add_group(evaluation, by, value, (struct grouped_rows){rows + first, end - first}, options);
    }
    free(rows);
}

void evaluation_add_subgroups(struct evaluation *evaluation, const struct sample *const *samples,
                              const struct figures_options *options)
{
    static const struct {
        const char *by;
        group_namer *name;
    } kinds[] = {{"age", age_group},
                 {"sex", sex_group},
                 {"lesion_location", location_group},
                 {"skin_type", skin_type_group},
                 {"ita", ita_group}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        add_groups(evaluation, kinds[i].by, kinds[i].name, samples, options);
}

// ---- figures ----

static void judge_atypical(struct evaluation *evaluation, const struct figures_options *options)
{
    static const char reason[] = "the data do not say which lesions are atypical";
    const struct predictions *predictions = &evaluation->predictions;
    size_t *rows = memory_alloc((predictions->count + 1) * sizeof *rows), count = 0;
    bool known = false;
    for (size_t i = 0; i < predictions->count; i++) {
        known = known || predictions->rows[i].atypical >= 0;
        if (predictions->rows[i].atypical == 1)
            rows[count++] = i;
    }
    figures_of_group(predictions, (struct row_list){rows, count}, options, &evaluation->atypical);
    if (!known)
        evaluation->atypical = (struct group_figures){0, estimate_none(0, reason), estimate_none(0, reason)};
    free(rows);
}

void evaluation_judge(struct evaluation *evaluation, const struct sample *const *samples,
                      const struct figures_options *options)
{
    size_t count = evaluation->predictions.count;
    size_t *rows = memory_alloc((count + 1) * sizeof *rows);
    uint32_t *lesions = memory_alloc((count + 1) * sizeof *lesions);
    for (size_t i = 0; i < count; i++)
        rows[i] = i;
    evaluation->images = count;
    evaluation->lesions = predictions_lesions(&evaluation->predictions, rows, count, lesions);
    free(rows);
    free(lesions);
    figures_compute(&evaluation->predictions, options, &evaluation->figures);
    judge_atypical(evaluation, options);
    if (samples)
        evaluation_add_subgroups(evaluation, samples, options);
}

void evaluation_choose_threshold(struct evaluation *evaluation, const struct predictions *validation,
                                 double sensitivity)
{
    struct operating_point *point = &evaluation->operating_point;
    *point = (struct operating_point){.wanted = sensitivity};
    if (validation->count == 0)
        point->reason = "there is no validation part to choose it on";
    else if (!threshold_choose(validation, sensitivity, &point->threshold))
        point->reason = "the validation part has no melanoma";
    if (point->reason) {
        point->sensitivity = point->specificity = estimate_none(0, point->reason);
        return;
    }
    threshold_measure(validation, point->threshold, &point->chosen_sensitivity, &point->chosen_specificity);
    threshold_measure(&evaluation->predictions, point->threshold, &point->sensitivity, &point->specificity);
}

// ---- report.json ----

static void write_origin(struct json_writer *json, const struct evaluation *evaluation)
{
    json_add_object(json, "model");
    json_add_text(json, "model_version", evaluation->model_version);
    json_add_text(json, "architecture", evaluation->architecture);
    json_add_digest(json, "weights_sha256", &evaluation->weights_sha256);
    json_add_text(json, "precision", evaluation->precision);
    json_add_bool(json, "trained", evaluation->trained);
    json_end_object(json);
    json_add_object(json, "data");
    json_add_digest(json, "sha256", &evaluation->data_sha256);
    json_add_integer(json, "images", (int64_t)evaluation->images);
    json_add_integer(json, "lesions", (int64_t)evaluation->lesions);
    json_add_text(json, "part", dataset_part_names[evaluation->part]);
    json_end_object(json);
}

static void write_metrics(struct json_writer *json, const struct figures *figures)
{
    json_add_object(json, "metrics");
    estimate_write(json, "accuracy", &figures->accuracy);
    estimate_write(json, "balanced_accuracy", &figures->balanced_accuracy);
    estimate_write(json, "macro_auroc", &figures->macro_auroc);
    estimate_write(json, "melanoma_sensitivity", &figures->melanoma_sensitivity);
    estimate_write(json, "melanoma_specificity", &figures->melanoma_specificity);
    estimate_write(json, "specificity", &figures->specificity);
    estimate_write(json, "ece", &figures->ece);
    json_add_double(json, "brier", figures->brier);
    json_add_double(json, "nll", figures->nll);
    json_end_object(json);
}

static void write_operating_point(struct json_writer *json, const struct operating_point *point)
{
    json_add_object(json, "operating_point");
    if (point->reason) {
        json_add_null(json, "threshold");
        json_add_text(json, "reason", point->reason);
    } else {
        json_add_double(json, "threshold", point->threshold);
        estimate_write(json, "sensitivity", &point->sensitivity);
        estimate_write(json, "specificity", &point->specificity);
        json_add_text(json, "chosen_on", dataset_part_names[PART_VALIDATION]);
    }
    json_end_object(json);
}

static void write_classes(struct json_writer *json, const struct figures *figures)
{
    json_add_array(json, "classes");
    for (int i = 0; i < LESION_CLASSES; i++) {
        const struct class_figures *of = &figures->classes[i];
        json_add_object(json, NULL);
        json_add_text(json, "class", lesion_codes[i]);
        json_add_integer(json, "n", (int64_t)of->n);
        estimate_write(json, "sensitivity", &of->sensitivity);
        estimate_write(json, "specificity", &of->specificity);
        estimate_write(json, "precision", &of->precision);
        estimate_write(json, "f1", &of->f1);
        estimate_write(json, "auroc", &of->auroc);
        json_add_double(json, "ece", of->ece);
        json_end_object(json);
    }
    json_end_array(json);
    json_add_array(json, "confusion");
    for (int truth = 0; truth < LESION_CLASSES; truth++) {
        json_add_array(json, NULL);
        for (int said = 0; said < LESION_CLASSES; said++)
            json_add_integer(json, NULL, (int64_t)figures->confusion[truth][said]);
        json_end_array(json);
    }
    json_end_array(json);
}

static void write_calibration(struct json_writer *json, const struct evaluation *evaluation)
{
    const struct reliability *calibration = &evaluation->figures.calibration;
    json_add_object(json, "calibration");
    json_add_double(json, "temperature", evaluation->temperature);
    json_add_array(json, "bins");
    for (int i = 0; i < calibration->bin_count; i++) {
        const struct calibration_bin *bin = &calibration->bins[i];
        if (bin->count == 0)
            continue;
        json_add_object(json, NULL);
        json_add_double(json, "low", bin->low);
        json_add_double(json, "high", bin->high);
        json_add_integer(json, "n", (int64_t)bin->count);
        json_add_double(json, "confidence", bin->confidence);
        json_add_double(json, "accuracy", bin->accuracy);
        json_end_object(json);
    }
    json_end_array(json);
    json_add_double(json, "ece_null", evaluation->figures.ece_null);
    estimate_write(json, "ece_width", &evaluation->figures.ece_width);
    estimate_write(json, "ece_classwise", &evaluation->figures.ece_classwise);
    json_end_object(json);
}

static void write_group(struct json_writer *json, const struct group_figures *figures)
{
    json_add_integer(json, "n", (int64_t)figures->n);
    estimate_write(json, "balanced_accuracy", &figures->balanced_accuracy);
    estimate_write(json, "melanoma_sensitivity", &figures->melanoma_sensitivity);
}

static void write_groups(struct json_writer *json, const struct evaluation *evaluation)
{
    json_add_array(json, "subgroups");
    for (size_t i = 0; i < evaluation->subgroup_count; i++) {
        json_add_object(json, NULL);
        json_add_text(json, "by", evaluation->subgroups[i].by);
        json_add_text(json, "value", evaluation->subgroups[i].value);
        write_group(json, &evaluation->subgroups[i].figures);
        json_end_object(json);
    }
    json_end_array(json);
    json_add_object(json, "atypical");
    write_group(json, &evaluation->atypical);
    json_end_object(json);
}

static void write_errors(struct json_writer *json, const struct figures *figures)
{
    json_add_object(json, "errors");
    json_add_integer(json, "high", (int64_t)figures->high);
    json_add_integer(json, "medium", (int64_t)figures->medium);
    json_add_integer(json, "low", (int64_t)figures->low);
    json_add_array(json, "pairs");
    for (size_t i = 0; i < figures->pair_count; i++) {
        json_add_object(json, NULL);
        json_add_text(json, "truth", lesion_codes[figures->pairs[i].truth]);
        json_add_text(json, "said", lesion_codes[figures->pairs[i].said]);
        json_add_integer(json, "n", (int64_t)figures->pairs[i].n);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}

enum status evaluation_write_json(const struct evaluation *evaluation, struct buffer *out, struct error *err)
{
    struct json_writer json;
    json_write_begin(&json, out, err);
    json_add_object(&json, NULL);
    json_add_text(&json, "schema", EVALUATION_SCHEMA);
    write_origin(&json, evaluation);
    write_metrics(&json, &evaluation->figures);
    write_operating_point(&json, &evaluation->operating_point);
    clinical_targets_write(&json, evaluation);
    write_classes(&json, &evaluation->figures);
    write_calibration(&json, evaluation);
    write_groups(&json, evaluation);
    write_errors(&json, &evaluation->figures);
    json_end_object(&json);
    return json_write_end(&json);
}
