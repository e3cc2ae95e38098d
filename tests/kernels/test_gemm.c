// test_gemm.c: every vectorised matrix product against the plain loops, at odd sizes.
//
// fp32 and int8 must give the same bits: the plain kernel adds the same products in the same order with the
// same fused steps, and int8 sums are exact. With GELU they may differ by the polynomial's error
// (test_vector_ops.c). bf16 may differ by how the instruction rounds a pair of products: half a unit in the
// last place of each partial sum.
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
#include "tests/support/draw.h"
#include "tests/support/plain_kernels.h"
#include "tests/support/skip.h"

enum { PADDING = 64, IMAGES = 2 };
static const float untouched = -12345.0f;

struct sizes {
    int m, n, k;
};

struct options {
    bool gelu, residual, bf16_output;
    int threads, first_panel; // in columns of 32
};

struct problem {
    struct sizes sizes;
    float *weights, *bias, *residual;
    char *a;
    struct row_scale *scales;
    size_t a_stride;
};

static void make_a(struct problem *problem, enum precision precision, int rows)
{
    int k = problem->sizes.k;
    size_t element = precision == PRECISION_INT8 ? 1 : precision == PRECISION_BF16 ? 2 : 4;
    problem->a_stride = (size_t)k * element + element; // rows not aligned to anything
    problem->a = memory_alloc(problem->a_stride * (size_t)rows);
    memset(problem->a, 0xff, problem->a_stride * (size_t)rows); // NaN between the rows
    problem->scales = memory_alloc((size_t)rows * sizeof *problem->scales);
    for (int row = 0; row < rows; row++) {
        char *values = problem->a + problem->a_stride * (size_t)row;
        problem->scales[row] = (struct row_scale){0.01f + 0.001f * (float)(row % 7), 100 + row % 30};
        for (int i = 0; i < k; i++) {
            if (precision == PRECISION_INT8)
                ((uint8_t *)values)[i] = (uint8_t)(127.5f + 127.5f * draw());
            else if (precision == PRECISION_BF16)
                ((uint16_t *)values)[i] = bf16_of(draw());
            else
                memcpy(values + (size_t)i * 4, &(float){draw()}, 4);
        }
    }
}

static struct problem make_problem(enum precision precision, struct sizes sizes)
{
    struct problem problem = {.sizes = sizes};
    int rows = sizes.m * IMAGES;
    make_a(&problem, precision, rows);
    problem.weights = memory_alloc((size_t)sizes.n * (size_t)sizes.k * sizeof(float));
    problem.bias = memory_alloc((size_t)sizes.n * sizeof(float));
    problem.residual = memory_alloc((size_t)rows * (size_t)sizes.n * sizeof(float));
    for (int i = 0; i < sizes.n * sizes.k; i++)
        problem.weights[i] = draw();
    for (int i = 0; i < sizes.n; i++)
        problem.bias[i] = draw();
    for (int i = 0; i < rows * sizes.n; i++)
        problem.residual[i] = draw();
    return problem;
}

static void free_problem(struct problem *problem)
{
    free(problem->a);
    free(problem->scales);
    free(problem->weights);
    free(problem->bias);
    free(problem->residual);
}

static const struct vector_ops *ops_of(const struct gemm_kernel *kernel)
{
    if (kernel == &gemm_fp32_plain || kernel == &gemm_bf16_plain || kernel == &gemm_int8_plain ||
        kernel == &gemm_int8_quads_plain)
        return &vector_ops_plain;
    if (kernel == &gemm_fp32_avx2 || kernel == &gemm_int8_avx2)
        return &vector_ops_avx2;
    return kernel == &gemm_bf16_avx512bf16 ? &vector_ops_avx512bf16 : &vector_ops_avx512;
}

