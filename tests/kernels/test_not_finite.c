// test_not_finite.c: a NaN in any of a network's weights makes logits that are not finite, in every executor,
// at each level of instructions and in every precision of this processor, so that the worker's check of the
// logits sees it. And numbers too small for a normal float count as zero in all of them.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/cpu_features.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/plain.h"
#include "tests/support/mini_cnn.h"
#include "tests/support/skip.h"

enum { IMAGES = 2, THREADS = 2 };

// In the place of weights_check.c's: weights that are not finite are refused otherwise.
size_t __wrap_weights_first_not_finite(const struct weights *weights, const struct weight *weight);

size_t __wrap_weights_first_not_finite(const struct weights *weights, const struct weight *weight)
{
    (void)weights;
    return weight->count;
}

static struct backend *open_backend(enum cpu_level level)
{
    struct error err;
    struct backend *backend;
    if (level == CPU_LEVEL_PLAIN)
        return cpu_plain_backend_open();
    assert_int_equal(backend_open(&backend, "cpu", THREADS, &err), STATUS_OK);
    return backend;
}

static void run(struct backend *backend, const struct network *network, const struct weights *weights,
                enum precision precision, float logits[IMAGES * MINI_CLASSES])
{
    static uint8_t images[IMAGES][MINI_VIEW];
    struct error err = {""};
    struct plan *plan;
    struct plan_options options = {.precision = precision, .max_batch = IMAGES};
    const uint8_t *views[IMAGES];
    for (int i = 0; i < IMAGES; i++) {
        mini_view(images[i], i);
        views[i] = images[i];
    }
    if (backend_prepare(backend, network, weights, &options, &plan, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(plan_run(plan, views, IMAGES, &(struct inference){.logits = logits}, &err), STATUS_OK);
    plan_free(plan);
}

static float *floats_of(const struct weight *weight)
{
    float *values = memory_alloc(weight->count * sizeof *values);
    weight_to_float(weight, values);
    return values;
}

static void check_weight(struct backend *backend, const struct network *network, enum precision precision,
                         size_t index)
{
    float logits[IMAGES * MINI_CLASSES];
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    const struct weight weight = *weights_at(weights, index);
    float *values = floats_of(&weight);
    values[weight.count / 2] = NAN;
    weights_replace(weights, weight.name, weight.rank, weight.shape, values);
    run(backend, network, weights, precision, logits);
    for (int image = 0; image < IMAGES; image++) {
        bool seen = false;
        for (int i = 0; i < MINI_CLASSES; i++)
            seen = seen || !isfinite(logits[image * MINI_CLASSES + i]);
        if (!seen)
            fail_msg("%s, %s, %s: a NaN in %s is not seen", network->architecture, backend->device_class,
                     precision_names[precision], weight.name);
    }
    free(values);
    weights_close(weights);
}

static void check_nan(struct backend *backend, const struct network *network, enum precision precision)
{
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    size_t count = weights_count(weights);
    weights_close(weights);
    assert_true(count > 10);
    for (size_t i = 0; i < count; i++)
        check_weight(backend, network, precision, i);
}

// With weights of zero in the head, its bias is the answer.
static void check_denormals(struct backend *backend, const struct network *network, enum precision precision)
{
    static const float bias[MINI_CLASSES] = {1.0f, 1e-40f, -1e-40f, 1e-45f};
    static const float zeros[1024];
    float logits[IMAGES * MINI_CLASSES];
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    const struct weight head = *weights_find(weights, "head.weight");
    const struct weight head_bias = *weights_find(weights, "head.bias");
    assert_true(head.count <= sizeof zeros / sizeof zeros[0]);
    weights_replace(weights, head.name, head.rank, head.shape, zeros);
    weights_replace(weights, head_bias.name, head_bias.rank, head_bias.shape, bias);
    run(backend, network, weights, precision, logits);
    for (int i = 0; i < IMAGES * MINI_CLASSES; i++)
        if (logits[i] != (i % MINI_CLASSES == 0 ? 1.0f : 0.0f))
            fail_msg("%s, %s, %s: logit %d is %g", network->architecture, backend->device_class,
                     precision_names[precision], i, (double)logits[i]);
    weights_close(weights);
}

typedef void (*network_check)(struct backend *backend, const struct network *network,
                              enum precision precision);

static void check_level(enum cpu_level level, network_check check)
{
    struct network *networks[] = {mini_vit(24, 2), mini_resnet(), mini_efficientnet()};
    cpu_features_force(level);
    struct backend *backend = open_backend(level);
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        check(backend, networks[i], PRECISION_FP32);
        for (enum precision precision = PRECISION_FP16; precision < PRECISION_COUNT; precision++)
            if (i == 0 && level != CPU_LEVEL_PLAIN && cpu_kernels_get().gemm[precision])
                check(backend, networks[i], precision);
        network_free(networks[i]);
    }
    backend_close(backend);
}

static int reset(void **unused)
{
    (void)unused;
    cpu_features_force(CPU_LEVEL_BEST);
    return 0;
}

static void nan_plain(void **unused)
{
    (void)unused;
    check_level(CPU_LEVEL_PLAIN, check_nan);
}

static void nan_avx2(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx2, "AVX2");
    check_level(CPU_LEVEL_AVX2, check_nan);
}

static void nan_avx512(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx512, "AVX-512");
    check_level(CPU_LEVEL_BEST, check_nan);
}

static void denormals_plain(void **unused)
{
    (void)unused;
    check_level(CPU_LEVEL_PLAIN, check_denormals);
}

static void denormals_fast(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx2, "AVX2");
    check_level(CPU_LEVEL_AVX2, check_denormals);
    check_level(CPU_LEVEL_BEST, check_denormals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nan_plain, reset),      cmocka_unit_test_setup(nan_avx2, reset),
        cmocka_unit_test_setup(nan_avx512, reset),     cmocka_unit_test_setup(denormals_plain, reset),
        cmocka_unit_test_setup(denormals_fast, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
