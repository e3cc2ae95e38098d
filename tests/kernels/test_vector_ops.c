// test_vector_ops.c: the row operations of each instruction set against the plain ones, which compute in
// double, at lengths around the vectors' and at ViT's. Each tolerance stands with its reason.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/cpu_features.h"
#include "kernels/cpu/vector_ops.h"
#include "tests/support/draw.h"
#include "tests/support/plain_kernels.h"
#include "tests/support/skip.h"

enum { MOST = 3072, GUARD = 40 };
static const int lengths[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 100, 192, 197, 768, 1000, 3072};
#define FOR_LENGTHS(n)                                                                                       \
    for (size_t length = 0; length < sizeof lengths / sizeof lengths[0]; length++)                           \
        for (int n = lengths[length], once = 1; once; once = 0)

static void draw_row(float *row, int count, float size)
{
    for (int i = 0; i < count; i++)
        row[i] = draw() * size;
}

static void near(const char *what, int count, int i, float found, float expected, float allowed)
{
    if (!(fabsf(found - expected) <= allowed)) {
        print_error("%s of %d values, value %d: %.9g, expected %.9g, allowed %.3g\n", what, count, i,
                    (double)found, (double)expected, (double)allowed);
        fail();
    }
}

// Nothing may be written behind a row.
static void untouched(const void *row, size_t size, size_t whole)
{
    for (size_t i = size; i < whole; i++)
        assert_int_equal(((const unsigned char *)row)[i], 0x5a);
}

static void check_gelu(const struct vector_ops *ops)
{
    float x[MOST], found[MOST + GUARD], expected[MOST];
    FOR_LENGTHS(n)
    {
        draw_row(x, n, 9.0f);
        memset(found, 0x5a, sizeof found);
        ops->gelu(x, n, found);
        vector_ops_plain.gelu(x, n, expected);
        for (int i = 0; i < n;
             i++) // half a unit of |x| from 1 + erf for negative x, 2.2 units for the others
            near("gelu", n, i, found[i], expected[i],
                 fabsf(x[i]) * 0x1.2p-24f + fabsf(expected[i]) * 0x1.3p-23f);
        untouched(found, (size_t)n * 4, sizeof found);
    }
    const float edges[16] = {0.0f, -0.0f, 100.0f, -100.0f, 1e30f, -1e30f, 6.0f, -6.0f, 1e-30f, -1e-30f};
    ops->gelu(edges, 16, found);
    assert_true(found[0] == 0.0f && found[1] == 0.0f && found[2] == 100.0f && found[4] == 1e30f);
    assert_true(fabsf(found[3]) < 1e-6f && fabsf(found[7]) < 1e-7f);
    assert_true(fabsf(found[5]) < 1e22f); // erf's formula in float gives 0; 1e-9 of x is as good
    assert_true(found[8] == 0.5e-30f && found[9] == -0.5e-30f);
}

enum { ROWS = 3 };
static float in[ROWS * (MOST + GUARD)], values[ROWS * (MOST + GUARD)], expected_values[ROWS * (MOST + GUARD)];
static float weight[MOST], bias[MOST];
static uint16_t halves[ROWS * (MOST + GUARD)];
static uint8_t bytes[ROWS * (MOST + GUARD)];

// Rows of n values in `in`, n + 3 apart, about 5; results of `size` bytes n + 1 apart in `out`.
static struct row_block make_block(int n, void *out, size_t size, struct row_scale *scales)
{
    draw_row(in, ROWS * (n + 3), 3.0f);
    for (int i = 0; i < ROWS * (n + 3); i++)
        in[i] += 5.0f;
    draw_row(weight, n, 1.0f);
    draw_row(bias, n, 1.0f);
    memset(out, 0x5a, size * ROWS * (MOST + GUARD));
    return (struct row_block){.rows = ROWS,
                              .count = n,
                              .in = in,
                              .in_stride = (size_t)(n + 3) * sizeof *in,
                              .out = out,
                              .out_stride = (size_t)(n + 1) * size,
                              .weight = weight,
                              .bias = bias,
                              .epsilon = 1e-6f,
                              .scales = scales};
}

