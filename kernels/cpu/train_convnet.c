// train_convnet.c: prepares the fast executor of convolutional networks, lays out its memory and walks
// through a batch. See train_convnet.h.
#include "kernels/cpu/train_convnet.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"
#include "kernels/cpu/denormals.h"
#include "kernels/cpu/pages.h"
#include "kernels/loss.h"
#include "kernels/memory_plan.h"

// Behind each value: what vectors may read past an end.
enum { ALIGNMENT = 64, GAP = 256 };

static bool has_operation(const struct network *network, const struct operation *operation)
{
    switch (operation->kind) {
    case OP_CONVOLUTION:
        return operation->kernel_height == operation->kernel_width &&
               (operation->groups == 1 ||
                (operation->bias < 0 &&
                 train_convnet_is_depthwise(operation, network->tensors[operation->input],
                                            network->tensors[operation->output])));
    case OP_NORMALISE:
    case OP_BATCHNORM:
    case OP_DROPOUT:
    case OP_LINEAR:
    case OP_ADD:
    case OP_MAX_POOL:
    case OP_MEAN_ROWS:
    case OP_SCALE:
        return true;
    default:
        return train_convnet_activation(operation->kind) != ACTIVATION_NONE;
    }
}

static bool has_network(const struct network *network)
{
    for (int i = 0; i < network->operation_count; i++)
        if (!has_operation(network, &network->operations[i]))
            return false;
    return true;
}

// An activation that alone reads a batch normalisation goes with it.
static void fuse(struct train_convnet *training)
{
    const struct network *network = training->cpu.training.network;
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *norm = &network->operations[i];
        int reader = norm->kind == OP_BATCHNORM ? network_only_reader(network, norm->output) : -1;
        training->fused[i] = -1;
        if (reader < 0 || network->operations[reader].kind == OP_SIGMOID ||
            train_convnet_activation(network->operations[reader].kind) == ACTIVATION_NONE)
            continue;
        training->fused[i] = reader;
        training->skipped[reader] = true;
        training->list.kept[norm->output] = false; // computed again
    }
}

// What memory_plan.h asks: forward's steps are the operations, then comes the loss, then the backward list.
struct places {
    struct train_convnet *training;
    struct memory_plan plan;
    struct memory_value values[NETWORK_MAX_TENSORS], slopes[NETWORK_MAX_TENSORS];
};

static void reads(struct places *places, int tensor, int step)
{
    if (tensor >= 0 && places->values[tensor].last_step < step)
        places->values[tensor].last_step = step;
}

static void find_ends(struct places *places)
{
    const struct train_convnet *training = places->training;
    const struct network *network = training->cpu.training.network;
    int loss = network->operation_count;
    for (int i = 0; i < network->tensor_count; i++) {
        size_t size = convnet_size(training, i) * (size_t)training->cpu.training.options.max_batch;
        places->values[i] = places->slopes[i] =
            (struct memory_value){.size = size * sizeof(float), .place = MEMORY_NOWHERE};
    }
    for (int i = 0; i < loss; i++) {
        const struct operation *operation = &network->operations[i];
        reads(places, operation->input, i);
        reads(places, operation->second, i);
        reads(places, operation->output, i);
    }
    reads(places, network->logits, loss);
    for (int i = 0; i < training->list.count; i++) {
        const struct operation *operation = &network->operations[training->list.steps[i].operation];
        int tensors[] = {operation->input, operation->second, operation->output};
        for (int j = 0; j < 3; j++)
            if (tensors[j] >= 0 && training->list.kept[tensors[j]])
                reads(places, tensors[j], loss + 1 + i);
        places->slopes[operation->output].last_step = loss + 1 + i;
    }
}

static bool works_in_place(enum op_kind kind)
{
    return kind == OP_BATCHNORM || kind == OP_ADD || kind == OP_DROPOUT ||
           train_convnet_activation(kind) != ACTIVATION_NONE;
}

static void place_forward(struct places *places, int index)
{
    const struct train_convnet *training = places->training;
    const struct operation *operation = convnet_operation(training, index);
    int output = operation->output;
    if (training->skipped[index])
        return;
    if (training->fused[index] >= 0)
        output = convnet_operation(training, training->fused[index])->output;
    memory_plan_place(&places->plan, &places->values[output], index,
                      works_in_place(operation->kind) ? &places->values[operation->input] : NULL);
}

// dy of a step: of what a batch normalisation takes along, too.
static int output_of(const struct train_convnet *training, int index)
{
    int fused = training->fused[index];
    return convnet_operation(training, fused >= 0 ? fused : index)->output;
}

