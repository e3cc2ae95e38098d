// test_attention.c: the fused attention of each kernel against the formula in double, at head widths and
// token counts around the tiles; all rows or the first only; the class token's map; the same bits for any
// number of threads.
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
#include "common/base/memory.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/fused_attention.h"
#include "tests/support/draw.h"
#include "tests/support/plain_kernels.h"
#include "tests/support/skip.h"

enum { IMAGES = 2 };

struct shape {
    int tokens, heads, head_width, queries, threads;
};

// qkv as floats that are exact in bf16 as well.
static float *make_qkv(struct shape shape)
{
    int count = IMAGES * shape.tokens * 3 * shape.heads * shape.head_width;
    float *qkv = memory_alloc((size_t)count * sizeof *qkv);
    for (int i = 0; i < count; i++)
        qkv[i] = from_bf16(bf16_of(2.0f * draw()));
    return qkv;
}

struct result {
    float *output; // (IMAGES, queries, heads * head_width)
    float *map;    // (IMAGES, heads, tokens - 1)
};

static struct result new_result(struct shape shape)
{
    size_t map = (size_t)IMAGES * (size_t)shape.heads * (size_t)(shape.tokens - 1);
    size_t output = (size_t)IMAGES * (size_t)shape.queries * (size_t)(shape.heads * shape.head_width);
    return (struct result){memory_alloc(output * sizeof(float)), memory_alloc(map * sizeof(float))};
}

static void free_result(struct result *result)
{
    free(result->output);
    free(result->map);
}

static struct result formula(struct shape shape, const float *qkv)
{
    struct result result = new_result(shape);
    int width = shape.heads * shape.head_width, d = shape.head_width;
    double *weights = memory_alloc((size_t)shape.tokens * sizeof *weights);
    for (int row = 0; row < IMAGES * shape.queries * shape.heads; row++) {
        int head = row % shape.heads, query = row / shape.heads % shape.queries;
        int image = row / shape.heads / shape.queries;
        const float *tokens = qkv + (size_t)image * (size_t)(shape.tokens * 3 * width) + head * d;
        double sum = 0, greatest = -INFINITY;
        for (int key = 0; key < shape.tokens; key++) {
            weights[key] = 0;
            for (int i = 0; i < d; i++)
                weights[key] +=
                    (double)tokens[query * 3 * width + i] * (double)tokens[key * 3 * width + width + i];
            weights[key] /= sqrt(d);
            greatest = fmax(greatest, weights[key]);
        }
        for (int key = 0; key < shape.tokens; key++)
            sum += weights[key] = exp(weights[key] - greatest);
        for (int i = 0; i < d; i++) {
            double value = 0;
            for (int key = 0; key < shape.tokens; key++)
                value += weights[key] / sum * (double)tokens[key * 3 * width + 2 * width + i];
            result.output[(image * shape.queries + query) * width + head * d + i] = (float)value;
        }
        for (int key = 1; key < shape.tokens && query == 0; key++)
            result.map[(image * shape.heads + head) * (shape.tokens - 1) + key - 1] =
                (float)(weights[key] / sum);
    }
    free(weights);
    return result;
}

static const struct vector_ops *ops_of(const struct gemm_kernel *kernel)
{
    if (kernel == &gemm_fp32_avx2)
        return &vector_ops_avx2;
    return kernel == &gemm_bf16_avx512bf16 ? &vector_ops_avx512bf16 : &vector_ops_avx512;
}

