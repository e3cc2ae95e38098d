// test_cuda_network.c: vision transformers on the CUDA backend (tests/support/cuda/cuda_networks.h): plans,
// memory, slices, refusals and a device that is lost at any call.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/cuda/cuda_networks.h"
#include "tests/support/mini_cnn.h"

static void check_mini_vit(int width, int heads, enum precision precision, int compute_capability)
{
    struct network *network = mini_vit(width, heads);
    check_network(network, precision, compute_capability);
    network_free(network);
}

static void test_precisions(void **state)
{
    (void)state;
    for (enum precision precision = 0; precision < PRECISION_COUNT; precision++) {
        check_mini_vit(128, 2, precision, 80);
        if (precision != PRECISION_BF16)
            check_mini_vit(64, 1, precision, 75);
    }
    check_mini_vit(96, 4, PRECISION_FP16, 80); // heads of 24
    for (enum precision precision = 0; precision < PRECISION_COUNT; precision++) {
        struct network *network = mini_vit_of_patches(14, 64, 1); // 588 values, no multiple of 8
        check_network(network, precision, 80);
        network_free(network);
    }
}

static void test_batch(void **state)
{
    (void)state;
    struct network *network = mini_vit(64, 1);
    for (enum precision precision = 0; precision < PRECISION_COUNT; precision++)
        check_batch(network, precision);
    network_free(network);
}

// Graphs of 1, 2 and 4 images, the last one filled up: the same bits as step by step, whatever ran before.
static void check_graphs(const struct network *network, enum precision precision)
{
    static struct answers expected, found;
    struct error err = {""};
    struct plan *plan;
    struct plan_options options = {.precision = precision, .max_batch = IMAGES, .attention = EXPLAIN_LAST};
    answer(open_shim(80), network, precision, EXPLAIN_LAST, &expected);
    shim_device.graphs = true;
    struct backend *backend = open_shim(80);
    shim_device.graphs = false;
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_OK);
    for (int i = 0; i < 3; i++)
        assert_non_null(((struct cuda_plan *)plan)->graphs[i]);
    size_t map = (size_t)(plan->heads * plan->map_height * plan->map_width);
    static const int runs[][2] = {{0, 3}, {2, 1}, {0, 2}, {1, 2}, {1, 1}, {0, 3}}; // first, images
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        size_t first = (size_t)runs[i][0], images = (size_t)runs[i][1];
        memset(&found, 0xff, sizeof found);
        assert_int_equal(run_views(plan, runs[i][0], runs[i][1], &found, &err), STATUS_OK);
        assert_memory_equal(found.logits, expected.logits + first * MINI_CLASSES,
                            images * MINI_CLASSES * sizeof(float));
        assert_memory_equal(found.maps, expected.maps + first * map, images * map * sizeof(float));
    }
    plan_free(plan);
    backend_close(backend);
    assert_int_equal(shim_device.allocations, 0);
}

static void test_graphs(void **state)
{
    (void)state;
    struct network *networks[] = {mini_vit(64, 1), mini_resnet(), mini_efficientnet()};
    for (int i = 0; i < 3; i++) {
        check_graphs(networks[i], PRECISION_FP16);
        network_free(networks[i]);
    }
    struct network *network = mini_vit(48, 2);
    check_graphs(network, PRECISION_INT8);
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
    struct device_figures figures = {0};
    backend_figures(backend, &figures); // the shim has no NVML
    assert_true(figures.utilisation_percent == -1 && figures.memory_total == -1 &&
                figures.ecc_uncorrected == -1);
    assert_true(backend_peak_gflops(backend, PRECISION_FP32) == 0);
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

// What fails while a graph is captured ends the capture: else the stream would take nothing more.
static void test_failed_capture(void **state)
{
    (void)state;
    struct network *network = mini_vit(16, 1);
    struct plan_options options = {.precision = PRECISION_FP16, .max_batch = 1};
    struct error err = {""};
    struct plan *plan = NULL;
    shim_device.graphs = shim_device.fail_capturing = true;
    struct backend *backend = open_shim(80);
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_FATAL);
    assert_false(shim_device.capturing);
    shim_device.graphs = shim_device.fail_capturing = false;
    backend_close(backend);
    assert_int_equal(shim_device.allocations, 0);
    network_free(network);
}

// Whichever call of the device fails: FATAL with a sentence, FATAL ever after, nothing leaks.
static void test_lost_device(void **state)
{
    (void)state;
    struct network *network = mini_vit(16, 1);
    struct plan_options options = {.precision = PRECISION_FP16, .max_batch = 2, .attention = EXPLAIN_LAST};
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
            assert_int_equal(backend_health(backend, &err), STATUS_FATAL);
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
        cmocka_unit_test(test_precisions),  cmocka_unit_test(test_batch),
        cmocka_unit_test(test_graphs),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lost_device), cmocka_unit_test(test_failed_capture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
