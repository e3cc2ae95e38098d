// cohort.h: analyses by the week in which they were made (from Monday, UTC), never by when their labels come:
// cancers are known sooner than what turned out to be nothing, so that the newest labels are a biased sample.
// A cohort is mature once COHORT_MATURE_SHARE of its referred lesions have labels, and closed
// COHORT_CLOSED_DAYS after its week; from then on it is frozen: what becomes known later is counted beside
// its figures and changes none of them.
#ifndef SKINSIGHT_MONITOR_LABELS_COHORT_H
#define SKINSIGHT_MONITOR_LABELS_COHORT_H

#include "common/statistics/verification.h"
#include "monitor/labels/labelled.h"

enum {
    COHORTS_MOST = 530,       // ten years
    COHORT_CLOSED_DAYS = 120, // few labels come later
};
#define COHORT_MATURE_SHARE 0.9
// Of the embeddings that are as far away as this one per cent of the validation part's were.
#define COHORT_FAR_QUANTILE 0.99

struct cohort {
    int64_t start; // Monday, Unix ms
    int64_t n, by_action[ACTION_COUNT], by_class[LESION_CLASSES];
    // What the probabilities let expect of all of them.
    double expected_right, expected_melanomas, expected_referred_melanomas;
    int64_t far, placed; // out of distribution, of those whose distance is known
    // Filled by cohorts_close:
    size_t first, end;                                                               // its rows in the list
    int64_t labelled, labelled_action[ACTION_COUNT], labelled_class[LESION_CLASSES]; // that count
    int64_t labelled_later;                                                          // after it was frozen
    double maturity;   // share of the referred that have labels; NaN: nobody was referred
    int64_t frozen_at; // Unix ms; -1: it is open
    bool closed;       // frozen by its age alone
};

struct cohorts {
    struct cohort *items;
    size_t count;
};

// One for each week that from .. to touches. REJECTED: more than COHORTS_MOST.
enum status cohorts_init(struct cohorts *cohorts, int64_t from, int64_t to, struct error *err) MUST_CHECK;
void cohorts_release(struct cohorts *cohorts);
// Counts an analysis of that time. The labelled ones go into the list too, in the same order.
void cohorts_add(struct cohorts *cohorts, const struct analysis *analysis);
// After the walk: who is mature, and which labels count. known_at (Unix ms): the time as of which labels are
// known.
void cohorts_close(struct cohorts *cohorts, const struct labelled_list *list, int64_t known_at);

// Whether a row of the cohort was known when it was frozen.
bool cohort_counts(const struct cohort *cohort, const struct labelled *row);

// Whom the answers called ill, and whom well.
struct verified_groups {
    struct verified_group positive, negative;
};
// Called ill: referred. Diseased: melanoma, or (for the specificity) a lesion of the malignant group; a
// diagnosis outside of the eight is no melanoma, and not known to be benign. Adds to the groups.
void cohort_groups_of_melanoma(const struct cohort *cohort, const struct labelled_list *list,
                               struct verified_groups *groups);
void cohort_groups_of_malignant(const struct cohort *cohort, const struct labelled_list *list,
                                struct verified_groups *groups);

#endif
