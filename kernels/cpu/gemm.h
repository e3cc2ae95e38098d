// gemm.h: the matrix product of the CPU executors: C[m][n] = epilogue(sum_k A[m][k] * W[n][k] + bias[n]).
//
// The weights W are packed once into panels of panel_columns columns: panel[k / group][column][k % group], so
// that a kernel reads them in one stream; A stays as its producer wrote it. A kernel computes one tile of up
// to tile_rows rows by one panel over the whole of k, in ascending order, with one accumulator per value.
// Nothing else decides the bits of a result: not the number of rows, not how the work is split, not the
// threads.
//
// fp32: group 1. bf16: group 2, accumulated in float. int8: group 4, A unsigned with a scale and a zero point
// per row, W signed with a scale per column, accumulated exactly in int32. Where the processor only has
// products of bytes that are added in 16 bits (`quads`), the scales are such that four of them always fit.
#ifndef SKINSIGHT_KERNELS_CPU_GEMM_H
#define SKINSIGHT_KERNELS_CPU_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/backend.h"
#include "kernels/cpu/team.h"
#include "kernels/cpu/vector_ops.h"

enum { GEMM_MAX_TILE_ROWS = 16, GEMM_MAX_PANEL_COLUMNS = 32 };

// What the next tiles will read, so that it comes from memory while this one is computed: every step of the
// core fetches one line at `at`, which must be mapped memory, into the second-level cache and moves on by
// `step` bytes.
struct gemm_ahead {
    const void *at;
    size_t step;
};

// Sums of one tile: tile[row * tile_stride + column] for rows x panel_columns values, float or int32.
// a: rows of k values, a_stride bytes apart; panel: 64-byte aligned, k rounded up to the group.
typedef void (*gemm_core)(const void *a, size_t a_stride, const void *panel, int k, void *tile,
                          int tile_stride, struct gemm_ahead ahead);

struct gemm_kernel {
    enum precision precision;
    int tile_rows;
    int panel_columns;
    int group;
    int element_size; // bytes of a value of A and of W
    bool quads; // int8: the products of k, k + 1, k + 4 and k + 5 are added in 16 bits; k is rounded up to 8
    gemm_core cores[GEMM_MAX_TILE_ROWS + 1]; // by rows, 1..tile_rows
    double (*multiply_adds)(long rounds);    // keeps the unit busy from registers: counts what it did
};

struct gemm_weights {
    const struct gemm_kernel *kernel;
    int n, k;
    int panels;
    size_t panel_size;   // bytes
    const void *data;    // panels
    const float *bias;   // panels * panel_columns, zero where there is none
    const float *scale;  // int8: per column
    const int32_t *sums; // int8: per column, the sum of its weights
};

// One product. Strides are in bytes; the image strides separate the images of a batch, each with `rows` rows.
struct gemm_call {
    const struct vector_ops *ops; // finish the tiles
    const struct gemm_weights *weights;
    int first_panel, panel_count;
    int images, rows;
    const void *a;
    size_t a_stride, a_image_stride;
    const struct row_scale *row_scales; // int8: one per row of A
    size_t row_scale_stride, row_scale_image_stride;
    void *c;
    size_t c_stride, c_image_stride;
    enum gemm_output output;
    bool gelu;
    const float *residual; // added last; NULL: none; may be c
    size_t residual_stride, residual_image_stride;
};

// Bytes that packing n x k weights takes: panels, bias, scales, each 64-byte aligned.
size_t gemm_packed_size(const struct gemm_kernel *kernel, int n, int k);

// Packs weights (n, k), row-major float, and bias (n values or NULL) into memory of gemm_packed_size bytes,
// which stays the caller's and must outlive the weights. Uses the team.
void gemm_pack(struct gemm_weights *packed, const struct gemm_kernel *kernel, struct team *team,
               const float *weights, const float *bias, int n, int k, void *memory);

void gemm_run(struct team *team, const struct gemm_call *call);

extern const struct gemm_kernel gemm_fp32_avx512, gemm_fp32_avx2, gemm_bf16_avx512bf16, gemm_int8_avx512vnni,
    gemm_int8_avx512, gemm_int8_avx2;

#endif
