// vector_ops_simd.h: the vectorised row operations, compiled once for each instruction set that simd.h knows.
// The including file names the table: VECTOR_OPS_TABLE, VECTOR_OPS_NAME.
#include <math.h>
#include <string.h>

#include "kernels/cpu/simd.h"
#include "kernels/cpu/vector_ops.h"

SIMD_INLINE void store_bf16(uint16_t *to, simd value, int count)
{
    if (count == SIMD_LANES)
        simd_store_bf16(to, value);
    else
        simd_store_bf16_part(to, value, count);
}

SIMD_INLINE void store_bytes(uint8_t *to, simd value, int count)
{
    uint8_t all[SIMD_LANES];
    simd_store_u8(count == SIMD_LANES ? to : all, value);
    if (count < SIMD_LANES)
        memcpy(to, all, (size_t)count);
}

// One vector of columns down the rows of a tile. The flags are constants in every caller, so that each
// combination is a loop without branches. Panels are padded, so sums, bias and scales are read whole; only C
// and the residual end early.
SIMD_INLINE void finish_columns(const void *tile, const struct epilogue *e, int column, int count, bool int8,
                                bool with_gelu, bool with_residual, bool bf16)
{
    const char *sums = (const char *)tile + (size_t)column * 4;
    const char *scales = (const char *)e->row_scales, *residual = (const char *)(e->residual + column);
    char *to = (char *)e->c + (size_t)column * (bf16 ? 2 : 4);
    simd bias = simd_load(e->bias + column);
    simd column_scale = int8 ? simd_load(e->column_scale + column) : simd_zero();
    for (int row = 0; row < e->rows; row++) {
        simd value;
        if (int8) {
            const struct row_scale *scale = (const struct row_scale *)scales;
            value = simd_centre((const int32_t *)sums, scale->zero, e->column_sums + column);
            value = simd_fma(value, simd_set(scale->scale) * column_scale, bias);
            scales += e->row_scale_stride;
        } else {
            value = simd_load((const float *)sums) + bias;
        }
        if (with_gelu)
            value = int8 || bf16 ? simd_gelu_narrow(value) : simd_gelu(value);
        if (with_residual) {
            value += load((const float *)residual, count);
            residual += e->residual_stride;
        }
        if (bf16)
            store_bf16((uint16_t *)to, value, count);
        else
            store((float *)to, value, count);
        sums += (size_t)e->tile_stride * 4;
        to += e->c_stride;
    }
}

SIMD_INLINE void finish_tile(const void *tile, const struct epilogue *e, bool int8, bool with_gelu,
                             bool with_residual, bool bf16)
{
    int column = 0;
    for (; column + SIMD_LANES <= e->columns; column += SIMD_LANES)
        finish_columns(tile, e, column, SIMD_LANES, int8, with_gelu, with_residual, bf16);
    if (column < e->columns)
        finish_columns(tile, e, column, e->columns - column, int8, with_gelu, with_residual, bf16);
}

SIMD_INLINE void finish_typed(const void *tile, const struct epilogue *e, bool int8, bool bf16)
{
    if (e->gelu && e->residual)
        finish_tile(tile, e, int8, true, true, bf16);
    else if (e->gelu)
        finish_tile(tile, e, int8, true, false, bf16);
    else if (e->residual)
        finish_tile(tile, e, int8, false, true, bf16);
    else
        finish_tile(tile, e, int8, false, false, bf16);
}

static void epilogue(const void *tile, const struct epilogue *e)
{
    bool bf16 = e->output == GEMM_OUTPUT_BF16;
    if (e->column_scale && bf16)
        finish_typed(tile, e, true, true);
    else if (e->column_scale)
        finish_typed(tile, e, true, false);
    else if (bf16)
        finish_typed(tile, e, false, true);
    else
        finish_typed(tile, e, false, false);
}

struct norm {
    simd mean;
    simd inverse; // 1 / sqrt(variance + epsilon)
};

