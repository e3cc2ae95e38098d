// figures.c: counts, areas and bins of predictions, and their intervals.
#include "trainer/figures.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/auroc.h"
#include "common/statistics/bootstrap.h"

static const char by_lesion[] = "bootstrap by lesion";
static const char same_draws[] = "every draw is the same: too few images for an interval";

// ---- the bootstrap ----

struct drawing {
    const struct lesion_bootstrap *bootstrap;
    size_t *rows; // of the predictions, room for a replicate's
    size_t capacity;
};

static double figure_of_replicate(void *context, const size_t *drawn, size_t count)
{
    struct drawing *drawing = context;
    const struct lesion_bootstrap *bootstrap = drawing->bootstrap;
    if (count > drawing->capacity) {
        drawing->capacity = 2 * count;
        drawing->rows = memory_realloc(drawing->rows, drawing->capacity * sizeof *drawing->rows);
    }
    for (size_t i = 0; i < count; i++)
        drawing->rows[i] = bootstrap->list.rows[drawn[i]];
    return bootstrap->figure(bootstrap->context, (struct row_list){drawing->rows, count});
}

struct interval lesion_bootstrap(const struct lesion_bootstrap *bootstrap,
                                 const struct figures_options *options)
{
    size_t count = bootstrap->list.count;
    uint32_t *clusters = memory_alloc((count + 1) * sizeof *clusters);
    struct drawing drawing = {.bootstrap = bootstrap};
    const struct bootstrap drawn = {
        .clusters = clusters,
        .count = count,
        .cluster_count = predictions_lesions(bootstrap->predictions, bootstrap->list.rows, count, clusters),
        .replicates = options->replicates,
        .level = bootstrap->level,
        .seed = options->seed,
        .figure = figure_of_replicate,
        .context = &drawing,
        .estimate = bootstrap->estimate};
    struct interval interval = {NAN, NAN};
    if (count > 0)
        interval = bootstrap_interval(&drawn);
    free(drawing.rows);
    free(clusters);
    return interval;
}

// ---- counts ----

struct counts {
    size_t truth[LESION_CLASSES], said[LESION_CLASSES], right[LESION_CLASSES];
};

static void count_rows(const struct predictions *predictions, struct row_list list, struct counts *counts)
{
    *counts = (struct counts){0};
    for (size_t i = 0; i < list.count; i++) {
        const struct prediction_row *row = &predictions->rows[list.rows[i]];
        int said = prediction_said(row);
        counts->truth[row->label]++;
        counts->said[said]++;
        counts->right[said] += said == row->label;
    }
}

double balanced_accuracy_of(const struct predictions *predictions, struct row_list list)
{
    struct counts counts;
    double sum = 0, classes = 0;
    count_rows(predictions, list, &counts);
    for (int i = 0; i < LESION_CLASSES; i++)
        if (counts.truth[i] > 0) {
            sum += (double)counts.right[i] / (double)counts.truth[i];
            classes++;
        }
    return sum / classes;
}

static double balanced_figure(void *predictions, struct row_list list)
{
    return balanced_accuracy_of(predictions, list);
}

// ---- areas ----

// Of a class against the others.
static struct auroc area_of(const struct predictions *predictions, struct row_list list,
                            const uint32_t *lesions, int label)
{
    double *scores = memory_alloc((list.count + 1) * sizeof *scores);
    bool *positive = memory_alloc((list.count + 1) * sizeof *positive);
    for (size_t i = 0; i < list.count; i++) {
        scores[i] = predictions->rows[list.rows[i]].p[label];
        positive[i] = predictions->rows[list.rows[i]].label == label;
    }
    const struct scored_images images = {positive, lesions, list.count};
    struct auroc auroc = auroc_of(&images, scores);
    free(scores);
    free(positive);
    return auroc;
}

struct macro {
    const struct predictions *predictions;
    bool eligible[LESION_CLASSES];
};

static double macro_figure(void *context, struct row_list list)
{
    const struct macro *macro = context;
    double sum = 0, classes = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        if (macro->eligible[i]) {
            sum += area_of(macro->predictions, list, NULL, i).estimate;
            classes++;
        }
    return sum / classes;
}

// ---- calibration ----

// Which probabilities are measured: those of what is said, or of one class.
struct measured {
    const struct predictions *predictions;
    int label; // -1: of what is said
    enum calibration_binning binning;
};

