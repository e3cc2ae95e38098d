// train_convnet_rows.c: what is no matrix product and no batch normalisation: depthwise convolutions,
// pooling, activations, sums, gates, dropout. See train_convnet.h.
#include <string.h>

#include "kernels/cpu/train_convnet.h"
#include "kernels/dropout.h"

enum { DEPTHWISE_CHANNELS = 32, UNIT_VALUES = 1 << 15 };

bool train_convnet_is_depthwise(const struct operation *operation, struct tensor input, struct tensor output)
{
    return operation->groups == input.columns && input.columns == output.columns && operation->groups > 1;
}

enum activation train_convnet_activation(enum op_kind kind)
{
    return kind == OP_RELU      ? ACTIVATION_RELU
           : kind == OP_RELU6   ? ACTIVATION_RELU6
           : kind == OP_SILU    ? ACTIVATION_SILU
           : kind == OP_SIGMOID ? ACTIVATION_SIGMOID
                                : ACTIVATION_NONE;
}

// One operation on the batch: forward, or with `step` back.
struct rows_work {
    const struct convnet_batch *batch;
    const struct train_convnet *training;
    const struct operation *operation;
    const struct gradient_step *step;
    struct tensor input_shape, output_shape;
    size_t input_size, output_size; // of one image
    const float *input, *second, *output;
    float *to; // forward: output's values
    const float *dy;
    float *dx, *second_dx; // NULL: not wanted
    int parts;
};

static struct rows_work work_of(const struct convnet_batch *batch, int index)
{
    const struct train_convnet *training = batch->training;
    const struct operation *operation = convnet_operation(training, index);
    struct rows_work work = {
        .batch = batch,
        .training = training,
        .operation = operation,
        .output_shape = convnet_shape(training, operation->output),
        .output_size = convnet_size(training, operation->output),
        .output = training->values[operation->output],
        .to = training->values[operation->output],
    };
    work.parts = work.output_size > UNIT_VALUES ? 4 : 1;
    if (operation->input >= 0) {
        work.input_shape = convnet_shape(training, operation->input);
        work.input_size = convnet_size(training, operation->input);
        work.input = training->values[operation->input];
    }
    if (operation->second >= 0)
        work.second = training->values[operation->second];
    return work;
}

// A unit's share of all values of an operation that works value by value.
struct share {
    size_t first;
    int count;
};

static struct share share_of(const struct rows_work *work, int unit)
{
    size_t total = (size_t)work->batch->images * work->output_size, first = (size_t)unit * UNIT_VALUES;
    return (struct share){first, (int)(total - first < UNIT_VALUES ? total - first : UNIT_VALUES)};
}

static int share_count(const struct rows_work *work)
{
    return (int)(((size_t)work->batch->images * work->output_size + UNIT_VALUES - 1) / UNIT_VALUES);
}

static struct window_gradient window_of(const struct rows_work *work, int image)
{
    const struct operation *operation = work->operation;
    size_t in = (size_t)image * work->input_size, out = (size_t)image * work->output_size;
    return (struct window_gradient){
        .height = operation->height,
        .width = operation->width,
        .output_height = operation->output_height,
        .output_width = operation->output_width,
        .kernel = operation->kernel_width,
        .stride = operation->stride,
        .padding = operation->padding,
        .stride_values = work->input_shape.columns,
        .channels = work->input_shape.columns,
        .x = work->input ? work->input + in : NULL,
        .dy = work->dy ? work->dy + out : NULL,
        .dx = work->dx ? work->dx + in : NULL,
        .adds = work->step && work->step->input == GRADIENT_ADD,
        .weight = work->training->panels,
        .weight_sums = work->training->sums,
    };
}

static void window_forward_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct rows_work *work = context;
    const struct operation *operation = work->operation;
    int image = unit / work->parts, part = unit % work->parts;
    int height = operation->output_height;
    int y = height * part / work->parts, end = height * (part + 1) / work->parts;
    size_t row_size = (size_t)work->input_shape.columns * sizeof(float);
    struct conv_window window = {
        .in = work->input + (size_t)image * work->input_size,
        .in_stride = row_size,
        .height = operation->height,
        .width = operation->width,
        .channels = work->input_shape.columns,
        .kernel = operation->kernel_width,
        .stride = operation->stride,
        .padding = operation->padding,
        .y = y,
        .lines = end - y,
        .places = operation->output_width,
        .out = work->to + (size_t)image * work->output_size +
               (size_t)(y * operation->output_width) * (size_t)work->input_shape.columns,
        .out_stride = row_size,
        .weight = work->training->panels,
        .weight_stride = work->input_shape.columns,
        .bias =
            operation->bias < 0 ? work->training->zeros : convnet_parameter(work->training, operation->bias),
    };
    const struct conv_ops *conv = work->training->cpu.device->conv;
    if (end > y)
        (operation->kind == OP_MAX_POOL ? conv->max_pool : conv->depthwise)(&window);
}

