// vector_ops.h: what the executor of transformers does beside matrix products, per instruction set:
// the end of a product's tile, LayerNorm, GELU, quantisation, the exponentials of a softmax, rearranging.
// Each function's result for a row depends on that row only. tests/support/vector_ops_plain.c is the
// definition. Any thread.
#ifndef SKINSIGHT_KERNELS_CPU_VECTOR_OPS_H
#define SKINSIGHT_KERNELS_CPU_VECTOR_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gemm_output { GEMM_OUTPUT_FP32, GEMM_OUTPUT_BF16 };

// value = scale * (byte - zero)
struct row_scale {
    float scale;
    int32_t zero;
};

// How one tile of sums is finished. Pointers stand at the tile's first row and column; strides are in bytes.
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

// Some rows at once: their long chains (sums, roots, extremes) then overlap. Strides are in bytes.
struct row_block {
    int rows, count; // 1..VECTOR_OPS_ROWS rows of count values
    const void *in;  // float, or bf16
    size_t in_stride;
    void *out;
    size_t out_stride;
    const float *weight, *bias; // LayerNorm
    float epsilon;
    struct row_scale *scales; // of bytes: one per row, filled in
};

struct vector_ops {
    const char *name;
    // tile: float, or int32 with column_scale
    void (*epilogue)(const void *tile, const struct epilogue *epilogue);

    // out = (in - mean) / sqrt(variance + epsilon) * weight + bias, as float, bf16 or quantised bytes
    void (*layernorm)(const struct row_block *block);
    void (*layernorm_bf16)(const struct row_block *block);
    void (*layernorm_u8)(const struct row_block *block);
    // Bytes from float or bf16: a row's least and greatest value (zero included) are mapped to 0 and 255.
    // Where a value is not finite, the row's scale is NaN.
    void (*quantise)(const struct row_block *block);
    void (*quantise_bf16)(const struct row_block *block);
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

    // out[column][row] = in[row][column] of 32-bit words; strides in words.
    void (*transpose)(const uint32_t *in, int in_stride, int rows, int columns, uint32_t *out,
                      int out_stride);
    // out[2 * i] = even[i], out[2 * i + 1] = odd[i]
    void (*interleave)(const uint16_t *even, const uint16_t *odd, int count, uint16_t *out);
};

extern const struct vector_ops vector_ops_avx512bf16, vector_ops_avx512, vector_ops_avx2;

#endif
