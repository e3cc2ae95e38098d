// gemm_int8_avx512vnni.c: the int8 matrix product with vpdpbusd: tiles of 12 x 32, four values of k a
// step, A unsigned, W signed, summed exactly in int32.
#include <immintrin.h>

#include "kernels/cpu/gemm.h"

#define GEMM_ROWS    12
#define GEMM_GROUP   4
#define GEMM_ELEMENT uint8_t
typedef __m512i gemm_sum;
typedef __m512i gemm_vector;

static inline __attribute__((always_inline)) __m512i gemm_broadcast(const void *from)
{
    int32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return _mm512_set1_epi32(word);
}

// By hand: the compiler copies every sum through the stack around the intrinsic _mm512_dpbusd_epi32.
static inline __attribute__((always_inline)) __m512i gemm_step(__m512i sum, __m512i a, __m512i w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
    return sum;
}

#define gemm_zero()           _mm512_setzero_si512()
#define gemm_load(from)       _mm512_loadu_si512(from)
#define gemm_save(to, values) _mm512_storeu_si512(to, values)
#include "kernels/cpu/gemm_core.h"

const struct gemm_kernel gemm_int8_avx512vnni = {
    .precision = PRECISION_INT8,
    .tile_rows = GEMM_ROWS,
    .panel_columns = 32,
    .group = GEMM_GROUP,
    .element_size = sizeof(GEMM_ELEMENT),
    .cores = {GEMM_CORES},
    .multiply_adds = gemm_multiply_adds,
};
