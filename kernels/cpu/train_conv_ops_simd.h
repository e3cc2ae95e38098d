// train_conv_ops_simd.h: train_conv_ops.h on simd.h's vectors. The including file, *_avx2.c or *_avx512.c,
// defines TRAIN_CONV_OPS_TABLE.
#include <math.h>
#include <string.h>

#include "kernels/cpu/activation_simd.h"
#include "kernels/cpu/train_conv_ops.h"

// Lanes of value where the condition holds, else 0. A NaN is above everything.
#ifdef __AVX512F__
SIMD_INLINE simd where_above(simd a, float bound, simd value)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, simd_set(bound), _CMP_NLE_UQ), value);
}
SIMD_INLINE simd where_below(simd a, float bound, simd value)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, simd_set(bound), _CMP_NGE_UQ), value);
}
SIMD_INLINE simd where_equal(simd a, simd b, simd value)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), value);
}
enum { OUTER_ROWS = 12, OUTER_VECTORS = 2 }; // of a tile of sums: all fit the registers
#else
SIMD_INLINE simd where_above(simd a, float bound, simd value)
{
    return _mm256_and_ps(_mm256_cmp_ps(a, simd_set(bound), _CMP_NLE_UQ), value);
}
SIMD_INLINE simd where_below(simd a, float bound, simd value)
{
    return _mm256_and_ps(_mm256_cmp_ps(a, simd_set(bound), _CMP_NGE_UQ), value);
}
SIMD_INLINE simd where_equal(simd a, simd b, simd value)
{
    return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ), value);
}
enum { OUTER_ROWS = 6, OUTER_VECTORS = 2 };
#endif

// A tile of `rows` by two vectors, rows a constant.
SIMD_INLINE void outer_tile(const struct outer_product *p, int column, int rows)
{
    simd sums[OUTER_ROWS][OUTER_VECTORS];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
        sums[r][0] = sums[r][1] = simd_zero();
    for (int line = 0; line < p->lines; line++) {
        const float *a = p->a + (size_t)line * p->a_line, *b = p->b + (size_t)line * p->b_line + column;
        for (int i = 0; i < p->places; i++, a += p->a_place, b += p->b_place) {
            simd left = simd_load(b), right = simd_load(b + SIMD_LANES);
#pragma GCC unroll 12
            for (int r = 0; r < rows; r++) {
                simd factor = simd_set(a[r]);
                sums[r][0] = simd_fma(factor, left, sums[r][0]);
                sums[r][1] = simd_fma(factor, right, sums[r][1]);
            }
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < OUTER_VECTORS; v++) {
            int at = column + v * SIMD_LANES, count = p->columns - at;
            float *to = p->sums + (size_t)r * p->sums_stride + at;
            count = count < SIMD_LANES ? count : SIMD_LANES;
            if (count > 0)
                store(to, load(to, count) + sums[r][v], count);
        }
}

#define DEFINE_OUTER(rows)                                                                                   \
    static void outer_##rows(const struct outer_product *p)                                                  \
    {                                                                                                        \
        for (int column = 0; column < p->columns; column += OUTER_VECTORS * SIMD_LANES)                      \
            outer_tile(p, column, rows);                                                                     \
    }
DEFINE_OUTER(1)
DEFINE_OUTER(2)
DEFINE_OUTER(3)
DEFINE_OUTER(4)
DEFINE_OUTER(5)
DEFINE_OUTER(6)
#ifdef __AVX512F__
DEFINE_OUTER(7)
DEFINE_OUTER(8)
DEFINE_OUTER(9)
DEFINE_OUTER(10)
DEFINE_OUTER(11)
DEFINE_OUTER(12)
#define OUTER_MORE outer_7, outer_8, outer_9, outer_10, outer_11, outer_12
#else
#define OUTER_MORE NULL
#endif

static void outer(const struct outer_product *product)
{
    static void (*const by_rows[])(const struct outer_product *) = {NULL,    outer_1, outer_2, outer_3,
                                                                    outer_4, outer_5, outer_6, OUTER_MORE};
    by_rows[product->rows](product);
}

static void moments(const float *x, int rows, int columns, float *means, float *squares)
{
    size_t width = (size_t)columns;
    FOR_VECTORS(i, count, columns)
    {
        simd sum = simd_zero(), square = simd_zero();
        for (int row = 0; row < rows; row++)
            sum += load(x + (size_t)row * width + i, count);
        simd mean = sum / simd_set((float)rows);
        for (int row = 0; row < rows; row++) {
            simd away = load(x + (size_t)row * width + i, count) - mean;
            square = simd_fma(away, away, square);
        }
        store(means + i, mean, count);
        store(squares + i, square, count);
    }
}

// What an output's gradient is by the input u.
SIMD_INLINE simd activation_slope(enum activation activation, simd u, simd dy)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return where_above(u, 0.0f, dy);
    case ACTIVATION_RELU6:
        return where_above(u, 0.0f, where_below(u, 6.0f, dy));
    case ACTIVATION_SILU: {
        simd s = simd_set(1.0f) / one_and_exponential(u);
        return dy * s * simd_fma(u, simd_set(1.0f) - s, simd_set(1.0f));
    }
    case ACTIVATION_SIGMOID: // of the output
        return dy * u * (simd_set(1.0f) - u);
    case ACTIVATION_NONE:
        break;
    }
    return dy;
}

