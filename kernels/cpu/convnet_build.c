// convnet_build.c: from a network's operations to the steps of a plan, and memory for what they pass on.
//
// Fused here: a product takes the sum and the activation that follow it, and the gate before it; a depthwise
// convolution takes its activation and leaves the sums that a mean over its rows needs.
#include <assert.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "kernels/cpu/convnet.h"
#include "kernels/cpu/winograd.h"

enum { BLOCK_VALUES = 64 * 1024, BLOCK_LEAST_ROWS = 48, BLOCK_MOST_ROWS = 192, LARGEST_KERNEL = 11 };
// Rows for each value of depth from which on it is less to multiply the weights with a gate than the rows.
enum { GATE_LEAST_ROWS = 4 };
// Of tiles. A map of fewer would read the weights of all points for too little.
enum { WINOGRAD_VALUES = 4096, WINOGRAD_LEAST_ROWS = 24, WINOGRAD_MOST_ROWS = 48, WINOGRAD_LEAST_TILES = 9 };

struct builder {
    struct convnet_plan *plan;
    const struct network *network;
    bool done[NETWORK_MAX_OPERATIONS]; // taken into an earlier step
    int scale_of[NETWORK_MAX_TENSORS]; // the OP_SCALE left to its reader; -1: none
};

// Whole cache lines, but for rows of a few channels. A stride of many powers of two would put the rows of a
// tile all into the same few places of the first-level cache.
size_t convnet_row_stride(int columns)
{
    size_t size = (size_t)columns * sizeof(float);
    if (size < 64)
        return size;
    size = memory_round_up(size, 64);
    return size % 1024 == 0 ? size + 64 : size;
}

int convnet_block_tiles(const struct gemm_kernel *kernel, const struct convnet_step *step)
{
    int least = step->winograd ? WINOGRAD_LEAST_ROWS : BLOCK_LEAST_ROWS;
    int most = step->winograd ? WINOGRAD_MOST_ROWS : BLOCK_MOST_ROWS;
    int rows = step->winograd ? WINOGRAD_VALUES / step->depth : BLOCK_VALUES / step->depth;
    rows = rows < least ? least : rows > most ? most : rows;
    return (rows + kernel->tile_rows - 1) / kernel->tile_rows;
}

static void shape_tensor(struct convnet_plan *plan, int index, int rows, int columns)
{
    size_t stride = convnet_row_stride(columns);
    plan->tensors[index] =
        (struct convnet_tensor){.rows = rows,
                                .columns = columns,
                                .row_stride = stride,
                                .memory = {stride * (size_t)rows * (size_t)plan->chunk, -1, MEMORY_NOWHERE}};
}

// The only operation that reads the tensor; -1: none, several, or somebody after all of them.
static int only_reader(const struct builder *builder, int tensor)
{
    return tensor == builder->plan->feature_map ? -1 : network_only_reader(builder->network, tensor);
}

static struct convnet_step *add_step(struct builder *builder, enum convnet_step_kind kind,
                                     const struct operation *operation)
{
    struct convnet_plan *plan = builder->plan;
    assert(plan->step_count < CONVNET_MAX_STEPS);
    struct convnet_step *step = &plan->steps[plan->step_count++];
    *step = (struct convnet_step){.kind = kind,
                                  .operation = operation,
                                  .input = operation->input,
                                  .output = operation->output,
                                  .residual = -1,
                                  .gate = -1,
                                  .sums = -1,
                                  .height = operation->height,
                                  .width = operation->width,
                                  .kernel = 1,
                                  .stride = 1,
                                  .output_width = 1};
    if (operation->kind == OP_CONVOLUTION || operation->kind == OP_MAX_POOL) {
        step->kernel = operation->kernel_width;
        step->stride = operation->stride;
        step->padding = operation->padding;
        step->output_width = operation->output_width;
    }
    return step;
}

static void shape_output(struct builder *builder, const struct convnet_step *step)
{
    const struct tensor *shape = &builder->network->tensors[step->output];
    shape_tensor(builder->plan, step->output, shape->rows, shape->columns);
}

