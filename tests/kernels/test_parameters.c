// test_parameters.c: batch normalisation folded into a convolution, against its formula with numbers whose
// roots are whole; other operations get what the file has.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/model/network_weights.h"
#include "kernels/model/parameters.h"
#include "kernels/model/random_weights.h"
#include "kernels/network/network_build.h"

// One 1 x 1 convolution of two channels to two, on one pixel.
static struct network *one_convolution(bool bias, bool batchnorm)
{
    struct network *network = memory_alloc(sizeof *network);
    network->image_size = 1;
    network->classes = 2;
    network->explained_op = -1;
    const struct convolution_shape shape = {.height = 1,
                                            .width = 1,
                                            .channels = 2,
                                            .kernel = 1,
                                            .stride = 1,
                                            .groups = 1,
                                            .bias = bias,
                                            .batchnorm = batchnorm ? "norm" : NULL,
                                            .epsilon = 0.25f};
    network_add_convolution(network, network_add_normalise(network), &shape, "conv");
    struct network *folded = network_fold(network);
    network_free(network);
    return folded;
}

static struct weights *some_weights(void)
{
    struct weights *weights = weights_new();
    weights_add(weights, "conv.weight", 4, (int64_t[]){2, 3, 1, 1}, (float[]){1, 2, 3, 4, 5, 6});
    weights_add(weights, "conv.bias", 1, (int64_t[]){2}, (float[]){10, 20});
    weights_add(weights, "norm.weight", 1, (int64_t[]){2}, (float[]){4, -1});
    weights_add(weights, "norm.bias", 1, (int64_t[]){2}, (float[]){100, 200});
    weights_add(weights, "norm.running_mean", 1, (int64_t[]){2}, (float[]){2, 3});
    weights_add(weights, "norm.running_var", 1, (int64_t[]){2}, (float[]){3.75f, 0}); // roots: 2 and 0.5
    return weights;
}

static void check(bool bias, bool batchnorm, const float weight[6], const float expected_bias[2])
{
    struct error err = {""};
    struct network *network = one_convolution(bias, batchnorm);
    struct weights *weights = some_weights();
    const struct operation *convolution = &network->operations[1];
    float values[6], biases[2];
    assert_int_equal(network_check_weights(network, weights, &err), STATUS_OK);
    assert_int_equal(parameters_weight_count(network, convolution), 6);
    assert_int_equal(parameters_bias_count(network, convolution), expected_bias ? 2 : 0);
    parameters_read(network, convolution, weights, values, expected_bias ? biases : NULL);
    assert_memory_equal(values, weight, sizeof values);
    if (expected_bias)
        assert_memory_equal(biases, expected_bias, sizeof biases);
    memset(values, 0, sizeof values);
    parameters_read(network, convolution, weights, values, NULL);
    assert_memory_equal(values, weight, sizeof values);
    memset(biases, 0, sizeof biases);
    parameters_read(network, convolution, weights, NULL, biases);
    if (expected_bias)
        assert_memory_equal(biases, expected_bias, sizeof biases);
    weights_close(weights);
    network_free(network);
}

static void batch_normalisation_is_folded(void **state)
{
    (void)state;
    // scales 4 / 2 and -1 / 0.5
    const float scaled[6] = {2, 4, 6, -8, -10, -12};
    check(false, true, scaled, (float[]){100 - 2 * 2, 200 - 3 * -2});
    check(true, true, scaled, (float[]){100 + (10 - 2) * 2, 200 + (20 - 3) * -2});
}

static void without_it_the_values_stay(void **state)
{
    (void)state;
    const float plain[6] = {1, 2, 3, 4, 5, 6};
    check(true, false, plain, (float[]){10, 20});
    check(false, false, plain, NULL);
}

static void other_operations_have_what_the_file_has(void **state)
{
    (void)state;
    struct error err = {""};
    struct network *network = NULL;
    assert_int_equal(network_build(&network, "vit_tiny_patch16_224", 8, &err), STATUS_OK);
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        size_t count = parameters_weight_count(network, operation);
        assert_int_equal(count > 0, operation->weight >= 0);
        if (operation->kind != OP_TOKENS)
            continue;
        assert_int_equal(count, 192);
        assert_int_equal(parameters_bias_count(network, operation), 197 * 192);
        float *positions = memory_alloc(197 * 192 * sizeof *positions);
        parameters_read(network, operation, weights, NULL, positions);
        assert_memory_equal(positions, weights_find(weights, "pos_embed")->data,
                            197 * 192 * sizeof *positions);
        free(positions);
    }
    weights_close(weights);
    network_free(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_normalisation_is_folded),
        cmocka_unit_test(without_it_the_values_stay),
        cmocka_unit_test(other_operations_have_what_the_file_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