// A depthwise filter, channels side by side; turned: its last tap first.
static void order_taps(const struct rows_work *work, bool turned)
{
    int channels = work->input_shape.columns, area = work->operation->kernel_width;
    area *= area;
    const float *weight = convnet_parameter(work->training, work->operation->weight);
    for (int i = 0; i < channels; i++)
        for (int tap = 0; tap < area; tap++)
            work->training->panels[(turned ? area - 1 - tap : tap) * channels + i] = weight[i * area + tap];
}

static void depthwise_weight_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct rows_work *work = context;
    int first = unit * DEPTHWISE_CHANNELS, left = work->input_shape.columns - first;
    for (int image = 0; image < work->batch->images; image++) {
        struct window_gradient window = window_of(work, image);
        window.channels = left < DEPTHWISE_CHANNELS ? left : DEPTHWISE_CHANNELS;
        window.x += first;
        window.dy += first;
        window.weight_sums += first;
        work->training->ops->depthwise_weight(&window);
    }
}

static void depthwise_input_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct rows_work *work = context;
    struct window_gradient window = window_of(work, unit / work->operation->height);
    work->training->ops->depthwise_input(&window, unit % work->operation->height);
}

static void depthwise_weight(const struct convnet_batch *batch, int index)
{
    struct rows_work work = work_of(batch, index);
    int channels = work.input_shape.columns,
        area = work.operation->kernel_width * work.operation->kernel_width;
    float *sums = work.training->sums, *gradient = convnet_gradient(work.training, work.operation->weight);
    work.dy = work.training->slopes[work.operation->output];
    memset(sums, 0, (size_t)area * (size_t)channels * sizeof *sums);
    train_run(work.training->cpu.device, depthwise_weight_unit, &work,
              (channels + DEPTHWISE_CHANNELS - 1) / DEPTHWISE_CHANNELS);
    for (int i = 0; i < channels; i++)
        for (int tap = 0; tap < area; tap++)
            gradient[i * area + tap] += sums[tap * channels + i];
}

// Whether the input's gradient is the convolution of dy with the filter turned round.
static bool goes_forward(const struct rows_work *work)
{
    const struct operation *operation = work->operation;
    return operation->stride == 1 && 2 * operation->padding == operation->kernel_width - 1 &&
           work->output_shape.rows == work->input_shape.rows && work->step->input == GRADIENT_STORE;
}

static void depthwise_backward(struct rows_work *work)
{
    struct cpu_device *device = work->training->cpu.device;
    if (work->step->parameters)
        train_convnet_halves(work->batch, work->step->operation, depthwise_weight);
    order_taps(work, goes_forward(work));
    if (goes_forward(work)) {
        struct rows_work turned = *work;
        turned.input = work->dy;
        turned.to = work->dx;
        train_run(device, window_forward_unit, &turned, work->batch->images * work->parts);
    } else if (work->dx)
        train_run(device, depthwise_input_unit, work, work->batch->images * work->operation->height);
}

static void max_pool_unit(void *context, int image, int thread)
{
    (void)thread;
    const struct rows_work *work = context;
    struct window_gradient window = window_of(work, image);
    if (!window.adds)
        memset(window.dx, 0, work->input_size * sizeof *window.dx);
    work->training->ops->max_pool(&window);
}

static void activation_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct rows_work *work = context;
    const struct train_conv_ops *ops = work->training->ops;
    enum op_kind kind = work->operation->kind;
    enum activation activation = train_convnet_activation(kind);
    struct share share = share_of(work, unit);
    if (work->step)
        ops->activation_gradient(activation, (kind == OP_SILU ? work->input : work->output) + share.first,
                                 work->dy + share.first, share.count, work->step->input == GRADIENT_ADD,
                                 work->dx + share.first);
    else
        ops->activate(activation, work->input + share.first, share.count, work->to + share.first);
}

static void take_gradient(const struct rows_work *work, struct share share, enum gradient_use use, float *to)
{
    const float *dy = work->dy + share.first;
    if (use == GRADIENT_ADD)
        work->training->ops->add(to + share.first, dy, share.count, to + share.first);
    else if (use == GRADIENT_STORE && to != work->dy)
        memcpy(to + share.first, dy, (size_t)share.count * sizeof *dy);
}

static void add_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct rows_work *work = context;
    struct share share = share_of(work, unit);
    if (!work->step) {
        work->training->ops->add(work->input + share.first, work->second + share.first, share.count,
                                 work->to + share.first);
        return;
    }
    take_gradient(work, share, work->step->second, work->second_dx);
    take_gradient(work, share, work->step->input, work->dx);
}