// The product as floats (IMAGES * m, n + 1); the last column stays `untouched`, whatever the kernel does.
static float *multiply(const struct problem *problem, const struct gemm_kernel *kernel,
                       const struct options *options)
{
    struct sizes sizes = problem->sizes;
    struct team *team;
    assert_int_equal(team_new(&team, options->threads, NULL), STATUS_OK);
    size_t packed_size = gemm_packed_size(kernel, sizes.n, sizes.k);
    void *memory = aligned_alloc(64, packed_size);
    struct gemm_weights weights;
    gemm_pack(&weights, kernel, team, problem->weights, problem->bias, sizes.n, sizes.k, memory);
    int rows = sizes.m * IMAGES, columns = sizes.n + 1;
    float *c = memory_alloc((size_t)(rows * columns) * sizeof *c);
    uint16_t *halves = (uint16_t *)c;
    for (int i = 0; i < rows * columns; i++)
        c[i] = untouched;
    size_t element = options->bf16_output ? sizeof *halves : sizeof *c;
    int skipped = options->first_panel * (32 / kernel->panel_columns);
    struct gemm_call call = {
        .ops = ops_of(kernel),
        .weights = &weights,
        .first_panel = skipped,
        .panel_count = weights.panels - skipped,
        .images = IMAGES,
        .rows = sizes.m,
        .a = problem->a,
        .a_stride = problem->a_stride,
        .a_image_stride = problem->a_stride * (size_t)sizes.m,
        .row_scales = kernel->precision == PRECISION_INT8 ? problem->scales : NULL,
        .row_scale_stride = sizeof(struct row_scale),
        .row_scale_image_stride = sizeof(struct row_scale) * (size_t)sizes.m,
        .c = (char *)c + (size_t)(options->first_panel * 32) * element,
        .c_stride = (size_t)columns * element,
        .c_image_stride = (size_t)(columns * sizes.m) * element,
        .output = options->bf16_output ? GEMM_OUTPUT_BF16 : GEMM_OUTPUT_FP32,
        .gelu = options->gelu,
        .residual = options->residual ? problem->residual : NULL,
        .residual_stride = (size_t)sizes.n * sizeof(float),
        .residual_image_stride = (size_t)(sizes.n * sizes.m) * sizeof(float),
    };
    gemm_run(team, &call);
    for (int i = rows * columns - 1; options->bf16_output && i >= 0; i--)
        c[i] = from_bf16(halves[i]);
    free(memory);
    team_free(team);
    return c;
}

static void compare(const struct gemm_kernel *kernel, const struct gemm_kernel *plain, struct sizes sizes,
                    struct options options, float tolerance)
{
    struct problem problem = make_problem(kernel->precision, sizes);
    float *found = multiply(&problem, kernel, &options), *expected = multiply(&problem, plain, &options);
    int count = IMAGES * sizes.m * (sizes.n + 1);
    for (int i = 0; i < count; i++) {
        float allowed = tolerance * (1.0f + fabsf(expected[i]));
        if (!(fabsf(found[i] - expected[i]) <= allowed)) {
            print_error(
                "%s, m %d n %d k %d, gelu %d residual %d bf16 %d, row %d column %d: %.9g, plain %.9g\n",
                ops_of(kernel)->name, sizes.m, sizes.n, sizes.k, options.gelu, options.residual,
                options.bf16_output, i / (sizes.n + 1), i % (sizes.n + 1), (double)found[i],
                (double)expected[i]);
            fail();
        }
    }
    free(found);
    free(expected);
    free_problem(&problem);
}

