// compare.c: pairs of predictions, tests on them, and comparison.json.
#include "trainer/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

const char *const verdict_names[VERDICT_COUNT] = {"not_enough", "holds", "fails"};

static const double one_sided_level = 0.90; // two-sided 90 % is one-sided 95 %

// ---- pairs ----

static int by_digest(const void *left, const void *right)
{
    const struct prediction_row *a = *(const struct prediction_row *const *)left,
                                *b = *(const struct prediction_row *const *)right;
    int order = memcmp(a->sha256.value, b->sha256.value, DIGEST_SIZE);
    return order ? order : (a > b) - (a < b);
}

// Pointers to the rows, by digest, the first of copies alone; returns how many.
static size_t sort_rows(const struct predictions *predictions, const struct prediction_row **sorted)
{
    size_t count = 0;
    for (size_t i = 0; i < predictions->count; i++)
        sorted[i] = &predictions->rows[i];
    qsort(sorted, predictions->count, sizeof *sorted, by_digest);
    for (size_t i = 0; i < predictions->count; i++)
        if (count == 0 || memcmp(sorted[count - 1]->sha256.value, sorted[i]->sha256.value, DIGEST_SIZE) != 0)
            sorted[count++] = sorted[i];
    return count;
}

static enum status join(const struct prediction_row **a, size_t a_count, const struct prediction_row **b,
                        size_t b_count, struct paired_predictions *paired, struct error *err)
{
    size_t i = 0, j = 0, count = 0;
    while (i < a_count && j < b_count) {
        int order = memcmp(a[i]->sha256.value, b[j]->sha256.value, DIGEST_SIZE);
        if (order == 0) {
            if (a[i]->label != b[j]->label)
                return error_set(
                    err, STATUS_REJECTED,
                    "an image (%.64s) is %s in one evaluation and %s in the other: judge both models "
                    "on the same data",
                    a[i]->file, lesion_codes[a[i]->label], lesion_codes[b[j]->label]);
            if (a[i]->atypical != b[j]->atypical || strcmp(a[i]->lesion, b[j]->lesion) != 0)
                return error_set(
                    err, STATUS_REJECTED,
                    "an image (%.64s) has another lesion or another mark of atypical ones in one "
                    "evaluation than in the other: judge both models on the same data",
                    a[i]->file);
            paired->one.rows[count] = *a[i];
            paired->two.rows[count++] = *b[j];
        }
        i += order <= 0;
        j += order >= 0;
    }
    paired->one.count = paired->two.count = count;
    paired->only_a = a_count - count;
    paired->only_b = b_count - count;
    return count > 0
               ? STATUS_OK
               : error_set(err, STATUS_REJECTED,
                           "the two evaluations have no image in common: judge both models on the same data");
}

enum status predictions_pair(const struct predictions *a, const struct predictions *b,
                             struct paired_predictions *paired, struct error *err)
{
    const struct prediction_row **of_a = memory_alloc((a->count + 1) * sizeof *of_a);
    const struct prediction_row **of_b = memory_alloc((b->count + 1) * sizeof *of_b);
    size_t a_count = sort_rows(a, of_a), b_count = sort_rows(b, of_b);
    *paired = (struct paired_predictions){.one.rows = memory_alloc((a_count + 1) * sizeof *paired->one.rows),
                                          .two.rows = memory_alloc((a_count + 1) * sizeof *paired->two.rows)};
    enum status status = join(of_a, a_count, of_b, b_count, paired, err);
    if (status != STATUS_OK)
        paired_predictions_release(paired);
    free(of_a);
    free(of_b);
    return status;
}

void paired_predictions_release(struct paired_predictions *paired)
{
    free(paired->one.rows);
    free(paired->two.rows);
    *paired = (struct paired_predictions){0};
}

// ---- tests ----

static double difference_figure(void *context, struct row_list list)
{
    const struct paired_predictions *paired = context;
    return balanced_accuracy_of(&paired->two, list) - balanced_accuracy_of(&paired->one, list);
}

// Images of one lesion are one trial: of a model that is right about more of them. With an image for each
// lesion it is McNemar's test as ever.
static struct mcnemar compare_right(const struct paired_predictions *paired, struct row_list list)
{
    int64_t only[2] = {0, 0};
    uint32_t *lesions = memory_alloc((list.count + 1) * sizeof *lesions);
    int *ahead =
        memory_alloc((list.count + 1) * sizeof *ahead); // images that a alone is right about, less b's
    size_t count = predictions_lesions(&paired->one, list.rows, list.count, lesions);
    for (size_t i = 0; i < list.count; i++) {
        const struct prediction_row *one = &paired->one.rows[list.rows[i]],
                                    *two = &paired->two.rows[list.rows[i]];
        ahead[lesions[i]] += prediction_said(one) == one->label;
        ahead[lesions[i]] -= prediction_said(two) == two->label;
    }
    for (size_t i = 0; i < count; i++) {
        only[0] += ahead[i] > 0;
        only[1] += ahead[i] < 0;
    }
    free(lesions);
    free(ahead);
    return mcnemar_test(only[0], only[1]);
}

