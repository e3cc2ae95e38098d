// test_network.c: the networks' numbers against published ones, their weights against timm's names and
// shapes, the pseudo-random weights against the Python generator, and what network_check_weights refuses.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/digest.h"
#include "common/base/memory.h"
#include "kernels/backend.h"
#include "kernels/model/network_weights.h"
#include "kernels/model/random_weights.h"

static struct network *build(const char *architecture, int classes)
{
    struct error err = {""};
    struct network *network = NULL;
    assert_int_equal(network_build(&network, architecture, classes, &err), STATUS_OK);
    return network;
}

static double parameter_count(const struct network *network)
{
    double total = 0;
    for (int i = 0; i < network->parameter_count; i++)
        if (network->parameters[i].kind < PARAMETER_MEAN) // statistics are not learnt
            total += (double)parameter_size(&network->parameters[i]);
    return total;
}

// The rank, 0: no such parameter.
static int shape_of(const struct network *network, const char *name, int64_t shape[TENSOR_MAX_RANK])
{
    int index = network_find_parameter(network, name);
    if (index < 0)
        return 0;
    memcpy(shape, network->parameters[index].shape, sizeof network->parameters[index].shape);
    return network->parameters[index].rank;
}

// timm's results tables: parameters in millions and multiply-adds in billions with 1000 classes.
static void sizes_are_the_published_ones(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double parameters, multiply_adds;
    } published[] = {{"vit_tiny_patch16_224", 5717416, 1.26e9},
                     {"vit_small_patch16_224", 22050664, 4.61e9},
                     {"vit_base_patch16_224", 86567656, 17.58e9},
                     {"vit_large_patch16_224", 304326632, 61.60e9},
                     {"resnet18", 11689512, 1.82e9},
                     {"efficientnet_b4", 19341616, 3.13e9},
                     {"vit_small_patch14_dinov2", 22441192 - 2 * 12 * 384, 46.76e9}, // no LayerScale
                     {"efficientnet_lite0", 4652008, 385187552}, // counted layer by layer in PyTorch
                     {"tf_efficientnet_lite0", 4652008, 385187552}};
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        struct error err = {""};
        struct network *network = NULL;
        int size = strcmp(published[i].name, "efficientnet_b4") == 0 ? 320
                   : strstr(published[i].name, "dinov2")             ? 518
                                                                     : 224;
        assert_int_equal(network_build_sized(&network, published[i].name, size, 1000, &err), STATUS_OK);
        assert_true(parameter_count(network) == published[i].parameters);
        double ratio = network_flops(network) / 2 / published[i].multiply_adds;
        assert_true(ratio > 0.975 && ratio <= 1); // theirs count norms and activations as well
        assert_string_equal(network_architectures()[i], published[i].name);
        network_free(network);
    }
    assert_null(network_architectures()[9]);
    struct network *network = build("vit_base_patch16_224", 8);
    double block = 197.0 * 768 * (2304 + 768 + 3072 + 3072) + 2.0 * 197 * 197 * 768;
    assert_true(network_flops(network) == 2 * (196.0 * 768 * 768 + 12 * block + 8 * 768));
    network_free(network);
}

static void weights_have_timms_shapes(void **state)
{
    (void)state;
    struct network *network = build("vit_base_patch16_224", 8);
    int64_t shape[TENSOR_MAX_RANK];
    assert_int_equal(shape_of(network, "patch_embed.proj.weight", shape), 4);
    assert_memory_equal(shape, ((int64_t[]){768, 3, 16, 16}), 4 * sizeof shape[0]);
    assert_int_equal(shape_of(network, "pos_embed", shape), 3);
    assert_memory_equal(shape, ((int64_t[]){1, 197, 768}), 3 * sizeof shape[0]);
    assert_int_equal(shape_of(network, "blocks.11.attn.qkv.weight", shape), 2);
    assert_memory_equal(shape, ((int64_t[]){2304, 768}), 2 * sizeof shape[0]);
    assert_int_equal(shape_of(network, "head.bias", shape), 1);
    assert_int_equal(shape[0], 8);
    assert_int_equal(shape_of(network, "blocks.12.norm1.weight", shape), 0);
    network_free(network);
}

static void unknown_architectures_are_refused(void **state)
{
    (void)state;
    struct error err = {""};
    struct network *network = NULL;
    assert_int_equal(network_build(&network, "vit_huge", 8, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "vit_huge"));
    assert_non_null(strstr(err.message, "vit_large_patch16_224"));
    assert_int_equal(network_build(&network, "vit_base_patch16_224", 0, &err), STATUS_REJECTED);
    assert_null(network);
}