static void take_sum(struct builder *builder, struct convnet_step *step)
{
    int next = only_reader(builder, step->output);
    if (next < 0 || builder->network->operations[next].kind != OP_ADD)
        return;
    const struct operation *add = &builder->network->operations[next];
    int other = add->input == step->output ? add->second : add->input;
    if (builder->plan->tensors[other].rows == 0 || other == step->input)
        return; // not computed yet when this step runs
    step->residual = other;
    step->output = add->output;
    builder->done[next] = true;
}

static void take_activation(struct builder *builder, struct convnet_step *step)
{
    static const enum activation activations[OP_KIND_COUNT] = {[OP_RELU] = ACTIVATION_RELU,
                                                               [OP_RELU6] = ACTIVATION_RELU6,
                                                               [OP_SILU] = ACTIVATION_SILU,
                                                               [OP_SIGMOID] = ACTIVATION_SIGMOID};
    int next = only_reader(builder, step->output);
    if (next < 0 || !activations[builder->network->operations[next].kind])
        return;
    step->activation = activations[builder->network->operations[next].kind];
    step->output = builder->network->operations[next].output;
    builder->done[next] = true;
}

static bool square(const struct operation *operation)
{
    return operation->kernel_height == operation->kernel_width && operation->kernel_width <= LARGEST_KERNEL;
}

// Whether Winograd's algorithm pays; sets the rows that it has. It depends on the shape only: an image's bits
// depend on nothing else.
static bool tiles_pay(struct convnet_step *step)
{
    int tiles = winograd_tiles(WINOGRAD_TILE, step->height, step->width);
    if (step->kernel != 3 || step->stride != 1 || step->padding != 1 || tiles < WINOGRAD_LEAST_TILES)
        return false;
    step->rows = tiles;
    return true;
}

static bool add_product(struct builder *builder, const struct operation *operation)
{
    const struct network *network = builder->network;
    bool convolution = operation->kind == OP_CONVOLUTION;
    if (convolution && (operation->groups != 1 || !square(operation)))
        return false;
    struct convnet_step *step = add_step(builder, CONVNET_PRODUCT, operation);
    bool plain_rows = step->kernel == 1 && step->stride == 1 && step->padding == 0;
    int scale = builder->scale_of[step->input];
    if (scale >= 0) {
        if (!plain_rows)
            return false;
        step->gate = network->operations[scale].second;
        step->input = network->operations[scale].input;
    }
    step->rows = network->tensors[step->output].rows;
    step->depth = network->tensors[step->input].columns;
    step->winograd = tiles_pay(step);
    step->direct = plain_rows && (step->gate < 0 || step->rows >= GATE_LEAST_ROWS * step->depth);
    if (!step->winograd)
        step->depth *= step->kernel * step->kernel;
    take_sum(builder, step);
    take_activation(builder, step);
    shape_output(builder, step);
    return true;
}

static bool add_depthwise(struct builder *builder, const struct operation *operation)
{
    const struct network *network = builder->network;
    int channels = network->tensors[operation->input].columns;
    if (operation->groups != channels || network->tensors[operation->output].columns != channels ||
        !square(operation))
        return false;
    struct convnet_step *step = add_step(builder, CONVNET_DEPTHWISE, operation);
    take_activation(builder, step);
    shape_output(builder, step);
    return true;
}

// A mean over rows that a depthwise step can sum up while it has them at hand reads those sums.
static bool add_mean(struct builder *builder, const struct operation *operation)
{
    struct convnet_plan *plan = builder->plan;
    struct convnet_step *mean = add_step(builder, CONVNET_MEAN, operation);
    for (int i = 0; i < plan->step_count; i++) {
        struct convnet_step *step = &plan->steps[i];
        if (step->kind != CONVNET_DEPTHWISE || step->output != operation->input || step->sums >= 0)
            continue;
        assert(plan->tensor_count < CONVNET_MAX_TENSORS);
        step->sums = mean->input = plan->tensor_count++;
        shape_tensor(plan, step->sums, plan->tensors[step->output].rows / step->output_width,
                     plan->tensors[step->output].columns);
    }
    shape_output(builder, mean);
    return true;
}