// tolerance: of the sums, relative to 1 + the value.
static void check_kernel(const struct gemm_kernel *kernel, const struct gemm_kernel *plain, float tolerance)
{
    static const int columns[][2] = {{1, 1},   {8, 768}, {17, 3}, {31, 5},
                                     {32, 64}, {33, 66}, {63, 2}, {96, 129}};
    // int8's GELU is for a byte: 6e-6 of |x| up to 5, 3e-7 beyond (x is below 60 here).
    const float narrow = kernel->precision == PRECISION_INT8 ? 2e-5f : 0.0f;
    const float gelu = tolerance + narrow + 3e-7f;
    const float half = 0x1p-7f; // bf16: one step, where the roundings fall apart
    for (int m = 1; m <= 17; m++) {
        for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
            struct sizes sizes = {m, columns[i][0], columns[i][1]};
            compare(kernel, plain, sizes, (struct options){.threads = 1}, tolerance);
            compare(kernel, plain, sizes, (struct options){.threads = 2, .residual = true}, tolerance);
            compare(kernel, plain, sizes, (struct options){.threads = 1, .gelu = true}, gelu);
        }
    }
    struct sizes block = {197, 100, 197};
    compare(kernel, plain, block, (struct options){.threads = 2}, tolerance);
    compare(kernel, plain, block, (struct options){.threads = 2, .first_panel = 2, .residual = false},
            tolerance);
    compare(kernel, plain, block, (struct options){.threads = 2, .gelu = true, .residual = true}, gelu);
    compare(kernel, plain, block, (struct options){.threads = 2, .bf16_output = true}, tolerance + half);
    compare(kernel, plain, block, (struct options){.threads = 2, .gelu = true, .bf16_output = true},
            gelu + half);
}

static void fp32_avx512_has_the_bits_of_plain(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx512, "AVX-512");
    check_kernel(&gemm_fp32_avx512, &gemm_fp32_plain, 0.0f);
}

static void fp32_avx2_has_the_bits_of_plain(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx2, "AVX2");
    check_kernel(&gemm_fp32_avx2, &gemm_fp32_plain, 0.0f);
}

static void bf16_is_near_plain(void **unused)
{
    (void)unused;
    skip_without(cpu_kernels_get().gemm[PRECISION_BF16], "AVX512_BF16");
    // Sums of up to 768 products below 1: the partial sums stay below 32, each step rounds by at most 2^-20.
    check_kernel(&gemm_bf16_avx512bf16, &gemm_bf16_plain, 768 * 0x1p-24f);
}

// The greatest sums there are, all of one sign: in 16 bits, four products of a byte by 127 would not fit.
// Each of them is then 126 / 4, rounded to 32.
static void check_greatest(const struct gemm_kernel *kernel)
{
    struct sizes sizes = {2, 3, 768};
    struct problem problem = make_problem(PRECISION_INT8, sizes);
    for (int row = 0; row < IMAGES * sizes.m; row++) {
        problem.scales[row] = (struct row_scale){1.0f, 0};
        memset(problem.a + problem.a_stride * (size_t)row, 255, (size_t)sizes.k);
    }
    for (int i = 0; i < sizes.n * sizes.k; i++)
        problem.weights[i] = i / sizes.k == 1 ? -127.0f : 127.0f;
    memset(problem.bias, 0, (size_t)sizes.n * sizeof(float));
    float weight = kernel->quads ? 32 * (4 * 127.0f / 126) : 127, greatest = 255 * 768 * weight;
    float *found = multiply(&problem, kernel, &(struct options){.threads = 1});
    for (int row = 0; row < IMAGES * sizes.m; row++)
        for (int n = 0; n < sizes.n; n++)
            assert_true(fabsf(found[row * (sizes.n + 1) + n] - (n == 1 ? -greatest : greatest)) <=
                        (kernel->quads ? greatest * 0x1p-22f : 0));
    free(found);
    free_problem(&problem);
}

// Every place in its quad, and quads that end early: one large weight of each sign, the others as large as
// fits beside it. A quad that the scale did not know of would saturate.
static void check_quads(const struct gemm_kernel *kernel)
{
    for (int k = 1; k <= 24; k++) {
        struct sizes sizes = {5, 40, k};
        struct problem problem = make_problem(PRECISION_INT8, sizes);
        for (int i = 0; i < sizes.n * k; i++)
            problem.weights[i] = draw() > 0 ? 1.0f : -1.0f;
        for (int i = 0; i < IMAGES * sizes.m; i++)
            memset(problem.a + problem.a_stride * (size_t)i, 255, (size_t)k);
        struct options options = {.threads = 1};
        float *found = multiply(&problem, kernel, &options),
              *expected = multiply(&problem, &gemm_int8_quads_plain, &options);
        assert_memory_equal(found, expected, (size_t)(IMAGES * sizes.m * (sizes.n + 1)) * sizeof *found);
        free(found);
        free(expected);
        free_problem(&problem);
    }
}