// Two passes: the mean first, then the squares about it, so that a large mean costs no digits. Two
// independent sums hide some of the latency of additions.
SIMD_INLINE struct norm measure(const float *in, float epsilon, int count)
{
    simd sum = simd_zero(), sum2 = simd_zero(), squares = simd_zero(), squares2 = simd_zero();
    int full = count / (2 * SIMD_LANES) * (2 * SIMD_LANES);
    for (int i = 0; i < full; i += 2 * SIMD_LANES) {
        sum += simd_load(in + i);
        sum2 += simd_load(in + i + SIMD_LANES);
    }
    FOR_VECTORS(i, n, count - full)
    sum += load(in + full + i, n);
    float mean = simd_sum(sum + sum2) / (float)count;
    for (int i = 0; i < full; i += 2 * SIMD_LANES) {
        simd difference = simd_load(in + i) - simd_set(mean);
        simd difference2 = simd_load(in + i + SIMD_LANES) - simd_set(mean);
        squares = simd_fma(difference, difference, squares);
        squares2 = simd_fma(difference2, difference2, squares2);
    }
    FOR_VECTORS(i, n, count - full)
    {
        simd difference = simd_load_filled(in + full + i, n, mean) - simd_set(mean);
        squares = simd_fma(difference, difference, squares);
    }
    float variance = simd_sum(squares + squares2) / (float)count;
    return (struct norm){simd_set(mean), simd_set(1.0f / sqrtf(variance + epsilon))};
}

SIMD_INLINE simd normalise(struct norm norm, const struct row_block *block, const float *in, int i, int count)
{
    simd value = (load(in + i, count) - norm.mean) * norm.inverse;
    return simd_fma(value, load(block->weight + i, count), load(block->bias + i, count));
}

SIMD_INLINE const void *row_in(const struct row_block *block, int row)
{
    return (const char *)block->in + (size_t)row * block->in_stride;
}

SIMD_INLINE void *row_out(const struct row_block *block, int row)
{
    return (char *)block->out + (size_t)row * block->out_stride;
}

SIMD_INLINE void measure_rows(const struct row_block *block, struct norm norms[VECTOR_OPS_ROWS])
{
    for (int row = 0; row < block->rows; row++)
        norms[row] = measure(row_in(block, row), block->epsilon, block->count);
}

static void layernorm(const struct row_block *block)
{
    struct norm norms[VECTOR_OPS_ROWS];
    measure_rows(block, norms);
    for (int row = 0; row < block->rows; row++) {
        const float *in = row_in(block, row);
        float *out = row_out(block, row);
        FOR_VECTORS(i, n, block->count)
        store(out + i, normalise(norms[row], block, in, i, n), n);
    }
}

static void layernorm_bf16(const struct row_block *block)
{
    struct norm norms[VECTOR_OPS_ROWS];
    measure_rows(block, norms);
    for (int row = 0; row < block->rows; row++) {
        const float *in = row_in(block, row);
        uint16_t *out = row_out(block, row);
        FOR_VECTORS(i, n, block->count)
        store_bf16(out + i, normalise(norms[row], block, in, i, n), n);
    }
}

// The byte range 0..255 over [least, greatest]; zero is hit exactly. Bytes hold no NaN, so the scale does:
// poison is NaN in a lane where a value was not finite, else 0.
SIMD_INLINE struct row_scale row_scale_of(simd least, simd greatest, simd poison)
{
    float low = simd_smallest(least), high = simd_largest(greatest);
    float scale = (high - low) / 255.0f + simd_sum(poison);
    if (isnan(scale))
        return (struct row_scale){scale, 0};
    if (scale == 0.0f)
        scale = 1.0f;
    return (struct row_scale){scale, (int32_t)lrintf(-low / scale)};
}

SIMD_INLINE simd to_byte(simd value, simd inverse, simd zero)
{
    return simd_min(simd_max(simd_fma(value, inverse, zero), simd_zero()), simd_set(255.0f));
}

// Lanes that don't exist read as zero, which the range holds anyway.
static void layernorm_u8(const struct row_block *block)
{
    struct norm norms[VECTOR_OPS_ROWS];
    measure_rows(block, norms);
    for (int row = 0; row < block->rows; row++) {
        const float *in = row_in(block, row);
        simd least = simd_zero(), greatest = simd_zero(), poison = simd_zero();
        FOR_VECTORS(i, n, block->count)
        {
            simd value = normalise(norms[row], block, in, i, n);
            least = simd_min(least, value);
            greatest = simd_max(greatest, value);
            poison = simd_fma(value, simd_zero(), poison); // the weight may hold the row's only NaN
        }
        block->scales[row] = row_scale_of(least, greatest, poison);
    }
    for (int row = 0; row < block->rows; row++) {
        const float *in = row_in(block, row);
        uint8_t *out = row_out(block, row);
        simd inverse = simd_set(1.0f / block->scales[row].scale),
             zero = simd_set((float)block->scales[row].zero);
        FOR_VECTORS(i, n, block->count)
        store_bytes(out + i, to_byte(normalise(norms[row], block, in, i, n), inverse, zero), n);
    }
}

