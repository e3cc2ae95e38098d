// cnn_weights.c: one block of memory for a plan's weights: packed panels and the filters of depthwise
// convolutions, batch normalisation folded in. Each source tensor's pages are given back to the system as
// soon as it is packed.
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "kernels/cpu/cnn.h"
#include "kernels/cpu/pages.h"
#include "kernels/parameters.h"

enum { ALIGNMENT = 64, LANES = 16 };

static size_t round_up(size_t value, size_t to)
{
    return (value + to - 1) / to * to;
}

static int channels_of(const struct cnn_plan *plan, const struct cnn_step *step)
{
    return plan->network->tensors[step->operation->output].columns;
}

// A depthwise filter: one row for each place of the window, one for the bias.
static size_t packed_size(const struct cnn_plan *plan, const struct cnn_step *step)
{
    int channels = channels_of(plan, step);
    if (step->kind == CNN_PRODUCT)
        return round_up(gemm_packed_size(plan->cnn->gemm, channels, step->depth), ALIGNMENT);
    if (step->kind == CNN_DEPTHWISE)
        return (size_t)(step->kernel * step->kernel + 1) * round_up((size_t)channels, LANES) * sizeof(float);
    return 0;
}

// (outputs, inputs, places) -> (outputs, places, inputs): the order of a window in channels-last rows.
static void channels_last(const float *from, size_t outputs, size_t inputs, size_t places, float *to)
{
    for (size_t out = 0; out < outputs; out++)
        for (size_t place = 0; place < places; place++)
            for (size_t in = 0; in < inputs; in++)
                to[(out * places + place) * inputs + in] = from[(out * inputs + in) * places + place];
}

static void pack_product(const struct cnn_plan *plan, struct cnn_step *step, const float *weight,
                         const float *bias, float *reordered, void *memory)
{
    int outputs = channels_of(plan, step);
    size_t places = (size_t)(step->kernel * step->kernel);
    if (places > 1) {
        channels_last(weight, (size_t)outputs, (size_t)step->depth / places, places, reordered);
        weight = reordered;
    }
    gemm_pack(&step->weights, plan->cnn->gemm, plan->cnn->team, weight, bias, outputs, step->depth, memory);
}

static void pack_depthwise(const struct cnn_plan *plan, struct cnn_step *step, const float *weight,
                           const float *bias, float *memory)
{
    size_t channels = (size_t)channels_of(plan, step), stride = round_up(channels, LANES);
    size_t places = (size_t)(step->kernel * step->kernel);
    memset(memory, 0, packed_size(plan, step));
    for (size_t place = 0; place < places; place++)
        for (size_t channel = 0; channel < channels; channel++)
            memory[place * stride + channel] = weight[channel * places + place];
    if (bias)
        memcpy(memory + places * stride, bias, channels * sizeof *bias);
    step->filter = memory;
    step->filter_stride = (int)stride;
    step->bias = memory + places * stride;
}

// False: no memory.
static bool pack_step(const struct cnn_plan *plan, struct cnn_step *step, const struct weights *weights,
                      char *memory)
{
    size_t count = parameters_weight_count(plan->network, step->operation);
    size_t bias_count = parameters_bias_count(plan->network, step->operation);
    float *weight = memory_try_alloc((2 * count + bias_count) * sizeof *weight);
    if (!weight)
        return false;
    float *bias = bias_count ? weight + 2 * count : NULL;
    parameters_read(plan->network, step->operation, weights, weight, bias);
    parameters_discard_pages(step->operation, weights);
    if (step->kind == CNN_PRODUCT)
        pack_product(plan, step, weight, bias, weight + count, memory);
    else
        pack_depthwise(plan, step, weight, bias, (float *)memory);
    free(weight);
    return true;
}

// The head's weight as it is: what the class-activation map multiplies features with.
static bool keep_map_weight(struct cnn_plan *plan, const struct weights *weights)
{
    for (int i = 0; i < plan->step_count; i++) {
        const struct operation *operation = plan->steps[i].operation;
        if (plan->steps[i].output != plan->network->logits)
            continue;
        plan->map_weight =
            memory_try_alloc(parameters_weight_count(plan->network, operation) * sizeof(float));
        if (plan->map_weight)
            parameters_read(plan->network, operation, weights, plan->map_weight, NULL);
    }
    return plan->map_weight;
}

enum status cnn_pack_weights(struct cnn_plan *plan, const struct weights *weights, struct error *err)
{
    size_t used = 0;
    for (int i = 0; i < plan->step_count; i++)
        plan->weights_size += packed_size(plan, &plan->steps[i]);
    plan->weights = pages_new(plan->weights_size);
    if (!plan->weights)
        return error_set(err, STATUS_FATAL, "no memory for %zu MiB of packed weights",
                         plan->weights_size >> 20);
    bool good = plan->feature_map < 0 || keep_map_weight(plan, weights);
    for (int i = 0; i < plan->step_count && good; i++) {
        size_t size = packed_size(plan, &plan->steps[i]);
        good = !size || pack_step(plan, &plan->steps[i], weights, plan->weights + used);
        used += size;
    }
    if (!good)
        return error_set(err, STATUS_FATAL, "no memory to pack the weights of %s",
                         plan->network->architecture);
    return STATUS_OK;
}
