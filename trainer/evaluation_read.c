// evaluation_read.c: report.json, or evaluation.json of a model directory, read back. What fails first is
// told; what stands behind it is read all the same, and is of no use. Pure but for evaluation_read_file; any
// thread.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/memory.h"
#include "trainer/evaluate.h"

static const struct json_limits limits = {.bytes = 4 << 20, .values = 100000, .depth = 16};
enum { MOST_IMAGES = 1000 * 1000 * 1000 };

struct reader {
    enum status status;
    struct error *err;
};

static void refuse(struct reader *reader, const char *name)
{
    if (reader->status == STATUS_OK)
        reader->status = error_set(reader->err, STATUS_REJECTED,
                                   "its field '%s' is missing, of another kind or out of its limits", name);
}

static const cJSON *field(struct reader *reader, const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!item)
        refuse(reader, name);
    return item;
}

static double number(struct reader *reader, const cJSON *object, const char *name, double high)
{
    const cJSON *item = field(reader, object, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= high)) {
        refuse(reader, name);
        return 0;
    }
    return item->valuedouble;
}

static size_t count_of(struct reader *reader, const cJSON *item, const char *name)
{
    int64_t value = 0;
    if (!json_whole_number(item, 0, MOST_IMAGES, &value))
        refuse(reader, name);
    return (size_t)value;
}

static size_t count(struct reader *reader, const cJSON *object, const char *name)
{
    return count_of(reader, field(reader, object, name), name);
}

static const char *text(struct reader *reader, const cJSON *object, const char *name)
{
    const char *value = cJSON_GetStringValue(field(reader, object, name));
    if (!value)
        refuse(reader, name);
    return value ? value : "";
}

static void copy_text(struct reader *reader, const cJSON *object, const char *name, char *copy, size_t size)
{
    const char *value = text(reader, object, name);
    if (strlen(value) < size)
        strcpy(copy, value);
    else
        refuse(reader, name);
}

static void digest(struct reader *reader, const cJSON *object, const char *name, struct digest *value)
{
    if (!digest_parse(text(reader, object, name), value))
        refuse(reader, name);
}

static bool truth(struct reader *reader, const cJSON *object, const char *name)
{
    const cJSON *item = field(reader, object, name);
    if (!cJSON_IsBool(item))
        refuse(reader, name);
    return cJSON_IsTrue(item);
}

// An array of least to most items; NULL where it is none.
static const cJSON *array(struct reader *reader, const cJSON *object, const char *name, int least, int most)
{
    const cJSON *item = field(reader, object, name);
    if (cJSON_IsArray(item) && cJSON_GetArraySize(item) >= least && cJSON_GetArraySize(item) <= most)
        return item;
    refuse(reader, name);
    return NULL;
}

static int lesion(struct reader *reader, const cJSON *object, const char *name)
{
    int found = lesion_from_code(text(reader, object, name));
    if (found < 0)
        refuse(reader, name);
    return found < 0 ? 0 : found;
}

static struct estimate estimate(struct reader *reader, const cJSON *object, const char *name)
{
    const cJSON *item = field(reader, object, name);
    size_t n = count(reader, item, "n");
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(item, "estimate")))
        return estimate_none(n, text(reader, item, "reason"));
    struct estimate value = {.value = number(reader, item, "estimate", 1),
                             .low = number(reader, item, "low", 1),
                             .high = number(reader, item, "high", 1),
                             .level = number(reader, item, "level", 1),
                             .n = n,
                             .method = text(reader, item, "method")};
    if (value.low > value.high)
        refuse(reader, name);
    return value;
}

// Of a field that reports of older builds lack.
static struct estimate later_estimate(struct reader *reader, const cJSON *object, const char *name)
{
    if (cJSON_GetObjectItemCaseSensitive(object, name))
        return estimate(reader, object, name);
    return estimate_none(0, "the build that evaluated did not measure it");
}

