// simd.h: one small vector type for AVX-512 (16 floats) and AVX2 (8 floats), so that each vectorised
// operation is written once and compiled for both. Read only through *_avx512*.c and *_avx2.c files.
//
// exp2 and GELU are minimax polynomials fitted for this file (weighted least squares, Lawson's iteration,
// 40-digit reference values); errors are stated where they stand and checked in
// tests/kernels/test_vector_ops.c.
#ifndef SKINSIGHT_KERNELS_CPU_SIMD_H
#define SKINSIGHT_KERNELS_CPU_SIMD_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define SIMD_INLINE static inline __attribute__((always_inline))

#ifdef __AVX512F__

enum { SIMD_LANES = 16 };
typedef __m512 simd;

SIMD_INLINE simd simd_load(const float *from)
{
    return _mm512_loadu_ps(from);
}

// count lanes, 1..SIMD_LANES; the others are zero
SIMD_INLINE simd simd_load_part(const float *from, int count)
{
    return _mm512_maskz_loadu_ps((__mmask16)(0xffffu >> (16 - count)), from);
}

// the others are fill
SIMD_INLINE simd simd_load_filled(const float *from, int count, float fill)
{
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)(0xffffu >> (16 - count)), from);
}

SIMD_INLINE void simd_store(float *to, simd value)
{
    _mm512_storeu_ps(to, value);
}

SIMD_INLINE void simd_store_part(float *to, simd value, int count)
{
    _mm512_mask_storeu_ps(to, (__mmask16)(0xffffu >> (16 - count)), value);
}

SIMD_INLINE simd simd_set(float value)
{
    return _mm512_set1_ps(value);
}

SIMD_INLINE simd simd_fma(simd a, simd b, simd c)
{
    return _mm512_fmadd_ps(a, b, c);
}

// b where either is NaN, as in simd_min: a bound comes first, so that a NaN goes past it.
SIMD_INLINE simd simd_max(simd a, simd b)
{
    return _mm512_max_ps(a, b);
}

// NaN where either is.
SIMD_INLINE simd simd_max_nan(simd a, simd b)
{
    return _mm512_mask_mov_ps(_mm512_max_ps(a, b), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
}

SIMD_INLINE simd simd_min(simd a, simd b)
{
    return _mm512_min_ps(a, b);
}

SIMD_INLINE simd simd_abs(simd a)
{
    return _mm512_abs_ps(a);
}

SIMD_INLINE simd simd_round(simd a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// negative lanes of sign take a, the others b
SIMD_INLINE simd simd_choose_negative(simd sign, simd a, simd b)
{
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(sign)), b, a);
}

// value * 2^power, power integral
SIMD_INLINE simd simd_scale(simd value, simd power)
{
    return _mm512_scalef_ps(value, power);
}

// Rounded to nearest even, as 16-bit halves.
SIMD_INLINE __m256i simd_to_bf16(simd value)
{
#ifdef __AVX512BF16__
    return (__m256i)_mm512_cvtneps_pbh(value);
#else
    __m512i bits = _mm512_castps_si512(value);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
#endif
}

SIMD_INLINE void simd_store_bf16(uint16_t *to, simd value)
{
    _mm256_storeu_si256((__m256i *)to, simd_to_bf16(value));
}

SIMD_INLINE simd simd_load_bf16(const uint16_t *from, int count)
{
    __m256i halves = count == SIMD_LANES
                         ? _mm256_loadu_si256((const __m256i *)from)
                         : _mm256_maskz_loadu_epi16((__mmask16)(0xffffu >> (16 - count)), from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

SIMD_INLINE void simd_store_bf16_part(uint16_t *to, simd value, int count)
{
    _mm256_mask_storeu_epi16(to, (__mmask16)(0xffffu >> (16 - count)), simd_to_bf16(value));
}

// Values in [0, 255], rounded to nearest even, as bytes.
SIMD_INLINE void simd_store_u8(void *to, simd value)
{
    _mm_storeu_si128(to, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(value)));
}

// sums - zero * column_sums as floats
SIMD_INLINE simd simd_centre(const int32_t *sums, int32_t zero, const int32_t *column_sums)
{
    __m512i shift = _mm512_mullo_epi32(_mm512_set1_epi32(zero), _mm512_loadu_si512(column_sums));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(sums), shift));
}

