// plain.c: the operations as their formulas. See plain.h; plain_plan.c runs a whole network with them.
#include "kernels/cpu/plain.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { DOT_LANES = 8 };

// Sum of a[i] * b[i]. Eight partial sums side by side let the processor overlap the additions.
static double dot(const plain_value *a, const plain_value *b, int count)
{
    double sums[DOT_LANES] = {0};
    int i = 0;
    for (; i + DOT_LANES <= count; i += DOT_LANES)
        for (int lane = 0; lane < DOT_LANES; lane++)
            sums[lane] += (double)a[i + lane] * b[i + lane];
    double sum = 0;
    for (; i < count; i++)
        sum += (double)a[i] * b[i];
    for (int lane = 0; lane < DOT_LANES; lane++)
        sum += sums[lane];
    return sum;
}

static void normalise(const struct plain_call *call)
{
    for (int i = 0; i < call->output_shape.rows; i++)
        for (int channel = 0; channel < 3; channel++)
            call->output[3 * i + channel] = call->table[256 * channel + call->view[3 * i + channel]];
}

// The pixel of a feature map, NULL in the padding.
static const plain_value *pixel_at(const struct plain_call *call, int y, int x)
{
    const struct operation *op = call->operation;
    if (y < 0 || y >= op->height || x < 0 || x >= op->width)
        return NULL;
    return call->input + (size_t)(y * op->width + x) * call->input_shape.columns;
}

// Copies the channels of one group under the window at (top, left) in the order of a filter: channel, row,
// column.
static void take_window(const struct plain_call *call, int top, int left, int first_channel, int channels)
{
    const struct operation *op = call->operation;
    int area = op->kernel_height * op->kernel_width;
    for (int i = 0; i < area; i++) {
        const plain_value *pixel = pixel_at(call, top + i / op->kernel_width, left + i % op->kernel_width);
        for (int c = 0; c < channels; c++)
            call->window[c * area + i] = pixel ? pixel[first_channel + c] : 0;
    }
}

static void convolution(const struct plain_call *call)
{
    const struct operation *op = call->operation;
    int outputs = call->output_shape.columns;
    int channels = call->input_shape.columns / op->groups, group_outputs = outputs / op->groups;
    int filter_size = channels * op->kernel_height * op->kernel_width;
    for (int row = 0; row < call->output_shape.rows; row++) {
        int top = row / op->output_width * op->stride - op->padding;
        int left = row % op->output_width * op->stride - op->padding;
        for (int n = 0; n < outputs; n++) {
            if (n % group_outputs == 0)
                take_window(call, top, left, n / group_outputs * channels, channels);
            double sum = dot(call->window, call->weight + (size_t)n * filter_size, filter_size);
            call->output[(size_t)row * outputs + n] = (plain_value)(sum + (call->bias ? call->bias[n] : 0));
        }
    }
}

static void tokens(const struct plain_call *call)
{
    size_t width = (size_t)call->output_shape.columns;
    const plain_value *cls_token = call->weight, *pos_embed = call->bias;
    for (int row = 0; row < call->output_shape.rows; row++) {
        const plain_value *token = row == 0 ? cls_token : call->input + (size_t)(row - 1) * width;
        for (size_t i = 0; i < width; i++)
            call->output[row * width + i] = token[i] + pos_embed[row * width + i];
    }
}

static void layernorm(const struct plain_call *call)
{
    int width = call->input_shape.columns;
    for (int row = 0; row < call->input_shape.rows; row++) {
        const plain_value *x = call->input + (size_t)row * width;
        plain_value *y = call->output + (size_t)row * width;
        double mean = 0, variance = 0;
        for (int i = 0; i < width; i++)
            mean += x[i];
        mean /= width;
        for (int i = 0; i < width; i++)
            variance += (x[i] - mean) * (x[i] - mean);
        variance /= width;
        double scale = 1 / sqrt(variance + call->operation->epsilon);
        for (int i = 0; i < width; i++)
            y[i] = (plain_value)((x[i] - mean) * scale * call->weight[i] + call->bias[i]);
    }
}

