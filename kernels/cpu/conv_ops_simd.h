// conv_ops_simd.h: the vectorised conv_ops.h, compiled once for each instruction set that simd.h knows. The
// including file names the table: CONV_OPS_TABLE.
#include <math.h>
#include <stdbool.h>

#include "kernels/cpu/activation_simd.h"
#include "kernels/cpu/conv_ops.h"
#include "kernels/cpu/simd.h"

SIMD_INLINE const float *at(const float *base, size_t stride, int row)
{
    return (const float *)((const char *)base + (size_t)row * stride);
}

SIMD_INLINE float *place(float *base, size_t stride, int row)
{
    return (float *)((char *)base + (size_t)row * stride);
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
    else if (f->activation == ACTIVATION_RELU6)
        finish_tile(f, ACTIVATION_RELU6, false);
    else if (f->activation == ACTIVATION_SIGMOID)
        finish_tile(f, ACTIVATION_SIGMOID, false);
    else
        finish_tile(f, ACTIVATION_NONE, false);
}

#include "kernels/cpu/winograd_simd.h"

// A row of places of a window.
struct conv_line {
    const struct conv_window *window;
    int y;
    float *out;
};

// A strip of places side by side with two vectors of channels has enough independent sums to hide the latency
// of a multiply-add. Blocks of the map are copied so that they lie together, with zeros around the map: a
// strip then needs no conditions, and each value comes to the first-level cache once.
enum { STRIP = 4, STRIP_VECTORS = 2, LARGEST_STRIP_KERNEL = 5, BLOCK_PLACES = 40, BLOCK_VALUES = 16 * 1024 };

struct depthwise_block {
    const struct conv_window *window;
    int kernel, stride;
    int channel, vectors, count; // the channels: vectors of SIMD_LANES, or one of count
    int y, x, lines, places;     // of the output
    int rows, columns;           // of the copy
    float *copy;                 // (rows, columns, vectors * SIMD_LANES)
    const simd *factors;         // (kernel, kernel, vectors), then the bias
};

SIMD_INLINE float *clear(float *to, int vectors)
{
    for (int i = 0; i < vectors; i++, to += SIMD_LANES)
        simd_store(to, simd_zero());
    return to;
}

SIMD_INLINE void copy_block(const struct depthwise_block *b)
{
    const struct conv_window *w = b->window;
    int top = b->y * b->stride - w->padding, left = b->x * b->stride - w->padding;
    int first = left < 0 ? 0 : left, end = left + b->columns < w->width ? left + b->columns : w->width;
    float *to = b->copy;
    for (int y = top; y < top + b->rows; y++) {
        if (y < 0 || y >= w->height) {
            to = clear(to, b->columns * b->vectors);
            continue;
        }
        to = clear(to, (first - left) * b->vectors);
        const float *from = at(w->in, w->in_stride, y * w->width + first) + b->channel;
        for (int x = first; x < end; x++, from = at(from, w->in_stride, 1))
            for (int v = 0; v < b->vectors; v++, to += SIMD_LANES)
                simd_store(to, load(from + v * SIMD_LANES, b->count));
        to = clear(to, (left + b->columns - end) * b->vectors);
    }
}

// Keeps a value that many multiply-adds take in a register: the compiler would load it with each of them.
#define KEEP(value) __asm__("" : "+v"(value))

// Sums go down the window's rows, along each from left to right.
SIMD_INLINE void sum_strip(const struct depthwise_block *b, const float *row, simd *sums)
{
    size_t place_size = (size_t)(b->vectors * SIMD_LANES), row_size = (size_t)b->columns * place_size;
    const simd *factors = b->factors;
#pragma GCC unroll 8
    for (int i = 0; i < STRIP * b->vectors; i++)
        sums[i] = factors[b->kernel * b->kernel * b->vectors + i % b->vectors];
#pragma GCC unroll 1
    for (int ky = 0; ky < b->kernel; ky++, row += row_size, factors += b->kernel * b->vectors) {
        simd kept[LARGEST_STRIP_KERNEL * STRIP_VECTORS];
#pragma GCC unroll 10
        for (int i = 0; i < b->kernel * b->vectors; i++) {
            kept[i] = factors[i];
            KEEP(kept[i]);
        }
#pragma GCC unroll 32
        for (int j = 0; j < ((STRIP - 1) * b->stride + b->kernel) * b->vectors; j++) {
            int column = j / b->vectors, v = j % b->vectors;
            simd in = simd_load(row + j * SIMD_LANES);
            KEEP(in);
#pragma GCC unroll 4
            for (int i = 0; i < STRIP; i++)
                if (column >= i * b->stride && column < i * b->stride + b->kernel)
                    sums[i * b->vectors + v] = simd_fma(in, kept[(column - i * b->stride) * b->vectors + v],
                                                        sums[i * b->vectors + v]);
        }
    }
}

