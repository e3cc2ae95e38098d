// split_arms.h: two models on different patients: shares of melanomas that were referred, looked at four
// times on the way to the planned number, and whether the split is the one that was planned. Pure functions.
//
// The plan: b's sensitivity is not lower than a's by 5 points, one-sided 0.05, power 0.8, where both are
// 0.90, with arms of the sizes that are seen; looks at a quarter, half, three quarters and all of the
// information with O'Brien and Fleming's spending. A look takes the melanomas in the order of their reviews.
// Melanomas, failures and labels are counted by patients, the first melanoma of each; latencies by hours.
#ifndef SKINSIGHT_MONITOR_COMPARISON_SPLIT_ARMS_H
#define SKINSIGHT_MONITOR_COMPARISON_SPLIT_ARMS_H

#include "common/statistics/means.h"
#include "monitor/comparison/arms.h"

#define SPLIT_SHARE  0.90
#define SPLIT_BETTER 0.95 // that the power of Fisher's test is told for
#define SPLIT_MARGIN 0.05
// The atypical melanomas, where the rise is to be shown: today's share, and the least that is wanted.
#define SPLIT_ATYPICAL_SHARE  0.684
#define SPLIT_ATYPICAL_BETTER 0.80
#define SPLIT_ALPHA           0.05
#define SPLIT_POWER           0.8
#define SPLIT_RATIO_P         0.001 // below it nothing else means anything
enum {
    SPLIT_LOOKS = 4,
    SPLIT_BOSCHLOO_MOST = 4000, // melanomas; with more it takes seconds, and says what Fisher's test says
};

struct split_look {
    double information; // planned share
    double limit;       // of each z
    bool done;
    int64_t n[ARMS];
    double not_worse, better, worse; // z of b - a + margin, b - a, a - b
};
struct split_evidence {
    struct share found[ARMS];
    struct interval difference; // of b - a, Newcombe's, 90 %: each side 95
    double information;         // share of the planned; 0 where an arm has none
    struct split_look looks[SPLIT_LOOKS];
    bool not_worse, better, worse; // at a look that was done
    // Probability that b is better at the last look, if what the newest one has seen goes on (Lan and Wittes
    // 1988). It decides nothing: below 0.1 there is little point in going on. NaN: no look, or all of them.
    double conditional_power;
};
struct split_arms {
    struct split_evidence all, atypical;
    int64_t planned[ARMS], planned_atypical[ARMS]; // melanomas
    double fisher_p;                               // that b's share is greater; NaN: an arm has no melanoma
    double boschloo_p;                             // the same; NaN with more than SPLIT_BOSCHLOO_MOST too
    double power;                                  // of Fisher's test with the melanomas that there are
    struct welch latency;                          // b - a, its spread that between hours
    // The split of patients, answered or failed, against the planned one, and whether the arms failed, and
    // got labels, equally often. Where no share is registered, it is the nearest step of the ramp 1, 5, 10,
    // 25, 50 %. All of it while both get patients: from the later of both arms' first answers or failures to
    // the earlier of their last ones.
    double planned_share_b;
    bool share_is_registered;
    int64_t patients[ARMS];
    double ratio_p, failed_p,
        labelled_p; // NaN: an arm has none then; the last two also: none or all of them did
};
// share_b: of the patients, as registered; NaN: none is.
void split_arms_judge(const struct arms *arms, double share_b, struct split_arms *split);

#endif
