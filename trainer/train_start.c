// train_start.c: what is trained: the network, the weights it starts from, its names, its teacher. Main
// thread.
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/records/lesion.h"
#include "kernels/model/network_weights.h"
#include "trainer/initial_weights.h"
#include "trainer/new_manifest.h"
#include "trainer/train_private.h"

enum { DEFAULT_SIZE = 224 };

static bool is_given(const char *text)
{
    return text && text[0];
}

// Copies of the tensors, so that the file may go while the training runs.
static enum status copy_weights(struct trainer *trainer, const struct weights *source, struct error *err)
{
    trainer->start = weights_new();
    for (size_t i = 0; i < weights_count(source); i++) {
        const struct weight *weight = weights_at(source, i);
        float *values = memory_try_alloc(weight->count * sizeof *values);
        if (!values)
            return error_set(err, STATUS_FATAL, "no memory for tensor '%s'", weight->name);
        weight_to_float(weight, values);
        weights_add(trainer->start, weight->name, weight->rank, weight->shape, values);
        free(values);
    }
    return network_fit_weights(trainer->network, trainer->start, err);
}

// From a model directory: its network, at this run's size; positions are interpolated.
static enum status start_from_model(struct trainer *trainer, struct error *err)
{
    const struct train_options *options = trainer->options;
    struct model *model = NULL;
    enum status status = model_open(&model, options->init, err);
    if (status != STATUS_OK)
        return status;
    const struct manifest *manifest = &model->manifest;
    if (is_given(options->architecture) && strcmp(options->architecture, manifest->architecture) != 0)
        status = error_set(err, STATUS_REJECTED, "%s is a %s, not a %s: leave --arch out", options->init,
                           manifest->architecture, options->architecture);
    if (status == STATUS_OK)
        status = network_build_sized(&trainer->network, manifest->architecture,
                                     options->image_size ? options->image_size : manifest->image_size,
                                     LESION_CLASSES, err);
    if (status == STATUS_OK) {
        memcpy(trainer->network->mean, manifest->preprocessing.mean, sizeof trainer->network->mean);
        memcpy(trainer->network->std, manifest->preprocessing.std, sizeof trainer->network->std);
        strcpy(trainer->manifest.licence, manifest->licence);
        origin_take(&trainer->init_origin, manifest);
        status = copy_weights(trainer, model->weights, err);
    }
    // A head that import made is as wide as its inputs allow: its first answers would be sure and wrong.
    if (status == STATUS_OK && !manifest->trained)
        initial_weights_replace_head(trainer->start, trainer->network, options->seed);
    model_close(model);
    return status;
}

static enum status start_from_nothing(struct trainer *trainer, struct error *err)
{
    const struct train_options *options = trainer->options;
    enum status status =
        network_build_sized(&trainer->network, options->architecture,
                            options->image_size ? options->image_size : DEFAULT_SIZE, LESION_CLASSES, err);
    if (status != STATUS_OK)
        return status;
    strcpy(trainer->manifest.licence, MANIFEST_NO_LICENCE);
    return STATUS_OK;
}

// The teacher sees the same views as the one it teaches.
static enum status open_teacher(struct trainer *trainer, struct error *err)
{
    const struct train_options *options = trainer->options;
    if (!is_given(options->teacher))
        return STATUS_OK;
    enum status status = model_open(&trainer->teacher, options->teacher, err);
    if (status == STATUS_OK && trainer->teacher->manifest.image_size != trainer->network->image_size)
        status = error_set(
            err, STATUS_REJECTED,
            "the teacher %s looks at images of %d pixels a side, the one it teaches at %d: give both "
            "one size with --image-size",
            options->teacher, trainer->teacher->manifest.image_size, trainer->network->image_size);
    if (status == STATUS_OK && !trainer->teacher->manifest.trained)
        status = error_set(err, STATUS_REJECTED, "the teacher %s was never trained itself", options->teacher);
    if (status != STATUS_OK)
        return status;
    origin_take(&trainer->teacher_origin, &trainer->teacher->manifest);
    struct network *folded = network_fold(trainer->teacher->network);
    const struct plan_options plan = {.precision = PRECISION_FP32, .max_batch = 8};
    status = backend_prepare(trainer->backend, folded, trainer->teacher->weights, &plan,
                             &trainer->teacher_plan, err);
    network_free(folded);
    return status;
}

enum status trainer_start(struct trainer *trainer, struct error *err)
{
    const struct train_options *options = trainer->options;
    char licence[sizeof trainer->manifest.licence];
    enum status status =
        is_given(options->init) ? start_from_model(trainer, err) : start_from_nothing(trainer, err);
    if (status == STATUS_OK)
        status = new_manifest_names(&(struct model_names){options->name, options->model_version},
                                    trainer->network->architecture, &trainer->manifest, err);
    if (status == STATUS_OK)
        status = open_teacher(trainer, err);
    if (status != STATUS_OK)
        return status;
    strcpy(licence, trainer->manifest.licence);
    new_manifest_fill(trainer->network, true, &trainer->manifest);
    strcpy(trainer->manifest.licence, licence);
    return STATUS_OK;
}