SIMD_INLINE void norm_typed(const struct norm_rows *n, enum activation activation)
{
    for (int row = 0; row < n->rows; row++) {
        size_t first = (size_t)row * (size_t)n->columns;
        FOR_VECTORS(i, count, n->columns)
        {
            simd away = load(n->x + first + i, count) - load(n->mean + i, count);
            simd u = simd_fma(away, load(n->scale + i, count), load(n->bias + i, count));
            store(n->y + first + i, activate(activation, u), count);
        }
    }
}

SIMD_INLINE void norm_sums_typed(const struct norm_rows *n, enum activation activation, float *plain,
                                 float *products)
{
    FOR_VECTORS(i, count, n->columns)
    {
        simd mean = load(n->mean + i, count), scale = load(n->scale + i, count);
        simd bias = load(n->bias + i, count), g_sum = simd_zero(), gx_sum = simd_zero();
        for (int row = 0; row < n->rows; row++) {
            size_t at = (size_t)row * (size_t)n->columns + (size_t)i;
            simd away = load(n->x + at, count) - mean;
            simd g = activation_slope(activation, simd_fma(away, scale, bias), load(n->dy + at, count));
            g_sum += g;
            gx_sum = simd_fma(g, away, gx_sum);
        }
        store(plain + i, g_sum, count);
        store(products + i, gx_sum, count);
    }
}

SIMD_INLINE void norm_gradient_typed(const struct norm_rows *n, enum activation activation)
{
    for (int row = 0; row < n->rows; row++) {
        size_t first = (size_t)row * (size_t)n->columns;
        FOR_VECTORS(i, count, n->columns)
        {
            simd away = load(n->x + first + i, count) - load(n->mean + i, count);
            simd scale = load(n->scale + i, count);
            simd u = simd_fma(away, scale, load(n->bias + i, count));
            simd g = activation_slope(activation, u, load(n->dy + first + i, count));
            simd dx = g * scale - load(n->offset + i, count) - away * load(n->slope + i, count);
            if (n->adds)
                dx += load(n->dx + first + i, count);
            store(n->dx + first + i, dx, count);
        }
    }
}

// Calls `function` with the activation as a constant.
#define WITH_ACTIVATION(activation, function, ...)                                                           \
    switch (activation) {                                                                                    \
    case ACTIVATION_RELU:                                                                                    \
        function(__VA_ARGS__, ACTIVATION_RELU);                                                              \
        break;                                                                                               \
    case ACTIVATION_RELU6:                                                                                   \
        function(__VA_ARGS__, ACTIVATION_RELU6);                                                             \
        break;                                                                                               \
    case ACTIVATION_SILU:                                                                                    \
        function(__VA_ARGS__, ACTIVATION_SILU);                                                              \
        break;                                                                                               \
    case ACTIVATION_SIGMOID:                                                                                 \
        function(__VA_ARGS__, ACTIVATION_SIGMOID);                                                           \
        break;                                                                                               \
    case ACTIVATION_NONE:                                                                                    \
        function(__VA_ARGS__, ACTIVATION_NONE);                                                              \
        break;                                                                                               \
    }

static void norm(const struct norm_rows *rows){WITH_ACTIVATION(rows->activation, norm_typed, rows)}

SIMD_INLINE void norm_sums_last(const struct norm_rows *rows, float *plain, float *products,
                                enum activation activation)
{
    norm_sums_typed(rows, activation, plain, products);
}

