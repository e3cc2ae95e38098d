// train_ops_simd.h: train_ops.h on simd.h's vectors. The including file, *_avx2.c or *_avx512*.c, defines
// TRAIN_OPS_TABLE.
#include <math.h>
#include <string.h>

#include "kernels/cpu/simd.h"
#include "kernels/cpu/train_ops.h"

#ifdef __AVX512F__

typedef __m512i words;
#define words_set(value)       _mm512_set1_epi32((int)(value))
#define words_xor(a, b)        _mm512_xor_si512(a, b)
#define words_add(a, b)        _mm512_add_epi32(a, b)
#define words_product(a, b)    _mm512_mul_epu32(a, b) // of the even ones, 64 bits
#define words_right(a)         _mm512_srli_epi64(a, 32)
#define words_left(a)          _mm512_slli_epi64(a, 32)
#define words_merge(even, odd) _mm512_mask_blend_epi32(0xaaaa, even, odd)
#define words_low32(a, b)      _mm512_unpacklo_epi32(a, b)
#define words_high32(a, b)     _mm512_unpackhi_epi32(a, b)
#define words_low64(a, b)      _mm512_unpacklo_epi64(a, b)
#define words_high64(a, b)     _mm512_unpackhi_epi64(a, b)
#define words_store(to, a)     _mm512_storeu_si512(to, a)
// Group of each lane, so that words_low64 and the others give groups one after the other.
#define words_groups() _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)

SIMD_INLINE simd keep_above(const uint16_t *numbers, uint32_t threshold, simd factor)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)numbers));
    return _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(wide, _mm512_set1_epi32((int)threshold)), factor);
}

#else

typedef __m256i words;
#define words_set(value)       _mm256_set1_epi32((int)(value))
#define words_xor(a, b)        _mm256_xor_si256(a, b)
#define words_add(a, b)        _mm256_add_epi32(a, b)
#define words_product(a, b)    _mm256_mul_epu32(a, b)
#define words_right(a)         _mm256_srli_epi64(a, 32)
#define words_left(a)          _mm256_slli_epi64(a, 32)
#define words_merge(even, odd) _mm256_blend_epi32(even, odd, 0xaa)
#define words_low32(a, b)      _mm256_unpacklo_epi32(a, b)
#define words_high32(a, b)     _mm256_unpackhi_epi32(a, b)
#define words_low64(a, b)      _mm256_unpacklo_epi64(a, b)
#define words_high64(a, b)     _mm256_unpackhi_epi64(a, b)
#define words_store(to, a)     _mm256_storeu_si256((__m256i *)(to), a)
#define words_groups()         _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7)

SIMD_INLINE simd keep_above(const uint16_t *numbers, uint32_t threshold, simd factor)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)numbers));
    __m256i kept = _mm256_cmpgt_epi32(wide, _mm256_set1_epi32((int)threshold - 1));
    return _mm256_and_ps(_mm256_castsi256_ps(kept), factor);
}

#endif

enum { DRAWN = DROPOUT_GROUP * SIMD_LANES }; // numbers of one draw

SIMD_INLINE words multiply(words a, words b, words *high)
{
    words even = words_product(a, b), odd = words_product(words_right(a), b);
    *high = words_merge(words_right(even), odd);
    return words_merge(even, words_left(odd));
}

// Philox4x32-10 of SIMD_LANES groups from `group` on.
SIMD_INLINE void draw(const struct dropout *dropout, uint64_t counter, uint32_t group,
                      uint16_t numbers[DRAWN])
{
    words x0 = words_add(words_set(group), words_groups()), x1 = words_set(dropout->operation);
    words x2 = words_set((uint32_t)counter), x3 = words_set((uint32_t)(counter >> 32));
    uint32_t key0 = (uint32_t)dropout->seed, key1 = (uint32_t)(dropout->seed >> 32);
    for (int round = 0; round < 10; round++) {
        words high0, high1, low0 = multiply(x0, words_set(0xd2511f53u), &high0);
        words low1 = multiply(x2, words_set(0xcd9e8d57u), &high1);
        x0 = words_xor(words_xor(high1, x1), words_set(key0));
        x2 = words_xor(words_xor(high0, x3), words_set(key1));
        x1 = low1;
        x3 = low0;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    words a = words_low32(x0, x1), b = words_low32(x2, x3), c = words_high32(x0, x1),
          d = words_high32(x2, x3);
    words_store(numbers, words_low64(a, b));
    words_store(numbers + DRAWN / 4, words_high64(a, b));
    words_store(numbers + DRAWN / 2, words_low64(c, d));
    words_store(numbers + DRAWN / 4 * 3, words_high64(c, d));
}

static void dropout_row(const struct dropout *dropout, uint64_t counter, uint32_t first, int count,
                        float *factors)
{
    uint16_t numbers[DRAWN];
    float last[DRAWN];
    simd factor = simd_set(dropout->factor);
    for (int at = 0; at < count; at += DRAWN) {
        bool whole = count - at >= DRAWN;
        float *to = whole ? factors + at : last;
        draw(dropout, counter, (first + (uint32_t)at) / DROPOUT_GROUP, numbers);
        for (int i = 0; i < DRAWN; i += SIMD_LANES)
            simd_store(to + i, keep_above(numbers + i, dropout->threshold, factor));
        if (!whole)
            memcpy(factors + at, last, (size_t)(count - at) * sizeof *last);
    }
}

SIMD_INLINE void pair(const uint16_t *even, const uint16_t *odd, int count, uint16_t *out)
{
    int i = 0;
#ifdef __AVX512F__
    for (; i + 16 <= count; i += 16) {
        __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(even + i)));
        __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(odd + i)));
        _mm512_storeu_si512(out + 2 * i, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
#endif
    for (; i < count; i++) {
        out[2 * i] = even[i];
        out[2 * i + 1] = odd[i];
    }
}

