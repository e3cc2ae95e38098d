// reference.c: embeddings of two parts of the data, and the reference that they make.
#include "trainer/reference.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "kernels/model/reference_fit.h"

enum { BATCH = 8 };

struct embedder {
    const struct reference_source *source;
    struct plan *plan;
    uint8_t *views; // of a batch
    bool stopped;
};

struct part {
    size_t *samples, count; // of the dataset
    float *embeddings;      // (count, embedding_width)
    int *labels;            // (count)
};

static void part_release(struct part *part)
{
    free(part->samples);
    free(part->embeddings);
    free(part->labels);
}

static enum status part_open(struct part *part, const struct embedder *embedder, enum dataset_part which,
                             size_t least, struct error *err)
{
    const struct dataset *dataset = embedder->source->dataset;
    size_t all;
    part->samples = dataset_part_samples(dataset, which, &all);
    if (all < least)
        return error_set(err, STATUS_REJECTED,
                         "the %s part has %zu images, and a reference of what the model has learnt needs %zu",
                         dataset_part_names[which], all, least);
    part->count = all < embedder->source->most_images ? all : embedder->source->most_images;
    size_t width = (size_t)embedder->plan->embedding_width;
    part->labels = memory_alloc(part->count * sizeof *part->labels);
    part->embeddings = memory_try_alloc(part->count * width * sizeof *part->embeddings);
    if (!part->embeddings)
        return error_set(err, STATUS_FATAL, "no memory for %zu embeddings of %zu values", part->count, width);
    for (size_t i = 0; i < part->count; i++) {
        part->samples[i] = part->samples[i * all / part->count];
        part->labels[i] = dataset->samples[part->samples[i]].label;
    }
    return STATUS_OK;
}

// A class that the model has learnt and the sample has not would be foreign to it.
static enum status check_classes(const struct part *training, const struct dataset *dataset,
                                 struct error *err)
{
    size_t all[LESION_CLASSES], taken[LESION_CLASSES] = {0};
    dataset_count(dataset, PART_TRAIN, all);
    for (size_t i = 0; i < training->count; i++)
        taken[training->labels[i]]++;
    for (int class = 0; class < LESION_CLASSES; class ++)
        if (all[class] > 0 && taken[class] == 0)
            return error_set(
                err, STATUS_REJECTED,
                "of %zu training images taken evenly none is of the class %s, whose lesions would "
                "all look foreign: take more (--sample)",
                training->count, lesion_codes[class]);
    return STATUS_OK;
}

static enum status read_view(const struct embedder *embedder, size_t sample, uint8_t *view, struct error *err)
{
    struct image image = {0};
    enum status status = dataset_picture(embedder->source->dataset, sample, &image, err);
    if (status == STATUS_OK)
        status = preprocess_view(&image, embedder->source->preprocessing, view, err);
    image_release(&image);
    return status;
}

static enum status run_batch(struct embedder *embedder, const size_t *samples, int count, float *embeddings,
                             struct error *err)
{
    const uint8_t *views[BATCH];
    float logits[BATCH * LESION_CLASSES];
    const struct inference inference = {.logits = logits, .embedding = embeddings};
    for (int i = 0; i < count; i++) {
        uint8_t *view = embedder->views + (size_t)i * (size_t)embedder->plan->view_size;
        enum status status = read_view(embedder, samples[i], view, err);
        if (status != STATUS_OK)
            return status;
        views[i] = view;
    }
    return plan_run(embedder->plan, views, count, &inference, err);
}

static enum status part_embed(struct part *part, struct embedder *embedder, struct error *err)
{
    struct progress *progress = embedder->source->progress;
    size_t width = (size_t)embedder->plan->embedding_width;
    for (size_t i = 0; i < part->count && !embedder->stopped; i += BATCH) {
        int count = (int)(part->count - i < BATCH ? part->count - i : BATCH);
        enum status status = run_batch(embedder, part->samples + i, count, part->embeddings + i * width, err);
        if (status != STATUS_OK)
            return status;
        embedder->stopped = embedder->source->stop && embedder->source->stop();
        if (progress) {
            progress->sent = progress->done += (size_t)count;
            progress_update(progress, clock_monotonic_us());
        }
    }
    return STATUS_OK;
}

static void begin_progress(struct progress *progress, size_t images)
{
    if (!progress)
        return;
    progress->verb = "embedded";
    progress->total = images;
    progress->sent = progress->done = 0;
    progress->start_us = clock_monotonic_us();
}

static enum status embed_and_fit(struct embedder *embedder, struct reference_result *result,
                                 struct error *err)
{
    struct part training = {0}, validation = {0};
    enum status status = part_open(&training, embedder, PART_TRAIN, 1, err);
    if (status == STATUS_OK)
        status = check_classes(&training, embedder->source->dataset, err);
    if (status == STATUS_OK)
        status = part_open(&validation, embedder, PART_VALIDATION, REFERENCE_LEAST_IMAGES, err);
    if (status == STATUS_OK) {
        begin_progress(embedder->source->progress, training.count + validation.count);
        status = part_embed(&training, embedder, err);
    }
    if (status == STATUS_OK)
        status = part_embed(&validation, embedder, err);
    if (status == STATUS_OK && !embedder->stopped) {
        const struct embedded_part learnt = {training.embeddings, training.labels, training.count};
        const struct embedded_part others = {validation.embeddings, validation.labels, validation.count};
        result->images[PART_TRAIN] = training.count;
        result->images[PART_VALIDATION] = validation.count;
        status = reference_fit(&learnt, &others, embedder->plan->embedding_width, &result->reference,
                               &result->shrinkage, err);
    }
    part_release(&training);
    part_release(&validation);
    return status;
}

enum status reference_from_data(const struct reference_source *source, struct reference_result *result,
                                struct error *err)
{
    const struct plan_options options = {.precision = PRECISION_FP32, .max_batch = BATCH};
    struct embedder embedder = {.source = source};
    *result = (struct reference_result){0};
    enum status status =
        backend_prepare(source->backend, source->network, source->weights, &options, &embedder.plan, err);
    if (status != STATUS_OK)
        return status;
    embedder.views = memory_alloc(BATCH * (size_t)embedder.plan->view_size);
    status = embed_and_fit(&embedder, result, err);
    if (source->progress)
        progress_clear(source->progress);
    free(embedder.views);
    plan_free(embedder.plan);
    return status;
}