static void norm_sums(const struct norm_rows *rows, float *plain, float *products)
{
    WITH_ACTIVATION(rows->activation, norm_sums_last, rows, plain, products)
}

static void norm_gradient(const struct norm_rows *rows){
    WITH_ACTIVATION(rows->activation, norm_gradient_typed, rows)}

SIMD_INLINE void activate_typed(const float *x, int total, float *y, enum activation activation)
{
    FOR_VECTORS(i, count, total)
    store(y + i, activate(activation, load(x + i, count)), count);
}

static void activate_all(enum activation activation, const float *x, int count,
                         float *y){WITH_ACTIVATION(activation, activate_typed, x, count, y)}

SIMD_INLINE void gradient_typed(const float *kept, const float *dy, int total, bool adds, float *dx,
                                enum activation activation)
{
    FOR_VECTORS(i, count, total)
    {
        simd value = activation_slope(activation, load(kept + i, count), load(dy + i, count));
        store(dx + i, adds ? (simd)(value + load(dx + i, count)) : value, count);
    }
}

static void activation_gradient(enum activation activation, const float *kept, const float *dy, int count,
                                bool adds, float *dx)
{
    WITH_ACTIVATION(activation, gradient_typed, kept, dy, count, adds, dx)
}

static void add(const float *a, const float *b, int total, float *out)
{
    FOR_VECTORS(i, count, total)
    store(out + i, load(a + i, count) + load(b + i, count), count);
}

static void scale(const float *in, const float *factors, int rows, int columns, bool adds, float *out)
{
    for (int row = 0; row < rows; row++, in += columns, out += columns)
        FOR_VECTORS(i, count, columns)
        {
            simd value = load(in + i, count) * load(factors + i, count);
            store(out + i, adds ? (simd)(value + load(out + i, count)) : value, count);
        }
}

static void column_products(const float *a, const float *b, int rows, int columns, bool adds, float *out)
{
    FOR_VECTORS(i, count, columns)
    {
        simd sum = adds ? load(out + i, count) : simd_zero();
        for (int row = 0; row < rows; row++) {
            size_t at = (size_t)row * (size_t)columns + (size_t)i;
            sum = simd_fma(load(a + at, count), load(b + at, count), sum);
        }
        store(out + i, sum, count);
    }
}

// The taps that give to line y of the input: tap + i * stride from output line `line` - i, i < count; the
// same along a line.
struct giving_taps {
    int tap, line, count;
};

SIMD_INLINE struct giving_taps taps_of(int y, const struct window_gradient *w, int outputs)
{
    struct giving_taps taps = {(y + w->padding) % w->stride, (y + w->padding) / w->stride, 0};
    int beyond = taps.line - (outputs - 1);
    if (beyond > 0) {
        taps.tap += beyond * w->stride;
        taps.line -= beyond;
    }
    if (taps.tap < w->kernel)
        taps.count = (w->kernel - taps.tap + w->stride - 1) / w->stride;
    taps.count = taps.count < taps.line + 1 ? taps.count : taps.line + 1;
    return taps;
}

static void depthwise_input(const struct window_gradient *w, int y)
{
    size_t width = (size_t)w->stride_values;
    struct giving_taps ys = taps_of(y, w, w->output_height);
    for (int x = 0; x < w->width; x++) {
        float *dx = w->dx + (size_t)(y * w->width + x) * width;
        struct giving_taps xs = taps_of(x, w, w->output_width);
        FOR_VECTORS(i, count, w->channels)
        {
            simd sum = w->adds ? load(dx + i, count) : simd_zero();
            for (int a = 0; a < ys.count; a++)
                for (int b = 0; b < xs.count; b++) {
                    int place = (ys.line - a) * w->output_width + xs.line - b;
                    int tap = (ys.tap + a * w->stride) * w->kernel + xs.tap + b * w->stride;
                    sum = simd_fma(load(w->dy + (size_t)place * width + i, count),
                                   load(w->weight + (size_t)tap * width + i, count), sum);
                }
            store(dx + i, sum, count);
        }
    }
}