static void measure_bins(const struct measured *measured, struct row_list list,
                         struct reliability *calibration, double *null_mean)
{
    const struct random_stream stream = {0, 0x65636530}; // "ece0"
    double *confidence = memory_alloc((list.count + 1) * sizeof *confidence);
    bool *right = memory_alloc((list.count + 1) * sizeof *right);
    for (size_t i = 0; i < list.count; i++) {
        const struct prediction_row *row = &measured->predictions->rows[list.rows[i]];
        int label = measured->label < 0 ? prediction_said(row) : measured->label;
        confidence[i] = row->p[label];
        right[i] = label == row->label;
    }
    calibration_measure(confidence, right, list.count, FIGURES_BINS, measured->binning, calibration);
    if (null_mean)
        *null_mean = calibration_null_mean(confidence, list.count, FIGURES_BINS, FIGURES_NULL_DRAWS, &stream);
    free(confidence);
    free(right);
}

static double ece_figure(void *measured, struct row_list list)
{
    struct reliability calibration;
    measure_bins(measured, list, &calibration, NULL);
    return calibration.ece;
}

static double classwise_figure(void *predictions, struct row_list list)
{
    double sum = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += ece_figure(&(struct measured){predictions, i, CALIBRATION_MASS}, list);
    return sum / LESION_CLASSES;
}

static void measure_probabilities(const struct predictions *predictions, struct figures *figures)
{
    double brier = 0, nll = 0;
    for (size_t i = 0; i < predictions->count; i++) {
        const struct prediction_row *row = &predictions->rows[i];
        nll -= log(row->p[row->label]);
        for (int c = 0; c < LESION_CLASSES; c++)
            brier += (row->p[c] - (c == row->label)) * (row->p[c] - (c == row->label));
    }
    figures->brier = brier / (double)predictions->count;
    figures->nll = nll / (double)predictions->count;
}

// ---- errors ----

static int by_frequency(const void *left, const void *right)
{
    const struct confused_pair *a = left, *b = right;
    if (a->n != b->n)
        return a->n < b->n ? 1 : -1;
    return a->truth != b->truth ? a->truth - b->truth : a->said - b->said;
}

static void count_errors(const struct predictions *predictions, struct figures *figures)
{
    for (size_t i = 0; i < predictions->count; i++) {
        const struct prediction_row *row = &predictions->rows[i];
        int said = prediction_said(row);
        figures->confusion[row->label][said]++;
        if (said == row->label)
            continue;
        figures->high += row->p[said] > 0.8;
        figures->medium += row->p[said] >= 0.5 && row->p[said] <= 0.8;
        figures->low += row->p[said] < 0.5;
    }
    for (int truth = 0; truth < LESION_CLASSES; truth++)
        for (int said = 0; said < LESION_CLASSES; said++)
            if (truth != said && figures->confusion[truth][said] > 0)
                figures->pairs[figures->pair_count++] =
                    (struct confused_pair){truth, said, figures->confusion[truth][said]};
    qsort(figures->pairs, figures->pair_count, sizeof figures->pairs[0], by_frequency);
}

// ---- all of them ----

struct computing {
    const struct predictions *predictions;
    const struct figures_options *options;
    struct row_list all;
    uint32_t *lesions; // (all.count)
    size_t lesion_count;
};

static void computing_init(struct computing *computing, const struct predictions *predictions,
                           struct row_list list, const struct figures_options *options)
{
    *computing = (struct computing){predictions, options, list, NULL, 0};
    computing->lesions = memory_alloc((list.count + 1) * sizeof *computing->lesions);
    computing->lesion_count = predictions_lesions(predictions, list.rows, list.count, computing->lesions);
}

// What a row is to a share: no trial of it, or how the trial ended.
enum trial { TRIAL_NONE, TRIAL_LOST, TRIAL_WON };
typedef enum trial trial_of(const struct prediction_row *row, double parameter);

static enum trial ended(bool won)
{
    return won ? TRIAL_WON : TRIAL_LOST;
}

static enum trial is_right(const struct prediction_row *row, double parameter)
{
    (void)parameter;
    return ended(prediction_said(row) == row->label);
}

static enum trial is_found(const struct prediction_row *row, double label)
{
    return row->label == (int)label ? ended(prediction_said(row) == row->label) : TRIAL_NONE;
}

static enum trial is_left_alone(const struct prediction_row *row, double label)
{
    return row->label == (int)label ? TRIAL_NONE : ended(prediction_said(row) != (int)label);
}

static enum trial is_called_rightly(const struct prediction_row *row, double label)
{
    return prediction_said(row) == (int)label ? ended(row->label == (int)label) : TRIAL_NONE;
}

// Of those that are of the class or called it.
static enum trial is_both(const struct prediction_row *row, double label)
{
    int said = prediction_said(row);
    return row->label == (int)label || said == (int)label ? ended(row->label == said) : TRIAL_NONE;
}

// Benign images that are called benign.
static enum trial is_benign(const struct prediction_row *row, double parameter)
{
    (void)parameter;
    return lesion_is_malignant(row->label) ? TRIAL_NONE : ended(!lesion_is_malignant(prediction_said(row)));
}

