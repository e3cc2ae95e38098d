// test_cuda_products.c: the CUDA backend's matrix products and attention, their kernels run on the processor
// by the shim (or on a GPU: tests/bench/gpu.sh), against their formulas in double precision, at odd sizes,
// for each storage, for the kernels of Turing and those of Ampere; and that the bits of a row depend on
// nothing but the row.
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

static const int capabilities[] = {75, 80};

// ---- products ----

struct product_shape {
    int m, n, k;
    bool bias, gelu, residual, float_out;
};

static void expect_product(const struct product_call *call, const double *a, const double *weight,
                           double *expected)
{
    int n = call->out.columns, k = call->a.columns;
    const float *residual = call->residual; // where there is one, out is float
    for (int row = 0; row < call->out.rows; row++)
        for (int column = 0; column < n; column++) {
            double sum = call->bias ? (double)call->bias[column] : 0;
            for (int i = 0; i < k; i++)
                sum += a[row * k + i] * weight[column * k + i];
            if (call->finish == FINISH_GELU)
                sum = sum / 2 * (1 + erf(sum * M_SQRT1_2));
            expected[row * n + column] = sum + (residual ? (double)residual[row * n + column] : 0);
        }
}

// Weights as signed bytes where a is bytes; scales and sums are filled, and the values are what the bytes
// stand for.
static struct test_matrix make_weight(struct product_call *call, const struct product_shape *shape)
{
    if (call->a.storage != STORE_UINT8)
        return filled("weight", call->a.storage, shape->n, shape->k);
    struct test_matrix weight = filled("weight", STORE_FP32, shape->n, shape->k);
    int8_t *bytes = cuda_memory((size_t)shape->n * (size_t)shape->k);
    float *scales = cuda_memory((size_t)shape->n * sizeof *scales);
    int32_t *sums = cuda_memory((size_t)shape->n * sizeof *sums);
    cuda_quantise_weights(NULL, weight.matrix.data, shape->n, shape->k, bytes, scales, sums);
    cuda_memory_ready();
    for (int i = 0; i < shape->n * shape->k; i++)
        weight.values[i] = (double)scales[i / shape->k] * bytes[i];
    cuda_memory_free(weight.matrix.data);
    weight.matrix.data = bytes;
    call->column_scale = scales;
    call->column_sum = sums;
    return weight;
}

static void check_product(enum storage storage, int capability, const struct product_shape *shape)
{
    if (!cuda_memory_runs(capability))
        return;
    enum storage out = shape->float_out || storage == STORE_FP32 ? STORE_FP32
                       : storage == STORE_UINT8                  ? STORE_FP16
                                                                 : storage;
    struct test_matrix a = filled("a", storage, shape->m, shape->k),
                       bias = filled("bias", STORE_FP32, 1, shape->n);
    struct test_matrix residual = filled("residual", STORE_FP32, shape->m, shape->n);
    struct product_call call = {.a = a.matrix,
                                .bias = shape->bias ? bias.matrix.data : NULL,
                                .finish = shape->gelu ? FINISH_GELU : FINISH_NONE,
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
    cuda_memory_free((void *)(uintptr_t)call.column_scale);
    cuda_memory_free((void *)(uintptr_t)call.column_sum);
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
        if (storage == STORE_BF16 && !cuda_memory_runs(80))
            continue;
        struct test_matrix a = filled("a", storage, ROWS, K), weight = filled("weight", storage, N, K);
        struct product_call all = {.a = a.matrix,
                                   .weight = weight.matrix.data,
                                   .out = empty(STORE_FP32, ROWS, N),
                                   .compute_capability = cuda_memory_runs(80) ? 80 : 75,
                                   .multiprocessors = 1};
        struct product_call few = all;
        few.a.data = (char *)few.a.data + (size_t)AT * K * storage_size(storage);
        few.a.rows = FEW;
        few.out = empty(STORE_FP32, FEW, N);
        few.multiprocessors = 100;
        cuda_product(NULL, &all);
        cuda_product(NULL, &few);
        cuda_memory_ready();
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
    if (!cuda_memory_runs(capability))
        return;
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
    cuda_memory_run_backwards(true);
    for (int j = 0; j < 2; j++) {
        check_product(STORE_FP16, capabilities[j], &shape);
        check_attention(STORE_FP16, capabilities[j], &tensor);
    }
    check_product(STORE_FP32, 75, &shape);
    check_attention(STORE_FP32, 75, &plain);
    cuda_memory_run_backwards(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_product),
        cmocka_unit_test(test_product_bits),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_order_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
