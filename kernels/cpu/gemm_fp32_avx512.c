// gemm_fp32_avx512.c: the fp32 matrix product with AVX-512: tiles of 12 x 32.
#include <immintrin.h>

#include "kernels/cpu/gemm.h"

#define GEMM_ROWS    12
#define GEMM_GROUP   1
#define GEMM_ELEMENT float
typedef __m512 gemm_sum;
typedef __m512 gemm_vector;
#define gemm_zero()           _mm512_setzero_ps()
#define gemm_broadcast(from)  _mm512_set1_ps(*(const float *)(from))
#define gemm_load(from)       _mm512_loadu_ps(from)
#define gemm_step(sum, a, w)  _mm512_fmadd_ps(a, w, sum)
#define gemm_save(to, values) _mm512_storeu_ps(to, values)
#include "kernels/cpu/gemm_core.h"

const struct gemm_kernel gemm_fp32_avx512 = {
    .precision = PRECISION_FP32,
    .tile_rows = GEMM_ROWS,
    .panel_columns = 32,
    .group = GEMM_GROUP,
    .element_size = sizeof(GEMM_ELEMENT),
    .cores = {GEMM_CORES},
    .multiply_adds = gemm_multiply_adds,
};
