// test_cuda_maps.c: the operations of the CUDA backend on feature maps: convolutions by windows, depthwise,
// pooling, sums, gates and class-activation maps, their kernels run on the processor by the shim (or on a
// GPU: tests/bench/gpu.sh), against their formulas in double precision, at odd sizes, for each storage.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/cuda/cuda_matrices.h"

enum { IMAGES = 3 };

static struct window window_over(int height, int width, int kernel, int stride)
{
    int padding = kernel / 2;
    return (struct window){height,
                           width,
                           kernel,
                           stride,
                           padding,
                           (height + 2 * padding - kernel) / stride + 1,
                           (width + 2 * padding - kernel) / stride + 1};
}

static int places_of(const struct window *window)
{
    return window->height * window->width;
}

static int windows_of(const struct window *window)
{
    return window->out_height * window->out_width;
}

// The row of the maps under place i of the window'th window of all images; -1: padding.
static int row_under(const struct window *window, int row, int i)
{
    int image = row / windows_of(window), place = row % windows_of(window);
    int y = place / window->out_width * window->stride - window->padding + i / window->kernel;
    int x = place % window->out_width * window->stride - window->padding + i % window->kernel;
    bool inside = y >= 0 && y < window->height && x >= 0 && x < window->width;
    return inside ? (image * window->height + y) * window->width + x : -1;
}

static double finish_of(enum finish finish, double x)
{
    return finish == FINISH_RELU      ? fmax(x, 0)
           : finish == FINISH_RELU6   ? fmin(fmax(x, 0), 6)
           : finish == FINISH_SILU    ? x / (1 + exp(-x))
           : finish == FINISH_SIGMOID ? 1 / (1 + exp(-x))
                                      : x;
}

// ---- convolutions ----

struct convolution {
    struct window window;
    int channels, columns;
    enum finish finish;
    bool residual;
};

static void expect_convolution(const struct convolution *shape, const double *maps, const double *weight,
                               const struct product_call *call, double *expected, const double *residual)
{
    int channels = shape->channels, area = shape->window.kernel * shape->window.kernel;
    for (int row = 0; row < call->out.rows; row++)
        for (int n = 0; n < shape->columns; n++) {
            double sum = (double)call->bias[n];
            for (int i = 0; i < area; i++) {
                int from = row_under(&shape->window, row, i);
                for (int c = 0; c < channels && from >= 0; c++)
                    sum += maps[from * channels + c] * weight[(n * area + i) * channels + c];
            }
            int at = row * shape->columns + n;
            expected[at] = finish_of(shape->finish, sum + (shape->residual ? residual[at] : 0));
        }
}

static void check_convolution(const struct convolution *shape, enum storage storage, int capability)
{
    if (!cuda_memory_runs(capability))
        return;
    const struct window *window = &shape->window;
    int rows = IMAGES * windows_of(window), k = window->kernel * window->kernel * shape->channels;
    struct test_matrix maps = filled("maps", storage, IMAGES * places_of(window), shape->channels);
    struct test_matrix weight = filled("weight", storage, shape->columns, k);
    struct test_matrix bias = filled("bias", STORE_FP32, 1, shape->columns);
    struct test_matrix residual = filled("residual", storage, rows, shape->columns);
    struct product_call call = {.a = maps.matrix,
                                .weight = weight.matrix.data,
                                .bias = bias.matrix.data,
                                .finish = shape->finish,
                                .window = *window,
                                .residual = shape->residual ? residual.matrix.data : NULL,
                                .residual_stride = shape->columns,
                                .out = empty(storage, rows, shape->columns),
                                .compute_capability = capability,
                                .multiprocessors = 4};
    double *expected = memory_alloc((size_t)rows * (size_t)shape->columns * sizeof *expected);
    expect_convolution(shape, maps.values, weight.values, &call, expected, residual.values);
    cuda_product(NULL, &call);
    char what[96];
    snprintf(what, sizeof what, "convolution storage %d, sm_%d, kernel %d, stride %d", (int)storage,
             capability, window->kernel, window->stride);
    near(what, &call.out, expected, 4e-7 * (k + 8)); // terms of up to 4, sums of k roundings
    free(expected);
    release(call.out);
    release_test(maps);
    release_test(weight);
    release_test(bias);
    release_test(residual);
}

static void test_convolution(void **state)
{
    (void)state;
    const struct convolution shapes[] = {
        {window_over(7, 5, 3, 1), 32, 40, FINISH_RELU, true},
        {window_over(9, 6, 3, 2), 64, 71, FINISH_SILU, false},
        {window_over(5, 7, 1, 2), 32, 8, FINISH_NONE, false},
        {window_over(3, 2, 5, 1), 32, 24, FINISH_SIGMOID, true}, // larger than the map
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        check_convolution(&shapes[i], STORE_FP32, 80);
        check_convolution(&shapes[i], STORE_FP16, 75);
        check_convolution(&shapes[i], STORE_FP16, 80);
        check_convolution(&shapes[i], STORE_BF16, 80);
    }
    const struct convolution large = {window_over(23, 19, 3, 1), 32, 140, FINISH_RELU, true}; // large tiles
    check_convolution(&large, STORE_FP16, 75);
    check_convolution(&large, STORE_BF16, 80);
}

// ---- windows of each channel ----

