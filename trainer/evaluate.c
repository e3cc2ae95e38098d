// evaluate.c: runs a model over two parts of the data, fits the temperature on one, judges the other, and
// writes the figures. Main thread; the backend has a team of its own.
#include "trainer/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "kernels/backend.h"
#include "trainer/lineage.h"
#include "trainer/output.h"

enum { BATCH = 8, FIT_LEAST_IMAGES = 50 };

// A part of the data and what the network gave for it.
struct answered_part {
    size_t *samples, count; // of the dataset
    float *logits;          // (count, LESION_CLASSES)
};

struct evaluator {
    const struct evaluate_options *options;
    struct evaluation *evaluation;
    struct model *model;
    struct backend *backend;
    struct dataset *dataset;
    struct plan *plan;
    uint8_t *views; // of a batch
    struct answered_part parts[DATASET_PARTS];
};

static enum status open_all(struct evaluator *evaluator, struct error *err)
{
    const struct evaluate_options *options = evaluator->options;
    if (options->store && options->part != PART_TEST)
        return error_set(
            err, STATUS_REJECTED,
            "a model's directory keeps a report of images that nothing was chosen on: leave --store "
            "out, or give --part test");
    enum status status = model_open(&evaluator->model, options->model, err);
    if (status == STATUS_OK)
        status = backend_open(&evaluator->backend, "cpu", options->threads, err);
    if (status != STATUS_OK)
        return status;
    const struct model *model = evaluator->model;
    const struct plan_options plan_options = {.precision = options->precision,
                                              .max_batch = BATCH,
                                              .attention =
                                                  options->pictures ? EXPLAIN_LAST : EXPLAIN_NOTHING};
    status = backend_prepare(evaluator->backend, model->network, model->weights, &plan_options,
                             &evaluator->plan, err);
    if (status == STATUS_OK)
        status = output_make(options->folder, err); // before minutes of work
    if (status == STATUS_OK)
        status = dataset_open(&evaluator->dataset, &options->data, err);
    if (status == STATUS_OK)
        evaluator->views = memory_alloc(BATCH * (size_t)evaluator->plan->view_size);
    return status;
}

static void close_all(struct evaluator *evaluator)
{
    for (int i = 0; i < DATASET_PARTS; i++) {
        free(evaluator->parts[i].samples);
        free(evaluator->parts[i].logits);
    }
    free(evaluator->views);
    plan_free(evaluator->plan);
    backend_close(evaluator->backend);
    model_close(evaluator->model);
    dataset_free(evaluator->dataset);
}

static void step(const struct evaluator *evaluator, size_t images)
{
    struct progress *progress = evaluator->options->data.progress;
    if (!progress)
        return;
    progress->sent = progress->done += images;
    progress_update(progress, clock_monotonic_us());
}

static enum status read_view(const struct evaluator *evaluator, size_t sample, uint8_t *view,
                             struct error *err)
{
    struct image image = {0};
    enum status status = dataset_picture(evaluator->dataset, sample, &image, err);
    if (status == STATUS_OK)
        status = preprocess_view(&image, &evaluator->model->manifest.preprocessing, view, err);
    image_release(&image);
    return status;
}

static enum status run_batch(struct evaluator *evaluator, const size_t *samples, int count, float *logits,
                             struct error *err)
{
    const struct plan *plan = evaluator->plan;
    const uint8_t *views[BATCH];
    size_t map = (size_t)plan->heads * (size_t)plan->map_height * (size_t)plan->map_width;
    float *maps = plan->heads ? memory_alloc(BATCH * map * sizeof *maps) : NULL; // nobody looks at them yet
    enum status status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        uint8_t *view = evaluator->views + (size_t)i * (size_t)plan->view_size;
        views[i] = view;
        status = read_view(evaluator, samples[i], view, err);
    }
    const struct inference inference = {.logits = logits, .attention = maps};
    if (status == STATUS_OK)
        status = plan_run(evaluator->plan, views, count, &inference, err);
    free(maps);
    return status;
}

static enum status run_part(struct evaluator *evaluator, enum dataset_part which, struct error *err)
{
    struct answered_part *part = &evaluator->parts[which];
    enum status status = STATUS_OK;
    if (part->logits)
        return STATUS_OK; // the part that is reported is the validation part
    part->logits = memory_alloc((part->count + 1) * LESION_CLASSES * sizeof *part->logits);
    for (size_t i = 0; i < part->count && status == STATUS_OK; i += BATCH) {
        int count = (int)(part->count - i < BATCH ? part->count - i : BATCH);
        status = run_batch(evaluator, part->samples + i, count, part->logits + i * LESION_CLASSES, err);
        step(evaluator, (size_t)count);
    }
    return status;
}