static void check_layernorm(const struct vector_ops *ops)
{
    FOR_LENGTHS(n)
    {
        struct row_block block = make_block(n, values, sizeof *values, NULL);
        ops->layernorm(&block);
        block.out = expected_values;
        memset(expected_values, 0x5a, sizeof expected_values);
        vector_ops_plain.layernorm(&block);
        // A handful of roundings of values up to about 5, the mean's above all; two values may lie close
        // together.
        float allowed = n < 3 ? 0x1p-11f : 0x1p-20f;
        for (int i = 0; i < ROWS * (n + 1); i++)
            near("layernorm", n, i, values[i], expected_values[i], i % (n + 1) < n ? allowed : 0.0f);
        memset(halves, 0x5a, sizeof halves);
        block.out = halves;
        block.out_stride = (size_t)(n + 1) * sizeof *halves;
        ops->layernorm_bf16(&block);
        for (int row = 0; row < ROWS; row++) {
            uint16_t rounded[MOST];
            ops->to_bf16(values + row * (n + 1), n, rounded);
            assert_memory_equal(halves + row * (n + 1), rounded, (size_t)n * 2);
            assert_int_equal(halves[row * (n + 1) + n], 0x5a5a);
        }
    }
}

static void check_bytes(const char *what, const float *row, int n, const uint8_t *quantised,
                        struct row_scale scale)
{
    float low = 0, high = 0;
    for (int i = 0; i < n; i++) {
        low = fminf(low, row[i]);
        high = fmaxf(high, row[i]);
    }
    near(what, n, -1, scale.scale, high > low ? (high - low) / 255.0f : 1.0f, scale.scale * 1e-5f);
    for (int i = 0; i < n;
         i++) // half a step, and half a step more at the ends, where the zero point was rounded
        near(what, n, i, scale.scale * (float)(quantised[i] - scale.zero), row[i], scale.scale * 1.001f);
    assert_int_equal(quantised[n], 0x5a);
}

static void check_quantising(const struct vector_ops *ops)
{
    struct row_scale scales[ROWS];
    FOR_LENGTHS(n)
    {
        struct row_block block = make_block(n, bytes, 1, scales);
        ops->quantise(&block);
        for (int row = 0; row < ROWS; row++)
            check_bytes("quantise", in + row * (n + 3), n, bytes + row * (n + 1), scales[row]);
        block = make_block(n, bytes, 1, scales);
        ops->layernorm_u8(&block);
        block.out = values;
        block.out_stride = (size_t)(n + 1) * sizeof *values;
        ops->layernorm(&block);
        for (int row = 0; row < ROWS; row++)
            check_bytes("layernorm_u8", values + row * (n + 1), n, bytes + row * (n + 1), scales[row]);
    }
    for (int i = 0; i < ROWS * MOST; i++)
        in[i] = values[i] = draw();
    struct row_block row = {.rows = 1, .count = 197, .in = values, .out = bytes, .scales = scales};
    ops->to_bf16(in, 197, halves);
    for (int i = 0; i < 197; i++) {
        values[i] = from_bf16(halves[i]);
    }
    ops->quantise(&row);
    row.in = halves;
    row.out = bytes + MOST;
    row.scales = scales + 1;
    ops->quantise_bf16(&row);
    assert_memory_equal(bytes, bytes + MOST, 197);
    assert_memory_equal(&scales[0], &scales[1], sizeof scales[0]);
    struct row_block zeros = make_block(17, bytes, 1, scales);
    memset(in, 0, sizeof in);
    ops->quantise(&zeros);
    assert_true(scales[0].scale == 1.0f && scales[0].zero == 0 && bytes[16] == 0);
}