static void int8_avx512vnni_has_the_bits_of_plain(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx512vnni, "AVX512_VNNI");
    check_kernel(&gemm_int8_avx512vnni, &gemm_int8_plain, 0.0f);
    check_greatest(&gemm_int8_avx512vnni);
}

static void int8_avx512_has_the_bits_of_plain(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx512, "AVX-512");
    check_kernel(&gemm_int8_avx512, &gemm_int8_quads_plain, 0.0f);
    check_greatest(&gemm_int8_avx512);
    check_quads(&gemm_int8_avx512);
}

static void int8_avx2_has_the_bits_of_plain(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx2, "AVX2");
    check_kernel(&gemm_int8_avx2, &gemm_int8_quads_plain, 0.0f);
    check_greatest(&gemm_int8_avx2);
    check_quads(&gemm_int8_avx2);
}

// The plain kernel itself, against the formula in double.
static void plain_is_the_formula(void **unused)
{
    (void)unused;
    struct sizes sizes = {5, 19, 23};
    struct problem problem = make_problem(PRECISION_FP32, sizes);
    float *found = multiply(&problem, &gemm_fp32_plain, &(struct options){.threads = 1, .residual = true});
    for (int row = 0; row < IMAGES * sizes.m; row++) {
        for (int n = 0; n < sizes.n; n++) {
            double sum = problem.bias[n] + problem.residual[row * sizes.n + n];
            for (int i = 0; i < sizes.k; i++) {
                float a;
                memcpy(&a, problem.a + problem.a_stride * (size_t)row + (size_t)i * 4, sizeof a);
                sum += (double)a * (double)problem.weights[n * sizes.k + i];
            }
            // 25 additions of values below 8: each rounds by at most 2^-22
            assert_true(fabs(sum - (double)found[row * (sizes.n + 1) + n]) <= 25 * 0x1p-22);
        }
        assert_true(found[row * (sizes.n + 1) + sizes.n] == untouched);
    }
    free(found);
    free_problem(&problem);
}

// Weights whose values are multiples of their column's scale lose nothing: int8 equals the formula.
static void int8_is_the_formula(void **unused)
{
    (void)unused;
    struct sizes sizes = {3, 21, 45};
    struct problem problem = make_problem(PRECISION_INT8, sizes);
    for (int n = 0; n < sizes.n; n++) {
        for (int i = 0; i < sizes.k; i++)
            problem.weights[n * sizes.k + i] = roundf(draw() * 126.0f) * 0.25f;
        problem.weights[n * sizes.k] = 127.0f * 0.25f;
    }
    float *found = multiply(&problem, &gemm_int8_plain, &(struct options){.threads = 1});
    for (int row = 0; row < IMAGES * sizes.m; row++) {
        for (int n = 0; n < sizes.n; n++) {
            double sum = problem.bias[n], size = fabs(sum);
            for (int i = 0; i < sizes.k; i++) {
                int a = (uint8_t)problem.a[problem.a_stride * (size_t)row + (size_t)i];
                double product = (double)problem.scales[row].scale * (a - problem.scales[row].zero) *
                                 (double)problem.weights[n * sizes.k + i];
                sum += product;
                size += fabs(product);
            }
            // exact sum; the scales' product, its product and the addition round
            assert_true(fabs(sum - (double)found[row * (sizes.n + 1) + n]) <= size * 0x1p-22);
        }
    }
    free(found);
    free_problem(&problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_is_the_formula),
        cmocka_unit_test(int8_is_the_formula),
        cmocka_unit_test(fp32_avx512_has_the_bits_of_plain),
        cmocka_unit_test(fp32_avx2_has_the_bits_of_plain),
        cmocka_unit_test(bf16_is_near_plain),
        cmocka_unit_test(int8_avx512vnni_has_the_bits_of_plain),
        cmocka_unit_test(int8_avx512_has_the_bits_of_plain),
        cmocka_unit_test(int8_avx2_has_the_bits_of_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
