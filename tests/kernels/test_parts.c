// test_parts.c: the parts of a network that can be timed: which operation belongs to which, and that the CPU
// executors fill in their times when they are asked to.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "kernels/cpu/plain.h"
#include "tests/support/mini_cnn.h"

static int index_of_weight(const struct network *network, const char *name)
{
    int parameter = network_find_parameter(network, name);
    for (int i = 0; i < network->operation_count; i++)
        if (parameter >= 0 && network->operations[i].weight == parameter)
            return i;
    fail_msg("%s has no operation with %s", network->architecture, name);
    return -1;
}

// The first and last weights of each part, as timm names them.
struct borders {
    const char *architecture, *embed, *first_block, *last_block, *head;
};

static void operations_belong_to_parts(void **unused)
{
    (void)unused;
    static const struct borders all[] = {
        {"vit_tiny_patch16_224", "cls_token", "blocks.0.norm1.weight", "blocks.11.mlp.fc2.weight",
         "norm.weight"},
        {"resnet18", "conv1.weight", "layer1.0.conv1.weight", "layer4.1.conv2.weight", "fc.weight"},
        {"efficientnet_b4", "conv_stem.weight", "blocks.0.0.conv_dw.weight", "conv_head.weight",
         "classifier.weight"},
        {"efficientnet_lite0", "conv_stem.weight", "blocks.0.0.conv_dw.weight", "conv_head.weight",
         "classifier.weight"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct error err = {""};
        struct network *trained, *network;
        assert_int_equal(network_build(&trained, all[i].architecture, 8, &err), STATUS_OK);
        network = network_fold(trained);
        network_free(trained);
        assert_int_equal(network_part_of(network, 0), PART_EMBED);
        assert_int_equal(network_part_of(network, index_of_weight(network, all[i].embed)), PART_EMBED);
        assert_int_equal(network_part_of(network, index_of_weight(network, all[i].first_block)), PART_BLOCKS);
        assert_int_equal(network_part_of(network, index_of_weight(network, all[i].last_block)), PART_BLOCKS);
        assert_int_equal(network_part_of(network, index_of_weight(network, all[i].head)), PART_HEAD);
        assert_int_equal(network_part_of(network, network->operation_count - 2),
                         PART_HEAD); // mean or class token
        assert_int_equal(network_part_of(network, network->operation_count - 1), PART_HEAD);
        for (int j = 1; j < network->operation_count; j++)
            assert_true(network_part_of(network, j - 1) <= network_part_of(network, j));
        network_free(network);
    }
}

// Each part takes some time, and all together no more than the runs did. Frees the network.
static void check_times(struct backend *backend, struct network *network)
{
    enum { IMAGES = 3, RUNS = 20 };
    static uint8_t view[MINI_VIEW];
    static const uint8_t *const views[IMAGES] = {view, view, view};
    struct error err = {""};
    struct weights *weights = weights_new();
    struct plan *plan;
    struct plan_options options = {.max_batch = IMAGES};
    float logits[IMAGES * MINI_CLASSES];
    struct inference result = {.logits = logits};
    double part_ms[PART_COUNT] = {0};
    random_weights_fill(weights, network, 5);
    assert_int_equal(backend_prepare(backend, network, weights, &options, &plan, &err), STATUS_OK);
    assert_null(plan->part_ms);
    assert_int_equal(plan_run(plan, views, IMAGES, &result, &err), STATUS_OK);
    plan->part_ms = part_ms;
    int64_t begun_us = clock_monotonic_us();
    for (int i = 0; i < RUNS; i++)
        assert_int_equal(plan_run(plan, views, IMAGES, &result, &err), STATUS_OK);
    double whole_ms = (double)(clock_monotonic_us() - begun_us) / 1e3, sum_ms = 0;
    for (int part = 0; part < PART_COUNT; part++)
        sum_ms += part_ms[part];
    assert_true(part_ms[PART_EMBED] > 0 && part_ms[PART_BLOCKS] > 0 && part_ms[PART_HEAD] > 0);
    assert_true(sum_ms <= whole_ms);
    plan_free(plan);
    weights_close(weights);
    network_free(network);
}

static void the_executors_tell_their_times(void **unused)
{
    (void)unused;
    struct backend *backend;
    struct error err = {""};
    assert_int_equal(backend_open(&backend, "cpu", 2, &err), STATUS_OK);
    check_times(backend, mini_vit(64, 2));
    check_times(backend, mini_resnet());
    check_times(backend, mini_efficientnet());
    backend_close(backend);
}

static void the_plain_executor_tells_its_times(void **unused)
{
    (void)unused;
    struct backend *backend = cpu_plain_backend_open();
    check_times(backend, mini_vit(64, 2));
    backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_belong_to_parts),
        cmocka_unit_test(the_executors_tell_their_times),
        cmocka_unit_test(the_plain_executor_tells_its_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
