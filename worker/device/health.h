// health.h: judges whether the device is well and computes right. It only judges: the infer stage asks, and
// acts on the verdict. The device is asked for faults (of its memory, its driver) after every batch, before
// an answer is passed on, and every second while there is none; its figures go to the metrics. The known
// images are computed before the first job, after every device error and every known_answer_batches batches.
// Thread: infer.
#ifndef SKINSIGHT_WORKER_DEVICE_HEALTH_H
#define SKINSIGHT_WORKER_DEVICE_HEALTH_H

#include "worker/served_model.h"

struct health {
    struct served_model *served;
    int64_t interval; // batches between two checks; 0: none
    int64_t batches;  // since the last good check; the infer stage counts them
    int64_t good_at;  // Unix ms: when the last good check began; 0: there was none
    // its own
    int64_t asked;         // for faults, where a test wants one
    int64_t figures_at_ms; // monotonic: when the figures were read; 0: never
    int64_t faults_seen;   // that programs caused, then
};

void health_init(struct health *health, struct served_model *served, int64_t interval);

// Other than GOOD: the device is not to be used any more, and err says why.
enum device_state health_check(struct health *health, struct error *err); // for faults, and by known images
enum device_state health_look(struct health *health, struct error *err);  // for faults, and its figures
bool health_is_check_due(const struct health *health);

#endif