SIMD_INLINE float simd_sum(simd a)
{
    return _mm512_reduce_add_ps(a);
}

SIMD_INLINE float simd_largest(simd a)
{
    return _mm512_reduce_max_ps(a);
}

SIMD_INLINE float simd_smallest(simd a)
{
    return _mm512_reduce_min_ps(a);
}

#else // AVX2

enum { SIMD_LANES = 8 };
typedef __m256 simd;

SIMD_INLINE __m256i simd_part_mask(int count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

SIMD_INLINE simd simd_load(const float *from)
{
    return _mm256_loadu_ps(from);
}

SIMD_INLINE simd simd_load_part(const float *from, int count)
{
    return _mm256_maskload_ps(from, simd_part_mask(count));
}

SIMD_INLINE simd simd_load_filled(const float *from, int count, float fill)
{
    __m256 mask = _mm256_castsi256_ps(simd_part_mask(count));
    return _mm256_blendv_ps(_mm256_set1_ps(fill), simd_load_part(from, count), mask);
}

SIMD_INLINE void simd_store(float *to, simd value)
{
    _mm256_storeu_ps(to, value);
}

SIMD_INLINE void simd_store_part(float *to, simd value, int count)
{
    _mm256_maskstore_ps(to, simd_part_mask(count), value);
}

SIMD_INLINE simd simd_set(float value)
{
    return _mm256_set1_ps(value);
}

SIMD_INLINE simd simd_fma(simd a, simd b, simd c)
{
    return _mm256_fmadd_ps(a, b, c);
}

SIMD_INLINE simd simd_max(simd a, simd b)
{
    return _mm256_max_ps(a, b);
}

SIMD_INLINE simd simd_max_nan(simd a, simd b)
{
    return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}

SIMD_INLINE simd simd_min(simd a, simd b)
{
    return _mm256_min_ps(a, b);
}

SIMD_INLINE simd simd_abs(simd a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

SIMD_INLINE simd simd_round(simd a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

SIMD_INLINE simd simd_choose_negative(simd sign, simd a, simd b)
{
    return _mm256_blendv_ps(b, a, sign);
}

SIMD_INLINE simd simd_scale(simd value, simd power)
{
    // Below 2^-126 the result is flushed to zero instead of becoming denormal; NaN stays.
    __m256 live = _mm256_cmp_ps(power, _mm256_set1_ps(-126.0f), _CMP_NLT_UQ);
    __m256i exponent =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(power), _mm256_set1_epi32(127)), 23);
    return _mm256_and_ps(live, _mm256_mul_ps(value, _mm256_castsi256_ps(exponent)));
}

SIMD_INLINE void simd_store_bf16(uint16_t *to, simd value)
{
    __m256i bits = _mm256_castps_si256(value);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    bits = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    _mm_storeu_si128((__m128i *)to,
                     _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1)));
}

SIMD_INLINE simd simd_load_bf16(const uint16_t *from, int count)
{
    uint16_t all[SIMD_LANES] = {0};
    __builtin_memcpy(all, from, (size_t)count * sizeof all[0]);
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)all));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

SIMD_INLINE void simd_store_bf16_part(uint16_t *to, simd value, int count)
{
    uint16_t all[SIMD_LANES];
    simd_store_bf16(all, value);
    __builtin_memcpy(to, all, (size_t)count * sizeof all[0]);
}

SIMD_INLINE __m128i simd_to_u16(simd value)
{
    __m256i wide = _mm256_cvtps_epi32(value);
    return _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
}

SIMD_INLINE void simd_store_u8(void *to, simd value)
{
    __m128i half = simd_to_u16(value);
    _mm_storel_epi64(to, _mm_packus_epi16(half, half));
}

SIMD_INLINE simd simd_centre(const int32_t *sums, int32_t zero, const int32_t *column_sums)
{
    __m256i shift =
        _mm256_mullo_epi32(_mm256_set1_epi32(zero), _mm256_loadu_si256((const __m256i *)column_sums));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)sums), shift));
}

SIMD_INLINE float simd_sum(simd a)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}

SIMD_INLINE float simd_largest(simd a)
{
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_shuffle_ps(half, half, 1)));
}

SIMD_INLINE float simd_smallest(simd a)
{
    return -simd_largest(_mm256_sub_ps(_mm256_setzero_ps(), a));
}

#endif

SIMD_INLINE simd simd_zero(void)
{
    return simd_set(0.0f);
}

