// test_cuda_ops.c: every operation of the CUDA backend, its kernels run on the processor by the shim, against
// its formula in double precision, at odd sizes, for each storage, for the kernels of Turing and those of
// Ampere.
//
// Tolerances: float results may differ by their own rounding, counted in 2^-23 of the terms' magnitude; half
// results by one unit in the last place of the format (2^-10, 2^-7) besides.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "kernels/cuda/ops.h"
#include "kernels/preprocess.h"
#include "kernels/random_weights.h"
#include "tests/support/cuda/shim_device.h"

extern bool shim_backwards; // cuda_shim.h, which is C++

static const int capabilities[] = {75, 80};

static float noise(const char *name, size_t index)
{
    return ((float)(random_weights_bits(5, name, index) >> 40) * 0x1p-23f - 1) * 2;
}

struct test_matrix {
    struct matrix matrix;
    double *values; // what data hold, rows x columns
};

static float half_to_float(uint16_t bits, enum storage storage)
{
    struct weight weight = {
        .dtype = storage == STORE_FP16 ? DTYPE_F16 : DTYPE_BF16, .count = 1, .data = &bits};
    float value;
    weight_to_float(&weight, &value);
    return value;
}

static struct matrix empty(enum storage storage, int rows, int columns)
{
    struct matrix matrix = {
        .storage = storage, .rows = rows, .columns = columns, .stride = columns, .scale_stride = 1};
    size_t size = (size_t)rows * (size_t)columns * storage_size(storage);
    assert_int_equal(posix_memalign(&matrix.data, 256, size), 0);
    memset(matrix.data, 0xff, size);
    matrix.scales = memory_alloc((size_t)rows * sizeof *matrix.scales);
    return matrix;
}

static double value_at(const struct matrix *matrix, int row, int column)
{
    size_t at = (size_t)(row * matrix->stride + column);
    if (matrix->storage == STORE_FP32)
        return ((float *)matrix->data)[at];
    if (matrix->storage != STORE_UINT8)
        return half_to_float(((uint16_t *)matrix->data)[at], matrix->storage);
    struct quantised_row scale = matrix->scales[row * matrix->scale_stride];
    return (double)scale.scale * (((uint8_t *)matrix->data)[at] - scale.zero);
}

// Noise in the given storage; the values are what it holds after rounding.
static struct test_matrix filled(const char *name, enum storage storage, int rows, int columns)
{
    struct matrix floats = empty(STORE_FP32, rows, columns);
    for (size_t i = 0; i < (size_t)rows * (size_t)columns; i++)
        ((float *)floats.data)[i] = noise(name, i);
    struct test_matrix result = {empty(storage, rows, columns), NULL};
    cuda_convert(NULL, floats, result.matrix);
    result.values = memory_alloc((size_t)rows * (size_t)columns * sizeof *result.values);
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++)
            result.values[row * columns + column] = value_at(&result.matrix, row, column);
    free(floats.data);
    free(floats.scales);
    return result;
}

static void release(struct matrix matrix)
{
    free(matrix.data);
    free(matrix.scales);
}

static void release_test(struct test_matrix test)
{
    release(test.matrix);
    free(test.values);
}

static double rounding(enum storage storage)
{
    return storage == STORE_FP16 ? 0x1p-11 : storage == STORE_BF16 ? 0x1p-8 : 0x1p-24;
}

// slack: of float arithmetic, absolute. Every value is compared; a NaN fails.
static void near(const char *what, const struct matrix *found, const double *expected, double slack)
{
    for (int row = 0; row < found->rows; row++)
        for (int column = 0; column < found->columns; column++) {
            double value = value_at(found, row, column), wanted = expected[row * found->columns + column];
            if (!(fabs(value - wanted) <= slack + fabs(wanted) * rounding(found->storage) * 1.01))
                fail_msg("%s: row %d column %d is %.9g, expected %.9g", what, row, column, value, wanted);
        }
}

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
    assert_true(value_at(&out, 0, 31) == 0.0);
    release(zeros);
    release(out);
}