static void batch_normalisations_have_timms_names(void **state)
{
    (void)state;
    struct network *network = build("efficientnet_b4", 8);
    int64_t shape[TENSOR_MAX_RANK];
    assert_int_equal(shape_of(network, "blocks.6.1.bn3.running_var", shape), 1);
    assert_int_equal(shape[0], 448);
    assert_int_equal(shape_of(network, "blocks.0.0.conv_dw.weight", shape), 4);
    assert_memory_equal(shape, ((int64_t[]){48, 1, 3, 3}), 4 * sizeof shape[0]);
    assert_int_equal(shape_of(network, "blocks.5.0.se.conv_reduce.bias", shape), 1);
    assert_int_equal(shape[0], 40);
    assert_int_equal(shape_of(network, "bn2.running_", shape), 0);
    assert_int_equal(shape_of(network, "bn3.bias", shape), 0);
    network_free(network);
}

static void check_size(const char *architecture, int image_size, int map_side)
{
    struct error err = {""};
    struct network *network = NULL;
    enum status status = network_build_sized(&network, architecture, image_size, 8, &err);
    if (map_side > 0) {
        assert_int_equal(status, STATUS_OK);
        assert_int_equal(network->image_size, image_size);
        assert_int_equal(network->map_height, map_side);
        assert_int_equal(network->map_width, map_side);
    } else {
        assert_int_equal(status, STATUS_REJECTED);
        assert_null(network);
        assert_non_null(strstr(err.message, architecture));
        assert_non_null(strstr(err.message, "a side must be a multiple of"));
    }
    network_free(network);
}

static void networks_take_the_sizes_they_can(void **state)
{
    (void)state;
    check_size("vit_tiny_patch16_224", 384, 24);
    check_size("vit_tiny_patch16_224", 1024, 64);
    check_size("vit_tiny_patch16_224", 230, 0);
    check_size("vit_tiny_patch16_224", 0, 0);
    check_size("vit_tiny_patch16_224", 1040, 0);
    check_size("resnet18", 224, 7);
    check_size("resnet18", 31, 0);
    check_size("efficientnet_b4", 224, 7);
    check_size("efficientnet_b4", 320, 10);
    check_size("efficientnet_b4", 380, 12);
    check_size("efficientnet_b4", -320, 0);
    check_size("efficientnet_lite0", 224, 7);
    check_size("tf_efficientnet_lite0", 97, 4);
    check_size("vit_small_patch14_dinov2", 224, 16);
    check_size("vit_small_patch14_dinov2", 518, 37);
    check_size("vit_small_patch14_dinov2", 1022, 73);
    check_size("vit_small_patch14_dinov2", 256, 0);
}

// Digests of tests/golden/random_weights.py: tensor(7, name, shape).astype("<f4").
static void random_weights_equal_pythons(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"blocks.0.attn.qkv.weight", "54ae813945d9c0f7b9883e62d22a6b273d669171d840fbe270dd2cda198d8967"},
        {"pos_embed", "fc2f0e579b915e54e41486be32549f568979e59c8429653a927e59e7b0a0a8f1"},
        {"blocks.11.norm1.weight", "c71bb9f445e033d366980b8017ee67dbaf69e756251a321330b6e6dfc1613a93"},
        {"head.bias", "d1798661b2191d6061a4e6751d59a52cbe53a7909b7c47552dea31135bd71389"},
        {"patch_embed.proj.weight", "64c9c34272c64565443f3f5725415a3d2fc4760021fe1a18098f506fe463f55f"}};
    struct network *network = build("vit_tiny_patch16_224", 8);
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 7);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const struct weight *weight = weights_find(weights, expected[i][0]);
        struct digest digest = digest_of(weight->data, weight->size);
        char text[DIGEST_TEXT_SIZE];
        digest_text(&digest, text);
        assert_string_equal(text, expected[i][1]);
    }
    weights_close(weights);
    network_free(network);
}

enum fault { MISSING, WRONG_SHAPE, LOWER_RANK, HIGHER_RANK, IS_NAN, IS_INFINITE, IS_NEGATIVE };

static void spoil(struct weight *weight, float *values, enum fault fault)
{
    float *last = &values[weight->count - 1];
    if (fault == WRONG_SHAPE)
        weight->shape[0]--;
    else if (fault == LOWER_RANK)
        weight->rank--;
    else if (fault == HIGHER_RANK)
        weight->shape[weight->rank++] = 1;
    else
        *last = fault == IS_NAN ? NAN : fault == IS_INFINITE ? -INFINITY : -1e-9f;
}

// All weights of the network, with the named one spoilt.
static void check_refused(const char *architecture, const char *name, enum fault fault, const char *sentence)
{
    struct network *network = build(architecture, 8);
    struct weights *whole = weights_new(), *spoilt = weights_new();
    struct error err = {""};
    random_weights_fill(whole, network, 1);
    assert_int_equal(network_check_weights(network, whole, &err), STATUS_OK);
    for (size_t i = 0; i < weights_count(whole); i++) {
        struct weight copy = *weights_at(whole, i);
        float *values = memory_alloc(copy.size);
        weight_to_float(&copy, values);
        bool chosen = strcmp(copy.name, name) == 0;
        if (chosen && fault != MISSING)
            spoil(&copy, values, fault);
        if (!chosen || fault != MISSING)
            weights_add(spoilt, copy.name, copy.rank, copy.shape, values);
        free(values);
    }
    assert_int_equal(network_check_weights(network, spoilt, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, name));
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not say '%s'", err.message, sentence);
    weights_close(whole);
    weights_close(spoilt);
    network_free(network);
}

