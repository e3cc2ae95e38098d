// test_validate.c: the figures that choose the best epoch, by arithmetic; and what untrained networks begin
// with.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/initial_weights.h"
#include "trainer/validate.h"

static const double even[LESION_CLASSES] = {1, 1, 1, 1, 1, 1, 1, 1};

static void even_logits_lose_ln_8(void **state)
{
    (void)state;
    const float logits[3 * LESION_CLASSES] = {0};
    const int labels[] = {0, 3, 7};
    struct validation validation = validation_of(logits, labels, 3, even);
    assert_true(fabs(validation.loss - log(8)) < 1e-12);
    assert_true(fabs(validation.balanced_accuracy - 1.0 / 3) < 1e-12); // the first of equals is right once
}

static void classes_count_alike(void **state)
{
    (void)state;
    // Three of class 0, two of them right; one of class 1, right; nobody else.
    const float logits[4 * LESION_CLASSES] = {9, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0,
                                              0, 0, 0, 0, 0, 0, 0, 9, 0, 9, 0, 0, 0, 0, 0, 0};
    const int labels[] = {0, 0, 0, 1};
    struct validation validation = validation_of(logits, labels, 4, even);
    double right = log(1 + 7 * exp(-9)), wrong = 9 + right;
    assert_true(fabs(validation.balanced_accuracy - (2.0 / 3 + 1) / 2) < 1e-12);
    assert_true(fabs(validation.loss - (3 * right + wrong) / 4) < 1e-12);
    const double weights[LESION_CLASSES] = {2, 5, 1, 1, 1, 1, 1, 1};
    validation = validation_of(logits, labels, 4, weights);
    assert_true(fabs(validation.loss - (2 * (2 * right + wrong) + 5 * right) / 11) < 1e-12);
}

static void large_logits_stay_finite(void **state)
{
    (void)state;
    const float logits[LESION_CLASSES] = {3e38f, -3e38f};
    const int right = 0, wrong = 1;
    assert_true(validation_of(logits, &right, 1, even).loss == 0);
    assert_true(isfinite(validation_of(logits, &wrong, 1, even).loss));
}

static void check_weights(const struct weights *weights, const char *name, double mean, double deviation)
{
    const struct weight *weight = weights_find(weights, name);
    const float *values = weight->data;
    double sum = 0, squares = 0, count = (double)weight->count;
    for (size_t i = 0; i < weight->count; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    double found = sqrt(squares / count - sum / count * sum / count), sure = 5 * deviation / sqrt(count);
    if (fabs(sum / count - mean) > sure || fabs(found - deviation) > 5 * deviation / sqrt(2 * count))
        fail_msg("%s: mean %g, deviation %g; %g and %g are wanted", name, sum / count, found, mean,
                 deviation);
}

static struct weights *begin(const char *architecture, uint64_t seed)
{
    struct network *network = NULL;
    struct error err;
    struct weights *weights = weights_new();
    assert_int_equal(network_build_sized(&network, architecture, 32, LESION_CLASSES, &err), STATUS_OK);
    initial_weights_fill(weights, network, seed);
    network_free(network);
    return weights;
}

static void a_head_is_made_anew(void **state)
{
    (void)state;
    struct network *network = NULL;
    struct error err;
    struct weights *first = begin("vit_tiny_patch16_224", 1), *second = begin("vit_tiny_patch16_224", 2);
    assert_int_equal(network_build_sized(&network, "vit_tiny_patch16_224", 32, LESION_CLASSES, &err),
                     STATUS_OK);
    initial_weights_replace_head(first, network, 2);
    assert_memory_equal(weights_find(first, "head.weight")->data, weights_find(second, "head.weight")->data,
                        64);
    assert_memory_not_equal(weights_find(first, "blocks.0.attn.proj.weight")->data,
                            weights_find(second, "blocks.0.attn.proj.weight")->data, 64);
    network_free(network);
    weights_close(first);
    weights_close(second);
}

static void networks_begin_as_in_timm(void **state)
{
    (void)state;
    // Of a normal distribution that is cut at two deviations, the deviation is 0.8796 of the whole one's.
    const double cut = 0.879625;
    struct weights *vit = begin("vit_tiny_patch16_224", 1), *resnet = begin("resnet18", 1);
    struct weights *other = begin("vit_tiny_patch16_224", 2);
    check_weights(vit, "blocks.3.attn.qkv.weight", 0, 0.02 * cut);
    check_weights(vit, "patch_embed.proj.weight", 0, 0.02 * cut);
    check_weights(vit, "blocks.3.norm1.weight", 1, 0);
    check_weights(vit, "blocks.3.norm1.bias", 0, 0);
    check_weights(vit, "blocks.3.mlp.fc1.bias", 0, 0);
    check_weights(resnet, "layer3.0.conv1.weight", 0, sqrt(2.0 / (256 * 9)) * cut);
    check_weights(resnet, "bn1.running_var", 1, 0);
    check_weights(resnet, "bn1.running_mean", 0, 0);
    assert_memory_not_equal(weights_find(vit, "head.weight")->data, weights_find(other, "head.weight")->data,
                            64);
    assert_memory_not_equal(weights_find(vit, "blocks.0.attn.proj.weight")->data,
                            weights_find(vit, "blocks.1.attn.proj.weight")->data, 64);
    weights_close(vit);
    weights_close(resnet);
    weights_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(even_logits_lose_ln_8),    cmocka_unit_test(classes_count_alike),
        cmocka_unit_test(large_logits_stay_finite), cmocka_unit_test(networks_begin_as_in_timm),
        cmocka_unit_test(a_head_is_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