static void test_quantise_weights(void **state)
{
    (void)state;
    enum { N = 6, K = 50 };
    struct test_matrix in = filled("weights", STORE_FP32, N, K);
    int8_t out[N * K];
    float scales[N];
    int32_t sums[N];
    cuda_quantise_weights(NULL, in.matrix.data, N, K, out, scales, sums);
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
                (x[i] - mean) / sqrt(variance + 1e-6) * weight.values[i] + bias.values[i];
    }
    cuda_layernorm(NULL, in.matrix, weight.matrix.data, bias.matrix.data, 1e-6f, out);
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

static void test_patches(void **state)
{
    (void)state;
    enum { SIDE = 24, PATCH = 8, IMAGES = 3, ACROSS = SIDE / PATCH, ROW = 3 * PATCH * PATCH };
    static uint8_t views[IMAGES * SIDE * SIDE * 3];
    static double expected[IMAGES * ACROSS * ACROSS * ROW];
    const float mean[3] = {0.4f, 0.5f, 0.6f}, std[3] = {0.2f, 0.25f, 0.3f};
    float table[3 * 256];
    preprocess_table(mean, std, table);
    for (size_t i = 0; i < sizeof views; i++)
        views[i] = (uint8_t)random_weights_bits(5, "views", i);
    for (int i = 0; i < IMAGES * ACROSS * ACROSS * ROW; i++) {
        int value = i % ROW, patch = i / ROW % (ACROSS * ACROSS), image = i / ROW / (ACROSS * ACROSS);
        int y = patch / ACROSS * PATCH + value / (3 * PATCH), x = patch % ACROSS * PATCH + value / 3 % PATCH;
        expected[i] = (double)table[value % 3 * 256 + views[((image * SIDE + y) * SIDE + x) * 3 + value % 3]];
    }
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        struct matrix out = empty(storage, IMAGES * ACROSS * ACROSS, ROW);
        cuda_patches(NULL, views, table, SIDE, PATCH, out);
        near("patches", &out, expected, 0);
        release(out);
    }
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

// ---- products ----

struct product_shape {
    int m, n, k;
    bool bias, gelu, residual, float_out;
};

static void expect_product(const struct product_call *call, const double *a, const double *weight,
                           double *expected)
{
    int n = call->out.columns, k = call->a.columns;
    for (int row = 0; row < call->out.rows; row++)
        for (int column = 0; column < n; column++) {
            double sum = call->bias ? (double)call->bias[column] : 0;
            for (int i = 0; i < k; i++)
                sum += a[row * k + i] * weight[column * k + i];
            if (call->gelu)
                sum = sum / 2 * (1 + erf(sum * M_SQRT1_2));
            expected[row * n + column] =
                sum + (call->residual ? (double)call->residual[row * n + column] : 0);
        }
}

// Weights as signed bytes where a is bytes; scales and sums are filled, and the values are what the bytes
// stand for.
static struct test_matrix make_weight(struct product_call *call, const struct product_shape *shape)
{
    if (call->a.storage != STORE_UINT8)
        return filled("weight", call->a.storage, shape->n, shape->k);
    struct test_matrix weight = filled("weight", STORE_FP32, shape->n, shape->k);
    int8_t *bytes = memory_alloc((size_t)shape->n * (size_t)shape->k);
    float *scales = memory_alloc((size_t)shape->n * sizeof *scales);
    int32_t *sums = memory_alloc((size_t)shape->n * sizeof *sums);
    cuda_quantise_weights(NULL, weight.matrix.data, shape->n, shape->k, bytes, scales, sums);
    for (int i = 0; i < shape->n * shape->k; i++)
        weight.values[i] = (double)scales[i / shape->k] * bytes[i];
    free(weight.matrix.data);
    weight.matrix.data = bytes;
    call->column_scale = scales;
    call->column_sum = sums;
    return weight;
}