static void linear(const struct plain_call *call)
{
    int inputs = call->input_shape.columns, outputs = call->output_shape.columns;
    for (int row = 0; row < call->input_shape.rows; row++) {
        const plain_value *x = call->input + (size_t)row * inputs;
        plain_value *y = call->output + (size_t)row * outputs;
        for (int n = 0; n < outputs; n++)
            y[n] = (plain_value)(dot(x, call->weight + (size_t)n * inputs, inputs) +
                                 (call->bias ? call->bias[n] : 0));
    }
}

static void softmax(double *values, int count)
{
    double largest = values[0], sum = 0;
    for (int i = 1; i < count; i++)
        largest = fmax(largest, values[i]);
    for (int i = 0; i < count; i++)
        sum += values[i] = exp(values[i] - largest);
    for (int i = 0; i < count; i++)
        values[i] /= sum;
}

// A row of the input is q, k and v of all heads: (3, heads, head_width).
static void attention(const struct plain_call *call)
{
    int heads = call->operation->heads, count = call->input_shape.rows;
    int width = call->output_shape.columns, head_width = width / heads;
    double scale = 1 / sqrt(head_width), *weights = call->probabilities;
    for (int head = 0; head < heads; head++) {
        const plain_value *q = call->input + head * head_width, *k = q + width, *v = k + width;
        for (int row = 0; row < count; row++) {
            for (int i = 0; i < count; i++)
                weights[i] = scale * dot(q + (size_t)row * 3 * width, k + (size_t)i * 3 * width, head_width);
            softmax(weights, count);
            plain_value *y = call->output + (size_t)row * width + head * head_width;
            for (int column = 0; column < head_width; column++) {
                double sum = 0;
                for (int i = 0; i < count; i++)
                    sum += weights[i] * v[(size_t)i * 3 * width + column];
                y[column] = (plain_value)sum;
            }
            if (row == 0 && call->attention)
                for (int i = 1; i < count; i++) // the class token looks at itself too: not on the map
                    call->attention[(size_t)head * (count - 1) + i - 1] = (float)weights[i];
            for (int i = 0; i < count && call->mixing; i++) {
                float *mean = &call->mixing[(size_t)row * count + i];
                *mean = (head == 0 ? 0 : *mean) + (float)(weights[i] / heads);
            }
        }
    }
}

static void gelu(const struct plain_call *call)
{
    size_t count = (size_t)call->output_shape.rows * call->output_shape.columns;
    for (size_t i = 0; i < count; i++) {
        double x = call->input[i];
        call->output[i] = (plain_value)(x / 2 * (1 + erf(x * M_SQRT1_2)));
    }
}

static void relu(const struct plain_call *call)
{
    size_t count = (size_t)call->output_shape.rows * call->output_shape.columns;
    for (size_t i = 0; i < count; i++)
        call->output[i] = call->input[i] <= 0 ? 0 : call->input[i]; // NaN stays
}

static void relu6(const struct plain_call *call)
{
    size_t count = (size_t)call->output_shape.rows * call->output_shape.columns;
    for (size_t i = 0; i < count; i++) {
        plain_value x = call->input[i];
        call->output[i] = x <= 0 ? 0 : x >= 6 ? 6 : x; // NaN stays
    }
}

static void silu(const struct plain_call *call)
{
    size_t count = (size_t)call->output_shape.rows * call->output_shape.columns;
    for (size_t i = 0; i < count; i++) {
        double x = call->input[i];
        call->output[i] = (plain_value)(x / (1 + exp(-x)));
    }
}

static void sigmoid(const struct plain_call *call)
{
    size_t count = (size_t)call->output_shape.rows * call->output_shape.columns;
    for (size_t i = 0; i < count; i++)
        call->output[i] = (plain_value)(1 / (1 + exp(-(double)call->input[i])));
}

