// gemm_int8_avx2.c: the int8 matrix product for processors without sums of products of bytes in 32 bits:
// tiles of 4 x 16, eight values of k a step. vpmaddubsw makes two products and their sum in 16 bits, two such
// sums are added there too: the scales of the weights leave room for it (gemm.h, quads), so nothing
// saturates.
#include <immintrin.h>

#include "kernels/cpu/gemm.h"

#define GEMM_ROWS    4
#define GEMM_GROUP   8
#define GEMM_ELEMENT uint8_t
typedef __m256i gemm_sum;
// Four values of k, and the next four: of a row of A, or of the weights of 8 columns.
typedef struct {
    __m256i first, second;
} gemm_vector;

static inline __attribute__((always_inline)) gemm_vector gemm_broadcast(const void *from)
{
    int32_t words[2];
    __builtin_memcpy(words, from, sizeof words);
    return (gemm_vector){_mm256_set1_epi32(words[0]), _mm256_set1_epi32(words[1])};
}

static inline __attribute__((always_inline)) gemm_vector gemm_load(const char *from)
{
    return (gemm_vector){_mm256_loadu_si256((const __m256i *)from),
                         _mm256_loadu_si256((const __m256i *)(from + 2 * sizeof(__m256i)))};
}

static inline __attribute__((always_inline)) gemm_sum gemm_step(gemm_sum sum, gemm_vector a, gemm_vector w)
{
    gemm_sum quads =
        _mm256_add_epi16(_mm256_maddubs_epi16(a.first, w.first), _mm256_maddubs_epi16(a.second, w.second));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(quads, _mm256_set1_epi16(1)));
}

#define gemm_hide(x)          __asm__ volatile("" : "+v"((x).first), "+v"((x).second))
#define gemm_zero()           _mm256_setzero_si256()
#define gemm_save(to, values) _mm256_storeu_si256((__m256i *)(to), values)
#include "kernels/cpu/gemm_core.h"

const struct gemm_kernel gemm_int8_avx2 = {
    .precision = PRECISION_INT8,
    .tile_rows = GEMM_ROWS,
    .panel_columns = 16,
    .group = 4,
    .element_size = sizeof(GEMM_ELEMENT),
    .quads = true,
    .cores = {GEMM_CORES},
    .multiply_adds = gemm_multiply_adds,
};
