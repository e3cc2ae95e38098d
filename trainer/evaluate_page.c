// evaluate_page.c: report.html: what report.json holds, for people, on one page that needs nothing else.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/picture/chart.h"
#include "trainer/clinical_targets.h"

static void draw_origin(struct html *page, const struct evaluation *evaluation)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(&evaluation->weights_sha256, digest);
    html_element(page, "p", "Model %s (%s, %s), weights %.12s. %zu images of %zu lesions, part %s.",
                 evaluation->model_version, evaluation->architecture, evaluation->precision, digest,
                 evaluation->predictions.count, evaluation->lesions, dataset_part_names[evaluation->part]);
    html_element(
        page, "p",
        "In brackets: 95 %% intervals (Wilson for shares and F1, DeLong for the area of one class, both with "
        "fewer trials where lesions have several images; else a bootstrap of whole lesions).");
    if (!evaluation->trained)
        html_warning(page, "The model is not trained for these classes: the figures mean nothing.");
    if (evaluation->part == PART_TRAIN)
        html_warning(page, "These are the images it was trained on: the figures say how well it remembers.");
    if (evaluation->part == PART_VALIDATION)
        html_warning(page, "Temperature and threshold are chosen on these images, and perhaps the epoch.");
    html_warning(page, "Not for clinical use.");
}

static void draw_metrics(struct html *page, const struct evaluation *evaluation)
{
    const struct figures *figures = &evaluation->figures;
    static const char *const headings[] = {"Figure", "Estimate", "Images", NULL};
    const struct {
        const char *name;
        const struct estimate *estimate;
    } shown[] = {{"accuracy", &figures->accuracy},
                 {"balanced accuracy", &figures->balanced_accuracy},
                 {"macro AUROC", &figures->macro_auroc},
                 {"melanoma sensitivity", &figures->melanoma_sensitivity},
                 {"melanoma specificity", &figures->melanoma_specificity},
                 {"specificity (benign called benign)", &figures->specificity},
                 {"expected calibration error", &figures->ece}};
    html_element(page, "h2", "Figures");
    html_table_begin(page, "At the most probable class", headings);
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        html_row_begin(page);
        html_cell(page, "%s", shown[i].name);
        estimate_cell(page, shown[i].estimate);
        html_number(page, "%zu", shown[i].estimate->n);
        html_row_end(page);
    }
    html_table_end(page);
    html_element(page, "p", "Brier score %.4f, negative log-likelihood %.4f.", figures->brier, figures->nll);
}

static void draw_operating_point(struct html *page, const struct operating_point *point)
{
    char sensitivity[ESTIMATE_TEXT_SIZE], specificity[ESTIMATE_TEXT_SIZE];
    html_element(page, "h2", "Melanoma's operating point");
    if (point->reason) {
        html_element(page, "p", "None: %s.", point->reason);
        return;
    }
    html_element(
        page, "p",
        "Called melanoma from a probability of %.17g on: the greatest threshold that finds %.0f %% of "
        "the melanomas of the validation part. On the part reported here: sensitivity %s, "
        "specificity %s. A proposal: a person writes thresholds into the policy.",
        point->threshold, 100 * point->wanted, estimate_text(&point->sensitivity, sensitivity),
        estimate_text(&point->specificity, specificity));
}

static void draw_sensitivities(struct html *page, const struct figures *figures)
{
    struct chart_group groups[LESION_CLASSES] = {0};
    const struct chart chart = {.title = "Sensitivity of each class; warm: malignant group",
                                .x = {.label = "class"},
                                .y = {.label = "sensitivity", .low = 0, .high = 1}};
    for (int i = 0; i < LESION_CLASSES; i++) {
        const struct estimate *of = &figures->classes[i].sensitivity;
        groups[i] = (struct chart_group){
            .label = lesion_codes[i], .values = {of->value}, .colours = {lesion_colours[i]}};
        if (!of->reason) {
            groups[i].low[0] = of->low;
            groups[i].high[0] = of->high;
        }
    }
    chart_bars(page, &chart, groups, LESION_CLASSES, 1, NULL);
}