// Which classes have images, but of few lesions.
static void find_few(const struct predictions *predictions, struct row_list list, bool few[LESION_CLASSES])
{
    uint32_t *lesions = memory_alloc((list.count + 1) * sizeof *lesions);
    bool *seen = memory_alloc((list.count + 1) * LESION_CLASSES);
    size_t counts[LESION_CLASSES] = {0};
    predictions_lesions(predictions, list.rows, list.count, lesions);
    for (size_t i = 0; i < list.count; i++) {
        int label = predictions->rows[list.rows[i]].label;
        bool *of = &seen[(size_t)lesions[i] * LESION_CLASSES + (size_t)label];
        counts[label] += !*of;
        *of = true;
    }
    for (int i = 0; i < LESION_CLASSES; i++)
        few[i] = counts[i] > 0 && counts[i] < FIGURES_LEAST_POSITIVES;
    free(lesions);
    free(seen);
}

// Above the floor as a whole, below it as a whole, or neither.
static enum verdict judge(const struct estimate *difference, double floor)
{
    if (difference->reason)
        return VERDICT_NOT_ENOUGH;
    return difference->low > floor     ? VERDICT_HOLDS
           : difference->high <= floor ? VERDICT_FAILS
                                       : VERDICT_NOT_ENOUGH;
}

static void compare_group(const struct paired_predictions *paired, struct row_list list, double level,
                          const struct figures_options *options, struct group_comparison *group)
{
    const struct lesion_bootstrap bootstrap = {&paired->one,      list,           level,
                                               difference_figure, (void *)paired, NULL};
    group->n = list.count;
    group->a = group->b = NAN;
    group->mcnemar = compare_right(paired, list);
    if (list.count < FIGURES_LEAST_IMAGES) {
        group->difference = estimate_none(list.count, "fewer than 50 images");
        return;
    }
    group->a = balanced_accuracy_of(&paired->one, list);
    group->b = balanced_accuracy_of(&paired->two, list);
    group->difference = estimate_of(group->b - group->a, lesion_bootstrap(&bootstrap, options), list.count,
                                    "bootstrap by lesion");
    group->difference.level = level;
}

static void compare_class(const struct paired_predictions *paired, const uint32_t *lesions, int label,
                          struct class_comparison *of)
{
    size_t count = paired->one.count, right[2] = {0, 0};
    double *a = memory_alloc((count + 1) * sizeof *a), *b = memory_alloc((count + 1) * sizeof *b);
    bool *positive = memory_alloc((count + 1) * sizeof *positive);
    const struct scored_images images = {positive, lesions, count};
    *of = (struct class_comparison){.sensitivity_a = NAN, .sensitivity_b = NAN, .change_percent = NAN};
    for (size_t i = 0; i < count; i++) {
        const struct prediction_row *one = &paired->one.rows[i], *two = &paired->two.rows[i];
        a[i] = one->p[label];
        b[i] = two->p[label];
        positive[i] = one->label == label;
        of->n += positive[i];
        right[0] += positive[i] && prediction_said(one) == label;
        right[1] += positive[i] && prediction_said(two) == label;
    }
    of->has_auroc = of->n >= FIGURES_LEAST_POSITIVES && count - of->n >= FIGURES_LEAST_POSITIVES;
    if (of->has_auroc)
        of->auroc = auroc_compare(&images, a, b);
    if (of->n > 0) {
        of->sensitivity_a = (double)right[0] / (double)of->n;
        of->sensitivity_b = (double)right[1] / (double)of->n;
    }
    if (right[0] > 0)
        of->change_percent = 100 * (of->sensitivity_b - of->sensitivity_a) / of->sensitivity_a;
    free(a);
    free(b);
    free(positive);
}

static void compare_classes(const struct paired_predictions *paired, struct row_list all,
                            struct comparison *comparison)
{
    uint32_t *lesions = memory_alloc((all.count + 1) * sizeof *lesions);
    predictions_lesions(&paired->one, all.rows, all.count, lesions);
    for (int i = 0; i < LESION_CLASSES; i++)
        compare_class(paired, lesions, i, &comparison->classes[i]);
    free(lesions);
}

// The atypical lesions, less the classes that have few of them.
static void compare_atypical(const struct paired_predictions *paired, const struct figures_options *options,
                             struct group_comparison *group)
{
    const struct predictions *predictions = &paired->one;
    size_t *rows = memory_alloc((predictions->count + 1) * sizeof *rows), count = 0, kept = 0;
    for (size_t i = 0; i < predictions->count; i++)
        if (predictions->rows[i].atypical == 1)
            rows[count++] = i;
    find_few(predictions, (struct row_list){rows, count}, group->few);
    for (size_t i = 0; i < count; i++)
        if (!group->few[predictions->rows[rows[i]].label])
            rows[kept++] = rows[i];
    compare_group(paired, (struct row_list){rows, kept}, ESTIMATE_LEVEL, options, group);
    free(rows);
}

