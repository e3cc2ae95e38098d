// reader.h: the simulated model. It reads a lesion as a point in as many dimensions as there are classes,
// Gaussian around its class's corner, and its logits are the logarithms of the classes' true densities there
// times the shares that it has learnt: so its probabilities are calibrated at temperature 1 exactly as long
// as the clinic's shares are those. docs/SIMULATION.md has the formulas.
#ifndef SKINSIGHT_MONITOR_SIMULATE_READER_H
#define SKINSIGHT_MONITOR_SIMULATE_READER_H

#include <stdbool.h>

#include "common/records/lesion.h"
#include "common/records/prediction.h"
#include "monitor/simulate/draws.h"

struct reader {
    double learnt[LESION_CLASSES]; // logarithms of the shares it has learnt
    double urgent;                 // probability of melanoma from which a referral is urgent
};

struct reading {
    float logits[LESION_CLASSES], probabilities[LESION_CLASSES];
    enum lesion_class order[LESION_CLASSES]; // most probable first; ties by index
    float malignant;                         // MEL + BCC + SCC
    enum lesion_action action;               // urgent: flagged as melanoma
    bool low_confidence, far;                // why it abstains
    float entropy_nats;
    struct ood_values ood;
};

// How well a lesion can be read.
struct legibility {
    double clarity;      // 1: as the model has learnt; its class's corner moves nearer to the others'
    double strangeness;  // 1: as the model has learnt; factor of the distance
    bool hides_melanoma; // whatever the lesion is, it does not look like a melanoma
};

void reader_init(struct reader *reader, const double shares[LESION_CLASSES], double urgent);
void reader_read(const struct reader *reader, struct draws *draws, enum lesion_class truth,
                 const struct legibility *legibility, struct reading *reading);

#endif
