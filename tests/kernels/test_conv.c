// test_conv.c: the operations of convolutional networks against their definitions (conv_ops_plain.c) at odd
// sizes, and a network of all of them on its executor against the plain one, at each level of
// instructions.
//
// Tolerances: a sum of n products rounds each addition by at most 2^-24 of what it holds, so a window of 25
// places with values below 2 stays within 2e-5; an activation adds a few 1e-7 of its value.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"
#include "kernels/backend.h"
#include "kernels/cpu/conv_ops.h"
#include "kernels/cpu/plain.h"
#include "kernels/model/random_weights.h"
#include "kernels/network/network_build.h"
#include "tests/support/plain_kernels.h"
#include "tests/support/skip.h"
#include "tests/support/value_range.h"

// PLACES: room for the widest maps, of more than one block of strips.
enum { CHANNELS = 83, STRIDE = 96, SIDE = 13, PLACES = SIDE * 45, VALUES = PLACES * STRIDE };

static const int channel_counts[] = {1, 7, 8, 9, 16, 17, 31, 48, 83};
enum { COUNTS = sizeof channel_counts / sizeof channel_counts[0] };
static const enum activation activations[] = {ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_RELU6,
                                              ACTIVATION_SILU, ACTIVATION_SIGMOID};
enum { ACTIVATIONS = sizeof activations / sizeof activations[0] };

// Uniform in -scale..scale.
static void fill(float *values, int count, const char *name, float scale)
{
    for (int i = 0; i < count; i++) {
        uint64_t bits = random_weights_bits(11, name, (uint64_t)i);
        values[i] = ((float)(bits >> 40) * 0x1p-23f - 1.0f) * scale;
    }
}

// Everything, also what must stay as it was.
static void near(const char *what, const float *found, const float *expected, int count, float tolerance)
{
    for (int i = 0; i < count; i++) {
        float allowed = tolerance * fmaxf(1.0f, fabsf(expected[i]));
        if (!(fabsf(found[i] - expected[i]) <= allowed)) {
            print_error("%s, value %d: %.9g, by definition %.9g, allowed %.3g\n", what, i, (double)found[i],
                        (double)expected[i], (double)allowed);
            fail();
        }
    }
}

// The levels that this processor has.
static int levels(const struct conv_ops *ops[2])
{
    struct cpu_features features = cpu_features_get();
    int count = 0;
    if (features.avx2)
        ops[count++] = &conv_ops_avx2;
    if (features.avx512)
        ops[count++] = &conv_ops_avx512;
    skip_without(count > 0, "AVX2");
    return count;
}

static void tiles_are_finished(void **unused)
{
    (void)unused;
    static float tile[12 * 32], bias[32], residual[12 * STRIDE], expected[12 * STRIDE], found[12 * STRIDE];
    const struct conv_ops *ops[2];
    int count = levels(ops);
    fill(tile, 12 * 32, "tile", 20);
    fill(bias, 32, "bias", 1);
    fill(residual, 12 * STRIDE, "residual", 1);
    tile[0] = 200; // beyond what exp can hold
    tile[1] = -200;
    for (int i = 0; i < ACTIVATIONS * 64; i++) {
        struct conv_finish finish = {.rows = 1 + i % 12,
                                     .columns = 1 + i % 32,
                                     .tile = tile,
                                     .tile_stride = 32,
                                     .bias = bias,
                                     .residual = i & 32 ? residual : NULL,
                                     .residual_stride = STRIDE * sizeof(float),
                                     .activation = activations[i / 64],
                                     .out = expected,
                                     .out_stride = STRIDE * sizeof(float)};
        memset(expected, 0, sizeof expected);
        conv_ops_plain.finish(&finish);
        for (int level = 0; level < count; level++) {
            memset(found, 0, sizeof found);
            finish.out = found;
            ops[level]->finish(&finish);
            near("tile", found, expected, 12 * STRIDE, 1e-6f);
        }
    }
}

struct shape {
    int kernel, stride, padding, height, width;
};