static void check_windows(struct window window, int channels, enum storage storage)
{
    int rows = IMAGES * windows_of(&window), area = window.kernel * window.kernel;
    struct test_matrix maps = filled("maps", storage, IMAGES * places_of(&window), channels);
    struct test_matrix weight = filled("weight", STORE_FP32, area, channels);
    struct test_matrix bias = filled("bias", STORE_FP32, 1, channels);
    struct window_call call = {.in = maps.matrix,
                               .out = empty(storage, rows, channels),
                               .window = window,
                               .weight = weight.matrix.data,
                               .bias = bias.matrix.data,
                               .finish = window.stride == 1 ? FINISH_SILU : FINISH_RELU6};
    double *sums = memory_alloc((size_t)(rows * channels) * sizeof *sums);
    double *largest = memory_alloc((size_t)(rows * channels) * sizeof *largest);
    for (int at = 0; at < rows * channels; at++) {
        int row = at / channels, c = at % channels;
        double sum = bias.values[c];
        largest[at] = -INFINITY;
        for (int i = 0; i < area; i++) {
            int from = row_under(&window, row, i);
            if (from < 0)
                continue;
            sum += maps.values[from * channels + c] * weight.values[i * channels + c];
            largest[at] = fmax(largest[at], maps.values[from * channels + c]);
        }
        sums[at] = finish_of(call.finish, sum);
    }
    cuda_depthwise(NULL, &call);
    near("depthwise", &call.out, sums, 4e-7 * (area + 8));
    cuda_max_pool(NULL, &call);
    near("max pool", &call.out, largest, 0);
    free(sums);
    free(largest);
    release(call.out);
    release_test(maps);
    release_test(weight);
    release_test(bias);
}

static void test_windows(void **state)
{
    (void)state;
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++)
        for (int stride = 1; stride <= 2; stride++) {
            check_windows(window_over(9, 7, 3, stride), 12, storage);
            check_windows(window_over(6, 11, 5, stride), 132, storage);
            check_windows(window_over(1, 1, 5, stride), 4, storage);
        }
}

// ---- channels ----

static void check_sums(enum storage storage, int rows, int group, int columns)
{
    int groups = (rows + group - 1) / group;
    struct test_matrix maps = filled("maps", storage, IMAGES * rows, columns);
    struct matrix out = empty(STORE_FP32, IMAGES * groups, columns);
    double *expected = memory_alloc((size_t)(IMAGES * groups * columns) * sizeof *expected);
    for (int i = 0; i < IMAGES * rows * columns; i++)
        expected[(i / columns / rows * groups + i / columns % rows / group) * columns + i % columns] +=
            maps.values[i] * 0.25;
    cuda_sum_rows(NULL, maps.matrix, rows, group, 0.25f, out);
    near("sums", &out, expected, 4e-7 * (group + 8));
    free(expected);
    release(out);
    release_test(maps);
}

static void test_sums(void **state)
{
    (void)state;
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        check_sums(storage, 37, 37, 20);
        check_sums(storage, 300, 256, 136);
        check_sums(storage, 1, 1, 128);
    }
}

static void test_scale(void **state)
{
    (void)state;
    enum { ROWS = 5, COLUMNS = 28 };
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        struct test_matrix maps = filled("maps", storage, IMAGES * ROWS, COLUMNS);
        struct test_matrix gate = filled("gate", STORE_FP32, IMAGES, COLUMNS);
        double expected[IMAGES * ROWS * COLUMNS];
        for (int i = 0; i < IMAGES * ROWS * COLUMNS; i++)
            expected[i] = maps.values[i] * gate.values[i / COLUMNS / ROWS * COLUMNS + i % COLUMNS];
        cuda_scale(NULL, maps.matrix, ROWS, gate.matrix, maps.matrix);
        near("scale", &maps.matrix, expected, 5e-7);
        release_test(maps);
        release_test(gate);
    }
}

static void test_class_map(void **state)
{
    (void)state;
    enum { PLACES = 7, COLUMNS = 45, CLASSES = 3 };
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        struct test_matrix features = filled("features", storage, IMAGES * PLACES, COLUMNS);
        struct test_matrix weight = filled("weight", STORE_FP32, CLASSES, COLUMNS);
        float *logits = cuda_memory(IMAGES * CLASSES * sizeof *logits);
        const float values[IMAGES * CLASSES] = {1, 2, 0, 3, 3, 1, -2, -3, -1}; // equal ones: the first counts
        const int greatest[IMAGES] = {1, 0, 2};
        struct matrix map = empty(STORE_FP32, IMAGES, PLACES);
        double expected[IMAGES * PLACES] = {0};
        memcpy(logits, values, sizeof values);
        for (int i = 0; i < IMAGES * PLACES * COLUMNS; i++)
            expected[i / COLUMNS] +=
                features.values[i] * weight.values[greatest[i / COLUMNS / PLACES] * COLUMNS + i % COLUMNS];
        const struct class_map_call call = {features.matrix,    PLACES, CLASSES,
                                            weight.matrix.data, logits, map.data};
        cuda_class_map(NULL, &call);
        near("class map", &map, expected, 4e-7 * (COLUMNS + 8));
        cuda_memory_free(logits);
        release(map);
        release_test(features);
        release_test(weight);
    }
}

// Threads that run in the other order change nothing, unless a barrier is missing.
static void test_order_of_threads(void **state)
{
    (void)state;
    const struct convolution shape = {window_over(7, 5, 3, 1), 32, 40, FINISH_RELU, true};
    cuda_memory_run_backwards(true);
    check_sums(STORE_FP16, 300, 256, 136);
    check_convolution(&shape, STORE_FP32, 80);
    check_convolution(&shape, STORE_FP16, 75);
    check_convolution(&shape, STORE_FP16, 80);
    cuda_memory_run_backwards(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution), cmocka_unit_test(test_windows),
        cmocka_unit_test(test_sums),        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_class_map),   cmocka_unit_test(test_order_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
