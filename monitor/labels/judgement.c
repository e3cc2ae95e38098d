// judgement.c: scores are sorted once, and each replicate is a pass over their order.
#include "monitor/labels/judgement.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/statistics/calibration.h"
#include "monitor/labels/resample.h"

enum { NULL_DRAWS = 200, PURPOSE_NULL = 0x6e756c6c, VISITS_PER_ROW = 3 * LESION_CLASSES };

const char *const judged_names[JUDGED_FIGURES] = {"accuracy", "balanced_accuracy", "macro_auroc", "ece",
                                                  "brier",    "accuracy_gap",      "auroc_gap"};

// The rows of the eight classes, by columns. All arrays have count elements.
struct columns {
    size_t count;
    uint8_t *truth, *said;
    double *confidence, *brier;
    double *probabilities[LESION_CLASSES];
    uint32_t *by_confidence;
    uint32_t *order[LESION_CLASSES];
    bool *equal_to_next[LESION_CLASSES];
    double *positive, *negative; // of one replicate and class
    const bool *eligible;
};

struct placed {
    double score;
    uint32_t row;
};

static int by_score(const void *left, const void *right)
{
    const struct placed *a = left, *b = right;
    int order = (a->score > b->score) - (a->score < b->score);
    return order ? order : (a->row > b->row) - (a->row < b->row);
}

static uint32_t *order_of(const double *scores, size_t count, bool *equal_to_next)
{
    struct placed *placed = memory_alloc((count + 1) * sizeof *placed);
    uint32_t *order = memory_alloc((count + 1) * sizeof *order);
    for (size_t i = 0; i < count; i++)
        placed[i] = (struct placed){scores[i], (uint32_t)i};
    qsort(placed, count, sizeof *placed, by_score);
    for (size_t i = 0; i < count; i++) {
        order[i] = placed[i].row;
        if (equal_to_next)
            equal_to_next[i] = i + 1 < count && placed[i].score == placed[i + 1].score;
    }
    free(placed);
    return order;
}

static void columns_init(struct columns *columns, const struct labelled *rows, size_t count,
                         const bool *eligible)
{
    *columns = (struct columns){.count = count, .eligible = eligible};
    columns->truth = memory_alloc(count + 1);
    columns->said = memory_alloc(count + 1);
    columns->confidence = memory_alloc((count + 1) * sizeof(double));
    columns->brier = memory_alloc((count + 1) * sizeof(double));
    columns->positive = memory_alloc((count + 1) * sizeof(double));
    columns->negative = memory_alloc((count + 1) * sizeof(double));
    for (int c = 0; c < LESION_CLASSES; c++) {
        columns->probabilities[c] = memory_alloc((count + 1) * sizeof(double));
        columns->equal_to_next[c] = memory_alloc(count + 1);
    }
    for (size_t i = 0; i < count; i++) {
        columns->truth[i] = rows[i].truth;
        columns->said[i] = rows[i].said;
        columns->confidence[i] = (double)rows[i].probabilities[rows[i].said];
        for (int c = 0; c < LESION_CLASSES; c++) {
            double p = (double)rows[i].probabilities[c], miss = p - (c == rows[i].truth);
            columns->probabilities[c][i] = p;
            columns->brier[i] += miss * miss;
        }
    }
    columns->by_confidence = order_of(columns->confidence, count, NULL);
    for (int c = 0; c < LESION_CLASSES; c++)
        columns->order[c] = order_of(columns->probabilities[c], count, columns->equal_to_next[c]);
}

static void columns_release(struct columns *columns)
{
    free(columns->truth);
    free(columns->said);
    free(columns->confidence);
    free(columns->brier);
    free(columns->positive);
    free(columns->negative);
    free(columns->by_confidence);
    for (int c = 0; c < LESION_CLASSES; c++) {
        free(columns->probabilities[c]);
        free(columns->equal_to_next[c]);
        free(columns->order[c]);
    }
}

