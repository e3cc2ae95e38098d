// features.h: what the provenance of an answer says about its image: numbers for watching drift, computed on
// the network's view (224 x 224 RGB), so that all images are comparable whatever their size.
#ifndef SKINSIGHT_WORKER_STAGES_FEATURES_H
#define SKINSIGHT_WORKER_STAGES_FEATURES_H

#include <stdint.h>

#include "common/records/prediction.h"

// Fills everything but entropy_nats, which becomes 0. view: size * size * 3 bytes of RGB, 1 <= size <= 1024.
// The sums are integers: the same view gives the same numbers on every machine. Any thread.
void features_of_view(const uint8_t *view, int size, struct features *features);

#endif
