// arms.h: the answers of two models, as a comparison needs them. Arms are told apart by the version of the
// model today; where the provenance says who was routed where, that will tell them. One thread.
//
// Did both answer the same photographs, they are compared in pairs: a difference then is the models' alone,
// and a tenth of the images is enough. Otherwise each patient went to one arm.
#ifndef SKINSIGHT_MONITOR_COMPARISON_ARMS_H
#define SKINSIGHT_MONITOR_COMPARISON_ARMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/statistics/interval.h"
#include "monitor/archive/analysis.h"

enum { ARM_A, ARM_B, ARMS };
enum { ARM_ANSWERS_MOST = 500000 }; // of each arm

struct arm_answer {
    int64_t at, reviewed_at; // Unix ms
    uint64_t image, subject; // beginnings of digests; subject: analysis_subject
    float melanoma;          // its probability
    float latency_ms;        // from consumed to published; NaN: the answer was not computed for this request
    uint8_t said, action;
    int8_t truth; // enum lesion_class or enum feedback_label; -1: not known
    bool atypical;
};

struct arm_failure {
    int64_t at; // Unix ms
    uint64_t subject;
};

struct arm {
    struct arm_answer *answers; // in the order of time
    size_t count, capacity;
    struct arm_failure *failed;
    size_t failed_count, failed_capacity;
};
struct arms {
    struct arm arm[ARMS];
};

// Zeros are empty arms. In the order of time. REJECTED: the arm, or the list of its failures, is full.
enum status arms_add(struct arms *arms, int arm, const struct analysis *analysis,
                     struct error *err) MUST_CHECK;
void arms_release(struct arms *arms);

// An image that both answered: the first answer of each. truth: what both say, -1: nobody knows yet.
struct arm_pair {
    const struct arm_answer *answers[ARMS];
    int truth;
    bool atypical;
    int64_t reviewed_at;
};
struct arm_pairs {
    struct arm_pair *items; // by the time of the review, then by image
    size_t count;
    size_t contradictory; // images whose labels differ by arm: left out
};
struct arm_pairs arms_pair(const struct arms *arms); // the caller frees the items

// Whether as many as half of the smaller arm's answers are in pairs.
bool arms_are_paired(const struct arms *arms, const struct arm_pairs *pairs);

#endif
