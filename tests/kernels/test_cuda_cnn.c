// test_cuda_cnn.c: convolutional networks on the CUDA backend (tests/support/cuda/cuda_networks.h): the parts
// of ResNet-18 and EfficientNet-B4 in every precision, Turing's kernels and Ampere's, maps, batches,
// refusals.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/cuda/cuda_networks.h"
#include "tests/support/mini_cnn.h"

static void check(struct network *network)
{
    for (enum precision precision = 0; precision < PRECISION_INT8; precision++)
        check_network(network, precision, 80);
    check_network(network, PRECISION_FP16, 75);
    network_free(network);
}

static void test_resnet(void **state)
{
    (void)state;
    check(mini_resnet());
}

static void test_efficientnet(void **state)
{
    (void)state;
    check(mini_efficientnet());
}

static void test_padding_of_tensorflow(void **state)
{
    (void)state;
    check(mini_same());
}

// The networks that are in service fit: channels, windows, memory, in every precision.
static void test_architectures(void **state)
{
    (void)state;
    static const char *const names[] = {"resnet18", "efficientnet_b4", "efficientnet_lite0",
                                        "tf_efficientnet_lite0"};
    struct backend *backend = open_shim(80);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct error err = {""};
        struct network *network;
        assert_int_equal(network_build(&network, names[i], MINI_CLASSES, &err), STATUS_OK);
        for (enum precision precision = 0; precision < PRECISION_INT8; precision++) {
            struct plan *plan = NULL;
            struct plan_options options = {.precision = precision, .max_batch = 1, .attention = EXPLAIN_LAST};
            if (prepare(backend, network, options, &plan, &err) != STATUS_OK)
                fail_msg("%s", err.message);
            printf("%s %s: %zu KiB for each image\n", names[i], precision_names[precision],
                   ((struct cuda_plan *)plan)->activations_size >> 10);
            assert_int_equal(plan->heads, 1);
            plan_free(plan);
        }
        network_free(network);
    }
    backend_close(backend);
}

static void test_batch(void **state)
{
    (void)state;
    struct network *resnet = mini_resnet(), *efficientnet = mini_efficientnet();
    check_batch(resnet, PRECISION_FP16);
    check_batch(efficientnet, PRECISION_FP32);
    network_free(resnet);
    network_free(efficientnet);
}

static void test_refusals(void **state)
{
    (void)state;
    struct error err = {""};
    struct plan *plan;
    struct plan_options options = {.max_batch = 1};
    struct backend *backend = open_shim(75);
    struct network *network = mini_resnet();
    options.precision = PRECISION_INT8;
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "int8"));
    network->operations[network->operation_count - 3].kind = OP_FIRST_ROW;
    options.precision = PRECISION_FP32;
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "no step for a part of mini_resnet"));
    options.attention = EXPLAIN_ROLLOUT;
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "rollout"));
    network_free(network);
    network = mini_efficientnet(); // a depthwise convolution without a bias: the kernel reads one
    struct network *folded = network_fold(network);
    network_free(network);
    network = folded;
    for (int i = 0; i < network->operation_count; i++)
        if (network->operations[i].groups > 1)
            network->operations[i].batchnorm = -1;
    options.attention = EXPLAIN_NOTHING;
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "no step for a part of mini_efficientnet"));
    network_free(network);
    backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resnet),
        cmocka_unit_test(test_efficientnet),
        cmocka_unit_test(test_padding_of_tensorflow),
        cmocka_unit_test(test_architectures),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