static void max_pool(const struct plain_call *call)
{
    const struct operation *op = call->operation;
    int channels = call->output_shape.columns, area = op->kernel_height * op->kernel_width;
    for (int row = 0; row < call->output_shape.rows; row++) {
        int top = row / op->output_width * op->stride - op->padding;
        int left = row % op->output_width * op->stride - op->padding;
        plain_value *y = call->output + (size_t)row * channels;
        for (int c = 0; c < channels; c++)
            y[c] = -INFINITY;
        for (int i = 0; i < area; i++) {
            const plain_value *pixel =
                pixel_at(call, top + i / op->kernel_width, left + i % op->kernel_width);
            for (int c = 0; c < channels && pixel; c++)
                if (!isnan(y[c]) && !(pixel[c] <= y[c]))
                    y[c] = pixel[c];
        }
    }
}

static void mean_rows(const struct plain_call *call)
{
    int width = call->input_shape.columns, rows = call->input_shape.rows;
    for (int column = 0; column < width; column++) {
        double sum = 0;
        for (int row = 0; row < rows; row++)
            sum += call->input[(size_t)row * width + column];
        call->output[column] = (plain_value)(sum / rows);
    }
}

static void scale(const struct plain_call *call)
{
    int width = call->output_shape.columns;
    size_t count = (size_t)call->output_shape.rows * width;
    for (size_t i = 0; i < count; i++)
        call->output[i] = call->input[i] * call->second[i % width];
}

static void add(const struct plain_call *call)
{
    size_t count = (size_t)call->output_shape.rows * call->output_shape.columns;
    for (size_t i = 0; i < count; i++)
        call->output[i] = call->input[i] + call->second[i];
}

static void first_row(const struct plain_call *call)
{
    memcpy(call->output, call->input, (size_t)call->output_shape.columns * sizeof(plain_value));
}

void plain_operation(const struct plain_call *call)
{
    static void (*const functions[OP_KIND_COUNT])(const struct plain_call *) = {
        [OP_NORMALISE] = normalise, [OP_CONVOLUTION] = convolution,
        [OP_TOKENS] = tokens,       [OP_LAYERNORM] = layernorm,
        [OP_LINEAR] = linear,       [OP_ATTENTION] = attention,
        [OP_GELU] = gelu,           [OP_ADD] = add,
        [OP_FIRST_ROW] = first_row, [OP_RELU] = relu,
        [OP_RELU6] = relu6,         [OP_SILU] = silu,
        [OP_SIGMOID] = sigmoid,     [OP_MAX_POOL] = max_pool,
        [OP_MEAN_ROWS] = mean_rows, [OP_SCALE] = scale,
    };
    assert(functions[call->operation->kind]);
    functions[call->operation->kind](call);
}

void plain_class_activation(const plain_value *features, struct tensor shape, const plain_value *weight,
                            const float *logits, int classes, float *map)
{
    int greatest = 0;
    for (int i = 1; i < classes; i++)
        if (logits[i] > logits[greatest])
            greatest = i;
    const plain_value *row = weight + (size_t)greatest * shape.columns;
    for (int place = 0; place < shape.rows; place++)
        map[place] = (float)dot(features + (size_t)place * shape.columns, row, shape.columns);
}

void plain_rollout(const float *mixing, int tokens, double *total, double *workspace)
{
    size_t count = (size_t)tokens;
    for (size_t row = 0; row < count; row++) {
        double *sum = workspace + row * count;
        memcpy(sum, total + row * count, count * sizeof *sum);
        for (size_t i = 0; i < count; i++)
            for (size_t column = 0; column < count; column++)
                sum[column] += mixing[row * count + i] * total[i * count + column];
    }
    for (size_t i = 0; i < count * count; i++)
        total[i] = workspace[i] / 2;
}
