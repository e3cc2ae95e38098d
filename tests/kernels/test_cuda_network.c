// test_cuda_network.c: whole networks on the CUDA backend, its kernels run on the processor by the shim,
// against the plain executor: plans, memory, slices, refusals and a device that is lost at any call.
//
// Tolerances, as shares of the logits' range: float 2e-5; fp16 and bf16 have 11 and 8 bits, and a handful of
// roundings in a row; bytes have 256 steps a row.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/plain.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/plugin.h"
#include "tests/support/cuda/shim_device.h"
#include "tests/support/mini_vit.h"

enum { IMAGES = 3, MAP_MOST = 4 * MINI_PATCHES };

struct answers {
    float logits[IMAGES * MINI_CLASSES], maps[IMAGES * MAP_MOST];
};

static const double tolerances[PRECISION_COUNT] = {2e-5, 4e-3, 3e-2, 3e-2};

static struct backend *open_shim(int compute_capability)
{
    struct backend *backend;
    struct error err;
    shim_device.compute_capability = compute_capability;
    if (skinsight_cuda_backend_open(BACKEND_INTERFACE_VERSION, &backend, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return backend;
}

static enum status prepare(struct backend *backend, const struct network *network,
                           struct plan_options options, struct plan **plan, struct error *err)
{
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    enum status status = backend_prepare(backend, network, weights, &options, plan, err);
    weights_close(weights);
    return status;
}

// Image i of the batch is view number first + i.
static enum status run_views(struct plan *plan, int first, int count, struct answers *answers,
                             struct error *err)
{
    static uint8_t images[IMAGES][MINI_VIEW];
    const uint8_t *views[IMAGES];
    for (int i = 0; i < count; i++) {
        mini_view(images[i], first + i);
        views[i] = images[i];
    }
    struct inference result = {answers->logits, plan->heads > 0 ? answers->maps : NULL};
    return plan_run(plan, views, count, &result, err);
}

// Takes the backend.
static void answer(struct backend *backend, const struct network *network, enum precision precision,
                   bool attention, struct answers *answers)
{
    struct error err = {""};
    struct plan *plan;
    struct plan_options options = {.precision = precision, .max_batch = IMAGES, .attention = attention};
    if (prepare(backend, network, options, &plan, &err) != STATUS_OK ||
        run_views(plan, 0, IMAGES, answers, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    plan_free(plan);
    backend_close(backend);
}

static void near(const char *what, const float *found, const float *expected, int count, double tolerance)
{
    float low = expected[0], high = expected[0];
    double worst = 0;
    for (int i = 0; i < count; i++) {
        low = fminf(low, expected[i]);
        high = fmaxf(high, expected[i]);
        double difference = fabs((double)found[i] - (double)expected[i]);
        worst = difference <= worst ? worst : difference; // a NaN stays
    }
    printf("%s: %.2g of the range away\n", what, worst / (double)(high - low));
    assert_true(worst <= tolerance * (double)(high - low));
}

static void check_network(int width, int heads, enum precision precision, int compute_capability)
{
    struct network *network = mini_vit(width, heads);
    static struct answers expected, found;
    char what[96];
    snprintf(what, sizeof what, "width %d, %d heads, %s, sm_%d", width, heads, precision_names[precision],
             compute_capability);
    answer(cpu_plain_backend_open(), network, PRECISION_FP32, true, &expected);
    answer(open_shim(compute_capability), network, precision, true, &found);
    near(what, found.logits, expected.logits, IMAGES * MINI_CLASSES, tolerances[precision]);
    near("  maps", found.maps, expected.maps, IMAGES * heads * MINI_PATCHES, tolerances[precision]);
    answer(open_shim(compute_capability), network, precision, false, &found);
    near("  without maps", found.logits, expected.logits, IMAGES * MINI_CLASSES, tolerances[precision]);
    assert_int_equal(shim_device.allocations, 0);
    network_free(network);
}

static void test_precisions(void **state)
{
    (void)state;
    for (enum precision precision = 0; precision < PRECISION_COUNT; precision++) {
        check_network(128, 2, precision, 80);
        if (precision != PRECISION_BF16)
            check_network(64, 1, precision, 75);
    }
    check_network(96, 4, PRECISION_FP16, 80); // heads of 24
}

// Same image, same bits, whatever its batch and slot.
static void test_batch(void **state)
{
    (void)state;
    struct network *network = mini_vit(64, 1);
    struct backend *backend = open_shim(80);
    for (enum precision precision = 0; precision < PRECISION_COUNT; precision++) {
        struct error err = {""};
        struct plan *plan;
        static struct answers all, one;
        struct plan_options options = {.precision = precision, .max_batch = IMAGES, .attention = true};
        assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_OK);
        ((struct cuda_plan *)plan)->slice = 2; // two slices
        assert_int_equal(run_views(plan, 0, IMAGES, &all, &err), STATUS_OK);
        for (int i = 0; i < IMAGES; i++) {
            assert_int_equal(run_views(plan, i, 1, &one, &err), STATUS_OK);
            assert_memory_equal(one.logits, all.logits + (size_t)i * MINI_CLASSES,
                                MINI_CLASSES * sizeof(float));
            assert_memory_equal(one.maps, all.maps + (size_t)i * MINI_PATCHES, MINI_PATCHES * sizeof(float));
        }
        plan_free(plan);
    }
    backend_close(backend);
    network_free(network);
}

static void test_refusals(void **state)
{
    (void)state;
    struct backend *backend;
    struct error err = {""};
    struct plan *plan;
    assert_int_equal(skinsight_cuda_backend_open(BACKEND_INTERFACE_VERSION + 1, &backend, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "interface"));
    assert_null(backend);
    backend = open_shim(75);
    struct gpu_figures figures;
    assert_false(skinsight_cuda_figures(backend, &figures)); // the shim has no NVML
    assert_false(cuda_plugin_figures(backend, &figures));    // and came from no library
    struct network *network = mini_vit(64, 1);
    struct plan_options options = {.precision = PRECISION_BF16, .max_batch = 1};
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "bf16"));
    network->operations[1].groups = 2;
    options.precision = PRECISION_FP16;
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "mini_vit"));
    network_free(network);
    network = mini_vit(12, 1);
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "widths"));
    network_free(network);
    backend_close(backend);
}

