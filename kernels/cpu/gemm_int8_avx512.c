// gemm_int8_avx512.c: gemm_int8_avx2.c for processors that have AVX-512 and no products of bytes: tiles of 12
// x 32.
#include <immintrin.h>

#include "kernels/cpu/gemm.h"

#define GEMM_ROWS    12
#define GEMM_GROUP   2
#define GEMM_ELEMENT uint16_t
#define GEMM_WEIGHTS 32
typedef __m512i gemm_sum;
typedef __m512i gemm_vector;

static inline __attribute__((always_inline)) __m512i gemm_broadcast(const void *from)
{
    int32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return _mm512_set1_epi32(word);
}

static inline __attribute__((always_inline)) __m512i gemm_step(__m512i sum, __m512i a, __m512i w)
{
    __m512i products;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+v"(sum), "=v"(products) : "v"(a), "v"(w));
    return sum;
}

#define gemm_zero()           _mm512_setzero_si512()
#define gemm_load(from)       _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(from)))
#define gemm_save(to, values) _mm512_storeu_si512(to, values)
#include "kernels/cpu/gemm_core.h"

const struct gemm_kernel gemm_int8_avx512 = {
    .precision = PRECISION_INT8,
    .tile_rows = GEMM_ROWS,
    .panel_columns = 32,
    .group = GEMM_GROUP,
    .element_size = sizeof(int8_t),
    .value_size = sizeof(GEMM_ELEMENT),
    .cores = {GEMM_CORES},
    .multiply_adds = gemm_multiply_adds,
};