static void check_product(enum storage storage, int capability, const struct product_shape *shape)
{
    enum storage out = shape->float_out || storage == STORE_FP32 ? STORE_FP32
                       : storage == STORE_UINT8                  ? STORE_FP16
                                                                 : storage;
    struct test_matrix a = filled("a", storage, shape->m, shape->k),
                       bias = filled("bias", STORE_FP32, 1, shape->n);
    struct test_matrix residual = filled("residual", STORE_FP32, shape->m, shape->n);
    struct product_call call = {.a = a.matrix,
                                .bias = shape->bias ? bias.matrix.data : NULL,
                                .gelu = shape->gelu,
                                .residual = shape->residual ? residual.matrix.data : NULL,
                                .residual_stride = shape->n,
                                .out = empty(out, shape->m, shape->n),
                                .compute_capability = capability,
                                .multiprocessors = 4};
    struct test_matrix weight = make_weight(&call, shape);
    call.weight = weight.matrix.data;
    double *expected = memory_alloc((size_t)shape->m * (size_t)shape->n * sizeof *expected);
    expect_product(&call, a.values, weight.values, expected);
    cuda_product(NULL, &call);
    char what[96];
    snprintf(what, sizeof what, "product storage %d, sm_%d, %d x %d x %d", (int)storage, capability, shape->m,
             shape->n, shape->k);
    near(what, &call.out, expected, 4e-7 * (shape->k + 8)); // terms of up to 4, sums of k roundings
    free(expected);
    free((void *)(uintptr_t)call.column_scale);
    free((void *)(uintptr_t)call.column_sum);
    release(call.out);
    release_test(a);
    release_test(bias);
    release_test(residual);
    release_test(weight);
}

static void test_product(void **state)
{
    (void)state;
    static const struct product_shape shapes[] = {
        {1, 8, 64, true, false, false, true},      // a head
        {37, 50, 48, true, true, false, false},    // nothing fits
        {130, 66, 160, true, false, true, true},   // two tiles and a bit
        {5, 72, 16, false, false, false, false},   // less than one step
        {300, 264, 224, true, true, false, false}, // large tiles
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (enum storage storage = STORE_FP32; storage < STORAGE_COUNT; storage++)
            for (int j = 0; j < 2; j++)
                if (storage != STORE_BF16 || capabilities[j] >= 80)
                    check_product(storage, capabilities[j], &shapes[i]);
}

// The same rows in a matrix of one tile, of another tile, and among other rows: the same bits.
static void test_product_bits(void **state)
{
    (void)state;
    enum { ROWS = 400, N = 136, K = 192, FEW = 3, AT = 290 };
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        struct test_matrix a = filled("a", storage, ROWS, K), weight = filled("weight", storage, N, K);
        struct product_call all = {.a = a.matrix,
                                   .weight = weight.matrix.data,
                                   .out = empty(STORE_FP32, ROWS, N),
                                   .compute_capability = 80,
                                   .multiprocessors = 1};
        struct product_call few = all;
        few.a.data = (char *)few.a.data + (size_t)AT * K * storage_size(storage);
        few.a.rows = FEW;
        few.out = empty(STORE_FP32, FEW, N);
        few.multiprocessors = 100;
        cuda_product(NULL, &all);
        cuda_product(NULL, &few);
        assert_memory_equal((float *)all.out.data + AT * N, few.out.data, FEW * N * sizeof(float));
        release(all.out);
        release(few.out);
        release_test(a);
        release_test(weight);
    }
}

// ---- attention ----

struct attention_shape {
    int images, tokens, heads, head_width;
    bool first_row_only;
};

