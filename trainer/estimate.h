// estimate.h: a figure with its interval and the number of images behind it, or the reason why there is none.
// In JSON it is the estimate of docs/FORMATS.md. Pure functions.
#ifndef SKINSIGHT_TRAINER_ESTIMATE_H
#define SKINSIGHT_TRAINER_ESTIMATE_H

#include "common/base/json_write.h"
#include "common/picture/html.h"
#include "common/statistics/clustered.h"

#define ESTIMATE_LEVEL 0.95

struct estimate {
    double value, low, high;
    double level;
    size_t n;           // images, of a share its trials
    const char *method; // of the interval
    const char *reason; // not NULL: not enough evidence, and there are no values
};

// Wilson's interval; with several images of one lesion that of fewer trials (clustered.h). Without trials
// there is none. lesions: (count).
struct estimate estimate_share(const struct share *lesions, size_t count);
struct estimate estimate_of(double value, struct interval interval, size_t n, const char *method);
struct estimate estimate_none(size_t n, const char *reason);

void estimate_write(struct json_writer *json, const char *name, const struct estimate *estimate);
enum { ESTIMATE_TEXT_SIZE = 96 };
// "0.812 (0.780 to 0.841)", or the reason.
const char *estimate_text(const struct estimate *estimate, char text[ESTIMATE_TEXT_SIZE]);
void estimate_cell(struct html *page, const struct estimate *estimate);

#endif
