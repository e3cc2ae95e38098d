// case_mix.h: which true classes the predicted ones speak of, where the model errs as it did on a held-out
// set and only the mix of patients has changed (BBSE: Lipton, Wang and Smola 2018). Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_CASE_MIX_H
#define SKINSIGHT_COMMON_STATISTICS_CASE_MIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CASE_MIX_MOST_CLASSES = 32 };

struct case_mix {
    double shares[CASE_MIX_MOST_CLASSES]; // of the true classes; none is negative, their sum is 1
    double errors[CASE_MIX_MOST_CLASSES]; // standard errors, the confusion taken as known
    // How many times an error of the predicted shares may be greater in the result (sums of absolute values:
    // the condition number of the 1-norm). Above 20 the model confuses classes too much for this.
    double condition;
    bool clipped;     // a share came out negative: more than the mix has changed
    double remainder; // total variation between the predicted shares and those that the result explains
};

// confusion[predicted * classes + true]: P(predicted | true), columns sum to 1; predicted: counts. classes: 1
// to CASE_MIX_MOST_CLASSES. false: nothing was predicted, or two classes are confused beyond telling.
bool case_mix_estimate(const double *confusion, const int64_t *predicted, size_t classes,
                       struct case_mix *mix);

#endif
