// train.c: opens what a training needs in its order, runs it, and saves the model. Main thread.
#include "trainer/train.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/base/processors.h"
#include "common/base/version.h"
#include "kernels/compute_known.h"
#include "trainer/initial_weights.h"
#include "trainer/output.h"
#include "trainer/reference.h"
#include "trainer/train_private.h"

// What the model before this one has learnt may lie in this one's validation and test part.
static void tell_lineage(const struct trainer *trainer)
{
    const struct collect_complaints *complaints = &trainer->options->data.complaints;
    const struct origin *origins[] = {&trainer->init_origin, &trainer->teacher_origin};
    static const char *const sentences[] = {
        "--init was trained on other data or another split of them, or does not say on what: it may have "
        "seen "
        "images of this run's parts validation and test, whose figures will then look better than they are",
        "--teacher was trained on other data or another split of them, or does not say on what: it may have "
        "seen images of this run's parts validation and test, whose figures will then look better than they "
        "are"};
    for (int i = 0; i < 2; i++)
        if (complaints->complain && lineage_names_others(origins[i]->record, &trainer->dataset->sha256))
            complaints->complain(complaints->context, sentences[i]);
}

static enum status open_data(struct trainer *trainer, struct error *err)
{
    enum status status = dataset_open(&trainer->dataset, &trainer->options->data, err);
    if (status != STATUS_OK)
        return status;
    for (int part = 0; part < DATASET_PARTS; part++)
        trainer->samples[part] =
            dataset_part_samples(trainer->dataset, (enum dataset_part)part, &trainer->counts[part]);
    tell_lineage(trainer);
    size_t count = trainer->counts[PART_TRAIN];
    if (count == 0)
        return error_set(
            err, STATUS_REJECTED,
            "%s has no image in the part train: give --split a first share above 0, or rows of split "
            "train",
            trainer->options->data.data);
    trainer->labels = memory_alloc(count * sizeof *trainer->labels);
    trainer->order = memory_alloc(count * sizeof *trainer->order);
    for (size_t i = 0; i < count; i++)
        trainer->labels[i] = trainer->dataset->samples[trainer->samples[PART_TRAIN][i]].label;
    return STATUS_OK;
}

// A class without an image has no loss to weigh.
static void weigh_classes(struct trainer *trainer)
{
    size_t counts[LESION_CLASSES];
    dataset_count(trainer->dataset, PART_TRAIN, counts);
    for (int i = 0; i < LESION_CLASSES; i++)
        trainer->class_weights[i] =
            trainer->options->inverse_weights && counts[i] > 0
                ? (double)trainer->counts[PART_TRAIN] / (LESION_CLASSES * (double)counts[i])
                : 1;
}

static enum status prepare_training(struct trainer *trainer, struct error *err)
{
    struct training_options step = trainer->options->step;
    weigh_classes(trainer);
    memcpy(step.class_weights, trainer->class_weights, sizeof trainer->class_weights);
    step.seed = trainer->options->seed;
    step.max_batch = trainer->share;
    step.exchange = trainer->options->exchange;
    if (!trainer->teacher_plan)
        step.teacher_weight = 0;
    if (!trainer->start) {
        trainer->start = weights_new();
        initial_weights_fill(trainer->start, trainer->network, trainer->options->seed);
    }
    enum status status =
        training_prepare(trainer->backend, trainer->network, trainer->start, &step, &trainer->training, err);
    weights_close(trainer->start);
    trainer->start = NULL;
    return status;
}

static enum status allocate(struct trainer *trainer, struct error *err)
{
    size_t batch = (size_t)trainer->share;
    size_t size = (size_t)trainer->network->image_size, values = size * size * 3;
    trainer->images = memory_try_alloc(batch * values * sizeof *trainer->images);
    trainer->block = memory_try_alloc(trainer->training->size * sizeof *trainer->block);
    if (trainer->options->average_decay > 0)
        trainer->average = memory_try_alloc(trainer->training->size * sizeof *trainer->average);
    if (!trainer->images || !trainer->block || (trainer->options->average_decay > 0 && !trainer->average))
        return error_set(err, STATUS_FATAL, "no memory for a batch of %zu images of %zu pixels a side", batch,
                         size);
    trainer->image_rows = memory_alloc(batch * sizeof *trainer->image_rows);
    for (size_t i = 0; i < batch; i++)
        trainer->image_rows[i] = trainer->images + i * values;
    trainer->teacher_logits = memory_alloc(batch * LESION_CLASSES * sizeof *trainer->teacher_logits);
    trainer->batch_labels = memory_alloc(batch * sizeof *trainer->batch_labels);
    preprocess_table(trainer->network->mean, trainer->network->std, trainer->table);
    return STATUS_OK;
}