// Whichever call of the device fails: FATAL with a sentence, FATAL ever after, nothing leaks.
static void test_lost_device(void **state)
{
    (void)state;
    struct network *network = mini_vit(16, 1);
    struct plan_options options = {.precision = PRECISION_FP16, .max_batch = 2, .attention = true};
    bool finished = false;
    int lost_running = 0;
    for (long fail_at = 1; !finished; fail_at += 3) {
        static struct answers answers;
        struct error err = {""};
        struct plan *plan = NULL;
        shim_device.calls = 0;
        struct backend *backend = open_shim(80);
        shim_device.fail_at = fail_at;
        enum status status = prepare(backend, network, options, &plan, &err);
        if (status == STATUS_OK) {
            status = run_views(plan, 0, 2, &answers, &err);
            finished = status == STATUS_OK;
            lost_running += !finished;
        }
        if (!finished) {
            assert_int_equal(status, STATUS_FATAL);
            assert_non_null(strstr(err.message, "lost"));
            assert_int_equal(backend->ops->health(backend, &err), STATUS_FATAL);
            if (plan)
                assert_int_equal(run_views(plan, 0, 1, &answers, &err), STATUS_FATAL);
        }
        shim_device.fail_at = -1;
        plan_free(plan);
        backend_close(backend);
        assert_int_equal(shim_device.allocations, 0);
    }
    assert_true(lost_running > 0);
    network_free(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precisions),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lost_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
