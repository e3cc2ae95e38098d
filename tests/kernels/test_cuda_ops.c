// test_cuda_ops.c: the operations of the CUDA backend on rows, their kernels run on the processor by the shim
// (or on a GPU: tests/bench/gpu.sh), against their formulas in double precision, at odd sizes, for each
// storage.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/image/preprocess.h"
#include "tests/support/cuda/cuda_matrices.h"

static void test_convert(void **state)
{
    (void)state;
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        struct test_matrix in = filled("in", STORE_FP32, 5, 37);
        struct matrix out = empty(storage, 5, 37);
        cuda_convert(NULL, in.matrix, out);
        near("convert", &out, in.values, 0);
        release(out);
        release_test(in);
    }
}

static void test_quantise(void **state)
{
    (void)state;
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        struct test_matrix in = filled("in", storage, 7, 44);
        struct matrix out = empty(STORE_UINT8, 7, 44);
        cuda_convert(NULL, in.matrix, out);
        near("quantise", &out, in.values, 0.5001 * 4 / 255); // half a step of values within +-2
        release(out);
        release_test(in);
    }
    struct matrix zeros = empty(STORE_FP32, 1, 32), out = empty(STORE_UINT8, 1, 32);
    memset(zeros.data, 0, 32 * sizeof(float));
    cuda_convert(NULL, zeros, out);
    cuda_memory_ready();
    assert_true(value_at(&out, 0, 31) == 0.0);
    release(zeros);
    release(out);
}

static void test_quantise_weights(void **state)
{
    (void)state;
    enum { N = 6, K = 50 };
    struct test_matrix in = filled("weights", STORE_FP32, N, K);
    int8_t *out = cuda_memory(N * K);
    float *scales = cuda_memory(N * sizeof *scales);
    int32_t *sums = cuda_memory(N * sizeof *sums);
    cuda_quantise_weights(NULL, in.matrix.data, N, K, out, scales, sums);
    cuda_memory_ready();
    for (int n = 0; n < N; n++) {
        double largest = 0;
        int32_t sum = 0;
        for (int k = 0; k < K; k++) {
            largest = fmax(largest, fabs(in.values[n * K + k]));
            sum += out[n * K + k];
            assert_true(fabs(scales[n] * (double)out[n * K + k] - in.values[n * K + k]) <=
                        0.5001 * (double)scales[n]);
        }
        assert_true(fabs((double)scales[n] - largest / 127) <= 1e-6 * largest);
        assert_int_equal(sums[n], sum);
    }
    cuda_memory_free(out);
    cuda_memory_free(scales);
    cuda_memory_free(sums);
    release_test(in);
}

static void check_layernorm(enum storage storage, int rows, int columns)
{
    struct test_matrix in = filled("in", STORE_FP32, rows, columns);
    struct test_matrix weight = filled("weight", STORE_FP32, 1, columns),
                       bias = filled("bias", STORE_FP32, 1, columns);
    struct matrix out = empty(storage, rows, columns);
    double *expected = memory_alloc((size_t)rows * (size_t)columns * sizeof *expected);
    for (int row = 0; row < rows; row++) {
        const double *x = in.values + row * columns;
        double mean = 0, variance = 0;
        for (int i = 0; i < columns; i++)
            mean += x[i] / columns;
        for (int i = 0; i < columns; i++)
            variance += (x[i] - mean) * (x[i] - mean) / columns;
        for (int i = 0; i < columns; i++)
            expected[row * columns + i] =
                (x[i] - mean) / sqrt(variance + 0.25) * weight.values[i] + bias.values[i];
    }
    cuda_layernorm(NULL, in.matrix, weight.matrix.data, bias.matrix.data, 0.25f, out);
    near("layernorm", &out, expected, storage == STORE_UINT8 ? 0.5001 * 14 / 255 : 4e-6);
    free(expected);
    release(out);
    release_test(in);
    release_test(weight);
    release_test(bias);
}

static void test_layernorm(void **state)
{
    (void)state;
    for (enum storage storage = STORE_FP32; storage < STORAGE_COUNT; storage++) {
        check_layernorm(storage, 1, 192);
        check_layernorm(storage, 5, 36);
        check_layernorm(storage, 3, 1024);
    }
}