static void read_origin(struct reader *reader, const cJSON *root, struct evaluation *evaluation)
{
    const cJSON *model = field(reader, root, "model"), *data = field(reader, root, "data");
    copy_text(reader, model, "model_version", evaluation->model_version, sizeof evaluation->model_version);
    copy_text(reader, model, "architecture", evaluation->architecture, sizeof evaluation->architecture);
    copy_text(reader, model, "precision", evaluation->precision, sizeof evaluation->precision);
    digest(reader, model, "weights_sha256", &evaluation->weights_sha256);
    evaluation->trained = truth(reader, model, "trained");
    digest(reader, data, "sha256", &evaluation->data_sha256);
    evaluation->images = count(reader, data, "images");
    evaluation->lesions = count(reader, data, "lesions");
    const char *name = text(reader, data, "part");
    int part = 0;
    while (part < DATASET_PARTS && strcmp(name, dataset_part_names[part]) != 0)
        part++;
    if (part == DATASET_PARTS)
        refuse(reader, "part");
    else
        evaluation->part = (enum dataset_part)part;
}

static void read_metrics(struct reader *reader, const cJSON *root, struct figures *figures)
{
    const cJSON *metrics = field(reader, root, "metrics");
    figures->accuracy = estimate(reader, metrics, "accuracy");
    figures->balanced_accuracy = estimate(reader, metrics, "balanced_accuracy");
    figures->macro_auroc = estimate(reader, metrics, "macro_auroc");
    figures->melanoma_sensitivity = estimate(reader, metrics, "melanoma_sensitivity");
    figures->melanoma_specificity = estimate(reader, metrics, "melanoma_specificity");
    figures->specificity = estimate(reader, metrics, "specificity");
    figures->ece = estimate(reader, metrics, "ece");
    figures->brier = number(reader, metrics, "brier", 2);
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(metrics, "nll")))
        figures->nll = INFINITY;
    else
        figures->nll = number(reader, metrics, "nll", 1e6);
}

static void read_operating_point(struct reader *reader, const cJSON *root, struct operating_point *point)
{
    const cJSON *object = field(reader, root, "operating_point");
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(object, "threshold"))) {
        point->reason = text(reader, object, "reason");
        point->sensitivity = point->specificity = estimate_none(0, point->reason);
        return;
    }
    point->threshold = number(reader, object, "threshold", 1);
    point->sensitivity = estimate(reader, object, "sensitivity");
    point->specificity = estimate(reader, object, "specificity");
    if (strcmp(text(reader, object, "chosen_on"), dataset_part_names[PART_VALIDATION]) != 0)
        refuse(reader, "chosen_on");
}

static void read_classes(struct reader *reader, const cJSON *root, struct figures *figures)
{
    const cJSON *item, *classes = array(reader, root, "classes", LESION_CLASSES, LESION_CLASSES);
    int i = 0;
    cJSON_ArrayForEach(item, classes)
    {
        struct class_figures *of = &figures->classes[i];
        if (lesion(reader, item, "class") != i++)
            refuse(reader, "class");
        of->n = count(reader, item, "n");
        of->sensitivity = estimate(reader, item, "sensitivity");
        of->specificity = estimate(reader, item, "specificity");
        of->precision = estimate(reader, item, "precision");
        of->f1 = estimate(reader, item, "f1");
        of->auroc = estimate(reader, item, "auroc");
        of->ece = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(item, "ece"))
                      ? number(reader, item, "ece", 1)
                      : NAN; // of an older build
    }
}

static void read_confusion(struct reader *reader, const cJSON *root, struct figures *figures)
{
    static const char name[] = "confusion";
    const cJSON *row, *item, *rows = array(reader, root, name, LESION_CLASSES, LESION_CLASSES);
    int truth = 0;
    cJSON_ArrayForEach(row, rows)
    {
        int said = 0;
        if (!cJSON_IsArray(row) || cJSON_GetArraySize(row) != LESION_CLASSES) {
            refuse(reader, name);
            return;
        }
        cJSON_ArrayForEach(item, row) figures->confusion[truth][said++] = count_of(reader, item, name);
        truth++;
    }
}

