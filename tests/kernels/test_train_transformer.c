// test_train_transformer.c: the fast executor's gradients against the plain one's, for each instruction set
// that is there and several shapes; the same bits for any number of threads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/base/cpu_features.h"
#include "tests/support/train_compare.h"

struct shape {
    int side, patch, width, heads;
};

// As vit.c has it, with other numbers.
static struct network *build(struct shape shape)
{
    struct network *network = memory_alloc(sizeof *network);
    strcpy(network->architecture, "small_vit");
    network->image_size = shape.side;
    network->classes = TRAIN_CLASSES;
    network->map_height = network->map_width = shape.side / shape.patch;
    for (int i = 0; i < 3; i++)
        network->std[i] = 1;
    const struct convolution_shape patches = {.height = shape.side,
                                              .width = shape.side,
                                              .channels = shape.width,
                                              .kernel = shape.patch,
                                              .stride = shape.patch,
                                              .groups = 1,
                                              .bias = true};
    int x = network_add_convolution(network, network_add_normalise(network), &patches, "patch_embed.proj");
    x = network_add_dropout(network, network_add_tokens(network, x, "cls_token", "pos_embed"));
    for (int i = 0; i < 3; i++)
        x = train_block(network, x, shape.heads, i);
    x = network_add_layernorm(network, network_add_first_row(network, x), 1e-6f, "norm");
    network_add_head(network, x, "head");
    return network;
}

static const struct shape shapes[] = {
    {48, 16, 48, 3}, // 10 tokens
    {24, 8, 24, 2},  // widths that no tile divides
    {84, 14, 64, 1}, // an odd number of tokens: 37
    {96, 8, 40, 5},  // 145 tokens: more than one group of tiles
};

static void compare_all(enum precision precision, double tolerance)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int freeze = 0; freeze <= 3; freeze++) {
            if (i > 0 && freeze > 0)
                break;
            struct training_options options = train_options();
            options.max_batch = IMAGES;
            options.freeze_blocks = freeze;
            options.dropout = i == 1 ? 0 : 0.25;
            struct network *network = build(shapes[i]);
            struct result plain = run(network, &options, 0);
            options.precision = precision;
            struct result fast = run(network, &options, 2);
            assert_string_equal(fast.executor, "transformer");
            compare(network, &fast, &plain, tolerance);
            free(plain.gradients);
            free(fast.gradients);
            network_free(network);
        }
}

static void test_avx2(void **state)
{
    (void)state;
    cpu_features_force(CPU_LEVEL_AVX2);
    if (cpu_features_get().avx2)
        compare_all(PRECISION_FP32, 1e-5);
    cpu_features_force(CPU_LEVEL_BEST);
}

static void test_avx512(void **state)
{
    (void)state;
    cpu_features_force(CPU_LEVEL_AVX512);
    if (cpu_features_get().avx512)
        compare_all(PRECISION_FP32, 1e-5);
    cpu_features_force(CPU_LEVEL_BEST);
}

static void test_best(void **state)
{
    (void)state;
    if (!cpu_features_get().avx2)
        return;
    compare_all(PRECISION_FP32, 1e-5);
    if (cpu_features_get().avx512bf16)
        compare_all(PRECISION_BF16, 6e-2); // operands have 8 bits
}

static void test_threads(void **state)
{
    (void)state;
    if (!cpu_features_get().avx2)
        return;
    struct training_options options = train_options();
    options.max_batch = IMAGES;
    for (int precision = 0; precision < 2; precision++) {
        if (precision == 1 && !cpu_features_get().avx512bf16)
            break;
        options.precision = precision ? PRECISION_BF16 : PRECISION_FP32;
        struct network *network = build(shapes[3]);
        check_threads(network, &options);
        network_free(network);
    }
}

// What is not finite is not hidden on its way: not by a softmax's maximum, nor by GELU's bounds.
static void test_not_finite(void **state)
{
    (void)state;
    if (!cpu_features_get().avx2)
        return;
    struct training_options options = train_options();
    options.max_batch = IMAGES;
    struct network *network = build(shapes[0]);
    for (int precision = 0; precision < (cpu_features_get().avx512bf16 ? 2 : 1); precision++)
        for (int level = CPU_LEVEL_AVX2; level <= CPU_LEVEL_BEST; level++) {
            if (precision && level != CPU_LEVEL_BEST)
                continue;
            options.precision = precision ? PRECISION_BF16 : PRECISION_FP32;
            cpu_features_force((enum cpu_level)level);
            bad_pixel = NAN;
            struct result result = run(network, &options, 2);
            bad_pixel = 0;
            cpu_features_force(CPU_LEVEL_BEST);
            assert_true(isnan(result.loss.loss));
            int qkv = network_find_parameter(network, "blocks.0.attn.qkv.weight");
            assert_true(isnan(result.gradients[training_offset(network, qkv)]));
            free(result.gradients);
        }
    network_free(network);
}

// Networks that it lacks go to the plain executor.
static void test_other_networks(void **state)
{
    (void)state;
    if (!cpu_features_get().avx2)
        return;
    struct training_options options = train_options();
    struct network *network = mini_train();
    struct weights *weights = weights_new();
    struct backend *backend = NULL;
    struct training *training = NULL;
    struct error err;
    random_weights_fill(weights, network, 1);
    assert_int_equal(backend_open(&backend, "cpu", 2, &err), STATUS_OK);
    assert_int_equal(training_prepare(backend, network, weights, &options, &training, &err), STATUS_OK);
    assert_string_equal(training->executor, "plain");
    training_free(training);
    weights_close(weights);
    backend_close(backend);
    network_free(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_avx2),       cmocka_unit_test(test_avx512),
        cmocka_unit_test(test_best),       cmocka_unit_test(test_threads),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_other_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
