// known_images.c: computes the images made from seeds and compares their answers.
#include "worker/device/known_images.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "worker/policy.h"

// fp32 backends differ in the order of their sums alone. The others round every value; what counts there is
// what a reader of the answer sees.
static const float logits_tolerance = 1e-4f; // of the largest minus the smallest logit
static const float probability_tolerance = 0.03f;

void known_images_init(struct known_images *images, const struct engine *engine)
{
    const struct plan *plan = engine->plan;
    size_t map_size = (size_t)(plan->heads * plan->map_height * plan->map_width);
    *images = (struct known_images){.known = engine->model->known_answers};
    images->has_stored = images->known.count > 0 && !engine->backend->simulated;
    if (images->known.count == 0)
        known_answers_init(&images->known);
    for (int i = 0; i < images->known.count; i++) {
        images->views[i] = memory_alloc((size_t)plan->view_size);
        known_answers_view(images->known.seeds[i], images->views[i], (size_t)plan->view_size);
    }
    images->maps = map_size ? memory_alloc(map_size * sizeof(float)) : NULL;
}

void known_images_release(struct known_images *images)
{
    for (int i = 0; i < images->known.count; i++)
        free(images->views[i]);
    free(images->maps);
}

static enum status compare_logits(const float stored[LESION_CLASSES], const float found[LESION_CLASSES],
                                  struct error *err)
{
    float least = stored[0], most = stored[0];
    for (int i = 1; i < LESION_CLASSES; i++) {
        least = fminf(least, stored[i]);
        most = fmaxf(most, stored[i]);
    }
    for (int i = 0; i < LESION_CLASSES; i++)
        if (!(fabsf(found[i] - stored[i]) <= logits_tolerance * (most - least))) // also when it is no number
            return error_set(err, STATUS_FATAL, "logit %s is %.9g, known is %.9g", lesion_codes[i],
                             (double)found[i], (double)stored[i]);
    return STATUS_OK;
}

static enum status compare_probabilities(const float stored[LESION_CLASSES],
                                         const float found[LESION_CLASSES], float temperature,
                                         struct error *err)
{
    float known[LESION_CLASSES], given[LESION_CLASSES];
    policy_probabilities(stored, temperature, known);
    policy_probabilities(found, temperature, given);
    for (int i = 0; i < LESION_CLASSES; i++)
        if (!isfinite(found[i]) || !(fabsf(given[i] - known[i]) <= probability_tolerance))
            return error_set(err, STATUS_FATAL, "probability of %s is %.4f, known is %.4f", lesion_codes[i],
                             (double)given[i], (double)known[i]);
    return STATUS_OK;
}

enum status known_images_compare(const float stored[LESION_CLASSES], const float found[LESION_CLASSES],
                                 const struct answer_tolerance *tolerance, struct error *err)
{
    if (tolerance->precision == PRECISION_FP32)
        return compare_logits(stored, found, err);
    return compare_probabilities(stored, found, tolerance->temperature, err);
}

static enum device_state check_image(struct known_images *images, struct engine *engine, int index,
                                     struct error *err)
{
    struct answer_tolerance tolerance = {engine->plan->precision, engine->model->manifest.temperature};
    float logits[LESION_CLASSES];
    const struct inference result = {.logits = logits, .attention = images->maps};
    const uint8_t *views[] = {images->views[index]};
    enum status status = engine_run(engine, views, 1, &result, err);
    if (status != STATUS_OK)
        return DEVICE_LOST;
    if (!images->has_own)
        memcpy(images->own[index], logits, sizeof logits);
    else if (memcmp(images->own[index], logits, sizeof logits) != 0)
        status = error_set(err, STATUS_FATAL, "it was computed before with other bits");
    if (status == STATUS_OK && images->has_stored)
        status = known_images_compare(images->known.logits[index], logits, &tolerance, err);
    return status == STATUS_OK ? DEVICE_GOOD : DEVICE_WRONG;
}

// Whether the plan's precision is known to give this model's answers on this kind of device, those to known
// images too (quantise measures them): if it does not, the device is to blame.
static bool is_trusted_precision(const struct engine *engine)
{
    const struct calibration *calibration = &engine->model->manifest.calibration;
    const struct agreement *agreement = &calibration->precisions[engine->plan->precision];
    return engine->plan->precision == PRECISION_FP32 ||
           (agreement->measured && strcmp(calibration->backend, engine->backend->name) == 0 &&
            agreement->difference <= (double)probability_tolerance);
}

// wrong: it gave another answer, and had given none before.
static void blame(const struct engine *engine, int index, bool wrong, struct error *err)
{
    if (wrong && !is_trusted_precision(engine))
        error_prefix(
            err,
            "model '%s' gives other answers in %s than those known (image %d); run it in fp32, or "
            "calibrate it with 'skinsight-trainer quantise'; where fp32 fails too, the device is bad",
            engine->model->manifest.model_version, precision_names[engine->plan->precision], index + 1);
    else
        error_prefix(err, "device '%.60s' fails known image %d", engine->backend->device, index + 1);
}

enum device_state known_images_check(struct known_images *images, struct engine *engine, struct error *err)
{
    enum device_state state = DEVICE_GOOD;
    for (int i = 0; i < images->known.count && state == DEVICE_GOOD; i++) {
        state = check_image(images, engine, i, err);
        if (state != DEVICE_GOOD)
            blame(engine, i, state == DEVICE_WRONG && !images->has_own, err);
    }
    images->has_own |= state == DEVICE_GOOD;
    return state;
}

enum status known_images_check_once(struct engine *engine, struct error *err)
{
    struct known_images images;
    if (engine->backend->simulated || engine->model->known_answers.count == 0)
        return STATUS_OK;
    known_images_init(&images, engine);
    enum device_state state = known_images_check(&images, engine, err);
    known_images_release(&images);
    return state == DEVICE_GOOD ? STATUS_OK : STATUS_FATAL;
}
