// gemm_int8_avx2.c: the int8 matrix product for processors without products of bytes: tiles of 6 x 16, two
// values of k a step. A lies in 16-bit words, W is widened as it is read, vpmaddwd makes two products and
// their sum of each pair of words: nothing saturates, so the sums are those of gemm_int8_avx512vnni.c.
#include <immintrin.h>

#include "kernels/cpu/gemm.h"

#define GEMM_ROWS    6
#define GEMM_GROUP   2
#define GEMM_ELEMENT uint16_t
#define GEMM_WEIGHTS 16
typedef __m256i gemm_sum;
typedef __m256i gemm_vector;

static inline __attribute__((always_inline)) __m256i gemm_broadcast(const void *from)
{
    int32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return _mm256_set1_epi32(word);
}

// By hand: the compiler keeps the sums on the stack around the intrinsics.
static inline __attribute__((always_inline)) __m256i gemm_step(__m256i sum, __m256i a, __m256i w)
{
    __m256i products;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=x"(products) : "x"(a), "x"(w));
    return sum;
}

#define gemm_zero()           _mm256_setzero_si256()
#define gemm_load(from)       _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(from)))
#define gemm_save(to, values) _mm256_storeu_si256((__m256i *)(to), values)
#include "kernels/cpu/gemm_core.h"

const struct gemm_kernel gemm_int8_avx2 = {
    .precision = PRECISION_INT8,
    .tile_rows = GEMM_ROWS,
    .panel_columns = 16,
    .group = GEMM_GROUP,
    .element_size = sizeof(int8_t),
    .value_size = sizeof(GEMM_ELEMENT),
    .cores = {GEMM_CORES},
    .multiply_adds = gemm_multiply_adds,
};
