// compare.h: how far the counts of a window lie from those of a reference, feature by feature. Divergences
// describe; p decides. Pure; any thread.
#ifndef SKINSIGHT_MONITOR_DRIFT_COMPARE_H
#define SKINSIGHT_MONITOR_DRIFT_COMPARE_H

#include "monitor/drift/features.h"

enum { DRIFT_LEAST = 200 }; // pictures, on either side, below which nothing is said

// What there is no ground for is NaN.
struct drift_difference {
    int64_t n;          // pictures of the window that have the feature
    int64_t unseen;     // of them, beyond or outside all that the reference has
    bool insufficient;  // fewer than DRIFT_LEAST in the window or in the reference: nothing else is there
    double kl, js, psi; // window from reference, with half a picture more in each bin; js: base 2, a distance
    double w1;          // of numbers: Wasserstein's distance over the reference's standard deviation, each
                        // bin standing at its mean
    double tvd, greatest; // of categories: total variation, greatest difference of a share
    // Two-sample likelihood ratio over the design effect, bins of fewer than five together; histograms have
    // none.
    double g, p;
    double adjusted; // p for the features being many (Benjamini and Hochberg)
};

void drift_compare(const struct drift_tally *window, const struct drift_tally *reference,
                   const struct drift_bins *bins, struct drift_difference differences[DRIFT_FEATURES]);

// One number's kl, whatever the number of pictures; NaN: a side has none.
double drift_number_kl(const struct drift_tally *window, const struct drift_tally *reference, int number);

// The least adjusted p over the counted features alone, which is what looks are judged by; NaN: none has
// enough pictures.
double drift_least_p(const struct drift_tally *window, const struct drift_tally *reference,
                     const struct drift_bins *bins);

#endif
