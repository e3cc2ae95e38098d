// conv_ops_plain.c: the definitions of conv_ops.h in scalar code, sums in double. The tests hold the
// vectorised ones to it.
#include <math.h>

#include "tests/support/plain_kernels.h"

static const float *at(const float *base, size_t stride, int row)
{
    return (const float *)((const char *)base + (size_t)row * stride);
}

static float *place(float *base, size_t stride, int row)
{
    return (float *)((char *)base + (size_t)row * stride);
}

static double activate(enum activation activation, double x)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return x <= 0 ? 0 : x; // NaN stays
    case ACTIVATION_RELU6:
        return x <= 0 ? 0 : x >= 6 ? 6 : x;
    case ACTIVATION_SILU:
        return x / (1 + exp(-x));
    case ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    case ACTIVATION_NONE:
        break;
    }
    return x;
}

static void finish(const struct conv_finish *f)
{
    for (int row = 0; row < f->rows; row++)
        for (int column = 0; column < f->columns; column++) {
            double value = (double)f->tile[row * f->tile_stride + column] + (double)f->bias[column];
            if (f->residual)
                value += (double)at(f->residual, f->residual_stride, row)[column];
            place(f->out, f->out_stride, row)[column] = (float)activate(f->activation, value);
        }
}

// The pixel under place i of a window of the output's row y, NULL in the padding.
static const float *pixel(const struct conv_window *w, int y, int x, int i)
{
    int row = y * w->stride - w->padding + i / w->kernel;
    int column = x * w->stride - w->padding + i % w->kernel;
    if (row < 0 || row >= w->height || column < 0 || column >= w->width)
        return NULL;
    return at(w->in, w->in_stride, row * w->width + column);
}

static void depthwise(const struct conv_window *w)
{
    for (int j = 0; j < w->lines * w->channels; j++) {
        int line = j / w->channels, channel = j % w->channels;
        double total = 0;
        for (int x = 0; x < w->places; x++) {
            double sum = (double)w->bias[channel];
            for (int i = 0; i < w->kernel * w->kernel; i++) {
                const float *from = pixel(w, w->y + line, x, i);
                if (from)
                    sum += (double)from[channel] * (double)w->weight[i * w->weight_stride + channel];
            }
            float value = (float)activate(w->activation, sum);
            place(w->out, w->out_stride, line * w->places + x)[channel] = value;
            total += (double)value;
        }
        if (w->sums)
            place(w->sums, w->sums_stride, line)[channel] = (float)total;
    }
}

// The matrices of Lavin and Gray, for tiles of 2 and of 4: of a line of places, and of a line of points.
static double winograd_in_factor(int size, int point, int place)
{
    static const double two[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
    static const double four[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                      {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
    return size == 2 ? two[point][place] : four[point][place];
}

static double winograd_out_factor(int size, int place, int point)
{
    static const double two[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};
    static const double four[4][6] = {
        {1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
    return size == 2 ? two[place][point] : four[place][point];
}

static void winograd_in(const struct winograd_tile *w)
{
    int side = w->size + 2;
    for (int point = 0; point < side * side; point++)
        for (int column = 0; column < w->columns; column++) {
            double sum = 0;
            for (int i = 0; i < side * side; i++) {
                int y = w->y - 1 + i / side, x = w->x - 1 + i % side;
                if (y >= 0 && y < w->height && x >= 0 && x < w->width)
                    sum += winograd_in_factor(w->size, point / side, i / side) *
                           winograd_in_factor(w->size, point % side, i % side) *
                           (double)at(w->in, w->in_stride, y * w->width + x)[column];
            }
            place(w->out, w->out_stride, point)[column] = (float)sum;
        }
}

// What the points give at one place of the tile.
static double winograd_place(const struct winograd_tile *w, int y, int x, int column)
{
    int side = w->size + 2;
    double sum = 0;
    for (int i = 0; i < side * side; i++)
        sum += winograd_out_factor(w->size, y, i / side) * winograd_out_factor(w->size, x, i % side) *
               (double)at(w->in, w->in_stride, i)[column];
    return sum;
}

static void winograd_out(const struct winograd_tile *w)
{
    for (int i = 0; i < w->size * w->size; i++) {
        int y = w->y + i / w->size, x = w->x + i % w->size;
        for (int column = 0; column < w->columns && y < w->height && x < w->width; column++) {
            double value = winograd_place(w, i / w->size, i % w->size, column) + (double)w->bias[column];
            if (w->residual)
                value += (double)at(w->residual, w->residual_stride, y * w->width + x)[column];
            place(w->out, w->out_stride, y * w->width + x)[column] = (float)activate(w->activation, value);
        }
    }
}

static void max_pool(const struct conv_window *w)
{
    for (int j = 0; j < w->lines * w->places; j++)
        for (int channel = 0; channel < w->channels; channel++) {
            float largest = -INFINITY;
            for (int i = 0; i < w->kernel * w->kernel; i++) {
                const float *from = pixel(w, w->y + j / w->places, j % w->places, i);
                if (from && !isnan(largest) && !(from[channel] <= largest))
                    largest = from[channel];
            }
            place(w->out, w->out_stride, j)[channel] = largest;
        }
}

static void sum_rows(const float *in, size_t in_stride, int rows, int count, float factor, float *out)
{
    for (int i = 0; i < count; i++) {
        double sum = 0;
        for (int row = 0; row < rows; row++)
            sum += (double)at(in, in_stride, row)[i];
        out[i] = (float)(sum * (double)factor);
    }
}

static void multiply(const float *a, const float *b, int count, float *out)
{
    for (int i = 0; i < count; i++)
        out[i] = a[i] * b[i];
}

static void scale_rows(const float *in, const float *factors, int rows, int count, float *out)
{
    for (int i = 0; i < rows * count; i++)
        out[i] = in[i] * factors[i / count];
}

const struct conv_ops conv_ops_plain = {
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .finish = finish,
    .depthwise = depthwise,
    .max_pool = max_pool,
    .sum_rows = sum_rows,
    .multiply = multiply,
    .scale_rows = scale_rows,
};