double weighted_auroc(const struct weighted_ranks *ranks, const double *positive, const double *negative)
{
    double area = 0, all_positive = 0, negative_below = 0;
    for (size_t i = 0; i < ranks->count;) {
        double tied_positive = 0, tied_negative = 0;
        bool more = true;
        for (; more; i++) {
            tied_positive += positive[ranks->order[i]];
            tied_negative += negative[ranks->order[i]];
            more = ranks->equal_to_next[i];
        }
        area += tied_positive * (negative_below + tied_negative / 2);
        all_positive += tied_positive;
        negative_below += tied_negative;
    }
    double pairs = all_positive * negative_below;
    return pairs > 0 ? area / pairs : NAN;
}

// expected: of the probabilities instead of the truth.
static double macro_auroc(const struct columns *columns, const uint32_t *times, bool expected)
{
    double sum = 0;
    int classes = 0;
    for (int c = 0; c < LESION_CLASSES; c++) {
        if (!columns->eligible[c])
            continue;
        for (size_t i = 0; i < columns->count; i++) {
            double share = expected ? columns->probabilities[c][i] : columns->truth[i] == c;
            columns->positive[i] = times[i] * share;
            columns->negative[i] = times[i] * (1 - share);
        }
        const struct weighted_ranks ranks = {columns->order[c], columns->equal_to_next[c], columns->count};
        sum += weighted_auroc(&ranks, columns->positive, columns->negative);
        classes++;
    }
    return classes ? sum / classes : NAN;
}

static double balanced_accuracy(const struct columns *columns, const uint32_t *times)
{
    double right[LESION_CLASSES] = {0}, all[LESION_CLASSES] = {0}, sum = 0;
    int classes = 0;
    for (size_t i = 0; i < columns->count; i++) {
        all[columns->truth[i]] += times[i];
        right[columns->truth[i]] += columns->said[i] == columns->truth[i] ? times[i] : 0;
    }
    for (int c = 0; c < LESION_CLASSES; c++)
        if (columns->eligible[c]) {
            sum += all[c] > 0 ? right[c] / all[c] : NAN;
            classes++;
        }
    return classes ? sum / classes : NAN;
}

// In bins of equal mass as calibration_measure cuts them, of rows in the order of their confidence; a row
// that was drawn several times may lie in two bins.
static double ece(const struct columns *columns, const uint32_t *times)
{
    uint64_t all = 0;
    for (size_t i = 0; i < columns->count; i++)
        all += times[i];
    uint64_t each = all / JUDGEMENT_BINS, longer = all % JUDGEMENT_BINS, left_of_row = 0;
    const uint32_t *next = columns->by_confidence;
    double sum = 0;
    size_t row = 0;
    for (uint64_t bin = 0; bin < JUDGEMENT_BINS; bin++) {
        double gap = 0;
        for (uint64_t left = each + (bin < longer); left > 0;) {
            while (left_of_row == 0) {
                row = *next++;
                left_of_row = times[row];
            }
            uint64_t taken = left < left_of_row ? left : left_of_row;
            gap += (double)taken * (columns->confidence[row] - (columns->said[row] == columns->truth[row]));
            left -= taken;
            left_of_row -= taken;
        }
        sum += fabs(gap);
    }
    return all ? sum / (double)all : NAN;
}

static void figures_of(void *context, const uint32_t *times, double *figures)
{
    const struct columns *columns = context;
    double all = 0, right = 0, confidence = 0, brier = 0;
    for (size_t i = 0; i < columns->count; i++) {
        all += times[i];
        right += columns->said[i] == columns->truth[i] ? times[i] : 0;
        confidence += times[i] * columns->confidence[i];
        brier += times[i] * columns->brier[i];
    }
    figures[JUDGED_ACCURACY] = all > 0 ? right / all : NAN;
    figures[JUDGED_BALANCED_ACCURACY] = balanced_accuracy(columns, times);
    figures[JUDGED_MACRO_AUROC] = macro_auroc(columns, times, false);
    figures[JUDGED_ECE] = ece(columns, times);
    figures[JUDGED_BRIER] = all > 0 ? brier / all : NAN;
    figures[JUDGED_ACCURACY_GAP] = all > 0 ? (right - confidence) / all : NAN;
    figures[JUDGED_AUROC_GAP] = figures[JUDGED_MACRO_AUROC] - macro_auroc(columns, times, true);
}

