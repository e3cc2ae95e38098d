// build_cnn.c: the steps of a convolutional network.
//
// Maps have the type of the products; a mean and what is made of it (gates, logits) are float. A convolution
// is a product that takes the sum and the activation behind it; its rows are the map's rows, the windows of a
// map, or, in the first layer, the windows of the view, gathered by a step of their own.
#include "kernels/cuda/build.h"

#include "kernels/model/parameters.h"

// Rows that one block sums up: more of them are summed in two steps.
enum { ROWS_IN_GROUP = 256, MAX_PLACES = 65535 };

struct tail {
    int second, output;
    enum finish finish;
};

static void shape_output(struct builder *builder, int tensor, enum storage storage)
{
    const struct tensor *shape = &builder->network->tensors[tensor];
    cuda_shape_activation(builder->plan, tensor, shape->rows, shape->columns, storage);
}

static bool is_computed(const struct builder *builder, int tensor)
{
    return builder->plan->activations[tensor].view_of >= 0;
}

// The operation that reads what the tail has so far and nobody else reads; NULL: none.
static const struct operation *next_of(const struct builder *builder, const struct tail *tail)
{
    int next = network_only_reader(builder->network, tail->output);
    return next < 0 ? NULL : &builder->network->operations[next];
}

static void take(struct builder *builder, struct tail *tail, const struct operation *operation)
{
    builder->done[operation - builder->network->operations] = true;
    tail->output = operation->output;
}

static struct tail take_tail(struct builder *builder, const struct operation *product, enum storage storage)
{
    static const enum finish finishes[OP_KIND_COUNT] = {[OP_RELU] = FINISH_RELU,
                                                        [OP_RELU6] = FINISH_RELU6,
                                                        [OP_SILU] = FINISH_SILU,
                                                        [OP_SIGMOID] = FINISH_SIGMOID};
    struct tail tail = {-1, product->output, FINISH_NONE};
    const struct operation *next = next_of(builder, &tail);
    if (next && next->kind == OP_ADD) {
        int other = next->input == tail.output ? next->second : next->input;
        if (is_computed(builder, other) && other != product->input &&
            builder->plan->activations[other].storage == storage) {
            tail.second = other;
            take(builder, &tail, next);
            next = next_of(builder, &tail);
        }
    }
    if (next && finishes[next->kind]) {
        tail.finish = finishes[next->kind];
        take(builder, &tail, next);
    }
    return tail;
}

// The view's windows as rows; returns their activation.
static int add_pixels(struct builder *builder, const struct operation *convolution)
{
    struct cuda_plan *plan = builder->plan;
    int values = convolution->kernel_height * convolution->kernel_width * 3;
    int columns = (int)memory_round_up((size_t)values, PIXEL_MULTIPLE);
    int pixels = cuda_add_activation(plan, builder->network->tensors[convolution->output].rows, columns,
                                     plan->product);
    cuda_add_step(builder, STEP_PATCHES, convolution, -1, pixels);
    return pixels;
}

static bool add_product(struct builder *builder, const struct operation *operation)
{
    struct cuda_plan *plan = builder->plan;
    bool plain = operation->kind == OP_LINEAR ||
                 (operation->kernel_width == 1 && operation->stride == 1 && operation->padding == 0);
    bool first = operation->input == builder->network->operations[0].output;
    if (operation->kernel_height != operation->kernel_width || operation->groups != 1 ||
        (first && operation->kind != OP_CONVOLUTION))
        return false;
    int input = first ? add_pixels(builder, operation) : operation->input;
    const struct activation *a = &plan->activations[input];
    size_t row_bytes = (size_t)a->columns * storage_size(a->storage);
    bool windowed = !plain && !first;
    if (row_bytes % (windowed ? WINDOW_ROW_BYTES : a->storage == STORE_FP32 ? sizeof(float) : 16) != 0)
        return false;
    const struct tail tail = take_tail(builder, operation, a->storage);
    shape_output(builder, tail.output, plan->activations[input].storage);
    struct step *step = cuda_add_step(builder, STEP_PRODUCT, operation, input, tail.output);
    step->second = tail.second;
    step->finish = tail.finish;
    step->windowed = windowed;
    return true;
}

