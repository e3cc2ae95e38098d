// policy.h: the signed-off decision policy ("skinsight.policy.v1", docs/FORMATS.md): from probabilities to an
// action. Applied after the cache, so a new policy needs no flush. The built-in one is version 1.0.0.
#ifndef SKINSIGHT_WORKER_POLICY_H
#define SKINSIGHT_WORKER_POLICY_H

#include <stdbool.h>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/records/lesion.h"

enum { POLICY_TEXT_SIZE = 512, POLICY_VERSION_SIZE = 33 };

struct policy {
    char version[POLICY_VERSION_SIZE];
    struct digest sha256;          // of the file's bytes; of the built-in text
    float urgent[LESION_CLASSES];  // probability from which a class alone is urgent; above 1: never
    float routine[LESION_CLASSES]; // the same for routine
    float routine_malignant;       // MEL + BCC + SCC together
    float abstain_below;           // an answer less confident than this is at least routine
    char fda_clearance[POLICY_TEXT_SIZE];
    char disclaimer[POLICY_TEXT_SIZE];
};

struct decision {
    enum lesion_class primary;
    float confidence;    // of primary
    float malignant;     // MEL + BCC + SCC
    int risk_score;      // round(100 * malignant)
    bool low_confidence; // the answer abstains
    enum lesion_action action;
    enum lesion_class order[LESION_CLASSES]; // most probable first; ties by index
};

// path empty: the built-in policy. REJECTED names the field; FATAL when the file can't be read.
enum status policy_load(struct policy *policy, const char *path, struct error *err) MUST_CHECK;
enum status policy_parse(struct policy *policy, const char *json, size_t size, struct error *err) MUST_CHECK;

void policy_decide(const struct policy *policy, const float probabilities[LESION_CLASSES],
                   struct decision *decision);

// probabilities = softmax(logits / temperature), in double, so that the sum is 1 to float precision.
void policy_probabilities(const float logits[LESION_CLASSES], float temperature,
                          float probabilities[LESION_CLASSES]);

#endif