static void unfit_weights_are_refused_by_name(void **state)
{
    (void)state;
    const char *vit = "vit_tiny_patch16_224";
    check_refused(vit, "blocks.7.mlp.fc1.bias", MISSING, "missing");
    check_refused(vit, "cls_token", MISSING, "1 x 1 x 192");
    check_refused(vit, "head.weight", WRONG_SHAPE, "7 x 192");
    check_refused(vit, "pos_embed", LOWER_RANK, "1 x 197 x 192");
    check_refused(vit, "norm.bias", HIGHER_RANK, "192 x 1, vit_tiny_patch16_224 needs 192");
    check_refused(vit, "norm.weight", IS_NAN, "value 191 is NaN");
    check_refused(vit, "blocks.0.attn.proj.weight", IS_INFINITE, "infinite");
    check_refused("resnet18", "layer2.0.downsample.1.running_var", MISSING, "(128) is missing");
    check_refused("resnet18", "layer2.0.downsample.1.running_mean", IS_NAN, "value 127 is NaN");
    check_refused("resnet18", "bn1.running_var", IS_NEGATIVE, "variances, but value 63 is negative");
}

// Whole weights of one architecture, offered to another.
static void check_recognised(const char *is, const char *should_be)
{
    struct error err = {""};
    struct network *source = build(is, 1000), *network = build(should_be, 8);
    struct weights *weights = weights_new();
    random_weights_fill(weights, source, 1);
    assert_string_equal(network_recognise(weights), is);
    assert_int_equal(network_check_weights(network, weights, &err), STATUS_REJECTED);
    char *sentence = memory_format("these are weights of %s, not of %s", is, should_be);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not say '%s'", err.message, sentence);
    free(sentence);
    weights_close(weights);
    network_free(source);
    network_free(network);
}

static void weights_of_another_architecture_are_recognised(void **state)
{
    (void)state;
    check_recognised("resnet18", "vit_tiny_patch16_224");
    check_recognised("vit_tiny_patch16_224", "efficientnet_b4");
    check_recognised("vit_tiny_patch16_224", "vit_small_patch16_224");
    check_recognised("vit_small_patch16_224", "vit_small_patch14_dinov2");
    check_recognised("efficientnet_b4", "efficientnet_lite0");
    struct weights *nothing = weights_new();
    assert_null(network_recognise(nothing));
    weights_close(nothing);
}

static void positions_that_are_no_square_are_refused(void **state)
{
    (void)state;
    static const struct {
        int rank;
        int64_t shape[TENSOR_MAX_RANK];
    } wrong[] = {{3, {1, 199, 192}}, {3, {1, 145, 191}}, {3, {2, 145, 192}}, {3, {1, 1, 192}}};
    struct network *network = build("vit_tiny_patch16_224", 8);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct error err = {""};
        struct weights *weights = weights_new();
        random_weights_add(weights, "pos_embed", wrong[i].rank, wrong[i].shape, 1);
        assert_int_equal(network_fit_weights(network, weights, &err), STATUS_REJECTED);
        assert_non_null(strstr(err.message, "'pos_embed'"));
        assert_non_null(strstr(err.message, "square"));
        weights_close(weights);
    }
    network_free(network);
}

static void backends_and_precisions_go_by_name(void **state)
{
    (void)state;
    struct error err = {""};
    struct backend *backend = NULL;
    enum precision precision = PRECISION_FP32;
    assert_true(precision_parse("int8", &precision));
    assert_int_equal(precision, PRECISION_INT8);
    assert_false(precision_parse("fp8", &precision));
    assert_int_equal(backend_open(&backend, "tpu", 0, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "tpu"));
    assert_null(backend);
    assert_int_equal(backend_open(&backend, "cpu", 2, &err), STATUS_OK);
    assert_string_equal(backend->name, "cpu");
    assert_int_equal(backend->threads, 2);
    backend_close(backend);
    backend_close(NULL);
    plan_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_the_published_ones),
        cmocka_unit_test(weights_have_timms_shapes),
        cmocka_unit_test(batch_normalisations_have_timms_names),
        cmocka_unit_test(networks_take_the_sizes_they_can),
        cmocka_unit_test(unknown_architectures_are_refused),
        cmocka_unit_test(random_weights_equal_pythons),
        cmocka_unit_test(unfit_weights_are_refused_by_name),
        cmocka_unit_test(weights_of_another_architecture_are_recognised),
        cmocka_unit_test(positions_that_are_no_square_are_refused),
        cmocka_unit_test(backends_and_precisions_go_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