static void add_intervals(const struct columns *columns, const uint32_t *clusters,
                          const struct judgement_options *options, struct judgement *judgement)
{
    double move_to[JUDGED_FIGURES];
    for (int f = 0; f < JUDGED_FIGURES; f++)
        move_to[f] = f == JUDGED_ECE ? judgement->estimates[f] : NAN;
    judgement->replicates = resample_replicates(columns->count, VISITS_PER_ROW, options->work);
    const struct resample resample = {
        .clusters = clusters,
        .count = columns->count,
        .cluster_count = judgement->patients,
        .replicates = judgement->replicates,
        .seed = options->seed,
        .level = options->level,
        .figure_count = JUDGED_FIGURES,
        .figures = figures_of,
        .context = (void *)columns,
        .move_to = move_to,
    };
    resample_intervals(&resample, judgement->intervals);
    struct interval *of_ece = &judgement->intervals[JUDGED_ECE];
    of_ece->low = fmax(0, of_ece->low);
}

static void add_details(const struct columns *columns, const uint32_t *clusters,
                        const struct judgement_options *options, struct judgement *judgement)
{
    const struct random_stream stream = {options->seed, PURPOSE_NULL};
    judgement->ece_null =
        calibration_null_mean(columns->confidence, columns->count, JUDGEMENT_BINS, NULL_DRAWS, &stream);
    bool *is_positive = memory_alloc(columns->count + 1);
    const struct scored_images images = {is_positive, clusters, columns->count};
    for (int c = 0; c < LESION_CLASSES; c++) {
        if (!judgement->eligible[c])
            continue;
        for (size_t i = 0; i < columns->count; i++)
            is_positive[i] = columns->truth[i] == c;
        judgement->aurocs[c] = auroc_of(&images, columns->probabilities[c]);
    }
    free(is_positive);
}

// The rows of the eight classes alone; the caller frees them.
static struct labelled *diagnosed(const struct labelled *rows, size_t count, struct judgement *judgement)
{
    struct labelled *kept = memory_alloc((count + 1) * sizeof *kept);
    for (size_t i = 0; i < count; i++)
        if (rows[i].truth < LESION_CLASSES) {
            kept[judgement->n++] = rows[i];
            judgement->positives[rows[i].truth]++;
        }
    for (int c = 0; c < LESION_CLASSES; c++) {
        size_t positives = judgement->positives[c];
        judgement->eligible[c] =
            positives >= JUDGEMENT_LEAST_POSITIVES && judgement->n - positives >= JUDGEMENT_LEAST_POSITIVES;
    }
    return kept;
}

void judgement_make(const struct labelled *rows, size_t count, const struct judgement_options *options,
                    struct judgement *judgement)
{
    *judgement = (struct judgement){0};
    struct labelled *kept = diagnosed(rows, count, judgement);
    size_t n = judgement->n;
    for (int f = 0; f < JUDGED_FIGURES; f++) {
        judgement->estimates[f] = NAN;
        judgement->intervals[f] = (struct interval){NAN, NAN};
    }
    uint32_t *clusters = memory_alloc((n + 1) * sizeof *clusters);
    judgement->patients = clusters_of(kept, n, clusters);
    if (n >= JUDGEMENT_LEAST) {
        struct columns columns;
        columns_init(&columns, kept, n, judgement->eligible);
        uint32_t *once = memory_alloc((n + 1) * sizeof *once);
        for (size_t i = 0; i < n; i++)
            once[i] = 1;
        figures_of(&columns, once, judgement->estimates);
        add_intervals(&columns, clusters, options, judgement);
        if (options->details)
            add_details(&columns, clusters, options, judgement);
        free(once);
        columns_release(&columns);
    }
    free(clusters);
    free(kept);
}
