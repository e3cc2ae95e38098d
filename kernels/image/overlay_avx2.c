// overlay_avx2.c: a row of the map's picture, four pixels at a time; called only where the CPU has AVX2.
#include "kernels/image/overlay_row.h"

#include <immintrin.h>

enum { PIXELS = 4, REACH = 6 }; // that many pixels are read and written, for the 16 bytes of a vector

static inline __m256i mixtures_of(const struct overlay_mixture *first, const struct overlay_mixture *second)
{
    __m128i lower = _mm_loadu_si128((const __m128i *)first), upper = _mm_loadu_si128((const __m128i *)second);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(lower), upper, 1);
}

// pixels: two of them as r g b 0, in the lower eight bytes.
static inline __m256i mix(__m128i pixels, __m256i mixtures)
{
    __m256i kept = _mm256_shuffle_epi32(mixtures, 0xff);
    __m256i product = _mm256_mullo_epi32(_mm256_cvtepu8_epi32(pixels), kept);
    return _mm256_srli_epi32(_mm256_add_epi32(product, mixtures), OVERLAY_COLOUR_BITS);
}

void overlay_row_avx2(const struct overlay_row *row, const uint8_t *view, uint8_t *out)
{
    // The fourth lane of a pixel is 0 times kept, and kept: at most 1 after the shift, and dropped.
    const __m128i spread = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    // Packing leaves pixels 0 2 1 3.
    const __m128i gather = _mm_setr_epi8(0, 1, 2, 8, 9, 10, 4, 5, 6, 12, 13, 14, -1, -1, -1, -1);
    int32_t shares[OVERLAY_MAX_WIDTH + OVERLAY_LANES];
    enlarge_row(row, shares);
    int x = 0;
    for (; x + REACH <= row->width; x += PIXELS) {
        const struct overlay_mixture *of = row->mixtures;
        __m128i pixels = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(view + 3 * x)), spread);
        __m256i lower = mix(pixels, mixtures_of(&of[shares[x]], &of[shares[x + 1]]));
        __m256i upper =
            mix(_mm_unpackhi_epi64(pixels, pixels), mixtures_of(&of[shares[x + 2]], &of[shares[x + 3]]));
        __m256i words = _mm256_packus_epi32(lower, upper);
        __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((__m128i *)(out + 3 * x), _mm_shuffle_epi8(bytes, gather));
    }
    mix_pixels(row, shares, x, view, out);
}
