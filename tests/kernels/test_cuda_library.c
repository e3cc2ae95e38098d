// test_cuda_library.c: kernels/cuda/library.c and tuning.c against a cuBLASLt that fake_cublaslt.c plays, so
// only in builds with the toolkit, whose header says what cuBLASLt is: whole networks by its products, which
// algorithms are taken, the file of choices, and what happens when products are refused or fail.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "kernels/cuda/tuning.h"
#include "tests/support/cuda/cuda_networks.h"
#include "tests/support/cuda/fake_cublaslt.h"
#include "tests/support/mini_cnn.h"
#include "tests/support/process.h"

static char folder[SCRATCH_SIZE], tuning_file[SCRATCH_SIZE + 16];

static int reset(void **state)
{
    (void)state;
    fake_cublaslt = (struct fake_cublaslt){.version = 130100};
    unsetenv("SKINSIGHT_CUDA_TUNE");
    unlink(tuning_file);
    return 0;
}

static int judge(void **state)
{
    (void)state;
    if (fake_cublaslt.violations > 0)
        fail_msg("%ld times, first: %s", fake_cublaslt.violations, fake_cublaslt.violation);
    assert_int_equal(fake_cublaslt.splits, 0);
    return 0;
}

static struct cuda_plan *new_plan(struct backend *backend, struct network *network, int max_batch)
{
    struct error err = {""};
    struct plan *plan = NULL;
    struct plan_options options = {.precision = PRECISION_FP16, .max_batch = max_batch};
    if (prepare(backend, network, options, &plan, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return (struct cuda_plan *)plan;
}

// By the library: and by which algorithm at least one was, as a set of bits.
static int count_chosen(const struct cuda_plan *plan, unsigned *algorithms)
{
    int count = 0;
    *algorithms = 0;
    for (int i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kind == STEP_PRODUCT && plan->steps[i].choice.library) {
            *algorithms |= 1u << plan->steps[i].choice.algorithm[0];
            count++;
        }
    return count;
}

static void test_networks(void **state)
{
    (void)state;
    struct network *networks[] = {mini_vit(128, 2), mini_vit(24, 1), mini_resnet(), mini_efficientnet()};
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        for (enum precision precision = 0; precision < PRECISION_INT8; precision++) {
            long before = fake_cublaslt.products;
            check_network(networks[i], precision, 80);
            assert_true(fake_cublaslt.products > before || i >= 2); // most of convolutions is ours
        }
        network_free(networks[i]);
    }
}

// The patches, four products of the first block, five of the last one, whose queries are apart; not the head,
// which is narrow. Width 24: only those of more than 32 columns; keys and values begin 48 bytes into a row,
// where the strict algorithm is refused.
static void test_choices(void **state)
{
    (void)state;
    unsigned algorithms;
    struct backend *backend = open_shim(80);
    struct network *wide = mini_vit(128, 2), *narrow = mini_vit(24, 1);
    struct cuda_plan *plan = new_plan(backend, wide, 2);
    assert_int_equal(count_chosen(plan, &algorithms), 10);
    assert_int_equal(algorithms, 1u << FAKE_STRICT);
    plan_free(&plan->plan);
    plan = new_plan(backend, narrow, 2);
    assert_int_equal(count_chosen(plan, &algorithms), 4);
    assert_int_equal(algorithms, 1u << FAKE_STRICT | 1u << FAKE_GOOD);
    plan_free(&plan->plan);
    fake_cublaslt.refuses = true;
    plan = new_plan(backend, wide, 2);
    assert_int_equal(count_chosen(plan, &algorithms), 0);
    plan_free(&plan->plan);
    network_free(wide);
    network_free(narrow);
    backend_close(backend);
}

// Machines that may choose otherwise are not of one class.
static void test_digest(void **state)
{
    (void)state;
    struct tuning tuning, other;
    tuning_load(&tuning, "Tesla T4", 130100);
    tuning_load(&other, "Tesla T4", 130100);
    assert_int_equal(tuning_digest(&tuning), tuning_digest(&other));
    tuning_load(&other, "NVIDIA H100 PCIe", 130100);
    assert_int_not_equal(tuning_digest(&tuning), tuning_digest(&other));
    tuning_load(&other, "Tesla T4", 130200);
    assert_int_not_equal(tuning_digest(&tuning), tuning_digest(&other));
}

// The file holds what was chosen; it is part of the device's class at once, and another version's is not
// taken.
static void test_tuning(void **state)
{
    (void)state;
    char class[sizeof((struct backend *)0)->device_class], tuned[sizeof class];
    unsigned algorithms, again;
    struct network *network = mini_vit(16, 1);
    struct backend *backend = open_shim(80);
    strcpy(class, backend->device_class);
    setenv("SKINSIGHT_CUDA_TUNE", "1", 1);
    backend_close(backend);
    backend = open_shim(80);
    assert_string_equal(backend->device_class, class); // no file yet
    struct cuda_plan *plan = new_plan(backend, network, SLICE_MAX);
    int chosen = count_chosen(plan, &algorithms);
    assert_true(chosen > 0);
    strcpy(tuned, backend->device_class);
    assert_string_not_equal(tuned, class);
    plan_free(&plan->plan);
    backend_close(backend);
    unsetenv("SKINSIGHT_CUDA_TUNE");
    assert_int_equal(access(tuning_file, R_OK), 0);
    backend = open_shim(80);
    assert_string_equal(backend->device_class, tuned);
    plan = new_plan(backend, network, 1);
    assert_int_equal(count_chosen(plan, &again), chosen);
    assert_int_equal(again, algorithms);
    plan_free(&plan->plan);
    backend_close(backend);
    fake_cublaslt.version++;
    backend = open_shim(80);
    plan = new_plan(backend, network, 1);
    assert_int_equal(count_chosen(plan, &again), chosen); // found anew
    plan_free(&plan->plan);
    backend_close(backend);
    network_free(network);
}

static void test_fault(void **state)
{
    (void)state;
    static struct answers answers;
    struct error err = {""};
    struct network *network = mini_vit(64, 1);
    struct backend *backend = open_shim(80);
    struct cuda_plan *plan = new_plan(backend, network, 2);
    assert_int_equal(run_views(&plan->plan, 0, 2, &answers, &err), STATUS_OK);
    fake_cublaslt.refuses = true; // is an error, but none of the device's
    assert_int_equal(run_views(&plan->plan, 0, 2, &answers, &err), STATUS_FATAL);
    assert_non_null(strstr(err.message, "CUBLAS_STATUS_NOT_SUPPORTED"));
    fake_cublaslt.refuses = false;
    assert_int_equal(run_views(&plan->plan, 0, 2, &answers, &err), STATUS_OK);
    fake_cublaslt.faults = true;
    assert_int_equal(run_views(&plan->plan, 0, 2, &answers, &err), STATUS_FATAL);
    assert_non_null(strstr(err.message, "CUBLAS_STATUS_EXECUTION_FAILED"));
    fake_cublaslt.faults = false;
    assert_int_equal(run_views(&plan->plan, 0, 2, &answers, &err), STATUS_FATAL); // for good
    plan_free(&plan->plan);
    network_free(network);
    backend_close(backend);
    assert_int_equal(shim_device.allocations, 0);
    assert_int_equal(fake_cublaslt.handles, 1); // to destroy it could wait for ever
}

// A device that fails while algorithms are tried is lost; it has not refused them.
static void test_fault_while_choosing(void **state)
{
    (void)state;
    struct error err = {""};
    struct plan *plan = NULL;
    struct plan_options options = {.precision = PRECISION_FP16, .max_batch = 2};
    struct network *network = mini_vit(64, 1);
    struct backend *backend = open_shim(80);
    long handles = fake_cublaslt.handles;
    fake_cublaslt.faults = true;
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_FATAL);
    assert_non_null(strstr(err.message, "CUBLAS_STATUS_EXECUTION_FAILED"));
    fake_cublaslt.faults = false;
    assert_int_equal(backend_health(backend, &err), STATUS_FATAL);
    network_free(network);
    backend_close(backend);
    assert_int_equal(fake_cublaslt.handles, handles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_networks, reset, judge),
        cmocka_unit_test_setup_teardown(test_choices, reset, judge),
        cmocka_unit_test_setup_teardown(test_digest, reset, judge),
        cmocka_unit_test_setup_teardown(test_tuning, reset, judge),
        cmocka_unit_test_setup_teardown(test_fault, reset, judge),
        cmocka_unit_test_setup_teardown(test_fault_while_choosing, reset, judge),
    };
    scratch_make(folder);
    snprintf(tuning_file, sizeof tuning_file, "%s/tuning.txt", folder);
    setenv("SKINSIGHT_CUDA_TUNING", tuning_file, 1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
