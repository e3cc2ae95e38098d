// vector_ops_plain.c: the row operations as plain loops, with double where that is the clearer definition.
// The reference that the vectorised ones are tested against.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "tests/support/plain_kernels.h"

static uint16_t bf16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static float gelu_of(float x)
{
    return (float)(x * 0.5 * erfc(-(double)x * 0.70710678118654752));
}

static float finished(const void *tile, const struct epilogue *e, int row, int column)
{
    int at = row * e->tile_stride + column;
    float value;
    if (e->column_scale) {
        struct row_scale scale =
            *(const struct row_scale *)((const char *)e->row_scales + (size_t)row * e->row_scale_stride);
        int32_t sum = ((const int32_t *)tile)[at] - scale.zero * e->column_sums[column];
        value = fmaf((float)sum, scale.scale * e->column_scale[column], e->bias[column]);
    } else {
        value = ((const float *)tile)[at] + e->bias[column];
    }
    if (e->gelu)
        value = gelu_of(value);
    if (e->residual)
        value += ((const float *)((const char *)e->residual + (size_t)row * e->residual_stride))[column];
    return value;
}

static void epilogue(const void *tile, const struct epilogue *e)
{
    for (int row = 0; row < e->rows; row++) {
        char *to = (char *)e->c + (size_t)row * e->c_stride;
        for (int column = 0; column < e->columns; column++) {
            float value = finished(tile, e, row, column);
            if (e->output == GEMM_OUTPUT_BF16)
                ((uint16_t *)to)[column] = bf16_of(value);
            else
                ((float *)to)[column] = value;
        }
    }
}

static void normalise_row(const struct row_block *block, int row, float *out)
{
    const float *in = (const float *)((const char *)block->in + (size_t)row * block->in_stride);
    int count = block->count;
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++)
        sum += in[i];
    double mean = sum / count;
    for (int i = 0; i < count; i++)
        squares += (in[i] - mean) * (in[i] - mean);
    double inverse = 1.0 / sqrt(squares / count + (double)block->epsilon);
    for (int i = 0; i < count; i++)
        out[i] = (float)((in[i] - mean) * inverse * block->weight[i] + block->bias[i]);
}

static void layernorm(const struct row_block *block)
{
    for (int row = 0; row < block->rows; row++)
        normalise_row(block, row, (float *)((char *)block->out + (size_t)row * block->out_stride));
}

static void to_bf16(const float *in, int count, uint16_t *out)
{
    for (int i = 0; i < count; i++)
        out[i] = bf16_of(in[i]);
}

static void layernorm_bf16(const struct row_block *block)
{
    float *values = memory_alloc((size_t)block->count * sizeof *values);
    for (int row = 0; row < block->rows; row++) {
        normalise_row(block, row, values);
        to_bf16(values, block->count, (uint16_t *)((char *)block->out + (size_t)row * block->out_stride));
    }
    free(values);
}

static struct row_scale quantise_row(const float *in, int count, uint8_t *out)
{
    float low = 0, high = 0;
    bool finite = true;
    for (int i = 0; i < count; i++) {
        low = fminf(low, in[i]);
        high = fmaxf(high, in[i]);
        finite = finite && isfinite(in[i]);
    }
    float scale = (high - low) / 255.0f;
    if (scale == 0.0f)
        scale = 1.0f;
    struct row_scale result = {scale, (int32_t)lrintf(-low / scale)};
    if (!finite)
        result = (struct row_scale){NAN, 0};
    for (int i = 0; i < count; i++) {
        out[i] =
            (uint8_t)lrintf(fminf(fmaxf(fmaf(in[i], 1.0f / result.scale, (float)result.zero), 0.0f), 255.0f));
    }
    return result;
}

static void quantise(const struct row_block *block)
{
    for (int row = 0; row < block->rows; row++)
        block->scales[row] =
            quantise_row((const float *)((const char *)block->in + (size_t)row * block->in_stride),
                         block->count, (uint8_t *)block->out + (size_t)row * block->out_stride);
}

static void quantise_bf16(const struct row_block *block)
{
    float *values = memory_alloc((size_t)block->count * sizeof *values);
    for (int row = 0; row < block->rows; row++) {
        const uint16_t *in = (const uint16_t *)((const char *)block->in + (size_t)row * block->in_stride);
        for (int i = 0; i < block->count; i++) {
            uint32_t bits = (uint32_t)in[i] << 16;
            memcpy(&values[i], &bits, sizeof bits);
        }
        block->scales[row] =
            quantise_row(values, block->count, (uint8_t *)block->out + (size_t)row * block->out_stride);
    }
    free(values);
}

static void layernorm_u8(const struct row_block *block)
{
    float *values = memory_alloc((size_t)block->count * sizeof *values);
    for (int row = 0; row < block->rows; row++) {
        normalise_row(block, row, values);
        block->scales[row] =
            quantise_row(values, block->count, (uint8_t *)block->out + (size_t)row * block->out_stride);
    }
    free(values);
}

static void add(const float *a, const float *b, int count, float *out)
{
    for (int i = 0; i < count; i++)
        out[i] = a[i] + b[i];
}

static void gelu(const float *in, int count, float *out)
{
    for (int i = 0; i < count; i++)
        out[i] = gelu_of(in[i]);
}

static void scale(const float *in, float factor, int count, float *out)
{
    for (int i = 0; i < count; i++)
        out[i] = in[i] * factor;
}

static void scale_bf16(const float *in, float factor, int count, uint16_t *out)
{
    for (int i = 0; i < count; i++)
        out[i] = bf16_of(in[i] * factor);
}

static void exponentials(float *row, int rows, int stride, float factor, int count, float *inverse)
{
    for (int r = 0; r < rows; r++, row += stride) {
        double greatest = -INFINITY, sum = 0;
        for (int i = 0; i < count; i++)
            greatest = fmax(greatest, (double)row[i] * (double)factor);
        for (int i = 0; i < count; i++) {
            double value = exp((double)row[i] * (double)factor - greatest);
            row[i] = (float)value;
            sum += value;
        }
        inverse[r] = (float)(1.0 / sum);
    }
}

static void exponentials_bf16(const float *row, int rows, int stride, float factor, int count, uint16_t *out,
                              float *inverse)
{
    float *values = memory_alloc((size_t)count * sizeof *values);
    for (int r = 0; r < rows; r++, row += stride, out += stride) {
        memcpy(values, row, (size_t)count * sizeof *values);
        exponentials(values, 1, count, factor, count, &inverse[r]);
        to_bf16(values, count, out);
        if (count % 2)
            out[count] = 0;
    }
    free(values);
}

static void transpose(const uint32_t *in, int in_stride, int rows, int columns, uint32_t *out, int out_stride)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            out[(size_t)j * (size_t)out_stride + (size_t)i] = in[(size_t)i * (size_t)in_stride + (size_t)j];
}

static void interleave(const uint16_t *even, const uint16_t *odd, int count, uint16_t *out)
{
    for (int i = 0; i < count; i++) {
        out[2 * i] = even[i];
        out[2 * i + 1] = odd[i];
    }
}

const struct vector_ops vector_ops_plain = {
    .name = "plain",
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
