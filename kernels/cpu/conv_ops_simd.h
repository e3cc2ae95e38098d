// conv_ops_simd.h: the vectorised conv_ops.h, compiled once for each instruction set that simd.h knows. The
// including file names the table: CONV_OPS_TABLE.
#include <math.h>
#include <stdbool.h>

#include "kernels/cpu/conv_ops.h"
#include "kernels/cpu/simd.h"

// Calls body(i, count) for every full vector with count == SIMD_LANES, then for what is left.
#define FOR_VECTORS(i, count, total)                                                                         \
    for (int i = 0, count = (total) < SIMD_LANES ? (total) : SIMD_LANES; i < (total);                        \
         i += SIMD_LANES, count = (total)-i < SIMD_LANES ? (total)-i : SIMD_LANES)

SIMD_INLINE simd load(const float *from, int count)
{
    return count == SIMD_LANES ? simd_load(from) : simd_load_part(from, count);
}

SIMD_INLINE void store(float *to, simd value, int count)
{
    if (count == SIMD_LANES)
        simd_store(to, value);
    else
        simd_store_part(to, value, count);
}

SIMD_INLINE const float *at(const float *base, size_t stride, int row)
{
    return (const float *)((const char *)base + (size_t)row * stride);
}

SIMD_INLINE float *place(float *base, size_t stride, int row)
{
    return (float *)((char *)base + (size_t)row * stride);
}

// 1 + exp(-x); the exponent is held where the sum is 1 or its inverse is as good as zero (2^-126).
SIMD_INLINE simd one_and_exponential(simd x)
{
    simd power = simd_min(simd_max(x * simd_set(-1.44269504f), simd_set(-126.0f)), simd_set(126.0f));
    return simd_set(1.0f) + simd_exp2(power);
}

SIMD_INLINE simd activate(enum activation activation, simd x)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return simd_max(x, simd_zero());
    case ACTIVATION_SILU:
        return x / one_and_exponential(x);
    case ACTIVATION_SIGMOID:
        return simd_set(1.0f) / one_and_exponential(x);
    case ACTIVATION_NONE:
        break;
    }
    return x;
}

// One vector of columns down the rows of a tile.
SIMD_INLINE void finish_columns(const struct conv_finish *f, int column, int count,
                                enum activation activation, bool with_residual)
{
    simd bias = simd_load(f->bias + column);
    for (int row = 0; row < f->rows; row++) {
        simd value = simd_load(f->tile + (size_t)row * (size_t)f->tile_stride + column) + bias;
        if (with_residual)
            value += load(at(f->residual, f->residual_stride, row) + column, count);
        store(place(f->out, f->out_stride, row) + column, activate(activation, value), count);
    }
}

SIMD_INLINE void finish_tile(const struct conv_finish *f, enum activation activation, bool with_residual)
{
    int column = 0;
    for (; column + SIMD_LANES <= f->columns; column += SIMD_LANES)
        finish_columns(f, column, SIMD_LANES, activation, with_residual);
    if (column < f->columns)
        finish_columns(f, column, f->columns - column, activation, with_residual);
}

static void finish(const struct conv_finish *f)
{
    if (f->residual && f->activation == ACTIVATION_NONE)
        finish_tile(f, ACTIVATION_NONE, true);
    else if (f->residual && f->activation == ACTIVATION_RELU)
        finish_tile(f, ACTIVATION_RELU, true);
    else if (f->residual)
        finish_tile(f, f->activation, true);
    else if (f->activation == ACTIVATION_SILU)
        finish_tile(f, ACTIVATION_SILU, false);
    else if (f->activation == ACTIVATION_RELU)
        finish_tile(f, ACTIVATION_RELU, false);
    else if (f->activation == ACTIVATION_SIGMOID)
        finish_tile(f, ACTIVATION_SIGMOID, false);
    else
        finish_tile(f, ACTIVATION_NONE, false);
}

// Stores what a depthwise convolution has at one place and adds it to the row's sums.
SIMD_INLINE simd finish_place(const struct conv_window *w, int x, int channel, int count, simd value)
{
    value = w->activation == ACTIVATION_SILU   ? activate(ACTIVATION_SILU, value)
            : w->activation == ACTIVATION_RELU ? activate(ACTIVATION_RELU, value)
                                               : activate(w->activation, value);
    store(place(w->out, w->out_stride, x) + channel, value, count);
    return value;
}

#include "kernels/cpu/winograd_simd.h"

enum { STRIP = 4 };

// Some channels of a place of a row; zero in the padding beside it. inside: it is not in the padding.
SIMD_INLINE simd load_place(const struct conv_window *w, const float *row, int x, bool inside, int count)
{
    if (inside || (x >= 0 && x < w->width))
        return load(at(row, w->in_stride, x), count);
    return simd_zero();
}

