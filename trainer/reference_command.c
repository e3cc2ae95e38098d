// reference_command.c: the subcommand `reference`: flags in, one line on standard output, progress and
// warnings on standard error. Main thread.
#include <stdio.h>

#include "common/base/shutdown.h"
#include "trainer/dataset_flags.h"
#include "trainer/lineage.h"
#include "trainer/reference.h"

const struct option reference_flags[] = {
    {.name = "model",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "DIR",
     .help = "model directory that gets the reference; one that it has is replaced"},
    DATASET_FLAGS,
    {.name = "sample",
     .type = OPTION_INTEGER,
     .initial = "65536",
     .min = REFERENCE_LEAST_IMAGES,
     .max = REFERENCE_MOST_IMAGES,
     .value = "N",
     .help = "images of the training and of the validation part that are used at most, taken evenly"},
    {.name = NULL},
};

static void say(void *progress, const char *sentence)
{
    progress_clear(progress);
    fprintf(stderr, "skinsight-trainer reference: %s\n", sentence);
}

// Distances of images that a model has learnt from, taken for others', would call every new image foreign.
static void warn(const struct model *model, const struct dataset *dataset, struct progress *progress)
{
    if (!model->manifest.trained)
        say(progress, "the model is not trained for these classes");
    else if (lineage_has_others(&model->manifest, &dataset->sha256))
        say(progress,
            "the model, or one that it started or learnt from, was trained on other data or another split of "
            "them, or does not say on what: the reference is of what it has learnt only with the data and "
            "the "
            "--split and --split-seed of the training");
}

static void print_result(const char *directory, const struct reference_result *result)
{
    int classes = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        classes += result->reference->counts[i] > 0;
    printf("%s: reference of %zu images and %d classes (shrinkage %.3g); 99 %% of %zu validation images lie "
           "within %.4g\n",
           directory, result->images[PART_TRAIN], classes, result->shrinkage, result->images[PART_VALIDATION],
           (double)result->reference->distances[99]);
}

static enum status make_and_save(const char *directory, struct model *model,
                                 const struct reference_source *source, struct error *err)
{
    struct reference_result result;
    enum status status = reference_from_data(source, &result, err);
    if (status == STATUS_OK && !result.reference)
        status = error_set(err, STATUS_REJECTED, "stopped; the model directory is as it was");
    if (status == STATUS_OK)
        status = model_replace_reference(directory, &model->manifest, result.reference, err);
    if (status == STATUS_OK)
        print_result(directory, &result);
    ood_reference_free(result.reference);
    return status;
}

enum status reference_command(struct config *config, struct error *err)
{
    const char *directory = config_text(config, "model");
    struct dataset_options data = dataset_options_of(config);
    struct model *model = NULL;
    struct backend *backend = NULL;
    struct dataset *dataset = NULL;
    struct progress progress;
    shutdown_install();
    progress_init(&progress, stderr, true, 0);
    progress.verb = "read";
    data.lone_lesions = true;
    data.progress = &progress;
    data.complaints = (struct collect_complaints){say, &progress};
    enum status status = model_open(&model, directory, err);
    if (status == STATUS_OK)
        status = backend_open(&backend, "cpu", (int)config_integer(config, "threads"), err);
    if (status == STATUS_OK)
        status = dataset_open(&dataset, &data, err);
    if (status == STATUS_OK) {
        const struct reference_source source = {.backend = backend,
                                                .network = model->network,
                                                .weights = model->weights,
                                                .preprocessing = &model->manifest.preprocessing,
                                                .dataset = dataset,
                                                .most_images = (size_t)config_integer(config, "sample"),
                                                .progress = &progress,
                                                .stop = shutdown_requested};
        warn(model, dataset, &progress);
        status = make_and_save(directory, model, &source, err);
    }
    progress_clear(&progress);
    dataset_free(dataset);
    backend_close(backend);
    model_close(model);
    return status;
}