static void read_calibration(struct reader *reader, const cJSON *root, struct evaluation *evaluation)
{
    const cJSON *calibration = field(reader, root, "calibration"), *item;
    struct reliability *reliability = &evaluation->figures.calibration;
    evaluation->temperature = number(reader, calibration, "temperature", 1000);
    evaluation->figures.ece_null = number(reader, calibration, "ece_null", 1);
    evaluation->figures.ece_width = later_estimate(reader, calibration, "ece_width");
    evaluation->figures.ece_classwise = later_estimate(reader, calibration, "ece_classwise");
    const cJSON *bins = array(reader, calibration, "bins", 0, CALIBRATION_MOST_BINS);
    cJSON_ArrayForEach(item, bins)
    {
        struct calibration_bin *bin = &reliability->bins[reliability->bin_count++];
        bin->low = number(reader, item, "low", 1);
        bin->high = number(reader, item, "high", 1);
        bin->count = count(reader, item, "n");
        bin->confidence = number(reader, item, "confidence", 1);
        bin->accuracy = number(reader, item, "accuracy", 1);
    }
}

static void read_group(struct reader *reader, const cJSON *object, struct group_figures *figures)
{
    figures->n = count(reader, object, "n");
    figures->balanced_accuracy = estimate(reader, object, "balanced_accuracy");
    figures->melanoma_sensitivity = estimate(reader, object, "melanoma_sensitivity");
}

static void read_groups(struct reader *reader, const cJSON *root, struct evaluation *evaluation)
{
    const int most = 5 * (SUBGROUP_VALUES + 2); // of each kind also "other" and "unknown"
    const cJSON *item, *groups = array(reader, root, "subgroups", 0, most);
    evaluation->subgroups =
        memory_alloc((size_t)(cJSON_GetArraySize(groups) + 1) * sizeof *evaluation->subgroups);
    cJSON_ArrayForEach(item, groups)
    {
        struct subgroup *group = &evaluation->subgroups[evaluation->subgroup_count++];
        *group = (struct subgroup){.by = text(reader, item, "by")};
        copy_text(reader, item, "value", group->value, sizeof group->value);
        read_group(reader, item, &group->figures);
    }
    read_group(reader, field(reader, root, "atypical"), &evaluation->atypical);
}

static void read_errors(struct reader *reader, const cJSON *root, struct figures *figures)
{
    const cJSON *errors = field(reader, root, "errors"), *item;
    figures->high = count(reader, errors, "high");
    figures->medium = count(reader, errors, "medium");
    figures->low = count(reader, errors, "low");
    const cJSON *pairs = array(reader, errors, "pairs", 0, FIGURES_PAIRS);
    cJSON_ArrayForEach(item, pairs)
    {
        struct confused_pair *pair = &figures->pairs[figures->pair_count++];
        pair->truth = lesion(reader, item, "truth");
        pair->said = lesion(reader, item, "said");
        pair->n = count(reader, item, "n");
    }
}

static enum status read_all(const cJSON *root, struct evaluation *evaluation, struct error *err)
{
    struct reader reader = {STATUS_OK, err};
    const char *schema = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "schema"));
    const char *twice = json_repeated_name(root);
    if (!schema || strcmp(schema, EVALUATION_SCHEMA) != 0)
        return error_set(err, STATUS_REJECTED, "its schema is not " EVALUATION_SCHEMA);
    if (twice)
        return error_set(err, STATUS_REJECTED, "its field '%s' stands there twice", twice);
    read_origin(&reader, root, evaluation);
    read_metrics(&reader, root, &evaluation->figures);
    read_operating_point(&reader, root, &evaluation->operating_point);
    read_classes(&reader, root, &evaluation->figures);
    read_confusion(&reader, root, &evaluation->figures);
    read_calibration(&reader, root, evaluation);
    read_groups(&reader, root, evaluation);
    read_errors(&reader, root, &evaluation->figures);
    return reader.status;
}

enum status evaluation_read_json(struct bytes json, struct evaluation *evaluation, struct error *err)
{
    *evaluation = (struct evaluation){0};
    enum status status = json_parse(json, &limits, &evaluation->document, err);
    return status == STATUS_OK ? read_all(evaluation->document, evaluation, err) : status;
}

enum status evaluation_read_file(const char *path, struct evaluation *evaluation, struct error *err)
{
    struct buffer bytes;
    *evaluation = (struct evaluation){0};
    buffer_init(&bytes, limits.bytes);
    enum status status = file_read(path, &bytes, err);
    if (status == STATUS_OK) {
        status = evaluation_read_json(buffer_bytes(&bytes), evaluation, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    buffer_release(&bytes);
    return status;
}