static enum status open_feed(struct trainer *trainer, struct error *err)
{
    int size = trainer->network->image_size;
    int processors = trainer->options->threads ? trainer->options->threads : processors_usable();
    trainer->cache =
        picture_cache_new(trainer->dataset, size + AUGMENTATION_MARGIN, trainer->options->picture_cache);
    const struct feed_options feed = {.dataset = trainer->dataset,
                                      .cache = trainer->cache,
                                      .size = size,
                                      .batch = trainer->options->batch,
                                      .seed = trainer->options->seed,
                                      .threads = 1 + processors / 4};
    return feed_new(&trainer->feed, &feed, err);
}

static void describe(const struct trainer *trainer, struct checkpoint *checkpoint)
{
    snprintf(checkpoint->build, sizeof checkpoint->build, "%s", skinsight_build);
    snprintf(checkpoint->architecture, sizeof checkpoint->architecture, "%s", trainer->network->architecture);
    snprintf(checkpoint->recipe, sizeof checkpoint->recipe, "init=%s\nteacher=%s\n%s",
             trainer->init_origin.weights_sha256, trainer->teacher_origin.weights_sha256,
             trainer->options->recipe);
    checkpoint->image_size = trainer->network->image_size;
    checkpoint->data = trainer->dataset->sha256;
    checkpoint->values = (int64_t)trainer->training->size;
    checkpoint->history.best = -1;
}

static enum status load_block(struct trainer *trainer, enum checkpoint_part part, enum training_block block,
                              struct error *err)
{
    enum status status =
        checkpoint_read_block(trainer->folder, trainer->checkpoint, part, trainer->block, err);
    if (status == STATUS_OK)
        status = training_load(trainer->training, block, trainer->block, err);
    return status;
}

static enum status go_on(struct trainer *trainer, struct error *err)
{
    struct checkpoint *wanted = memory_alloc(sizeof *wanted);
    describe(trainer, wanted);
    enum status status = checkpoint_read(trainer->folder, trainer->checkpoint, err);
    if (status == STATUS_OK)
        status = checkpoint_check(trainer->checkpoint, wanted, trainer->options->any_build, err);
    if (status == STATUS_OK && trainer->checkpoint->values != wanted->values)
        status =
            error_set(err, STATUS_REJECTED, "the checkpoint's blocks have %lld values, this network has %lld",
                      (long long)trainer->checkpoint->values, (long long)wanted->values);
    if (status == STATUS_OK)
        status = load_block(trainer, CHECKPOINT_PARAMETERS, TRAINING_PARAMETERS, err);
    if (status == STATUS_OK)
        status = load_block(trainer, CHECKPOINT_FIRST, TRAINING_FIRST_MOMENTS, err);
    if (status == STATUS_OK)
        status = load_block(trainer, CHECKPOINT_SECOND, TRAINING_SECOND_MOMENTS, err);
    if (status == STATUS_OK && trainer->average)
        status = checkpoint_read_block(trainer->folder, trainer->checkpoint, CHECKPOINT_AVERAGE,
                                       trainer->average, err);
    if (status == STATUS_OK) {
        trainer->training->steps = (uint64_t)trainer->checkpoint->steps;
        memcpy(trainer->checkpoint->build, wanted->build, sizeof wanted->build);
    }
    free(wanted);
    return status;
}

static enum status make_folders(struct trainer *trainer, struct error *err)
{
    if (!trainer->leads)
        return STATUS_OK;
    enum status status = output_make(trainer->options->directory, err);
    if (status == STATUS_OK && mkdir(trainer->folder, OUTPUT_FOLDER_MODE) != 0)
        status = error_set(err, STATUS_FATAL, "%s can't be made: %s", trainer->folder, strerror(errno));
    if (status == STATUS_OK) {
        char *path = memory_format("%s/split.csv", trainer->options->directory);
        status = dataset_write_split(trainer->dataset, path, err);
        free(path);
    }
    return status;
}

// Before minutes of work, not after.
static enum status check_folder(const struct trainer *trainer, struct error *err)
{
    const char *folder = trainer->options->directory;
    char *manifest = memory_format("%s/manifest.json", folder);
    bool finished = access(manifest, F_OK) == 0;
    free(manifest);
    if (finished)
        return error_set(err, STATUS_REJECTED, "%s holds a model already: name another folder with --out",
                         folder);
    if (trainer->options->resume && !checkpoint_exists(trainer->folder))
        return error_set(err, STATUS_REJECTED, "%s holds no checkpoint: leave --resume out to begin", folder);
    if (!trainer->options->resume && checkpoint_exists(trainer->folder))
        return error_set(
            err, STATUS_REJECTED,
            "%s holds a training that was left: go on with --resume, or name another folder with --out",
            folder);
    return trainer->options->resume ? STATUS_OK : output_check(folder, err);
}