static void expect_attention(const struct attention_shape *shape, const double *in, double *expected,
                             double *map)
{
    int tokens = shape->tokens, width = shape->heads * shape->head_width,
        rows = shape->first_row_only ? 1 : tokens;
    double *weights = memory_alloc((size_t)tokens * sizeof *weights);
    for (int i = 0; i < shape->images * shape->heads * rows; i++) {
        int row = i % rows, head = i / rows % shape->heads, image = i / rows / shape->heads;
        const double *q = in + ((size_t)(image * tokens + row) * 3) * width + head * shape->head_width;
        double sum = 0;
        for (int key = 0; key < tokens; key++) {
            const double *k =
                in + ((size_t)(image * tokens + key) * 3 + 1) * width + head * shape->head_width;
            double score = 0;
            for (int j = 0; j < shape->head_width; j++)
                score += q[j] * k[j];
            sum += weights[key] = exp(score / sqrt(shape->head_width));
        }
        for (int j = 0; j < shape->head_width; j++) {
            double value = 0;
            for (int key = 0; key < tokens; key++)
                value += weights[key] / sum *
                         in[((size_t)(image * tokens + key) * 3 + 2) * width + head * shape->head_width + j];
            expected[(size_t)(image * rows + row) * width + head * shape->head_width + j] = value;
        }
        for (int key = 1; row == 0 && key < tokens; key++)
            map[(image * shape->heads + head) * (tokens - 1) + key - 1] = weights[key] / sum;
    }
    free(weights);
}

static void check_attention(enum storage storage, int capability, const struct attention_shape *shape)
{
    int width = shape->heads * shape->head_width, rows = shape->first_row_only ? 1 : shape->tokens;
    size_t map_size = (size_t)(shape->images * shape->heads * (shape->tokens - 1));
    struct test_matrix in = filled("qkv", storage, shape->images * shape->tokens, 3 * width);
    struct matrix map = empty(STORE_FP32, 1, (int)map_size);
    struct attention_call call = {.in = in.matrix,
                                  .out = empty(storage, shape->images * rows, width),
                                  .images = shape->images,
                                  .tokens = shape->tokens,
                                  .heads = shape->heads,
                                  .map = map.data,
                                  .compute_capability = capability,
                                  .multiprocessors = 4};
    double *expected = memory_alloc((size_t)call.out.rows * (size_t)width * sizeof *expected);
    double *expected_map = memory_alloc(map_size * sizeof *expected_map);
    expect_attention(shape, in.values, expected, expected_map);
    cuda_attention(NULL, &call);
    char what[96];
    snprintf(what, sizeof what, "attention storage %d, sm_%d, %d tokens, %d x %d", (int)storage, capability,
             shape->tokens, shape->heads, shape->head_width);
    // Weights are rounded to the storage before they meet values of up to 2.
    near(what, &call.out, expected, storage == STORE_FP32 ? 4e-6 : 2 * rounding(storage));
    near("map", &map, expected_map, 2e-6);
    free(expected);
    free(expected_map);
    release(call.out);
    release(map);
    release_test(in);
}

static void test_attention(void **state)
{
    (void)state;
    static const struct attention_shape shapes[] = {
        {2, 10, 1, 64, false}, {1, 197, 2, 64, false}, {3, 208, 1, 64, true},  {1, 209, 1, 64, false},
        {2, 33, 3, 20, false}, {2, 7, 2, 128, true},   {6, 113, 1, 64, false},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++)
            for (int j = 0; j < 2; j++)
                check_attention(storage, capabilities[j], &shapes[i]);
}

// Threads that run in the other order change nothing, unless a barrier is missing.
static void test_order_of_threads(void **state)
{
    (void)state;
    const struct product_shape shape = {130, 66, 160, true, false, true, true};
    const struct attention_shape tensor = {1, 50, 1, 64, false}, plain = {1, 50, 2, 24, false};
    shim_backwards = true;
    for (int j = 0; j < 2; j++) {
        check_product(STORE_FP16, capabilities[j], &shape);
        check_attention(STORE_FP16, capabilities[j], &tensor);
    }
    check_product(STORE_FP32, 75, &shape);
    check_attention(STORE_FP32, 75, &plain);
    check_layernorm(STORE_UINT8, 5, 36);
    shim_backwards = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convert),          cmocka_unit_test(test_quantise),
        cmocka_unit_test(test_quantise_weights), cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_gelu_and_add),     cmocka_unit_test(test_patches),
        cmocka_unit_test(test_tokens),           cmocka_unit_test(test_product),
        cmocka_unit_test(test_product_bits),     cmocka_unit_test(test_attention),
        cmocka_unit_test(test_order_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
