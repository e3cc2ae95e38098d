// resize_avx2.c: the sums of resize.h with 256-bit vectors; called only where the CPU has AVX2.
//
// A weight of 23 bits does not fit a 16-bit multiplication, so it is split into high << 12 | low; each half
// is multiplied and added in pairs by vpmaddwd, and the two sums are joined at the end: exact, because a
// row's weights add up to 2^22 within half a unit each, so that even the joined sum stays below 2^31.
#include "kernels/image/resize.h"

#include <immintrin.h>
#include <string.h>

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

// Four weights k0..k3 as k0k1 in each place of the lower half and k2k3 in each of the upper.
static inline __m256i spread_weights(const int16_t *weights)
{
    const __m256i places = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    return _mm256_permutevar8x32_epi32(_mm256_set1_epi64x((long long)load_u64(weights)), places);
}

// Four RGB pixels as words r0r1 g0g1 b0b1 00 in the lower half, r2r3 g2g3 b2b3 00 in the upper.
static inline __m256i spread_pixels(const uint8_t *pixels)
{
    const __m256i places = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1,
                                            9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    __m256i bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)pixels));
    return _mm256_shuffle_epi8(bytes, places);
}

// Sums of one pixel: r g b 0 as 32-bit integers.
static inline __m128i join(__m256i high, __m256i low)
{
    __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high, RESIZE_SPLIT_BITS), low);
    __m128i whole = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    return _mm_srli_epi32(whole, RESIZE_FRACTION_BITS);
}

// Writes r g b 0; the fourth byte is overwritten by the next pixel or lies in the padding.
static inline void store_pixels(uint8_t *const outputs[RESIZE_ROWS], size_t offset,
                                const __m128i sums[RESIZE_ROWS])
{
    __m128i upper = _mm_packus_epi32(sums[0], sums[1]);
    __m128i lower = _mm_packus_epi32(sums[2], sums[3]);
    __m128i bytes = _mm_packus_epi16(upper, lower);
    uint32_t pixels[RESIZE_ROWS] = {
        (uint32_t)_mm_extract_epi32(bytes, 0), (uint32_t)_mm_extract_epi32(bytes, 1),
        (uint32_t)_mm_extract_epi32(bytes, 2), (uint32_t)_mm_extract_epi32(bytes, 3)};
    for (int i = 0; i < RESIZE_ROWS; i++)
        memcpy(outputs[i] + offset, &pixels[i], sizeof pixels[i]);
}

static void avx2_horizontal(const struct resize_axis *axis, const uint8_t *const rows[RESIZE_ROWS],
                            uint8_t *const outputs[RESIZE_ROWS])
{
    const int half = 1 << (RESIZE_FRACTION_BITS - 1);
    const __m256i rounding = _mm256_setr_epi32(half, half, half, 0, 0, 0, 0, 0);
    for (int x = 0; x < axis->count; x++) {
        const int16_t *high_weights = axis->high + (size_t)x * (size_t)axis->taps;
        const int16_t *low_weights = axis->low + (size_t)x * (size_t)axis->taps;
        size_t begin = (size_t)axis->first[x] * 3;
        __m256i high[RESIZE_ROWS], low[RESIZE_ROWS];
        for (int i = 0; i < RESIZE_ROWS; i++) {
            high[i] = _mm256_setzero_si256();
            low[i] = rounding;
        }
        for (int t = 0; t < axis->most; t += 4) {
            __m256i high_weight = spread_weights(high_weights + t);
            __m256i low_weight = spread_weights(low_weights + t);
            for (int i = 0; i < RESIZE_ROWS; i++) {
                __m256i pixels = spread_pixels(rows[i] + begin + (size_t)t * 3);
                high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(pixels, high_weight));
                low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(pixels, low_weight));
            }
        }
        __m128i sums[RESIZE_ROWS];
        for (int i = 0; i < RESIZE_ROWS; i++)
            sums[i] = join(high[i], low[i]);
        store_pixels(outputs, (size_t)x * 3, sums);
    }
}

// Two RGB pixels of two rows as words r0r1 g0g1 b0b1 00, one row in the lower half, the other in the upper.
static inline __m256i spread_pair(const uint8_t *upper, const uint8_t *lower)
{
    const __m256i places = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 8, -1,
                                            11, -1, 9, -1, 12, -1, 10, -1, 13, -1, -1, -1, -1, -1);
    __m128i bytes = _mm_insert_epi64(_mm_loadl_epi64((const __m128i *)upper), (long long)load_u64(lower), 1);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), places);
}