static void pair_rows(const void *in, size_t stride, int rows, int count, void *out, size_t out_stride)
{
    static const uint16_t zeros[64];
    const char *from = in;
    char *to = out;
    for (int row = 0; row < rows; row += 2, from += 2 * stride, to += out_stride) {
        const uint16_t *odd = row + 1 < rows ? (const uint16_t *)(from + stride) : zeros;
        if (count == 32) // as in most panels
            pair((const uint16_t *)from, odd, 32, (uint16_t *)to);
        else
            pair((const uint16_t *)from, odd, count, (uint16_t *)to);
    }
}

SIMD_INLINE simd load_operand(const void *from, int i, int count, bool half)
{
    return half ? simd_load_bf16((const uint16_t *)from + i, count) : load((const float *)from + i, count);
}

SIMD_INLINE void store_operand(void *to, int i, simd value, int count, bool half)
{
    if (!half)
        store((float *)to + i, value, count);
    else if (count == SIMD_LANES)
        simd_store_bf16((uint16_t *)to + i, value);
    else
        simd_store_bf16_part((uint16_t *)to + i, value, count);
}

SIMD_INLINE simd factors_at(const float *factors, int i, int count)
{
    return factors ? load(factors + i, count) : simd_set(1.0f);
}

// The mean first, then the squares about it, so that a large mean costs no digits.
SIMD_INLINE void norm_typed(const struct norm_row *row, bool half)
{
    simd total = simd_zero(), squares = simd_zero();
    FOR_VECTORS(i, count, row->count)
    {
        simd value = row->x ? load(row->x + i, count) : simd_zero();
        if (row->y)
            value = simd_fma(load(row->y + i, count), factors_at(row->factors, i, count), value);
        store(row->sum + i, value, count);
        total += value;
    }
    if (!row->out)
        return;
    float mean_value = simd_sum(total) / (float)row->count;
    simd mean = simd_set(mean_value);
    FOR_VECTORS(i, count, row->count)
    {
        simd away = (count == SIMD_LANES ? simd_load(row->sum + i)
                                         : simd_load_filled(row->sum + i, count, mean_value)) -
                    mean; // 0 behind the row
        squares = simd_fma(away, away, squares);
    }
    float inverse = 1.0f / sqrtf(simd_sum(squares) / (float)row->count + row->epsilon);
    row->stats[0] = mean_value;
    row->stats[1] = inverse;
    FOR_VECTORS(i, count, row->count)
    {
        simd z = (load(row->sum + i, count) - mean) * simd_set(inverse);
        store_operand(row->out, i, simd_fma(z, load(row->weight + i, count), load(row->bias + i, count)),
                      count, half);
    }
}

SIMD_INLINE void norm_gradient_typed(const struct norm_row_gradient *row, bool half)
{
    simd mean = simd_set(row->stats[0]), inverse = simd_set(row->stats[1]);
    simd g_sum = simd_zero(), gz_sum = simd_zero();
    FOR_VECTORS(i, count, row->count)
    {
        simd z = (load(row->x + i, count) - mean) * inverse, dy = load(row->dy + i, count);
        simd g = dy * load(row->weight + i, count); // 0 behind the row
        g_sum += g;
        gz_sum = simd_fma(g, z, gz_sum);
        store(row->weight_sums + i, simd_fma(dy, z, load(row->weight_sums + i, count)), count);
        store(row->bias_sums + i, load(row->bias_sums + i, count) + dy, count);
    }
    simd g_mean = simd_set(simd_sum(g_sum) / (float)row->count);
    simd gz_mean = simd_set(simd_sum(gz_sum) / (float)row->count);
    FOR_VECTORS(i, count, row->count)
    {
        simd z = (load(row->x + i, count) - mean) * inverse;
        simd g = load(row->dy + i, count) * load(row->weight + i, count);
        simd dx = load(row->dx + i, count) + (g - g_mean - z * gz_mean) * inverse;
        store(row->dx + i, dx, count);
        if (row->out)
            store_operand(row->out, i, dx * factors_at(row->factors, i, count), count, half);
    }
}

