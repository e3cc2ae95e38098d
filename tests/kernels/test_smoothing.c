// test_smoothing.c: smoothed weights: the same bits in fp32 and bf16, less rounding in int8, and factors as
// the formula gives them.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/cpu_features.h"
#include "kernels/backend.h"
#include "kernels/cpu/plain.h"
#include "kernels/model/smoothing.h"
#include "tests/support/mini_cnn.h"
#include "tests/support/mini_vit.h"
#include "tests/support/skip.h"

enum { IMAGES = 16, WIDTH = 48, HEADS = 3, LOUD = 5 };

static float *values_of(const struct weights *weights, const char *name, size_t *count)
{
    const struct weight *weight = weights_find(weights, name);
    assert_non_null(weight);
    float *values = memory_alloc(weight->size);
    weight_to_float(weight, values);
    *count = weight->count;
    return values;
}

static void multiply_channel(struct weights *weights, const char *name, float factor)
{
    size_t count;
    float *values = values_of(weights, name, &count);
    struct weight shape = *weights_find(weights, name);
    for (size_t i = LOUD; i < count; i += WIDTH)
        values[i] *= factor;
    weights_replace(weights, name, shape.rank, shape.shape, values);
    free(values);
}

// Random weights, but that one channel of each LayerNorm is much louder than the others, and its readers have
// small weights for it: what trained networks do.
static struct weights *loud_weights(const struct network *network)
{
    static const char *const loud[] = {"norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"};
    static const char *const readers[] = {"attn.qkv.weight", "mlp.fc1.weight"};
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    for (int block = 0; block < 2; block++) {
        char name[64];
        for (int i = 0; i < 4; i++) {
            snprintf(name, sizeof name, "blocks.%d.%s", block, loud[i]);
            multiply_channel(weights, name, 64);
        }
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "blocks.%d.%s", block, readers[i]);
            multiply_channel(weights, name, 1.0f / 64);
        }
    }
    return weights;
}

// False where the processor lacks the precision.
static bool run(const struct network *network, const struct weights *weights, struct plan_options options,
                float *logits)
{
    struct error err = {""};
    struct backend *backend;
    struct plan *plan;
    options.max_batch = IMAGES;
    assert_int_equal(backend_open(&backend, "cpu", 2, &err), STATUS_OK);
    enum status status = backend_prepare(backend, network, weights, &options, &plan, &err);
    if (status == STATUS_OK) {
        static uint8_t images[IMAGES][MINI_VIEW];
        const uint8_t *views[IMAGES];
        for (int i = 0; i < IMAGES; i++) {
            mini_view(images[i], i);
            views[i] = images[i];
        }
        struct inference result = {.logits = logits};
        assert_int_equal(plan_run(plan, views, IMAGES, &result, &err), STATUS_OK);
        plan_free(plan);
    } else {
        assert_int_not_equal(options.precision, PRECISION_FP32);
    }
    backend_close(backend);
    return status == STATUS_OK;
}

static double distance(const float *found, const float *expected)
{
    double sum = 0;
    for (int i = 0; i < IMAGES * MINI_CLASSES; i++)
        sum += ((double)found[i] - expected[i]) * ((double)found[i] - expected[i]);
    return sqrt(sum);
}

struct answers {
    float reference[IMAGES * MINI_CLASSES], before[IMAGES * MINI_CLASSES], after[IMAGES * MINI_CLASSES];
};

// reference: fp32 before smoothing. Skips the test, with a line, where the processor lacks the precision.
static void smooth_and_run(enum precision precision, struct answers *answers)
{
    struct network *network = mini_vit(WIDTH, HEADS);
    struct weights *weights = loud_weights(network);
    struct smoothing *smoothing = smoothing_new(network);
    const struct row_observer observer = {smoothing_see, smoothing};
    const struct plan_options options = {.precision = precision};
    bool has = cpu_features_get().avx2 && run(network, weights, options, answers->before);
    if (has) {
        assert_true(run(network, weights, (struct plan_options){.observer = &observer}, answers->reference));
        assert_int_equal(smoothing_apply(smoothing, weights),
                         4); // two in each block; not the one before the head
        assert_true(run(network, weights, options, answers->after));
    }
    smoothing_free(smoothing);
    weights_close(weights);
    network_free(network);
    skip_without(has, precision_names[precision]);
}

static void fp32_keeps_its_bits(void **state)
{
    (void)state;
    struct answers answers;
    smooth_and_run(PRECISION_FP32, &answers);
    assert_memory_equal(answers.after, answers.before, sizeof answers.before);
}

static void bf16_keeps_its_bits(void **state)
{
    (void)state;
    struct answers answers;
    smooth_and_run(PRECISION_BF16, &answers);
    assert_memory_equal(answers.after, answers.before, sizeof answers.before);
}