static enum trial reaches(const struct prediction_row *row, double threshold)
{
    return row->label == LESION_MEL ? ended(row->p[LESION_MEL] >= threshold) : TRIAL_NONE;
}

static enum trial stays_below(const struct prediction_row *row, double threshold)
{
    return row->label == LESION_MEL ? TRIAL_NONE : ended(row->p[LESION_MEL] < threshold);
}

static struct estimate share_of(const struct computing *computing, trial_of *trial, double parameter)
{
    struct share *lesions = memory_alloc((computing->lesion_count + 1) * sizeof *lesions);
    for (size_t i = 0; i < computing->all.count; i++) {
        struct share *lesion = &lesions[computing->lesions[i]];
        enum trial end = trial(&computing->predictions->rows[computing->all.rows[i]], parameter);
        lesion->trials += end != TRIAL_NONE;
        lesion->successes += end == TRIAL_WON;
    }
    struct estimate estimate = estimate_share(lesions, computing->lesion_count);
    free(lesions);
    return estimate;
}

static struct estimate bootstrapped(const struct computing *computing,
                                    double (*figure)(void *context, struct row_list list), void *context)
{
    const struct lesion_bootstrap bootstrap = {
        computing->predictions, computing->all, ESTIMATE_LEVEL, figure, context, NULL};
    double value = figure(context, computing->all);
    if (isnan(value))
        return estimate_none(computing->all.count, "there are no images for it");
    struct interval interval = lesion_bootstrap(&bootstrap, computing->options);
    if (interval.low == interval.high)
        return estimate_none(computing->all.count, same_draws);
    return estimate_of(value, interval, computing->all.count, by_lesion);
}

// Drawing the same images again makes bins more uneven: replicates lie above the estimate.
static struct estimate estimate_ece(const struct computing *computing,
                                    double (*figure)(void *context, struct row_list list), void *context)
{
    double ece = figure(context, computing->all);
    const struct lesion_bootstrap bootstrap = {
        computing->predictions, computing->all, ESTIMATE_LEVEL, figure, context, &ece};
    struct interval interval = lesion_bootstrap(&bootstrap, computing->options);
    if (interval.low == interval.high)
        return estimate_none(computing->all.count, same_draws);
    interval.low = fmax(0, interval.low);
    return estimate_of(ece, interval, computing->all.count, "bootstrap by lesion, moved to the estimate");
}

static void compute_calibration(const struct computing *computing, struct figures *figures)
{
    struct measured said = {computing->predictions, -1, CALIBRATION_MASS};
    struct measured by_width = {computing->predictions, -1, CALIBRATION_WIDTH};
    measure_bins(&said, computing->all, &figures->calibration, &figures->ece_null);
    figures->ece = estimate_ece(computing, ece_figure, &said);
    figures->ece_width = estimate_ece(computing, ece_figure, &by_width);
    figures->ece_classwise = estimate_ece(computing, classwise_figure, (void *)computing->predictions);
    for (int i = 0; i < LESION_CLASSES; i++)
        figures->classes[i].ece =
            ece_figure(&(struct measured){computing->predictions, i, CALIBRATION_MASS}, computing->all);
}

// F1 = 2 J / (1 + J), where J is the share that is right of the images that are of the class or called it: so
// its interval follows from J's.
static double f1_of_share(double share)
{
    return 2 * share / (1 + share);
}

static struct estimate estimate_f1(const struct computing *computing, const struct counts *counts, int label)
{
    size_t right = counts->right[label];
    struct estimate f1 = share_of(computing, is_both, label);
    if (counts->truth[label] == 0)
        return estimate_none(0, "there are no images for it");
    f1.value = 2 * (double)right / (double)(counts->truth[label] + counts->said[label]);
    f1.low = f1_of_share(f1.low);
    f1.high = f1_of_share(f1.high);
    return f1;
}

// Where no negative is above a positive DeLong's variance is 0; then as if the fewer of them were trials, a
// lesion each, all of them won.
static struct estimate estimate_area(const struct auroc *auroc, size_t n, bool repeated)
{
    size_t fewer = auroc->positive_clusters < auroc->negative_clusters ? auroc->positive_clusters
                                                                       : auroc->negative_clusters;
    const struct share share = {auroc->estimate > 0.5 ? (int64_t)fewer : 0, (int64_t)fewer};
    if (auroc->estimate > 0 && auroc->estimate < 1)
        return estimate_of(auroc->estimate, auroc_interval(auroc, ESTIMATE_LEVEL), n,
                           repeated ? "DeLong by lesion (Obuchowski), logit" : "DeLong, logit");
    return estimate_of(auroc->estimate, interval_clopper_pearson(share, ESTIMATE_LEVEL), n,
                       "Clopper-Pearson");
}