// Values i.. of a row of floats or of bf16; lanes that don't exist are zero.
SIMD_INLINE simd load_value(const void *row, bool bf16, int i, int count)
{
    return bf16 ? simd_load_bf16((const uint16_t *)row + i, count) : load((const float *)row + i, count);
}

SIMD_INLINE struct row_scale range_of(const void *in, bool bf16, int count)
{
    simd least = simd_zero(), greatest = simd_zero(), least2 = least, greatest2 = greatest;
    simd poison = simd_zero();
    int i = 0;
    for (; i + 2 * SIMD_LANES <= count; i += 2 * SIMD_LANES) {
        simd value = load_value(in, bf16, i, SIMD_LANES);
        simd value2 = load_value(in, bf16, i + SIMD_LANES, SIMD_LANES);
        least = simd_min(least, value);
        greatest = simd_max(greatest, value);
        least2 = simd_min(least2, value2);
        greatest2 = simd_max(greatest2, value2);
        poison = simd_fma(value, simd_zero(), simd_fma(value2, simd_zero(), poison));
    }
    for (; i < count; i += SIMD_LANES) {
        simd value = load_value(in, bf16, i, count - i < SIMD_LANES ? count - i : SIMD_LANES);
        least = simd_min(least, value);
        greatest = simd_max(greatest, value);
        poison = simd_fma(value, simd_zero(), poison);
    }
    return row_scale_of(simd_min(least, least2), simd_max(greatest, greatest2), poison);
}

// Row by row: a row of many values is still near when it is read again.
SIMD_INLINE void quantise_rows(const struct row_block *block, bool bf16)
{
    for (int row = 0; row < block->rows; row++) {
        const void *in = row_in(block, row);
        uint8_t *out = row_out(block, row);
        struct row_scale scale = range_of(in, bf16, block->count);
        simd inverse = simd_set(1.0f / scale.scale), zero = simd_set((float)scale.zero);
        FOR_VECTORS(i, n, block->count)
        store_bytes(out + i, to_byte(load_value(in, bf16, i, n), inverse, zero), n);
        block->scales[row] = scale;
    }
}

static void quantise(const struct row_block *block)
{
    quantise_rows(block, false);
}

static void quantise_bf16(const struct row_block *block)
{
    quantise_rows(block, true);
}

static void to_bf16(const float *in, int count, uint16_t *out)
{
    FOR_VECTORS(i, n, count)
    store_bf16(out + i, load(in + i, n), n);
}

static void add(const float *a, const float *b, int count, float *out)
{
    FOR_VECTORS(i, n, count)
    store(out + i, load(a + i, n) + load(b + i, n), n);
}

static void gelu(const float *in, int count, float *out)
{
    FOR_VECTORS(i, n, count)
    store(out + i, simd_gelu(load(in + i, n)), n);
}

static void scale(const float *in, float factor, int count, float *out)
{
    FOR_VECTORS(i, n, count)
    store(out + i, load(in + i, n) * simd_set(factor), n);
}

static void scale_bf16(const float *in, float factor, int count, uint16_t *out)
{
    FOR_VECTORS(i, n, count)
    store_bf16(out + i, load(in + i, n) * simd_set(factor), n);
}

// Lanes that don't exist read as minus infinity: their exponential is 0 and adds nothing.
SIMD_INLINE simd load_score(const float *row, int count)
{
    return count == SIMD_LANES ? simd_load(row) : simd_load_filled(row, count, -INFINITY);
}

// The greatest of all rows first, in a loop of its own: the processor then works on several rows at a time,
// where each alone would wait for one long chain.
SIMD_INLINE void find_greatest(const float *row, int rows, int stride, int count, float *greatest)
{
    for (int r = 0; r < rows; r++) {
        simd most = simd_set(-INFINITY);
        FOR_VECTORS(i, n, count)
        most = simd_max(most, load_score(row + (size_t)r * (size_t)stride + i, n));
        greatest[r] = simd_largest(most);
    }
}

