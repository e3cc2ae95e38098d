// paired_arms.h: two models on the same images. A pair tells something where one model alone is right: where
// one alone refers the melanoma. Pure functions.
#ifndef SKINSIGHT_MONITOR_COMPARISON_PAIRED_ARMS_H
#define SKINSIGHT_MONITOR_COMPARISON_PAIRED_ARMS_H

#include "common/statistics/auroc.h"
#include "common/statistics/paired.h"
#include "monitor/comparison/arms.h"

// The evidence that stops the comparison, at any time: 1 / alpha for alpha 0.05.
#define PAIRED_EVIDENCE 20.0
#define PAIRED_MARGIN   0.05 // of the sensitivity to melanomas
// The change that the power is told for: one melanoma in a hundred lost, six won.
#define PAIRED_WORSE  0.01
#define PAIRED_BETTER 0.06

// Patients with a melanoma of which it is known what both models said, in the order of their reviews; of
// several melanomas of one the first. Areas are of all images, with a variance by patients.
struct paired_evidence {
    int64_t n;
    struct share found[ARMS];
    struct mcnemar mcnemar;                // b: a alone is right, c: b alone
    double for_b_log, for_a_log;           // of the e-process now: natural logarithms
    double for_b_log_most, for_a_log_most; // the most that it ever was
    // Of b's sensitivity less a's, exactly, for both shares of pairs that differ at once (Bonferroni): holds
    // with 95 % at least, each side with 97.5.
    struct interval difference;
};
struct paired_arms {
    struct paired_evidence all, atypical;
    struct auroc_comparison melanoma_auroc; // b - a has the sign of -z
    bool has_auroc;                         // ten melanomas and ten others at least
    double power;                           // of McNemar's exact test, one-sided, for the change above
};
void paired_arms_judge(const struct arm_pairs *pairs, struct paired_arms *paired);

// The evidence at the end of each day (UTC) on which a melanoma became known, for charts. log_e, at, n
// (melanomas so far): (evidence->n). Returns how many days there were.
size_t paired_arms_course(const struct arm_pairs *pairs, double *log_e, int64_t *at, int64_t *n);

#endif