// Output x of two rows: r g b 0 as 32-bit integers of one row, then of the other.
static inline __m256i pair_sums(const struct resize_axis *axis, int x, const uint8_t *upper,
                                const uint8_t *lower)
{
    size_t begin = (size_t)axis->first[x] * 3, at = (size_t)x * (size_t)axis->taps;
    __m256i pixels = spread_pair(upper + begin, lower + begin);
    __m256i high = _mm256_madd_epi16(pixels, _mm256_set1_epi32((int)load_u32(axis->high + at)));
    __m256i low = _mm256_madd_epi16(pixels, _mm256_set1_epi32((int)load_u32(axis->low + at)));
    low = _mm256_add_epi32(low, _mm256_set1_epi32(1 << (RESIZE_FRACTION_BITS - 1)));
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_slli_epi32(high, RESIZE_SPLIT_BITS), low),
                             RESIZE_FRACTION_BITS);
}

// Two outputs of four rows at a time. Each row gets eight bytes, of which the last two are overwritten by the
// next two pixels or lie in the padding, as a second output does behind the last one.
void resize_avx2_pairs(const struct resize_axis *axis, const uint8_t *const rows[RESIZE_ROWS],
                       uint8_t *const outputs[RESIZE_ROWS])
{
    // Packing leaves pixel 0 of one row and of another, then pixel 1 of both.
    const __m256i gather =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 8, 9, 10, -1, -1, 4, 5, 6, 12, 13, 14, -1, -1));
    for (int x = 0; x < axis->count; x += 2) {
        int next = x + 1 < axis->count ? x + 1 : x;
        __m256i here =
            _mm256_packus_epi32(pair_sums(axis, x, rows[0], rows[1]), pair_sums(axis, x, rows[2], rows[3]));
        __m256i there = _mm256_packus_epi32(pair_sums(axis, next, rows[0], rows[1]),
                                            pair_sums(axis, next, rows[2], rows[3]));
        __m256i bytes = _mm256_shuffle_epi8(_mm256_packus_epi16(here, there), gather);
        __m128i even = _mm256_castsi256_si128(bytes), odd = _mm256_extracti128_si256(bytes, 1);
        size_t offset = (size_t)x * 3;
        _mm_storel_epi64((__m128i *)(outputs[0] + offset), even);
        _mm_storel_epi64((__m128i *)(outputs[1] + offset), odd);
        _mm_storel_epi64((__m128i *)(outputs[2] + offset), _mm_unpackhi_epi64(even, even));
        _mm_storel_epi64((__m128i *)(outputs[3] + offset), _mm_unpackhi_epi64(odd, odd));
    }
}

// 32 columns: four vectors of eight sums, in the order that unpacking leaves and packing undoes.
struct columns {
    __m256i high[4];
    __m256i low[4];
};

static inline void add_pair(struct columns *sums, const uint8_t *upper, const uint8_t *lower,
                            __m256i high_weight, __m256i low_weight)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i a = _mm256_loadu_si256((const __m256i *)upper);
    __m256i b = _mm256_loadu_si256((const __m256i *)lower);
    __m256i first = _mm256_unpacklo_epi8(a, b);
    __m256i second = _mm256_unpackhi_epi8(a, b);
    __m256i words[4] = {_mm256_unpacklo_epi8(first, zero), _mm256_unpackhi_epi8(first, zero),
                        _mm256_unpacklo_epi8(second, zero), _mm256_unpackhi_epi8(second, zero)};
    for (int i = 0; i < 4; i++) {
        sums->high[i] = _mm256_add_epi32(sums->high[i], _mm256_madd_epi16(words[i], high_weight));
        sums->low[i] = _mm256_add_epi32(sums->low[i], _mm256_madd_epi16(words[i], low_weight));
    }
}

static inline __m256i columns_to_bytes(const struct columns *sums)
{
    __m256i whole[4];
    for (int i = 0; i < 4; i++) {
        __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(sums->high[i], RESIZE_SPLIT_BITS), sums->low[i]);
        whole[i] = _mm256_srli_epi32(sum, RESIZE_FRACTION_BITS);
    }
    return _mm256_packus_epi16(_mm256_packus_epi32(whole[0], whole[1]),
                               _mm256_packus_epi32(whole[2], whole[3]));
}

static void avx2_vertical(const struct resize_axis *axis, int index, const uint8_t *const *rows,
                          uint8_t *output, size_t size)
{
    const int16_t *high_weights = axis->high + (size_t)index * (size_t)axis->taps;
    const int16_t *low_weights = axis->low + (size_t)index * (size_t)axis->taps;
    for (size_t x = 0; x < size; x += sizeof(__m256i)) {
        struct columns sums;
        for (int i = 0; i < 4; i++) {
            sums.high[i] = _mm256_setzero_si256();
            sums.low[i] = _mm256_set1_epi32(1 << (RESIZE_FRACTION_BITS - 1));
        }
        for (int t = 0; t < axis->used[index]; t += 2)
            add_pair(&sums, rows[t] + x, rows[t + 1] + x, _mm256_set1_epi32((int)load_u32(high_weights + t)),
                     _mm256_set1_epi32((int)load_u32(low_weights + t)));
        _mm256_storeu_si256((__m256i *)(output + x), columns_to_bytes(&sums));
    }
}

const struct resize_kernels resize_avx2 = {"avx2", avx2_horizontal, resize_avx2_pairs, avx2_vertical};
