// engine.h: a model on a device, ready to run: what classify, bench and the service share.
#ifndef SKINSIGHT_WORKER_DEVICE_ENGINE_H
#define SKINSIGHT_WORKER_DEVICE_ENGINE_H

#include "common/base/status.h"
#include "common/program/config.h"
#include "kernels/backend.h"
#include "kernels/model/model.h"

struct engine {
    struct model *model; // its weights stay mapped; a backend that packed them gave the pages back
    struct backend *backend;
    struct plan *plan;
    int64_t batches; // of jobs, that it has run: faults that tests ask for go by them
    char model_sha256[DIGEST_TEXT_SIZE];
    char precision_reason[400]; // why precision auto took what it took; empty where it was named
};

// Opens the options model, backend, precision and threads. REJECTED or FATAL with the sentence. Precision
// auto is the fastest one that the device has and whose agreement with fp32, as the model's directory
// remembers it of the same kind of device, is enough (agreement.h); else fp32.
enum status engine_open(struct engine *engine, const struct config *config, int max_batch,
                        enum explanation explanation, struct error *err) MUST_CHECK;
void engine_close(struct engine *engine); // safe on a zeroed engine

// plan_run. FATAL: the device failed. Thread: the device's.
enum status engine_run(struct engine *engine, const uint8_t *const *views, int count,
                       const struct inference *result, struct error *err) MUST_CHECK;
bool engine_gave_numbers(const float *logits, int count); // (count, LESION_CLASSES); false: not all finite

// Mean over the heads of one image's maps; map has map_height * map_width places.
void engine_mean_map(const struct plan *plan, const float *maps, float *map);
// That mean over one image's view as a PNG, whose buffer it makes: the caller releases it, whatever came out.
enum status engine_draw_map(const struct engine *engine, const uint8_t *view, const float *map,
                            struct buffer *png, struct error *err) MUST_CHECK;
// Says on standard error, once, which precision auto took and why.
void engine_say_precision(const struct engine *engine);
// Warns on standard error, once, when the model is untrained.
void engine_warn_untrained(const struct engine *engine);

#endif