static void place_backward(struct places *places, int number)
{
    const struct train_convnet *training = places->training;
    const struct gradient_step *step = &training->list.steps[number];
    const struct operation *operation = convnet_operation(training, step->operation);
    int at = training->cpu.training.network->operation_count + 1 + number;
    if (training->skipped[step->operation])
        return;
    struct memory_value *dy = &places->slopes[output_of(training, step->operation)];
    const struct memory_value *over = works_in_place(operation->kind) ? dy : NULL;
    if (step->input != GRADIENT_NONE)
        memory_plan_place(&places->plan, &places->slopes[operation->input], at, over);
    if (step->second != GRADIENT_NONE)
        memory_plan_place(&places->plan, &places->slopes[operation->second], at, NULL);
}

static void find_places(struct places *places)
{
    struct train_convnet *training = places->training;
    const struct network *network = training->cpu.training.network;
    find_ends(places);
    for (int i = 0; i < network->operation_count; i++)
        if (training->fused[i] >= 0) { // its own output has no place: dy lives until its step
            int output = network->operations[i].output, taken = output_of(training, i);
            places->slopes[taken].last_step = places->slopes[output].last_step;
        }
    for (int i = 0; i < network->operation_count; i++)
        place_forward(places, i);
    memory_plan_place(&places->plan, &places->slopes[network->logits], network->operation_count, NULL);
    for (int i = 0; i < training->list.count; i++)
        place_backward(places, i);
}

// Hands out pieces of one block of memory; with base NULL it only measures.
struct layout {
    char *base;
    size_t at;
};

static void *take(struct layout *layout, size_t size)
{
    size_t begin = layout->at;
    layout->at += memory_round_up(size, ALIGNMENT) + GAP;
    return layout->base ? layout->base + begin : NULL;
}

static void lay_out_workspace(struct train_convnet *training, struct layout *layout)
{
    const struct network *network = training->cpu.training.network;
    struct convnet_need need = {0};
    size_t widest = 0, partials = 0, half = 0, batch = (size_t)training->cpu.training.options.max_batch;
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        struct tensor shape = network->tensors[operation->output];
        size_t columns = (size_t)shape.columns, block = (size_t)convnet_block_rows(shape.columns);
        size_t blocks = batch * (((size_t)shape.rows + block - 1) / block);
        widest = columns > widest ? columns : widest;
        if (operation->kind == OP_CONVOLUTION || operation->kind == OP_LINEAR) {
            size_t size = parameter_size(&network->parameters[operation->weight]) + columns;
            half = size > half ? size : half;
            train_convnet_product_need(training, i, &need);
        }
        if (operation->kind == OP_BATCHNORM)
            training->norms[i] = take(layout, 2 * columns * sizeof(float));
        if (operation->kind == OP_BATCHNORM && blocks * 2 * columns > partials)
            partials = blocks * 2 * columns;
    }
    training->panels = take(layout, need.panels * sizeof(float));
    training->scratch_size = memory_round_up(need.scratch, ALIGNMENT) + GAP;
    training->scratch = take(layout, training->scratch_size * sizeof(float) *
                                         (size_t)team_threads(training->cpu.device->team));
    training->padded = take(layout, need.padded * sizeof(float));
    training->sums = take(layout, need.sums * sizeof(float));
    training->partials = take(layout, partials * sizeof(float));
    training->columns = take(layout, 6 * widest * sizeof(float));
    training->totals = take(layout, (2 * widest + 1) * sizeof(double));
    size_t zeros = widest > need.zeros ? widest : need.zeros;
    training->zeros = take(layout, (zeros + GEMM_MAX_PANEL_COLUMNS) * sizeof(float));
    training->first_half = take(layout, half * sizeof(float));
}

// Values and slopes first, then the workspace.
static void lay_out(struct train_convnet *training, struct places *places, char *base)
{
    const struct network *network = training->cpu.training.network;
    size_t tensors = memory_plan_lay_out(&places->plan, ALIGNMENT, GAP);
    struct layout layout = {.base = base, .at = tensors};
    lay_out_workspace(training, &layout);
    training->memory_size = layout.at;
    for (int i = 0; i < network->tensor_count && base; i++) {
        const struct memory_value *value = &places->values[i], *slope = &places->slopes[i];
        if (value->place != MEMORY_NOWHERE)
            training->values[i] = (float *)(base + places->plan.offsets[value->place]);
        if (slope->place != MEMORY_NOWHERE)
            training->slopes[i] = (float *)(base + places->plan.offsets[slope->place]);
    }
}

static enum status take_memory(struct train_convnet *training, struct error *err)
{
    struct places *places = memory_alloc(sizeof *places);
    places->training = training;
    find_places(places);
    lay_out(training, places, NULL);
    training->memory = pages_new(training->memory_size);
    if (training->memory)
        lay_out(training, places, training->memory);
    free(places);
    training->cpu.training.memory_size += training->memory_size;
    return training->memory ? STATUS_OK
                            : error_set(err, STATUS_FATAL, "no memory for %zu MiB of activations",
                                        training->memory_size >> 20);
}