// Processes with other data or options would train nothing together.
static enum status compare_processes(struct trainer *trainer, struct error *err)
{
    const struct checkpoint *at = trainer->checkpoint;
    struct digest_stream *stream = digest_stream_new();
    bool same;
    digest_stream_add(stream, at->build, strlen(at->build));
    digest_stream_add(stream, at->architecture, strlen(at->architecture));
    digest_stream_add(stream, at->recipe, strlen(at->recipe));
    digest_stream_add(stream, &at->image_size, sizeof at->image_size);
    digest_stream_add(stream, &at->data, sizeof at->data);
    digest_stream_add(stream, &at->steps, sizeof at->steps);
    struct digest digest = digest_stream_finish(stream);
    enum status status = exchange_compare(trainer->options->exchange, &digest, &same, err);
    if (status == STATUS_OK && !same)
        status =
            error_set(err, STATUS_REJECTED,
                      "the processes differ in build, options, data or checkpoint: give each machine the "
                      "same program and the same files");
    return status;
}

// What each process does by itself, and may fail at alone.
static enum status open_own(struct trainer *trainer, struct error *err)
{
    int size = exchange_size(trainer->options->exchange), batch = trainer->options->batch;
    trainer->share = (batch + size - 1) / size;
    if (batch < size)
        return error_set(
            err, STATUS_REJECTED,
            "%d processes can't share a batch of %d images: give a larger --batch, or start fewer", size,
            batch);
    enum status status = check_folder(trainer, err);
    if (status == STATUS_OK)
        status = backend_open(&trainer->backend, "cpu", trainer->options->threads, err);
    if (status == STATUS_OK)
        status = trainer_start(trainer, err);
    if (status == STATUS_OK)
        status = open_data(trainer, err);
    if (status == STATUS_OK)
        status = prepare_training(trainer, err);
    if (status == STATUS_OK)
        status = allocate(trainer, err);
    if (status == STATUS_OK)
        status = open_feed(trainer, err);
    if (status == STATUS_OK && trainer->average)
        status = training_save(trainer->training, TRAINING_PARAMETERS, trainer->average, err);
    if (status != STATUS_OK)
        return status;
    if (trainer->options->resume)
        return go_on(trainer, err);
    describe(trainer, trainer->checkpoint);
    return STATUS_OK;
}

static enum status open_all(struct trainer *trainer, struct error *err)
{
    struct exchange *exchange = trainer->options->exchange;
    trainer->leads = exchange_rank(exchange) == 0;
    enum status status = exchange_agree(exchange, open_own(trainer, err), err);
    if (status == STATUS_OK)
        status = compare_processes(trainer, err);
    if (status == STATUS_OK && !trainer->options->resume)
        status = exchange_agree(exchange, make_folders(trainer, err), err);
    return status;
}

static cJSON *record_recipe(const char *recipe)
{
    cJSON *object = cJSON_CreateObject();
    char *text = memory_strdup(recipe), *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        char *equals = strchr(line, '=');
        if (!equals)
            continue;
        *equals = '\0';
        cJSON_AddStringToObject(object, line, equals + 1);
    }
    free(text);
    return object;
}

static cJSON *record_training(const struct trainer *trainer)
{
    const struct checkpoint *at = trainer->checkpoint;
    const struct history_row *best = &at->history.rows[at->history.best];
    char digest[DIGEST_TEXT_SIZE];
    cJSON *record = cJSON_CreateObject();
    digest_text(&trainer->dataset->sha256, digest);
    cJSON_AddStringToObject(record, "data_sha256", digest);
    if (!trainer->dataset->split_given) {
        cJSON_AddItemToObject(record, "split",
                              cJSON_CreateDoubleArray(trainer->options->data.split, DATASET_PARTS));
        cJSON_AddNumberToObject(record, "split_seed", (double)trainer->options->data.split_seed);
    }
    cJSON_AddNumberToObject(record, "seed", (double)trainer->options->seed);
    cJSON_AddNumberToObject(record, "epochs", at->history.epochs);
    cJSON_AddNumberToObject(record, "best_epoch", at->history.best);
    cJSON *images = cJSON_AddObjectToObject(record, "images");
    for (int part = 0; part < DATASET_PARTS; part++)
        cJSON_AddNumberToObject(images, dataset_part_names[part], (double)trainer->counts[part]);
    if (isfinite(best->validation_balanced_accuracy))
        cJSON_AddNumberToObject(record, "validation_balanced_accuracy", best->validation_balanced_accuracy);
    cJSON_AddItemToObject(record, "recipe", record_recipe(at->recipe));
    lineage_add(record, "init", &trainer->init_origin);
    lineage_add(record, "teacher", &trainer->teacher_origin);
    return record;
}

