// power_receipt.h: what a comparison of two models can tell, before it begins: its power with the melanomas
// that it will see, and how many would do. A design that cannot decide is not started: after a fortnight it
// would say "not significant", and that would be taken for "no worse". Pure functions.
#ifndef SKINSIGHT_MONITOR_COMPARISON_POWER_RECEIPT_H
#define SKINSIGHT_MONITOR_COMPARISON_POWER_RECEIPT_H

#include <stdbool.h>
#include <stdint.h>

// A sensitivity that rises from p0 (a) to p1 (b), one-sided.
struct power_design {
    bool paired;      // the same images: n_a pairs, judged by McNemar's exact test; else by Fisher's
    double p0, p1;    // 0 < p0 < p1 < 1
    double worse;     // paired: share of the melanomas that a alone finds
    int64_t n_a, n_b; // melanomas; paired: n_a alone
    double alpha;
    double wanted; // power
    double margin; // of non-inferiority at p0, for which the size is told beside
};

struct power_receipt {
    double power; // by the exact test; of more than TWO_BY_TWO_MOST_TRIALS by normal theory
    bool decides; // the power is as wanted
    // Melanomas that would do: in arms of the design's ratio, in equal arms, as pairs. exact: by the tests
    // themselves; else by normal theory, or (pairs) 0: no number of them that is tried would do.
    struct power_size {
        int64_t a, b;
        bool exact;
    } same_ratio, equal_arms, pairs;
    int64_t not_worse_a, not_worse_b; // for non-inferiority, in the design's ratio
};
enum { POWER_MELANOMAS_MOST = 1000000 };
// Of the design's melanomas; NaN where an arm has none.
double power_of_design(const struct power_design *design);
void power_receipt_make(const struct power_design *design, struct power_receipt *receipt);

#endif