static void draw_classes(struct html *page, const struct figures *figures)
{
    static const char *const headings[] = {"Class", "Images", "Sensitivity", "Specificity", "Precision",
                                           "F1",    "AUROC",  "ECE",         NULL};
    html_element(page, "h2", "Classes");
    draw_sensitivities(page, figures);
    html_table_begin(page, "Each class against the others", headings);
    for (int i = 0; i < LESION_CLASSES; i++) {
        const struct class_figures *of = &figures->classes[i];
        html_row_begin(page);
        html_cell(page, "%s %s", lesion_codes[i], lesion_names[i]);
        html_number(page, "%zu", of->n);
        estimate_cell(page, &of->sensitivity);
        estimate_cell(page, &of->specificity);
        estimate_cell(page, &of->precision);
        estimate_cell(page, &of->f1);
        estimate_cell(page, &of->auroc);
        html_number(page, "%.4f", of->ece);
        html_row_end(page);
    }
    html_table_end(page);
}

static void draw_confusion(struct html *page, const struct figures *figures)
{
    const char *headings[LESION_CLASSES + 2] = {"Truth"};
    for (int i = 0; i < LESION_CLASSES; i++)
        headings[i + 1] = lesion_codes[i];
    html_element(page, "h2", "Confusion");
    html_table_begin(page, "Rows: the truth. Columns: what the model said", headings);
    for (int truth = 0; truth < LESION_CLASSES; truth++) {
        size_t n = figures->classes[truth].n;
        html_row_begin(page);
        html_cell(page, "%s", lesion_codes[truth]);
        for (int said = 0; said < LESION_CLASSES; said++)
            html_shaded(page, n ? (double)figures->confusion[truth][said] / (double)n : 0, "%zu",
                        figures->confusion[truth][said]);
        html_row_end(page);
    }
    html_table_end(page);
}

// ---- ROC ----

struct scored {
    double score;
    bool positive;
};

static int by_falling_score(const void *left, const void *right)
{
    const struct scored *a = left, *b = right;
    return (a->score < b->score) - (a->score > b->score);
}

struct roc {
    double *x, *y; // false and true positive rate
    size_t count;
};

// One point for each score at which the curve turns.
static void trace_roc(const struct predictions *predictions, int label, struct roc *roc)
{
    size_t count = predictions->count, seen[2] = {0, 0}, all[2] = {0, 0};
    struct scored *scores = memory_alloc((count + 1) * sizeof *scores);
    for (size_t i = 0; i < count; i++) {
        scores[i] = (struct scored){predictions->rows[i].p[label], predictions->rows[i].label == label};
        all[scores[i].positive]++;
    }
    qsort(scores, count, sizeof *scores, by_falling_score);
    roc->x = memory_alloc((count + 2) * sizeof *roc->x);
    roc->y = memory_alloc((count + 2) * sizeof *roc->y);
    roc->count = 1; // from (0, 0)
    for (size_t i = 0; i < count; i++) {
        seen[scores[i].positive]++;
        bool tied = i + 1 < count && scores[i + 1].score == scores[i].score;
        bool straight = i + 1 < count && i > 0 && scores[i + 1].positive == scores[i].positive &&
                        scores[i - 1].positive == scores[i].positive &&
                        scores[i - 1].score != scores[i].score;
        if (tied || straight)
            continue;
        roc->x[roc->count] = (double)seen[0] / (double)all[0];
        roc->y[roc->count++] = (double)seen[1] / (double)all[1];
    }
    free(scores);
}

