// train_plain_backward.c: the gradient of each operation as its formula, and the walk through the list. See
// train_plain.h.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/train_plain.h"
#include "kernels/dropout.h"
#include "kernels/loss.h"

// One operation on one image. dy: the gradient by its output.
struct slope_call {
    const struct operation *operation;
    struct tensor input_shape, output_shape;
    const plain_value *input, *second, *output; // values
    const plain_value *weight;
    const plain_value *dy;
    plain_value *input_slope, *second_slope; // NULL: not wanted
    bool input_adds, second_adds;            // to what is there
    double *weight_sums, *bias_sums;         // the parameters' gradients, to be added to
    double *workspace;                       // of the input's size
    double *probabilities;                   // attention: of a row, two times
    double diversity;                        // attention: factor of the entropy's gradient; 0: none
    const struct dropout *dropout;
    uint64_t counter;
};

static void put(plain_value *slope, size_t i, bool adds, double value)
{
    slope[i] = (plain_value)(adds ? slope[i] + value : value);
}

static void put_workspace(const struct slope_call *call)
{
    size_t count = (size_t)call->input_shape.rows * (size_t)call->input_shape.columns;
    for (size_t i = 0; i < count && call->input_slope; i++)
        put(call->input_slope, i, call->input_adds, call->workspace[i]);
}

static void clear_workspace(const struct slope_call *call)
{
    size_t count = (size_t)call->input_shape.rows * (size_t)call->input_shape.columns;
    memset(call->workspace, 0, count * sizeof *call->workspace);
}

static size_t values_of(struct tensor shape)
{
    return (size_t)shape.rows * (size_t)shape.columns;
}

// Where a place of a window lies in the map, -1: in the padding.
static long place_of(const struct operation *op, int top, int left, int i)
{
    int y = top + i / op->kernel_width, x = left + i % op->kernel_width;
    return y < 0 || y >= op->height || x < 0 || x >= op->width ? -1 : (long)y * op->width + x;
}

// One output value's share: to its filter, and to what lies under the window.
static void convolution_place(const struct slope_call *call, int top, int left, int n, double dy)
{
    const struct operation *op = call->operation;
    int width = call->input_shape.columns, channels = width / op->groups;
    int area = op->kernel_height * op->kernel_width, filter = channels * area;
    int first_channel = n / (call->output_shape.columns / op->groups) * channels;
    for (int i = 0; i < area; i++) {
        long place = place_of(op, top, left, i);
        if (place < 0)
            continue;
        const plain_value *pixel = call->input + place * width + first_channel;
        double *slope = call->workspace + place * width + first_channel;
        const plain_value *weight = call->weight + (size_t)n * filter + i;
        double *sums = call->weight_sums + (size_t)n * filter + i;
        for (int c = 0; c < channels; c++) {
            slope[c] += dy * weight[c * area];
            sums[c * area] += dy * pixel[c];
        }
    }
}

static void convolution(const struct slope_call *call)
{
    const struct operation *op = call->operation;
    clear_workspace(call);
    for (int row = 0; row < call->output_shape.rows; row++) {
        int top = row / op->output_width * op->stride - op->padding;
        int left = row % op->output_width * op->stride - op->padding;
        for (int n = 0; n < call->output_shape.columns; n++) {
            double dy = call->dy[(size_t)row * call->output_shape.columns + n];
            convolution_place(call, top, left, n, dy);
            if (op->bias >= 0)
                call->bias_sums[n] += dy;
        }
    }
    put_workspace(call);
}

static void linear(const struct slope_call *call)
{
    int inputs = call->input_shape.columns, outputs = call->output_shape.columns;
    clear_workspace(call);
    for (int row = 0; row < call->input_shape.rows; row++) {
        const plain_value *x = call->input + (size_t)row * inputs;
        double *slope = call->workspace + (size_t)row * inputs;
        for (int n = 0; n < outputs; n++) {
            double dy = call->dy[(size_t)row * outputs + n];
            const plain_value *weight = call->weight + (size_t)n * inputs;
            double *sums = call->weight_sums + (size_t)n * inputs;
            for (int i = 0; i < inputs; i++) {
                slope[i] += dy * weight[i];
                sums[i] += dy * x[i];
            }
            call->bias_sums[n] += dy;
        }
    }
    put_workspace(call);
}

static void tokens(const struct slope_call *call)
{
    size_t width = (size_t)call->output_shape.columns, count = values_of(call->output_shape);
    for (size_t i = 0; i < count; i++) {
        call->bias_sums[i] += call->dy[i]; // positions
        if (i < width)
            call->weight_sums[i] += call->dy[i]; // class token
        else if (call->input_slope)
            put(call->input_slope, i - width, call->input_adds, call->dy[i]);
    }
}