static enum status run_parts(struct evaluator *evaluator, struct error *err)
{
    enum dataset_part part = evaluator->options->part;
    struct progress *progress = evaluator->options->data.progress;
    const enum dataset_part wanted[] = {PART_VALIDATION, part};
    for (int i = 0; i < DATASET_PARTS; i++)
        evaluator->parts[i].samples =
            dataset_part_samples(evaluator->dataset, (enum dataset_part)i, &evaluator->parts[i].count);
    if (evaluator->parts[part].count == 0)
        return error_set(err, STATUS_REJECTED,
                         "%s has no image in the part '%s': --part names another, or a column split does",
                         evaluator->options->data.data, dataset_part_names[part]);
    if (progress) {
        size_t others = part == PART_VALIDATION ? 0 : evaluator->parts[PART_VALIDATION].count;
        progress->total = evaluator->parts[part].count + others;
        progress->sent = progress->done = 0;
        progress->start_us = clock_monotonic_us();
        progress->verb = "computed";
    }
    enum status status = STATUS_OK;
    for (int i = 0; i < 2 && status == STATUS_OK; i++)
        status = run_part(evaluator, wanted[i], err);
    if (progress)
        progress_clear(progress);
    return status;
}

// ---- from logits to figures ----

static void fit_temperature(struct evaluator *evaluator)
{
    const struct answered_part *part = &evaluator->parts[PART_VALIDATION];
    struct evaluation *evaluation = evaluator->evaluation;
    evaluation->temperature = (double)evaluator->model->manifest.temperature;
    if (part->count < FIT_LEAST_IMAGES)
        return;
    double *logits = memory_alloc(part->count * LESION_CLASSES * sizeof *logits);
    int *labels = memory_alloc(part->count * sizeof *labels);
    for (size_t i = 0; i < part->count * LESION_CLASSES; i++)
        logits[i] = (double)part->logits[i];
    for (size_t i = 0; i < part->count; i++)
        labels[i] = evaluator->dataset->samples[part->samples[i]].label;
    const struct labelled_logits rows = {logits, labels, part->count, LESION_CLASSES};
    evaluation->temperature = (double)(float)temperature_fit(&rows); // as a manifest holds it
    evaluation->temperature_images = part->count;
    if (fabs(log(evaluation->temperature)) > 2.999) // temperature_fit looks from exp(-3) to exp(3)
        evaluator->options->warn(
            evaluator->options->warn_context,
            "the fitted temperature lies at the end of what is searched (0.05 to 20.1): the "
            "probabilities say next to nothing about these images");
    free(logits);
    free(labels);
}

// The table's lesion_id; without one the images of a patient, or with one image_id, are not independent
// either.
static char *lesion_of(const struct sample *sample)
{
    bool grouped = sample->patient[0] || sample->image_id[0];
    return sample->lesion[0] || !grouped ? memory_strdup(sample->lesion) : sample_group(sample);
}

static void fill_predictions(const struct evaluator *evaluator, enum dataset_part which,
                             struct predictions *predictions)
{
    const struct answered_part *part = &evaluator->parts[which];
    predictions_init(predictions, part->count);
    for (size_t i = 0; i < part->count; i++) {
        const struct sample *sample = &evaluator->dataset->samples[part->samples[i]];
        struct prediction_row *row = &predictions->rows[i];
        row->file = memory_strdup(sample->file);
        row->lesion = lesion_of(sample);
        row->sha256 = sample->sha256;
        row->label = sample->label;
        row->atypical = sample->atypical;
        prediction_set(row, part->logits + i * LESION_CLASSES, evaluator->evaluation->temperature);
    }
}

static void judge(struct evaluator *evaluator)
{
    const struct evaluate_options *options = evaluator->options;
    const struct manifest *manifest = &evaluator->model->manifest;
    struct evaluation *evaluation = evaluator->evaluation;
    const struct answered_part *part = &evaluator->parts[options->part];
    struct predictions validation;
    const struct sample **samples = memory_alloc((part->count + 1) * sizeof *samples);
    for (size_t i = 0; i < part->count; i++)
        samples[i] = &evaluator->dataset->samples[part->samples[i]];
    strcpy(evaluation->model_version, manifest->model_version);
    strcpy(evaluation->architecture, manifest->architecture);
    strcpy(evaluation->precision, precision_names[options->precision]);
    evaluation->weights_sha256 = manifest->weights_sha256;
    evaluation->data_sha256 = evaluator->dataset->sha256;
    evaluation->trained = manifest->trained;
    evaluation->part = options->part;
    fit_temperature(evaluator);
    fill_predictions(evaluator, options->part, &evaluation->predictions);
    fill_predictions(evaluator, PART_VALIDATION, &validation);
    evaluation_choose_threshold(evaluation, &validation, options->sensitivity);
    evaluation_judge(evaluation, samples, &options->figures);
    predictions_release(&validation);
    free(samples);
}