static void mean_unit(void *context, int image, int thread)
{
    (void)thread;
    const struct rows_work *work = context;
    int rows = work->input_shape.rows, columns = work->input_shape.columns;
    float factor = 1.0f / (float)rows;
    if (!work->step) {
        work->training->cpu.device->conv->sum_rows(work->input + (size_t)image * work->input_size,
                                                   (size_t)columns * sizeof(float), rows, columns, factor,
                                                   work->to + (size_t)image * (size_t)columns);
        return;
    }
    const float *dy = work->dy + (size_t)image * (size_t)columns;
    float *dx = work->dx + (size_t)image * work->input_size;
    bool adds = work->step->input == GRADIENT_ADD;
    for (int row = 0; row < rows; row++, dx += columns)
        for (int i = 0; i < columns; i++)
            dx[i] = (adds ? dx[i] : 0) + dy[i] * factor;
}

static void scale_unit(void *context, int image, int thread)
{
    (void)thread;
    const struct rows_work *work = context;
    const struct train_conv_ops *ops = work->training->ops;
    const struct gradient_step *step = work->step;
    int rows = work->input_shape.rows, columns = work->input_shape.columns;
    size_t at = (size_t)image * work->input_size, row = (size_t)image * (size_t)columns;
    if (!step) {
        ops->scale(work->input + at, work->second + row, rows, columns, false, work->to + at);
        return;
    }
    if (work->second_dx)
        ops->column_products(work->dy + at, work->input + at, rows, columns, step->second == GRADIENT_ADD,
                             work->second_dx + row);
    if (work->dx)
        ops->scale(work->dy + at, work->second + row, rows, columns, step->input == GRADIENT_ADD,
                   work->dx + at);
}

static void dropout_unit(void *context, int image, int thread)
{
    (void)thread;
    const struct rows_work *work = context;
    const struct train_convnet *training = work->training;
    const struct training_options *options = &training->cpu.training.options;
    int index = (int)(work->operation - training->cpu.training.network->operations);
    bool frozen = index < training->list.frozen_operations;
    struct dropout drop = dropout_of(options->seed, index, frozen ? 0 : options->dropout);
    size_t first = (size_t)image * work->output_size;
    const float *from = (work->step ? work->dy : work->input) + first;
    float *to = (work->step ? work->dx : work->to) + first, factors[DROPOUT_GROUP];
    bool adds = work->step && work->step->input == GRADIENT_ADD;
    for (size_t i = 0; i < work->output_size; i++) {
        if (i % DROPOUT_GROUP == 0)
            dropout_factors(&drop, work->batch->batch->counters[image], (uint32_t)i, DROPOUT_GROUP, factors);
        to[i] = from[i] * factors[i % DROPOUT_GROUP] + (adds ? to[i] : 0);
    }
}

// OP_NORMALISE: the images come normalised.
static void take_image(void *context, int image, int thread)
{
    (void)thread;
    const struct rows_work *work = context;
    memcpy(work->to + (size_t)image * work->output_size, work->batch->batch->images[image],
           work->output_size * sizeof(float));
}

static void run(struct rows_work *work)
{
    struct cpu_device *device = work->training->cpu.device;
    int images = work->batch->images;
    switch (work->operation->kind) {
    case OP_NORMALISE:
        train_run(device, take_image, work, images);
        break;
    case OP_ADD:
        train_run(device, add_unit, work, share_count(work));
        break;
    case OP_MEAN_ROWS:
        train_run(device, mean_unit, work, images);
        break;
    case OP_SCALE:
        train_run(device, scale_unit, work, images);
        break;
    case OP_DROPOUT:
        train_run(device, dropout_unit, work, images);
        break;
    default:
        train_run(device, activation_unit, work, share_count(work));
        break;
    }
}

void train_convnet_rows(const struct convnet_batch *batch, int index)
{
    struct rows_work work = work_of(batch, index);
    enum op_kind kind = work.operation->kind;
    if (kind == OP_CONVOLUTION)
        order_taps(&work, false);
    if (kind == OP_CONVOLUTION || kind == OP_MAX_POOL)
        train_run(work.training->cpu.device, window_forward_unit, &work, batch->images * work.parts);
    else
        run(&work);
}

void train_convnet_rows_backward(const struct convnet_batch *batch, const struct gradient_step *step)
{
    struct rows_work work = work_of(batch, step->operation);
    work.step = step;
    work.dy = batch->training->slopes[work.operation->output];
    if (step->input != GRADIENT_NONE)
        work.dx = batch->training->slopes[work.operation->input];
    if (step->second != GRADIENT_NONE)
        work.second_dx = batch->training->slopes[work.operation->second];
    if (work.operation->kind == OP_CONVOLUTION)
        depthwise_backward(&work);
    else if (work.operation->kind == OP_MAX_POOL)
        train_run(work.training->cpu.device, max_pool_unit, &work, batch->images);
    else
        run(&work);
}