static void int8_changes_for_the_better(void **state)
{
    (void)state;
    struct answers answers;
    smooth_and_run(PRECISION_INT8, &answers);
    double rough = distance(answers.before, answers.reference);
    double smooth = distance(answers.after, answers.reference);
    if (!(smooth < 0.5 * rough))
        fail_msg("int8 is %g away, %g before smoothing", smooth, rough);
}

// Weights of the readers all 1, so that the exponent of a channel is 0.7 log2(seen) less their mean, rounded.
static void factors_are_as_the_formula_says(void **state)
{
    (void)state;
    struct network *network = mini_vit(WIDTH, HEADS);
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    size_t count, norm_count;
    float *ones = values_of(weights, "blocks.0.attn.qkv.weight", &count);
    float *norm = values_of(weights, "blocks.0.norm1.weight", &norm_count);
    for (size_t i = 0; i < count; i++)
        ones[i] = i / WIDTH % 2 ? -1 : 1;
    weights_replace(weights, "blocks.0.attn.qkv.weight", 2, (const int64_t[]){3 * WIDTH, WIDTH}, ones);
    struct smoothing *smoothing = smoothing_new(network);
    const struct operation layernorm = {.kind = OP_LAYERNORM,
                                        .weight = network_find_parameter(network, "blocks.0.norm1.weight")};
    float row[WIDTH];
    for (int k = 0; k < WIDTH; k++)
        row[k] = k < 24 ? -8192 : 1; // exponents 0.7 * (13 - 6.5) = 4.55 -> 5 and -4.55 -> -5
    smoothing_see(smoothing, &layernorm, row, WIDTH);
    for (int k = 0; k < WIDTH; k++)
        row[k] = 0.5; // the greatest counts
    smoothing_see(smoothing, &layernorm, row, WIDTH);
    assert_int_equal(smoothing_apply(smoothing, weights), 1);
    float *found = values_of(weights, "blocks.0.attn.qkv.weight", &count);
    for (size_t i = 0; i < count; i++)
        assert_true(found[i] == ones[i] * (i % WIDTH < 24 ? 32.0f : 0.03125f));
    float *found_norm = values_of(weights, "blocks.0.norm1.weight", &norm_count);
    for (size_t k = 0; k < norm_count; k++)
        assert_true(found_norm[k] == norm[k] * (k < 24 ? 0.03125f : 32.0f));
    free(found_norm);
    free(found);
    free(norm);
    free(ones);
    smoothing_free(smoothing);
    weights_close(weights);
    network_free(network);
}

static void show_nothing(void *context, const struct operation *layernorm, const float *row, int columns)
{
    (void)context;
    (void)layernorm;
    (void)row;
    (void)columns;
}

// Takes the backend.
static enum status prepare_observed(struct backend *backend, struct network *network,
                                    enum precision precision, struct error *err)
{
    const struct row_observer observer = {show_nothing, NULL};
    const struct plan_options options = {.precision = precision, .max_batch = 1, .observer = &observer};
    struct weights *weights = weights_new();
    struct plan *plan = NULL;
    random_weights_fill(weights, network, 3);
    enum status status = backend_prepare(backend, network, weights, &options, &plan, err);
    plan_free(plan);
    weights_close(weights);
    network_free(network);
    backend_close(backend);
    return status;
}

static struct backend *open_cpu(void)
{
    struct error err = {""};
    struct backend *backend;
    assert_int_equal(backend_open(&backend, "cpu", 1, &err), STATUS_OK);
    return backend;
}

// An observer that is shown no rows would smooth nothing. A network without LayerNorms has none.
static void rows_that_no_one_would_show_are_refused(void **state)
{
    (void)state;
    struct error err = {""};
    struct backend *simulated;
    assert_int_equal(backend_open(&simulated, "simulated", 1, &err), STATUS_OK);
    assert_int_equal(prepare_observed(simulated, mini_vit(WIDTH, HEADS), PRECISION_FP32, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "the rows of a LayerNorm in fp32 can't be seen on simulated"));
    assert_int_equal(prepare_observed(cpu_plain_backend_open(), mini_vit(WIDTH, HEADS), PRECISION_FP32, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "plain loops"));
    assert_int_equal(prepare_observed(cpu_plain_backend_open(), mini_resnet(), PRECISION_FP32, &err),
                     STATUS_OK);
    assert_int_equal(prepare_observed(open_cpu(), mini_resnet(), PRECISION_FP32, &err), STATUS_OK);
}

static void rows_in_int8_are_refused(void **state)
{
    (void)state;
    struct error err = {""};
    skip_without(cpu_features_get().avx2, "AVX2");
    assert_int_equal(prepare_observed(open_cpu(), mini_vit(WIDTH, HEADS), PRECISION_INT8, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "in int8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_keeps_its_bits),
        cmocka_unit_test(bf16_keeps_its_bits),
        cmocka_unit_test(int8_changes_for_the_better),
        cmocka_unit_test(factors_are_as_the_formula_says),
        cmocka_unit_test(rows_in_int8_are_refused),
        cmocka_unit_test(rows_that_no_one_would_show_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