// What a reader of the figures must know; a training that names other data may have seen these images.
static void warn(const struct evaluator *evaluator)
{
    const struct evaluate_options *options = evaluator->options;
    if (options->part == PART_TRAIN)
        options->warn(options->warn_context,
                      "these are the images it was trained on: the figures say how well it remembers");
    else if (options->part == PART_VALIDATION)
        options->warn(
            options->warn_context,
            "temperature and threshold are chosen on these images, and perhaps the epoch: the figures are "
            "better than those of new images");
    if (options->part != PART_TRAIN &&
        lineage_has_others(&evaluator->model->manifest, &evaluator->dataset->sha256))
        options->warn(
            options->warn_context,
            "the model, or one that it started or learnt from, was trained on other data or another "
            "split of them, or does not say on what: it may have seen these images (give the --split "
            "and --split-seed of the training)");
    if (!evaluator->model->manifest.trained)
        options->warn(options->warn_context, "the model is not trained for these classes");
}

// ---- files ----

static enum status write_page(const struct evaluator *evaluator, bool pictures, struct buffer *out,
                              struct error *err)
{
    const struct gallery gallery = {evaluator->dataset, evaluator->parts[evaluator->options->part].samples,
                                    &evaluator->model->manifest.preprocessing, evaluator->plan};
    return evaluation_write_page(evaluator->evaluation, pictures ? &gallery : NULL, out, err);
}

// The model's own temperature and proposal, where the validation part gave them, and its report without
// pictures.
static enum status store(const struct evaluator *evaluator, struct bytes json, struct error *err)
{
    const char *directory = evaluator->options->model;
    const struct evaluation *evaluation = evaluator->evaluation;
    const struct operating_point *point = &evaluation->operating_point;
    struct manifest manifest = evaluator->model->manifest;
    struct buffer page;
    buffer_init(&page, OUTPUT_MOST_BYTES);
    if (evaluation->temperature_images > 0)
        manifest.temperature = (float)evaluation->temperature;
    if (!point->reason)
        manifest.proposal = (struct melanoma_proposal){
            true, point->threshold, point->chosen_sensitivity.value, point->chosen_specificity.value};
    enum status status = write_page(evaluator, false, &page, err);
    if (status == STATUS_OK)
        status = output_write(directory, "evaluation.json", json, err);
    if (status == STATUS_OK)
        status = output_write(directory, "evaluation.html", buffer_bytes(&page), err);
    if (status == STATUS_OK)
        status = manifest_replace(directory, &manifest, err);
    buffer_release(&page);
    return status;
}

static enum status write_files(const struct evaluator *evaluator, struct error *err)
{
    const char *folder = evaluator->options->folder;
    struct buffer table, json, page;
    buffer_init(&table, OUTPUT_MOST_BYTES);
    buffer_init(&json, OUTPUT_MOST_BYTES);
    buffer_init(&page, OUTPUT_MOST_BYTES);
    enum status status = predictions_write(&evaluator->evaluation->predictions, &table, err);
    if (status == STATUS_OK)
        status = evaluation_write_json(evaluator->evaluation, &json, err);
    if (status == STATUS_OK)
        status = write_page(evaluator, evaluator->options->pictures, &page, err);
    if (status == STATUS_OK)
        status = output_write(folder, PREDICTIONS_FILE, buffer_bytes(&table), err);
    if (status == STATUS_OK)
        status = output_write(folder, "report.html", buffer_bytes(&page), err);
    if (status == STATUS_OK)
        status = output_write(folder, "report.json", buffer_bytes(&json), err);
    if (status == STATUS_OK && evaluator->options->store)
        status = store(evaluator, buffer_bytes(&json), err);
    buffer_release(&table);
    buffer_release(&json);
    buffer_release(&page);
    return status;
}

enum status evaluate_model(const struct evaluate_options *options, struct evaluation *evaluation,
                           struct error *err)
{
    struct evaluator evaluator = {.options = options, .evaluation = evaluation};
    *evaluation = (struct evaluation){0};
    enum status status = open_all(&evaluator, err);
    if (status == STATUS_OK) {
        warn(&evaluator);
        status = run_parts(&evaluator, err);
    }
    if (status == STATUS_OK) {
        judge(&evaluator);
        status = write_files(&evaluator, err);
    }
    close_all(&evaluator);
    return status;
}