// Of y = weight * z + bias with z = (x - mean) / deviation over a row: dx = (g - mean(g) - z * mean(g * z)) /
// deviation, g = weight * dy.
static void layernorm(const struct slope_call *call)
{
    int width = call->input_shape.columns;
    for (int row = 0; row < call->input_shape.rows; row++) {
        const plain_value *x = call->input + (size_t)row * width, *dy = call->dy + (size_t)row * width;
        double mean = 0, variance = 0, g_mean = 0, gz_mean = 0;
        for (int i = 0; i < width; i++)
            mean += x[i];
        mean /= width;
        for (int i = 0; i < width; i++)
            variance += (x[i] - mean) * (x[i] - mean);
        double inverse = 1 / sqrt(variance / width + call->operation->epsilon);
        for (int i = 0; i < width; i++) {
            double z = (x[i] - mean) * inverse, g = (double)dy[i] * call->weight[i];
            call->weight_sums[i] += dy[i] * z;
            call->bias_sums[i] += dy[i];
            g_mean += g / width;
            gz_mean += g * z / width;
        }
        for (int i = 0; i < width && call->input_slope; i++) {
            double z = (x[i] - mean) * inverse, g = (double)dy[i] * call->weight[i];
            put(call->input_slope, (size_t)row * width + i, call->input_adds,
                (g - g_mean - z * gz_mean) * inverse);
        }
    }
}

// Logarithms of one query's weights.
static void log_weights(const struct slope_call *call, const plain_value *q, const plain_value *k,
                        double *logs)
{
    int count = call->input_shape.rows, width = call->output_shape.columns;
    int head_width = width / call->operation->heads;
    double greatest = -INFINITY, sum = 0;
    for (int i = 0; i < count; i++) {
        logs[i] = 0;
        for (int j = 0; j < head_width; j++)
            logs[i] += (double)q[j] * k[(size_t)i * 3 * width + j];
        logs[i] /= sqrt(head_width);
        greatest = logs[i] <= greatest ? greatest : logs[i]; // NaN stays
    }
    for (int i = 0; i < count; i++)
        sum += exp(logs[i] - greatest);
    for (int i = 0; i < count; i++)
        logs[i] -= greatest + log(sum);
}

// One query of one head: p = softmax(s), s = q k^T * scale, y = p v. dp = dy v^T, ds = p * (dp - sum(p *
// dp)), dq = scale * ds k, dk = scale * ds^T q, dv = p^T dy.
static void attention_query(const struct slope_call *call, int head, int row)
{
    int count = call->input_shape.rows, width = call->output_shape.columns;
    int head_width = width / call->operation->heads, stride = 3 * width;
    const plain_value *k = call->input + width + head * head_width, *v = k + width;
    const plain_value *q = call->input + (size_t)row * stride + head * head_width;
    const plain_value *dy = call->dy + (size_t)row * width + head * head_width;
    double *dk = call->workspace + width + head * head_width, *dv = dk + width;
    double *dq = call->workspace + (size_t)row * stride + head * head_width;
    double *logs = call->probabilities, *dp = logs + count, mean = 0;
    log_weights(call, q, k, logs);
    for (int i = 0; i < count; i++) {
        double p = exp(logs[i]);
        dp[i] = row == 0 ? call->diversity * (logs[i] + 1) : 0;
        for (int j = 0; j < head_width; j++) {
            dp[i] += (double)dy[j] * v[(size_t)i * stride + j];
            dv[(size_t)i * stride + j] += p * dy[j];
        }
        mean += p * dp[i];
    }
    for (int i = 0; i < count; i++) {
        double ds = exp(logs[i]) * (dp[i] - mean) / sqrt(head_width);
        for (int j = 0; j < head_width; j++) {
            dq[j] += ds * k[(size_t)i * stride + j];
            dk[(size_t)i * stride + j] += ds * q[j];
        }
    }
}

static void attention(const struct slope_call *call)
{
    clear_workspace(call);
    for (int head = 0; head < call->operation->heads; head++)
        for (int row = 0; row < call->input_shape.rows; row++)
            attention_query(call, head, row);
    put_workspace(call);
}

// Derivatives of what works value by value.
static double gelu_slope(double x)
{
    return 0.5 * (1 + erf(x * M_SQRT1_2)) + x * exp(-x * x / 2) * M_2_SQRTPI * M_SQRT1_2 / 2;
}

static double silu_slope(double x)
{
    double s = 1 / (1 + exp(-x));
    return s * (1 + x * (1 - s));
}

static void single_values(const struct slope_call *call)
{
    size_t count = values_of(call->input_shape);
    enum op_kind kind = call->operation->kind;
    for (size_t i = 0; i < count && call->input_slope; i++) {
        double dy = call->dy[i], y = call->output[i];
        double dx = kind == OP_GELU    ? dy * gelu_slope(call->input[i])
                    : kind == OP_SILU  ? dy * silu_slope(call->input[i])
                    : kind == OP_RELU  ? (y <= 0 ? 0 : dy) // NaN goes on
                    : kind == OP_RELU6 ? (y <= 0 || y >= 6 ? 0 : dy)
                                       : dy * y * (1 - y); // sigmoid
        put(call->input_slope, i, call->input_adds, dx);
    }
}