static void check_exponentials(const struct vector_ops *ops)
{
    float *found = values, *expected = expected_values;
    FOR_LENGTHS(n)
    {
        int stride = n + 2;
        float inverse[ROWS], inverse_bf16[ROWS], inverse_expected[ROWS];
        draw_row(in, ROWS * stride, 40.0f);
        memcpy(found, in, sizeof in);
        memcpy(expected, in, sizeof in);
        memset(halves, 0x5a, sizeof halves);
        ops->exponentials(found, ROWS, stride, 0.125f, n, inverse);
        vector_ops_plain.exponentials(expected, ROWS, stride, 0.125f, n, inverse_expected);
        ops->exponentials_bf16(in, ROWS, stride, 0.125f, n, halves, inverse_bf16);
        for (int row = 0; row < ROWS; row++) {
            near("sum", n, -1, inverse[row], inverse_expected[row], inverse_expected[row] * 0x1p-20f);
            near("bf16 sum", n, -1, inverse_bf16[row], inverse_expected[row], inverse_expected[row] * 4e-6f);
        }
        for (int i = 0; i < ROWS * stride; i++) {
            float half = from_bf16(halves[i]);
            // Exponents up to 15 in float: 2^-21; a place between the rows stays as it was.
            near("exponential", n, i, found[i], expected[i], i % stride < n ? expected[i] * 0x1p-20f : 0.0f);
            if (i % stride < n)
                near("bf16 exponential", n, i, half, expected[i], expected[i] * 0x1.01p-8f);
            else
                assert_int_equal(halves[i], i % stride == n && n % 2 ? 0 : 0x5a5a);
        }
    }
    float extremes[16] = {-3e38f, 0.0f, 1000.0f, 1000.0f, -1e30f}, inverse;
    ops->exponentials(extremes, 1, 0, 1.0f, 5, &inverse); // a common factor near 1 is allowed
    assert_true(extremes[0] == 0.0f && extremes[1] == 0.0f && extremes[4] == 0.0f);
    near("even weight", 5, 2, extremes[2] * inverse, 0.5f, 0x1p-24f);
    near("even weight", 5, 3, extremes[3] * inverse, 0.5f, 0x1p-24f);
}

static void check_simple(const struct vector_ops *ops)
{
    float a[MOST], b[MOST], found[MOST + GUARD], expected[MOST];
    uint16_t expected_halves[MOST], other[MOST], pairs[2 * MOST + GUARD];
    FOR_LENGTHS(n)
    {
        draw_row(a, n, 1e10f);
        draw_row(b, n, 1e10f);
        memset(found, 0x5a, sizeof found);
        ops->add(a, b, n, found);
        vector_ops_plain.add(a, b, n, expected);
        assert_memory_equal(found, expected, (size_t)n * 4);
        untouched(found, (size_t)n * 4, sizeof found);
        ops->scale(a, 0.3f, n, found);
        vector_ops_plain.scale(a, 0.3f, n, expected);
        assert_memory_equal(found, expected, (size_t)n * 4);
        untouched(found, (size_t)n * 4, sizeof found);
        memset(halves, 0x5a, sizeof halves);
        ops->scale_bf16(a, 0.3f, n, halves);
        vector_ops_plain.scale_bf16(a, 0.3f, n, expected_halves);
        assert_memory_equal(halves, expected_halves, (size_t)n * 2);
        ops->to_bf16(a, n, halves);
        vector_ops_plain.to_bf16(a, n, expected_halves);
        assert_memory_equal(halves, expected_halves, (size_t)n * 2);
        assert_int_equal(halves[n], 0x5a5a);
        vector_ops_plain.to_bf16(b, n, other);
        memset(pairs, 0x5a, sizeof pairs);
        ops->interleave(halves, other, n, pairs);
        for (int i = 0; i < n; i++)
            assert_true(pairs[2 * i] == halves[i] && pairs[2 * i + 1] == other[i]);
        untouched(pairs, (size_t)n * 4, sizeof pairs);
    }
}

