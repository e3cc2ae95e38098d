// gemm_plain.c: the matrix product's tiles as plain loops, for each precision: the reference for the tests of
// the vectorised kernels. fp32 adds in the same order with the same fused steps, so it gives the same bits;
// int8 is exact; bf16 differs in how a pair of products is rounded.
#include <math.h>
#include <string.h>

#include "tests/support/plain_kernels.h"

enum { PLAIN_ROWS = 4, PLAIN_COLUMNS = 16 };

static float from_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void tile_fp32(int rows, const void *a, size_t a_stride, const void *panel, int k, void *tile,
                      int stride)
{
    for (int row = 0; row < rows; row++) {
        const float *values = (const float *)((const char *)a + (size_t)row * a_stride);
        for (int column = 0; column < PLAIN_COLUMNS; column++) {
            const float *weights = (const float *)panel + column;
            float sum = 0;
            for (int i = 0; i < k; i++)
                sum = fmaf(values[i], weights[i * PLAIN_COLUMNS], sum);
            ((float *)tile)[row * stride + column] = sum;
        }
    }
}

static void tile_bf16(int rows, const void *a, size_t a_stride, const void *panel, int k, void *tile,
                      int stride)
{
    for (int row = 0; row < rows; row++) {
        const uint16_t *values = (const uint16_t *)((const char *)a + (size_t)row * a_stride);
        for (int column = 0; column < PLAIN_COLUMNS; column++) {
            const uint16_t *weights = (const uint16_t *)panel + 2 * column;
            float sum = 0;
            for (int i = 0; i < k; i++)
                sum = fmaf(from_bf16(values[i]), from_bf16(weights[i / 2 * 2 * PLAIN_COLUMNS + i % 2]), sum);
            ((float *)tile)[row * stride + column] = sum;
        }
    }
}

static void tile_int8(int rows, const void *a, size_t a_stride, const void *panel, int k, void *tile,
                      int stride)
{
    for (int row = 0; row < rows; row++) {
        const uint8_t *values = (const uint8_t *)a + (size_t)row * a_stride;
        for (int column = 0; column < PLAIN_COLUMNS; column++) {
            const int8_t *weights = (const int8_t *)panel + 4 * column;
            int32_t sum = 0;
            for (int i = 0; i < k; i++)
                sum += values[i] * weights[i / 4 * 4 * PLAIN_COLUMNS + i % 4];
            ((int32_t *)tile)[row * stride + column] = sum;
        }
    }
}

#define DEFINE_CORE(type, rows)                                                                              \
    static void core_##type##_##rows(const void *a, size_t a_stride, const void *panel, int k, void *tile,   \
                                     int tile_stride, struct gemm_ahead ahead)                               \
    {                                                                                                        \
        (void)ahead;                                                                                         \
        tile_##type(rows, a, a_stride, panel, k, tile, tile_stride);                                         \
    }
#define DEFINE_CORES(type)                                                                                   \
    DEFINE_CORE(type, 1)                                                                                     \
    DEFINE_CORE(type, 2)                                                                                     \
    DEFINE_CORE(type, 3)                                                                                     \
    DEFINE_CORE(type, 4)
#define DEFINE_KERNEL(name, type, upper, values, size, in_quads)                                             \
    const struct gemm_kernel gemm_##name##_plain = {                                                         \
        .precision = PRECISION_##upper,                                                                      \
        .tile_rows = PLAIN_ROWS,                                                                             \
        .panel_columns = PLAIN_COLUMNS,                                                                      \
        .group = values,                                                                                     \
        .element_size = size,                                                                                \
        .quads = in_quads,                                                                                   \
        .cores = {NULL, core_##type##_1, core_##type##_2, core_##type##_3, core_##type##_4},                 \
    };

DEFINE_CORES(fp32)
DEFINE_CORES(bf16)
DEFINE_CORES(int8)
DEFINE_KERNEL(fp32, fp32, FP32, 1, 4, false)
DEFINE_KERNEL(bf16, bf16, BF16, 2, 2, false)
DEFINE_KERNEL(int8, int8, INT8, 4, 1, false)
DEFINE_KERNEL(int8_quads, int8, INT8, 4, 1, true)
