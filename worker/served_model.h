// served_model.h: a model that answers jobs, and everything that this worker knows of its answers. Each job
// points to the one that answers it, from the moment it is inside the pipeline. One is served now; a
// second of these serves another beside it, once batch.c keeps their jobs apart and infer.c checks both.
#ifndef SKINSIGHT_WORKER_SERVED_MODEL_H
#define SKINSIGHT_WORKER_SERVED_MODEL_H

#include "worker/cache/cache_terms.h"
#include "worker/cache/flights.h"
#include "worker/device/engine.h"
#include "worker/device/known_images.h"
#include "worker/device/latency.h"

struct served_model {
    struct engine engine;             // the model, its plan, and the device, whose thread runs it
    struct cache_terms cache_terms;   // what its answers' and maps' keys are made of; read-only
    struct known_images known_images; // of the device's thread
    struct flights flights;           // its jobs that are computed now, and those that ride with them
    struct latency_table latency;     // how long its batches take
};

// Opens the model that the options name; the caller fills in cache_terms. Errors as engine_open's; then it is
// to be closed all the same.
enum status served_model_open(struct served_model *served, const struct config *config, int max_batch,
                              struct error *err) MUST_CHECK;
void served_model_close(struct served_model *served); // safe on a zeroed one

#endif