void comparison_judge(const struct paired_predictions *paired, double margin,
                      const struct figures_options *options, struct comparison *comparison)
{
    size_t count = paired->one.count;
    size_t *all = memory_alloc((count + 1) * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = i;
    comparison->n = count;
    comparison->only_a = paired->only_a;
    comparison->only_b = paired->only_b;
    comparison->margin = margin;
    comparison->overall = comparison->atypical = (struct group_comparison){0};
    compare_classes(paired, (struct row_list){all, count}, comparison);
    find_few(&paired->one, (struct row_list){all, count}, comparison->overall.few);
    compare_group(paired, (struct row_list){all, count}, one_sided_level, options, &comparison->overall);
    compare_atypical(paired, options, &comparison->atypical);
    enum verdict overall = comparison->overall.verdict = judge(&comparison->overall.difference, -margin);
    enum verdict better = comparison->atypical.verdict = judge(&comparison->atypical.difference, 0);
    comparison->verdict = overall == VERDICT_FAILS || better == VERDICT_FAILS   ? VERDICT_FAILS
                          : overall == VERDICT_HOLDS && better == VERDICT_HOLDS ? VERDICT_HOLDS
                                                                                : VERDICT_NOT_ENOUGH;
    free(all);
}

// ---- comparison.json ----

static void write_mcnemar(struct json_writer *json, const struct mcnemar *mcnemar)
{
    json_add_object(json, "mcnemar");
    json_add_integer(json, "b", mcnemar->b);
    json_add_integer(json, "c", mcnemar->c);
    json_add_double(json, "p", mcnemar->p);
    json_add_double(json, "mid_p", mcnemar->mid_p);
    json_end_object(json);
}

static void write_delong(struct json_writer *json, const struct comparison *comparison)
{
    json_add_array(json, "delong");
    for (int i = 0; i < LESION_CLASSES; i++) {
        const struct class_comparison *of = &comparison->classes[i];
        if (!of->has_auroc)
            continue;
        json_add_object(json, NULL);
        json_add_text(json, "class", lesion_codes[i]);
        json_add_double(json, "auroc_a", of->auroc.a.estimate);
        json_add_double(json, "auroc_b", of->auroc.b.estimate);
        json_add_double(json, "z", of->auroc.z);
        json_add_double(json, "p", of->auroc.p);
        json_end_object(json);
    }
    json_end_array(json);
}

static void write_classes(struct json_writer *json, const struct comparison *comparison)
{
    json_add_array(json, "classes");
    for (int i = 0; i < LESION_CLASSES; i++) {
        const struct class_comparison *of = &comparison->classes[i];
        json_add_object(json, NULL);
        json_add_text(json, "class", lesion_codes[i]);
        json_add_integer(json, "n", (int64_t)of->n);
        json_add_double(json, "sensitivity_a", of->sensitivity_a);
        json_add_double(json, "sensitivity_b", of->sensitivity_b);
        json_add_double(json, "change_percent", of->change_percent);
        json_end_object(json);
    }
    json_end_array(json);
}

static void write_group(struct json_writer *json, const char *name, const struct group_comparison *group,
                        double margin)
{
    json_add_object(json, name);
    json_add_text(json, "metric", "balanced_accuracy");
    json_add_integer(json, "n", (int64_t)group->n);
    json_add_array(json, "few_lesions");
    for (int i = 0; i < LESION_CLASSES; i++)
        if (group->few[i])
            json_add_text(json, NULL, lesion_codes[i]);
    json_end_array(json);
    json_add_double(json, "margin", margin);
    json_add_double(json, "a", group->a);
    json_add_double(json, "b", group->b);
    estimate_write(json, "difference", &group->difference);
    write_mcnemar(json, &group->mcnemar);
    json_add_text(json, "verdict", verdict_names[group->verdict]);
    json_end_object(json);
}

enum status comparison_write_json(const struct comparison *comparison, struct buffer *out, struct error *err)
{
    struct json_writer json;
    json_write_begin(&json, out, err);
    json_add_object(&json, NULL);
    json_add_text(&json, "schema", "skinsight.comparison.v1");
    json_add_text(&json, "a", comparison->name_a);
    json_add_text(&json, "b", comparison->name_b);
    json_add_integer(&json, "n", (int64_t)comparison->n);
    json_add_integer(&json, "only_a", (int64_t)comparison->only_a);
    json_add_integer(&json, "only_b", (int64_t)comparison->only_b);
    write_mcnemar(&json, &comparison->overall.mcnemar);
    write_delong(&json, comparison);
    write_classes(&json, comparison);
    write_group(&json, "non_inferiority", &comparison->overall, comparison->margin);
    write_group(&json, "superiority_atypical", &comparison->atypical, 0);
    json_add_text(&json, "verdict", verdict_names[comparison->verdict]);
    json_end_object(&json);
    return json_write_end(&json);
}
