// vector_ops.h: everything that is not a matrix product, per instruction set.
// Rows of different images are independent; each function's result depends on its own row only.
#ifndef SKINSIGHT_KERNELS_CPU_VECTOR_OPS_H
#define SKINSIGHT_KERNELS_CPU_VECTOR_OPS_H

#include <stdint.h>

#include "kernels/cpu/gemm.h"

// What becomes of one tile of sums. Pointers stand at the tile's first row and column; strides are in bytes.
struct epilogue {
    int rows, columns; // columns: 1..panel_columns
    int tile_stride; // of the sums, in values; a row's sums, bias and scales can be read up to panel_columns
    const float *bias;
    bool gelu;
    const float *residual; // NULL: none
    size_t residual_stride;
    enum gemm_output output;
    void *c;
    size_t c_stride;
    // int8 only: value = (sum - zero * column_sums) * (row's scale * column_scale)
    const float *column_scale; // NULL: the tile holds floats
    const int32_t *column_sums;
    const struct row_scale *row_scales;
    size_t row_scale_stride;
};

enum { VECTOR_OPS_ROWS = 16 };

struct vector_ops {
    const char *name;
    // tile: float, or int32 with column_scale
    void (*epilogue)(const void *tile, const struct epilogue *epilogue);

    // out = (in - mean) / sqrt(variance + epsilon) * weight + bias
    void (*layernorm)(const float *in, const float *weight, const float *bias, float epsilon, int count,
                      float *out);
    void (*layernorm_bf16)(const float *in, const float *weight, const float *bias, float epsilon, int count,
                           uint16_t *out);
    struct row_scale (*layernorm_u8)(const float *in, const float *weight, const float *bias, float epsilon,
                                     int count, uint8_t *out);
    // Least and greatest value (zero included) mapped to 0 and 255.
    struct row_scale (*quantise)(const float *in, int count, uint8_t *out);
    void (*to_bf16)(const float *in, int count, uint16_t *out);
    void (*add)(const float *a, const float *b, int count, float *out);
    void (*gelu)(const float *in, int count, float *out);

    void (*scale)(const float *in, float factor, int count, float *out); // out may be in
    void (*scale_bf16)(const float *in, float factor, int count, uint16_t *out);

    // For each of up to VECTOR_OPS_ROWS rows, stride values apart: row[i] = exp(factor * (row[i] - the row's
    // greatest)), factor > 0, and inverse = 1 / their sum, so that a softmax weight is the product of both.
    // bf16: the results go to out, with the same stride and, for an odd count, a zero behind each; row stays.
    void (*exponentials)(float *row, int rows, int stride, float factor, int count, float *inverse);
    void (*exponentials_bf16)(const float *row, int rows, int stride, float factor, int count, uint16_t *out,
                              float *inverse);

    // out[column][row] = in[row][column] of 32-bit words; rows and columns up to any size. in_stride,
    // out_stride in words.
    void (*transpose)(const uint32_t *in, int in_stride, int rows, int columns, uint32_t *out,
                      int out_stride);
    // out[2 * i] = even[i], out[2 * i + 1] = odd[i]
    void (*interleave)(const uint16_t *even, const uint16_t *odd, int count, uint16_t *out);
};

extern const struct vector_ops vector_ops_avx512, vector_ops_avx2, vector_ops_plain;

#endif
