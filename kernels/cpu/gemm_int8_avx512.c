// gemm_int8_avx512.c: gemm_int8_avx2.c for processors that have AVX-512 and no VNNI: tiles of 8 x 32.
#include <immintrin.h>

#include "kernels/cpu/gemm.h"

#define GEMM_ROWS    8
#define GEMM_GROUP   8
#define GEMM_ELEMENT uint8_t
typedef __m512i gemm_sum;
// Four values of k, and the next four: of a row of A, or of the weights of 16 columns.
typedef struct {
    __m512i first, second;
} gemm_vector;

static inline __attribute__((always_inline)) gemm_vector gemm_broadcast(const void *from)
{
    int32_t words[2];
    __builtin_memcpy(words, from, sizeof words);
    return (gemm_vector){_mm512_set1_epi32(words[0]), _mm512_set1_epi32(words[1])};
}

static inline __attribute__((always_inline)) gemm_vector gemm_load(const char *from)
{
    return (gemm_vector){_mm512_loadu_si512(from), _mm512_loadu_si512(from + 2 * sizeof(__m512i))};
}

static inline __attribute__((always_inline)) gemm_sum gemm_step(gemm_sum sum, gemm_vector a, gemm_vector w)
{
    gemm_sum quads =
        _mm512_add_epi16(_mm512_maddubs_epi16(a.first, w.first), _mm512_maddubs_epi16(a.second, w.second));
    return _mm512_add_epi32(sum, _mm512_madd_epi16(quads, _mm512_set1_epi16(1)));
}

#define gemm_hide(x)          __asm__ volatile("" : "+v"((x).first), "+v"((x).second))
#define gemm_zero()           _mm512_setzero_si512()
#define gemm_save(to, values) _mm512_storeu_si512(to, values)
#include "kernels/cpu/gemm_core.h"

const struct gemm_kernel gemm_int8_avx512 = {
    .precision = PRECISION_INT8,
    .tile_rows = GEMM_ROWS,
    .panel_columns = 32,
    .group = 4,
    .element_size = sizeof(GEMM_ELEMENT),
    .quads = true,
    .cores = {GEMM_CORES},
    .multiply_adds = gemm_multiply_adds,
};
