// resize_avx512.c: the sums of resize.h with 512-bit vectors; called only where the CPU has AVX-512 F, BW, VL
// and DQ. The arithmetic is that of resize_avx2.c: weights split into two 16-bit halves, sums joined at the
// end. The horizontal pass holds two rows in one vector, the vertical one 64 columns at once.
#include "kernels/image/resize.h"

#include <immintrin.h>
#include <string.h>

enum { PAIRS = RESIZE_ROWS / 2 };

static inline uint32_t load_u32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t load_u64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

// Four weights k0..k3 as k0k1 in the 128-bit lanes 0 and 2 and k2k3 in the lanes 1 and 3.
static inline __m512i spread_weights(const int16_t *weights)
{
    const __m512i places = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1);
    return _mm512_permutexvar_epi32(places, _mm512_set1_epi64((long long)load_u64(weights)));
}

// Four RGB pixels of two rows as words: r0r1 g0g1 b0b1 00 | r2r3 g2g3 b2b3 00 of one row, then of the other.
static inline __m512i spread_pixels(const uint8_t *upper, const uint8_t *lower)
{
    const __m512i places =
        _mm512_broadcast_i64x4(_mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6,
                                                -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
    __m512i bytes = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)upper));
    bytes = _mm512_mask_broadcast_i32x4(bytes, 0xff00, _mm_loadu_si128((const __m128i *)lower));
    return _mm512_shuffle_epi8(bytes, places);
}

// Sums of one pixel of two rows: r g b 0 of one in the lanes 0 and 1, of the other in the lanes 2 and 3.
static inline __m512i join(__m512i high, __m512i low)
{
    __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(high, RESIZE_SPLIT_BITS), low);
    sum = _mm512_add_epi32(sum, _mm512_shuffle_i64x2(sum, sum, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm512_srli_epi32(sum, RESIZE_FRACTION_BITS);
}

// Writes r g b 0; the fourth byte is overwritten by the next pixel or lies in the padding.
static inline void store_pixels(uint8_t *const outputs[RESIZE_ROWS], size_t offset, const __m512i sums[PAIRS])
{
    __m512i words = _mm512_packus_epi32(sums[0], sums[1]);
    __m512i bytes = _mm512_packus_epi16(words, words);
    __m128i even = _mm512_castsi512_si128(bytes);      // rows 0 and 2
    __m128i odd = _mm512_extracti32x4_epi32(bytes, 2); // rows 1 and 3
    uint64_t rows[2] = {(uint64_t)_mm_cvtsi128_si64(even), (uint64_t)_mm_cvtsi128_si64(odd)};
    for (int i = 0; i < RESIZE_ROWS; i++) {
        uint32_t pixel = (uint32_t)(rows[i % 2] >> (i < 2 ? 0 : 32));
        memcpy(outputs[i] + offset, &pixel, sizeof pixel);
    }
}

static void avx512_horizontal(const struct resize_axis *axis, const uint8_t *const rows[RESIZE_ROWS],
                              uint8_t *const outputs[RESIZE_ROWS])
{
    const int half = 1 << (RESIZE_FRACTION_BITS - 1);
    const __m512i rounding =
        _mm512_setr_epi32(half, half, half, 0, 0, 0, 0, 0, half, half, half, 0, 0, 0, 0, 0);
    for (int x = 0; x < axis->count; x++) {
        const int16_t *high_weights = axis->high + (size_t)x * (size_t)axis->taps;
        const int16_t *low_weights = axis->low + (size_t)x * (size_t)axis->taps;
        size_t begin = (size_t)axis->first[x] * 3;
        __m512i high[PAIRS], low[PAIRS];
        for (int i = 0; i < PAIRS; i++) {
            high[i] = _mm512_setzero_si512();
            low[i] = rounding;
        }
        for (int t = 0; t < axis->most; t += 4) {
            __m512i high_weight = spread_weights(high_weights + t);
            __m512i low_weight = spread_weights(low_weights + t);
            for (int i = 0; i < PAIRS; i++) {
                size_t at = begin + (size_t)t * 3;
                __m512i pixels = spread_pixels(rows[2 * i] + at, rows[2 * i + 1] + at);
                high[i] = _mm512_add_epi32(high[i], _mm512_madd_epi16(pixels, high_weight));
                low[i] = _mm512_add_epi32(low[i], _mm512_madd_epi16(pixels, low_weight));
            }
        }
        __m512i sums[PAIRS];
        for (int i = 0; i < PAIRS; i++)
            sums[i] = join(high[i], low[i]);
        store_pixels(outputs, (size_t)x * 3, sums);
    }
}

// 64 columns: four vectors of sixteen sums, in the order that unpacking leaves and packing undoes.
struct columns {
    __m512i high[4];
    __m512i low[4];
};

static inline void add_pair(struct columns *sums, const uint8_t *upper, const uint8_t *lower,
                            __m512i high_weight, __m512i low_weight)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i a = _mm512_loadu_si512(upper);
    __m512i b = _mm512_loadu_si512(lower);
    __m512i first = _mm512_unpacklo_epi8(a, b);
    __m512i second = _mm512_unpackhi_epi8(a, b);
    __m512i words[4] = {_mm512_unpacklo_epi8(first, zero), _mm512_unpackhi_epi8(first, zero),
                        _mm512_unpacklo_epi8(second, zero), _mm512_unpackhi_epi8(second, zero)};
    for (int i = 0; i < 4; i++) {
        sums->high[i] = _mm512_add_epi32(sums->high[i], _mm512_madd_epi16(words[i], high_weight));
        sums->low[i] = _mm512_add_epi32(sums->low[i], _mm512_madd_epi16(words[i], low_weight));
    }
}

static inline __m512i columns_to_bytes(const struct columns *sums)
{
    __m512i whole[4];
    for (int i = 0; i < 4; i++) {
        __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(sums->high[i], RESIZE_SPLIT_BITS), sums->low[i]);
        whole[i] = _mm512_srli_epi32(sum, RESIZE_FRACTION_BITS);
    }
    return _mm512_packus_epi16(_mm512_packus_epi32(whole[0], whole[1]),
                               _mm512_packus_epi32(whole[2], whole[3]));
}

static void avx512_vertical(const struct resize_axis *axis, int index, const uint8_t *const *rows,
                            uint8_t *output, size_t size)
{
    const int16_t *high_weights = axis->high + (size_t)index * (size_t)axis->taps;
    const int16_t *low_weights = axis->low + (size_t)index * (size_t)axis->taps;
    for (size_t x = 0; x < size; x += sizeof(__m512i)) {
        struct columns sums;
        for (int i = 0; i < 4; i++) {
            sums.high[i] = _mm512_setzero_si512();
            sums.low[i] = _mm512_set1_epi32(1 << (RESIZE_FRACTION_BITS - 1));
        }
        for (int t = 0; t < axis->used[index]; t += 2)
            add_pair(&sums, rows[t] + x, rows[t + 1] + x, _mm512_set1_epi32((int)load_u32(high_weights + t)),
                     _mm512_set1_epi32((int)load_u32(low_weights + t)));
        _mm512_storeu_si512(output + x, columns_to_bytes(&sums));
    }
}

const struct resize_kernels resize_avx512 = {"avx512", avx512_horizontal, resize_avx2_pairs, avx512_vertical};
