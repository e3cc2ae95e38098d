// calibration.h: whether probabilities mean what they say. Pure functions on arrays of the caller.
#ifndef SKINSIGHT_COMMON_STATISTICS_CALIBRATION_H
#define SKINSIGHT_COMMON_STATISTICS_CALIBRATION_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/counter_random.h"

enum { CALIBRATION_MOST_BINS = 50 };

struct calibration_bin {
    double low, high; // width bins: the edges, the right one inside; mass bins: least and greatest confidence
    double confidence; // mean; NaN in an empty bin
    double accuracy;   // share that is right; NaN in an empty bin
    size_t count;
};

struct reliability {
    double
        ece; // expected calibration error: mean over the predictions of |confidence - accuracy| of their bin
    double mce; // the greatest of a bin
    struct calibration_bin bins[CALIBRATION_MOST_BINS];
    int bin_count;
};

enum calibration_binning {
    CALIBRATION_WIDTH, // (0, 1/b], (1/b, 2/b], ... (Guo et al. 2017)
    CALIBRATION_MASS,  // as many predictions in each, the first ones one more (Nixon et al. 2019); equal
                       // confidences stay in the caller's order
};

// confidence: (count) in 0 to 1; right: (count). 1 <= bin_count <= CALIBRATION_MOST_BINS. Without predictions
// ece is NaN.
void calibration_measure(const double *confidence, const bool *right, size_t count, int bin_count,
                         enum calibration_binning binning, struct reliability *reliability);
// What the error would be on average if the confidences were true, since it is never 0 in a sample: outcomes
// are drawn from them `draws` times. Mass bins.
double calibration_null_mean(const double *confidence, size_t count, int bin_count, int draws,
                             const struct random_stream *stream);

// Rows of `classes` logits each and the index of the true class. temperature > 0 divides the logits.
struct labelled_logits {
    const double *logits; // (count, classes)
    const int *labels;    // (count)
    size_t count;
    int classes;
};
double nll_of(const struct labelled_logits *rows, double temperature);   // mean of -ln p(label)
double brier_of(const struct labelled_logits *rows, double temperature); // mean of sum (p - y)^2 over classes
// Temperature of the least nll: golden section on its logarithm in [-3, 3] to 1e-8.
double temperature_fit(const struct labelled_logits *rows);

#endif