static const struct shape shapes[] = {
    {3, 1, 1, 13, 13}, {3, 2, 1, 13, 12}, {5, 1, 2, 9, 13},  {5, 2, 2, 13, 11},
    {5, 1, 2, 2, 3},   {3, 1, 1, 1, 1},   {3, 2, 1, 2, 2},   {7, 1, 3, 8, 9},
    {2, 2, 0, 13, 13}, {3, 1, 0, 6, 7},   {5, 1, 2, 13, 43}, {3, 2, 1, 7, 83},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static float input[VALUES], filter[49 * STRIDE], filter_bias[STRIDE];

static int rows_of(const struct shape *shape)
{
    return (shape->height + 2 * shape->padding - shape->kernel) / shape->stride + 1;
}

// All rows of the output from y on.
static struct conv_window window_of(const struct shape *shape, int channels, int y)
{
    return (struct conv_window){
        .in = input,
        .in_stride = STRIDE * sizeof(float),
        .height = shape->height,
        .width = shape->width,
        .channels = channels,
        .kernel = shape->kernel,
        .stride = shape->stride,
        .padding = shape->padding,
        .y = y,
        .lines = rows_of(shape) - y,
        .places = (shape->width + 2 * shape->padding - shape->kernel) / shape->stride + 1,
        .out_stride = STRIDE * sizeof(float),
        .weight = filter,
        .weight_stride = STRIDE,
        .bias = filter_bias,
        .sums_stride = STRIDE * sizeof(float),
    };
}

// All rows of places of a shape on one level, and those that come last.
static void check_depthwise(const struct conv_ops *ops, const struct shape *shape, int channels,
                            enum activation activation)
{
    static float expected[VALUES], found[VALUES], expected_sums[SIDE * STRIDE], sums[SIDE * STRIDE];
    for (int y = 0; y < rows_of(shape); y++) {
        struct conv_window window = window_of(shape, channels, y);
        memset(expected, 0, sizeof expected);
        memset(found, 0, sizeof found);
        window.activation = activation;
        window.out = expected;
        window.sums = expected_sums;
        conv_ops_plain.depthwise(&window);
        memcpy(sums, expected_sums, sizeof sums); // what lies between the rows stays
        for (int i = 0; i < window.lines * channels; i++)
            sums[i / channels * STRIDE + i % channels] = NAN;
        window.out = found;
        window.sums = sums;
        ops->depthwise(&window);
        near("depthwise", found, expected, VALUES, 2e-5f);
        near("sum of a row", sums, expected_sums, SIDE * STRIDE, 1e-4f);
        memset(found, 0, sizeof found);
        window.sums = NULL;
        ops->depthwise(&window);
        near("depthwise without sums", found, expected, VALUES, 2e-5f);
    }
}

static void depthwise_convolutions(void **unused)
{
    (void)unused;
    const struct conv_ops *ops[2];
    int count = levels(ops);
    for (int level = 0; level < count; level++)
        for (int shape = 0; shape < SHAPES; shape++)
            for (int i = 0; i < COUNTS; i++)
                check_depthwise(ops[level], &shapes[shape], channel_counts[i],
                                activations[(shape + i) % ACTIVATIONS]);
}

static void largest_values(void **unused)
{
    (void)unused;
    static float expected[VALUES], found[VALUES];
    const struct conv_ops *ops[2];
    int count = levels(ops);
    for (int i = 0; i < SHAPES * COUNTS; i++) {
        const struct shape *shape = &shapes[i / COUNTS];
        for (int y = 0; y < rows_of(shape) * count; y++) {
            struct conv_window window = window_of(shape, channel_counts[i % COUNTS], y / count);
            memset(expected, 0, sizeof expected);
            memset(found, 0, sizeof found);
            window.out = expected;
            conv_ops_plain.max_pool(&window);
            window.out = found;
            ops[y % count]->max_pool(&window);
            assert_memory_equal(found, expected, sizeof found);
        }
    }
}

// Exactly the places whose window has the NaN at (y, x) of the last channel are NaN there.
static void check_nan_in_window(const struct conv_ops *ops, const struct shape *shape, int channels, int y,
                                int x)
{
    static float found[VALUES];
    struct conv_window window = window_of(shape, channels, 0);
    float *value = &input[(y * shape->width + x) * STRIDE + channels - 1], kept = *value;
    *value = NAN;
    window.out = found;
    ops->max_pool(&window);
    *value = kept;
    for (int i = 0; i < window.lines * window.places * channels; i++) {
        int place = i / channels, channel = i % channels;
        int top = place / window.places * shape->stride - shape->padding;
        int left = place % window.places * shape->stride - shape->padding;
        bool inside = channel == channels - 1 && y >= top && y < top + shape->kernel && x >= left &&
                      x < left + shape->kernel;
        assert_int_equal(isnan(found[place * STRIDE + channel]) != 0, inside);
    }
}

static void nan_is_the_largest(void **unused)
{
    (void)unused;
    const struct conv_ops *ops[3];
    int count = levels(ops);
    ops[count++] = &conv_ops_plain;
    for (int i = 0; i < count * SHAPES; i++) {
        const struct shape *shape = &shapes[i / count];
        for (int place = 0; place < shape->height * shape->width; place++)
            check_nan_in_window(ops[i % count], shape, 9, place / shape->width, place % shape->width);
    }
}

static void nan_passes_activations(void **unused)
{
    (void)unused;
    float tile[32] = {0}, bias[32] = {0}, out[32];
    const struct conv_ops *ops[3];
    int count = levels(ops);
    ops[count++] = &conv_ops_plain;
    for (int i = 0; i < count * ACTIVATIONS * 32; i++) {
        struct conv_finish finish = {.rows = 1,
                                     .columns = 32,
                                     .tile = tile,
                                     .tile_stride = 32,
                                     .bias = bias,
                                     .activation = activations[i / 32 % ACTIVATIONS],
                                     .out = out,
                                     .out_stride = sizeof out};
        tile[i % 32] = NAN;
        ops[i / (32 * ACTIVATIONS)]->finish(&finish);
        tile[i % 32] = 0;
        for (int column = 0; column < 32; column++)
            assert_int_equal(isnan(out[column]) != 0, column == i % 32);
    }
}

// Into points and out of them.
static void check_tile(const struct conv_ops *ops, struct winograd_tile tile, const float *points)
{
    static float expected[VALUES], found[VALUES];
    tile.in = input;
    tile.out = expected;
    memset(expected, 0, sizeof expected);
    memset(found, 0, sizeof found);
    conv_ops_plain.winograd_in(&tile);
    tile.out = found;
    ops->winograd_in(&tile);
    near("points", found, expected, VALUES, 3e-5f);
    tile.in = points;
    ops->winograd_out(&tile);
    tile.out = expected;
    conv_ops_plain.winograd_out(&tile);
    near("places", found, expected, VALUES, 3e-5f);
}

// Tiles at every edge of maps of whole and cut tiles. A point of values below 2 is a sum up to 200, a place
// of points below 1 a sum up to 361.
static void winograd_tiles(void **unused)
{
    (void)unused;
    static float points[WINOGRAD_POINTS * STRIDE];
    static const int sizes[][2] = {{13, 13}, {9, 4}, {3, 12}, {1, 1}};
    const struct conv_ops *ops[2];
    int count = levels(ops);
    fill(points, WINOGRAD_POINTS * STRIDE, "points", 1);
    for (int i = 0; i < 2 * 4 * 16 * COUNTS; i++) {
        int size = i < 4 * 16 * COUNTS ? 2 : 4;
        struct winograd_tile tile = {.size = size, .height = sizes[i % 4][0], .width = sizes[i % 4][1]};
        tile.y = i / 4 % 4 * size;
        tile.x = i / 16 % 4 * size;
        tile.columns = channel_counts[i / 64 % COUNTS];
        tile.in_stride = tile.out_stride = tile.residual_stride = STRIDE * sizeof(float);
        tile.bias = filter_bias;
        tile.residual = i & 4 ? input : NULL;
        tile.activation = activations[(i + i / 4) % ACTIVATIONS];
        for (int level = 0; level < count && tile.y < tile.height && tile.x < tile.width; level++)
            check_tile(ops[level], tile, points);
    }
}

static void rows_are_summed_and_scaled(void **unused)
{
    (void)unused;
    enum { ROWS = 5 };
    float expected[ROWS * STRIDE], found[ROWS * STRIDE];
    const struct conv_ops *ops[2];
    int count = levels(ops);
    for (int i = 0; i < COUNTS * count; i++) {
        int channels = channel_counts[i / count];
        conv_ops_plain.sum_rows(input, STRIDE * sizeof(float), 49, channels, 1.0f / 49, expected);
        ops[i % count]->sum_rows(input, STRIDE * sizeof(float), 49, channels, 1.0f / 49, found);
        near("mean", found, expected, channels, 1e-6f);
        conv_ops_plain.multiply(input, filter, channels, expected);
        ops[i % count]->multiply(input, filter, channels, found);
        assert_memory_equal(found, expected, (size_t)channels * sizeof(float));
        conv_ops_plain.scale_rows(input, filter, ROWS, channels, expected);
        ops[i % count]->scale_rows(input, filter, ROWS, channels, found);
        assert_memory_equal(found, expected, (size_t)(ROWS * channels) * sizeof(float));
    }
}

enum { MINI_SIZE = 37, MINI_IMAGES = 5, MINI_CLASSES = 5, MINI_PLACES = 100, MINI_WIDTH = 33 };

static int add_convolution(struct network *network, int x, int *side, const char *name,
                           struct convolution_shape shape)
{
    char norm[32];
    snprintf(norm, sizeof norm, "%s_norm", name);
    shape.height = shape.width = *side;
    shape.groups = shape.groups ? shape.groups : 1;
    shape.batchnorm = shape.bias ? NULL : norm;
    shape.epsilon = 1e-5f;
    *side = network_window_count(*side, &shape);
    return network_add_convolution(network, x, &shape, name);
}

// Every kind of step and fusion, with channels that fill no vector: 37 -> 19 -> 10 places a side.
static struct network *mini_cnn(void)
{
    struct network *network = memory_alloc(sizeof *network);
    int side = MINI_SIZE, one = 1;
    strcpy(network->architecture, "mini_cnn");
    network->image_size = side;
    network->classes = MINI_CLASSES;
    for (int i = 0; i < 3; i++)
        network->std[i] = network->mean[i] = 0.5f;
    int x =
        add_convolution(network, network_add_normalise(network), &side, "stem",
                        (struct convolution_shape){.channels = 19, .kernel = 7, .stride = 1, .padding = 3});
    x = network_add_relu(network, x);
    const struct convolution_shape pool = {
        .height = side, .width = side, .kernel = 3, .stride = 2, .padding = 1};
    x = network_add_max_pool(network, x, &pool);
    side = network_window_count(side, &pool);
    int wide = network_add_silu(
        network, add_convolution(network, x, &side, "widen",
                                 (struct convolution_shape){.channels = 45, .kernel = 1, .stride = 1}));
    wide = network_add_silu(
        network, add_convolution(network, wide, &side, "deep",
                                 (struct convolution_shape){
                                     .channels = 45, .kernel = 5, .stride = 1, .padding = 2, .groups = 45}));
    int gate = network_add_mean_rows(network, wide);
    gate = network_add_silu(
        network,
        add_convolution(network, gate, &one, "reduce",
                        (struct convolution_shape){.channels = 6, .kernel = 1, .stride = 1, .bias = true}));
    gate = network_add_sigmoid(
        network,
        add_convolution(network, gate, &one, "expand",
                        (struct convolution_shape){.channels = 45, .kernel = 1, .stride = 1, .bias = true}));
    wide = network_add_scale(network, wide, gate);
    wide = add_convolution(network, wide, &side, "narrow",
                           (struct convolution_shape){.channels = 19, .kernel = 1, .stride = 1});
    x = network_add_sum(network, wide, x);
    int shortcut_side = side;
    int y = network_add_relu(
        network,
        add_convolution(network, x, &side, "conv1",
                        (struct convolution_shape){.channels = 33, .kernel = 3, .stride = 2, .padding = 1}));
    y = add_convolution(network, y, &side, "conv2",
                        (struct convolution_shape){.channels = 33, .kernel = 3, .stride = 1, .padding = 1});
    x = add_convolution(network, x, &shortcut_side, "shortcut",
                        (struct convolution_shape){.channels = 33, .kernel = 1, .stride = 2});
    x = network_add_relu(network, network_add_sum(network, y, x));
    network->explained_op = network->operation_count - 1;
    network->map_height = network->map_width = side;
    assert_int_equal(side * side, MINI_PLACES);
    network_add_head(network, network_add_mean_rows(network, x), "head");
    return network;
}

struct answers {
    float logits[MINI_IMAGES * MINI_CLASSES], maps[MINI_IMAGES * MINI_PLACES],
        embeddings[MINI_IMAGES * MINI_WIDTH];
};

// Takes the backend and closes it.
static void run(struct backend *backend, const struct network *network, const char *device_class,
                struct answers *answers)
{
    static uint8_t images[MINI_IMAGES][MINI_SIZE * MINI_SIZE * 3];
    const uint8_t *views[MINI_IMAGES];
    struct error err = {""};
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    struct plan_options options = {
        .precision = PRECISION_FP32, .max_batch = MINI_IMAGES, .attention = EXPLAIN_LAST};
    struct plan *plan;
    if (backend_prepare(backend, network, weights, &options, &plan, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_string_equal(plan->backend->device_class, device_class);
    weights_close(weights);
    for (int i = 0; i < MINI_IMAGES; i++) {
        for (int j = 0; j < MINI_SIZE * MINI_SIZE * 3; j++)
            images[i][j] = (uint8_t)(random_weights_bits((uint64_t)i, "view", (uint64_t)j) >> 56);
        views[i] = images[i];
    }
    struct inference result = {answers->logits, answers->maps, answers->embeddings};
    assert_int_equal(plan_run(plan, views, MINI_IMAGES, &result, &err), STATUS_OK);
    plan_free(plan);
    backend_close(backend);
}

// Tolerance: a share of the range of the plain values.
static void near_plain(const char *what, const float *found, const float *plain, int count)
{
    float allowed = 2e-5f * value_range(plain, count);
    for (int i = 0; i < count; i++)
        if (!(fabsf(found[i] - plain[i]) <= allowed))
            fail_msg("%s %d: %.9g, plain %.9g, allowed %.3g", what, i, (double)found[i], (double)plain[i],
                     (double)allowed);
}

static void a_network_of_all_steps(void **unused)
{
    (void)unused;
    static struct answers plain, fast;
    struct network *network = mini_cnn();
    run(cpu_plain_backend_open(), network, "plain", &plain);
    for (int level = CPU_LEVEL_AVX2; level <= CPU_LEVEL_BEST; level++) {
        cpu_features_force((enum cpu_level)level);
        struct backend *backend = NULL;
        struct error err = {""};
        assert_int_equal(backend_open(&backend, "cpu", 1 + level, &err), STATUS_OK);
        run(backend, network, cpu_features_class(), &fast);
        cpu_features_force(CPU_LEVEL_BEST);
        near_plain("logit", fast.logits, plain.logits, MINI_IMAGES * MINI_CLASSES);
        near_plain("map", fast.maps, plain.maps, MINI_IMAGES * MINI_PLACES);
        near_plain("embedding", fast.embeddings, plain.embeddings, MINI_IMAGES * MINI_WIDTH);
    }
    network_free(network);
}

static void other_precisions_are_refused(void **unused)
{
    (void)unused;
    struct error err = {""};
    struct backend *backend;
    struct plan *plan;
    struct network *network = mini_cnn();
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    assert_int_equal(backend_open(&backend, "cpu", 1, &err), STATUS_OK);
    struct plan_options options = {.precision = PRECISION_INT8, .max_batch = 1, .attention = EXPLAIN_NOTHING};
    assert_int_equal(backend_prepare(backend, network, weights, &options, &plan, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "fp32"));
    backend_close(backend);
    weights_close(weights);
    network_free(network);
}

int main(void)
{
    fill(input, VALUES, "input", 2);
    fill(filter, 49 * STRIDE, "filter", 0.5f);
    fill(filter_bias, STRIDE, "filter_bias", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_are_finished),
        cmocka_unit_test(depthwise_convolutions),
        cmocka_unit_test(largest_values),
        cmocka_unit_test(nan_is_the_largest),
        cmocka_unit_test(nan_passes_activations),
        cmocka_unit_test(rows_are_summed_and_scaled),
        cmocka_unit_test(winograd_tiles),
        cmocka_unit_test(a_network_of_all_steps),
        cmocka_unit_test(other_precisions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