static void compute_class(const struct computing *computing, const struct counts *counts, int label,
                          struct class_figures *figures)
{
    size_t n = counts->truth[label], others = computing->all.count - n;
    figures->n = n;
    figures->sensitivity = share_of(computing, is_found, label);
    figures->specificity = share_of(computing, is_left_alone, label);
    figures->precision = share_of(computing, is_called_rightly, label);
    figures->f1 = estimate_f1(computing, counts, label);
    if (n < FIGURES_LEAST_POSITIVES || others < FIGURES_LEAST_POSITIVES) {
        figures->auroc = estimate_none(n, "fewer than 10 images of the class, or of others");
        return;
    }
    struct auroc auroc = area_of(computing->predictions, computing->all, computing->lesions, label);
    figures->auroc =
        estimate_area(&auroc, computing->all.count, computing->lesion_count < computing->all.count);
}

static struct estimate compute_macro(const struct computing *computing, const struct figures *figures)
{
    struct macro macro = {.predictions = computing->predictions};
    int eligible = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        eligible += macro.eligible[i] = !figures->classes[i].auroc.reason;
    if (eligible == 0)
        return estimate_none(computing->all.count, "no class has 10 images");
    return bootstrapped(computing, macro_figure, &macro);
}

static size_t *all_rows(size_t count)
{
    size_t *rows = memory_alloc((count + 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++)
        rows[i] = i;
    return rows;
}

void figures_compute(const struct predictions *predictions, const struct figures_options *options,
                     struct figures *figures)
{
    size_t *rows = all_rows(predictions->count);
    struct computing computing;
    struct counts counts;
    *figures = (struct figures){0};
    computing_init(&computing, predictions, (struct row_list){rows, predictions->count}, options);
    count_rows(predictions, computing.all, &counts);
    for (int i = 0; i < LESION_CLASSES; i++)
        compute_class(&computing, &counts, i, &figures->classes[i]);
    figures->accuracy = share_of(&computing, is_right, 0);
    figures->balanced_accuracy = bootstrapped(&computing, balanced_figure, (void *)predictions);
    figures->macro_auroc = compute_macro(&computing, figures);
    figures->melanoma_sensitivity = figures->classes[LESION_MEL].sensitivity;
    figures->melanoma_specificity = figures->classes[LESION_MEL].specificity;
    figures->specificity = share_of(&computing, is_benign, 0);
    compute_calibration(&computing, figures);
    measure_probabilities(predictions, figures);
    count_errors(predictions, figures);
    free(computing.lesions);
    free(rows);
}

void figures_of_group(const struct predictions *predictions, struct row_list list,
                      const struct figures_options *options, struct group_figures *figures)
{
    struct computing computing;
    struct counts counts;
    computing_init(&computing, predictions, list, options);
    count_rows(predictions, list, &counts);
    figures->n = list.count;
    figures->balanced_accuracy = list.count < FIGURES_LEAST_IMAGES
                                     ? estimate_none(list.count, "fewer than 50 images")
                                     : bootstrapped(&computing, balanced_figure, (void *)predictions);
    size_t melanomas = counts.truth[LESION_MEL];
    figures->melanoma_sensitivity = melanomas < FIGURES_LEAST_POSITIVES
                                        ? estimate_none(melanomas, "fewer than 10 melanomas")
                                        : share_of(&computing, is_found, LESION_MEL);
    free(computing.lesions);
}

// ---- melanoma's operating point ----

static int by_falling_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a < b) - (a > b);
}

bool threshold_choose(const struct predictions *predictions, double sensitivity, double *threshold)
{
    size_t melanomas = 0;
    double *scores = memory_alloc((predictions->count + 1) * sizeof *scores);
    for (size_t i = 0; i < predictions->count; i++)
        if (predictions->rows[i].label == LESION_MEL)
            scores[melanomas++] = predictions->rows[i].p[LESION_MEL];
    qsort(scores, melanomas, sizeof *scores, by_falling_value);
    size_t wanted = 0; // the fewest whose share is enough, as a program that divides sees it
    while (wanted < melanomas && (double)wanted / (double)melanomas < sensitivity)
        wanted++;
    if (melanomas > 0)
        *threshold = scores[wanted > 0 ? wanted - 1 : 0];
    free(scores);
    return melanomas > 0;
}

void threshold_measure(const struct predictions *predictions, double threshold, struct estimate *sensitivity,
                       struct estimate *specificity)
{
    size_t *rows = all_rows(predictions->count);
    struct computing computing;
    computing_init(&computing, predictions, (struct row_list){rows, predictions->count}, NULL);
    *sensitivity = share_of(&computing, reaches, threshold);
    *specificity = share_of(&computing, stays_below, threshold);
    free(computing.lesions);
    free(rows);
}