static void exponentials(float *row, int rows, int stride, float factor, int count, float *inverse)
{
    float greatest[VECTOR_OPS_ROWS];
    find_greatest(row, rows, stride, count, greatest);
    for (int r = 0; r < rows; r++, row += stride) {
        simd log2e = simd_set(factor * 1.44269504f), shift = simd_set(-greatest[r]) * log2e,
             sum = simd_zero();
        FOR_VECTORS(i, n, count)
        {
            simd x = simd_fma(load_score(row + i, n), log2e, shift);
            simd value = simd_exp2(simd_max(simd_set(-150.0f), x));
            sum += value;
            store(row + i, value, n);
        }
        inverse[r] = 1.0f / simd_sum(sum);
    }
}

static void exponentials_bf16(const float *row, int rows, int stride, float factor, int count, uint16_t *out,
                              float *inverse)
{
    float greatest[VECTOR_OPS_ROWS];
    find_greatest(row, rows, stride, count, greatest);
    for (int r = 0; r < rows; r++, row += stride, out += stride) {
        simd log2e = simd_set(factor * 1.44269504f), shift = simd_set(-greatest[r]) * log2e,
             sum = simd_zero();
        FOR_VECTORS(i, n, count)
        {
            simd x = simd_fma(load_score(row + i, n), log2e, shift);
            simd value = simd_exp2_narrow(simd_max(simd_set(-150.0f), x));
            sum += value;
            store_bf16(out + i, value, n);
        }
        if (count % 2)
            out[count] = 0;
        inverse[r] = 1.0f / simd_sum(sum);
    }
}

#ifdef __AVX512F__

// 16 x 16 words in registers: four rounds that interleave words, pairs, quarters and halves.
static void transpose_block(const uint32_t *in, size_t in_stride, uint32_t *out, size_t out_stride)
{
    __m512i a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        a[i] = _mm512_loadu_si512(in + (size_t)i * in_stride);
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88);
        b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xdd);
        b[i + 8] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x88);
        b[i + 12] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xdd);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        a[i] = _mm512_shuffle_i32x4(b[i], b[i + 8], 0x88);
        a[i + 8] = _mm512_shuffle_i32x4(b[i], b[i + 8], 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        _mm512_storeu_si512(out + (size_t)i * out_stride, a[i]);
}

#else

static void transpose_block(const uint32_t *in, size_t in_stride, uint32_t *out, size_t out_stride)
{
    __m256 a[8], b[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        a[i] = _mm256_loadu_ps((const float *)in + (size_t)i * in_stride);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        b[i] = _mm256_permute2f128_ps(a[i], a[i + 4], 0x20);
        b[i + 4] = _mm256_permute2f128_ps(a[i], a[i + 4], 0x31);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        _mm256_storeu_ps((float *)out + (size_t)i * out_stride, b[i]);
}

#endif

static void transpose(const uint32_t *in, int in_stride, int rows, int columns, uint32_t *out, int out_stride)
{
    for (int row = 0; row < rows; row += SIMD_LANES) {
        for (int column = 0; column < columns; column += SIMD_LANES) {
            const uint32_t *from = in + (size_t)row * (size_t)in_stride + column;
            uint32_t *to = out + (size_t)column * (size_t)out_stride + row;
            int height = rows - row < SIMD_LANES ? rows - row : SIMD_LANES;
            int width = columns - column < SIMD_LANES ? columns - column : SIMD_LANES;
            if (height == SIMD_LANES && width == SIMD_LANES) {
                transpose_block(from, (size_t)in_stride, to, (size_t)out_stride);
                continue;
            }
            for (int i = 0; i < height; i++)
                for (int j = 0; j < width; j++)
                    to[(size_t)j * (size_t)out_stride + (size_t)i] =
                        from[(size_t)i * (size_t)in_stride + (size_t)j];
        }
    }
}

static void interleave(const uint16_t *even, const uint16_t *odd, int count, uint16_t *out)
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

const struct vector_ops VECTOR_OPS_TABLE = {
    .name = VECTOR_OPS_NAME,
    .epilogue = epilogue,
    .layernorm = layernorm,
    .layernorm_bf16 = layernorm_bf16,
    .layernorm_u8 = layernorm_u8,
    .quantise = quantise,
    .quantise_bf16 = quantise_bf16,
    .to_bf16 = to_bf16,
    .add = add,
    .gelu = gelu,
    .scale = scale,
    .scale_bf16 = scale_bf16,
    .exponentials = exponentials,
    .exponentials_bf16 = exponentials_bf16,
    .transpose = transpose,
    .interleave = interleave,
};