static void draw_roc(struct html *page, const struct evaluation *evaluation)
{
    static const double ends[] = {0, 1};
    const struct chart chart = {.title = "ROC of each class against the others",
                                .x = {.label = "1 - specificity", .low = 0, .high = 1},
                                .y = {.label = "sensitivity", .low = 0, .high = 1},
                                .width = 560,
                                .height = 460};
    struct chart_series series[LESION_CLASSES + 1] = {
        {.colour = "#888888", .x = ends, .y = ends, .count = 2, .dashed = true}};
    struct roc curves[LESION_CLASSES] = {{0}};
    size_t drawn = 1;
    for (int i = 0; i < LESION_CLASSES; i++) {
        if (evaluation->figures.classes[i].auroc.reason)
            continue;
        trace_roc(&evaluation->predictions, i, &curves[i]);
        series[drawn++] = (struct chart_series){.name = lesion_codes[i],
                                                .colour = lesion_colours[i],
                                                .x = curves[i].x,
                                                .y = curves[i].y,
                                                .count = curves[i].count};
    }
    html_element(page, "h2", "ROC");
    chart_lines(page, &chart, series, drawn);
    for (int i = 0; i < LESION_CLASSES; i++) {
        free(curves[i].x);
        free(curves[i].y);
    }
}

// ---- calibration ----

struct reliability_chart {
    double confidence[CALIBRATION_MOST_BINS], accuracy[CALIBRATION_MOST_BINS];
    double bar_x[CALIBRATION_MOST_BINS][2], bar_y[CALIBRATION_MOST_BINS][2];
    struct chart_series series[CALIBRATION_MOST_BINS + 2];
    size_t bins;
};

static void fill_reliability(const struct reliability *calibration, struct reliability_chart *shown)
{
    static const double ends[] = {0, 1};
    shown->series[0] =
        (struct chart_series){.colour = "#888888", .x = ends, .y = ends, .count = 2, .dashed = true};
    for (int i = 0; i < calibration->bin_count; i++) {
        const struct calibration_bin *bin = &calibration->bins[i];
        if (bin->count == 0)
            continue;
        size_t at = shown->bins++;
        const struct share share = {llround(bin->accuracy * (double)bin->count), (int64_t)bin->count};
        const struct interval interval = interval_wilson(share, ESTIMATE_LEVEL);
        shown->confidence[at] = bin->confidence;
        shown->accuracy[at] = bin->accuracy;
        shown->bar_x[at][0] = shown->bar_x[at][1] = bin->confidence;
        shown->bar_y[at][0] = interval.low;
        shown->bar_y[at][1] = interval.high;
        shown->series[at + 1] = (struct chart_series){
            .colour = "#7fa8c9", .x = shown->bar_x[at], .y = shown->bar_y[at], .count = 2};
    }
    shown->series[shown->bins + 1] = (struct chart_series){.name = "images",
                                                           .colour = "#2e6e9e",
                                                           .x = shown->confidence,
                                                           .y = shown->accuracy,
                                                           .count = shown->bins,
                                                           .dots = true};
}

static void draw_calibration(struct html *page, const struct evaluation *evaluation)
{
    static const char *const headings[] = {"Confidence", "Images", "Mean confidence", "Right", NULL};
    const struct reliability *calibration = &evaluation->figures.calibration;
    const struct chart chart = {.title = "Share that is right, by confidence; bars: 95 % intervals",
                                .x = {.label = "confidence", .low = 0, .high = 1},
                                .y = {.label = "share that is right", .low = 0, .high = 1},
                                .width = 460,
                                .height = 460};
    struct reliability_chart *shown = memory_alloc(sizeof *shown);
    char text[ESTIMATE_TEXT_SIZE], by_width[ESTIMATE_TEXT_SIZE], by_class[ESTIMATE_TEXT_SIZE];
    fill_reliability(calibration, shown);
    html_element(page, "h2", "Calibration");
    chart_lines(page, &chart, shown->series, shown->bins + 2);
    free(shown);
    html_element(page, "p",
                 "Expected calibration error %s; were the probabilities true, it would still be %.4f on "
                 "average with as many images. Temperature %.4f, %s.",
                 estimate_text(&evaluation->figures.ece, text), evaluation->figures.ece_null,
                 evaluation->temperature,
                 evaluation->temperature_images ? "fitted on the validation part" : "the model's own");
    html_element(
        page, "p",
        "In 15 bins of equal width it is %s. Of the probability of each class, mean of the eight: %s.",
        estimate_text(&evaluation->figures.ece_width, by_width),
        estimate_text(&evaluation->figures.ece_classwise, by_class));
    html_table_begin(page, "Bins of equally many images", headings);
    for (int i = 0; i < calibration->bin_count; i++) {
        const struct calibration_bin *bin = &calibration->bins[i];
        if (bin->count == 0)
            continue;
        html_row_begin(page);
        html_cell(page, "%.3f to %.3f", bin->low, bin->high);
        html_number(page, "%zu", bin->count);
        html_number(page, "%.3f", bin->confidence);
        html_number(page, "%.3f", bin->accuracy);
        html_row_end(page);
    }
    html_table_end(page);
}