static bool add_scale(struct builder *builder, int index)
{
    int output = builder->network->operations[index].output;
    builder->scale_of[output] = index;
    int reader = only_reader(builder, output);
    return reader >= 0 && builder->network->operations[reader].kind == OP_CONVOLUTION &&
           builder->network->operations[reader].groups == 1;
}

static bool add_operation(struct builder *builder, int index)
{
    const struct operation *operation = &builder->network->operations[index];
    switch (operation->kind) {
    case OP_NORMALISE:
        shape_output(builder, add_step(builder, CONVNET_NORMALISE, operation));
        return true;
    case OP_CONVOLUTION:
        return operation->groups == 1 ? add_product(builder, operation) : add_depthwise(builder, operation);
    case OP_LINEAR:
        return add_product(builder, operation);
    case OP_MAX_POOL:
        shape_output(builder, add_step(builder, CONVNET_MAX_POOL, operation));
        return square(operation);
    case OP_MEAN_ROWS:
        return add_mean(builder, operation);
    case OP_SCALE:
        return add_scale(builder, index);
    default:
        return false;
    }
}

static void find_last_steps(struct convnet_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        const struct convnet_step *step = &plan->steps[i];
        const int used[] = {step->input, step->residual, step->gate, step->output, step->sums};
        for (size_t j = 0; j < sizeof used / sizeof used[0]; j++)
            if (used[j] >= 0)
                plan->tensors[used[j]].memory.last_step = i;
    }
    plan->tensors[plan->network->logits].memory.last_step = plan->step_count;
    plan->tensors[plan->network->embedding].memory.last_step = plan->step_count;
    if (plan->feature_map >= 0)
        plan->tensors[plan->feature_map].memory.last_step = plan->step_count;
}

static void place_tensors(struct convnet_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        const struct convnet_step *step = &plan->steps[i];
        memory_plan_place(&plan->places, &plan->tensors[step->output].memory, i,
                          step->residual < 0 ? NULL : &plan->tensors[step->residual].memory);
        if (step->sums >= 0)
            memory_plan_place(&plan->places, &plan->tensors[step->sums].memory, i, NULL);
    }
    plan->scratch_offset = memory_round_up(memory_plan_lay_out(&plan->places, 4096, 64), 64);
}

static void find_scratch(struct convnet_plan *plan)
{
    const struct gemm_kernel *kernel = plan->device->kernels.gemm[PRECISION_FP32];
    for (int i = 0; i < plan->step_count; i++) {
        const struct convnet_step *step = &plan->steps[i];
        if (step->kind != CONVNET_PRODUCT || (step->direct && step->gate < 0))
            continue;
        int rows = convnet_block_tiles(kernel, step) * kernel->tile_rows;
        size_t size = memory_round_up((size_t)rows * convnet_row_stride(step->depth), 64) + 64;
        if (step->winograd)
            size = winograd_scratch_size(kernel, WINOGRAD_TILE, rows, step->depth);
        else if (step->direct)
            size = (size_t)(step->depth * kernel->panel_columns) * sizeof(float);
        plan->scratch_size = size > plan->scratch_size ? size : plan->scratch_size;
    }
    plan->memory_size = plan->scratch_offset + plan->scratch_size * (size_t)team_threads(plan->device->team);
}

// False: an operation has no step.
static bool add_operations(struct convnet_plan *plan)
{
    struct builder *builder = memory_alloc(sizeof *builder);
    builder->plan = plan;
    builder->network = plan->network;
    plan->steps = memory_alloc(CONVNET_MAX_STEPS * sizeof *plan->steps);
    plan->tensors = memory_alloc(CONVNET_MAX_TENSORS * sizeof *plan->tensors);
    plan->tensor_count = plan->network->tensor_count;
    for (int i = 0; i < plan->tensor_count; i++)
        builder->scale_of[i] = -1;
    bool all = true;
    for (int i = 0; i < plan->network->operation_count && all; i++)
        all = builder->done[i] || add_operation(builder, i);
    free(builder);
    return all;
}

bool convnet_build(struct convnet_plan *plan)
{
    if (!add_operations(plan))
        return false;
    find_last_steps(plan);
    place_tensors(plan);
    find_scratch(plan);
    return true;
}