static void complain_of_reference(const struct trainer *trainer, const char *why)
{
    const struct collect_complaints *complaints = &trainer->options->data.complaints;
    if (!complaints->complain)
        return;
    char *sentence =
        memory_format("%s: the model has no reference, so its answers don't say how far from what "
                      "it has learnt an image lies (skinsight-trainer reference makes one)",
                      why);
    complaints->complain(complaints->context, sentence);
    free(sentence);
}

// A training is not lost because its data are too few for a reference. FATAL alone ends it.
static enum status make_reference(struct trainer *trainer, const struct weights *weights,
                                  struct ood_reference **reference, struct error *err)
{
    const struct reference_source source = {.backend = trainer->backend,
                                            .network = trainer->network,
                                            .weights = weights,
                                            .preprocessing = &trainer->manifest.preprocessing,
                                            .dataset = trainer->dataset,
                                            .most_images = REFERENCE_MOST_IMAGES,
                                            .progress = trainer->options->data.progress,
                                            .stop = trainer->options->stop};
    struct reference_result result;
    enum status status = reference_from_data(&source, &result, err);
    *reference = result.reference;
    if (status == STATUS_REJECTED)
        complain_of_reference(trainer, err->message);
    else if (status == STATUS_OK && !result.reference)
        complain_of_reference(trainer, "stopped");
    return status == STATUS_REJECTED ? STATUS_OK : status;
}

static enum status save_model(struct trainer *trainer, struct error *err)
{
    struct weights *weights = NULL;
    struct ood_reference *reference = NULL;
    struct known_answers known;
    known_answers_init(&known);
    enum status status = load_block(trainer, CHECKPOINT_BEST, TRAINING_PARAMETERS, err);
    if (status == STATUS_OK)
        status = training_export(trainer->training, &weights, err);
    if (status == STATUS_OK)
        status = known_answers_compute(&known, trainer->network, weights, err);
    if (status == STATUS_OK)
        status = make_reference(trainer, weights, &reference, err);
    if (status == STATUS_OK) {
        trainer->manifest.training = record_training(trainer);
        const struct model_extras extras = {&known, reference};
        status = model_save(trainer->options->directory, &trainer->manifest, weights, &extras, err);
    }
    ood_reference_free(reference);
    weights_close(weights);
    return status;
}

enum status trainer_finish(struct trainer *trainer, struct error *err)
{
    return exchange_agree(trainer->options->exchange, trainer->leads ? save_model(trainer, err) : STATUS_OK,
                          err);
}

static void close_all(struct trainer *trainer)
{
    feed_free(trainer->feed);
    picture_cache_free(trainer->cache);
    training_free(trainer->training);
    plan_free(trainer->teacher_plan);
    backend_close(trainer->backend);
    model_close(trainer->teacher);
    weights_close(trainer->start);
    network_free(trainer->network);
    origin_release(&trainer->init_origin);
    origin_release(&trainer->teacher_origin);
    manifest_release(&trainer->manifest);
    for (int part = 0; part < DATASET_PARTS; part++)
        free(trainer->samples[part]);
    dataset_free(trainer->dataset);
    free(trainer->labels);
    free(trainer->folder);
    free(trainer->checkpoint);
    free(trainer->block);
    free(trainer->average);
    free(trainer->order);
    free(trainer->images);
    free(trainer->image_rows);
    free(trainer->teacher_logits);
    free(trainer->batch_labels);
}

enum status train_model(const struct train_options *options, struct train_result *result, struct error *err)
{
    struct trainer *trainer = memory_alloc(sizeof *trainer);
    bool stopped = false;
    trainer->options = options;
    trainer->folder = memory_format("%s/checkpoint", options->directory);
    trainer->checkpoint = memory_alloc(sizeof *trainer->checkpoint);
    enum status status = open_all(trainer, err);
    if (status == STATUS_OK)
        status = trainer_run(trainer, &stopped, err);
    if (status == STATUS_OK && !stopped)
        status = trainer_finish(trainer, err);
    if (status == STATUS_OK) {
        const struct history *history = &trainer->checkpoint->history;
        *result = (struct train_result){.epochs = history->epochs,
                                        .best_epoch = history->best,
                                        .balanced_accuracy = NAN,
                                        .stopped = stopped};
        strcpy(result->model_version, trainer->manifest.model_version);
        if (history->best >= 0)
            result->balanced_accuracy = history->rows[history->best].validation_balanced_accuracy;
    }
    close_all(trainer);
    free(trainer);
    return status;
}
