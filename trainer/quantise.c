// quantise.c: reads images, sees what the LayerNorms write on half of them, smooths the weights, measures
// each precision on the other half and saves the directory. Main thread.
#include "trainer/quantise.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/collect.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/picture/image.h"
#include "kernels/backend.h"
#include "kernels/compute_known.h"
#include "kernels/model/model.h"
#include "kernels/model/smoothing.h"

enum { MOST_IMAGE_BYTES = 20 << 20, MOST_IMAGE_PIXELS = 100000000 };

struct quantiser {
    const struct quantise_options *options;
    struct model *model;
    struct backend *cpu, *measured; // may be the same
    uint8_t *views;                 // seen images, judged ones, known ones
    size_t view_size;
    int seen, images, known;     // images: of the folder, the seen ones too
    struct smoothing *smoothing; // NULL: it sees nothing of what is run
    int precisions;              // that the device has besides fp32
    float *reference, *logits;   // of the judged and the known: (images - seen + known, LESION_CLASSES)
};

static void step(struct quantiser *quantiser)
{
    struct progress *progress = quantiser->options->progress;
    if (!progress)
        return;
    progress->sent = ++progress->done;
    progress_update(progress, clock_monotonic_us());
}

static enum status read_view(const char *path, const struct preprocessing *preprocessing, uint8_t *view,
                             struct error *err)
{
    struct buffer bytes;
    struct image image = {0};
    buffer_init(&bytes, MOST_IMAGE_BYTES);
    enum status status = file_read(path, &bytes, err);
    if (status == STATUS_OK) {
        status = jpeg_decode(buffer_bytes(&bytes), MOST_IMAGE_PIXELS, &image, err);
        if (status == STATUS_OK)
            status = preprocess_view(&image, preprocessing, view, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    image_release(&image);
    buffer_release(&bytes);
    return status;
}

static void read_known_views(struct quantiser *quantiser)
{
    const struct known_answers *known = &quantiser->model->known_answers;
    quantiser->known = known->count;
    for (int i = 0; i < known->count; i++)
        known_answers_view(known->seeds[i],
                           quantiser->views + (size_t)(quantiser->images + i) * quantiser->view_size,
                           quantiser->view_size);
}

// The files in their order, but every second one after the others: the first half is seen, the second judged.
static const char *path_of(const struct file_list *files, size_t i, size_t wanted)
{
    size_t seen = (wanted + 1) / 2, at = i < seen ? 2 * i : 2 * (i - seen) + 1;
    return files->paths[at * files->count / wanted];
}

// Images that can't be read are told of and left out.
static enum status read_views(struct quantiser *quantiser, const struct file_list *files, struct error *err)
{
    const struct quantise_options *options = quantiser->options;
    const struct manifest *manifest = &quantiser->model->manifest;
    size_t most = (size_t)options->most_images, wanted = files->count < most ? files->count : most;
    quantiser->view_size = (size_t)manifest->image_size * (size_t)manifest->image_size * 3;
    quantiser->views = memory_try_alloc((wanted + KNOWN_ANSWERS_MOST) * quantiser->view_size);
    if (!quantiser->views)
        return error_set(err, STATUS_FATAL, "no memory for %zu images", wanted);
    for (size_t i = 0; i < wanted; i++) {
        const char *path = path_of(files, i, wanted);
        uint8_t *view = quantiser->views + (size_t)quantiser->images * quantiser->view_size;
        struct error complaint;
        if (read_view(path, &manifest->preprocessing, view, &complaint) == STATUS_OK)
            quantiser->images++;
        else
            options->complain(options->complain_context, complaint.message);
        if (2 * i < wanted)
            quantiser->seen = quantiser->images;
    }
    if (quantiser->images < QUANTISE_LEAST_IMAGES)
        return error_set(err, STATUS_REJECTED,
                         "%s has %d JPEG files that can be read; at least %d are needed", options->images,
                         quantiser->images, QUANTISE_LEAST_IMAGES);
    read_known_views(quantiser);
    return STATUS_OK;
}

static int compared(const struct quantiser *quantiser)
{
    return quantiser->images - quantiser->seen + quantiser->known;
}

static enum status load_images(struct quantiser *quantiser, struct error *err)
{
    struct file_list files;
    const struct collect_complaints complaints = {quantiser->options->complain,
                                                  quantiser->options->complain_context};
    file_list_init(&files);
    enum status status = file_list_collect(&files, quantiser->options->images, &complaints, err);
    if (status == STATUS_OK)
        status = read_views(quantiser, &files, err);
    file_list_release(&files);
    if (status == STATUS_OK) {
        size_t count = (size_t)compared(quantiser) * LESION_CLASSES;
        quantiser->reference = memory_alloc(count * sizeof(float));
        quantiser->logits = memory_alloc(count * sizeof(float));
    }
    if (quantiser->options->progress)
        quantiser->options->progress->total =
            (size_t)(1 + quantiser->precisions) * (size_t)compared(quantiser) + (size_t)quantiser->seen;
    return status;
}

// One image at a time: the answers don't depend on the batch.
static enum status run_image(struct quantiser *quantiser, struct plan *plan, int image, float *logits,
                             struct error *err)
{
    const uint8_t *views[] = {quantiser->views + (size_t)image * quantiser->view_size};
    struct inference inference = {.logits = logits};
    enum status status = plan_run(plan, views, 1, &inference, err);
    step(quantiser);
    return status;
}

// Those that are compared.
static enum status run_images(struct quantiser *quantiser, struct plan *plan, float *logits,
                              struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < compared(quantiser) && status == STATUS_OK; i++)
        status = run_image(quantiser, plan, quantiser->seen + i, logits + i * LESION_CLASSES, err);
    return status;
}

static enum status show_images(struct quantiser *quantiser, struct plan *plan, struct error *err)
{
    enum status status = STATUS_OK;
    float logits[LESION_CLASSES];
    for (int i = 0; i < quantiser->seen && status == STATUS_OK; i++)
        status = run_image(quantiser, plan, i, logits, err);
    return status;
}

static void see(void *context, const struct operation *layernorm, const float *row, int columns)
{
    const struct quantiser *quantiser = context;
    if (quantiser->smoothing)
        smoothing_see(quantiser->smoothing, layernorm, row, columns);
}

static enum status find_reference(struct quantiser *quantiser, struct error *err)
{
    const struct model *model = quantiser->model;
    struct smoothing *smoothing = smoothing_new(model->network);
    const struct row_observer observer = {see, quantiser};
    struct plan_options options = {.precision = PRECISION_FP32, .max_batch = 1, .observer = &observer};
    struct plan *plan = NULL;
    enum status status =
        backend_prepare(quantiser->cpu, model->network, model->weights, &options, &plan, err);
    quantiser->smoothing = smoothing;
    if (status == STATUS_OK)
        status = show_images(quantiser, plan, err);
    quantiser->smoothing = NULL;
    if (status == STATUS_OK)
        status = run_images(quantiser, plan, quantiser->reference, err);
    if (status == STATUS_OK)
        smoothing_apply(smoothing, model->weights);
    plan_free(plan);
    smoothing_free(smoothing);
    return status;
}

// A worker compares the known images too: a precision that is wrong there is of no use, however good
// elsewhere.
static struct agreement measure(const struct quantiser *quantiser)
{
    float temperature = quantiser->model->manifest.temperature;
    int judged = quantiser->images - quantiser->seen;
    size_t known = (size_t)judged * LESION_CLASSES;
    struct agreement agreement =
        agreement_measure(quantiser->reference, quantiser->logits, judged, temperature);
    struct agreement at_known = agreement_measure(quantiser->reference + known, quantiser->logits + known,
                                                  quantiser->known, temperature);
    if (at_known.difference > agreement.difference)
        agreement.difference = at_known.difference;
    return agreement;
}

static enum status measure_precision(struct quantiser *quantiser, struct plan *plan, struct error *err)
{
    enum status status = run_images(quantiser, plan, quantiser->logits, err);
    if (status == STATUS_OK)
        quantiser->model->manifest.calibration.precisions[plan->precision] = measure(quantiser);
    return status;
}

// Every precision but fp32 that the device has. REJECTED: none.
static enum status measure_all(struct quantiser *quantiser, struct error *err)
{
    const struct model *model = quantiser->model;
    struct calibration *calibration = &quantiser->model->manifest.calibration;
    *calibration = (struct calibration){0};
    for (int i = PRECISION_FP32 + 1; i < PRECISION_COUNT; i++) {
        struct plan_options options = {.precision = (enum precision)i, .max_batch = 1};
        struct plan *plan = NULL;
        enum status status =
            backend_prepare(quantiser->measured, model->network, model->weights, &options, &plan, err);
        if (status == STATUS_REJECTED)
            continue;
        if (status == STATUS_OK)
            status = measure_precision(quantiser, plan, err);
        plan_free(plan);
        if (status != STATUS_OK)
            return status;
        calibration->images = quantiser->images;
    }
    strcpy(calibration->backend, quantiser->measured->name);
    return STATUS_OK;
}

// Whether there is anything to quantise to, before the work. The sentence is that of the last precision.
static enum status check_precisions(struct quantiser *quantiser, struct error *err)
{
    for (int i = PRECISION_FP32 + 1; i < PRECISION_COUNT; i++) {
        struct plan_options options = {.precision = (enum precision)i, .max_batch = 1};
        struct plan *plan = NULL;
        enum status status = backend_prepare(quantiser->measured, quantiser->model->network,
                                             quantiser->model->weights, &options, &plan, err);
        plan_free(plan);
        if (status == STATUS_FATAL)
            return status;
        quantiser->precisions += status == STATUS_OK;
    }
    if (quantiser->precisions > 0)
        return STATUS_OK;
    error_prefix(err, "nothing to quantise to");
    return STATUS_REJECTED;
}

// Before minutes of work, not after.
static enum status check_directory(const char *directory, struct error *err)
{
    char *path = memory_format("%s/manifest.json", directory);
    bool exists = access(path, F_OK) == 0;
    free(path);
    return exists ? error_set(err, STATUS_REJECTED, "%s holds a model already", directory) : STATUS_OK;
}

static enum status open_all(struct quantiser *quantiser, struct error *err)
{
    const struct quantise_options *options = quantiser->options;
    enum status status = check_directory(options->directory, err);
    if (status == STATUS_OK)
        status = model_open(&quantiser->model, options->model, err);
    if (status == STATUS_OK)
        status = backend_open(&quantiser->cpu, "cpu", options->threads, err);
    if (status == STATUS_OK && strcmp(options->backend, "cpu") == 0)
        quantiser->measured = quantiser->cpu;
    else if (status == STATUS_OK)
        status = backend_open(&quantiser->measured, options->backend, options->threads, err);
    return status;
}

static void close_all(struct quantiser *quantiser)
{
    if (quantiser->measured != quantiser->cpu)
        backend_close(quantiser->measured);
    backend_close(quantiser->cpu);
    model_close(quantiser->model);
    free(quantiser->views);
    free(quantiser->reference);
    free(quantiser->logits);
}

static enum status save(struct quantiser *quantiser, struct error *err)
{
    const struct model *model = quantiser->model;
    struct manifest manifest = model->manifest;
    struct known_answers known;
    known_answers_init(&known);
    enum status status = known_answers_compute(&known, model->network, model->weights, err);
    if (status != STATUS_OK)
        return status;
    // What the head reads is never smoothed: the embeddings, and so their reference, are the model's.
    const struct model_extras extras = {&known, model->reference};
    return model_save(quantiser->options->directory, &manifest, model->weights, &extras, err);
}

enum status quantise_model(const struct quantise_options *options, struct calibration *result,
                           struct error *err)
{
    struct quantiser quantiser = {.options = options};
    enum status status = open_all(&quantiser, err);
    if (status == STATUS_OK)
        status = check_precisions(&quantiser, err);
    if (status == STATUS_OK)
        status = load_images(&quantiser, err);
    if (status == STATUS_OK)
        status = find_reference(&quantiser, err);
    if (status == STATUS_OK)
        status = measure_all(&quantiser, err);
    if (status == STATUS_OK)
        status = save(&quantiser, err);
    if (status == STATUS_OK)
        *result = quantiser.model->manifest.calibration;
    close_all(&quantiser);
    return status;
}