static void dropout(const struct slope_call *call)
{
    size_t count = values_of(call->input_shape);
    float factors[DROPOUT_GROUP];
    for (size_t i = 0; i < count && call->input_slope; i++) {
        if (i % DROPOUT_GROUP == 0)
            dropout_factors(call->dropout, call->counter, (uint32_t)i, DROPOUT_GROUP, factors);
        put(call->input_slope, i, call->input_adds, (double)call->dy[i] * factors[i % DROPOUT_GROUP]);
    }
}

static void add(const struct slope_call *call)
{
    for (size_t i = 0; i < values_of(call->input_shape); i++) {
        if (call->input_slope)
            put(call->input_slope, i, call->input_adds, call->dy[i]);
        if (call->second_slope)
            put(call->second_slope, i, call->second_adds, call->dy[i]);
    }
}

static void first_row(const struct slope_call *call)
{
    size_t width = (size_t)call->output_shape.columns;
    for (size_t i = 0; i < values_of(call->input_shape) && call->input_slope; i++)
        put(call->input_slope, i, call->input_adds, i < width ? call->dy[i] : 0);
}

static void mean_rows(const struct slope_call *call)
{
    size_t width = (size_t)call->output_shape.columns;
    for (size_t i = 0; i < values_of(call->input_shape) && call->input_slope; i++)
        put(call->input_slope, i, call->input_adds, call->dy[i % width] / (double)call->input_shape.rows);
}

static void scale(const struct slope_call *call)
{
    size_t width = (size_t)call->input_shape.columns;
    for (size_t i = 0; i < values_of(call->input_shape) && call->input_slope; i++)
        put(call->input_slope, i, call->input_adds, (double)call->dy[i] * call->second[i % width]);
    for (size_t column = 0; column < width && call->second_slope; column++) {
        double sum = 0;
        for (size_t i = column; i < values_of(call->input_shape); i += width)
            sum += (double)call->dy[i] * call->input[i];
        put(call->second_slope, column, call->second_adds, sum);
    }
}

// The first of the greatest gets it all, as in PyTorch.
static void max_pool(const struct slope_call *call)
{
    const struct operation *op = call->operation;
    int channels = call->output_shape.columns, area = op->kernel_height * op->kernel_width;
    clear_workspace(call);
    for (int i = 0; i < call->output_shape.rows * channels; i++) {
        int row = i / channels, channel = i % channels;
        int top = row / op->output_width * op->stride - op->padding;
        int left = row % op->output_width * op->stride - op->padding;
        double greatest = -INFINITY;
        long winner = -1;
        for (int j = 0; j < area; j++) {
            long place = place_of(op, top, left, j);
            double value = place < 0 ? -INFINITY : call->input[place * channels + channel];
            if (place >= 0 && !isnan(greatest) && (winner < 0 || !(value <= greatest))) {
                greatest = value;
                winner = place;
            }
        }
        call->workspace[winner * channels + channel] += call->dy[i];
    }
    put_workspace(call);
}

static void (*const functions[OP_KIND_COUNT])(const struct slope_call *) = {
    [OP_CONVOLUTION] = convolution, [OP_DROPOUT] = dropout,
    [OP_TOKENS] = tokens,           [OP_LAYERNORM] = layernorm,
    [OP_LINEAR] = linear,           [OP_ATTENTION] = attention,
    [OP_GELU] = single_values,      [OP_ADD] = add,
    [OP_FIRST_ROW] = first_row,     [OP_RELU] = single_values,
    [OP_RELU6] = single_values,     [OP_SILU] = single_values,
    [OP_SIGMOID] = single_values,   [OP_MAX_POOL] = max_pool,
    [OP_MEAN_ROWS] = mean_rows,     [OP_SCALE] = scale,
};

// As for the first image.
static struct slope_call call_of(const struct train_plain *plain, const struct gradient_step *step,
                                 const struct loss_scale *scale)
{
    const struct network *network = plain->network;
    const struct operation *operation = &network->operations[step->operation];
    struct slope_call call = {
        .operation = operation,
        .input_shape = network->tensors[operation->input],
        .output_shape = network->tensors[operation->output],
        .weight = operation->weight < 0 ? NULL : plain->parameters + plain->offsets[operation->weight],
        .input_adds = step->input == GRADIENT_ADD,
        .second_adds = step->second == GRADIENT_ADD,
        .weight_sums = plain->sums,
        .workspace = plain->slope,
        .probabilities = plain->probabilities,
    };
    call.bias_sums =
        plain->sums + (operation->weight < 0 ? 0 : parameter_size(&network->parameters[operation->weight]));
    if (step->diversity)
        call.diversity = plain->options->diversity / (scale->images * operation->heads);
    return call;
}