static void check_transpose(const struct vector_ops *ops)
{
    enum { SIDE = 40 };
    static uint32_t words[SIDE * SIDE], out[SIDE * SIDE], expected[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++)
        words[i] = (uint32_t)i * 2654435761u;
    static const int sizes[] = {1, 7, 8, 9, 16, 17, 31, 32, 33};
    for (int i = 0; i < 9; i++) {
        for (int j = 0; j < 9; j++) {
            memset(out, 0, sizeof out);
            memset(expected, 0, sizeof expected);
            ops->transpose(words, SIDE - 1, sizes[i], sizes[j], out, SIDE);
            vector_ops_plain.transpose(words, SIDE - 1, sizes[i], sizes[j], expected, SIDE);
            assert_memory_equal(out, expected, sizeof out);
        }
    }
}

static float quantised_scale(void (*quantise)(const struct row_block *), const void *row, int n)
{
    struct row_scale scale;
    struct row_block block = {
        .rows = 1, .count = n, .in = row, .out = bytes, .weight = weight, .bias = bias, .scales = &scale};
    quantise(&block);
    return scale.scale;
}

// Nobody loses one that is not a number: not a softmax, nor bytes, whose scale tells it.
static void check_nan(const struct vector_ops *ops, int n, int place)
{
    float inverse, row[MOST];
    draw_row(in, n, 4.0f);
    in[place] = NAN;
    ops->to_bf16(in, n, halves);
    assert_true(isnan(from_bf16(halves[place])));
    assert_true(isnan(quantised_scale(ops->quantise, in, n)));
    assert_true(isnan(quantised_scale(ops->quantise_bf16, halves, n)));
    assert_true(isnan(quantised_scale(ops->layernorm_u8, in, n)));
    ops->gelu(in, n, row);
    assert_true(isnan(row[place]));
    ops->exponentials_bf16(in, 1, n, 1.0f, n, halves, &inverse);
    assert_true(isnan(inverse) && isnan(from_bf16(halves[place])));
    ops->exponentials(in, 1, n, 1.0f, n, &inverse);
    assert_true(isnan(inverse) && isnan(in[place]));
}

static void check_all(const struct vector_ops *ops)
{
    check_gelu(ops);
    check_layernorm(ops);
    check_quantising(ops);
    check_exponentials(ops);
    check_simple(ops);
    check_transpose(ops);
    FOR_LENGTHS(n)
    {
        check_nan(ops, n, 0);
        check_nan(ops, n, n / 2);
        check_nan(ops, n, n - 1);
    }
}

static void avx512_is_near_plain(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx512, "AVX-512");
    check_all(&vector_ops_avx512);
}

static void avx512bf16_is_near_plain(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx512bf16, "AVX512_BF16");
    check_all(&vector_ops_avx512bf16);
}

static void avx2_is_near_plain(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx2, "AVX2");
    check_all(&vector_ops_avx2);
}

// Known values: Python's math.erf, and equal scores.
static void plain_has_known_values(void **unused)
{
    (void)unused;
    const float x[] = {-3.0f, -1.0f, -0.5f, 0.0f, 0.5f, 1.0f, 3.0f};
    const double expected[] = {-0.004049694098274, -0.158655253931457, -0.154268770362993, 0.0,
                               0.345731229637007,  0.841344746068543,  2.995950305901726};
    float found[7];
    vector_ops_plain.gelu(x, 7, found);
    for (int i = 0; i < 7; i++)
        assert_true(fabs((double)found[i] - expected[i]) <= fabs(expected[i]) * 0x1p-23);
    float row[5] = {2.0f, 2.0f, 2.0f, 2.0f, 9.0f}, inverse;
    vector_ops_plain.exponentials(row, 1, 5, 1.0f, 4, &inverse);
    assert_true(inverse == 0.25f);
    for (int i = 0; i < 5; i++)
        assert_true(row[i] == (i < 4 ? 1.0f : 9.0f));
    check_nan(&vector_ops_plain, 17, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_has_known_values),
        cmocka_unit_test(avx512_is_near_plain),
        cmocka_unit_test(avx512bf16_is_near_plain),
        cmocka_unit_test(avx2_is_near_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
