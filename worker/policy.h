// policy.h: the signed-off decision policy ("skinsight.policy.v2" or v1, docs/FORMATS.md): from what is known
// about an image to an action, to whether the model abstains, and to whether a dermatologist looks at it.
// Applied after the cache, so a new policy needs no flush. The built-in one is version 2.0.0. Pure but for
// policy_load; any thread.
#ifndef SKINSIGHT_WORKER_POLICY_H
#define SKINSIGHT_WORKER_POLICY_H

#include <stdbool.h>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/records/lesion.h"
#include "common/records/prediction.h"

enum { POLICY_TEXT_SIZE = 512, POLICY_VERSION_SIZE = 33, REVIEW_HOURS_MOST = 8760 };

// Why an answer abstains: the model should not be relied on for this image.
enum abstain_reason {
    ABSTAIN_LOW_CONFIDENCE,
    ABSTAIN_OUT_OF_DISTRIBUTION,
    ABSTAIN_IMAGE_QUALITY,
    ABSTAIN_REASON_COUNT
};
extern const char *const abstain_reason_names[ABSTAIN_REASON_COUNT];

// Why a dermatologist is to look at an answer.
enum review_reason { REVIEW_LOW_CONFIDENCE, REVIEW_ABSTAINED, REVIEW_REASON_COUNT };
extern const char *const review_reason_names[REVIEW_REASON_COUNT];

struct policy {
    char version[POLICY_VERSION_SIZE];
    struct digest sha256;          // of the file's bytes; of the built-in text
    float urgent[LESION_CLASSES];  // probability from which a class alone is urgent; above 1: never
    float routine[LESION_CLASSES]; // the same for routine
    float routine_malignant;       // MEL + BCC + SCC together
    struct {                       // at the limit itself no answer abstains
        float confidence_below;    // 0: never, as the others
        float ood_quantile_above;  // 1: never
        float sharpness_below, contrast_below;
        float brightness_low, brightness_high; // 0 and 1: never
    } abstain;
    struct {
        int within_h;           // 0: nobody is asked to look
        float confidence_below; // 0: never
        bool abstained;
    } review;
    char fda_clearance[POLICY_TEXT_SIZE];
    char disclaimer[POLICY_TEXT_SIZE];
};

// What a decision rests on.
struct evidence {
    const float *probabilities; // (LESION_CLASSES)
    float ood_quantile;         // NaN: not known, and then it is no reason to abstain
    const struct features *features;
};

struct decision {
    enum lesion_class primary;
    float confidence;                        // of primary
    float malignant;                         // MEL + BCC + SCC
    int risk_score;                          // round(100 * malignant)
    bool abstained;                          // for one reason at least
    bool abstains[ABSTAIN_REASON_COUNT];     // by enum abstain_reason
    enum lesion_action action;               // of an abstained answer at least routine
    int review_within_h;                     // 0: no look is asked for
    bool review[REVIEW_REASON_COUNT];        // by enum review_reason
    enum lesion_class order[LESION_CLASSES]; // most probable first; ties by index
};

// path empty: the built-in policy. REJECTED names the field; FATAL when the file can't be read.
enum status policy_load(struct policy *policy, const char *path, struct error *err) MUST_CHECK;
enum status policy_parse(struct policy *policy, const char *json, size_t size, struct error *err) MUST_CHECK;

void policy_decide(const struct policy *policy, const struct evidence *evidence, struct decision *decision);

// Whether it asks how far an image lies from what the model has learnt, which takes a reference.
bool policy_needs_reference(const struct policy *policy);

// probabilities = softmax(logits / temperature), in double, so that the sum is 1 to float precision.
void policy_probabilities(const float logits[LESION_CLASSES], float temperature,
                          float probabilities[LESION_CLASSES]);

#endif
