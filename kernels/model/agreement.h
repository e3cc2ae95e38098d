// agreement.h: how far a precision's answers lie from fp32's on a set of images, what a model directory
// remembers of it ("calibration" in manifest.json, docs/FORMATS.md), and whether it is near enough to be
// chosen by precision "auto". Pure functions, any thread.
#ifndef SKINSIGHT_KERNELS_MODEL_AGREEMENT_H
#define SKINSIGHT_KERNELS_MODEL_AGREEMENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "kernels/network/precision.h"

struct agreement {
    bool measured;
    double difference; // 99th percentile over the images of each one's greatest difference of a probability
    double first;      // share of the decided images whose most probable class is the same
    int decided;       // images whose two most probable classes differ by at least 0.02 in fp32
};

struct calibration {
    int images;       // that were read, half of them to be judged; 0: never calibrated
    char backend[16]; // that it was measured on
    struct agreement precisions[PRECISION_COUNT];
};

// Logits (images, LESION_CLASSES) of fp32 and of another precision.
struct agreement agreement_measure(const float *reference, const float *other, int images, float temperature);

// Fewer decided images show too little to choose by: where 100 of 100 are alike, 3 % of all may differ yet.
enum { AGREEMENT_LEAST_DECIDED = 100 };

// The reason in words, with the figures, either way. Tolerances: bf16 and fp16 0.01 and 99.5 %, int8 0.03 and
// 98.5 %.
bool agreement_is_enough(const struct agreement *agreement, enum precision precision, char *reason,
                         size_t size);

// json NULL: never calibrated. REJECTED names the field.
enum status calibration_read(const cJSON *json, struct calibration *calibration,
                             struct error *err) MUST_CHECK;
void calibration_write(const struct calibration *calibration,
                       cJSON *manifest); // adds nothing where images is 0

#endif
