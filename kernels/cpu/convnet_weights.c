// convnet_weights.c: one block of memory for a plan's weights: packed panels and the filters of depthwise
// convolutions, batch normalisation folded in. Each source tensor's pages are given back to the system as
// soon as it is packed.
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/cpu/convnet.h"
#include "kernels/cpu/pages.h"
#include "kernels/memory_plan.h"
#include "kernels/model/parameters.h"

enum { ALIGNMENT = 64, LANES = 16 };

static int channels_of(const struct convnet_plan *plan, const struct convnet_step *step)
{
    return plan->network->tensors[step->operation->output].columns;
}

// A depthwise filter: one row for each place of the window, one for the bias.
static size_t packed_size(const struct convnet_plan *plan, const struct convnet_step *step)
{
    int channels = channels_of(plan, step);
    if (step->kind == CONVNET_PRODUCT)
        return memory_round_up(
                   gemm_packed_size(plan->device->kernels.gemm[PRECISION_FP32], channels, step->depth),
                   ALIGNMENT) *
               (step->winograd ? WINOGRAD_POINTS : 1);
    if (step->kind == CONVNET_DEPTHWISE)
        return (size_t)(step->kernel * step->kernel + 1) * memory_round_up((size_t)channels, LANES) *
               sizeof(float);
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

struct winograd_filters {
    const float *filters; // (outputs, inputs, 3 * 3)
    size_t outputs, inputs;
    float *points; // (WINOGRAD_POINTS, outputs, inputs)
};

// One line of a filter at the points of Winograd's F(4 x 4, 3 x 3).
static void filter_points(const double line[3], double points[WINOGRAD_SIDE])
{
    double near = line[0] + line[2], far = line[0] / 24 + line[2] / 6;
    points[0] = line[0] / 4;
    points[1] = (near + line[1]) / -6;
    points[2] = (near - line[1]) / -6;
    points[3] = far + line[1] / 12;
    points[4] = far - line[1] / 12;
    points[5] = line[2];
}

// The filters of one output.
static void filters_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct winograd_filters *winograd = context;
    size_t first = (size_t)unit * winograd->inputs, pairs = winograd->outputs * winograd->inputs;
    for (size_t pair = first; pair < first + winograd->inputs; pair++) {
        double lines[3][WINOGRAD_SIDE], points[WINOGRAD_SIDE];
        for (int i = 0; i < 3; i++) {
            const float *line = winograd->filters + 9 * pair + 3 * i;
            filter_points((const double[3]){(double)line[0], (double)line[1], (double)line[2]}, lines[i]);
        }
        for (int j = 0; j < WINOGRAD_SIDE; j++) {
            filter_points((const double[3]){lines[0][j], lines[1][j], lines[2][j]}, points);
            for (int i = 0; i < WINOGRAD_SIDE; i++)
                winograd->points[(size_t)(i * WINOGRAD_SIDE + j) * pairs + pair] = (float)points[i];
        }
    }
}

static void pack_winograd(const struct convnet_plan *plan, struct convnet_step *step, const float *weight,
                          const float *bias, float *points, char *memory)
{
    int outputs = channels_of(plan, step);
    struct winograd_filters winograd = {weight, (size_t)outputs, (size_t)step->depth, points};
    team_run(plan->device->team, filters_unit, &winograd, outputs);
    step->point_size = packed_size(plan, step) / WINOGRAD_POINTS;
    for (size_t point = 0; point < WINOGRAD_POINTS; point++)
        gemm_pack(&step->weights, plan->device->kernels.gemm[PRECISION_FP32], plan->device->team,
                  points + point * winograd.outputs * winograd.inputs, bias, outputs, step->depth,
                  memory + point * step->point_size);
    step->weights.data = memory;
}

static void pack_product(const struct convnet_plan *plan, struct convnet_step *step, const float *weight,
                         const float *bias, float *reordered, void *memory)
{
    int outputs = channels_of(plan, step);
    size_t places = (size_t)(step->kernel * step->kernel);
    if (places > 1) {
        channels_last(weight, (size_t)outputs, (size_t)step->depth / places, places, reordered);
        weight = reordered;
    }
    gemm_pack(&step->weights, plan->device->kernels.gemm[PRECISION_FP32], plan->device->team, weight, bias,
              outputs, step->depth, memory);
}

static void pack_depthwise(const struct convnet_plan *plan, struct convnet_step *step, const float *weight,
                           const float *bias, float *memory)
{
    size_t channels = (size_t)channels_of(plan, step), stride = memory_round_up(channels, LANES);
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
static bool pack_step(const struct convnet_plan *plan, struct convnet_step *step,
                      const struct weights *weights, char *memory)
{
    size_t count = parameters_weight_count(plan->network, step->operation);
    size_t bias_count = parameters_bias_count(plan->network, step->operation);
    size_t reordered = step->winograd ? count / 9 * WINOGRAD_POINTS : count;
    float *weight = memory_try_alloc((count + reordered + bias_count) * sizeof *weight);
    if (!weight)
        return false;
    float *bias = bias_count ? weight + count + reordered : NULL;
    parameters_read(plan->network, step->operation, weights, weight, bias);
    parameters_discard_pages(plan->network, step->operation, weights);
    if (step->winograd)
        pack_winograd(plan, step, weight, bias, weight + count, memory);
    else if (step->kind == CONVNET_PRODUCT)
        pack_product(plan, step, weight, bias, weight + count, memory);
    else
        pack_depthwise(plan, step, weight, bias, (float *)memory);
    free(weight);
    return true;
}

// The head's weight as it is: what the class-activation map multiplies features with.
static bool keep_map_weight(struct convnet_plan *plan, const struct weights *weights)
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

enum status convnet_pack_weights(struct convnet_plan *plan, const struct weights *weights, struct error *err)
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
