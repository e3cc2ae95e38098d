// case_split.h: whether what the model says changed because other patients come (case mix), or because it
// answers the same lesions otherwise (remainder).
//
// How the model answers lesions of each class is taken from the labelled ones of the reference, each standing
// for as many as have its action (what Begg and Greenes suppose). From the classes that were said follows the
// mix (BBSE, case_mix.h). Two tests look for what a mix can't explain: whether the mix that fits the classes
// also fits the actions, and whether the report's own labels show each class answered as in the reference. A
// fault that makes lesions of one class look like those of another one shows in labels alone.
//
// Intervals and p come from draws of all counts (parametric bootstrap, seeded), in which pictures are taken
// as independent. Pure.
#ifndef SKINSIGHT_MONITOR_DRIFT_CASE_SPLIT_H
#define SKINSIGHT_MONITOR_DRIFT_CASE_SPLIT_H

#include "common/statistics/interval.h"
#include "monitor/drift/reference.h"

enum {
    CASE_LEAST_OF_CLASS = 10,   // labels; classes with fewer are one group together
    CASE_LEAST_OF_ACTION = 30,  // labels of each action that was advised, in the reference
    CASE_LEAST_OF_REPORT = 200, // the same in the report: with fewer, their test is wrong too often
    CASE_DRAWS = 2000,
    CASE_SEED = 20261201,
};
#define CASE_CONDITION_MOST 20.0 // of the confusion
#define CASE_P              0.01

enum case_verdict { CASE_NO_CHANGE, CASE_MIX, CASE_REMAINDER, CASE_INSUFFICIENT };
extern const char *const case_verdicts[CASE_INSUFFICIENT + 1]; // "case_mix"

// Answers, and those of them whose lesion is known, by its class.
struct case_answers {
    const struct drift_output *all, *known; // known: (LESION_CLASSES)
};

struct case_group {
    double reference, now;                         // share of the answers that said it
    double mix_reference, mix;                     // share of the lesions
    double by_mix, remainder;                      // parts of now - reference
    struct interval mix_interval, by_mix_interval; // NaN: the report's labels show it answered otherwise
    double labels_p; // that the report's labels show it answered as in the reference; NaN: too few
};

struct case_split {
    enum case_verdict verdict;
    const char *reason; // of CASE_INSUFFICIENT
    size_t groups;      // one may hold several classes with few labels
    int group_of[LESION_CLASSES];
    struct case_group of[LESION_CLASSES];
    double condition;
    double change_p, fit_p,
        labels_p;        // that nothing changed; that the mix explains it. labels_p: for all groups
    int64_t n, labelled; // of the report
};
void case_split_of(const struct case_answers *reference, const struct case_answers *now,
                   struct case_split *split);

#endif