// 1/2 * (1 + erf(x / sqrt 2)) + x * exp(-x^2 / 2) / sqrt(2 pi). The first term as in simd_gelu.
SIMD_INLINE simd gelu_slope(simd x)
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
    simd e = simd_exp2(-(p * a)) * simd_set(0.5f);
    simd far = simd_min(simd_abs(x), simd_set(12.0f)); // exp(-72) x is nothing
    simd density = simd_exp2(far * far * simd_set(-0.72134752f)) * simd_set(0.39894228f);
    return simd_fma(x, density, simd_choose_negative(x, e, simd_set(1.0f) - e));
}

SIMD_INLINE void gelu_typed(const struct gelu_row *row, bool half)
{
    FOR_VECTORS(i, count, row->count)
    {
        simd value = simd_gelu(load_operand(row->in, i, count, half));
        store_operand(row->out, i, value * factors_at(row->factors, i, count), count, half);
    }
}

SIMD_INLINE void gelu_gradient_typed(const struct gelu_row *row, bool half)
{
    FOR_VECTORS(i, count, row->count)
    {
        simd slope = gelu_slope(load_operand(row->in, i, count, half));
        simd dy = load_operand(row->dy, i, count, half) * factors_at(row->factors, i, count);
        store_operand(row->out, i, dy * slope, count, half);
    }
}

SIMD_INLINE void softmax_gradient_typed(const struct softmax_row *row, bool half)
{
    simd inverse = simd_set(row->inverse), total = simd_zero();
    FOR_VECTORS(i, count, row->count)
    total = simd_fma(load(row->weights + i, count) * inverse, load(row->dp + i, count), total);
    simd mean = simd_set(simd_sum(total)), factor = simd_set(row->factor);
    FOR_VECTORS(i, count, row->count)
    {
        simd p = load(row->weights + i, count) * inverse;
        store_operand(row->p, i, p, count, half);
        store_operand(row->ds, i, p * (load(row->dp + i, count) - mean) * factor, count, half);
    }
}

SIMD_INLINE void scale_typed(const float *in, const float *factors, int total, void *out, bool half)
{
    FOR_VECTORS(i, count, total)
    store_operand(out, i, load(in + i, count) * factors_at(factors, i, count), count, half);
}

SIMD_INLINE float sum_typed(const void *in, int total, bool half)
{
    simd sum = simd_zero();
    FOR_VECTORS(i, count, total)
    sum += load_operand(in, i, count, half);
    return simd_sum(sum);
}

static void norm(const struct norm_row *row, bool half)
{
    if (half)
        norm_typed(row, true);
    else
        norm_typed(row, false);
}

static void norm_gradient(const struct norm_row_gradient *row, bool half)
{
    if (half)
        norm_gradient_typed(row, true);
    else
        norm_gradient_typed(row, false);
}

static void gelu(const struct gelu_row *row, bool half)
{
    if (half)
        gelu_typed(row, true);
    else
        gelu_typed(row, false);
}

static void gelu_gradient(const struct gelu_row *row, bool half)
{
    if (half)
        gelu_gradient_typed(row, true);
    else
        gelu_gradient_typed(row, false);
}

static void softmax_gradient(const struct softmax_row *row, bool half)
{
    if (half)
        softmax_gradient_typed(row, true);
    else
        softmax_gradient_typed(row, false);
}

static void scale(const float *in, const float *factors, int count, void *out, bool half)
{
    if (half)
        scale_typed(in, factors, count, out, true);
    else
        scale_typed(in, factors, count, out, false);
}

static float sum(const void *in, int count, bool half)
{
    return half ? sum_typed(in, count, true) : sum_typed(in, count, false);
}

const struct train_ops TRAIN_OPS_TABLE = {
    .dropout = dropout_row,
    .norm = norm,
    .norm_gradient = norm_gradient,
    .gelu = gelu,
    .gelu_gradient = gelu_gradient,
    .softmax_gradient = softmax_gradient,
    .scale = scale,
    .sum = sum,
    .pair_rows = pair_rows,
};
