// test_training.c: what is the same for every device: the blocks' layout, learning rates by depth, bounds.
#include "kernels/training.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/model/random_weights.h"

static struct network *build(const char *name)
{
    struct network *network = NULL;
    struct error err;
    assert_int_equal(network_build(&network, name, 8, &err), STATUS_OK);
    return network;
}

static double factor(const struct network *network, const char *name, const struct training_options *options)
{
    int parameter = network_find_parameter(network, name);
    assert_true(parameter >= 0);
    return training_rate_factor(network, parameter, options);
}

static void test_layout(void **state)
{
    (void)state;
    struct network *network = build("vit_tiny_patch16_224");
    assert_int_equal(training_offset(network, 0), 0);
    assert_int_equal(training_offset(network, 1), 192 * 3 * 16 * 16); // patch_embed.proj.weight
    // 5,524,416 without a head (timm), and 8 x 192 + 8
    assert_int_equal(training_offset(network, network->parameter_count), 5524416 + 8 * 192 + 8);
    network_free(network);
}

static void test_factors_of_a_transformer(void **state)
{
    (void)state;
    struct network *network = build("vit_tiny_patch16_224");
    struct training_options options = training_options_default();
    options.layer_decay = 0.5;
    options.head_factor = 10;
    assert_int_equal(training_block_count(network), 12);
    assert_true(factor(network, "head.weight", &options) == 10);
    assert_true(factor(network, "norm.bias", &options) == 1);
    assert_true(factor(network, "blocks.11.mlp.fc2.weight", &options) == 0.5);
    assert_true(factor(network, "blocks.0.norm1.weight", &options) == ldexp(1, -12));
    assert_true(factor(network, "pos_embed", &options) == ldexp(1, -13));
    options.freeze_blocks = 11;
    assert_true(factor(network, "cls_token", &options) == 0);
    assert_true(factor(network, "blocks.10.attn.qkv.bias", &options) == 0);
    assert_true(factor(network, "blocks.11.attn.qkv.bias", &options) == 0.5);
    network_free(network);
}

static void test_factors_of_convolutional_networks(void **state)
{
    (void)state;
    struct network *network = build("resnet18");
    struct training_options options = training_options_default();
    assert_int_equal(training_block_count(network), 8);
    assert_true(factor(network, "bn1.running_mean", &options) == 0);
    assert_true(factor(network, "bn1.weight", &options) == 1);
    options.freeze_blocks = 8;
    assert_true(factor(network, "layer4.1.conv2.weight", &options) == 0);
    assert_true(factor(network, "fc.weight", &options) == 1);
    network_free(network);
    network = build("efficientnet_b4");
    assert_int_equal(training_block_count(network), 7);
    network_free(network);
}

static void test_decay(void **state)
{
    (void)state;
    struct network *network = build("vit_tiny_patch16_224");
    struct training_options options = training_options_default();
    assert_true(training_decays(network, network_find_parameter(network, "head.weight"), &options));
    assert_false(training_decays(network, network_find_parameter(network, "head.bias"), &options));
    assert_false(training_decays(network, network_find_parameter(network, "pos_embed"), &options));
    options.adamw.decay_all = true;
    assert_true(training_decays(network, network_find_parameter(network, "pos_embed"), &options));
    network_free(network);
}

static void test_bounds(void **state)
{
    (void)state;
    struct network *network = build("vit_tiny_patch16_224");
    struct weights *weights = weights_new();
    struct backend *backend = NULL;
    struct error err;
    assert_int_equal(backend_open(&backend, "simulated", 1, &err), STATUS_OK);
    struct training_options options[8];
    for (int i = 0; i < 8; i++)
        options[i] = training_options_default();
    options[0].dropout = 1;
    options[1].max_batch = 0;
    options[2].freeze_blocks = 13;
    options[3].class_weights[7] = 0;
    options[4].precision = PRECISION_INT8;
    options[5].layer_decay = NAN;
    options[6].adamw.epsilon = 0;
    options[7].clip = INFINITY;
    static const char *const words[] = {"dropout", "batch of 0", "13 blocks", "class 7",
                                        "int8",    "layer dec",  "epsilon",   "norm"};
    for (int i = 0; i < 8; i++) {
        struct training *training = NULL;
        assert_int_equal(training_prepare(backend, network, weights, &options[i], &training, &err),
                         STATUS_REJECTED);
        assert_null(training);
        assert_non_null(strstr(err.message, words[i]));
    }
    weights_close(weights);
    backend_close(backend);
    network_free(network);
}

static void test_a_device_that_cannot_train(void **state)
{
    (void)state;
    struct network *network = build("vit_tiny_patch16_224");
    struct weights *weights = weights_new();
    struct backend *backend = NULL;
    struct training *training = NULL;
    struct error err;
    random_weights_fill(weights, network, 1);
    assert_int_equal(backend_open(&backend, "simulated", 1, &err), STATUS_OK);
    struct training_options options = training_options_default();
    assert_int_equal(training_prepare(backend, network, weights, &options, &training, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "simulated"));
    training_free(training);
    weights_close(weights);
    backend_close(backend);
    network_free(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_factors_of_a_transformer),
        cmocka_unit_test(test_factors_of_convolutional_networks),
        cmocka_unit_test(test_decay),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_a_device_that_cannot_train),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
