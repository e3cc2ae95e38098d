// test_train_convnet.c: the gradients of the fast executor of convolutional networks against the plain one's,
// for each instruction set that is there; the same bits for any number of threads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/base/cpu_features.h"
#include "tests/support/mini_cnn.h"
#include "tests/support/skip.h"
#include "tests/support/train_compare.h"

// What the other two lack: a bias on a whole map, dropout, strides that leave places out, 7 x 7 channel by
// channel, a sum of a tensor with itself; Winograd's tiles in several parts and for more channels than a unit
// has.
static struct network *mini_rest(void)
{
    struct network *network = mini_network("mini_rest");
    struct mini_map x = {network_add_normalise(network), MINI_SIDE, 3};
    x = mini_convolution(network, x, (struct mini_layer){40, 3, 1, false, true});
    x.tensor = network_add_relu6(network, x.tensor);
    x = mini_convolution(network, x, (struct mini_layer){40, 7, 2, true, false});
    x.tensor = network_add_silu(network, x.tensor);
    x = mini_convolution(network, x, (struct mini_layer){72, 3, 1, false, false});
    x.tensor = network_add_silu(network, x.tensor);
    struct mini_map side = mini_convolution(network, x, (struct mini_layer){20, 1, 3, false, false});
    x = mini_convolution(network, x, (struct mini_layer){20, 5, 3, false, false});
    x.tensor = network_add_dropout(network, network_add_sum(network, x.tensor, side.tensor));
    x.tensor = network_add_sum(network, x.tensor, x.tensor);
    return mini_head(network, x);
}

static struct network *(*const builders[])(void) = {mini_resnet, mini_efficientnet, mini_rest, mini_same};
enum { NETWORKS = sizeof builders / sizeof builders[0] };

static struct training_options options_of(void)
{
    struct training_options options = train_options();
    options.max_batch = IMAGES;
    for (int i = 0; i < MINI_CLASSES; i++)
        options.class_weights[i] = 0.5 + i;
    return options;
}

static void compare_network(struct network *network, enum precision precision, double tolerance)
{
    struct training_options options = options_of();
    struct result plain = run(network, &options, 0);
    options.precision = precision;
    struct result fast = run(network, &options, 2);
    assert_string_equal(fast.executor, "convnet");
    compare(network, &fast, &plain, tolerance);
    free(plain.gradients);
    free(fast.gradients);
    network_free(network);
}

static void compare_all(void)
{
    for (int i = 0; i < NETWORKS; i++)
        compare_network(builders[i](), PRECISION_FP32, 2e-5);
}

static void test_avx2(void **state)
{
    (void)state;
    cpu_features_force(CPU_LEVEL_AVX2);
    if (cpu_features_get().avx2)
        compare_all();
    cpu_features_force(CPU_LEVEL_BEST);
}

static void test_best(void **state)
{
    (void)state;
    if (cpu_features_get().avx512)
        compare_all();
}

static void test_bf16(void **state)
{
    (void)state;
    skip_without(cpu_features_get().avx512bf16, "AVX512_BF16");
    // Operands have 8 bits: 1 % without a ReLU, which feels a value that changes its sign.
    compare_network(mini_same(), PRECISION_BF16, 0.02);
    compare_network(mini_rest(), PRECISION_BF16, 0.1);
    compare_network(mini_resnet(), PRECISION_BF16, 0.2);
}

// What a call of check_threads or of NaNs has of each.
static int precisions(void)
{
    return cpu_features_get().avx512bf16 ? 2 : 1;
}

static void test_threads(void **state)
{
    (void)state;
    if (!cpu_features_get().avx2)
        return;
    struct training_options options = options_of();
    for (int i = 0; i < NETWORKS; i++) {
        struct network *network = builders[i]();
        for (int j = 0; j < precisions(); j++) {
            options.precision = j ? PRECISION_BF16 : PRECISION_FP32;
            check_threads(network, &options);
        }
        network_free(network);
    }
}

// A NaN goes through activations and pooling, forward and back.
static void test_nan(void **state)
{
    (void)state;
    if (!cpu_features_get().avx2)
        return;
    struct training_options options = options_of();
    for (int i = 0; i < NETWORKS; i++)
        for (int j = 0; j < 1 + precisions(); j++) {
            enum cpu_level level = j == 0 ? CPU_LEVEL_AVX2 : CPU_LEVEL_BEST;
            options.precision = j == 2 ? PRECISION_BF16 : PRECISION_FP32;
            struct network *network = builders[i]();
            cpu_features_force(level);
            bad_pixel = NAN;
            struct result result = run(network, &options, 2);
            bad_pixel = 0;
            cpu_features_force(CPU_LEVEL_BEST);
            assert_true(isnan(result.loss.loss));
            assert_true(isnan(result.gradients[0]));
            free(result.gradients);
            network_free(network);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_avx2),    cmocka_unit_test(test_best), cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