// Stores what the convolution has for a strip of places, with its activation, and adds it to the row's sums.
SIMD_INLINE void finish_strip(const struct depthwise_block *b, float *out, int places, const simd *values,
                              simd *totals)
{
#pragma GCC unroll 1
    for (int i = 0; i < STRIP && i < places; i++)
#pragma GCC unroll 1
        for (int v = 0; v < b->vectors; v++) {
            simd value = activate(b->window->activation, values[i * b->vectors + v]);
            store(place(out, b->window->out_stride, i) + v * SIMD_LANES, value, b->count);
            totals[v] += value;
        }
}

SIMD_INLINE void run_block(const struct depthwise_block *b)
{
    const struct conv_window *w = b->window;
    size_t strip_size = (size_t)(STRIP * b->stride * b->vectors * SIMD_LANES);
    for (int line = 0; line < b->lines; line++) {
        const float *from = b->copy + (size_t)(line * b->stride * b->columns * b->vectors) * SIMD_LANES;
        int row = b->y - w->y + line;
        float *sums = w->sums ? place(w->sums, w->sums_stride, row) + b->channel : NULL;
        simd values[STRIP * STRIP_VECTORS], totals[STRIP_VECTORS];
        for (int v = 0; v < b->vectors; v++)
            totals[v] = sums && b->x ? load(sums + v * SIMD_LANES, b->count) : simd_zero();
        for (int x = 0; x < b->places; x += STRIP, from += strip_size) {
            float *out = place(w->out, w->out_stride, row * w->places + b->x + x) + b->channel;
            sum_strip(b, from, values);
            finish_strip(b, out, b->places - x, values, totals);
        }
        for (int v = 0; v < b->vectors && sums; v++)
            store(sums + v * SIMD_LANES, totals[v], b->count);
    }
}

// All places of some channels.
SIMD_INLINE void depthwise_channels(const struct conv_window *w, struct depthwise_block b)
{
    _Alignas(64) float copy[BLOCK_VALUES];
    simd factors[(LARGEST_STRIP_KERNEL * LARGEST_STRIP_KERNEL + 1) * STRIP_VECTORS];
    b.window = w;
    b.copy = copy;
    b.factors = factors;
    for (int i = 0; i < b.kernel * b.kernel * b.vectors; i++)
        factors[i] = load(w->weight + (size_t)(i / b.vectors) * (size_t)w->weight_stride + b.channel +
                              i % b.vectors * SIMD_LANES,
                          b.count);
    for (int v = 0; v < b.vectors; v++)
        factors[b.kernel * b.kernel * b.vectors + v] = load(w->bias + b.channel + v * SIMD_LANES, b.count);
    for (b.x = 0; b.x < w->places; b.x += BLOCK_PLACES) {
        b.places = w->places - b.x < BLOCK_PLACES ? w->places - b.x : BLOCK_PLACES;
        b.columns = ((b.places + STRIP - 1) / STRIP * STRIP - 1) * b.stride + b.kernel;
        int most = (BLOCK_VALUES / (b.columns * b.vectors * SIMD_LANES) - b.kernel) / b.stride + 1;
        for (b.y = w->y; b.y < w->y + w->lines; b.y += b.lines) {
            b.lines = w->y + w->lines - b.y < most ? w->y + w->lines - b.y : most;
            b.rows = (b.lines - 1) * b.stride + b.kernel;
            copy_block(&b);
            run_block(&b);
        }
    }
}

