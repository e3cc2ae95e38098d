// guardrails.h: what a new model may not make worse, whatever else it makes better: balanced accuracy by more
// than one point, the 99th percentile of the latency by more than 50 ms. Met where the whole interval of the
// difference lies within the margin, broken where all of it lies beyond; else there is not enough evidence.
#ifndef SKINSIGHT_MONITOR_COMPARISON_GUARDRAILS_H
#define SKINSIGHT_MONITOR_COMPARISON_GUARDRAILS_H

#include "monitor/comparison/arms.h"

#define GUARDRAIL_ACCURACY_LOSS 0.01
#define GUARDRAIL_LATENCY_MS    50.0
enum {
    GUARDRAIL_LEAST_LATENCIES = 299, // of each arm: with fewer the P99 has no upper bound
    GUARDRAIL_LEAST_CLUSTERS = 20,   // patients or hours: drawing fewer again shows too little
    GUARDRAIL_SEED = 20261202,
};

enum guardrail_state { GUARDRAIL_INSUFFICIENT, GUARDRAIL_OK, GUARDRAIL_BROKEN };
extern const char *const guardrail_state_names[]; // "insufficient"

struct guardrail {
    const char *name;
    enum guardrail_state state;
    double difference;        // of b - a; NaN: not enough
    struct interval interval; // 95 %
    double margin;            // on the scale of the difference
    int64_t n[ARMS];
};

// An answer to a lesion that is known. Balanced accuracy is over the classes with ten lesions in either arm;
// the interval draws patients, and both answers to an image together.
struct known_answer {
    uint64_t subject;
    uint8_t arm, truth; // enum lesion_class
    bool right;
};
struct guardrail guardrail_balanced_accuracy(const struct known_answer *answers, size_t count);
// The interval draws whole hours: what is slow at once is slow for all.
struct guardrail guardrail_latency(const struct arms *arms);

#endif
