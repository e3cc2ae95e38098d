// test_train_resnet18.c: the gradients of a whole ResNet-18 on the fast executor against PyTorch's in float64
// (tests/golden/resnet18.txt), for each instruction set that is there. The batch is one where no value lies
// so near to an edge that rounding could take it across.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/cpu_features.h"
#include "tests/support/skip.h"
#include "tests/support/train_golden.h"

enum { SIDE = 96, BATCH = 2, CLASSES = 8 };
static const double limit = 1e-4;

struct golden {
    FILE *file;
    int number; // of the batch
    double loss;
};

static struct golden golden_open(void)
{
    struct golden golden = {.file = fopen(TEST_SOURCE_DIR "/tests/golden/resnet18.txt", "r")};
    assert_non_null(golden.file);
    assert_int_equal(fscanf(golden.file, "batch %d %*f %lf\n", &golden.number, &golden.loss), 2);
    return golden;
}

// The loss, and the gradients as a block that the caller frees.
static double run(const struct network *network, int number, float **gradients)
{
    static float pixels[BATCH][SIDE * SIDE * 3];
    const float *images[BATCH];
    int labels[BATCH];
    uint64_t counters[BATCH];
    struct error err = {""};
    struct backend *backend;
    struct training *training;
    struct training_result result;
    struct training_options options = training_options_default();
    struct weights *weights = weights_new();
    options.max_batch = BATCH;
    for (int i = 0; i < BATCH; i++) {
        uint64_t image = (uint64_t)(BATCH * number + i);
        for (int j = 0; j < SIDE * SIDE * 3; j++)
            pixels[i][j] = train_unit(image, "image", (uint64_t)j);
        images[i] = pixels[i];
        labels[i] = (int)(image % CLASSES);
        counters[i] = image;
    }
    const struct training_batch batch = {
        .count = BATCH, .images = images, .labels = labels, .counters = counters};
    random_weights_fill(weights, network, 1);
    if (backend_open(&backend, "cpu", 2, &err) != STATUS_OK ||
        training_prepare(backend, network, weights, &options, &training, &err) != STATUS_OK ||
        training_gradients(training, &batch, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_string_equal(training->executor, "convnet");
    *gradients = memory_alloc(training->size * sizeof **gradients);
    if (training_save(training, TRAINING_GRADIENTS, *gradients, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    training_free(training);
    weights_close(weights);
    backend_close(backend);
    return result.loss;
}

static int compare(const struct network *network, struct golden *golden, const float *gradients)
{
    char line[1024];
    struct golden_gradient gradient;
    double worst = 0;
    int count = 0;
    for (; fgets(line, sizeof line, golden->file); count++) {
        assert_true(golden_gradient_read(&gradient, line));
        int parameter = network_find_parameter(network, gradient.name);
        assert_true(parameter >= 0);
        const float *values = gradients + training_offset(network, parameter);
        double products[GOLDEN_DIRECTIONS] = {0};
        for (size_t i = 0; i < parameter_size(&network->parameters[parameter]); i++)
            for (int d = 0; d < GOLDEN_DIRECTIONS; d++)
                products[d] += (double)values[i] * golden_direction(d, gradient.name, i);
        double difference = golden_difference(&gradient, products);
        worst = fmax(worst, difference);
        if (!(difference <= limit))
            fail_msg("%s: relative difference %g", gradient.name, difference);
    }
    printf("worst of %d tensors: %.2g\n", count, worst);
    return count;
}

static void compare_with_pytorch(enum cpu_level level)
{
    struct error err = {""};
    struct network *network;
    struct golden golden = golden_open();
    float *gradients;
    if (network_build_sized(&network, "resnet18", SIDE, CLASSES, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    cpu_features_force(level);
    double loss = run(network, golden.number, &gradients);
    cpu_features_force(CPU_LEVEL_BEST);
    assert_true(fabs(loss - golden.loss) <= 1e-6 * golden.loss);
    assert_int_equal(compare(network, &golden, gradients), 62); // all but running statistics
    free(gradients);
    fclose(golden.file);
    network_free(network);
}

static void gradients_are_pytorchs_with_avx2(void **state)
{
    (void)state;
    skip_without(cpu_features_get().avx2, "AVX2");
    compare_with_pytorch(CPU_LEVEL_AVX2);
}

static void gradients_are_pytorchs_with_avx512(void **state)
{
    (void)state;
    skip_without(cpu_features_get().avx512, "AVX-512");
    compare_with_pytorch(CPU_LEVEL_AVX512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients_are_pytorchs_with_avx2),
                                       cmocka_unit_test(gradients_are_pytorchs_with_avx512)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