static bool add_depthwise(struct builder *builder, const struct operation *operation)
{
    const struct tensor *input = &builder->network->tensors[operation->input],
                        *output = &builder->network->tensors[operation->output];
    int kernel = operation->kernel_width;
    if (operation->groups != input->columns || input->columns != output->columns || input->columns % 4 != 0 ||
        operation->kernel_height != kernel || (kernel != 3 && kernel != 5) || operation->stride > 2 ||
        parameters_bias_count(builder->network, operation) == 0) // the kernel reads one
        return false;
    struct tail tail = {-1, operation->output, FINISH_NONE};
    const struct operation *next = next_of(builder, &tail);
    if (next && (next->kind == OP_SILU || next->kind == OP_RELU6)) {
        tail.finish = next->kind == OP_SILU ? FINISH_SILU : FINISH_RELU6;
        take(builder, &tail, next);
    }
    shape_output(builder, tail.output, builder->plan->activations[operation->input].storage);
    cuda_add_step(builder, STEP_DEPTHWISE, operation, operation->input, tail.output)->finish = tail.finish;
    return true;
}

static bool add_max_pool(struct builder *builder, const struct operation *operation)
{
    if (builder->network->tensors[operation->input].columns % 4 != 0 ||
        operation->kernel_height != operation->kernel_width)
        return false;
    shape_output(builder, operation->output, builder->plan->activations[operation->input].storage);
    cuda_add_step(builder, STEP_MAX_POOL, operation, operation->input, operation->output);
    return true;
}

static bool add_mean(struct builder *builder, const struct operation *operation)
{
    struct cuda_plan *plan = builder->plan;
    const struct tensor shape = builder->network->tensors[operation->input];
    int input = operation->input, group = shape.rows;
    if (shape.columns % 4 != 0)
        return false;
    if (group > ROWS_IN_GROUP) {
        group = (shape.rows + ROWS_IN_GROUP - 1) / ROWS_IN_GROUP;
        int sums = cuda_add_activation(plan, group, shape.columns, STORE_FP32);
        struct step *step = cuda_add_step(builder, STEP_SUM_ROWS, operation, input, sums);
        step->group = ROWS_IN_GROUP;
        step->factor = 1;
        input = sums;
    }
    shape_output(builder, operation->output, STORE_FP32);
    struct step *step = cuda_add_step(builder, STEP_SUM_ROWS, operation, input, operation->output);
    step->group = group;
    step->factor = 1.0f / (float)shape.rows;
    return true;
}

static bool add_scale(struct builder *builder, const struct operation *operation)
{
    if (builder->network->tensors[operation->input].columns % 4 != 0 ||
        !is_computed(builder, operation->second) ||
        builder->plan->activations[operation->second].storage != STORE_FP32)
        return false;
    shape_output(builder, operation->output, builder->plan->activations[operation->input].storage);
    cuda_add_step(builder, STEP_SCALE, operation, operation->input, operation->output)->second =
        operation->second;
    return true;
}

static bool add_operation(struct builder *builder, const struct operation *operation)
{
    bool first = operation->input == builder->network->operations[0].output;
    if (operation->kind == OP_NORMALISE)
        return operation == builder->network->operations;
    if (builder->network->tensors[operation->output].rows > MAX_PLACES ||
        (!first && !is_computed(builder, operation->input)))
        return false;
    switch (operation->kind) {
    case OP_CONVOLUTION:
        return operation->groups == 1 ? add_product(builder, operation)
                                      : !first && add_depthwise(builder, operation);
    case OP_LINEAR:
        return add_product(builder, operation);
    case OP_MAX_POOL:
        return !first && add_max_pool(builder, operation);
    case OP_MEAN_ROWS:
        return !first && add_mean(builder, operation);
    case OP_SCALE:
        return !first && add_scale(builder, operation);
    default:
        return false;
    }
}

// After the head: it has to know the greatest logit.
static bool add_class_map(struct builder *builder)
{
    const struct network *network = builder->network;
    const struct step *head = &builder->plan->steps[builder->plan->step_count - 1];
    int features = network->operations[network->explained_op].output;
    if (!is_computed(builder, features) || head->output != network->logits ||
        head->operation->kind != OP_LINEAR)
        return false;
    cuda_add_step(builder, STEP_CLASS_MAP, head->operation, features, network->logits)->second =
        network->logits;
    return true;
}

enum status cuda_build_cnn(struct builder *builder, struct error *err)
{
    struct cuda_plan *plan = builder->plan;
    const struct network *network = builder->network;
    bool all = true;
    for (int i = 0; i < network->operation_count && all; i++)
        all = builder->done[i] || add_operation(builder, &network->operations[i]);
    if (all && builder->map)
        all = add_class_map(builder);
    for (int i = 0; i < plan->activation_count; i++)
        all = all && plan->activations[i].memory.size <= UINT32_MAX; // products count bytes in 32 bits
    if (all)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "the CUDA backend has no step for a part of %s; use backend 'cpu'",
                     network->architecture);
}