static enum status forward(const struct convnet_batch *batch, struct error *err)
{
    struct train_convnet *training = batch->training;
    const struct network *network = training->cpu.training.network;
    enum status status = STATUS_OK;
    for (int i = 0; i < network->operation_count && status == STATUS_OK; i++) {
        const struct operation *operation = &network->operations[i];
        if (training->skipped[i])
            continue;
        if (operation->kind == OP_BATCHNORM)
            status = train_convnet_norm(batch, i, err);
        else if (operation->kind == OP_LINEAR ||
                 (operation->kind == OP_CONVOLUTION && operation->groups == 1))
            train_convnet_product(batch, i);
        else
            train_convnet_rows(batch, i);
    }
    return status;
}

static double loss(const struct convnet_batch *batch, const struct loss_scale *scale)
{
    const struct train_convnet *training = batch->training;
    const struct network *network = training->cpu.training.network;
    const struct training_options *options = &training->cpu.training.options;
    double logits[TRAINING_MAX_CLASSES], slopes[TRAINING_MAX_CLASSES], halves[2] = {0, 0};
    int middle = exchange_middle(options->exchange, batch->images);
    for (int image = 0; image < batch->images; image++) {
        size_t at = (size_t)image * (size_t)network->classes;
        const float *teacher = batch->batch->teacher ? batch->batch->teacher + at : NULL;
        for (int i = 0; i < network->classes; i++)
            logits[i] = training->values[network->logits][at + (size_t)i];
        halves[image >= middle] += loss_classification(options, scale, network->classes, logits,
                                                       batch->batch->labels[image], teacher, slopes);
        for (int i = 0; i < network->classes; i++)
            training->slopes[network->logits][at + (size_t)i] = (float)slopes[i];
    }
    return halves[0] + halves[1];
}

static enum status backward(const struct convnet_batch *batch, struct error *err)
{
    struct train_convnet *training = batch->training;
    enum status status = STATUS_OK;
    for (int i = 0; i < training->list.count && status == STATUS_OK; i++) {
        const struct gradient_step *step = &training->list.steps[i];
        const struct operation *operation = convnet_operation(training, step->operation);
        if (training->skipped[step->operation])
            continue;
        if (operation->kind == OP_BATCHNORM)
            status = train_convnet_norm_backward(batch, step, err);
        else if (operation->kind == OP_LINEAR ||
                 (operation->kind == OP_CONVOLUTION && operation->groups == 1))
            train_convnet_product_backward(batch, step);
        else
            train_convnet_rows_backward(batch, step);
    }
    return status;
}

static enum status gradients(struct training *base, const struct training_batch *images,
                             struct training_result *result, struct error *err)
{
    struct train_convnet *training = (struct train_convnet *)base;
    struct convnet_batch batch = {training, images, images->count};
    struct loss_scale scale;
    unsigned before = denormals_to_zero();
    memset(training->cpu.blocks[TRAINING_GRADIENTS], 0, base->size * sizeof(float));
    enum status status = loss_scale_of(&base->options, images, &scale, err);
    if (status == STATUS_OK)
        status = forward(&batch, err);
    if (status == STATUS_OK)
        status = loss_result(&base->options, loss(&batch, &scale), 0, result, err);
    if (status == STATUS_OK)
        status = backward(&batch, err);
    denormals_restore(before);
    return status;
}

static void free_training(struct training *base)
{
    struct train_convnet *training = (struct train_convnet *)base;
    pages_free(training->memory, training->memory_size);
    train_blocks_release(&training->cpu);
    free(training);
}

static const struct training_ops ops = {
    .gradients = gradients,
    .exchange = train_blocks_exchange,
    .norm = train_blocks_norm,
    .update = train_blocks_update,
    .save = train_blocks_save,
    .load = train_blocks_load,
    .free = free_training,
};

static enum status prepare(struct cpu_device *device, const struct network *network,
                           const struct weights *weights, const struct training_options *options,
                           struct training **result, struct error *err)
{
    if (!has_network(network) || !device->kernels.gemm[options->precision])
        return STATUS_OK;
    struct train_convnet *training = memory_alloc(sizeof *training);
    struct training *base = &training->cpu.training;
    bool trained[NETWORK_MAX_PARAMETERS];
    base->ops = &ops;
    strcpy(base->executor, "convnet");
    training->ops = cpu_features_get().avx512 ? &train_conv_ops_avx512 : &train_conv_ops_avx2;
    training->kernel = device->kernels.gemm[options->precision];
    training->tile_kernel = device->kernels.gemm[PRECISION_FP32];
    training->half = options->precision == PRECISION_BF16 ? device->kernels.ops : NULL;
    enum status status = train_blocks_init(&training->cpu, device, network, weights, options, err);
    for (int i = 0; i < network->parameter_count; i++)
        trained[i] = training_rate_factor(network, i, options) > 0;
    if (status == STATUS_OK) {
        gradient_list_make(&training->list, base->network, trained);
        fuse(training);
        status = take_memory(training, err);
    }
    if (status == STATUS_OK)
        *result = base;
    else
        free_training(base);
    return status;
}

const struct train_executor train_convnet_executor = {.needs_team = true, .prepare = prepare};
