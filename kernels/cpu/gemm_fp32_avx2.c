// gemm_fp32_avx2.c: the fp32 matrix product with AVX2: tiles of 6 x 16.
#include <immintrin.h>

#include "kernels/cpu/gemm.h"

#define GEMM_ROWS    6
#define GEMM_GROUP   1
#define GEMM_ELEMENT float
typedef __m256 gemm_sum;
typedef __m256 gemm_vector;
#define gemm_zero()           _mm256_setzero_ps()
#define gemm_broadcast(from)  _mm256_set1_ps(*(const float *)(from))
#define gemm_load(from)       _mm256_loadu_ps((const float *)(from))
#define gemm_step(sum, a, w)  _mm256_fmadd_ps(a, w, sum)
#define gemm_save(to, values) _mm256_storeu_ps((float *)(to), values)
#include "kernels/cpu/gemm_core.h"

const struct gemm_kernel gemm_fp32_avx2 = {
    .precision = PRECISION_FP32,
    .tile_rows = GEMM_ROWS,
    .panel_columns = 16,
    .group = GEMM_GROUP,
    .element_size = sizeof(GEMM_ELEMENT),
    .cores = {GEMM_CORES},
    .multiply_adds = gemm_multiply_adds,
};
