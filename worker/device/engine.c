// engine.c: opens model, backend and plan in that order; closes them in the other.
#include "worker/device/engine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/picture/image.h"
#include "kernels/image/overlay.h"
#include "worker/faults.h"

// Adds a clause to the reason; what has no room is left out.
static void add_reason(struct engine *engine, const char *clause)
{
    size_t used = strlen(engine->precision_reason);
    snprintf(engine->precision_reason + used, sizeof engine->precision_reason - used, "%s%s",
             used ? "; " : "", clause);
}

static enum status prepare(struct engine *engine, const struct plan_options *options, struct error *err)
{
    return backend_prepare(engine->backend, engine->model->network, engine->model->weights, options,
                           &engine->plan, err);
}

// Whether the directory's figures allow the precision here; says why either way.
static bool is_allowed(struct engine *engine, enum precision precision)
{
    char reason[160];
    bool allowed = agreement_is_enough(&engine->model->manifest.calibration.precisions[precision], precision,
                                       reason, sizeof reason);
    add_reason(engine, reason);
    return allowed;
}

// int8 products are twice as fast as half precision's, those twice as fast as fp32's, wherever a device has
// them.
static enum status prepare_fastest(struct engine *engine, struct plan_options *options, struct error *err)
{
    static const enum precision order[] = {PRECISION_INT8, PRECISION_FP16, PRECISION_BF16};
    const struct calibration *calibration = &engine->model->manifest.calibration;
    bool usable = calibration->images > 0 && strcmp(calibration->backend, engine->backend->name) == 0;
    if (calibration->images == 0)
        add_reason(engine, "the model is not calibrated (skinsight-trainer quantise)");
    else if (!usable)
        add_reason(engine, "the model was calibrated on another kind of device");
    for (size_t i = 0; usable && i < sizeof order / sizeof *order; i++) {
        options->precision = order[i];
        if (!calibration->precisions[order[i]].measured || !is_allowed(engine, order[i]))
            continue;
        enum status status = prepare(engine, options, err);
        if (status != STATUS_REJECTED)
            return status;
        add_reason(engine, err->message);
    }
    options->precision = PRECISION_FP32;
    return prepare(engine, options, err);
}

static enum status open_plan(struct engine *engine, const struct config *config, struct plan_options *options,
                             struct error *err)
{
    const char *name = config_text(config, "precision");
    if (strcmp(name, "auto") == 0) {
        enum status status = prepare_fastest(engine, options, err);
        if (status == STATUS_OK)
            LOG_INFO("precision_chosen", "precision=%s reason=\"%s\"", precision_names[options->precision],
                     engine->precision_reason);
        return status;
    }
    if (!precision_parse(name, &options->precision))
        return error_set(err, STATUS_REJECTED, "'%s' is not a precision", name);
    return prepare(engine, options, err);
}

enum status engine_open(struct engine *engine, const struct config *config, int max_batch,
                        enum explanation explanation, struct error *err)
{
    memset(engine, 0, sizeof *engine);
    const char *directory = config_text(config, "model");
    if (!*directory)
        return error_set(
            err, STATUS_REJECTED,
            "no model: name its directory with --model DIR (skinsight-trainer import makes one)");
    struct plan_options options = {.max_batch = max_batch, .attention = explanation};
    enum status status = model_open(&engine->model, directory, err);
    if (status == STATUS_OK)
        status = backend_open(&engine->backend, config_text(config, "backend"),
                              (int)config_integer(config, "threads"), err);
    if (status == STATUS_OK)
        status = open_plan(engine, config, &options, err);
    if (status == STATUS_OK)
        status = weights_check_unchanged(engine->model->weights, err); // the plan is made of what was checked
    if (status == STATUS_OK && engine->plan->classes != 8)
        status = error_set(err, STATUS_REJECTED, "model '%s' has %d classes, 8 are needed", directory,
                           engine->plan->classes);
    if (status != STATUS_OK) {
        engine_close(engine);
        return status;
    }
    digest_text(&engine->model->manifest.weights_sha256, engine->model_sha256);
    return STATUS_OK;
}

void engine_close(struct engine *engine)
{
    plan_free(engine->plan);
    backend_close(engine->backend);
    model_close(engine->model);
    memset(engine, 0, sizeof *engine);
}

// The device, and the faults that tests ask for.
enum status engine_run(struct engine *engine, const uint8_t *const *views, int count,
                       const struct inference *result, struct error *err)
{
    int64_t number;
    if (fault_number(FAULT_DEVICE_ERROR_AT, &number) && engine->batches == number)
        return error_set(err, STATUS_FATAL, "the device failed because a test asked for it");
    enum status status = plan_run(engine->plan, views, count, result, err);
    if (fault_number(FAULT_FLIP_AFTER, &number) && engine->batches >= number)
        for (int i = 0; i < count; i++)
            ((uint8_t *)&result->logits[i * LESION_CLASSES])[0] ^= 1; // the lowest bit of the first logit
    return status;
}

bool engine_gave_numbers(const float *logits, int count)
{
    for (int i = 0; i < count * LESION_CLASSES; i++)
        if (!isfinite(logits[i]))
            return false;
    return true;
}

void engine_mean_map(const struct plan *plan, const float *maps, float *map)
{
    int size = plan->map_height * plan->map_width;
    for (int i = 0; i < size; i++) {
        float sum = 0;
        for (int head = 0; head < plan->heads; head++)
            sum += maps[head * size + i];
        map[i] = sum / (float)plan->heads;
    }
}

// What cannot be compressed has a byte more for each row, zlib's and the chunks' heads, and PNG's own.
static size_t png_limit(size_t size)
{
    size_t bytes = size * (3 * size + 1);
    return bytes + bytes / 64 + 4096;
}

enum status engine_draw_map(const struct engine *engine, const uint8_t *view, const float *map,
                            struct buffer *png, struct error *err)
{
    const struct plan *plan = engine->plan;
    int size = engine->model->manifest.image_size;
    struct image picture = {0};
    buffer_init(png, png_limit((size_t)size));
    enum status status = overlay_draw(view, size, map, plan->map_height, plan->map_width, &picture, err);
    if (status == STATUS_OK)
        status = png_encode(&picture, png, err);
    image_release(&picture);
    return status;
}

void engine_say_precision(const struct engine *engine)
{
    if (engine->precision_reason[0])
        fprintf(stderr, "Precision auto is %s: %s.\n", precision_names[engine->plan->precision],
                engine->precision_reason);
}

void engine_warn_untrained(const struct engine *engine)
{
    if (!engine->model->manifest.trained)
        fprintf(stderr, "The model %s is untrained: its diagnoses mean nothing.\n",
                engine->model->manifest.model_version);
}