// A loop over i: whole vectors with count == SIMD_LANES, then what is left.
#define FOR_VECTORS(i, count, total)                                                                         \
    for (int i = 0, count = (total) < SIMD_LANES ? (total) : SIMD_LANES; i < (total);                        \
         i += SIMD_LANES, count = (total)-i < SIMD_LANES ? (total)-i : SIMD_LANES)

SIMD_INLINE simd load(const float *from, int count)
{
    return count == SIMD_LANES ? simd_load(from) : simd_load_part(from, count);
}

SIMD_INLINE void store(float *to, simd value, int count)
{
    if (count == SIMD_LANES)
        simd_store(to, value);
    else
        simd_store_part(to, value, count);
}

// 2^x, relative error below 2e-7; x in [-126, 127], below it the result goes to zero.
SIMD_INLINE simd simd_exp2(simd x)
{
    simd power = simd_round(x);
    simd f = x - power;
    simd p = simd_set(0x1.5bba14p-10f);
    p = simd_fma(p, f, simd_set(0x1.3cea88p-7f));
    p = simd_fma(p, f, simd_set(0x1.c6b752p-5f));
    p = simd_fma(p, f, simd_set(0x1.ebf9bcp-3f));
    p = simd_fma(p, f, simd_set(0x1.62e42ap-1f));
    p = simd_fma(p, f, simd_set(1.0f));
    return simd_scale(p, power);
}

// x/2 * (1 + erf(x / sqrt 2)), the exact GELU. With a = |x| and e = erfc(a / sqrt 2) it is x/2 * e for
// negative x and x/2 * (2 - e) for the others; e = 2^-P(a), P a polynomial of degree 10 without constant term
// that is exact to 6e-9 in e up to a = 6, beyond which e is held (below 2e-9).
SIMD_INLINE simd simd_gelu(simd x)
{
    simd a = simd_min(simd_abs(x), simd_set(6.0f));
    simd p = simd_set(0x1.f05ba0p-26f);
    p = simd_fma(p, a, simd_set(-0x1.cf3b0ep-21f));
    p = simd_fma(p, a, simd_set(0x1.71ca8ep-17f));
    p = simd_fma(p, a, simd_set(-0x1.41c0d6p-14f));
    p = simd_fma(p, a, simd_set(0x1.258360p-12f));
    p = simd_fma(p, a, simd_set(0x1.a46aa0p-20f));
    p = simd_fma(p, a, simd_set(-0x1.c799fcp-8f));
    p = simd_fma(p, a, simd_set(0x1.ada4f2p-5f));
    p = simd_fma(p, a, simd_set(0x1.d63d5ap-2f));
    p = simd_fma(p, a, simd_set(0x1.26aec8p+0f));
    simd e = simd_exp2(-(p * a));
    return simd_set(0.5f) * x * simd_choose_negative(x, e, simd_set(2.0f) - e);
}

// 2^x like simd_exp2, relative error below 3e-6.
SIMD_INLINE simd simd_exp2_narrow(simd x)
{
    simd power = simd_round(x), f = x - power;
    simd p = simd_set(9.58285294e-3f);
    p = simd_fma(p, f, simd_set(5.59064262e-2f));
    p = simd_fma(p, f, simd_set(2.40240991e-1f));
    p = simd_fma(p, f, simd_set(6.93124175e-1f));
    return simd_scale(simd_fma(p, f, simd_set(1.0f)), power);
}

// simd_gelu for a result that is rounded to bf16 or to a byte of a row's range: within 6e-6 of |x|, with a
// polynomial of degree 5 up to a = 5 and simd_exp2_narrow.
SIMD_INLINE simd simd_gelu_narrow(simd x)
{
    simd a = simd_min(simd_abs(x), simd_set(5.0f));
    simd p = simd_set(0x1.afa8f6p-12f);
    p = simd_fma(p, a, simd_set(-0x1.b987bcp-8f));
    p = simd_fma(p, a, simd_set(0x1.a37000p-5f));
    p = simd_fma(p, a, simd_set(0x1.d768aep-2f));
    p = simd_fma(p, a, simd_set(0x1.269ae2p+0f));
    simd e = simd_exp2_narrow(-(p * a));
    return simd_set(0.5f) * x * simd_choose_negative(x, e, simd_set(2.0f) - e);
}

#endif