// The sums of an operation's parameters, which several operations may share.
static void add_to_gradients(const struct train_plain *plain, int parameter, const double *sums)
{
    if (parameter < 0)
        return;
    plain_value *gradient = plain->gradients + plain->offsets[parameter];
    for (size_t i = 0; i < parameter_size(&plain->network->parameters[parameter]); i++)
        gradient[i] = (plain_value)(gradient[i] + sums[i]);
}

static void clear_sums(const struct train_plain *plain, const struct operation *operation)
{
    const struct parameter *parameters = plain->network->parameters;
    size_t count = (operation->weight < 0 ? 0 : parameter_size(&parameters[operation->weight])) +
                   (operation->bias < 0 ? 0 : parameter_size(&parameters[operation->bias]));
    memset(plain->sums, 0, count * sizeof *plain->sums);
}

static void run_step(struct train_plain *plain, const struct gradient_step *step,
                     const struct training_batch *batch, const struct loss_scale *scale)
{
    struct slope_call call = call_of(plain, step, scale);
    const struct operation *operation = call.operation;
    struct dropout drop = dropout_of(plain->options->seed, step->operation, plain->options->dropout);
    call.dropout = &drop;
    clear_sums(plain, operation);
    for (int image = 0; image < batch->count; image++) {
        call.counter = batch->counters[image];
        call.input = train_plain_image(plain, plain->values, operation->input, image);
        call.output = train_plain_image(plain, plain->values, operation->output, image);
        call.dy = train_plain_image(plain, plain->slopes, operation->output, image);
        if (step->input != GRADIENT_NONE)
            call.input_slope = train_plain_image(plain, plain->slopes, operation->input, image);
        if (operation->second >= 0)
            call.second = train_plain_image(plain, plain->values, operation->second, image);
        if (step->second != GRADIENT_NONE)
            call.second_slope = train_plain_image(plain, plain->slopes, operation->second, image);
        assert(functions[operation->kind]);
        functions[operation->kind](&call);
    }
    if (step->parameters) {
        add_to_gradients(plain, operation->weight, call.weight_sums);
        add_to_gradients(plain, operation->bias, call.bias_sums);
    }
}

// As LayerNorm, but over the columns and the whole batch of all processes.
static enum status batchnorm(struct train_plain *plain, const struct gradient_step *step, int images,
                             struct error *err)
{
    const struct network *network = plain->network;
    const struct operation *operation = &network->operations[step->operation];
    const struct tensor *shape = &network->tensors[operation->input];
    size_t width = (size_t)shape->columns, count = (size_t)images * (size_t)shape->rows * width;
    const plain_value *x = plain->values[operation->input], *dy = plain->slopes[operation->output];
    const plain_value *weight = plain->parameters + plain->offsets[operation->weight];
    const double *means = plain->norms[step->operation], *inverse = means + width;
    double *products = plain->sums, *plains = products + width, *rows = plains + width; // sums of dy z, dy
    memset(plain->sums, 0, 2 * width * sizeof *plain->sums);
    for (size_t i = 0; i < count; i++) {
        size_t column = i % width;
        products[column] += dy[i] * (x[i] - means[column]) * inverse[column];
        plains[column] += dy[i];
    }
    if (step->parameters) { // before the exchange: gradients are summed over the processes later
        add_to_gradients(plain, operation->weight, products);
        add_to_gradients(plain, operation->bias, plains);
    }
    *rows = (double)images * shape->rows;
    enum status status = exchange_sum_doubles(plain->options->exchange, products, 2 * width + 1, err);
    for (size_t i = 0; i < count && step->input != GRADIENT_NONE; i++) {
        size_t column = i % width;
        double z = (x[i] - means[column]) * inverse[column];
        put(plain->slopes[operation->input], i, step->input == GRADIENT_ADD,
            (dy[i] - plains[column] / *rows - z * products[column] / *rows) * weight[column] *
                inverse[column]);
    }
    return status;
}

enum status train_plain_backward(struct train_plain *plain, const struct training_batch *batch,
                                 const struct loss_scale *scale, struct error *err)
{
    enum status status = STATUS_OK;
    memset(plain->gradients, 0, plain->offsets[plain->network->parameter_count] * sizeof *plain->gradients);
    for (int i = 0; i < plain->list.count && status == STATUS_OK; i++) {
        const struct gradient_step *step = &plain->list.steps[i];
        if (plain->network->operations[step->operation].kind == OP_BATCHNORM)
            status = batchnorm(plain, step, batch->count, err);
        else
            run_step(plain, step, batch, scale);
    }
    return status;
}
