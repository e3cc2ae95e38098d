// test_cuda_nan.c: a value that is not a number passes every operation of the CUDA backend that chooses
// between values: activations, softmax, max pool, bytes. Their kernels run on the processor by the shim (or
// on a GPU: tests/bench/gpu.sh).
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

static void put_nan(const struct matrix *matrix, int row, int column)
{
    size_t at = (size_t)(row * matrix->stride + column);
    if (matrix->storage == STORE_FP32)
        ((float *)matrix->data)[at] = NAN;
    else
        ((uint16_t *)matrix->data)[at] = matrix->storage == STORE_FP16 ? 0x7e00 : 0x7fc0;
}

// Exactly these rows' values from first_column on are NaN.
static void expect_nan(const char *what, const struct matrix *found, int first_row, int rows,
                       int first_column, int columns)
{
    cuda_memory_ready();
    for (int row = 0; row < found->rows; row++)
        for (int column = 0; column < found->columns; column++) {
            bool wanted = row >= first_row && row < first_row + rows && column >= first_column &&
                          column < first_column + columns;
            if ((isnan(value_at(found, row, column)) != 0) != wanted)
                fail_msg("%s: row %d column %d is %g", what, row, column, value_at(found, row, column));
        }
}

static void check_bytes(enum storage storage, int column)
{
    struct test_matrix in = filled("in", storage, 5, 132);
    struct matrix bytes = empty(STORE_UINT8, 5, 132);
    put_nan(&in.matrix, 3, column);
    cuda_convert(NULL, in.matrix, bytes);
    expect_nan("bytes", &bytes, 3, 1, 0, 132);
    if (storage == STORE_FP32) {
        struct test_matrix weight = filled("weight", STORE_FP32, 1, 132);
        cuda_layernorm(NULL, in.matrix, weight.matrix.data, weight.matrix.data, 0.25f, bytes);
        expect_nan("layernorm", &bytes, 3, 1, 0, 132);
        release_test(weight);
    }
    release(bytes);
    release_test(in);
}

static void test_bytes(void **state)
{
    (void)state;
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        check_bytes(storage, 0);
        check_bytes(storage, 77);
        check_bytes(storage, 131);
    }
}

static void check_product(enum storage storage, int capability, enum finish finish)
{
    enum { M = 5, N = 40, K = 64 };
    if (!cuda_memory_runs(capability))
        return;
    struct test_matrix a = filled("a", storage == STORE_UINT8 ? STORE_FP32 : storage, M, K);
    struct matrix bytes = empty(STORE_UINT8, M, K);
    struct test_matrix weight = filled("weight", storage == STORE_UINT8 ? STORE_FP32 : storage, N, K);
    int8_t *weight_bytes = cuda_memory(N * K);
    float *scales = cuda_memory(N * sizeof *scales);
    int32_t *sums = cuda_memory(N * sizeof *sums);
    put_nan(&a.matrix, 3, 33);
    struct product_call call = {.a = a.matrix,
                                .weight = weight.matrix.data,
                                .finish = finish,
                                .out = empty(STORE_FP32, M, N),
                                .compute_capability = capability,
                                .multiprocessors = 4};
    if (storage == STORE_UINT8) {
        cuda_convert(NULL, a.matrix, bytes);
        cuda_quantise_weights(NULL, weight.matrix.data, N, K, weight_bytes, scales, sums);
        call.a = bytes;
        call.weight = weight_bytes;
        call.column_scale = scales;
        call.column_sum = sums;
    }
    cuda_product(NULL, &call);
    expect_nan("product", &call.out, 3, 1, 0, N);
    release(call.out);
    release(bytes);
    release_test(a);
    release_test(weight);
    cuda_memory_free(weight_bytes);
    cuda_memory_free(scales);
    cuda_memory_free(sums);
}

static void test_products(void **state)
{
    (void)state;
    for (enum finish finish = FINISH_NONE; finish <= FINISH_SIGMOID; finish++)
        for (enum storage storage = STORE_FP32; storage < STORAGE_COUNT; storage++) {
            check_product(storage, 80, finish);
            if (storage != STORE_BF16)
                check_product(storage, 75, finish);
        }
}

// In the key of one token, for one of two heads.
static void check_attention(enum storage storage, int capability, int head_width)
{
    enum { TOKENS = 20, HEADS = 2 };
    if (!cuda_memory_runs(capability))
        return;
    int width = HEADS * head_width;
    struct test_matrix in = filled("qkv", storage, TOKENS, 3 * width);
    struct matrix map = empty(STORE_FP32, HEADS, TOKENS - 1);
    put_nan(&in.matrix, 7, width + 5);
    struct attention_call call = {.in = in.matrix,
                                  .out = empty(storage, TOKENS, width),
                                  .images = 1,
                                  .tokens = TOKENS,
                                  .heads = HEADS,
                                  .map = map.data,
                                  .compute_capability = capability,
                                  .multiprocessors = 4};
    cuda_attention(NULL, &call);
    expect_nan("attention", &call.out, 0, TOKENS, 0, head_width);
    expect_nan("map", &map, 0, 1, 0, TOKENS - 1);
    release(call.out);
    release(map);
    release_test(in);
}

static void test_attention(void **state)
{
    (void)state;
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++) {
        check_attention(storage, 80, 64);
        check_attention(storage, 80, 24);
    }
    check_attention(STORE_FP16, 75, 64);
}

// Windows of 3 x 3 side by side: one has the value.
static void test_max_pool(void **state)
{
    (void)state;
    enum { SIDE = 6, CHANNELS = 12 };
    for (enum storage storage = STORE_FP32; storage < STORE_UINT8; storage++)
        for (int place = 0; place < SIDE * SIDE; place++) {
            struct test_matrix maps = filled("maps", storage, SIDE * SIDE, CHANNELS);
            struct window_call call = {
                .in = maps.matrix, .out = empty(storage, 4, CHANNELS), .window = {SIDE, SIDE, 3, 3, 0, 2, 2}};
            put_nan(&maps.matrix, place, 5);
            cuda_max_pool(NULL, &call);
            expect_nan("max pool", &call.out, place / SIDE / 3 * 2 + place % SIDE / 3, 1, 5, 1);
            release(call.out);
            release_test(maps);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_max_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
