// figures.h: how good a model is, from what it said of labelled images. Every figure comes with an interval:
// Wilson's for shares, DeLong's on the logit scale for the area of one class, a bootstrap of whole lesions
// for what is put together from several classes. Where lesions have several images all of them say so:
// Wilson's by its design effect, DeLong's as Obuchowski's. Pure functions.
#ifndef SKINSIGHT_TRAINER_FIGURES_H
#define SKINSIGHT_TRAINER_FIGURES_H

#include "common/statistics/calibration.h"
#include "trainer/estimate.h"
#include "trainer/predictions.h"

enum {
    FIGURES_LEAST_POSITIVES = 10, // for an area under the curve, and a group's melanoma sensitivity
    FIGURES_LEAST_IMAGES = 50,    // for a group's balanced accuracy
    FIGURES_BINS = 15,            // as many images in each, where nothing else is said
    FIGURES_NULL_DRAWS = 200,
    FIGURES_PAIRS = LESION_CLASSES * (LESION_CLASSES - 1),
};

struct figures_options {
    int replicates; // of the bootstrap: 2,000 as a rule
    uint64_t seed;
};

// Some of the rows.
struct row_list {
    const size_t *rows;
    size_t count;
};

struct class_figures {
    size_t n;
    struct estimate sensitivity, specificity, precision, f1, auroc;
    double ece; // of its probability, whether it is the greatest or not
};

struct group_figures {
    size_t n;
    struct estimate balanced_accuracy, melanoma_sensitivity;
};

struct confused_pair {
    int truth, said;
    size_t n;
};

struct figures {
    struct estimate accuracy, balanced_accuracy, macro_auroc, melanoma_sensitivity, melanoma_specificity,
        specificity, ece;
    struct estimate ece_width;     // as ece, in bins of equal width
    struct estimate ece_classwise; // mean of the classes' (Nixon et al. 2019)
    double brier, nll;
    struct class_figures classes[LESION_CLASSES];
    size_t confusion[LESION_CLASSES][LESION_CLASSES]; // truth, said
    struct reliability calibration;
    double ece_null;                           // what ece would be on average if the probabilities were true
    size_t high, medium, low;                  // errors with a confidence above 0.8, from 0.5 to 0.8, below
    struct confused_pair pairs[FIGURES_PAIRS]; // those that occur, the most frequent first
    size_t pair_count;
};

// predictions->count > 0.
void figures_compute(const struct predictions *predictions, const struct figures_options *options,
                     struct figures *figures);
void figures_of_group(const struct predictions *predictions, struct row_list list,
                      const struct figures_options *options, struct group_figures *figures);

// Mean share that is right, over the classes that the rows have.
double balanced_accuracy_of(const struct predictions *predictions, struct row_list list);

// Which probability of melanoma is called melanoma: the greatest threshold t with at least the wanted share
// of the melanomas at p >= t. false: there is no melanoma.
bool threshold_choose(const struct predictions *predictions, double sensitivity, double *threshold);
void threshold_measure(const struct predictions *predictions, double threshold, struct estimate *sensitivity,
                       struct estimate *specificity);

// A bootstrap of whole lesions over some of the rows: figure is asked of rows of the predictions.
struct lesion_bootstrap {
    const struct predictions *predictions;
    struct row_list list;
    double level;
    double (*figure)(void *context, struct row_list list);
    void *context;
    const double *estimate; // of bootstrap.h
};
struct interval lesion_bootstrap(const struct lesion_bootstrap *bootstrap,
                                 const struct figures_options *options);

#endif