// The sums of `group` taps of a row, from kx on, over one line of the output, for one vector of channels;
// group is a constant. Only where the window hangs over the map's side is a tap asked whether it lies in it.
SIMD_INLINE void row_of_taps(const struct window_gradient *w, int group, int line, int ky, int kx, int i,
                             int count)
{
    size_t width = (size_t)w->stride_values;
    int y = line * w->stride - w->padding + ky;
    const float *x = w->x + (size_t)(y * w->width) * width + i;
    const float *dy = w->dy + (size_t)(line * w->output_width) * width + i;
    float *to = w->weight_sums + (size_t)(ky * w->kernel + kx) * width + i;
    simd sums[5];
#pragma GCC unroll 5
    for (int j = 0; j < group; j++)
        sums[j] = simd_zero();
    for (int place = 0; place < w->output_width; place++) {
        int left = place * w->stride - w->padding + kx;
        bool inside = left >= 0 && left + group <= w->width;
        simd slope = load(dy + (size_t)place * width, count);
#pragma GCC unroll 5
        for (int j = 0; j < group; j++)
            if (inside || (left + j >= 0 && left + j < w->width))
                sums[j] = simd_fma(load(x + (ptrdiff_t)(left + j) * (ptrdiff_t)width, count), slope, sums[j]);
    }
#pragma GCC unroll 5
    for (int j = 0; j < group; j++)
        store(to + (size_t)j * width, load(to + (size_t)j * width, count) + sums[j], count);
}

SIMD_INLINE void weight_by_groups(const struct window_gradient *w, int group)
{
    for (int line = 0; line < w->output_height; line++)
        for (int tap = 0; tap < w->kernel * w->kernel; tap += group) {
            int ky = tap / w->kernel, kx = tap % w->kernel, y = line * w->stride - w->padding + ky;
            if (y < 0 || y >= w->height)
                continue;
            FOR_VECTORS(i, count, w->channels)
            {
                if (count == SIMD_LANES)
                    row_of_taps(w, group, line, ky, kx, i, SIMD_LANES);
                else
                    row_of_taps(w, group, line, ky, kx, i, count);
            }
        }
}

// The rows of taps that networks have are done at once.
static void depthwise_weight(const struct window_gradient *w)
{
    if (w->kernel == 3)
        weight_by_groups(w, 3);
    else if (w->kernel == 5)
        weight_by_groups(w, 5);
    else
        weight_by_groups(w, 1);
}

// One window: the first of the greatest gets it all.
SIMD_INLINE void max_pool_window(const struct window_gradient *w, int top, int left, simd dy, int i,
                                 int count)
{
    simd greatest = simd_set(-INFINITY);
    for (int pass = 0; pass < 2; pass++)
        for (int tap = 0; tap < w->kernel * w->kernel; tap++) {
            int y = top + tap / w->kernel, x = left + tap % w->kernel;
            if (y < 0 || y >= w->height || x < 0 || x >= w->width)
                continue;
            size_t at = (size_t)(y * w->width + x) * (size_t)w->stride_values + (size_t)i;
            simd value = load(w->x + at, count);
            if (pass == 0) {
                greatest = simd_max(value, greatest);
                continue;
            }
            simd part = where_equal(value, greatest, dy);
            dy = dy - part; // nothing is left for the next one
            store(w->dx + at, load(w->dx + at, count) + part, count);
        }
}

static void max_pool(const struct window_gradient *w)
{
    for (int line = 0; line < w->output_height; line++)
        for (int place = 0; place < w->output_width; place++) {
            const float *dy = w->dy + (size_t)(line * w->output_width + place) * (size_t)w->stride_values;
            FOR_VECTORS(i, count, w->channels)
            max_pool_window(w, line * w->stride - w->padding, place * w->stride - w->padding,
                            load(dy + i, count), i, count);
        }
}

#include "kernels/cpu/train_winograd_simd.h"

const struct train_conv_ops TRAIN_CONV_OPS_TABLE = {
    .outer_rows = OUTER_ROWS,
    .outer = outer,
    .moments = moments,
    .norm = norm,
    .norm_sums = norm_sums,
    .norm_gradient = norm_gradient,
    .activate = activate_all,
    .activation_gradient = activation_gradient,
    .add = add,
    .scale = scale,
    .column_products = column_products,
    .depthwise_input = depthwise_input,
    .depthwise_weight = depthwise_weight,
    .max_pool = max_pool,
    .winograd_filters = winograd_filters,
    .winograd_slopes = winograd_slopes,
    .winograd_taps = winograd_taps,
};
