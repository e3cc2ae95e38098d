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

#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/vector_ops.h"

enum { MOST = 3072, GUARD = 40 };
static const int lengths[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 100, 192, 197, 768, 1000, 3072};
#define FOR_LENGTHS(n)                                                                                       \
    for (size_t length = 0; length < sizeof lengths / sizeof lengths[0]; length++)                           \
        for (int n = lengths[length], once = 1; once; once = 0)

static uint32_t state = 1;

static float draw(void)
{
    state = state * 1664525u + 1013904223u;
    return (float)(int32_t)state * 0x1p-31f;
}

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
    float in[MOST], found[MOST + GUARD], expected[MOST];
    FOR_LENGTHS(n)
    {
        draw_row(in, n, 9.0f);
        memset(found, 0x5a, sizeof found);
        ops->gelu(in, n, found);
        vector_ops_plain.gelu(in, n, expected);
        for (int i = 0; i < n;
             i++) // half a unit of |x| from 1 + erf for negative x, 2.2 units for the others
            near("gelu", n, i, found[i], expected[i],
                 fabsf(in[i]) * 0x1.2p-24f + fabsf(expected[i]) * 0x1.3p-23f);
        untouched(found, (size_t)n * 4, sizeof found);
    }
    const float edges[16] = {0.0f, -0.0f, 100.0f, -100.0f, 1e30f, -1e30f, 6.0f, -6.0f, 1e-30f, -1e-30f};
    ops->gelu(edges, 16, found);
    assert_true(found[0] == 0.0f && found[1] == 0.0f && found[2] == 100.0f && found[4] == 1e30f);
    assert_true(fabsf(found[3]) < 1e-6f && fabsf(found[7]) < 1e-7f);
    assert_true(fabsf(found[5]) < 1e22f); // erf's formula in float gives 0; 1e-9 of x is as good
    assert_true(found[8] == 0.5e-30f && found[9] == -0.5e-30f);
}

static void check_layernorm(const struct vector_ops *ops)
{
    float in[MOST], weight[MOST], bias[MOST], found[MOST + GUARD], expected[MOST];
    FOR_LENGTHS(n)
    {
        draw_row(in, n, 3.0f);
        draw_row(weight, n, 1.0f);
        draw_row(bias, n, 1.0f);
        for (int i = 0; i < n; i++)
            in[i] += 5.0f;
        memset(found, 0x5a, sizeof found);
        ops->layernorm(in, weight, bias, 1e-6f, n, found);
        vector_ops_plain.layernorm(in, weight, bias, 1e-6f, n, expected);
        for (int i = 0; i < n; i++) // a handful of roundings of values up to about 5, the mean's above all
            near("layernorm", n, i, found[i], expected[i], n == 1 ? 0x1p-11f : 0x1p-20f);
        untouched(found, (size_t)n * 4, sizeof found);
        uint16_t halves[MOST + GUARD], expected_halves[MOST];
        memset(halves, 0x5a, sizeof halves);
        ops->layernorm_bf16(in, weight, bias, 1e-6f, n, halves);
        ops->to_bf16(found, n, expected_halves);
        assert_memory_equal(halves, expected_halves, (size_t)n * 2);
        untouched(halves, (size_t)n * 2, sizeof halves);
    }
}

static void check_bytes(const char *what, const float *values, int n, const uint8_t *bytes,
                        struct row_scale scale)
{
    float low = 0, high = 0;
    for (int i = 0; i < n; i++) {
        low = fminf(low, values[i]);
        high = fmaxf(high, values[i]);
    }
    near(what, n, -1, scale.scale, high > low ? (high - low) / 255.0f : 1.0f, scale.scale * 1e-5f);
    for (int i = 0; i < n;
         i++) // half a step, and half a step more at the ends, where the zero point was rounded
        near(what, n, i, scale.scale * (float)(bytes[i] - scale.zero), values[i], scale.scale * 1.001f);
}

static void check_quantising(const struct vector_ops *ops)
{
    float in[MOST], weight[MOST], bias[MOST], values[MOST];
    uint8_t bytes[MOST + GUARD];
    FOR_LENGTHS(n)
    {
        draw_row(in, n, 3.0f);
        memset(bytes, 0x5a, sizeof bytes);
        struct row_scale scale = ops->quantise(in, n, bytes);
        check_bytes("quantise", in, n, bytes, scale);
        untouched(bytes, (size_t)n, sizeof bytes);
        draw_row(weight, n, 1.0f);
        draw_row(bias, n, 1.0f);
        memset(bytes, 0x5a, sizeof bytes);
        scale = ops->layernorm_u8(in, weight, bias, 1e-6f, n, bytes);
        ops->layernorm(in, weight, bias, 1e-6f, n, values);
        check_bytes("layernorm_u8", values, n, bytes, scale);
        untouched(bytes, (size_t)n, sizeof bytes);
    }
    memset(in, 0, sizeof in);
    struct row_scale scale = ops->quantise(in, 17, bytes);
    assert_true(scale.scale == 1.0f && scale.zero == 0 && bytes[16] == 0);
}

static void check_exponentials(const struct vector_ops *ops)
{
    enum { ROWS = 3 };
    static float in[ROWS * (MOST + GUARD)], found[ROWS * (MOST + GUARD)], expected[ROWS * (MOST + GUARD)];
    static uint16_t halves[ROWS * (MOST + GUARD)];
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
            uint32_t bits = (uint32_t)halves[i] << 16;
            float half;
            memcpy(&half, &bits, sizeof half);
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
    uint16_t halves[MOST + GUARD], expected_halves[MOST], other[MOST], pairs[2 * MOST + GUARD];
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
        untouched(halves, (size_t)n * 2, sizeof halves);
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
    static uint32_t in[SIDE * SIDE], out[SIDE * SIDE], expected[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++)
        in[i] = (uint32_t)i * 2654435761u;
    static const int sizes[] = {1, 7, 8, 9, 16, 17, 31, 32, 33};
    for (int i = 0; i < 9; i++) {
        for (int j = 0; j < 9; j++) {
            memset(out, 0, sizeof out);
            memset(expected, 0, sizeof expected);
            ops->transpose(in, SIDE - 1, sizes[i], sizes[j], out, SIDE);
            vector_ops_plain.transpose(in, SIDE - 1, sizes[i], sizes[j], expected, SIDE);
            assert_memory_equal(out, expected, sizeof out);
        }
    }
}

static void check_all(const struct vector_ops *ops)
{
    check_gelu(ops);
    check_layernorm(ops);
    check_quantising(ops);
    check_exponentials(ops);
    check_simple(ops);
    check_transpose(ops);
}

static void avx512_is_near_plain(void **unused)
{
    (void)unused;
    if (!cpu_features_get().avx512) {
        fputs("this processor has no AVX-512\n", stderr);
        skip();
    }
    check_all(&vector_ops_avx512);
}

static void avx2_is_near_plain(void **unused)
{
    (void)unused;
    if (!cpu_features_get().avx2) {
        fputs("this processor has no AVX2\n", stderr);
        skip();
    }
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_has_known_values),
        cmocka_unit_test(avx512_is_near_plain),
        cmocka_unit_test(avx2_is_near_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
