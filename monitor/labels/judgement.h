// judgement.h: how good the answers were whose lesions are known, each figure with its interval by drawing
// patients again; beside them what was to be expected of the probabilities alone (confidence-based
// performance estimation), whose difference tells of what the probabilities can't know. Pure functions.
//
// Of the eight classes those with fewer than JUDGEMENT_LEAST_POSITIVES lesions are no part of the macro
// figures. Diagnoses outside of the eight are left out.
#ifndef SKINSIGHT_MONITOR_LABELS_JUDGEMENT_H
#define SKINSIGHT_MONITOR_LABELS_JUDGEMENT_H

#include "common/statistics/auroc.h"
#include "monitor/labels/labelled.h"

enum { JUDGEMENT_LEAST = 50, JUDGEMENT_LEAST_POSITIVES = 10, JUDGEMENT_BINS = 15 };

enum judged_figure {
    JUDGED_ACCURACY,
    JUDGED_BALANCED_ACCURACY, // mean sensitivity over the eligible classes
    JUDGED_MACRO_AUROC,       // mean over the eligible classes of one against the rest
    JUDGED_ECE,               // of the greatest probability, in bins of equal mass
    JUDGED_BRIER,             // mean over the lesions of sum (p - y)^2 over the classes
    JUDGED_ACCURACY_GAP,      // accuracy less mean confidence
    JUDGED_AUROC_GAP,         // macro AUROC less what the probabilities let expect of the same lesions
    JUDGED_FIGURES
};
extern const char *const judged_names[JUDGED_FIGURES]; // "macro_auroc"

struct judgement {
    size_t n, patients; // of the eight classes
    size_t positives[LESION_CLASSES];
    bool eligible[LESION_CLASSES];
    double estimates[JUDGED_FIGURES]; // NaN: too few lesions, or no eligible class
    struct interval intervals[JUDGED_FIGURES];
    int replicates;
    double ece_null;                     // what ece would be on average if the probabilities were true
    struct auroc aurocs[LESION_CLASSES]; // of the eligible ones, with DeLong's variance by patients
};

struct judgement_options {
    uint64_t seed;
    double level;
    double work;  // of resample_replicates
    bool details; // aurocs and ece_null too
};
void judgement_make(const struct labelled *rows, size_t count, const struct judgement_options *options,
                    struct judgement *judgement);

// Whom the area under the curve counts how: each row is a positive with one weight and a negative with the
// other. order: (count) of the scores, ascending; equal_to_next: (count) at places of the order.
struct weighted_ranks {
    const uint32_t *order;
    const bool *equal_to_next;
    size_t count;
};
// positive, negative: (count) at places of the rows. NaN without either. With p and 1 - p as weights it is
// the area that is to be expected where p is the probability of each row (a row against itself counts half).
double weighted_auroc(const struct weighted_ranks *ranks, const double *positive, const double *negative);

#endif
