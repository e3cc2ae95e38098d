// train_ops.h: what training a transformer does beside matrix products, row by row, per instruction set:
// dropout, sums with the LayerNorm behind them, GELU, the softmax's gradient. train_plain has the formulas.
// A result depends on the row alone. "half": operands are bf16, else float. Any thread.
#ifndef SKINSIGHT_KERNELS_CPU_TRAIN_OPS_H
#define SKINSIGHT_KERNELS_CPU_TRAIN_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/dropout.h"

// sum = x + y * factors; out = LayerNorm(sum).
struct norm_row {
    int count;
    const float *x;       // NULL: 0
    const float *y;       // NULL: 0
    const float *factors; // NULL: 1
    float *sum;           // may be x
    const float *weight, *bias;
    float epsilon;
    void *out;    // operand; NULL: no LayerNorm is wanted
    float *stats; // mean and 1 / deviation
};

// dx += the LayerNorm's gradient by its input; out = dx * factors.
struct norm_row_gradient {
    int count;
    const float *x, *stats, *weight;
    const float *dy;
    float *dx;
    float *weight_sums, *bias_sums; // added to
    const float *factors;           // NULL: 1
    void *out;                      // operand; NULL: not wanted
};

// forward: out = gelu(in) * factors. backward: out = dy * factors * gelu'(in). All are operands.
struct gelu_row {
    int count;
    const void *in, *dy;
    const float *factors; // NULL: 1
    void *out;
};

// p = weights * inverse; ds = p * (dp - sum of p * dp) * factor. Both as operands.
struct softmax_row {
    int count;
    const float *weights, *dp;
    float inverse, factor;
    void *p, *ds;
};

struct train_ops {
    // As dropout_factors (dropout.h).
    void (*dropout)(const struct dropout *dropout, uint64_t counter, uint32_t first, int count,
                    float *factors);
    void (*norm)(const struct norm_row *row, bool half);
    void (*norm_gradient)(const struct norm_row_gradient *row, bool half);
    void (*gelu)(const struct gelu_row *row, bool half);
    void (*gelu_gradient)(const struct gelu_row *row, bool half);
    void (*softmax_gradient)(const struct softmax_row *row, bool half);
    // out = in * factors as an operand; factors NULL: 1
    void (*scale)(const float *in, const float *factors, int count, void *out, bool half);
    float (*sum)(const void *in, int count, bool half); // of an operand
    // Of rows of halves, pairs one after the other: out[row / 2][column][row % 2], 0 behind an odd last row.
    // Strides in bytes.
    void (*pair_rows)(const void *in, size_t stride, int rows, int count, void *out, size_t out_stride);
};

extern const struct train_ops train_ops_avx512bf16, train_ops_avx512, train_ops_avx2;

#endif