static struct result fused(const struct gemm_kernel *kernel, struct shape shape, const float *qkv)
{
    struct result result = new_result(shape);
    int width = shape.heads * shape.head_width, values = IMAGES * shape.tokens * 3 * width;
    uint16_t *halves = memory_alloc((size_t)values * sizeof *halves);
    for (int i = 0; i < values; i++)
        halves[i] = bf16_of(qkv[i]);
    bool bf16 = kernel->precision == PRECISION_BF16;
    size_t element = bf16 ? sizeof *halves : sizeof *qkv;
    struct team *team;
    assert_int_equal(team_new(&team, shape.threads, NULL), STATUS_OK);
    size_t scratch = attention_scratch_size(kernel, shape.tokens, shape.head_width);
    struct attention_call call = {
        .kernel = kernel,
        .ops = ops_of(kernel),
        .images = IMAGES,
        .tokens = shape.tokens,
        .heads = shape.heads,
        .head_width = shape.head_width,
        .queries = shape.queries,
        .qkv = bf16 ? (const void *)halves : qkv,
        .qkv_stride = (size_t)(3 * width) * element,
        .qkv_image_stride = (size_t)(shape.tokens * 3 * width) * element,
        .output = result.output,
        .output_stride = (size_t)width * sizeof(float),
        .output_image_stride = (size_t)(shape.queries * width) * sizeof(float),
        .map = result.map,
        .scratch = aligned_alloc(64, scratch * (size_t)shape.threads),
    };
    memset(call.scratch, 0xff, scratch * (size_t)shape.threads); // NaN: what isn't packed must not be read
    attention_run(team, &call);
    free(call.scratch);
    free(halves);
    team_free(team);
    return result;
}

static void near(const char *what, struct shape shape, const float *found, const float *expected, int count,
                 float tolerance)
{
    for (int i = 0; i < count; i++) {
        if (!(fabsf(found[i] - expected[i]) <= tolerance)) {
            print_error("%s, %d tokens, %d heads of %d, %d queries, value %d: %.9g, expected %.9g\n", what,
                        shape.tokens, shape.heads, shape.head_width, shape.queries, i, (double)found[i],
                        (double)expected[i]);
            fail();
        }
    }
}

// tolerance: values are below 2, weights sum to 1.
static void check_kernel(const struct gemm_kernel *kernel, float tolerance)
{
    static const struct shape shapes[] = {
        {1 + 4, 1, 8, 5, 1},  {17, 3, 64, 17, 2}, {32, 2, 32, 32, 2}, {33, 2, 40, 33, 1}, {50, 5, 16, 13, 2},
        {197, 3, 64, 197, 2}, {197, 3, 64, 1, 2}, {197, 1, 80, 1, 1}, {198, 2, 6, 12, 2}, {64, 12, 64, 64, 2},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct shape shape = shapes[i], alone = shape;
        alone.threads = 1;
        float *qkv = make_qkv(shape);
        struct result expected = formula(shape, qkv), found = fused(kernel, shape, qkv);
        struct result one_thread = fused(kernel, alone, qkv);
        int outputs = IMAGES * shape.queries * shape.heads * shape.head_width;
        int map = IMAGES * shape.heads * (shape.tokens - 1);
        near("output", shape, found.output, expected.output, outputs, tolerance);
        near("map", shape, found.map, expected.map, map, tolerance);
        assert_memory_equal(found.output, one_thread.output, (size_t)outputs * sizeof(float));
        assert_memory_equal(found.map, one_thread.map, (size_t)map * sizeof(float));
        free_result(&expected);
        free_result(&found);
        free_result(&one_thread);
        free(qkv);
    }
}

// Scores below 2^5 are sums of up to 80 products: about 2^-19 wrong at most; so are weights and outputs,
// relatively.
static void fp32_avx512_is_the_formula(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx512, "AVX-512");
    check_kernel(&gemm_fp32_avx512, 0x1p-18f);
}

static void fp32_avx2_is_the_formula(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx2, "AVX2");
    check_kernel(&gemm_fp32_avx2, 0x1p-18f);
}

// The inputs are exact in bf16; the weights are rounded to it, 2^-9 each, times values below 2.
static void bf16_is_near_the_formula(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx512bf16, "AVX512_BF16");
    check_kernel(&gemm_bf16_avx512bf16, 0x1p-8f);
}

static void an_odd_head_does_not_fit_bf16(void **unused)
{
    (void)unused;
    assert_int_equal(attention_scratch_size(&gemm_bf16_plain, 197, 7), 0);
    assert_true(attention_scratch_size(&gemm_bf16_plain, 197, 8) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_avx512_is_the_formula),
        cmocka_unit_test(fp32_avx2_is_the_formula),
        cmocka_unit_test(bf16_is_near_the_formula),
        cmocka_unit_test(an_odd_head_does_not_fit_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