// Up to STRIP places of a depthwise convolution side by side, one vector of channels. Sums go down the
// window's rows, along each from left to right. inside: all STRIP windows lie in the map's width.
SIMD_INLINE void depthwise_strip(const struct conv_window *w, int x, bool inside, int kernel, int stride,
                                 int channel, int count)
{
    int top = w->y * stride - w->padding, left = x * stride - w->padding;
    int places = w->places - x < STRIP ? w->places - x : STRIP;
    simd sums[STRIP];
#pragma GCC unroll 4
    for (int i = 0; i < STRIP; i++)
        sums[i] = load(w->bias + channel, count);
    for (int ky = 0; ky < kernel; ky++) {
        if (top + ky < 0 || top + ky >= w->height)
            continue;
        const float *row = at(w->in, w->in_stride, (top + ky) * w->width) + channel;
        const float *weight = w->weight + (size_t)(ky * kernel) * (size_t)w->weight_stride + channel;
        simd in[(STRIP - 1) * 2 + 5];
#pragma GCC unroll 16
        for (int i = 0; i < (STRIP - 1) * stride + kernel; i++)
            in[i] = load_place(w, row, left + i, inside, count);
#pragma GCC unroll 8
        for (int kx = 0; kx < kernel; kx++) {
            simd factor = load(weight + (size_t)kx * (size_t)w->weight_stride, count);
#pragma GCC unroll 4
            for (int i = 0; i < STRIP; i++)
                sums[i] = simd_fma(in[i * stride + kx], factor, sums[i]);
        }
    }
    simd total = w->sums ? load(w->sums + channel, count) : simd_zero();
#pragma GCC unroll 4
    for (int i = 0; i < STRIP; i++)
        if (inside || i < places)
            total += finish_place(w, x + i, channel, count, sums[i]);
    if (w->sums)
        store(w->sums + channel, total, count);
}

SIMD_INLINE void depthwise_places(const struct conv_window *w, int x, bool inside, int kernel, int stride)
{
    int channel = 0;
    for (; channel + SIMD_LANES <= w->channels; channel += SIMD_LANES)
        depthwise_strip(w, x, inside, kernel, stride, channel, SIMD_LANES);
    if (channel < w->channels)
        depthwise_strip(w, x, inside, kernel, stride, channel, w->channels - channel);
}

SIMD_INLINE void depthwise_row(const struct conv_window *w, int kernel, int stride)
{
    for (int x = 0; x < w->places; x += STRIP) {
        int left = x * stride - w->padding, right = left + (STRIP - 1) * stride + kernel;
        if (left >= 0 && right <= w->width && x + STRIP <= w->places)
            depthwise_places(w, x, true, kernel, stride);
        else
            depthwise_places(w, x, false, kernel, stride);
    }
}

// Any kernel and stride, one place at a time.
static void depthwise_place(const struct conv_window *w, int x)
{
    int top = w->y * w->stride - w->padding, left = x * w->stride - w->padding;
    FOR_VECTORS(channel, count, w->channels)
    {
        simd sum = load(w->bias + channel, count);
        for (int i = 0; i < w->kernel * w->kernel; i++) {
            int row = top + i / w->kernel, column = left + i % w->kernel;
            if (row >= 0 && row < w->height && column >= 0 && column < w->width)
                sum = simd_fma(load(at(w->in, w->in_stride, row * w->width + column) + channel, count),
                               load(w->weight + (size_t)i * (size_t)w->weight_stride + channel, count), sum);
        }
        sum = finish_place(w, x, channel, count, sum);
        if (w->sums)
            store(w->sums + channel, load(w->sums + channel, count) + sum, count);
    }
}

static void depthwise(const struct conv_window *w)
{
    for (int i = 0; i < w->channels && w->sums; i++)
        w->sums[i] = 0.0f;
    if (w->kernel == 3 && w->stride == 1)
        depthwise_row(w, 3, 1);
    else if (w->kernel == 3 && w->stride == 2)
        depthwise_row(w, 3, 2);
    else if (w->kernel == 5 && w->stride == 1)
        depthwise_row(w, 5, 1);
    else if (w->kernel == 5 && w->stride == 2)
        depthwise_row(w, 5, 2);
    else
        for (int x = 0; x < w->places; x++)
            depthwise_place(w, x);
}

static void max_pool(const struct conv_window *w)
{
    int top = w->y * w->stride - w->padding;
    for (int x = 0; x < w->places; x++) {
        int left = x * w->stride - w->padding;
        FOR_VECTORS(channel, count, w->channels)
        {
            simd largest = simd_set(-INFINITY);
            for (int i = 0; i < w->kernel * w->kernel; i++) {
                int row = top + i / w->kernel, column = left + i % w->kernel;
                if (row >= 0 && row < w->height && column >= 0 && column < w->width)
                    largest = simd_max(
                        largest, load(at(w->in, w->in_stride, row * w->width + column) + channel, count));
            }
            store(place(w->out, w->out_stride, x) + channel, largest, count);
        }
    }
}

static void sum_rows(const float *in, size_t in_stride, int rows, int count, float factor, float *out)
{
    FOR_VECTORS(i, n, count)
    {
        simd sum = simd_zero();
        for (int row = 0; row < rows; row++)
            sum += load(at(in, in_stride, row) + i, n);
        store(out + i, sum * simd_set(factor), n);
    }
}

static void multiply(const float *a, const float *b, int count, float *out)
{
    FOR_VECTORS(i, n, count)
    store(out + i, load(a + i, n) * load(b + i, n), n);
}

const struct conv_ops CONV_OPS_TABLE = {
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .finish = finish,
    .depthwise = depthwise,
    .max_pool = max_pool,
    .sum_rows = sum_rows,
    .multiply = multiply,
};