// ---- groups and errors ----

static void draw_group(struct html *page, const char *by, const char *value,
                       const struct group_figures *figures)
{
    html_row_begin(page);
    html_cell(page, "%s", by);
    html_cell(page, "%s", value);
    html_number(page, "%zu", figures->n);
    estimate_cell(page, &figures->balanced_accuracy);
    estimate_cell(page, &figures->melanoma_sensitivity);
    html_row_end(page);
}

static void draw_groups(struct html *page, const struct evaluation *evaluation)
{
    static const char *const headings[] = {
        "By", "Group", "Images", "Balanced accuracy", "Melanoma sensitivity", NULL};
    html_element(page, "h2", "Atypical lesions and subgroups");
    html_table_begin(page, "Balanced accuracy over the classes that a group has", headings);
    draw_group(page, "atypical", "marked in the data", &evaluation->atypical);
    for (size_t i = 0; i < evaluation->subgroup_count; i++)
        draw_group(page, evaluation->subgroups[i].by, evaluation->subgroups[i].value,
                   &evaluation->subgroups[i].figures);
    html_table_end(page);
    html_element(page, "p",
                 "ita is the individual typology angle of the skin around the lesion in degrees, measured in "
                 "the picture: it depends on the light, and is no Fitzpatrick type.");
}

static void draw_errors(struct html *page, const struct figures *figures)
{
    static const char *const headings[] = {"Truth", "Said", "Images", "Of the class", NULL};
    html_element(page, "h2", "Errors");
    html_element(page, "p", "%zu errors with a confidence above 0.8, %zu from 0.5 to 0.8, %zu below 0.5.",
                 figures->high, figures->medium, figures->low);
    html_table_begin(page, "What is confused most often", headings);
    for (size_t i = 0; i < figures->pair_count && i < 10; i++) {
        const struct confused_pair *pair = &figures->pairs[i];
        html_row_begin(page);
        html_cell(page, "%s", lesion_names[pair->truth]);
        html_cell(page, "%s", lesion_names[pair->said]);
        html_number(page, "%zu", pair->n);
        html_number(page, "%.1f %%", 100.0 * (double)pair->n / (double)figures->classes[pair->truth].n);
        html_row_end(page);
    }
    html_table_end(page);
}

enum status evaluation_write_page(const struct evaluation *evaluation, const struct gallery *gallery,
                                  struct buffer *out, struct error *err)
{
    struct html page;
    html_begin(&page, out, "Evaluation of a model", err);
    draw_origin(&page, evaluation);
    draw_metrics(&page, evaluation);
    draw_operating_point(&page, &evaluation->operating_point);
    clinical_targets_draw(&page, evaluation);
    draw_classes(&page, &evaluation->figures);
    draw_confusion(&page, &evaluation->figures);
    draw_roc(&page, evaluation);
    draw_calibration(&page, evaluation);
    draw_groups(&page, evaluation);
    draw_errors(&page, &evaluation->figures);
    enum status status = gallery ? gallery_draw(&page, evaluation, gallery, err) : STATUS_OK;
    enum status written = html_end(&page);
    return status == STATUS_OK ? written : status;
}