static void test_gelu_and_add(void **state)
{
    (void)state;
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        struct test_matrix in = filled("in", storage, 5, 36);
        struct matrix out = empty(storage, 5, 36);
        double expected[5 * 36];
        for (int i = 0; i < 5 * 36; i++)
            expected[i] = in.values[i] / 2 * (1 + erf(in.values[i] * M_SQRT1_2));
        cuda_gelu(NULL, in.matrix, out);
        near("gelu", &out, expected, 5e-7);
        release(out);
        release_test(in);
    }
    struct test_matrix a = filled("a", STORE_FP32, 3, 21), b = filled("b", STORE_FP32, 3, 21);
    struct matrix sum = empty(STORE_FP32, 3, 21);
    double expected[3 * 21];
    for (int i = 0; i < 3 * 21; i++)
        expected[i] = a.values[i] + b.values[i];
    cuda_add(NULL, a.matrix, b.matrix, sum);
    near("add", &sum, expected, 0);
    release(sum);
    release_test(a);
    release_test(b);
}

// Views of odd shape; a kernel of 7 that reaches over the edge, and patches that do not.
static void check_patches(struct window window, int columns)
{
    enum { IMAGES = 3 };
    int windows = window.out_height * window.out_width, line = window.width * 3;
    size_t bytes = (size_t)(IMAGES * window.height * line);
    int values = IMAGES * windows * columns, row = 3 * window.kernel * window.kernel;
    uint8_t *views = cuda_memory(bytes);
    double *expected = memory_alloc((size_t)values * sizeof *expected);
    const float mean[3] = {0.4f, 0.5f, 0.6f}, std[3] = {0.2f, 0.25f, 0.3f};
    float *table = cuda_memory(3 * 256 * sizeof *table);
    preprocess_table(mean, std, table);
    for (size_t i = 0; i < bytes; i++)
        views[i] = (uint8_t)random_weights_bits(5, "views", i);
    for (int i = 0; i < values; i++) {
        int value = i % columns, place = i / columns % windows, image = i / columns / windows;
        int y = place / window.out_width * window.stride - window.padding + value / (3 * window.kernel);
        int x = place % window.out_width * window.stride - window.padding + value / 3 % window.kernel;
        if (value < row && y >= 0 && y < window.height && x >= 0 && x < window.width)
            expected[i] = (double)
                table[value % 3 * 256 + views[(image * window.height + y) * line + x * 3 + value % 3]];
    }
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        struct matrix out = empty(storage, IMAGES * windows, columns);
        cuda_patches(NULL, views, table, window, out);
        near("patches", &out, expected, 0);
        release(out);
    }
    free(expected);
    cuda_memory_free(views);
    cuda_memory_free(table);
}

static void test_patches(void **state)
{
    (void)state;
    check_patches((struct window){24, 24, 8, 8, 0, 3, 3}, 192);
    check_patches((struct window){11, 13, 7, 2, 3, 6, 7}, 152); // five zeros behind 147 values
}

static void test_tokens(void **state)
{
    (void)state;
    enum { PATCHES = 4, IMAGES = 3, COLUMNS = 300, TOKENS = PATCHES + 1 };
    static double expected[IMAGES * TOKENS * COLUMNS];
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        struct test_matrix patches = filled("patches", storage, IMAGES * PATCHES, COLUMNS);
        struct test_matrix class_token = filled("class", STORE_FP32, 1, COLUMNS);
        struct test_matrix positions = filled("positions", STORE_FP32, TOKENS, COLUMNS);
        for (int i = 0; i < IMAGES * TOKENS * COLUMNS; i++) {
            int column = i % COLUMNS, token = i / COLUMNS % TOKENS, image = i / COLUMNS / TOKENS;
            double value = token == 0 ? class_token.values[column]
                                      : patches.values[(image * PATCHES + token - 1) * COLUMNS + column];
            expected[i] = value + positions.values[token * COLUMNS + column];
        }
        struct matrix out = empty(STORE_FP32, IMAGES * TOKENS, COLUMNS);
        cuda_tokens(NULL, patches.matrix, PATCHES, class_token.matrix.data, positions.matrix.data, out);
        near("tokens", &out, expected, 0);
        release(out);
        release_test(patches);
        release_test(class_token);
        release_test(positions);
    }
}

// Threads that run in the other order change nothing, unless a barrier is missing.
static void test_order_of_threads(void **state)
{
    (void)state;
    cuda_memory_run_backwards(true);
    check_layernorm(STORE_UINT8, 5, 36);
    cuda_memory_run_backwards(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convert),          cmocka_unit_test(test_quantise),
        cmocka_unit_test(test_quantise_weights), cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_gelu_and_add),     cmocka_unit_test(test_patches),
        cmocka_unit_test(test_tokens),           cmocka_unit_test(test_order_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
