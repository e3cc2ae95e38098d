// gemm_bf16_avx512bf16.c: the bf16 matrix product with vdpbf16ps: tiles of 12 x 32, two values of k a step,
// summed in float. The instruction flushes denormals and adds the two products before it adds them to the
// sum.
#include <immintrin.h>

#include "kernels/cpu/gemm.h"

#define GEMM_ROWS    12
#define GEMM_GROUP   2
#define GEMM_ELEMENT uint16_t
typedef __m512 gemm_sum;
typedef __m512i gemm_vector;

static inline __attribute__((always_inline)) __m512i gemm_broadcast(const void *from)
{
    int32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return _mm512_set1_epi32(word);
}

#define gemm_zero()           _mm512_setzero_ps()
#define gemm_load(from)       _mm512_loadu_si512(from)
#define gemm_step(sum, a, w)  _mm512_dpbf16_ps(sum, (__m512bh)(a), (__m512bh)(w))
#define gemm_save(to, values) _mm512_storeu_ps(to, values)
#include "kernels/cpu/gemm_core.h"

const struct gemm_kernel gemm_bf16_avx512bf16 = {
    .precision = PRECISION_BF16,
    .tile_rows = GEMM_ROWS,
    .panel_columns = 32,
    .group = GEMM_GROUP,
    .element_size = sizeof(GEMM_ELEMENT),
    .cores = {GEMM_CORES},
    .multiply_adds = gemm_multiply_adds,
};