SIMD_INLINE void depthwise_strips(const struct conv_window *w, int kernel, int stride)
{
    struct depthwise_block block = {
        .kernel = kernel, .stride = stride, .vectors = STRIP_VECTORS, .count = SIMD_LANES};
    int left = w->channels;
    for (; left >= STRIP_VECTORS * SIMD_LANES; left -= STRIP_VECTORS * SIMD_LANES) {
        depthwise_channels(w, block);
        block.channel += STRIP_VECTORS * SIMD_LANES;
    }
    block.vectors = 1;
    for (; left > 0; left -= SIMD_LANES) {
        block.count = left < SIMD_LANES ? left : SIMD_LANES;
        depthwise_channels(w, block);
        block.channel += SIMD_LANES;
    }
}

// One function each: the compiler takes minutes for all of them in one, with sanitizers.
#define DEFINE_DEPTHWISE(kernel, stride)                                                                     \
    static void depthwise_##kernel##_##stride(const struct conv_window *w)                                   \
    {                                                                                                        \
        depthwise_strips(w, kernel, stride);                                                                 \
    }
DEFINE_DEPTHWISE(3, 1)
DEFINE_DEPTHWISE(3, 2)
DEFINE_DEPTHWISE(5, 1)
DEFINE_DEPTHWISE(5, 2)

// Any kernel and stride: one row, one place at a time.
static void depthwise_line(const struct conv_line *line, int channel, int count, simd *total)
{
    const struct conv_window *w = line->window;
    for (int x = 0; x < w->places; x++) {
        int top = line->y * w->stride - w->padding, left = x * w->stride - w->padding;
        simd sum = load(w->bias + channel, count);
        for (int i = 0; i < w->kernel * w->kernel; i++) {
            int row = top + i / w->kernel, column = left + i % w->kernel;
            if (row >= 0 && row < w->height && column >= 0 && column < w->width)
                sum = simd_fma(load(at(w->in, w->in_stride, row * w->width + column) + channel, count),
                               load(w->weight + (size_t)i * (size_t)w->weight_stride + channel, count), sum);
        }
        sum = activate(w->activation, sum);
        store(place(line->out, w->out_stride, x) + channel, sum, count);
        *total += sum;
    }
}

static void depthwise_any(const struct conv_window *w)
{
    for (int i = 0; i < w->lines; i++) {
        struct conv_line line = {w, w->y + i, place(w->out, w->out_stride, i * w->places)};
        FOR_VECTORS(channel, count, w->channels)
        {
            simd total = simd_zero();
            depthwise_line(&line, channel, count, &total);
            if (w->sums)
                store(place(w->sums, w->sums_stride, i) + channel, total, count);
        }
    }
}

static void depthwise(const struct conv_window *w)
{
    if (w->kernel == 3 && w->stride == 1)
        depthwise_3_1(w);
    else if (w->kernel == 3 && w->stride == 2)
        depthwise_3_2(w);
    else if (w->kernel == 5 && w->stride == 1)
        depthwise_5_1(w);
    else if (w->kernel == 5 && w->stride == 2)
        depthwise_5_2(w);
    else
        depthwise_any(w);
}

static void max_pool_line(const struct conv_line *line)
{
    const struct conv_window *w = line->window;
    int top = line->y * w->stride - w->padding;
    for (int x = 0; x < w->places; x++) {
        int left = x * w->stride - w->padding;
        FOR_VECTORS(channel, count, w->channels)
        {
            simd largest = simd_set(-INFINITY);
            for (int i = 0; i < w->kernel * w->kernel; i++) {
                int row = top + i / w->kernel, column = left + i % w->kernel;
                if (row >= 0 && row < w->height && column >= 0 && column < w->width)
                    largest = simd_max_nan(
                        largest, load(at(w->in, w->in_stride, row * w->width + column) + channel, count));
            }
            store(place(line->out, w->out_stride, x) + channel, largest, count);
        }
    }
}

static void max_pool(const struct conv_window *w)
{
    for (int i = 0; i < w->lines; i++) {
        struct conv_line line = {w, w->y + i, place(w->out, w->out_stride, i * w->places)};
        max_pool_line(&line);
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

static void scale_rows(const float *in, const float *factors, int rows, int count, float *out)
{
    for (int row = 0; row < rows; row++, in += count, out += count)
        FOR_VECTORS(i, n, count)
    store(out + i, load(in + i, n) * simd_set(factors[row]), n);
}

const struct conv_ops CONV_OPS_TABLE = {
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .finish = finish,
    .depthwise = depthwise,
    .max_pool = max_pool,
    .sum_rows = sum_rows,
    .multiply = multiply,
    .scale_rows = scale_rows,
};
